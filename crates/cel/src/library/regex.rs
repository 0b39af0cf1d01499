//! Patterns as Go's RE2 reads them, for an engine that reads a few things otherwise.

use regex::{Regex, RegexBuilder};

use super::{Function, Outcome, no_such_overload};
use crate::budget::Meter;
use crate::regexp::translate;
use crate::value::{Text, Value};

/// Largest compiled pattern in bytes.
const MAX_SIZE: usize = 1 << 20;

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "matches" => |meter, args| match args {
            [Value::String(text), Value::String(pattern)] => {
                let regex = meter.regex(pattern)?;
                search_work(meter, text, pattern)?;
                Ok(Value::Bool(regex.is_match(text)))
            }
            _ => no_such_overload(),
        },
        "find" => |meter, args| match args {
            [Value::String(text), Value::String(pattern)] => {
                let regex = meter.regex(pattern)?;
                search_work(meter, text, pattern)?;
                let found = regex.find(text).map(|found| found.as_str());
                Ok(Value::text(found.unwrap_or_default().to_owned()))
            }
            _ => no_such_overload(),
        },
        "findAll" => find_all,
        _ => return None,
    })
}

/// Searching looks at each byte, with more states the longer the pattern is.
fn search_work(meter: &mut Meter, text: &str, pattern: &str) -> Result<(), crate::EvalError> {
    meter.work(text.len().saturating_mul(pattern.len() / 64 + 1))
}

fn find_all<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, limit) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [
            Value::String(text),
            Value::String(pattern),
            Value::Int(limit),
        ] => (text, pattern, *limit),
        _ => return no_such_overload(),
    };
    let regex = meter.regex(pattern)?;
    search_work(meter, text, pattern)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = vec![];
    for part in regex.find_iter(text).take(limit) {
        meter.work(part.len() + 16)?;
        found.push(Value::String(Text::from(part.as_str().to_owned())));
    }
    Ok(Value::list(found))
}

/// Compiles a pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_SIZE)
        .nest_limit(100)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            let why = last.trim_start_matches("error: ");
            format!("error parsing regexp: {why}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_go_means() {
        for (pattern, yes, no) in [
            (r"^\d+$", "12", "١٢"),
            (r"^[\w.]+$", "a_1.", "é"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^[[:alpha:]_]+$", "a_", "1"),
        ] {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(yes), "{pattern} {yes}");
            assert!(!regex.is_match(no), "{pattern} {no}");
        }
        assert!(compile("(").is_err());
        assert!(compile("(?=a)").is_err());
        assert!(compile(&"(a{1000}){1000}".repeat(3)).is_err());
    }
}
