//! What each keyword of a definition's schema may be and where it may stand; texts are Kubernetes'.

use serde_json::Value;

use super::structural::{Compiler, Level};
use crate::status::Cause;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Checks the keywords of one node.
pub(super) fn check(compiler: &mut Compiler, raw: &Value, path: &str, level: Level) {
    let Value::Object(members) = raw else {
        return;
    };
    let is_set = |name: &str| {
        members.get(name).is_some_and(|value| match value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Number(_) => true,
        })
    };
    for name in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        if is_set(name) {
            compiler.add(Cause::forbidden(
                format!("{path}.{name}"),
                &format!("{name} is not supported"),
            ));
        }
    }
    let ty = raw["type"].as_str().unwrap_or_default();
    if ty == "null" {
        let what = "type cannot be set to null, use nullable as an alternative";
        compiler.add(Cause::forbidden(format!("{path}.type"), what));
    } else if !ty.is_empty() && !TYPES.contains(&ty) {
        compiler.add(Cause::not_supported(
            format!("{path}.type"),
            &raw["type"],
            TYPES,
        ));
    }
    if raw["items"].is_array() {
        let what = "items must be a schema object and not an array";
        compiler.add(Cause::forbidden(format!("{path}.items"), what));
    }
    if is_set("uniqueItems") {
        let what =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        compiler.add(Cause::forbidden(format!("{path}.uniqueItems"), what));
    }
    if matches!(level, Level::Branch | Level::Idiom) {
        branch(compiler, raw, path, level, is_set);
    } else {
        structural(compiler, raw, path, level);
        lists(compiler, raw, path, ty);
        maps(compiler, raw, path, ty);
        rules(compiler, raw, path);
    }
}

/// What may not stand inside `allOf` and its like.
fn branch(
    compiler: &mut Compiler,
    raw: &Value,
    path: &str,
    level: Level,
    is_set: impl Fn(&str) -> bool,
) {
    if is_set("type") && level != Level::Idiom {
        compiler.add(Cause::forbidden(
            format!("{path}.type"),
            "must be empty to be structural",
        ));
    }
    if raw["additionalProperties"].is_object() || raw["additionalProperties"].is_boolean() {
        compiler.add(Cause::forbidden(
            format!("{path}.additionalProperties"),
            "must be undefined to be structural",
        ));
    }
    for (name, what) in [
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        (
            "x-kubernetes-preserve-unknown-fields",
            "must be false to be structural",
        ),
        (
            "x-kubernetes-embedded-resource",
            "must be false to be structural",
        ),
        (
            "x-kubernetes-int-or-string",
            "must be false to be structural",
        ),
        (
            "x-kubernetes-list-map-keys",
            "must be empty to be structural",
        ),
        (
            "x-kubernetes-list-type",
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-map-type",
            "must be undefined to be structural",
        ),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        if is_set(name) {
            compiler.add(Cause::forbidden(format!("{path}.{name}"), what));
        }
    }
    if !raw["properties"]["metadata"].is_null() {
        let what = "must not be specified in a nested context";
        compiler.add(Cause::forbidden(
            format!("{path}.properties[metadata]"),
            what,
        ));
    }
}

fn structural(compiler: &mut Compiler, raw: &Value, path: &str, level: Level) {
    let ty = raw["type"].as_str().unwrap_or_default();
    let is_true = |name: &str| raw[name] == true;
    let (int_or_string, preserve, embedded) = (
        is_true("x-kubernetes-int-or-string"),
        is_true("x-kubernetes-preserve-unknown-fields"),
        is_true("x-kubernetes-embedded-resource"),
    );
    if ty == "array" && !raw["items"].is_object() {
        compiler.add(Cause::required(
            format!("{path}.items"),
            "must be specified",
        ));
    }
    if embedded && ty != "object" {
        let what = "must be object if x-kubernetes-embedded-resource is true";
        compiler.add(if ty.is_empty() {
            Cause::required(format!("{path}.type"), what)
        } else {
            Cause::invalid(format!("{path}.type"), &raw["type"], what)
        });
    } else if ty.is_empty() && !int_or_string && !preserve {
        let what = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            _ => "must not be empty for specified object fields",
        };
        compiler.add(Cause::required(format!("{path}.type"), what));
    }
    combinations(compiler, raw, path, level);
    if level == Level::Root || embedded {
        header(compiler, raw, path, level);
    }
}

/// Keywords that exclude each other.
fn combinations(compiler: &mut Compiler, raw: &Value, path: &str, level: Level) {
    let ty = raw["type"].as_str().unwrap_or_default();
    let is_true = |name: &str| raw[name] == true;
    let (int_or_string, preserve, embedded) = (
        is_true("x-kubernetes-int-or-string"),
        is_true("x-kubernetes-preserve-unknown-fields"),
        is_true("x-kubernetes-embedded-resource"),
    );
    let has_additional =
        raw["additionalProperties"].is_object() || raw["additionalProperties"] == true;
    let properties = raw["properties"].as_object().filter(|p| !p.is_empty());
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        compiler.add(Cause::invalid(
            format!("{path}.type"),
            &raw["type"],
            "must be object at the root",
        ));
    }
    if has_additional {
        let forbidden = [
            (
                properties.is_some(),
                "additionalProperties and properties are mutual exclusive",
            ),
            (level == Level::Root, "must not be used at the root"),
            (
                embedded,
                "must not be used if x-kubernetes-embedded-resource is set",
            ),
        ];
        for (_, what) in forbidden.iter().filter(|(applies, _)| *applies) {
            compiler.add(Cause::forbidden(
                format!("{path}.additionalProperties"),
                what,
            ));
        }
    }
    if raw["x-kubernetes-preserve-unknown-fields"] == false {
        let field = format!("{path}.x-kubernetes-preserve-unknown-fields");
        compiler.add(Cause::invalid(
            field,
            &false.into(),
            "must be true or undefined",
        ));
    }
    for (is_set, name) in [
        (preserve, "x-kubernetes-preserve-unknown-fields"),
        (embedded, "x-kubernetes-embedded-resource"),
    ] {
        if int_or_string && is_set {
            let what = "must be false if x-kubernetes-int-or-string is true";
            compiler.add(Cause::invalid(format!("{path}.{name}"), &true.into(), what));
        }
    }
    if embedded && !preserve && properties.is_none() {
        let what = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        compiler.add(Cause::required(format!("{path}.properties"), what));
    }
}

/// `apiVersion`, `kind` and `metadata` of objects.
fn header(compiler: &mut Compiler, raw: &Value, path: &str, level: Level) {
    let properties = &raw["properties"];
    for name in ["kind", "apiVersion"] {
        let member = &properties[name];
        if member.is_object() && member["type"] != "string" {
            let field = format!("{path}.properties[{name}].type");
            let found = member["type"].as_str().unwrap_or_default();
            compiler.add(Cause::invalid(field, &found.into(), "must be string"));
        }
    }
    let metadata = &properties["metadata"];
    if !metadata.is_object() {
        return;
    }
    let field = format!("{path}.properties[metadata]");
    if metadata["type"] != "object" {
        let found = metadata["type"].as_str().unwrap_or_default();
        compiler.add(Cause::invalid(
            format!("{field}.type"),
            &found.into(),
            "must be object",
        ));
    }
    let extra_property = metadata["properties"].as_object().is_some_and(|p| {
        p.keys()
            .any(|name| name != "name" && name != "generateName")
    });
    let extra_keyword = metadata.as_object().is_some_and(|members| {
        members.keys().any(|name| {
            !matches!(
                name.as_str(),
                "type" | "properties" | "default" | "description"
            )
        })
    });
    if level == Level::Root && (extra_property || extra_keyword) {
        let what = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        compiler.add(Cause::forbidden(field, what));
    }
}

fn lists(compiler: &mut Compiler, raw: &Value, path: &str, ty: &str) {
    let list_type = raw["x-kubernetes-list-type"].as_str();
    let keys: Vec<&str> = raw["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let field = format!("{path}.x-kubernetes-list-type");
    if list_type.is_some() && ty != "array" {
        let what = "must be array if x-kubernetes-list-type is specified";
        compiler.add(if ty.is_empty() {
            Cause::required(format!("{path}.type"), what)
        } else {
            Cause::invalid(format!("{path}.type"), &raw["type"], what)
        });
    }
    let item = &raw["items"];
    match list_type {
        None | Some("atomic") => {}
        Some("set") => {
            let is_atomic = match item["type"].as_str() {
                Some("array") => matches!(
                    item["x-kubernetes-list-type"].as_str(),
                    None | Some("atomic")
                ),
                Some("object") => item["x-kubernetes-map-type"] == "atomic",
                _ => true,
            };
            if !is_atomic {
                let is_map = item["type"] == "object";
                let (name, value) = if is_map {
                    ("x-kubernetes-map-type", &item["x-kubernetes-map-type"])
                } else {
                    ("x-kubernetes-list-type", &item["x-kubernetes-list-type"])
                };
                let what = "must be atomic as item of a list with x-kubernetes-list-type=set";
                compiler.add(Cause::invalid(format!("{path}.items.{name}"), value, what));
            }
        }
        Some("map") => map_keys(compiler, raw, path, &keys),
        Some(_) => {
            let allowed = &["atomic", "set", "map"];
            compiler.add(Cause::not_supported(
                field.clone(),
                &raw["x-kubernetes-list-type"],
                allowed,
            ));
        }
    }
    if matches!(list_type, Some("set" | "map")) && item["nullable"] == true {
        let what = format!(
            "cannot be nullable when x-kubernetes-list-type is {}",
            list_type.unwrap_or_default()
        );
        compiler.add(Cause::forbidden(format!("{path}.items.nullable"), &what));
    }
    if !keys.is_empty() && list_type != Some("map") {
        let what = "must be map if x-kubernetes-list-map-keys is non-empty";
        compiler.add(match list_type {
            None => Cause::required(field, what),
            Some(_) => Cause::invalid(field, &raw["x-kubernetes-list-type"], what),
        });
    }
}

fn map_keys(compiler: &mut Compiler, raw: &Value, path: &str, keys: &[&str]) {
    let item = &raw["items"];
    let field = format!("{path}.x-kubernetes-list-map-keys");
    if keys.is_empty() {
        compiler.add(Cause::required(
            field,
            "must not be empty if x-kubernetes-list-type is map",
        ));
        return;
    }
    if !item.is_object() {
        let what = "must have a schema if x-kubernetes-list-type is map";
        compiler.add(Cause::required(format!("{path}.items"), what));
        return;
    }
    if item["type"] != "object" {
        let what = "must be object if parent array's x-kubernetes-list-type is map";
        compiler.add(Cause::invalid(
            format!("{path}.items.type"),
            &item["type"],
            what,
        ));
    }
    let required: Vec<&str> = item["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (index, key) in keys.iter().enumerate() {
        let property = &item["properties"][*key];
        let at = format!("{path}.items.properties[{key}]");
        if !property.is_object() {
            let what = "entries must all be names of item properties";
            compiler.add(Cause::invalid(
                field.clone(),
                &raw["x-kubernetes-list-map-keys"],
                what,
            ));
            continue;
        }
        if keys[..index].contains(key) {
            let what = "must not contain duplicate entries";
            compiler.add(Cause::invalid(
                field.clone(),
                &raw["x-kubernetes-list-map-keys"],
                what,
            ));
        }
        if matches!(property["type"].as_str(), Some("array" | "object")) {
            let what = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            compiler.add(Cause::invalid(
                format!("{at}.type"),
                &property["type"],
                what,
            ));
        }
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let what = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            compiler.add(Cause::required(format!("{at}.default"), what));
        }
        if property["nullable"] == true {
            let what = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            compiler.add(Cause::forbidden(format!("{at}.nullable"), what));
        }
    }
}

fn maps(compiler: &mut Compiler, raw: &Value, path: &str, ty: &str) {
    let Some(map_type) = raw["x-kubernetes-map-type"].as_str() else {
        return;
    };
    if ty != "object" {
        let what = "must be object if x-kubernetes-map-type is specified";
        compiler.add(if ty.is_empty() {
            Cause::required(format!("{path}.type"), what)
        } else {
            Cause::invalid(format!("{path}.type"), &raw["type"], what)
        });
    }
    if !matches!(map_type, "atomic" | "granular") {
        let field = format!("{path}.x-kubernetes-map-type");
        compiler.add(Cause::not_supported(
            field,
            &map_type.into(),
            &["atomic", "granular"],
        ));
    }
}

/// Shape of the CEL rules; their expressions are compiled when the whole schema is known.
fn rules(compiler: &mut Compiler, raw: &Value, path: &str) {
    for (index, rule) in raw["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let at = format!("{path}.x-kubernetes-validations[{index}]");
        let text = |name: &str| rule[name].as_str().map(str::trim);
        let expression = text("rule").unwrap_or_default();
        if expression.is_empty() {
            compiler.add(Cause::required(
                format!("{at}.rule"),
                "rule is not specified",
            ));
        }
        let message = rule["message"].as_str().unwrap_or_default();
        if !message.is_empty() && message.trim().is_empty() {
            compiler.add(Cause::invalid(
                format!("{at}.message"),
                &message.into(),
                "must be non-empty if specified",
            ));
        } else if message.trim().contains(['\n', '\r']) {
            compiler.add(Cause::invalid(
                format!("{at}.message"),
                &message.into(),
                "must not contain line breaks",
            ));
        } else if expression.contains(['\n', '\r']) && message.is_empty() {
            let what = "message must be specified if rule contains line breaks";
            compiler.add(Cause::required(format!("{at}.message"), what));
        }
        if rule["messageExpression"]
            .as_str()
            .is_some_and(|e| !e.is_empty() && e.trim().is_empty())
        {
            let what = "messageExpression must be non-empty if specified";
            compiler.add(Cause::required(format!("{at}.messageExpression"), what));
        }
        let field_path = rule["fieldPath"].as_str().unwrap_or_default();
        if !field_path.is_empty() && field_path.trim().is_empty() {
            compiler.add(Cause::invalid(
                format!("{at}.fieldPath"),
                &rule["fieldPath"],
                "must be non-empty if specified",
            ));
        }
        if field_path.contains(['\n', '\r']) {
            compiler.add(Cause::invalid(
                format!("{at}.fieldPath"),
                &rule["fieldPath"],
                "must not contain line breaks",
            ));
        }
        if let Some(reason) = rule["reason"].as_str() {
            let allowed = &[
                "FieldValueDuplicate",
                "FieldValueForbidden",
                "FieldValueInvalid",
                "FieldValueRequired",
            ];
            if !allowed.contains(&reason) {
                compiler.add(Cause::not_supported(
                    format!("{at}.reason"),
                    &reason.into(),
                    allowed,
                ));
            }
        }
    }
}
