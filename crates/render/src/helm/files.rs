//! `.Files`: the chart's files that are no templates.

use crate::chart::File;
use crate::gotemplate::{Budget, Class, Element, Function, Map, Result, Type, Value, text};
use crate::sprig::{base, to_yaml};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::rc::Rc;

const NAME: &[Type] = &[Type::Str];

/// The Go type of `.Files`.
static FILES: Class = Class {
    name: "engine.files",
    element: Element::Bytes,
    methods: &[
        (
            "Get",
            Function::new(NAME, |_, a| {
                Ok(content(a).map_or_else(|| "".into(), |b| Value::from_bytes(&b)))
            }),
        ),
        (
            "GetBytes",
            Function::new(NAME, |_, a| {
                Ok(Value::Bytes(content(a).unwrap_or_else(|| Rc::from([]))))
            }),
        ),
        (
            "Glob",
            Function::new(NAME, |rt, a| {
                let all = files(a);
                rt.budget.step(all.len() as u64 + 100)?;
                let pattern = argument(a);
                let glob = compile(&pattern);
                let matched = all
                    .entries()
                    .into_iter()
                    .filter(|(name, _)| glob.as_ref().is_none_or(|g| g.is_match(name)));
                Ok(Value::Map(Map::new(&FILES, matched.collect())))
            }),
        ),
        (
            "Lines",
            Function::new(NAME, |rt, a| {
                let text = content(a).map(|b| text::decode(&b)).unwrap_or_default();
                rt.budget.bytes(text.len() * 4)?;
                let body = text.strip_suffix('\n').unwrap_or(&text);
                Ok(if text.is_empty() {
                    Value::strings([] as [&str; 0])
                } else {
                    Value::strings(body.split('\n'))
                })
            }),
        ),
        (
            "AsConfig",
            Function::new(&[], |rt, a| as_map(&mut rt.budget, &files(a), text::decode)),
        ),
        (
            "AsSecrets",
            Function::new(&[], |rt, a| {
                as_map(&mut rt.budget, &files(a), |b| STANDARD.encode(b))
            }),
        ),
    ],
};

/// The value of `.Files`.
pub(super) fn value(files: &[File]) -> Value {
    let entries = files.iter().map(|f| {
        (
            Rc::from(f.name.as_str()),
            Value::Bytes(Rc::from(f.data.as_slice())),
        )
    });
    Value::Map(Map::new(&FILES, entries.collect()))
}

fn files(args: &[Value]) -> Map {
    match args.first() {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::nil(&FILES),
    }
}

fn argument(args: &[Value]) -> Rc<str> {
    match args.get(1) {
        Some(Value::Str(s)) => s.clone(),
        _ => Rc::from(""),
    }
}

fn content(args: &[Value]) -> Option<Rc<[u8]>> {
    match files(args).get(&argument(args)) {
        Some(Value::Bytes(bytes)) => Some(bytes),
        _ => None,
    }
}

/// The files by their last name, as YAML. Of several with one name the last counts.
fn as_map(budget: &mut Budget, files: &Map, encode: fn(&[u8]) -> String) -> Result<Value> {
    let mut entries: BTreeMap<Rc<str>, Value> = BTreeMap::new();
    for (name, data) in files.entries() {
        if let Value::Bytes(bytes) = data {
            budget.bytes(bytes.len() * 2)?;
            entries.insert(Rc::from(base(&name)), encode(&bytes).into());
        }
    }
    let map = Value::Map(entries.into_iter().collect());
    Ok(to_yaml(budget, &map)?.into())
}

/// A pattern of path names: `*` and `?` stop at slashes, `**` doesn't, `[a-z]`, `[!a-z]` and `{one,two}` choose. `None` is a
/// pattern that is none, which matches everything.
fn compile(pattern: &str) -> Option<Regex> {
    let mut regex = String::from("(?s)\\A");
    let mut chars = pattern.chars().peekable();
    let mut braces = 0u32;
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                let mut any = false;
                while chars.next_if_eq(&'*').is_some() {
                    any = true;
                }
                regex.push_str(if any { ".*" } else { "[^/]*" });
            }
            '?' => regex.push_str("[^/]"),
            '{' => {
                braces += 1;
                regex.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                regex.push(')');
            }
            ',' if braces > 0 => regex.push('|'),
            '[' => {
                regex.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
                loop {
                    match chars.next()? {
                        ']' => break,
                        '-' => regex.push('-'),
                        c => regex.push_str(&regex::escape(&c.to_string())),
                    }
                }
                regex.push(']');
            }
            '\\' => regex.push_str(&regex::escape(&chars.next()?.to_string())),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push_str("\\z");
    RegexBuilder::new(&regex)
        .size_limit(1 << 20)
        .build()
        .ok()
        .filter(|_| braces == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |pattern: &str, path: &str| compile(pattern).is_none_or(|g| g.is_match(path));
        for (pattern, path) in [
            ("a/*", "a/b.txt"),
            ("a/**", "a/b/c.txt"),
            ("**.yaml", "x/y.yaml"),
            ("{a,b}/*.?", "b/x.y"),
            ("[a-c].t", "b.t"),
            ("[!a-c].t", "d.t"),
            ("a.txt", "a.txt"),
        ] {
            assert!(check(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("a/*", "a/b/c.txt"),
            ("*.yaml", "x/y.yaml"),
            ("[!a-c].t", "b.t"),
            ("a.txt", "abtxt"),
        ] {
            assert!(!check(pattern, path), "{pattern} {path}");
        }
    }
}
