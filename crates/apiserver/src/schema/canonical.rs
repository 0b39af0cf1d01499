//! Brings an object of a built-in kind into the form in which Go's types would write it: unknown members dropped, nulls and
//! omitted zero values gone, members that Go always writes filled, times, quantities and base64 normalised. Values of a
//! wrong type are refused with the words of Go's JSON decoder.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use cel::quantity;
use serde_json::{Map, Value};

use super::{Object, Presence, Schema, Type, Wire, builtin, time};

/// Unknown members that are told; more are dropped but not listed.
const MAX_UNKNOWN: usize = 64;

/// Nesting that is walked; recursive types could go on as long as the document does.
const MAX_DEPTH: usize = super::parse::MAX_DEPTH + 8;

/// Base64 as Go reads it: standard alphabet, padded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// Where the walk is and what it noticed.
#[derive(Debug, Default)]
pub(super) struct Walk<'s> {
    /// Paths of unknown members, e.g. `spec.containers[0].foo`.
    pub unknown: Vec<String>,
    path: Vec<Step<'s>>,
    /// Name of the innermost message, as Go would say it.
    message: &'s str,
}

#[derive(Clone, Copy, Debug)]
enum Step<'s> {
    Field(&'s str),
    Index(usize),
}

/// Brings `value` into canonical form in place.
///
/// # Errors
/// The words of Go's decoder for a value of a wrong type, e.g. `json: cannot unmarshal string into Go struct field
/// DeploymentSpec.spec.replicas of type int32`.
pub(super) fn canonicalize<'s>(
    value: &mut Value,
    schema: &'s Schema,
    walk: &mut Walk<'s>,
) -> Result<(), String> {
    walk.node(value, schema, None)
}

/// Whether [`canonicalize`] has nothing to refuse, at a glance. May say no where it has nothing to refuse either.
pub(super) fn fits(value: &Value, schema: &Schema) -> bool {
    fits_node(value, schema, None, 0)
}

fn fits_node(value: &Value, schema: &Schema, wire: Option<Wire>, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let is_short = |n: i64| i32::try_from(n).is_ok();
    match (&schema.ty, value) {
        (Type::Ref(_), _) => match (&schema.resolve().ty, value) {
            (Type::Object(object), Value::Object(members)) => {
                members.iter().all(|(name, member)| {
                    object.fields.get(&**name).is_some_and(|field| {
                        let wire = field.proto.map(|proto| proto.wire);
                        member.is_null() || fits_node(member, &field.schema, wire, depth + 1)
                    })
                })
            }
            _ => false,
        },
        (Type::Object(object), _) => match (&object.additional, value) {
            (None, _) => true,
            (Some(item), Value::Object(members)) => {
                let wire = Some(builtin::wire_of(item));
                members
                    .values()
                    .all(|member| fits_node(member, item, wire, depth + 1))
            }
            _ => false,
        },
        (Type::Array(item), Value::Array(items)) => items
            .iter()
            .all(|member| fits_node(member, item, None, depth + 1)),
        (Type::String, Value::String(text)) => match schema.format() {
            "date-time" => time::seconds(text).is_some(),
            "quantity" => quantity::canonical(text).is_some(),
            "micro-time" | "byte" => false,
            _ => true,
        },
        (Type::Integer, Value::Number(number)) => number
            .as_i64()
            .is_some_and(|n| schema.format() != "int32" || is_short(n)),
        (Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::IntOrString, Value::String(_)) => true,
        (Type::IntOrString, Value::Number(number)) => number.as_i64().is_some_and(is_short),
        (Type::Any, _) => !matches!(
            wire,
            Some(Wire::SchemaOrArray | Wire::SchemaOrBool | Wire::SchemaOrStrings)
        ),
        _ => false,
    }
}

impl<'s> Walk<'s> {
    /// A walk that begins at member `name` of an object called `message`.
    pub(super) fn at(message: &'s str, name: &'s str) -> Self {
        Self {
            message,
            path: vec![Step::Field(name)],
            ..Self::default()
        }
    }

    fn node(
        &mut self,
        value: &mut Value,
        schema: &'s Schema,
        wire: Option<Wire>,
    ) -> Result<(), String> {
        if self.path.len() > MAX_DEPTH {
            return Err(format!(
                "the document is nested deeper than {MAX_DEPTH} levels"
            ));
        }
        match &schema.ty {
            Type::Ref(name) => {
                let outer = std::mem::replace(&mut self.message, last_word(name));
                let result = match &schema.resolve().ty {
                    Type::Object(object) => self.object(value, object, name),
                    _ => Ok(()),
                };
                if result.is_ok() {
                    self.message = outer;
                }
                result
            }
            Type::Object(object) => self.map(value, object, schema),
            Type::Array(item) => self.list(value, item, schema),
            Type::String => self.text(value, schema),
            Type::Integer => self.integer(value, schema),
            Type::Number => match value {
                Value::Number(_) => Ok(()),
                _ => Err(self.mismatch(value, "float64")),
            },
            Type::Boolean => match value {
                Value::Bool(_) => Ok(()),
                _ => Err(self.mismatch(value, "bool")),
            },
            Type::IntOrString => match value {
                Value::String(_) => Ok(()),
                Value::Number(n) if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => Ok(()),
                _ => Err(self.mismatch(value, "int32")),
            },
            Type::Any => match wire {
                Some(wire) => self.union(value, wire),
                None => Ok(()),
            },
        }
    }

    fn object(&mut self, value: &mut Value, object: &'s Object, name: &str) -> Result<(), String> {
        let Value::Object(members) = value else {
            return Err(self.mismatch(value, &go_name(name)));
        };
        let mut result = Ok(());
        members.retain(|key, member| {
            if result.is_err() {
                return true;
            }
            let Some((name, field)) = object.fields.get_key_value(&**key) else {
                self.note_unknown(key);
                return false;
            };
            if member.is_null() {
                return false;
            }
            self.path.push(Step::Field(name));
            result = self.node(member, &field.schema, field.proto.map(|p| p.wire));
            if result.is_err() {
                return true;
            }
            self.path.pop();
            let presence = field.proto.map_or(Presence::OmitZero, |p| p.presence);
            // A pointer to raw JSON keeps what it holds; every other null is gone by now.
            !(member.is_null() || (presence == Presence::OmitZero && is_zero(member)))
        });
        result?;
        fill(members, object, 0);
        Ok(())
    }

    fn map(
        &mut self,
        value: &mut Value,
        object: &'s Object,
        schema: &'s Schema,
    ) -> Result<(), String> {
        let Some(item) = &object.additional else {
            return Ok(());
        };
        let Value::Object(members) = value else {
            return Err(self.mismatch(value, &go_type(schema)));
        };
        let wire = builtin::wire_of(item);
        for member in members.values_mut() {
            if member.is_null() {
                *member = zero(item);
            }
            self.node(member, item, Some(wire))?;
        }
        Ok(())
    }

    fn list(
        &mut self,
        value: &mut Value,
        item: &'s Schema,
        schema: &'s Schema,
    ) -> Result<(), String> {
        let Value::Array(items) = value else {
            return Err(self.mismatch(value, &go_type(schema)));
        };
        for (index, member) in items.iter_mut().enumerate() {
            if member.is_null() && !matches!(item.ty, Type::Any) {
                *member = zero(item);
            }
            self.path.push(Step::Index(index));
            self.node(member, item, None)?;
            self.path.pop();
        }
        Ok(())
    }

    fn text(&mut self, value: &mut Value, schema: &Schema) -> Result<(), String> {
        match (schema.format(), &mut *value) {
            ("quantity", Value::Number(number)) => match quantity::canonical(&number.to_string()) {
                Some(text) => *value = text.into(),
                None => return Err(quantity::RULE.into()),
            },
            ("quantity", Value::String(text)) => match quantity::canonical(text.trim()) {
                Some(canonical) => *text = canonical,
                None => return Err(quantity::RULE.into()),
            },
            ("date-time" | "micro-time", Value::String(text)) if text.is_empty() => {
                *value = Value::Null;
            }
            ("date-time", Value::String(text)) => {
                *text = time::seconds(text).ok_or_else(|| bad_time(text))?;
            }
            ("micro-time", Value::String(text)) => {
                *text = time::micros(text).ok_or_else(|| bad_time(text))?;
            }
            ("byte", Value::String(text)) => {
                if text.contains(['\n', '\r']) {
                    text.retain(|c| c != '\n' && c != '\r');
                }
                base64_error(text)?;
            }
            (_, Value::String(_)) => {}
            ("byte", _) => return Err(self.mismatch(value, "[]uint8")),
            ("quantity", _) => return Err(quantity::RULE.into()),
            _ => return Err(self.mismatch(value, "string")),
        }
        Ok(())
    }

    fn integer(&mut self, value: &Value, schema: &Schema) -> Result<(), String> {
        let is_short = schema.format() == "int32";
        let fits = match value {
            Value::Number(number) => number
                .as_i64()
                .is_some_and(|n| !is_short || i32::try_from(n).is_ok()),
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(self.mismatch(value, if is_short { "int32" } else { "int64" }))
    }

    /// The three types of CustomResourceDefinition schemas that are a schema or something else.
    fn union(&mut self, value: &mut Value, wire: Wire) -> Result<(), String> {
        let is_schema = match (wire, &*value) {
            (
                Wire::SchemaOrArray | Wire::SchemaOrBool | Wire::SchemaOrStrings,
                Value::Object(_),
            ) => true,
            (Wire::SchemaOrBool, Value::Bool(_)) => false,
            (Wire::SchemaOrArray, Value::Array(_)) => {
                if let Value::Array(items) = value {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.path.push(Step::Index(index));
                        self.node(item, builtin::json_schema_props(), None)?;
                        self.path.pop();
                    }
                }
                false
            }
            (Wire::SchemaOrStrings, Value::Array(items)) if items.iter().all(Value::is_string) => {
                false
            }
            (Wire::SchemaOrBool, _) => return Err("boolean or JSON schema expected".into()),
            (Wire::SchemaOrArray | Wire::SchemaOrStrings, _) => {
                return Err(self.mismatch(value, "v1.JSONSchemaProps"));
            }
            _ => false,
        };
        if is_schema {
            return self.node(value, builtin::json_schema_props(), None);
        }
        Ok(())
    }

    fn note_unknown(&mut self, name: &str) {
        if self.unknown.len() < MAX_UNKNOWN {
            let mut path = self.shown();
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            self.unknown.push(path);
        }
    }

    /// `spec.containers[0].image`.
    fn shown(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    fn mismatch(&self, value: &Value, go: &str) -> String {
        let got = match value {
            Value::Null => "null".into(),
            Value::Bool(_) => "bool".into(),
            Value::Number(number) if go.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".into(),
            Value::String(_) => "string".into(),
            Value::Array(_) => "array".into(),
            Value::Object(_) => "object".to_owned(),
        };
        let names: Vec<&str> = self
            .path
            .iter()
            .filter_map(|step| match step {
                Step::Field(name) => Some(*name),
                Step::Index(_) => None,
            })
            .collect();
        if names.is_empty() {
            return format!("json: cannot unmarshal {got} into Go value of type {go}");
        }
        format!(
            "json: cannot unmarshal {got} into Go struct field {}.{} of type {go}",
            self.message,
            names.join(".")
        )
    }
}

/// What Go writes of an object of this built-in type of which nothing is set; `{}` for custom kinds.
pub(super) fn empty(schema: &Schema) -> Value {
    let mut members = Map::new();
    if let Type::Object(object) = &schema.resolve().ty {
        fill(&mut members, object, 0);
    }
    Value::Object(members)
}

/// Makes lists and maps that are always written null when they are empty: what becomes of them in storage, which does not
/// tell an empty list from none.
pub(super) fn settle(value: &mut Value, schema: &Schema) {
    match (&schema.resolve().ty, value) {
        (Type::Object(object), Value::Object(members)) => {
            for (name, member) in members.iter_mut() {
                match object.fields.get(&**name) {
                    Some(field)
                        if matches!(field.schema.ty, Type::Array(_) | Type::Object(_))
                            && field.proto.is_some_and(|p| p.presence == Presence::Always)
                            && is_zero(member) =>
                    {
                        *member = Value::Null;
                    }
                    Some(field) => settle(member, &field.schema),
                    None => {
                        if let Some(item) = &object.additional {
                            settle(member, item);
                        }
                    }
                }
            }
        }
        (Type::Array(item), Value::Array(items)) => {
            items.iter_mut().for_each(|member| settle(member, item));
        }
        _ => {}
    }
}

/// Adds the members that Go writes also when they are not set.
fn fill(members: &mut Map<String, Value>, object: &Object, depth: usize) {
    // Messages that hold themselves do so through pointers or lists, so this is never reached.
    if depth > 16 {
        return;
    }
    for (name, field) in &object.fields {
        let is_always = field.proto.is_some_and(|p| p.presence == Presence::Always);
        if !is_always || members.contains_key(&**name) {
            continue;
        }
        let value = match &field.schema.ty {
            Type::Ref(_) => match &field.schema.resolve().ty {
                Type::Object(inner) => {
                    let mut members = Map::new();
                    fill(&mut members, inner, depth + 1);
                    Value::Object(members)
                }
                _ => continue,
            },
            Type::Array(_) | Type::Object(_) | Type::Any => Value::Null,
            Type::String
                if matches!(field.schema.format(), "byte" | "date-time" | "micro-time") =>
            {
                Value::Null
            }
            _ => zero(&field.schema),
        };
        members.insert(name.to_string(), value);
    }
}

/// What Go's zero value of a type is in JSON.
fn zero(schema: &Schema) -> Value {
    match &schema.ty {
        Type::Any => Value::Null,
        Type::Object(_) | Type::Ref(_) => Value::Object(Map::new()),
        Type::Array(_) => Value::Array(Vec::new()),
        Type::String if schema.format() == "quantity" => "0".into(),
        Type::String => "".into(),
        Type::Integer | Type::Number | Type::IntOrString => 0.into(),
        Type::Boolean => false.into(),
    }
}

/// Whether Go's `omitempty` leaves the value out; structs are never empty for it.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// `io.k8s.api.core.v1.PodSpec` is `v1.PodSpec` in Go's messages.
fn go_name(name: &str) -> String {
    let mut words = name.rsplit('.');
    let ty = words.next().unwrap_or(name);
    format!("{}.{ty}", words.next().unwrap_or("v1"))
}

fn go_type(schema: &Schema) -> String {
    match &schema.ty {
        Type::Ref(name) => go_name(name),
        Type::Array(item) => format!("[]{}", go_type(item)),
        Type::Object(object) => match &object.additional {
            Some(value) => format!("map[string]{}", go_type(value)),
            None => "map[string]interface {}".into(),
        },
        Type::String => match schema.format() {
            "byte" => "[]uint8".into(),
            "quantity" => "resource.Quantity".into(),
            "date-time" => "v1.Time".into(),
            "micro-time" => "v1.MicroTime".into(),
            _ => "string".into(),
        },
        Type::Integer if schema.format() == "int32" => "int32".into(),
        Type::Integer => "int64".into(),
        Type::Number => "float64".into(),
        Type::Boolean => "bool".into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Any => "interface {}".into(),
    }
}

fn bad_time(text: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    format!(
        "parsing time {shown:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {shown:?} as \"2006\""
    )
}

/// Go's words for text that is not base64.
fn base64_error(text: &str) -> Result<(), String> {
    match BASE64.decode(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                // Go stops where the missing part would begin.
                base64::DecodeError::InvalidLength(length) => length - length % 4,
                base64::DecodeError::InvalidPadding => text.trim_end_matches('=').len(),
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// Whether text is base64 as Go reads it.
pub(super) fn is_base64(text: &str) -> bool {
    BASE64.decode(text).is_ok()
}

/// Bytes of base64 text; `None` when it is none.
pub(super) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Base64 text of bytes.
pub(super) fn base64_text(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(kind: &str, text: &str, expected: Expect) {
        let mut value: Value = serde_json::from_str(text).unwrap();
        let mut walk = Walk::default();
        let schema = builtin::reference(&format!("io.k8s.api.{kind}"));
        let fits = fits(&value, &schema);
        let result = canonicalize(&mut value, &schema, &mut walk);
        assert!(!fits || result.is_ok(), "{text}");
        let shown = match result {
            Ok(()) => format!("{value} unknown {:?}", walk.unknown),
            Err(error) => error,
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn objects_become_what_go_would_write() {
        check(
            "core.v1.ConfigMap",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","creationTimestamp":null,"labels":{},"annotations":{"x":null}},"data":{},"foo":1,"binaryData":null}"#,
            expect![[
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"x":""},"name":"a"}} unknown ["foo"]"#
            ]],
        );
        check(
            "apps.v1.Deployment",
            r#"{"metadata":{"creationTimestamp":"2026-01-01T01:00:00.5+01:00"},"spec":{"replicas":0,"paused":false,"template":{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":1,"memory":"1024Mi"}},"x":1,"ports":[]}]}}}}"#,
            expect![[
                r#"{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"replicas":0,"strategy":{},"template":{"metadata":{},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]}}},"status":{}} unknown ["spec.template.spec.containers[0].x"]"#
            ]],
        );
        check(
            "core.v1.Service",
            r#"{"spec":{"ports":[{"port":80}]}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"ports":[{"port":80,"targetPort":0}]},"status":{"loadBalancer":{}}} unknown []"#
            ]],
        );
    }

    #[test]
    fn what_is_always_written_is_null_or_empty() {
        check(
            "core.v1.Event",
            r#"{"metadata":{},"involvedObject":{}}"#,
            expect![[
                r#"{"eventTime":null,"firstTimestamp":null,"involvedObject":{},"lastTimestamp":null,"metadata":{},"reportingComponent":"","reportingInstance":"","source":{}} unknown []"#
            ]],
        );
        let schema = builtin::reference("io.k8s.api.rbac.v1.Role");
        expect![[r#"{"metadata":{},"rules":null}"#]].assert_eq(&empty(&schema).to_string());
        let mut role =
            serde_json::json!({"metadata": {}, "rules": [{"verbs": [], "resources": ["x"]}]});
        settle(&mut role, &schema);
        expect![[r#"{"metadata":{},"rules":[{"resources":["x"],"verbs":null}]}"#]]
            .assert_eq(&role.to_string());
        let mut role = serde_json::json!({"metadata": {}, "rules": []});
        settle(&mut role, &schema);
        assert_eq!(role, empty(&schema));
    }

    #[test]
    fn wrong_types_are_refused_with_gos_words() {
        check(
            "apps.v1.Deployment",
            r#"{"spec":{"replicas":"3"}}"#,
            expect![
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
            ],
        );
        check(
            "apps.v1.Deployment",
            r#"{"spec":{"replicas":1.0}}"#,
            expect![
                "json: cannot unmarshal number 1.0 into Go struct field DeploymentSpec.spec.replicas of type int32"
            ],
        );
        check(
            "apps.v1.Deployment",
            r#"{"spec":{"replicas":3000000000}}"#,
            expect![
                "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"
            ],
        );
        check(
            "core.v1.Pod",
            r#"{"spec":{"containers":[{"env":[{"name":"A","value":1}]}]}}"#,
            expect![
                "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string"
            ],
        );
        check(
            "core.v1.Pod",
            r#"{"spec":{"containers":{}}}"#,
            expect![
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"
            ],
        );
        check(
            "core.v1.Pod",
            r#"{"metadata":{"labels":{"a":1}}}"#,
            expect![
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
            ],
        );
        check(
            "core.v1.Pod",
            r#"{"spec":{"nodeSelector":[]}}"#,
            expect![
                "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type map[string]string"
            ],
        );
    }

    #[test]
    fn wrong_texts_are_refused_with_gos_words() {
        check(
            "core.v1.Pod",
            r#"[]"#,
            expect!["json: cannot unmarshal array into Go value of type v1.Pod"],
        );
        check(
            "core.v1.Pod",
            r#"{"metadata":{"creationTimestamp":"yesterday"}}"#,
            expect![[
                r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#
            ]],
        );
        check(
            "core.v1.Secret",
            r#"{"data":{"a":"b!"}}"#,
            expect!["illegal base64 data at input byte 1"],
        );
        check(
            "core.v1.Secret",
            r#"{"data":{"a":"YQ"}}"#,
            expect!["illegal base64 data at input byte 2"],
        );
        check(
            "core.v1.Secret",
            r#"{"data":{"a":"Y\nQ==","b":""}}"#,
            expect![[r#"{"data":{"a":"YQ==","b":""},"metadata":{}} unknown []"#]],
        );
        check(
            "core.v1.ResourceQuota",
            r#"{"spec":{"hard":{"cpu":"many"}}}"#,
            expect![
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            ],
        );
    }
}
