//! Members that a schema does not know: told to the client, or pruned.

use serde_json::{Map, Value};

use super::{Object, Schema, Type, Wire, builtin};
use crate::resource::Resource;

/// Unknown members that are told; more are pruned but not listed.
const MAX_UNKNOWN: usize = 64;

/// Nesting that is looked at; deeper values are left alone (decoding refuses them).
const MAX_DEPTH: usize = super::parse::MAX_DEPTH + 8;

/// Paths of members that the schema does not know, e.g. `spec.containers[0].foo`; at most 64.
#[must_use]
pub fn check_fields(resource: &Resource, value: &Value) -> Vec<String> {
    let mut walk = Unknown::default();
    walk.look(value, &resource.schema, None);
    walk.found
}

/// Removes members that the schema does not know.
pub fn prune(resource: &Resource, value: &mut Value) {
    prune_node(value, &resource.schema);
}

/// As [`prune`] for a bare schema; tells the paths of what it removed.
pub(crate) fn prune_node(value: &mut Value, schema: &Schema) -> Vec<String> {
    let mut walk = Unknown::default();
    walk.look(value, schema, None);
    if walk.count > 0 {
        remove(value, schema, None, 0);
    }
    walk.found
}

/// What a member of an object is to a schema.
enum Known<'a> {
    Schema(&'a Schema, Option<Wire>),
    /// Anything may be in it.
    Opaque,
    No,
}

fn known<'a>(object: &'a Object, schema: &Schema, name: &str) -> Known<'a> {
    if schema.embedded && name == "metadata" {
        // Whatever the definition says of it.
        return builtin::message(builtin::OBJECT_META)
            .map_or(Known::Opaque, |meta| Known::Schema(meta, None));
    }
    if let Some(field) = object.fields.get(name) {
        return Known::Schema(&field.schema, field.proto.map(|p| p.wire));
    }
    if let Some(value) = &object.additional {
        return Known::Schema(value, Some(builtin::wire_of(value)));
    }
    let is_header = schema.embedded && matches!(name, "apiVersion" | "kind");
    if schema.preserve_unknown || is_header {
        Known::Opaque
    } else {
        Known::No
    }
}

/// The schema behind the three unions of CustomResourceDefinition schemas.
fn union_schema(wire: Option<Wire>) -> Option<&'static Schema> {
    match wire? {
        Wire::SchemaOrArray | Wire::SchemaOrBool | Wire::SchemaOrStrings => {
            builtin::message(builtin::JSON_SCHEMA_PROPS)
        }
        _ => None,
    }
}

#[derive(Default)]
struct Unknown {
    found: Vec<String>,
    count: usize,
    path: String,
    depth: usize,
}

impl Unknown {
    fn look(&mut self, value: &Value, schema: &Schema, wire: Option<Wire>) {
        if self.depth > MAX_DEPTH {
            return;
        }
        let schema = match union_schema(wire) {
            Some(schema) => schema,
            None => schema.resolve(),
        };
        self.depth += 1;
        match (&schema.ty, value) {
            (Type::Object(object), Value::Object(members)) => self.members(members, object, schema),
            (Type::Array(item), Value::Array(items)) => self.items(items, item),
            (Type::Object(_), Value::Array(items)) if wire == Some(Wire::SchemaOrArray) => {
                self.items(items, schema);
            }
            _ => {}
        }
        self.depth -= 1;
    }

    fn items(&mut self, items: &[Value], schema: &Schema) {
        let length = self.path.len();
        for (index, item) in items.iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            self.look(item, schema, None);
            self.path.truncate(length);
        }
    }

    fn members(&mut self, members: &Map<String, Value>, object: &Object, schema: &Schema) {
        let length = self.path.len();
        for (name, member) in members {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
            match known(object, schema, name) {
                Known::Schema(inner, wire) => self.look(member, inner, wire),
                Known::Opaque => {}
                Known::No => {
                    self.count += 1;
                    if self.found.len() < MAX_UNKNOWN {
                        self.found.push(self.path.clone());
                    }
                }
            }
            self.path.truncate(length);
        }
    }
}

fn remove(value: &mut Value, schema: &Schema, wire: Option<Wire>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let schema = match union_schema(wire) {
        Some(schema) => schema,
        None => schema.resolve(),
    };
    match (&schema.ty, value) {
        (Type::Object(object), Value::Object(members)) => {
            members.retain(|name, member| match known(object, schema, name) {
                Known::Schema(inner, wire) => {
                    remove(member, inner, wire, depth + 1);
                    true
                }
                Known::Opaque => true,
                Known::No => false,
            });
        }
        (Type::Array(item), Value::Array(items)) => {
            for member in items {
                remove(member, item, None, depth + 1);
            }
        }
        (Type::Object(_), Value::Array(items)) if wire == Some(Wire::SchemaOrArray) => {
            for member in items {
                remove(member, schema, None, depth + 1);
            }
        }
        _ => {}
    }
}
