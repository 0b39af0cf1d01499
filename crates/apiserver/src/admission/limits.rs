//! LimitRanger: defaults and bounds for containers, pods and claims, from the LimitRanges of the namespace.

use std::collections::{BTreeMap, BTreeSet};

use cel::Quantity;
use serde_json::{Map, Value};

use super::needs::Needs;
use super::{Admission, Operation, Request, edit};
use crate::status::Status;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(super) struct LimitRanger;

#[async_trait::async_trait]
impl Admission for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        if is_pod(request) {
            for limit in limits(request, "Container") {
                set_defaults(object, &limit);
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let mut problems = Vec::new();
        if is_pod(request) {
            for limit in limits(request, "Container") {
                for container in containers(object) {
                    check(&limit, "Container", &Needs::of(container), &mut problems);
                }
            }
            for limit in limits(request, "Pod") {
                check(&limit, "Pod", &Needs::of_pod(object), &mut problems);
            }
        } else if is_claim(request) {
            for limit in limits(request, "PersistentVolumeClaim") {
                check_claim(&limit, &Needs::of(&object["spec"]), &mut problems);
            }
        }
        match problems.as_slice() {
            [] => Ok(()),
            [one] => Err(request.forbidden(one)),
            many => Err(request.forbidden(&format!("[{}]", many.join(", ")))),
        }
    }
}

/// Containers of a pod cannot change later, so only its creation matters.
fn is_pod(request: &Request<'_>) -> bool {
    request.operation == Operation::Create && request.is_for("", "pods", "")
}

fn is_claim(request: &Request<'_>) -> bool {
    matches!(request.operation, Operation::Create | Operation::Update)
        && request.is_for("", "persistentvolumeclaims", "")
}

/// The limits of one type in the request's namespace.
fn limits(request: &Request<'_>, kind: &str) -> Vec<Value> {
    request
        .objects
        .list("limitranges", Some(request.namespace))
        .iter()
        .flat_map(|range| match range.value()["spec"]["limits"].take() {
            Value::Array(limits) => limits,
            _ => Vec::new(),
        })
        .filter(|limit| limit["type"] == kind)
        .collect()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| edit::items(&pod["spec"], field))
}

/// The entries of `field`, then those of `others` for resources that it leaves out.
fn merged(limit: &Value, fields: &[&str]) -> Map<String, Value> {
    let mut all = Map::new();
    for field in fields {
        for (resource, amount) in limit[*field].as_object().into_iter().flatten() {
            if !all.contains_key(resource) {
                all.insert(resource.clone(), amount.clone());
            }
        }
    }
    all
}

fn set_defaults(pod: &mut Value, limit: &Value) {
    let default_limits = merged(limit, &["default", "max"]);
    let default_requests = merged(limit, &["defaultRequest", "default", "max", "min"]);
    let mut notes = Vec::new();
    for (field, word) in [
        ("initContainers", "init container"),
        ("containers", "container"),
    ] {
        let list = pod["spec"].get_mut(field).and_then(Value::as_array_mut);
        for container in list.into_iter().flatten() {
            let name = edit::text(container, "name").to_owned();
            let own_limits = container["resources"]["limits"].clone();
            let requests = fill(container, "requests", &default_requests, &own_limits);
            let limits = fill(container, "limits", &default_limits, &Value::Null);
            for (set, what) in [(requests, "request"), (limits, "limit")] {
                if !set.is_empty() {
                    let set: Vec<String> = set.into_iter().collect();
                    notes.push(format!("{} {what} for {word} {name}", set.join(", ")));
                }
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    let annotations = pod
        .get_mut("metadata")
        .and_then(|metadata| edit::map(metadata, "annotations"));
    if let Some(annotations) = annotations {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        annotations.insert(ANNOTATION.into(), note.into());
    }
}

/// Adds to `resources.<field>` what is missing, and says which. A request without a word is the container's own limit
/// before it is a default.
fn fill(
    container: &mut Value,
    field: &str,
    defaults: &Map<String, Value>,
    own: &Value,
) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    if defaults.is_empty() || edit::map(container, "resources").is_none() {
        return set;
    }
    let Some(target) = edit::map(&mut container["resources"], field) else {
        return set;
    };
    for (resource, amount) in defaults {
        if target.contains_key(resource) {
            continue;
        }
        if own[resource].is_null() {
            target.insert(resource.clone(), amount.clone());
            set.insert(resource.clone());
        } else {
            target.insert(resource.clone(), own[resource].clone());
        }
    }
    set
}

/// The entries of one bound with the amount as it was written and as it is.
fn bounds<'a>(limit: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, String, Quantity)> {
    let entries = limit[field].as_object().into_iter().flatten();
    entries.filter_map(|(resource, amount)| {
        let shown = amount
            .as_str()
            .map_or_else(|| amount.to_string(), Into::into);
        Some((&**resource, shown, Quantity::of(amount)?))
    })
}

fn check(limit: &Value, kind: &str, amounts: &Needs, problems: &mut Vec<String>) {
    for (resource, shown, bound) in bounds(limit, "min") {
        let problem = check_min((resource, kind), (&shown, bound), amounts);
        problems.extend(problem);
    }
    for (resource, shown, bound) in bounds(limit, "max") {
        let problem = check_max((resource, kind), (&shown, bound), amounts);
        problems.extend(problem);
    }
    for (resource, shown, bound) in bounds(limit, "maxLimitRequestRatio") {
        let problem = check_ratio((resource, kind), (&shown, bound), amounts);
        problems.extend(problem);
    }
}

fn check_min(
    (resource, kind): (&str, &str),
    (shown, bound): (&str, Quantity),
    amounts: &Needs,
) -> Option<String> {
    let what = format!("minimum {resource} usage per {kind} is {shown}");
    match (amounts.requests.get(resource), amounts.limits.get(resource)) {
        (None, _) => Some(format!("{what}.  No request is specified")),
        (Some(request), _) if *request < bound => Some(format!("{what}, but request is {request}")),
        (_, Some(limit)) if *limit < bound => Some(format!("{what}, but limit is {limit}")),
        _ => None,
    }
}

fn check_max(
    (resource, kind): (&str, &str),
    (shown, bound): (&str, Quantity),
    amounts: &Needs,
) -> Option<String> {
    let what = format!("maximum {resource} usage per {kind} is {shown}");
    match (amounts.limits.get(resource), amounts.requests.get(resource)) {
        (None, _) => Some(format!("{what}.  No limit is specified")),
        (Some(limit), _) if *limit > bound => Some(format!("{what}, but limit is {limit}")),
        (_, Some(request)) if *request > bound => Some(format!("{what}, but request is {request}")),
        _ => None,
    }
}

fn check_ratio(
    (resource, kind): (&str, &str),
    (shown, bound): (&str, Quantity),
    amounts: &Needs,
) -> Option<String> {
    let what = format!("{resource} max limit to request ratio per {kind} is {shown}");
    let some =
        |map: &BTreeMap<String, Quantity>| map.get(resource).copied().filter(|q| !q.is_zero());
    let Some(request) = some(&amounts.requests) else {
        return Some(format!(
            "{what}, but no request is specified or request is 0"
        ));
    };
    let Some(limit) = some(&amounts.limits) else {
        return Some(format!("{what}, but no limit is specified or limit is 0"));
    };
    let ratio = limit.ratio(request);
    let one = Quantity::parse("1").unwrap_or_default();
    (ratio > bound.ratio(one)).then(|| format!("{what}, but provided ratio is {ratio:.6}"))
}

/// A claim has no limits, only a request.
fn check_claim(limit: &Value, amounts: &Needs, problems: &mut Vec<String>) {
    const KIND: &str = "PersistentVolumeClaim";
    for (resource, shown, bound) in bounds(limit, "min") {
        let problem = check_min((resource, KIND), (&shown, bound), amounts);
        problems.extend(problem);
    }
    for (resource, shown, bound) in bounds(limit, "max") {
        let what = format!("maximum {resource} usage per {KIND} is {shown}");
        match amounts.requests.get(resource) {
            None => problems.push(format!("{what}.  No request is specified")),
            Some(request) if *request > bound => {
                problems.push(format!("{what}, but request is {request}"));
            }
            Some(_) => {}
        }
    }
}
