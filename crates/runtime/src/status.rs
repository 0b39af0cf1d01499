//! What the driver adds to a status: transition times, observed generations, and the `Ready` condition. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::{Outcome, Wait};

/// How a kind shows its conditions, and so what the driver adds to its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStyle {
    /// `metav1.Condition`s. The driver fills `observedGeneration` of the status and of its conditions, and adds `Ready`
    /// if the controller did not: False with the failure or the first wait, else True.
    Ready,
    /// As [`ConditionStyle::Ready`], but `Ready` is the controller's business.
    Standard,
    /// Kubernetes' own older conditions (`NamespaceCondition` and the like): only transition times are kept. Kinds of
    /// Kubernetes' own groups are of this style whatever their controller says.
    Plain,
}

impl ConditionStyle {
    /// The style for a kind of this group.
    pub(crate) fn in_group(self, group: &str) -> Self {
        let is_builtin = !group.contains('.') || group.ends_with(".k8s.io");
        if is_builtin { Self::Plain } else { self }
    }
}

/// What the driver knows when it completes a status.
pub(crate) struct Facts<'a> {
    pub(crate) style: ConditionStyle,
    /// The object's status as it is.
    pub(crate) old: &'a Value,
    pub(crate) generation: Option<i64>,
    pub(crate) is_deleting: bool,
    pub(crate) waits: &'a [Wait],
    pub(crate) outcome: &'a Outcome,
    pub(crate) now: Timestamp,
}

/// Reason of `Ready` when all is well.
pub const READY: &str = "Ready";
/// Reason of `Ready` while an object is being deleted and nothing else is to be said.
pub const DELETING: &str = "Deleting";
/// The server refused a change; the message has its words. Nothing is tried again before something changes.
pub const APPLY_REJECTED: &str = "ApplyRejected";
/// The server could not be reached, or failed, three times in a row; tried again with back-off.
pub const TRANSIENT_ERROR: &str = "TransientError";
/// The controller itself failed: a bug. Tried again with back-off.
pub const INTERNAL_ERROR: &str = "InternalError";

/// Completes the status that a controller decided on.
pub(crate) fn complete(mut status: Value, facts: &Facts<'_>) -> Value {
    if facts.style == ConditionStyle::Ready {
        add_ready(&mut status, facts);
    }
    keep_transitions(&mut status, facts.old, facts.now);
    if facts.style != ConditionStyle::Plain
        && let Some(status) = status.as_object_mut()
    {
        for condition in conditions_mut(status) {
            condition.entry("message").or_insert_with(|| json!(""));
            if let Some(generation) = facts.generation {
                condition
                    .entry("observedGeneration")
                    .or_insert(json!(generation));
            }
        }
        if let Some(generation) = facts.generation {
            status
                .entry("observedGeneration")
                .or_insert(json!(generation));
        }
    }
    status
}

/// The object's conditions with `Ready` replaced, as a merge patch of its status: for when a pass did not come to a
/// status of its own.
pub(crate) fn unready(
    old: &Value,
    generation: Option<i64>,
    ready: (&str, &str, &str),
    now: Timestamp,
) -> Value {
    let (state, reason, message) = ready;
    let mut conditions = old["conditions"].as_array().cloned().unwrap_or_default();
    let mut ready = json!({"type": "Ready", "status": state, "reason": reason, "message": message});
    if let Some(generation) = generation {
        ready["observedGeneration"] = json!(generation);
    }
    match conditions.iter_mut().find(|c| c["type"] == "Ready") {
        Some(condition) => *condition = ready,
        None => conditions.push(ready),
    }
    let mut status = json!({"conditions": conditions});
    keep_transitions(&mut status, old, now);
    status
}

fn add_ready(status: &mut Value, facts: &Facts<'_>) {
    let Some(status) = status.as_object_mut() else {
        return;
    };
    if conditions_mut(status).any(|c| c.get("type").is_some_and(|t| t == "Ready")) {
        return;
    }
    let (state, reason, message) = ready(facts);
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.insert(
            0,
            json!({"type": "Ready", "status": state, "reason": reason, "message": message}),
        );
    }
}

fn ready(facts: &Facts<'_>) -> (&'static str, &'static str, String) {
    if let Some(failure) = &facts.outcome.failure {
        let state = if failure.reason == TRANSIENT_ERROR {
            "Unknown"
        } else {
            "False"
        };
        return (state, failure.reason, failure.message.clone());
    }
    if let Some(first) = facts.waits.first() {
        let messages: Vec<&str> = facts.waits.iter().map(|w| w.message.as_str()).collect();
        return ("False", first.reason, messages.join("; "));
    }
    if facts.is_deleting {
        return ("False", DELETING, String::new());
    }
    ("True", READY, String::new())
}

fn conditions_mut(
    status: &mut Map<String, Value>,
) -> impl Iterator<Item = &mut Map<String, Value>> {
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    conditions
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// In every list named `conditions`, at any depth: a condition whose status did not change keeps its transition time.
fn keep_transitions(new: &mut Value, old: &Value, now: Timestamp) {
    let Some(map) = new.as_object_mut() else {
        return;
    };
    for (key, value) in map {
        let before = &old[key.as_str()];
        match value.as_array_mut() {
            Some(conditions) if key == "conditions" => {
                for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
                    keep_transition(condition, before, now);
                }
            }
            _ => keep_transitions(value, before, now),
        }
    }
}

fn keep_transition(condition: &mut Map<String, Value>, before: &Value, now: Timestamp) {
    let before = before.as_array().into_iter().flatten();
    let same = before
        .filter(|old| Some(&old["type"]) == condition.get("type"))
        .find(|old| Some(&old["status"]) == condition.get("status"));
    match same.and_then(|old| old.get("lastTransitionTime")) {
        Some(since) if !since.is_null() => {
            condition.insert("lastTransitionTime".to_owned(), since.clone());
        }
        _ => {
            let since = condition.entry("lastTransitionTime").or_insert(Value::Null);
            if since.is_null() {
                *since = json!(rfc3339(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(
        style: ConditionStyle,
        new: Value,
        old: Value,
        waits: &[Wait],
        failure: Option<Wait>,
        expect: &Expect,
    ) {
        let outcome = Outcome { done: 0, failure };
        let facts = Facts {
            style,
            old: &old,
            generation: Some(3),
            is_deleting: false,
            waits,
            outcome: &outcome,
            now: "2026-01-01T00:00:10Z".parse().unwrap(),
        };
        expect.assert_eq(&serde_json::to_string_pretty(&complete(new, &facts)).unwrap());
    }

    fn wait(reason: &'static str, message: &str) -> Wait {
        let message = message.to_owned();
        Wait { reason, message }
    }

    #[test]
    fn ready_says_what_it_waits_for() {
        let waits = [
            wait("NoQuorum", "1 of 3 members"),
            wait("Slow", "image of m2"),
        ];
        check(
            ConditionStyle::Ready,
            json!({}),
            json!({}),
            &waits,
            None,
            &expect![[r#"
            {
              "conditions": [
                {
                  "lastTransitionTime": "2026-01-01T00:00:10Z",
                  "message": "1 of 3 members; image of m2",
                  "observedGeneration": 3,
                  "reason": "NoQuorum",
                  "status": "False",
                  "type": "Ready"
                }
              ],
              "observedGeneration": 3
            }"#]],
        );
    }

    #[test]
    fn an_unreachable_server_makes_ready_unknown() {
        let failure = Some(wait(TRANSIENT_ERROR, "connection refused"));
        let old = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"}]});
        check(
            ConditionStyle::Ready,
            json!({"observedGeneration": 2}),
            old,
            &[],
            failure,
            &expect![[r#"
            {
              "conditions": [
                {
                  "lastTransitionTime": "2026-01-01T00:00:10Z",
                  "message": "connection refused",
                  "observedGeneration": 3,
                  "reason": "TransientError",
                  "status": "Unknown",
                  "type": "Ready"
                }
              ],
              "observedGeneration": 2
            }"#]],
        );
    }

    #[test]
    fn transition_times_survive_at_any_depth() {
        let conditions = |since: Option<&str>| json!([{"type": "A", "status": "True", "lastTransitionTime": since}]);
        let since = Some("2025-05-05T00:00:00Z");
        let old = json!({"conditions": conditions(since), "deprecated": {"conditions": conditions(since)}});
        let new =
            json!({"conditions": conditions(None), "deprecated": {"conditions": conditions(None)}});
        check(
            ConditionStyle::Plain,
            new,
            old,
            &[],
            None,
            &expect![[r#"
            {
              "conditions": [
                {
                  "lastTransitionTime": "2025-05-05T00:00:00Z",
                  "status": "True",
                  "type": "A"
                }
              ],
              "deprecated": {
                "conditions": [
                  {
                    "lastTransitionTime": "2025-05-05T00:00:00Z",
                    "status": "True",
                    "type": "A"
                  }
                ]
              }
            }"#]],
        );
    }
}
