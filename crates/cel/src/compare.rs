//! Equality and order of values.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::budget::Meter;
use crate::error::EvalError;
use crate::types::ListKind;
use crate::value::{Key, List, Map, Value};

/// Whether two values are equal. Values of different types are not, except numbers.
pub(crate) fn equal(meter: &mut Meter, a: &Value<'_>, b: &Value<'_>) -> Result<bool, EvalError> {
    meter.work(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => {
            meter.work(a.len().min(b.len()))?;
            **a == **b
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.work(a.len().min(b.len()))?;
            a == b
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(meter, a, b)?,
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::List(a), Value::List(b)) => equal_lists(meter, a, b)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(meter, a, b)?,
        (Value::Quantity(a), Value::Quantity(b)) => a == b,
        (Value::Ip(a), Value::Ip(b)) => a == b,
        (Value::Cidr(a, a_bits), Value::Cidr(b, b_bits)) => a == b && a_bits == b_bits,
        (Value::Url(a), Value::Url(b)) => a == b,
        (Value::Semver(a), Value::Semver(b)) => a.cmp_precedence(b) == Ordering::Equal,
        (Value::Format(a), Value::Format(b)) => a.name == b.name,
        (Value::Decision(a), Value::Decision(b)) => a == b,
        (a, b) => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn equal_lists(meter: &mut Meter, a: &List<'_>, b: &List<'_>) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.kind().clone() {
        ListKind::Atomic => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(meter, &a?, &b?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Set => {
            for a in a.iter() {
                if !contains(meter, b, &a?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Map(keys) => {
            for a in a.iter() {
                let a = a?;
                match position_by_keys(meter, b, &a, &keys)? {
                    Some((_, b)) if equal(meter, &a, &b)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
    }
}

/// The element with the same keys, and where it is.
pub(crate) fn position_by_keys<'a>(
    meter: &mut Meter,
    list: &List<'a>,
    like: &Value<'_>,
    keys: &[String],
) -> Result<Option<(usize, Value<'a>)>, EvalError> {
    for (index, element) in list.iter().enumerate() {
        let element = element?;
        if has_same_keys(meter, &element, like, keys)? {
            return Ok(Some((index, element)));
        }
    }
    Ok(None)
}

pub(crate) fn has_same_keys(
    meter: &mut Meter,
    a: &Value<'_>,
    b: &Value<'_>,
    keys: &[String],
) -> Result<bool, EvalError> {
    let (Value::Map(a), Value::Map(b)) = (a, b) else {
        return Ok(false);
    };
    for key in keys {
        let key = Key::String(crate::escape::escape(key).unwrap_or_default().into());
        let is_same = match (a.get(&key)?, b.get(&key)?) {
            (Some(a), Some(b)) => equal(meter, &a, &b)?,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the list has an element that is equal.
pub(crate) fn contains(
    meter: &mut Meter,
    list: &List<'_>,
    value: &Value<'_>,
) -> Result<bool, EvalError> {
    for element in list.iter() {
        if equal(meter, &element?, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_maps(meter: &mut Meter, a: &Map<'_>, b: &Map<'_>) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    // Fields that are not declared are compared as JSON.
    if let (Map::Object(a, of), Map::Object(b, _)) = (a, b) {
        for (name, left) in *a {
            if !of.fields.contains_key(name) {
                let is_same = match b.get(name) {
                    Some(right) => equal_json(meter, left, right)?,
                    None => false,
                };
                if !is_same {
                    return Ok(false);
                }
            }
        }
    }
    if let (Map::Struct(a), Map::Struct(b)) = (a, b)
        && a.of.name != b.of.name
    {
        return Ok(false);
    }
    for key in a.keys() {
        let is_same = match (a.get(&key)?, b.get(&key)?) {
            (Some(a), Some(b)) => equal(meter, &a, &b)?,
            _ => false,
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_json(meter: &mut Meter, a: &Json, b: &Json) -> Result<bool, EvalError> {
    equal(meter, &Value::json(a), &Value::json(b))
}

/// How two numbers compare; `None` when one is no number.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => double_to_whole(*a, whole(b)?),
        (a, Value::Double(b)) => double_to_whole(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Compares exactly: neither side is rounded.
#[allow(
    clippy::cast_possible_truncation,
    reason = "saturates, which is what is wanted"
)]
fn double_to_whole(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    let floor = double.floor();
    let order = (floor as i128).cmp(&whole);
    Some(if order == Ordering::Equal && double > floor {
        Ordering::Greater
    } else {
        order
    })
}

/// How two values of one ordered type, or two numbers, compare.
pub(crate) fn order(
    meter: &mut Meter,
    a: &Value<'_>,
    b: &Value<'_>,
) -> Result<Ordering, EvalError> {
    meter.work(1)?;
    let is_nan = |value: &Value<'_>| matches!(value, Value::Double(d) if d.is_nan());
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => {
            meter.work(a.len().min(b.len()))?;
            (**a).cmp(&**b)
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.work(a.len().min(b.len()))?;
            a.cmp(b)
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (a, b) if is_nan(a) || is_nan(b) => {
            return Err(EvalError::other("NaN values cannot be ordered"));
        }
        (a, b) => numbers(a, b).ok_or_else(EvalError::no_such_overload)?,
    })
}
