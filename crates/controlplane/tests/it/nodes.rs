//! Nodes that die, go or are drained, and what becomes of their pods.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, deployment};

const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn available(count: u32) -> impl Fn(&Value) -> bool {
    move |deployment| deployment["status"]["availableReplicas"] == count
}

/// Names of the pods that run on a node and are not about to go.
fn on(pods: &Value, node: &str) -> Vec<String> {
    let pods = pods["items"].as_array().unwrap().iter();
    let pods = pods.filter(|pod| {
        pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null()
    });
    pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn web_on_two_nodes() -> World {
    let world = World::new(2).await;
    let is_ready = |node: &Value| node["status"]["conditions"].is_array();
    for node in ["node-1", "node-2"] {
        let path = format!("/api/v1/nodes/{node}");
        world.until(&path, "it registers", is_ready).await;
    }
    world
        .post(
            "/apis/apps/v1/namespaces/default/deployments",
            deployment("web", 4, "nginx"),
        )
        .await;
    world.until(WEB, "all are available", available(4)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn the_pods_of_a_dead_node_move() {
    let world = web_on_two_nodes().await;
    let pods = world.get(PODS).await;
    assert_eq!(on(&pods, "node-1").len(), 2, "{pods:#}");
    let died = tokio::time::Instant::now();
    world.planes.stop_kubelet("test", "node-1");
    world
        .until(PODS, "the other node has all of them", |pods| {
            on(pods, "node-2").len() == 4
        })
        .await;
    // 50 seconds until it is missed, five minutes that every pod tolerates, and a moment.
    let after = died.elapsed().as_secs();
    assert!((300..420).contains(&after), "{after} seconds");
    world.until(WEB, "all are available", available(4)).await;
    let pods = world.get(PODS).await;
    let old = pods["items"].as_array().unwrap().iter();
    let old: Vec<&Value> = old
        .filter(|pod| pod["spec"]["nodeName"] == "node-1")
        .collect();
    assert_eq!(old.len(), 2, "nobody can say that they have ended");
    for pod in old {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let is_told = |c: &Value| c["reason"] == "DeletionByTaintManager";
        assert!(conditions.iter().any(is_told), "{pod:#}");
    }
    // When the node is given up, so are they.
    world.delete("/api/v1/nodes/node-1", Value::Null).await;
    world
        .until(PODS, "they are gone", |pods| {
            pods["items"].as_array().unwrap().len() == 4
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_in_time_keeps_its_pods() {
    let world = web_on_two_nodes().await;
    let before = world.get(PODS).await;
    world.planes.stop_kubelet("test", "node-1");
    let is_missed = |node: &Value| {
        let taints = node["spec"]["taints"].as_array();
        taints.is_some_and(|taints| taints.iter().any(|t| t["effect"] == "NoExecute"))
    };
    let node = "/api/v1/nodes/node-1";
    world.until(node, "it is missed", is_missed).await;
    world.start_node(1);
    world
        .until(node, "it is back", |node| node["spec"]["taints"].is_null())
        .await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let after = world.get(PODS).await;
    assert_eq!(on(&after, "node-1"), on(&before, "node-1"));
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_out_of_service_go_at_once() {
    let world = web_on_two_nodes().await;
    world.planes.stop_kubelet("test", "node-1");
    let node = "/api/v1/nodes/node-1";
    world
        .until(node, "it is missed", |node| {
            node["spec"]["taints"].is_array()
        })
        .await;
    let known = world.get(node).await["spec"]["taints"].clone();
    let mut taints = known.as_array().unwrap().clone();
    taints.push(json!({"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}));
    world.merge(node, json!({"spec": {"taints": taints}})).await;
    world
        .until(PODS, "none of its pods is left", |pods| {
            let pods = pods["items"].as_array().unwrap();
            pods.iter().all(|pod| pod["spec"]["nodeName"] != "node-1")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_could_not_renew_its_lease_says_that_it_is_back() {
    let world = World::new(1).await;
    let node = "/api/v1/nodes/node-1";
    let is_ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    world.until(node, "it is ready", is_ready).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // As the node controller has it after some time, in which the machine was suspended.
    let unknown = json!([{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]);
    let status = json!({"status": {"conditions": unknown}});
    world.merge(&format!("{node}/status"), status).await;
    tokio::time::advance(Duration::from_secs(120)).await;
    let begin = world.clock.now();
    world.until(node, "it is ready again", is_ready).await;
    let took = world.clock.now().duration_since(begin);
    assert!(took < jiff::SignedDuration::from_secs(15), "{took:#}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_deletes_while_its_kubelet_runs_comes_back() {
    let world = World::new(1).await;
    let node = "/api/v1/nodes/node-1";
    let uid = |node: &Value| node["metadata"]["uid"].as_str().map(str::to_owned);
    let old = world.until(node, "it is there", |n| uid(n).is_some()).await;
    world.delete(node, Value::Null).await;
    let begin = world.clock.now();
    let is_new = |node: &Value| uid(node).is_some() && uid(node) != uid(&old);
    world.until(node, "another one registers", is_new).await;
    let took = world.clock.now().duration_since(begin);
    assert!(took < jiff::SignedDuration::from_secs(60), "{took:#}");
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1";
    world
        .until(lease, "it has a lease", |l| uid(l).is_some())
        .await;
}
