//! What the types of the matched kinds say about the expressions of a policy: warnings in its status, since policies are
//! evaluated without types.

use std::sync::Arc;

use cel::Type as Cel;
use serde_json::{Value, json};

use super::expressions::{Compiler, Scope, Wanted};
use crate::admission::matching::texts;
use crate::resource::Resource;
use crate::schema::{Schema, Type};

/// Kinds that one policy is checked against.
const MAX_KINDS: usize = 10;
/// Levels of a kind that have types; what is below may be anything.
const MAX_DEPTH: usize = 12;

/// The `status` of a ValidatingAdmissionPolicy of this generation; `find` knows resources by group, version and plural.
pub(crate) fn status(
    policy: &Value,
    find: impl Fn(&str, &str, &str) -> Option<Arc<Resource>>,
) -> Value {
    let spec = &policy["spec"];
    let mut resources: Vec<Arc<Resource>> = vec![];
    let rules = spec["matchConstraints"]["resourceRules"].as_array();
    for rule in rules.into_iter().flatten() {
        let all = ["apiGroups", "apiVersions", "resources"].map(|list| texts(&rule[list]));
        // Without one named kind, there is nothing to check against.
        if all.iter().flatten().any(|item| item.contains(['*', '/'])) {
            continue;
        }
        for group in &all[0] {
            for version in &all[1] {
                let found = all[2]
                    .iter()
                    .filter_map(|plural| find(group, version, plural));
                resources.extend(found);
            }
        }
    }
    resources.dedup_by(|a, b| Arc::ptr_eq(a, b));
    resources.truncate(MAX_KINDS);
    let mut warnings: Vec<(String, String)> = vec![];
    for resource in &resources {
        let kind = format!("{}, Kind={}", resource.api_version(), resource.kind);
        for (field, why) in faults(spec, resource) {
            let line = format!("{kind}: {why}\n");
            match warnings.iter_mut().find(|(known, _)| *known == field) {
                Some((_, text)) => text.push_str(&line),
                None => warnings.push((field, line)),
            }
        }
    }
    let mut checking = json!({});
    if !warnings.is_empty() {
        let shown = warnings
            .into_iter()
            .map(|(field, warning)| json!({"fieldRef": field, "warning": warning}));
        checking["expressionWarnings"] = shown.collect();
    }
    json!({"observedGeneration": policy["metadata"]["generation"], "typeChecking": checking})
}

/// Fields of the policy whose expressions do not fit the kind.
fn faults(spec: &Value, resource: &Resource) -> Vec<(String, String)> {
    let scope = Scope {
        has_params: spec["paramKind"].is_object(),
        has_authorizer: true,
        is_mutation: false,
    };
    let mut compiler = Compiler::with_object(scope, of(&resource.schema, &resource.kind, 0));
    let mut found = vec![];
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    for variable in spec["variables"].as_array().into_iter().flatten() {
        let (name, source) = (text(variable, "name"), text(variable, "expression"));
        // One that does not compile makes all that use it fail as well; they are told instead.
        _ = compiler.variable(&name, &source);
    }
    let validations = spec["validations"].as_array().into_iter().flatten();
    for (index, validation) in validations.enumerate() {
        for (field, wanted) in [
            ("expression", Wanted::Bool),
            ("messageExpression", Wanted::Text),
        ] {
            let source = text(validation, field);
            if !source.trim().is_empty()
                && let Err(why) = compiler.compile(&source, wanted)
            {
                let why = why.trim_start_matches("compilation failed: ").to_owned();
                found.push((format!("spec.validations[{index}].{field}"), why));
            }
        }
    }
    found
}

/// A schema as expressions see it.
fn of(schema: &Schema, name: &str, depth: usize) -> Cel {
    if depth > MAX_DEPTH || schema.preserve_unknown || schema.resolve().preserve_unknown {
        return Cel::Dyn;
    }
    let resolved = schema.resolve();
    match &resolved.ty {
        Type::Object(object) if object.fields.is_empty() => match &object.additional {
            Some(values) => Cel::map(
                Cel::String,
                of(values, &format!("{name}.@values"), depth + 1),
            ),
            None => Cel::Dyn,
        },
        Type::Object(object) => {
            let fields = object.fields.iter().map(|(field, is)| {
                let ty = of(&is.schema, &format!("{name}.{field}"), depth + 1);
                (field.to_string(), ty)
            });
            Cel::object(name, fields)
        }
        Type::Array(item) => Cel::list(of(item, &format!("{name}.@items"), depth + 1)),
        Type::String => match resolved.format() {
            "date-time" => Cel::Timestamp,
            "byte" => Cel::Bytes,
            _ => Cel::String,
        },
        Type::Integer => Cel::Int,
        Type::Number => Cel::Double,
        Type::Boolean => Cel::Bool,
        Type::Any | Type::IntOrString | Type::Ref(_) => Cel::Dyn,
    }
}
