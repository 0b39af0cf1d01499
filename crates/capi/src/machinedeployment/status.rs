//! What a MachineDeployment shows. Pure.

use std::convert::Infallible;

use api::cluster::machine;
use api::cluster::machine_deployment::conditions;
use api::meta::is_true;
use jiff::Timestamp;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::{World, outdated};
use crate::condition::{self, Condition, Truth};
use crate::{object, remediation, replicas};

pub(super) fn status(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    now: Timestamp,
) -> Value {
    if world.is_paused() {
        return condition::paused_status(object::status_of(world.deployment.status.as_ref()));
    }
    let is_deleting = world.deployment.metadata.deletion_timestamp.is_some();
    let wanted = world.deployment.replicas();
    let mut status = replicas::count(&world.machines);
    status["selector"] = json!(replicas::selector(&world.deployment.spec.selector));
    let have = i32::try_from(world.machines.len()).unwrap_or(i32::MAX);
    status["phase"] = json!(match have.cmp(&wanted) {
        _ if is_deleting => "ScalingDown",
        std::cmp::Ordering::Less => "ScalingUp",
        std::cmp::Ordering::Greater => "ScalingDown",
        std::cmp::Ordering::Equal => "Running",
    });
    let mut blocked: Vec<String> = plan
        .waits
        .iter()
        .filter(|w| w.reason == "ScalingUp")
        .map(|w| w.message.clone())
        .collect();
    blocked.extend(set_problems(world));
    blocked.extend(outcome.failure.iter().map(|f| f.message.clone()));
    let mut all = vec![
        available(world),
        replicas::of_machines(
            conditions::MACHINES_READY,
            machine::conditions::READY,
            &world.machines,
        ),
        replicas::of_machines(
            conditions::MACHINES_UP_TO_DATE,
            machine::conditions::UP_TO_DATE,
            &world.machines,
        ),
        rolling_out(world, now),
    ];
    all.extend(replicas::scaling(have, wanted, is_deleting, &blocked));
    all.push(remediation::remediating(
        conditions::REMEDIATING,
        &world.machines,
    ));
    all.push(match plan.waits.first() {
        _ if !is_deleting => Condition::no(conditions::DELETING, "NotDeleting", ""),
        Some(wait) => Condition::new(
            conditions::DELETING,
            Truth::True,
            wait.reason,
            wait.message.clone(),
        ),
        None => Condition::new(
            conditions::DELETING,
            Truth::True,
            "DeletionCompleted",
            "Deletion completed",
        ),
    });
    all.push(condition::paused(false));
    status["conditions"] = condition::to_json(&all);
    status
}

fn available(world: &World) -> Condition {
    let (_, max_unavailable) = world.deployment.surge_and_unavailable();
    let needed = (world.deployment.replicas() - max_unavailable).max(0);
    let available = world
        .machines
        .iter()
        .filter(|m| is_true(m.conditions(), machine::conditions::AVAILABLE))
        .count();
    if i32::try_from(available).unwrap_or(i32::MAX) >= needed {
        return Condition::yes(conditions::AVAILABLE, "Available");
    }
    let message = format!(
        "{available} available replicas, at least {needed} required (spec.replicas = {}, maxUnavailable = {max_unavailable})",
        world.deployment.replicas()
    );
    Condition::no(conditions::AVAILABLE, "NotAvailable", message)
}

fn rolling_out(world: &World, now: Timestamp) -> Condition {
    let type_ = conditions::ROLLING_OUT;
    let new = world.new_set(now).and_then(|s| s.metadata.uid.clone());
    let old: Vec<_> = world
        .machines
        .iter()
        .filter(|m| object::controller_of(&m.metadata).map(|o| o.uid.clone()) != new)
        .collect();
    if old.is_empty() {
        return Condition::no(type_, "NotRollingOut", "");
    }
    let mut why: Vec<_> = world
        .sets
        .iter()
        .filter(|s| s.metadata.uid != new)
        .flat_map(|s| outdated(&world.deployment, s, now))
        .collect();
    why.sort_by_key(|w| (!w.starts_with("Version"), w.clone()));
    why.dedup();
    let why: String = why.iter().map(|w| format!("\n* {w}")).collect();
    Condition::new(
        type_,
        Truth::True,
        type_,
        format!("Rolling out {} not up-to-date replicas{why}", old.len()),
    )
}

/// Why sets can't make machines.
fn set_problems(world: &World) -> Vec<String> {
    let mut found: Vec<String> = world
        .sets
        .iter()
        .filter_map(|s| {
            let conditions = s.status.as_ref()?.conditions.as_deref()?;
            let scaling =
                api::meta::find(conditions, "ScalingUp").filter(|c| c.status == "True")?;
            let (_, why) = scaling.message.split_once("is blocked because:\n* ")?;
            Some(why.to_owned())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}
