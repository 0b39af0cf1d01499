//! What an ExtensionConfig shows. Pure.

use std::convert::Infallible;

use api::runtime::extension_config::{conditions, reasons};
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::{Discovery, World};
use crate::condition::{self, Condition};
use crate::{hook, object};

pub(super) fn status(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Value {
    let before = object::status_of(world.config.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(before);
    }
    if world.config.metadata.deletion_timestamp.is_some() {
        return before;
    }
    let conditions = [discovered(world, plan, outcome), condition::paused(false)];
    let mut conditions = condition::to_json(&conditions);
    for condition in conditions.as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = json!(world.config.metadata.generation);
    }
    let mut status = json!({"conditions": conditions});
    // What it could do before, it can do as long as nothing else is known.
    let handlers = match &world.discovery {
        Some(Discovery::Found(handlers)) => json!(handlers),
        _ => before["handlers"].clone(),
    };
    if handlers.as_array().is_some_and(|all| !all.is_empty()) {
        status["handlers"] = handlers;
    }
    status
}

fn discovered(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Condition {
    let type_ = conditions::DISCOVERED;
    if let Some(failure) = &outcome.failure {
        return Condition::no(type_, reasons::NOT_DISCOVERED, &failure.message);
    }
    if let Some(wait) = plan.waits.first() {
        return Condition::no(type_, wait.reason, &wait.message);
    }
    let handlers = match &world.discovery {
        Some(Discovery::Found(handlers)) => handlers.as_slice(),
        _ => &[],
    };
    Condition {
        message: hook::discovered(handlers),
        ..Condition::yes(type_, reasons::DISCOVERED)
    }
}
