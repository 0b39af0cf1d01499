//! The life of a simulated pod: pure steps from what its status says now to what it says next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde_json::{Value, json};

use super::life::{Happening, Life, State, back_off, later};
use super::script::Script;
use super::status::{Moment, Scene, pod_status};

/// What happens next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// The whole new status, if it changes.
    pub status: Option<Value>,
    /// The pod has ended after a delete: it can go.
    pub is_over: bool,
    pub events: Vec<Event>,
    pub again_at: Option<Timestamp>,
}

/// Something that users are told about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub is_warning: bool,
    pub reason: &'static str,
    pub container: String,
    pub message: String,
}

/// The exit code of a container that was told to stop: SIGTERM.
const STOPPED: i32 = 143;
/// The exit code of a container that was killed: SIGKILL.
const KILLED: i32 = 137;

/// The next moment of `pod`.
pub(super) fn step(pod: &Pod, now: Timestamp, pod_ip: &str, host_ip: &str) -> Step {
    let script = Script::of(pod);
    let started = pod
        .status
        .as_ref()
        .and_then(|s| s.start_time.as_ref())
        .map_or(now, |t| t.0);
    let scene = Scene {
        pod,
        now,
        started,
        ips: (pod_ip, host_ip),
    };
    if let Some(deletion) = &pod.metadata.deletion_timestamp {
        return stop(&scene, &script, deletion.0);
    }
    if crate::pod::is_over(pod) {
        return Step::default();
    }
    let spec = pod.spec.as_ref();
    let limit = spec.and_then(|s| s.active_deadline_seconds);
    let limit = limit.and_then(|s| started.checked_add(SignedDuration::from_secs(s)).ok());
    if limit.is_some_and(|at| at <= now) {
        return time_out(&scene);
    }
    let mut step = live(&scene, &script);
    step.again_at = step.again_at.into_iter().chain(limit).min();
    step
}

/// Containers that wait, are up, come up now, or exit now.
fn live(scene: &Scene<'_>, script: &Script) -> Step {
    let Scene { pod, now, .. } = *scene;
    let mut life = Life::of(pod);
    let start_at = later(scene.started, script.start_delay);
    if life.state == State::New && now < start_at {
        return Step {
            status: changed(pod, pod_status(scene, &life, &Moment::Creating)),
            again_at: Some(start_at),
            ..Step::default()
        };
    }
    if life.state == State::New
        && let Some(error) = &script.pull_error
    {
        let status = changed(pod, pod_status(scene, &life, &Moment::PullFails(error)));
        return Step {
            events: if status.is_some() {
                pull_events(pod, error)
            } else {
                vec![]
            },
            status,
            ..Step::default()
        };
    }
    let (happened, next) = life.go_on(pod, script, now);
    let mut again_at = next;
    let mut is_ready = false;
    if let State::Running { since } = life.state {
        let ready_at = later(since, script.ready_delay);
        is_ready = now >= ready_at;
        again_at = next
            .into_iter()
            .chain((!is_ready).then_some(ready_at))
            .min();
    }
    let moment = Moment::Living { is_ready };
    Step {
        status: changed(pod, pod_status(scene, &life, &moment)),
        events: happened
            .iter()
            .flat_map(|what| events(pod, *what))
            .collect(),
        again_at,
        is_over: false,
    }
}

/// A pod may be active for so long and no longer.
fn time_out(scene: &Scene<'_>) -> Step {
    let mut life = Life::of(scene.pod);
    let since = match life.state {
        State::Running { since } => since,
        State::New | State::BackOff { .. } | State::Ended => scene.now,
    };
    life.exit(&never_again(scene.pod), KILLED, since, scene.now);
    let mut status = pod_status(scene, &life, &Moment::Living { is_ready: false });
    status["phase"] = "Failed".into();
    status["reason"] = "DeadlineExceeded".into();
    status["message"] = "Pod was active on the node longer than the specified deadline".into();
    Step {
        status: Some(status),
        events: killing(scene.pod),
        ..Step::default()
    }
}

/// A deleted pod ends when its containers have stopped, at the latest when its grace is over.
fn stop(scene: &Scene<'_>, script: &Script, deadline: Timestamp) -> Step {
    let Scene { pod, now, .. } = *scene;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let asked = deadline
        .checked_sub(SignedDuration::from_secs(grace))
        .unwrap_or(now);
    let end = later(asked, script.stop_delay).min(deadline);
    let mut life = Life::of(pod);
    let since = match life.state {
        State::Running { since } => Some(since),
        State::New | State::BackOff { .. } | State::Ended => None,
    };
    let is_over = since.is_none() || now >= end || script.stop_delay.is_zero();
    let mut status = None;
    // Whoever keeps the pod by a finalizer wants to know how it ended.
    let is_kept = pod
        .metadata
        .finalizers
        .as_ref()
        .is_some_and(|all| !all.is_empty());
    if is_over && is_kept && !crate::pod::is_over(pod) {
        life.exit(&never_again(pod), STOPPED, since.unwrap_or(now), now);
        status = changed(
            pod,
            pod_status(scene, &life, &Moment::Living { is_ready: false }),
        );
    }
    Step {
        status,
        is_over,
        events: since.map(|_| killing(pod)).unwrap_or_default(),
        again_at: (!is_over).then_some(end),
    }
}

/// The pod with a restart policy under which an exit is the end.
fn never_again(pod: &Pod) -> Pod {
    let spec = pod.spec.clone().unwrap_or_default();
    Pod {
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            ..spec
        }),
        ..pod.clone()
    }
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

/// One event per container.
fn each(
    pod: &Pod,
    is_warning: bool,
    reason: &'static str,
    message: impl Fn(&str, &str) -> String,
) -> Vec<Event> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .map(|container| Event {
            is_warning,
            reason,
            container: container.name.clone(),
            message: message(
                &container.name,
                container.image.as_deref().unwrap_or_default(),
            ),
        })
        .collect()
}

fn killing(pod: &Pod) -> Vec<Event> {
    each(pod, false, "Killing", |name, _| {
        format!("Stopping container {name} (simulated)")
    })
}

fn events(pod: &Pod, what: Happening) -> Vec<Event> {
    match what {
        Happening::Started => {
            let mut all = each(pod, false, "Pulled", |_, image| {
                format!("Container image \"{image}\" already present on machine (simulated)")
            });
            all.extend(each(pod, false, "Created", |name, _| {
                format!("Created container: {name} (simulated)")
            }));
            all.extend(each(pod, false, "Started", |name, _| {
                format!("Started container {name} (simulated)")
            }));
            all
        }
        Happening::BackedOff => {
            let meta = &pod.metadata;
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let (name, namespace, uid) = (text(&meta.name), text(&meta.namespace), text(&meta.uid));
            each(pod, true, "BackOff", |container, _| {
                format!(
                    "Back-off restarting failed container {container} in pod {name}_{namespace}({uid})"
                )
            })
        }
    }
}

fn pull_events(pod: &Pod, error: &str) -> Vec<Event> {
    let mut all = each(pod, true, "Failed", |_, image| {
        format!("Failed to pull image \"{image}\" (simulated): {error}")
    });
    all.extend(each(pod, true, "Failed", |_, _| {
        "Error: ErrImagePull".into()
    }));
    all.extend(each(pod, false, "BackOff", |_, image| {
        format!("Back-off pulling image \"{image}\"")
    }));
    all.extend(each(pod, true, "Failed", |_, _| {
        "Error: ImagePullBackOff".into()
    }));
    all
}

/// A duration as Go writes it: `10s`, `1m20s`, `5m0s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds / 60 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{}s", seconds % 60),
    }
}

/// What a container that waits to be restarted says.
pub(super) fn back_off_message(pod: &Pod, container: &str, restarts: i32) -> String {
    let meta = &pod.metadata;
    format!(
        "back-off {} restarting failed container={container} pod={}_{}({})",
        go_duration(back_off(restarts)),
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
        meta.uid.as_deref().unwrap_or_default()
    )
}
