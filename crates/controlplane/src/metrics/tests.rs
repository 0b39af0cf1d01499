//! Check tests: pods and nodes → their metrics.

use expect_test::expect;
use jiff::Timestamp;

use super::*;
use crate::kubelet::script::Profile;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn pod(name: &str, phase: &str) -> Pod {
    let resources = json!({"requests": {"cpu": "400m", "memory": "1Gi"}});
    let running = json!({"name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "started": true,
        "state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}}});
    let statuses = if phase == "Running" {
        json!([running])
    } else {
        json!([])
    };
    let pod = json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "resources": resources}]},
        "status": {"phase": phase, "startTime": "2026-01-01T11:00:00Z", "containerStatuses": statuses},
    });
    serde_json::from_value(pod).unwrap()
}

#[test]
fn what_is_declared_is_valid() {
    for (kind, plural) in [("PodMetrics", "pods"), ("NodeMetrics", "nodes")] {
        let declared = declare(&figures::definition(kind, plural), &["get", "list"]);
        assert_eq!(declared.map(|all| all.len()), Ok(1), "{kind}");
    }
}

#[test]
fn running_pods_have_metrics() {
    let profile = Profile::default();
    assert_eq!(figures::of_pod(&pod("p", "Pending"), &profile, now()), None);
    let metrics = figures::of_pod(&pod("p", "Running"), &profile, now()).unwrap();
    expect![[r#"
        {
          "apiVersion": "metrics.k8s.io/v1beta1",
          "containers": [
            {
              "name": "c",
              "usage": {
                "cpu": "100000000n",
                "memory": "524288Ki"
              }
            }
          ],
          "kind": "PodMetrics",
          "metadata": {
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": {
              "app": "web"
            },
            "name": "p",
            "namespace": "default"
          },
          "timestamp": "2026-01-01T12:00:00Z",
          "window": "15s"
        }"#]]
    .assert_eq(&format!("{metrics:#}"));
}

#[test]
fn a_node_uses_what_its_pods_use_and_a_little_more() {
    let profile = Profile::default();
    let used = figures::by_node(&[pod("a", "Running"), pod("b", "Running")], &profile, now());
    let node = |ready: &str| {
        let node = json!({"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        serde_json::from_value::<Node>(node).unwrap()
    };
    assert_eq!(figures::of_node(&node("Unknown"), &used, now()), None);
    let metrics = figures::of_node(&node("True"), &used, now()).unwrap();
    expect![[r#"{"cpu":"250000000n","memory":"1310720Ki"}"#]]
        .assert_eq(&metrics["usage"].to_string());
}
