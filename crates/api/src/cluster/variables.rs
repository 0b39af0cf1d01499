//! Variables of ClusterClasses: what their definitions must be, what values they allow, and what they fill in. The schemas are those
//! of CustomResourceDefinitions without references. Rules in CEL are not looked at here: this crate has no engine for them.

use std::collections::{BTreeMap, BTreeSet};

use regex::RegexBuilder;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::cluster_class::ClassVariable;
use super::topology::Variable;
use crate::meta::FieldError;

/// The variable that every patch has besides those of the class.
pub const BUILTIN: &str = "builtin";
/// The deepest nesting of a schema, and so of a value.
const DEPTH_MAX: usize = 64;
/// Errors that are looked for; who has so many has seen enough.
const ERRORS_MAX: usize = 50;
/// Values of an enumeration that a message shows.
const SHOWN_MAX: usize = 20;
/// Characters of a value that a message shows.
const SHOWN_LENGTH: usize = 200;
/// The largest compiled pattern, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

const TYPES: [&str; 6] = ["object", "array", "string", "integer", "number", "boolean"];

/// The schema of `openAPIV3Schema`. Schemas within it are not described: a structural schema cannot refer to itself.
pub fn schema_of_schemas(_: &mut SchemaGenerator) -> Schema {
    let any = || json!({"x-kubernetes-preserve-unknown-fields": true});
    let count = || json!({"type": "integer", "format": "int64"});
    let text = |max: u32| json!({"type": "string", "minLength": 1, "maxLength": max});
    let flag = || json!({"type": "boolean"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let mut properties = Map::new();
    for (names, schema) in [
        (
            "additionalProperties allOf anyOf default example items not oneOf properties",
            any(),
        ),
        (
            "maxItems maxLength maxProperties maximum minItems minLength minProperties minimum",
            count(),
        ),
        (
            "exclusiveMaximum exclusiveMinimum uniqueItems x-kubernetes-int-or-string x-kubernetes-preserve-unknown-fields",
            flag(),
        ),
        ("description", text(4096)),
        ("format", text(32)),
        ("pattern", text(512)),
        (
            "enum",
            json!({"type": "array", "maxItems": 100, "items": any()}),
        ),
        (
            "required",
            json!({"type": "array", "minItems": 1, "maxItems": 1000, "items": text(256)}),
        ),
        ("type", json!({"type": "string", "enum": TYPES})),
        (
            "x-metadata",
            json!({"type": "object", "minProperties": 1, "properties": {"labels": texts, "annotations": texts}}),
        ),
    ] {
        for name in names.split(' ') {
            properties.insert(name.to_owned(), schema.clone());
        }
    }
    properties.insert("x-kubernetes-validations".to_owned(), json!({
        "type": "array", "minItems": 1, "maxItems": 100,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["rule"],
        "items": {
            "type": "object", "required": ["rule"],
            "properties": {
                "rule": text(4096), "message": text(512), "messageExpression": text(1024), "fieldPath": text(512),
                "reason": {
                    "type": "string", "default": "FieldValueInvalid",
                    "enum": ["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"],
                },
            },
        },
    }));
    json_schema!({"type": "object", "minProperties": 1, "properties": properties})
}

/// What is wrong with the definitions of a class.
pub fn check_definitions(path: &str, variables: &[ClassVariable], errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (i, variable) in variables.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let name = variable.name.as_str();
        let name_path = format!("{path}.name");
        if name == BUILTIN {
            let why = format!("{name:?} is the name of what every patch knows; choose another one");
            errors.push(FieldError::invalid(&name_path, why));
        }
        if name.contains('.') {
            let why = format!("{name:?} must not contain a \".\": that leads into a variable");
            errors.push(FieldError::invalid(&name_path, why));
        }
        if !names.insert(name) {
            let why = format!("{name:?} is defined twice; names of variables must be unique");
            errors.push(FieldError::invalid(&name_path, why));
        }
        let path = format!("{path}.schema.openAPIV3Schema");
        check_schema(&path, &variable.schema.open_api, 0, errors);
    }
}

/// What is wrong with a schema.
fn check_schema(path: &str, schema: &Value, depth: usize, errors: &mut Vec<FieldError>) {
    if depth > DEPTH_MAX {
        let why = format!("must not be nested more than {DEPTH_MAX} deep");
        errors.push(FieldError::invalid(path, why));
        return;
    }
    if !schema.is_object() {
        errors.push(FieldError::invalid(path, "must be a schema, so an object"));
        return;
    }
    let is_flagged = |key: &str| schema[key] == true;
    let is_open = is_flagged("x-kubernetes-preserve-unknown-fields")
        || is_flagged("x-kubernetes-int-or-string");
    match schema["type"].as_str() {
        Some(known) if TYPES.contains(&known) => {}
        Some(other) => {
            let why = format!("{other:?} must be one of {}", TYPES.join(", "));
            errors.push(FieldError::invalid(format!("{path}.type"), why));
        }
        None if is_open => {}
        None => errors.push(FieldError::required(
            format!("{path}.type"),
            format!("must be one of {}", TYPES.join(", ")),
        )),
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(why) = compile(pattern)
    {
        let why = format!("{pattern:?} is no regular expression: {why}");
        errors.push(FieldError::invalid(format!("{path}.pattern"), why));
    }
    if schema["type"] == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(
            format!("{path}.items"),
            "must be the schema of the items",
        ));
    }
    let before = errors.len();
    check_nested(path, schema, depth, errors);
    if errors.len() > before {
        return;
    }
    let examples = [
        ("default", &schema["default"]),
        ("example", &schema["example"]),
    ];
    for (field, value) in examples {
        if !value.is_null() {
            check_value(&format!("{path}.{field}"), schema, value, errors);
        }
    }
    for (i, value) in items(&schema["enum"]).enumerate() {
        let mut others = schema.clone();
        others["enum"] = Value::Null;
        check_value(&format!("{path}.enum[{i}]"), &others, value, errors);
    }
}

fn check_nested(path: &str, schema: &Value, depth: usize, errors: &mut Vec<FieldError>) {
    for (name, property) in members(&schema["properties"]) {
        check_schema(
            &format!("{path}.properties[{name}]"),
            property,
            depth + 1,
            errors,
        );
    }
    if schema["items"].is_object() {
        check_schema(
            &format!("{path}.items"),
            &schema["items"],
            depth + 1,
            errors,
        );
    }
    let additional = &schema["additionalProperties"];
    if additional.is_object() {
        if members(&schema["properties"]).next().is_some() {
            errors.push(FieldError::forbidden(
                format!("{path}.additionalProperties"),
                "cannot be set together with properties",
            ));
        }
        let path = format!("{path}.additionalProperties");
        check_schema(&path, additional, depth + 1, errors);
    }
}

fn compile(pattern: &str) -> Result<regex::Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE_MAX)
        .build()
        .map_err(|error| error.to_string())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Fills in what the definitions have defaults for: whole variables in the values of a cluster, but only parts of those that are
/// there in overrides.
pub fn default_values(
    values: &mut Option<Vec<Variable>>,
    definitions: &[ClassVariable],
    is_override: bool,
) {
    for definition in definitions {
        let schema = &definition.schema.open_api;
        let found = values
            .iter_mut()
            .flatten()
            .find(|v| v.name == definition.name);
        if let Some(variable) = found {
            fill(schema, &mut variable.value, 0);
        } else if !is_override && !schema["default"].is_null() {
            let mut value = schema["default"].clone();
            fill(schema, &mut value, 0);
            let name = definition.name.clone();
            values
                .get_or_insert_default()
                .push(Variable { name, value });
        }
    }
}

/// Fills the defaults of the schema into a value that is there.
fn fill(schema: &Value, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::Object(object) => {
            for (name, property) in members(&schema["properties"]) {
                if let Some(inner) = object.get_mut(name) {
                    fill(property, inner, depth + 1);
                } else if !property["default"].is_null() {
                    let mut inner = property["default"].clone();
                    fill(property, &mut inner, depth + 1);
                    object.insert(name.clone(), inner);
                }
            }
            let additional = &schema["additionalProperties"];
            if additional.is_object() {
                object
                    .values_mut()
                    .for_each(|inner| fill(additional, inner, depth + 1));
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|item| fill(&schema["items"], item, depth + 1)),
        _ => {}
    }
}

/// What is wrong with the values of a cluster, or with overrides of them.
pub fn check_values(
    path: &str,
    values: Option<&[Variable]>,
    definitions: &[ClassVariable],
    is_override: bool,
    errors: &mut Vec<FieldError>,
) {
    let values = values.unwrap_or_default();
    let mut names = BTreeSet::new();
    for variable in values {
        let (name, path) = (&variable.name, format!("{path}[{}]", variable.name));
        if !names.insert(name) {
            errors.push(FieldError::invalid(&path, "is given twice"));
        }
        match definitions.iter().find(|d| d.name == *name) {
            Some(definition) => {
                let schema = &definition.schema.open_api;
                check_value(&format!("{path}.value"), schema, &variable.value, errors);
            }
            None => errors.push(FieldError::invalid(
                path,
                format!("{name:?} is no variable of the ClusterClass"),
            )),
        }
    }
    if is_override {
        return;
    }
    for definition in definitions.iter().filter(|d| d.required) {
        if !names.contains(&definition.name) {
            let why = "the ClusterClass says that this variable must have a value";
            errors.push(FieldError::required(
                format!("{path}[{}]", definition.name),
                why,
            ));
        }
    }
}

/// The beginning of a text, for a message.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong with a value.
pub fn check_value(path: &str, schema: &Value, value: &Value, errors: &mut Vec<FieldError>) {
    let mut found = Errors::default();
    check_at(path, schema, value, 0, &mut found);
    errors.extend(found.list);
}

/// What was found so far of a value, and patterns that were compiled on the way: a long list has the same one for all its items.
#[derive(Default)]
struct Errors {
    list: Vec<FieldError>,
    patterns: BTreeMap<String, Option<regex::Regex>>,
}

impl Errors {
    fn push(&mut self, error: FieldError) {
        self.list.push(error);
    }

    /// Whether a text matches. What is no pattern is told where it is defined.
    fn is_match(&mut self, pattern: &str, text: &str) -> bool {
        if !self.patterns.contains_key(pattern) {
            let compiled = compile(pattern).ok();
            self.patterns.insert(pattern.to_owned(), compiled);
        }
        let compiled = self.patterns.get(pattern).and_then(Option::as_ref);
        compiled.is_none_or(|regex| regex.is_match(text))
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_at(path: &str, schema: &Value, value: &Value, depth: usize, errors: &mut Errors) {
    if errors.list.len() >= ERRORS_MAX {
        return;
    }
    if depth > DEPTH_MAX {
        let why = format!("must not be nested more than {DEPTH_MAX} deep");
        errors.push(FieldError::invalid(path, why));
        return;
    }
    let found = type_of(value);
    if schema["x-kubernetes-int-or-string"] == true {
        if !matches!(found, "integer" | "string") {
            let why = format!("must be an integer or a string, and not of type {found}");
            errors.push(FieldError::invalid(path, why));
            return;
        }
    } else if let Some(wanted) = schema["type"].as_str() {
        let is_whole = value.as_f64().is_some_and(|n| n.fract() == 0.0);
        let is_right = wanted == found
            || (wanted == "number" && found == "integer")
            || (wanted == "integer" && found == "number" && is_whole);
        if !is_right {
            let why = format!("must be of type {wanted}, and not of type {found}");
            errors.push(FieldError::invalid(path, why));
            return;
        }
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed
            .iter()
            .take(SHOWN_MAX)
            .map(ToString::to_string)
            .collect();
        let (value, allowed) = (value.to_string(), allowed.join(", "));
        let why = format!("{} must be one of {}", short(&value), short(&allowed));
        errors.push(FieldError::invalid(path, why));
    }
    match value {
        Value::Number(_) => check_number(path, schema, value, errors),
        Value::String(text) => check_text(path, schema, text, errors),
        Value::Array(list) => check_list(path, schema, list, depth, errors),
        Value::Object(object) => check_object(path, schema, object, depth, errors),
        Value::Null | Value::Bool(_) => {}
    }
    check_junctors(path, schema, value, depth, errors);
}

fn check_number(path: &str, schema: &Value, value: &Value, errors: &mut Errors) {
    let Some(number) = value.as_f64() else { return };
    let bound = |key: &str| schema[key].as_f64();
    let is_open = |key: &str| schema[key] == true;
    if let Some(min) = bound("minimum")
        && (number < min || (is_open("exclusiveMinimum") && number <= min))
    {
        let than = if is_open("exclusiveMinimum") {
            "more than"
        } else {
            "at least"
        };
        errors.push(FieldError::invalid(
            path,
            format!("{value} must be {than} {min}"),
        ));
    }
    if let Some(max) = bound("maximum")
        && (number > max || (is_open("exclusiveMaximum") && number >= max))
    {
        let than = if is_open("exclusiveMaximum") {
            "less than"
        } else {
            "at most"
        };
        errors.push(FieldError::invalid(
            path,
            format!("{value} must be {than} {max}"),
        ));
    }
}

/// A count of something must be within two bounds of the schema.
fn check_count(
    path: &str,
    schema: &Value,
    (min, max): (&str, &str),
    (count, what): (usize, &str),
    errors: &mut Errors,
) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    if let Some(min) = schema[min].as_u64().filter(|min| count < *min) {
        errors.push(FieldError::invalid(
            path,
            format!("must have at least {min} {what}"),
        ));
    }
    if let Some(max) = schema[max].as_u64().filter(|max| count > *max) {
        errors.push(FieldError::invalid(
            path,
            format!("must have at most {max} {what}"),
        ));
    }
}

fn check_text(path: &str, schema: &Value, text: &str, errors: &mut Errors) {
    let bounds = ("minLength", "maxLength");
    check_count(
        path,
        schema,
        bounds,
        (text.chars().count(), "characters"),
        errors,
    );
    if let Some(pattern) = schema["pattern"].as_str()
        && !errors.is_match(pattern, text)
    {
        let why = format!(
            "{:?} must match the pattern {:?}",
            short(text),
            short(pattern)
        );
        errors.push(FieldError::invalid(path, why));
    }
}

fn check_list(path: &str, schema: &Value, list: &[Value], depth: usize, errors: &mut Errors) {
    check_count(
        path,
        schema,
        ("minItems", "maxItems"),
        (list.len(), "items"),
        errors,
    );
    if schema["uniqueItems"] == true {
        let mut seen = BTreeSet::new();
        if !list.iter().all(|item| seen.insert(item.to_string())) {
            errors.push(FieldError::invalid(path, "must not have an item twice"));
        }
    }
    for (i, item) in list.iter().enumerate() {
        check_at(
            &format!("{path}[{i}]"),
            &schema["items"],
            item,
            depth + 1,
            errors,
        );
    }
}

fn check_object(
    path: &str,
    schema: &Value,
    object: &Map<String, Value>,
    depth: usize,
    errors: &mut Errors,
) {
    let bounds = ("minProperties", "maxProperties");
    check_count(path, schema, bounds, (object.len(), "fields"), errors);
    for name in items(&schema["required"]).filter_map(Value::as_str) {
        if !object.contains_key(name) {
            errors.push(FieldError::required(
                format!("{path}.{name}"),
                "must be set",
            ));
        }
    }
    let additional = &schema["additionalProperties"];
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true || *additional == true;
    for (name, inner) in object {
        let path = format!("{path}.{name}");
        if let Some(property) = schema["properties"].get(name) {
            check_at(&path, property, inner, depth + 1, errors);
        } else if additional.is_object() {
            check_at(&path, additional, inner, depth + 1, errors);
        } else if !is_open && schema["type"] == "object" {
            errors.push(FieldError::invalid(path, "is no field of the variable"));
        }
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`.
fn check_junctors(path: &str, schema: &Value, value: &Value, depth: usize, errors: &mut Errors) {
    for part in items(&schema["allOf"]) {
        check_at(path, part, value, depth + 1, errors);
    }
    let mut own = Errors {
        list: vec![],
        patterns: std::mem::take(&mut errors.patterns),
    };
    let mut fits = |schema: &Value| {
        own.list.clear();
        check_at(path, schema, value, depth + 1, &mut own);
        own.list.is_empty()
    };
    let mut count = |key: &str| items(&schema[key]).filter(|part| fits(part)).count();
    let (any, one) = (count("anyOf"), count("oneOf"));
    let is_not = schema["not"].is_object() && fits(&schema["not"]);
    errors.patterns = own.patterns;
    if schema["anyOf"].is_array() && any == 0 {
        errors.push(FieldError::invalid(
            path,
            "must fit at least one schema of anyOf",
        ));
    }
    if schema["oneOf"].is_array() && one != 1 {
        errors.push(FieldError::invalid(
            path,
            "must fit exactly one schema of oneOf",
        ));
    }
    if is_not {
        errors.push(FieldError::invalid(path, "must not fit the schema of not"));
    }
}
