//! What a Deployment shows of its rollout: the numbers and conditions that `kubectl rollout` and Helm wait for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, ReplicaSet, ReplicaSetStatus};
use runtime::{Change, ObjectRef, Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use super::plan::{is_resized, limits, newest, wanted};

/// The rollout is over.
const COMPLETE: &str = "NewReplicaSetAvailable";
/// The rollout moves.
const UPDATED: &str = "ReplicaSetUpdated";
/// The rollout did not move for longer than the Deployment allows.
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// What the ReplicaSets add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    replicas: i32,
    updated: i32,
    ready: i32,
    available: i32,
}

impl Numbers {
    /// As the ReplicaSets say now.
    fn now(world: &World) -> Self {
        let of_new = newest(world).and_then(|set| set.status.as_ref());
        Self {
            replicas: count(world, |s| Some(s.replicas)),
            updated: of_new.map_or(0, |status| status.replicas),
            ready: count(world, |s| s.ready_replicas),
            available: count(world, |s| s.available_replicas),
        }
    }

    /// As the Deployment showed them last.
    fn shown(world: &World) -> Self {
        let status = world.deployment.status.clone().unwrap_or_default();
        Self {
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
        }
    }

    /// Nearer to the end than `before`.
    fn has_moved(self, before: Self) -> bool {
        self.updated > before.updated
            || self.replicas - self.updated < before.replicas - before.updated
            || self.ready > before.ready
            || self.available > before.available
    }
}

fn count(world: &World, of: impl Fn(&ReplicaSetStatus) -> Option<i32>) -> i32 {
    let statuses = world.replica_sets.iter().filter_map(|s| s.status.as_ref());
    statuses.filter_map(of).sum()
}

fn condition<'a>(world: &'a World, ty: &str) -> Option<&'a DeploymentCondition> {
    let conditions = world.deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == ty)
}

/// All pods run the present template and are available.
pub(super) fn is_complete(world: &World) -> bool {
    let spec = world.deployment.spec.as_ref();
    let desired = spec.and_then(|s| s.replicas).unwrap_or(1);
    let now = Numbers::now(world);
    newest(world).is_some()
        && (now.updated, now.replicas, now.available) == (desired, desired, desired)
}

/// How long the rollout may stand still; `None` if for ever.
fn patience(world: &World) -> Option<Duration> {
    let spec = world.deployment.spec.as_ref()?;
    let seconds = spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// How long until the rollout counts as stuck: `None` if it never will, because it is over, or already is.
pub(super) fn deadline(world: &World, now: Timestamp) -> Option<Duration> {
    let patience = patience(world)?;
    let shown = condition(world, "Progressing")?;
    if matches!(shown.reason.as_deref(), Some(COMPLETE | TIMED_OUT | PAUSED)) || is_complete(world)
    {
        return None;
    }
    let since = shown.last_update_time.as_ref()?.0;
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    Some(patience.saturating_sub(waited))
}

pub(super) fn status(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    now: Timestamp,
) -> Value {
    let numbers = Numbers::now(world);
    let all: i32 = world.replica_sets.iter().map(|set| wanted(set)).sum();
    let mut status = json!({
        "observedGeneration": world.deployment.metadata.generation,
        "replicas": numbers.replicas,
        "updatedReplicas": numbers.updated,
        "readyReplicas": numbers.ready,
        "availableReplicas": numbers.available,
        "unavailableReplicas": (all - numbers.available).max(0),
    });
    // Zeros are absent, as Kubernetes writes them, but for the newest of the counts.
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, value| *value != json!(0));
    }
    status["terminatingReplicas"] = json!(count(world, |s| s.terminating_replicas));
    let known = world.deployment.status.as_ref();
    let collisions = known.and_then(|s| s.collision_count).unwrap_or(0) + i32::from(world.is_taken);
    if collisions > 0 {
        status["collisionCount"] = json!(collisions);
    }
    let mut conditions = vec![available(world, numbers, now)];
    conditions.extend(progressing(world, plan, outcome, now));
    conditions.extend(world.replica_sets.iter().find_map(replica_failure));
    status["conditions"] = conditions.into();
    status
}

/// A condition that keeps its time of update while status and reason stay.
fn kept(
    world: &World,
    ty: &str,
    (status, reason, message): (&str, &str, &str),
    now: Timestamp,
) -> Value {
    let same =
        condition(world, ty).filter(|c| c.status == status && c.reason.as_deref() == Some(reason));
    let since = same
        .and_then(|c| c.last_update_time.as_ref())
        .map_or(now, |t| t.0);
    let message = same.and_then(|c| c.message.as_deref()).unwrap_or(message);
    json!({"type": ty, "status": status, "reason": reason, "message": message,
        "lastUpdateTime": runtime::rfc3339(since)})
}

fn available(world: &World, numbers: Numbers, now: Timestamp) -> Value {
    let least = world.deployment.spec.as_ref().map_or(0, |spec| {
        let limits = limits(spec);
        limits.desired - limits.max_unavailable
    });
    let says = if numbers.available >= least {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    kept(world, "Available", says, now)
}

/// The condition that the rollout has now, if it has a deadline at all.
fn progressing(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Value> {
    patience(world)?;
    let spec = world.deployment.spec.as_ref()?;
    let old = condition(world, "Progressing");
    let reason = old.and_then(|c| c.reason.as_deref()).unwrap_or_default();
    let says = |status: &str, reason: &str, message: &str| {
        Some(kept(world, "Progressing", (status, reason, message), now))
    };
    // That it timed out is more than that it is paused.
    let is_paused = spec.paused == Some(true);
    if is_paused && reason != TIMED_OUT {
        return says("Unknown", PAUSED, "Deployment is paused");
    }
    if !is_paused && reason == PAUSED {
        return says("Unknown", RESUMED, "Deployment is resumed");
    }
    match created(plan, outcome) {
        None => {}
        Some((set, None)) => {
            let message = format!("Created new replica set \"{set}\"");
            return says("True", "NewReplicaSetCreated", &message);
        }
        Some((set, Some(why))) => {
            let message = format!("Failed to create new replica set \"{set}\": {why}");
            return says("False", "ReplicaSetCreateError", &message);
        }
    }
    let numbers = Numbers::now(world);
    // Once complete it stays so until the template changes, whatever happens to pods.
    let was_complete = numbers.replicas == numbers.updated && reason == COMPLETE;
    let is_scaled_only = is_paused || is_resized(world, limits(spec).desired);
    if let Some(old) = old
        && (was_complete || is_scaled_only)
    {
        let message = old.message.as_deref().unwrap_or_default();
        return says(&old.status, reason, message);
    }
    moving(world, now)
}

/// The condition of a rollout that is under way.
fn moving(world: &World, now: Timestamp) -> Option<Value> {
    let old = condition(world, "Progressing");
    let reason = old.and_then(|c| c.reason.as_deref()).unwrap_or_default();
    let says = |status: &str, reason: &str, message: &str| {
        Some(kept(world, "Progressing", (status, reason, message), now))
    };
    let name = world
        .deployment
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let set = newest(world).and_then(|set| set.metadata.name.as_deref());
    let what = set.map_or_else(
        || format!("Deployment \"{name}\""),
        |set| format!("ReplicaSet \"{set}\""),
    );
    if is_complete(world) {
        return says(
            "True",
            COMPLETE,
            &format!("{what} has successfully progressed."),
        );
    }
    if Numbers::now(world).has_moved(Numbers::shown(world)) {
        // Every step restarts the deadline.
        return Some(
            json!({"type": "Progressing", "status": "True", "reason": UPDATED,
            "message": format!("{what} is progressing."), "lastUpdateTime": runtime::rfc3339(now)}),
        );
    }
    if reason == TIMED_OUT || deadline(world, now).is_some_and(|left| left.is_zero()) {
        return says(
            "False",
            TIMED_OUT,
            &format!("{what} has timed out progressing."),
        );
    }
    match (old, set) {
        (Some(old), _) => says(
            &old.status,
            reason,
            old.message.as_deref().unwrap_or_default(),
        ),
        (None, Some(set)) => says(
            "True",
            "FoundNewReplicaSet",
            &format!("Found new replica set \"{set}\""),
        ),
        (None, None) => None,
    }
}

/// The ReplicaSet that this pass created or failed to, with the reason why.
fn created<'a>(plan: &Plan<Infallible>, outcome: &'a Outcome) -> Option<(String, Option<&'a str>)> {
    let at = plan
        .changes
        .iter()
        .position(|c| matches!(c, Change::Create(_)))?;
    let Change::Create(set) = &plan.changes[at] else {
        return None;
    };
    let target = ObjectRef::of(set);
    let failure = outcome.failure.as_ref().filter(|_| outcome.done == at);
    if failure.is_none() && outcome.done <= at {
        return None;
    }
    let failure = failure.map(|failure| failure.message.as_str());
    let prefix = format!("{target}: ");
    let failure = failure.map(|why| why.strip_prefix(prefix.as_str()).unwrap_or(why));
    Some((target.name, failure))
}

fn replica_failure(set: &Arc<ReplicaSet>) -> Option<Value> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure")?;
    Some(
        json!({"type": "ReplicaFailure", "status": failure.status, "reason": failure.reason, "message": failure.message}),
    )
}
