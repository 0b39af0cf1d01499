//! Check tests: a node, its lease and its pods in YAML → plan and conditions as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; times are seconds ago.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    #[serde(default)]
    created: i64,
    #[serde(default)]
    lease: Option<i64>,
    /// How long the lease holds, in seconds.
    #[serde(default)]
    holds: i64,
    /// Status of the `Ready` condition.
    #[serde(default)]
    ready: Option<String>,
    #[serde(default)]
    heartbeat: i64,
    /// Conditions that are true.
    #[serde(default)]
    pressures: Vec<String>,
    #[serde(default)]
    spec: Value,
    /// Names of pods, all ready.
    #[serde(default)]
    pods: Vec<String>,
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> String {
    runtime::rfc3339(now() - jiff::SignedDuration::from_secs(seconds))
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let ready = scene.ready.iter().map(|status| json!({"type": "Ready", "status": status, "lastHeartbeatTime": ago(scene.heartbeat)}));
    let pressures = scene
        .pressures
        .iter()
        .map(|ty| json!({"type": ty, "status": "True"}));
    let node = json!({
        "metadata": {"name": "n1", "uid": "u", "resourceVersion": "5", "creationTimestamp": ago(scene.created)},
        "spec": scene.spec, "status": {"conditions": ready.chain(pressures).collect::<Vec<_>>()},
    });
    let lease = scene
        .lease
        .map(|seconds| json!({"metadata": {"name": "n1"}, "spec": {"renewTime": ago(seconds), "leaseDurationSeconds": scene.holds}}));
    let pod = |name: &String| {
        let conditions = json!([{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]);
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default", "uid": "up"}, "status": {"conditions": conditions}})).unwrap())
    };
    World {
        node: serde_json::from_value(node).unwrap(),
        lease: lease.map(|lease| Arc::new(serde_json::from_value(lease).unwrap())),
        pods: scene.pods.iter().map(pod).collect(),
    }
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = NodeLifecycleController::plan(&world, now());
    let mut text = plan.to_string();
    if let Some(status) = NodeLifecycleController::status(&world, &plan, &Outcome::default(), now())
    {
        for c in status["conditions"].as_array().unwrap() {
            writeln!(
                text,
                "{}={} {}: {}",
                c["type"], c["status"], c["reason"], c["message"]
            )
            .unwrap();
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn a_node_that_speaks_is_left_alone() {
    check(
        "{created: 900, lease: 10, ready: 'True'}",
        &expect![[r#"
        again in 50s
    "#]],
    );
}

#[test]
fn a_lease_that_holds_for_long_is_waited_for() {
    check(
        "{created: 900, lease: 100, holds: 600, ready: 'True', heartbeat: 100}",
        &expect![[r#"
            again in 650s
        "#]],
    );
}

#[test]
fn a_heartbeat_is_as_good_as_a_lease() {
    check(
        "{created: 900, lease: 100, ready: 'True', heartbeat: 20}",
        &expect![[r#"
        again in 30s
    "#]],
    );
}

#[test]
fn a_node_that_says_it_is_not_ready_is_tainted() {
    check(
        "{created: 900, lease: 10, ready: 'False'}",
        &expect![[r#"
        patch Node n1 {"metadata":{"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","timeAdded":"2026-01-01T12:00:00Z"}]}}
        again in 50s
    "#]],
    );
}

#[test]
fn a_silent_node_is_unknown_and_its_pods_are_not_ready() {
    check(
        "{created: 900, lease: 50, ready: 'True', heartbeat: 300, pods: [p]}",
        &expect![[r#"
        patch Node n1 {"metadata":{"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"}]}}
        patch Pod default/p/status {"metadata":{"uid":"up"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","status":"False","type":"Ready"},{"status":"True","type":"PodScheduled"}]}}
        note NodeNotReady: Node n1 status is now: NodeNotReady
        warn Pod p: NodeNotReady: Node is not ready
        "MemoryPressure"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
        "DiskPressure"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
        "PIDPressure"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
        "Ready"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
    "#]],
    );
}

#[test]
fn a_silent_node_stays_as_it_is() {
    let taints = "taints: [{key: node.kubernetes.io/unreachable, effect: NoSchedule}, {key: node.kubernetes.io/unreachable, effect: NoExecute}]";
    check(
        &format!(
            "{{created: 900, lease: 500, ready: Unknown, heartbeat: 500, spec: {{{taints}}}}}"
        ),
        &expect![[r#"
        "MemoryPressure"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
        "DiskPressure"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
        "PIDPressure"="Unknown" "NodeStatusUnknown": "Kubelet stopped posting node status."
        "Ready"="Unknown" null: null
    "#]],
    );
}

#[test]
fn a_new_node_has_time_to_speak() {
    check(
        "{created: 20}",
        &expect![[r#"
        patch Node n1 {"metadata":{"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","timeAdded":"2026-01-01T12:00:00Z"}]}}
        again in 40s
    "#]],
    );
    check(
        "{created: 60}",
        &expect![[r#"
        patch Node n1 {"metadata":{"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"}]}}
        "MemoryPressure"="Unknown" "NodeStatusNeverUpdated": "Kubelet never posted node status."
        "DiskPressure"="Unknown" "NodeStatusNeverUpdated": "Kubelet never posted node status."
        "PIDPressure"="Unknown" "NodeStatusNeverUpdated": "Kubelet never posted node status."
        "Ready"="Unknown" "NodeStatusNeverUpdated": "Kubelet never posted node status."
    "#]],
    );
}

#[test]
fn a_node_that_recovers_loses_our_taints_and_keeps_others() {
    check(
        "{created: 900, lease: 1, ready: 'True', spec: {taints: [{key: node.kubernetes.io/unreachable, effect: NoSchedule}, {key: dedicated, value: db, effect: NoSchedule}]}}",
        &expect![[r#"
            patch Node n1 {"metadata":{"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoSchedule","key":"dedicated","value":"db"}]}}
            again in 50s
        "#]],
    );
}

#[test]
fn pressures_and_cordons_are_taints() {
    check(
        "{created: 900, lease: 1, ready: 'True', pressures: [MemoryPressure, DiskPressure, PIDPressure, NetworkUnavailable], spec: {unschedulable: true}}",
        &expect![[r#"
        patch Node n1 {"metadata":{"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/memory-pressure","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoSchedule","key":"node.kubernetes.io/disk-pressure","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoSchedule","key":"node.kubernetes.io/pid-pressure","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoSchedule","key":"node.kubernetes.io/network-unavailable","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoSchedule","key":"node.kubernetes.io/unschedulable","timeAdded":"2026-01-01T12:00:00Z"}]}}
        again in 50s
    "#]],
    );
}
