//! Takes a Machine apart, one step after the other. Pure.

use std::time::Duration;

use api::cluster::machine::reasons;
use api::meta::labels;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use runtime::{Change, Plan};
use serde_json::json;

use super::{Act, World, detach, drain};
use crate::condition::named;
use crate::contract::Contract;
use crate::{object, part};

/// How often pods and volumes are looked at, beside on changes.
const AGAIN: Duration = Duration::from_secs(20);
/// Seconds for deleting the Node object if the Machine doesn't say.
pub(crate) const NODE_DELETION_SECONDS: i32 = 10;

/// Plans the next step; the later ones wait for it.
pub(super) fn delete(world: &World, now: Timestamp, plan: &mut Plan<Act>) {
    let machine = &world.machine;
    let is_node_allowed = keep_node(world).is_none();
    if is_node_allowed {
        if let Some(hook) = hook(world, labels::PRE_DRAIN_HOOK) {
            plan.wait(
                reasons::WAITING_FOR_PRE_DRAIN_HOOK,
                format!("Waiting for annotation {hook} to be removed"),
            );
            return;
        }
        if is_drain_needed(world, now) && !drain(world, now, plan) {
            return;
        }
        if is_detach_needed(world, now) && !volumes_are_gone(world, now, plan) {
            return;
        }
    }
    if let Some(hook) = hook(world, labels::PRE_TERMINATE_HOOK) {
        plan.wait(
            reasons::WAITING_FOR_PRE_TERMINATE_HOOK,
            format!("Waiting for annotation {hook} to be removed"),
        );
        return;
    }
    for (part, reason) in [
        (
            &world.infrastructure,
            reasons::WAITING_FOR_INFRASTRUCTURE_DELETION,
        ),
        (&world.bootstrap, reasons::WAITING_FOR_BOOTSTRAP_DELETION),
    ] {
        let Some(part) = part else { continue };
        part::remove(part, reason, plan);
        return;
    }
    if is_node_allowed && let Some(name) = node_to_delete(world, now) {
        plan.changes
            .push(Change::Act(Act::DeleteNode { name: name.clone() }));
        plan.wait(
            reasons::DELETING_NODE,
            format!("Waiting for Node {name} to be deleted"),
        );
        return;
    }
    plan.is_finished = true;
    plan.note(
        "Deleted",
        format!("Machine {} is deleted", machine.name_any()),
    );
}

/// Why the Node is left alone: it goes with the whole cluster, or there is none.
fn keep_node(world: &World) -> Option<&'static str> {
    let is_cluster_deleting = world
        .cluster
        .as_ref()
        .is_none_or(|c| c.metadata.deletion_timestamp.is_some());
    if is_cluster_deleting {
        Some("the cluster is being deleted")
    } else if world
        .control_plane
        .as_deref()
        .is_some_and(|c| Contract(c).is_deleting())
    {
        Some("the control plane is being deleted")
    } else if world.control_plane_size == 0 {
        Some("no control plane machine would be left")
    } else if world.machine.node_name().is_none() && world.node().is_none() {
        Some("the machine has no node")
    } else {
        None
    }
}

fn hook<'a>(world: &'a World, prefix: &str) -> Option<&'a str> {
    let annotations = world.machine.metadata.annotations.iter().flatten();
    let mut keys = annotations.map(|(key, _)| key.as_str());
    keys.find(|k| {
        k.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether `seconds` have passed since `start`; without a limit they never pass.
fn has_passed(start: Option<Timestamp>, seconds: Option<i32>, now: Timestamp) -> bool {
    match (start, seconds) {
        (Some(start), Some(seconds)) if seconds > 0 => {
            now >= start + SignedDuration::from_secs(i64::from(seconds))
        }
        _ => false,
    }
}

fn is_past_drain(world: &World) -> bool {
    let deletion = world
        .machine
        .status
        .as_ref()
        .and_then(|s| s.deletion.as_ref());
    let is_terminating =
        deletion.is_some_and(|d| d.wait_for_pre_terminate_hook_start_time.is_some());
    let is_infrastructure_gone = world
        .infrastructure
        .as_deref()
        .is_none_or(|i| Contract(i).is_deleting());
    is_terminating || is_infrastructure_gone
}

fn is_drain_needed(world: &World, now: Timestamp) -> bool {
    let spec = world.machine.spec.deletion.as_ref();
    object::annotation(&world.machine.metadata, labels::EXCLUDE_NODE_DRAINING).is_none()
        && !is_past_drain(world)
        && !has_passed(
            drain::started(world),
            spec.and_then(|d| d.node_drain_timeout_seconds),
            now,
        )
}

/// Cordons the Node and evicts pods. Returns whether nothing is left to wait for.
fn drain(world: &World, now: Timestamp, plan: &mut Plan<Act>) -> bool {
    if !world.link.is_up() {
        plan.wait(reasons::DRAINING_NODE, world.link.message());
        plan.again_in = Some(AGAIN);
        return false;
    }
    let Some(node) = world.node() else {
        return true;
    };
    let is_cordoned = node
        .spec
        .as_ref()
        .is_some_and(|s| s.unschedulable == Some(true));
    if !is_cordoned {
        let patch = json!({"spec": {"unschedulable": true}});
        plan.changes.push(Change::Act(Act::PatchNode {
            name: node.name_any(),
            patch,
        }));
    }
    let is_done = drain::drain(world, node, now, plan);
    if !is_done {
        plan.again_in = Some(AGAIN);
    }
    is_done
}

fn is_detach_needed(world: &World, now: Timestamp) -> bool {
    let spec = world.machine.spec.deletion.as_ref();
    let deletion = world
        .machine
        .status
        .as_ref()
        .and_then(|s| s.deletion.as_ref());
    let started = deletion
        .and_then(|d| d.wait_for_node_volume_detach_start_time.as_ref())
        .map(|t| t.0);
    object::annotation(&world.machine.metadata, labels::EXCLUDE_VOLUME_DETACH).is_none()
        && !is_past_drain(world)
        && !has_passed(
            started,
            spec.and_then(|d| d.node_volume_detach_timeout_seconds),
            now,
        )
        && world.node().is_some_and(drain::is_reachable)
}

fn volumes_are_gone(world: &World, now: Timestamp, plan: &mut Plan<Act>) -> bool {
    let attached = world.node().map(|node| detach::attached(world, node, now));
    let attached = attached.unwrap_or_default();
    if attached.is_empty() {
        return true;
    }
    let attached: Vec<_> = attached.iter().map(String::as_str).collect();
    plan.wait(
        reasons::WAITING_FOR_VOLUME_DETACH,
        format!(
            "Waiting for volumes to be detached: {}",
            named("Volume", &attached)
        ),
    );
    plan.again_in = Some(AGAIN);
    false
}

/// The Node that still has to go, unless that has been tried for long enough.
fn node_to_delete(world: &World, now: Timestamp) -> Option<String> {
    let deletion = world.machine.spec.deletion.as_ref();
    let seconds = deletion
        .and_then(|d| d.node_deletion_timeout_seconds)
        .unwrap_or(NODE_DELETION_SECONDS);
    let started = world
        .machine
        .metadata
        .deletion_timestamp
        .as_ref()
        .map(|t| t.0);
    let is_over = has_passed(started, Some(seconds), now);
    match world.node() {
        // Something else holds the Node, and has had its time.
        Some(node) if is_over && node.metadata.deletion_timestamp.is_some() => None,
        // A reachable cluster gets the chance in any case: the steps before may have used up the time.
        Some(node) if world.link.is_up() => Some(node.name_any()),
        _ if world.link.is_up() || is_over => None,
        _ => world.machine.node_name().map(str::to_owned),
    }
}
