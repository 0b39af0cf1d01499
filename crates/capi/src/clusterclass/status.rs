//! What a ClusterClass shows. Pure.

use api::cluster::cluster_class::{conditions, reasons};
use runtime::Outcome;
use serde_json::{Value, json};

use super::World;
use crate::condition::{self, Condition};
use crate::topology::check_expressions;
use crate::{object, pause};

pub(super) fn status(world: &World, outcome: &Outcome) -> Value {
    if pause::is_paused(None, &world.class.metadata) {
        return condition::paused_status(object::status_of(world.class.status.as_ref()));
    }
    let variables: Vec<Value> = world
        .class
        .variables()
        .iter()
        .map(|variable| {
            let mut definition = json!({
                "from": "inline",
                "required": variable.required,
                "schema": variable.schema,
            });
            if let Some(metadata) = &variable.deprecated_v1beta1_metadata {
                definition["deprecatedV1Beta1Metadata"] = json!(metadata);
            }
            json!({"name": variable.name, "definitionsConflict": false, "definitions": [definition]})
        })
        .collect();
    let conditions = [
        variables_ready(world),
        references(world, outcome),
        condition::paused(false),
    ];
    let mut status = json!({"conditions": condition::to_json(&conditions)});
    if !variables.is_empty() {
        status["variables"] = Value::Array(variables);
    }
    status
}

fn variables_ready(world: &World) -> Condition {
    let type_ = conditions::VARIABLES_READY;
    let discovered: Vec<String> = world
        .class
        .patches()
        .filter(|patch| {
            let external = patch.external.as_ref();
            external.is_some_and(|e| e.discover_variables_extension.is_some())
        })
        .map(|patch| {
            format!(
                "* patch {:?} asks an extension for variables, which is not supported",
                patch.name
            )
        })
        .collect();
    let errors = check_expressions(&world.class);
    let errors = errors.iter().map(|error| format!("* {error}"));
    let lines: Vec<String> = discovered.into_iter().chain(errors).collect();
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
