//! When extensions are asked about a Cluster, and what waits for them. Pure.
//!
//! What is asked after something, is noted in the annotation `runtime.cluster.x-k8s.io/pending-hooks` of the Cluster in the same plan that
//! begins it, so that it is not forgotten; it goes when everybody has agreed. `AfterClusterUpgrade` in it also says that an upgrade has
//! begun, so that `BeforeClusterUpgrade` is asked once. Where no extension has a handler, nothing is noted and nothing waits.

use std::collections::BTreeSet;
use std::convert::Infallible;

use api::cluster::cluster::{conditions, reasons};
use api::meta::{find, labels};
use jiff::Timestamp;
use runtime::Plan;
use serde_json::{Value, json};

use super::World;
use super::plan::parts;
use super::upgrade::{Upgrade, upgrade};
use crate::hook::{Answer, Hook, Question};
use crate::object;

/// Hooks by which extensions follow upgrades.
const OF_UPGRADES: [Hook; 6] = [
    Hook::BeforeClusterUpgrade,
    Hook::BeforeControlPlaneUpgrade,
    Hook::AfterControlPlaneUpgrade,
    Hook::BeforeWorkersUpgrade,
    Hook::AfterWorkersUpgrade,
    Hook::AfterClusterUpgrade,
];

impl World {
    /// Whether what comes after a hook may go on: everybody agreed, or there is nobody to ask; and no annotation holds it back.
    pub(super) fn is_open(&self, hook: Hook) -> bool {
        let is_agreed = !self.hooks.contains(&hook) || self.answers.get(&hook) == Some(&Answer::Go);
        is_agreed && self.holding(hook).is_empty()
    }

    /// Annotations of the Cluster that hold back what comes after a hook, by their names.
    fn holding(&self, hook: Hook) -> Vec<&str> {
        if hook != Hook::BeforeClusterUpgrade {
            return vec![];
        }
        let annotations = self.cluster.metadata.annotations.iter().flatten();
        annotations
            .map(|(name, _)| name.as_str())
            .filter(|name| name.starts_with(labels::BEFORE_UPGRADE_HOOK))
            .collect()
    }

    /// Whether extensions are still to be asked.
    pub(super) fn is_pending(&self, hook: Hook) -> bool {
        self.cluster.is_pending(hook.name())
    }

    /// Whether nothing was made for the topology yet.
    fn is_new(&self) -> bool {
        let spec = &self.cluster.spec;
        spec.infrastructure_ref.is_none() && spec.control_plane_ref.is_none()
    }

    /// Whether extensions have nothing against the deletion, and that is written down.
    pub(super) fn is_ok_to_delete(&self) -> bool {
        object::annotation(&self.cluster.metadata, labels::OK_TO_DELETE).is_some()
    }

    /// The hook that keeps the topology from being begun.
    pub(super) fn creation_gate(&self) -> Option<Hook> {
        let hook = Hook::BeforeClusterCreate;
        (self.is_new() && !self.is_open(hook)).then_some(hook)
    }

    /// The hook that is asked when the control plane has answered; nothing waits for it.
    fn initialized_gate(&self) -> Option<Hook> {
        let hook = Hook::AfterControlPlaneInitialized;
        let is_due = self.is_pending(hook) && self.cluster.is_control_plane_initialized();
        (is_due && !self.is_open(hook)).then_some(hook)
    }
}

/// What is to be asked next, if something is. With its answer in the world, there may be another one.
pub(super) fn question(world: &World) -> Option<Question> {
    let topology = world.cluster.spec.topology.as_ref()?;
    if world.is_paused() {
        return None;
    }
    let unanswered = |hook: &Hook| !world.answers.contains_key(hook);
    let plain = |hook: Hook| Question {
        hook,
        about: json!({}),
    };
    if world.cluster.metadata.deletion_timestamp.is_some() {
        let hook = Hook::BeforeClusterDelete;
        let is_asked = world.is_ok_to_delete() || world.is_open(hook);
        return (!is_asked && unanswered(&hook)).then(|| plain(hook));
    }
    let class = world
        .class
        .as_ref()
        .filter(|class| world.is_class_reconciled() && class.has_all_variables())?;
    let upgrade = upgrade(world, class);
    let question = if let Some(hook) = world.creation_gate() {
        unanswered(&hook).then(|| plain(hook))
    } else if let Some(hook) = world.initialized_gate().filter(unanswered) {
        Some(plain(hook))
    } else {
        // Whom annotations hold back nobody needs to be asked about.
        let gate = upgrade.gate.filter(|hook| world.holding(*hook).is_empty());
        gate.filter(unanswered).map(|hook| Question {
            hook,
            about: about(hook, &upgrade, &topology.version),
        })
    };
    // Nobody is asked about what will not come of it.
    question.filter(|_| parts(world, class, &upgrade).is_ok())
}

/// What requests about an upgrade say besides the Cluster.
fn about(hook: Hook, upgrade: &Upgrade, target: &str) -> Value {
    let steps = |versions: &[String]| -> Vec<Value> {
        versions.iter().map(|v| json!({"version": v})).collect()
    };
    let mut about = match hook {
        Hook::BeforeClusterUpgrade => json!({
            "fromKubernetesVersion": upgrade.version, "toKubernetesVersion": target,
        }),
        Hook::BeforeControlPlaneUpgrade => json!({
            "fromKubernetesVersion": upgrade.version, "toKubernetesVersion": upgrade.ahead.first(),
        }),
        Hook::BeforeWorkersUpgrade => json!({
            "fromKubernetesVersion": upgrade.oldest_worker, "toKubernetesVersion": upgrade.version,
        }),
        Hook::AfterControlPlaneUpgrade | Hook::AfterWorkersUpgrade => {
            json!({"kubernetesVersion": upgrade.version})
        }
        Hook::AfterClusterUpgrade => return json!({"kubernetesVersion": upgrade.version}),
        Hook::BeforeClusterCreate
        | Hook::AfterControlPlaneInitialized
        | Hook::BeforeClusterDelete => return json!({}),
    };
    about["controlPlaneUpgrades"] = json!(steps(&upgrade.ahead));
    about["workersUpgrades"] = json!(steps(&upgrade.workers_ahead));
    about
}

/// The hooks that are pending after this pass, as the value of the annotation; `None` if it stays as it is.
pub(super) fn pending(world: &World, upgrade: &Upgrade) -> Option<Option<String>> {
    let before = object::annotation(&world.cluster.metadata, labels::PENDING_HOOKS);
    let names = before.unwrap_or_default().split(',');
    let mut pending: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let initialized = Hook::AfterControlPlaneInitialized;
    if world.cluster.is_control_plane_initialized() && world.is_open(initialized) {
        pending.remove(initialized.name());
    }
    for hook in &upgrade.passed {
        pending.remove(hook.name());
    }
    if world.is_new() && world.hooks.contains(&initialized) {
        pending.insert(initialized.name());
    }
    let is_followed = OF_UPGRADES.iter().any(|hook| world.hooks.contains(hook));
    if upgrade.begins && is_followed {
        pending.insert(Hook::AfterClusterUpgrade.name());
    }
    if upgrade.picks_up && is_followed {
        pending.insert(Hook::AfterControlPlaneUpgrade.name());
    }
    if upgrade.workers_follow && is_followed {
        pending.insert(Hook::BeforeWorkersUpgrade.name());
        pending.insert(Hook::AfterWorkersUpgrade.name());
    }
    let pending: Vec<&str> = pending.into_iter().collect();
    let after = (!pending.is_empty()).then(|| pending.join(","));
    (after.as_deref() != before).then_some(after)
}

/// Who keeps something from going on, and why.
pub(super) fn obstacle(world: &World, hook: Hook) -> String {
    let holding = world.holding(hook);
    if !holding.is_empty() {
        let s = if holding.len() > 1 { "s" } else { "" };
        return format!(
            "{} holds back: the Cluster has the annotation{s} {}",
            hook.name(),
            holding.join(", ")
        );
    }
    let obstacle = world.answers.get(&hook).and_then(Answer::obstacle);
    let lines = obstacle.map(|(lines, _)| lines.join("; "));
    let lines = lines.unwrap_or_else(|| "its extensions have not been asked yet".to_owned());
    let verb = match world.answers.get(&hook) {
        Some(Answer::Failed { .. }) => "failed",
        _ => "holds back",
    };
    format!("{} {verb}: {lines}", hook.name())
}

/// Says that a hook keeps the topology from going on, asks again in time, and tells of it once.
pub(super) fn wait(
    world: &World,
    (hook, reason): (Hook, &'static str),
    plan: &mut Plan<Infallible>,
    now: Timestamp,
) {
    follow(world, hook, plan, now);
    let reason = match world.answers.get(&hook) {
        Some(Answer::Failed { .. }) if reason != reasons::TOPOLOGY_DELETING => {
            reasons::TOPOLOGY_RECONCILE_FAILED
        }
        _ => reason,
    };
    plan.wait(reason, obstacle(world, hook));
}

/// Asks again in time, and tells of an obstacle that was not there before.
pub(super) fn follow(world: &World, hook: Hook, plan: &mut Plan<Infallible>, now: Timestamp) {
    let obstacle_now = world.answers.get(&hook).and_then(Answer::obstacle);
    if let Some((_, until)) = obstacle_now {
        plan.again_at(until, now);
    } else if world.holding(hook).is_empty() {
        return;
    }
    let text = obstacle(world, hook);
    let status = world.cluster.status.as_ref();
    let known = status.and_then(|s| s.conditions.as_deref());
    let known = known.and_then(|all| find(all, conditions::TOPOLOGY_RECONCILED));
    if known.is_none_or(|condition| !condition.message.contains(&text)) {
        plan.warn("LifecycleHookBlocking", text);
    }
}

/// Nothing waits for this one, but that it could not be asked is said.
pub(super) fn tell_initialized(world: &World, plan: &mut Plan<Infallible>, now: Timestamp) {
    let Some(hook) = world.initialized_gate() else {
        return;
    };
    // Beside what is said already, which may be another matter.
    match plan.waits.first_mut() {
        Some(first) => {
            first.message.push_str("\n* ");
            first.message.push_str(&obstacle(world, hook));
            follow(world, hook, plan, now);
        }
        None => wait(world, (hook, reasons::TOPOLOGY_HOOK_BLOCKING), plan, now),
    }
}
