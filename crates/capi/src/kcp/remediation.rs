//! Which machine of a control plane is replaced because it is unhealthy, and when. Pure.
//!
//! One at a time: an annotation of the control plane says which, until another machine has taken its place, which then says whose
//! place it took. From that follows whether a further failure is a retry.

use api::cluster::Machine;
use api::cluster::machine::conditions as on_machine;
use api::cluster::machine_health_check::reasons;
use api::controlplane::kubeadm_control_plane::LastRemediation;
use api::meta::{find, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use runtime::{Change, Plan};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Act, World, health, plan::AGAIN};
use crate::condition::named;
use crate::{etcd, object, remediation};

/// Seconds after which a new failure is not a retry any more, if nothing is said.
const HEALTHY_SECONDS: i32 = 3600;

/// What the annotations say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// The machine that is replaced.
    pub(super) machine: String,
    pub(super) timestamp: Timestamp,
    #[serde(default)]
    pub(super) retry_count: i32,
}

/// Why a machine is not replaced.
struct Obstacle {
    reason: &'static str,
    message: String,
    /// When it may be gone by itself.
    again_at: Option<Timestamp>,
}

/// The replacement that is under way: what was written down and is not over.
pub(super) fn in_progress(world: &World) -> Option<Record> {
    written(world).filter(|record| !is_over(world, record))
}

/// What was written down of a replacement.
fn written(world: &World) -> Option<Record> {
    let metadata = &world.control_plane.metadata;
    let text = object::annotation(metadata, labels::REMEDIATION_IN_PROGRESS)?;
    serde_json::from_str(text).ok()
}

/// Another machine has taken the place, or nobody is to take it any more.
fn is_over(world: &World, record: &Record) -> bool {
    let is_replaced = |m: &Machine| replaced(m).as_ref() == Some(record);
    let old = world
        .machines
        .iter()
        .find(|m| m.name_any() == record.machine);
    let is_moot = match old {
        // It is well again.
        Some(old) => !old.is_deleting() && !remediation::is_wanted(old),
        None => {
            let have = i32::try_from(world.machines.len()).unwrap_or(i32::MAX);
            have >= world.control_plane.replicas()
        }
    };
    is_moot || world.machines.iter().any(|m| is_replaced(m))
}

impl Record {
    /// As annotations have it.
    pub(super) fn text(&self) -> String {
        // A record has nothing that JSON could not say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whose place the machine took.
fn replaced(machine: &Machine) -> Option<Record> {
    let text = object::annotation(&machine.metadata, labels::REMEDIATION_FOR)?;
    serde_json::from_str(text).ok()
}

/// The last replacement, for the status.
pub(super) fn last(world: &World) -> Option<LastRemediation> {
    let done = world.machines.iter().filter_map(|m| replaced(m));
    let record = done
        .chain(written(world))
        .max_by_key(|record| record.timestamp)?;
    Some(LastRemediation {
        machine: record.machine,
        time: Time(record.timestamp),
        retry_count: record.retry_count,
    })
}

/// Replaces a machine if one is to be replaced and that is safe. Returns whether one is on its way out by this pass.
pub(super) fn plan(world: &World, now: Timestamp, plan: &mut Plan<Act>) -> bool {
    let machines = || world.machines.iter().map(|machine| &**machine);
    plan.changes
        .extend(machines().filter_map(remediation::take_back));
    let under_way = in_progress(world);
    if under_way.is_none() && written(world).is_some() {
        plan.changes.push(annotate(world, None));
    }
    let mut sick: Vec<&Machine> = machines()
        .filter(|m| remediation::is_wanted(m) && !m.is_deleting())
        .collect();
    sick.sort_by_key(|machine| rank(machine));
    let Some((first, others)) = sick.split_first() else {
        return false;
    };
    for other in others {
        let message = format!(
            "Waiting for Machine {} to be replaced first",
            first.name_any()
        );
        let reason = reasons::REMEDIATION_DEFERRED;
        plan.changes
            .push(remediation::answer(other, reason, &message, now));
    }
    let record = match obstacle(world, first, under_way.as_ref(), now) {
        Ok(record) => record,
        Err(obstacle) => {
            let Obstacle {
                reason,
                message,
                again_at,
            } = obstacle;
            plan.changes
                .push(remediation::answer(first, reason, &message, now));
            match again_at {
                Some(at) => plan.again_at(at, now),
                None => plan.again_in = Some(plan.again_in.map_or(AGAIN, |again| again.min(AGAIN))),
            }
            return false;
        }
    };
    let (reason, message) = remediation::DELETING;
    plan.changes.push(annotate(world, Some(&record)));
    plan.changes
        .push(remediation::answer(first, reason, message, now));
    plan.change(
        object::delete(*first),
        "SuccessfulDelete",
        format!(
            "Deleted machine {} because it is unhealthy",
            first.name_any()
        ),
    );
    true
}

/// Writes down, or away, what is being replaced.
fn annotate(world: &World, record: Option<&Record>) -> Change<Act> {
    let text = record.map(Record::text);
    Change::Patch {
        target: object::target(&world.control_plane),
        subresource: "",
        patch: json!({"metadata": {"annotations": {labels::REMEDIATION_IN_PROGRESS: text}}}),
    }
}

/// Which of several goes first: one that a user marked, one that never came up, then by how much of it is broken, then the oldest.
fn rank(machine: &Machine) -> (usize, Option<Timestamp>, String) {
    let is_bad = |type_: &str| {
        find(machine.conditions(), type_).is_some_and(|condition| condition.status == "False")
    };
    let signs = [
        object::annotation(&machine.metadata, labels::REMEDIATE_MACHINE).is_some(),
        machine.node_name().is_none(),
        is_bad(on_machine::ETCD_MEMBER_HEALTHY),
        is_bad(on_machine::ETCD_POD_HEALTHY),
        is_bad(on_machine::API_SERVER_POD_HEALTHY),
        is_bad(on_machine::CONTROLLER_MANAGER_POD_HEALTHY),
        is_bad(on_machine::SCHEDULER_POD_HEALTHY),
        is_bad(on_machine::NODE_KUBEADM_LABELS_AND_TAINTS_SET),
    ];
    let worst = signs.iter().position(|sign| *sign);
    let created = machine.metadata.creation_timestamp.as_ref().map(|t| t.0);
    (worst.unwrap_or(signs.len()), created, machine.name_any())
}

/// What is written down if the machine is replaced now, or why it is not.
fn obstacle(
    world: &World,
    machine: &Machine,
    under_way: Option<&Record>,
    now: Timestamp,
) -> Result<Record, Obstacle> {
    // Written down, but not done: the process ended in between.
    let repeated = under_way.filter(|record| record.machine == machine.name_any());
    if let Some(record) = repeated {
        if world.is_initialized() {
            safety(world, machine)?;
        }
        return Ok(record.clone());
    }
    if let Some(record) = under_way {
        let message = format!("Waiting for the replacement of Machine {}", record.machine);
        return Err(deferred(message));
    }
    if !world.is_certified() {
        let why = "Waiting for the certificates that a machine in its place would need";
        return Err(deferred(why.to_owned()));
    }
    let retry_count = retries(world, machine, now)?;
    if world.is_initialized() {
        safety(world, machine)?;
    }
    Ok(Record {
        machine: machine.name_any(),
        timestamp: now,
        retry_count,
    })
}

fn deferred(message: String) -> Obstacle {
    Obstacle {
        reason: reasons::REMEDIATION_DEFERRED,
        message,
        again_at: None,
    }
}

fn impossible(message: String) -> Obstacle {
    Obstacle {
        reason: reasons::CANNOT_BE_REMEDIATED,
        ..deferred(message)
    }
}

/// Which try this is: a machine that failed soon after it took the place of another is another try of the same.
fn retries(world: &World, machine: &Machine, now: Timestamp) -> Result<i32, Obstacle> {
    let Some(before) = replaced(machine) else {
        return Ok(0);
    };
    let spec = world.control_plane.spec.remediation.as_ref();
    let after = |seconds: Option<i32>, default: i32| {
        let seconds = seconds.unwrap_or(default);
        before.timestamp + SignedDuration::from_secs(seconds.into())
    };
    let healthy = spec.and_then(|s| s.min_healthy_period_seconds);
    if after(healthy, HEALTHY_SECONDS) < now {
        return Ok(0);
    }
    let again = after(spec.and_then(|s| s.retry_period_seconds), 0);
    if again > now {
        let message = format!(
            "Machine {} took the place of {}: the next try is not before {}, by spec.remediation.retryPeriodSeconds",
            machine.name_any(),
            before.machine,
            runtime::rfc3339(again)
        );
        return Err(Obstacle {
            again_at: Some(again),
            ..deferred(message)
        });
    }
    let max = spec.and_then(|s| s.max_retry);
    if let Some(max) = max.filter(|max| before.retry_count >= *max) {
        return Err(impossible(format!(
            "Replacing Machine {} has been tried again {} times, and spec.remediation.maxRetry allows {max}",
            before.machine, before.retry_count
        )));
    }
    Ok(before.retry_count + 1)
}

/// Whether the control plane of a running cluster can do without the machine.
fn safety(world: &World, machine: &Machine) -> Result<(), Obstacle> {
    if world.machines.len() <= 1 {
        return Err(impossible(
            "The only machine of a control plane cannot be replaced: the cluster is in it"
                .to_owned(),
        ));
    }
    let names = |machines: Vec<&Machine>| -> Option<String> {
        let names: Vec<String> = machines.iter().map(|m| m.name_any()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| named("Machine", &names))
    };
    let machines = || world.machines.iter().map(|machine| &**machine);
    let deleting = names(machines().filter(|m| m.is_deleting()).collect());
    if let Some(deleting) = deleting {
        return Err(deferred(format!("Waiting for the deletion of {deleting}")));
    }
    let is_coming = |m: &&Machine| m.node_name().is_none() && !remediation::is_wanted(m);
    if let Some(coming) = names(machines().filter(is_coming).collect()) {
        return Err(deferred(format!("Waiting for {coming} to come up")));
    }
    let is_stacked = world.is_etcd_stacked();
    let is_other = |m: &&Machine| m.name_any() != machine.name_any();
    if !machines()
        .filter(is_other)
        .any(|m| health::is_healthy(m, is_stacked))
    {
        return Err(impossible(
            "No other machine of the control plane is healthy".to_owned(),
        ));
    }
    if !is_stacked {
        return Ok(());
    }
    let members = world.workload.as_ref().and_then(|w| w.etcd.as_ref());
    let Some(members) = members else {
        return Err(deferred(
            "Waiting for the list of etcd members to be readable".to_owned(),
        ));
    };
    let healthy = health::healthy_members(&world.machines);
    let leaving = machine.node_name().unwrap_or_default();
    // The machine itself may be the one that never learns.
    let is_learning =
        |(name, member): (&String, &etcd::Member)| member.is_learner && name != leaving;
    if members.0.iter().any(is_learning) {
        let why = "Waiting for a member of etcd that is still learning";
        return Err(deferred(why.to_owned()));
    }
    if !etcd::may_replace(leaving, &members.voters(), &healthy) {
        return Err(impossible(format!(
            "Without Machine {} etcd would have no healthy majority",
            machine.name_any()
        )));
    }
    Ok(())
}
