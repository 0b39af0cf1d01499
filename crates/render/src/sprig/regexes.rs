//! Regular expressions. Go's syntax is RE2's, which the Rust library shares but for a few escapes.

use super::args::{int, string};
use super::strings::strings_or_nil;
use crate::gotemplate::{Budget, Error, Function, Result, Type, Value};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;

use Type::{Int, Str};

const SS: &[Type] = &[Str, Str];
const SSI: &[Type] = &[Str, Str, Int];
const SSS: &[Type] = &[Str, Str, Str];

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "regexMatch",
        Function::new(SS, |rt, a| {
            Ok(compile(&mut rt.budget, a)
                .is_ok_and(|r| r.is_match(&string(a, 1)))
                .into())
        }),
    ),
    (
        "mustRegexMatch",
        Function::new(SS, |rt, a| {
            Ok(compile(&mut rt.budget, a)?.is_match(&string(a, 1)).into())
        }),
    ),
    (
        "regexQuoteMeta",
        Function::new(&[Str], |_, a| Ok(quote_meta(&string(a, 0)).into())),
    ),
];

/// Functions and their other names.
pub(super) static NAMED_TWICE: &[(&str, &str, Function)] = &[
    (
        "regexFind",
        "mustRegexFind",
        Function::new(SS, |rt, a| {
            let s = string(a, 1);
            Ok(compile(&mut rt.budget, a)?
                .find(&s)
                .map_or("", |m| m.as_str())
                .into())
        }),
    ),
    (
        "regexFindAll",
        "mustRegexFindAll",
        Function::new(SSI, |rt, a| {
            let regex = compile(&mut rt.budget, a)?;
            let s = string(a, 1);
            let limit = usize::try_from(int(a, 2)).unwrap_or(usize::MAX);
            let found: Vec<String> = regex
                .find_iter(&s)
                .take(limit)
                .map(|m| m.as_str().to_string())
                .collect();
            rt.budget
                .bytes(found.len() * size_of::<Value>() + s.len())?;
            Ok(strings_or_nil(found))
        }),
    ),
    (
        "regexReplaceAll",
        "mustRegexReplaceAll",
        Function::new(SSS, |rt, a| {
            let regex = compile(&mut rt.budget, a)?;
            let (s, replacement) = (string(a, 1), string(a, 2));
            replace(&mut rt.budget, &regex, &s, &template(&replacement))
        }),
    ),
    (
        "regexReplaceAllLiteral",
        "mustRegexReplaceAllLiteral",
        Function::new(SSS, |rt, a| {
            let regex = compile(&mut rt.budget, a)?;
            let (s, replacement) = (string(a, 1), string(a, 2));
            replace(&mut rt.budget, &regex, &s, &replacement.replace('$', "$$"))
        }),
    ),
    (
        "regexSplit",
        "mustRegexSplit",
        Function::new(SSI, |rt, a| {
            let parts = split(&compile(&mut rt.budget, a)?, &string(a, 1), int(a, 2));
            rt.budget.bytes(parts.len() * size_of::<Value>())?;
            Ok(strings_or_nil(parts))
        }),
    ),
];

/// Compiles the first argument. Compiling is the expensive part, so it costs steps, and its size is limited.
fn compile(budget: &mut Budget, args: &[Value]) -> Result<Regex> {
    let source = string(args, 0);
    let text = string(args, 1);
    budget.step(100 + source.len() as u64 + text.len() as u64 / 16)?;
    RegexBuilder::new(&rust_syntax(&source))
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .build()
        .map_err(|e| {
            let reason = e.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            let reason = GO_WORDS
                .iter()
                .find(|(rust, _)| *rust == reason)
                .map_or(reason, |(_, go)| go);
            Error::new(format!("error parsing regexp: {reason}: `{source}`"))
        })
}

/// Failures of the Rust library and what Go says.
const GO_WORDS: [(&str, &str); 4] = [
    ("unclosed group", "missing closing )"),
    ("unopened group", "unexpected )"),
    ("unclosed character class", "missing closing ]"),
    (
        "repetition operator missing expression",
        "missing argument to repetition operator",
    ),
];

/// What Go writes differently: `\Q…\E` is not known to Rust, `\z` is, and Rust gives a meaning to `[` and doubled signs
/// inside a class, and takes `\<` and `\>` as word edges.
fn rust_syntax(source: &str) -> Cow<'_, str> {
    if !source.contains("\\Q") && !source.contains('[') {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len() + 8);
    let mut chars = source.chars().peekable();
    let mut class = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'Q') => {
                chars.next();
                let rest: String = chars.clone().collect();
                let quoted = rest.split("\\E").next().unwrap_or_default();
                out.push_str(&regex::escape(quoted));
                let skip = quoted.chars().count() + if rest.contains("\\E") { 2 } else { 0 };
                (0..skip).for_each(|_| {
                    chars.next();
                });
            }
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            '[' if class == 0 => {
                class = 1;
                out.push(c);
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                // A bracket right at the start stands for itself.
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                out.push(c);
                for inner in chars.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' if class > 0 => {
                class = 0;
                out.push(c);
            }
            '[' | '&' | '~' if class > 0 => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Go's replacement template is Rust's, except that Go's `$name` also takes letters beyond ASCII and that a lone dollar
/// disappears.
fn template(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len());
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            out.push_str(&format!("${{{name}}}"));
            rest = after;
        } else {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            if end > 0 {
                out.push_str(&format!("${{{}}}", &rest[..end]));
            } else {
                // Malformed: Go keeps the dollar.
                out.push_str("$$");
            }
            rest = &rest[end..];
        }
    }
    out + rest
}

fn replace(budget: &mut Budget, regex: &Regex, s: &str, replacement: &str) -> Result<Value> {
    let hits = regex.find_iter(s).count();
    budget.bytes(
        s.len()
            .saturating_add(hits.saturating_mul(replacement.len())),
    )?;
    let out = regex.replace_all(s, replacement).into_owned();
    budget.bytes(out.len())?;
    Ok(out.into())
}

/// `Regexp.Split`.
fn split(regex: &Regex, s: &str, n: i64) -> Vec<String> {
    if n == 0 {
        return Vec::new();
    }
    if !regex.as_str().is_empty() && s.is_empty() {
        return vec![String::new()];
    }
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let (mut begin, mut end, mut out) = (0, 0, Vec::new());
    for found in regex.find_iter(s) {
        if out.len() + 1 >= limit {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            out.push(s[begin..end].to_string());
        }
        begin = found.end();
    }
    if end != s.len() {
        out.push(s[begin..].to_string());
    }
    out
}

fn quote_meta(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    for c in s.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
