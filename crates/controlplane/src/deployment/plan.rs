//! Which ReplicaSets to create, scale, number and delete.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Map, Value, json};

use super::revision::{self, DESIRED, HASH_LABEL, HISTORY, MAX, NOT_INHERITED, REVISION};
use super::rolling::{self, Limits, Set};
use super::{World, controller_uid, status};

/// Old ReplicaSets that are kept for rollbacks when the spec does not say.
const HISTORY_LENGTH: i32 = 10;

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let Some(spec) = &world.deployment.spec else {
        return plan;
    };
    if world.deployment.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let orphans = world
        .replica_sets
        .iter()
        .filter(|set| controller_uid(set).is_none());
    plan.changes.extend(orphans.map(|set| adopt(world, set)));
    plan.changes
        .extend(world.strays.iter().map(|set| release(world, set)));
    let limits = limits(spec);
    let new = newest(world);
    let is_paused = spec.paused == Some(true);
    if world.is_taken {
        // The status counts the collision; the next pass has another name.
        plan.again_in = Some(Duration::from_millis(1));
        return plan;
    }
    if let Some(new) = new {
        keep_up(world, new, &mut plan);
    }
    if is_paused || is_resized(world, limits.desired) {
        scale_in_place(world, limits, &mut plan);
    } else if is_recreate(world) {
        recreate(world, limits, new, &mut plan);
    } else {
        roll(world, limits, new, &mut plan);
    }
    show_revision(world, new, &mut plan);
    if is_paused || status::is_complete(world) {
        forget_old(world, spec, &mut plan);
    }
    // A second more, so that the deadline has passed for sure.
    plan.again_in = status::deadline(world, now)
        .filter(|left| !left.is_zero())
        .map(|left| left + Duration::from_secs(1));
    plan
}

/// How far the number of pods may stray from the desired one.
pub(super) fn limits(spec: &DeploymentSpec) -> Limits {
    let desired = spec.replicas.unwrap_or(1);
    let strategy = spec.strategy.as_ref();
    if strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate") {
        return Limits {
            desired,
            max_surge: 0,
            max_unavailable: 0,
        };
    }
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    let (surge, unavailable) = (
        rolling.and_then(|r| r.max_surge.as_ref()),
        rolling.and_then(|r| r.max_unavailable.as_ref()),
    );
    Limits::new(desired, surge, unavailable)
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

/// `spec.replicas`.
pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// The Deployment was scaled since its ReplicaSets were: scale first, roll on afterwards.
pub(super) fn is_resized(world: &World, desired: i32) -> bool {
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
    let olds = old(world).into_iter().map(|set| as_set(set));
    let running: Vec<Set> = olds.filter(|set| set.wanted > 0).collect();
    for set in &running {
        scale(world, limits, set, 0, plan);
    }
    // Only when the last old pod is gone.
    if !running.is_empty() || world.old_pods > 0 {
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
    let target = reference(world, &set.name);
    if before == replicas {
        return plan.changes.push(merge(target, patch));
    }
    patch["spec"] = json!({"replicas": replicas});
    let direction = if replicas > before { "up" } else { "down" };
    let message = format!(
        "Scaled {direction} replica set {} from {before} to {replicas}",
        set.name
    );
    plan.change(merge(target, patch), "ScalingReplicaSet", message);
}

fn merge(target: ObjectRef, patch: Value) -> Change<Infallible> {
    Change::Patch {
        target,
        subresource: "",
        patch,
    }
}

fn create(world: &World, limits: Limits, replicas: i32, plan: &mut Plan<Infallible>) {
    let set = new_replica_set(world, limits, replicas);
    let name = set.metadata.name.clone().unwrap_or_default();
    let change = Change::Create(Box::new(set));
    if replicas == 0 {
        return plan.changes.push(change);
    }
    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
    plan.change(change, "ScalingReplicaSet", message);
}

/// The name of the ReplicaSet for the present template.
pub(super) fn name_of_new(deployment: &Deployment) -> String {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    format!("{name}-{}", revision::hash(deployment))
}

fn new_replica_set(world: &World, limits: Limits, replicas: i32) -> DynamicObject {
    let deployment = &world.deployment;
    let hash = revision::hash(deployment);
    let name = name_of_new(deployment);
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

/// Keeps the newest ReplicaSet like its Deployment: what is inherited, and the highest revision of all.
fn keep_up(world: &World, set: &Arc<ReplicaSet>, plan: &mut Plan<Infallible>) {
    let known = set.metadata.annotations.clone().unwrap_or_default();
    let mut annotations = inherited(&world.deployment);
    let (present, next) = (revision::number(set), next_number(world));
    if present < next {
        annotations.insert(REVISION.into(), next.to_string().into());
        if present > 0 {
            let history = known.get(HISTORY).map(String::as_str).unwrap_or_default();
            annotations.insert(HISTORY.into(), revision::remember(history, present).into());
        }
    }
    annotations.retain(|key, value| known.get(key).map(String::as_str) != value.as_str());
    let mut patch = json!({});
    if !annotations.is_empty() {
        patch["metadata"] = json!({"annotations": annotations});
    }
    let min_ready = |seconds: Option<i32>| seconds.unwrap_or(0);
    let spec = world.deployment.spec.as_ref();
    let wanted = min_ready(spec.and_then(|s| s.min_ready_seconds));
    if wanted != min_ready(set.spec.as_ref().and_then(|s| s.min_ready_seconds)) {
        patch["spec"] = json!({"minReadySeconds": wanted});
    }
    if patch != json!({}) {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        plan.changes.push(merge(reference(world, name), patch));
    }
}

/// Shows the revision of the newest ReplicaSet on the Deployment.
fn show_revision(world: &World, new: Option<&Arc<ReplicaSet>>, plan: &mut Plan<Infallible>) {
    let will_be = plan.changes.iter().any(|c| matches!(c, Change::Create(_)));
    if new.is_none() && !will_be {
        return;
    }
    let shown = new
        .map_or(0, |set| revision::number(set))
        .max(next_number(world));
    let meta = &world.deployment.metadata;
    let annotations = meta.annotations.as_ref();
    if annotations.and_then(|a| a.get(REVISION)) == Some(&shown.to_string()) {
        return;
    }
    let name = meta.name.as_deref().unwrap_or_default();
    let target = ObjectRef {
        kind: "Deployment".into(),
        ..reference(world, name)
    };
    let patch = json!({"metadata": {"annotations": {REVISION: shown.to_string()}}});
    plan.changes.push(merge(target, patch));
}

/// Deletes the oldest ReplicaSets that are more than the history keeps, if they are empty.
fn forget_old(world: &World, spec: &DeploymentSpec, plan: &mut Plan<Infallible>) {
    let keep = usize::try_from(spec.revision_history_limit.unwrap_or(HISTORY_LENGTH)).unwrap_or(0);
    let mut old: Vec<_> = old(world)
        .into_iter()
        .filter(|set| set.metadata.deletion_timestamp.is_none())
        .collect();
    old.sort_by_key(|set| revision::number(set));
    let surplus = old.len().saturating_sub(keep);
    for set in &old[..surplus] {
        let status = set.status.as_ref();
        let is_seen = status.and_then(|s| s.observed_generation) >= set.metadata.generation;
        if status.is_some_and(|s| s.replicas == 0) && wanted(set) == 0 && is_seen {
            plan.changes.push(Change::Delete {
                target: reference(world, set.metadata.name.as_deref().unwrap_or_default()),
                uid: set.metadata.uid.clone(),
            });
        }
    }
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
    own(world, set, owners)
}

fn release(world: &World, set: &ReplicaSet) -> Change<Infallible> {
    let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
    owners.retain(|owner| Some(&owner.uid) != world.deployment.metadata.uid.as_ref());
    own(world, set, json!(owners))
}

fn own(world: &World, set: &ReplicaSet, owners: Value) -> Change<Infallible> {
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {"ownerReferences": owners, "uid": set.metadata.uid}});
    merge(reference(world, name), patch)
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
