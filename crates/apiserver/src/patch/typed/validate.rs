//! Does a value follow its schema? The texts are those that clients know.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::super::path::Element;
use super::{List, Map, Node, Scalar, Shape, nameless};

/// Longest text of a refused value.
const MAX_SHOWN_BYTES: usize = 256;
/// Most faults that are listed.
const MAX_FAULTS: usize = 50;

/// One fault and where it is.
struct Fault {
    path: String,
    message: String,
}

/// Checks `value` strictly: unknown fields, wrong types and duplicate keys are faults.
///
/// # Errors
/// All faults as one text.
pub(in crate::patch) fn validate(value: &Value, node: Node<'_>) -> Result<(), String> {
    let mut faults = faults(value, node);
    faults.truncate(MAX_FAULTS);
    let mut texts = faults.iter().map(|fault| match fault.path.as_str() {
        "" => fault.message.clone(),
        path => format!("{path}: {}", fault.message),
    });
    match (texts.next(), texts.next()) {
        (None, _) => Ok(()),
        (Some(only), None) => Err(only),
        (Some(first), Some(second)) => {
            let mut all = format!("errors:\n  {first}\n  {second}");
            for text in texts {
                let _ = write!(all, "\n  {text}");
            }
            Err(all)
        }
    }
}

fn faults(value: &Value, node: Node<'_>) -> Vec<Fault> {
    match node.shape(Some(value)) {
        Shape::Scalar(scalar) => scalar_fault(scalar, value).map(fault).into_iter().collect(),
        Shape::List(list) => match value {
            Value::Array(items) => list_faults(items, list),
            Value::Null => Vec::new(),
            other => vec![fault(format!("expected list, got &{{{}}}", plain(other)))],
        },
        Shape::Map(map) => match value {
            Value::Object(members) => map_faults(members, map),
            Value::Null => Vec::new(),
            other => vec![fault(format!("expected map, got &{{{}}}", plain(other)))],
        },
    }
}

fn scalar_fault(scalar: Scalar, value: &Value) -> Option<String> {
    match (scalar, value) {
        (_, Value::Null)
        | (Scalar::Number | Scalar::Any, Value::Number(_))
        | (Scalar::Text | Scalar::Any, Value::String(_))
        | (Scalar::Boolean | Scalar::Any, Value::Bool(_)) => None,
        (Scalar::Number, other) => Some(format!(
            "expected numeric (int or float), got {}",
            type_name(other)
        )),
        (Scalar::Text, other) => Some(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            literal(other)
        )),
        (Scalar::Boolean, other) => Some(format!("expected boolean, got &{{{}}}", plain(other))),
        (Scalar::Any, other) => Some(format!("expected any scalar, got &{{{}}}", plain(other))),
    }
}

fn list_faults(items: &[Value], list: List<'_>) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        let prefix = if list.is_atomic() {
            format!("[{at}]")
        } else {
            match list.element(item) {
                Err(why) => {
                    found.push(fault(nameless(at, &why)));
                    return found;
                }
                Ok(element) => {
                    let name = element.to_string();
                    if !seen.insert(element) {
                        found.push(fault(format!("duplicate entries for key {name}")));
                    }
                    name
                }
            }
        };
        found.extend(
            faults(item, list.items)
                .into_iter()
                .map(|fault| fault.below(&prefix)),
        );
        if found.len() >= MAX_FAULTS {
            break;
        }
    }
    found
}

fn map_faults(members: &serde_json::Map<String, Value>, map: Map<'_>) -> Vec<Fault> {
    let mut found = Vec::new();
    for (name, value) in members {
        let Some(member) = map.member(name) else {
            found.push(
                fault("field not declared in schema".into())
                    .below(&Element::field(name).to_string()),
            );
            break;
        };
        let below = faults(value, member.node);
        if !below.is_empty() {
            let prefix = Element::field(name).to_string();
            found.extend(below.into_iter().map(|fault| fault.below(&prefix)));
        }
        if found.len() >= MAX_FAULTS {
            break;
        }
    }
    found
}

fn fault(message: String) -> Fault {
    Fault {
        path: String::new(),
        message,
    }
}

impl Fault {
    fn below(mut self, prefix: &str) -> Self {
        self.path.insert_str(0, prefix);
        self
    }
}

/// The value's type as Go names it.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The value as Go prints it with `%v`.
fn plain(value: &Value) -> String {
    let mut text = String::new();
    print_plain(value, &mut text);
    cut(text)
}

fn print_plain(value: &Value, out: &mut String) {
    if out.len() > MAX_SHOWN_BYTES {
        return;
    }
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate().take(MAX_SHOWN_BYTES) {
                out.push_str(if at > 0 { " " } else { "" });
                print_plain(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push_str("map[");
            for (at, (name, member)) in members.iter().enumerate().take(MAX_SHOWN_BYTES) {
                out.push_str(if at > 0 { " " } else { "" });
                out.push_str(name);
                out.push(':');
                print_plain(member, out);
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// The value as Go prints it with `%#v`.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            let open = if value.is_array() {
                ('[', ']')
            } else {
                ('{', '}')
            };
            let inner = text
                .strip_prefix(open.0)
                .and_then(|t| t.strip_suffix(open.1))
                .unwrap_or_default();
            cut(format!("{}{{{inner}}}", type_name(value)))
        }
        scalar => cut(scalar.to_string()),
    }
}

fn cut(text: String) -> String {
    if text.len() <= MAX_SHOWN_BYTES {
        return text;
    }
    let mut short = text;
    let end = (0..=MAX_SHOWN_BYTES)
        .rev()
        .find(|at| short.is_char_boundary(*at))
        .unwrap_or_default();
    short.truncate(end);
    short.push('…');
    short
}
