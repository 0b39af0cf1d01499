//! What an endpoint does not let through: into other objects, other parts of an object, or beyond what can be read back.

use apiserver::auth::User;
use expect_test::expect;
use http::Method;
use serde_json::{Value, json};

use crate::world::World;

const CORE: &str = "/api/v1/namespaces/default";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A world with a pod that runs on node `n`.
async fn with_pod() -> World {
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = format!("{CORE}/serviceaccounts");
    world.post(&accounts, account).await.ok();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    world.post(&format!("{CORE}/pods"), pod).await.ok();
    world
}

#[tokio::test(start_paused = true)]
async fn objects_are_no_deeper_than_what_reads_them() {
    let world = World::new().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bees.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "bees", "kind": "Bee"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    });
    world.post(DEFINITIONS, definition).await.ok();
    let bees = "/apis/example.com/v1/namespaces/default/bees";
    let bee = json!({"apiVersion": "example.com/v1", "kind": "Bee", "metadata": {"name": "maja"}});
    world.post(bees, bee).await.ok();
    let deep = |levels: usize| {
        let text = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let maja = format!("{bees}/maja");
    world.merge(&maja, deep(100)).await.ok();
    expect!["400 BadRequest: the object is nested deeper than 120 levels"]
        .assert_eq(&world.merge(&maja, deep(122)).await.refused());
    let kept = world.get(&maja).await.ok();
    assert_eq!(kept["a"], deep(99), "it is still there, and whole");
    assert_eq!(
        world.get(bees).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_not_reached_through_another() {
    let world = World::new().await;
    for name in ["a", "b"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        world.post("/api/v1/namespaces", namespace).await.ok();
    }
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings";
    world.post(bindings, binding).await.ok();
    let jane = world.seen_by(User::authenticated("jane", []));
    let not_found = "404 NotFound: the server could not find the requested resource";
    for path in [
        "/api/v1/namespaces/a/namespaces",
        "/api/v1/namespaces/a/namespaces/b",
        "/api/v1/namespaces/a/namespaces/b/finalize",
    ] {
        for method in [Method::GET, Method::DELETE, Method::PUT, Method::POST] {
            let answer = jane
                .send(method.clone(), path, "application/json", "{}")
                .await;
            assert!(
                answer.code == 404 || answer.code == 405,
                "{method} {path}: {}",
                answer.body
            );
        }
    }
    assert_eq!(
        jane.get("/api/v1/namespaces/a/namespaces").await.refused(),
        not_found
    );
    jane.get("/api/v1/namespaces/a").await.ok();
    assert!(
        jane.get("/api/v1/namespaces/b")
            .await
            .refused()
            .starts_with("403")
    );
    world.get("/api/v1/namespaces/b").await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_proxied_request_is_not_one_about_the_object() {
    let world = with_pod().await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    world.post(&format!("{CORE}/services"), service).await.ok();
    for object in ["services/web", "pods/p"] {
        for method in [
            Method::DELETE,
            Method::PATCH,
            Method::PUT,
            Method::POST,
            Method::GET,
        ] {
            let path = format!("{CORE}/{object}/proxy/api/items/5");
            let answer = world
                .send(method.clone(), &path, "application/merge-patch+json", "{}")
                .await;
            assert_eq!(answer.code, 503, "{method} {path}: {}", answer.body);
        }
        world.get(&format!("{CORE}/{object}")).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn small_doors_of_pods_change_what_they_are_for() {
    let world = with_pod().await;
    let pod = format!("{CORE}/pods/p");
    let all = json!({
        "metadata": {"labels": {"a": "b"}, "finalizers": ["x.io/y"]},
        "spec": {
            "nodeName": "other", "serviceAccountName": "admin", "activeDeadlineSeconds": 5,
            "containers": [{"name": "c", "image": "evil", "resources": {"requests": {"cpu": "2"}}}],
            "ephemeralContainers": [{"name": "e", "image": "debug", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}],
        },
    });
    let before = world.get(&pod).await.ok();
    let differing = |after: &Value| -> Vec<String> {
        let mut paths = vec![];
        differences(&before, after, "", &mut paths);
        paths.retain(|path| !path.contains("managedFields") && !path.contains("resourceVersion"));
        paths
    };
    let resized = world
        .merge(&format!("{pod}/resize"), all.clone())
        .await
        .ok();
    expect![[r#"["/metadata/generation", "/spec/containers/0/resources"]"#]]
        .assert_eq(&format!("{:?}", differing(&resized)));
    let debugged = world
        .merge(&format!("{pod}/ephemeralcontainers"), all)
        .await
        .ok();
    expect![[
        r#"["/metadata/generation", "/spec/containers/0/resources", "/spec/ephemeralContainers"]"#
    ]]
    .assert_eq(&format!("{:?}", differing(&debugged)));
}

/// Pointers to what differs.
fn differences(a: &Value, b: &Value, at: &str, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) if !x.is_empty() && !y.is_empty() => {
            let keys: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            for key in keys {
                differences(&a[key], &b[key], &format!("{at}/{key}"), found);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (index, (x, y)) in x.iter().zip(y).enumerate() {
                differences(x, y, &format!("{at}/{index}"), found);
            }
        }
        _ if a == b => {}
        _ => found.push(at.to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_does_not_take_over_a_kind_of_kubernetes() {
    let world = World::new().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusterroles.rbac.authorization.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {"group": "rbac.authorization.k8s.io", "scope": "Cluster", "names": {"plural": "clusterroles", "kind": "Role2"},
            "versions": [{"name": "v2", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    expect![[r#"422 Invalid: CustomResourceDefinition.apiextensions.k8s.io "clusterroles.rbac.authorization.k8s.io" is invalid: metadata.name: Invalid value: "clusterroles.rbac.authorization.k8s.io": is served by this API server itself"#]]
        .assert_eq(&world.post(DEFINITIONS, definition).await.refused());
}

#[tokio::test(start_paused = true)]
async fn what_a_client_names_as_seen_must_be_there() {
    let world = with_pod().await;
    // A replace of something that is gone does not bring it back.
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let seen = world.post(leases, lease).await.ok();
    world.delete(&format!("{leases}/l")).await.ok();
    let refusal = world.put(&format!("{leases}/l"), seen).await.refused();
    assert!(
        refusal.starts_with("409 Conflict:") && refusal.contains("UID in precondition"),
        "{refusal}"
    );
    // A binding is for the pod that the scheduler saw.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = world.post(&format!("{CORE}/pods"), pod).await.ok();
    let bind = async |uid: &Value| {
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "q", "uid": uid}, "target": {"kind": "Node", "name": "n"}});
        world.post(&format!("{CORE}/pods/q/binding"), binding).await
    };
    assert!(
        bind(&json!("another"))
            .await
            .refused()
            .starts_with("409 Conflict:")
    );
    bind(&pod["metadata"]["uid"]).await.ok();
    // A scale that was read before is no base for another.
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    });
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    let seen = world.post(sets, set).await.ok()["metadata"]["resourceVersion"].clone();
    let scale = format!("{sets}/r/scale");
    let to = |replicas: i32| json!({"metadata": {"resourceVersion": seen}, "spec": {"replicas": replicas}});
    world.merge(&scale, to(2)).await.ok();
    let refusal = world.merge(&scale, to(3)).await.refused();
    assert!(refusal.starts_with("409 Conflict:"), "{refusal}");
    // A version that cannot be is none that was seen.
    let map = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "resourceVersion": "abc"}}"#;
    let path = format!("{CORE}/configmaps/m?fieldManager=t");
    let answer = world
        .send(Method::PATCH, &path, "application/apply-patch+yaml", map)
        .await;
    assert!(answer.refused().starts_with("409 Conflict:"));
}
