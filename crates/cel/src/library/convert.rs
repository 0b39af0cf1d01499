//! Conversions between types, and values as text.

use std::sync::Arc;

use super::{Function, Outcome, no_such_overload, time};
use crate::error::EvalError;
use crate::types::Type;
use crate::value::{Key, Value};

pub(super) fn function(name: &str, is_member: bool) -> Option<Function> {
    if is_member {
        return None;
    }
    Some(match name {
        "type" => |_, args| match args {
            [value] => Ok(Value::Type(value.type_of())),
            _ => no_such_overload(),
        },
        "dyn" => |_, args| match args {
            [value] => Ok(value.clone()),
            _ => no_such_overload(),
        },
        "bool" => |_, args| match args {
            [value @ Value::Bool(_)] => Ok(value.clone()),
            [Value::String(text)] => match &**text {
                "true" | "TRUE" | "True" | "t" | "1" => Ok(Value::Bool(true)),
                "false" | "FALSE" | "False" | "f" | "0" => Ok(Value::Bool(false)),
                _ => Err(EvalError::other(
                    "type conversion error from 'string' to 'bool'",
                )),
            },
            _ => no_such_overload(),
        },
        "bytes" => |_, args| match args {
            [value @ Value::Bytes(_)] => Ok(value.clone()),
            [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
            _ => no_such_overload(),
        },
        "int" => |_, args| int(args),
        "uint" => |_, args| uint(args),
        "double" => |_, args| double(args),
        "string" => |_, args| string(args),
        "timestamp" => |_, args| time::timestamp(args),
        "duration" => |_, args| time::duration(args),
        _ => return None,
    })
}

fn overflow<'a>() -> Outcome<'a> {
    Err(EvalError::other("integer overflow"))
}

#[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
fn int<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let value = match args {
        [Value::Int(value)] => Some(*value),
        [Value::Uint(value)] => i64::try_from(*value).ok(),
        [Value::Double(value)] => {
            let is_within =
                *value > -9_223_372_036_854_775_808.0 && *value < 9_223_372_036_854_775_808.0;
            is_within.then_some(*value as i64)
        }
        [Value::String(text)] => {
            return text.parse().map(Value::Int).map_err(|_| {
                EvalError::other(format!(
                    "strconv.ParseInt: parsing {:?}: invalid syntax",
                    &**text
                ))
            });
        }
        [Value::Timestamp(time)] => Some(time.second()),
        [Value::Duration(nanos)] => Some(*nanos),
        _ => return no_such_overload(),
    };
    value.map_or_else(overflow, |value| Ok(Value::Int(value)))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn uint<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let value = match args {
        [Value::Uint(value)] => Some(*value),
        [Value::Int(value)] => u64::try_from(*value).ok(),
        [Value::Double(value)] => {
            let is_within = *value >= 0.0 && *value < 18_446_744_073_709_551_616.0;
            is_within.then_some(*value as u64)
        }
        [Value::String(text)] => {
            return text.parse().map(Value::Uint).map_err(|_| {
                EvalError::other(format!(
                    "strconv.ParseUint: parsing {:?}: invalid syntax",
                    &**text
                ))
            });
        }
        _ => return no_such_overload(),
    };
    value.map_or_else(
        || Err(EvalError::other("unsigned integer overflow")),
        |value| Ok(Value::Uint(value)),
    )
}

#[allow(clippy::cast_precision_loss, reason = "that is what a double is")]
fn double<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Double(match args {
        [Value::Double(value)] => *value,
        [Value::Int(value)] => *value as f64,
        [Value::Uint(value)] => *value as f64,
        [Value::String(text)] => text.parse().map_err(|_| {
            EvalError::other(format!(
                "strconv.ParseFloat: parsing {:?}: invalid syntax",
                &**text
            ))
        })?,
        _ => return no_such_overload(),
    }))
}

fn string<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    Ok(match args {
        [value @ Value::String(_)] => value.clone(),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(Arc::<str>::from(text).to_string().into()),
            Err(_) => {
                return Err(EvalError::other(
                    "invalid UTF-8 in bytes, cannot convert to string",
                ));
            }
        },
        [
            value @ (Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Timestamp(_)
            | Value::Duration(_)
            | Value::Ip(_)
            | Value::Cidr(..)),
        ] => Value::text(display(value)),
        _ => return no_such_overload(),
    })
}

/// A double as Go writes it without exponent.
pub(crate) fn double_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    value.to_string()
}

/// A value as text: what `string()` gives, and what messages show of others.
pub(crate) fn display(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Ip(ip) => ip.to_string(),
        Value::Cidr(ip, bits) => format!("{ip}/{bits}"),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Type(of) => of.name().to_owned(),
        other => format!("<{}>", other.type_of().name()),
    }
}

/// Largest JSON made of a value, in nodes.
const MAX_JSON_NODES: usize = 1 << 20;

impl Value<'_> {
    /// The value as JSON: numbers, text, lists and maps as they are, objects with the names fields have in JSON,
    /// timestamps and durations as text, bytes in base64.
    ///
    /// # Errors
    /// When it has no JSON: types, absent optionals, values of libraries, keys that are no text.
    pub fn to_json(&self) -> Result<serde_json::Value, EvalError> {
        let mut left = MAX_JSON_NODES;
        json(self, &mut left)
    }
}

fn json(value: &Value<'_>, left: &mut usize) -> Result<serde_json::Value, EvalError> {
    use crate::value::Map;
    use base64::Engine as _;
    use serde_json::Value as Json;
    *left = left.checked_sub(1).ok_or_else(EvalError::call_limit)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Double(value) => serde_json::Number::from_f64(*value)
            .map(Json::Number)
            .ok_or_else(|| EvalError::other("a double that is no number has no JSON"))?,
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD
            .encode(bytes)
            .into(),
        Value::String(_)
        | Value::Timestamp(_)
        | Value::Duration(_)
        | Value::Quantity(_)
        | Value::Ip(_)
        | Value::Cidr(..) => display(value).into(),
        Value::List(list) => {
            let list = list.iter().map(|element| json(&element?, left));
            Json::Array(list.collect::<Result<_, _>>()?)
        }
        Value::Map(Map::Json(map, _) | Map::Object(map, _)) => Json::Object((*map).clone()),
        Value::Map(Map::Struct(made)) => {
            let fields = made.fields.iter();
            let fields = fields.map(|(name, value)| Ok((name.clone(), json(value, left)?)));
            Json::Object(fields.collect::<Result<_, EvalError>>()?)
        }
        Value::Map(Map::Values(map)) => {
            let mut object = serde_json::Map::new();
            for (key, value) in map.iter() {
                let Key::String(key) = key else {
                    return Err(EvalError::other(format!(
                        "map key {} is no string",
                        display(&key.value())
                    )));
                };
                object.insert(key.to_string(), json(value, left)?);
            }
            Json::Object(object)
        }
        Value::Optional(Some(value)) => json(value, left)?,
        other => {
            return Err(EvalError::other(format!(
                "a value of type '{}' has no JSON",
                type_name(&other.type_of())
            )));
        }
    })
}

fn type_name(of: &Type) -> &str {
    of.name()
}
