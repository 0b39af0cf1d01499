//! Check tests: a Deployment with its ReplicaSets in YAML → plan and status as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use runtime::{Change, Wait};
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Scene {
    replicas: i32,
    image: String,
    /// `spec` beside replicas and template.
    spec: Value,
    annotations: Value,
    sets: Vec<Set>,
    old_pods: usize,
    is_taken: bool,
    /// The status that it shows already.
    status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Set {
    name: String,
    image: String,
    owner: Option<String>,
    revision: i64,
    replicas: i32,
    /// `status.replicas`, all ready; as many as wanted if not said.
    running: Option<i32>,
    available: Option<i32>,
    desired: Option<i32>,
    max: Option<i32>,
    annotations: Value,
    /// Minutes since midnight.
    created: u32,
    failure: Option<String>,
    is_stray: bool,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            replicas: 3,
            image: "nginx:2".into(),
            spec: json!({}),
            annotations: json!({"deployment.kubernetes.io/revision": "1"}),
            sets: vec![],
            old_pods: 0,
            is_taken: false,
            status: Value::Null,
        }
    }
}

impl Default for Set {
    fn default() -> Self {
        Self {
            name: "web-new".into(),
            image: "nginx:2".into(),
            owner: Some("uid-web".into()),
            revision: 1,
            replicas: 0,
            running: None,
            available: None,
            desired: None,
            max: None,
            annotations: json!({}),
            created: 0,
            failure: None,
            is_stray: false,
        }
    }
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

impl Set {
    fn build(&self, scene: &Scene) -> ReplicaSet {
        let mut template = template(&self.image);
        template["metadata"]["labels"]["pod-template-hash"] = self.name.clone().into();
        let mut annotations = self.annotations.clone();
        let numbers = [
            ("revision", Some(self.revision).filter(|r| *r > 0)),
            (
                "desired-replicas",
                Some(i64::from(self.desired.unwrap_or(scene.replicas))),
            ),
            (
                "max-replicas",
                Some(i64::from(self.max.unwrap_or(scene.replicas + 1))),
            ),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                annotations[format!("deployment.kubernetes.io/{key}")] = value.to_string().into();
            }
        }
        let owners = self.owner.as_ref().map(|uid| {
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true}])
        });
        let running = self.running.unwrap_or(self.replicas);
        let conditions = self.failure.as_ref().map(
            |why| json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why}]),
        );
        serde_json::from_value(json!({
            "metadata": {"name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name), "generation": 1,
                "annotations": annotations, "ownerReferences": owners, "labels": {"app": "web"},
                "creationTimestamp": format!("2026-01-01T{:02}:{:02}:00Z", self.created / 60, self.created % 60)},
            "spec": {"replicas": self.replicas, "selector": {}, "template": template},
            "status": {"replicas": running, "readyReplicas": running, "observedGeneration": 1, "conditions": conditions,
                "availableReplicas": self.available.unwrap_or(running)},
        }))
        .unwrap()
    }
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let mut spec = scene.spec.clone();
    spec["replicas"] = scene.replicas.into();
    spec["template"] = template(&scene.image);
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    if spec["progressDeadlineSeconds"].is_null() {
        spec["progressDeadlineSeconds"] = 600.into();
    }
    let deployment = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 7, "annotations": scene.annotations},
        "spec": spec, "status": scene.status,
    });
    let (strays, sets): (Vec<_>, Vec<_>) = scene.sets.iter().partition(|set| set.is_stray);
    let build = |sets: Vec<&Set>| {
        sets.into_iter()
            .map(|set| Arc::new(set.build(&scene)))
            .collect()
    };
    World {
        deployment: serde_json::from_value(deployment).unwrap(),
        replica_sets: build(sets),
        strays: build(strays),
        old_pods: scene.old_pods,
        is_taken: scene.is_taken,
    }
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn show(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> String {
    let status = DeploymentController::status(world, plan, outcome, now()).unwrap();
    let mut text = plan.to_string();
    let numbers = [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ];
    for name in numbers.iter().filter(|name| !status[**name].is_null()) {
        write!(text, "{name}: {} ", status[*name]).unwrap();
    }
    text.push('\n');
    for c in status["conditions"].as_array().unwrap() {
        let word = |key: &str| c[key].as_str().unwrap_or("-").to_owned();
        let (ty, is, reason, message) = (
            word("type"),
            word("status"),
            word("reason"),
            word("message"),
        );
        let at = word("lastUpdateTime")
            .replace("2026-01-01T", "")
            .replace(":00Z", "");
        writeln!(text, "{ty}={is} {reason} at {at}: {message}").unwrap();
    }
    text
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = DeploymentController::plan(&world, now());
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    expect.assert_eq(&show(&world, &plan, &outcome));
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    for (key, value) in patch {
        merge(&mut target[key], value);
    }
}

/// Makes the changes of a plan, then lets every ReplicaSet have the pods that it wants; how the sizes went, as text.
fn play(yaml: &str, expect: &Expect) {
    let mut world = world(yaml);
    let mut text = String::new();
    for pass in 0.. {
        assert!(pass < 50, "no end:\n{text}");
        let plan = DeploymentController::plan(&world, now());
        if plan.changes.is_empty() {
            break;
        }
        for change in &plan.changes {
            match change {
                Change::Create(set) => {
                    let mut set = serde_json::to_value(set).unwrap();
                    set["metadata"]["uid"] = "uid-created".into();
                    set["metadata"]["creationTimestamp"] = json!(now());
                    set["status"] = json!({"replicas": 0});
                    world
                        .replica_sets
                        .push(Arc::new(serde_json::from_value(set).unwrap()));
                }
                Change::Patch { target, patch, .. } if target.kind == "Deployment" => {
                    let mut deployment = json!(world.deployment);
                    merge(&mut deployment, patch);
                    world.deployment = serde_json::from_value(deployment).unwrap();
                }
                Change::Patch { target, patch, .. } => {
                    for set in world
                        .replica_sets
                        .iter_mut()
                        .filter(|s| s.metadata.name.as_ref() == Some(&target.name))
                    {
                        let mut value = json!(set);
                        merge(&mut value, patch);
                        *set = Arc::new(serde_json::from_value(value).unwrap());
                    }
                }
                Change::Delete { target, .. } => world
                    .replica_sets
                    .retain(|s| s.metadata.name.as_ref() != Some(&target.name)),
                Change::Apply(_) | Change::ApplyStatus(_) | Change::Act(_) => {
                    unreachable!("no such change")
                }
            }
        }
        for note in &plan.notes {
            writeln!(text, "{}", note.message).unwrap();
        }
        for set in &mut world.replica_sets {
            let mut value = json!(set);
            let replicas = value["spec"]["replicas"].clone();
            value["status"] = json!({"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas});
            *set = Arc::new(serde_json::from_value(value).unwrap());
        }
        let sizes = world.replica_sets.iter().map(|set| {
            format!(
                "{} {}",
                set.metadata.name.as_ref().unwrap(),
                plan::wanted(set)
            )
        });
        writeln!(text, "= {}", sizes.collect::<Vec<_>>().join(", ")).unwrap();
    }
    expect.assert_eq(&text);
}

/// In flow style, as part of a status.
const COMPLETE: &str = "updatedReplicas: 3, replicas: 3, readyReplicas: 3, availableReplicas: 3, conditions: [
  {type: Available, status: 'True', reason: MinimumReplicasAvailable, lastUpdateTime: '2026-01-01T10:00:00Z', message: m1},
  {type: Progressing, status: 'True', reason: NewReplicaSetAvailable, lastUpdateTime: '2026-01-01T10:00:00Z', message: m2}]";

#[test]
fn the_first_replica_set_is_created_whole() {
    check(
        "annotations: {team: a, kubectl.kubernetes.io/last-applied-configuration: x}",
        &expect![[r#"
        create ReplicaSet default/web-6657df8f46
        patch Deployment default/web {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"1"}}}
        note ScalingReplicaSet: Scaled up replica set web-6657df8f46 from 0 to 3

        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=True NewReplicaSetCreated at 12:00: Created new replica set "web-6657df8f46"
    "#]],
    );
    let created = DeploymentController::plan(&world("annotations: {team: a}"), now());
    let Some(Change::Create(set)) = created.changes.first() else {
        panic!("no ReplicaSet is created")
    };
    expect![[r#"
        {
          "apiVersion": "apps/v1",
          "kind": "ReplicaSet",
          "metadata": {
            "annotations": {
              "deployment.kubernetes.io/desired-replicas": "3",
              "deployment.kubernetes.io/max-replicas": "4",
              "deployment.kubernetes.io/revision": "1",
              "team": "a"
            },
            "labels": {
              "app": "web",
              "pod-template-hash": "6657df8f46"
            },
            "name": "web-6657df8f46",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "apps/v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Deployment",
                "name": "web",
                "uid": "uid-web"
              }
            ]
          },
          "spec": {
            "replicas": 3,
            "selector": {
              "matchLabels": {
                "app": "web",
                "pod-template-hash": "6657df8f46"
              }
            },
            "template": {
              "metadata": {
                "labels": {
                  "app": "web",
                  "pod-template-hash": "6657df8f46"
                }
              },
              "spec": {
                "containers": [
                  {
                    "image": "nginx:2",
                    "name": "c"
                  }
                ]
              }
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(set).unwrap());
}

#[test]
fn an_update_rolls_within_its_limits() {
    play(
        "sets: [{name: web-old, image: 'nginx:1', replicas: 3}]",
        &expect![[r#"
        Scaled up replica set web-6657df8f46 from 0 to 1
        = web-old 3, web-6657df8f46 1
        Scaled down replica set web-old from 3 to 2
        = web-old 2, web-6657df8f46 1
        Scaled up replica set web-6657df8f46 from 1 to 2
        = web-old 2, web-6657df8f46 2
        Scaled down replica set web-old from 2 to 1
        = web-old 1, web-6657df8f46 2
        Scaled up replica set web-6657df8f46 from 2 to 3
        = web-old 1, web-6657df8f46 3
        Scaled down replica set web-old from 1 to 0
        = web-old 0, web-6657df8f46 3
    "#]],
    );
    play(
        "{replicas: 4, spec: {strategy: {rollingUpdate: {maxSurge: 50%, maxUnavailable: 1}}}, sets: [{name: web-old, image: 'nginx:1', replicas: 4}]}",
        &expect![[r#"
            Scaled up replica set web-6657df8f46 from 0 to 2
            = web-old 4, web-6657df8f46 2
            Scaled down replica set web-old from 4 to 1
            = web-old 1, web-6657df8f46 2
            Scaled up replica set web-6657df8f46 from 2 to 4
            = web-old 1, web-6657df8f46 4
            Scaled down replica set web-old from 1 to 0
            = web-old 0, web-6657df8f46 4
        "#]],
    );
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let recreate = "spec: {strategy: {type: Recreate}}";
    let old = "{name: web-old, image: 'nginx:1', max: 3";
    check(
        &format!("{{{recreate}, sets: [{old}, replicas: 3}}], oldPods: 3}}"),
        &expect![[r#"
        patch ReplicaSet default/web-old {"metadata":{"annotations":{"deployment.kubernetes.io/desired-replicas":"3","deployment.kubernetes.io/max-replicas":"3"}},"spec":{"replicas":0}}
        note ScalingReplicaSet: Scaled down replica set web-old from 3 to 0
        replicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=True MinimumReplicasAvailable at 12:00: Deployment has minimum availability.
        Progressing=True ReplicaSetUpdated at 12:00: Deployment "web" is progressing.
    "#]],
    );
    check(
        &format!("{{{recreate}, sets: [{old}, replicas: 0, running: 0}}], oldPods: 1}}"),
        &expect![[r#"

        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
    "#]],
    );
    play(
        &format!("{{{recreate}, sets: [{old}, replicas: 3}}]}}"),
        &expect![[r#"
        Scaled down replica set web-old from 3 to 0
        = web-old 0
        Scaled up replica set web-6657df8f46 from 0 to 3
        = web-old 0, web-6657df8f46 3
    "#]],
    );
}

#[test]
fn a_pause_stops_the_roll_but_not_the_scaling() {
    check(
        "{spec: {paused: true}, sets: [{name: web-old, image: 'nginx:1', replicas: 3}]}",
        &expect![[r#"
        replicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=True MinimumReplicasAvailable at 12:00: Deployment has minimum availability.
        Progressing=Unknown DeploymentPaused at 12:00: Deployment is paused
    "#]],
    );
    check(
        "{replicas: 5, spec: {paused: true}, sets: [{name: web-old, image: 'nginx:1', replicas: 3, desired: 3, max: 4}]}",
        &expect![[r#"
        patch ReplicaSet default/web-old {"metadata":{"annotations":{"deployment.kubernetes.io/desired-replicas":"5","deployment.kubernetes.io/max-replicas":"7"}},"spec":{"replicas":5}}
        note ScalingReplicaSet: Scaled up replica set web-old from 3 to 5
        replicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=Unknown DeploymentPaused at 12:00: Deployment is paused
    "#]],
    );
}

#[test]
fn a_resumed_roll_says_so() {
    let status = "status: {conditions: [{type: Progressing, status: Unknown, reason: DeploymentPaused, lastUpdateTime: '2026-01-01T11:00:00Z'}]}";
    check(
        &format!("{{{status}, sets: [{{name: web-old, image: 'nginx:1', replicas: 3}}]}}"),
        &expect![[r#"
        create ReplicaSet default/web-6657df8f46
        patch Deployment default/web {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"2"}}}
        note ScalingReplicaSet: Scaled up replica set web-6657df8f46 from 0 to 1
        replicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=True MinimumReplicasAvailable at 12:00: Deployment has minimum availability.
        Progressing=Unknown DeploymentResumed at 12:00: Deployment is resumed
    "#]],
    );
}

#[test]
fn a_resize_in_the_middle_of_a_roll_is_shared() {
    play(
        "{replicas: 20, sets: [{name: web-new, revision: 2, replicas: 5, desired: 10, max: 13}, {name: web-old, image: 'nginx:1', replicas: 8, desired: 10, max: 13}]}",
        &expect![[r#"
            Scaled up replica set web-old from 8 to 15
            Scaled up replica set web-new from 5 to 10
            = web-new 10, web-old 15
            Scaled down replica set web-old from 15 to 5
            = web-new 10, web-old 5
            Scaled up replica set web-new from 10 to 20
            = web-new 20, web-old 5
            Scaled down replica set web-old from 5 to 0
            = web-new 20, web-old 0
        "#]],
    );
}

#[test]
fn the_history_is_cut_when_the_roll_is_over() {
    let sets = "sets: [{replicas: 3, revision: 9}, {name: a, image: a, revision: 2}, {name: b, image: b, revision: 1}, {name: c, image: c, revision: 3}]";
    check(
        &format!(
            "{{annotations: {{deployment.kubernetes.io/revision: '9'}}, spec: {{revisionHistoryLimit: 1}}, {sets}, status: {{{COMPLETE}}}}}"
        ),
        &expect![[r#"
        delete ReplicaSet default/b
        delete ReplicaSet default/a
        replicas: 3 updatedReplicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=True MinimumReplicasAvailable at 10:00: m1
        Progressing=True NewReplicaSetAvailable at 10:00: m2
    "#]],
    );
}

#[test]
fn a_template_of_old_gets_a_new_number() {
    play(
        "{annotations: {team: b}, sets: [{name: web-new, revision: 1, annotations: {team: a}}, {name: web-2, image: 'nginx:1', revision: 2, replicas: 3}]}",
        &expect![[r#"
        Scaled up replica set web-new from 0 to 1
        = web-new 1, web-2 3
        Scaled down replica set web-2 from 3 to 2
        = web-new 1, web-2 2
        Scaled up replica set web-new from 1 to 2
        = web-new 2, web-2 2
        Scaled down replica set web-2 from 2 to 1
        = web-new 2, web-2 1
        Scaled up replica set web-new from 2 to 3
        = web-new 3, web-2 1
        Scaled down replica set web-2 from 1 to 0
        = web-new 3, web-2 0
    "#]],
    );
    check(
        "sets: [{name: web-new, revision: 3, annotations: {deployment.kubernetes.io/revision-history: '1'}}, {name: web-4, image: 'nginx:1', revision: 4, replicas: 3}]",
        &expect![[r#"
        patch ReplicaSet default/web-new {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"5","deployment.kubernetes.io/revision-history":"1,3"}}}
        patch ReplicaSet default/web-new {"metadata":{"annotations":{"deployment.kubernetes.io/desired-replicas":"3","deployment.kubernetes.io/max-replicas":"4"}},"spec":{"replicas":1}}
        patch Deployment default/web {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"5"}}}
        note ScalingReplicaSet: Scaled up replica set web-new from 0 to 1
        replicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=True MinimumReplicasAvailable at 12:00: Deployment has minimum availability.
        Progressing=True ReplicaSetUpdated at 12:00: ReplicaSet "web-new" is progressing.
    "#]],
    );
}

#[test]
fn a_roll_that_stands_still_times_out() {
    let scene = |reason: &str, since: &str| {
        format!(
            "{{sets: [{{replicas: 3, running: 3, available: 1}}], status: {{replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 1, conditions: [\
             {{type: Progressing, status: 'True', reason: {reason}, message: m, lastUpdateTime: '2026-01-01T{since}:00Z'}}]}}}}"
        )
    };
    check(
        &scene("ReplicaSetUpdated", "11:55"),
        &expect![[r#"
        again in 301s
        replicas: 3 updatedReplicas: 3 readyReplicas: 3 availableReplicas: 1 unavailableReplicas: 2 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=True ReplicaSetUpdated at 11:55: m
    "#]],
    );
    check(
        &scene("ReplicaSetUpdated", "11:50"),
        &expect![[r#"
        replicas: 3 updatedReplicas: 3 readyReplicas: 3 availableReplicas: 1 unavailableReplicas: 2 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=False ProgressDeadlineExceeded at 12:00: ReplicaSet "web-new" has timed out progressing.
    "#]],
    );
    check(
        &scene("ProgressDeadlineExceeded", "11:00"),
        &expect![[r#"
        replicas: 3 updatedReplicas: 3 readyReplicas: 3 availableReplicas: 1 unavailableReplicas: 2 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=False ProgressDeadlineExceeded at 12:00: ReplicaSet "web-new" has timed out progressing.
    "#]],
    );
}

#[test]
fn a_pod_that_fails_after_the_roll_is_no_roll() {
    check(
        &format!("{{sets: [{{replicas: 3, available: 2}}], status: {{{COMPLETE}}}}}"),
        &expect![[r#"
        replicas: 3 updatedReplicas: 3 readyReplicas: 3 availableReplicas: 2 unavailableReplicas: 1 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=True NewReplicaSetAvailable at 10:00: m2
    "#]],
    );
}

#[test]
fn orphans_are_adopted_and_strays_released() {
    check(
        "sets: [{replicas: 3, owner: null}, {name: stray, isStray: true}]",
        &expect![[r#"
        patch ReplicaSet default/web-new {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"Deployment","name":"web","uid":"uid-web"}],"uid":"uid-web-new"}}
        patch ReplicaSet default/stray {"metadata":{"ownerReferences":[],"uid":"uid-stray"}}
        replicas: 3 updatedReplicas: 3 readyReplicas: 3 availableReplicas: 3 
        Available=True MinimumReplicasAvailable at 12:00: Deployment has minimum availability.
        Progressing=True NewReplicaSetAvailable at 12:00: ReplicaSet "web-new" has successfully progressed.
    "#]],
    );
}

#[test]
fn a_taken_name_counts_as_collision() {
    check(
        "{isTaken: true, status: {collisionCount: 1}}",
        &expect![[r#"
        again in 1ms
        collisionCount: 2 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
    "#]],
    );
}

#[test]
fn failures_are_shown() {
    check(
        "sets: [{replicas: 3, running: 0, failure: 'exceeded quota'}]",
        &expect![[r#"
        unavailableReplicas: 3 
        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=True FoundNewReplicaSet at 12:00: Found new replica set "web-new"
        ReplicaFailure=True FailedCreate at -: exceeded quota
    "#]],
    );
    let world = world("{}");
    let plan = DeploymentController::plan(&world, now());
    let name = plan::name_of_new(&world.deployment);
    let message = format!("ReplicaSet default/{name}: replicasets is forbidden");
    let failure = Some(Wait {
        reason: "ApplyRejected",
        message,
    });
    expect![[r#"
        create ReplicaSet default/web-6657df8f46
        note ScalingReplicaSet: Scaled up replica set web-6657df8f46 from 0 to 3

        Available=False MinimumReplicasUnavailable at 12:00: Deployment does not have minimum availability.
        Progressing=False ReplicaSetCreateError at 12:00: Failed to create new replica set "web-6657df8f46": replicasets is forbidden
    "#]].assert_eq(&show(&world, &plan, &Outcome { done: 0, failure }));
}

#[test]
fn a_deployment_that_goes_is_left_alone() {
    let mut world = world("sets: [{name: web-old, image: 'nginx:1', replicas: 3}]");
    world.deployment.metadata.deletion_timestamp = serde_json::from_value(json!(now())).unwrap();
    assert!(DeploymentController::plan(&world, now()).changes.is_empty());
}
