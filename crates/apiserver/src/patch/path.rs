//! Path elements: one step from a value to one of its parts, as `FieldsV1` and error messages name them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

/// Floats below this are exact integers if they are whole.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// One step. Ordered as structured-merge-diff orders them: fields, keys, values, indexes.
#[derive(Clone, Debug)]
pub(super) enum Element {
    /// A member of an object.
    Field(Box<str>),
    /// An item of a list that is a map: its key members, sorted by name.
    Key(Box<[(Box<str>, Value)]>),
    /// An item of a list that is a set.
    Item(Box<Value>),
    /// An item of any other list; nobody owns those.
    Index(i64),
}

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// An item's key; sorts its members.
    pub(super) fn key(mut members: Vec<(Box<str>, Value)>) -> Self {
        members.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(members.into())
    }

    /// Reads `f:name`, `k:{…}`, `v:…` or `i:n`; `None` for kinds of elements that do not exist yet.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err(format!(
                "path element {text:?} must be at least 2 characters long"
            ));
        };
        if !kind.ends_with(':') {
            return Err(format!("path element {text:?} has no colon after its kind"));
        }
        let wrong = |error: &dyn fmt::Display| format!("path element {text:?}: {error}");
        Ok(Some(match kind {
            "f:" => Self::field(rest),
            "k:" => {
                let members: Map<String, Value> =
                    serde_json::from_str(rest).map_err(|e| wrong(&e))?;
                Self::key(
                    members
                        .into_iter()
                        .map(|(name, value)| (name.into(), value))
                        .collect(),
                )
            }
            "v:" => Self::Item(serde_json::from_str(rest).map_err(|e| wrong(&e))?),
            "i:" => Self::Index(rest.parse().map_err(|e| wrong(&e))?),
            _ => return Ok(None),
        }))
    }

    /// The element as a key in `FieldsV1`.
    pub(super) fn to_key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(members) => {
                let member = |(name, value): &(Box<str>, Value)| {
                    format!("{}:{}", Value::from(&**name), canonical(value))
                };
                let members: Vec<String> = members.iter().map(member).collect();
                format!("k:{{{}}}", members.join(","))
            }
            Self::Item(value) => format!("v:{}", canonical(value)),
            Self::Index(at) => format!("i:{at}"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Item(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

/// `.field`, `[name="x"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"));
                write!(f, "[{}]", members.collect::<Vec<_>>().join(","))
            }
            Self::Item(value) => write!(f, "[={value}]"),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_members(
                a.iter().map(|(name, value)| (&**name, value)),
                b.iter().map(|(name, value)| (&**name, value)),
            ),
            (Self::Item(a), Self::Item(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element {}

/// A total order of JSON values: numbers by their value, then texts, booleans, lists, objects, null.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let unequal = a
                .iter()
                .zip(b)
                .map(|(a, b)| compare(a, b))
                .find(|order| order.is_ne());
            unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => compare_members(
            a.iter().map(|(name, value)| (name.as_str(), value)),
            b.iter().map(|(name, value)| (name.as_str(), value)),
        ),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether two values are the same, `1` and `1.0` included.
pub(super) fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| is_equal(a, b)))
        }
        _ => a == b,
    }
}

/// The value with whole floats as integers, so that equal values have the same text.
fn canonical(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and small"
            )]
            Some(float) if float.fract() == 0.0 && float.abs() < MAX_EXACT_FLOAT => {
                Cow::Owned(Value::from(float as i64))
            }
            _ => Cow::Borrowed(value),
        },
        Value::Array(items) => Cow::Owned(
            items
                .iter()
                .map(|item| canonical(item).into_owned())
                .collect(),
        ),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), canonical(value).into_owned()));
            Cow::Owned(Value::Object(members.collect()))
        }
        _ => Cow::Borrowed(value),
    }
}

/// Members in the order of their names.
fn compare_members<'a>(
    a: impl Iterator<Item = (&'a str, &'a Value)>,
    mut b: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Ordering {
    for (name, value) in a {
        let Some((other_name, other_value)) = b.next() else {
            return Ordering::Greater;
        };
        let order = name
            .cmp(other_name)
            .then_with(|| compare(value, other_value));
        if order.is_ne() {
            return order;
        }
    }
    if b.next().is_some() {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}

/// By value, exactly: an integer beyond 2^53 is not equal to the float nearby.
fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    let whole = |n: &Number| {
        n.as_i64()
            .map(i128::from)
            .or_else(|| n.as_u64().map(i128::from))
    };
    let real = |n: &Number| n.as_f64().unwrap_or(0.0);
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (None, None) => real(a).partial_cmp(&real(b)).unwrap_or(Ordering::Equal),
        (Some(n), None) => compare_mixed(n, real(a), real(b)),
        (None, Some(n)) => compare_mixed(n, real(b), real(a)).reverse(),
    }
}

/// An integer, also given as the nearest float, and a float.
fn compare_mixed(whole: i128, nearest: f64, float: f64) -> Ordering {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and only floats near a 64-bit integer get here"
    )]
    let exact = || whole.cmp(&(float as i128));
    nearest
        .partial_cmp(&float)
        .unwrap_or(Ordering::Equal)
        .then_with(exact)
}
