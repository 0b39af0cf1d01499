//! Nodes and what pods are made of: configuration, secrets, templates, runtime classes, and rules for pods.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::Operations;
use crate::world::{Suite, names, revision};

fn config_maps(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "ConfigMap", "configmaps")
}

fn secrets(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Secret", "secrets")
}

fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

#[tokio::test(start_paused = true)]
async fn configmap_should_fail_to_create_configmap_with_empty_key() {
    let suite = Suite::new().await;
    let object = json!({"metadata": {"name": "configmap-test"}, "data": {"": "value-1"}});
    let why = config_maps(&suite).try_create(object).await.refused();
    assert!(why.starts_with("422 Invalid: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn configmap_should_update_configmap_successfully() {
    let suite = Suite::new().await;
    let kind = config_maps(&suite);
    let mut object =
        json!({"metadata": {"name": "map"}, "data": {"data-1": "value-1", "data-2": "value-2"}});
    kind.create(object.clone()).await;
    // The client's own object: it holds no revision.
    object["data"] = json!({"data": "value"});
    kind.put("map", object).await;
    assert_eq!(kind.get("map").await["data"], json!({"data": "value"}));
}

#[tokio::test(start_paused = true)]
async fn configmap_should_run_through_a_configmap_lifecycle() {
    let suite = Suite::new().await;
    let kind = config_maps(&suite);
    let labels = json!({"test-configmap-static": "true"});
    kind.create(
        json!({"metadata": {"name": "map", "labels": labels}, "data": {"valueName": "value"}}),
    )
    .await;
    let read = kind.get("map").await;
    assert_eq!(read["data"], json!({"valueName": "value"}));
    assert_eq!(read["metadata"]["labels"], labels);
    let patch = json!({"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "value1"}});
    let patched = kind.strategic("map", patch).await;
    assert!(revision(&patched) > revision(&read));
    let list = kind
        .everywhere()
        .list("labelSelector=test-configmap%3Dpatched")
        .await;
    let found = &list["items"][0];
    assert_eq!(found["data"]["valueName"], "value1");
    assert_eq!(found["metadata"]["labels"]["test-configmap-static"], "true");
    let query = "labelSelector=test-configmap-static%3Dtrue";
    kind.delete_collection(query).await;
    assert_eq!(kind.count(query).await, 0);
}

/// What is immutable stays as it is, until it is deleted.
async fn can_be_immutable(kind: Kind<'_>, data: [Value; 2]) {
    let [first, second] = data;
    kind.create(json!({"metadata": {"name": "immutable"}, "data": first}))
        .await;
    kind.update("immutable", |object| object["data"] = second.clone())
        .await;
    kind.update("immutable", |object| object["immutable"] = json!(true))
        .await;
    for change in [json!({"immutable": false}), json!({"data": first})] {
        let mut object = kind.get("immutable").await;
        for (key, value) in change.as_object().unwrap() {
            object[key] = value.clone();
        }
        let why = kind.try_put("immutable", object).await.refused();
        assert!(why.starts_with("422 Invalid: "), "{why}");
    }
    // Labels are free.
    kind.update("immutable", |object| {
        object["metadata"]["labels"] = json!({"a": "b"});
    })
    .await;
    kind.delete("immutable").await;
}

#[tokio::test(start_paused = true)]
async fn configmap_should_be_immutable_if_immutable_field_is_set() {
    let suite = Suite::new().await;
    can_be_immutable(config_maps(&suite), [json!({"a": "1"}), json!({"a": "2"})]).await;
}

#[tokio::test(start_paused = true)]
async fn secrets_should_be_immutable_if_immutable_field_is_set() {
    let suite = Suite::new().await;
    can_be_immutable(
        secrets(&suite),
        [json!({"a": "MQ=="}), json!({"a": "Mg=="})],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn secrets_should_fail_to_create_secret_due_to_empty_secret_key() {
    let suite = Suite::new().await;
    let object = json!({"metadata": {"name": "secret-test"}, "data": {"": "dmFsdWUtMQo="}});
    let why = secrets(&suite).try_create(object).await.refused();
    assert!(why.starts_with("422 Invalid: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn secrets_should_patch_a_secret() {
    let suite = Suite::new().await;
    let kind = secrets(&suite);
    let labels = json!({"testsecret-constant": "true"});
    let created = kind
        .create(json!({"metadata": {"name": "secret", "labels": labels}, "type": "Opaque", "data": {"key": "dmFsdWU="}}))
        .await;
    let constant = "labelSelector=testsecret-constant%3Dtrue";
    assert_eq!(names(&kind.everywhere().list(constant).await), ["secret"]);
    let patch =
        json!({"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": "dmFsdWUx"}});
    kind.strategic("secret", patch).await;
    let read = kind.get("secret").await;
    assert!(revision(&read) > revision(&created));
    assert_eq!(read["data"]["key"], "dmFsdWUx");
    kind.delete_collection("labelSelector=testsecret%3Dtrue")
        .await;
    assert_eq!(kind.everywhere().count(constant).await, 0);
}

#[tokio::test(start_paused = true)]
async fn lease_lease_api_should_be_available() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("coordination.k8s.io/v1", "Lease", "leases");
    // Times as far back as there are any.
    let spec = |holder: &str, seconds: u32, transitions: u32| {
        json!({
            "holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": transitions,
            "acquireTime": format!("0001-01-01T00:00:{transitions:02}.000000Z"), "renewTime": "0001-01-01T00:00:50.000000Z",
        })
    };
    let created = kind
        .create(json!({"metadata": {"name": "lease"}, "spec": spec("holder", 30, 0)}))
        .await;
    revision(&created);
    assert_eq!(kind.get("lease").await["spec"], spec("holder", 30, 0));
    kind.update("lease", |lease| lease["spec"] = spec("holder2", 30, 1))
        .await;
    assert_eq!(kind.get("lease").await["spec"], spec("holder2", 30, 1));
    kind.strategic("lease", json!({"spec": spec("holder3", 60, 2)}))
        .await;
    assert_eq!(kind.get("lease").await["spec"], spec("holder3", 60, 2));

    let labels = json!({"deletecollection": "true"});
    kind.create(
        json!({"metadata": {"name": "lease2", "labels": labels}, "spec": spec("holder", 30, 0)}),
    )
    .await;
    assert_eq!(kind.count("").await, 2);
    kind.delete_collection("labelSelector=deletecollection%3Dtrue")
        .await;
    assert_eq!(names(&kind.list("").await), ["lease"]);
    kind.delete("lease").await;
    kind.assert_gone("lease").await;
}

#[tokio::test(start_paused = true)]
async fn node_lifecycle_should_run_through_the_lifecycle_of_a_node() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide("v1", "Node", "nodes");
    let condition = json!({"type": "Ready", "status": "True", "reason": "E2E", "message": "Set from e2e test", "lastHeartbeatTime": null, "lastTransitionTime": null});
    let node = json!({
        "metadata": {"name": "e2e-fake-node"}, "spec": {"unschedulable": true},
        "status": {"phase": "Running", "conditions": [condition]},
    });
    let created = kind.create(node).await;
    assert_eq!(
        kind.get("e2e-fake-node").await["metadata"]["name"],
        "e2e-fake-node"
    );
    let patch = json!({"metadata": {"labels": {"e2e-fake-node": "patched"}}});
    let patched = kind.strategic("e2e-fake-node", patch).await;
    assert!(revision(&patched) > revision(&created));
    assert_eq!(kind.count("labelSelector=e2e-fake-node%3Dpatched").await, 1);
    let updated = kind
        .update("e2e-fake-node", |node| {
            node["metadata"]["labels"]["e2e-fake-node"] = json!("updated");
        })
        .await;
    assert_eq!(updated["metadata"]["labels"]["e2e-fake-node"], "updated");
    kind.delete("e2e-fake-node").await;
    kind.until_gone("e2e-fake-node").await;
}

fn pod_templates(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "PodTemplate", "podtemplates")
}

fn pod_template(name: &str, labels: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels}, "template": {"spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}})
}

#[tokio::test(start_paused = true)]
async fn podtemplates_should_run_the_lifecycle_of_podtemplates() {
    let suite = Suite::new().await;
    let kind = pod_templates(&suite);
    let query = "labelSelector=podtemplate-static%3Dtrue";
    assert_eq!(kind.everywhere().count(query).await, 0);
    kind.create(pod_template(
        "nginx",
        &json!({"podtemplate-static": "true"}),
    ))
    .await;
    let read = kind.get("nginx").await;
    let patch = json!({"metadata": {"labels": {"podtemplate": "patched"}}});
    let patched = kind.strategic("nginx", patch).await;
    assert!(revision(&patched) > revision(&read));
    let read = kind.get("nginx").await;
    assert_eq!(read["metadata"]["labels"]["podtemplate"], "patched");
    kind.delete("nginx").await;
    assert_eq!(kind.everywhere().count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn podtemplates_should_delete_a_collection_of_pod_templates() {
    let suite = Suite::new().await;
    let kind = pod_templates(&suite);
    for at in 1..=3 {
        let labels = json!({"podtemplate-set": "true"});
        kind.create(pod_template(&format!("test-podtemplate-{at}"), &labels))
            .await;
    }
    let query = "labelSelector=podtemplate-set%3Dtrue";
    assert_eq!(kind.count(query).await, 3);
    kind.delete_collection(query).await;
    assert_eq!(kind.count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn podtemplates_should_replace_a_pod_template() {
    let suite = Suite::new().await;
    let kind = pod_templates(&suite);
    kind.create(pod_template("podtemplate", &json!({}))).await;
    let updated = kind
        .update("podtemplate", |template| {
            template["metadata"]["annotations"] = json!({"updated": "true"});
        })
        .await;
    assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
}

fn runtime_classes(suite: &Suite) -> Kind<'_> {
    suite.cluster_wide("node.k8s.io/v1", "RuntimeClass", "runtimeclasses")
}

async fn pod_of_class_is_refused(suite: &Suite, class: &str) {
    let spec =
        json!({"runtimeClassName": class, "containers": [{"name": "test", "image": "busybox"}]});
    let pod = json!({"metadata": {"name": "test-runtimeclass"}, "spec": spec});
    let why = pods(suite).try_create(pod).await.refused();
    assert!(why.starts_with("403 Forbidden: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn runtimeclass_should_reject_a_pod_requesting_a_non_existent_runtimeclass() {
    let suite = Suite::new().await;
    pod_of_class_is_refused(&suite, "nonexistent").await;
}

#[tokio::test(start_paused = true)]
async fn runtimeclass_should_reject_a_pod_requesting_a_deleted_runtimeclass() {
    let suite = Suite::new().await;
    let kind = runtime_classes(&suite);
    kind.create(json!({"metadata": {"name": "delete-me"}, "handler": "runc"}))
        .await;
    kind.delete("delete-me").await;
    kind.until_gone("delete-me").await;
    pod_of_class_is_refused(&suite, "delete-me").await;
}

#[tokio::test(start_paused = true)]
async fn runtimeclass_should_support_runtimeclasses_api_operations() {
    let suite = Suite::new().await;
    let template = json!({"handler": "conformance-handler"});
    Operations::new(runtime_classes(&suite), template)
        .run()
        .await;
}

#[tokio::test(start_paused = true)]
async fn sysctls_should_reject_invalid_sysctls() {
    let suite = Suite::new().await;
    let sysctl = |name: &str| json!({"name": name, "value": "1"});
    let sysctls: Vec<Value> = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar.."]
        .map(sysctl)
        .into();
    let spec = json!({"restartPolicy": "Never", "securityContext": {"sysctls": sysctls}, "containers": [{"name": "test", "image": "busybox"}]});
    let pod = json!({"metadata": {"name": "sysctl"}, "spec": spec});
    let why = pods(&suite).try_create(pod).await.refused();
    for (text, is_there) in [
        (r#"Invalid value: "foo-""#, true),
        (r#"Invalid value: "bar..""#, true),
        ("safe-and-unsafe", false),
        ("kernel.shmmax", false),
    ] {
        assert_eq!(why.contains(text), is_there, "{text}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_extended_pods_set_qos_class_should_be_set_on_pods_with_matching_resource_requests_and_limits_for_memory_and_cpu()
 {
    let suite = Suite::new().await;
    let amounts = json!({"cpu": "100m", "memory": "100Mi"});
    let container = json!({"name": "agnhost", "image": "agnhost", "resources": {"limits": amounts, "requests": amounts}});
    let kind = pods(&suite);
    kind.create(json!({"metadata": {"name": "qos"}, "spec": {"containers": [container]}}))
        .await;
    assert_eq!(kind.get("qos").await["status"]["qosClass"], "Guaranteed");
}
