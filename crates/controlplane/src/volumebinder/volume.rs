//! What a volume is to its claim. Pure.

use std::convert::Infallible;

use jiff::Timestamp;
use runtime::{Change, Plan, rfc3339};
use serde_json::{Value, json};

use super::{BOUND_BY_CONTROLLER, VolumeWorld};
use crate::volume;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// Nobody has it, or it is kept for a claim that may still come.
    Free,
    Bound,
    /// Its claim has gone.
    Left,
    /// Its claim has another volume.
    Jilted,
    /// Its claim does not know of it yet.
    Coming,
}

fn tie(world: &VolumeWorld) -> Tie {
    let reference = world
        .volume
        .spec
        .as_ref()
        .and_then(|s| s.claim_ref.as_ref());
    let Some(uid) = reference.and_then(|reference| reference.uid.as_ref()) else {
        return Tie::Free;
    };
    let claim = world.claim.as_ref();
    let Some(claim) = claim.filter(|claim| claim.metadata.uid.as_ref() == Some(uid)) else {
        return Tie::Left;
    };
    match volume::volume_name(claim) {
        None => Tie::Coming,
        Some(name) if Some(name) == world.volume.metadata.name.as_deref() => Tie::Bound,
        Some(_) => Tie::Jilted,
    }
}

pub(super) fn plan(world: &VolumeWorld) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let volume = &world.volume;
    if volume.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let annotations = volume.metadata.annotations.as_ref();
    let policy = policy(world);
    match tie(world) {
        Tie::Jilted => {
            // What the controller chose it takes back; what a user chose only loses the uid.
            let by_controller = annotations.is_some_and(|a| a.contains_key(BOUND_BY_CONTROLLER));
            let reference = if by_controller {
                Value::Null
            } else {
                json!({"uid": null, "resourceVersion": null})
            };
            let meta = json!({
                "uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version,
                "annotations": {BOUND_BY_CONTROLLER: null},
            });
            plan.changes.push(Change::Patch {
                target: volume::reference(volume),
                subresource: "",
                patch: json!({"metadata": meta, "spec": {"claimRef": reference}}),
            });
        }
        Tie::Left if policy == "Recycle" => {
            plan.warn(
                "VolumeFailedRecycle",
                "No recycler plugin found for the volume!",
            );
        }
        Tie::Free | Tie::Bound | Tie::Left | Tie::Coming => {}
    }
    plan
}

fn policy(world: &VolumeWorld) -> &str {
    let spec = world.volume.spec.as_ref();
    let policy = spec.and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    policy.unwrap_or("Retain")
}

pub(super) fn status(world: &VolumeWorld, now: Timestamp) -> Value {
    let old = world.volume.status.as_ref();
    let phase = match tie(world) {
        Tie::Free | Tie::Jilted | Tie::Coming => "Available",
        Tie::Bound => "Bound",
        Tie::Left if policy(world) == "Recycle" => "Failed",
        Tie::Left => "Released",
    };
    let is_same = old.and_then(|s| s.phase.as_deref()) == Some(phase);
    let since = old
        .and_then(|s| s.last_phase_transition_time.as_ref())
        .filter(|_| is_same)
        .map_or(now, |t| t.0);
    let mut status = json!({"phase": phase, "lastPhaseTransitionTime": rfc3339(since)});
    if phase == "Failed" {
        status["message"] = "No recycler plugin found for the volume!".into();
    }
    status
}
