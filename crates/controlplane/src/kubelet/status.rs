//! The status of a simulated pod, as a kubelet writes it: pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralContainer, Pod};
use serde_json::{Value, json};

use super::life::{Exit, Life, State};
use super::pod::back_off_message;

/// What there is to know beside the life of the containers.
pub(super) struct Scene<'a> {
    pub pod: &'a Pod,
    pub now: Timestamp,
    /// When the kubelet first saw the pod.
    pub started: Timestamp,
    /// The pod's and the host's.
    pub ips: (&'a str, &'a str),
}

/// What holds for the whole pod.
pub(super) enum Moment<'a> {
    Creating,
    PullFails(&'a str),
    /// The containers were started once.
    Living {
        is_ready: bool,
    },
}

/// The whole status.
pub(super) fn pod_status(scene: &Scene<'_>, life: &Life, moment: &Moment<'_>) -> Value {
    let pod = scene.pod;
    let exit_code = life.last_exit.map_or(0, |exit| exit.code);
    let has_ended = life.state == State::Ended;
    let phase = match moment {
        Moment::Creating | Moment::PullFails(_) => "Pending",
        Moment::Living { .. } if !has_ended => "Running",
        Moment::Living { .. } if exit_code == 0 => "Succeeded",
        Moment::Living { .. } => "Failed",
    };
    let is_up = matches!(moment, Moment::Living { .. });
    let statuses = containers(pod).map(|c| container(scene, c, life, moment));
    let mut status = json!({
        "phase": phase, "startTime": runtime::rfc3339(scene.started), "hostIP": scene.ips.1, "hostIPs": [{"ip": scene.ips.1}],
        "conditions": conditions(scene, moment, phase), "containerStatuses": statuses.collect::<Vec<_>>(),
    });
    if let Some(generation) = pod.metadata.generation {
        status["observedGeneration"] = json!(generation);
    }
    if !matches!(moment, Moment::Creating) {
        status["podIP"] = scene.ips.0.into();
        status["podIPs"] = json!([{"ip": scene.ips.0}]);
    }
    let inits: Vec<Value> = init_containers(pod)
        .map(|c| init_container(scene, c, is_up))
        .collect();
    if !inits.is_empty() {
        status["initContainerStatuses"] = inits.into();
    }
    let added = pod.spec.iter().flat_map(|spec| &spec.ephemeral_containers);
    let added: Vec<Value> = added
        .flatten()
        .filter(|_| is_up)
        .map(|c| ephemeral_container(scene, c, has_ended))
        .collect();
    if !added.is_empty() {
        status["ephemeralContainerStatuses"] = added.into();
    }
    status
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

fn init_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
}

/// The pod's conditions; those that are nobody's here stay as they are.
fn conditions(scene: &Scene<'_>, moment: &Moment<'_>, phase: &str) -> Vec<Value> {
    let pod = scene.pod;
    let names = |all: Vec<&Container>| {
        all.iter()
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let is_up = matches!(moment, Moment::Living { .. });
    let is_over = matches!(phase, "Succeeded" | "Failed");
    let are_ready = matches!(moment, Moment::Living { is_ready: true }) && !is_over;
    let waits_for_init = !is_up && init_containers(pod).next().is_some();
    let not_initialized = waits_for_init.then(|| {
        let names = names(init_containers(pod).collect());
        (
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{names}]"),
        )
    });
    let not_ready = (!are_ready).then(|| match phase {
        "Succeeded" => ("PodCompleted", String::new()),
        "Failed" => ("PodFailed", String::new()),
        _ => {
            let names = names(containers(pod).collect());
            (
                "ContainersNotReady",
                format!("containers with unready status: [{names}]"),
            )
        }
    });
    let has_sandbox = !matches!(moment, Moment::Creating) && !is_over;
    let gates = pod
        .spec
        .iter()
        .flat_map(|s| s.readiness_gates.iter().flatten());
    let gates: Vec<&str> = gates.map(|gate| gate.condition_type.as_str()).collect();
    // Nobody may be there to open a gate of a simulated pod; whoever is has the say.
    let closed: Vec<&str> = gates
        .iter()
        .copied()
        .filter(|gate| known(pod, gate).is_some_and(|c| c.status != "True"))
        .collect();
    let gated = (are_ready && !closed.is_empty()).then(|| {
        let gate = closed.first().copied().unwrap_or_default();
        (
            "ReadinessGatesNotReady",
            format!("corresponding condition of pod readiness gate \"{gate}\" does not exist."),
        )
    });
    let mut all = vec![
        condition(scene, "PodReadyToStartContainers", has_sandbox, None),
        condition(
            scene,
            "Initialized",
            not_initialized.is_none(),
            not_initialized,
        ),
        condition(
            scene,
            "Ready",
            are_ready && gated.is_none(),
            not_ready.clone().or(gated),
        ),
        condition(scene, "ContainersReady", are_ready, not_ready),
        condition(scene, "PodScheduled", true, None),
    ];
    for gate in gates.iter().filter(|gate| known(pod, gate).is_none()) {
        all.push(condition(scene, gate, are_ready, None));
    }
    let ours: Vec<Value> = all.iter().map(|c| c["type"].clone()).collect();
    let others = pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    all.extend(
        others
            .map(|c| json!(c))
            .filter(|c| !ours.contains(&c["type"])),
    );
    all
}

fn known<'a>(pod: &'a Pod, ty: &str) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == ty)
}

fn condition(scene: &Scene<'_>, ty: &str, is_true: bool, why: Option<(&str, String)>) -> Value {
    let status = if is_true { "True" } else { "False" };
    let since = known(scene.pod, ty)
        .filter(|c| c.status == status)
        .and_then(|c| c.last_transition_time.as_ref())
        .map_or(scene.now, |t| t.0);
    let mut condition =
        json!({"type": ty, "status": status, "lastTransitionTime": runtime::rfc3339(since)});
    if let Some(generation) = scene.pod.metadata.generation {
        condition["observedGeneration"] = json!(generation);
    }
    if let Some((reason, message)) = why {
        condition["reason"] = reason.into();
        if !message.is_empty() {
            condition["message"] = message.into();
        }
    }
    condition
}

/// An id in the form that runtimes use; it names no container, because there is none.
fn container_id(pod: &Pod, name: &str, restarts: i32) -> String {
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

fn container(scene: &Scene<'_>, container: &Container, life: &Life, moment: &Moment<'_>) -> Value {
    let pod = scene.pod;
    let image = container.image.clone().unwrap_or_default();
    let terminated = |exit: &Exit| {
        json!({"terminated": {
            "exitCode": exit.code, "reason": if exit.code == 0 { "Completed" } else { "Error" },
            "startedAt": runtime::rfc3339(exit.started), "finishedAt": runtime::rfc3339(exit.finished),
            "containerID": container_id(pod, &container.name, exit.restarts),
        }})
    };
    let state = match (moment, life.state) {
        (Moment::Creating, _) | (_, State::New) if init_containers(pod).next().is_some() => {
            json!({"waiting": {"reason": "PodInitializing"}})
        }
        (Moment::PullFails(error), _) => {
            json!({"waiting": {"reason": "ImagePullBackOff", "message": format!("Back-off pulling image \"{image}\": ErrImagePull: {error}")}})
        }
        (Moment::Creating, _) | (_, State::New) => {
            json!({"waiting": {"reason": "ContainerCreating"}})
        }
        (_, State::Running { since }) => json!({"running": {"startedAt": runtime::rfc3339(since)}}),
        (_, State::Ended) => life.last_exit.as_ref().map(terminated).unwrap_or_default(),
        (_, State::BackOff { .. }) => {
            let message = back_off_message(pod, &container.name, life.restarts);
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        }
    };
    let is_running = matches!(life.state, State::Running { .. });
    let before = life
        .last_exit
        .as_ref()
        .filter(|_| life.state != State::Ended);
    let mut status = json!({
        "name": container.name, "image": image, "imageID": "", "restartCount": life.restarts, "started": is_running,
        "ready": is_running && matches!(moment, Moment::Living { is_ready: true }), "state": state,
        "lastState": before.map_or_else(|| json!({}), terminated),
    });
    if matches!(moment, Moment::Living { .. }) {
        status["imageID"] = format!("simulated://{image}").into();
        status["containerID"] = container_id(pod, &container.name, life.restarts).into();
    }
    status
}

/// Init containers complete at once; those that always restart keep running beside the pod.
fn init_container(scene: &Scene<'_>, container: &Container, is_up: bool) -> Value {
    let image = container.image.clone().unwrap_or_default();
    let statuses = scene
        .pod
        .status
        .as_ref()
        .and_then(|s| s.init_container_statuses.as_ref());
    let old: Option<&ContainerStatus> =
        statuses.and_then(|all| all.iter().find(|c| c.name == container.name));
    let is_sidecar = container.restart_policy.as_deref() == Some("Always");
    let at = |known: Option<Timestamp>| runtime::rfc3339(known.unwrap_or(scene.now));
    let state = if !is_up {
        json!({"waiting": {"reason": "PodInitializing"}})
    } else if is_sidecar {
        let known = old
            .and_then(|c| c.state.as_ref()?.running.as_ref()?.started_at.as_ref())
            .map(|t| t.0);
        json!({"running": {"startedAt": at(known)}})
    } else {
        let known = old
            .and_then(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref())
            .map(|t| t.0);
        json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": at(known), "finishedAt": at(known)}})
    };
    json!({
        "name": container.name, "image": image, "imageID": if is_up { format!("simulated://{image}") } else { String::new() },
        "restartCount": 0, "ready": is_up, "started": is_up && is_sidecar, "state": state, "lastState": {},
    })
}

/// What was added for debugging runs until the pod ends.
fn ephemeral_container(
    scene: &Scene<'_>,
    container: &EphemeralContainer,
    has_ended: bool,
) -> Value {
    let image = container.image.clone().unwrap_or_default();
    let statuses = scene.pod.status.as_ref();
    let statuses = statuses.and_then(|status| status.ephemeral_container_statuses.as_ref());
    let old = statuses.and_then(|all| all.iter().find(|c| c.name == container.name));
    let state = old.and_then(|old| old.state.as_ref());
    let running = state.and_then(|state| state.running.as_ref());
    let since = running.and_then(|running| running.started_at.as_ref());
    let since = runtime::rfc3339(since.map_or(scene.now, |t| t.0));
    let state = match state.and_then(|state| state.terminated.as_ref()) {
        Some(terminated) => json!({"terminated": terminated}),
        None if has_ended => {
            json!({"terminated": {"exitCode": 137, "reason": "Error", "startedAt": since, "finishedAt": runtime::rfc3339(scene.now)}})
        }
        None => json!({"running": {"startedAt": since}}),
    };
    json!({
        "name": container.name, "image": image, "imageID": format!("simulated://{image}"), "restartCount": 0, "ready": false,
        "containerID": container_id(scene.pod, &container.name, 0), "state": state, "lastState": {},
    })
}
