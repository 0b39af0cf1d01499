//! What a ReplicaSet shows of its pods.

use jiff::Timestamp;
use runtime::Outcome;
use serde_json::{Value, json};

use super::World;
use super::plan::active;
use crate::pod;

/// Pods could not be created or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) fn status(world: &World, outcome: &Outcome, now: Timestamp) -> Value {
    let spec = world.replica_set.spec.as_ref();
    let min_ready = spec.and_then(|s| s.min_ready_seconds).unwrap_or(0);
    let active = active(world);
    let template_labels = spec
        .and_then(|s| s.template.as_ref())
        .and_then(|t| t.metadata.as_ref())
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    let is_labeled = |pod: &&&std::sync::Arc<k8s_openapi::api::core::v1::Pod>| {
        let labels = pod.metadata.labels.as_ref();
        template_labels
            .iter()
            .all(|(k, v)| labels.is_some_and(|l| l.get(k) == Some(v)))
    };
    let ready = active.iter().filter(|pod| pod::is_ready(pod)).count();
    let available = active
        .iter()
        .filter(|p| pod::available_in(p, min_ready, now).is_some_and(|left| left.is_zero()))
        .count();
    let mut status = json!({
        "replicas": active.len(),
        "fullyLabeledReplicas": active.iter().filter(is_labeled).count(),
        "readyReplicas": ready,
        "availableReplicas": available,
        "observedGeneration": world.replica_set.metadata.generation,
    });
    // Zero counts are absent, as Kubernetes writes them; `replicas` is always there.
    if let Some(map) = status.as_object_mut() {
        map.retain(|key, value| key == "replicas" || *value != json!(0));
    }
    if let Some(failure) = &outcome.failure {
        status["conditions"] = json!([{
            "type": REPLICA_FAILURE, "status": "True", "reason": "FailedCreate", "message": failure.message,
        }]);
    }
    status
}
