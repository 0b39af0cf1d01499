//! Which machines of a set are replaced because they are unhealthy. Pure.

use std::cmp::Reverse;
use std::convert::Infallible;

use api::cluster::machine_health_check::reasons;
use api::cluster::{Machine, MachineDeployment, rules};
use api::meta::labels;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::Plan;

use super::plan::PREFLIGHT_AGAIN;
use super::{World, preflight};
use crate::{object, remediation};

/// Returns the names of the machines that are deleted.
pub(super) fn plan(world: &World, now: Timestamp, plan: &mut Plan<Infallible>) -> Vec<String> {
    let mut gone = vec![];
    let machines = || world.machines.iter().map(|machine| &**machine);
    plan.changes
        .extend(machines().filter_map(remediation::take_back));
    let mut sick: Vec<&Machine> = machines()
        .filter(|m| remediation::is_wanted(m) && !m.is_deleting())
        .collect();
    sick.sort_by_key(|machine| rank(machine));
    let mut left = left(world);
    let problems = preflight::problems(world);
    for machine in sick {
        let name = machine.name_any();
        if let Some(why) = impossible(world) {
            let answer = remediation::answer(machine, reasons::CANNOT_BE_REMEDIATED, &why, now);
            plan.changes.push(answer);
        } else if !problems.is_empty() {
            let why = problems.join("; ");
            let answer = remediation::answer(machine, reasons::REMEDIATION_DEFERRED, &why, now);
            plan.changes.push(answer);
            plan.again_in = Some(PREFLIGHT_AGAIN);
        } else if left == 0 {
            let why = "Waiting because as many machines are being replaced as spec.remediation.maxInFlight of the MachineDeployment allows";
            let answer = remediation::answer(machine, reasons::REMEDIATION_DEFERRED, why, now);
            plan.changes.push(answer);
        } else {
            left = left.saturating_sub(1);
            let (reason, message) = remediation::DELETING;
            plan.changes
                .push(remediation::answer(machine, reason, message, now));
            plan.change(
                object::delete(machine),
                "SuccessfulDelete",
                format!("Deleted machine {name} because it is unhealthy"),
            );
            gone.push(name);
        }
    }
    gone
}

/// Which of two machines goes first: one that a user marked, then the newest.
fn rank(machine: &Machine) -> (bool, Reverse<Option<Timestamp>>, String) {
    let is_marked = object::annotation(&machine.metadata, labels::REMEDIATE_MACHINE).is_some();
    let created = machine.metadata.creation_timestamp.as_ref().map(|t| t.0);
    (!is_marked, Reverse(created), machine.name_any())
}

/// Why no machine of the set is replaced: its deployment is about to replace all of them.
fn impossible(world: &World) -> Option<String> {
    let deployment = world.deployment.as_deref()?;
    let revision = |metadata| object::annotation(metadata, labels::REVISION).map(str::to_owned);
    let is_current = revision(&deployment.metadata) == revision(&world.set.metadata);
    (!is_current).then(|| {
        let (set, name) = (world.set.name_any(), deployment.name_any());
        format!("MachineSet {set} is not the current one of MachineDeployment {name}: its machines go with the rollout")
    })
}

/// How many machines may be replaced beside those that already are.
fn left(world: &World) -> usize {
    let Some(max) = world.deployment.as_deref().and_then(max_in_flight) else {
        return usize::MAX;
    };
    let machines = world.machines.iter();
    let under_way = machines.filter(|m| m.is_deleting() && remediation::is_wanted(m));
    max.saturating_sub(under_way.count())
}

fn max_in_flight(deployment: &MachineDeployment) -> Option<usize> {
    let max = deployment
        .spec
        .remediation
        .as_ref()?
        .max_in_flight
        .as_ref()?;
    let replicas = deployment.spec.replicas.unwrap_or(1);
    usize::try_from(rules::scaled(max, replicas, true)?).ok()
}
