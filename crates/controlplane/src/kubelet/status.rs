//! The status of a simulated pod, as a kubelet writes it: pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::life::cast::Actor;
use super::life::{Exit, State, Why};
use super::script::Role;
use super::stage::Stage;
use super::{conditions, phase, words};

/// The whole status; `ended` is the phase of a pod that was stopped.
pub(super) fn of(stage: &Stage<'_, '_>, ended: Option<&str>) -> Value {
    let scene = stage.scene;
    let pod = scene.pod;
    let known = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let phase = match ended {
        Some(phase) => phase,
        None => {
            let phase = phase::phase(stage);
            let runs = stage.actors.iter().any(|actor| actor.life.is_running());
            let is_final = matches!(phase, "Succeeded" | "Failed");
            // A pod is over when nothing of it runs any more.
            if is_final && runs {
                known.unwrap_or("Pending")
            } else {
                phase
            }
        }
    };
    let mut status = json!({
        "phase": phase, "startTime": runtime::rfc3339(scene.started), "hostIP": scene.ips.1, "hostIPs": [{"ip": scene.ips.1}],
        "conditions": conditions::of(stage, phase),
    });
    if let Some(generation) = pod.metadata.generation {
        status["observedGeneration"] = json!(generation);
    }
    if conditions::status_has_sandbox(stage) {
        status["podIP"] = scene.ips.0.into();
        status["podIPs"] = json!([{"ip": scene.ips.0}]);
    }
    let lists = [
        ("initContainerStatuses", [Role::Init, Role::Sidecar]),
        ("containerStatuses", [Role::App, Role::App]),
        (
            "ephemeralContainerStatuses",
            [Role::Ephemeral, Role::Ephemeral],
        ),
    ];
    let has_init = stage
        .actors
        .iter()
        .any(|actor| matches!(actor.role, Role::Init | Role::Sidecar));
    for (list, roles) in lists {
        let all: Vec<Value> = stage
            .actors
            .iter()
            .enumerate()
            .filter(|(_, actor)| roles.contains(&actor.role))
            .map(|(at, actor)| container(stage, (at, actor), (has_init, ended.is_some())))
            .collect();
        if !all.is_empty() {
            status[list] = all.into();
        }
    }
    status
}

/// An id in the form that runtimes use; it names no container, because there is none.
pub(super) fn container_id(pod: &Pod, name: &str, restarts: i32) -> String {
    let text = format!(
        "{}/{name}/{restarts}",
        pod.metadata.uid.as_deref().unwrap_or_default()
    );
    let hash = |seed: u64| {
        text.bytes().fold(seed, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    format!(
        "simulated://{:016x}{:016x}",
        hash(0xcbf2_9ce4_8422_2325),
        hash(0x8422_2325_cbf2_9ce4)
    )
}

fn terminated(exit: &Exit) -> Value {
    let time = |at: Option<Timestamp>| at.map(runtime::rfc3339);
    let mut terminated = json!({"exitCode": exit.code, "reason": exit.reason});
    for (key, text) in [
        ("startedAt", time(exit.started)),
        ("finishedAt", time(exit.finished)),
        ("message", exit.message.clone()),
        ("containerID", exit.id.clone()),
    ] {
        if let Some(text) = text {
            terminated[key] = text.into();
        }
    }
    json!({"terminated": terminated})
}

fn container(
    stage: &Stage<'_, '_>,
    (at, actor): (usize, &Actor),
    (has_init, is_over): (bool, bool),
) -> Value {
    let (life, image, name) = (&actor.life, actor.image(), actor.name());
    let is_known = |state: &State| matches!(state, State::Waiting(_));
    let state = match &life.state {
        // Of an ended pod, what had been started once and is not to be found has failed.
        state if is_over && is_known(state) && stage.is_initialized() => {
            terminated(&Exit::unknown())
        }
        State::Waiting(why) => {
            let (reason, message) = match why {
                Why::PullFailed(error) => ("ErrImagePull", error.as_str()),
                Why::PullBackOff(message) => ("ImagePullBackOff", message.as_str()),
                Why::Config(message) => ("CreateContainerConfigError", message.as_str()),
                Why::NotYet if has_init && actor.role != Role::Ephemeral => ("PodInitializing", ""),
                Why::NotYet => ("ContainerCreating", ""),
            };
            let mut waiting = json!({"reason": reason});
            if !message.is_empty() {
                waiting["message"] = message.into();
            }
            json!({"waiting": waiting})
        }
        State::Running { since } => json!({"running": {"startedAt": runtime::rfc3339(*since)}}),
        State::BackOff { .. } => {
            let message = words::back_off(stage.scene.pod, name, stage.back_off_of(at));
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        }
        State::Ended => life.end.as_ref().map(terminated).unwrap_or_default(),
    };
    let is_complete = actor.role == Role::Init && life.has_succeeded();
    let mut status = json!({
        "name": name, "image": image, "imageID": "", "restartCount": life.restarts, "started": life.is_started,
        "ready": life.is_ready || is_complete, "state": state,
        "lastState": life.last.as_ref().map_or_else(|| json!({}), terminated),
    });
    if life.has_begun() {
        status["imageID"] = format!("simulated://{image}").into();
        status["containerID"] = container_id(stage.scene.pod, name, life.restarts).into();
        stage.scene.resize.show(&actor.container, &mut status);
    }
    status
}

/// What of the status is not what the pod says already, as a strategic merge patch.
pub(super) fn changes(pod: &Pod, status: Value) -> Option<Value> {
    let old = json!(pod.status);
    let Value::Object(mut new) = status else {
        return None;
    };
    let is_said = |condition: &Value| {
        let known = old["conditions"].as_array().into_iter().flatten();
        let mut known = known.filter(|known| known["type"] == condition["type"]);
        known.any(|known| {
            let fields = condition.as_object();
            fields.is_some_and(|fields| fields.iter().all(|(key, value)| known[key] == *value))
        })
    };
    if let Some(Value::Array(conditions)) = new.get_mut("conditions") {
        conditions.retain(|condition| !is_said(condition));
        if conditions.is_empty() {
            new.remove("conditions");
        }
    }
    new.retain(|key, value| old.get(key) != Some(value));
    (!new.is_empty()).then_some(Value::Object(new))
}
