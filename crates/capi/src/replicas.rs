//! Counting machines, and the conditions that several owners of machines have in common. Pure.

use std::collections::BTreeMap;
use std::fmt::Display;

use api::cluster::{Machine, machine};
use api::meta::{find, is_true};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::condition::{Condition, Truth, aggregate};

/// Counters of a status that owns these machines.
#[must_use]
pub(crate) fn count<M: AsRef<Machine>>(machines: &[M]) -> Value {
    let having = |type_| {
        machines
            .iter()
            .filter(|m| is_true(m.as_ref().conditions(), type_))
            .count()
    };
    let mut status = json!({
        "replicas": machines.len(),
        "readyReplicas": having(machine::conditions::READY),
        "availableReplicas": having(machine::conditions::AVAILABLE),
        "upToDateReplicas": having(machine::conditions::UP_TO_DATE),
    });
    let mut versions = BTreeMap::<&str, usize>::new();
    for version in machines
        .iter()
        .filter_map(|m| m.as_ref().spec.version.as_deref())
    {
        *versions.entry(version).or_default() += 1;
    }
    if !versions.is_empty() {
        status["versions"] = versions
            .iter()
            .map(|(v, n)| json!({"version": v, "replicas": n}))
            .collect();
    }
    status
}

/// One condition from a condition of all machines.
#[must_use]
pub(crate) fn of_machines<M: AsRef<Machine>>(
    type_: &'static str,
    of: &str,
    machines: &[M],
) -> Condition {
    let found: Vec<_> = machines
        .iter()
        .map(|m| {
            (
                m.as_ref().name_any(),
                find(m.as_ref().conditions(), of).map(Condition::from),
            )
        })
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(name, c)| (name.as_str(), c.clone()))
        .collect();
    aggregate(type_, of, "Machine", &found)
}

/// What is going on, and why it cannot go on now.
#[must_use]
pub(crate) fn blocked_by(what: &str, blocked: &[impl Display]) -> String {
    if blocked.is_empty() {
        return what.to_owned();
    }
    let why: String = blocked
        .iter()
        // Some are a list already.
        .map(|b| format!("\n* {}", b.to_string().trim_start_matches("* ")))
        .collect();
    format!("{what} is blocked because:{why}")
}

/// ScalingUp and ScalingDown. `blocked` says why nothing can be made or removed now.
#[must_use]
pub(crate) fn scaling(
    have: i32,
    wanted: i32,
    is_deleting: bool,
    blocked: &[impl Display],
) -> [Condition; 2] {
    let wanted = if is_deleting { 0 } else { wanted };
    let message = |way: &str| {
        let what = format!("Scaling {way} from {have} to {wanted} replicas");
        blocked_by(&what, blocked)
    };
    let up = if have < wanted {
        let message = message("up");
        Condition::new("ScalingUp", Truth::True, "ScalingUp", message)
    } else {
        Condition::no("ScalingUp", "NotScalingUp", "")
    };
    let down = if have > wanted {
        let message = message("down");
        Condition::new("ScalingDown", Truth::True, "ScalingDown", message)
    } else {
        Condition::no("ScalingDown", "NotScalingDown", "")
    };
    [up, down]
}

/// A selector as text, as `kubectl` writes it.
#[must_use]
pub(crate) fn selector(selector: &LabelSelector) -> String {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(k, v)| format!("{k}={v}"));
    let expressions = selector.match_expressions.iter().flatten().map(|e| {
        let values = e
            .values
            .iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(",");
        match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "Exists" => e.key.clone(),
            _ => format!("!{}", e.key),
        }
    });
    equal.chain(expressions).collect::<Vec<_>>().join(",")
}
