//! The functions that text/template has by itself.

use super::budget::Budget;
use super::error::{Error, Result, fail};
use super::runtime::{Function, Type};
use super::value::{List, Value};
use super::{format, quote, text};
use std::cmp::Ordering;

use Type::{Any, Reflect, Str};

/// The functions that text/template has by itself.
pub(crate) static FUNCTIONS: &[(&str, Function)] = &[
    // "and", "or" and "call" are known to the executor, which never runs these bodies.
    (
        "and",
        Function::variadic(&[Reflect, Reflect], |_, a| Ok(a[0].clone())),
    ),
    (
        "or",
        Function::variadic(&[Reflect, Reflect], |_, a| Ok(a[0].clone())),
    ),
    (
        "call",
        Function::variadic(&[Reflect, Reflect], |_, a| Ok(a[0].clone())),
    ),
    (
        "not",
        Function::new(&[Reflect], |_, a| Ok(Value::Bool(!a[0].truth()))),
    ),
    ("len", Function::new(&[Reflect], |_, a| len(&a[0]))),
    (
        "index",
        Function::variadic(&[Reflect, Reflect], |_, a| index(a)),
    ),
    // sprig's "slice" replaces this one, as in Helm.
    (
        "slice",
        Function::variadic(&[Reflect, Reflect], |rt, a| slice(&mut rt.budget, a)),
    ),
    (
        "print",
        Function::variadic(
            &[Any],
            |rt, a| Ok(format::sprint(&mut rt.budget, a)?.into()),
        ),
    ),
    (
        "println",
        Function::variadic(&[Any], |rt, a| {
            Ok(format::sprintln(&mut rt.budget, a)?.into())
        }),
    ),
    (
        "printf",
        Function::variadic(&[Str, Any], |rt, a| {
            let Value::Str(format) = &a[0] else {
                fail!("printf without a format")
            };
            Ok(format::sprintf(&mut rt.budget, format, &a[1..])?.into())
        }),
    ),
    (
        "html",
        Function::variadic(
            &[Any],
            |rt, a| Ok(html(&escapee(&mut rt.budget, a)?).into()),
        ),
    ),
    (
        "js",
        Function::variadic(&[Any], |rt, a| Ok(js(&escapee(&mut rt.budget, a)?).into())),
    ),
    (
        "urlquery",
        Function::variadic(&[Any], |rt, a| {
            Ok(query_escape(&escapee(&mut rt.budget, a)?).into())
        }),
    ),
    (
        "eq",
        Function::variadic(&[Reflect, Reflect], |rt, a| equals(&mut rt.budget, a)),
    ),
    (
        "ne",
        Function::new(&[Reflect, Reflect], |rt, a| {
            Ok(Value::Bool(!equals(&mut rt.budget, a)?.truth()))
        }),
    ),
    (
        "lt",
        Function::new(&[Reflect, Reflect], |_, a| {
            Ok(Value::Bool(less(&a[0], &a[1])?))
        }),
    ),
    (
        "le",
        Function::new(&[Reflect, Reflect], |rt, a| {
            Ok(Value::Bool(less_or_equal(&mut rt.budget, a)?))
        }),
    ),
    (
        "gt",
        Function::new(&[Reflect, Reflect], |rt, a| {
            Ok(Value::Bool(!less_or_equal(&mut rt.budget, a)?))
        }),
    ),
    (
        "ge",
        Function::new(&[Reflect, Reflect], |_, a| {
            Ok(Value::Bool(!less(&a[0], &a[1])?))
        }),
    ),
];

fn len(v: &Value) -> Result<Value> {
    let n = match v {
        Value::Str(s) => text::byte_len(s),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.items().len(),
        Value::Map(m) => m.len(),
        Value::Nil => fail!("len of nil pointer"),
        other => fail!("len of type {}", other.type_name()),
    };
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn position(index: &Value, cap: usize) -> Result<usize> {
    let x = match index {
        Value::Int(i) | Value::Int64(i) => *i,
        Value::Uint64(u) => i64::try_from(*u).unwrap_or(-1),
        Value::Nil => fail!("cannot index slice/array with nil"),
        other => fail!("cannot index slice/array with type {}", other.type_name()),
    };
    match usize::try_from(x) {
        Ok(x) if x <= cap => Ok(x),
        _ => fail!("index out of range: {x}"),
    }
}

fn index(args: &[Value]) -> Result<Value> {
    let Some((first, path)) = args.split_first() else {
        fail!("index of untyped nil")
    };
    if matches!(first, Value::Nil) {
        fail!("index of untyped nil");
    }
    let mut item = first.clone();
    for key in path {
        item = match &item {
            Value::Nil => fail!("index of nil pointer"),
            Value::List(list) => {
                let at = position(key, list.items().len())?;
                list.items()
                    .get(at)
                    .cloned()
                    .ok_or_else(|| Error::new("reflect: slice index out of range"))?
            }
            Value::Bytes(bytes) => {
                let at = position(key, bytes.len())?;
                let byte = bytes
                    .get(at)
                    .ok_or_else(|| Error::new("reflect: slice index out of range"))?;
                Value::Uint64(u64::from(*byte))
            }
            Value::Str(s) => {
                let bytes = text::encode(s);
                let at = position(key, bytes.len())?;
                let byte = bytes
                    .get(at)
                    .ok_or_else(|| Error::new("reflect: string index out of range"))?;
                Value::Uint64(u64::from(*byte))
            }
            Value::Map(map) => match key {
                Value::Str(key) => map
                    .get(key)
                    .unwrap_or_else(|| Value::zero(map.class().element)),
                Value::Nil => fail!("value is nil; should be of type string"),
                other => fail!("value has type {}; should be string", other.type_name()),
            },
            other => fail!("can't index item of type {}", other.type_name()),
        };
    }
    Ok(item)
}

fn slice(budget: &mut Budget, args: &[Value]) -> Result<Value> {
    let Some((item, indexes)) = args.split_first() else {
        fail!("slice of untyped nil")
    };
    let cap = match item {
        Value::Nil => fail!("slice of untyped nil"),
        Value::Str(s) => text::byte_len(s),
        Value::List(l) => l.items().len(),
        other => fail!("can't slice item of type {}", other.type_name()),
    };
    if indexes.len() > 3 {
        fail!("too many slice indexes: {}", indexes.len());
    }
    if indexes.len() == 3 && matches!(item, Value::Str(_)) {
        fail!("cannot 3-index slice a string");
    }
    let mut bounds = [0, cap, cap];
    for (slot, index) in bounds.iter_mut().zip(indexes) {
        *slot = position(index, cap)?;
    }
    for pair in bounds.windows(2) {
        if pair[0] > pair[1] {
            fail!("invalid slice index: {} > {}", pair[0], pair[1]);
        }
    }
    let (from, to) = (bounds[0], bounds[1]);
    budget.bytes((to - from) * size_of::<Value>())?;
    Ok(match item {
        Value::List(l) => Value::List(List::new(l.class(), l.items()[from..to].to_vec())),
        Value::Str(s) => text::slice(s, from, to).into(),
        _ => Value::Nil,
    })
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Str,
}

fn basic(v: &Value) -> Option<Basic> {
    match v {
        Value::Bool(_) => Some(Basic::Bool),
        Value::Int(_) | Value::Int64(_) => Some(Basic::Int),
        Value::Uint64(_) => Some(Basic::Uint),
        Value::Float(_) => Some(Basic::Float),
        Value::Str(_) => Some(Basic::Str),
        _ => None,
    }
}

fn incompatible(a: &Value, b: &Value) -> Error {
    Error::new(format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    ))
}

/// The order of two basic values of one kind, or of two integers.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a) | Value::Int64(a), Value::Int(b) | Value::Int64(b)) => Some(a.cmp(b)),
        (Value::Uint64(a), Value::Uint64(b)) => Some(a.cmp(b)),
        (Value::Int(a) | Value::Int64(a), Value::Uint64(b)) => {
            Some(i128::from(*a).cmp(&i128::from(*b)))
        }
        (Value::Uint64(a), Value::Int(b) | Value::Int64(b)) => {
            Some(i128::from(*a).cmp(&i128::from(*b)))
        }
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn is_nil(v: &Value) -> bool {
    match v {
        Value::Nil => true,
        Value::List(l) => l.is_nil(),
        Value::Map(m) => m.is_nil(),
        _ => false,
    }
}

fn equals(budget: &mut Budget, args: &[Value]) -> Result<Value> {
    let Some((first, others)) = args.split_first() else {
        fail!("missing argument for comparison")
    };
    if others.is_empty() {
        fail!("missing argument for comparison");
    }
    for other in others {
        let (a, b) = (basic(first), basic(other));
        let equal = if a.is_none() && b.is_none() {
            equal_compound(budget, first, other)?
        } else if a == b
            || matches!(
                (a, b),
                (Some(Basic::Int), Some(Basic::Uint)) | (Some(Basic::Uint), Some(Basic::Int))
            )
        {
            compare(first, other) == Some(Ordering::Equal)
        } else if matches!(first, Value::Nil) || matches!(other, Value::Nil) {
            false
        } else {
            return Err(incompatible(first, other));
        };
        if equal {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal_compound(budget: &mut Budget, a: &Value, b: &Value) -> Result<bool> {
    let nil = matches!(a, Value::Nil) || matches!(b, Value::Nil);
    if !nil && a.kind() != b.kind() {
        let shown =
            |budget: &mut Budget, v: &Value| format::sprintf(budget, "%s", std::slice::from_ref(v));
        let (x, y) = (shown(budget, a)?, format::print(budget, b)?);
        fail!(
            "non-comparable types {x}: {}, {}: {y}",
            a.type_name(),
            b.type_name()
        );
    }
    if is_nil(a) || is_nil(b) {
        return Ok(is_nil(a) == is_nil(b));
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => Ok(std::ptr::addr_eq(
            std::rc::Rc::as_ptr(a),
            std::rc::Rc::as_ptr(b),
        )),
        _ => {
            let shown = format::sprintf(budget, "%s", std::slice::from_ref(b))?;
            fail!("non-comparable type {shown}: {}", b.type_name());
        }
    }
}

fn less(a: &Value, b: &Value) -> Result<bool> {
    let bad = || Error::new("invalid type for comparison");
    let (x, y) = (basic(a).ok_or_else(bad)?, basic(b).ok_or_else(bad)?);
    let integers = matches!((x, y), (Basic::Int | Basic::Uint, Basic::Int | Basic::Uint));
    if x != y && !integers {
        return Err(incompatible(a, b));
    }
    if x == Basic::Bool {
        return Err(bad());
    }
    Ok(compare(a, b) == Some(Ordering::Less))
}

fn less_or_equal(budget: &mut Budget, args: &[Value]) -> Result<bool> {
    Ok(less(&args[0], &args[1])? || equals(budget, args)?.truth())
}

/// What the escaping functions work on: one string as it is, everything else as `print` shows it.
fn escapee(budget: &mut Budget, args: &[Value]) -> Result<String> {
    if let [Value::Str(s)] = args {
        return Ok(s.to_string());
    }
    let shown: Vec<Value> = args
        .iter()
        .map(|a| {
            if matches!(a, Value::Nil) {
                "<no value>".into()
            } else {
                a.clone()
            }
        })
        .collect();
    format::sprint(budget, &shown)
}

/// `template.HTMLEscapeString`.
fn html(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// `template.JSEscapeString`.
fn js(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if u32::from(c) < 0x20 || (!c.is_ascii() && !quote::is_print(c)) => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// `url.QueryEscape`.
pub(crate) fn query_escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for byte in text::encode(s).iter() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte));
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
