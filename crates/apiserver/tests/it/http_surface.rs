//! The surface: methods, paths, bodies and who may do what, where clients and attackers leave the usual ways.

use std::convert::Infallible;
use std::task::Poll;
use std::time::Duration;

use apiserver::auth::User;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[tokio::test(start_paused = true)]
async fn methods_that_do_not_fit_the_path_are_refused() {
    let world = World::new().await;
    let one = format!("{MAPS}/a");
    world.post(MAPS, config_map("a")).await.ok();
    for (method, path) in [
        (Method::POST, one.as_str()),
        (Method::PUT, MAPS),
        (Method::PATCH, MAPS),
        (Method::OPTIONS, MAPS),
        (Method::TRACE, one.as_str()),
        (Method::DELETE, "/api/v1/configmaps"),
        (Method::POST, "/version"),
        (Method::OPTIONS, "/healthz"),
    ] {
        let body = config_map("b").to_string();
        let answer = world
            .send(method.clone(), path, "application/json", body)
            .await;
        assert_eq!(answer.code, 405, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["reason"], "MethodNotAllowed");
    }
    for path in [
        "/api/v1/namespaces/default/pods/a/status/b",
        "/apis/nope/v1/things",
        "/nope",
        "/api/v2/pods",
    ] {
        let body = world.get(path).await;
        assert_eq!(
            body.refused(),
            "404 NotFound: the server could not find the requested resource"
        );
    }
    assert_eq!(world.get("/api/v1/pods/%ff").await.code, 400);
    assert_eq!(
        world.get(MAPS).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up() {
    let world = World::new().await;
    let endless = futures::stream::poll_fn(|_| {
        Poll::<Option<Result<http_body::Frame<Bytes>, Infallible>>>::Pending
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri(MAPS)
        .body(StreamBody::new(endless))
        .unwrap();
    let answer = tokio::time::timeout(
        Duration::from_secs(60),
        world.service.clone().oneshot(request),
    );
    let response = answer.await.unwrap().unwrap();
    assert_eq!(response.status(), 504);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status["reason"], "Timeout");
}

#[tokio::test(start_paused = true)]
async fn large_and_strange_bodies_are_refused() {
    let world = World::new().await;
    let json = "application/json";
    let huge = vec![b' '; 4 * 1024 * 1024];
    assert_eq!(world.send(Method::POST, MAPS, json, huge).await.code, 413);
    let deep = "[".repeat(100_000);
    for body in [
        b"\xff\xfe".as_slice(),
        b"",
        b"[]",
        b"null",
        b"\"x\"",
        deep.as_bytes(),
        b"{\"metadata\": []}",
    ] {
        let answer = world.send(Method::POST, MAPS, json, body).await;
        assert_eq!(answer.code, 400, "{}", answer.body);
        for patch in [
            "application/merge-patch+json",
            "application/json-patch+json",
            "application/apply-patch+yaml",
            "application/strategic-merge-patch+json",
        ] {
            world.post(MAPS, config_map("a")).await;
            let path = format!("{MAPS}/a?fieldManager=x");
            let answer = world.send(Method::PATCH, &path, patch, body).await;
            let is_nothing = body == b"[]" && patch.contains("json-patch");
            // Such a patch is one, but makes no object.
            let is_unfit = body.starts_with(b"{") && patch.contains("merge-patch");
            let expected = match (is_nothing, is_unfit) {
                (true, _) => 200,
                (_, true) => 422,
                _ => 400,
            };
            assert_eq!(answer.code, expected, "{patch} {body:?}: {}", answer.body);
        }
    }
    let odd = world.send(Method::POST, MAPS, "text/html", "{}").await;
    assert_eq!(
        (odd.code, &odd.body["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
}

#[tokio::test(start_paused = true)]
async fn query_values_are_checked() {
    let world = World::new().await;
    for (query, code) in [
        ("limit=x", 400),
        ("labelSelector=a%3D%3D%3Db", 400),
        ("labelSelector=in%20()", 400),
        ("fieldSelector=spec.nope%3D1", 400),
        ("continue=x", 400),
        ("resourceVersion=x", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=99999999", 504),
        ("sendInitialEvents=true", 422),
        ("watch=1&timeoutSeconds=x", 400),
    ] {
        let answer = world.get(&format!("{MAPS}?{query}")).await;
        assert_eq!(answer.code, code, "{query}: {}", answer.body);
        assert_eq!(answer.body["kind"], "Status");
    }
    for (query, code) in [
        ("dryRun=Some", 422),
        ("fieldValidation=x", 422),
        ("fieldManager=%00", 422),
    ] {
        let answer = world
            .post(&format!("{MAPS}?{query}"), config_map("a"))
            .await;
        assert_eq!(answer.code, code, "{query}: {}", answer.body);
    }
    let bad = json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["Some"]});
    world.post(MAPS, config_map("a")).await.ok();
    let path = format!("{MAPS}/a");
    let refused = world
        .send(Method::DELETE, &path, "application/json", bad.to_string())
        .await;
    assert_eq!(refused.code, 422, "{}", refused.body);
    world.get(&path).await.ok();
}

#[tokio::test(start_paused = true)]
async fn field_managers_have_a_length() {
    let world = World::new().await;
    let path = |bytes: usize| format!("{MAPS}?fieldManager={}", "m".repeat(bytes));
    assert_eq!(
        world.post(&path(129), config_map("a")).await.refused(),
        "422 Invalid: CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
    );
    world.post(&path(128), config_map("a")).await.ok();
}

#[tokio::test(start_paused = true)]
async fn pages_go_on_where_they_stopped() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.post(MAPS, config_map(name)).await.ok();
    }
    let first = world.get(&format!("{MAPS}?limit=2")).await.ok();
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    world.delete(&format!("{MAPS}/b")).await.ok();
    world.post(MAPS, config_map("d")).await.ok();
    let rest = world
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .ok();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let mixed = world
        .get(&format!("{MAPS}?continue={token}&resourceVersion=5"))
        .await;
    assert_eq!(
        mixed.refused(),
        "400 BadRequest: specifying resource version is not allowed when using continue"
    );
    tokio::time::sleep(Duration::from_secs(700)).await;
    world.post(MAPS, config_map("e")).await.ok();
    tokio::time::sleep(Duration::from_secs(700)).await;
    let gone = world.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((gone.code, &gone.body["reason"]), (410, &json!("Expired")));
    let token = gone.body["metadata"]["continue"].as_str().unwrap();
    let rest = world.get(&format!("{MAPS}?continue={token}")).await.ok();
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
}

/// A user with the rights of one Role in `default`.
async fn with_rights(world: &World, rules: Value) -> World {
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules});
    world.post(&format!("{rbac}/roles"), role).await.ok();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "joe"}]});
    world
        .post(&format!("{rbac}/rolebindings"), binding)
        .await
        .ok();
    world.seen_by(User::authenticated("joe", []))
}

#[tokio::test(start_paused = true)]
async fn who_may_only_change_does_not_create() {
    let world = World::new().await;
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]},
    ]);
    let joe = with_rights(&world, rules).await;
    let path = format!("{MAPS}/a");
    let refused = joe.apply(&path, config_map("a")).await.refused();
    assert!(
        refused.starts_with(r#"403 Forbidden: configmaps "a" is forbidden: User "joe" cannot create resource "configmaps""#),
        "{refused}"
    );
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let value = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {}});
    assert_eq!(joe.put(lease, value.clone()).await.code, 403);
    let made = world.put(lease, value).await;
    assert_eq!(
        (made.code, &made.body["metadata"]["name"]),
        (201, &json!("l"))
    );
    world.apply(&path, config_map("a")).await.ok();
    let mut changed = config_map("a");
    changed["data"] = json!({"x": "y"});
    joe.apply(&path, changed).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_selector_names_an_object_for_collections_only() {
    let world = World::new().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["create", "list"]}]);
    let joe = with_rights(&world, rules).await;
    let narrowed = format!("{MAPS}?fieldSelector=metadata.name%3Dmine");
    joe.get(&narrowed).await.ok();
    assert_eq!(joe.get(MAPS).await.code, 403);
    assert_eq!(joe.post(&narrowed, config_map("other")).await.code, 403);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_service_keeps_its_addresses() {
    let world = World::new().await;
    let service = |ty: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"type": ty, "ports": [{"name": "b", "port": 81}, {"name": "a", "port": 80}]}})
    };
    let other = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    world.post(SERVICES, other).await.ok();
    let made = world.post(SERVICES, service("NodePort")).await.ok();
    world.delete(&format!("{SERVICES}/other")).await.ok();
    let path = format!("{SERVICES}/s");
    let replaced = world.put(&path, service("NodePort")).await.ok();
    assert_eq!(replaced["spec"], made["spec"]);
    let inside = json!({"spec": {"type": "ClusterIP"}});
    let inside = world.strategic(&path, inside).await.ok();
    let (spec, port) = (&inside["spec"], &inside["spec"]["ports"][0]);
    assert!(
        port["nodePort"].is_null() && spec["externalTrafficPolicy"].is_null(),
        "{inside}"
    );
    let external =
        json!({"spec": {"type": "ExternalName", "externalName": "example.com", "ports": null}});
    let external = world.merge(&path, external).await.ok();
    assert!(external["spec"]["clusterIP"].is_null(), "{external}");
    let back =
        json!({"spec": {"type": "ClusterIP", "externalName": null, "ports": [{"port": 80}]}});
    let back = world.merge(&path, back).await.ok();
    assert!(back["spec"]["clusterIP"].is_string(), "{back}");
}

#[tokio::test(start_paused = true)]
async fn dry_runs_show_what_would_be_and_take_nothing() {
    let world = World::new().await;
    let service = |name: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let dry = format!("{SERVICES}?dryRun=All");
    let shown = world.post(&dry, service("s")).await.ok();
    let address = &shown["spec"]["clusterIP"];
    assert!(address.is_string(), "{shown}");
    assert_eq!(world.get(&format!("{SERVICES}/s")).await.code, 404);
    let made = world.post(SERVICES, service("s")).await.ok();
    assert_eq!(&made["spec"]["clusterIP"], address);
    let mut taken = service("t");
    taken["spec"]["clusterIP"] = address.clone();
    assert_eq!(world.post(&dry, taken).await.code, 422);
    for body in [json!({"dryRun": ["All"]}), Value::Null] {
        let query = if body.is_null() { "?dryRun=All" } else { "" };
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("{SERVICES}/s{query}");
        world
            .send(Method::DELETE, &path, "application/json", text.clone())
            .await
            .ok();
        let path = format!("{SERVICES}{query}");
        world
            .send(Method::DELETE, &path, "application/json", text)
            .await
            .ok();
        world.get(&format!("{SERVICES}/s")).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_under_way_is_only_made_quicker() {
    let world = World::new().await;
    let pods = "/api/v1/namespaces/default/pods";
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", account)
        .await
        .ok();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    world.post(pods, pod).await.ok();
    let path = format!("{pods}/p");
    for (query, seconds) in [
        ("?gracePeriodSeconds=60", 60),
        ("", 60),
        ("?gracePeriodSeconds=90", 60),
        ("?gracePeriodSeconds=5", 5),
    ] {
        let deleted = world.delete(&format!("{path}{query}")).await.ok();
        assert_eq!(
            deleted["metadata"]["deletionGracePeriodSeconds"], seconds,
            "{query}"
        );
    }
    world
        .delete(&format!("{path}?gracePeriodSeconds=0"))
        .await
        .ok();
    assert_eq!(world.get(&path).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn what_names_an_object_cannot_be_patched_away() {
    let world = World::new().await;
    world.post(MAPS, config_map("a")).await.ok();
    let path = format!("{MAPS}/a");
    let patch = async |field: &str| {
        let patch = json!([{"op": "remove", "path": field}]);
        world
            .send(
                Method::PATCH,
                &path,
                "application/json-patch+json",
                patch.to_string(),
            )
            .await
    };
    assert_eq!(patch("/metadata/name").await.code, 422);
    for field in [
        "/metadata/namespace",
        "/metadata/uid",
        "/metadata/creationTimestamp",
    ] {
        patch(field).await.ok();
    }
    let same = world.get(&path).await.ok();
    assert_eq!(
        (
            &same["kind"],
            &same["metadata"]["name"],
            &same["metadata"]["namespace"]
        ),
        (&json!("ConfigMap"), &json!("a"), &json!("default"))
    );
    assert!(
        same["metadata"]["uid"].is_string() && same["metadata"]["creationTimestamp"].is_string()
    );
}
