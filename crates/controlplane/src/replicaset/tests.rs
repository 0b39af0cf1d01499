//! Check tests: a ReplicaSet and pods in YAML → plan and status as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use runtime::Wait;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    #[serde(default)]
    replicas: i32,
    #[serde(default)]
    min_ready: i32,
    #[serde(default)]
    pods: Vec<Line>,
    /// Pods of siblings, by their node.
    #[serde(default)]
    related: Vec<String>,
}

/// One pod.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Line {
    name: String,
    app: String,
    owner: Option<String>,
    node: Option<String>,
    phase: String,
    /// Seconds for which it has been ready.
    ready: Option<i64>,
    restarts: i32,
    cost: Option<String>,
    /// Seconds since its creation.
    age: i64,
    is_deleting: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            name: String::new(),
            app: "web".into(),
            owner: Some("uid-web".into()),
            node: Some("n1".into()),
            phase: "Running".into(),
            ready: Some(600),
            restarts: 0,
            cost: None,
            age: 1000,
            is_deleting: false,
        }
    }
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> String {
    runtime::rfc3339(now() - jiff::SignedDuration::from_secs(seconds))
}

impl Line {
    fn build(&self) -> Pod {
        let owners = self.owner.as_ref().map(
            |uid| json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid, "controller": true}]),
        );
        let cost = self
            .cost
            .as_ref()
            .map(|cost| json!({"controller.kubernetes.io/pod-deletion-cost": cost}));
        let ready = self.ready.map(
            |since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": ago(since)}]),
        );
        serde_json::from_value(json!({
            "metadata": {
                "name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name), "labels": {"app": self.app},
                "annotations": cost, "ownerReferences": owners, "creationTimestamp": ago(self.age),
                "deletionTimestamp": self.is_deleting.then(|| ago(1)),
            },
            "spec": {"nodeName": self.node, "containers": []},
            "status": {"phase": self.phase, "conditions": ready, "containerStatuses": [
                {"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": self.restarts},
            ]},
        }))
        .unwrap()
    }
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let related = scene.related.iter().map(|node| Line {
        node: Some(node.clone()),
        ..Line::default()
    });
    World {
        kind: Kind("apps/v1", "ReplicaSet"),
        replica_set: serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 2, "resourceVersion": "7"},
            "spec": {
                "replicas": scene.replicas, "minReadySeconds": scene.min_ready, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
            },
        }))
        .unwrap(),
        pods: scene.pods.iter().map(|line| Arc::new(line.build())).collect(),
        related: related.map(|line| Arc::new(line.build())).collect(),
    }
}

fn show(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> String {
    let mut text = plan.to_string();
    let mut status = ReplicaSetController::status(world, plan, outcome, now()).unwrap();
    let conditions = status.as_object_mut().unwrap().remove("conditions");
    writeln!(text, "status {status}").unwrap();
    for c in conditions.iter().flat_map(|c| c.as_array().unwrap()) {
        writeln!(
            text,
            "{}={} {}: {}",
            c["type"], c["status"], c["reason"], c["message"]
        )
        .unwrap();
    }
    text
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = ReplicaSetController::plan(&world, now());
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    expect.assert_eq(&show(&world, &plan, &outcome));
}

/// Which of these pods goes first, second, and so on.
fn check_order(yaml: &str, expect: &str) {
    let plan = ReplicaSetController::plan(&world(yaml), now());
    let names = plan
        .notes
        .iter()
        .map(|note| note.message.trim_start_matches("Deleted pod: "));
    assert_eq!(names.collect::<Vec<_>>().join(" "), expect);
}

#[test]
fn missing_pods_are_created_under_names_of_their_own() {
    check(
        "replicas: 2",
        &expect![[r#"
        create Pod default/web-sqnj7
        create Pod default/web-l6jn9
        note SuccessfulCreate: Created pod: web-sqnj7
        note SuccessfulCreate: Created pod: web-l6jn9
        again in 60s
        status {"observedGeneration":2,"replicas":0,"terminatingReplicas":0}
    "#]],
    );
    let plan = ReplicaSetController::plan(&world("replicas: 1"), now());
    let Some(runtime::Change::Create(pod)) = plan.changes.first() else {
        panic!("no pod is created")
    };
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "generateName": "web-",
            "labels": {
              "app": "web"
            },
            "name": "web-sqnj7",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "apps/v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "ReplicaSet",
                "name": "web",
                "uid": "uid-web"
              }
            ]
          },
          "spec": {
            "containers": [
              {
                "image": "nginx",
                "name": "c"
              }
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(pod).unwrap());
}

#[test]
fn names_are_cut_and_never_given_twice() {
    let meta = kube::core::ObjectMeta {
        name: Some("x".repeat(80)),
        ..Default::default()
    };
    let first = crate::pod::Names::new(&meta, now(), std::iter::empty()).draw();
    assert_eq!((first.name.len(), first.base.len()), (63, 81));
    let taken: Pod = serde_json::from_value(json!({"metadata": {"name": first.name}})).unwrap();
    let next = crate::pod::Names::new(&meta, now(), std::iter::once(&taken)).draw();
    assert_ne!(next.name, first.name);
}

#[test]
fn enough_pods_are_left_alone() {
    check(
        "{replicas: 2, pods: [{name: a}, {name: b, ready: null, phase: Pending}]}",
        &expect![[r#"
        status {"availableReplicas":1,"fullyLabeledReplicas":2,"observedGeneration":2,"readyReplicas":1,"replicas":2,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn ended_and_going_pods_do_not_count() {
    check(
        "{replicas: 1, pods: [{name: a}, {name: b, phase: Succeeded}, {name: c, phase: Failed}, {name: d, isDeleting: true}]}",
        &expect![[r#"
        status {"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":2,"readyReplicas":1,"replicas":1,"terminatingReplicas":1}
    "#]],
    );
}

#[test]
fn orphans_are_adopted_strays_released_and_others_left() {
    check(
        "{replicas: 1, pods: [{name: orphan, owner: null}, {name: stray, app: other}, {name: foreign, owner: uid-x}]}",
        &expect![[r#"
            patch Pod default/orphan {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"uid-web"}],"uid":"uid-orphan"}}
            patch Pod default/stray {"metadata":{"ownerReferences":[],"uid":"uid-stray"}}
            status {"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":2,"readyReplicas":1,"replicas":1,"terminatingReplicas":0}
        "#]],
    );
    check(
        "{replicas: 0, pods: [{name: going, owner: null, isDeleting: true}, {name: ended, app: other, phase: Failed}]}",
        &expect![[r#"
        status {"observedGeneration":2,"replicas":0,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn surplus_pods_go_in_the_order_in_which_they_matter_least() {
    let all = "{replicas: 0, pods: [";
    check_order(
        &format!("{all}{{name: bound}}, {{name: unbound, node: null}}]}}"),
        "unbound bound",
    );
    check_order(
        &format!(
            "{all}{{name: running}}, {{name: pending, phase: Pending}}, {{name: unknown, phase: Unknown}}]}}"
        ),
        "pending unknown running",
    );
    check_order(
        &format!("{all}{{name: ready}}, {{name: unready, ready: null}}]}}"),
        "unready ready",
    );
    check_order(
        &format!(
            "{all}{{name: dear, cost: '5'}}, {{name: cheap, cost: '-5'}}, {{name: usual, cost: x}}]}}"
        ),
        "cheap usual dear",
    );
    check_order(
        &format!("{all}{{name: alone, node: n2}}, {{name: doubled}}], related: [n1]}}"),
        "doubled alone",
    );
    check_order(
        &format!("{all}{{name: old, ready: 5000}}, {{name: new, ready: 5}}]}}"),
        "new old",
    );
    check_order(
        &format!("{all}{{name: calm}}, {{name: nervous, restarts: 3}}]}}"),
        "nervous calm",
    );
    check_order(
        &format!("{all}{{name: elder, age: 900}}, {{name: younger, age: 800}}]}}"),
        "younger elder",
    );
}

#[test]
fn only_the_surplus_goes() {
    check(
        "{replicas: 1, pods: [{name: a}, {name: b, ready: null}, {name: c, phase: Pending, ready: null}]}",
        &expect![[r#"
        delete Pod default/c
        delete Pod default/b
        note SuccessfulDelete: Deleted pod: c
        note SuccessfulDelete: Deleted pod: b
        status {"availableReplicas":1,"fullyLabeledReplicas":3,"observedGeneration":2,"readyReplicas":1,"replicas":3,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn pods_are_available_when_they_have_been_ready_for_long_enough() {
    check(
        "{replicas: 3, minReady: 30, pods: [{name: a, ready: 31}, {name: b, ready: 20}, {name: c, ready: 5}]}",
        &expect![[r#"
        again in 10s
        status {"availableReplicas":1,"fullyLabeledReplicas":3,"observedGeneration":2,"readyReplicas":3,"replicas":3,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn failures_are_told_in_the_words_of_the_server() {
    let fail = |yaml: &str, done: usize, message: &str, expect: &Expect| {
        let world = world(yaml);
        let plan = ReplicaSetController::plan(&world, now());
        let failure = Some(Wait {
            reason: "ApplyRejected",
            message: message.to_owned(),
        });
        let outcome = Outcome { done, failure };
        let mut text = show(&world, &plan, &outcome);
        let note = ReplicaSetController::refusal(&world, &plan, &outcome);
        writeln!(text, "warn {}: {}", note.reason, note.message).unwrap();
        expect.assert_eq(&text);
    };
    let quota = "pods \"web-x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    let name = crate::pod::Names::new(&world("{}").replica_set.metadata, now(), std::iter::empty())
        .draw()
        .name;
    fail(
        "replicas: 1",
        0,
        &format!("Pod default/{name}: {quota}"),
        &expect![[r#"
        create Pod default/web-sqnj7
        note SuccessfulCreate: Created pod: web-sqnj7
        again in 60s
        status {"observedGeneration":2,"replicas":0,"terminatingReplicas":0}
        "ReplicaFailure"="True" "FailedCreate": "pods \"web-x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
        warn FailedCreate: Error creating: pods "web-x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1
    "#]],
    );
    fail(
        "pods: [{name: a}]",
        0,
        "deleting Pod default/a: pods \"a\" is forbidden: no",
        &expect![[r#"
        delete Pod default/a
        note SuccessfulDelete: Deleted pod: a
        status {"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":2,"readyReplicas":1,"replicas":1,"terminatingReplicas":0}
        "ReplicaFailure"="True" "FailedDelete": "pods \"a\" is forbidden: no"
        warn FailedDelete: Error deleting: pods "a" is forbidden: no
    "#]],
    );
}

#[test]
fn a_replica_set_that_goes_does_nothing() {
    let mut world = world("{replicas: 3, pods: [{name: orphan, owner: null}]}");
    world.replica_set.metadata.deletion_timestamp = serde_json::from_value(json!(now())).unwrap();
    assert!(ReplicaSetController::plan(&world, now()).changes.is_empty());
}
