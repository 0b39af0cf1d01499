//! Text functions with plain rules.

use super::args::{any, count, int, string, strslice, strval};
use crate::gotemplate::{
    Function, Result, Runtime, STRING_LIST, STRING_MAP, Type, Value, fail, quote, text,
};
use crate::gotemplate::{List, Map};
use std::rc::Rc;

use Type::{Any, Int, Str};

const S: &[Type] = &[Str];
const SS: &[Type] = &[Str, Str];
const IS: &[Type] = &[Int, Str];

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    ("hello", Function::new(&[], |_, _| Ok("Hello!".into()))),
    (
        "trim",
        Function::new(S, |_, a| Ok(string(a, 0).trim().into())),
    ),
    (
        "upper",
        Function::new(S, |_, a| Ok(string(a, 0).to_uppercase().into())),
    ),
    (
        "lower",
        Function::new(S, |_, a| Ok(string(a, 0).to_lowercase().into())),
    ),
    ("trimAll", Function::new(SS, trim_all)),
    ("trimall", Function::new(SS, trim_all)),
    (
        "trimSuffix",
        Function::new(SS, |_, a| {
            let (suffix, s) = (string(a, 0), string(a, 1));
            Ok(s.strip_suffix(&*suffix).unwrap_or(&s).into())
        }),
    ),
    (
        "trimPrefix",
        Function::new(SS, |_, a| {
            let (prefix, s) = (string(a, 0), string(a, 1));
            Ok(s.strip_prefix(&*prefix).unwrap_or(&s).into())
        }),
    ),
    (
        "contains",
        Function::new(SS, |_, a| Ok(string(a, 1).contains(&*string(a, 0)).into())),
    ),
    (
        "hasPrefix",
        Function::new(SS, |_, a| {
            Ok(string(a, 1).starts_with(&*string(a, 0)).into())
        }),
    ),
    (
        "hasSuffix",
        Function::new(SS, |_, a| Ok(string(a, 1).ends_with(&*string(a, 0)).into())),
    ),
    (
        "repeat",
        Function::new(IS, |rt, a| {
            let s = string(a, 1);
            let n = count(&mut rt.budget, int(a, 0), s.len())?;
            Ok(if s.is_empty() {
                "".into()
            } else {
                s.repeat(n).into()
            })
        }),
    ),
    ("replace", Function::new(&[Str, Str, Str], replace)),
    (
        "indent",
        Function::new(IS, |rt, a| Ok(indent(rt, a)?.into())),
    ),
    (
        "nindent",
        Function::new(IS, |rt, a| Ok(format!("\n{}", indent(rt, a)?).into())),
    ),
    (
        "trunc",
        Function::new(IS, |_, a| Ok(trunc(int(a, 0), &string(a, 1)).into())),
    ),
    (
        "substr",
        Function::new(&[Int, Int, Str], |_, a| {
            substr(int(a, 0), int(a, 1), &string(a, 2))
        }),
    ),
    (
        "abbrev",
        Function::new(IS, |_, a| Ok(abbrev(0, int(a, 0), &string(a, 1)).into())),
    ),
    (
        "abbrevboth",
        Function::new(&[Int, Int, Str], |_, a| {
            let (left, right, s) = (int(a, 0), int(a, 1), string(a, 2));
            if right < 4 || (left > 0 && right < 7) {
                return Ok(Value::Str(s));
            }
            Ok(abbrev(left, right, &s).into())
        }),
    ),
    (
        "wrap",
        Function::new(IS, |rt, a| wrap(rt, int(a, 0), "\n", &string(a, 1), false)),
    ),
    (
        "wrapWith",
        Function::new(&[Int, Str, Str], |rt, a| {
            wrap(rt, int(a, 0), &string(a, 1), &string(a, 2), true)
        }),
    ),
    (
        "plural",
        Function::new(&[Str, Str, Int], |_, a| {
            Ok(any(a, usize::from(int(a, 2) != 1)))
        }),
    ),
    (
        "quote",
        Function::variadic(&[Any], |rt, a| {
            let parts: Result<Vec<_>> = present(a)
                .map(|v| Ok(quote::quote(&strval(&mut rt.budget, v)?)))
                .collect();
            Ok(parts?.join(" ").into())
        }),
    ),
    (
        "squote",
        Function::variadic(&[Any], |rt, a| {
            let parts: Result<Vec<_>> = present(a)
                .map(|v| {
                    Ok(format!(
                        "'{}'",
                        crate::gotemplate::format::print(&mut rt.budget, v)?
                    ))
                })
                .collect();
            Ok(parts?.join(" ").into())
        }),
    ),
    (
        "cat",
        Function::variadic(&[Any], |rt, a| {
            let parts: Result<Vec<_>> = present(a)
                .map(|v| crate::gotemplate::format::print(&mut rt.budget, v))
                .collect();
            Ok(parts?.join(" ").into())
        }),
    ),
    (
        "toString",
        Function::new(&[Any], |rt, a| Ok(strval(&mut rt.budget, &a[0])?.into())),
    ),
    (
        "toStrings",
        Function::new(&[Any], |rt, a| {
            Ok(Value::strings(strslice(&mut rt.budget, &a[0])?))
        }),
    ),
    (
        "join",
        Function::new(&[Str, Any], |rt, a| {
            let parts = strslice(&mut rt.budget, &a[1])?;
            let separator = string(a, 0);
            rt.budget
                .bytes(parts.iter().map(|p| p.len() + separator.len()).sum())?;
            Ok(parts.join(&separator).into())
        }),
    ),
    (
        "sortAlpha",
        Function::new(&[Any], |rt, a| {
            let mut parts = strslice(&mut rt.budget, &a[0])?;
            parts.sort_unstable();
            Ok(Value::strings(parts))
        }),
    ),
    (
        "split",
        Function::new(SS, |rt, a| {
            numbered(rt, &split(&string(a, 1), &string(a, 0), -1))
        }),
    ),
    (
        "splitn",
        Function::new(&[Str, Int, Str], |rt, a| {
            numbered(rt, &split(&string(a, 2), &string(a, 0), int(a, 1)))
        }),
    ),
    (
        "splitList",
        Function::new(SS, |rt, a| {
            let parts = split(&string(a, 1), &string(a, 0), -1);
            rt.budget.bytes(parts.len() * size_of::<Value>())?;
            Ok(Value::strings(parts))
        }),
    ),
];

fn present(args: &[Value]) -> impl Iterator<Item = &Value> {
    args.iter().filter(|v| !matches!(v, Value::Nil))
}

fn trim_all(_: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let set = string(a, 0);
    Ok(string(a, 1).trim_matches(|c| set.contains(c)).into())
}

fn replace(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let (old, new, s) = (string(a, 0), string(a, 1), string(a, 2));
    let times = if old.is_empty() {
        s.chars().count() + 1
    } else {
        s.matches(&*old).count()
    };
    rt.budget.bytes(s.len() + times.saturating_mul(new.len()))?;
    Ok(s.replace(&*old, &new).into())
}

fn indent(rt: &mut Runtime<'_>, a: &[Value]) -> Result<String> {
    let s = string(a, 1);
    let lines = 1 + s.matches('\n').count();
    let n = count(&mut rt.budget, int(a, 0), lines)?;
    rt.budget.bytes(s.len())?;
    let pad = " ".repeat(n);
    Ok(format!("{pad}{}", s.replace('\n', &format!("\n{pad}"))))
}

fn trunc(n: i64, s: &str) -> String {
    let length = text::byte_len(s);
    let size = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if n < 0 && size < length {
        text::slice(s, length - size, length)
    } else if n >= 0 && length > size {
        text::slice(s, 0, size)
    } else {
        s.to_string()
    }
}

fn substr(start: i64, end: i64, s: &str) -> Result<Value> {
    let length = text::byte_len(s);
    let whole = i64::try_from(length).unwrap_or(i64::MAX);
    let (from, to) = if start < 0 {
        (0, end)
    } else if end < 0 || end > whole {
        (start, whole)
    } else {
        (start, end)
    };
    if to > whole || to < 0 {
        fail!("runtime error: slice bounds out of range [:{to}] with length {whole}");
    }
    if from > to {
        fail!("runtime error: slice bounds out of range [{from}:{to}]");
    }
    let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else {
        fail!("slice bounds out of range")
    };
    Ok(text::slice(s, from, to).into())
}

/// Shortens text to a width with dots at its end, and at its start if it is cut there.
fn abbrev(offset: i64, width: i64, s: &str) -> String {
    let length = text::byte_len(s);
    let Ok(width) = usize::try_from(width) else {
        return s.to_string();
    };
    if width < 4 || length <= width {
        return s.to_string();
    }
    let mut offset = usize::try_from(offset).unwrap_or(0).min(length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    if offset <= 4 {
        return text::slice(s, 0, width - 3) + "...";
    }
    if width < 7 {
        return String::new();
    }
    if offset + width - 3 < length {
        let rest = text::slice(s, offset, length);
        return format!(
            "...{}",
            abbrev(0, i64::try_from(width - 3).unwrap_or(0), &rest)
        );
    }
    format!("...{}", text::slice(s, length - (width - 3), length))
}

fn wrap(rt: &mut Runtime<'_>, width: i64, line: &str, s: &str, break_words: bool) -> Result<Value> {
    let line = if line.is_empty() { "\n" } else { line };
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let bytes = text::encode(s);
    let bytes: &[u8] = &bytes;
    let mut out: Vec<u8> = Vec::new();
    let mut at = 0;
    while bytes.len() - at > width {
        if bytes[at] == b' ' {
            at += 1;
            continue;
        }
        rt.budget.bytes(width.min(bytes.len()) + line.len())?;
        let window = &bytes[at..=at + width];
        if let Some(space) = window.iter().rposition(|b| *b == b' ') {
            out.extend_from_slice(&bytes[at..at + space]);
            at += space + 1;
        } else if break_words {
            out.extend_from_slice(&bytes[at..at + width]);
            at += width;
        } else if let Some(space) = bytes[at + width..].iter().position(|b| *b == b' ') {
            out.extend_from_slice(&bytes[at..at + width + space]);
            at += width + space + 1;
        } else {
            out.extend_from_slice(&bytes[at..]);
            at = bytes.len();
            continue;
        }
        out.extend_from_slice(line.as_bytes());
    }
    out.extend_from_slice(&bytes[at..]);
    Ok(Value::from_bytes(&out))
}

/// `strings.SplitN`: all parts for a negative count, none for zero.
pub(super) fn split(s: &str, separator: &str, n: i64) -> Vec<String> {
    let limit = if n < 0 {
        usize::MAX
    } else {
        usize::try_from(n).unwrap_or(usize::MAX)
    };
    if limit == 0 {
        return Vec::new();
    }
    if separator.is_empty() {
        // Go splits into characters.
        let mut chars = s.chars();
        let mut parts: Vec<String> = chars.by_ref().take(limit - 1).map(String::from).collect();
        let rest = chars.as_str();
        if !rest.is_empty() {
            parts.push(rest.to_string());
        }
        return parts;
    }
    s.splitn(limit, separator).map(String::from).collect()
}

fn numbered(rt: &mut Runtime<'_>, parts: &[String]) -> Result<Value> {
    rt.budget.bytes(parts.len() * size_of::<Value>() * 2)?;
    let entries = parts
        .iter()
        .enumerate()
        .map(|(i, p)| (Rc::from(format!("_{i}")), Value::str(p.as_str())));
    Ok(Value::Map(Map::new(&STRING_MAP, entries.collect())))
}

/// `[]string` that Go would have as nil.
pub(super) fn strings_or_nil(parts: Vec<String>) -> Value {
    if parts.is_empty() {
        Value::List(List::nil(&STRING_LIST))
    } else {
        Value::strings(parts)
    }
}
