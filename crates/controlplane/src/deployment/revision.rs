//! Templates, their hashes and revisions: which ReplicaSet is which.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::Value;

/// Label that keeps the pods of one template apart from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// Annotation with the number of the template, counted from one.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation with the replicas that the Deployment wanted when the ReplicaSet was last scaled.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation with the most pods that the Deployment allowed then.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotation with the numbers that the template had before it was rolled back to, oldest first.
pub(super) const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// That annotation is no longer, in characters.
const HISTORY_CHARS_MAX: usize = 2000;
/// Annotations of a Deployment that its ReplicaSets do not inherit.
pub(super) const NOT_INHERITED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
];

/// The letters of Kubernetes' safe encoding, which makes no words.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A template as JSON without the hash label.
fn template_of(value: &Value) -> Value {
    let mut template = value["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    if let Some(meta) = template["metadata"].as_object_mut() {
        meta.remove("creationTimestamp");
        meta.retain(|_, member| member.as_object().is_none_or(|m| !m.is_empty()));
    }
    template
}

fn json(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Whether the ReplicaSet runs the Deployment's present template.
pub(super) fn is_current(deployment: &Deployment, set: &ReplicaSet) -> bool {
    template_of(&json(deployment)) == template_of(&json(set))
}

/// The name suffix of the ReplicaSet for the present template; `collisions` makes another one.
pub(super) fn hash(deployment: &Deployment) -> String {
    let mut text = template_of(&json(deployment)).to_string();
    if let Some(collisions) = deployment.status.as_ref().and_then(|s| s.collision_count) {
        text.push_str(&collisions.to_string());
    }
    let fnv = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    fnv.to_string()
        .bytes()
        .map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()]))
        .collect()
}

/// The number of the ReplicaSet's template; 0 if it has none.
pub(super) fn number(set: &ReplicaSet) -> i64 {
    let annotations = set.metadata.annotations.as_ref();
    annotations
        .and_then(|a| a.get(REVISION))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A number in an annotation of the ReplicaSet.
pub(super) fn annotated(set: &ReplicaSet, annotation: &str) -> Option<i32> {
    set.metadata
        .annotations
        .as_ref()?
        .get(annotation)?
        .parse()
        .ok()
}

/// The history with one more number; the oldest go if it becomes too long.
pub(super) fn remember(history: &str, number: i64) -> String {
    let mut text = number.to_string();
    let older = history.split(',').filter(|old| !old.is_empty());
    for old in older.rev() {
        if text.len() + 1 + old.len() > HISTORY_CHARS_MAX {
            break;
        }
        text = format!("{old},{text}");
    }
    text
}
