//! Deployments, their pods and their Services.

use serde_json::{Value, json};

use crate::world::{World, deployment};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn is_complete(deployment: &Value) -> bool {
    let (status, wanted) = (&deployment["status"], &deployment["spec"]["replicas"]);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["updatedReplicas"] == *wanted
        && status["availableReplicas"] == *wanted
        && status["replicas"] == *wanted
}

fn images(pods: &Value) -> Vec<&str> {
    let pods = pods["items"].as_array().unwrap().iter();
    pods.map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_runs_rolls_scales_and_goes() {
    let world = World::new(2).await;
    world
        .post(DEPLOYMENTS, deployment("web", 3, "nginx:1"))
        .await;
    world
        .until(WEB, "the deployment is available", is_complete)
        .await;
    let pods = world.get(PODS).await;
    assert_eq!(images(&pods), ["nginx:1"; 3]);
    let template = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}});
    world.merge(WEB, template).await;
    world
        .until(WEB, "the update is complete", is_complete)
        .await;
    world
        .until(PODS, "the old pods are gone", |pods| {
            images(pods) == ["nginx:2"; 3]
        })
        .await;
    world.merge(WEB, json!({"spec": {"replicas": 5}})).await;
    let scaled = world
        .until(WEB, "the deployment is scaled", is_complete)
        .await;
    assert_eq!(
        scaled["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_has_the_addresses_of_its_ready_pods() {
    let world = World::new(1).await;
    world.post(DEPLOYMENTS, deployment("web", 2, "nginx")).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    });
    world
        .post("/api/v1/namespaces/default/services", service)
        .await;
    let is_ready = |slices: &Value| {
        let endpoints = slices["items"][0]["endpoints"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        endpoints.len() == 2 && endpoints.iter().all(|e| e["conditions"]["ready"] == true)
    };
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=web";
    let slices = world.until(path, "two ready endpoints", is_ready).await;
    assert_eq!(slices["items"][0]["ports"][0]["port"], 80);
    let has_two = |e: &Value| {
        e["subsets"][0]["addresses"]
            .as_array()
            .is_some_and(|a| a.len() == 2)
    };
    world
        .until(
            "/api/v1/namespaces/default/endpoints/web",
            "two addresses",
            has_two,
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_says_why() {
    let world = World::new(1).await;
    world
        .until("/api/v1/nodes/node-1", "the node registers", |node| {
            node["status"]["allocatable"].is_object()
        })
        .await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "64"}}}]},
    });
    world.post(PODS, pod).await;
    let said = |pod: &Value| {
        pod["status"]["conditions"][0]["message"]
            == "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    };
    world
        .until(&format!("{PODS}/big"), "the pod says why", said)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_gated_pod_waits_for_its_gates() {
    let world = World::new(1).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gated"},
        "spec": {"schedulingGates": [{"name": "example.com/gate"}], "containers": [{"name": "c", "image": "i"}]},
    });
    world.post(PODS, pod).await;
    let path = format!("{PODS}/gated");
    world
        .until(&path, "it says that it is gated", |pod| {
            pod["status"]["conditions"][0]["reason"] == "SchedulingGated"
        })
        .await;
    world
        .merge(&path, json!({"spec": {"schedulingGates": null}}))
        .await;
    world
        .until(&path, "it runs", |pod| pod["status"]["phase"] == "Running")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_is_bound_when_there_is_room() {
    let world = World::new(1).await;
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1500m"}}}]},
        })
    };
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    let is_stuck = |pod: &Value| pod["status"]["conditions"][0]["reason"] == "Unschedulable";
    let path = |name: &str| format!("{PODS}/{name}");
    world.post(PODS, pod("first")).await;
    world.until(&path("first"), "it runs", is_running).await;
    world.post(PODS, pod("second")).await;
    world.post(PODS, pod("third")).await;
    world
        .until(&path("second"), "there is no room", is_stuck)
        .await;
    world
        .until(&path("third"), "there is no room", is_stuck)
        .await;
    world.delete(&path("first"), Value::Null).await;
    world.until(&path("second"), "it runs", is_running).await;
    world.start_node(2);
    world.until(&path("third"), "it runs", is_running).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_wants_a_neighbour_waits_for_one() {
    let world = World::new(1).await;
    let pod = |name: &str, app: &str, wants: &str| {
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": wants}}});
        let affinity =
            json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        let affinity = if wants.is_empty() {
            Value::Null
        } else {
            affinity
        };
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"affinity": affinity, "containers": [{"name": "c", "image": "i"}]},
        })
    };
    let path = |name: &str| format!("{PODS}/{name}");
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    let is_stuck = |pod: &Value| pod["status"]["conditions"][0]["reason"] == "Unschedulable";
    // One whose neighbour comes, and one whose neighbour becomes one.
    world.post(PODS, pod("web", "web", "db")).await;
    world.post(PODS, pod("tool", "tool", "late")).await;
    for name in ["web", "tool"] {
        world.until(&path(name), "it waits", is_stuck).await;
    }
    world.post(PODS, pod("db", "db", "")).await;
    world.until(&path("db"), "it runs", is_running).await;
    world
        .until(&path("web"), "it runs beside it", is_running)
        .await;
    let label = json!({"metadata": {"labels": {"app": "late"}}});
    world.merge(&path("db"), label).await;
    world.until(&path("tool"), "it runs, too", is_running).await;
}

#[tokio::test(start_paused = true)]
async fn scripted_pods_crash_and_finish() {
    let world = World::new(1).await;
    let pod = |name: &str, policy: &str, code: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": {"simulated.apiary.io/exit-code": code}},
            "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]},
        })
    };
    world.post(PODS, pod("crash", "Always", "1")).await;
    world.post(PODS, pod("done", "Never", "0")).await;
    let restarted =
        |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(3);
    world
        .until(&format!("{PODS}/crash"), "three restarts", restarted)
        .await;
    world
        .until(&format!("{PODS}/done"), "success", |pod| {
            pod["status"]["phase"] == "Succeeded"
        })
        .await;
}
