//! The life of a simulated pod: pure steps from what its status says now to what it says next.
//!
//! Its state is its status, so that a kubelet that starts anew goes on where it was. What is not in there is in [`Memory`],
//! which may be lost: back-off begins anew then, images are pulled again, and some events are told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::config::Missing;
use super::life::cast::cast;
use super::life::later;
use super::mirror;
use super::resize::Resize;
use super::script::Script;
use super::stage::Stage;
use super::status;

/// What there is to know of a pod from outside.
pub(super) struct Scene<'a> {
    pub pod: &'a Pod,
    pub now: Timestamp,
    /// When the kubelet first saw the pod.
    pub started: Timestamp,
    /// The pod's and the host's.
    pub ips: (&'a str, &'a str),
    pub script: &'a Script,
    /// What its containers need and is not there.
    pub missing: &'a Missing,
    pub resize: &'a Resize,
}

impl<'a> Scene<'a> {
    /// A scene in which nothing is missing and nothing is resized. Times are in whole seconds, as statuses have them.
    pub(super) fn new(
        (pod, script): (&'a Pod, &'a Script),
        now: Timestamp,
        ips: (&'a str, &'a str),
        (missing, resize): (&'a Missing, &'a Resize),
    ) -> Self {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let status = pod.status.as_ref();
        let started = status
            .and_then(|s| s.start_time.as_ref())
            .map_or(now, |t| t.0);
        Self {
            pod,
            now,
            started,
            ips,
            script,
            missing,
            resize,
        }
    }

    /// How long containers have to stop.
    pub(super) fn grace(&self) -> Duration {
        let spec = self.pod.spec.as_ref();
        let grace = spec.and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(grace.unwrap_or(30).max(0).unsigned_abs())
    }
}

/// What a kubelet remembers of a pod beside its status, by the names of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// When it looked at the pod.
    pub looked: Option<Timestamp>,
    /// Restarts that no longer count for back-off.
    pub forgiven: BTreeMap<String, i32>,
    /// Since when images are pulled, or their pull failed.
    pub pulls: BTreeMap<String, Timestamp>,
    /// Runs, as restarts, that are being ended because of a probe, which was told.
    pub killing: BTreeMap<String, i32>,
    /// Containers of which it was told that they are stopped with their pod.
    pub stopping: BTreeSet<String>,
    /// What was told about the script, and about what is missing.
    pub complaints: BTreeSet<String>,
}

/// What happens next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// What changes of the status, as a strategic merge patch.
    pub status: Option<Value>,
    /// The pod has ended after a delete: it can go.
    pub is_over: bool,
    pub events: Vec<Event>,
    pub again_at: Option<Timestamp>,
    pub memory: Memory,
}

/// Something that users are told about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub is_warning: bool,
    pub reason: &'static str,
    /// The field that it is about, such as `spec.containers{c}`; empty for the whole pod.
    pub field: String,
    pub message: String,
}

/// Why a whole pod is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopping {
    /// When that was asked for, and when patience ends.
    pub asked: Timestamp,
    pub deadline: Timestamp,
}

/// The next moment of the pod.
pub(super) fn step(scene: &Scene<'_>, memory: &Memory) -> Step {
    let Scene { pod, now, .. } = *scene;
    let mut stage = Stage::new(scene, cast(pod, scene.script), memory.clone());
    stage.complain();
    if let Some(deletion) = &pod.metadata.deletion_timestamp {
        // The mirror goes; what it shows does not.
        if mirror::is_mirror(pod) {
            return Step {
                is_over: true,
                ..stage.rest()
            };
        }
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let asked = deletion.0.checked_sub(SignedDuration::from_secs(grace));
        return delete(
            stage,
            Stopping {
                asked: asked.unwrap_or(now),
                deadline: deletion.0,
            },
        );
    }
    if crate::pod::is_over(pod) {
        return stage.rest();
    }
    let spec = pod.spec.as_ref();
    let limit = spec.and_then(|s| s.active_deadline_seconds);
    let limit = limit.and_then(|s| scene.started.checked_add(SignedDuration::from_secs(s)).ok());
    if let Some(asked) = limit.filter(|at| *at <= now) {
        return time_out(stage, asked);
    }
    stage.live();
    stage.wait(limit);
    let status = status::of(&stage, None);
    stage.end(status, false)
}

/// A pod may be active for so long and no longer.
fn time_out(mut stage: Stage<'_, '_>, asked: Timestamp) -> Step {
    const MESSAGE: &str = "Pod was active on the node longer than the specified deadline";
    let deadline = later(asked, stage.scene.grace());
    if stage.memory.stopping.is_empty() {
        stage.tell_pod(false, "DeadlineExceeded", MESSAGE.to_owned());
    }
    let has_stopped = stage.stop(Stopping { asked, deadline });
    if !has_stopped {
        let status = status::of(&stage, None);
        return stage.end(status, false);
    }
    let mut status = status::of(&stage, Some("Failed"));
    status["reason"] = json!("DeadlineExceeded");
    status["message"] = json!(MESSAGE);
    stage.end(status, false)
}

/// A deleted pod goes when its containers have stopped, at the latest when its grace is over.
fn delete(mut stage: Stage<'_, '_>, stopping: Stopping) -> Step {
    let pod = stage.scene.pod;
    if crate::pod::is_over(pod) {
        return Step {
            is_over: true,
            ..stage.rest()
        };
    }
    if !stage.stop(stopping) {
        let status = status::of(&stage, None);
        return stage.end(status, false);
    }
    // Whoever keeps the pod by a finalizer wants to know how it ended; nobody else can see it any more.
    let finalizers = pod.metadata.finalizers.as_ref();
    if finalizers.is_none_or(Vec::is_empty) {
        return Step {
            is_over: true,
            ..stage.rest()
        };
    }
    let status = status::of(&stage, Some(stage.final_phase()));
    stage.end(status, true)
}
