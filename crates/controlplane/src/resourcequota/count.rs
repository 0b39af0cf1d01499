//! Counting what is there.

use apiserver::Quantity;
use apiserver::admission::quota::{Amounts, Counter, stops_counting};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use kube::core::{ApiResource, GroupVersionKind};
use runtime::{Cx, Entry, GatherError, Selector};
use serde_json::{Value, json};

/// Plurals of the core group that quotas also know without `count/`.
const ALIASES: &[&str] = &[
    "configmaps",
    "resourcequotas",
    "replicationcontrollers",
    "secrets",
];

/// What there is of everything that the quota limits, and when the next pod stops to count.
pub(super) async fn count(
    cx: &Cx,
    quota: &ResourceQuota,
    now: Timestamp,
) -> Result<(Amounts, Option<Timestamp>), GatherError> {
    let spec = json!(quota.spec);
    let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
    let hard = Amounts::of(&spec["hard"]);
    let mut counted = Amounts::default();
    let mut next = None;
    for (counter, resource) in [
        (Counter::Pods, ApiResource::erase::<Pod>(&())),
        (Counter::Services, ApiResource::erase::<Service>(&())),
        (
            Counter::Claims,
            ApiResource::erase::<PersistentVolumeClaim>(&()),
        ),
        (
            Counter::Devices,
            ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk("resource.k8s.io", "v1", "ResourceClaim"),
                "resourceclaims",
            ),
        ),
    ] {
        let own = hard.only(|name, _| counter.covers(name));
        if own.is_empty() {
            continue;
        }
        for name in own.names() {
            counted.set(name, Quantity::default());
        }
        for entry in cx
            .entries(&resource, Some(namespace), &Selector::all())
            .await?
        {
            let object = value(&entry);
            if !counter.is_in_scope(&spec, &object) {
                continue;
            }
            let used = counter.usage(&object, now);
            counted.add(&used.only(|name, _| counted.get(name).is_some()));
            let ends = stops_counting(&object).filter(|at| *at >= now);
            next = next.into_iter().chain(ends).min();
        }
    }
    for name in hard.names() {
        if counted.get(name).is_some() {
            continue;
        }
        if let Some(number) = number(cx, namespace, &spec, name).await? {
            counted.set(name, Quantity::from(number));
        }
    }
    Ok((counted, next))
}

fn value(entry: &Entry) -> Value {
    serde_json::from_str(entry.json()).unwrap_or_default()
}

/// How many objects a name such as `count/deployments.apps` stands for; nothing if the kind is not served.
async fn number(
    cx: &Cx,
    namespace: &str,
    spec: &Value,
    name: &str,
) -> Result<Option<usize>, GatherError> {
    let what = match name.strip_prefix("count/") {
        Some(what) => what,
        None if ALIASES.contains(&name) => name,
        None => return Ok(None),
    };
    let (plural, group) = what.split_once('.').unwrap_or((what, ""));
    let served = cx.served().await?;
    let found = served.kinds.iter().find(|served| {
        served.is_namespaced
            && served.resource.plural == plural
            && served.resource.group == group
            && served.has_verb("list")
            && served.has_verb("watch")
    });
    let Some(found) = found else {
        return Ok(None);
    };
    // Only pods and claims have scopes.
    if !Counter::of(group, plural).is_in_scope(spec, &Value::Null) {
        return Ok(Some(0));
    }
    let entries = cx
        .entries(&found.resource, Some(namespace), &Selector::all())
        .await?;
    Ok(Some(entries.len()))
}
