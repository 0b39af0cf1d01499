//! The OpenAPI document and explanations of what definitions make served.

use serde_json::{Value, json};

use crate::crd::{define, definition, definitions};
use crate::kind::Kind;
use crate::world::Suite;

fn bars(what: &str, properties: Value) -> Value {
    json!({"description": format!("List of Bars and their {what}."), "type": "array", "items": {"type": "object", "properties": properties}})
}

fn foo() -> Value {
    let mut spec = bars(
        "specs",
        json!({
            "name": {"description": "Name of Bar.", "type": "string"},
            "age": {"description": "Age of Bar.", "type": "string"},
            "feeling": {"description": "Whether Bar is feeling great.", "type": "string", "enum": ["Great", "Down"]},
            "bazs": {"description": "List of Bazs.", "type": "array", "items": {"type": "string"}},
        }),
    );
    spec["items"]["required"] = json!(["name"]);
    let status = bars(
        "statuses",
        json!({
            "name": {"description": "Name of Bar.", "type": "string"},
            "available": {"description": "Whether the Bar is installed.", "type": "boolean"},
            "quxType": {"description": "Indicates to external qux type.", "type": "string", "pattern": "in-tree|out-of-tree"},
        }),
    );
    json!({
        "description": "Foo CRD for Testing", "type": "object",
        "properties": {
            "spec": {"description": "Specification of Foo", "type": "object", "properties": {"bars": spec}},
            "status": {"description": "Status of Foo", "type": "object", "properties": {"bars": status}},
        },
    })
}

fn waldo() -> Value {
    json!({
        "description": "Waldo CRD for Testing", "type": "object",
        "properties": {
            "spec": {"description": "Specification of Waldo", "type": "object", "properties": {"dummy": {"description": "Dummy property.", "type": "object"}}},
            "status": {"description": "Status of Waldo", "type": "object", "properties": {
                "bars": {"description": "List of Bars and their statuses.", "type": "array", "items": {"type": "object"}},
            }},
        },
    })
}

fn group(suffix: &str) -> String {
    format!("crd-publish-openapi-test-{suffix}.example.com")
}

/// A definition in the group for `suffix`, whose kind is told from others by `word`.
async fn publish(
    suite: &Suite,
    suffix: &str,
    word: &str,
    versions: &[&str],
    schema: Value,
) -> String {
    let (plural, kind) = (
        format!("e2e-test-{word}-crds"),
        format!("E2e-test-{word}-crd"),
    );
    let object = definition(
        &group(suffix),
        &plural,
        &kind,
        "Namespaced",
        versions,
        schema,
    );
    define(suite, object).await;
    format!("{plural}.{}", group(suffix))
}

/// The name of the document's definition for a version of a kind.
fn published(suffix: &str, version: &str, word: &str) -> String {
    let group = group(suffix);
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.E2e-test-{word}-crd", reversed.join("."))
}

async fn document(suite: &Suite) -> Value {
    suite.get("/openapi/v2").await.ok()
}

/// The document has the definition, and it says what the schema says; beside it are the members that every object has.
async fn assert_published(suite: &Suite, name: &str, schema: &Value) {
    let document = document(suite).await;
    let mut found = document["definitions"][name].clone();
    assert!(found.is_object(), "{name} is published");
    let fields = found.as_object_mut().unwrap();
    fields.remove("x-kubernetes-group-version-kind");
    fields.remove("x-kubernetes-selectable-fields");
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        for name in ["metadata", "apiVersion", "kind"] {
            properties.remove(name);
        }
        if properties.is_empty() {
            fields.remove("properties");
        }
    }
    assert_eq!(&found, schema);
}

async fn assert_unpublished(suite: &Suite, name: &str) {
    let document = document(suite).await;
    assert_eq!(document["definitions"].get(name), None, "{name}");
}

/// Deletes the definition; then nothing of it is published.
async fn clean_up(suite: &Suite, crd: &str, names: &[String]) {
    let crds = definitions(suite);
    crds.delete(crd).await;
    crds.until_gone(crd).await;
    for name in names {
        assert_unpublished(suite, name).await;
    }
}

fn kind<'a>(suite: &'a Suite, suffix: &str, word: &str, version: &str) -> Kind<'a> {
    let version = format!("{}/{version}", group(suffix));
    suite.namespaced(
        &version,
        &format!("E2e-test-{word}-crd"),
        &format!("e2e-test-{word}-crds"),
    )
}

/// Creates and applies the object, as `kubectl create` and `kubectl apply` do, and deletes it each time.
async fn can_be_made(kind: &Kind<'_>, object: Value) {
    let object = kind.typed(object);
    kind.create(object.clone()).await;
    kind.delete("test").await;
    let path = format!(
        "{}?fieldManager=kubectl&fieldValidation=Strict",
        kind.path("test")
    );
    let applied = kind.suite.patch(&path, "apply", object.to_string()).await;
    assert_eq!(applied.code, 201);
    kind.delete("test").await;
}

/// Why the server refuses to create the object.
async fn refusal(kind: &Kind<'_>, object: Value) -> String {
    kind.try_create(object).await.refused()
}

/// The schema of the kind in the v3 document, from which `kubectl explain` reads.
async fn explained(suite: &Suite, suffix: &str, version: &str, word: &str) -> Value {
    let path = format!("/openapi/v3/apis/{}/{version}", group(suffix));
    let document = suite.get(&path).await.ok();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let kind = format!("E2e-test-{word}-crd");
    let is_it = |schema: &Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|k| k["kind"] == *kind))
    };
    let found = schemas.values().find(|schema| is_it(schema));
    let mut found = found.expect("the kind is described").clone();
    // The metadata is a reference, possibly beside a description.
    let metadata = &found["properties"]["metadata"];
    let reference = metadata["allOf"][0]["$ref"]
        .as_str()
        .or(metadata["$ref"].as_str());
    let name = reference.unwrap().rsplit('/').next().unwrap();
    found["properties"]["metadata"]["referenced"] = schemas[name].clone();
    found
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_crd_with_validation_schema() {
    let suite = Suite::new().await;
    let crd = publish(&suite, "foo", "foo", &["v1"], foo()).await;
    let name = published("foo", "v1", "foo");
    assert_published(&suite, &name, &foo()).await;
    let foos = kind(&suite, "foo", "foo", "v1");
    let meta = json!({"name": "test"});
    can_be_made(
        &foos,
        json!({"metadata": meta, "spec": {"bars": [{"name": "test-bar"}]}}),
    )
    .await;

    let bad = json!({"metadata": meta, "spec": {"bars": [{"name": "test-bar", "feeling": "NonExistentValue"}]}});
    let why = refusal(&foos, bad).await;
    assert!(
        why.contains(r#"Unsupported value: "NonExistentValue""#),
        "{why}"
    );
    let why = refusal(&foos, json!({"metadata": meta, "spec": {"foo": true}})).await;
    assert!(why.contains(r#"unknown field "spec.foo""#), "{why}");
    let why = refusal(
        &foos,
        json!({"metadata": meta, "spec": {"bars": [{"age": "10"}]}}),
    )
    .await;
    assert!(why.contains("spec.bars[0].name: Required value"), "{why}");

    let schema = explained(&suite, "foo", "v1", "foo").await;
    assert_eq!(schema["description"], "Foo CRD for Testing");
    let properties = &schema["properties"];
    let starts = |value: &Value, with: &str| {
        assert!(
            value["description"].as_str().unwrap().starts_with(with),
            "{value}"
        );
    };
    starts(&properties["apiVersion"], "APIVersion defines");
    starts(&properties["metadata"], "Standard object's metadata");
    starts(
        &properties["metadata"]["referenced"]["properties"]["creationTimestamp"],
        "CreationTimestamp is a timestamp",
    );
    starts(&properties["spec"], "Specification of Foo");
    let bars = &properties["spec"]["properties"]["bars"];
    starts(bars, "List of Bars and their specs");
    starts(&bars["items"]["properties"]["bazs"], "List of Bazs");
    starts(&bars["items"]["properties"]["name"], "Name of Bar");
    assert_eq!(properties["spec"]["properties"].get("bars2"), None);
    clean_up(&suite, &crd, &[name]).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_crd_without_validation_schema() {
    let suite = Suite::new().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let crd = publish(&suite, "empty", "empty", &["v1"], schema).await;
    let name = published("empty", "v1", "empty");
    // A kind that keeps everything is published as one of which nothing is known.
    assert_published(&suite, &name, &json!({"type": "object"})).await;
    let kind = kind(&suite, "empty", "empty", "v1");
    can_be_made(
        &kind,
        json!({"metadata": {"name": "test"}, "a": {"b": [{"c": "d"}]}}),
    )
    .await;
    let schema = explained(&suite, "empty", "v1", "empty").await;
    assert_eq!(schema.get("description"), None);
    clean_up(&suite, &crd, &[name]).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_crd_preserving_unknown_fields_at_the_schema_root() {
    let suite = Suite::new().await;
    let mut schema = waldo();
    schema["description"] = json!("preserve-unknown-properties at root for Testing");
    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    let crd = publish(&suite, "unknown-at-root", "root", &["v1"], schema).await;
    let kind = kind(&suite, "unknown-at-root", "root", "v1");
    can_be_made(
        &kind,
        json!({"metadata": {"name": "test"}, "a": {"b": [{"c": "d"}]}}),
    )
    .await;
    explained(&suite, "unknown-at-root", "v1", "root").await;
    let name = published("unknown-at-root", "v1", "root");
    assert!(document(&suite).await["definitions"][&name].is_object());
    clean_up(&suite, &crd, &[name]).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_crd_preserving_unknown_fields_in_an_embedded_object()
 {
    let suite = Suite::new().await;
    let text = "preserve-unknown-properties in nested field for Testing";
    let mut schema = waldo();
    schema["description"] = json!(text);
    schema["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"] = json!(true);
    let crd = publish(&suite, "unknown-in-nested", "nested", &["v1"], schema).await;
    let kind = kind(&suite, "unknown-in-nested", "nested", "v1");
    can_be_made(
        &kind,
        json!({"metadata": {"name": "test"}, "spec": {"a": null, "b": [{"c": "d"}]}}),
    )
    .await;
    let schema = explained(&suite, "unknown-in-nested", "v1", "nested").await;
    assert_eq!(schema["description"], text);
    let name = published("unknown-in-nested", "v1", "nested");
    assert!(document(&suite).await["definitions"][&name].is_object());
    clean_up(&suite, &crd, &[name]).await;
}

/// Two kinds, by group suffix, version and schema, are both published; then each goes.
async fn two_kinds(suite: &Suite, first: (&str, &str), second: (&str, &str)) {
    let foo_crd = publish(suite, first.0, "foo", &[first.1], foo()).await;
    let waldo_crd = publish(suite, second.0, "waldo", &[second.1], waldo()).await;
    let names = [
        published(first.0, first.1, "foo"),
        published(second.0, second.1, "waldo"),
    ];
    assert_published(suite, &names[0], &foo()).await;
    assert_published(suite, &names[1], &waldo()).await;
    clean_up(suite, &foo_crd, &names[..1]).await;
    assert_published(suite, &names[1], &waldo()).await;
    clean_up(suite, &waldo_crd, &names).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_multiple_crds_of_different_groups() {
    let suite = Suite::new().await;
    two_kinds(&suite, ("foo", "v1"), ("waldo", "v1beta1")).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_multiple_crds_of_same_group_but_different_versions()
{
    let suite = Suite::new().await;
    let crd = publish(&suite, "multi-ver", "multi", &["v2", "v3"], foo()).await;
    let names = ["v2", "v3"].map(|version| published("multi-ver", version, "multi"));
    for name in &names {
        assert_published(&suite, name, &foo()).await;
    }
    clean_up(&suite, &crd, &names).await;
    two_kinds(&suite, ("common-group", "v4"), ("common-group", "v5")).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_works_for_multiple_crds_of_same_group_and_version_but_different_kinds()
 {
    let suite = Suite::new().await;
    two_kinds(&suite, ("common-group", "v6"), ("common-group", "v6")).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_updates_the_published_spec_when_one_version_gets_renamed() {
    let suite = Suite::new().await;
    let crd = publish(&suite, "multi-ver", "multi", &["v2", "v3"], foo()).await;
    let [two, three, four] =
        ["v2", "v3", "v4"].map(|version| published("multi-ver", version, "multi"));
    assert_published(&suite, &two, &foo()).await;
    assert_published(&suite, &three, &foo()).await;
    let patch = json!([
        {"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
        {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
    ]);
    definitions(&suite).json_patch(&crd, patch).await;
    assert_published(&suite, &four, &foo()).await;
    assert_unpublished(&suite, &three).await;
    assert_published(&suite, &two, &foo()).await;
    clean_up(&suite, &crd, &[two, four]).await;
}

#[tokio::test(start_paused = true)]
async fn customresourcepublishopenapi_removes_definition_from_spec_when_one_version_gets_changed_to_not_be_served()
 {
    let suite = Suite::new().await;
    let crd = publish(
        &suite,
        "multi-to-single-ver",
        "multi",
        &["v5", "v6alpha1"],
        foo(),
    )
    .await;
    let [five, six] =
        ["v5", "v6alpha1"].map(|version| published("multi-to-single-ver", version, "multi"));
    assert_published(&suite, &five, &foo()).await;
    assert_published(&suite, &six, &foo()).await;
    let crds = definitions(&suite);
    let before = crate::world::revision(&crds.get(&crd).await);
    let updated = crds
        .update(&crd, |crd| {
            crd["spec"]["versions"][1]["served"] = json!(false);
        })
        .await;
    assert!(crate::world::revision(&updated) > before);
    assert_unpublished(&suite, &six).await;
    assert_published(&suite, &five, &foo()).await;
    clean_up(&suite, &crd, &[five]).await;
}
