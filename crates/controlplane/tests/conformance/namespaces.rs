//! Namespaces: their status, their finalizers, and what goes with them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions, revision};

#[tokio::test(start_paused = true)]
async fn namespaces_should_ensure_that_all_services_are_removed_when_a_namespace_is_deleted() {
    let suite = Suite::new().await;
    suite.make_namespace("nsdeletetest").await;
    let services = suite
        .namespaced("v1", "Service", "services")
        .within("nsdeletetest");
    let spec = json!({"selector": {"foo": "bar", "baz": "blah"}, "ports": [{"port": 80}]});
    services
        .create(json!({"metadata": {"name": "test-service"}, "spec": spec}))
        .await;
    let namespaces = suite.namespaces();
    namespaces.delete("nsdeletetest").await;
    namespaces.until_gone("nsdeletetest").await;
    suite.make_namespace("nsdeletetest").await;
    services.assert_gone("test-service").await;
}

#[tokio::test(start_paused = true)]
async fn namespaces_should_patch_a_namespace() {
    let suite = Suite::new().await;
    let made = suite.make_namespace("nspatchtest").await;
    let namespaces = suite.namespaces();
    let patch = json!({"metadata": {"labels": {"testLabel": "testValue"}}});
    let patched = namespaces.strategic("nspatchtest", patch).await;
    assert!(revision(&patched) > revision(&made));
    let read = namespaces.get("nspatchtest").await;
    assert_eq!(read["metadata"]["labels"]["testLabel"], "testValue");
}

#[tokio::test(start_paused = true)]
async fn namespaces_should_apply_changes_to_a_namespace_status() {
    let suite = Suite::new().await;
    let (namespaces, path) = (suite.namespaces(), "conformance/status");
    assert_eq!(namespaces.get(path).await["status"]["phase"], "Active");
    let condition = |ty: &str, message: &str| json!({"type": ty, "status": "True", "reason": "E2E", "message": message});
    let patch = json!({
        "metadata": {"annotations": {"e2e-patched-ns-status": "conformance"}},
        "status": {"conditions": [condition("StatusPatch", "Patched by an e2e test")]},
    });
    let patched = namespaces.merge(path, patch).await;
    assert_eq!(
        patched["metadata"]["annotations"]["e2e-patched-ns-status"],
        "conformance"
    );
    let found = &conditions(&patched)["StatusPatch"];
    assert_eq!(
        (&found["reason"], &found["message"]),
        (&json!("E2E"), &json!("Patched by an e2e test"))
    );
    let updated = namespaces
        .update(path, |namespace| {
            let all = namespace["status"]["conditions"].as_array_mut().unwrap();
            all.push(condition("StatusUpdate", "Updated by an e2e test"));
        })
        .await;
    let last = updated["status"]["conditions"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(
        (&last["type"], &last["message"]),
        (&json!("StatusUpdate"), &json!("Updated by an e2e test"))
    );
}

#[tokio::test(start_paused = true)]
async fn namespaces_should_apply_an_update_to_a_namespace() {
    let suite = Suite::new().await;
    let updated = suite
        .namespaces()
        .update("conformance", |namespace| {
            namespace["metadata"]["labels"]["conformance"] = json!("updated");
        })
        .await;
    assert_eq!(updated["metadata"]["labels"]["conformance"], "updated");
}

#[tokio::test(start_paused = true)]
async fn namespaces_should_apply_a_finalizer_to_a_namespace() {
    const FAKE: &str = "e2e.example.com/fakeFinalizer";
    let suite = Suite::new().await;
    suite.make_namespace("e2e-ns").await;
    let has = |namespace: &Value| {
        let finalizers = namespace["spec"]["finalizers"].as_array().unwrap();
        finalizers.iter().any(|f| f == FAKE)
    };
    let namespaces = suite.namespaces();
    let updated = namespaces
        .update("e2e-ns/finalize", |namespace| {
            let all = namespace["spec"]["finalizers"].as_array_mut().unwrap();
            all.push(json!(FAKE));
        })
        .await;
    assert!(has(&updated), "{updated:#}");
    // Only that subresource changes them.
    let ignored = namespaces
        .update("e2e-ns", |namespace| {
            namespace["spec"]["finalizers"] = json!([]);
        })
        .await;
    assert!(has(&ignored), "{ignored:#}");
    let updated = namespaces
        .update("e2e-ns/finalize", |namespace| {
            let all = namespace["spec"]["finalizers"].as_array_mut().unwrap();
            all.retain(|finalizer| finalizer != FAKE);
        })
        .await;
    assert!(!has(&updated), "{updated:#}");
}

#[tokio::test(start_paused = true)]
async fn namespaces_should_ensure_that_all_pods_are_removed_when_a_namespace_is_deleted() {
    let suite = Suite::with_nodes(1).await;
    suite.make_namespace("nsdeletetest").await;
    let pods = suite.namespaced("v1", "Pod", "pods").within("nsdeletetest");
    start_pod(&pods, json!([])).await;
    let namespaces = suite.namespaces();
    let start = tokio::time::Instant::now();
    namespaces.delete("nsdeletetest").await;
    namespaces.until_gone("nsdeletetest").await;
    // The pod has thirty seconds, and the namespace a minute more.
    assert!(start.elapsed() < Duration::from_secs(90));
    suite.make_namespace("nsdeletetest").await;
    pods.assert_gone("test-pod").await;
}

/// A pod that runs.
async fn start_pod(pods: &Kind<'_>, finalizers: Value) {
    let containers = json!([{"name": "nginx", "image": "pause"}]);
    let metadata = json!({"name": "test-pod", "finalizers": finalizers});
    pods.create(json!({"metadata": metadata, "spec": {"containers": containers}}))
        .await;
    pods.until("test-pod", "it runs", |pod| {
        pod["status"]["phase"] == "Running"
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn orderednamespacedeletion_namespace_deletion_should_delete_pod_first() {
    let suite = Suite::with_nodes(1).await;
    suite.make_namespace("nsdeletetest").await;
    let pods = suite.namespaced("v1", "Pod", "pods");
    let pods = pods.within("nsdeletetest");
    start_pod(&pods, json!(["e2e.example.com/finalizer"])).await;
    let maps = suite.namespaced("v1", "ConfigMap", "configmaps");
    let maps = maps.within("nsdeletetest");
    maps.create(json!({"metadata": {"name": "test-configmap"}, "data": {"key": "value"}}))
        .await;
    let namespaces = suite.namespaces();
    namespaces.delete("nsdeletetest").await;
    namespaces
        .until("nsdeletetest", "it says what keeps it", |namespace| {
            namespace["status"]["phase"] == "Terminating"
                && conditions(namespace).contains_key("NamespaceDeletionContentFailure")
        })
        .await;
    pods.until("test-pod", "it is being deleted", |pod| {
        pod["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    // Nothing else goes before, however long it takes.
    tokio::time::sleep(Duration::from_secs(120)).await;
    maps.get("test-configmap").await;
    pods.update("test-pod", |pod| pod["metadata"]["finalizers"] = json!([]))
        .await;
    pods.until_gone("test-pod").await;
    namespaces.until_gone("nsdeletetest").await;
}
