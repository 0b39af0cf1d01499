//! Creating, changing and deleting objects of Kubernetes' own kinds.

use expect_test::expect;
use serde_json::{Value, json};

use crate::world::World;

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]}},
        },
    })
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test(start_paused = true)]
async fn objects_live_through_create_update_patch_and_delete() {
    let world = World::new().await;
    let created = world.post(MAPS, config_map("x")).await.ok();
    assert_eq!(
        created["metadata"]["creationTimestamp"],
        "2026-04-22T12:00:00Z"
    );
    assert_eq!(
        world.post(MAPS, config_map("x")).await.refused(),
        r#"409 AlreadyExists: configmaps "x" already exists"#
    );
    let mut changed = created.clone();
    changed["data"]["b"] = "2".into();
    // The namespace of the URL is enough.
    changed["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("namespace");
    let updated = world.put(&format!("{MAPS}/x"), changed.clone()).await.ok();
    assert_ne!(
        updated["metadata"]["resourceVersion"],
        created["metadata"]["resourceVersion"]
    );
    expect![[r#"409 Conflict: Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again"#]]
        .assert_eq(&world.put(&format!("{MAPS}/x"), changed).await.refused());
    let same = world
        .merge(&format!("{MAPS}/x"), json!({"data": {"b": "2"}}))
        .await
        .ok();
    assert_eq!(
        same["metadata"]["resourceVersion"], updated["metadata"]["resourceVersion"],
        "a no-op writes nothing"
    );
    let patched = world
        .merge(&format!("{MAPS}/x"), json!({"data": {"a": null}}))
        .await
        .ok();
    assert_eq!(patched["data"], json!({"b": "2"}));
    let deleted = world.delete(&format!("{MAPS}/x")).await.ok();
    assert_eq!(deleted["details"]["uid"], created["metadata"]["uid"]);
    assert_eq!(
        world.get(&format!("{MAPS}/x")).await.refused(),
        r#"404 NotFound: configmaps "x" not found"#
    );
}

#[tokio::test(start_paused = true)]
async fn generations_count_changes_of_the_spec_only() {
    let world = World::new().await;
    let created = world.post(DEPLOYMENTS, deployment("nginx:1")).await.ok();
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(created["spec"]["strategy"]["type"], "RollingUpdate");
    let path = format!("{DEPLOYMENTS}/web");
    let status = world
        .merge(
            &format!("{path}/status"),
            json!({"status": {"replicas": 1}, "spec": {"replicas": 7}}),
        )
        .await
        .ok();
    assert_eq!(
        (
            &status["metadata"]["generation"],
            &status["spec"]["replicas"]
        ),
        (&json!(1), &json!(1))
    );
    let main = world
        .merge(
            &path,
            json!({"status": {"replicas": 5}, "spec": {"replicas": 3}}),
        )
        .await
        .ok();
    assert_eq!(
        (&main["metadata"]["generation"], &main["status"]["replicas"]),
        (&json!(2), &json!(1))
    );
    let scale = world.get(&format!("{path}/scale")).await.ok();
    assert_eq!(scale["status"]["selector"], "app=web");
    let scaled = world
        .merge(&format!("{path}/scale"), json!({"spec": {"replicas": 0}}))
        .await
        .ok();
    assert_eq!(scaled["spec"], json!({}));
    assert_eq!(world.get(&path).await.ok()["metadata"]["generation"], 3);
}

#[tokio::test(start_paused = true)]
async fn strategic_patches_keep_what_they_do_not_name() {
    let world = World::new().await;
    world.post(DEPLOYMENTS, deployment("nginx:1")).await.ok();
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}});
    let patched = world
        .strategic(&format!("{DEPLOYMENTS}/web"), patch)
        .await
        .ok();
    let container = &patched["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["ports"][0]["containerPort"]),
        (&json!("nginx:2"), &json!(80))
    );
}

#[tokio::test(start_paused = true)]
async fn applying_twice_changes_nothing() {
    let world = World::new().await;
    let path = format!("{DEPLOYMENTS}/web");
    let first = world.apply(&path, deployment("nginx:1")).await.ok();
    let second = world.apply(&path, deployment("nginx:1")).await.ok();
    assert_eq!(first, second);
    let conflict = world
        .send(
            http::Method::PATCH,
            &format!("{path}?fieldManager=other"),
            "application/apply-patch+yaml",
            deployment("nginx:2").to_string(),
        )
        .await
        .refused();
    expect![[r#"409 Conflict: Apply failed with 1 conflict: conflict with "tests": .spec.template.spec.containers[name="web"].image"#]]
        .assert_eq(&conflict);
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let world = World::new().await;
    let mut map = config_map("held");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.post(MAPS, map).await.ok();
    let path = format!("{MAPS}/held");
    let begun = world.delete(&path).await.ok();
    assert_eq!(
        begun["metadata"]["deletionTimestamp"],
        "2026-04-22T12:00:00Z"
    );
    expect![[r#"422 Invalid: ConfigMap "held" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/more"}"#]]
        .assert_eq(&world.merge(&path, json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})).await.refused());
    world
        .merge(&path, json!({"metadata": {"finalizers": null}}))
        .await
        .ok();
    assert_eq!(world.get(&path).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn bad_bodies_are_refused_with_the_reason() {
    let world = World::new().await;
    for (body, expected) in [
        ("{", "400 BadRequest"),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}"#,
            "400 BadRequest",
        ),
        (
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":1}}"#,
            "400 BadRequest",
        ),
        (
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}"#,
            "400 BadRequest",
        ),
    ] {
        let refused = world
            .send(http::Method::POST, MAPS, "application/json", body)
            .await
            .refused();
        assert!(refused.starts_with(expected), "{body} -> {refused}");
    }
    let mut unknown = config_map("warned");
    unknown["surprise"] = true.into();
    let answer = world.post(MAPS, unknown.clone()).await;
    assert_eq!(
        (answer.code, answer.warnings),
        (
            201,
            vec![r#"299 - "unknown field \"surprise\"""#.to_owned()]
        )
    );
    unknown["metadata"]["name"] = "strict".into();
    let refused = world
        .post(&format!("{MAPS}?fieldValidation=Strict"), unknown)
        .await
        .refused();
    assert!(
        refused.contains(r#"strict decoding error: unknown field "surprise""#),
        "{refused}"
    );
    let large = world
        .send(
            http::Method::POST,
            MAPS,
            "application/json",
            vec![b' '; 4 * 1024 * 1024],
        )
        .await
        .refused();
    expect![[r#"413 RequestEntityTooLarge: Request entity too large: limit is 3145728"#]]
        .assert_eq(&large);
}

#[tokio::test(start_paused = true)]
async fn lists_are_consistent_pages() {
    let world = World::new().await;
    for at in 0..5 {
        world.post(MAPS, config_map(&format!("m{at}"))).await.ok();
    }
    let first = world.get(&format!("{MAPS}?limit=2")).await.ok();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    world.post(MAPS, config_map("m9")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = world
        .get(&format!("{MAPS}?limit=10&continue={token}"))
        .await
        .ok();
    let names: Vec<_> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["m2", "m3", "m4"]);
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
}

/// Who owns what, without times.
fn owners(object: &Value) -> String {
    let mut text = String::new();
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let said = |field: &str| entry[field].as_str().unwrap_or_default();
        text += &format!(
            "{} {} {}: {}\n",
            said("manager"),
            said("operation"),
            said("subresource"),
            entry["fieldsV1"]
        );
    }
    text
}

#[tokio::test(start_paused = true)]
async fn each_door_records_what_it_changes() {
    let world = World::new().await;
    let path = format!("{DEPLOYMENTS}/web");
    let minimal = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"a": "b"}}, "status": {"replicas": 7}});
    world.post(DEPLOYMENTS, deployment("nginx:1")).await.ok();
    world.apply(&path, minimal.clone()).await.ok();
    world
        .merge(&format!("{path}/scale"), json!({"spec": {"replicas": 5}}))
        .await
        .ok();
    world.apply(&format!("{path}/status"), minimal).await.ok();
    let object = world.get(&path).await.ok();
    assert_eq!(object["status"]["replicas"], 7);
    let text = owners(&object);
    let changes = text.lines().filter(|line| !line.contains("f:template"));
    expect![[r#"
        tests Apply : {"f:metadata":{"f:labels":{"f:a":{}}}}
        tests Apply status: {"f:status":{"f:replicas":{}}}
        tests Update scale: {"f:spec":{"f:replicas":{}}}"#]]
    .assert_eq(&changes.collect::<Vec<_>>().join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_json_patch_may_name_the_revision_it_builds_on() {
    let world = World::new().await;
    world
        .post("/api/v1/namespaces/default/configmaps", config_map("x"))
        .await
        .ok();
    let path = "/api/v1/namespaces/default/configmaps/x";
    let patch = |revision: &Value| {
        json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": revision},
            {"op": "add", "path": "/data", "value": {"k": "v"}}
        ])
        .to_string()
    };
    let revision = world.get(path).await.ok()["metadata"]["resourceVersion"].clone();
    let json_patch = "application/json-patch+json";
    let send = |body: String| world.send(http::Method::PATCH, path, json_patch, body);
    assert!(send(patch(&json!("1"))).await.refused().starts_with("409"));
    assert_eq!(send(patch(&revision)).await.ok()["data"]["k"], "v");
    assert!(send(patch(&revision)).await.refused().starts_with("409"));
}
#[tokio::test(start_paused = true)]
async fn a_bound_pod_says_that_it_is_scheduled() {
    let world = World::new().await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", account)
        .await
        .ok();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    world.post(pods, pod).await.ok();
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"},
    });
    world.post(&format!("{pods}/p/binding"), binding).await.ok();
    let bound = world.get(&format!("{pods}/p")).await.ok();
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
}

#[tokio::test(start_paused = true)]
async fn autoscalers_have_two_versions() {
    let world = World::new().await;
    let path = |version: &str, name: &str| {
        format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers{name}")
    };
    let spec = json!({"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50});
    let first = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": spec});
    let created = world.post(&path("v1", ""), first).await.ok();
    assert_eq!(created["spec"]["targetCPUUtilizationPercentage"], 50);
    assert_eq!(created["spec"]["minReplicas"], 1);
    let second = world.get(&path("v2", "/web")).await.ok();
    expect![[r#"[{"resource":{"name":"cpu","target":{"averageUtilization":50,"type":"Utilization"}},"type":"Resource"}]"#]]
        .assert_eq(&second["spec"]["metrics"].to_string());
    let patch = json!({"spec": {"targetCPUUtilizationPercentage": 60}});
    world.merge(&path("v1", "/web"), patch).await.ok();
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 5}}}});
    world.merge(&path("v2", "/web"), patch).await.ok();
    let list = world.get(&path("v1", "?labelSelector=a%3Db")).await.ok();
    let item = &list["items"][0];
    assert_eq!(item["spec"]["targetCPUUtilizationPercentage"], 60);
    expect![[r#"{"autoscaling.alpha.kubernetes.io/behavior":"{\"ScaleUp\":{\"StabilizationWindowSeconds\":5}}"}"#]]
        .assert_eq(&item["metadata"]["annotations"].to_string());
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_a_client_chose_does_not_overflow() {
    let world = World::new().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "a", "generation": i64::MAX, "finalizers": ["example.com/held"],
    }});
    let maps = "/api/v1/namespaces/default/configmaps";
    world.post(maps, map).await.ok();
    let path = format!("{maps}/a");
    world.delete(&path).await.ok();
    let held = world.get(&path).await.ok();
    assert_eq!(held["metadata"]["generation"], i64::MAX);
    assert!(held["metadata"]["deletionTimestamp"].is_string());
}
