//! How many pods a budget has, needs, and may lose.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use runtime::{Change, ObjectRef, Plan, rfc3339};
use serde_json::{Map, Value, json};

use super::World;
use crate::pod;

/// How long an evicted pod may take until it is seen to go; after that it was not evicted.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// The pods that count: those that are not over.
fn pods(world: &World) -> impl Iterator<Item = &Arc<Pod>> {
    world.pods.iter().filter(|pod| !pod::is_over(pod))
}

/// When evicted pods that are not seen to go yet were evicted, and the entries that tell nothing any more.
fn disrupted(world: &World, now: Timestamp) -> (BTreeMap<String, Timestamp>, Vec<String>) {
    let status = world.budget.status.as_ref();
    let entries = status.and_then(|s| s.disrupted_pods.as_ref());
    let (mut kept, mut stale) = (BTreeMap::new(), vec![]);
    for (name, at) in entries.into_iter().flatten() {
        let is_there = pods(world).any(|pod| {
            pod.metadata.name.as_ref() == Some(name) && pod.metadata.deletion_timestamp.is_none()
        });
        if is_there && now.duration_since(at.0) < PATIENCE {
            kept.insert(name.clone(), at.0);
        } else {
            stale.push(name.clone());
        }
    }
    (kept, stale)
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let (kept, stale) = disrupted(world, now);
    if !stale.is_empty() {
        let meta = &world.budget.metadata;
        let gone: Map<String, Value> = stale.into_iter().map(|name| (name, Value::Null)).collect();
        // The door of evictions wrote these, so only a patch can take them away.
        plan.changes.push(Change::Patch {
            target: ObjectRef {
                group: "policy".into(),
                version: "v1".into(),
                kind: "PodDisruptionBudget".into(),
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            subresource: "status",
            patch: json!({"metadata": {"uid": meta.uid}, "status": {"disruptedPods": gone}}),
        });
    }
    for at in kept.values() {
        if let Ok(end) = at.checked_add(PATIENCE) {
            plan.again_at(end, now);
        }
    }
    plan
}

pub(super) fn status(world: &World, now: Timestamp) -> Value {
    let (kept, _) = disrupted(world, now);
    let count = pods(world).count();
    let healthy = pods(world)
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && pod::is_ready(pod))
        .filter(|pod| !kept.contains_key(pod.metadata.name.as_deref().unwrap_or_default()))
        .count();
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    let (expected, desired) = needs(world, count);
    let allowed = if expected > 0 {
        healthy.saturating_sub(desired).max(0)
    } else {
        0
    };
    let generation = world.budget.metadata.generation;
    let (state, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let mut status = json!({
        "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected, "disruptionsAllowed": allowed,
        "observedGeneration": generation,
        "conditions": [{
            "type": "DisruptionAllowed", "status": state, "reason": reason, "message": "", "observedGeneration": generation,
        }],
    });
    if !kept.is_empty() {
        let kept: Map<String, Value> = kept
            .into_iter()
            .map(|(name, at)| (name, rfc3339(at).into()))
            .collect();
        status["disruptedPods"] = kept.into();
    }
    status
}

/// How many pods there should be, and how many of them must be healthy.
fn needs(world: &World, count: i32) -> (i32, i32) {
    let spec = world.budget.spec.as_ref();
    let wanted = world
        .replicas
        .values()
        .fold(0_i32, |sum, n| sum.saturating_add(*n));
    if let Some(lost) = spec.and_then(|s| s.max_unavailable.as_ref()) {
        let lost = amount(lost, wanted);
        return (wanted, wanted.saturating_sub(lost).max(0));
    }
    match spec.and_then(|s| s.min_available.as_ref()) {
        Some(IntOrString::Int(number)) => (count, *number),
        Some(share) => (wanted, amount(share, wanted)),
        None => (count, 0),
    }
}

/// A number, or a share of `whole`, rounded up.
fn amount(value: &IntOrString, whole: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text
                .strip_suffix('%')
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0);
            let share = (i64::from(whole).saturating_mul(percent) + 99) / 100;
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}
