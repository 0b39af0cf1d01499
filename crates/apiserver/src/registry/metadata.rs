//! What the server itself writes into `metadata`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// `metadata` as a map; made if absent.
pub(super) fn of(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    value["metadata"]
        .as_object_mut()
        .unwrap_or_else(|| unreachable!("metadata was made an object above"))
}

/// A member of `metadata` as text; empty if absent.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value["metadata"][field].as_str().unwrap_or_default()
}

/// RFC 3339 with seconds, as Kubernetes writes times.
pub(crate) fn timestamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Removes what only the server may say about a new object; the generation is left to those kinds that have one.
pub(super) fn wipe_system_fields(value: &mut Value) {
    let meta = of(value);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        meta.remove(field);
    }
}

/// Carries over from the old state what no update may change.
pub(super) fn keep_system_fields(old: &Value, new: &mut Value) {
    let meta = of(new);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        match old["metadata"].get(field) {
            Some(kept) => meta.insert(field.to_owned(), kept.clone()),
            None => meta.remove(field),
        };
    }
}

/// Drops repeated owner references; tells whether there were any.
pub(super) fn dedupe_owner_references(value: &mut Value) -> bool {
    let Some(owners) = of(value)
        .get_mut("ownerReferences")
        .and_then(Value::as_array_mut)
    else {
        return false;
    };
    let before = owners.len();
    let mut seen: Vec<Value> = Vec::with_capacity(before);
    owners.retain(|owner| {
        let is_new = !seen.contains(owner);
        if is_new {
            seen.push(owner.clone());
        }
        is_new
    });
    owners.len() < before
}

/// The resourceVersion that the client named; 0 if none.
pub(super) fn revision(value: &Value) -> Option<u64> {
    let text = text(value, "resourceVersion");
    if text.is_empty() {
        Some(0)
    } else {
        text.parse().ok()
    }
}

/// The finalizers.
pub(super) fn finalizers(value: &Value) -> Vec<&str> {
    value["metadata"]["finalizers"]
        .as_array()
        .map(|f| f.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Whether a deletion has begun.
pub(super) fn is_deleting(value: &Value) -> bool {
    !value["metadata"]["deletionTimestamp"].is_null()
}
