//! Deployments: rollouts, what is left of them, and scaling.

use std::time::Duration;

use serde_json::{Value, json};

use crate::apps::pods;
use crate::kind::Kind;
use crate::operations::assert_contains;
use crate::replicasets::{replica_set, replica_sets, scales, status_can_be_changed};
use crate::world::{Suite, names, revision};

/// Annotation of a Deployment and its ReplicaSets.
const REVISION: &str = "deployment.kubernetes.io/revision";

fn deployments(suite: &Suite) -> Kind<'_> {
    suite.namespaced("apps/v1", "Deployment", "deployments")
}

/// A Deployment of pods with the label `label`, and with one container.
fn deployment(name: &str, replicas: u32, label: &str, image: &str, strategy: Value) -> Value {
    let labels = json!({"name": label});
    let pod = json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "agnhost", "image": image}]});
    let spec = json!({
        "replicas": replicas, "selector": {"matchLabels": labels}, "strategy": strategy,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    });
    json!({"metadata": {"name": name, "labels": labels}, "spec": spec})
}

fn rolling() -> Value {
    json!({"type": "RollingUpdate"})
}

fn image(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["containers"][0]["image"]
}

fn is_seen(deployment: &Value) -> bool {
    let seen = deployment["status"]["observedGeneration"]
        .as_i64()
        .unwrap_or(0);
    seen >= deployment["metadata"]["generation"].as_i64().unwrap()
}

/// All pods are of the present template, and available.
fn is_complete(deployment: &Value) -> bool {
    let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
    is_seen(deployment)
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|count| status[count] == *wanted)
}

/// Waits until this revision is rolled out. Its ReplicaSet, which says so as well.
async fn completes(suite: &Suite, name: &str, revision: &str) -> Value {
    let done = deployments(suite)
        .until(name, "it completes", |d| {
            d["metadata"]["annotations"][REVISION] == revision && is_complete(d)
        })
        .await;
    let set = set_of(suite, &done).await;
    assert_eq!(set["metadata"]["annotations"][REVISION], revision);
    set
}

/// The ReplicaSet of the present template.
async fn set_of(suite: &Suite, deployment: &Value) -> Value {
    let list = replica_sets(suite).list("").await;
    let items = list["items"].as_array().unwrap().iter();
    let mut found = items.filter(|set| {
        let mut template = set["spec"]["template"].clone();
        let labels = template["metadata"]["labels"].as_object_mut().unwrap();
        labels.remove("pod-template-hash");
        is_owned_by(set, deployment) && template == deployment["spec"]["template"]
    });
    let set = found.next().expect("it has a ReplicaSet").clone();
    assert!(found.next().is_none(), "a template has one ReplicaSet");
    set
}

fn is_owned_by(set: &Value, deployment: &Value) -> bool {
    let owner = &set["metadata"]["ownerReferences"][0];
    owner["uid"] == deployment["metadata"]["uid"] && owner["controller"] == true
}

/// A ReplicaSet that a Deployment of pods with the label `label` can adopt, with one pod that runs.
async fn make_orphan(suite: &Suite, name: &str, label: &str, annotations: Value) {
    let mut set = replica_set(name, 1, json!({"name": label, "pod": "agnhost"}));
    set["metadata"]["annotations"] = annotations;
    let kind = replica_sets(suite);
    kind.create(set).await;
    kind.until(name, "its pod is ready", |set| {
        set["status"]["readyReplicas"] == 1
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deployment_rollingupdatedeployment_should_delete_old_pods_and_create_new_ones() {
    let suite = Suite::with_nodes(1).await;
    let before = json!({REVISION: "3546343826724305832"});
    let orphan = "test-rolling-update-controller";
    make_orphan(&suite, orphan, "sample-pod", before).await;
    let name = "test-rolling-update-deployment";
    let made = deployments(&suite)
        .create(deployment(name, 1, "sample-pod", "agnhost", rolling()))
        .await;
    completes(&suite, name, "3546343826724305833").await;
    let old = replica_sets(&suite).get(orphan).await;
    assert!(is_owned_by(&old, &made), "{old:#}");
    assert_eq!(replica_sets(&suite).count("").await, 2);
    suite
        .until(&pods(&suite).path(""), "the old pod goes", |list| {
            let items = list["items"].as_array().unwrap();
            items.len() == 1 && items[0]["metadata"]["labels"].get("pod").is_none()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn deployment_recreatedeployment_should_delete_old_pods_and_create_new_ones() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (deployments(&suite), "test-recreate-deployment");
    let strategy = json!({"type": "Recreate"});
    kind.create(deployment(name, 1, "sample-pod-3", "agnhost:1", strategy))
        .await;
    completes(&suite, name, "1").await;
    let updated = kind
        .update(name, |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("agnhost:2");
        })
        .await;
    let since = revision(&updated);
    let query = format!("fieldSelector=metadata.name%3D{name}&resourceVersion={since}");
    let mut watch = kind.watch(&query).await;
    watch
        .until("MODIFIED", |d| {
            // New pods never run beside old ones.
            let count = |key: &str| d["status"][key].as_i64().unwrap_or(0);
            let (all, new) = (count("replicas"), count("updatedReplicas"));
            assert!(new == 0 || all == new, "{d:#}");
            is_seen(d) && all == 1 && new == 1
        })
        .await;
    completes(&suite, name, "2").await;
}

#[tokio::test(start_paused = true)]
async fn deployment_deployment_should_delete_old_replica_sets() {
    let suite = Suite::with_nodes(1).await;
    make_orphan(&suite, "test-cleanup-controller", "cleanup-pod", json!({})).await;
    let since = revision(&pods(&suite).list("").await);
    let mut watch = pods(&suite)
        .watch(&format!("resourceVersion={since}"))
        .await;
    let name = "test-cleanup-deployment";
    let mut object = deployment(name, 1, "cleanup-pod", "agnhost", rolling());
    object["spec"]["revisionHistoryLimit"] = json!(0);
    deployments(&suite).create(object).await;
    replica_sets(&suite)
        .until_gone("test-cleanup-controller")
        .await;
    // The ReplicaSet that was adopted makes no pod on its way.
    let mut added = 0;
    while let Ok((ty, pod)) = tokio::time::timeout(Duration::from_secs(30), watch.next()).await {
        if ty == "ADDED" {
            assert_eq!(pod["spec"]["containers"][0]["name"], "agnhost");
            assert!(pod["metadata"]["labels"].get("pod").is_none(), "{pod:#}");
            added += 1;
        }
    }
    assert_eq!(added, 1);
}

#[tokio::test(start_paused = true)]
async fn deployment_deployment_should_support_rollover() {
    let suite = Suite::with_nodes(1).await;
    let (kind, sets) = (deployments(&suite), replica_sets(&suite));
    let (orphan, name) = ("test-rollover-controller", "test-rollover-deployment");
    make_orphan(&suite, orphan, "rollover-pod", json!({})).await;
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut object = deployment(name, 1, "rollover-pod", "redis-slave:nonexistent", strategy);
    object["spec"]["minReadySeconds"] = json!(10);
    let metadata = &mut object["spec"]["template"]["metadata"];
    metadata["annotations"] = json!({"simulated.apiary.io/pull-error": "not found"});
    kind.create(object).await;
    let stuck = kind
        .until(name, "it has made a new pod", |d| {
            is_seen(d) && d["status"]["updatedReplicas"] == 1
        })
        .await;
    assert_eq!(stuck["metadata"]["annotations"][REVISION], "1");
    let between = set_of(&suite, &stuck).await["metadata"]["name"].clone();
    let between = between.as_str().unwrap();
    let has = async |name: &str, count: u32| {
        let is_so =
            |set: &Value| set["spec"]["replicas"] == count && set["status"]["replicas"] == count;
        sets.until(name, "it has as many", is_so).await;
    };
    has(orphan, 1).await;
    has(between, 1).await;

    let updated = kind
        .update(name, |d| {
            let template = &mut d["spec"]["template"];
            template["metadata"]["annotations"] = Value::Null;
            template["spec"]["containers"][0]["image"] = json!("agnhost");
        })
        .await;
    let since = revision(&updated);
    let mut watch = kind.watch(&format!("resourceVersion={since}")).await;
    watch
        .until("MODIFIED", |d| {
            // One pod is available all the time, and there is never more than one beside it.
            let count = |key: &str| d["status"][key].as_i64().unwrap_or(0);
            assert!(count("availableReplicas") >= 1, "{d:#}");
            assert!(count("replicas") <= 2, "{d:#}");
            is_complete(d)
        })
        .await;
    completes(&suite, name, "2").await;
    has(orphan, 0).await;
    has(between, 0).await;
}

#[tokio::test(start_paused = true)]
async fn deployment_deployment_should_have_a_working_scale_subresource() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (deployments(&suite), "test-new-deployment");
    kind.create(deployment(name, 1, "agnhost", "agnhost", rolling()))
        .await;
    completes(&suite, name, "1").await;
    scales(&kind, name).await;
}

#[tokio::test(start_paused = true)]
async fn deployment_deployment_should_support_proportional_scaling() {
    let suite = Suite::with_nodes(2).await;
    let (kind, sets) = (deployments(&suite), replica_sets(&suite));
    let name = "webserver-deployment";
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    kind.create(deployment(name, 10, "agnhost", "agnhost", strategy))
        .await;
    let first = completes(&suite, name, "1").await["metadata"]["name"].clone();
    let first = first.as_str().unwrap();
    // What cannot be rolled out stops halfway.
    let updated = kind
        .update(name, |d| {
            let template = &mut d["spec"]["template"];
            template["metadata"]["annotations"] =
                json!({"simulated.apiary.io/pull-error": "not found"});
            template["spec"]["containers"][0]["image"] = json!("webserver:404");
        })
        .await;
    sets.until(first, "ten less two are left", |set| {
        let status = &set["status"];
        set["spec"]["replicas"] == 8 && status["availableReplicas"] == 8 && status["replicas"] == 8
    })
    .await;
    let second = set_of(&suite, &updated).await["metadata"]["name"].clone();
    let second = second.as_str().unwrap();
    sets.until(second, "ten and three less those are there", |set| {
        assert_eq!(set["status"]["availableReplicas"].as_i64().unwrap_or(0), 0);
        set["spec"]["replicas"] == 5 && set["status"]["replicas"] == 5
    })
    .await;
    let halfway = kind.get(name).await;
    assert!(halfway["status"]["availableReplicas"].as_i64().unwrap() >= 8);

    kind.update(name, |d| d["spec"]["replicas"] = json!(30))
        .await;
    // 8 and 20·8/13, 5 and 20·5/13.
    for (set, share) in [(first, 20), (second, 13)] {
        let has_its_share = |set: &Value| set["spec"]["replicas"] == share;
        sets.until(set, "it has its share", has_its_share).await;
    }
}

#[tokio::test(start_paused = true)]
async fn deployment_should_run_the_lifecycle_of_a_deployment() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (deployments(&suite), "test-deployment");
    let query = "labelSelector=test-deployment-static%3Dtrue";
    let since = revision(&kind.everywhere().list(query).await);
    let mut watch = kind
        .watch(&format!("{query}&resourceVersion={since}"))
        .await;
    let mut object = deployment(name, 2, "agnhost", "agnhost:1", rolling());
    object["metadata"]["labels"] = json!({"test-deployment-static": "true"});
    object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(1);
    let created = kind.create(object.clone()).await;
    watch.expect("ADDED").await;
    watch
        .until("MODIFIED", |d| d["status"]["readyReplicas"] == 2)
        .await;

    let pod = json!({"terminationGracePeriodSeconds": 2, "containers": [{"name": "agnhost", "image": "pause"}]});
    let spec = json!({"replicas": 1, "template": {"spec": pod}});
    let patch = json!({"metadata": {"labels": {"test-deployment": "patched"}}, "spec": spec});
    let patched = kind.strategic(name, patch).await;
    assert!(revision(&patched) > revision(&created));
    assert_contains(
        &patched["spec"]["template"]["spec"],
        &json!({"terminationGracePeriodSeconds": 2}),
    );
    let is_rolled_out = |d: &Value, replicas: u32, wanted: &str| {
        let status = &d["status"];
        status["readyReplicas"] == replicas
            && status["updatedReplicas"] == replicas
            && status["unavailableReplicas"].as_i64().unwrap_or(0) == 0
            && image(d) == wanted
    };
    watch
        .until("MODIFIED", |d| is_rolled_out(d, 1, "pause"))
        .await;
    assert_eq!(names(&kind.everywhere().list(query).await), [name]);

    object["metadata"]["labels"]["test-deployment"] = json!("updated");
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("agnhost:2");
    kind.put(name, object).await;
    let is_updated = |d: &Value| {
        image(d) == "agnhost:2" && d["metadata"]["labels"]["test-deployment"] == "updated"
    };
    watch.until("MODIFIED", is_updated).await;
    assert!(is_updated(&kind.get(&format!("{name}/status")).await));
    watch
        .until("MODIFIED", |d| is_rolled_out(d, 2, "agnhost:2"))
        .await;

    // The controller has the last word on the status.
    let status = json!({"status": {"readyReplicas": 0, "availableReplicas": 0}});
    kind.strategic(&format!("{name}/status"), status).await;
    watch
        .until("MODIFIED", |d| {
            let count = |key: &str| d["status"][key].as_i64().unwrap_or(0);
            count("readyReplicas") == 0 && count("availableReplicas") == 0
        })
        .await;
    assert!(is_updated(&kind.get(&format!("{name}/status")).await));
    watch
        .until("MODIFIED", |d| is_rolled_out(d, 2, "agnhost:2"))
        .await;
    kind.delete_collection(query).await;
    watch
        .until("DELETED", |d| d["metadata"]["name"] == name)
        .await;
}

#[tokio::test(start_paused = true)]
async fn deployment_should_validate_deployment_status_endpoints() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (deployments(&suite), "test-deployment");
    kind.create(deployment(name, 1, "agnhost", "agnhost", rolling()))
        .await;
    completes(&suite, name, "1").await;
    status_can_be_changed(&kind, name).await;
}
