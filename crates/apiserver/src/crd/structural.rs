//! OpenAPI v3 schemas of CustomResourceDefinitions to structural schemas, with what breaks their rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::keywords;
use crate::schema::validate::validate_node;
use crate::schema::{Field, ListType, Object, Rules, Schema, Type, builtin, fields, regexp};
use crate::status::Cause;

/// Nesting of a schema; that of the documents it describes is about half of it.
const MAX_DEPTH: usize = 120;

/// Causes that are told.
const MAX_CAUSES: usize = 64;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    Item,
    Member,
    /// Inside `allOf`, `anyOf`, `oneOf` or `not`.
    Branch,
    /// As `Branch`, in the two idioms of `x-kubernetes-int-or-string`, where `type` may stand.
    Idiom,
}

/// Compiles the schema of one version; `path` is where it stands in the definition.
///
/// The schema is usable even when causes come with it, as for definitions that were stored before a rule was made.
pub(super) fn compile(raw: &Value, path: &str) -> (Schema, Vec<Cause>) {
    let mut compiler = Compiler {
        causes: Vec::new(),
        depth: 0,
    };
    let mut schema = compiler.node(raw, path, Level::Root);
    if raw["nullable"] == true {
        compiler.add(Cause::forbidden(
            format!("{path}.nullable"),
            "nullable cannot be true at the root",
        ));
    }
    restrict_metadata(&mut schema);
    (schema, compiler.causes)
}

/// The schema of a version without one: anything goes.
pub(super) fn open() -> Schema {
    let mut schema = Schema {
        ty: Type::Object(Object::default()),
        preserve_unknown: true,
        ..Schema::default()
    };
    restrict_metadata(&mut schema);
    schema
}

/// Gives a root `apiVersion`, `kind` and `metadata`; what the definition says of `metadata.name` stays as a rule.
fn restrict_metadata(schema: &mut Schema) {
    let Type::Object(object) = &mut schema.ty else {
        return;
    };
    for name in ["apiVersion", "kind"] {
        let text = Schema {
            ty: Type::String,
            ..Schema::default()
        };
        let field = object
            .fields
            .entry(name.into())
            .or_insert_with(|| optional(text));
        field.required = false;
    }
    let metadata = Field {
        schema: builtin::reference(builtin::OBJECT_META),
        required: false,
        proto: None,
    };
    let Some(said) = object.fields.insert("metadata".into(), metadata) else {
        return;
    };
    let says_something = matches!(&said.schema.ty, Type::Object(meta) if !meta.fields.is_empty());
    if says_something {
        let rule = Object {
            fields: BTreeMap::from([(
                "metadata".into(),
                Field {
                    required: false,
                    ..said
                },
            )]),
            additional: None,
        };
        let rule = Schema {
            ty: Type::Object(rule),
            ..Schema::default()
        };
        schema.rules.get_or_insert_default().all_of.push(rule);
    }
}

fn optional(schema: Schema) -> Field {
    Field {
        schema: Arc::new(schema),
        required: false,
        proto: None,
    }
}

/// Collects causes on the way.
pub(super) struct Compiler {
    causes: Vec<Cause>,
    depth: usize,
}

impl Compiler {
    pub(super) fn add(&mut self, cause: Cause) {
        if self.causes.len() < MAX_CAUSES {
            self.causes.push(cause);
        }
    }

    fn node(&mut self, raw: &Value, path: &str, level: Level) -> Schema {
        if self.depth > MAX_DEPTH {
            let what = format!("the schema is nested deeper than {MAX_DEPTH} levels");
            self.add(Cause::forbidden(path, &what));
            return open();
        }
        self.depth += 1;
        keywords::check(self, raw, path, level);
        let mut schema = Schema {
            description: raw["description"].as_str().map(Arc::from),
            nullable: raw["nullable"] == true,
            preserve_unknown: raw["x-kubernetes-preserve-unknown-fields"] == true,
            embedded: raw["x-kubernetes-embedded-resource"] == true,
            atomic_map: raw["x-kubernetes-map-type"] == "atomic",
            declares_list_type: raw["x-kubernetes-list-type"].is_string(),
            ..Schema::default()
        };
        schema.ty = self.ty(raw, path, level);
        schema.list_type = list_type(raw, &schema.ty);
        schema.rules = self.rules(raw, path, &schema);
        self.field_paths(path, &schema);
        if let Some(default) = raw
            .get("default")
            .filter(|default| !default.is_null() || schema.nullable)
        {
            self.default(default, path, &schema);
            schema.default = Some(default.clone());
        }
        self.depth -= 1;
        schema
    }

    fn ty(&mut self, raw: &Value, path: &str, level: Level) -> Type {
        if raw["x-kubernetes-int-or-string"] == true {
            return Type::IntOrString;
        }
        let has = |keyword: &str| raw.get(keyword).is_some_and(|v| !v.is_null());
        match raw["type"].as_str().unwrap_or_default() {
            "object" => Type::Object(self.object(raw, path, level)),
            "array" => {
                let item = match &raw["items"] {
                    items @ Value::Object(_) => {
                        self.node(items, &format!("{path}.items"), inner(level, Level::Item))
                    }
                    _ => Schema {
                        preserve_unknown: true,
                        ..Schema::default()
                    },
                };
                Type::Array(Arc::new(item))
            }
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            _ if has("properties") || has("additionalProperties") => {
                Type::Object(self.object(raw, path, level))
            }
            _ if has("items") && matches!(level, Level::Branch | Level::Idiom) => {
                let item = self.node(&raw["items"], &format!("{path}.items"), Level::Branch);
                Type::Array(Arc::new(item))
            }
            _ => Type::Any,
        }
    }

    fn object(&mut self, raw: &Value, path: &str, level: Level) -> Object {
        let required: Vec<&str> = raw["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut object = Object::default();
        for (name, member) in raw["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.properties[{name}]");
            let schema = self.node(member, &path, inner(level, Level::Member));
            let field = Field {
                required: required.contains(&name.as_str()),
                ..optional(schema)
            };
            object.fields.insert(name.as_str().into(), field);
        }
        object.additional = match &raw["additionalProperties"] {
            Value::Bool(true) => Some(Arc::new(Schema {
                preserve_unknown: true,
                ..Schema::default()
            })),
            value @ Value::Object(_) => {
                let path = format!("{path}.additionalProperties");
                Some(Arc::new(self.node(
                    value,
                    &path,
                    inner(level, Level::Member),
                )))
            }
            _ => None,
        };
        object
    }

    /// The rules of a node; `None` when there are none.
    fn rules(&mut self, raw: &Value, path: &str, schema: &Schema) -> Option<Box<Rules>> {
        let count = |name: &str| raw[name].as_u64();
        let text = |name: &str| {
            raw[name]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(Box::from)
        };
        let mut rules = Rules {
            format: text("format"),
            enumeration: raw["enum"].as_array().cloned().unwrap_or_default(),
            minimum: raw["minimum"].as_f64(),
            maximum: raw["maximum"].as_f64(),
            exclusive_minimum: raw["exclusiveMinimum"] == true,
            exclusive_maximum: raw["exclusiveMaximum"] == true,
            multiple_of: raw["multipleOf"].as_f64(),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: text("pattern"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            validations: raw["x-kubernetes-validations"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
            ..Rules::default()
        };
        if let Some(pattern) = &rules.pattern
            && let Err(error) = regexp::compile(pattern)
        {
            self.add(Cause::invalid(
                format!("{path}.pattern"),
                &raw["pattern"],
                &format!("must be a valid regular expression, but isn't: {error}"),
            ));
        }
        rules.required_only = required_only(raw, &schema.ty);
        let is_int_or_string = raw["x-kubernetes-int-or-string"] == true;
        for (keyword, target) in [
            ("allOf", &mut rules.all_of),
            ("anyOf", &mut rules.any_of),
            ("oneOf", &mut rules.one_of),
        ] {
            for (index, branch) in raw[keyword].as_array().into_iter().flatten().enumerate() {
                let path = format!("{path}.{keyword}[{index}]");
                let is_idiom = is_int_or_string
                    && (keyword == "anyOf"
                        || (keyword == "allOf" && index == 0 && branch.get("anyOf").is_some()));
                let level = if is_idiom {
                    Level::Idiom
                } else {
                    Level::Branch
                };
                target.push(self.branch(branch, &path, level, schema));
            }
        }
        if raw["not"].is_object() {
            let branch = self.branch(&raw["not"], &format!("{path}.not"), Level::Branch, schema);
            rules.not = Some(Box::new(branch));
        }
        (!rules.is_empty()).then(|| Box::new(rules))
    }

    /// Where CEL rules say that they are broken must be something that the schema has.
    fn field_paths(&mut self, path: &str, schema: &Schema) {
        let rules = schema.rules.iter().flat_map(|rules| &rules.validations);
        for (index, rule) in rules.enumerate() {
            let field_path = rule["fieldPath"].as_str().unwrap_or_default();
            if !field_path.is_empty()
                && super::expressions::field_path(field_path, schema).is_none()
            {
                self.add(Cause::invalid(
                    format!("{path}.x-kubernetes-validations[{index}].fieldPath"),
                    &rule["fieldPath"],
                    "must be a valid path",
                ));
            }
        }
    }

    fn branch(&mut self, raw: &Value, path: &str, level: Level, whole: &Schema) -> Schema {
        let schema = if level == Level::Idiom && raw.get("anyOf").is_some() {
            // The outer half of `allOf: [{anyOf: [{type: integer}, {type: string}]}]`.
            let branches = raw["anyOf"].as_array().into_iter().flatten();
            let any_of = branches
                .map(|branch| self.node(branch, path, Level::Idiom))
                .collect();
            let rules = Rules {
                any_of,
                ..Rules::default()
            };
            Schema {
                rules: Some(Box::new(rules)),
                ..Schema::default()
            }
        } else {
            self.node(raw, path, level)
        };
        if let (Type::Object(branch), Type::Object(whole)) = (&schema.ty, &whole.ty) {
            for name in branch.fields.keys() {
                if !whole.fields.contains_key(name) && whole.additional.is_none() {
                    let base = path.rsplit_once('.').map_or(path, |(base, _)| base);
                    self.add(Cause::required(
                        format!("{base}.properties[{name}]"),
                        &format!("because it is defined in {path}.properties[{name}]"),
                    ));
                }
            }
        }
        schema
    }

    /// A default must itself be valid and have no unknown members.
    fn default(&mut self, default: &Value, path: &str, schema: &Schema) {
        let path = format!("{path}.default");
        if !fields::prune_node(&mut default.clone(), schema).is_empty() {
            self.add(Cause::invalid(
                path.clone(),
                default,
                "must not have unknown fields",
            ));
        }
        for cause in validate_node(default, schema, None) {
            let field = match cause.field.as_str() {
                "" => path.clone(),
                inner => format!("{path}.{inner}"),
            };
            // Defaults inside a default fill what is missing in it.
            if cause.reason != "FieldValueRequired" {
                self.add(Cause { field, ..cause });
            }
        }
    }
}

/// Branches stay branches all the way down.
fn inner(outer: Level, inner: Level) -> Level {
    match outer {
        Level::Branch | Level::Idiom => Level::Branch,
        Level::Root | Level::Item | Level::Member => inner,
    }
}

/// Required names that no property stands for.
fn required_only(raw: &Value, ty: &Type) -> Vec<Box<str>> {
    raw["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|name| match ty {
            Type::Object(object) => !object.fields.contains_key(*name),
            _ => true,
        })
        .map(Box::from)
        .collect()
}

fn list_type(raw: &Value, ty: &Type) -> ListType {
    match raw["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = raw["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let default_of = |key: &str| match ty {
                Type::Array(item) => item.member(key).and_then(|member| member.default.clone()),
                _ => None,
            };
            ListType::Map(keys.map(|key| (key.into(), default_of(key))).collect())
        }
        _ => ListType::Atomic,
    }
}
