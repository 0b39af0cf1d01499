//! The functions of Kubernetes' CEL: their signatures, and what they do, by theme.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::budget::Meter;
use crate::error::EvalError;
use crate::types::Type;
use crate::value::Value;

pub(crate) mod authz;
pub(crate) mod convert;
pub(crate) mod format_text;
pub(crate) mod formats;
pub(crate) mod lists;
pub(crate) mod net;
pub(crate) mod operators;
pub(crate) mod optional;
mod quantity;
pub(crate) mod regex;
pub(crate) mod semvers;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;

/// What a function makes of its arguments; of member functions, the first is the target.
pub(crate) type Function = for<'s, 'a> fn(&mut Meter, &'s [Value<'a>]) -> Outcome<'a>;
pub(crate) type Outcome<'a> = Result<Value<'a>, EvalError>;

/// One signature of a function.
#[derive(Debug)]
pub(crate) struct Overload {
    /// Name that costs go by.
    pub(crate) id: &'static str,
    pub(crate) is_member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    /// Number of type parameters.
    pub(crate) params: u32,
}

/// A line is `function id(arguments) result`; `.function` is called on its first argument. One capital letter is a
/// type parameter.
const TABLE: &str = include_str!("overloads.txt");

/// What only mutating policies may use.
const MUTATION: &str = "jsonpatch.escapeKey";

static OVERLOADS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut all: BTreeMap<&'static str, Vec<Overload>> = BTreeMap::new();
    for line in TABLE.lines() {
        if let Some((name, overload)) = parse_line(line) {
            all.entry(name).or_default().push(overload);
        }
    }
    all
});

/// The signatures of a function; `None` when there is no such function.
pub(crate) fn overloads(function: &str, is_mutation: bool) -> Option<&'static [Overload]> {
    if function == MUTATION && !is_mutation {
        return None;
    }
    OVERLOADS.get(function).map(Vec::as_slice)
}

fn parse_line(line: &'static str) -> Option<(&'static str, Overload)> {
    let (function, rest) = line.split_once(' ')?;
    let (name, is_member) = match function.strip_prefix('.') {
        Some(name) => (name, true),
        None => (function, false),
    };
    let (id, mut rest) = rest.split_once('(')?;
    let mut letters = vec![];
    let mut args = vec![];
    while !rest.starts_with(')') {
        let (arg, after) = parse_type(rest, &mut letters)?;
        args.push(arg);
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    let (result, _) = parse_type(rest.strip_prefix(") ")?, &mut letters)?;
    let overload = Overload {
        id,
        is_member,
        args,
        result,
        params: u32::try_from(letters.len()).ok()?,
    };
    Some((name, overload))
}

/// Reads one type and gives what follows it.
fn parse_type(text: &'static str, letters: &mut Vec<char>) -> Option<(Type, &'static str)> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if let Some(rest) = rest.strip_prefix('(').filter(|_| !name.is_empty()) {
        let (first, rest) = parse_type(rest, letters)?;
        if let Some(rest) = rest.strip_prefix(", ") {
            let (second, rest) = parse_type(rest, letters)?;
            return Some((Type::map(first, second), rest.strip_prefix(')')?));
        }
        let of = match name {
            "list" => Type::list(first),
            "optional_type" => Type::optional(first),
            _ => Type::Type(Some(first.into())),
        };
        return Some((of, rest.strip_prefix(')')?));
    }
    let simple = match name {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        _ if name.len() == 1 => {
            let letter = name.chars().next()?;
            let known = letters.iter().position(|other| *other == letter);
            let index = known.unwrap_or_else(|| {
                letters.push(letter);
                letters.len() - 1
            });
            Type::Param(u32::try_from(index).ok()?)
        }
        _ => Type::Opaque(name),
    };
    Some((simple, rest))
}

/// The function of that name, called with that many arguments (the target counts).
pub(crate) fn function(name: &str, is_member: bool) -> Option<Function> {
    operators::function(name)
        .or_else(|| convert::function(name, is_member))
        .or_else(|| time::function(name))
        .or_else(|| optional::function(name))
        .or_else(|| strings::function(name))
        .or_else(|| lists::function(name))
        .or_else(|| regex::function(name))
        .or_else(|| net::function(name, is_member))
        .or_else(|| url::function(name))
        .or_else(|| quantity::function(name))
        .or_else(|| semvers::function(name))
        .or_else(|| formats::function(name))
        .or_else(|| authz::function(name))
}

pub(crate) fn no_such_overload<'a>() -> Outcome<'a> {
    Err(EvalError::no_such_overload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_has_a_function() {
        // What the evaluator does itself, because it does not evaluate all arguments first.
        let lazy = [
            "_?_:_",
            "_&&_",
            "_||_",
            "@not_strictly_false",
            "_[_]",
            "_[?_]",
            "or",
            "orValue",
        ];
        let count: usize = OVERLOADS.values().map(Vec::len).sum();
        assert_eq!(count, TABLE.lines().count());
        for (name, overloads) in OVERLOADS.iter() {
            for overload in overloads {
                let is_known = function(name, overload.is_member).is_some();
                assert!(is_known || lazy.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = OVERLOADS.values().flatten().map(|o| o.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
