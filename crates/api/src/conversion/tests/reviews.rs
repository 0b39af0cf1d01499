//! Conversion as a webhook answers it.

use expect_test::expect;
use serde_json::{Value, json};

use crate::conversion::review;

fn ask(objects: Value, version: &str) -> Value {
    review(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "u-1", "desiredAPIVersion": format!("cluster.x-k8s.io/{version}"), "objects": objects},
    }))
}

fn cluster(paused: Value) -> Value {
    json!({
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"paused": paused, "controlPlaneEndpoint": {"host": "", "port": 0}},
    })
}

#[test]
fn all_objects_are_converted() {
    let answer = ask(
        json!([cluster(json!(true)), cluster(json!(false))]),
        "v1beta2",
    );
    assert_eq!(answer["response"]["uid"], "u-1");
    assert_eq!(answer["response"]["result"], json!({"status": "Success"}));
    let objects = answer["response"]["convertedObjects"].clone();
    assert_eq!(
        objects[0],
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "a", "namespace": "ns"},
            "spec": {"paused": true},
        })
    );
    let back = ask(objects, "v1beta1");
    assert_eq!(
        back["response"]["convertedObjects"][1]["apiVersion"],
        "cluster.x-k8s.io/v1beta1"
    );
}

#[test]
fn what_cannot_be_answered_says_why() {
    let mut wrong = cluster(json!(true));
    wrong["spec"]["infrastructureRef"] = json!({"kind": "LocalCluster", "name": "a"});
    let reviews = [
        ask(json!([cluster(json!(true)), wrong]), "v1beta2"),
        ask(json!(5), "v1beta2"),
        review(json!(null)),
        review(
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": {}}),
        ),
    ];
    let said = reviews.map(|answer| {
        assert_eq!(answer["response"].get("convertedObjects"), None);
        answer["response"]["result"].to_string()
    });
    expect![[r#"
        {"message":"ns/a: spec.infrastructureRef.apiVersion: Invalid value: \"\" must be the group and version of the object, such as infrastructure.cluster.x-k8s.io/v1beta1","status":"Failure"}
        {"message":"request.objects must be the list of objects to convert","status":"Failure"}
        {"message":"a ConversionReview of apiextensions.k8s.io/v1 was expected","status":"Failure"}
        {"message":"request.desiredAPIVersion must say the version that is wanted","status":"Failure"}"#]].assert_eq(&said.join("\n"));
}
