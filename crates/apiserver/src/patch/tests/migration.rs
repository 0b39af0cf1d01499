//! Objects move from client-side to server-side apply.

use expect_test::expect;
use serde_json::json;

use super::{Story, thing};

/// What `kubectl apply` (client side) leaves behind.
fn client_side(spec: &serde_json::Value) -> String {
    let applied = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x", "annotations": {}}, "spec": spec});
    let annotation = format!("{applied}\n");
    let body = json!({
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": annotation}}, "spec": spec,
    });
    format!("put kubectl-client-side-apply: {body}")
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client_side() {
    let mut story = Story::new(thing());
    story.tell(&client_side(&json!({"replicas": 1, "name": "a"})));
    story.tell("apply kubectl: {spec: {replicas: 2, name: a}}");
    expect![[r#"
        {"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"x\"},\"spec\":{\"name\":\"a\",\"replicas\":2}}\n"}},"spec":{"name":"a","replicas":2}}
        kubectl applied v1 at 2: .spec.name .spec.replicas
        kubectl-client-side-apply updated v1 at 1: .spec .metadata.annotations .metadata.annotations.kubectl.kubernetes.io/last-applied-configuration .spec.name
    "#]].assert_eq(&story.show());
}

#[test]
fn other_managers_do_not() {
    let mut story = Story::new(thing());
    story.tell(&client_side(&json!({"replicas": 1, "name": "a"})));
    story.tell("apply flux: {spec: {replicas: 2, name: a}}");
    expect![[r#"
        2: 409 Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .spec.replicas
        {"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"metadata\":{\"annotations\":{},\"name\":\"x\"},\"spec\":{\"name\":\"a\",\"replicas\":1}}\n"}},"spec":{"name":"a","replicas":1}}
        kubectl-client-side-apply updated v1 at 1: .spec .metadata.annotations .metadata.annotations.kubectl.kubernetes.io/last-applied-configuration .spec.name .spec.replicas
    "#]].assert_eq(&story.show());
}

#[test]
fn fields_that_others_changed_since_are_conflicts() {
    let mut story = Story::new(thing());
    story.tell(&client_side(&json!({"replicas": 1, "name": "a"})));
    let mut scaled = story.live.clone().unwrap();
    scaled["spec"]["replicas"] = 5.into();
    scaled["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    story.tell(&format!("put hpa: {scaled}"));
    story.tell("apply kubectl: {spec: {replicas: 2, name: b}}");
    expect![[r#"
        3: 409 Apply failed with 1 conflict: conflict with "hpa" using v1: .spec.replicas
        {"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"metadata\":{\"annotations\":{},\"name\":\"x\"},\"spec\":{\"name\":\"a\",\"replicas\":1}}\n"}},"spec":{"name":"a","replicas":5}}
        kubectl-client-side-apply updated v1 at 1: .spec .metadata.annotations .metadata.annotations.kubectl.kubernetes.io/last-applied-configuration .spec.name
        hpa updated v1 at 2: .spec.replicas
    "#]].assert_eq(&story.show());
}

#[test]
fn the_annotation_follows_every_apply_of_kubectl() {
    let mut story = Story::new(thing());
    story.tell(&client_side(&json!({"replicas": 1})));
    story.tell("apply kubectl: {metadata: {annotations: {a: b}}, spec: {replicas: 1, name: new}}");
    story.tell("apply kubectl: {metadata: {annotations: {a: b}}, spec: {replicas: 1, name: new}}");
    expect![[r#"
        3: nothing changed
        {"metadata":{"annotations":{"a":"b","kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"metadata\":{\"annotations\":{\"a\":\"b\"},\"name\":\"x\"},\"spec\":{\"name\":\"new\",\"replicas\":1}}\n"}},"spec":{"name":"new","replicas":1}}
        kubectl applied v1 at 2: .metadata.annotations.a .spec.name .spec.replicas
        kubectl-client-side-apply updated v1 at 1: .spec .metadata.annotations .metadata.annotations.kubectl.kubernetes.io/last-applied-configuration .spec.replicas
    "#]].assert_eq(&story.show());
}

#[test]
fn objects_without_the_annotation_get_none() {
    let mut story = Story::new(thing());
    story.tell("apply kubectl: {spec: {replicas: 1}}");
    expect![[r#"
        {"spec":{"replicas":1}}
        kubectl applied v1 at 1: .spec.replicas
    "#]]
    .assert_eq(&story.show());
}

#[test]
fn an_annotation_that_grows_too_large_goes() {
    let mut story = Story::new(thing());
    story.tell(&client_side(&json!({"replicas": 1})));
    let long = "x".repeat(300 << 10);
    story.tell(&format!(
        "apply kubectl: {{spec: {{replicas: 1, name: {long}}}}}"
    ));
    let annotations = &story.live.unwrap()["metadata"]["annotations"];
    expect!["{}"].assert_eq(&annotations.to_string());
}
