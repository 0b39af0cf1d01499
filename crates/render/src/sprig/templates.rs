//! Functions that Helm adds around templates.

use super::args::{any, string};
use crate::gotemplate::{Error, Function, Map, Result, Runtime, Type, Value, fail};

/// Marks of a message that the chart's author wrote for its users.
pub(crate) const WARNING: (&str, &str) = ("HELM_ERR_START", "HELM_ERR_END");

use Type::{Any, Str};

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "include",
        Function::new(&[Str, Any], |rt, a| rt.include(&string(a, 0), any(a, 1))),
    ),
    (
        "tpl",
        Function::new(&[Str, Any], |rt, a| rt.tpl(&string(a, 0), any(a, 1))),
    ),
    (
        "required",
        Function::new(&[Str, Any], |_, a| match &a[1] {
            Value::Nil => Err(warning(&string(a, 0))),
            Value::Str(s) if s.is_empty() => Err(warning(&string(a, 0))),
            value => Ok(value.clone()),
        }),
    ),
    (
        "fail",
        Function::new(&[Str], |_, a| Err(warning(&string(a, 0)))),
    ),
    ("lookup", Function::new(&[Str, Str, Str, Str], lookup)),
    ("getHostByName", Function::new(&[Str], |_, _| Ok("".into()))),
];

fn warning(message: &str) -> Error {
    Error::new(format!("{}{message}{}", WARNING.0, WARNING.1))
}

fn lookup(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    rt.budget.step(1_000)?;
    let found = rt
        .lookup
        .lookup(&string(a, 0), &string(a, 1), &string(a, 2), &string(a, 3));
    match found {
        Ok(Some(object)) => Ok(Value::from_json(&object)),
        Ok(None) => Ok(Value::Map(Map::any())),
        Err(message) => fail!("{message}"),
    }
}
