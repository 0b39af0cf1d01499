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
use crate::condition::{self, Condition, Truth, aggregate};
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
    status["conditions"] =
        condition::to_json(&[ready, rolling_out(world), condition::paused(false)]);
    status
}

/// Whether enough machines are ready; a rollout that keeps to its bounds does not change that.
fn ready(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Condition {
    let type_ = conditions::READY;
    if let Some(failure) = &outcome.failure {
        return Condition::no(type_, failure.reason, failure.message.clone());
    }
    if let Some(wait) = plan.waits.first() {
        return Condition::no(type_, wait.reason, wait.message.clone());
    }
    if world.pool.is_none() {
        return Condition::unknown(type_, reasons::WAITING_FOR_OWNER, "");
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
    let ready = found.iter().filter_map(|(_, c)| c.as_ref());
    let ready = ready.filter(|c| c.is_true()).count();
    let (have, wanted) = (world.instances.len(), world.replicas());
    if ready >= world.least() {
        return Condition::yes(type_, type_);
    }
    let all = aggregate(type_, "Ready", "LocalMachine", &found);
    if have >= wanted {
        return all;
    }
    let scaling = format!("Scaling up from {have} to {wanted} machines");
    let lines = [scaling, all.message];
    let lines: Vec<_> = lines.into_iter().filter(|l| !l.is_empty()).collect();
    Condition::no(type_, reasons::SCALING_UP, lines.join("\n"))
}

/// Whether there are machines that were made from something else than is wanted now.
fn rolling_out(world: &World) -> Condition {
    let type_ = conditions::ROLLING_OUT;
    let Some(pool) = &world.pool else {
        return Condition::no(type_, "NotRollingOut", "");
    };
    let revision = revision(world, pool);
    let all = world.instances.len();
    let outdated = world.instances.iter().filter(|i| !is_current(i, &revision));
    match outdated.count() {
        0 => Condition::no(type_, "NotRollingOut", ""),
        outdated => Condition::new(
            type_,
            Truth::True,
            reasons::ROLLING_OUT,
            format!("{outdated} of {all} machines are not made from what is wanted now"),
        ),
    }
}

fn own_ready(instance: &LocalMachine) -> Option<Condition> {
    let conditions = instance.status.as_ref()?.conditions.as_deref()?;
    find(conditions, "Ready").map(Condition::from)
}
