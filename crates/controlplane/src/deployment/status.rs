//! What a Deployment shows of its rollout: the numbers and conditions that `kubectl rollout` and Helm wait for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, ReplicaSet};
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use super::plan::{limits, newest};

fn count(sets: &[Arc<ReplicaSet>], of: impl Fn(&ReplicaSet) -> Option<i32>) -> i32 {
    sets.iter().filter_map(|set| of(set)).sum()
}

fn updated(world: &World) -> i32 {
    newest(world)
        .and_then(|set| set.status.as_ref())
        .map_or(0, |status| status.replicas)
}

fn condition<'a>(world: &'a World, ty: &str) -> Option<&'a DeploymentCondition> {
    world
        .deployment
        .status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == ty)
}

/// All pods run the present template and are available.
pub(super) fn is_complete(world: &World) -> bool {
    let Some(spec) = &world.deployment.spec else {
        return true;
    };
    let desired = spec.replicas.unwrap_or(1);
    let replicas = count(&world.replica_sets, |s| {
        s.status.as_ref().map(|s| s.replicas)
    });
    let available = count(&world.replica_sets, |s| {
        s.status.as_ref().and_then(|s| s.available_replicas)
    });
    newest(world).is_some()
        && updated(world) == desired
        && replicas == desired
        && available >= desired
}

/// When the rollout last moved.
pub(super) fn progress_since(world: &World) -> Option<Timestamp> {
    condition(world, "Progressing")?
        .last_update_time
        .as_ref()
        .map(|t| t.0)
}

pub(super) fn status(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    now: Timestamp,
) -> Value {
    let sets = &world.replica_sets;
    let replicas = count(sets, |s| s.status.as_ref().map(|s| s.replicas));
    let ready = count(sets, |s| s.status.as_ref().and_then(|s| s.ready_replicas));
    let available = count(sets, |s| {
        s.status.as_ref().and_then(|s| s.available_replicas)
    });
    let desired = world
        .deployment
        .spec
        .as_ref()
        .and_then(|s| s.replicas)
        .unwrap_or(1);
    let mut status = json!({
        "observedGeneration": world.deployment.metadata.generation,
        "replicas": replicas,
        "updatedReplicas": updated(world),
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": (desired.max(replicas) - available).max(0),
    });
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, value| *value != json!(0));
    }
    if let Some(collisions) = world
        .deployment
        .status
        .as_ref()
        .and_then(|s| s.collision_count)
    {
        status["collisionCount"] = json!(collisions);
    }
    let mut conditions = vec![available_condition(world, available)];
    conditions.extend(progress_condition(world, plan, now));
    if let Some(failure) = &outcome.failure {
        conditions.push(json!({
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure.message,
        }));
    } else if let Some(failed) = sets.iter().find_map(|set| replica_failure(set)) {
        conditions.push(failed);
    }
    status["conditions"] = conditions.into();
    status
}

fn replica_failure(set: &ReplicaSet) -> Option<Value> {
    let failure = set
        .status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == "ReplicaFailure")?;
    Some(
        json!({"type": "ReplicaFailure", "status": failure.status, "reason": failure.reason, "message": failure.message}),
    )
}

fn available_condition(world: &World, available: i32) -> Value {
    let least = world.deployment.spec.as_ref().map_or(0, |spec| {
        let limits = limits(spec);
        limits.desired - limits.max_unavailable
    });
    if available >= least {
        json!({"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability."})
    } else {
        json!({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
            "message": "Deployment does not have minimum availability."})
    }
}

fn progress_condition(world: &World, plan: &Plan<Infallible>, now: Timestamp) -> Option<Value> {
    let name = world
        .deployment
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let spec = world.deployment.spec.as_ref()?;
    let limit = spec.progress_deadline_seconds?;
    let progressing = |status: &str, reason: &str, message: String| {
        let old = condition(world, "Progressing");
        let has_moved =
            !plan.changes.is_empty() || old.is_none_or(|c| c.reason.as_deref() != Some(reason));
        let at = match old.and_then(|c| c.last_update_time.as_ref()) {
            Some(then) if !has_moved => then.0,
            _ => now,
        };
        Some(
            json!({"type": "Progressing", "status": status, "reason": reason, "message": message,
            "lastUpdateTime": runtime::rfc3339(at)}),
        )
    };
    if spec.paused == Some(true) {
        return progressing("Unknown", "DeploymentPaused", "Deployment is paused".into());
    }
    let set = newest(world).and_then(|set| set.metadata.name.clone());
    if is_complete(world) {
        let set = set.unwrap_or_default();
        return progressing(
            "True",
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{set}\" has successfully progressed."),
        );
    }
    let waited = progress_since(world).map_or(Duration::ZERO, |since| {
        Duration::try_from(now.duration_since(since)).unwrap_or_default()
    });
    let has_moved = has_moved(world) || !plan.changes.is_empty();
    if !has_moved && waited >= Duration::from_secs(u64::try_from(limit).unwrap_or(0)) {
        let what = set.map_or_else(
            || format!("Deployment \"{name}\""),
            |set| format!("ReplicaSet \"{set}\""),
        );
        return progressing(
            "False",
            "ProgressDeadlineExceeded",
            format!("{what} has timed out progressing."),
        );
    }
    match set {
        None => progressing(
            "True",
            "NewReplicaSetCreated",
            format!("Created new replica set for \"{name}\""),
        ),
        Some(set) => {
            let message = format!("ReplicaSet \"{set}\" is progressing.");
            if has_moved {
                // Every step restarts the deadline.
                return Some(
                    json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
                    "message": message, "lastUpdateTime": runtime::rfc3339(now)}),
                );
            }
            progressing("True", "ReplicaSetUpdated", message)
        }
    }
}

/// The numbers are nearer to the end than those last shown.
fn has_moved(world: &World) -> bool {
    let Some(shown) = &world.deployment.status else {
        return true;
    };
    let sets = &world.replica_sets;
    let ready = count(sets, |s| s.status.as_ref().and_then(|s| s.ready_replicas));
    let available = count(sets, |s| {
        s.status.as_ref().and_then(|s| s.available_replicas)
    });
    let old = count(sets, |s| s.status.as_ref().map(|s| s.replicas)) - updated(world);
    let shown_old = shown.replicas.unwrap_or(0) - shown.updated_replicas.unwrap_or(0);
    updated(world) > shown.updated_replicas.unwrap_or(0)
        || old < shown_old
        || ready > shown.ready_replicas.unwrap_or(0)
        || available > shown.available_replicas.unwrap_or(0)
}
