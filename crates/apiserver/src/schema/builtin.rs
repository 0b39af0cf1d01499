//! The types of Kubernetes' own kinds, read from the tables in `builtin/` that `cargo xtask codegen` writes.
//!
//! A table is lines of words. `package NAME` comes first; a line at the margin opens a message (`atomic` after its name
//! means that server-side apply owns it as a whole); an indented line is a member: JSON name, protobuf number (`-` none;
//! `2.1` number 1 inside the inlined message 2), type, flags. Types: `str bool i32 i64 f64 bytes time microtime quantity
//! intstr raw`, a message (of this package, or by full name), `[]T`, `{}T` (map), `@[]T` (list in a message of its own),
//! and the three unions `schema-or-…`. Flags: `!` required, `*` written whenever set, `=` always written (neither: omitted
//! when zero), `enum=A,B`, `list=set`, `list=map:KEY[=DEFAULT],…`, `map=atomic`, `patch=STRATEGY[,retainKeys][:KEY]`,
//! `default=JSON`.
//!
//! A package is read when one of its messages is first asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{Field, ListType, Object, PatchStrategy, Presence, Proto, Rules, Schema, Type, Wire};

/// First words of the names of the types that all kinds share.
pub const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Name of the message of `metadata`.
pub const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Name of the message of `metadata` of lists.
pub const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Name of the message of a node of an OpenAPI schema inside CustomResourceDefinitions.
pub const JSON_SCHEMA_PROPS: &str =
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

type Messages = HashMap<&'static str, Arc<Schema>>;

struct Table {
    package: &'static str,
    text: &'static str,
    messages: OnceLock<Messages>,
}

macro_rules! tables {
    ($($package:literal => $file:literal,)*) => {
        [$(Table { package: $package, text: include_str!(concat!("builtin/", $file)), messages: OnceLock::new() },)*]
    };
}

static TABLES: [Table; 23] = tables! {
    "io.k8s.api.admissionregistration.v1" => "admissionregistration.v1.txt",
    "io.k8s.api.apps.v1" => "apps.v1.txt",
    "io.k8s.api.authentication.v1" => "authentication.v1.txt",
    "io.k8s.api.authorization.v1" => "authorization.v1.txt",
    "io.k8s.api.autoscaling.v1" => "autoscaling.v1.txt",
    "io.k8s.api.autoscaling.v2" => "autoscaling.v2.txt",
    "io.k8s.api.batch.v1" => "batch.v1.txt",
    "io.k8s.api.certificates.v1" => "certificates.v1.txt",
    "io.k8s.api.coordination.v1" => "coordination.v1.txt",
    "io.k8s.api.core.v1" => "core.v1.txt",
    "io.k8s.api.discovery.v1" => "discovery.v1.txt",
    "io.k8s.api.events.v1" => "events.v1.txt",
    "io.k8s.api.flowcontrol.v1" => "flowcontrol.v1.txt",
    "io.k8s.api.networking.v1" => "networking.v1.txt",
    "io.k8s.api.node.v1" => "node.v1.txt",
    "io.k8s.api.policy.v1" => "policy.v1.txt",
    "io.k8s.api.rbac.v1" => "rbac.v1.txt",
    "io.k8s.api.resource.v1" => "resource.v1.txt",
    "io.k8s.api.scheduling.v1" => "scheduling.v1.txt",
    "io.k8s.api.storage.v1" => "storage.v1.txt",
    "io.k8s.apimachinery.pkg.apis.meta.v1" => "meta.v1.txt",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1" => "apiextensions.v1.txt",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1" => "apiregistration.v1.txt",
};

/// The built-in message called `full_name`, e.g. `io.k8s.api.core.v1.PodSpec`.
#[must_use]
pub fn message(full_name: &str) -> Option<&'static Schema> {
    shared(full_name).map(|schema| &**schema)
}

/// As [`message`], for those who keep it.
#[must_use]
pub fn shared(full_name: &str) -> Option<&'static Arc<Schema>> {
    let (package, name) = full_name.rsplit_once('.')?;
    let table = TABLES.iter().find(|table| table.package == package)?;
    table
        .messages
        .get_or_init(|| parse(table.package, table.text))
        .get(name)
}

/// Group, version and package of each group version.
const GROUPS: &[(&str, &str, &str)] = &[
    ("", "v1", "io.k8s.api.core.v1"),
    (
        "admissionregistration.k8s.io",
        "v1",
        "io.k8s.api.admissionregistration.v1",
    ),
    (
        "apiextensions.k8s.io",
        "v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    ),
    (
        "apiregistration.k8s.io",
        "v1",
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
    ),
    ("apps", "v1", "io.k8s.api.apps.v1"),
    (
        "authentication.k8s.io",
        "v1",
        "io.k8s.api.authentication.v1",
    ),
    ("authorization.k8s.io", "v1", "io.k8s.api.authorization.v1"),
    ("autoscaling", "v1", "io.k8s.api.autoscaling.v1"),
    ("autoscaling", "v2", "io.k8s.api.autoscaling.v2"),
    ("batch", "v1", "io.k8s.api.batch.v1"),
    ("certificates.k8s.io", "v1", "io.k8s.api.certificates.v1"),
    ("coordination.k8s.io", "v1", "io.k8s.api.coordination.v1"),
    ("discovery.k8s.io", "v1", "io.k8s.api.discovery.v1"),
    ("events.k8s.io", "v1", "io.k8s.api.events.v1"),
    (
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "io.k8s.api.flowcontrol.v1",
    ),
    ("networking.k8s.io", "v1", "io.k8s.api.networking.v1"),
    ("node.k8s.io", "v1", "io.k8s.api.node.v1"),
    ("policy", "v1", "io.k8s.api.policy.v1"),
    ("rbac.authorization.k8s.io", "v1", "io.k8s.api.rbac.v1"),
    ("resource.k8s.io", "v1", "io.k8s.api.resource.v1"),
    ("scheduling.k8s.io", "v1", "io.k8s.api.scheduling.v1"),
    ("storage.k8s.io", "v1", "io.k8s.api.storage.v1"),
];

/// The built-in message of a kind, e.g. `Deployment` of `apps/v1`; also of kinds that are never stored, like `Status`.
#[must_use]
pub fn kind(api_version: &str, kind: &str) -> Option<&'static Arc<Schema>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if group == "meta.k8s.io" {
        // The few kinds of its other version look the same.
        return shared(&format!("{META}.{kind}"));
    }
    let (_, _, package) = GROUPS
        .iter()
        .find(|(g, v, _)| (*g, *v) == (group, version))?;
    let found = shared(&format!("{package}.{kind}"));
    match found {
        None if api_version == "v1" => shared(&format!("{META}.{kind}")),
        found => found,
    }
}

/// Group, version and kind of the built-in message `full_name`, if it is one of a kind: an object, or a list of objects.
#[must_use]
pub fn kind_of(full_name: &str) -> Option<(&'static str, &'static str, &str)> {
    let (package, kind) = full_name.rsplit_once('.')?;
    let (group, version, _) = GROUPS.iter().find(|(_, _, p)| *p == package)?;
    let Type::Object(object) = &message(full_name)?.ty else {
        return None;
    };
    let has = |field: &str| object.fields.contains_key(field);
    let is_kind = has("apiVersion") && has("kind") && has("metadata");
    is_kind.then_some((*group, *version, kind))
}

/// Full names of the messages of `package` (`io.k8s.api.core.v1`), sorted; empty for an unknown package.
#[must_use]
pub fn messages(package: &str) -> Vec<String> {
    let Some(table) = TABLES.iter().find(|table| table.package == package) else {
        return Vec::new();
    };
    let messages = table
        .messages
        .get_or_init(|| parse(table.package, table.text));
    let mut names: Vec<String> = messages.keys().map(|n| format!("{package}.{n}")).collect();
    names.sort();
    names
}

/// The packages that are tabled.
pub fn packages() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.package)
}

/// The node that stands for a schema inside a CustomResourceDefinition.
pub(super) fn json_schema_props() -> &'static Schema {
    static NODE: OnceLock<Arc<Schema>> = OnceLock::new();
    NODE.get_or_init(|| reference(JSON_SCHEMA_PROPS))
}

/// A node that stands for the built-in message `full_name`.
#[must_use]
pub fn reference(full_name: &str) -> Arc<Schema> {
    Arc::new(Schema {
        ty: Type::Ref(full_name.into()),
        ..Schema::default()
    })
}

/// Nodes of the types without members, shared by all fields.
struct Leaves {
    any: Arc<Schema>,
    text: Arc<Schema>,
    boolean: Arc<Schema>,
    int32: Arc<Schema>,
    int64: Arc<Schema>,
    double: Arc<Schema>,
    bytes: Arc<Schema>,
    time: Arc<Schema>,
    micro_time: Arc<Schema>,
    quantity: Arc<Schema>,
    int_or_string: Arc<Schema>,
    schema_or_array: Arc<Schema>,
    schema_or_bool: Arc<Schema>,
    schema_or_strings: Arc<Schema>,
}

fn leaves() -> &'static Leaves {
    static LEAVES: OnceLock<Leaves> = OnceLock::new();
    LEAVES.get_or_init(|| {
        let leaf = |ty: Type, format: &str| {
            let rules = (!format.is_empty()).then(|| {
                Box::new(Rules {
                    format: Some(format.into()),
                    ..Rules::default()
                })
            });
            Arc::new(Schema {
                ty,
                rules,
                ..Schema::default()
            })
        };
        // Anything may be in these as far as pruning goes; the format says how they travel.
        let open = |format: &str| {
            let mut schema = leaf(Type::Any, format);
            Arc::make_mut(&mut schema).preserve_unknown = true;
            schema
        };
        Leaves {
            any: open(""),
            schema_or_array: open("schema-or-array"),
            schema_or_bool: open("schema-or-bool"),
            schema_or_strings: open("schema-or-strings"),
            text: leaf(Type::String, ""),
            boolean: leaf(Type::Boolean, ""),
            int32: leaf(Type::Integer, "int32"),
            int64: leaf(Type::Integer, "int64"),
            double: leaf(Type::Number, "double"),
            bytes: leaf(Type::String, "byte"),
            time: leaf(Type::String, "date-time"),
            micro_time: leaf(Type::String, "micro-time"),
            quantity: leaf(Type::String, "quantity"),
            int_or_string: leaf(Type::IntOrString, ""),
        }
    })
}

/// How the value of a node travels when it is the value of a map.
pub(super) fn wire_of(schema: &Schema) -> Wire {
    match (&schema.ty, schema.format()) {
        (Type::String, "byte") => Wire::Bytes,
        (Type::String, "date-time") => Wire::Time,
        (Type::String, "micro-time") => Wire::MicroTime,
        (Type::String, "quantity") => Wire::Quantity,
        (Type::String, _) => Wire::Text,
        (Type::Integer, _) => Wire::Varint,
        (Type::Number, _) => Wire::Double,
        (Type::Boolean, _) => Wire::Bool,
        (Type::IntOrString, _) => Wire::IntOrString,
        (Type::Array(_), _) => Wire::List,
        (Type::Any, "schema-or-array") => Wire::SchemaOrArray,
        (Type::Any, "schema-or-bool") => Wire::SchemaOrBool,
        (Type::Any, "schema-or-strings") => Wire::SchemaOrStrings,
        (Type::Any, _) => Wire::Raw,
        (Type::Object(_) | Type::Ref(_), _) => Wire::Message,
    }
}

/// A message being read: name, whether atomic, members.
type Message = (&'static str, bool, BTreeMap<Box<str>, Field>);

fn parse(package: &'static str, text: &'static str) -> Messages {
    let mut messages = Messages::new();
    let mut open: Option<Message> = None;
    let mut close = |open: Option<Message>| {
        if let Some((name, atomic_map, fields)) = open {
            let schema = Schema {
                ty: Type::Object(Object {
                    fields,
                    additional: None,
                }),
                atomic_map,
                ..Schema::default()
            };
            messages.insert(name, Arc::new(schema));
        }
    };
    for line in text.lines() {
        if line.starts_with('#') || line.starts_with("package ") {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        if line.starts_with(' ') {
            if let Some((_, _, fields)) = &mut open {
                let number = words.next().unwrap_or_default();
                let ty = words.next().unwrap_or_default();
                fields.insert(name.into(), field(package, number, ty, words));
            }
        } else {
            close(open.take());
            open = Some((name, words.next() == Some("atomic"), BTreeMap::new()));
        }
    }
    close(open);
    messages
}

fn field<'a>(package: &str, number: &str, ty: &str, flags: impl Iterator<Item = &'a str>) -> Field {
    let (schema, wire) = node(package, ty);
    let mut required = false;
    let mut presence = Presence::OmitZero;
    let mut schema = schema;
    for flag in flags {
        let (word, value) = flag.split_once('=').unwrap_or((flag, ""));
        match word {
            "!" => required = true,
            "*" => presence = Presence::Set,
            "" => presence = Presence::Always,
            _ => mark(Arc::make_mut(&mut schema), word, value),
        }
    }
    let mut via = [0; 2];
    let mut numbers: Vec<u32> = number.split('.').filter_map(|n| n.parse().ok()).collect();
    let proto = numbers.pop().map(|number| {
        for (slot, outer) in via.iter_mut().zip(numbers) {
            *slot = outer;
        }
        Proto {
            number,
            wire,
            via,
            presence,
        }
    });
    Field {
        schema,
        required,
        proto,
    }
}

/// Applies one flag to the node of a field.
fn mark(schema: &mut Schema, word: &str, value: &str) {
    match word {
        "enum" => {
            let values = value.split(',').map(|v| Value::from(v.replace("%20", " ")));
            let rules = Box::new(Rules {
                enumeration: values.collect(),
                ..Rules::default()
            });
            match &mut schema.ty {
                Type::Array(item) => Arc::make_mut(item).rules = Some(rules),
                _ => schema.rules = Some(rules),
            }
        }
        "list" => {
            schema.list_type = match value.strip_prefix("map:") {
                Some(keys) => ListType::Map(keys.split(',').map(list_key).collect()),
                None => ListType::Set,
            };
        }
        "map" => schema.atomic_map = true,
        "patch" => {
            let (strategies, key) = value.split_once(':').unwrap_or((value, ""));
            let has = |strategy| strategies.split(',').any(|s| s == strategy);
            schema.patch = Some(PatchStrategy {
                merge: has("merge"),
                retain_keys: has("retainKeys"),
                merge_key: (!key.is_empty()).then(|| key.into()),
            });
        }
        "default" => schema.default = serde_json::from_str(value).ok(),
        _ => {}
    }
}

fn list_key(key: &str) -> (Box<str>, Option<Value>) {
    match key.split_once('=') {
        Some((key, default)) => (key.into(), serde_json::from_str(default).ok()),
        None => (key.into(), None),
    }
}

/// Node and wire type of the type `ty` of a table.
fn node(package: &str, ty: &str) -> (Arc<Schema>, Wire) {
    let leaves = leaves();
    let of = |ty: Type| {
        Arc::new(Schema {
            ty,
            ..Schema::default()
        })
    };
    if let Some(item) = ty.strip_prefix("@[]") {
        return (of(Type::Array(node(package, item).0)), Wire::List);
    }
    if let Some(item) = ty.strip_prefix("[]") {
        let (item, wire) = node(package, item);
        return (of(Type::Array(item)), wire);
    }
    if let Some(value) = ty.strip_prefix("{}") {
        let map = Object {
            fields: BTreeMap::new(),
            additional: Some(node(package, value).0),
        };
        return (of(Type::Object(map)), Wire::Map);
    }
    let (leaf, wire) = match ty {
        "str" => (&leaves.text, Wire::Text),
        "bool" => (&leaves.boolean, Wire::Bool),
        "i32" => (&leaves.int32, Wire::Varint),
        "i64" => (&leaves.int64, Wire::Varint),
        "f64" => (&leaves.double, Wire::Double),
        "bytes" => (&leaves.bytes, Wire::Bytes),
        "time" => (&leaves.time, Wire::Time),
        "microtime" => (&leaves.micro_time, Wire::MicroTime),
        "quantity" => (&leaves.quantity, Wire::Quantity),
        "intstr" => (&leaves.int_or_string, Wire::IntOrString),
        "raw" => (&leaves.any, Wire::Raw),
        "schema-or-array" => (&leaves.schema_or_array, Wire::SchemaOrArray),
        "schema-or-bool" => (&leaves.schema_or_bool, Wire::SchemaOrBool),
        "schema-or-strings" => (&leaves.schema_or_strings, Wire::SchemaOrStrings),
        name if name.contains('.') => return (reference(name), Wire::Message),
        name => return (reference(&format!("{package}.{name}")), Wire::Message),
    };
    (leaf.clone(), wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn show(name: &str) -> String {
        let Some(schema) = message(name) else {
            return format!("no {name}\n");
        };
        let Type::Object(object) = &schema.ty else {
            return "no object".into();
        };
        let mut text = String::new();
        for (name, field) in &object.fields {
            let ty = match &field.schema.ty {
                Type::Object(map) => format!("map of {:?}", map.additional.as_ref().unwrap().ty),
                Type::Array(item) => format!("list of {:?}", item.ty),
                other => format!("{other:?}"),
            };
            text += &format!("{name}: {ty} {:?}", field.schema.list_type);
            if let Some(patch) = &field.schema.patch {
                text += &format!(" {patch:?}");
            }
            if let Some(proto) = &field.proto {
                text += &format!(
                    " {:?} {} {:?} {:?}",
                    proto.via, proto.number, proto.wire, proto.presence
                );
            }
            text += "\n";
        }
        text
    }

    #[test]
    fn tables_give_fields_with_markers() {
        expect![[r#"
            containerPort: Integer Atomic [0, 0] 3 Varint Always
            hostIP: String Atomic [0, 0] 5 Text OmitZero
            hostPort: Integer Atomic [0, 0] 2 Varint OmitZero
            name: String Atomic [0, 0] 1 Text OmitZero
            protocol: String Atomic [0, 0] 4 Text OmitZero
        "#]]
        .assert_eq(&show("io.k8s.api.core.v1.ContainerPort"));
        expect![[r#"
            minReadySeconds: Integer Atomic [0, 0] 5 Varint OmitZero
            paused: Boolean Atomic [0, 0] 7 Bool OmitZero
            progressDeadlineSeconds: Integer Atomic [0, 0] 9 Varint Set
            replicas: Integer Atomic [0, 0] 1 Varint Set
            revisionHistoryLimit: Integer Atomic [0, 0] 6 Varint Set
            selector: Ref("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector") Atomic [0, 0] 2 Message Set
            strategy: Ref("io.k8s.api.apps.v1.DeploymentStrategy") Atomic PatchStrategy { merge: false, retain_keys: true, merge_key: None } [0, 0] 4 Message Always
            template: Ref("io.k8s.api.core.v1.PodTemplateSpec") Atomic [0, 0] 3 Message Always
        "#]].assert_eq(&show("io.k8s.api.apps.v1.DeploymentSpec"));
        expect![[r#"
            apiGroups: list of String Atomic [2, 2] 1 Text OmitZero
            apiVersions: list of String Atomic [2, 2] 2 Text OmitZero
            operations: list of String Atomic [2, 0] 1 Text OmitZero
            resourceNames: list of String Atomic [0, 0] 1 Text OmitZero
            resources: list of String Atomic [2, 2] 3 Text OmitZero
            scope: String Atomic [2, 2] 4 Text Set
        "#]]
        .assert_eq(&show(
            "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations",
        ));
    }

    #[test]
    fn every_reference_resolves() {
        fn check(schema: &Schema, at: &str, missing: &mut Vec<String>) {
            match &schema.ty {
                Type::Ref(name) if message(name).is_none() => missing.push(format!("{at}: {name}")),
                Type::Array(item) => check(item, at, missing),
                Type::Object(object) => {
                    for (name, field) in &object.fields {
                        check(&field.schema, &format!("{at}.{name}"), missing);
                    }
                    if let Some(value) = &object.additional {
                        check(value, at, missing);
                    }
                }
                _ => {}
            }
        }
        let mut missing = Vec::new();
        let mut count = 0;
        for package in packages() {
            for name in messages(package) {
                count += 1;
                check(message(&name).unwrap(), &name, &mut missing);
            }
        }
        assert_eq!(missing, Vec::<String>::new());
        assert!(count > 600, "only {count} messages");
    }
}
