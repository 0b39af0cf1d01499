//! Fields that nobody knows, and fields said twice.

use serde_json::{Value, json};

use crate::crd::{define, definition};
use crate::world::{Answer, Suite};

const STRICT: &str = "fieldManager=field_validation_mgr&fieldValidation=Strict";

async fn post_deployment(suite: &Suite, body: &str) -> String {
    let ns = &suite.ns;
    let path = format!("/apis/apps/v1/namespaces/{ns}/deployments?{STRICT}");
    let headers = [("content-type", "application/json")];
    let answer = suite.send(http::Method::POST, &path, &headers, body).await;
    answer.refused()
}

const TEMPLATE: &str = r#""selector": {"matchLabels": {"app": "nginx"}}, "template": {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx:latest"}]}}"#;

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_detect_unknown_and_duplicate_fields_of_a_typed_object() {
    let suite = Suite::new().await;
    let body = format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "my-dep", "labels": {{"app": "nginx"}}}},
        "spec": {{"unknownField": "foo", "replicas": 2, "replicas": 3, {TEMPLATE}}}}}"#
    );
    let why = post_deployment(&suite, &body).await;
    let wanted = r#"strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas""#;
    assert!(why.contains(wanted), "{why}");
}

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_detect_unknown_metadata_fields_of_a_typed_object() {
    let suite = Suite::new().await;
    let body = format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {{"name": "my-dep", "unknownMeta": "foo", "labels": {{"app": "nginx"}}}}, "spec": {{{TEMPLATE}}}}}"#
    );
    let why = post_deployment(&suite, &body).await;
    let wanted = r#"strict decoding error: unknown field "metadata.unknownMeta""#;
    assert!(why.contains(wanted), "{why}");
}

/// The schema of the tests: a pattern, and a list whose items have keys.
fn schema(more: Value) -> Value {
    let port = json!({
        "type": "object", "required": ["containerPort", "protocol"],
        "properties": {
            "containerPort": {"type": "integer", "format": "int32"}, "hostIP": {"type": "string"},
            "hostPort": {"type": "integer", "format": "int32"}, "name": {"type": "string"}, "protocol": {"type": "string"},
        },
    });
    let mut spec = json!({
        "type": "object",
        "properties": {
            "foo": {"type": "string"},
            "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"], "items": port},
        },
    });
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Object(fields) => {
                let known = spec[key].as_object_mut().unwrap();
                known.extend(fields.clone());
            }
            other => spec[key] = other.clone(),
        }
    }
    json!({"type": "object", "properties": {"spec": spec}})
}

/// Applies an object of a kind with this schema: `fields` come after the name, `spec` begins the spec.
async fn apply(schema: Value, fields: &str, spec: &str) -> Answer {
    let suite = Suite::new().await;
    let group = "mygroup.example.com";
    define(
        &suite,
        definition(
            group,
            "noxus",
            "WishIHadChosenNoxu",
            "Cluster",
            &["v1beta1", "v1"],
            schema,
        ),
    )
    .await;
    let body = format!(
        "\napiVersion: {group}/v1beta1\nkind: WishIHadChosenNoxu\nmetadata:\n  name: mytest\n{fields}spec:\n{spec}  cronSpec: \"* * * * */5\"\n  ports:\n  - name: x\n    containerPort: 80\n    protocol: TCP"
    );
    let path = format!("/apis/{group}/v1beta1/noxus/mytest?{STRICT}");
    suite.patch(&path, "apply", body).await
}

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_create_apply_a_valid_cr_for_crd_with_validation_schema() {
    let applied = apply(schema(json!({})), "", "  foo: foo1\n").await;
    assert_eq!(applied.code, 201);
    assert_eq!(applied.json()["spec"]["foo"], "foo1");
}

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_create_apply_a_cr_with_unknown_fields_for_crd_with_no_validation_schema()
 {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let applied = apply(anything, "", "  unknown: uk1\n").await.ok();
    assert_eq!(applied["spec"]["unknown"], "uk1");
}

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_create_apply_an_invalid_cr_with_extra_properties_for_crd_with_validation_schema()
 {
    let why = apply(
        schema(json!({})),
        "unknownField: unknown\n",
        "  foo: foo1\n",
    )
    .await
    .refused();
    assert!(
        why.contains(".unknownField: field not declared in schema"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_detect_unknown_metadata_fields_in_both_the_root_and_embedded_object_of_a_cr()
 {
    let template = json!({
        "type": "object", "x-kubernetes-embedded-resource": true,
        "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}, "spec": {"type": "object"}},
    });
    let more =
        json!({"x-kubernetes-preserve-unknown-fields": true, "properties": {"template": template}});
    let embedded = "  template:\n    apiversion: foo/v1\n    kind: Sub\n    metadata:\n      unknownSubMeta: unknown\n      name: subobject\n  foo: foo1\n";
    let why = apply(schema(more.clone()), "", embedded).await.refused();
    assert!(
        why.contains(".spec.template.metadata.unknownSubMeta: field not declared in schema"),
        "{why}"
    );
    let why = apply(schema(more), "  unknownMeta: unknown\n", "  foo: foo1\n")
        .await
        .refused();
    assert!(
        why.contains(".metadata.unknownMeta: field not declared in schema"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn fieldvalidation_should_detect_duplicates_in_a_cr_when_preserving_unknown_fields() {
    let more = json!({"x-kubernetes-preserve-unknown-fields": true});
    let why = apply(
        schema(more),
        "",
        "  unknown: uk1\n  foo: foo1\n  foo: foo2\n",
    )
    .await
    .refused();
    assert!(
        why.contains("line 9: key \"foo\" already set in map"),
        "{why}"
    );
}
