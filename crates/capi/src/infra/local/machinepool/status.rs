//! What a LocalMachinePool shows. Pure.

use std::convert::Infallible;

use api::infrastructure::LocalMachine;
use api::infrastructure::local_machine_pool::{conditions, reasons};
use api::meta::find;
use kube::ResourceExt;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use super::plan::{is_current, revision};
use crate::condition::{self, Condition, aggregate};
use crate::object;

pub(super) fn status(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Value {
    let old = object::status_of(world.local.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(old);
    }
    let mut status = json!({
        "replicas": world.instances.len(),
        "infrastructureMachineKind": "LocalMachine",
    });
    let was_provisioned = old["initialization"]["provisioned"] == true;
    let is_waiting = !plan.waits.is_empty() || world.pool.is_none();
    if was_provisioned || (!is_waiting && world.instances.len() >= world.replicas()) {
        status["initialization"] = json!({"provisioned": true});
    }
    let ready = ready(world, plan, outcome);
    status["conditions"] = condition::to_json(&[ready, condition::paused(false)]);
    status
}

fn ready(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Condition {
    let type_ = conditions::READY;
    if let Some(failure) = &outcome.failure {
        return Condition::no(type_, failure.reason, failure.message.clone());
    }
    if let Some(wait) = plan.waits.first() {
        return Condition::no(type_, wait.reason, wait.message.clone());
    }
    let Some(pool) = &world.pool else {
        return Condition::unknown(type_, reasons::WAITING_FOR_OWNER, "");
    };
    let revision = revision(world, pool);
    let (have, wanted) = (world.instances.len(), world.replicas());
    let outdated = world.instances.iter().filter(|i| !is_current(i, &revision));
    let outdated = outdated.count();
    if outdated > 0 {
        return Condition::no(
            type_,
            reasons::ROLLING_OUT,
            format!("{outdated} of {have} machines are not made from what is wanted now"),
        );
    }
    if have != wanted {
        let (reason, way) = if have < wanted {
            (reasons::SCALING_UP, "up")
        } else {
            (reasons::SCALING_DOWN, "down")
        };
        return Condition::no(
            type_,
            reason,
            format!("Scaling {way} from {have} to {wanted} machines"),
        );
    }
    let found: Vec<_> = world
        .instances
        .iter()
        .map(|i| (i.name_any(), own_ready(i)))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(name, c)| (name.as_str(), c.clone()))
        .collect();
    aggregate(type_, "Ready", "LocalMachine", &found)
}

fn own_ready(instance: &LocalMachine) -> Option<Condition> {
    let conditions = instance.status.as_ref()?.conditions.as_deref()?;
    find(conditions, "Ready").map(Condition::from)
}
