//! Patterns as Go's RE2 reads them, for an engine that reads a few things otherwise.

use regex::{Regex, RegexBuilder};

use super::{Function, Outcome, no_such_overload};
use crate::budget::Meter;
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

/// Rewrites what differs: `\d \s \w` mean ASCII, `\Q…\E` quotes, and `[`, `&&`, `--`, `~~` inside a class are literal.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') if !in_class => quote(&mut chars, &mut out),
                Some('E') if !in_class => {}
                Some(escaped) => escape(escaped, in_class, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A first `]` is literal.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                // A named class, `[:alpha:]`.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && chars.peek() == Some(&'-') => {
                chars.next();
                out.push_str("\\--");
            }
            _ => out.push(c),
        }
    }
    out
}

fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    let class = match escaped {
        'd' | 'D' => "0-9",
        'w' | 'W' => "0-9A-Za-z_",
        's' | 'S' => r"\t\n\x0C\r ",
        _ => {
            out.push('\\');
            out.push(escaped);
            return;
        }
    };
    match (escaped.is_ascii_uppercase(), in_class) {
        (false, true) => out.push_str(class),
        (false, false) => out.push_str(&format!("[{class}]")),
        (true, _) => out.push_str(&format!("[^{class}]")),
    }
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
