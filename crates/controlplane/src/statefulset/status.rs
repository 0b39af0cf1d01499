//! What a StatefulSet shows of its pods and revisions.

use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{APPLY_REJECTED, Change, Note, Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use super::identity;
use super::look::Look;
use super::plan::failed;
use crate::claim::failure;
use crate::pod;

pub(super) fn status(world: &World, now: Timestamp) -> Option<Value> {
    let look = Look::of(world, now)?;
    let pods: Vec<&Pod> = look.members.values().map(|pod| &***pod).collect();
    let is_ready = |pod: &&&Pod| {
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        phase == Some("Running") && pod::is_ready(pod)
    };
    let ready: Vec<&Pod> = pods.iter().filter(is_ready).copied().collect();
    let staying = |revision: &str| {
        let is_staying = |pod: &&&Pod| {
            pod.metadata.deletion_timestamp.is_none() && identity::revision(pod) == revision
        };
        pods.iter().filter(is_staying).count()
    };
    let updated = staying(&look.update.name);
    let mut current = (look.current.name.as_str(), staying(&look.current.name));
    let wanted = look.spec.replicas.unwrap_or(1);
    let is_wanted = |count: usize| i32::try_from(count) == Ok(wanted);
    let is_complete = is_wanted(updated) && is_wanted(ready.len()) && is_wanted(pods.len());
    if look.is_rolling() && is_complete {
        current = (&look.update.name, updated);
    }
    let available = ready.iter().filter(|pod| look.is_available(pod)).count();
    let mut status = json!({
        "observedGeneration": world.set.metadata.generation,
        "replicas": pods.len(),
        "readyReplicas": ready.len(),
        "availableReplicas": available,
        "currentReplicas": current.1,
        "updatedReplicas": updated,
        "currentRevision": current.0,
        "updateRevision": look.update.name,
        "collisionCount": world.history.collisions,
    });
    // Zero counts are absent, as Kubernetes writes them, but for these.
    const ALWAYS: [&str; 3] = ["replicas", "availableReplicas", "collisionCount"];
    if let Some(map) = status.as_object_mut() {
        map.retain(|key, value| ALWAYS.contains(&key.as_str()) || *value != json!(0));
    }
    Some(status)
}

/// The event about something that the server refused.
pub(super) fn refusal(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
    let set = world.set.metadata.name.as_deref().unwrap_or_default();
    let (reason, message) = match failure(plan, outcome) {
        Some((change, why)) => words(set, change, &why),
        None => (APPLY_REJECTED, String::new()),
    };
    Note {
        about: None,
        warning: true,
        reason,
        message,
        after: None,
    }
}

fn words(set: &str, change: &Change<Infallible>, why: &str) -> (&'static str, String) {
    match change {
        Change::Create(object) | Change::Apply(object) | Change::ApplyStatus(object) => {
            let kind = object.types.as_ref().map_or("", |t| t.kind.as_str());
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let message = match kind {
                "Pod" => failed("Create", name, set, why),
                "PersistentVolumeClaim" => {
                    let ordinal = name.rsplit('-').next().unwrap_or_default();
                    format!(
                        "Create Claim {name} for Pod {set}-{ordinal} in StatefulSet {set} failed error: {why}"
                    )
                }
                _ => format!("{kind} {name}: {why}"),
            };
            ("FailedCreate", message)
        }
        Change::Delete { target, .. } if target.kind == "Pod" => {
            ("FailedDelete", failed("Delete", &target.name, set, why))
        }
        Change::Patch { target, .. } if target.kind == "Pod" => {
            ("FailedUpdate", failed("Update", &target.name, set, why))
        }
        Change::Patch { target, .. } if target.kind == "PersistentVolumeClaim" => {
            let (claim, ordinal) = (&target.name, target.name.rsplit('-').next());
            let pod = format!("{set}-{}", ordinal.unwrap_or_default());
            let why = format!("could not update claim {claim} for delete policy ownerRefs: {why}");
            ("FailedUpdate", failed("Update", &pod, set, &why))
        }
        Change::Patch { target, .. } => ("FailedUpdate", format!("{target}: {why}")),
        Change::Delete { target, .. } => ("FailedDelete", format!("{target}: {why}")),
        Change::Act(never) => match *never {},
    }
}
