//! Which part of a cluster gets which version when. Pure.
//!
//! The control plane goes first, over the versions that the class lists between; then MachineDeployments, so many at a time as the
//! Cluster allows (one), in the order of the topology. Workers may stay three minor versions behind: they go along on the way only if
//! the control plane would leave them further behind, and to the last version at the end. Nothing is begun while something that it
//! depends on is on its way.

use std::collections::BTreeMap;

use api::cluster::rules::Version;
use api::cluster::{ClusterClass, MachineDeployment};
use api::meta::labels;
use kube::ResourceExt;

use super::World;
use crate::contract::Contract;
use crate::hook::Hook;

/// So many minor versions may kubelets be older than their API server.
const SKEW_MAX: u64 = 3;

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

/// What happens to a MachineDeployment.
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
    /// By the name in the topology.
    pub steps: BTreeMap<String, Step>,
    /// Names of MachineDeployments whose machines do not all have their version.
    pub upgrading: Vec<String>,
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
}

impl Upgrade {
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

/// The MachineDeployment for an entry of the topology, unless it is on its way out.
pub(super) fn deployment_of<'a>(world: &'a World, name: &str) -> Option<&'a MachineDeployment> {
    let is_it = |d: &&std::sync::Arc<MachineDeployment>| {
        let label = crate::object::label(&d.metadata, labels::TOPOLOGY_DEPLOYMENT_NAME);
        label == Some(name) && d.metadata.deletion_timestamp.is_none()
    };
    world.deployments.iter().find(is_it).map(|d| &**d)
}

fn version_of(deployment: &MachineDeployment) -> &str {
    let spec = &deployment.spec.template.spec;
    spec.version.as_deref().unwrap_or_default()
}

/// Whether its machines do not all have its version yet.
fn is_upgrading(deployment: &MachineDeployment) -> bool {
    let status = deployment.status.as_ref();
    let versions = status.and_then(|s| s.versions.as_deref());
    let wanted = version_of(deployment);
    versions
        .unwrap_or_default()
        .iter()
        .any(|v| v.version != wanted)
}

fn is_newer(version: &str, than: &str) -> bool {
    let numbers = |text: &str| Version::parse(text).map(|v| v.numbers());
    version != than && numbers(version) >= numbers(than)
}

/// Decides.
pub(super) fn upgrade(world: &World, class: &ClusterClass) -> Upgrade {
    let Some(topology) = &world.cluster.spec.topology else {
        return Upgrade::default();
    };
    let entries: Vec<_> = topology.machine_deployments().collect();
    let there = entries.iter().filter_map(|e| deployment_of(world, &e.name));
    let there: Vec<&MachineDeployment> = there.collect();
    let upgrading: Vec<String> = there
        .iter()
        .filter(|d| is_upgrading(d))
        .map(|d| d.name_any())
        .collect();
    let mut found = Upgrade {
        version: topology.version.clone(),
        upgrading,
        ..Upgrade::default()
    };
    let oldest = there.iter().map(|d| version_of(d));
    let oldest = oldest.min_by_key(|v| Version::parse(v).map(|v| v.numbers()));
    control_plane(world, class, oldest, &mut found);
    let target = workers_target(&topology.version, oldest, &found);
    if let Some(oldest) = oldest {
        if target != oldest && target != topology.version {
            found.workers_ahead.push(target.clone());
        }
        if oldest != topology.version {
            found.workers_ahead.push(topology.version.clone());
        }
    }
    let annotations = world.cluster.metadata.annotations.as_ref();
    let concurrency = annotations.and_then(|a| a.get(labels::TOPOLOGY_UPGRADE_CONCURRENCY));
    let concurrency = concurrency.and_then(|c| c.parse().ok()).unwrap_or(1_usize);
    // Workers may move while the control plane waits for them.
    let may_move = matches!(found.control_plane, Progress::Settled | Progress::Waiting)
        && found.gate != Some(Hook::AfterControlPlaneUpgrade);
    let mut is_held = false;
    for entry in entries {
        let annotations = entry.metadata.as_ref().and_then(|m| m.annotations.as_ref());
        let has = |key: &str| annotations.is_some_and(|a| a.contains_key(key));
        is_held |= has(labels::TOPOLOGY_HOLD_UPGRADE_SEQUENCE);
        let step = match deployment_of(world, &entry.name) {
            // With the first control plane come the first workers.
            None if world.control_plane.is_none() => Step::Run(topology.version.clone()),
            None if found.control_plane == Progress::Settled
                && found.ahead.is_empty()
                && may_move =>
            {
                Step::Run(topology.version.clone())
            }
            None => Step::Hold,
            Some(deployment) => {
                let version = version_of(deployment).to_owned();
                if version == topology.version {
                    Step::Run(version)
                } else if is_held || has(labels::TOPOLOGY_DEFER_UPGRADE) {
                    Step::Defer(version)
                } else if !is_newer(&target, &version)
                    || !may_move
                    || found.upgrading.len() >= concurrency
                {
                    Step::Wait(version)
                } else {
                    found.upgrading.push(deployment.name_any());
                    Step::Run(target.clone())
                }
            }
        };
        found.steps.insert(entry.name.clone(), step);
    }
    finish(world, &topology.version, &mut found);
    found
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

/// Versions from the one that the control plane has to the one that it should have.
fn path(class: &ClusterClass, from: &str, to: &str) -> Vec<String> {
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
    found.ahead = path(class, &version, &topology);
    let versions = object.versions();
    if versions.is_empty() || !object.is_control_plane_initialized() {
        found.control_plane = Progress::Provisioning;
        return;
    }
    if versions.iter().any(|v| v.version != version) {
        found.control_plane = Progress::Upgrading;
        return;
    }
    let hook = Hook::AfterControlPlaneUpgrade;
    if world.is_pending(hook) && !found.ask(world, hook) {
        if !found.ahead.is_empty() {
            found.control_plane = Progress::Waiting;
        }
        return;
    }
    let Some(next) = found.ahead.first().cloned() else {
        return;
    };
    if !found.upgrading.is_empty() || leaves_behind(&next, oldest_worker) {
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
    found.version = next;
    found.ahead.remove(0);
    found.control_plane = Progress::Upgrading;
    found.picks_up = true;
}

/// Whether a control plane of this version would be too new for workers of the other.
fn leaves_behind(next: &str, worker: Option<&str>) -> bool {
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
    let Some(next) = found.ahead.first() else {
        return topology.to_owned();
    };
    if leaves_behind(next, oldest) {
        return found.version.clone();
    }
    oldest.unwrap_or(topology).to_owned()
}
