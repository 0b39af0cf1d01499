//! Paths. The operating system of a chart is always a Unix.

use super::args::string;
use crate::gotemplate::{Function, Type};

const S: &[Type] = &[Type::Str];

/// Functions and their other names.
pub(super) static NAMED_TWICE: &[(&str, &str, Function)] = &[
    (
        "base",
        "osBase",
        Function::new(S, |_, a| Ok(base(&string(a, 0)).into())),
    ),
    (
        "dir",
        "osDir",
        Function::new(S, |_, a| Ok(dir(&string(a, 0)).into())),
    ),
    (
        "clean",
        "osClean",
        Function::new(S, |_, a| Ok(clean(&string(a, 0)).into())),
    ),
    (
        "ext",
        "osExt",
        Function::new(S, |_, a| Ok(ext(&string(a, 0)).into())),
    ),
    (
        "isAbs",
        "osIsAbs",
        Function::new(S, |_, a| Ok(string(a, 0).starts_with('/').into())),
    ),
];

/// `path.Base`.
pub(crate) fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".into();
    }
    let trimmed = path.trim_end_matches('/');
    let last = trimmed.rsplit('/').next().unwrap_or_default();
    if last.is_empty() {
        "/".into()
    } else {
        last.into()
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |at| &path[..=at]))
}

fn ext(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rfind('.').map_or("", |at| &last[at..]).into()
}

/// `path.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}
