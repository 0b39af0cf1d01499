//! Check tests: a budget, pods in short → plan and status as text.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// Pods in words: `a`, `b unready`, `c going`, `d over`.
fn check(spec: &str, pods: &[&str], replicas: &[i32], disrupted: Value, expect: &Expect) {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    let pod = |text: &&str| {
        let (name, state) = text.split_once(' ').unwrap_or((text, ""));
        let ready = if state == "unready" { "False" } else { "True" };
        let phase = if state == "over" {
            "Succeeded"
        } else {
            "Running"
        };
        let going = (state == "going").then(now);
        let pod = json!({
            "metadata": {"name": name, "namespace": "default", "deletionTimestamp": going},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    };
    let world = World {
        budget: serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "default", "uid": "u", "generation": 3}, "spec": spec,
            "status": {"disruptedPods": disrupted, "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
        }))
        .unwrap(),
        pods: pods.iter().map(pod).collect(),
        replicas: replicas.iter().enumerate().map(|(at, n)| (at.to_string(), *n)).collect(),
    };
    let plan = DisruptionController::plan(&world, now());
    let status = DisruptionController::status(&world, &plan, &Outcome::default(), now()).unwrap();
    expect.assert_eq(&format!("{plan}{status}"));
}

#[test]
fn what_is_healthy_beyond_what_is_needed_may_go() {
    check(
        "{minAvailable: 2}",
        &["a", "b", "c", "d unready", "e going", "f over"],
        &[],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}],"currentHealthy":3,"desiredHealthy":2,"disruptionsAllowed":1,"expectedPods":5,"observedGeneration":3}"#
        ]],
    );
    check(
        "{minAvailable: 5}",
        &["a"],
        &[],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":1,"desiredHealthy":5,"disruptionsAllowed":0,"expectedPods":1,"observedGeneration":3}"#
        ]],
    );
    check(
        "{minAvailable: 0}",
        &[],
        &[],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":0,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0,"observedGeneration":3}"#
        ]],
    );
}

#[test]
fn shares_are_of_what_the_workloads_want() {
    check(
        "{minAvailable: '50%'}",
        &["a", "b", "c"],
        &[3, 2],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":3,"desiredHealthy":3,"disruptionsAllowed":0,"expectedPods":5,"observedGeneration":3}"#
        ]],
    );
    check(
        "{maxUnavailable: '30%'}",
        &["a", "b", "c"],
        &[3],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}],"currentHealthy":3,"desiredHealthy":2,"disruptionsAllowed":1,"expectedPods":3,"observedGeneration":3}"#
        ]],
    );
    check(
        "{maxUnavailable: 1}",
        &["a", "b"],
        &[3],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":2,"desiredHealthy":2,"disruptionsAllowed":0,"expectedPods":3,"observedGeneration":3}"#
        ]],
    );
    check(
        "{maxUnavailable: 1}",
        &["a", "b"],
        &[],
        Value::Null,
        &expect![[
            r#"{"conditions":[{"message":"","observedGeneration":3,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":2,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0,"observedGeneration":3}"#
        ]],
    );
}

#[test]
fn evicted_pods_count_as_gone_until_they_are() {
    let disrupted = json!({"a": "2026-01-01T11:59:00Z", "b": "2026-01-01T11:57:00Z", "gone": "2026-01-01T11:59:59Z"});
    check(
        "{minAvailable: 1}",
        &["a", "b", "c"],
        &[],
        disrupted,
        &expect![[r#"
            patch PodDisruptionBudget default/b/status {"metadata":{"uid":"u"},"status":{"disruptedPods":{"b":null,"gone":null}}}
            again in 60s
            {"conditions":[{"message":"","observedGeneration":3,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}],"currentHealthy":2,"desiredHealthy":1,"disruptedPods":{"a":"2026-01-01T11:59:00Z"},"disruptionsAllowed":1,"expectedPods":3,"observedGeneration":3}"#]],
    );
}
