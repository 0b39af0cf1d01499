//! Types, as the checker knows them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The type of an expression or a variable. Cheap to clone.
///
/// Displays as error messages name it: `map(string, list(int))`.
#[derive(Clone, Debug)]
#[allow(
    clippy::enum_variant_names,
    reason = "a type as a value has the type `type`"
)]
pub enum Type {
    /// Anything; what it is shows when it is evaluated.
    Dyn,
    /// What has no type because of an error already reported.
    Error,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// 64-bit signed integer
    Int,
    /// 64-bit unsigned integer
    Uint,
    /// 64-bit floating point
    Double,
    /// text
    String,
    /// bytes
    Bytes,
    /// a point in time
    Timestamp,
    /// a span of time
    Duration,
    /// a list
    List(Arc<ListType>),
    /// a map: types of keys and values
    Map(Arc<(Self, Self)>),
    /// an object with declared fields
    Object(Arc<ObjectType>),
    /// `optional_type(T)`
    Optional(Arc<Self>),
    /// a type as a value
    Type(Option<Arc<Self>>),
    /// a type of a library, such as `kubernetes.Quantity` or `net.IP`
    Opaque(&'static str),
    /// a type yet to be found out
    Param(u32),
}

/// A list's elements, and how Kubernetes compares and merges such lists.
#[derive(Clone, Debug)]
pub struct ListType {
    /// Type of the elements.
    pub element: Type,
    /// `x-kubernetes-list-type`.
    pub kind: ListKind,
}

/// `x-kubernetes-list-type`: what `==` and `+` mean for a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    /// In order; `+` appends.
    #[default]
    Atomic,
    /// Without order; `+` makes the union.
    Set,
    /// By keys: names of fields as they are in JSON; `+` replaces the element with the same keys.
    Map(Arc<[String]>),
}

/// An object's declared fields.
#[derive(Clone, Debug, Default)]
pub struct ObjectType {
    /// Unique name, also used in `Name{field: …}` and in errors.
    pub name: String,
    /// Types of fields, by their names in JSON. Expressions write them escaped: see [`escape`](crate::escape()).
    pub fields: BTreeMap<String, Type>,
    /// Whether any other field may be used, with type `dyn`.
    pub is_open: bool,
}

impl ObjectType {
    /// The type of the field an expression calls `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Type> {
        let found = crate::escape::unescape(name)
            .filter(|plain| crate::escape::escape(plain).as_deref() == Some(name))
            .and_then(|plain| self.fields.get(&plain).cloned());
        found.or(self.is_open.then_some(Type::Dyn))
    }
}

static DYN_LIST: LazyLock<Type> = LazyLock::new(|| Type::list(Type::Dyn));

impl Type {
    /// The type of `authorizer`.
    pub const AUTHORIZER: Self = Self::Opaque("kubernetes.authorization.Authorizer");
    /// The type of `authorizer.requestResource`.
    pub const RESOURCE_CHECK: Self = Self::Opaque("kubernetes.authorization.ResourceCheck");

    /// `list(element)`, in order.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(ListType {
            element,
            kind: ListKind::Atomic,
        }))
    }

    /// `list(element)` of a `x-kubernetes-list-type`.
    #[must_use]
    pub fn list_of_kind(element: Self, kind: ListKind) -> Self {
        Self::List(Arc::new(ListType { element, kind }))
    }

    /// `list(dyn)`
    #[must_use]
    pub fn dyn_list() -> Self {
        DYN_LIST.clone()
    }

    /// `map(key, value)`
    #[must_use]
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// `optional_type(of)`
    #[must_use]
    pub fn optional(of: Self) -> Self {
        Self::Optional(Arc::new(of))
    }

    /// An object type of that name and those fields; no other field may be used.
    #[must_use]
    pub fn object(
        name: impl Into<String>,
        fields: impl IntoIterator<Item = (String, Self)>,
    ) -> Self {
        Self::Object(Arc::new(ObjectType {
            name: name.into(),
            fields: fields.into_iter().collect(),
            is_open: false,
        }))
    }

    /// Whether this is exactly that type, once neither holds unknown parts.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a.element.is(&b.element),
            (Self::Map(a), Self::Map(b)) => a.0.is(&b.0) && a.1.is(&b.1),
            (Self::Object(a), Self::Object(b)) => a.name == b.name,
            (Self::Optional(a), Self::Optional(b)) => a.is(b),
            (Self::Type(a), Self::Type(b)) => match (a, b) {
                (Some(a), Some(b)) => a.is(b),
                (a, b) => a.is_none() == b.is_none(),
            },
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Param(a), Self::Param(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// Whether `null` may stand where this is wanted.
    pub(crate) fn is_nullable(&self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::Object(_)
                | Self::Optional(_)
                | Self::Opaque(_)
                | Self::Timestamp
                | Self::Duration
        )
    }

    /// The type within `optional_type`, or the type itself.
    pub(crate) fn without_optional(&self) -> (Self, bool) {
        match self {
            Self::Optional(inner) => ((**inner).clone(), true),
            other => (other.clone(), false),
        }
    }

    /// The name `type(x)` displays and compares by: parameters do not matter.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dyn | Self::Param(_) => "dyn",
            Self::Error => "!error!",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(object) => &object.name,
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Opaque(name) => name,
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(list) => write!(f, "list({})", list.element),
            Self::Map(map) => write!(f, "map({}, {})", map.0, map.1),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Type(Some(inner)) => write!(f, "type({inner})"),
            Self::Param(number) => write!(f, "_var{number}"),
            other => f.write_str(other.name()),
        }
    }
}
