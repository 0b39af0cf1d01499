//! Cells of nodes, events, bindings, certificate requests and the other kinds of the cluster itself.

use serde_json::Value;

use super::human_duration;
use super::row::{Row, list, scalar, scalar_or, selector};

pub(super) fn status(row: &Row<'_>) -> String {
    let mut words = vec![match row.condition("Ready") {
        Some(_) if row.holds("Ready") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if row.at("spec.unschedulable") == true {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

pub(super) fn roles(row: &Row<'_>) -> String {
    let labels = row.at("metadata.labels").as_object().into_iter().flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    }
}

pub(super) fn address(row: &Row<'_>, ty: &str) -> String {
    let mut addresses = row.list("status.addresses").iter();
    let found = addresses.find(|address| address["type"] == ty);
    found.map_or("<none>".to_owned(), |address| scalar(&address["address"]))
}

/// Core events and those of `events.k8s.io` name what they are about differently.
pub(super) fn event_involved<'a>(row: &Row<'a>) -> &'a Value {
    match row.at("involvedObject") {
        Value::Null => row.at("regarding"),
        involved => involved,
    }
}

/// `pod/web`.
pub(super) fn event_object(row: &Row<'_>) -> String {
    let involved = event_involved(row);
    let (kind, name) = (
        scalar(&involved["kind"]).to_lowercase(),
        scalar(&involved["name"]),
    );
    if name.is_empty() {
        kind
    } else {
        format!("{kind}/{name}")
    }
}

pub(super) fn event_source(row: &Row<'_>) -> String {
    let first = |paths: [&str; 3]| {
        let mut texts = paths.into_iter().map(|path| row.text(path));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let component = match first([
        "source.component",
        "deprecatedSource.component",
        "reportingComponent",
    ]) {
        "" => row.text("reportingController"),
        component => component,
    };
    match first(["source.host", "deprecatedSource.host", "reportingInstance"]) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}

/// When the event was seen last and first.
pub(super) fn event_seen(row: &Row<'_>) -> (String, String) {
    let first_of = |paths: &[&str]| paths.iter().find_map(|path| row.since(row.text(path)));
    let unknown = || "<unknown>".to_owned();
    let first = first_of(&["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"]);
    let first = first.unwrap_or_else(unknown);
    let last = if row.at("series").is_null() {
        first_of(&["lastTimestamp", "deprecatedLastTimestamp"]).unwrap_or_else(|| first.clone())
    } else {
        first_of(&["series.lastObservedTime"]).unwrap_or_else(unknown)
    };
    (last, first)
}

/// How often it happened; an event that says nothing happened once.
pub(super) fn event_count(row: &Row<'_>) -> i64 {
    let counts = ["series.count", "count", "deprecatedCount"].map(|path| row.integer(path));
    counts.into_iter().find(|count| *count > 0).unwrap_or(1)
}

/// Names of a binding's subjects of one kind.
pub(super) fn subjects(row: &Row<'_>, kind: &str) -> String {
    let subjects = row
        .list("subjects")
        .iter()
        .filter(|subject| subject["kind"] == kind);
    let names: Vec<String> = subjects
        .map(|subject| match scalar(&subject["namespace"]) {
            namespace if namespace.is_empty() => scalar(&subject["name"]),
            namespace => format!("{namespace}/{}", scalar(&subject["name"])),
        })
        .collect();
    names.join(", ")
}

/// What a policy binding gives its policy as parameters.
pub(super) fn param_ref(row: &Row<'_>) -> String {
    let reference = row.at("spec.paramRef");
    let (namespace, name) = (
        scalar_or(&reference["namespace"], "*"),
        scalar(&reference["name"]),
    );
    if !name.is_empty() {
        format!("{namespace}/{name}")
    } else if reference["selector"].is_null() {
        "<unset>".to_owned()
    } else {
        selector(&reference["selector"])
    }
}

pub(super) fn requested_duration(row: &Row<'_>) -> String {
    let seconds = row.at("spec.expirationSeconds").as_i64();
    seconds.map_or("<none>".to_owned(), human_duration)
}

/// `Approved,Issued`.
pub(super) fn request_condition(row: &Row<'_>) -> String {
    let has = |ty: &str| row.condition(ty).is_some();
    let mut words = vec![match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }];
    if has("Failed") {
        words.push("Failed");
    }
    if !row.text("status.certificate").is_empty() {
        words.push("Issued");
    }
    words.join(",")
}

pub(super) fn component(row: &Row<'_>, field: &str) -> String {
    let mut conditions = list(row.at("conditions")).iter();
    let healthy = conditions.find(|condition| condition["type"] == "Healthy");
    let value = healthy
        .map(|condition| scalar(&condition[field]))
        .unwrap_or_default();
    match (field, value.as_str()) {
        ("status", "True") => "Healthy".to_owned(),
        ("status", "") => "Unknown".to_owned(),
        ("status", _) => "Unhealthy".to_owned(),
        _ => value,
    }
}

/// `Local`, or the service that answers for the group version.
pub(super) fn api_service(row: &Row<'_>) -> String {
    let service = row.at("spec.service");
    if service.is_null() {
        return "Local".to_owned();
    }
    format!(
        "{}/{}",
        scalar(&service["namespace"]),
        scalar(&service["name"])
    )
}

/// `True`, or `False (FailedDiscoveryCheck)`.
pub(super) fn api_service_available(row: &Row<'_>) -> String {
    let Some(condition) = row.condition("Available") else {
        return "Unknown".to_owned();
    };
    let status = scalar(&condition["status"]);
    if status == "True" {
        status
    } else {
        format!("{status} ({})", scalar(&condition["reason"]))
    }
}
