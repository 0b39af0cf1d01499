//! The version 2 document as protobuf: kubectl reads it in no other encoding.
//!
//! The messages are those of `openapi/v2/OpenAPIv2.proto` of the gnostic models, as far as our documents use them. Each
//! is a table from a JSON key to a field number; what stands in no table and is no extension (`x-…`) is left out.

use serde_json::{Map, Value};

/// What a field holds.
pub(super) enum Kind {
    Text,
    /// Absent when false.
    Flag,
    /// `int64`.
    Count,
    /// `double`.
    Number,
    /// One text, or several.
    Texts,
    /// Any value, as YAML. JSON is YAML.
    Any,
    /// Several of them.
    Anys,
    Message(&'static Message),
    Messages(&'static Message),
    /// An object whose keys are data: a message whose field with this number repeats pairs of name and value.
    Named(u32, &'static Kind),
    /// A message that only wraps a value, as the field with this number.
    Wrapped(u32, &'static Kind),
    /// `additionalProperties`: a schema or a boolean.
    SchemaOrFlag(&'static Kind),
    /// Version 3: a message, or a reference to one (`$ref`).
    OrReference(&'static Message),
    /// Several, each a field of its own.
    Each(&'static Kind),
    /// Version 3, `default`: a number, a boolean or a text; there is no message for anything else.
    Scalar,
    /// Parameters, each in the message for its place.
    Parameters,
}

/// A message: JSON keys with field number and kind, and the number of the field for extensions.
pub(super) struct Message {
    pub(super) fields: &'static [(&'static str, u32, Kind)],
    pub(super) extensions: u32,
}

use Kind::{
    Any, Anys, Count, Flag, Messages, Named, Number, Parameters, SchemaOrFlag, Text, Texts, Wrapped,
};

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Text),
        ("info", 2, Kind::Message(&INFO)),
        ("paths", 8, Named(2, &Kind::Message(&PATH))),
        ("definitions", 9, Named(1, &Kind::Message(&SCHEMA))),
    ],
    extensions: 16,
};

static INFO: Message = Message {
    fields: &[("title", 1, Text), ("version", 2, Text)],
    extensions: 7,
};

static PATH: Message = Message {
    fields: &[
        ("get", 2, Kind::Message(&OPERATION)),
        ("put", 3, Kind::Message(&OPERATION)),
        ("post", 4, Kind::Message(&OPERATION)),
        ("delete", 5, Kind::Message(&OPERATION)),
        ("patch", 8, Kind::Message(&OPERATION)),
        ("parameters", 9, Parameters),
    ],
    extensions: 10,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Texts),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Texts),
        ("consumes", 7, Texts),
        ("parameters", 8, Parameters),
        // Either a response or a reference to one: ours are responses.
        (
            "responses",
            9,
            Named(1, &Wrapped(1, &Kind::Message(&RESPONSE))),
        ),
        ("schemes", 10, Texts),
    ],
    extensions: 13,
};

static RESPONSE: Message = Message {
    fields: &[
        ("description", 1, Text),
        // Either a schema or a file.
        ("schema", 2, Wrapped(1, &Kind::Message(&SCHEMA))),
    ],
    extensions: 5,
};

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, Kind::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("format", 7, Text),
        ("uniqueItems", 20, Flag),
    ],
    extensions: 23,
};

static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("uniqueItems", 19, Flag),
    ],
    extensions: 22,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Count),
        ("minLength", 12, Count),
        ("pattern", 13, Text),
        ("maxItems", 14, Count),
        ("minItems", 15, Count),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Count),
        ("minProperties", 18, Count),
        ("required", 19, Texts),
        ("enum", 20, Anys),
        (
            "additionalProperties",
            21,
            SchemaOrFlag(&Kind::Message(&SCHEMA)),
        ),
        ("type", 22, Wrapped(1, &Texts)),
        ("items", 23, Wrapped(1, &Kind::Message(&SCHEMA))),
        ("allOf", 24, Messages(&SCHEMA)),
        ("properties", 25, Named(1, &Kind::Message(&SCHEMA))),
        ("example", 30, Any),
    ],
    extensions: 31,
};

/// The document in protobuf.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    encode_as(document, &DOCUMENT)
}

/// A document whose messages are others.
pub(super) fn encode_as(document: &Value, root: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    if let Value::Object(fields) = document {
        message(&mut out, root, fields);
    }
    out
}

fn message(out: &mut Vec<u8>, message: &Message, object: &Map<String, Value>) {
    for (key, value) in object {
        if let Some((_, number, kind)) = message.fields.iter().find(|(name, _, _)| name == key) {
            field(out, *number, kind, value);
        } else if key.starts_with("x-") {
            bytes(out, message.extensions, &named(key, &Any, value));
        }
    }
}

/// Writes a field. A value of another shape than the kind's is left out: there is no message for it.
fn field(out: &mut Vec<u8>, number: u32, kind: &Kind, value: &Value) {
    match (kind, value) {
        (Text | Texts, Value::String(text)) => bytes(out, number, text.as_bytes()),
        (Flag, Value::Bool(true)) => {
            tag(out, number, 0);
            varint(out, 1);
        }
        (Count, Value::Number(count)) => {
            if let Some(count) = count.as_i64() {
                tag(out, number, 0);
                varint(out, count.cast_unsigned());
            }
        }
        (Number, Value::Number(value)) => {
            if let Some(value) = value.as_f64() {
                tag(out, number, 1);
                out.extend(value.to_le_bytes());
            }
        }
        (Any, value) => bytes(out, number, &any(value)),
        (Texts, Value::Array(values)) => each(out, number, &Text, values),
        (Anys, Value::Array(values)) => each(out, number, &Any, values),
        (Messages(inner), Value::Array(values)) => {
            each(out, number, &Kind::Message(inner), values);
        }
        (Kind::Message(inner), Value::Object(fields)) => {
            nested(out, number, |out| message(out, inner, fields));
        }
        (Named(repeated, inner), Value::Object(fields)) => nested(out, number, |out| {
            for (name, value) in fields {
                bytes(out, *repeated, &named(name, inner, value));
            }
        }),
        (Wrapped(wrapped, inner), value) => {
            nested(out, number, |out| field(out, *wrapped, inner, value));
        }
        (SchemaOrFlag(_), Value::Bool(flag)) => nested(out, number, |out| {
            tag(out, 2, 0);
            varint(out, u64::from(*flag));
        }),
        (SchemaOrFlag(schema), value) => nested(out, number, |out| field(out, 1, schema, value)),
        (Kind::OrReference(inner), Value::Object(fields)) => {
            nested(out, number, |out| match fields.get("$ref") {
                Some(Value::String(target)) => {
                    nested(out, 2, |out| bytes(out, 1, target.as_bytes()));
                }
                _ => nested(out, 1, |out| message(out, inner, fields)),
            });
        }
        (Kind::Each(kind), Value::Array(values)) => each(out, number, kind, values),
        (Kind::Scalar, Value::Number(_)) => {
            nested(out, number, |out| field(out, 1, &Number, value));
        }
        (Kind::Scalar, Value::Bool(flag)) => nested(out, number, |out| {
            tag(out, 2, 0);
            varint(out, u64::from(*flag));
        }),
        (Kind::Scalar, Value::String(_)) => nested(out, number, |out| field(out, 3, &Text, value)),
        (Parameters, Value::Array(parameters)) => {
            for value in parameters {
                nested(out, number, |out| parameter(out, value));
            }
        }
        _ => {}
    }
}

fn each(out: &mut Vec<u8>, number: u32, kind: &Kind, values: &[Value]) {
    for value in values {
        field(out, number, kind, value);
    }
}

/// `ParametersItem` → `Parameter` → for the body, or for one of the other places.
fn parameter(out: &mut Vec<u8>, value: &Value) {
    nested(out, 1, |out| match value["in"].as_str() {
        Some("body") => field(out, 1, &Kind::Message(&BODY_PARAMETER), value),
        Some("path") => nested(out, 2, |out| {
            field(out, 4, &Kind::Message(&PATH_PARAMETER), value);
        }),
        _ => nested(out, 2, |out| {
            field(out, 3, &Kind::Message(&QUERY_PARAMETER), value);
        }),
    });
}

/// A pair of a name and a value.
fn named(name: &str, kind: &Kind, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    field(&mut out, 2, kind, value);
    out
}

fn any(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 2, value.to_string().as_bytes());
    out
}

fn nested(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, number, &inner);
}

fn bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    tag(out, number, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
