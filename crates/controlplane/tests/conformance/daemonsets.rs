//! DaemonSets on simulated nodes, and the revisions of their templates.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions, names, revision};

const NAME: &str = "daemon-set";
const HASH: &str = "controller-revision-hash";

fn daemon_sets(suite: &Suite) -> Kind<'_> {
    suite.namespaced("apps/v1", "DaemonSet", "daemonsets")
}

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

fn revisions(suite: &Suite) -> Kind<'_> {
    suite.namespaced("apps/v1", "ControllerRevision", "controllerrevisions")
}

/// A DaemonSet whose pods have the label `daemonset-name`, as it has itself.
fn daemon_set() -> Value {
    let labels = json!({"daemonset-name": NAME});
    let container =
        json!({"name": "app", "image": "agnhost:1", "ports": [{"containerPort": 9376}]});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    json!({
        "metadata": {"name": NAME, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    })
}

fn image_patch(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}})
}

fn is_ready(pod: &Value) -> bool {
    conditions(pod)
        .get("Ready")
        .is_some_and(|ready| ready["status"] == "True")
}

/// The pods that are not being deleted.
fn staying(list: &Value) -> Vec<&Value> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .collect()
}

/// How many available pods each node has.
fn available(list: &Value) -> BTreeMap<&str, usize> {
    let mut nodes = BTreeMap::new();
    for pod in staying(list).into_iter().filter(|pod| is_ready(pod)) {
        let node = pod["spec"]["nodeName"].as_str().unwrap();
        *nodes.entry(node).or_default() += 1;
    }
    nodes
}

/// Waits until just these nodes have one available pod each.
async fn runs_on(suite: &Suite, nodes: &[&str]) -> Value {
    let wanted: BTreeMap<&str, usize> = nodes.iter().map(|node| (*node, 1)).collect();
    let path = pods(suite).path("");
    suite
        .until(&path, "one pod on each node", |list| {
            available(list) == wanted
        })
        .await
}

/// Waits until the status says that all pods are there.
async fn is_settled(suite: &Suite) -> Value {
    let kind = daemon_sets(suite);
    let is_so = |set: &Value| {
        let status = &set["status"];
        let desired = &status["desiredNumberScheduled"];
        status["observedGeneration"] == set["metadata"]["generation"]
            && *desired == status["currentNumberScheduled"]
            && *desired == status["numberReady"]
    };
    kind.until(NAME, "all pods are ready", is_so).await
}

/// Two nodes, and a DaemonSet that runs on them.
async fn running(daemon_set: Value) -> Suite {
    let suite = Suite::with_nodes(2).await;
    daemon_sets(&suite).create(daemon_set).await;
    runs_on(&suite, &["node-1", "node-2"]).await;
    is_settled(&suite).await;
    suite
}

async fn label_node(suite: &Suite, name: &str, color: &str) {
    let nodes = suite.cluster_wide("v1", "Node", "nodes");
    let labels = json!({"metadata": {"labels": {"daemonset-color": color}}});
    nodes.merge(name, labels).await;
}

/// The revision of the present template, which is one of so many; the pods that stay are of it.
async fn current_revision(suite: &Suite, count: usize) -> Value {
    let path = revisions(suite).path("");
    let has_all = |list: &Value| list["items"].as_array().unwrap().len() == count;
    let list = suite.until(&path, "the revisions are there", has_all).await;
    let set = daemon_sets(suite).get(NAME).await;
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    let mut of_present = list["items"].as_array().unwrap().iter();
    let found = of_present.find(|revision| revision["data"]["spec"]["template"] == template);
    let found = found.unwrap_or_else(|| panic!("no revision of {template:#} in {list:#}"));
    assert_eq!(
        found["metadata"]["ownerReferences"][0]["uid"],
        set["metadata"]["uid"]
    );
    found.clone()
}

async fn assert_pods_are_of(suite: &Suite, revision: &Value) {
    let hash = &revision["metadata"]["labels"][HASH];
    assert!(hash.is_string(), "{revision:#}");
    let list = pods(suite).list("").await;
    for pod in staying(&list) {
        assert_eq!(pod["metadata"]["labels"][HASH], *hash);
    }
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_run_and_stop_simple_daemon() {
    let suite = running(daemon_set()).await;
    let kind = pods(&suite);
    let stopped = names(&kind.list("").await).remove(0);
    kind.delete(&stopped).await;
    kind.until_gone(&stopped).await;
    runs_on(&suite, &["node-1", "node-2"]).await;
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_run_and_stop_complex_daemon() {
    let suite = Suite::with_nodes(2).await;
    let kind = daemon_sets(&suite);
    let mut set = daemon_set();
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"daemonset-color": "blue"});
    kind.create(set).await;
    is_settled(&suite).await;
    assert_eq!(pods(&suite).count("").await, 0);
    label_node(&suite, "node-2", "blue").await;
    runs_on(&suite, &["node-2"]).await;
    is_settled(&suite).await;
    label_node(&suite, "node-2", "green").await;
    runs_on(&suite, &[]).await;
    let template = json!({"spec": {"nodeSelector": {"daemonset-color": "green"}}});
    let patch =
        json!({"spec": {"template": template, "updateStrategy": {"type": "RollingUpdate"}}});
    kind.strategic(NAME, patch).await;
    runs_on(&suite, &["node-2"]).await;
    is_settled(&suite).await;
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_retry_creating_failed_daemon_pods() {
    let suite = running(daemon_set()).await;
    let kind = pods(&suite);
    let mut pod = kind.list("").await["items"][0].clone();
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    pod["metadata"]["resourceVersion"] = json!("");
    pod["status"]["phase"] = json!("Failed");
    kind.put(&format!("{name}/status"), pod).await;
    kind.until_gone(&name).await;
    runs_on(&suite, &["node-1", "node-2"]).await;
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_update_pod_when_spec_was_updated_and_update_strategy_is_rollingupdate() {
    let mut set = daemon_set();
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate"});
    let suite = running(set).await;
    let first = current_revision(&suite, 1).await;
    assert_eq!(first["revision"], 1);
    assert_pods_are_of(&suite, &first).await;
    let kind = daemon_sets(&suite);
    let before = kind.get(NAME).await;
    let patched = kind.strategic(NAME, image_patch("agnhost:2")).await;
    assert!(revision(&patched) > revision(&before));
    rolls_to(&suite, "agnhost:2").await;
    runs_on(&suite, &["node-1", "node-2"]).await;
    let second = current_revision(&suite, 2).await;
    assert_eq!(second["revision"], 2);
    assert_pods_are_of(&suite, &second).await;
}

/// Waits until every node has a pod with this image; at no time more than one pod is unavailable.
async fn rolls_to(suite: &Suite, image: &str) -> Value {
    let path = pods(suite).path("");
    let is_done = |list: &Value| {
        let staying = staying(list);
        let unavailable = staying.iter().filter(|pod| !is_ready(pod)).count();
        assert!(unavailable <= 1, "{list:#}");
        let has_image = |pod: &&&Value| pod["spec"]["containers"][0]["image"] == image;
        let updated = staying.iter().filter(has_image);
        let nodes: Vec<_> = updated
            .filter_map(|pod| pod["spec"]["nodeName"].as_str())
            .collect();
        nodes.contains(&"node-1") && nodes.contains(&"node-2")
    };
    suite.until(&path, "all pods are updated", is_done).await
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_rollback_without_unnecessary_restarts() {
    let mut set = daemon_set();
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate"});
    let suite = running(set).await;
    let kind = daemon_sets(&suite);
    // An image that nobody has; simulated nodes have all of them but for those that are said to be missing.
    let missing = json!({"simulated.apiary.io/pull-error": "not found"});
    kind.update(NAME, |set| {
        let template = &mut set["spec"]["template"];
        template["metadata"]["annotations"] = missing.clone();
        template["spec"]["containers"][0]["image"] = json!("foo:non-existent");
    })
    .await;
    let path = pods(&suite).path("");
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].clone();
    let is_under_way = |list: &Value| {
        staying(list)
            .into_iter()
            .any(|pod| image(pod) == "foo:non-existent")
    };
    let list = suite
        .until(&path, "the update is under way", is_under_way)
        .await;
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    let old = staying(&list)
        .into_iter()
        .filter(|pod| image(pod) == "agnhost:1");
    let old: Vec<String> = old.map(name).collect();
    assert!(!old.is_empty(), "{list:#}");
    kind.update(NAME, |set| {
        let template = &mut set["spec"]["template"];
        template["metadata"]["annotations"] = json!({});
        template["spec"]["containers"][0]["image"] = json!("agnhost:1");
    })
    .await;
    let list = rolls_to(&suite, "agnhost:1").await;
    let now = names(&list);
    assert!(
        old.iter().all(|old| now.contains(old)),
        "{old:?} in {now:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_list_and_delete_a_collection_of_daemonsets() {
    let suite = running(daemon_set()).await;
    let kind = daemon_sets(&suite);
    let query = "labelSelector=daemonset-name%3Ddaemon-set";
    assert_eq!(names(&kind.everywhere().list(query).await), [NAME]);
    kind.delete_collection(query).await;
    assert_eq!(kind.everywhere().count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn daemon_set_should_verify_changes_to_a_daemon_set_status() {
    let suite = running(daemon_set()).await;
    let kind = daemon_sets(&suite);
    let mut watch = kind
        .watch("labelSelector=daemonset-name%3Ddaemon-set")
        .await;
    assert_eq!(
        kind.get(&format!("{NAME}/status")).await["kind"],
        "DaemonSet"
    );
    let condition = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"});
    kind.update(&format!("{NAME}/status"), |set| {
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
    kind.merge(&format!("{NAME}/status"), patch).await;
    watch
        .until("MODIFIED", |set| {
            conditions(set).contains_key("StatusPatched")
        })
        .await;
}

/// Waits until there are so many revisions.
async fn has_revisions(suite: &Suite, count: usize) -> Value {
    let path = revisions(suite).path("");
    let has_all = |list: &Value| list["items"].as_array().unwrap().len() == count;
    suite
        .until(&path, "so many revisions are there", has_all)
        .await
}

#[tokio::test(start_paused = true)]
async fn controllerrevision_should_manage_the_lifecycle_of_a_controllerrevision() {
    let suite = running(daemon_set()).await;
    let (kind, sets) = (revisions(&suite), daemon_sets(&suite));
    let query = "labelSelector=daemonset-name%3Ddaemon-set";
    let listed = kind.everywhere().list(query).await;
    assert_eq!(names(&listed).len(), 1);
    let set = sets.get(NAME).await;
    let owner = &listed["items"][0]["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("DaemonSet"), &set["metadata"]["uid"])
    );
    let first = names(&listed).remove(0);
    let initial = kind.get(&first).await;
    let patched = kind
        .strategic(
            &first,
            json!({"metadata": {"labels": {first.as_str(): "patched"}}}),
        )
        .await;
    assert_eq!(patched["metadata"]["labels"][&first], "patched");
    assert!(revision(&patched) > revision(&initial));
    // One more that somebody makes for the DaemonSet.
    let mut labels = set["spec"]["template"]["metadata"]["labels"].clone();
    labels[HASH] = json!("handmade");
    let second = format!("{NAME}-handmade");
    let number = initial["revision"].as_i64().unwrap() + 1;
    kind.create(json!({
        "metadata": {"name": second, "labels": labels, "ownerReferences": [owner]},
        "data": initial["data"], "revision": number,
    }))
    .await;
    has_revisions(&suite, 2).await;
    kind.delete(&first).await;
    assert_eq!(names(&has_revisions(&suite, 1).await), [second.as_str()]);
    let updated = kind
        .update(&second, |object| {
            object["metadata"]["labels"][&second] = json!("updated");
        })
        .await;
    assert_eq!(updated["metadata"]["labels"][&second], "updated");
    let patch = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}});
    sets.strategic(NAME, patch).await;
    has_revisions(&suite, 2).await;
    kind.delete_collection(&format!("labelSelector={second}%3Dupdated"))
        .await;
    let last = has_revisions(&suite, 1).await;
    assert_eq!(last["items"][0]["revision"], 3, "{last:#}");
}
