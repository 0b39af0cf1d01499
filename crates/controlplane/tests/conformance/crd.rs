//! CustomResourceDefinitions, as objects and as what they make served.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions, names, revision};

/// A definition whose versions all have this schema; the first one is stored.
pub(crate) fn definition(
    group: &str,
    plural: &str,
    kind: &str,
    scope: &str,
    versions: &[&str],
    schema: Value,
) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(at, name)| json!({"name": name, "served": true, "storage": at == 0, "schema": {"openAPIV3Schema": schema}}))
        .collect();
    json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": scope, "versions": versions,
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
        },
    })
}

pub(crate) fn is_established(crd: &Value) -> bool {
    let conditions = conditions(crd);
    ["Established", "NamesAccepted"]
        .iter()
        .all(|ty| conditions.get(*ty).is_some_and(|c| c["status"] == "True"))
}

pub(crate) fn definitions(suite: &Suite) -> Kind<'_> {
    suite.cluster_wide(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    )
}

/// Creates a definition and waits until it is served; as it was created.
pub(crate) async fn define(suite: &Suite, object: Value) -> Value {
    let crds = definitions(suite);
    let created = crds.create(object).await;
    let name = created["metadata"]["name"].as_str().unwrap();
    crds.until(name, "it is established", is_established).await;
    created
}

/// A definition of anything, named after `word`.
fn anything(word: &str) -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    definition(
        &format!("{word}.example.com"),
        &format!("{word}s"),
        &format!("{word}Kind"),
        "Cluster",
        &["v1"],
        schema,
    )
}

#[tokio::test(start_paused = true)]
async fn customresourcedefinition_resources_simple_customresourcedefinition_creating_deleting_custom_resource_definition_objects_works()
 {
    let suite = Suite::new().await;
    define(&suite, anything("noxu")).await;
    let crds = definitions(&suite);
    crds.delete("noxus.noxu.example.com").await;
    crds.until_gone("noxus.noxu.example.com").await;
    assert_eq!(suite.get("/apis/noxu.example.com/v1/noxus").await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn customresourcedefinition_resources_simple_customresourcedefinition_listing_custom_resource_definition_objects_works()
 {
    let suite = Suite::new().await;
    let mut labelled = Vec::new();
    for at in 0..10 {
        let mut object = anything(&format!("listed{at}"));
        object["metadata"]["labels"] = json!({"e2e-list-test-uuid": "some"});
        labelled.push(define(&suite, object).await);
    }
    define(&suite, anything("other")).await;
    let crds = definitions(&suite);
    let query = "labelSelector=e2e-list-test-uuid%3Dsome";
    let list = crds.list(query).await;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 10);
    for item in items {
        let name = &item["metadata"]["name"];
        let made = labelled.iter().find(|crd| crd["metadata"]["name"] == *name);
        assert_eq!(item["spec"], made.unwrap()["spec"]);
    }
    crds.delete_collection(query).await;
    for name in names(&list) {
        crds.until_gone(&name).await;
    }
    crds.get("others.other.example.com").await;
}

#[tokio::test(start_paused = true)]
async fn customresourcedefinition_resources_simple_customresourcedefinition_getting_updating_patching_custom_resource_definition_status_sub_resource_works()
 {
    let suite = Suite::new().await;
    let created = define(&suite, anything("noxu")).await;
    let crds = definitions(&suite);
    let status = "noxus.noxu.example.com/status";
    assert_eq!(crds.get(status).await["spec"], created["spec"]);
    // Conditions of a definition need neither type nor status.
    let is_there = |crd: &Value, message: &str| {
        let all = crd["status"]["conditions"].as_array().unwrap();
        all.iter().any(|c| c["message"] == message)
    };
    let updated = crds
        .update(status, |crd| {
            let all = crd["status"]["conditions"].as_array_mut().unwrap();
            all.push(
                json!({"type": "", "status": "", "lastTransitionTime": null, "message": "updated"}),
            );
        })
        .await;
    assert!(is_there(&updated, "updated"), "{updated:#}");
    let patch =
        json!([{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]);
    let patched = crds.json_patch(status, patch).await;
    assert!(is_there(&patched, "patched"), "{patched:#}");
}

#[tokio::test(start_paused = true)]
async fn customresourcedefinition_resources_custom_resource_defaulting_for_requests_and_from_storage_works()
 {
    let suite = Suite::new().await;
    let mut object = anything("noxu");
    object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] =
        json!({"a": {"type": "string"}, "b": {"type": "string"}});
    define(&suite, object).await;
    let crds = definitions(&suite);
    let kind = suite.cluster_wide("noxu.example.com/v1", "noxuKind", "noxus");
    let first = kind.create(json!({"metadata": {"name": "first"}})).await;
    assert_eq!(first.get("a"), None);

    // A default applies to what is stored already, when it is read.
    let default =
        |field: &str| format!("/spec/versions/0/schema/openAPIV3Schema/properties/{field}/default");
    let patch = json!([{"op": "add", "path": default("a"), "value": "A"}]);
    crds.json_patch("noxus.noxu.example.com", patch).await;
    kind.until("first", "it is defaulted", |object| object["a"] == "A")
        .await;
    let second = kind.create(json!({"metadata": {"name": "second"}})).await;
    assert_eq!(second["a"], "A");

    // Without the default, what was stored with it stays.
    let patch = json!([
        {"op": "remove", "path": default("a")},
        {"op": "add", "path": default("b"), "value": "B"},
    ]);
    crds.json_patch("noxus.noxu.example.com", patch).await;
    let second_read = kind
        .until("second", "b is defaulted", |object| object["b"] == "B")
        .await;
    assert_eq!(second_read["a"], "A");
    assert_eq!(kind.get("first").await.get("a"), None);
    assert!(revision(&second) > revision(&first));
}

#[tokio::test(start_paused = true)]
async fn customresourcedefinition_watch_customresourcedefinition_watch_watch_on_custom_resource_definition_objects()
 {
    let suite = Suite::new().await;
    define(&suite, anything("noxu")).await;
    let kind = suite.cluster_wide("noxu.example.com/v1", "noxuKind", "noxus");
    let by_name = |name: &str| format!("fieldSelector=metadata.name%3D{name}&timeoutSeconds=600");
    let mut watches = [
        kind.watch(&by_name("name1")).await,
        kind.watch(&by_name("name2")).await,
    ];
    let objects = ["name1", "name2"];
    for (at, name) in objects.into_iter().enumerate() {
        let object = json!({"metadata": {"name": name}, "content": {"key": "value"}, "num": {"num1": 1, "num2": 1_000_000}});
        let created = kind.create(object).await;
        assert!(created["metadata"]["uid"].is_string());
        assert_eq!(created["apiVersion"], "noxu.example.com/v1");
        assert_eq!(created["kind"], "noxuKind");
        assert_eq!(watches[at].expect("ADDED").await, created);
        watches[1 - at].expect_none().await;
    }
    for (at, name) in objects.into_iter().enumerate() {
        let patch = json!([{"op": "add", "path": "/dummy", "value": "test"}]);
        kind.json_patch(name, patch).await;
        assert_eq!(watches[at].expect("MODIFIED").await["dummy"], "test");
        watches[1 - at].expect_none().await;
    }
    for (at, name) in objects.into_iter().enumerate() {
        kind.delete(name).await;
        watches[at].expect("DELETED").await;
        watches[1 - at].expect_none().await;
    }
}
