//! What pods use, and autoscalers that follow it.

use serde_json::{Value, json};

use crate::world::{World, deployment};

const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

async fn web(cpu: &str) -> World {
    let world = World::new(2).await;
    let mut web = deployment("web", 2, "nginx");
    let template = &mut web["spec"]["template"];
    template["metadata"]["annotations"] = json!({"simulated.apiary.io/cpu": cpu});
    template["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
    world
        .post("/apis/apps/v1/namespaces/default/deployments", web)
        .await;
    world
        .until(WEB, "it is available", |web| {
            web["status"]["availableReplicas"] == 2
        })
        .await;
    world
}

#[tokio::test(start_paused = true)]
async fn metrics_show_what_pods_and_nodes_use() {
    let world = web("50m").await;
    let pods = world
        .get(&format!(
            "{METRICS}/namespaces/default/pods?labelSelector=app%3Dweb"
        ))
        .await;
    assert_eq!(pods["kind"], "PodMetricsList");
    let pods = pods["items"].as_array().unwrap();
    assert_eq!(pods.len(), 2);
    assert_eq!(pods[0]["containers"][0]["usage"]["cpu"], "50000000n");
    let nodes = world.get(&format!("{METRICS}/nodes")).await;
    assert_eq!(nodes["items"].as_array().unwrap().len(), 2);
    let node = world.get(&format!("{METRICS}/nodes/node-1")).await;
    assert!(
        node["usage"]["memory"].as_str().unwrap().ends_with("Ki"),
        "{node:#}"
    );
    let missing = world.get(&format!("{METRICS}/nodes/node-9")).await;
    assert_eq!(missing, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_follows_what_its_pods_use() {
    let world = web("120m").await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let spec = json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 6, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
    ]});
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": spec,
    });
    world.post(AUTOSCALERS, autoscaler).await;
    // Twice as much as they should, and more than six can bring down.
    world
        .until(WEB, "it grows to the largest size", |web| {
            web["status"]["availableReplicas"] == 6
        })
        .await;
    let path = format!("{AUTOSCALERS}/web");
    let is_limited = |hpa: &Value| {
        let conditions = hpa["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "ScalingLimited" && c["reason"] == "TooManyReplicas")
        })
    };
    world
        .until(&path, "it says that it is the largest", is_limited)
        .await;
    // Less to do: the size is kept for five minutes, and then goes down.
    let less = json!({"spec": {"template": {"metadata": {"annotations": {"simulated.apiary.io/cpu": "6m"}}}}});
    world.merge(WEB, less).await;
    let start = tokio::time::Instant::now();
    world
        .until(WEB, "it shrinks", |web| web["spec"]["replicas"] == 1)
        .await;
    let after = start.elapsed().as_secs();
    assert!((280..500).contains(&after), "{after} seconds");
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_without_requests_says_what_is_missing() {
    let world = World::new(1).await;
    world
        .post(
            "/apis/apps/v1/namespaces/default/deployments",
            deployment("web", 1, "nginx"),
        )
        .await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 6},
    });
    world.post(AUTOSCALERS, autoscaler).await;
    let says = |hpa: &Value| {
        let conditions = hpa["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter().any(|c| {
                c["type"] == "ScalingActive"
                    && c["message"].as_str().is_some_and(|m| {
                        m.contains("missing request for cpu in container web of Pod web-")
                    })
            })
        })
    };
    world
        .until(&format!("{AUTOSCALERS}/web"), "it says so", says)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_is_a_name_and_no_path() {
    let world = web("50m").await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web?x="});
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 6},
    });
    world.post(AUTOSCALERS, autoscaler).await;
    let says = |hpa: &Value| {
        let conditions = hpa["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "AbleToScale" && c["reason"] == "FailedGetScale")
        })
    };
    world
        .until(&format!("{AUTOSCALERS}/web"), "there is none", says)
        .await;
    assert_eq!(world.get(WEB).await["spec"]["replicas"], 2);
}
