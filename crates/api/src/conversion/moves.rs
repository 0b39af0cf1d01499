//! Tables of fields that the versions call or write differently, and how an object follows one. Fields that no table
//! names stay where they are.

use serde_json::Value;

use super::values;
use crate::meta::FieldError;

/// One field, at a path below the object that the table is about.
pub struct Move {
    /// Its path in v1beta1.
    pub old: &'static str,
    /// Its path in v1beta2.
    pub new: &'static str,
    /// A second path in v1beta2 that v1beta1 has in the same field. On the way down only [`Move::new`] counts.
    pub also: Option<&'static str>,
    /// How the value changes.
    pub how: How,
}

/// How a value changes between the versions.
pub enum How {
    /// Not at all.
    Same,
    /// A duration in Go's notation and a whole number of seconds.
    Seconds,
    /// A map of strings and a list of `{name, value}`.
    Arguments,
    /// An object reference, and one without version and namespace.
    Reference,
    /// An object reference, and one without namespace.
    Template,
    /// An object reference to a Node, and its name.
    Node,
    /// A map of failure domains and a list of them.
    Domains,
    /// A word that v1beta1 doesn't know, and the one that it gets instead.
    Renamed(&'static str, &'static str),
    /// The same; but where the object around it is there without it, v1beta2 asks for this value.
    Implied(&'static str),
    /// An object that has a table of its own.
    Inside(&'static [Move]),
    /// A list of objects that have a table of their own.
    Each(&'static [Move]),
}

/// A field that only has another place.
pub const fn same(old: &'static str, new: &'static str) -> Move {
    how(old, new, How::Same)
}

/// A duration.
pub const fn seconds(old: &'static str, new: &'static str) -> Move {
    how(old, new, How::Seconds)
}

/// Command line arguments, which stay in their place.
pub const fn arguments(path: &'static str) -> Move {
    how(path, path, How::Arguments)
}

/// An object, which stays in its place, with a table of its own.
pub const fn inside(path: &'static str, table: &'static [Move]) -> Move {
    how(path, path, How::Inside(table))
}

/// An object with another name and a table of its own.
pub const fn inside_of(old: &'static str, new: &'static str, table: &'static [Move]) -> Move {
    how(old, new, How::Inside(table))
}

/// Any field.
pub const fn how(old: &'static str, new: &'static str, how: How) -> Move {
    let also = None;
    Move {
        old,
        new,
        also,
        how,
    }
}

/// Makes `object` what v1beta2 says; `at` is its path, for errors.
///
/// # Errors
/// When a value cannot be read.
pub(super) fn up(
    table: &[Move],
    object: &mut Value,
    at: &str,
    namespace: &str,
) -> Result<(), FieldError> {
    let implied: Vec<Option<Value>> = table.iter().map(|m| implied(m, object)).collect();
    // Inner places are left before outer ones, and filled after them.
    let mut taken: Vec<Option<Value>> = table.iter().rev().map(|m| take(object, m.old)).collect();
    taken.reverse();
    for ((m, value), implied) in table.iter().zip(taken).zip(implied) {
        let Some(value) = value.or(implied) else {
            continue;
        };
        let path = join(at, m.old);
        let Some(value) = value_up(&m.how, value, &path, namespace)? else {
            continue;
        };
        // Nothing needs no place, and no objects around it.
        let is_nothing = value.as_object().is_some_and(serde_json::Map::is_empty);
        if is_nothing && m.new.contains('.') && matches!(m.how, How::Same) {
            continue;
        }
        if let Some(also) = m.also {
            put(object, also, value.clone());
        }
        put(object, m.new, value);
    }
    Ok(())
}

/// Makes `object` what v1beta1 says.
pub(super) fn down(table: &[Move], object: &mut Value, namespace: &str) {
    let mut taken: Vec<Option<Value>> = table
        .iter()
        .rev()
        .map(|m| {
            if let Some(also) = m.also {
                take(object, also);
            }
            take(object, m.new)
        })
        .collect();
    taken.reverse();
    for (m, value) in table.iter().zip(taken) {
        if let Some(value) = value.and_then(|value| value_down(&m.how, value, namespace)) {
            put(object, m.old, value);
        }
    }
}

fn value_up(
    how: &How,
    mut value: Value,
    path: &str,
    namespace: &str,
) -> Result<Option<Value>, FieldError> {
    Ok(Some(match how {
        How::Same | How::Renamed(..) | How::Implied(_) => value,
        How::Seconds => values::seconds(value, path)?,
        How::Arguments => values::arguments(value),
        How::Reference => return values::reference(value, path, namespace),
        How::Template => return values::template(value, path, namespace),
        How::Node => return Ok(values::node(&value)),
        How::Domains => values::domains(value),
        How::Inside(table) => {
            up(table, &mut value, path, namespace)?;
            value
        }
        How::Each(table) => {
            for (index, item) in value.as_array_mut().into_iter().flatten().enumerate() {
                up(table, item, &format!("{path}[{index}]"), namespace)?;
            }
            value
        }
    }))
}

fn value_down(how: &How, mut value: Value, namespace: &str) -> Option<Value> {
    Some(match how {
        How::Same | How::Implied(_) => value,
        How::Renamed(new, old) if value == **new => (*old).into(),
        How::Renamed(..) => value,
        How::Seconds => values::duration(value),
        How::Arguments => values::map_of_arguments(value),
        How::Reference => values::object_reference(&value, namespace)?,
        How::Template => values::object_template(value, namespace),
        How::Node => values::node_reference(&value)?,
        How::Domains => values::map_of_domains(value),
        How::Inside(table) => {
            down(table, &mut value, namespace);
            value
        }
        How::Each(table) => {
            for item in value.as_array_mut().into_iter().flatten() {
                down(table, item, namespace);
            }
            value
        }
    })
}

/// What v1beta2 asks for where v1beta1 has the object around a field, but not the field.
fn implied(m: &Move, object: &Value) -> Option<Value> {
    let How::Implied(value) = m.how else {
        return None;
    };
    let (around, member) = m.old.rsplit_once('.')?;
    let around = around
        .split('.')
        .try_fold(object, |value, name| value.get(name))?;
    let members = around.as_object()?;
    let is_missing = members
        .get(member)
        .is_none_or(|value| value == "" || value.is_null());
    (is_missing && !members.is_empty()).then(|| value.into())
}

fn join(at: &str, path: &str) -> String {
    if at.is_empty() {
        path.to_owned()
    } else {
        format!("{at}.{path}")
    }
}

/// Removes what is at `path`, and the objects around it that are empty without it.
fn take(object: &mut Value, path: &str) -> Option<Value> {
    let members = object.as_object_mut()?;
    let Some((first, rest)) = path.split_once('.') else {
        return members.remove(path);
    };
    let inner = members.get_mut(first)?;
    let taken = take(inner, rest)?;
    if inner.as_object().is_some_and(serde_json::Map::is_empty) {
        members.remove(first);
    }
    Some(taken)
}

/// Puts `value` at `path`, with the objects around it. Where something else than an object is in the way, that stays.
fn put(object: &mut Value, path: &str, value: Value) {
    let Some(members) = object.as_object_mut() else {
        return;
    };
    match path.split_once('.') {
        None => {
            members.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = members
                .entry(first)
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            put(inner, rest, value);
        }
    }
}
