//! What the schema of a version says about a value: which fields it has, which empty ones it refuses, which it asks for.

use serde_json::{Value, json};

use super::values;

/// Warnings about one object.
const MAX_WARNINGS: usize = 20;

/// Removes what the schema doesn't know, and nulls. `metadata` stays.
pub(super) fn prune(schema: &Value, object: &mut Value) {
    let Some(members) = object.as_object_mut() else {
        return;
    };
    let properties = &schema["properties"];
    members.retain(|name, _| properties.get(name).is_some());
    for (name, value) in members {
        if name != "metadata" {
            prune_value(&properties[name.as_str()], value);
        }
    }
}

fn prune_value(schema: &Value, value: &mut Value) {
    if is_open(schema) {
        return;
    }
    match value {
        Value::Object(members) => {
            let known = |name: &str| {
                let property = schema["properties"].get(name);
                property.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
            };
            members.retain(|name, value| {
                known(name).is_some_and(|schema| !value.is_null() || is_open(schema))
            });
            for (name, value) in members {
                if let Some(schema) = known(name) {
                    prune_value(schema, value);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                prune_value(&schema["items"], item);
            }
        }
        _ => {}
    }
}

/// Adds the paths of what [`prune`] would remove, but nulls.
pub(super) fn unknown(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if is_open(schema) || found.len() >= MAX_WARNINGS {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                let property = schema["properties"].get(name);
                let known = property
                    .or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()));
                let path = format!("{path}.{name}");
                match known {
                    Some(schema) => unknown(schema, value, &path, found),
                    None => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Anything goes below.
fn is_open(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Removes empty values that the schema refuses where it could do without: programs write them for "not set".
pub(super) fn elide(schema: &Value, value: &mut Value) {
    if is_open(schema) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let property = &schema["properties"][name.as_str()];
                if !property.is_null() {
                    elide(property, value);
                } else if schema["additionalProperties"].is_object() {
                    elide(&schema["additionalProperties"], value);
                }
            }
            let is_required = |name: &str| {
                let required = schema["required"].as_array();
                required.is_some_and(|all| all.iter().any(|r| r == name))
            };
            let refuses =
                |name: &str, value: &Value| refuses_empty(&schema["properties"][name], value);
            // What must be there and would be nothing says nothing with what is around it, if that is all.
            let is_nothing = |(name, value): (&String, &Value)| {
                value.is_object() && refuses(name, value) && is_required(name)
            };
            if members.iter().all(is_nothing) {
                members.clear();
            }
            members.retain(|name, value| is_required(name) || !refuses(name, value));
        }
        Value::Array(items) => {
            for item in items {
                elide(&schema["items"], item);
            }
        }
        _ => {}
    }
}

fn refuses_empty(schema: &Value, value: &Value) -> bool {
    let asks_for_more = |bound: &str| schema[bound].as_i64().is_some_and(|least| least > 0);
    match value {
        Value::Object(members) => {
            let required = schema["required"].as_array();
            let is_asked = required.is_some_and(|names| !names.is_empty());
            members.is_empty() && (is_asked || asks_for_more("minProperties"))
        }
        Value::Array(items) => items.is_empty() && asks_for_more("minItems"),
        Value::String(text) => {
            let is_choice = schema["enum"]
                .as_array()
                .is_some_and(|all| !all.contains(value));
            text.is_empty()
                && (asks_for_more("minLength") || is_choice || schema["format"] == "date-time")
        }
        Value::Number(number) => number.as_i64() == Some(0) && asks_for_more("minimum"),
        _ => false,
    }
}

/// Adds what the schema asks for and is missing, with the value that a program has for "not set".
pub(super) fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                let Some(name) = name.as_str().filter(|name| !members.contains_key(*name)) else {
                    continue;
                };
                if let Some(zero) = zero(&schema["properties"][name]) {
                    members.insert(name.to_owned(), zero);
                }
            }
            for (name, value) in members {
                fill(&schema["properties"][name.as_str()], value);
            }
        }
        Value::Array(items) => {
            for item in items {
                fill(&schema["items"], item);
            }
        }
        _ => {}
    }
}

fn zero(schema: &Value) -> Option<Value> {
    Some(match schema["type"].as_str()? {
        "object" => json!({}),
        "array" => json!([]),
        "string" => json!(""),
        "integer" | "number" => json!(0),
        "boolean" => json!(false),
        _ => return None,
    })
}

/// What `said` has at `path` and `back` has not, in words.
pub(super) fn missing(said: &Value, back: &Value, path: &str, found: &mut Vec<String>) {
    if is_nothing(said) || said == back || found.len() >= MAX_WARNINGS {
        return;
    }
    match (said, back) {
        (Value::Object(said), Value::Object(_) | Value::Null) => {
            for (name, value) in said {
                // References say the version of whoever reads them.
                if name != "apiVersion" {
                    missing(
                        value,
                        &back[name.as_str()],
                        &format!("{path}.{name}"),
                        found,
                    );
                }
            }
        }
        (Value::Array(said), Value::Array(back)) if said.len() == back.len() => {
            for (index, (said, back)) in said.iter().zip(back).enumerate() {
                missing(said, back, &format!("{path}[{index}]"), found);
            }
        }
        (Value::String(said), Value::String(back)) => {
            let (a, b) = (values::nanoseconds(said), values::nanoseconds(back));
            if a.is_none() || a != b {
                found.push(format!("{path}: {said:?} is kept as {back:?}"));
            }
        }
        _ => found.push(format!(
            "{path}: has no effect and is not kept: v1beta2 has no such field"
        )),
    }
}

/// Not set, or as good as not set.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
    }
}
