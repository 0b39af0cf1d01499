//! Pieces of OpenAPI schema that the derive cannot say.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{Condition, FailureDomain, Gate, MachineTaint, VersionCount};

/// A DNS subdomain, as object names are.
pub const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A DNS label, as namespaces are.
pub const DNS_LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A kind.
pub const KIND: &str = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";
/// A label value.
pub const LABEL_VALUE: &str = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
/// The type of a condition.
pub const CONDITION_TYPE: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

fn map_list<T: schemars::JsonSchema>(
    generator: &mut SchemaGenerator,
    keys: &[&str],
    min: Option<u32>,
    max: u32,
) -> Schema {
    let mut schema = json_schema!({
        "type": "array",
        "items": generator.subschema_for::<T>(),
        "maxItems": max,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": keys,
    });
    if let Some(min) = min {
        schema.insert("minItems".to_owned(), json!(min));
    }
    schema
}

/// A list of conditions, one of each type.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    map_list::<Condition>(generator, &["type"], None, 32)
}

/// A list of gates, one of each condition type.
pub fn gates(generator: &mut SchemaGenerator) -> Schema {
    map_list::<Gate>(generator, &["conditionType"], Some(1), 32)
}

/// A list of machine taints, one of each key and effect.
pub fn machine_taints(generator: &mut SchemaGenerator) -> Schema {
    map_list::<MachineTaint>(generator, &["key", "effect"], Some(1), 64)
}

/// A list of failure domains, one of each name.
pub fn failure_domains(generator: &mut SchemaGenerator) -> Schema {
    map_list::<FailureDomain>(generator, &["name"], Some(1), 100)
}

/// A list of version counts, one of each version.
pub fn versions(generator: &mut SchemaGenerator) -> Schema {
    map_list::<VersionCount>(generator, &["version"], Some(1), 100)
}

/// A number or a percentage.
pub fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
    })
}

/// Any JSON value.
pub fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Environment variables in the shape of core/v1.
pub fn env_vars(_: &mut SchemaGenerator) -> Schema {
    let quantity = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
    let key_ref = json!({
        "type": "object", "required": ["key"], "x-kubernetes-map-type": "atomic",
        "properties": {
            "key": {"type": "string", "description": "The key to select."},
            "name": {"type": "string", "default": "", "description": "The name of the object."},
            "optional": {"type": "boolean", "description": "Whether the object or its key may be missing."},
        },
    });
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 100,
        "items": {
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "description": "The name of the variable."},
                "value": {"type": "string", "description": "Its value."},
                "valueFrom": {
                    "type": "object", "description": "Where its value comes from.",
                    "properties": {
                        "configMapKeyRef": key_ref,
                        "secretKeyRef": key_ref,
                        "fieldRef": {
                            "type": "object", "required": ["fieldPath"], "x-kubernetes-map-type": "atomic",
                            "properties": {"apiVersion": {"type": "string"}, "fieldPath": {"type": "string"}},
                        },
                        "fileKeyRef": {
                            "type": "object", "required": ["key", "path", "volumeName"], "x-kubernetes-map-type": "atomic",
                            "properties": {
                                "key": {"type": "string"}, "path": {"type": "string"}, "volumeName": {"type": "string"},
                                "optional": {"type": "boolean", "default": false},
                            },
                        },
                        "resourceFieldRef": {
                            "type": "object", "required": ["resource"], "x-kubernetes-map-type": "atomic",
                            "properties": {
                                "containerName": {"type": "string"}, "resource": {"type": "string"},
                                "divisor": {
                                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                                    "pattern": quantity, "x-kubernetes-int-or-string": true,
                                },
                            },
                        },
                    },
                },
            },
        },
    })
}

/// Makes a generated schema structural and as strict as the kinds of Cluster API are: no nulls, no titles, no formats that only Rust
/// has, and bounds only where a kind sets them.
pub fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("nullable");
            // The keyword; a property of this name is a schema, not a text.
            if object.get("title").is_some_and(Value::is_string) {
                object.remove("title");
            }
            drop_null(object);
            // Again the keyword, and not a property of this name.
            if object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                object.remove("type");
                object.remove("format");
                object.insert(
                    "anyOf".to_owned(),
                    json!([{"type": "integer"}, {"type": "string"}]),
                );
                return;
            }
            for bound in ["minimum", "maximum"] {
                whole(object, bound);
            }
            for child in object.values_mut() {
                tidy(child);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Bounds that the derive writes as 1.0.
fn whole(object: &mut serde_json::Map<String, Value>, bound: &str) {
    if object.get("type").is_some_and(|t| t == "integer")
        && let Some(number) = object.get(bound).and_then(Value::as_f64)
        && let Ok(number) = format!("{number:.0}").parse::<i64>()
    {
        object.insert(bound.to_owned(), json!(number));
    }
}

/// `Option<T>` where the derive writes "T or null" as two alternatives: keeps T.
fn drop_null(object: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(alternatives)) = object.get("anyOf") else {
        return;
    };
    let is_null = |s: &Value| s["enum"] == json!([null]) || s["type"] == json!("null");
    if alternatives.len() != 2 || !alternatives.iter().any(is_null) {
        return;
    }
    let kept = alternatives.iter().find(|s| !is_null(s)).cloned();
    object.remove("anyOf");
    if let Some(Value::Object(kept)) = kept {
        for (key, value) in kept {
            object.entry(key).or_insert(value);
        }
    }
}
