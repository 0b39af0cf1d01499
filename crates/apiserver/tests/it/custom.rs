//! Custom resources: from the definition to objects that are validated, defaulted and cleaned up with it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BEES: &str = "/apis/example.com/v1/namespaces/default/bees";

pub(crate) fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bees.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "bees", "kind": "Bee", "shortNames": ["b"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Wings", "type": "integer", "jsonPath": ".spec.wings"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string", "maxLength": 8},
                        "wings": {"type": "integer", "default": 4},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    })
}

fn bee(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Bee", "metadata": {"name": name}, "spec": {"name": name}})
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_served_the_moment_it_is_acknowledged() {
    let world = World::new().await;
    let created = world.post(DEFINITIONS, definition()).await.ok();
    let established = created["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|c| c["type"] == "Established" && c["status"] == "True");
    assert!(established, "{created}");
    let made = world.post(BEES, bee("maja")).await.ok();
    assert_eq!(
        (&made["spec"]["wings"], &made["metadata"]["generation"]),
        (&json!(4), &json!(1))
    );
    let kinds = world.get("/apis/example.com/v1").await.ok();
    assert_eq!(kinds["resources"][0]["shortNames"], json!(["b"]));
    let list = world.get(BEES).await.ok();
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("BeeList"), &json!("Bee"))
    );
}

#[tokio::test(start_paused = true)]
async fn custom_objects_are_validated_and_pruned() {
    let world = World::new().await;
    world.post(DEFINITIONS, definition()).await.ok();
    let mut wrong = bee("maja");
    wrong["spec"]["wings"] = "four".into();
    let refused = world.post(BEES, wrong).await.refused();
    assert!(
        refused.contains("spec.wings in body must be of type integer"),
        "{refused}"
    );
    let mut long = bee("maja");
    long["spec"]["name"] = "much too long".into();
    assert!(world.post(BEES, long).await.refused().contains("spec.name"));
    let mut surprising = bee("maja");
    surprising["spec"]["surprise"] = true.into();
    let answer = world.post(BEES, surprising).await;
    assert_eq!(
        answer.warnings,
        [r#"299 - "unknown field \"spec.surprise\"""#]
    );
    assert!(answer.ok()["spec"].get("surprise").is_none());
    let status = world
        .merge(
            &format!("{BEES}/maja/status"),
            json!({"status": {"seen": 1}, "spec": {"wings": 2}}),
        )
        .await
        .ok();
    assert_eq!(
        (&status["status"]["seen"], &status["spec"]["wings"]),
        (&json!(1), &json!(4))
    );
    let applied = world
        .apply(&format!("{BEES}/willi"), bee("willi"))
        .await
        .ok();
    assert_eq!(
        applied,
        world
            .apply(&format!("{BEES}/willi"), bee("willi"))
            .await
            .ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_dying_definition_takes_its_objects_along() {
    let world = World::new().await;
    world.post(DEFINITIONS, definition()).await.ok();
    world.post(BEES, bee("maja")).await.ok();
    let path = format!("{DEFINITIONS}/bees.example.com");
    world.delete(&path).await.ok();
    let gone = async {
        while world.get(&path).await.code != 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
    assert_eq!(world.get(BEES).await.code, 404);
    world.post(DEFINITIONS, definition()).await.ok();
    assert_eq!(world.get(BEES).await.ok()["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_dying_definition_takes_no_new_objects() {
    let world = World::new().await;
    world.post(DEFINITIONS, definition()).await.ok();
    let mut held = bee("maja");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    world.post(BEES, held).await.ok();
    world
        .delete(&format!("{DEFINITIONS}/bees.example.com"))
        .await
        .ok();
    assert_eq!(
        world.post(BEES, bee("willy")).await.refused(),
        "405 MethodNotAllowed: create not allowed while custom resource definition is terminating"
    );
}
