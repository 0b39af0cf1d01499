//! Cells of the kinds that run pods.

use serde_json::{Value, json};

use super::human_duration;
use super::row::{Row, at, joined, labels, list, scalar, scalar_or};

/// The pod template's containers: their `field`s.
pub(super) fn containers(row: &Row<'_>, field: &str) -> String {
    let template = [
        "spec.template.spec.containers",
        "spec.jobTemplate.spec.template.spec.containers",
        "template.spec.containers",
    ]
    .into_iter()
    .map(|path| row.list(path))
    .find(|containers| !containers.is_empty());
    joined(template.unwrap_or_default(), field)
}

/// A replication controller's selector is a plain map, all others are `LabelSelector`s.
pub(super) fn selector(row: &Row<'_>) -> String {
    let selector = match row.at("spec.selector") {
        Value::Null => row.at("spec.jobTemplate.spec.selector"),
        selector => selector,
    };
    let values = || {
        selector
            .as_object()
            .into_iter()
            .flat_map(|map| map.values())
    };
    if values().next().is_some() && values().all(Value::is_string) {
        labels(selector)
    } else {
        super::row::selector(selector)
    }
}

/// `spec.replicas`, which is 1 when nothing is said.
pub(super) fn desired(row: &Row<'_>) -> i64 {
    row.at("spec.replicas").as_i64().unwrap_or(1)
}

/// `2/3`.
pub(super) fn ready_of_desired(row: &Row<'_>) -> String {
    format!("{}/{}", row.integer("status.readyReplicas"), desired(row))
}

/// `statefulset.apps/web`: the owner that controls the object.
pub(super) fn controller(row: &Row<'_>) -> String {
    let owners = row.list("metadata.ownerReferences");
    let Some(owner) = owners.iter().find(|owner| owner["controller"] == true) else {
        return "<none>".to_owned();
    };
    let kind = scalar(&owner["kind"]).to_lowercase();
    let name = scalar(&owner["name"]);
    match scalar(&owner["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{}/{name}", group.to_lowercase()),
        None => format!("{kind}/{name}"),
    }
}

pub(super) fn job_status(row: &Row<'_>) -> String {
    let status = if row.holds("Complete") {
        "Complete"
    } else if row.holds("Failed") {
        "Failed"
    } else if row.is_deleting() {
        "Terminating"
    } else if row.holds("Suspended") {
        "Suspended"
    } else if row.holds("FailureTarget") {
        "FailureTarget"
    } else {
        "Running"
    };
    status.to_owned()
}

pub(super) fn job_completions(row: &Row<'_>) -> String {
    let succeeded = row.integer("status.succeeded");
    if let Some(completions) = row.at("spec.completions").as_i64() {
        return format!("{succeeded}/{completions}");
    }
    match row.integer("spec.parallelism") {
        parallelism @ 2.. => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    }
}

pub(super) fn job_duration(row: &Row<'_>) -> String {
    let time = |path| row.text(path).parse::<jiff::Timestamp>().ok();
    let Some(start) = time("status.startTime") else {
        return String::new();
    };
    let end = time("status.completionTime").unwrap_or(row.now);
    human_duration(end.duration_since(start).as_secs())
}

pub(super) fn is_suspended(row: &Row<'_>) -> String {
    let word = match row.at("spec.suspend").as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    word.to_owned()
}

pub(super) fn last_schedule(row: &Row<'_>) -> String {
    let time = row.text("status.lastScheduleTime");
    row.since(time).unwrap_or_else(|| "<none>".to_owned())
}

/// `cpu: 30%/80%, 12/100 + 1 more...`.
pub(super) fn metrics(row: &Row<'_>) -> String {
    let (specs, statuses) = metrics_of_v1(row).unwrap_or_else(|| {
        (
            row.list("spec.metrics").to_vec(),
            row.list("status.currentMetrics").to_vec(),
        )
    });
    let texts: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(at, spec)| metric(spec, statuses.get(at).unwrap_or(&Value::Null)))
        .collect();
    match texts.as_slice() {
        [] => "<none>".to_owned(),
        [a, b, rest @ ..] if !rest.is_empty() => format!("{a}, {b} + {} more...", rest.len()),
        _ => texts.join(", "),
    }
}

/// `autoscaling/v1` has CPU alone, in fields of its own.
fn metrics_of_v1(row: &Row<'_>) -> Option<(Vec<Value>, Vec<Value>)> {
    let target = row.at("spec.targetCPUUtilizationPercentage").as_i64()?;
    let current = row.at("status.currentCPUUtilizationPercentage");
    let spec = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": target}}});
    let status = json!({"resource": {"current": {"averageUtilization": current}}});
    Some((vec![spec], vec![status]))
}

fn metric(spec: &Value, status: &Value) -> String {
    let (field, is_resource) = match spec["type"].as_str().unwrap_or_default() {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (source, target) = (&spec[field], &spec[field]["target"]);
    let current = &status[field]["current"];
    let average = &target["averageValue"];
    let text = if !average.is_null() {
        let note = if is_resource || field == "pods" {
            ""
        } else {
            " (avg)"
        };
        let current = scalar_or(&current["averageValue"], "<unknown>");
        format!("{current}/{}{note}", scalar(average))
    } else if is_resource {
        let percent = |value: &Value, default: &str| match value {
            Value::Null => default.to_owned(),
            value => format!("{value}%"),
        };
        let current = percent(&current["averageUtilization"], "<unknown>");
        format!(
            "{current}/{}",
            percent(&target["averageUtilization"], "<auto>")
        )
    } else {
        format!(
            "{}/{}",
            scalar_or(&current["value"], "<unknown>"),
            scalar(&target["value"])
        )
    };
    if is_resource {
        format!("{}: {text}", scalar(&source["name"]))
    } else {
        text
    }
}

/// The names in a list of references.
pub(super) fn names(value: &Value, path: &str, field: &str) -> Vec<String> {
    list(at(value, path))
        .iter()
        .map(|item| scalar(&item[field]))
        .collect()
}
