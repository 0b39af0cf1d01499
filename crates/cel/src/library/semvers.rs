//! Semantic versions, and the comparisons they share with quantities.

use std::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use super::{Function, Outcome, no_such_overload};
use crate::error::EvalError;
use crate::value::Value;

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "semver" => |_, args| {
            let version = parse(args)?;
            version
                .map(|version| Value::Semver(Arc::new(version)))
                .map_err(EvalError::other)
        },
        "isSemver" => |_, args| Ok(Value::Bool(parse(args)?.is_ok())),
        "isGreaterThan" => |_, args| Ok(Value::Bool(compare(args)?.is_gt())),
        "isLessThan" => |_, args| Ok(Value::Bool(compare(args)?.is_lt())),
        "compareTo" => |_, args| Ok(Value::Int(compare(args)? as i64)),
        "major" => |_, args| part(args, |version| version.major),
        "minor" => |_, args| part(args, |version| version.minor),
        "patch" => |_, args| part(args, |version| version.patch),
        _ => return None,
    })
}

fn compare(args: &[Value<'_>]) -> Result<Ordering, EvalError> {
    match args {
        [Value::Semver(a), Value::Semver(b)] => Ok(a.cmp_precedence(b)),
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn part<'a>(args: &[Value<'a>], of: fn(&Version) -> u64) -> Outcome<'a> {
    match args {
        [Value::Semver(version)] => i64::try_from(of(version))
            .map(Value::Int)
            .map_err(|_| EvalError::other("integer overflow")),
        _ => no_such_overload(),
    }
}

/// A version; with `true` as second argument, `v1.2` is read as `1.2.0`.
fn parse(args: &[Value<'_>]) -> Result<Result<Version, String>, EvalError> {
    let (text, is_tolerant) = match args {
        [Value::String(text)] => (text, false),
        [Value::String(text), Value::Bool(is_tolerant)] => (text, *is_tolerant),
        _ => return Err(EvalError::no_such_overload()),
    };
    let text = if is_tolerant {
        match normalize(text) {
            Some(text) => text,
            None => {
                return Ok(Err(
                    "short version cannot contain PreRelease/Build meta data".into(),
                ));
            }
        }
    } else {
        text.to_string()
    };
    Ok(Version::parse(&text).map_err(|error| error.to_string()))
}

/// Without `v` and leading zeros, with three numbers.
fn normalize(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|part| {
            if part.len() < 2 {
                return part.to_owned();
            }
            let trimmed = part.trim_start_matches('0');
            if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
                trimmed.to_owned()
            } else {
                format!("0{trimmed}")
            }
        })
        .collect();
    if parts.len() < 3 && parts.last().is_some_and(|part| part.contains(['+', '-'])) {
        return None;
    }
    while parts.len() < 3 {
        parts.push("0".into());
    }
    Some(parts.join("."))
}
