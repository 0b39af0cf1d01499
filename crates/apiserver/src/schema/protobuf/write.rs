//! JSON to protobuf, in one pass over the stored bytes: no tree of values is built on the way, so that long lists cost
//! little more than reading them.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::MAGIC;
use crate::schema::canonical::base64_bytes;
use crate::schema::{Field, Object, Proto, Schema, Type, Wire, builtin, time};

/// Why something could not be written; with what the server stores that does not happen.
type WriteError = serde_json::Error;

/// The document of a JSON object of the built-in type `schema`.
///
/// # Errors
/// When the object does not have the type.
pub(crate) fn object(
    (api_version, kind): (&str, &str),
    json: &[u8],
    schema: &Schema,
) -> Result<Vec<u8>, WriteError> {
    let mut raw = Vec::with_capacity(json.len());
    write_json(json, schema, &mut raw)?;
    Ok(document(api_version, kind, &raw))
}

/// The document of an object whose `apiVersion` and `kind` say its type; `None` if that is no built-in one.
///
/// # Errors
/// When the object does not have the type.
pub(crate) fn value(value: &Value) -> Result<Option<Vec<u8>>, WriteError> {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(schema) = builtin::kind(api_version, kind) else {
        return Ok(None);
    };
    let mut raw = Vec::new();
    Root {
        schema,
        out: &mut raw,
    }
    .deserialize(value)?;
    Ok(Some(document(api_version, kind, &raw)))
}

/// Wraps a message: the magic bytes and `runtime.Unknown`.
pub(crate) fn document(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + api_version.len() + kind.len() + 32);
    out.extend_from_slice(MAGIC);
    let meta = open(&mut out, 1);
    bytes(&mut out, 1, api_version.as_bytes());
    bytes(&mut out, 2, kind.as_bytes());
    close(&mut out, meta);
    bytes(&mut out, 2, raw);
    // Content encoding and type, which Go writes also when they are empty.
    bytes(&mut out, 3, b"");
    bytes(&mut out, 4, b"");
    out
}

/// One event of a watch: its length in four bytes, then `meta.v1.WatchEvent` around the document of the object.
pub(crate) fn frame(ty: &str, document: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() + ty.len() + 24);
    out.extend_from_slice(&[0; 4]);
    bytes(&mut out, 1, ty.as_bytes());
    let object = open(&mut out, 2);
    bytes(&mut out, 1, document);
    close(&mut out, object);
    // Objects are far smaller than 4 GiB.
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// A list that is being written, item by item.
pub(crate) struct List {
    raw: Vec<u8>,
    items: u32,
}

impl List {
    /// A list with this `metadata`. `capacity` is about how long it will be, in bytes; `is_beta` means that it is a
    /// `PartialObjectMetadataList` of `v1beta1`, whose fields have other numbers.
    ///
    /// # Errors
    /// When `meta` is no list metadata.
    pub(crate) fn new(meta: &Value, capacity: usize, is_beta: bool) -> Result<Self, WriteError> {
        let mut raw = Vec::with_capacity(capacity);
        let (meta_number, items) = if is_beta { (2, 1) } else { (1, 2) };
        let at = open(&mut raw, meta_number);
        if let Some(schema) = builtin::kind("meta.k8s.io/v1", "ListMeta") {
            Root {
                schema,
                out: &mut raw,
            }
            .deserialize(meta)?;
        }
        close(&mut raw, at);
        Ok(Self { raw, items })
    }

    /// Adds an object of the built-in type `schema`, as it is stored.
    ///
    /// # Errors
    /// When the object does not have the type.
    pub(crate) fn push_json(&mut self, json: &[u8], schema: &Schema) -> Result<(), WriteError> {
        let at = open(&mut self.raw, self.items);
        write_json(json, schema, &mut self.raw)?;
        close(&mut self.raw, at);
        Ok(())
    }

    /// Adds an object of the built-in type `schema`.
    ///
    /// # Errors
    /// When the object does not have the type.
    pub(crate) fn push_value(&mut self, value: &Value, schema: &Schema) -> Result<(), WriteError> {
        let at = open(&mut self.raw, self.items);
        let out = &mut self.raw;
        Root { schema, out }.deserialize(value)?;
        close(&mut self.raw, at);
        Ok(())
    }

    /// The document of the list.
    pub(crate) fn finish(self, api_version: &str, kind: &str) -> Vec<u8> {
        document(api_version, kind, &self.raw)
    }
}

/// Appends the fields of a message, without anything around them.
fn write_json(json: &[u8], schema: &Schema, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let mut input = serde_json::Deserializer::from_slice(json);
    Root { schema, out }.deserialize(&mut input)?;
    input.end()
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn key(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

fn number(out: &mut Vec<u8>, field: u32, value: i64) {
    key(out, field, 0);
    varint(out, value.cast_unsigned());
}

fn bytes(out: &mut Vec<u8>, field: u32, content: &[u8]) {
    key(out, field, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Begins a field of yet unknown length; what [`close`] takes.
fn open(out: &mut Vec<u8>, field: u32) -> usize {
    key(out, field, 2);
    // Most messages are short: one byte for the length is kept free.
    out.push(0);
    out.len()
}

/// Ends the field that began at `start`.
fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if let Ok(short) = i8::try_from(length) {
        out[start - 1] = short.cast_unsigned();
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    varint(&mut prefix, length as u64);
    let shift = prefix.len() - 1;
    out.resize(out.len() + shift, 0);
    out.copy_within(start..start + length, start + shift);
    out[start - 1..start + shift].copy_from_slice(&prefix);
}

/// The fields of a whole message.
struct Root<'a> {
    schema: &'a Schema,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(self.schema, map, self.out)
    }
}

/// Writes the members of an object as the fields of a message.
fn members<'de, A: MapAccess<'de>>(
    schema: &Schema,
    mut map: A,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    let Type::Object(object) = &schema.resolve().ty else {
        return Err(A::Error::custom("an object where the schema has none"));
    };
    // Fields of messages that JSON does not show, by the numbers of those messages.
    let mut inlined: Vec<([u32; 2], Vec<u8>)> = Vec::new();
    while let Some(member) = map.next_key_seed(Member(object))? {
        let Some((field, proto)) = member else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let place = match proto.via {
            [0, _] => &mut *out,
            via => {
                let at = match inlined.iter().position(|(known, _)| *known == via) {
                    Some(at) => at,
                    None => {
                        inlined.push((via, Vec::new()));
                        inlined.len() - 1
                    }
                };
                &mut inlined[at].1
            }
        };
        map.next_value_seed(Node {
            schema: &field.schema,
            wire: proto.wire,
            number: proto.number,
            out: place,
        })?;
    }
    for ([outer, inner], content) in inlined {
        let at = open(out, outer);
        if inner == 0 {
            out.extend_from_slice(&content);
        } else {
            bytes(out, inner, &content);
        }
        close(out, at);
    }
    Ok(())
}

/// A key of an object: which field it is, if it travels at all.
struct Member<'a>(&'a Object);

impl<'de, 'a> DeserializeSeed<'de> for Member<'a> {
    type Value = Option<(&'a Field, Proto)>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Member<'a> {
    type Value = Option<(&'a Field, Proto)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let field = self.0.fields.get(key);
        Ok(field.and_then(|field| Some((field, field.proto?))))
    }
}

/// A key of a map, which is field 1 of the entry.
struct EntryKey<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for EntryKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for EntryKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        bytes(self.0, 1, key.as_bytes());
        Ok(())
    }
}

/// One value that is to be written as field `number`; null writes nothing.
struct Node<'a> {
    schema: &'a Schema,
    wire: Wire,
    number: u32,
    out: &'a mut Vec<u8>,
}

impl Node<'_> {
    /// A list whose items are fields of their own, one after the other.
    fn is_repeated(&self) -> bool {
        matches!(self.schema.ty, Type::Array(_)) && self.wire != Wire::List
    }

    fn misfit<T, E: Error>(&self, what: &str) -> Result<T, E> {
        Err(E::custom(format_args!(
            "{what} cannot be field {} of type {:?}",
            self.number, self.wire
        )))
    }

    fn message<'de, A: MapAccess<'de>>(
        &mut self,
        number: u32,
        schema: &Schema,
        map: A,
    ) -> Result<(), A::Error> {
        let at = open(self.out, number);
        members(schema, map, self.out)?;
        close(self.out, at);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        if self.wire != Wire::Raw || self.is_repeated() {
            return input.deserialize_any(self);
        }
        let raw = Box::<RawValue>::deserialize(input)?;
        if raw.get() != "null" {
            let at = open(self.out, self.number);
            bytes(self.out, 1, raw.get().as_bytes());
            close(self.out, at);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {:?}", self.wire)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.wire {
            Wire::Bool => number(self.out, self.number, i64::from(value)),
            Wire::SchemaOrBool => {
                let at = open(self.out, self.number);
                number(self.out, 1, i64::from(value));
                close(self.out, at);
            }
            _ => return self.misfit("a boolean"),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.wire {
            Wire::Varint => number(self.out, self.number, value),
            Wire::IntOrString => {
                let at = open(self.out, self.number);
                number(self.out, 1, 0);
                number(self.out, 2, value);
                close(self.out, at);
            }
            Wire::Double => return self.visit_f64(value as f64),
            Wire::Quantity => return self.visit_str(&value.to_string()),
            _ => return self.misfit("a number"),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.misfit("a number of more than 63 bits"),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if self.wire != Wire::Double {
            return self.misfit("a number with a fraction");
        }
        key(self.out, self.number, 1);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.wire {
            Wire::Text => bytes(self.out, self.number, text.as_bytes()),
            Wire::Bytes => match base64_bytes(text) {
                Some(content) => bytes(self.out, self.number, &content),
                None => return self.misfit("text that is no base64"),
            },
            Wire::Quantity => {
                let at = open(self.out, self.number);
                bytes(self.out, 1, text.as_bytes());
                close(self.out, at);
            }
            Wire::IntOrString => {
                let at = open(self.out, self.number);
                number(self.out, 1, 1);
                bytes(self.out, 3, text.as_bytes());
                close(self.out, at);
            }
            Wire::Time | Wire::MicroTime => {
                let Some((seconds, nanos)) = time::to_parts(text) else {
                    return self.misfit("text that is no time");
                };
                let at = open(self.out, self.number);
                number(self.out, 1, seconds);
                number(self.out, 2, i64::from(nanos));
                close(self.out, at);
            }
            _ => return self.misfit("text"),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (is_message, item_number, item_schema, item_wire) = match (&self.schema.ty, self.wire) {
            (Type::Array(item), Wire::List) => (true, 1, &**item, builtin::wire_of(item)),
            (Type::Array(item), wire) => (false, self.number, &**item, wire),
            (_, Wire::SchemaOrArray) => (true, 2, builtin::json_schema_props(), Wire::Message),
            (_, Wire::SchemaOrStrings) => (true, 2, text_schema(), Wire::Text),
            _ => return self.misfit("a list"),
        };
        let at = is_message.then(|| open(self.out, self.number));
        let mut more = true;
        while more {
            let before = self.out.len();
            let node = Node {
                schema: item_schema,
                wire: item_wire,
                number: item_number,
                out: &mut *self.out,
            };
            more = items.next_element_seed(node)?.is_some();
            // A null among raw values keeps its place.
            if more && item_wire == Wire::Raw && self.out.len() == before {
                let at = open(self.out, item_number);
                bytes(self.out, 1, b"null");
                close(self.out, at);
            }
        }
        if let Some(at) = at {
            close(self.out, at);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (outer, schema) = (self.number, self.schema);
        match self.wire {
            Wire::Message => self.message(outer, schema, map),
            Wire::Map => {
                let Type::Object(Object {
                    additional: Some(item),
                    ..
                }) = &schema.ty
                else {
                    return self.misfit("a map");
                };
                let wire = builtin::wire_of(item);
                loop {
                    let before = self.out.len();
                    let at = open(self.out, outer);
                    if map.next_key_seed(EntryKey(self.out))?.is_none() {
                        self.out.truncate(before);
                        return Ok(());
                    }
                    map.next_value_seed(Node {
                        schema: item,
                        wire,
                        number: 2,
                        out: &mut *self.out,
                    })?;
                    close(self.out, at);
                }
            }
            Wire::SchemaOrArray | Wire::SchemaOrBool | Wire::SchemaOrStrings => {
                let at = open(self.out, outer);
                let number_of_schema = if self.wire == Wire::SchemaOrBool {
                    // Beside a schema, everything it describes is allowed.
                    number(self.out, 1, 1);
                    2
                } else {
                    1
                };
                self.message(number_of_schema, builtin::json_schema_props(), map)?;
                close(self.out, at);
                Ok(())
            }
            _ => self.misfit("an object"),
        }
    }
}

/// The node of a string.
fn text_schema() -> &'static Schema {
    static TEXT: std::sync::OnceLock<Schema> = std::sync::OnceLock::new();
    TEXT.get_or_init(|| Schema {
        ty: Type::String,
        ..Schema::default()
    })
}
