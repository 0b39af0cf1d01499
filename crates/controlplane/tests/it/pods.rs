//! Simulated pods and what is around them: profiles, static pods, refusals, resizes, what they need.

use serde_json::{Value, json};

use crate::world::World;

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const EVENTS: &str = "/api/v1/events";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    if pod["spec"]["containers"].is_null() {
        pod["spec"]["containers"] = json!([{"name": "c", "image": "nginx"}]);
    }
    pod
}

fn path(name: &str) -> String {
    format!("{PODS}/{name}")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Waits for an event with this reason; its message.
async fn told(world: &World, reason: &str) -> String {
    let find = |events: &Value| {
        let mut events = events["items"].as_array().unwrap().iter();
        events.find(|event| event["reason"] == reason).cloned()
    };
    let events = world.until(EVENTS, "the event", |events| find(events).is_some());
    let event = find(&events.await).unwrap();
    event["message"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_profile_scripts_pods_that_run_already() {
    let world = World::new(1).await;
    world.post(PODS, pod("web", json!({}))).await;
    world.post(PODS, pod("other", json!({}))).await;
    world
        .merge(
            &path("web"),
            json!({"metadata": {"labels": {"app": "web"}}}),
        )
        .await;
    world.until(&path("web"), "it is ready", is_ready).await;
    let rules = "[{selector: {matchLabels: {app: web}}, settings: {readiness-fails: always, run-tine: 5s}}]";
    let profile = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "simulated-pods"}, "data": {"rules": rules}});
    world.post(MAPS, profile).await;
    world
        .until(&path("web"), "it is not ready", |pod| !is_ready(pod))
        .await;
    let complaint = told(&world, "InvalidScript").await;
    assert!(
        complaint.starts_with("rule 1: run-tine: there is no setting"),
        "{complaint}"
    );
    assert!(is_ready(
        &world.until(&path("other"), "it is ready", is_ready).await
    ));
    world
        .delete(&format!("{MAPS}/simulated-pods"), Value::Null)
        .await;
    world
        .until(&path("web"), "it is ready again", is_ready)
        .await;
}

#[tokio::test(start_paused = true)]
async fn static_pods_are_there_whatever_the_api_says() {
    const MIRROR: &str = "/api/v1/namespaces/kube-system/pods/etcd-node-1";
    let world = World::new(0).await;
    let manifest = |image: &str| {
        json!({"metadata": {"name": "etcd", "namespace": "kube-system"},
            "spec": {"hostNetwork": true, "containers": [{"name": "etcd", "image": image}]}})
    };
    world.start_node_with(1, &[manifest("etcd:3")]);
    let mirror = world.until(MIRROR, "the mirror is ready", is_ready).await;
    assert_eq!(mirror["metadata"]["ownerReferences"][0]["kind"], "Node");
    assert_eq!(mirror["status"]["podIP"], "10.0.0.1");
    let since = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["running"].clone();
    tokio::time::advance(std::time::Duration::from_secs(100)).await;
    world.delete(MIRROR, Value::Null).await;
    let is_new = |pod: &Value| pod["metadata"]["uid"] != mirror["metadata"]["uid"] && is_ready(pod);
    let again = world.until(MIRROR, "the mirror comes back", is_new).await;
    // What it shows was never gone.
    assert_eq!(since(&again), since(&mirror));
    world.start_node_with(1, &[manifest("etcd:4")]);
    world
        .until(MIRROR, "the new manifest is shown", |pod| {
            pod["spec"]["containers"][0]["image"] == "etcd:4" && is_ready(pod)
        })
        .await;
    world.start_node_with(1, &[]);
    world
        .until(MIRROR, "it goes with its manifest", Value::is_null)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_refuses_what_it_has_no_room_for() {
    let world = World::new(1).await;
    let asks = |name: &str| {
        let resources = json!({"requests": {"cpu": "1500m"}});
        let container = json!({"name": "c", "image": "i", "resources": resources});
        pod(
            name,
            json!({"nodeName": "node-1", "containers": [container]}),
        )
    };
    world.post(PODS, asks("one")).await;
    world.until(&path("one"), "it is ready", is_ready).await;
    world.post(PODS, asks("two")).await;
    let refused = world
        .until(&path("two"), "it fails", |pod| {
            pod["status"]["phase"] == "Failed"
        })
        .await;
    assert_eq!(refused["status"]["reason"], "OutOfcpu");
    assert_eq!(
        refused["status"]["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 1500, capacity: 2000"
    );
}

#[tokio::test(start_paused = true)]
async fn a_resize_waits_for_room() {
    let world = World::new(1).await;
    let asks = |name: &str, cpu: &str| {
        let resources = json!({"requests": {"cpu": cpu}});
        let container = json!({"name": "c", "image": "i", "resources": resources});
        pod(name, json!({"containers": [container]}))
    };
    world.post(PODS, asks("one", "1")).await;
    world.post(PODS, asks("two", "500m")).await;
    for name in ["one", "two"] {
        world.until(&path(name), "it is ready", is_ready).await;
    }
    let mut two = world.get(&path("two")).await;
    two["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1500m");
    let resize = format!("{}/resize", path("two"));
    world
        .request(http::Method::PUT, &resize, two)
        .await
        .unwrap();
    let pending = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().unwrap().iter();
        conditions
            .filter(|c| c["type"] == "PodResizePending")
            .count()
            == 1
    };
    let allocated =
        |pod: &Value| pod["status"]["containerStatuses"][0]["allocatedResources"]["cpu"].clone();
    let waiting = world
        .until(&path("two"), "the resize is pending", pending)
        .await;
    assert_eq!(allocated(&waiting), "500m");
    world.delete(&path("one"), Value::Null).await;
    let done = world
        .until(&path("two"), "the resize is done", |pod| {
            allocated(pod) == "1500m"
        })
        .await;
    assert!(!pending(&done));
    assert_eq!(done["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_what_it_needs() {
    let world = World::new(1).await;
    let from = json!([{"configMapRef": {"name": "settings"}}]);
    let container = json!({"name": "c", "image": "nginx", "envFrom": from});
    world
        .post(PODS, pod("web", json!({"containers": [container]})))
        .await;
    let state =
        |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    world
        .until(&path("web"), "it waits", |pod| {
            state(pod) == "CreateContainerConfigError"
        })
        .await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "b"}});
    world
        .post("/api/v1/namespaces/default/configmaps", map)
        .await;
    world.until(&path("web"), "it is ready", is_ready).await;
}
