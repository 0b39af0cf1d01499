//! Functions on text: those of CEL itself and those of its strings extension.

use super::{Function, Outcome, format_text, no_such_overload};
use crate::budget::Meter;
use crate::compare::equal;
use crate::error::EvalError;
use crate::value::{List, Value};

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "contains" => |meter, args| test(meter, args, |text, other| text.contains(other)),
        "startsWith" => |meter, args| test(meter, args, |text, other| text.starts_with(other)),
        "endsWith" => |meter, args| test(meter, args, |text, other| text.ends_with(other)),
        "charAt" => char_at,
        "indexOf" => |meter, args| index_of(meter, args, false),
        "lastIndexOf" => |meter, args| index_of(meter, args, true),
        "lowerAscii" => |meter, args| change(meter, args, str::to_ascii_lowercase),
        "upperAscii" => |meter, args| change(meter, args, str::to_ascii_uppercase),
        "trim" => |meter, args| change(meter, args, |text| text.trim().to_owned()),
        "replace" => replace,
        "split" => split,
        "substring" => substring,
        "join" => join,
        "format" => |meter, args| match args {
            [Value::String(text), Value::List(list)] => format_text::format(meter, text, list),
            _ => no_such_overload(),
        },
        "strings.quote" => |meter, args| match args {
            [Value::String(text)] => {
                meter.make(text.len() as u64 * 2 + 2)?;
                Ok(Value::text(quote(text)))
            }
            _ => no_such_overload(),
        },
        "jsonpatch.escapeKey" => |meter, args| {
            change(meter, args, |text| {
                text.replace('~', "~0").replace('/', "~1")
            })
        },
        _ => return None,
    })
}

fn test<'a>(meter: &mut Meter, args: &[Value<'a>], is: fn(&str, &str) -> bool) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(other)] => {
            meter.work(text.len() + other.len())?;
            Ok(Value::Bool(is(text, other)))
        }
        _ => no_such_overload(),
    }
}

fn change<'a>(meter: &mut Meter, args: &[Value<'a>], to: fn(&str) -> String) -> Outcome<'a> {
    match args {
        [Value::String(text)] => {
            meter.make(text.len() as u64)?;
            Ok(Value::text(to(text)))
        }
        _ => no_such_overload(),
    }
}

fn out_of_range<'a>(index: i64) -> Outcome<'a> {
    Err(EvalError::other(format!("index out of range: {index}")))
}

/// Byte offset of the character with that number; the number of all characters is the end.
fn offset(text: &str, index: i64) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    let mut offsets = text.char_indices().map(|(at, _)| at);
    match offsets.by_ref().nth(index) {
        Some(at) => Some(at),
        None => (text.chars().count() == index).then_some(text.len()),
    }
}

fn char_at<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(index)] = args else {
        return no_such_overload();
    };
    meter.work(text.len())?;
    match offset(text, *index) {
        Some(at) => {
            let found = text[at..].chars().next();
            Ok(Value::text(found.map(String::from).unwrap_or_default()))
        }
        None => out_of_range(*index),
    }
}

fn int<'a>(value: usize) -> Outcome<'a> {
    i64::try_from(value)
        .map(Value::Int)
        .map_err(|_| EvalError::other("integer overflow"))
}

/// `indexOf` and `lastIndexOf` of text, and of lists.
fn index_of<'a>(meter: &mut Meter, args: &[Value<'a>], is_last: bool) -> Outcome<'a> {
    let (text, wanted, from) = match args {
        [Value::List(list), wanted] => return index_in_list(meter, list, wanted, is_last),
        [Value::String(text), Value::String(wanted)] => (text, wanted, None),
        [Value::String(text), Value::String(wanted), Value::Int(from)] => {
            (text, wanted, Some(*from))
        }
        _ => return no_such_overload(),
    };
    meter.work(text.len() + wanted.len())?;
    let count = text.chars().count();
    if wanted.is_empty() {
        let default = if is_last { int(count)? } else { Value::Int(0) };
        return Ok(from.map_or(default, Value::Int));
    }
    let absent = Ok(Value::Int(-1));
    let found = match from {
        None if is_last => text.rfind(&**wanted),
        None => text.find(&**wanted),
        Some(from) if from < 0 => return out_of_range(from),
        Some(from) => {
            if usize::try_from(from).is_ok_and(|from| from >= count) {
                return absent;
            }
            let start = offset(text, from).unwrap_or(text.len());
            if is_last {
                // The match may begin no later than there.
                let end = text.len().min(start + wanted.len());
                let end = (end..=text.len()).find(|at| text.is_char_boundary(*at));
                let before = &text[..end.unwrap_or(text.len())];
                before.rfind(&**wanted).filter(|at| *at <= start)
            } else {
                text[start..].find(&**wanted).map(|at| at + start)
            }
        }
    };
    match found {
        Some(at) => int(text[..at].chars().count()),
        None => absent,
    }
}

fn index_in_list<'a>(
    meter: &mut Meter,
    list: &List<'a>,
    wanted: &Value<'a>,
    is_last: bool,
) -> Outcome<'a> {
    let mut found = Value::Int(-1);
    for (index, element) in list.iter().enumerate() {
        if equal(meter, &element?, wanted)? {
            found = int(index)?;
            if !is_last {
                break;
            }
        }
    }
    Ok(found)
}

fn replace<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, from, to, limit) = match args {
        [Value::String(text), Value::String(from), Value::String(to)] => (text, from, to, -1),
        [
            Value::String(text),
            Value::String(from),
            Value::String(to),
            Value::Int(limit),
        ] => (text, from, to, *limit),
        _ => return no_such_overload(),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    meter.work(text.len() + from.len())?;
    let count = text.matches(&**from).take(limit).count() as u64;
    let size = count
        .saturating_mul(to.len() as u64)
        .saturating_add(text.len() as u64);
    meter.make(size)?;
    Ok(Value::text(text.replacen(&**from, to, limit)))
}

fn split<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, limit) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [
            Value::String(text),
            Value::String(separator),
            Value::Int(limit),
        ] => (text, separator, *limit),
        _ => return no_such_overload(),
    };
    meter.make(text.len() as u64 + 1)?;
    if limit == 0 {
        return Ok(Value::list(vec![]));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<Value<'a>> = if separator.is_empty() {
        characters(text, limit)
    } else {
        let parts = text.splitn(limit, &**separator);
        parts.map(|part| Value::text(part.to_owned())).collect()
    };
    Ok(Value::list(parts))
}

/// Single characters; the last part has the rest.
fn characters<'a>(text: &str, limit: usize) -> Vec<Value<'a>> {
    let mut parts = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = if parts.len() + 1 == limit {
            rest.len()
        } else {
            c.len_utf8()
        };
        parts.push(Value::text(rest[..end].to_owned()));
        rest = &rest[end..];
    }
    parts
}

fn substring<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return no_such_overload(),
    };
    meter.make(text.len() as u64)?;
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(EvalError::other(format!(
            "invalid substring range. start: {start}, end: {end}"
        )));
    }
    let Some(from) = offset(text, start) else {
        return out_of_range(start);
    };
    let to = match end {
        None => text.len(),
        Some(end) => match offset(text, end) {
            Some(to) => to,
            None => return out_of_range(end),
        },
    };
    Ok(Value::text(text[from..to].to_owned()))
}

fn join<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return no_such_overload(),
    };
    let mut out = String::new();
    for (index, element) in list.iter().enumerate() {
        let element = element?;
        let Some(text) = element.as_str() else {
            return Err(EvalError::other(format!(
                "join: invalid input: {}",
                super::convert::display(&element)
            )));
        };
        meter.work(text.len() + separator.len())?;
        meter.make(out.len() as u64 / 4096 + 1)?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
        if out.len() > 8 << 20 {
            return Err(EvalError::call_limit());
        }
    }
    Ok(Value::text(out))
}

/// The text in quotes, with escapes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
