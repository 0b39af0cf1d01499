//! Which pods to create, adopt, release and delete.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::World;
use crate::pod::{self, Names};

/// Pods created or deleted in one pass at most; the next pass goes on.
const MAX_CHANGES: usize = 500;
/// A pass that creates is repeated after this.
const RETRY: Duration = Duration::from_secs(60);
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

pub(crate) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.replica_set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let Some(spec) = &world.replica_set.spec else {
        return plan;
    };
    for pod in world.pods.iter().filter(|pod| pod::is_active(pod)) {
        match claim(world, pod) {
            Claim::Orphan => plan.changes.push(adopt(world, pod)),
            Claim::Released => plan.changes.push(release(world, pod)),
            Claim::Own | Claim::Foreign => {}
        }
    }
    plan.again_in = next_availability(world, now);
    let active = active(world);
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if active.len() < wanted {
        create(
            world,
            (wanted - active.len()).min(MAX_CHANGES),
            now,
            &mut plan,
        );
    } else if active.len() > wanted {
        let surplus = (active.len() - wanted).min(MAX_CHANGES);
        for pod in &ranked(world, active, now)[..surplus] {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            plan.change(
                pod::delete(pod),
                "SuccessfulDelete",
                format!("Deleted pod: {name}"),
            );
        }
    }
    plan
}

fn create(world: &World, missing: usize, now: Timestamp, plan: &mut Plan<Infallible>) {
    let meta = &world.replica_set.metadata;
    let spec = world.replica_set.spec.as_ref();
    let template = spec.and_then(|spec| spec.template.as_ref());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let mut names = Names::new(meta, now, world.pods.iter().map(|pod| &**pod));
    for _ in 0..missing {
        let name = names.draw();
        let new = pod::from_template(template, &name, namespace, &owner_reference(world));
        let message = format!("Created pod: {}", name.name);
        plan.change(Change::Create(Box::new(new)), "SuccessfulCreate", message);
    }
    // What is refused, for a quota perhaps, is tried again: nothing else would tell that there is room.
    plan.again_in = plan.again_in.into_iter().chain([RETRY]).min();
}

/// The pods in the order in which they go if there are too many: first those whose loss hurts least.
fn ranked<'a>(world: &World, mut pods: Vec<&'a Arc<Pod>>, now: Timestamp) -> Vec<&'a Arc<Pod>> {
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut on_node: HashMap<String, usize> = HashMap::new();
    let counted = pods.iter().map(|pod| &***pod);
    for pod in counted.chain(
        world
            .related
            .iter()
            .map(|pod| &**pod)
            .filter(|pod| pod::is_active(pod)),
    ) {
        if let Some(node) = node(pod) {
            *on_node.entry(node).or_default() += 1;
        }
    }
    pods.sort_by_cached_key(|pod| {
        let doubled = node(pod)
            .and_then(|node| on_node.get(&node))
            .copied()
            .unwrap_or(0);
        rank(pod, doubled, now)
    });
    pods
}

/// The rank of one pod: not yet on a node, not yet running, not ready, cheap, doubled up on its node, ready for a short
/// time (in powers of two, so that age alone does not always hit the youngest), restarted often, young.
fn rank(pod: &Pod, doubled: usize, now: Timestamp) -> impl Ord + use<> {
    let status = pod.status.as_ref();
    let spec = pod.spec.as_ref();
    let is_bound = spec.is_some_and(|spec| spec.node_name.is_some());
    let phase = match status.and_then(|s| s.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let annotations = pod.metadata.annotations.as_ref();
    let cost: i32 = annotations
        .and_then(|a| a.get(DELETION_COST))
        .and_then(|c| c.parse().ok())
        .unwrap_or(0);
    let restarts: i32 = status
        .and_then(|s| s.container_statuses.as_ref())
        .map_or(0, |all| all.iter().map(|c| c.restart_count).sum());
    let ready_for = pod::ready_since(pod).map(|since| {
        let nanos = now.duration_since(since).as_nanos();
        u128::try_from(nanos).ok().and_then(u128::checked_ilog2)
    });
    let created = pod
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |t| t.0);
    (
        (is_bound, phase, ready_for.is_some(), cost),
        (
            Reverse(doubled),
            ready_for,
            Reverse(restarts),
            Reverse(created),
        ),
        pod.metadata.uid.clone(),
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
        "apiVersion": world.kind.0, "kind": world.kind.1, "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

fn adopt(world: &World, pod: &Pod) -> Change<Infallible> {
    let mut owners = json!(pod.metadata.owner_references.clone().unwrap_or_default());
    if let Some(owners) = owners.as_array_mut() {
        owners.push(owner_reference(world));
    }
    let patch = json!({"metadata": {"ownerReferences": owners, "uid": pod.metadata.uid}});
    Change::Patch {
        target: pod::reference(pod),
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
        target: pod::reference(pod),
        subresource: "",
        patch,
    }
}
