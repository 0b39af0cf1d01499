//! Versions in templates.

use super::args::string;
use crate::gotemplate::{Error, Function, Object, Type, Value};
use crate::semver::{Range, Version};
use std::rc::Rc;

use Type::Str;

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "semver",
        Function::new(&[Str], |_, a| {
            let version = Version::parse(&string(a, 0)).map_err(|e| Error::new(e.to_string()))?;
            Ok(Value::Object(Rc::new(Parsed(version))))
        }),
    ),
    (
        "semverCompare",
        Function::new(&[Str, Str], |_, a| {
            let range = Range::parse(&string(a, 0)).map_err(|e| Error::new(e.to_string()))?;
            let version = Version::parse(&string(a, 1)).map_err(|e| Error::new(e.to_string()))?;
            Ok(range.matches(&version).into())
        }),
    ),
];

/// What `semver` returns.
struct Parsed(Version);

const NAME: &str = "*semver.Version";

fn version(args: &[Value], i: usize) -> Option<&Version> {
    match args.get(i)? {
        Value::Object(object) => object.as_any().downcast_ref::<Parsed>().map(|p| &p.0),
        _ => None,
    }
}

fn compared(args: &[Value]) -> std::cmp::Ordering {
    version(args, 0).cmp(&version(args, 1))
}

fn bumped(args: &[Value], bump: fn(&Version) -> Version) -> Value {
    version(args, 0).map_or(Value::Nil, |v| Value::Object(Rc::new(Parsed(bump(v)))))
}

const OTHER: &[Type] = &[Type::Object(NAME)];

static METHODS: &[(&str, Function)] = &[
    (
        "Major",
        Function::new(&[], |_, a| {
            Ok(version(a, 0).map_or(Value::Nil, |v| Value::Uint64(v.major)))
        }),
    ),
    (
        "Minor",
        Function::new(&[], |_, a| {
            Ok(version(a, 0).map_or(Value::Nil, |v| Value::Uint64(v.minor)))
        }),
    ),
    (
        "Patch",
        Function::new(&[], |_, a| {
            Ok(version(a, 0).map_or(Value::Nil, |v| Value::Uint64(v.patch)))
        }),
    ),
    (
        "Prerelease",
        Function::new(&[], |_, a| {
            Ok(version(a, 0).map_or("", |v| v.prerelease.as_str()).into())
        }),
    ),
    (
        "Metadata",
        Function::new(&[], |_, a| {
            Ok(version(a, 0).map_or("", |v| v.metadata.as_str()).into())
        }),
    ),
    (
        "Original",
        Function::new(&[], |_, a| {
            Ok(version(a, 0).map_or("", |v| v.original()).into())
        }),
    ),
    (
        "String",
        Function::new(&[], |_, a| {
            Ok(version(a, 0)
                .map_or(String::new(), ToString::to_string)
                .into())
        }),
    ),
    (
        "Compare",
        Function::new(OTHER, |_, a| Ok(Value::Int(compared(a) as i64))),
    ),
    (
        "Equal",
        Function::new(OTHER, |_, a| Ok(compared(a).is_eq().into())),
    ),
    (
        "LessThan",
        Function::new(OTHER, |_, a| Ok(compared(a).is_lt().into())),
    ),
    (
        "LessThanEqual",
        Function::new(OTHER, |_, a| Ok(compared(a).is_le().into())),
    ),
    (
        "GreaterThan",
        Function::new(OTHER, |_, a| Ok(compared(a).is_gt().into())),
    ),
    (
        "GreaterThanEqual",
        Function::new(OTHER, |_, a| Ok(compared(a).is_ge().into())),
    ),
    (
        "IncMajor",
        Function::new(&[], |_, a| Ok(bumped(a, Version::next_major))),
    ),
    (
        "IncMinor",
        Function::new(&[], |_, a| Ok(bumped(a, Version::next_minor))),
    ),
    (
        "IncPatch",
        Function::new(&[], |_, a| Ok(bumped(a, Version::next_patch))),
    ),
];

impl Object for Parsed {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        METHODS.iter().find(|(n, _)| *n == name).map(|(_, f)| f)
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn data(&self) -> Value {
        self.0.to_string().into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
