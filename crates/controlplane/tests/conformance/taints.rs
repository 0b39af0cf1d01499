//! Pods go from nodes with taints that they do not tolerate, or only for a while.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, names};

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

/// A pod on `node-1` that tolerates the test's taint for so many seconds, and runs.
async fn start(suite: &Suite, name: &str, seconds: u32) {
    let toleration = json!({"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute", "tolerationSeconds": seconds});
    let spec = json!({
        "terminationGracePeriodSeconds": 0, "nodeSelector": {"kubernetes.io/hostname": "node-1"},
        "tolerations": [toleration], "containers": [{"name": "pause", "image": "pause"}],
    });
    pods(suite)
        .create(json!({"metadata": {"name": name, "labels": {"group": "taint-eviction"}}, "spec": spec}))
        .await;
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    pods(suite).until(name, "it runs", is_running).await;
}

async fn taint(suite: &Suite, taints: Value) {
    let nodes = suite.cluster_wide("v1", "Node", "nodes");
    nodes
        .merge("node-1", json!({"spec": {"taints": taints}}))
        .await;
}

fn test_taint() -> Value {
    json!([{"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"}])
}

#[tokio::test(start_paused = true)]
async fn noexecutetaintmanager_single_pod_removing_taint_cancels_eviction() {
    let suite = Suite::with_nodes(2).await;
    start(&suite, "taint-eviction-4", 130).await;
    taint(&suite, test_taint()).await;
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(names(&pods(&suite).list("").await), ["taint-eviction-4"]);
    taint(&suite, Value::Null).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let pod = pods(&suite).get("taint-eviction-4").await;
    assert_eq!(pod["metadata"]["deletionTimestamp"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn noexecutetaintmanager_multiple_pods_evicts_pods_with_mintolerationseconds() {
    let suite = Suite::with_nodes(2).await;
    start(&suite, "taint-eviction-b1", 65).await;
    start(&suite, "taint-eviction-b2", 325).await;
    let start = tokio::time::Instant::now();
    taint(&suite, test_taint()).await;
    pods(&suite).until_gone("taint-eviction-b1").await;
    let first = start.elapsed();
    assert_eq!(names(&pods(&suite).list("").await), ["taint-eviction-b2"]);
    pods(&suite).until_gone("taint-eviction-b2").await;
    let second = start.elapsed();
    let about = |elapsed: Duration, seconds: u64| elapsed.as_secs().abs_diff(seconds) <= 1;
    assert!(
        about(first, 65) && about(second, 325),
        "{first:?} {second:?}"
    );
}
