//! Small worlds in YAML for check tests.

use std::fmt::Write as _;

use jiff::Timestamp;
use runtime::Reconciler;
use runtime::{Outcome, Plan};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The time in tests.
pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("it is a timestamp")
}

/// A world from YAML, with `overrides` merged in as RFC 7386 does.
pub(crate) fn world<W: DeserializeOwned>(base: &str, overrides: &str) -> W {
    layers(base, &[overrides])
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

/// A plan, and what changes are about, as text.
pub(crate) fn show_plan<A: std::fmt::Debug>(plan: &Plan<A>) -> String {
    plan.to_string()
}

/// A plan and the status that goes with it: phase, counters and conditions.
pub(crate) fn show<R: Reconciler>(world: &R::World) -> String {
    let plan = R::plan(world, now());
    let status = R::status(world, &plan, &Outcome::default(), now());
    let mut text = show_plan(&plan);
    if let Some(status) = status {
        text += &show_status(&status);
    }
    text
}

/// A status in short: one line per condition, the rest as YAML.
pub(crate) fn show_status(status: &Value) -> String {
    let mut status = status.clone();
    let conditions = status.as_object_mut().and_then(|s| s.remove("conditions"));
    let mut text = String::new();
    for condition in conditions
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let field = |name: &str| condition[name].as_str().unwrap_or("?");
        let message = field("message").replace('\n', "\n    ");
        writeln!(
            text,
            "{}={} {} {message}",
            field("type"),
            field("status"),
            field("reason")
        )
        .expect("strings can be written to");
    }
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let rest = if status.as_object().is_some_and(|s| s.is_empty()) {
        String::new()
    } else {
        crate::yaml::render(&status)
    };
    format!("{}\n{rest}", lines.join("\n"))
}

/// A world from YAML, with several layers merged in.
pub(crate) fn layers<W: DeserializeOwned>(base: &str, layers: &[&str]) -> W {
    let mut value: Value = serde_saphyr::from_str(base).expect("the base is YAML");
    for layer in layers {
        merge(
            &mut value,
            serde_saphyr::from_str(layer).expect("the layer is YAML"),
        );
    }
    serde_json::from_value(value).expect("the world has the right shape")
}
