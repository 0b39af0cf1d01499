//! Check tests: a node and how many there are → plan as text.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(node: Value, count: usize, expected: &Expect) {
    let world = World {
        node: serde_json::from_value(node).unwrap(),
        count,
    };
    expected.assert_eq(&plan(&world).to_string());
}

#[test]
fn a_new_node_gets_the_annotation_and_keeps_it() {
    let node = json!({"metadata": {"name": "n1", "uid": "u"}});
    check(
        node,
        1,
        &expect![[r#"
            patch Node n1 {"metadata":{"annotations":{"node.alpha.kubernetes.io/ttl":"0"},"uid":"u"}}
        "#]],
    );
    let node = json!({"metadata": {"name": "n1", "uid": "u", "annotations": {ANNOTATION: "0"}}});
    check(node, 100, &expect![""]);
    let node = json!({"metadata": {"name": "n1", "uid": "u", "annotations": {ANNOTATION: "x"}}});
    check(
        node,
        101,
        &expect![[r#"
            patch Node n1 {"metadata":{"annotations":{"node.alpha.kubernetes.io/ttl":"15"},"uid":"u"}}
        "#]],
    );
    let node = json!({"metadata": {"name": "n1", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check(node, 1, &expect![""]);
}

#[test]
fn the_steps_go_up_late_and_down_late() {
    let walk = |counts: &[usize]| {
        let mut known = None;
        let each = counts.iter().map(|count| {
            known = Some(seconds(known, *count));
            known.unwrap_or_default()
        });
        each.collect::<Vec<_>>()
    };
    assert_eq!(
        walk(&[1, 95, 100, 101, 95, 90, 89]),
        [0, 0, 0, 15, 15, 15, 0]
    );
    assert_eq!(walk(&[5000, 1800, 1799, 950, 899]), [300, 300, 60, 60, 30]);
    assert_eq!(walk(&[1, 5000, 1]), [0, 300, 0]);
    // Who comes anew begins with the lower of two.
    assert_eq!(walk(&[475]), [15]);
}
