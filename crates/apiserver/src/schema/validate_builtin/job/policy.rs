//! What a job's policies may say.

use std::collections::HashSet;

use serde_json::Value;

use super::super::{Report, items, text};
use super::indexes;
use crate::schema::meta;
use crate::status::Cause;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
/// Bytes of a list of indexes.
const INDEXES_MAX: usize = 64 * 1024;

fn too_many(value: &Value, max: usize, field: &str, report: &mut Report) {
    let count = items(value).count();
    if count > max {
        report.add(Cause::too_many(field, count, max));
    }
}

/// What the failures of pods mean.
pub(super) fn failure(spec: &Value, at: &str, report: &mut Report) {
    let rules = &spec["podFailurePolicy"]["rules"];
    too_many(rules, RULES_MAX, &format!("{at}.rules"), report);
    let pod = &spec["template"]["spec"];
    let containers: HashSet<&str> = items(&pod["containers"])
        .chain(items(&pod["initContainers"]))
        .map(|(_, container)| text(container, "name"))
        .collect();
    for (index, rule) in items(rules) {
        let at = format!("{at}.rules[{index}]");
        match text(rule, "action") {
            "" => {
                let what = "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]";
                report.required(format!("{at}.action"), what);
            }
            "FailIndex" if spec["backoffLimitPerIndex"].is_null() => {
                let what = "requires the backoffLimitPerIndex to be set";
                report.invalid(format!("{at}.action"), &rule["action"], what);
            }
            _ => {}
        }
        let (codes, conditions) = (&rule["onExitCodes"], &rule["onPodConditions"]);
        let has_conditions = items(conditions).next().is_some();
        if !codes.is_null() {
            exit_codes(codes, &format!("{at}.onExitCodes"), &containers, report);
        }
        if has_conditions {
            pod_conditions(conditions, &format!("{at}.onPodConditions"), report);
        }
        match (codes.is_null(), has_conditions) {
            (false, true) => {
                let what = "specifying both OnExitCodes and OnPodConditions is not supported";
                report.wrong(at, what);
            }
            (true, false) => {
                let what = "specifying one of OnExitCodes and OnPodConditions is required";
                report.wrong(at, what);
            }
            (true, true) | (false, false) => {}
        }
    }
}

fn exit_codes(codes: &Value, at: &str, containers: &HashSet<&str>, report: &mut Report) {
    if text(codes, "operator").is_empty() {
        let what = "valid values: [\"In\" \"NotIn\"]";
        report.required(format!("{at}.operator"), what);
    }
    if let Some(name) = codes["containerName"].as_str()
        && !containers.contains(name)
    {
        let what = "must be one of the container or initContainer names in the pod template";
        report.invalid(format!("{at}.containerName"), &name.into(), what);
    }
    let (values, field) = (&codes["values"], format!("{at}.values"));
    if items(values).next().is_none() {
        let none = Value::Array(vec![]);
        report.invalid(field.as_str(), &none, "at least one value is required");
    }
    too_many(values, EXIT_CODES_MAX, &field, report);
    let mut seen = HashSet::new();
    for (index, value) in items(values) {
        let field = format!("{field}[{index}]");
        if codes["operator"] == "In" && *value == 0 {
            report.invalid(field.as_str(), value, "must not be 0 for the In operator");
        }
        if !seen.insert(value.as_i64()) {
            report.duplicate(field, value);
        }
    }
    let is_ordered = items(values)
        .zip(items(values).skip(1))
        .all(|((_, before), (_, after))| before.as_i64() <= after.as_i64());
    if !is_ordered {
        report.invalid(field, values, "must be ordered");
    }
}

fn pod_conditions(conditions: &Value, at: &str, report: &mut Report) {
    const STATUSES: &[&str] = &["False", "True", "Unknown"];
    too_many(conditions, CONDITIONS_MAX, at, report);
    for (index, pattern) in items(conditions) {
        let (ty, status) = (text(pattern, "type"), text(pattern, "status"));
        let errors = meta::qualified_name(ty);
        report.all(&format!("{at}[{index}].type"), &ty.into(), errors);
        let field = format!("{at}[{index}].status");
        if status.is_empty() {
            let what = "valid values: [\"False\" \"True\" \"Unknown\"]";
            report.required(field, what);
        } else if !STATUSES.contains(&status) {
            report.add(Cause::not_supported(field, &pattern["status"], STATUSES));
        }
    }
}

/// When enough indexes have succeeded.
pub(super) fn success(spec: &Value, at: &str, report: &mut Report) {
    let rules = &spec["successPolicy"]["rules"];
    let field = format!("{at}.rules");
    if items(rules).next().is_none() {
        let what = "at least one rules must be specified when the successPolicy is specified";
        report.required(field.as_str(), what);
    }
    too_many(rules, RULES_MAX, &field, report);
    let completions = spec["completions"].as_i64().unwrap_or(0);
    for (index, rule) in items(rules) {
        success_rule(rule, &format!("{field}[{index}]"), completions, report);
    }
}

fn success_rule(rule: &Value, at: &str, completions: i64, report: &mut Report) {
    let (wanted, named) = (&rule["succeededCount"], rule["succeededIndexes"].as_str());
    if wanted.is_null() && named.is_none() {
        let what = "at least one of succeededCount or succeededIndexes must be specified";
        report.required(at, what);
    }
    let mut total = 0;
    if let Some(named) = named {
        let field = format!("{at}.succeededIndexes");
        if named.len() > INDEXES_MAX {
            report.add(Cause::too_long(field.as_str(), INDEXES_MAX));
        }
        match indexes(named, completions) {
            Ok(count) => total = count,
            Err(why) => {
                let what = format!("error parsing succeededIndexes: {why}");
                report.invalid(field, &named.into(), &what);
            }
        }
    }
    let Some(count) = wanted.as_i64() else {
        return;
    };
    let field = format!("{at}.succeededCount");
    report.not_negative(&field, wanted);
    if count > completions {
        let what = format!(
            "must be less than or equal to {completions} (the number of specified completions)"
        );
        report.invalid(field.as_str(), wanted, &what);
    }
    if named.is_some() && count > total {
        let what = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        report.invalid(field, wanted, &what);
    }
}
