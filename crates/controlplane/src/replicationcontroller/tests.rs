//! Check tests: a ReplicationController and its pods → plan and status as text.

use std::sync::Arc;

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use runtime::Wait;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// A controller of `replicas` pods that are called `app: web`, and pods by name, label and owner.
fn check(replicas: i32, pods: &[(&str, &str, &str)], failure: Option<&str>, expect: &Expect) {
    let object: ReplicationController = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 2, "resourceVersion": "7"},
        "spec": {
            "replicas": replicas, "selector": {"app": "web"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
        },
    }))
    .unwrap();
    let pods = pods.iter().map(|(name, app, owner)| {
        let owner = json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "x", "uid": owner, "controller": true}]);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {"app": app}, "ownerReferences": owner},
        }))
        .unwrap();
        Arc::new(pod)
    });
    let world = World {
        kind: Kind("v1", "ReplicationController"),
        replica_set: as_replica_set(&object),
        pods: pods.collect(),
        related: vec![],
    };
    let plan = ReplicationManager::plan(&world, now());
    let outcome = Outcome {
        done: if failure.is_some() {
            0
        } else {
            plan.changes.len()
        },
        failure: failure.map(|message| Wait {
            reason: "ApplyRejected",
            message: message.to_owned(),
        }),
    };
    let status = ReplicationManager::status(&world, &plan, &outcome, now()).unwrap();
    expect.assert_eq(&format!("{plan}status {status}\n"));
}

#[test]
fn pods_are_made_and_let_go() {
    check(
        1,
        &[],
        None,
        &expect![[r#"
        create Pod default/web-sqnj7
        note SuccessfulCreate: Created pod: web-sqnj7
        again in 60s
        status {"observedGeneration":2,"replicas":0}
    "#]],
    );
    check(
        1,
        &[("a", "web", "uid-web"), ("b", "other", "uid-web")],
        None,
        &expect![[r#"
            patch Pod default/b {"metadata":{"ownerReferences":[],"uid":"uid-b"}}
            status {"fullyLabeledReplicas":1,"observedGeneration":2,"replicas":1}
        "#]],
    );
    check(
        0,
        &[("a", "web", "uid-web"), ("b", "web", "uid-x")],
        None,
        &expect![[r#"
            delete Pod default/a
            note SuccessfulDelete: Deleted pod: a
            status {"fullyLabeledReplicas":1,"observedGeneration":2,"replicas":1}
        "#]],
    );
}

#[test]
fn a_quota_shows_as_a_failure() {
    check(
        1,
        &[],
        Some("pods \"web-x\" is forbidden: exceeded quota: q"),
        &expect![[r#"
            create Pod default/web-sqnj7
            note SuccessfulCreate: Created pod: web-sqnj7
            again in 60s
            status {"conditions":[{"message":"pods \"web-x\" is forbidden: exceeded quota: q","reason":"FailedCreate","status":"True","type":"ReplicaFailure"}],"observedGeneration":2,"replicas":0}
        "#]],
    );
}
