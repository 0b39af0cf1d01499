//! Which ReplicaSets to create, scale, number and delete.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Map, Value, json};

use super::revision::{self, DESIRED, HASH_LABEL, MAX, NOT_INHERITED, REVISION};
use super::rolling::{self, Limits, Set};
use super::{World, controller_uid};

/// Old ReplicaSets that are kept for rollbacks when the spec does not say.
const HISTORY: i32 = 10;

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let Some(spec) = &world.deployment.spec else {
        return plan;
    };
    if world.deployment.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    for set in world
        .replica_sets
        .iter()
        .filter(|set| controller_uid(set).is_none())
    {
        plan.changes.push(adopt(world, set));
    }
    let limits = limits(spec);
    let new = newest(world);
    let is_paused = spec.paused == Some(true);
    if is_paused || is_resized(world, limits.desired) {
        scale_in_place(world, limits, &mut plan);
    } else if is_recreate(world) {
        recreate(world, limits, new, &mut plan);
    } else {
        roll(world, limits, new, &mut plan);
    }
    number(world, new, &mut plan);
    if !is_paused {
        forget_old(world, spec, &mut plan);
    }
    plan.again_in = deadline(world, now);
    plan
}

/// How far the number of pods may stray from the desired one.
pub(super) fn limits(spec: &DeploymentSpec) -> Limits {
    let rolling = spec
        .strategy
        .as_ref()
        .and_then(|s| s.rolling_update.as_ref());
    let (surge, unavailable) = (
        rolling.and_then(|r| r.max_surge.as_ref()),
        rolling.and_then(|r| r.max_unavailable.as_ref()),
    );
    Limits::new(spec.replicas.unwrap_or(1), surge, unavailable)
}

pub(super) fn is_recreate(world: &World) -> bool {
    let strategy = world
        .deployment
        .spec
        .as_ref()
        .and_then(|s| s.strategy.as_ref());
    strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate")
}

/// The ReplicaSet of the present template, the oldest if there are several.
pub(super) fn newest(world: &World) -> Option<&Arc<ReplicaSet>> {
    let mut current: Vec<_> = world
        .replica_sets
        .iter()
        .filter(|set| revision::is_current(&world.deployment, set))
        .collect();
    current.sort_by_key(|set| {
        (
            set.metadata.creation_timestamp.clone().map(|t| t.0),
            set.metadata.name.clone(),
        )
    });
    current.first().copied()
}

/// All others.
pub(super) fn old(world: &World) -> Vec<&Arc<ReplicaSet>> {
    let new = newest(world).and_then(|set| set.metadata.name.as_ref());
    world
        .replica_sets
        .iter()
        .filter(|set| set.metadata.name.as_ref() != new)
        .collect()
}

fn as_set(set: &ReplicaSet) -> Set {
    Set {
        name: set.metadata.name.clone().unwrap_or_default(),
        wanted: wanted(set),
        available: set
            .status
            .as_ref()
            .and_then(|s| s.available_replicas)
            .unwrap_or(0),
        created: set
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |t| t.0.as_second()),
        max_then: revision::annotated(set, MAX),
    }
}

fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// The Deployment was scaled since its ReplicaSets were: scale first, roll on afterwards.
fn is_resized(world: &World, desired: i32) -> bool {
    let active = world.replica_sets.iter().filter(|set| wanted(set) > 0);
    active
        .filter_map(|set| revision::annotated(set, DESIRED))
        .any(|then| then != desired)
}

fn roll(world: &World, limits: Limits, new: Option<&Arc<ReplicaSet>>, plan: &mut Plan<Infallible>) {
    let olds: Vec<Set> = old(world).into_iter().map(|set| as_set(set)).collect();
    let Some(new) = new else {
        let replicas = rolling::new_replicas(limits, &Set::default(), &olds);
        return create(world, limits, replicas, plan);
    };
    let mut present = as_set(new);
    let replicas = rolling::new_replicas(limits, &present, &olds);
    scale(world, limits, &present, replicas, plan);
    present.wanted = replicas;
    for (name, replicas) in rolling::old_replicas(limits, &present, &olds) {
        if let Some(set) = olds.iter().find(|set| set.name == name) {
            scale(world, limits, set, replicas, plan);
        }
    }
}

fn recreate(
    world: &World,
    limits: Limits,
    new: Option<&Arc<ReplicaSet>>,
    plan: &mut Plan<Infallible>,
) {
    for set in old(world)
        .into_iter()
        .map(|set| as_set(set))
        .filter(|set| set.wanted > 0)
    {
        scale(world, limits, &set, 0, plan);
    }
    if world.old_pods > 0 {
        return;
    }
    match new {
        None => create(world, limits, limits.desired, plan),
        Some(new) => scale(world, limits, &as_set(new), limits.desired, plan),
    }
}

/// Scales without rolling: one active ReplicaSet takes it all, several share.
fn scale_in_place(world: &World, limits: Limits, plan: &mut Plan<Infallible>) {
    let active: Vec<Set> = world
        .replica_sets
        .iter()
        .map(|set| as_set(set))
        .filter(|set| set.wanted > 0)
        .collect();
    let only = match active.as_slice() {
        [] => newest(world)
            .or_else(|| {
                world
                    .replica_sets
                    .iter()
                    .max_by_key(|s| revision::number(s))
            })
            .map(|s| as_set(s)),
        [only] => Some(only.clone()),
        _ => None,
    };
    if let Some(only) = only {
        return scale(world, limits, &only, limits.desired, plan);
    }
    let new = newest(world).map(|set| as_set(set));
    if new
        .as_ref()
        .is_some_and(|n| n.wanted == limits.desired && n.available >= limits.desired)
    {
        for set in active
            .iter()
            .filter(|set| Some(&set.name) != new.as_ref().map(|n| &n.name))
        {
            scale(world, limits, set, 0, plan);
        }
        return;
    }
    for (name, replicas) in rolling::proportional(limits, &active) {
        if let Some(set) = active.iter().find(|set| set.name == name) {
            scale(world, limits, set, replicas, plan);
        }
    }
}

fn scale(world: &World, limits: Limits, set: &Set, replicas: i32, plan: &mut Plan<Infallible>) {
    let stored = world
        .replica_sets
        .iter()
        .find(|s| s.metadata.name.as_deref() == Some(set.name.as_str()));
    let is_annotated = stored.is_some_and(|s| {
        revision::annotated(s, DESIRED) == Some(limits.desired)
            && revision::annotated(s, MAX) == Some(limits.max_pods())
    });
    let before = stored.map_or(set.wanted, |s| wanted(s));
    if before == replicas && is_annotated {
        return;
    }
    let mut patch = json!({"metadata": {"annotations": {
        DESIRED: limits.desired.to_string(), MAX: limits.max_pods().to_string(),
    }}});
    if before != replicas {
        patch["spec"] = json!({"replicas": replicas});
        let direction = if replicas > before { "up" } else { "down" };
        let message = format!(
            "Scaled {direction} replica set {} from {before} to {replicas}",
            set.name
        );
        plan.note("ScalingReplicaSet", message);
    }
    plan.changes.push(Change::Patch {
        target: reference(world, &set.name),
        subresource: "",
        patch,
    });
}

fn create(world: &World, limits: Limits, replicas: i32, plan: &mut Plan<Infallible>) {
    let set = new_replica_set(world, limits, replicas);
    let name = set.metadata.name.clone().unwrap_or_default();
    plan.note(
        "ScalingReplicaSet",
        format!("Scaled up replica set {name} from 0 to {replicas}"),
    );
    plan.changes.push(Change::Create(Box::new(set)));
}

fn new_replica_set(world: &World, limits: Limits, replicas: i32) -> DynamicObject {
    let deployment = &world.deployment;
    let hash = revision::hash(deployment);
    let name = format!(
        "{}-{hash}",
        deployment.metadata.name.as_deref().unwrap_or_default()
    );
    let mut spec = deployment
        .spec
        .as_ref()
        .map(|s| json!({"selector": s.selector, "template": s.template}))
        .unwrap_or_default();
    spec["replicas"] = json!(replicas);
    spec["selector"]["matchLabels"][HASH_LABEL] = hash.clone().into();
    spec["template"]["metadata"]["labels"][HASH_LABEL] = hash.into();
    if let Some(seconds) = deployment
        .spec
        .as_ref()
        .and_then(|s| s.min_ready_seconds)
        .filter(|s| *s != 0)
    {
        spec["minReadySeconds"] = json!(seconds);
    }
    let resource = ApiResource::erase::<ReplicaSet>(&());
    let mut set = DynamicObject::new(&name, &resource)
        .within(deployment.metadata.namespace.as_deref().unwrap_or_default());
    set.metadata.labels =
        serde_json::from_value(spec["template"]["metadata"]["labels"].clone()).ok();
    let mut annotations: Map<String, Value> = inherited(deployment);
    annotations.insert(REVISION.into(), next_number(world).to_string().into());
    annotations.insert(DESIRED.into(), limits.desired.to_string().into());
    annotations.insert(MAX.into(), limits.max_pods().to_string().into());
    set.metadata.annotations = serde_json::from_value(annotations.into()).ok();
    set.metadata.owner_references =
        serde_json::from_value(json!([owner_reference(deployment)])).ok();
    set.data = json!({"spec": spec});
    set
}

fn inherited(deployment: &Deployment) -> Map<String, Value> {
    let annotations = deployment.metadata.annotations.iter().flatten();
    annotations
        .filter(|(key, _)| !NOT_INHERITED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect()
}

fn next_number(world: &World) -> i64 {
    old(world)
        .into_iter()
        .map(|set| revision::number(set))
        .max()
        .unwrap_or(0)
        + 1
}

/// Keeps the revision of the newest ReplicaSet above all others, and shows it on the Deployment.
fn number(world: &World, new: Option<&Arc<ReplicaSet>>, plan: &mut Plan<Infallible>) {
    let next = next_number(world);
    let mut shown = next;
    if let Some(set) = new {
        let present = revision::number(set);
        if present < next {
            let patch = json!({"metadata": {"annotations": {REVISION: next.to_string()}}});
            let name = set.metadata.name.as_deref().unwrap_or_default();
            plan.changes.push(Change::Patch {
                target: reference(world, name),
                subresource: "",
                patch,
            });
        } else {
            shown = present;
        }
    } else if world.deployment.spec.as_ref().and_then(|s| s.paused) == Some(true) {
        return;
    }
    let annotations = world.deployment.metadata.annotations.as_ref();
    if annotations.and_then(|a| a.get(REVISION)) != Some(&shown.to_string()) {
        let target = ObjectRef {
            kind: "Deployment".into(),
            ..reference(
                world,
                world
                    .deployment
                    .metadata
                    .name
                    .as_deref()
                    .unwrap_or_default(),
            )
        };
        let patch = json!({"metadata": {"annotations": {REVISION: shown.to_string()}}});
        plan.changes.push(Change::Patch {
            target,
            subresource: "",
            patch,
        });
    }
}

/// Deletes the oldest of the empty ReplicaSets that are more than the history keeps.
fn forget_old(world: &World, spec: &DeploymentSpec, plan: &mut Plan<Infallible>) {
    let keep = usize::try_from(spec.revision_history_limit.unwrap_or(HISTORY)).unwrap_or(0);
    let mut empty: Vec<_> = old(world)
        .into_iter()
        .filter(|set| {
            let replicas = set.status.as_ref().map_or(0, |s| s.replicas);
            replicas == 0 && wanted(set) == 0 && set.metadata.deletion_timestamp.is_none()
        })
        .collect();
    empty.sort_by_key(|set| revision::number(set));
    for set in empty.iter().take(empty.len().saturating_sub(keep)) {
        let target = reference(world, set.metadata.name.as_deref().unwrap_or_default());
        plan.changes.push(Change::Delete {
            target,
            uid: set.metadata.uid.clone(),
        });
    }
}

/// When progress is overdue, unless the update is done.
fn deadline(world: &World, now: Timestamp) -> Option<Duration> {
    let limit = world.deployment.spec.as_ref()?.progress_deadline_seconds?;
    if super::status::is_complete(world) {
        return None;
    }
    let since = super::status::progress_since(world)?;
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let left = Duration::from_secs(u64::try_from(limit).ok()?).saturating_sub(passed);
    (!left.is_zero()).then_some(left + Duration::from_secs(1))
}

fn owner_reference(deployment: &Deployment) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.metadata.name, "uid": deployment.metadata.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

fn adopt(world: &World, set: &ReplicaSet) -> Change<Infallible> {
    let mut owners = json!(set.metadata.owner_references.clone().unwrap_or_default());
    if let Some(owners) = owners.as_array_mut() {
        owners.push(owner_reference(&world.deployment));
    }
    let patch = json!({"metadata": {"ownerReferences": owners, "uid": set.metadata.uid}});
    Change::Patch {
        target: reference(world, set.metadata.name.as_deref().unwrap_or_default()),
        subresource: "",
        patch,
    }
}

fn reference(world: &World, name: &str) -> ObjectRef {
    ObjectRef {
        group: "apps".into(),
        version: "v1".into(),
        kind: "ReplicaSet".into(),
        namespace: world
            .deployment
            .metadata
            .namespace
            .clone()
            .unwrap_or_default(),
        name: name.to_owned(),
    }
}
