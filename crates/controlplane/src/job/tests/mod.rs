//! Check tests: a Job and pods in YAML → plan and status as text.

mod indexed;
mod invariants;
mod lives;

use std::fmt::Write as _;

use expect_test::Expect;
use runtime::Wait;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// Of the Job, beside selector and template.
    #[serde(default)]
    spec: Value,
    /// What the status says already.
    #[serde(default)]
    status: Value,
    #[serde(default)]
    restart_policy: Option<String>,
    #[serde(default)]
    is_deleting: bool,
    #[serde(default)]
    pods: Vec<Line>,
}

/// One pod.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Line {
    name: String,
    labels: Value,
    owner: Option<String>,
    phase: String,
    /// Exit code of its container, and how many seconds ago it was.
    exit: Option<(i32, i64)>,
    restarts: i32,
    ready: bool,
    is_tracked: bool,
    is_deleting: bool,
    index: Option<u32>,
    /// Failures of its index before it.
    failures: Option<i32>,
    condition: Option<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            name: String::new(),
            labels: json!({"uid": "j"}),
            owner: Some("uid-j".into()),
            phase: "Running".into(),
            exit: None,
            restarts: 0,
            ready: false,
            is_tracked: true,
            is_deleting: false,
            index: None,
            failures: None,
            condition: None,
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
            |uid| json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": uid, "controller": true}]),
        );
        let mut annotations = json!({});
        if let Some(index) = self.index {
            annotations[facts::INDEX] = index.to_string().into();
        }
        if let Some(failures) = self.failures {
            annotations[facts::INDEX_FAILURES] = failures.to_string().into();
        }
        let state = match self.exit {
            Some((code, since)) => {
                json!({"terminated": {"exitCode": code, "finishedAt": ago(since)}})
            }
            None => json!({"running": {"startedAt": ago(100)}}),
        };
        let mut conditions =
            vec![json!({"type": "Ready", "status": if self.ready { "True" } else { "False" }})];
        if let Some(ty) = &self.condition {
            conditions.push(json!({"type": ty, "status": "True"}));
        }
        serde_json::from_value(json!({
            "metadata": {
                "name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name), "labels": self.labels,
                "resourceVersion": "5", "annotations": annotations, "ownerReferences": owners, "creationTimestamp": ago(1000),
                "finalizers": self.is_tracked.then_some([facts::TRACKING]), "deletionTimestamp": self.is_deleting.then(|| ago(1)),
            },
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": self.phase, "conditions": conditions, "containerStatuses": [
                {"name": "c", "image": "", "imageID": "", "ready": self.ready, "restartCount": self.restarts, "state": state},
            ]},
        }))
        .unwrap()
    }
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let mut spec = json!({
        "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
        "podReplacementPolicy": "TerminatingOrFailed", "selector": {"matchLabels": {"uid": "j"}},
        "template": {
            "metadata": {"labels": {"uid": "j"}},
            "spec": {"restartPolicy": scene.restart_policy.unwrap_or("Never".into()), "containers": [{"name": "c", "image": "i"}]},
        },
    });
    for (key, value) in scene.spec.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let mut status = if scene.status.is_null() {
        json!({})
    } else {
        scene.status
    };
    if status["startTime"].is_null() && spec["suspend"] == false {
        status["startTime"] = ago(100).into();
    }
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = ago(50).into();
    }
    World {
        job: serde_json::from_value(json!({
            "metadata": {
                "name": "j", "namespace": "default", "uid": "uid-j", "resourceVersion": "7",
                "deletionTimestamp": scene.is_deleting.then(|| ago(1)),
            },
            "spec": spec, "status": status,
        }))
        .unwrap(),
        pods: scene
            .pods
            .iter()
            .map(|line| Arc::new(line.build()))
            .collect(),
    }
}

fn show(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> String {
    let mut text = plan.to_string();
    let Some(mut status) = JobController::status(world, plan, outcome, now()) else {
        return text + "no status\n";
    };
    let members = status.as_object_mut().unwrap();
    if members.get("startTime") == Some(&json!(ago(100))) {
        members.remove("startTime");
    }
    let conditions = members.remove("conditions");
    writeln!(text, "status {status}").unwrap();
    for c in conditions.iter().flat_map(|c| c.as_array().unwrap()) {
        let word = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
        let (ty, status) = (word("type"), word("status"));
        writeln!(
            text,
            "{ty}={status} {}: {}",
            word("reason"),
            word("message")
        )
        .unwrap();
    }
    text
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = JobController::plan(&world, now());
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    expect.assert_eq(&show(&world, &plan, &outcome));
}

/// What becomes of the change number `at` of the plan if the server refuses it.
fn check_refused(yaml: &str, at: usize, message: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = JobController::plan(&world, now());
    let outcome = Outcome {
        done: at,
        failure: Some(Wait {
            reason: "ApplyRejected",
            message: message.to_owned(),
        }),
    };
    let mut text = show(&world, &plan, &outcome);
    let note = JobController::refusal(&world, &plan, &outcome);
    writeln!(text, "warn {}: {}", note.reason, note.message).unwrap();
    expect.assert_eq(&text);
}
