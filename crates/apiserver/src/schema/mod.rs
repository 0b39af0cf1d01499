//! The structure of kinds: one tree for Kubernetes' own kinds (from the built-in table) and for those that
//! CustomResourceDefinitions bring. Decoding, pruning, defaulting, validation, patches, server-side apply, protobuf
//! and OpenAPI all read this tree; nothing in the server is written for one kind.

pub mod builtin;
mod canonical;
mod decode;
mod defaults;
pub(crate) mod fields;
pub(crate) mod formats;
pub mod meta;
mod parse;
mod places;
mod prepare;
pub(crate) mod protobuf;
pub(crate) mod regexp;
pub(crate) mod rules;
mod time;
pub(crate) mod validate;
mod validate_builtin;

pub use decode::{
    ContentType, Decoded, Expected, FieldValidation, admitted, decode, decode_applied, decode_as,
    decode_document, decode_patched, decode_value,
};
pub use defaults::{TEMPLATE_GENERATION, default};
pub use fields::{check_fields, prune};
pub use prepare::prepare;
pub use validate::{validate, validate_subresource};
pub(crate) use validate_builtin::client_config;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::resource::Resource;

/// An object of the built-in type `schema` of which nothing is set, as the server would write it; `{}` for custom kinds.
#[must_use]
pub fn empty(schema: &Schema) -> Value {
    canonical::empty(schema)
}

/// The last step before an object is stored: empty lists that are always written become null, as in a storage that does not
/// tell the two apart. Definitions are stored as they are written.
pub fn settle(resource: &Resource, value: &mut Value) {
    if resource.custom.is_none() && &*resource.group != "apiextensions.k8s.io" {
        canonical::settle(value, &resource.schema);
    }
}

/// One node of a kind's structure.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub ty: Type,
    pub description: Option<Arc<str>>,
    pub default: Option<Value>,
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    pub list_type: ListType,
    /// The definition of a custom resource says the list type; those of built-in kinds always do.
    pub declares_list_type: bool,
    /// `x-kubernetes-map-type: atomic`: server-side apply owns the whole map or nothing of it.
    pub atomic_map: bool,
    /// How strategic merge patch treats this field (built-in kinds only).
    pub patch: Option<PatchStrategy>,
    /// Everything that only validation looks at.
    pub rules: Option<Box<Rules>>,
    /// What a [`Type::Ref`] names, found when it is first needed.
    pub target: OnceLock<Option<&'static Schema>>,
}

impl Schema {
    /// The node itself, or the built-in message that a [`Type::Ref`] names. A reference to an unknown message resolves to
    /// itself, which the tables' test excludes.
    #[must_use]
    pub fn resolve(&self) -> &Self {
        match &self.ty {
            Type::Ref(name) => {
                let target = self.target.get_or_init(|| builtin::message(name));
                target.unwrap_or(self)
            }
            _ => self,
        }
    }

    /// The node of member `name` of an object: a field, or the value of a map.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Arc<Self>> {
        match &self.resolve().ty {
            Type::Object(object) => match object.fields.get(name) {
                Some(field) => Some(&field.schema),
                None => object.additional.as_ref(),
            },
            _ => None,
        }
    }

    /// The `format` of the node, empty when it has none.
    #[must_use]
    pub fn format(&self) -> &str {
        self.rules
            .as_ref()
            .and_then(|rules| rules.format.as_deref())
            .unwrap_or_default()
    }
}

/// The type of a node.
#[derive(Clone, Debug, Default)]
pub enum Type {
    /// Anything at all (`RawExtension`, `JSON`, a node without a type).
    #[default]
    Any,
    Object(Object),
    Array(Arc<Schema>),
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
    /// A built-in message by its full name, e.g. `io.k8s.api.core.v1.PodSpec`: how recursive types are written.
    /// [`Schema::resolve`] follows it.
    Ref(Arc<str>),
}

/// An object's members.
#[derive(Clone, Debug, Default)]
pub struct Object {
    pub fields: BTreeMap<Box<str>, Field>,
    /// Values of the other keys, when the object is a map.
    pub additional: Option<Arc<Schema>>,
}

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Field {
    pub schema: Arc<Schema>,
    pub required: bool,
    /// How the field travels; only those of built-in kinds have one, but not `apiVersion` and `kind`.
    pub proto: Option<Proto>,
}

/// How a built-in field travels in protobuf, and when Go writes it into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proto {
    pub number: u32,
    pub wire: Wire,
    /// Numbers of the messages between the object and this field that JSON does not show (Go's inlined structs),
    /// outermost first; zeros where there is none.
    pub via: [u32; 2],
    pub presence: Presence,
}

/// When Go's JSON encoder writes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Unless it has its zero value.
    OmitZero,
    /// Whenever it is set, also to the zero value (pointers).
    Set,
    /// Always; an absent one is written with its zero value.
    Always,
}

/// What a protobuf field's bytes mean; repetition is in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// `string`.
    Text,
    /// `bytes`, base64 in JSON.
    Bytes,
    /// Any varint integer.
    Varint,
    Bool,
    Double,
    /// A message of ordinary fields.
    Message,
    /// `map<string, string>`, `map<string, Message>` …: entries of key and value.
    Map,
    /// `resource.Quantity`: a message whose field 1 is the JSON string.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `meta.Time`: seconds, RFC 3339 in JSON.
    Time,
    /// `meta.MicroTime`: microseconds, RFC 3339 with six digits in JSON.
    MicroTime,
    /// `runtime.RawExtension`, `JSON`, `FieldsV1`: a message whose field 1 is raw JSON.
    Raw,
    /// A list in a message of its own, whose field 1 is repeated.
    List,
    /// `JSONSchemaPropsOrArray`: one schema (field 1) or several (field 2).
    SchemaOrArray,
    /// `JSONSchemaPropsOrBool`: a boolean (field 1) or a schema (field 2).
    SchemaOrBool,
    /// `JSONSchemaPropsOrStringArray`: a schema (field 1) or strings (field 2).
    SchemaOrStrings,
}

/// `x-kubernetes-list-type` with its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    /// Items are identified by these members, each with the default that an absent member has.
    Map(Vec<(Box<str>, Option<Value>)>),
}

/// `x-kubernetes-patch-strategy` and `-merge-key`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    pub merge: bool,
    pub retain_keys: bool,
    /// Absent on lists of primitives, which are merged as sets.
    pub merge_key: Option<Box<str>>,
}

/// Validation keywords of OpenAPI v3 as CRDs use them.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub format: Option<Box<str>>,
    pub enumeration: Vec<Value>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<Box<str>>,
    /// The compiled pattern, made when it is first needed.
    pub regex: OnceLock<Option<regex::Regex>>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    /// Required members named without a property of that name beside them (only inside `anyOf` and its like).
    pub required_only: Vec<Box<str>>,
    /// `x-kubernetes-validations` as written; what is evaluated is compiled from them with the definition.
    pub validations: Vec<Value>,
}

impl Rules {
    /// Whether there is nothing to check.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            format,
            enumeration,
            minimum,
            maximum,
            // These two mean nothing alone.
            exclusive_minimum: _,
            exclusive_maximum: _,
            multiple_of,
            min_length,
            max_length,
            pattern,
            regex: _,
            min_items,
            max_items,
            min_properties,
            max_properties,
            all_of,
            any_of,
            one_of,
            not,
            required_only,
            validations,
        } = self;
        let counts = [
            min_length,
            max_length,
            min_items,
            max_items,
            min_properties,
            max_properties,
        ];
        format.is_none()
            && enumeration.is_empty()
            && [minimum, maximum, multiple_of].iter().all(|n| n.is_none())
            && counts.iter().all(|n| n.is_none())
            && pattern.is_none()
            && [all_of, any_of, one_of].iter().all(|s| s.is_empty())
            && not.is_none()
            && required_only.is_empty()
            && validations.is_empty()
    }
}
