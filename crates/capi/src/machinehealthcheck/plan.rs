//! What to do about machines that are unhealthy. Pure.

use std::convert::Infallible;
use std::time::Duration;

use api::cluster::Machine;
use api::cluster::machine::conditions;
use api::cluster::machine_health_check::{self as check, reasons};
use api::meta::{find, labels};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::World;
use super::health::{self, Health};
use crate::template::{Particulars, instantiate};
use crate::{object, pause, remediation};

/// How the machines are, and whether something may be done about those that are unhealthy.
pub(super) struct Findings<'a> {
    pub(super) all: Vec<(&'a Machine, Health)>,
    /// The fewest and the most unhealthy machines with which something is done.
    tolerated: (i32, i32),
}

impl<'a> Findings<'a> {
    pub(super) fn of(world: &'a World, now: Timestamp) -> Self {
        let mut all: Vec<(&Machine, Health)> = world
            .machines
            .iter()
            .map(|machine| (&**machine, health::of(world, machine, now)))
            .collect();
        all.sort_by_key(|(machine, _)| machine.name_any());
        let expected = i32::try_from(all.len()).unwrap_or(i32::MAX);
        Self {
            all,
            tolerated: world.check.tolerated(expected),
        }
    }

    pub(super) fn expected(&self) -> i32 {
        i32::try_from(self.all.len()).unwrap_or(i32::MAX)
    }

    pub(super) fn healthy(&self) -> i32 {
        let healthy = self.all.iter().filter(|(_, h)| *h == Health::Healthy);
        i32::try_from(healthy.count()).unwrap_or(i32::MAX)
    }

    /// Also those count that may become unhealthy: caution is for when much goes wrong at once.
    fn unhealthy(&self) -> i32 {
        self.expected() - self.healthy()
    }

    pub(super) fn is_allowed(&self) -> bool {
        let (least, most) = self.tolerated;
        (least..=most).contains(&self.unhealthy())
    }

    /// How many more machines may become unhealthy until nothing is done any more.
    pub(super) fn left(&self) -> i32 {
        if self.is_allowed() {
            self.tolerated.1 - self.unhealthy()
        } else {
            0
        }
    }

    /// Why nothing may be done.
    pub(super) fn restriction(&self) -> String {
        let (least, most) = self.tolerated;
        let (unhealthy, expected) = (self.unhealthy(), self.expected());
        let limit = if least > 0 {
            format!("it is done for {least} to {most}")
        } else {
            format!("it is done for {} at most", most.max(0))
        };
        format!(
            "Remediation is not allowed: {unhealthy} of {expected} machines are not healthy, {limit}"
        )
    }
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.check.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let Some(cluster) = world.cluster.as_deref() else {
        let name = &world.check.spec.cluster_name;
        plan.wait(
            "ObjectDoesNotExist",
            format!("Cluster {name} does not exist"),
        );
        return plan;
    };
    plan.changes.extend(object::adopt(
        object::target(&world.check),
        &world.check.metadata,
        &object::owner_ref(cluster, false),
        &object::labels([(labels::CLUSTER_NAME, &cluster.name_any())]),
    ));
    if world.is_blind() {
        plan.wait("ConnectionDown", world.link.message());
        return plan;
    }
    let findings = Findings::of(world, now);
    let is_allowed = findings.is_allowed();
    for (machine, health) in &findings.all {
        tell(world, machine, health, is_allowed, now, &mut plan);
        if let Health::Doubtful(Some(expiry)) = health {
            plan.again_at(*expiry, now);
        }
    }
    // What expires has expired a second later.
    plan.again_in = plan.again_in.map(|again| again + Duration::from_secs(1));
    let known = world
        .check
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref());
    let was = find(
        known.unwrap_or_default(),
        check::conditions::REMEDIATION_ALLOWED,
    );
    if !is_allowed && was.is_none_or(|c| c.status != "False") {
        plan.warn("RemediationRestricted", findings.restriction());
    }
    plan
}

/// Says at a machine how it is, and if it is unhealthy, that somebody is to see to it.
fn tell(
    world: &World,
    machine: &Machine,
    health: &Health,
    is_allowed: bool,
    now: Timestamp,
    plan: &mut Plan<Infallible>,
) {
    let known = machine.conditions();
    let type_ = if world.template_ref().is_some() {
        conditions::EXTERNALLY_REMEDIATED
    } else {
        conditions::OWNER_REMEDIATED
    };
    let mut wanted: Vec<Value> = vec![];
    match health {
        Health::Healthy => {
            wanted.push(remediation::condition(
                known,
                (conditions::HEALTH_CHECK_SUCCEEDED, "True"),
                (reasons::HEALTH_CHECK_SUCCEEDED, ""),
                now,
            ));
            if let Some(request) = world.request(machine) {
                plan.changes.push(object::delete_dynamic(request));
            }
        }
        // What was said of it holds on.
        Health::Doubtful(_) => {
            let ours = [conditions::HEALTH_CHECK_SUCCEEDED, type_];
            let said = ours.iter().filter_map(|ours| find(known, ours));
            wanted.extend(said.map(|condition| json!(condition)));
        }
        Health::Unhealthy { reason, message } => {
            wanted.push(remediation::condition(
                known,
                (conditions::HEALTH_CHECK_SUCCEEDED, "False"),
                (reason, &format!("Health check failed: {message}")),
                now,
            ));
            let begun = find(known, type_).filter(|c| c.status == "False");
            match begun {
                // Whoever does it may have said more by now.
                Some(begun) if begun.reason != reasons::REMEDIATION_TEMPLATE_NOT_FOUND => {
                    wanted.push(json!(begun));
                }
                _ if is_allowed => {
                    let why = request(world, machine, plan);
                    wanted.push(remediation::condition(
                        known,
                        (type_, "False"),
                        (why.0, &why.1),
                        now,
                    ));
                    if begun.is_none() {
                        let name = machine.name_any();
                        plan.warn_about(
                            machine.object_ref(&()),
                            "MachineMarkedUnhealthy",
                            format!("Machine {name} is unhealthy: {message}"),
                        );
                    }
                }
                _ => {}
            }
        }
    }
    if !wanted.is_empty() {
        plan.changes.push(remediation::say(machine, &wanted));
    }
}

/// Asks for the remediation of a machine; reason and message of the condition that says so.
fn request(
    world: &World,
    machine: &Machine,
    plan: &mut Plan<Infallible>,
) -> (&'static str, String) {
    let Some(named) = world.template_ref() else {
        let message = "Waiting for the owner of the machine to replace it".to_owned();
        return (reasons::WAITING_FOR_REMEDIATION, message);
    };
    let Some(template) = &world.template else {
        let message = format!("{} {} does not exist", named.kind, named.name);
        return (reasons::REMEDIATION_TEMPLATE_NOT_FOUND, message);
    };
    let name = machine.name_any();
    if world.request(machine).is_none() {
        let made = instantiate(
            template,
            Particulars {
                name: &name,
                cluster: &world.check.spec.cluster_name,
                owner: object::owner_ref(machine, false),
                labels: [].into(),
                annotations: [].into(),
            },
        );
        plan.changes.push(Change::Create(Box::new(made)));
    }
    let kind = crate::template::object_kind(&named.kind);
    let message = format!("Waiting for {kind} {name} to heal the machine");
    (reasons::WAITING_FOR_REMEDIATION, message)
}
