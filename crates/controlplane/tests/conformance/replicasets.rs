//! ReplicaSets and ReplicationControllers: which pods are theirs, scaling, status.

use serde_json::{Value, json};

use crate::apps::{make_controller, pods, replication_controllers};
use crate::kind::Kind;
use crate::world::{Suite, conditions, names, revision};

pub(crate) fn replica_sets(suite: &Suite) -> Kind<'_> {
    suite.namespaced("apps/v1", "ReplicaSet", "replicasets")
}

/// A ReplicaSet of pods with these labels, which has them itself.
pub(crate) fn replica_set(name: &str, replicas: u32, labels: Value) -> Value {
    let pod = json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "agnhost", "image": "agnhost"}]});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let spec =
        json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
    json!({"metadata": {"name": name, "labels": labels}, "spec": spec})
}

/// Makes a ReplicaSet `test-rs` and waits until its pods are available.
async fn make_set<'a>(suite: &'a Suite, replicas: u32) -> (Kind<'a>, Value) {
    let kind = replica_sets(suite);
    let labels = json!({"name": "sample-pod", "pod": "agnhost"});
    let created = kind.create(replica_set("test-rs", replicas, labels)).await;
    kind.until("test-rs", "its pods are available", |set| {
        set["status"]["availableReplicas"] == replicas
    })
    .await;
    (kind, created)
}

/// `/scale` of an object with one replica is read, updated and patched.
pub(crate) async fn scales(kind: &Kind<'_>, name: &str) {
    let path = format!("{name}/scale");
    let mut scale = kind.get(&path).await;
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["spec"]["replicas"], 1);
    assert_eq!(scale["status"]["replicas"], 1);
    scale["metadata"]["resourceVersion"] = json!("");
    scale["spec"]["replicas"] = json!(2);
    let scaled = kind.put(&path, scale).await;
    assert_eq!(scaled["spec"]["replicas"], 2);
    assert_eq!(kind.get(name).await["spec"]["replicas"], 2);
    // As clients with types write it.
    let patch = json!({"metadata": {}, "spec": {"replicas": 4}, "status": {"replicas": 0}});
    kind.strategic(&path, patch).await;
    assert_eq!(kind.get(name).await["spec"]["replicas"], 4);
    kind.until(name, "there are four", |object| {
        object["status"]["replicas"] == 4
    })
    .await;
}

/// `/status` is read, updated and patched, and watches show it.
pub(crate) async fn status_can_be_changed(kind: &Kind<'_>, name: &str) {
    let path = format!("{name}/status");
    let read = kind.get(&path).await;
    assert_eq!(read["kind"], kind.kind);
    let mut watch = kind
        .watch(&format!("resourceVersion={}", revision(&read)))
        .await;
    let condition = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"});
    let updated = kind
        .update(&path, |object| {
            let status = &mut object["status"];
            if status["conditions"].is_null() {
                status["conditions"] = json!([]);
            }
            let all = status["conditions"].as_array_mut().unwrap();
            all.push(condition.clone());
        })
        .await;
    let is_updated = |object: &Value| {
        conditions(object)
            .get("StatusUpdate")
            .is_some_and(|c| c["reason"] == "E2E" && c["message"] == "Set from e2e test")
    };
    assert!(is_updated(&updated), "{updated:#}");
    watch.until("MODIFIED", is_updated).await;
    let patch = json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}});
    let patched = kind.merge(&path, patch).await;
    let is_patched = |object: &Value| conditions(object).contains_key("StatusPatched");
    assert!(is_patched(&patched), "{patched:#}");
    watch.until("MODIFIED", is_patched).await;
}

/// A pod that no controller made.
async fn make_pod(suite: &Suite, name: &str) {
    let containers = json!([{"name": name, "image": "agnhost"}]);
    let metadata = json!({"name": name, "labels": {"name": name}});
    pods(suite)
        .create(json!({"metadata": metadata, "spec": {"containers": containers}}))
        .await;
}

fn is_controlled_by(pod: &Value, owner: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten();
    owners.any(|o| o["controller"] == true && o["uid"] == owner["metadata"]["uid"])
}

#[tokio::test(start_paused = true)]
async fn replicaset_should_adopt_matching_pods_on_creation_and_release_no_longer_matching_pods() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (pods(&suite), "pod-adoption-release");
    make_pod(&suite, name).await;
    kind.until(name, "it runs", |pod| pod["status"]["phase"] == "Running")
        .await;
    let set = replica_sets(&suite)
        .create(replica_set(name, 1, json!({"name": name})))
        .await;
    kind.until(name, "it is adopted", |pod| is_controlled_by(pod, &set))
        .await;
    assert_eq!(kind.count("").await, 1);
    kind.update(name, |pod| {
        pod["metadata"]["labels"] = json!({"name": "not-matching-name"});
    })
    .await;
    kind.until(name, "it is released", |pod| !is_controlled_by(pod, &set))
        .await;
}

#[tokio::test(start_paused = true)]
async fn replicaset_replicaset_should_have_a_working_scale_subresource() {
    let suite = Suite::with_nodes(1).await;
    let (kind, _) = make_set(&suite, 1).await;
    scales(&kind, "test-rs").await;
}

#[tokio::test(start_paused = true)]
async fn replicaset_replace_and_patch_tests() {
    let suite = Suite::with_nodes(1).await;
    let query = "labelSelector=test-rs%3Dpatched";
    let since = revision(&replica_sets(&suite).everywhere().list(query).await);
    let (kind, created) = make_set(&suite, 1).await;
    kind.update("test-rs", |set| set["spec"]["replicas"] = json!(2))
        .await;
    let container = json!({"name": "test-rs", "image": "pause"});
    let pod = json!({"terminationGracePeriodSeconds": 0, "containers": [container]});
    let spec = json!({"replicas": 3, "template": {"spec": pod}});
    let patch = json!({"metadata": {"labels": {"test-rs": "patched"}}, "spec": spec});
    let patched = kind.strategic("test-rs", patch).await;
    assert!(revision(&patched) > revision(&created));
    let mut watch = kind
        .watch(&format!("{query}&resourceVersion={since}"))
        .await;
    // The container is another one: it comes before the one that was there.
    let is_so = |set: &Value| {
        let (pod, status) = (&set["spec"]["template"]["spec"], &set["status"]);
        status["readyReplicas"] == 3
            && status["availableReplicas"] == 3
            && pod["containers"][0]["image"] == "pause"
            && pod["terminationGracePeriodSeconds"] == 0
    };
    assert_eq!(
        patched["spec"]["template"]["spec"]["containers"][0]["image"],
        "pause"
    );
    watch.until("MODIFIED", is_so).await;
}

#[tokio::test(start_paused = true)]
async fn replicaset_should_list_and_delete_a_collection_of_replicasets() {
    let suite = Suite::with_nodes(1).await;
    let (kind, _) = make_set(&suite, 3).await;
    kind.merge("test-rs", json!({"metadata": {"labels": {"e2e": "some"}}}))
        .await;
    let query = "labelSelector=e2e%3Dsome";
    assert_eq!(names(&kind.everywhere().list(query).await), ["test-rs"]);
    let path = format!("{}?{query}&gracePeriodSeconds=1", kind.path(""));
    suite.send(http::Method::DELETE, &path, &[], "").await.ok();
    assert_eq!(kind.everywhere().count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn replicaset_should_validate_replicaset_status_endpoints() {
    let suite = Suite::with_nodes(1).await;
    let (kind, _) = make_set(&suite, 1).await;
    status_can_be_changed(&kind, "test-rs").await;
}

#[tokio::test(start_paused = true)]
async fn replicationcontroller_should_adopt_matching_pods_on_creation() {
    let suite = Suite::with_nodes(1).await;
    make_pod(&suite, "pod-adoption").await;
    let controller = make_controller(&suite, "pod-adoption", 1).await;
    pods(&suite)
        .until("pod-adoption", "it is adopted", |pod| {
            is_controlled_by(pod, &controller)
        })
        .await;
    assert_eq!(pods(&suite).count("").await, 1);
}

#[tokio::test(start_paused = true)]
async fn replicationcontroller_should_test_the_lifecycle_of_a_replicationcontroller() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (replication_controllers(&suite), "rc-test");
    let query = "labelSelector=test-rc-static%3Dtrue";
    let mut watch = kind.watch(query).await;
    let labels = json!({"test-rc-static": "true"});
    let containers = json!([{"name": name, "image": "nginx"}]);
    let template =
        json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}});
    let spec = json!({"replicas": 1, "selector": labels, "template": template});
    let created = kind
        .create(json!({"metadata": {"name": name, "labels": labels}, "spec": spec}))
        .await;
    watch.expect("ADDED").await;
    let has = |count: u32| {
        move |rc: &Value| {
            rc["status"]["replicas"] == count && rc["status"]["readyReplicas"] == count
        }
    };
    watch.until("MODIFIED", has(1)).await;

    let patch = json!({"metadata": {"labels": {"test-rc": "patched"}}});
    let patched = kind.strategic(name, patch).await;
    assert!(revision(&patched) > revision(&created));
    let is_patched = |rc: &Value| rc["metadata"]["labels"]["test-rc"] == "patched";
    watch.until("MODIFIED", is_patched).await;

    let patch = json!({"status": {"readyReplicas": 0, "availableReplicas": 0}});
    let patched = kind.strategic(&format!("{name}/status"), patch).await;
    assert_eq!(patched["status"]["readyReplicas"].as_i64().unwrap_or(0), 0);
    watch
        .until("MODIFIED", |rc| {
            rc["status"]["readyReplicas"].as_i64().unwrap_or(0) == 0
        })
        .await;
    // The controller says how it is.
    watch.until("MODIFIED", has(1)).await;
    let status = kind.get(&format!("{name}/status")).await;
    assert_eq!(status["status"]["replicas"], 1);

    let patch = json!({"metadata": {}, "spec": {"replicas": 2}, "status": {"replicas": 0}});
    kind.strategic(&format!("{name}/scale"), patch).await;
    watch.until("MODIFIED", has(2)).await;
    kind.update(&format!("{name}/status"), |rc| {
        rc["status"]["availableReplicas"] = json!(1);
        rc["status"]["readyReplicas"] = json!(1);
    })
    .await;
    watch
        .until("MODIFIED", |rc| rc["status"]["readyReplicas"] == 1)
        .await;
    let list = kind.everywhere().list(query).await;
    assert_eq!(names(&list), [name]);
    assert!(is_patched(&list["items"][0]));
    kind.delete_collection(query).await;
    watch.until("DELETED", |_| true).await;
}
