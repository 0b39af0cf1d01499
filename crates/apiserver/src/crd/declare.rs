//! What structural schemas mean for CEL: types, and how large values can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{ListKind, ObjectType};
use serde_json::Value;

use crate::schema::{ListType, Object, Rules, Schema, Type};

/// Largest request in bytes that estimates assume; no value is larger.
const MAX_REQUEST: u64 = 3 << 20;

/// A node as CEL sees it.
pub(super) struct Declared {
    pub(super) of: cel::Type,
    /// Most characters, bytes or elements.
    max: u64,
    /// Fewest bytes that a value takes in JSON.
    min_size: u64,
    inner: Inner,
}

enum Inner {
    None,
    Element(Box<Declared>),
    /// By the names that expressions use.
    Fields(BTreeMap<String, Declared>),
}

impl Declared {
    /// The declaration of a schema; `None` when expressions cannot see values of it. `is_root`: it is the root of a
    /// resource, which has `apiVersion`, `kind`, `metadata.name` and `metadata.generateName` in any case.
    pub(super) fn of(schema: &Schema, is_root: bool, name: &str) -> Option<Self> {
        let rules = schema.rules.as_deref();
        let max_length = rules.and_then(|rules| rules.max_length);
        Some(match &schema.ty {
            Type::IntOrString => Self {
                of: cel::Type::Dyn,
                max: max_length.map_or(MAX_REQUEST - 2, |max| max.saturating_mul(4)),
                min_size: 1,
                inner: Inner::None,
            },
            Type::Boolean => Self::simple(cel::Type::Bool, 4),
            Type::Number => Self::simple(cel::Type::Double, 1),
            Type::Integer => Self::simple(cel::Type::Int, 1),
            Type::String => Self::text(schema.format(), rules),
            Type::Array(item) => {
                let element = Self::of(item, item.embedded, &format!("{name}.@idx"))?;
                let max = rules.and_then(|rules| rules.max_items);
                Self {
                    of: cel::Type::list_of_kind(element.of.clone(), list_kind(&schema.list_type)),
                    max: max.unwrap_or((MAX_REQUEST - 2) / (element.min_size + 1)),
                    min_size: 2,
                    inner: Inner::Element(Box::new(element)),
                }
            }
            Type::Object(object) => match &object.additional {
                // Objects with any members are seen as objects without known ones.
                Some(values) if !is_open(values) && !is_root => {
                    let element = Self::of(values, values.embedded, &format!("{name}.@elem"))?;
                    let max = rules.and_then(|rules| rules.max_properties);
                    Self {
                        of: cel::Type::map(cel::Type::String, element.of.clone()),
                        max: max.unwrap_or((MAX_REQUEST - 2) / (element.min_size + 6)),
                        min_size: 2,
                        inner: Inner::Element(Box::new(element)),
                    }
                }
                _ => Self::object(object, is_root, name),
            },
            Type::Any | Type::Ref(_) => return None,
        })
    }

    fn simple(of: cel::Type, min_size: u64) -> Self {
        Self {
            of,
            max: 0,
            min_size,
            inner: Inner::None,
        }
    }

    fn text(format: &str, rules: Option<&Rules>) -> Self {
        let max_length = rules.and_then(|rules| rules.max_length);
        let longest = rules
            .map(|rules| rules.enumeration.as_slice())
            .filter(|values| !values.is_empty())
            .map(|values| values.iter().filter_map(Value::as_str).map(str::len).max());
        let (of, max, min_size) = match format {
            "byte" => (cel::Type::Bytes, max_length.unwrap_or(MAX_REQUEST - 2), 2),
            "duration" => (cel::Type::Duration, 32, 3),
            "date" => (cel::Type::Timestamp, 12, 12),
            "date-time" => (cel::Type::Timestamp, 32, 21),
            _ => {
                // Lengths are in characters, sizes in bytes.
                let max = match (max_length, longest) {
                    (Some(max), _) => max.saturating_mul(4),
                    (None, Some(longest)) => longest.unwrap_or(0) as u64,
                    (None, None) => MAX_REQUEST - 2,
                };
                (cel::Type::String, max, 2)
            }
        };
        Self {
            of,
            max,
            min_size,
            inner: Inner::None,
        }
    }

    fn object(object: &Object, is_root: bool, name: &str) -> Self {
        let mut fields = BTreeMap::new();
        let mut types = BTreeMap::new();
        let mut min_size: u64 = 2;
        let text = || Self::text("", None);
        let mut add = |field: &str, declared: Self| {
            if let Some(escaped) = cel::escape(field) {
                types.insert(field.to_owned(), declared.of.clone());
                fields.insert(escaped, declared);
            }
        };
        for (field, member) in &object.fields {
            let is_meta = is_root && matches!(&**field, "apiVersion" | "kind" | "metadata");
            if is_meta {
                continue;
            }
            let schema = &member.schema;
            let inner = format!("{name}.{field}");
            let Some(declared) = Self::of(schema, schema.embedded, &inner) else {
                continue;
            };
            if member.required && schema.default.is_none() {
                min_size = min_size
                    .saturating_add(field.len() as u64)
                    .saturating_add(declared.min_size)
                    .saturating_add(4);
            }
            add(field, declared);
        }
        if is_root {
            add("apiVersion", text());
            add("kind", text());
            let mut metadata = Object::default();
            for field in ["name", "generateName"] {
                let schema = Schema {
                    ty: Type::String,
                    ..Schema::default()
                };
                let field_of = crate::schema::Field {
                    schema: Arc::new(schema),
                    required: false,
                    proto: None,
                };
                metadata.fields.insert(field.into(), field_of);
            }
            let inner = format!("{name}.metadata");
            add("metadata", Self::object(&metadata, false, &inner));
        }
        Self {
            of: cel::Type::Object(Arc::new(ObjectType {
                name: name.to_owned(),
                fields: types,
                is_open: false,
            })),
            max: 0,
            min_size,
            inner: Inner::Fields(fields),
        }
    }

    /// The declaration of a field, by its name in JSON.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match &self.inner {
            Inner::Fields(fields) => fields.get(&cel::escape(name)?),
            _ => None,
        }
    }

    /// The declaration of items or of a map's values.
    pub(super) fn element(&self) -> Option<&Self> {
        match &self.inner {
            Inner::Element(element) => Some(element),
            _ => None,
        }
    }

    /// How many values of this kind fit into one request.
    pub(super) fn max_cardinality(&self) -> u64 {
        MAX_REQUEST / (self.min_size + 1)
    }
}

impl cel::Sizes for Declared {
    fn max_size(&self, path: &[String]) -> Option<u64> {
        let mut at = self;
        // The first step is `self` or `oldSelf`.
        for step in path.iter().skip(1) {
            at = match (step.as_str(), &at.inner) {
                ("@items" | "@values", Inner::Element(element)) => element,
                ("@keys", Inner::Element(_)) => return Some(0),
                (name, Inner::Fields(fields)) => fields.get(name)?,
                _ => return None,
            };
        }
        Some(at.max)
    }
}

fn is_open(values: &Schema) -> bool {
    matches!(values.ty, Type::Any) && values.preserve_unknown
}

fn list_kind(of: &ListType) -> ListKind {
    match of {
        ListType::Atomic => ListKind::Atomic,
        ListType::Set => ListKind::Set,
        ListType::Map(keys) => {
            let keys = keys.iter().map(|(key, _)| key.to_string());
            ListKind::Map(keys.collect())
        }
    }
}
