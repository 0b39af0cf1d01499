//! What an autoscaler asks the API: its target's scale, its pods, and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, MetricIdentifier, MetricSpec,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ApiResource;
use runtime::{Cx, GatherError, Selector};
use serde_json::{Value, json};

use crate::amounts::milli;

/// The target as its `scale` subresource shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(super) path: String,
    pub(super) wanted: i32,
    pub(super) current: i32,
    /// Labels of its pods, as a query has them.
    pub(super) selector: String,
}

/// What a metric of one pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// In thousandths of the unit.
    pub(super) value: i128,
    pub(super) at: Timestamp,
    /// What time it was measured over.
    pub(super) window: SignedDuration,
}

/// What was read for one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// By the name of the pod.
    Pods(BTreeMap<String, Sample>),
    /// In thousandths of the unit.
    Value(i128),
}

/// Characters that stand for themselves in the path and the query.
fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn get(cx: &Cx, path: &str) -> Result<Value, String> {
    let request = http::Request::get(path).body(vec![]);
    let request = request.map_err(|error| error.to_string())?;
    let answer = cx.cluster().request::<Value>(request).await;
    answer.map_err(|error| words(&error))
}

/// The server's words, without ours.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => runtime::chain(other),
    }
}

/// The target's scale; in words, why there is none.
pub(super) async fn scale(
    cx: &Cx,
    autoscaler: &HorizontalPodAutoscaler,
) -> Result<Result<Scale, String>, GatherError> {
    let target = &autoscaler.spec.scale_target_ref;
    if target.name.is_empty() {
        return Ok(Err("scaleTargetRef.name must not be empty".to_owned()));
    }
    let Some(resource) = resolve(cx, target).await? else {
        return Ok(Err(format!(
            "no matches for kind \"{}\" in group \"{}\"",
            target.kind,
            group(target)
        )));
    };
    let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
    let path = format!(
        "/{}/{}/namespaces/{namespace}/{}/{}/scale",
        root(&resource),
        resource.api_version,
        resource.plural,
        // Users write it, and we ask with all rights: it must be one name and no path.
        escaped(&target.name)
    );
    let found = match get(cx, &path).await {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let number = |value: &Value| {
        let number = value.as_i64().unwrap_or(0);
        i32::try_from(number).unwrap_or(i32::MAX)
    };
    Ok(Ok(Scale {
        path,
        wanted: number(&found["spec"]["replicas"]),
        current: number(&found["status"]["replicas"]),
        selector: found["status"]["selector"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }))
}

fn group(target: &CrossVersionObjectReference) -> &str {
    let version = target.api_version.as_deref().unwrap_or_default();
    version.rsplit_once('/').map_or("", |(group, _)| group)
}

fn root(resource: &ApiResource) -> &'static str {
    if resource.group.is_empty() {
        "api"
    } else {
        "apis"
    }
}

async fn resolve(
    cx: &Cx,
    target: &CrossVersionObjectReference,
) -> Result<Option<ApiResource>, GatherError> {
    cx.resolve(group(target), &target.kind).await
}

/// Gives the target a size; in words, why it did not take it.
pub(super) async fn set_scale(cx: &Cx, scale: &Scale, size: i32) -> Result<(), String> {
    let patch = json!({"spec": {"replicas": size}});
    let request = http::Request::patch(format!(
        "{}?fieldManager=apiary-horizontalpodautoscaler",
        scale.path
    ))
    .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
    .body(patch.to_string().into_bytes())
    .map_err(|error| error.to_string())?;
    let answer = cx.cluster().request::<Value>(request).await;
    answer.map(drop).map_err(|error| words(&error))
}

/// The pods that the target selects, as the cache has them now.
pub(super) async fn pods(
    cx: &Cx,
    namespace: &str,
    selector: &str,
) -> Result<Vec<Arc<Pod>>, GatherError> {
    let Some(selector) = Selector::parse(selector) else {
        return Ok(vec![]);
    };
    let resource = ApiResource::erase::<Pod>(&());
    let entries = cx.cluster().entries(&resource, Some(namespace), &selector);
    let entries = entries.await?;
    Ok(entries
        .iter()
        .filter_map(|entry| entry.read::<Pod>().ok())
        .collect())
}

/// Reads one metric; in words, why it could not be read.
pub(super) async fn read(
    cx: &Cx,
    namespace: &str,
    scale: &Scale,
    metric: &MetricSpec,
) -> Result<Result<Reading, String>, GatherError> {
    let selector = escaped(&scale.selector);
    let custom = "/apis/custom.metrics.k8s.io/v1beta2";
    let reading = match metric.type_.as_str() {
        "Resource" | "ContainerResource" => {
            let (resource, container) = resource_of(metric);
            let path = format!(
                "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={selector}"
            );
            let found = get(cx, &path).await;
            found
                .map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"))
                .and_then(|list| usages(&list, resource, container))
        }
        "Pods" => {
            let own = metric.pods.as_ref().map(|pods| &pods.metric);
            let (name, labels) = identity(own);
            let path = format!(
                "{custom}/namespaces/{namespace}/pods/*/{name}?labelSelector={selector}{labels}"
            );
            let found = get(cx, &path).await;
            found
                .map_err(|why| format!("unable to fetch metrics from custom metrics API: {why}"))
                .and_then(|list| described(&list))
        }
        "Object" => {
            let Some(object) = &metric.object else {
                return Ok(Err("the metric names no object".to_owned()));
            };
            let described = &object.described_object;
            let Some(resource) = resolve(cx, described).await? else {
                return Ok(Err(format!("no matches for kind \"{}\"", described.kind)));
            };
            let (name, labels) = identity(Some(&object.metric));
            let plural = match resource.group.as_str() {
                "" => resource.plural,
                group => format!("{}.{group}", resource.plural),
            };
            let object = escaped(&described.name);
            let labels = labels.replacen('&', "?", 1);
            let path = format!("{custom}/namespaces/{namespace}/{plural}/{object}/{name}{labels}");
            let found = get(cx, &path).await;
            found
                .map_err(|why| format!("unable to fetch metrics from custom metrics API: {why}"))
                .and_then(|list| value(&list["items"][0]["value"]))
        }
        "External" => {
            let own = metric.external.as_ref().map(|external| &external.metric);
            let (name, labels) = identity(own);
            let labels = labels.replacen("&metricLabelSelector=", "?labelSelector=", 1);
            let path = format!(
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}{labels}"
            );
            let found = get(cx, &path).await;
            found
                .map_err(|why| format!("unable to fetch metrics from external metrics API: {why}"))
                .and_then(|list| sum(&list))
        }
        other => Err(format!("unknown metric source type \"{other}\"")),
    };
    Ok(reading)
}

/// Resource and container of a metric; an empty container is the whole pod.
pub(super) fn resource_of(metric: &MetricSpec) -> (&str, &str) {
    match (&metric.resource, &metric.container_resource) {
        (Some(resource), _) => (&resource.name, ""),
        (None, Some(resource)) => (&resource.name, &resource.container),
        (None, None) => ("", ""),
    }
}

/// A metric's name, and its labels as the rest of a query.
fn identity(metric: Option<&MetricIdentifier>) -> (String, String) {
    let name = metric.map(|metric| escaped(&metric.name));
    let labels = metric.and_then(|metric| metric.selector.as_ref());
    let labels = labels.map(query).filter(|labels| !labels.is_empty());
    (
        name.unwrap_or_default(),
        labels.map_or_else(String::new, |labels| {
            format!("&metricLabelSelector={}", escaped(&labels))
        }),
    )
}

/// A selector as a query has it.
fn query(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten();
    let mut terms: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    for expression in selector.match_expressions.iter().flatten() {
        let (key, values) = (
            &expression.key,
            expression.values.clone().unwrap_or_default().join(","),
        );
        terms.push(match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        });
    }
    terms.join(",")
}

fn usages(list: &Value, resource: &str, container: &str) -> Result<Reading, String> {
    let mut samples = BTreeMap::new();
    for item in list["items"].as_array().into_iter().flatten() {
        let containers = item["containers"].as_array();
        let containers = containers.map(Vec::as_slice).unwrap_or_default();
        let is_meant = |c: &&Value| container.is_empty() || c["name"] == container;
        let usage = |c: &Value| milli(c["usage"][resource].as_str()?);
        let used: Vec<_> = containers.iter().filter(is_meant).map(usage).collect();
        // If one is missing, the sum says nothing.
        let Some(used) = used.into_iter().collect::<Option<Vec<i128>>>() else {
            continue;
        };
        if !used.is_empty() {
            add(
                &mut samples,
                item,
                &item["metadata"]["name"],
                used.iter().sum(),
            );
        }
    }
    if samples.is_empty() {
        return Err("no metrics returned from resource metrics API".to_owned());
    }
    Ok(Reading::Pods(samples))
}

fn described(list: &Value) -> Result<Reading, String> {
    let mut samples = BTreeMap::new();
    for item in list["items"].as_array().into_iter().flatten() {
        if let Some(value) = item["value"].as_str().and_then(milli) {
            add(&mut samples, item, &item["describedObject"]["name"], value);
        }
    }
    if samples.is_empty() {
        return Err("no metrics returned from custom metrics API".to_owned());
    }
    Ok(Reading::Pods(samples))
}

fn add(samples: &mut BTreeMap<String, Sample>, item: &Value, name: &Value, value: i128) {
    let at = item["timestamp"].as_str().and_then(|at| at.parse().ok());
    let window = item["window"].as_str();
    let window = window.and_then(|window| window.parse::<SignedDuration>().ok());
    let sample = Sample {
        value,
        at: at.unwrap_or(Timestamp::UNIX_EPOCH),
        window: window.unwrap_or(SignedDuration::from_mins(1)),
    };
    samples.insert(name.as_str().unwrap_or_default().to_owned(), sample);
}

fn value(found: &Value) -> Result<Reading, String> {
    let value = found.as_str().and_then(milli);
    let why = || "no metrics returned from custom metrics API".to_owned();
    value.map(Reading::Value).ok_or_else(why)
}

fn sum(list: &Value) -> Result<Reading, String> {
    let items = list["items"].as_array().map(Vec::as_slice);
    let values = items.unwrap_or_default().iter();
    let values: Vec<i128> = values
        .filter_map(|item| milli(item["value"].as_str()?))
        .collect();
    if values.is_empty() {
        return Err("no metrics returned from external metrics API".to_owned());
    }
    Ok(Reading::Value(values.iter().sum()))
}
