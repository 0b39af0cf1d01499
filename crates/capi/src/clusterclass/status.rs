//! What a ClusterClass shows. Pure.

use api::cluster::cluster_class::{StatusVariable, conditions, reasons};
use runtime::Outcome;
use serde_json::{Value, json};

use super::World;
use super::discover::MAX;
use crate::condition::{self, Condition};
use crate::topology::check_expressions;
use crate::{object, pause};

pub(super) fn status(world: &World, outcome: &Outcome) -> Value {
    if pause::is_paused(None, &world.class.metadata) {
        return condition::paused_status(object::status_of(world.class.status.as_ref()));
    }
    let mut variables = world.variables();
    let conditions = [
        variables_ready(world, &variables),
        references(world, outcome),
        condition::paused(false),
    ];
    variables.truncate(MAX);
    let mut status = json!({"conditions": condition::to_json(&conditions)});
    if !variables.is_empty() {
        status["variables"] = json!(variables);
    }
    status
}

fn variables_ready(world: &World, variables: &[StatusVariable]) -> Condition {
    let type_ = conditions::VARIABLES_READY;
    let mut lines = vec![];
    if variables.len() > MAX {
        let count = variables.len();
        lines.push(format!("* there are {count} variables; {MAX} are allowed"));
    }
    for (patch, discovered) in &world.discovered {
        if let Err(unanswered) = discovered {
            lines.push(format!("* patch {patch:?}: {}", unanswered.why));
        }
    }
    for variable in variables {
        if variable.definitions_conflict == Some(true) {
            let from = variable.definitions.iter().map(|d| d.from.as_str());
            let from: Vec<&str> = from.collect();
            let (name, from) = (&variable.name, from.join(", "));
            lines.push(format!(
                "* variable {name:?} is defined in different ways: by {from}"
            ));
        }
    }
    let errors = check_expressions(&world.class);
    lines.extend(errors.iter().map(|error| format!("* {error}")));
    if lines.is_empty() {
        Condition::yes(type_, reasons::VARIABLES_READY)
    } else {
        Condition::no(type_, reasons::VARIABLES_READY_FAILED, lines.join("\n"))
    }
}

fn references(world: &World, outcome: &Outcome) -> Condition {
    let type_ = conditions::REF_VERSIONS_UP_TO_DATE;
    if let Some(failure) = &outcome.failure {
        return Condition::unknown(type_, failure.reason, &failure.message);
    }
    let (mut missing, mut old) = (vec![], vec![]);
    for (path, reference) in world.class.template_refs() {
        let Some(template) = world.template(reference) else {
            missing.push(format!(
                "* {path}: {} {} does not exist",
                reference.kind, reference.name
            ));
            continue;
        };
        let served = template.types.clone().unwrap_or_default().api_version;
        if served != reference.api_version {
            old.push(format!(
                "* {path}.apiVersion: {} should be {served}",
                reference.api_version
            ));
        }
    }
    if !missing.is_empty() {
        Condition::no(type_, reasons::TEMPLATE_NOT_FOUND, missing.join("\n"))
    } else if !old.is_empty() {
        Condition::no(type_, reasons::REF_VERSIONS_NOT_UP_TO_DATE, old.join("\n"))
    } else {
        Condition::yes(type_, reasons::REF_VERSIONS_UP_TO_DATE)
    }
}
