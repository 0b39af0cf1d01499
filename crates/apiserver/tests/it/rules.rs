//! CEL rules of custom resources, over HTTP.

use serde_json::{Value, json};

use crate::custom::DEFINITIONS;
use crate::world::World;

const HIVES: &str = "/apis/example.com/v1/hives";

fn definition(rules: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "hives.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "hives", "kind": "Hive"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-validations": [
                        {"rule": "self.metadata.name.size() < 10", "message": "the name is too long"},
                    ],
                    "properties": {
                        "spec": {
                            "type": "object", "required": ["bees"], "x-kubernetes-validations": rules,
                            "properties": {
                                "bees": {"type": "integer"},
                                "queen": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [
                                    {"rule": "self == oldSelf", "message": "queens stay"},
                                ]},
                            },
                        },
                        "status": {"type": "object", "properties": {
                            "seen": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= 0"}]},
                        }},
                    },
                }},
            }],
        },
    })
}

fn usual() -> Value {
    definition(json!([
        {"rule": "self.bees >= 0"},
        {"rule": "self.bees < 1000", "messageExpression": "'%d bees are too many'.format([self.bees])",
         "reason": "FieldValueForbidden", "fieldPath": ".bees"},
    ]))
}

fn hive(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Hive", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test(start_paused = true)]
async fn rules_hold_when_objects_are_written() {
    let world = World::new().await;
    world.post(DEFINITIONS, usual()).await.ok();
    let refused = |answer: crate::world::Answer| {
        let causes = answer.body["details"]["causes"].clone();
        (answer.refused(), causes)
    };
    let (text, causes) = refused(world.post(HIVES, hive("a", &json!({"bees": -1}))).await);
    assert_eq!(
        text,
        "422 Invalid: Hive.example.com \"a\" is invalid: spec: Invalid value: failed rule: self.bees >= 0"
    );
    assert_eq!(causes[0]["reason"], "FieldValueInvalid");
    let (text, causes) = refused(world.post(HIVES, hive("a", &json!({"bees": 2000}))).await);
    assert!(
        text.ends_with("spec.bees: Forbidden: 2000 bees are too many"),
        "{text}"
    );
    assert_eq!(
        (&causes[0]["reason"], &causes[0]["field"]),
        (&json!("FieldValueForbidden"), &json!("spec.bees"))
    );
    let (text, _) = refused(
        world
            .post(HIVES, hive("muchtoolong", &json!({"bees": 1})))
            .await,
    );
    assert!(
        text.contains("<nil>: Invalid value: the name is too long"),
        "{text}"
    );
    // What is wrong already is told alone.
    let (text, _) = refused(world.post(HIVES, hive("a", &json!({}))).await);
    assert!(text.contains("spec.bees: Required value"), "{text}");
    assert!(
        text.contains("some validation rules were not checked"),
        "{text}"
    );

    world
        .post(HIVES, hive("a", &json!({"bees": 1, "queen": "q"})))
        .await
        .ok();
    let path = format!("{HIVES}/a");
    for body in [
        json!({"spec": {"bees": -5}}),
        json!({"spec": {"queen": "r"}}),
    ] {
        assert_eq!(world.merge(&path, body).await.code, 422);
    }
    world.merge(&path, json!({"spec": {"bees": 5}})).await.ok();
    let status = format!("{path}/status");
    let text = world
        .merge(&status, json!({"status": {"seen": -1}}))
        .await
        .refused();
    assert!(
        text.contains("status.seen: Invalid value: -1: failed rule: self >= 0"),
        "{text}"
    );
    world
        .merge(&status, json!({"status": {"seen": 1}}))
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn objects_may_stay_as_wrong_as_they_were() {
    let world = World::new().await;
    world.post(DEFINITIONS, definition(json!([]))).await.ok();
    world
        .post(HIVES, hive("a", &json!({"bees": -1})))
        .await
        .ok();
    let path = format!("{DEFINITIONS}/hives.example.com");
    let mut stricter = world.get(&path).await.ok();
    stricter["spec"]["versions"] = usual()["spec"]["versions"].clone();
    world.put(&path, stricter).await.ok();
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    world.merge(&format!("{HIVES}/a"), labelled).await.ok();
    let changed = world
        .merge(&format!("{HIVES}/a"), json!({"spec": {"bees": -2}}))
        .await;
    assert!(changed.refused().contains("failed rule: self.bees >= 0"));
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_be_compiled_are_refused_with_their_definition() {
    let world = World::new().await;
    let wrong = definition(json!([{"rule": "self.wasps > 0"}]));
    let text = world.post(DEFINITIONS, wrong).await.refused();
    assert!(
        text.contains("compilation failed: ERROR: <input>:1:5: undefined field 'wasps'"),
        "{text}"
    );
    let expensive =
        json!([{"rule": "lists.range(1000000).all(i, lists.range(1000000).all(j, i < j))"}]);
    let text = world
        .post(DEFINITIONS, definition(expensive))
        .await
        .refused();
    assert!(
        text.contains("estimated rule cost exceeds budget by factor of more than 100x"),
        "{text}"
    );
}
