//! Whether a machine is healthy. Pure.

use api::cluster::cluster;
use api::cluster::machine::{self, Machine};
use api::cluster::machine_health_check::reasons;
use api::meta::{Condition, find, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

use super::World;
use crate::object;

/// What is known of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Healthy,
    /// It is not healthy, but not yet for long enough; then it will be unhealthy, if a time is given.
    Doubtful(Option<Timestamp>),
    /// And why.
    Unhealthy {
        reason: &'static str,
        message: String,
    },
}

/// Judges one machine.
pub(super) fn of(world: &World, machine: &Machine, now: Timestamp) -> Health {
    if machine.is_deleting() {
        return Health::Doubtful(None);
    }
    if object::annotation(&machine.metadata, labels::REMEDIATE_MACHINE).is_some() {
        return unhealthy(
            reasons::HAS_REMEDIATE_ANNOTATION,
            format!("it has the annotation {}", labels::REMEDIATE_MACHINE),
        );
    }
    let Some(begin) = begin(world, machine) else {
        return Health::Doubtful(None);
    };
    let mut doubt = None;
    for check in machine_checks(world) {
        let condition = find(machine.conditions(), &check.type_);
        let since = condition.filter(|c| c.status == check.status);
        let since = since.map(|c| c.last_transition_time.0);
        if let Some(expiry) = expiry(since, check.timeout_seconds) {
            if expiry <= now {
                return unhealthy(
                    reasons::UNHEALTHY_MACHINE,
                    format!(
                        "condition {} is {} for more than {}",
                        check.type_,
                        check.status,
                        seconds(check.timeout_seconds)
                    ),
                );
            }
            doubt = sooner(doubt, expiry);
        }
    }
    let Some(name) = machine.node_name() else {
        return starting(world, begin, doubt, now);
    };
    let Some(node) = world.nodes.get(name) else {
        return unhealthy(
            reasons::NODE_DELETED,
            format!("Node {name} has been deleted"),
        );
    };
    for check in node_checks(world) {
        let since = node_condition(node, &check.type_, &check.status);
        if let Some(expiry) = expiry(since, check.timeout_seconds) {
            if expiry <= now {
                return unhealthy(
                    reasons::UNHEALTHY_NODE,
                    format!(
                        "condition {} of Node {name} is {} for more than {}",
                        check.type_,
                        check.status,
                        seconds(check.timeout_seconds)
                    ),
                );
            }
            doubt = sooner(doubt, expiry);
        }
    }
    match doubt {
        Some(_) => Health::Doubtful(doubt),
        None => Health::Healthy,
    }
}

fn unhealthy(reason: &'static str, message: String) -> Health {
    Health::Unhealthy { reason, message }
}

fn seconds(seconds: i32) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds.into()))
}

fn sooner(doubt: Option<Timestamp>, expiry: Timestamp) -> Option<Timestamp> {
    Some(doubt.map_or(expiry, |doubt| doubt.min(expiry)))
}

fn expiry(since: Option<Timestamp>, timeout: i32) -> Option<Timestamp> {
    Some(since? + SignedDuration::from_secs(timeout.into()))
}

/// A machine without a node must get one in time.
fn starting(world: &World, begin: Timestamp, doubt: Option<Timestamp>, now: Timestamp) -> Health {
    let Some(timeout) = world.check.node_startup_timeout() else {
        return Health::Doubtful(doubt);
    };
    let expiry = begin + SignedDuration::from_secs(timeout.into());
    if expiry > now {
        return Health::Doubtful(sooner(doubt, expiry));
    }
    unhealthy(
        reasons::NODE_STARTUP_TIMEOUT,
        format!("no Node came within {}", seconds(timeout)),
    )
}

/// From when on a machine has to come up: not before what it needs is there. `None` if it is not yet.
fn begin(world: &World, machine: &Machine) -> Option<Timestamp> {
    let cluster = world.cluster.as_deref()?;
    let became_true = |conditions: &[Condition], type_: &str| {
        let condition = find(conditions, type_).filter(|c| c.status == "True")?;
        Some(condition.last_transition_time.0)
    };
    let infrastructure = became_true(
        cluster.conditions(),
        cluster::conditions::INFRASTRUCTURE_READY,
    )?;
    let initialized = became_true(
        cluster.conditions(),
        cluster::conditions::CONTROL_PLANE_INITIALIZED,
    );
    if initialized.is_none() && !machine.is_control_plane() {
        return None;
    }
    let created = machine.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let own = became_true(
        machine.conditions(),
        machine::conditions::INFRASTRUCTURE_READY,
    );
    [Some(infrastructure), initialized, created, own]
        .into_iter()
        .flatten()
        .max()
}

fn machine_checks(
    world: &World,
) -> impl Iterator<Item = &api::cluster::topology::UnhealthyMachineCondition> {
    let checks = world.check.spec.checks.as_ref();
    let checks = checks.and_then(|c| c.unhealthy_machine_conditions.as_ref());
    checks.into_iter().flatten()
}

fn node_checks(
    world: &World,
) -> impl Iterator<Item = &api::cluster::topology::UnhealthyNodeCondition> {
    let checks = world.check.spec.checks.as_ref();
    let checks = checks.and_then(|c| c.unhealthy_node_conditions.as_ref());
    checks.into_iter().flatten()
}

/// Since when a node has this condition with this status.
fn node_condition(node: &Node, type_: &str, status: &str) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|c| c.type_ == type_ && c.status == status)?;
    found.last_transition_time.as_ref().map(|t| t.0)
}
