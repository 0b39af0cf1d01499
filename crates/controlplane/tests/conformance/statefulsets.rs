//! StatefulSets on simulated nodes.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions, names, revision};

const REVISION: &str = "controller-revision-hash";

fn stateful_sets(suite: &Suite) -> Kind<'_> {
    suite.namespaced("apps/v1", "StatefulSet", "statefulsets")
}

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

/// Two nodes, and the headless Service of the sets.
async fn with_service() -> Suite {
    let suite = Suite::with_nodes(2).await;
    let spec = json!({"clusterIP": "None", "selector": {"foo": "bar"}, "ports": [{"port": 80, "name": "http"}]});
    suite
        .namespaced("v1", "Service", "services")
        .create(json!({"metadata": {"name": "test"}, "spec": spec}))
        .await;
    suite
}

fn stateful_set(name: &str, replicas: u32) -> Value {
    let labels = json!({"foo": "bar", "baz": "blah"});
    let probe = json!({"httpGet": {"path": "/index.html", "port": 80}, "periodSeconds": 1, "failureThreshold": 1});
    let container = json!({"name": "webserver", "image": "agnhost:1", "readinessProbe": probe});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "serviceName": "test", "selector": {"matchLabels": labels}, "template": template,
            "updateStrategy": {"type": "RollingUpdate"},
        },
    })
}

/// Waits until so many pods run and are ready, and the status has seen the spec.
async fn is_running(suite: &Suite, name: &str, count: usize) -> Value {
    let path = pods(suite).path("");
    let is_ready = |pod: &Value| {
        let ready = conditions(pod).get("Ready").map(|c| c["status"].clone());
        pod["metadata"]["deletionTimestamp"].is_null()
            && pod["status"]["phase"] == "Running"
            && ready == Some(json!("True"))
    };
    suite
        .until(&path, "all pods run and are ready", |list| {
            let items = list["items"].as_array().unwrap();
            items.len() == count && items.iter().all(is_ready)
        })
        .await;
    let is_seen = |set: &Value| {
        set["status"]["observedGeneration"] == set["metadata"]["generation"]
            && set["status"]["readyReplicas"] == count
    };
    stateful_sets(suite)
        .until(name, "the status has seen it", is_seen)
        .await
}

#[tokio::test(start_paused = true)]
async fn statefulset_basic_statefulset_functionality_should_have_a_working_scale_subresource() {
    let suite = with_service().await;
    let kind = stateful_sets(&suite);
    kind.create(stateful_set("ss", 1)).await;
    is_running(&suite, "ss", 1).await;
    let mut scale = kind.get("ss/scale").await;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["replicas"]),
        (&json!(1), &json!(1))
    );
    scale["metadata"]["resourceVersion"] = json!("");
    scale["spec"]["replicas"] = json!(2);
    assert_eq!(kind.put("ss/scale", scale).await["spec"]["replicas"], 2);
    assert_eq!(kind.get("ss").await["spec"]["replicas"], 2);
    kind.strategic("ss/scale", json!({"spec": {"replicas": 4}}))
        .await;
    assert_eq!(kind.get("ss").await["spec"]["replicas"], 4);
    is_running(&suite, "ss", 4).await;
}

#[tokio::test(start_paused = true)]
async fn statefulset_basic_statefulset_functionality_should_list_patch_and_delete_a_collection_of_statefulsets()
 {
    let suite = with_service().await;
    let kind = stateful_sets(&suite);
    let created = kind.create(stateful_set("test-ss", 1)).await;
    assert!(revision(&created) > 0);
    let before = is_running(&suite, "test-ss", 1).await;
    let container = json!({"name": "test-ss", "image": "pause"});
    let template = json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let patch = json!({"metadata": {"labels": {"test-ss": "patched"}}, "spec": {"replicas": 2, "template": template}});
    let patched = kind.strategic("test-ss", patch).await;
    assert!(revision(&patched) > revision(&before));
    assert_eq!(patched["spec"]["replicas"], 2);
    assert_eq!(
        patched["spec"]["template"]["spec"]["containers"][0]["image"],
        "pause"
    );
    is_running(&suite, "test-ss", 2).await;
    let query = "labelSelector=test-ss%3Dpatched";
    assert_eq!(names(&kind.everywhere().list(query).await), ["test-ss"]);
    kind.delete_collection(query).await;
    assert_eq!(kind.everywhere().count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn statefulset_basic_statefulset_functionality_should_validate_statefulset_status_endpoints()
{
    let suite = with_service().await;
    let kind = stateful_sets(&suite);
    let mut watch = kind.watch("labelSelector=e2e%3Dtesting").await;
    kind.create(stateful_set("ss", 1)).await;
    is_running(&suite, "ss", 1).await;
    kind.strategic("ss", json!({"metadata": {"labels": {"e2e": "testing"}}}))
        .await;
    assert_eq!(kind.get("ss/status").await["kind"], "StatefulSet");
    let condition = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"});
    kind.update("ss/status", |set| {
        set["status"]["conditions"] = json!([condition]);
    })
    .await;
    watch
        .until("MODIFIED", |set| {
            conditions(set)
                .get("StatusUpdate")
                .is_some_and(|c| c["reason"] == "E2E" && c["message"] == "Set from e2e test")
        })
        .await;
    let patch = json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}});
    kind.merge("ss/status", patch).await;
    watch
        .until("MODIFIED", |set| {
            conditions(set).contains_key("StatusPatched")
        })
        .await;
}

/// The image and revision of each pod, in the order of their names.
fn versions(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = |pod: &Value| {
        let image = text(&pod["spec"]["containers"][0]["image"]);
        (image, text(&pod["metadata"]["labels"][REVISION]))
    };
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(version)
        .collect()
}

/// What the set `ss2` says of its revisions: the current one and the update's.
fn revisions(set: &Value) -> (String, String) {
    let text = |key: &str| set["status"][key].as_str().unwrap().to_owned();
    (text("currentRevision"), text("updateRevision"))
}

/// Moves the partition, and waits until the pods from there on are updated and the others are not.
async fn updates_from(suite: &Suite, partition: usize, old: &str, new: &str) {
    stateful_sets(suite)
        .update("ss2", |set| {
            let rolling = json!({"partition": partition});
            set["spec"]["updateStrategy"] =
                json!({"type": "RollingUpdate", "rollingUpdate": rolling});
        })
        .await;
    stateful_sets(suite)
        .until("ss2", "the status has seen it", |set| {
            set["status"]["observedGeneration"] == set["metadata"]["generation"]
        })
        .await;
    let has_partition = |list: &Value| versions(list) == expected(partition, old, new);
    let path = pods(suite).path("");
    suite
        .until(
            &path,
            "the pods from the partition on are updated",
            has_partition,
        )
        .await;
}

/// Three pods: those below the partition are of the old revision, all others of the new one.
fn expected(partition: usize, old: &str, new: &str) -> Vec<(String, String)> {
    let version = |at: usize| {
        let (image, revision) = if at < partition {
            ("agnhost:1", old)
        } else {
            ("agnhost:2", new)
        };
        (image.to_owned(), revision.to_owned())
    };
    (0..3).map(version).collect()
}

#[tokio::test(start_paused = true)]
async fn statefulset_basic_statefulset_functionality_should_perform_canary_updates_and_phased_rolling_updates_of_template_modifications()
 {
    let suite = with_service().await;
    let kind = stateful_sets(&suite);
    let mut set = stateful_set("ss2", 3);
    set["spec"]["updateStrategy"]["rollingUpdate"] = json!({"partition": 3});
    kind.create(set).await;
    let (old, new) = revisions(&is_running(&suite, "ss2", 3).await);
    assert_eq!(old, new);
    assert_eq!(
        versions(&pods(&suite).list("").await),
        expected(3, &old, "")
    );
    kind.update("ss2", |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("agnhost:2");
    })
    .await;
    let (current, new) = revisions(&is_running(&suite, "ss2", 3).await);
    assert_eq!(current, old);
    assert_ne!(new, old);
    // Beyond the last pod nothing is to be updated.
    assert_eq!(
        versions(&pods(&suite).list("").await),
        expected(3, &old, &new)
    );
    updates_from(&suite, 2, &old, &new).await;
    is_running(&suite, "ss2", 3).await;
    // Pods come back as they were.
    let uids = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|pod| pod["metadata"]["uid"].clone())
            .collect::<Vec<_>>()
    };
    let before = uids(&pods(&suite).list("").await);
    for name in ["ss2-0", "ss2-2"] {
        pods(&suite).delete(name).await;
    }
    let path = pods(&suite).path("");
    let are_back = |list: &Value| {
        let now = uids(list);
        now.len() == 3 && now[0] != before[0] && now[2] != before[2]
    };
    suite.until(&path, "the pods are back", are_back).await;
    is_running(&suite, "ss2", 3).await;
    assert_eq!(
        versions(&pods(&suite).list("").await),
        expected(2, &old, &new)
    );
    for partition in [1, 0] {
        updates_from(&suite, partition, &old, &new).await;
        is_running(&suite, "ss2", 3).await;
    }
    kind.until("ss2", "the update is complete", |set| {
        revisions(set) == (new.clone(), new.clone())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn statefulset_basic_statefulset_functionality_should_recreate_evicted_statefulset() {
    let suite = with_service().await;
    let kind = pods(&suite);
    let port = json!({"hostPort": 21017, "containerPort": 21017, "name": "conflict"});
    let container = json!({"name": "agnhost", "image": "agnhost", "ports": [port]});
    kind.create(json!({
        "metadata": {"name": "test-pod"}, "spec": {"nodeName": "node-1", "containers": [container]},
    }))
    .await;
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    kind.until("test-pod", "it runs", is_running).await;
    let mut watch = kind.watch("fieldSelector=metadata.name%3Dss-0").await;
    let mut set = stateful_set("ss", 1);
    set["spec"]["template"]["spec"]["nodeName"] = json!("node-1");
    set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([port]);
    stateful_sets(&suite).create(set).await;
    let first = watch.expect("ADDED").await["metadata"]["uid"].clone();
    // The kubelet refuses it, because its port is taken, and the set makes another one.
    let is_refused =
        |pod: &Value| pod["status"]["phase"] == "Failed" && pod["status"]["reason"] == "NodePorts";
    watch.until("MODIFIED", is_refused).await;
    watch
        .until("DELETED", |pod| pod["metadata"]["uid"] == first)
        .await;
    kind.delete_with("test-pod", json!({"gracePeriodSeconds": 0}))
        .await;
    kind.until("ss-0", "it is made anew and runs", |pod| {
        is_running(pod) && pod["metadata"]["uid"] != first
    })
    .await;
}
