//! What is written is what is read.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::{document, envelope, frame, message, object, value};
use crate::resource;
use crate::schema::{Presence, Schema, Type, Wire, builtin, canonical};

/// A value of the type, in the form in which it is stored.
fn arbitrary(schema: &Schema, wire: Wire, rng: &mut StdRng, depth: usize) -> Value {
    let pick = |rng: &mut StdRng, from: &[&str]| Value::from(from[rng.random_range(0..from.len())]);
    match (&schema.ty, wire) {
        (Type::Array(item), wire) => {
            let wire = if wire == Wire::List {
                builtin::wire_of(item)
            } else {
                wire
            };
            let length = rng.random_range(1..4);
            (0..length)
                .map(|_| arbitrary(item, wire, rng, depth + 1))
                .collect()
        }
        (Type::Object(map), Wire::Map) => {
            let item = map.additional.as_ref().unwrap();
            let length = rng.random_range(1..4);
            (0..length)
                .map(|at| {
                    let key = format!("k{at}");
                    let value = arbitrary(item, builtin::wire_of(item), rng, depth + 1);
                    (key, value)
                })
                .collect::<Map<_, _>>()
                .into()
        }
        (_, Wire::Message) => arbitrary_object(schema, rng, depth),
        (_, Wire::Text) => pick(rng, &["a", "ü", "", "long ".repeat(50).as_str()]),
        (_, Wire::Bytes) => pick(rng, &["", "/wA=", "aGVsbG8="]),
        (_, Wire::Varint) => json!(
            *[0, 1, -1, 127, 128, i32::MAX, i32::MIN]
                .get(rng.random_range(0..7))
                .unwrap()
        ),
        (_, Wire::Bool) => rng.random::<bool>().into(),
        (_, Wire::Double) => json!(*[0.5, -1.5, 1e30].get(rng.random_range(0..3)).unwrap()),
        (_, Wire::Quantity) => pick(rng, &["0", "100m", "1Gi", "12"]),
        (_, Wire::IntOrString) if rng.random() => json!(rng.random_range(-5..5000)),
        (_, Wire::IntOrString) => pick(rng, &["25%", "http", ""]),
        (_, Wire::Time) => pick(rng, &["1969-12-31T23:59:59Z", "2026-01-02T03:04:05Z"]),
        (_, Wire::MicroTime) => pick(
            rng,
            &["1969-12-31T23:59:59.000007Z", "2026-01-02T03:04:05.999999Z"],
        ),
        (_, Wire::Raw) => json!({"f:metadata": {"f:labels": {}}, "n": [1, null, 1.5, u64::MAX]}),
        (_, Wire::SchemaOrBool) if rng.random() => rng.random::<bool>().into(),
        (_, Wire::SchemaOrArray) if depth < 4 && rng.random() => {
            json!([{"type": "string"}, {"not": {}}])
        }
        (_, Wire::SchemaOrStrings) if rng.random() => json!(["a", ""]),
        (_, Wire::SchemaOrArray | Wire::SchemaOrBool | Wire::SchemaOrStrings) => {
            arbitrary_object(builtin::json_schema_props(), rng, depth + 1)
        }
        (ty, wire) => panic!("{ty:?} as {wire:?}"),
    }
}

fn arbitrary_object(schema: &Schema, rng: &mut StdRng, depth: usize) -> Value {
    let Type::Object(object) = &schema.resolve().ty else {
        panic!("{schema:?} is no message");
    };
    let mut members = Map::new();
    for (name, field) in &object.fields {
        let Some(proto) = field.proto else { continue };
        // Deep inside, only what is always there.
        let likely = if depth > 5 { 0.02 } else { 0.4 };
        if proto.presence == Presence::Always || rng.random_bool(likely) {
            let is_open = matches!(
                field.schema.ty,
                Type::Array(_) | Type::Object(_) | Type::Any
            );
            if is_open && depth > 8 {
                continue;
            }
            members.insert(
                name.to_string(),
                arbitrary(&field.schema, proto.wire, rng, depth + 1),
            );
        }
    }
    members.into()
}

/// An object of the kind as the server stores it.
fn stored(schema: &Schema, seed: u64) -> Value {
    let mut value = arbitrary_object(schema, &mut StdRng::seed_from_u64(seed), 0);
    canonical(&mut value, schema);
    value
}

fn canonical(value: &mut Value, schema: &Schema) {
    canonical::canonicalize(value, schema, &mut canonical::Walk::default()).unwrap();
}

#[track_caller]
fn check(schema: &Schema, api_version: &str, kind: &str, seed: u64) {
    let stored = stored(schema, seed);
    let written = object((api_version, kind), stored.to_string().as_bytes(), schema).unwrap();
    let envelope = envelope(&written).unwrap();
    assert_eq!(
        (&*envelope.api_version, &*envelope.kind),
        (api_version, kind)
    );
    let mut read = message(envelope.raw, schema).unwrap();
    canonical(&mut read, schema);
    pretty(&read, &stored, kind);
    // A tree of values is written as its text is.
    let mut tree = stored;
    tree["apiVersion"] = api_version.into();
    tree["kind"] = kind.into();
    let again = value(&tree).unwrap().unwrap();
    assert_eq!(super::envelope(&again).unwrap().raw, envelope.raw, "{kind}");
}

#[track_caller]
fn pretty(read: &Value, stored: &Value, kind: &str) {
    assert!(
        read == stored,
        "{kind}\n{}\n{}",
        serde_json::to_string_pretty(read).unwrap(),
        serde_json::to_string_pretty(stored).unwrap()
    );
}

#[test]
fn every_built_in_kind_has_its_message() {
    for resource in resource::builtin() {
        let found = builtin::kind(&resource.api_version(), &resource.kind).unwrap();
        assert!(
            std::ptr::eq(&**found, resource.schema.resolve()),
            "{}",
            resource.kind
        );
    }
    for (api_version, kind) in [
        ("v1", "Status"),
        ("v1", "APIResourceList"),
        ("meta.k8s.io/v1", "PartialObjectMetadataList"),
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
    ] {
        assert!(builtin::kind(api_version, kind).is_some(), "{kind}");
    }
    assert!(builtin::kind("example.com/v1", "Pod").is_none());
}

#[test]
fn every_message_of_the_tables_is_read_as_it_was_written() {
    for package in builtin::packages() {
        for name in builtin::messages(package) {
            let schema = builtin::reference(&name);
            for seed in 0..3 {
                let stored = stored(&schema, seed);
                let text = stored.to_string();
                let written = object(("v1", "Any"), text.as_bytes(), &schema).unwrap();
                let mut read = message(envelope(&written).unwrap().raw, &schema).unwrap();
                canonical(&mut read, &schema);
                pretty(&read, &stored, &name);
            }
        }
    }
}

#[test]
fn what_kubernetes_encodes_is_written_with_the_same_content() {
    let recorded = include_str!("../testdata/protobuf.txt");
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let schema = builtin::reference(words[0]);
        let written = object(("v1", "Any"), words[2].as_bytes(), &schema).unwrap();
        let theirs = canonical::base64_bytes(words[1]).unwrap();
        let mut read = message(envelope(&written).unwrap().raw, &schema).unwrap();
        let mut expected = message(&theirs, &schema).unwrap();
        for value in [&mut read, &mut expected] {
            canonical(value, &schema);
        }
        assert_eq!(read, expected, "{}", words[0]);
    }
}

#[test]
fn a_frame_says_its_length() {
    let inner = document("v1", "Pod", &[0x0a, 0]);
    let framed = frame("ADDED", &inner);
    let length = u8::try_from(inner.len()).unwrap();
    let event = [
        &[0x0a, 5][..],
        b"ADDED",
        &[0x12, length + 2, 0x0a, length],
        &inner,
    ]
    .concat();
    let prefix = u32::try_from(event.len()).unwrap().to_be_bytes();
    assert_eq!(framed, [&prefix[..], &event].concat());
}

proptest! {
    #[test]
    fn kinds_are_read_as_they_were_written(seed in any::<u64>(), at in any::<prop::sample::Index>()) {
        let resources = resource::builtin();
        let resource = &resources[at.index(resources.len())];
        check(&resource.schema, &resource.api_version(), &resource.kind, seed);
    }
}
