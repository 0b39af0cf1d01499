//! What a MachineSet shows. Pure.

use std::convert::Infallible;

use api::cluster::machine;
use api::cluster::machine_set::conditions;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use crate::condition::{self, Condition, Truth};
use crate::{object, remediation, replicas};

pub(super) fn status(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Value {
    if world.is_paused() {
        return condition::paused_status(object::status_of(world.set.status.as_ref()));
    }
    let is_deleting = world.set.metadata.deletion_timestamp.is_some();
    let mut status = replicas::count(&world.machines);
    status["selector"] = json!(replicas::selector(&world.set.spec.selector));
    let mut blocked: Vec<String> = plan
        .waits
        .iter()
        .filter(|w| w.reason == "ScalingUp")
        .map(|w| w.message.clone())
        .collect();
    blocked.extend(outcome.failure.iter().map(|f| f.message.clone()));
    let have = i32::try_from(world.machines.len()).unwrap_or(i32::MAX);
    let mut all = vec![
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
    ];
    all.extend(replicas::scaling(
        have,
        world.set.replicas(),
        is_deleting,
        &blocked,
    ));
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
