//! Optionals.

use super::{Function, no_such_overload};
use crate::error::EvalError;
use crate::value::Value;

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "optional.of" => |_, args| match args {
            [value] => Ok(Value::some(value.clone())),
            _ => no_such_overload(),
        },
        "optional.ofNonZeroValue" => |_, args| match args {
            [value] if is_zero(value) => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(value.clone())),
            _ => no_such_overload(),
        },
        "optional.none" => |_, _| Ok(Value::Optional(None)),
        "value" => |_, args| match args {
            [Value::Optional(Some(value))] => Ok((**value).clone()),
            [Value::Optional(None)] => Err(EvalError::other("optional.none() dereference")),
            _ => no_such_overload(),
        },
        "hasValue" => |_, args| match args {
            [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
            _ => no_such_overload(),
        },
        "first" => |_, args| match args {
            [Value::List(list)] => Ok(Value::Optional(list.get(0)?.map(Into::into))),
            _ => no_such_overload(),
        },
        "last" => |_, args| match args {
            [Value::List(list)] => {
                let last = list.len().checked_sub(1);
                let found = last.map(|last| list.get(last)).transpose()?.flatten();
                Ok(Value::Optional(found.map(Into::into)))
            }
            _ => no_such_overload(),
        },
        "optional.unwrap" | "unwrapOpt" => |meter, args| match args {
            [Value::List(list)] => {
                meter.make(list.len() as u64)?;
                let mut values = vec![];
                for element in list.iter() {
                    match element? {
                        Value::Optional(value) => values.extend(value.map(|v| (*v).clone())),
                        _ => return no_such_overload(),
                    }
                }
                Ok(Value::list(values))
            }
            _ => no_such_overload(),
        },
        _ => return None,
    })
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => {
            true
        }
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Optional(None) => true,
        _ => false,
    }
}
