//! What goes with its owner, when, and what stays.

use serde_json::{Value, json};

use crate::apps::{make_controller, pods, replication_controllers, spec};
use crate::world::{Suite, names};

/// Waits until nothing is left of a kind.
async fn none_is_left(suite: &Suite, path: &str) {
    suite
        .until(path, "all go", |list| list["items"] == json!([]))
        .await;
}

/// Options for a deletion of this very object.
fn options(policy: &str, object: &Value) -> Value {
    json!({"propagationPolicy": policy, "preconditions": {"uid": object["metadata"]["uid"]}})
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_delete_pods_created_by_rc_when_not_orphaning() {
    let suite = Suite::with_nodes(1).await;
    let kind = replication_controllers(&suite);
    let created = make_controller(&suite, "simpletest.rc", 2).await;
    let path = pods(&suite).path("");
    // It need not have made all of them.
    suite
        .until(&path, "it makes pods", |list| list["items"] != json!([]))
        .await;
    kind.delete_with("simpletest.rc", options("Background", &created))
        .await;
    none_is_left(&suite, &path).await;
    kind.assert_gone("simpletest.rc").await;
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_delete_rs_created_by_deployment_when_not_orphaning() {
    let suite = Suite::with_nodes(1).await;
    let kind = suite.namespaced("apps/v1", "Deployment", "deployments");
    let sets = suite.namespaced("apps/v1", "ReplicaSet", "replicasets");
    let labels = json!({"matchLabels": {"name": "gctest"}});
    let created = kind
        .create(json!({"metadata": {"name": "simpletest"}, "spec": spec("gctest", 2, labels)}))
        .await;
    let path = sets.path("");
    suite
        .until(&path, "there is a set", |list| list["items"] != json!([]))
        .await;
    kind.delete_with("simpletest", options("Background", &created))
        .await;
    none_is_left(&suite, &path).await;
    none_is_left(&suite, &pods(&suite).path("")).await;
    kind.assert_gone("simpletest").await;
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_keep_the_rc_around_until_all_its_pods_are_deleted_if_the_deleteoptions_says_so()
 {
    let suite = Suite::with_nodes(2).await;
    let kind = replication_controllers(&suite);
    let created = make_controller(&suite, "simpletest.rc", 10).await;
    let has_all = |rc: &Value| rc["status"]["replicas"] == 10;
    kind.until("simpletest.rc", "it has made its pods", has_all)
        .await;
    kind.delete_with("simpletest.rc", options("Foreground", &created))
        .await;
    let waits = kind.get("simpletest.rc").await;
    assert_eq!(
        waits["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    kind.until_gone("simpletest.rc").await;
    assert_eq!(pods(&suite).count("").await, 0);
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_not_delete_dependents_that_have_both_valid_owner_and_owner_that_s_waiting_for_dependents_to_be_deleted()
 {
    let suite = Suite::with_nodes(2).await;
    let kind = replication_controllers(&suite);
    let going = make_controller(&suite, "simpletest-rc-to-be-deleted", 10).await;
    let staying = make_controller(&suite, "simpletest-rc-to-stay", 0).await;
    let has_all = |rc: &Value| rc["status"]["replicas"] == 10;
    kind.until("simpletest-rc-to-be-deleted", "it has its pods", has_all)
        .await;
    let uid = &staying["metadata"]["uid"];
    let owner = json!({"apiVersion": "v1", "kind": "ReplicationController", "name": "simpletest-rc-to-stay", "uid": uid});
    let patch = json!({"metadata": {"ownerReferences": [owner]}});
    let mut halves = names(&pods(&suite).list("").await);
    halves.truncate(5);
    for name in &halves {
        let patched = pods(&suite).strategic(name, patch.clone()).await;
        let owners = patched["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 2);
    }
    kind.delete_with("simpletest-rc-to-be-deleted", options("Foreground", &going))
        .await;
    kind.until_gone("simpletest-rc-to-be-deleted").await;
    let left = pods(&suite).list("").await;
    assert_eq!(names(&left), halves);
    for pod in left["items"].as_array().unwrap() {
        let metadata = &pod["metadata"];
        assert_eq!(metadata["deletionTimestamp"], Value::Null);
        let owners = metadata["ownerReferences"].as_array().unwrap();
        assert_eq!((owners.len(), &owners[0]["uid"]), (1, uid));
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_not_be_blocked_by_dependency_circle() {
    let suite = Suite::with_nodes(1).await;
    let kind = pods(&suite);
    let mut made = vec![];
    for name in ["pod1", "pod2", "pod3"] {
        let containers = json!([{"name": "nginx", "image": "nginx"}]);
        made.push(
            kind.create(json!({"metadata": {"name": name}, "spec": {"containers": containers}}))
                .await,
        );
    }
    for (of, owner) in [(0, 2), (1, 0), (2, 1)] {
        let (of, owner): (&Value, &Value) = (&made[of], &made[owner]);
        let (name, uid) = (&owner["metadata"]["name"], &owner["metadata"]["uid"]);
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true});
        let name = of["metadata"]["name"].as_str().unwrap();
        let patch = json!({"metadata": {"ownerReferences": [owner]}});
        kind.strategic(name, patch).await;
    }
    kind.delete_with("pod1", options("Foreground", &made[0]))
        .await;
    none_is_left(&suite, &kind.path("")).await;
}
