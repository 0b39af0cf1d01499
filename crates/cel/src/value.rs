//! Values, and how JSON becomes one without being copied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::authorizer::{Decision, PathCheck, ResourceCheck, Subject};
use crate::error::EvalError;
use crate::library::formats::Format;
use crate::library::time::Time;
use crate::library::url::Url;
use crate::quantity::Quantity;
use crate::types::{ListKind, ObjectType, Type};

/// A value of an expression. Cheap to clone; JSON stays where it is and is read when a field is used.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// 64-bit signed
    Int(i64),
    /// 64-bit unsigned
    Uint(u64),
    /// 64-bit floating point
    Double(f64),
    /// text
    String(Text<'a>),
    /// bytes
    Bytes(Arc<[u8]>),
    /// a point in time
    Timestamp(Time),
    /// nanoseconds
    Duration(i64),
    /// a list
    List(List<'a>),
    /// a map or an object
    Map(Map<'a>),
    /// `optional.of(x)`, `optional.none()`
    Optional(Option<Arc<Self>>),
    /// a type as a value
    Type(Type),
    /// `quantity('1Gi')`
    Quantity(Quantity),
    /// `ip('::1')`
    Ip(IpAddr),
    /// `cidr('10.0.0.0/8')`: address as written, and length of the prefix in bits
    Cidr(IpAddr, u8),
    /// `url('https://…')`
    Url(Arc<Url>),
    /// `semver('1.2.3')`
    Semver(Arc<semver::Version>),
    /// `format.dns1123Label()`
    Format(&'static Format),
    /// `authorizer`: whom is asked about
    Authorizer(Subject<'a>),
    /// `authorizer.group('')`
    GroupCheck(Subject<'a>, Text<'a>),
    /// `authorizer.path('/healthz')`
    PathCheck(Arc<PathCheck<'a>>),
    /// `authorizer.group('').resource('pods')`, `authorizer.requestResource`
    ResourceCheck(Arc<ResourceCheck<'a>>),
    /// `….check('get')`
    Decision(Arc<Decision>),
}

/// Text, borrowed or shared.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// In somebody's object or program.
    Borrowed(&'a str),
    /// Made by the evaluation.
    Shared(Arc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

/// A list, in JSON or made by the evaluation.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// JSON, type of elements, and how such lists compare.
    Json(&'a [Json], Type, ListKind),
    /// Values.
    Values(Arc<Vec<Value<'a>>>, ListKind),
}

impl<'a> List<'a> {
    pub(crate) fn of(values: Vec<Value<'a>>) -> Self {
        Self::Values(Arc::new(values), ListKind::Atomic)
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(list, ..) => list.len(),
            Self::Values(list, _) => list.len(),
        }
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index.
    ///
    /// # Errors
    /// When the JSON is not of the declared type.
    pub fn get(&self, index: usize) -> Result<Option<Value<'a>>, EvalError> {
        match self {
            Self::Json(list, of, _) => list.get(index).map(|json| from_json(json, of)).transpose(),
            Self::Values(list, _) => Ok(list.get(index).cloned()),
        }
    }

    pub(crate) fn kind(&self) -> &ListKind {
        match self {
            Self::Json(_, _, kind) | Self::Values(_, kind) => kind,
        }
    }

    /// All elements.
    ///
    /// # Errors
    /// As an item, when the JSON is not of the declared type.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).map(|index| self.get(index).map(|found| found.unwrap_or(Value::Null)))
    }
}

/// A map or an object.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// A JSON object used as a map, and the type of its values.
    Json(&'a serde_json::Map<String, Json>, Type),
    /// A JSON object with declared fields; expressions use their escaped names.
    Object(&'a serde_json::Map<String, Json>, Arc<ObjectType>),
    /// Made by the evaluation.
    Values(Arc<BTreeMap<Key<'a>, Value<'a>>>),
    /// `Name{field: value}`
    Struct(Arc<Struct<'a>>),
}

/// An object made by an expression.
#[derive(Clone, Debug)]
pub struct Struct<'a> {
    /// Its type.
    pub of: Arc<ObjectType>,
    /// Its fields, by their names in JSON.
    pub fields: BTreeMap<String, Value<'a>>,
}

/// A key of a map. Numbers of different types that are equal are the same key.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `string`
    String(Text<'a>),
}

impl Key<'_> {
    fn order(&self) -> (u8, i128, &str) {
        match self {
            Self::Bool(value) => (0, i128::from(*value), ""),
            Self::Int(value) => (1, i128::from(*value), ""),
            Self::Uint(value) => (1, i128::from(*value), ""),
            Self::String(text) => (2, 0, text),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl<'a> Key<'a> {
    /// The value as a key; `None` when values of its type are no keys.
    pub(crate) fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Uint(value) => Self::Uint(*value),
            Value::String(text) => Self::String(text.clone()),
            _ => return None,
        })
    }

    pub(crate) fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl<'a> Map<'a> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(map, _) | Self::Object(map, _) => map.len(),
            Self::Values(map) => map.len(),
            Self::Struct(made) => made.fields.len(),
        }
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a key.
    ///
    /// # Errors
    /// When the JSON is not of the declared type.
    pub fn get(&self, key: &Key<'_>) -> Result<Option<Value<'a>>, EvalError> {
        let text = match key {
            Key::String(text) => Some(&**text),
            _ => None,
        };
        match (self, text) {
            (Self::Values(map), _) => {
                // Keys of another lifetime compare the same.
                Ok(map.get(key).cloned())
            }
            (Self::Json(map, of), Some(key)) => {
                map.get(key).map(|json| from_json(json, of)).transpose()
            }
            (Self::Object(map, of), Some(key)) => match crate::escape::unescape(key) {
                Some(name) => object_field(map, of, &name),
                None => Ok(None),
            },
            (Self::Struct(made), Some(key)) => {
                let name = crate::escape::unescape(key);
                let found = name.and_then(|name| made.fields.get(&name));
                Ok(found.or_else(|| made.fields.get(key)).cloned())
            }
            _ => Ok(None),
        }
    }

    /// All keys; those of objects are escaped names of declared fields.
    pub(crate) fn keys(&self) -> Vec<Key<'a>> {
        match self {
            Self::Json(map, _) => map.keys().map(|k| Key::String(k.as_str().into())).collect(),
            Self::Object(map, of) => map
                .iter()
                .filter(|(name, value)| {
                    !value.is_null() && (of.is_open || of.fields.contains_key(*name))
                })
                .map(|(name, _)| {
                    let escaped = crate::escape::escape(name).filter(|escaped| escaped != name);
                    Key::String(escaped.map_or(Text::Borrowed(name), Text::from))
                })
                .collect(),
            Self::Values(map) => map.keys().cloned().collect(),
            Self::Struct(made) => made
                .fields
                .keys()
                .map(|k| Key::String(crate::escape::escape(k).unwrap_or_default().into()))
                .collect(),
        }
    }
}

/// A field that is declared; null fields are as good as absent.
fn object_field<'a>(
    map: &'a serde_json::Map<String, Json>,
    of: &ObjectType,
    name: &str,
) -> Result<Option<Value<'a>>, EvalError> {
    let json = match map.get(name) {
        None | Some(Json::Null) => return Ok(None),
        Some(json) => json,
    };
    match of.fields.get(name) {
        Some(of) => from_json(json, of).map(Some),
        None if of.is_open => from_json(json, &Type::Dyn).map(Some),
        None => Ok(None),
    }
}

/// JSON as a value of a type.
///
/// # Errors
/// When the JSON is not of that type.
pub(crate) fn from_json<'a>(json: &'a Json, of: &Type) -> Result<Value<'a>, EvalError> {
    match (of, json) {
        (_, Json::Null) => Ok(Value::Null),
        (Type::Object(of), Json::Object(map)) => Ok(Value::Map(Map::Object(map, of.clone()))),
        (Type::Map(of), Json::Object(map)) => Ok(Value::Map(Map::Json(map, of.1.clone()))),
        (Type::List(of), Json::Array(list)) => Ok(Value::List(List::Json(
            list,
            of.element.clone(),
            of.kind.clone(),
        ))),
        (Type::Double, Json::Number(number)) => {
            Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN)))
        }
        (Type::Timestamp, Json::String(text)) => crate::library::time::parse_json_time(text),
        (Type::Duration, Json::String(text)) => crate::library::time::parse_json_duration(text),
        (Type::Bytes, Json::String(text)) => {
            use base64::Engine as _;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded
                .map(|bytes| Value::Bytes(bytes.into()))
                .map_err(|_| EvalError::other(format!("Invalid byte formatted string {text}")))
        }
        // A whole number may be written `1.0`.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "only whole numbers are cast"
        )]
        (Type::Int, Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Ok(Value::Int(value)),
            (None, Some(value)) if value.fract() == 0.0 && value.abs() < 9.0e18 => {
                Ok(Value::Int(value as i64))
            }
            _ => Err(EvalError::other(format!(
                "invalid data, expected int, got {number}"
            ))),
        },
        (Type::Dyn, _) | (Type::String, Json::String(_)) | (Type::Bool, Json::Bool(_)) => {
            untyped(json)
        }
        _ => Err(EvalError::other(format!(
            "invalid data, expected {of}, got {}",
            json_kind(json)
        ))),
    }
}

fn json_kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// JSON without a declared type: whole numbers are ints.
fn untyped(json: &Json) -> Result<Value<'_>, EvalError> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::Uint(value),
            (None, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Text::Borrowed(text)),
        Json::Array(list) => Value::List(List::Json(list, Type::Dyn, ListKind::Atomic)),
        Json::Object(map) => Value::Map(Map::Json(map, Type::Dyn)),
    })
}

impl<'a> Value<'a> {
    /// Text that is copied.
    #[must_use]
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::String(match text.into() {
            Cow::Borrowed(text) => Text::Borrowed(text),
            Cow::Owned(text) => Text::Shared(text.into()),
        })
    }

    /// JSON without a schema: type `dyn`.
    #[must_use]
    pub fn json(json: &'a Json) -> Self {
        untyped(json).unwrap_or(Value::Null)
    }

    /// JSON of a declared type, as `self` of a custom resource is.
    ///
    /// # Errors
    /// When the JSON is not of that type.
    pub fn typed(json: &'a Json, of: &Type) -> Result<Self, EvalError> {
        from_json(json, of)
    }

    /// A list of values.
    #[must_use]
    pub fn list(values: Vec<Self>) -> Self {
        Self::List(List::of(values))
    }

    /// `optional.of(value)`
    #[must_use]
    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// A map with text as keys.
    #[must_use]
    pub fn map(entries: impl IntoIterator<Item = (Text<'a>, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, v)| (Key::String(key), v));
        Self::Map(Map::Values(Arc::new(entries.collect())))
    }

    /// The text, when this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth, when this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The type, without what is inside.
    pub(crate) fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::dyn_list(),
            Self::Map(Map::Struct(made)) => Type::Object(made.of.clone()),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Type(_) => Type::Type(None),
            Self::Quantity(_) => Type::Opaque("kubernetes.Quantity"),
            Self::Ip(_) => Type::Opaque("net.IP"),
            Self::Cidr(..) => Type::Opaque("net.CIDR"),
            Self::Url(_) => Type::Opaque("kubernetes.URL"),
            Self::Semver(_) => Type::Opaque("kubernetes.Semver"),
            Self::Format(_) => Type::Opaque("kubernetes.NamedFormat"),
            Self::Authorizer(_) => Type::Opaque("kubernetes.authorization.Authorizer"),
            Self::GroupCheck(..) => Type::Opaque("kubernetes.authorization.GroupCheck"),
            Self::PathCheck(_) => Type::Opaque("kubernetes.authorization.PathCheck"),
            Self::ResourceCheck(_) => Type::Opaque("kubernetes.authorization.ResourceCheck"),
            Self::Decision(_) => Type::Opaque("kubernetes.authorization.Decision"),
        }
    }

    /// What `size()` says, and 1 for what has no size: the measure of costs.
    pub(crate) fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Optional(Some(value)) => return value.size(),
            Self::Ip(IpAddr::V4(_)) => 4,
            Self::Ip(IpAddr::V6(_)) => 16,
            Self::Cidr(_, bits) => usize::from(bits.div_ceil(8)),
            _ => 1,
        };
        size as u64
    }
}
