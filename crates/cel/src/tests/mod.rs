//! Expressions in, values, errors and costs out.

mod costs;
mod errors;
mod hostile;
mod values;

use crate::{Activation, Budget, Env, Type, Value};

/// Shows a value so that tests can compare it: JSON where there is one.
fn show(value: &Value<'_>) -> String {
    match value {
        Value::Optional(None) => "none".into(),
        Value::Optional(Some(value)) => format!("optional({})", show(value)),
        Value::Uint(value) => format!("{value}u"),
        other => match other.to_json() {
            Ok(json) => json.to_string(),
            Err(_) => crate::library::convert::display(other),
        },
    }
}

/// An environment with `self`, `oldSelf`, `x` of type `dyn`.
fn untyped() -> Env {
    let names = ["self", "oldSelf", "x"];
    let builder = names.into_iter().fold(Env::builder(), |builder, name| {
        builder.declare(name, Type::Dyn)
    });
    builder.build()
}

/// Evaluates without variables but `self`, which has a bit of everything.
fn evaluate(source: &str) -> (String, u64) {
    let json = serde_json::json!({
        "int": 5, "negative": -3, "double": 1.5, "text": "hello", "flag": true, "none": null,
        "list": [1, 2, 3], "names": ["b", "a", "c"], "map": {"a": 1, "b": 2},
        "nested": {"list": [{"name": "x", "value": 1}, {"name": "y", "value": 2}]},
    });
    let program = match untyped().compile(source) {
        Ok(program) => program,
        Err(error) => return (format!("! {error}"), 0),
    };
    let activation = Activation::new().with("self", Value::json(&json));
    let mut budget = Budget::default();
    let shown = match program.eval(&activation, &mut budget) {
        Ok(value) => show(&value),
        Err(error) => format!("! {error}"),
    };
    (shown, Budget::PER_OBJECT - budget.remaining)
}

#[track_caller]
fn check_all(table: &[(&str, &str)]) {
    let mut wrong = vec![];
    for (source, expected) in table {
        let (found, _) = evaluate(source);
        if found != *expected {
            wrong.push(format!(
                "{source}\n  is       {found}\n  expected {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
