//! Arithmetic, comparisons, `in`, `size`, and what macros need.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Function, Outcome, no_such_overload, time};
use crate::budget::Meter;
use crate::compare::{contains, equal, order};
use crate::error::EvalError;
use crate::eval::add_lists;
use crate::value::{Key, Map, Value};

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "_==_" => |meter, args| Ok(Value::Bool(equal(meter, first(args)?, second(args)?)?)),
        "_!=_" => |meter, args| Ok(Value::Bool(!equal(meter, first(args)?, second(args)?)?)),
        "_<_" => |meter, args| compare(meter, args, Ordering::is_lt),
        "_<=_" => |meter, args| compare(meter, args, Ordering::is_le),
        "_>_" => |meter, args| compare(meter, args, Ordering::is_gt),
        "_>=_" => |meter, args| compare(meter, args, Ordering::is_ge),
        "!_" => |_, args| match args {
            [Value::Bool(value)] => Ok(Value::Bool(!value)),
            _ => no_such_overload(),
        },
        "-_" => |_, args| match args {
            [Value::Int(value)] => whole(value.checked_neg()),
            [Value::Double(value)] => Ok(Value::Double(-value)),
            _ => no_such_overload(),
        },
        "_+_" => |meter, args| match args {
            [a, b] => add(meter, a, b),
            _ => no_such_overload(),
        },
        "_-_" => |_, args| match args {
            [Value::Int(a), Value::Int(b)] => whole(a.checked_sub(*b)),
            [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_sub(*b)),
            [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
            [a, b] => time::subtract(a, b),
            _ => no_such_overload(),
        },
        "_*_" => |_, args| match args {
            [Value::Int(a), Value::Int(b)] => whole(a.checked_mul(*b)),
            [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_mul(*b)),
            [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
            _ => no_such_overload(),
        },
        "_/_" => |_, args| match args {
            [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
                Err(EvalError::other("division by zero"))
            }
            [Value::Int(a), Value::Int(b)] => whole(a.checked_div(*b)),
            [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_div(*b)),
            [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
            _ => no_such_overload(),
        },
        "_%_" => |_, args| match args {
            [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
                Err(EvalError::other("modulus by zero"))
            }
            [Value::Int(a), Value::Int(b)] => whole(a.checked_rem(*b)),
            [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_rem(*b)),
            _ => no_such_overload(),
        },
        "@in" => |meter, args| match args {
            [value, Value::List(list)] => Ok(Value::Bool(contains(meter, list, value)?)),
            [value, Value::Map(map)] => Ok(Value::Bool(match Key::of(value) {
                Some(key) => map.get(&key)?.is_some(),
                None => false,
            })),
            _ => no_such_overload(),
        },
        "size" => |meter, args| match args {
            [value @ Value::String(text)] => {
                meter.work(text.len())?;
                count(value.size())
            }
            [value @ (Value::Bytes(_) | Value::List(_) | Value::Map(_))] => count(value.size()),
            _ => no_such_overload(),
        },
        "cel.@mapInsert" => insert,
        _ => return None,
    })
}

fn first<'s, 'a>(args: &'s [Value<'a>]) -> Result<&'s Value<'a>, EvalError> {
    args.first().ok_or_else(EvalError::no_such_overload)
}

fn second<'s, 'a>(args: &'s [Value<'a>]) -> Result<&'s Value<'a>, EvalError> {
    args.get(1).ok_or_else(EvalError::no_such_overload)
}

fn compare<'a>(meter: &mut Meter, args: &[Value<'a>], is: fn(Ordering) -> bool) -> Outcome<'a> {
    let order = order(meter, first(args)?, second(args)?)?;
    Ok(Value::Bool(is(order)))
}

fn whole<'a>(value: Option<i64>) -> Outcome<'a> {
    let overflow = || EvalError::other("integer overflow");
    value.map(Value::Int).ok_or_else(overflow)
}

fn unsigned<'a>(value: Option<u64>) -> Outcome<'a> {
    let overflow = || EvalError::other("unsigned integer overflow");
    value.map(Value::Uint).ok_or_else(overflow)
}

fn count<'a>(size: u64) -> Outcome<'a> {
    whole(i64::try_from(size).ok())
}

/// `a + b`, also used by `sum`.
pub(super) fn add<'a>(meter: &mut Meter, a: &Value<'a>, b: &Value<'a>) -> Outcome<'a> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => whole(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => {
            meter.make((a.len() + b.len()) as u64)?;
            Ok(Value::text(format!("{}{}", &**a, &**b)))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.make((a.len() + b.len()) as u64)?;
            Ok(Value::Bytes(a.iter().chain(b.iter()).copied().collect()))
        }
        (Value::List(a), Value::List(b)) => add_lists(meter, a, b),
        (a, b) => time::add(a, b),
    }
}

/// `cel.@mapInsert(map, key, value)` and `cel.@mapInsert(map, map)`.
fn insert<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (map, added) = match args {
        [Value::Map(map), key, value] => {
            let key = Key::of(key).ok_or_else(EvalError::no_such_overload)?;
            (map, vec![(key, value.clone())])
        }
        [Value::Map(map), Value::Map(more)] => {
            let mut added = vec![];
            for key in more.keys() {
                let value = more.get(&key)?.unwrap_or(Value::Null);
                added.push((key, value));
            }
            (map, added)
        }
        _ => return no_such_overload(),
    };
    let Map::Values(map) = map else {
        return no_such_overload();
    };
    meter.make((map.len() + added.len()) as u64)?;
    let mut map = (**map).clone();
    for (key, value) in added {
        if map.contains_key(&key) {
            return Err(EvalError::other(format!(
                "insert failed: key {} already exists",
                super::convert::display(&key.value())
            )));
        }
        map.insert(key, value);
    }
    Ok(Value::Map(Map::Values(Arc::new(map))))
}
