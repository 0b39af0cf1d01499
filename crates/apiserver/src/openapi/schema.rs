//! Schema nodes as OpenAPI writes them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Version;
use super::components::{INT_OR_STRING, MICRO_TIME, QUANTITY, TIME};
use crate::schema::{Field, ListType, Object, Presence, Proto, Rules, Schema, Type, builtin};

/// Writes nodes and notes which components they refer to.
pub(super) struct Writer {
    pub(super) version: Version,
    /// Nodes of built-in kinds name common types; those of custom resources spell everything out.
    pub(super) is_builtin: bool,
    /// Names of components that were referred to.
    pub(super) referred: BTreeSet<String>,
}

impl Writer {
    /// `#/components/schemas/…` in version 3, `#/definitions/…` in version 2.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        self.referred.insert(name.to_owned());
        match self.version {
            Version::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
            Version::V2 => json!({"$ref": format!("#/definitions/{name}")}),
        }
    }

    /// One node with everything below it, up to references.
    pub(super) fn node(&mut self, schema: &Schema) -> Value {
        let mut node = self.attributes(schema);
        if let Some(name) = self.named_type(schema) {
            let reference = self.reference(&name);
            if node.is_empty() {
                return reference;
            }
            // In version 3 nothing may stand beside a reference.
            match self.version {
                Version::V3 => node.insert("allOf".into(), json!([reference])),
                Version::V2 => node.insert("$ref".into(), reference["$ref"].clone()),
            };
            return Value::Object(node);
        }
        self.structure(schema, &mut node);
        if let Some(rules) = &schema.rules {
            self.rules(rules, &mut node);
        }
        if node.is_empty() {
            // `kubectl explain` stumbles over a node that says nothing at all.
            node.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
        Value::Object(node)
    }

    /// The component that a node is, when it is one.
    fn named_type(&self, schema: &Schema) -> Option<String> {
        let name = match (&schema.ty, schema.format()) {
            (Type::Ref(name), _) => return Some(name.to_string()),
            _ if !self.is_builtin => return None,
            (Type::String, "date-time") => TIME,
            (Type::String, "micro-time") => MICRO_TIME,
            (Type::String, "quantity") => QUANTITY,
            (Type::IntOrString, _) => INT_OR_STRING,
            _ => return None,
        };
        Some(name.to_owned())
    }

    /// What may be said of any node, whatever its type.
    fn attributes(&self, schema: &Schema) -> Map<String, Value> {
        let mut node = Map::new();
        let mut set = |key: &str, value: Value| node.insert(key.to_owned(), value);
        if let Some(description) = &schema.description {
            set("description", json!(description));
        }
        if let Some(default) = &schema.default {
            set("default", default.clone());
        }
        if schema.nullable && self.version == Version::V3 {
            set("nullable", true.into());
        }
        if schema.embedded {
            set("x-kubernetes-embedded-resource", true.into());
        }
        if schema.preserve_unknown {
            set("x-kubernetes-preserve-unknown-fields", true.into());
        }
        let is_meant = schema.declares_list_type || schema.list_type != ListType::Atomic;
        let says_list_type = self.is_builtin || is_meant;
        if says_list_type && matches!(schema.ty, Type::Array(_)) {
            let name = match &schema.list_type {
                ListType::Atomic => "atomic",
                ListType::Set => "set",
                ListType::Map(keys) => {
                    let keys: Vec<&str> = keys.iter().map(|(key, _)| &**key).collect();
                    set("x-kubernetes-list-map-keys", json!(keys));
                    "map"
                }
            };
            set("x-kubernetes-list-type", name.into());
        }
        if schema.atomic_map {
            set("x-kubernetes-map-type", "atomic".into());
        }
        if let Some(patch) = &schema.patch {
            let strategy = match (patch.merge, patch.retain_keys) {
                (true, true) => "merge,retainKeys",
                (true, false) => "merge",
                (false, true) => "retainKeys",
                (false, false) => "replace",
            };
            set("x-kubernetes-patch-strategy", strategy.into());
            if let Some(key) = &patch.merge_key {
                set("x-kubernetes-patch-merge-key", json!(key));
            }
        }
        node
    }

    /// kubectl takes members of a custom resource that version 2 names for all that there are, and null for no value of
    /// any type: where others are allowed, nothing is said.
    fn is_untold(&self, schema: &Schema) -> bool {
        let is_open = match &schema.ty {
            Type::Object(_) | Type::Array(_) => schema.nullable || schema.preserve_unknown,
            Type::IntOrString => false,
            _ => schema.nullable,
        };
        is_open && self.version == Version::V2 && !self.is_builtin
    }

    /// The type with its members.
    fn structure(&mut self, schema: &Schema, node: &mut Map<String, Value>) {
        if self.is_untold(schema) {
            return;
        }
        let ty = match &schema.ty {
            // A reference is written as such; anything needs no words.
            Type::Any | Type::Ref(_) => return,
            Type::IntOrString => {
                node.insert("x-kubernetes-int-or-string".into(), true.into());
                return;
            }
            Type::Object(object) => {
                let mut properties = Map::new();
                let mut required = Vec::new();
                let is_list = is_list_of_kind(object);
                for (name, field) in &object.fields {
                    let mut member = self.node(&field.schema);
                    if is_list && &**name == "items" {
                        // Nobody owns parts of a list of objects.
                        member
                            .as_object_mut()
                            .map(|member| member.remove("x-kubernetes-list-type"));
                    }
                    if self.is_builtin && self.version == Version::V3 {
                        default_to_zero(field, &mut member);
                    }
                    properties.insert(name.to_string(), member);
                    if field.required && !(field.schema.nullable && self.is_untold(&field.schema)) {
                        required.push(json!(name));
                    }
                }
                if !properties.is_empty() {
                    node.insert("properties".into(), Value::Object(properties));
                }
                if !required.is_empty() {
                    node.insert("required".into(), required.into());
                }
                if let Some(additional) = &object.additional {
                    let mut values = self.node(additional);
                    if self.is_builtin {
                        values
                            .as_object_mut()
                            .map(|values| values.remove("x-kubernetes-list-type"));
                    }
                    node.insert("additionalProperties".into(), values);
                }
                "object"
            }
            Type::Array(items) => {
                node.insert("items".into(), self.node(items));
                "array"
            }
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
        };
        node.insert("type".into(), ty.into());
    }

    /// What validation looks at. Version 2 knows no alternatives.
    fn rules(&mut self, rules: &Rules, node: &mut Map<String, Value>) {
        let numbers = [
            ("minimum", rules.minimum),
            ("maximum", rules.maximum),
            ("multipleOf", rules.multiple_of),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                node.insert(key.into(), plain_number(number));
            }
        }
        let sizes = [
            ("minLength", rules.min_length),
            ("maxLength", rules.max_length),
            ("minItems", rules.min_items),
            ("maxItems", rules.max_items),
            ("minProperties", rules.min_properties),
            ("maxProperties", rules.max_properties),
        ];
        for (key, size) in sizes {
            if let Some(size) = size {
                node.insert(key.into(), size.into());
            }
        }
        let flags = [
            ("exclusiveMinimum", rules.exclusive_minimum),
            ("exclusiveMaximum", rules.exclusive_maximum),
        ];
        for (key, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
            node.insert(key.into(), true.into());
        }
        for (key, text) in [("format", &rules.format), ("pattern", &rules.pattern)] {
            if let Some(text) = text {
                node.insert(key.into(), json!(text));
            }
        }
        if !rules.enumeration.is_empty() {
            node.insert("enum".into(), rules.enumeration.clone().into());
        }
        if !rules.validations.is_empty() {
            node.insert(
                "x-kubernetes-validations".into(),
                rules.validations.clone().into(),
            );
        }
        let required = node.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required {
            required.extend(rules.required_only.iter().map(|name| json!(name)));
        }
        if node["required"].as_array().is_some_and(Vec::is_empty) {
            node.remove("required");
        }
        if self.version == Version::V3 {
            let alternatives = [
                ("allOf", &rules.all_of),
                ("anyOf", &rules.any_of),
                ("oneOf", &rules.one_of),
            ];
            for (key, schemas) in alternatives {
                if !schemas.is_empty() {
                    let nodes = schemas.iter().map(|schema| self.node(schema)).collect();
                    node.insert(key.into(), nodes);
                }
            }
            if let Some(not) = &rules.not {
                let not = self.node(not);
                node.insert("not".into(), not);
            }
        }
    }
}

/// Whether these are the fields of a list of objects.
fn is_list_of_kind(object: &Object) -> bool {
    let metadata = object.fields.get("metadata");
    metadata.is_some_and(
        |field| matches!(&field.schema.ty, Type::Ref(name) if **name == *builtin::LIST_META),
    )
}

/// What a member is that nobody gave and that is written nevertheless.
fn default_to_zero(field: &Field, member: &mut Value) {
    let is_written = |proto: &Proto| proto.presence == Presence::Always;
    let Some(fields) = member.as_object_mut() else {
        return;
    };
    if !field.proto.as_ref().is_some_and(is_written) || fields.contains_key("default") {
        return;
    }
    let zero = match (&field.schema.ty, field.schema.format()) {
        (Type::Ref(_), _) => json!({}),
        (Type::String, "") => json!(""),
        (Type::Integer, _) => json!(0),
        (Type::Boolean, _) => json!(false),
        _ => return,
    };
    // Nothing may stand beside a reference.
    if let Some(reference) = fields.remove("$ref") {
        fields.insert("allOf".into(), json!([{"$ref": reference}]));
    }
    fields.insert("default".into(), zero);
}

/// `3` rather than `3.0`.
fn plain_number(number: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only whole numbers in range are cast"
    )]
    if number.fract() == 0.0 && number.abs() < 9e15 {
        json!(number as i64)
    } else {
        json!(number)
    }
}
