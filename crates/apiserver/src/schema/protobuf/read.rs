//! Protobuf to JSON: what Go would print of the message.

use serde_json::{Map, Number, Value};

use super::MAGIC;
use crate::schema::canonical::base64_text;
use crate::schema::{Object, Proto, Schema, Type, Wire, builtin, parse, time};

/// Deepest nesting of messages.
const MAX_DEPTH: usize = 100;

/// Most fields and list items in one body: each takes two bytes there, and some 40 here.
const MAX_FIELDS: usize = 500_000;

/// Most messages in one body. An empty one takes two bytes there, and here what Go always writes of it and its defaults.
const MAX_MESSAGES: usize = 100_000;

/// The envelope's facts and the object's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::schema) struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    pub raw: &'a [u8],
    /// Empty means protobuf; client-go may also wrap JSON.
    pub content_type: String,
}

/// Reads the envelope (`runtime.Unknown`).
///
/// # Errors
/// What is wrong with the bytes.
pub(in crate::schema) fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, String> {
    let Some(body) = bytes.strip_prefix(MAGIC) else {
        return Err("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into());
    };
    let mut found = Envelope {
        api_version: String::new(),
        kind: String::new(),
        raw: &[],
        content_type: String::new(),
    };
    let mut input = Input { rest: body };
    while let Some((number, item)) = input.next()? {
        match (number, item) {
            (1, Item::Bytes(meta)) => {
                let mut meta = Input { rest: meta };
                while let Some((number, item)) = meta.next()? {
                    match (number, item) {
                        (1, Item::Bytes(text)) => found.api_version = utf8(text)?,
                        (2, Item::Bytes(text)) => found.kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Item::Bytes(raw)) => found.raw = raw,
            (3, Item::Bytes(encoding)) if !encoding.is_empty() => {
                return Err("the envelope's content encoding is not supported".into());
            }
            (4, Item::Bytes(text)) => found.content_type = utf8(text)?,
            _ => {}
        }
    }
    Ok(found)
}

/// Reads the message `bytes` of the built-in type `schema`.
///
/// # Errors
/// What is wrong with the bytes.
pub(in crate::schema) fn message(bytes: &[u8], schema: &Schema) -> Result<Value, String> {
    let mut reader = Reader {
        fields: 0,
        messages: 0,
    };
    reader.message(bytes, schema, 0)
}

/// What was seen so far.
struct Reader {
    fields: usize,
    messages: usize,
}

impl Reader {
    /// Counts fields or list items.
    fn count(&mut self, fields: usize) -> Result<(), String> {
        self.fields += fields;
        if self.fields > MAX_FIELDS {
            return Err(format!("the body has more than {MAX_FIELDS} fields"));
        }
        Ok(())
    }

    fn message(&mut self, bytes: &[u8], schema: &Schema, depth: usize) -> Result<Value, String> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(format!("the body has more than {MAX_MESSAGES} messages"));
        }
        let Type::Object(object) = &schema.resolve().ty else {
            return Err("a message where the schema has none".into());
        };
        let mut members = Map::new();
        self.fields(bytes, object, [0; 2], &mut members, depth)?;
        Ok(Value::Object(members))
    }

    /// Reads the fields of one message into `members`; `via` says which inlined message this is.
    fn fields(
        &mut self,
        bytes: &[u8],
        object: &Object,
        via: [u32; 2],
        members: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "messages are nested deeper than {MAX_DEPTH} levels"
            ));
        }
        let mut input = Input { rest: bytes };
        while let Some((number, item)) = input.next()? {
            self.count(1)?;
            let field = object.fields.iter().find_map(|(name, field)| {
                let proto = field.proto.filter(|p| p.number == number && p.via == via)?;
                Some((name, &*field.schema, proto))
            });
            if let Some((name, schema, proto)) = field {
                self.field(item, members, (name, schema, proto), depth + 1)?;
                continue;
            }
            let inner = match via {
                [0, _] => [number, 0],
                [outer, 0] => [outer, number],
                _ => continue,
            };
            let is_inlined = object.fields.values().any(|field| {
                field.proto.is_some_and(|p| {
                    p.via[0] == inner[0] && (inner[1] == 0 || p.via[1] == inner[1])
                })
            });
            // A number that nobody knows is a field of a newer version.
            if let (true, Item::Bytes(bytes)) = (is_inlined, item) {
                self.fields(bytes, object, inner, members, depth + 1)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        item: Item<'_>,
        members: &mut Map<String, Value>,
        (name, schema, proto): (&str, &Schema, Proto),
        depth: usize,
    ) -> Result<(), String> {
        let failed = |error: String| {
            // Deep inside, the way out is of no use.
            if error.len() > 128 {
                error
            } else {
                format!("{name}: {error}")
            }
        };
        match (&schema.ty, proto.wire) {
            (Type::Object(map), Wire::Map) => {
                let Some(value_schema) = &map.additional else {
                    return Ok(());
                };
                let (key, value) = self.entry(item, value_schema, depth).map_err(failed)?;
                if let Value::Object(entries) = members
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()))
                {
                    entries.insert(key, value);
                }
            }
            (Type::Array(item_schema), wire) if wire != Wire::List => {
                let values = match (wire, item) {
                    // Packed numbers.
                    (Wire::Varint | Wire::Bool, Item::Bytes(packed)) => {
                        self.packed_varints(packed, wire).map_err(failed)?
                    }
                    _ => vec![self.value(item, item_schema, wire, depth).map_err(failed)?],
                };
                if let Value::Array(items) = members
                    .entry(name)
                    .or_insert_with(|| Value::Array(Vec::new()))
                {
                    items.extend(values);
                }
            }
            (_, wire) => {
                let value = self.value(item, schema, wire, depth).map_err(failed)?;
                members.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        item: Item<'_>,
        schema: &Schema,
        depth: usize,
    ) -> Result<(String, Value), String> {
        let wire = builtin::wire_of(schema);
        let mut key = String::new();
        let mut value = None;
        let mut input = Input {
            rest: item.bytes()?,
        };
        while let Some((number, item)) = input.next()? {
            match number {
                1 => key = utf8(item.bytes()?)?,
                2 => value = Some(self.value(item, schema, wire, depth + 1)?),
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            None if wire == Wire::Varint => 0.into(),
            None if wire == Wire::Bool => false.into(),
            // An absent value is an empty string or message.
            None => self.value(Item::Bytes(&[]), schema, wire, depth + 1)?,
        };
        Ok((key, value))
    }

    fn value(
        &mut self,
        item: Item<'_>,
        schema: &Schema,
        wire: Wire,
        depth: usize,
    ) -> Result<Value, String> {
        Ok(match wire {
            Wire::Text => utf8(item.bytes()?)?.into(),
            Wire::Bytes => base64_text(item.bytes()?).into(),
            Wire::Varint => item.varint()?.cast_signed().into(),
            Wire::Bool => (item.varint()? != 0).into(),
            Wire::Double => match item {
                Item::Fixed64(bits) => Number::from_f64(f64::from_bits(bits))
                    .map(Value::Number)
                    .ok_or("a number that is not finite")?,
                _ => return Err("a wrong wire type for a double".into()),
            },
            Wire::Message => self.message(item.bytes()?, schema, depth)?,
            Wire::Map => return Err("a map where the schema has none".into()),
            Wire::Quantity => match single(item.bytes()?)? {
                Some(text) => utf8(text)?.into(),
                None => "0".into(),
            },
            Wire::IntOrString => int_or_string(item.bytes()?)?,
            Wire::Time | Wire::MicroTime => timestamp(item.bytes()?, wire == Wire::MicroTime)?,
            Wire::Raw => raw(single(item.bytes()?)?.unwrap_or_default())?,
            Wire::List => self.list(item.bytes()?, schema, depth)?,
            Wire::SchemaOrArray | Wire::SchemaOrBool | Wire::SchemaOrStrings => {
                self.union(item.bytes()?, wire, depth)?
            }
        })
    }

    /// A message whose field 1 is repeated.
    fn list(&mut self, bytes: &[u8], schema: &Schema, depth: usize) -> Result<Value, String> {
        let Type::Array(item_schema) = &schema.ty else {
            return Err("a list where the schema has none".into());
        };
        let wire = builtin::wire_of(item_schema);
        let mut items = Vec::new();
        let mut input = Input { rest: bytes };
        while let Some((number, item)) = input.next()? {
            self.count(1)?;
            if number == 1 {
                items.push(self.value(item, item_schema, wire, depth + 1)?);
            }
        }
        Ok(Value::Array(items))
    }

    fn union(&mut self, bytes: &[u8], wire: Wire, depth: usize) -> Result<Value, String> {
        let schema = builtin::json_schema_props();
        let schema_number = if wire == Wire::SchemaOrBool { 2 } else { 1 };
        let mut allows = false;
        let mut several = Vec::new();
        let mut input = Input { rest: bytes };
        while let Some((number, item)) = input.next()? {
            self.count(1)?;
            if number == schema_number {
                return self.message(item.bytes()?, schema, depth + 1);
            }
            match (wire, number) {
                (Wire::SchemaOrBool, 1) => allows = item.varint()? != 0,
                (Wire::SchemaOrArray, 2) => {
                    several.push(self.message(item.bytes()?, schema, depth + 1)?);
                }
                (Wire::SchemaOrStrings, 2) => several.push(utf8(item.bytes()?)?.into()),
                _ => {}
            }
        }
        Ok(if wire == Wire::SchemaOrBool {
            allows.into()
        } else {
            Value::Array(several)
        })
    }

    fn packed_varints(&mut self, packed: &[u8], wire: Wire) -> Result<Vec<Value>, String> {
        let mut input = Input { rest: packed };
        let mut values = Vec::new();
        while !input.rest.is_empty() {
            self.count(1)?;
            let number = input.varint()?;
            values.push(if wire == Wire::Bool {
                (number != 0).into()
            } else {
                number.cast_signed().into()
            });
        }
        Ok(values)
    }
}

/// Field 1 of a message, the last one if there are several.
fn single(bytes: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut found = None;
    let mut input = Input { rest: bytes };
    while let Some((number, item)) = input.next()? {
        if number == 1 {
            found = Some(item.bytes()?);
        }
    }
    Ok(found)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    let mut input = Input { rest: bytes };
    while let Some((field, item)) = input.next()? {
        match field {
            1 => is_text = item.varint()? == 1,
            2 => number = item.varint()?.cast_signed(),
            3 => text = utf8(item.bytes()?)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// An empty message is Go's zero time, null in JSON.
fn timestamp(bytes: &[u8], micros: bool) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut input = Input { rest: bytes };
    while let Some((number, item)) = input.next()? {
        match number {
            1 => seconds = item.varint()?.cast_signed(),
            2 => nanos = item.varint()?.cast_signed(),
            _ => {}
        }
    }
    match time::from_parts(seconds, nanos, micros) {
        Some(text) => Ok(text.into()),
        None => Err("a time out of range".into()),
    }
}

fn raw(bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    Ok(parse::json(bytes)?.value)
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err("a string that is not UTF-8".into()),
    }
}

/// One field's content.
#[derive(Clone, Copy)]
enum Item<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err("a wrong wire type, bytes expected".into()),
        }
    }

    fn varint(self) -> Result<u64, String> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err("a wrong wire type, a number expected".into()),
        }
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn next(&mut self) -> Result<Option<(u32, Item<'a>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or_default();
        if number == 0 {
            return Err("a field number out of range".into());
        }
        let item = match tag & 7 {
            0 => Item::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Item::Fixed64(
                    bytes
                        .iter()
                        .rev()
                        .fold(0, |bits, byte| bits << 8 | u64::from(*byte)),
                )
            }
            2 => {
                let length = self.varint()?;
                Item::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                self.take(4)?;
                Item::Fixed32
            }
            other => return Err(format!("wire type {other} is not supported")),
        };
        Ok(Some((number, item)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err("unexpected EOF".into()),
        }
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for at in 0..10 {
            let Some((byte, rest)) = self.rest.split_first() else {
                return Err("unexpected EOF".into());
            };
            self.rest = rest;
            if at == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("integer overflow".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::canonical;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    /// Length-delimited field.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        assert!(number < 16 && content.len() < 128);
        out.push(u8::try_from(content.len()).unwrap());
        out.extend(content);
        out
    }

    fn check(kind: &str, content: &[u8], expected: Expect) {
        let schema = builtin::reference(&format!("io.k8s.{kind}"));
        let shown = match message(content, &schema) {
            Ok(value) => value.to_string(),
            Err(error) => error,
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn every_wire_type_is_read() {
        let meta = [
            bytes(1, b"a"),
            bytes(8, &[8, 100]),
            bytes(11, &[bytes(1, b"k"), bytes(2, b"v")].concat()),
        ]
        .concat();
        let data = [bytes(1, b"k"), bytes(2, &[0xff, 0])].concat();
        check(
            "api.core.v1.Secret",
            &[bytes(1, &meta), bytes(2, &data), bytes(3, b"Opaque")].concat(),
            expect![[
                r#"{"data":{"k":"/wA="},"metadata":{"creationTimestamp":"1970-01-01T00:01:40Z","labels":{"k":"v"},"name":"a"},"type":"Opaque"}"#
            ]],
        );
        // Volume: name, inlined volumeSource with configMap whose own name is inlined; an unknown field 60.
        let config_map = [bytes(1, &bytes(1, b"cm")), vec![3 << 3, 0xa4, 3]].concat();
        let unknown = [vec![0xe2, 3], vec![1, 7]].concat();
        check(
            "api.core.v1.Volume",
            &[
                bytes(1, b"v"),
                bytes(
                    2,
                    &[
                        unknown,
                        vec![0x9a, 1, u8::try_from(config_map.len()).unwrap()],
                        config_map,
                    ]
                    .concat(),
                ),
            ]
            .concat(),
            expect![[r#"{"configMap":{"defaultMode":420,"name":"cm"},"name":"v"}"#]],
        );
        check(
            "api.core.v1.ServicePort",
            &[
                vec![3 << 3, 80],
                bytes(4, &[8, 1, 0x1a, 4, b'h', b't', b't', b'p']),
            ]
            .concat(),
            expect![[r#"{"port":80,"targetPort":"http"}"#]],
        );
        check(
            "api.core.v1.ServicePort",
            &[vec![3 << 3, 80], bytes(4, &[8, 0, 0x10, 90])].concat(),
            expect![[r#"{"port":80,"targetPort":90}"#]],
        );
    }

    #[test]
    fn special_messages_are_read() {
        check(
            "api.core.v1.ResourceRequirements",
            &bytes(
                1,
                &[bytes(1, b"cpu"), bytes(2, &bytes(1, b"100m"))].concat(),
            ),
            expect![[r#"{"limits":{"cpu":"100m"}}"#]],
        );
        check(
            "api.coordination.v1.LeaseSpec",
            &bytes(4, &[8, 100, 16, 0xe8, 7]),
            expect![[r#"{"renewTime":"1970-01-01T00:01:40.000001Z"}"#]],
        );
        check(
            "api.authorization.v1.SubjectAccessReviewSpec",
            &bytes(
                5,
                &[
                    bytes(1, b"k"),
                    bytes(2, &[bytes(1, b"x"), bytes(1, b"y")].concat()),
                ]
                .concat(),
            ),
            expect![[r#"{"extra":{"k":["x","y"]}}"#]],
        );
        check(
            "api.core.v1.PodSecurityContext",
            &[4 << 3, 5, 4 << 3, 6],
            expect![[r#"{"supplementalGroups":[5,6]}"#]],
        );
        check(
            "api.core.v1.PodSecurityContext",
            &bytes(4, &[5, 6]),
            expect![[r#"{"supplementalGroups":[5,6]}"#]],
        );
        check(
            "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
            &[
                bytes(5, b"x"),
                vec![9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
                bytes(8, &bytes(1, b"[1]")),
            ]
            .concat(),
            expect![[r#"{"default":[1],"maximum":1.5,"type":"x"}"#]],
        );
    }

    #[test]
    fn broken_bytes_are_errors() {
        check("api.core.v1.Secret", &[10, 200], expect!["unexpected EOF"]);
        check("api.core.v1.Secret", &[10, 3, 1], expect!["unexpected EOF"]);
        check(
            "api.core.v1.Secret",
            &[0xff; 11],
            expect!["integer overflow"],
        );
        check(
            "api.core.v1.Secret",
            &[8, 1],
            expect!["metadata: a wrong wire type, bytes expected"],
        );
        check(
            "api.core.v1.Secret",
            &bytes(3, &[0xff]),
            expect!["type: a string that is not UTF-8"],
        );
        check(
            "api.core.v1.Secret",
            &[11],
            expect!["wire type 3 is not supported"],
        );
        let mut deep = Vec::new();
        for _ in 0..3000 {
            let mut next = vec![0xe2, 1];
            let mut length = deep.len();
            while length > 127 {
                next.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            next.push(u8::try_from(length).unwrap());
            next.extend(&deep);
            deep = next;
        }
        check(
            "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
            &deep,
            expect![
                "not: not: not: not: not: not: not: not: not: not: not: not: not: not: not: not: not: not: messages are nested deeper than 100 levels"
            ],
        );
        assert!(envelope(b"{}").is_err());
    }

    #[test]
    fn few_bytes_do_not_become_much_memory() {
        let repeated = |unit: &[u8], times: usize| unit.repeat(times);
        let long = |number: u8, content: &[u8]| {
            let mut field = vec![number << 3 | 2];
            let mut length = content.len();
            while length > 127 {
                field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            field.push(u8::try_from(length).unwrap());
            [field, content.to_vec()].concat()
        };
        check(
            "api.core.v1.PodSecurityContext",
            &long(4, &repeated(&[1], MAX_FIELDS)),
            expect!["supplementalGroups: the body has more than 500000 fields"],
        );
        let extra = long(2, &repeated(&[10, 0], MAX_FIELDS));
        check(
            "api.authorization.v1.SubjectAccessReviewSpec",
            &long(5, &[bytes(1, b"k"), extra].concat()),
            expect!["extra: the body has more than 500000 fields"],
        );
        check(
            "api.core.v1.PodSpec",
            &repeated(&[18, 0], MAX_MESSAGES),
            expect!["containers: the body has more than 100000 messages"],
        );
    }

    #[test]
    fn what_kubernetes_encodes_is_read_as_it_prints_it() {
        fn without_nulls(value: &mut Value) {
            match value {
                Value::Object(members) => {
                    members.retain(|_, member| !member.is_null());
                    members.values_mut().for_each(without_nulls);
                }
                Value::Array(items) => items.iter_mut().for_each(without_nulls),
                _ => {}
            }
        }
        let recorded = include_str!("../testdata/protobuf.txt");
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            let schema = builtin::reference(words[0]);
            let bytes = canonical::base64_bytes(words[1]).unwrap();
            let mut value = message(&bytes, &schema).unwrap();
            canonical::canonicalize(&mut value, &schema, &mut canonical::Walk::default()).unwrap();
            without_nulls(&mut value);
            let printed: Value = serde_json::from_str(words[2]).unwrap();
            // Floats may be written with a fraction of zero.
            assert_eq!(
                value.to_string().replace(".0", ""),
                printed.to_string().replace(".0", ""),
                "{}",
                words[0]
            );
            let mut again = printed.clone();
            let mut walk = canonical::Walk::default();
            canonical::canonicalize(&mut again, &schema, &mut walk).unwrap();
            without_nulls(&mut again);
            assert_eq!((again, walk.unknown), (printed, Vec::new()), "{}", words[0]);
        }
        assert!(recorded.lines().count() > 70);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in ["api.core.v1.Pod", "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition", "api.events.v1.Event"] {
                let _ = message(&content, &builtin::reference(&format!("io.k8s.{kind}")));
            }
            let _ = envelope(&[b"k8s\0", &content[..]].concat());
        }
    }
}
