//! What a ReplicaSet shows of its pods.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Change, Note, ObjectRef, Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use super::plan::{Claim, active, claim};
use crate::pod;

/// Pods could not be created or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(crate) fn status(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    now: Timestamp,
) -> Value {
    let spec = world.replica_set.spec.as_ref();
    let min_ready = spec.and_then(|s| s.min_ready_seconds).unwrap_or(0);
    let active = active(world);
    let template_labels = spec
        .and_then(|s| s.template.as_ref())
        .and_then(|t| t.metadata.as_ref())
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    let is_labeled = |pod: &&&Arc<Pod>| {
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
    let is_going = |pod: &&Arc<Pod>| {
        let is_ours = claim(world, pod) == Claim::Own;
        is_ours && pod.metadata.deletion_timestamp.is_some() && !pod::is_over(pod)
    };
    status["terminatingReplicas"] = json!(world.pods.iter().filter(is_going).count());
    if let Some((reason, message)) = failure(plan, outcome) {
        status["conditions"] = json!([{
            "type": REPLICA_FAILURE, "status": "True", "reason": reason, "message": message,
        }]);
    }
    status
}

/// The event about a pod that could not be created or deleted.
pub(crate) fn refusal(plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
    let (reason, message) = failure(plan, outcome).unwrap_or(("FailedCreate", String::new()));
    let doing = if reason == "FailedDelete" {
        "deleting"
    } else {
        "creating"
    };
    Note {
        about: None,
        warning: true,
        reason,
        message: format!("Error {doing}: {message}"),
        after: None,
    }
}

/// Why a pod could not be created or deleted, in the server's words.
fn failure(plan: &Plan<Infallible>, outcome: &Outcome) -> Option<(&'static str, String)> {
    let failure = outcome.failure.as_ref()?;
    let (reason, prefix) = match plan.changes.get(outcome.done)? {
        Change::Delete { target, .. } => ("FailedDelete", format!("deleting {target}: ")),
        Change::Create(pod) | Change::Apply(pod) | Change::ApplyStatus(pod) => {
            ("FailedCreate", format!("{}: ", ObjectRef::of(pod)))
        }
        Change::Patch { target, .. } => ("FailedCreate", format!("{target}: ")),
        Change::Act(never) => match *never {},
    };
    let message = failure.message.strip_prefix(&prefix);
    Some((reason, message.unwrap_or(&failure.message).to_owned()))
}
