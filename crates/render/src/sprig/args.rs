//! Reading arguments. The caller has checked them against the parameter types, so a mismatch here reads as the zero value.

use crate::gotemplate::{Budget, Map, Result, Value, fail, format, text};
use std::rc::Rc;

/// A `string` parameter.
pub(super) fn string(args: &[Value], i: usize) -> Rc<str> {
    match args.get(i) {
        Some(Value::Str(s)) => s.clone(),
        _ => Rc::from(""),
    }
}

/// An `int` parameter.
pub(super) fn int(args: &[Value], i: usize) -> i64 {
    match args.get(i) {
        Some(Value::Int(n)) => *n,
        _ => 0,
    }
}

/// A `bool` parameter.
pub(super) fn boolean(args: &[Value], i: usize) -> bool {
    matches!(args.get(i), Some(Value::Bool(true)))
}

/// A `map[string]interface {}` parameter.
pub(super) fn map(args: &[Value], i: usize) -> Map {
    match args.get(i) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::nil(&crate::gotemplate::ANY_MAP),
    }
}

/// A parameter of any type.
pub(super) fn any(args: &[Value], i: usize) -> Value {
    args.get(i).cloned().unwrap_or_default()
}

/// The items of a list, for functions that take any slice; `doing` is how their message begins.
pub(super) fn items(value: &Value, doing: &str) -> Result<Vec<Value>> {
    match value {
        Value::List(list) => Ok(list.items().to_vec()),
        Value::Bytes(bytes) => Ok(bytes.iter().map(|b| Value::Uint64(u64::from(*b))).collect()),
        Value::Nil => fail!("runtime error: invalid memory address or nil pointer dereference"),
        other => fail!("{doing} {}", other.kind()),
    }
}

/// A count of repetitions as a size, for text of which each takes `each` bytes.
pub(super) fn count(budget: &mut Budget, n: i64, each: usize) -> Result<usize> {
    let Ok(count) = usize::try_from(n) else {
        fail!("strings: negative Repeat count")
    };
    budget.bytes(count.saturating_mul(each))?;
    Ok(count)
}

/// sprig's `strval`: a value as text.
pub(super) fn strval(budget: &mut Budget, value: &Value) -> Result<String> {
    match value {
        Value::Str(s) => Ok(s.to_string()),
        Value::Bytes(bytes) => Ok(text::decode(bytes)),
        other => format::print(budget, other),
    }
}

/// sprig's `empty`.
pub(super) fn empty(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        other => !other.truth(),
    }
}

/// sprig's `strslice`: anything as a list of text.
pub(super) fn strslice(budget: &mut Budget, value: &Value) -> Result<Vec<String>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(list) => list
            .items()
            .iter()
            .filter(|v| !matches!(v, Value::Nil))
            .map(|v| strval(budget, v))
            .collect(),
        Value::Bytes(bytes) => Ok(bytes.iter().map(u8::to_string).collect()),
        other => Ok(vec![strval(budget, other)?]),
    }
}
