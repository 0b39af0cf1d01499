//! Check tests: taints and tolerations in YAML → what becomes of the pod.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// The plan for a pod with these tolerations on a node with taints that were added 60 seconds ago.
fn check(tolerations: &str, taints: &str, expect: &Expect) {
    let tolerations: Value = serde_saphyr::from_str(tolerations).unwrap();
    let taints: Vec<Taint> = serde_saphyr::from_str(taints).unwrap();
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "generation": 1},
        "spec": {"nodeName": "n", "containers": [], "tolerations": tolerations},
    });
    let since = now() - jiff::SignedDuration::from_secs(60);
    let world = World {
        pod: serde_json::from_value(pod).unwrap(),
        taints: taints.into_iter().map(|taint| (taint, since)).collect(),
    };
    expect.assert_eq(&plan::plan(&world, now()).to_string());
}

#[test]
fn what_is_not_tolerated_ends_the_pod() {
    check(
        "[]",
        "[{key: k, effect: NoExecute}]",
        &expect![[r#"
        patch Pod default/p/status {"metadata":{"resourceVersion":null,"uid":"u"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Taint manager: deleting due to NoExecute taint","observedGeneration":1,"reason":"DeletionByTaintManager","status":"True","type":"DisruptionTarget"}]}}
        delete Pod default/p
        note TaintManagerEviction: Marking for deletion Pod default/p
    "#]],
    );
}

#[test]
fn what_is_tolerated_for_ever_does_not() {
    check(
        "[{key: k, operator: Exists}]",
        "[{key: k, effect: NoExecute}]",
        &expect![[""]],
    );
    check("[]", "[]", &expect![[""]]);
}

#[test]
fn what_is_tolerated_for_a_while_does_then() {
    check(
        "[{key: k, operator: Exists, tolerationSeconds: 300}, {operator: Exists, tolerationSeconds: 100}]",
        "[{key: k, effect: NoExecute}]",
        &expect![[r#"
            again in 40s
        "#]],
    );
    check(
        "[{key: k, operator: Exists, tolerationSeconds: 60}]",
        "[{key: k, effect: NoExecute}]",
        &expect![[r#"
            patch Pod default/p/status {"metadata":{"resourceVersion":null,"uid":"u"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Taint manager: deleting due to NoExecute taint","observedGeneration":1,"reason":"DeletionByTaintManager","status":"True","type":"DisruptionTarget"}]}}
            delete Pod default/p
            note TaintManagerEviction: Marking for deletion Pod default/p
        "#]],
    );
}

#[test]
fn the_shortest_patience_counts() {
    check(
        "[{key: a, operator: Exists, tolerationSeconds: 90}, {key: b, operator: Exists}]",
        "[{key: a, effect: NoExecute}, {key: b, effect: NoExecute}]",
        &expect![[r#"
            again in 30s
        "#]],
    );
}

#[test]
fn a_taint_without_a_time_counts_from_when_it_was_seen() {
    let controller = TaintEvictionController::default();
    let node = |taints: Value| {
        let node = json!({"metadata": {"name": "n", "uid": "u"}, "spec": {"taints": taints}});
        Arc::new(serde_json::from_value::<Node>(node).unwrap())
    };
    let tainted =
        node(json!([{"key": "k", "effect": "NoExecute"}, {"key": "soft", "effect": "NoSchedule"}]));
    let later = now() + jiff::SignedDuration::from_secs(30);
    assert_eq!(controller.taints(&tainted, now())[0].1, now());
    assert_eq!(controller.taints(&tainted, later)[0].1, now());
    assert!(controller.taints(&node(json!([])), later).is_empty());
    assert_eq!(controller.taints(&tainted, later)[0].1, later, "a new one");
}
