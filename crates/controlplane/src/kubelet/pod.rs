//! The life of a simulated pod: pure steps from what its status says now to what it says next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use serde_json::{Value, json};

use super::script::Script;

/// A crashed container waits this long before its first restart, doubled each time.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(300);

/// What happens next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// The whole new status, if it changes.
    pub status: Option<Value>,
    /// The pod has ended after a delete: it can go.
    pub is_over: bool,
    pub events: Vec<(&'static str, String)>,
    pub again_at: Option<Timestamp>,
}

/// Where the pod is in its life.
enum Moment {
    Creating,
    PullFails(String),
    Running {
        since: Timestamp,
        is_ready: bool,
    },
    /// Crashed, waiting to be started again.
    BackOff,
    Ended,
}

/// The next moment of `pod`.
pub(super) fn step(pod: &Pod, now: Timestamp, pod_ip: &str, host_ip: &str) -> Step {
    let script = Script::of(pod);
    let phase = pod
        .status
        .as_ref()
        .and_then(|s| s.phase.as_deref())
        .unwrap_or("Pending");
    if let Some(deletion) = &pod.metadata.deletion_timestamp {
        return stop(pod, &script, deletion.0, now);
    }
    if matches!(phase, "Succeeded" | "Failed") {
        return Step::default();
    }
    let started = pod
        .status
        .as_ref()
        .and_then(|s| s.start_time.as_ref())
        .map_or(now, |t| t.0);
    if now < later(started, script.start_delay) {
        let status = status(
            pod,
            now,
            started,
            &Moment::Creating,
            &script,
            (pod_ip, host_ip),
        );
        return Step {
            status: changed(pod, status),
            again_at: Some(later(started, script.start_delay)),
            ..Step::default()
        };
    }
    if let Some(error) = &script.pull_error {
        let status = status(
            pod,
            now,
            started,
            &Moment::PullFails(error.clone()),
            &script,
            (pod_ip, host_ip),
        );
        let status = changed(pod, status);
        let events = if status.is_some() {
            vec![(
                "Failed",
                format!("Failed to pull image (simulated): {error}"),
            )]
        } else {
            vec![]
        };
        return Step {
            status,
            events,
            ..Step::default()
        };
    }
    run(pod, &script, now, started, (pod_ip, host_ip))
}

/// Containers that are up, or come up now, or exit now.
fn run(pod: &Pod, script: &Script, now: Timestamp, started: Timestamp, ips: (&str, &str)) -> Step {
    let mut step = Step::default();
    let first = first_container(pod);
    let running_since = first
        .and_then(|c| c.state.as_ref()?.running.as_ref()?.started_at.as_ref())
        .map(|t| t.0);
    let crashed_at = first
        .and_then(|c| {
            c.last_state
                .as_ref()?
                .terminated
                .as_ref()?
                .finished_at
                .as_ref()
        })
        .map(|t| t.0);
    let restarts = first.map_or(0, |c| c.restart_count);
    let since = match (running_since, crashed_at) {
        (Some(since), _) => since,
        (None, Some(crashed)) => {
            let up_at = later(crashed, back_off(restarts));
            if now < up_at {
                return Step {
                    again_at: Some(up_at),
                    ..step
                };
            }
            now
        }
        (None, None) => now,
    };
    if running_since.is_none() {
        for container in containers(pod) {
            step.events.push((
                "Started",
                format!("Started container {} (simulated)", container.name),
            ));
        }
    }
    let exit_at = script.run_time.map(|time| later(since, time));
    if exit_at.is_some_and(|at| at <= now) {
        let moment = after_exit(pod, script);
        let status = status(pod, now, started, &moment, script, ips);
        step.status = changed(pod, status);
        if matches!(moment, Moment::BackOff) {
            step.again_at = Some(later(now, back_off(restarts + 1)));
        }
        return step;
    }
    let ready_at = later(since, script.ready_delay);
    let is_ready = now >= ready_at;
    let status = status(
        pod,
        now,
        started,
        &Moment::Running { since, is_ready },
        script,
        ips,
    );
    step.status = changed(pod, status);
    step.again_at = [(!is_ready).then_some(ready_at), exit_at]
        .into_iter()
        .flatten()
        .min();
    step
}

/// What an exit means under the pod's restart policy.
fn after_exit(pod: &Pod, script: &Script) -> Moment {
    let policy = pod
        .spec
        .as_ref()
        .and_then(|s| s.restart_policy.as_deref())
        .unwrap_or("Always");
    match policy {
        "Never" => Moment::Ended,
        "OnFailure" if script.exit_code == 0 => Moment::Ended,
        _ => Moment::BackOff,
    }
}

/// A deleted pod ends when its containers have stopped, at the latest when its grace is over.
fn stop(pod: &Pod, script: &Script, deadline: Timestamp, now: Timestamp) -> Step {
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let asked = deadline
        .checked_sub(SignedDuration::from_secs(grace))
        .unwrap_or(now);
    let end = later(asked, script.stop_delay).min(deadline);
    if now >= end || script.stop_delay.is_zero() {
        return Step {
            is_over: true,
            ..Step::default()
        };
    }
    Step {
        again_at: Some(end),
        ..Step::default()
    }
}

fn back_off(restarts: i32) -> Duration {
    let doublings = u32::try_from(restarts.saturating_sub(1))
        .unwrap_or(0)
        .min(8);
    (FIRST_BACK_OFF * 2_u32.pow(doublings)).min(MAX_BACK_OFF)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

fn containers(pod: &Pod) -> &[Container] {
    pod.spec
        .as_ref()
        .map(|s| s.containers.as_slice())
        .unwrap_or_default()
}

fn first_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// The status, unless it says what the pod says already.
fn changed(pod: &Pod, status: Value) -> Option<Value> {
    let is_same = json!(pod.status).as_object().is_some_and(|old| {
        status
            .as_object()
            .is_some_and(|new| new.iter().all(|(key, value)| old.get(key) == Some(value)))
    });
    (!is_same).then_some(status)
}

fn status(
    pod: &Pod,
    now: Timestamp,
    started: Timestamp,
    moment: &Moment,
    script: &Script,
    (pod_ip, host_ip): (&str, &str),
) -> Value {
    let is_ready = matches!(moment, Moment::Running { is_ready: true, .. });
    let phase = match moment {
        Moment::Creating | Moment::PullFails(_) => "Pending",
        Moment::Running { .. } | Moment::BackOff => "Running",
        Moment::Ended if script.exit_code == 0 => "Succeeded",
        Moment::Ended => "Failed",
    };
    let is_up = !matches!(moment, Moment::Creating);
    let not_ready = match moment {
        Moment::Ended if script.exit_code == 0 => Some("PodCompleted"),
        _ => Some("ContainersNotReady"),
    };
    let mut conditions = vec![
        condition(
            pod,
            now,
            "PodReadyToStartContainers",
            is_up && !matches!(moment, Moment::Ended),
            None,
        ),
        condition(
            pod,
            now,
            "Initialized",
            is_up,
            (!is_up).then_some("ContainersNotInitialized"),
        ),
        condition(pod, now, "Ready", is_ready, not_ready.filter(|_| !is_ready)),
        condition(
            pod,
            now,
            "ContainersReady",
            is_ready,
            not_ready.filter(|_| !is_ready),
        ),
        condition(pod, now, "PodScheduled", true, None),
    ];
    for gate in pod
        .spec
        .iter()
        .flat_map(|s| s.readiness_gates.iter().flatten())
    {
        conditions.push(condition(pod, now, &gate.condition_type, is_ready, None));
    }
    let statuses: Vec<Value> = containers(pod)
        .iter()
        .map(|c| container(pod, c, now, moment, script))
        .collect();
    let mut status = json!({
        "phase": phase, "startTime": runtime::rfc3339(started), "hostIP": host_ip, "hostIPs": [{"ip": host_ip}],
        "conditions": conditions, "containerStatuses": statuses,
    });
    if let Some(generation) = pod.metadata.generation {
        status["observedGeneration"] = json!(generation);
    }
    if is_up {
        status["podIP"] = pod_ip.into();
        status["podIPs"] = json!([{"ip": pod_ip}]);
    }
    let inits: Vec<Value> = pod
        .spec
        .iter()
        .flat_map(|s| s.init_containers.iter().flatten())
        .map(|c| init_container(pod, c, now, is_up))
        .collect();
    if !inits.is_empty() {
        status["initContainerStatuses"] = inits.into();
    }
    status
}

fn condition(pod: &Pod, now: Timestamp, ty: &str, is_true: bool, reason: Option<&str>) -> Value {
    let status = if is_true { "True" } else { "False" };
    let known = pod.status.as_ref().and_then(|s| {
        s.conditions
            .as_ref()?
            .iter()
            .find(|c| c.type_ == ty && c.status == status)
    });
    let since = known
        .and_then(|c| c.last_transition_time.as_ref())
        .map_or(now, |t| t.0);
    let mut condition =
        json!({"type": ty, "status": status, "lastTransitionTime": runtime::rfc3339(since)});
    if let Some(generation) = pod.metadata.generation {
        condition["observedGeneration"] = json!(generation);
    }
    if let Some(reason) = reason {
        condition["reason"] = reason.into();
        if reason == "ContainersNotReady" {
            let names: Vec<&str> = containers(pod).iter().map(|c| c.name.as_str()).collect();
            condition["message"] =
                format!("containers with unready status: [{}]", names.join(" ")).into();
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

fn container(
    pod: &Pod,
    container: &Container,
    now: Timestamp,
    moment: &Moment,
    script: &Script,
) -> Value {
    let image = container.image.clone().unwrap_or_default();
    let old = pod.status.as_ref().and_then(|s| {
        s.container_statuses
            .as_ref()?
            .iter()
            .find(|c| c.name == container.name)
    });
    let mut restarts = old.map_or(0, |c| c.restart_count);
    let since = old
        .and_then(|c| c.state.as_ref()?.running.as_ref()?.started_at.as_ref())
        .map_or(now, |t| t.0);
    let exited = json!({
        "exitCode": script.exit_code, "reason": if script.exit_code == 0 { "Completed" } else { "Error" },
        "startedAt": runtime::rfc3339(since), "finishedAt": runtime::rfc3339(now),
        "containerID": container_id(pod, &container.name, restarts),
    });
    let mut last_state = old
        .and_then(|c| c.last_state.as_ref())
        .map_or_else(|| json!({}), |s| json!(s));
    let state = match moment {
        Moment::Creating => json!({"waiting": {"reason": "ContainerCreating"}}),
        Moment::PullFails(error) => {
            json!({"waiting": {"reason": "ImagePullBackOff", "message": format!("Back-off pulling image {image:?}: {error}")}})
        }
        Moment::Running { since, .. } => {
            json!({"running": {"startedAt": runtime::rfc3339(*since)}})
        }
        Moment::Ended => json!({"terminated": exited}),
        Moment::BackOff => {
            restarts += 1;
            last_state = json!({"terminated": exited});
            let message = format!(
                "back-off {}s restarting failed container={} pod={}",
                back_off(restarts).as_secs(),
                container.name,
                pod.metadata.name.as_deref().unwrap_or_default()
            );
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        }
    };
    let is_running = matches!(moment, Moment::Running { .. });
    let mut status = json!({
        "name": container.name, "image": image, "imageID": "", "restartCount": restarts, "started": is_running,
        "ready": matches!(moment, Moment::Running { is_ready: true, .. }), "state": state, "lastState": last_state,
    });
    if !matches!(moment, Moment::Creating | Moment::PullFails(_)) {
        status["imageID"] = format!("simulated://{image}").into();
        status["containerID"] = container_id(pod, &container.name, restarts).into();
    }
    status
}

/// Init containers complete at once; those that always restart keep running beside the pod.
fn init_container(pod: &Pod, container: &Container, now: Timestamp, is_up: bool) -> Value {
    let image = container.image.clone().unwrap_or_default();
    let old = pod.status.as_ref().and_then(|s| {
        s.init_container_statuses
            .as_ref()?
            .iter()
            .find(|c| c.name == container.name)
    });
    let is_sidecar = container.restart_policy.as_deref() == Some("Always");
    let at = |known: Option<Timestamp>| runtime::rfc3339(known.unwrap_or(now));
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
