//! What a topology shows in the status of its Cluster, and how an upgrade is told. Pure.

use std::convert::Infallible;

use api::cluster::WorkersKind;
use api::cluster::cluster::{conditions, reasons};
use jiff::Timestamp;
use runtime::{Outcome, Plan};
use serde_json::{Value, json};

use super::group::group_of;
use super::upgrade::{Progress, Step, Upgrade, upgrade};
use super::{World, hooks};
use crate::condition::{Condition, named};
use crate::contract::Contract;

/// An entry of the topology, or an object that was made for one, by kind and name.
type Entry = (WorkersKind, String);

/// Names, by kind.
fn listed(names: &[Entry]) -> String {
    let mut parts = vec![];
    for kind in WorkersKind::ALL {
        let of_kind = names.iter().filter(|(k, _)| *k == kind);
        let of_kind: Vec<&str> = of_kind.map(|(_, name)| name.as_str()).collect();
        if !of_kind.is_empty() {
            parts.push(named(kind.name(), &of_kind));
        }
    }
    parts.join(" and ")
}

pub(super) fn status(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Option<Value> {
    world.cluster.spec.topology.as_ref()?;
    let mut condition = condition(world, plan, outcome).to_json();
    condition["observedGeneration"] = json!(world.cluster.metadata.generation);
    let mut status = json!({"conditions": [condition]});
    let is_deleting = world.cluster.metadata.deletion_timestamp.is_some();
    if let Some(class) = world.class.as_ref().filter(|_| !is_deleting) {
        let upgrade = upgrade(world, class);
        for (part, versions) in [
            ("controlPlane", &upgrade.ahead),
            ("workers", &upgrade.workers_ahead),
        ] {
            if !versions.is_empty() {
                let steps: Vec<Value> = versions.iter().map(|v| json!({"version": v})).collect();
                status[part] = json!({"upgradePlan": steps});
            }
        }
    }
    Some(status)
}

fn condition(world: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Condition {
    let type_ = conditions::TOPOLOGY_RECONCILED;
    if world.cluster.metadata.deletion_timestamp.is_some() {
        let why = plan.waits.first().map(|wait| wait.message.as_str());
        let why = why.unwrap_or("Cluster is deleting");
        return Condition::no(type_, reasons::TOPOLOGY_DELETING, why);
    }
    if world.is_paused() {
        let why =
            "Reconciliation is paused, by spec.paused or the annotation cluster.x-k8s.io/paused";
        return Condition::no(type_, reasons::TOPOLOGY_RECONCILE_PAUSED, why);
    }
    if let Some(failure) = &outcome.failure {
        return Condition::no(type_, reasons::TOPOLOGY_RECONCILE_FAILED, &failure.message);
    }
    match plan.waits.first() {
        Some(wait) => Condition::no(type_, wait.reason, &wait.message),
        None => Condition::yes(type_, reasons::TOPOLOGY_RECONCILE_SUCCEEDED),
    }
}

impl Upgrade {
    /// Says what is on its way and what waits for what.
    pub(super) fn tell(&self, world: &World, plan: &mut Plan<Infallible>, now: Timestamp) {
        if let Some(hook) = self.gate
            && self.is_over()
        {
            let why = (hook, reasons::TOPOLOGY_HOOK_BLOCKING);
            hooks::wait(world, why, plan, now);
            return;
        }
        let held = self.with(|step| *step == Step::Hold);
        if !self.is_in_progress() || (held.is_empty() && self.is_first(world)) {
            return;
        }
        let Some(topology) = &world.cluster.spec.topology else {
            return;
        };
        let mut lines = vec![];
        lines.extend(self.about_control_plane(world));
        if let Some(why) = &self.unplanned {
            let to = &topology.version;
            lines.push(format!("it is not known how to upgrade to {to}: {why}"));
        }
        if let Some(Err(unanswered)) = &world.route {
            plan.again_at(unanswered.until, now);
        }
        if let Some(hook) = self.gate {
            hooks::follow(world, hook, plan, now);
            lines.push(hooks::obstacle(world, hook));
        }
        let object = |entries: Vec<&Entry>| -> Vec<Entry> {
            let there = |(kind, entry): &Entry| {
                let group = group_of(world, *kind, entry)?;
                Some((*kind, group.name()))
            };
            entries.into_iter().filter_map(there).collect()
        };
        if !self.upgrading.is_empty() {
            let versions = self.upgrading_to(world);
            lines.push(format!(
                "{} upgrading to {versions}",
                listed(&self.upgrading)
            ));
        }
        let waiting = object(self.with(|step| matches!(step, Step::Wait(_))));
        let waiting: Vec<Entry> = waiting
            .into_iter()
            .filter(|n| !self.upgrading.contains(n))
            .collect();
        let ahead = self.workers_ahead.join(", ");
        if !waiting.is_empty() {
            lines.push(format!("{} pending upgrade to {ahead}", listed(&waiting)));
        }
        let deferred = object(self.with(|step| matches!(step, Step::Defer(_))));
        if !deferred.is_empty() {
            lines.push(format!(
                "{} upgrade to {ahead} deferred by the annotation defer-upgrade or hold-upgrade-sequence",
                listed(&deferred)
            ));
        }
        if !held.is_empty() {
            let why = match self.control_plane {
                Progress::Provisioning => "until the control plane is there",
                _ => "while the control plane upgrade is in progress",
            };
            let entries: Vec<Entry> = held.into_iter().cloned().collect();
            lines.push(format!("{} creation deferred {why}", listed(&entries)));
        }
        let is_deferred = !deferred.is_empty()
            && waiting.is_empty()
            && self.upgrading.is_empty()
            && self.control_plane == Progress::Settled;
        let reason = if is_deferred {
            reasons::TOPOLOGY_UPGRADE_DEFERRED
        } else {
            reasons::TOPOLOGY_CLUSTER_UPGRADING
        };
        let lines: String = lines.iter().map(|line| format!("\n  * {line}")).collect();
        plan.wait(
            reason,
            format!("Cluster is upgrading to {}{lines}", topology.version),
        );
    }

    /// Whether all that is left of an upgrade is that extensions agree.
    fn is_over(&self) -> bool {
        self.control_plane == Progress::Settled
            && self.ahead.is_empty()
            && self.workers_ahead.is_empty()
            && self.upgrading.is_empty()
            && self.steps.values().all(|s| matches!(s, Step::Run(_)))
    }

    /// Whether the cluster is only set up, with the version that it should have.
    fn is_first(&self, world: &World) -> bool {
        let is_new = world.control_plane.is_none() || self.control_plane == Progress::Provisioning;
        is_new && self.ahead.is_empty() && self.workers_ahead.is_empty()
    }

    /// Entries of the topology by what happens to them.
    fn with(&self, is_meant: impl Fn(&Step) -> bool) -> Vec<&Entry> {
        let steps = self.steps.iter().filter(|(_, step)| is_meant(step));
        steps.map(|(entry, _)| entry).collect()
    }

    fn about_control_plane(&self, world: &World) -> Option<String> {
        let object = world.control_plane.as_deref()?;
        let contract = Contract(object);
        let kind = contract.kind();
        let version = &self.version;
        let then = if self.ahead.is_empty() {
            String::new()
        } else {
            format!(", then to {}", self.ahead.join(", "))
        };
        match self.control_plane {
            Progress::Settled => None,
            Progress::Provisioning => {
                Some(format!("{kind} being set up with version {version}{then}"))
            }
            Progress::Upgrading => Some(format!("{kind} upgrading to {version}{then}")),
            Progress::Waiting => {
                let what = match self.gate {
                    Some(gate) => gate.name(),
                    None if self.unplanned.is_some() => "its plan",
                    None => "workers",
                };
                let ahead = match &self.ahead[..] {
                    [] => world
                        .cluster
                        .spec
                        .topology
                        .as_ref()
                        .map_or("", |t| &t.version)
                        .to_owned(),
                    ahead => ahead.join(", "),
                };
                Some(format!(
                    "{kind} pending upgrade to {ahead}: it waits for {what}"
                ))
            }
        }
    }

    /// Versions that workers are on their way to.
    fn upgrading_to(&self, world: &World) -> String {
        let entries = world.cluster.spec.topology.iter();
        let mut versions: Vec<&str> = vec![];
        for entry in entries.flat_map(|t| t.groups()) {
            let group = group_of(world, entry.kind, entry.name);
            let is_meant = group.is_some_and(|g| self.upgrading.contains(&(entry.kind, g.name())));
            let version = self.version_for(entry.kind, entry.name);
            if let Some(version) = version.filter(|v| is_meant && !versions.contains(v)) {
                versions.push(version);
            }
        }
        versions.join(", ")
    }
}
