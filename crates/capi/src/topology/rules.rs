//! Rules that need an engine: Go templates of patches, and CEL rules of the schemas of variables. Pure.

use std::collections::BTreeMap;

use api::cluster::ClusterClass;
use api::cluster::cluster_class::ClassVariable;
use api::cluster::topology::{Topology, Variable};
use api::meta::FieldError;
use cel::{Activation, Budget, Env, Program, Type};
use serde_json::Value;

/// What is wrong with the expressions of a class: templates that cannot be parsed, rules that cannot be compiled.
#[must_use]
pub fn check_expressions(class: &ClusterClass) -> Vec<FieldError> {
    let mut errors = vec![];
    let mut check = |path: String, template: &str| {
        if let Err(why) = render::check(template) {
            errors.push(FieldError::invalid(path, format!("is no template: {why}")));
        }
    };
    for (i, patch) in class.patches().enumerate() {
        let path = format!("spec.patches[{i}]");
        if let Some(template) = &patch.enabled_if {
            check(format!("{path}.enabledIf"), template);
        }
        for (i, definition) in patch.definitions.iter().flatten().enumerate() {
            for (j, change) in definition.json_patches.iter().enumerate() {
                let from = change.value_from.as_ref();
                if let Some(template) = from.and_then(|f| f.template.as_deref()) {
                    let path =
                        format!("{path}.definitions[{i}].jsonPatches[{j}].valueFrom.template");
                    check(path, template);
                }
            }
        }
    }
    check_variables("spec.variables", class.variables(), &mut errors);
    errors
}

/// What is wrong with the rules in schemas of variables.
pub(crate) fn check_variables(
    path: &str,
    variables: &[ClassVariable],
    errors: &mut Vec<FieldError>,
) {
    for (i, variable) in variables.iter().enumerate() {
        let path = format!("{path}[{i}].schema.openAPIV3Schema");
        check_schema(&path, &variable.schema.open_api, errors);
    }
}

fn compile(rule: &str) -> Result<Program, String> {
    let env = Env::builder().declare("self", Type::Dyn).build();
    let program = env.compile(rule).map_err(|error| error.to_string())?;
    let output = program.output();
    if output.is(&Type::Bool) || output.is(&Type::Dyn) {
        Ok(program)
    } else {
        Err(format!("must evaluate to bool, and not to {output}"))
    }
}

fn rules(schema: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().enumerate()
}

fn check_schema(path: &str, schema: &Value, errors: &mut Vec<FieldError>) {
    for (i, rule) in rules(schema) {
        if let Err(why) = compile(rule["rule"].as_str().unwrap_or_default()) {
            let path = format!("{path}.x-kubernetes-validations[{i}].rule");
            errors.push(FieldError::invalid(path, why));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check_schema(&format!("{path}.properties[{name}]"), property, errors);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            check_schema(&format!("{path}.{part}"), &schema[part], errors);
        }
    }
}

/// What values of a topology break rules of the class's schemas. Rules that compare with the value before are not among them: here is
/// none.
#[must_use]
pub fn check_values(topology: &Topology, class: &ClusterClass) -> Vec<FieldError> {
    let mut errors = vec![];
    let mut run = Run::default();
    let definitions = class.all_variables();
    let mut check = |path: &str, values: Option<&[Variable]>| {
        for variable in values.unwrap_or_default() {
            if let Some(found) = definitions.iter().find(|d| d.name == variable.name) {
                let path = format!("{path}[{}].value", variable.name);
                check_value(
                    &path,
                    &found.schema.open_api,
                    &variable.value,
                    &mut run,
                    &mut errors,
                );
            }
        }
    };
    check("spec.topology.variables", topology.variables.as_deref());
    let control_plane = topology.control_plane.as_ref();
    let overrides = control_plane.and_then(|c| c.variables.as_ref());
    let path = "spec.topology.controlPlane.variables.overrides";
    check(path, overrides.and_then(|o| o.overrides.as_deref()));
    for entry in topology.groups() {
        let path = format!("{}.variables.overrides", entry.path());
        check(&path, entry.overrides);
    }
    errors
}

/// Errors that are looked for; who has so many has seen enough.
const ERRORS_MAX: usize = 50;

/// What the rules of one topology may cost, and those that were compiled: a long list has the same ones for all its items.
#[derive(Default)]
struct Run {
    budget: Budget,
    programs: BTreeMap<String, Option<Program>>,
}

fn check_value(
    path: &str,
    schema: &Value,
    value: &Value,
    run: &mut Run,
    errors: &mut Vec<FieldError>,
) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    for (_, rule) in rules(schema) {
        let text = rule["rule"].as_str().unwrap_or_default();
        let Run { programs, budget } = &mut *run;
        if !programs.contains_key(text) {
            programs.insert(text.to_owned(), compile(text).ok());
        }
        let Some(Some(program)) = programs.get(text) else {
            continue;
        };
        let activation = Activation::new().with("self", cel::Value::json(value));
        let why = match program.eval_bool(&activation, budget) {
            Ok(true) => continue,
            Ok(false) => match rule["message"].as_str() {
                Some(message) => message.to_owned(),
                None => format!("failed rule: {text}"),
            },
            Err(error) => format!("rule {text}: {error}"),
        };
        errors.push(FieldError::invalid(path, why));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(inner) = value.get(name) {
            check_value(&format!("{path}.{name}"), property, inner, run, errors);
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        check_value(&format!("{path}[{i}]"), &schema["items"], item, run, errors);
    }
    if schema["additionalProperties"].is_object() {
        for (name, inner) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            check_value(&path, &schema["additionalProperties"], inner, run, errors);
        }
    }
}
