//! Values read by their schema, as structured-merge-diff reads them: what is a leaf, what is a list of parts, what a
//! part is called. Values without a schema are deduced: objects are granular, lists are leaves.

mod combine;
mod compare;
mod fields;
mod reconcile;
mod remove;
mod validate;

use std::sync::LazyLock;

use serde_json::Value;

pub(super) use combine::combine;
pub(super) use compare::{Delta, compare};
pub(super) use fields::{fields, with_named_fields};
pub(super) use reconcile::reconcile;
pub(super) use remove::remove;
pub(super) use validate::validate;

use super::path::Element;
use crate::schema::{Field, ListType, Object, Presence, Schema, Type, builtin};

/// The schema of values that have none.
static ANYTHING: LazyLock<Schema> = LazyLock::new(Schema::default);
/// What an implied member is when it is absent.
static NOTHING: LazyLock<Value> = LazyLock::new(|| Value::Object(serde_json::Map::new()));
/// The names that every embedded object has without declaring them.
const EMBEDDED_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// A place in the schema.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    schema: &'a Schema,
    list_type: &'a ListType,
    is_atomic_map: bool,
    /// Fields that the schema does not declare are kept, here and below.
    keeps_unknown: bool,
}

/// How a value is taken apart.
pub(super) enum Shape<'a> {
    Scalar(Scalar),
    List(List<'a>),
    Map(Map<'a>),
}

/// The type of a leaf that is neither a list nor a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Number,
    Text,
    Boolean,
    /// Any of them.
    Any,
}

/// A list.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    pub(super) items: Node<'a>,
    list_type: &'a ListType,
}

/// An object, be it a structure or a map.
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    pub(super) is_atomic: bool,
    node: Node<'a>,
    object: Option<&'a Object>,
}

/// A member of an object.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) node: Node<'a>,
    /// Named by the schema, not a key of a map.
    pub(super) is_declared: bool,
    /// A structure that Go keeps by value: it is there, empty, wherever its parent is.
    pub(super) is_implied: bool,
}

impl<'a> Member<'a> {
    /// A member that the schema does not name.
    fn undeclared(node: Node<'a>) -> Self {
        Self {
            node,
            is_declared: false,
            is_implied: false,
        }
    }
}

impl<'a> Node<'a> {
    /// The place of a whole object.
    pub(super) fn root(schema: &'a Schema) -> Self {
        Self::of(schema, false)
    }

    fn anything() -> Self {
        Self::of(&ANYTHING, true)
    }

    fn of(schema: &'a Schema, keeps_unknown: bool) -> Self {
        let resolved = schema.resolve();
        // What stands beside a reference overrides what the referenced type says.
        let list_type = if schema.list_type == ListType::Atomic {
            &resolved.list_type
        } else {
            &schema.list_type
        };
        Self {
            schema: resolved,
            list_type,
            is_atomic_map: schema.atomic_map || resolved.atomic_map,
            keeps_unknown: keeps_unknown || schema.preserve_unknown || resolved.preserve_unknown,
        }
    }

    /// How `value` is to be read; absent values and null as the type's first choice.
    pub(super) fn shape(self, value: Option<&Value>) -> Shape<'a> {
        match &self.schema.ty {
            Type::Any => match value {
                Some(Value::Array(_)) => Shape::List(List {
                    items: Node::anything(),
                    list_type: self.list_type,
                }),
                Some(Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
                    Shape::Scalar(Scalar::Any)
                }
                Some(Value::Object(_) | Value::Null) | None => Shape::Map(self.map(None)),
            },
            Type::Object(object) => Shape::Map(self.map(Some(object))),
            Type::Array(items) => {
                let items = Node::of(items, self.keeps_unknown);
                Shape::List(List {
                    items,
                    list_type: self.list_type,
                })
            }
            Type::String => Shape::Scalar(self.text()),
            Type::Integer | Type::Number => Shape::Scalar(Scalar::Number),
            Type::Boolean => Shape::Scalar(Scalar::Boolean),
            Type::IntOrString | Type::Ref(_) => Shape::Scalar(Scalar::Any),
        }
    }

    fn map(self, object: Option<&'a Object>) -> Map<'a> {
        Map {
            is_atomic: self.is_atomic_map,
            node: self,
            object,
        }
    }

    /// Formatted texts (times, quantities) may be written as other scalars.
    fn text(self) -> Scalar {
        let format = self
            .schema
            .rules
            .as_ref()
            .and_then(|rules| rules.format.as_deref());
        if format.is_none_or(|format| matches!(format, "" | "byte")) {
            Scalar::Text
        } else {
            Scalar::Any
        }
    }

    /// Whether Go keeps the field as a structure, not as a pointer to one.
    fn is_kept_by_value(self, field: &Field) -> bool {
        let is_structure =
            matches!(&self.schema.ty, Type::Object(object) if !object.fields.is_empty());
        let is_pointer = field
            .proto
            .is_none_or(|proto| proto.presence == Presence::Set);
        is_structure && !is_pointer && !self.is_atomic_map
    }

    /// The place that a path element leads to, if the schema knows it; tells also whether it is a declared field.
    fn step(self, element: &Element) -> Option<Member<'a>> {
        match element {
            Element::Field(name) => match &self.schema.ty {
                Type::Object(object) => self.map(Some(object)).member(name),
                Type::Any => self.map(None).member(name),
                _ => None,
            },
            Element::Key(_) => match &self.schema.ty {
                Type::Array(items) => Some(Member::undeclared(Node::of(items, self.keeps_unknown))),
                _ => None,
            },
            Element::Item(_) | Element::Index(_) => None,
        }
    }
}

impl<'a> Map<'a> {
    /// The member called `name`; `None` if the schema forbids it.
    pub(super) fn member(self, name: &str) -> Option<Member<'a>> {
        let Some(object) = self.object else {
            return Some(Member::undeclared(Node::anything()));
        };
        let keeps_unknown = self.node.keeps_unknown;
        if self.node.schema.embedded && EMBEDDED_FIELDS.contains(&name) {
            // Whatever the definition says of it.
            let metadata = builtin::message(builtin::OBJECT_META);
            let node = metadata.filter(|_| name == "metadata").map(Node::root);
            return Some(Member {
                is_declared: true,
                ..Member::undeclared(node.unwrap_or_else(Node::anything))
            });
        }
        if let Some(field) = object.fields.get(name) {
            let node = Node::of(&field.schema, keeps_unknown);
            return Some(Member {
                node,
                is_declared: true,
                is_implied: node.is_kept_by_value(field),
            });
        }
        if let Some(values) = &object.additional {
            return Some(Member::undeclared(Node::of(values, keeps_unknown)));
        }
        let is_free = keeps_unknown || object.fields.is_empty();
        is_free.then(|| Member::undeclared(Node::anything()))
    }

    /// What `name` is in an object that does not have it.
    fn implied(self, name: &str) -> Option<&'static Value> {
        self.member(name)
            .is_some_and(|member| member.is_implied)
            .then(|| &*NOTHING)
    }

    /// The member called `name`, as if the schema allowed everything.
    pub(super) fn member_or_anything(self, name: &str) -> Member<'a> {
        self.member(name)
            .unwrap_or_else(|| Member::undeclared(Node::anything()))
    }
}

impl List<'_> {
    /// Owned as a whole or not at all.
    pub(super) fn is_atomic(self) -> bool {
        *self.list_type == ListType::Atomic
    }

    /// What an item of a set or map is called.
    pub(super) fn element(self, item: &Value) -> Result<Element, String> {
        match self.list_type {
            ListType::Atomic => Err("invalid indexing of non-associative list".into()),
            ListType::Set => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::Array(_) => {
                    Err("not supported: associative list with lists as elements".into())
                }
                Value::Null => Err(
                    "associative list without keys has an element that's an explicit null".into(),
                ),
                scalar => Ok(Element::Item(Box::new(scalar.clone()))),
            },
            ListType::Map(keys) => {
                let members = match item {
                    Value::Object(members) => members,
                    Value::Null => {
                        return Err("associative list with keys may not have a null element".into());
                    }
                    _ => {
                        return Err(
                            "associative list with keys may not have non-map elements".into()
                        );
                    }
                };
                let said = |(name, default): &(Box<str>, Option<Value>)| {
                    members
                        .get(&**name)
                        .or(default.as_ref())
                        .map(|value| (name.clone(), value.clone()))
                };
                let key: Vec<_> = keys.iter().filter_map(said).collect();
                if key.is_empty() {
                    let names = keys
                        .iter()
                        .map(|(name, _)| format!("{name:?}"))
                        .collect::<Vec<_>>()
                        .join(" ");
                    return Err(format!(
                        "associative list with keys has an element that omits all key fields [{names}] (and doesn't have default values for any key fields)"
                    ));
                }
                Ok(Element::key(key))
            }
        }
    }
}

/// The items of a granular value; null and anything else that is no list has none.
fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The members of a granular value; null and anything else that is no object has none.
fn members(value: Option<&Value>) -> Option<&serde_json::Map<String, Value>> {
    value
        .and_then(Value::as_object)
        .filter(|members| !members.is_empty())
}

/// A list position with the reason why it has no name.
fn nameless(at: usize, why: &str) -> String {
    format!("element {at}: {why}")
}
