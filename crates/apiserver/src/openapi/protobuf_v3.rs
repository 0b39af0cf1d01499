//! The version 3 documents as protobuf: the messages of `openapiv3/OpenAPIv3.proto` of the gnostic models, as far as our
//! documents use them; see [`protobuf`](super::protobuf) for how they are tabled.

use serde_json::Value;

use super::protobuf::Kind::{
    Any, Anys, Count, Each, Flag, Named, Number, OrReference, Scalar, SchemaOrFlag, Text, Texts,
    Wrapped,
};
use super::protobuf::{Kind, Message, encode_as};

static DOCUMENT: Message = Message {
    fields: &[
        ("openapi", 1, Text),
        ("info", 2, Kind::Message(&INFO)),
        ("paths", 4, Named(1, &Kind::Message(&PATH))),
        ("components", 5, Kind::Message(&COMPONENTS)),
    ],
    extensions: 9,
};

static INFO: Message = Message {
    fields: &[
        ("title", 1, Text),
        ("description", 2, Text),
        ("version", 6, Text),
    ],
    extensions: 7,
};

static PATH: Message = Message {
    fields: &[
        ("description", 3, Text),
        ("get", 4, Kind::Message(&OPERATION)),
        ("put", 5, Kind::Message(&OPERATION)),
        ("post", 6, Kind::Message(&OPERATION)),
        ("delete", 7, Kind::Message(&OPERATION)),
        ("options", 8, Kind::Message(&OPERATION)),
        ("head", 9, Kind::Message(&OPERATION)),
        ("patch", 10, Kind::Message(&OPERATION)),
        ("parameters", 13, Each(&OrReference(&PARAMETER))),
    ],
    extensions: 14,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Texts),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Each(&OrReference(&PARAMETER))),
        ("requestBody", 7, OrReference(&REQUEST_BODY)),
        ("responses", 8, Named(2, &OrReference(&RESPONSE))),
        ("deprecated", 10, Flag),
    ],
    extensions: 13,
};

static PARAMETER: Message = Message {
    fields: &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, OrReference(&SCHEMA)),
    ],
    extensions: 14,
};

static REQUEST_BODY: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("content", 2, Named(1, &Kind::Message(&MEDIA_TYPE))),
        ("required", 3, Flag),
    ],
    extensions: 4,
};

static RESPONSE: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("content", 3, Named(1, &Kind::Message(&MEDIA_TYPE))),
    ],
    extensions: 5,
};

static MEDIA_TYPE: Message = Message {
    fields: &[("schema", 1, OrReference(&SCHEMA))],
    extensions: 5,
};

static COMPONENTS: Message = Message {
    fields: &[("schemas", 1, Named(1, &OrReference(&SCHEMA)))],
    extensions: 10,
};

static SCHEMA: Message = Message {
    fields: &[
        ("nullable", 1, Flag),
        ("example", 7, Any),
        ("title", 9, Text),
        ("multipleOf", 10, Number),
        ("maximum", 11, Number),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Number),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Count),
        ("minLength", 16, Count),
        ("pattern", 17, Text),
        ("maxItems", 18, Count),
        ("minItems", 19, Count),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Count),
        ("minProperties", 22, Count),
        ("required", 23, Texts),
        ("enum", 24, Anys),
        ("type", 25, Text),
        ("allOf", 26, Each(&OrReference(&SCHEMA))),
        ("oneOf", 27, Each(&OrReference(&SCHEMA))),
        ("anyOf", 28, Each(&OrReference(&SCHEMA))),
        ("not", 29, Kind::Message(&SCHEMA)),
        ("items", 30, Wrapped(1, &OrReference(&SCHEMA))),
        ("properties", 31, Named(1, &OrReference(&SCHEMA))),
        (
            "additionalProperties",
            32,
            SchemaOrFlag(&OrReference(&SCHEMA)),
        ),
        ("default", 33, Scalar),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    extensions: 36,
};

/// The document in protobuf.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    encode_as(document, &DOCUMENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A length-delimited field.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let tag = u16::from(number) << 3 | 2;
        if tag > 127 {
            out.push(u8::try_from(tag & 0x7f).unwrap() | 0x80);
            out.push(u8::try_from(tag >> 7).unwrap());
        } else {
            out.push(u8::try_from(tag).unwrap());
        }
        out.push(u8::try_from(content.len()).unwrap());
        out.extend(content);
        out
    }

    fn pair(name: &str, value: &[u8]) -> Vec<u8> {
        [bytes(1, name.as_bytes()), bytes(2, value)].concat()
    }

    #[test]
    fn schemas_and_references_have_their_messages() {
        let document = json!({
            "openapi": "3.0.0",
            "components": {"schemas": {"A": {
                "default": true,
                "items": {"$ref": "#/B"},
                "properties": {"p": {"allOf": [{"$ref": "#/B"}], "default": {}}},
                "type": "array",
                "x-a": 1,
            }}},
        });
        let reference = bytes(2, &bytes(1, b"#/B"));
        // A default that is an object has no message.
        let property = bytes(1, &bytes(26, &reference));
        let schema = [
            bytes(33, &[2 << 3, 1]),
            bytes(30, &bytes(1, &reference)),
            bytes(31, &bytes(1, &pair("p", &property))),
            bytes(25, b"array"),
            bytes(36, &pair("x-a", &bytes(2, b"1"))),
        ]
        .concat();
        let schemas = bytes(1, &bytes(1, &pair("A", &bytes(1, &schema))));
        let expected = [bytes(5, &schemas), bytes(1, b"3.0.0")].concat();
        assert_eq!(encode(&document), expected);
    }
}
