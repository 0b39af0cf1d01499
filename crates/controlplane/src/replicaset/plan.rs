//! Which pods to create, adopt, release and delete.

use std::cmp::Reverse;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Value, json};

use super::World;
use crate::pod;

/// Pods created or deleted in one pass at most; the next pass goes on.
const MAX_CHANGES: usize = 500;
/// Pods with a higher value are deleted later.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Whose pod it is, seen from one ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Ours, and it matches.
    Own,
    /// Ours by reference, but it no longer matches.
    Released,
    /// Matches and has no controller.
    Orphan,
    /// Somebody else's.
    Foreign,
}

/// Whose pod it is.
pub(super) fn claim(world: &World, pod: &Pod) -> Claim {
    let uid = world.replica_set.metadata.uid.as_deref();
    let matches = world
        .replica_set
        .spec
        .as_ref()
        .is_some_and(|spec| pod::matches(&spec.selector, pod));
    match pod::controller(pod) {
        Some(owner) if Some(owner.uid.as_str()) == uid => {
            if matches {
                Claim::Own
            } else {
                Claim::Released
            }
        }
        None if matches => Claim::Orphan,
        _ => Claim::Foreign,
    }
}

/// The pods that count: claimed or about to be, alive.
pub(super) fn active(world: &World) -> Vec<&Arc<Pod>> {
    let is_counted = |pod: &&Arc<Pod>| {
        pod::is_active(pod) && matches!(claim(world, pod), Claim::Own | Claim::Orphan)
    };
    world.pods.iter().filter(is_counted).collect()
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.replica_set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let Some(spec) = &world.replica_set.spec else {
        return plan;
    };
    for pod in &world.pods {
        match claim(world, pod) {
            Claim::Orphan if pod::is_active(pod) => plan.changes.push(adopt(world, pod)),
            Claim::Released => plan.changes.push(release(world, pod)),
            _ => {}
        }
    }
    let active = active(world);
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(MAX_CHANGES);
        plan.changes
            .extend((0..missing).map(|_| Change::Create(Box::new(new_pod(world)))));
        let name = world
            .replica_set
            .metadata
            .name
            .as_deref()
            .unwrap_or_default();
        plan.note(
            "SuccessfulCreate",
            format!("Created {missing} pod(s) of {name}"),
        );
    } else if active.len() > wanted {
        let mut ranked = active;
        ranked.sort_by_key(|pod| rank(pod, now));
        let surplus = (ranked.len() - wanted).min(MAX_CHANGES);
        for pod in &ranked[..surplus] {
            plan.changes.push(delete(pod));
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            plan.note("SuccessfulDelete", format!("Deleted pod: {name}"));
        }
    }
    plan.again_in = next_availability(world, now);
    plan
}

/// The order in which surplus pods go: first those whose loss hurts least.
fn rank(pod: &Pod, now: Timestamp) -> (bool, u8, bool, i64, Reverse<i32>, Reverse<Timestamp>) {
    let status = pod.status.as_ref();
    let is_bound = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_ref())
        .is_some();
    let phase = match status.and_then(|s| s.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let annotations = pod.metadata.annotations.as_ref();
    let cost = annotations
        .and_then(|a| a.get(DELETION_COST))
        .and_then(|c| c.parse().ok())
        .unwrap_or(0);
    let restarts = status
        .and_then(|s| s.container_statuses.as_ref())
        .map_or(0, |all| all.iter().map(|c| c.restart_count).sum());
    let created = pod
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |t| t.0);
    (
        is_bound,
        phase,
        pod::is_ready(pod),
        cost,
        Reverse(restarts),
        Reverse(created),
    )
}

/// When the next ready pod becomes available.
fn next_availability(world: &World, now: Timestamp) -> Option<Duration> {
    let min_ready = world
        .replica_set
        .spec
        .as_ref()?
        .min_ready_seconds
        .unwrap_or(0);
    active(world)
        .iter()
        .filter_map(|pod| pod::available_in(pod, min_ready, now))
        .filter(|left| !left.is_zero())
        .min()
}

fn owner_reference(world: &World) -> Value {
    let meta = &world.replica_set.metadata;
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

fn new_pod(world: &World) -> kube::core::DynamicObject {
    let meta = &world.replica_set.metadata;
    let template = world
        .replica_set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.as_ref());
    let name = meta.name.as_deref().unwrap_or_default();
    pod::from_template(
        template,
        name,
        meta.namespace.as_deref().unwrap_or_default(),
        &owner_reference(world),
    )
}

fn adopt(world: &World, pod: &Pod) -> Change<Infallible> {
    let mut owners = json!(pod.metadata.owner_references.clone().unwrap_or_default());
    if let Some(owners) = owners.as_array_mut() {
        owners.push(owner_reference(world));
    }
    let patch = json!({"metadata": {"ownerReferences": owners, "uid": pod.metadata.uid}});
    Change::Patch {
        target: reference(pod),
        subresource: "",
        patch,
    }
}

fn release(world: &World, pod: &Pod) -> Change<Infallible> {
    let uid = world
        .replica_set
        .metadata
        .uid
        .as_deref()
        .unwrap_or_default();
    let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
    owners.retain(|owner| owner.uid != uid);
    let patch = json!({"metadata": {"ownerReferences": owners, "uid": pod.metadata.uid}});
    Change::Patch {
        target: reference(pod),
        subresource: "",
        patch,
    }
}

fn delete(pod: &Pod) -> Change<Infallible> {
    Change::Delete {
        target: reference(pod),
        uid: pod.metadata.uid.clone(),
    }
}

fn reference(pod: &Pod) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "Pod".into(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
    }
}
