//! The conditions of a pod that are its kubelet's, in Kubernetes' words: pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde_json::{Value, json};

use super::script::Role;
use super::stage::Stage;

/// A reason and a message.
type Words = (&'static str, String);

/// All of them.
pub(super) fn of(stage: &Stage<'_, '_>, phase: &str) -> Vec<Value> {
    let pod = stage.scene.pod;
    let is_over = matches!(phase, "Succeeded" | "Failed");
    let initialized = initialized(stage, phase);
    let not_ready = not_ready(stage, phase);
    let are_ready = not_ready.is_none();
    let gates = pod
        .spec
        .iter()
        .flat_map(|s| s.readiness_gates.iter().flatten());
    let gates: Vec<&str> = gates.map(|gate| gate.condition_type.as_str()).collect();
    let gated = are_ready.then(|| closed(pod, &gates)).flatten();
    let ready = not_ready.clone().or(gated);
    let has_sandbox = status_has_sandbox(stage) && !is_over;
    let mut all = vec![
        condition(stage, "PodReadyToStartContainers", has_sandbox, None),
        condition(stage, "Initialized", initialized.0, initialized.1),
        condition(stage, "Ready", ready.is_none(), ready),
        condition(stage, "ContainersReady", are_ready, not_ready),
        condition(stage, "PodScheduled", true, None),
    ];
    // Nobody may be there to open a gate of a simulated pod; whoever is has the say.
    for gate in gates.iter().filter(|gate| known(pod, gate).is_none()) {
        all.push(condition(stage, gate, are_ready, None));
    }
    match &stage.scene.resize.pending {
        Some((reason, message)) => {
            let words = Some((*reason, message.clone()));
            all.push(condition(stage, "PodResizePending", true, words));
        }
        None if known(pod, "PodResizePending").is_some() => {
            all.push(json!({"$patch": "delete", "type": "PodResizePending"}));
        }
        None => {}
    }
    all
}

/// Whether containers can be started in the pod, or were.
pub(super) fn status_has_sandbox(stage: &Stage<'_, '_>) -> bool {
    let delay = stage.scene.script.pod.start_delay.unwrap_or_default();
    let start_at = super::life::later(stage.scene.started, delay);
    let has_begun = stage.actors.iter().any(|actor| actor.life.has_begun());
    let has_volumes = stage.scene.missing.volume.is_none();
    let is_going = stage.scene.pod.metadata.deletion_timestamp.is_some();
    has_begun || (stage.scene.now >= start_at && has_volumes && !is_going)
}

fn names(all: &[&str]) -> String {
    all.join(" ")
}

/// Whether all init containers are done with, and what is said of it.
fn initialized(stage: &Stage<'_, '_>, phase: &str) -> (bool, Option<Words>) {
    let incomplete: Vec<&str> = stage
        .actors
        .iter()
        .filter(|actor| match actor.role {
            Role::Init => !actor.life.has_succeeded(),
            Role::Sidecar => !actor.life.is_started,
            Role::App | Role::Ephemeral => false,
        })
        .map(super::life::cast::Actor::name)
        .collect();
    if phase == "Succeeded" {
        return (true, Some(("PodCompleted", String::new())));
    }
    if incomplete.is_empty() || stage.is_initialized() {
        return (true, None);
    }
    let message = format!(
        "containers with incomplete status: [{}]",
        names(&incomplete)
    );
    (false, Some(("ContainersNotInitialized", message)))
}

/// Why not all containers are ready.
fn not_ready(stage: &Stage<'_, '_>, phase: &str) -> Option<Words> {
    match phase {
        "Succeeded" => return Some(("PodCompleted", String::new())),
        "Failed" => return Some(("PodFailed", String::new())),
        _ => {}
    }
    let unready: Vec<&str> = stage
        .actors
        .iter()
        .filter(|actor| matches!(actor.role, Role::Sidecar | Role::App))
        .filter(|actor| !actor.life.is_ready)
        .map(super::life::cast::Actor::name)
        .collect();
    (!unready.is_empty()).then(|| {
        let message = format!("containers with unready status: [{}]", names(&unready));
        ("ContainersNotReady", message)
    })
}

/// What the gates say that others have closed.
fn closed(pod: &Pod, gates: &[&str]) -> Option<Words> {
    let closed: Vec<String> = gates
        .iter()
        .filter_map(|gate| Some((gate, known(pod, gate)?)))
        .filter(|(_, condition)| condition.status != "True")
        .map(|(gate, condition)| {
            let status = &condition.status;
            format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {status}")
        })
        .collect();
    (!closed.is_empty()).then(|| ("ReadinessGatesNotReady", closed.join(", ")))
}

/// The condition that the pod has.
pub(super) fn known<'a>(pod: &'a Pod, ty: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == ty)
}

fn condition(stage: &Stage<'_, '_>, ty: &str, is_true: bool, words: Option<Words>) -> Value {
    let pod = stage.scene.pod;
    let status = if is_true { "True" } else { "False" };
    let since: Timestamp = known(pod, ty)
        .filter(|c| c.status == status)
        .and_then(|c| c.last_transition_time.as_ref())
        .map_or(stage.scene.now, |t| t.0);
    let mut condition =
        json!({"type": ty, "status": status, "lastTransitionTime": runtime::rfc3339(since)});
    if let Some(generation) = pod.metadata.generation {
        condition["observedGeneration"] = json!(generation);
    }
    // What was said before must go, or a merge keeps it.
    let old = known(pod, ty);
    let (reason, message) = words.unwrap_or_default();
    for (key, text, had) in [
        (
            "reason",
            reason.to_owned(),
            old.is_some_and(|c| c.reason.is_some()),
        ),
        ("message", message, old.is_some_and(|c| c.message.is_some())),
    ] {
        if !text.is_empty() {
            condition[key] = text.into();
        } else if had {
            condition[key] = Value::Null;
        }
    }
    condition
}
