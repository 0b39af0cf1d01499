//! Which part of a cluster gets which version when. Pure.
//!
//! The control plane goes first, over the versions between that the class lists or its extension names ([`route`]); then MachineDeployments and after them MachinePools, so
//! many at a time as the Cluster allows (one), in the order of the topology. Workers may stay three minor versions behind: they go along on the way only if
//! the control plane would leave them further behind, and to the last version at the end. Nothing is begun while something that it
//! depends on is on its way.

use std::collections::BTreeMap;

use api::cluster::rules::Version;
use api::cluster::topology::Topology;
use api::cluster::{ClusterClass, WorkersKind};
use api::meta::labels;

use super::World;
use super::group::{Group, group_of};
use super::route::{Route, route};
use crate::contract::Contract;
use crate::hook::Hook;

/// So many minor versions may kubelets be older than their API server.
pub(super) const SKEW_MAX: u64 = 3;

/// What happens to the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has the version that it should have.
    #[default]
    Settled,
    /// It is set up for the first time.
    Provisioning,
    /// It is on its way to the version that it should have at the moment.
    Upgrading,
    /// It should have another version, but not yet.
    Waiting,
}

/// Hooks that keep workers from going on.
const BEFORE_WORKERS: [Hook; 2] = [Hook::AfterControlPlaneUpgrade, Hook::BeforeWorkersUpgrade];

/// What happens to a group of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has, or gets, this version.
    Run(String),
    /// It keeps its version, although it has another one to go to: it is not its turn.
    Wait(String),
    /// It keeps its version: annotations of the topology say so.
    Defer(String),
    /// It is not there, and is made later.
    Hold,
}

/// Versions of all parts, and what is to be said about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Upgrade {
    /// The version of the control plane.
    pub version: String,
    pub control_plane: Progress,
    /// Versions that the control plane still goes to.
    pub ahead: Vec<String>,
    /// By the kind and the name in the topology.
    pub steps: BTreeMap<(WorkersKind, String), Step>,
    /// Kinds and names of groups whose machines do not all have their version.
    pub upgrading: Vec<(WorkersKind, String)>,
    /// The oldest version that workers have; nothing if there are none.
    pub oldest_worker: Option<String>,
    /// Versions that workers still go to.
    pub workers_ahead: Vec<String>,
    /// The hook that extensions have not agreed to, and that the next step waits for.
    pub gate: Option<Hook>,
    /// Pending hooks that extensions have agreed to.
    pub passed: Vec<Hook>,
    /// Whether extensions have agreed to its beginning in this pass.
    pub begins: bool,
    /// Whether the control plane gets another version in this pass.
    pub picks_up: bool,
    /// Whether workers go to that version as well.
    pub workers_follow: bool,
    /// Over which versions it goes.
    pub route: Route,
    /// Why nobody knows that yet.
    pub unplanned: Option<String>,
}

impl Upgrade {
    /// The version of a group of workers in this pass; nothing if it is made later.
    pub(super) fn version_for(&self, kind: WorkersKind, entry: &str) -> Option<&str> {
        match self.steps.get(&(kind, entry.to_owned()))? {
            Step::Run(version) | Step::Wait(version) | Step::Defer(version) => Some(version),
            Step::Hold => None,
        }
    }

    /// Goes past a hook, or says that it is in the way. Returns whether extensions have agreed.
    fn ask(&mut self, world: &World, hook: Hook) -> bool {
        let is_open = world.is_open(hook);
        if is_open {
            self.passed.push(hook);
        } else {
            self.gate = Some(hook);
        }
        is_open
    }

    /// Whether an upgrade is on its way, or about to be.
    pub(super) fn is_in_progress(&self) -> bool {
        !matches!(
            self.control_plane,
            Progress::Settled | Progress::Provisioning
        ) || !self.ahead.is_empty()
            || !self.upgrading.is_empty()
            || self.gate.is_some()
            || self.steps.values().any(|s| !matches!(s, Step::Run(_)))
    }
}

pub(super) fn is_newer(version: &str, than: &str) -> bool {
    let numbers = |text: &str| Version::parse(text).map(|v| v.numbers());
    version != than && numbers(version) >= numbers(than)
}

/// Decides.
pub(super) fn upgrade(world: &World, class: &ClusterClass) -> Upgrade {
    let Some(topology) = &world.cluster.spec.topology else {
        return Upgrade::default();
    };
    let there: Vec<(WorkersKind, Group<'_>)> = topology
        .groups()
        .filter_map(|e| Some((e.kind, group_of(world, e.kind, e.name)?)))
        .collect();
    let upgrading = there.iter().filter(|(_, group)| group.is_upgrading());
    let mut found = Upgrade {
        version: topology.version.clone(),
        upgrading: upgrading
            .map(|(kind, group)| (*kind, group.name()))
            .collect(),
        ..Upgrade::default()
    };
    let oldest = there.iter().map(|(_, group)| group.version);
    let oldest = oldest.min_by_key(|v| Version::parse(v).map(|v| v.numbers()));
    found.oldest_worker = oldest.map(str::to_owned);
    control_plane(world, class, oldest, &mut found);
    let target = workers_target(&topology.version, oldest, &found);
    if let Some(oldest) = oldest {
        let own = found.route.workers.iter().filter(|v| is_newer(v, oldest));
        found.workers_ahead = own.cloned().collect();
        if found.workers_ahead.is_empty() {
            if target != oldest && target != topology.version {
                found.workers_ahead.push(target.clone());
            }
            if oldest != topology.version {
                found.workers_ahead.push(topology.version.clone());
            }
        }
    }
    workers(world, topology, &target, &mut found);
    finish(world, &topology.version, &mut found);
    found
}

/// What happens to groups of workers, one after the other.
fn workers(world: &World, topology: &Topology, target: &str, found: &mut Upgrade) {
    let annotations = world.cluster.metadata.annotations.as_ref();
    let concurrency = annotations.and_then(|a| a.get(labels::TOPOLOGY_UPGRADE_CONCURRENCY));
    let concurrency = concurrency.and_then(|c| c.parse().ok()).unwrap_or(1_usize);
    // Workers may move while the control plane waits for them.
    let may_move = matches!(found.control_plane, Progress::Settled | Progress::Waiting)
        && !found
            .gate
            .is_some_and(|gate| BEFORE_WORKERS.contains(&gate));
    let mut held = None;
    for entry in topology.groups() {
        if entry.is_annotated(labels::TOPOLOGY_HOLD_UPGRADE_SEQUENCE) {
            held = Some(entry.kind);
        }
        let step = match group_of(world, entry.kind, entry.name) {
            // With the first control plane come the first workers.
            None if world.control_plane.is_none() => Step::Run(topology.version.clone()),
            None if found.control_plane == Progress::Settled
                && found.ahead.is_empty()
                && may_move =>
            {
                Step::Run(topology.version.clone())
            }
            None => Step::Hold,
            Some(group) => {
                let version = group.version.to_owned();
                if version == topology.version {
                    Step::Run(version)
                } else if held == Some(entry.kind)
                    || entry.is_annotated(labels::TOPOLOGY_DEFER_UPGRADE)
                {
                    Step::Defer(version)
                } else if !is_newer(target, &version)
                    || !may_move
                    || found.upgrading.len() >= concurrency
                {
                    Step::Wait(version)
                } else {
                    found.upgrading.push((entry.kind, group.name()));
                    Step::Run(target.to_owned())
                }
            }
        };
        found
            .steps
            .insert((entry.kind, entry.name.to_owned()), step);
    }
}

/// The end of an upgrade, if it has come to it.
fn finish(world: &World, target: &str, found: &mut Upgrade) {
    let hook = Hook::AfterClusterUpgrade;
    let is_there = found.control_plane == Progress::Settled
        && found.ahead.is_empty()
        && found.upgrading.is_empty()
        && found.gate.is_none()
        && found.version == target;
    let has_target = |step: &Step| matches!(step, Step::Run(version) if version == target);
    if is_there && found.steps.values().all(has_target) && world.is_pending(hook) {
        found.ask(world, hook);
    }
}

/// Versions from the one that the control plane has to the one that it should have, by those that the class lists.
pub(super) fn path(class: &ClusterClass, from: &str, to: &str) -> Vec<String> {
    if from == to {
        return vec![];
    }
    let numbers = |text: &str| Version::parse(text).map(|v| v.numbers());
    let (first, last) = (numbers(from), numbers(to));
    let between = class.kubernetes_versions().iter();
    let between = between.filter(|v| numbers(v) > first && numbers(v) < last);
    // Of each minor version the newest, and of the last one only the last.
    let mut path: Vec<String> = vec![];
    for version in between {
        let minor = |text: &str| numbers(text).map(|n| (n.0, n.1));
        if minor(version) == minor(to) || minor(version) == minor(from) {
            continue;
        }
        if path.last().is_some_and(|l| minor(l) == minor(version)) {
            path.pop();
        }
        path.push(version.clone());
    }
    path.push(to.to_owned());
    path
}

fn control_plane(
    world: &World,
    class: &ClusterClass,
    oldest_worker: Option<&str>,
    found: &mut Upgrade,
) {
    let Some(object) = world.control_plane.as_deref().map(Contract) else {
        return;
    };
    let Some(version) = object.version().map(str::to_owned) else {
        return;
    };
    let topology = std::mem::replace(&mut found.version, version.clone());
    match route(world, class, &version, &topology) {
        Ok(route) => {
            found.ahead.clone_from(&route.control_plane);
            found.route = route;
        }
        Err(why) => found.unplanned = Some(why),
    }
    let versions = object.versions();
    if versions.is_empty() || !object.is_control_plane_initialized() {
        found.control_plane = Progress::Provisioning;
        return;
    }
    if versions.iter().any(|v| v.version != version) {
        found.control_plane = Progress::Upgrading;
        return;
    }
    let mut due = BEFORE_WORKERS.to_vec();
    if found.upgrading.is_empty() && oldest_worker.is_none_or(|oldest| !is_newer(&version, oldest))
    {
        due.push(Hook::AfterWorkersUpgrade);
    }
    for hook in due {
        if world.is_pending(hook) && !found.ask(world, hook) {
            if !found.ahead.is_empty() {
                found.control_plane = Progress::Waiting;
            }
            return;
        }
    }
    if found.unplanned.is_some() && version != topology {
        found.control_plane = Progress::Waiting;
        return;
    }
    let Some(next) = found.ahead.first().cloned() else {
        return;
    };
    let is_for_workers = found
        .route
        .is_for_workers_first(&version, &next, oldest_worker);
    if !found.upgrading.is_empty() || is_for_workers {
        found.control_plane = Progress::Waiting;
        return;
    }
    let is_new = !world.is_pending(Hook::AfterClusterUpgrade);
    let begin = is_new.then_some(Hook::BeforeClusterUpgrade);
    for hook in begin.into_iter().chain([Hook::BeforeControlPlaneUpgrade]) {
        if !world.is_open(hook) {
            found.gate = Some(hook);
            found.control_plane = Progress::Waiting;
            return;
        }
        found.begins |= hook == Hook::BeforeClusterUpgrade;
    }
    found.ahead.remove(0);
    let is_behind = oldest_worker.is_some_and(|oldest| is_newer(&next, oldest));
    let is_last = found.ahead.is_empty();
    let then = found.ahead.first();
    let is_due = if found.route.workers.is_empty() {
        is_last || then.is_some_and(|then| leaves_behind(then, oldest_worker))
    } else {
        found.route.workers.contains(&next)
    };
    found.workers_follow = is_behind && is_due;
    found.version = next;
    found.control_plane = Progress::Upgrading;
    found.picks_up = true;
}

/// Whether a control plane of this version would be too new for workers of the other.
pub(super) fn leaves_behind(next: &str, worker: Option<&str>) -> bool {
    let worker = worker.and_then(Version::parse);
    match (Version::parse(next), worker) {
        (Some(next), Some(worker)) => {
            next.major > worker.major || next.minor > worker.minor + SKEW_MAX
        }
        _ => false,
    }
}

/// The version that workers should have now.
fn workers_target(topology: &str, oldest: Option<&str>, found: &Upgrade) -> String {
    let stay = || oldest.unwrap_or(topology).to_owned();
    if found.unplanned.is_some() {
        return stay();
    }
    if !found.route.workers.is_empty() {
        let next = oldest.and_then(|oldest| found.route.next_of_workers(oldest));
        let reached = next.filter(|next| !is_newer(next, &found.version));
        return reached.map_or_else(stay, str::to_owned);
    }
    let Some(next) = found.ahead.first() else {
        return topology.to_owned();
    };
    if leaves_behind(next, oldest) {
        return found.version.clone();
    }
    stay()
}
