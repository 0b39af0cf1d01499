//! StatefulSets and DaemonSets with nodes: order, storage, quotas, and templates that come back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const WEB: &str = "/apis/apps/v1/namespaces/default/statefulsets/web";
const DAEMONS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const LOG: &str = "/apis/apps/v1/namespaces/default/daemonsets/log";
const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";
const EVENTS: &str = "/api/v1/namespaces/default/events";

fn template(name: &str) -> Value {
    let container = json!({"name": "c", "image": "app:1"});
    json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}})
}

pub(crate) fn stateful_set(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": template("web"),
        },
    })
}

pub(crate) fn daemon_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "log"},
        "spec": {"selector": {"matchLabels": {"app": "log"}}, "template": template("log")},
    })
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map(Vec::as_slice);
    let items = items.unwrap_or_default().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

fn images(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap())
        .collect()
}

/// Waits until so many pods are ready, of so many that there are.
async fn has_ready(world: &World, ready: u32, all: u32) {
    let is_so = |set: &Value| {
        let status = &set["status"];
        status["readyReplicas"].as_u64().unwrap_or(0) == u64::from(ready)
            && status["replicas"] == all
            && status["observedGeneration"] == set["metadata"]["generation"]
    };
    world.until(WEB, "so many pods are ready", is_so).await;
}

/// Makes the set's pods unready, or ready again.
async fn break_pods(world: &World, is_broken: bool) {
    let pods = world.get(PODS).await;
    let delay = is_broken.then_some("24h");
    for name in names(&pods) {
        let annotation = json!({"simulated.apiary.io/ready-delay": delay});
        let patch = json!({"metadata": {"annotations": annotation}});
        let path = format!("{PODS}/{name}");
        // What is no longer held up may be gone by now.
        let patched = world.request(http::Method::PATCH, &path, patch).await;
        let is_gone =
            |error: &kube::Error| matches!(error, kube::Error::Api(s) if s.is_not_found());
        assert!(patched.as_ref().err().is_none_or(is_gone), "{patched:?}");
    }
}

async fn scale(world: &World, replicas: u32) {
    world
        .merge(WEB, json!({"spec": {"replicas": replicas}}))
        .await;
}

/// The pods of these names are all that there are, now and ten seconds later.
async fn stays_with(world: &World, expected: &[&str]) {
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(names(&world.get(PODS).await), expected);
}

/// Follows the pods in the order in which they come (`ADDED`) or go (`DELETED`).
async fn order_of(world: &World, what: &str, count: usize, since: &Value) -> Vec<String> {
    let client = world.plane.client.clone();
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client, "default");
    let params = kube::api::WatchParams::default().labels("app=web");
    let version = since["metadata"]["resourceVersion"].as_str().unwrap();
    let mut events = Box::pin(pods.watch(&params, version).await.unwrap());
    let mut seen = vec![];
    while seen.len() < count {
        let event = futures::StreamExt::next(&mut events)
            .await
            .unwrap()
            .unwrap();
        match event {
            kube::api::WatchEvent::Added(pod) if what == "ADDED" => seen.extend(pod.metadata.name),
            kube::api::WatchEvent::Deleted(pod) if what == "DELETED" => {
                seen.extend(pod.metadata.name);
            }
            _ => {}
        }
    }
    seen
}

/// What conformance asks of a StatefulSet as "Scaling should happen in predictable order and halt if any stateful pod is
/// unhealthy".
#[tokio::test(start_paused = true)]
async fn scaling_happens_in_order_and_halts_while_a_pod_is_unhealthy() {
    let world = World::new(2).await;
    let start = world.get(PODS).await;
    world.post(SETS, stateful_set(1)).await;
    has_ready(&world, 1, 1).await;
    break_pods(&world, true).await;
    has_ready(&world, 0, 1).await;
    scale(&world, 3).await;
    stays_with(&world, &["web-0"]).await;
    break_pods(&world, false).await;
    has_ready(&world, 3, 3).await;
    assert_eq!(
        order_of(&world, "ADDED", 3, &start).await,
        ["web-0", "web-1", "web-2"]
    );
    break_pods(&world, true).await;
    has_ready(&world, 0, 3).await;
    scale(&world, 0).await;
    stays_with(&world, &["web-0", "web-1", "web-2"]).await;
    break_pods(&world, false).await;
    has_ready(&world, 0, 0).await;
    assert_eq!(
        order_of(&world, "DELETED", 3, &start).await,
        ["web-2", "web-1", "web-0"]
    );
}

/// What conformance asks of a StatefulSet as "Burst scaling should run to completion even with unhealthy pods".
#[tokio::test(start_paused = true)]
async fn burst_scaling_runs_to_completion_even_with_unhealthy_pods() {
    let world = World::new(2).await;
    let mut set = stateful_set(1);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    world.post(SETS, set).await;
    has_ready(&world, 1, 1).await;
    break_pods(&world, true).await;
    has_ready(&world, 0, 1).await;
    scale(&world, 3).await;
    has_ready(&world, 2, 3).await;
    break_pods(&world, false).await;
    has_ready(&world, 3, 3).await;
    break_pods(&world, true).await;
    has_ready(&world, 0, 3).await;
    scale(&world, 0).await;
    has_ready(&world, 0, 0).await;
    world
        .until(PODS, "all pods are gone", |pods| names(pods).is_empty())
        .await;
}

#[tokio::test(start_paused = true)]
async fn claims_go_with_the_pods_and_with_the_set_if_it_says_so() {
    let world = World::new(1).await;
    let mut set = stateful_set(3);
    let request =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": request}]);
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    set["spec"]["persistentVolumeClaimRetentionPolicy"] = policy;
    world.post(SETS, set).await;
    has_ready(&world, 3, 3).await;
    let three = ["data-web-0", "data-web-1", "data-web-2"];
    assert_eq!(names(&world.get(CLAIMS).await), three);
    let pod = world.get(&format!("{PODS}/web-1")).await;
    let claim = &pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"];
    assert_eq!(
        (&pod["spec"]["hostname"], claim),
        (&json!("web-1"), &json!("data-web-1"))
    );
    scale(&world, 1).await;
    let is_one = |claims: &Value| names(claims) == ["data-web-0"];
    world
        .until(CLAIMS, "their claims go with the pods", is_one)
        .await;
    scale(&world, 2).await;
    has_ready(&world, 2, 2).await;
    assert_eq!(
        names(&world.get(CLAIMS).await),
        ["data-web-0", "data-web-1"]
    );
    world.delete(WEB, Value::Null).await;
    world
        .until(CLAIMS, "the rest goes with the set", |claims| {
            names(claims).is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_leaves_no_room_is_told_and_tried_again() {
    let world = World::new(1).await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
    world.post(quotas, quota).await;
    let quota = format!("{quotas}/q");
    world
        .until(&quota, "it is calculated", |quota| {
            quota["status"]["hard"]["pods"] == "1"
        })
        .await;
    world.post(SETS, stateful_set(2)).await;
    let is_told = |events: &Value| {
        events["items"].as_array().unwrap().iter().any(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            event["reason"] == "FailedCreate"
                && message.starts_with(
                    "Create Pod web-1 in StatefulSet web failed error: pods \"web-1\" is forbidden",
                )
        })
    };
    world.until(EVENTS, "it is told", is_told).await;
    world
        .merge(&quota, json!({"spec": {"hard": {"pods": "5"}}}))
        .await;
    has_ready(&world, 2, 2).await;
}

async fn strategic(world: &World, path: &str, patch: &Value) {
    let request = http::Request::patch(path)
        .header("content-type", "application/strategic-merge-patch+json")
        .body(patch.to_string().into_bytes())
        .unwrap();
    let _: Value = world.plane.client.request(request).await.unwrap();
}

/// Rolls a workload to another image and back by its first revision, which then is the newest.
async fn rolls_there_and_back(world: &World, path: &str, count: usize) {
    let change = json!({"spec": {"template": {
        "metadata": {"annotations": {"note": "new"}},
        "spec": {"containers": [{"name": "c", "image": "app:2"}], "terminationGracePeriodSeconds": 5},
    }}});
    let before = world.get(path).await["spec"]["template"].clone();
    world.merge(path, change).await;
    let has = |image: &'static str| move |pods: &Value| images(pods) == vec![image; count];
    world
        .until(PODS, "all pods are updated", has("app:2"))
        .await;
    let revisions = world.get(REVISIONS).await;
    let mut all = revisions["items"].as_array().unwrap().iter();
    let first = all.find(|revision| revision["revision"] == 1).unwrap();
    // As kubectl does it.
    strategic(world, path, &first["data"]).await;
    assert_eq!(world.get(path).await["spec"]["template"], before);
    world
        .until(PODS, "all pods are as before", has("app:1"))
        .await;
    let revisions = world.get(REVISIONS).await;
    let mut numbers: Vec<i64> = revisions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|revision| revision["revision"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_is_rolled_back_by_its_revision() {
    let world = World::new(2).await;
    world.post(SETS, stateful_set(3)).await;
    has_ready(&world, 3, 3).await;
    rolls_there_and_back(&world, WEB, 3).await;
    let is_complete = |set: &Value| {
        let status = &set["status"];
        status["currentRevision"] == status["updateRevision"] && status["updatedReplicas"] == 3
    };
    world
        .until(WEB, "the rollback is complete", is_complete)
        .await;
}

/// Waits until every node that is to have an available pod of the present template has one.
async fn is_everywhere(world: &World, nodes: u32) {
    let is_so = |set: &Value| {
        let status = &set["status"];
        let counts = [
            "desiredNumberScheduled",
            "updatedNumberScheduled",
            "numberAvailable",
        ];
        counts.iter().all(|count| status[*count] == nodes)
            && status["observedGeneration"] == set["metadata"]["generation"]
    };
    world.until(LOG, "there is one on every node", is_so).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_is_rolled_back_by_its_revision() {
    let world = World::new(2).await;
    world.post(DAEMONS, daemon_set()).await;
    is_everywhere(&world, 2).await;
    rolls_there_and_back(&world, LOG, 2).await;
    is_everywhere(&world, 2).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_come_and_go_and_are_tainted_change_where_a_daemon_set_runs() {
    let world = World::new(1).await;
    world.post(DAEMONS, daemon_set()).await;
    is_everywhere(&world, 1).await;
    world.start_node(2);
    is_everywhere(&world, 2).await;
    let node = "/api/v1/nodes/node-2";
    // Cordons are borne, other taints aren't: with NoSchedule a pod stays, with NoExecute it goes.
    world
        .merge(node, json!({"spec": {"unschedulable": true}}))
        .await;
    let taint = |effect: &str| json!({"spec": {"taints": [{"key": "gpu", "effect": effect}]}});
    world.merge(node, taint("NoSchedule")).await;
    world
        .until(LOG, "it is not meant to be there", |set| {
            set["status"]["numberMisscheduled"] == 1
        })
        .await;
    assert_eq!(names(&world.get(PODS).await).len(), 2);
    world.merge(node, taint("NoExecute")).await;
    world
        .until(PODS, "it goes", |pods| names(pods).len() == 1)
        .await;
    world
        .merge(
            node,
            json!({"spec": {"taints": [], "unschedulable": false}}),
        )
        .await;
    is_everywhere(&world, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_pod_that_fails_again_and_again_is_left_alone_for_longer_and_longer() {
    let world = World::new(1).await;
    world.post(DAEMONS, daemon_set()).await;
    is_everywhere(&world, 1).await;
    let mut pauses = vec![];
    for _ in 0..4 {
        let pods = world.get(PODS).await;
        let failed = names(&pods)[0].to_owned();
        let path = format!("{PODS}/{failed}");
        world
            .merge(
                &format!("{path}/status"),
                json!({"status": {"phase": "Failed"}}),
            )
            .await;
        let before = world.clock.now();
        let is_replaced = |pods: &Value| names(pods).iter().any(|name| *name != failed);
        world.until(PODS, "it is made anew", is_replaced).await;
        pauses.push(world.clock.now().duration_since(before).as_secs());
        is_everywhere(&world, 1).await;
    }
    assert_eq!(pauses, [0, 1, 2, 4]);
    let is_told = |events: &Value| {
        let mut events = events["items"].as_array().unwrap().iter();
        events.any(|event| event["reason"] == "FailedDaemonPod")
    };
    world.until(EVENTS, "it is told", is_told).await;
}

/// How many passes the controller of DaemonSets made.
async fn passes(world: &World) -> u64 {
    let request = http::Request::get("/metrics").body(vec![]).unwrap();
    let text = world.plane.client.request_text(request).await.unwrap();
    let mut lines = text.lines();
    let line = lines.find(|line| line.contains("passes_total{") && line.contains("\"daemonset\""));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_node_says_of_its_health_wakes_no_daemon_set() {
    let world = World::new(2).await;
    world.post(DAEMONS, daemon_set()).await;
    is_everywhere(&world, 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = passes(&world).await;
    let node = "/api/v1/nodes/node-1";
    for at in 10..20 {
        let heartbeat = json!({"type": "DiskPressure", "status": "False", "lastHeartbeatTime": format!("2026-04-22T12:{at}:00Z")});
        let status = json!({"status": {"conditions": [heartbeat]}});
        strategic(&world, &format!("{node}/status"), &status).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(passes(&world).await, before);
    world
        .merge(node, json!({"metadata": {"labels": {"color": "blue"}}}))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(passes(&world).await, before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_revision_whose_name_is_taken_gets_another_and_the_status_counts_it() {
    let world = World::new(1).await;
    world.post(DAEMONS, daemon_set()).await;
    is_everywhere(&world, 1).await;
    let revisions = world.get(REVISIONS).await;
    let taken = names(&revisions)[0].to_owned();
    world.delete(LOG, Value::Null).await;
    world
        .until(REVISIONS, "it goes with its owner", |all| {
            names(all).is_empty()
        })
        .await;
    let other = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": taken}, "data": {}, "revision": 1});
    world.post(REVISIONS, other).await;
    world.post(DAEMONS, daemon_set()).await;
    is_everywhere(&world, 1).await;
    assert_eq!(world.get(LOG).await["status"]["collisionCount"], 1);
    let revisions = world.get(REVISIONS).await;
    let mut all = names(&revisions);
    all.retain(|name| *name != taken);
    assert_eq!(all.len(), 1, "{revisions:#}");
    let label = all[0].strip_prefix("log-");
    let pods = world.get(PODS).await;
    let hash = &pods["items"][0]["metadata"]["labels"]["controller-revision-hash"];
    assert_eq!(hash.as_str(), label);
}
