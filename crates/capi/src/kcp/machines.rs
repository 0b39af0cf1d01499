//! The machines that a control plane wants. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::bootstrap::kubeadm::JoinConfiguration;
use api::bootstrap::{KubeadmConfig, KubeadmConfigSpec};
use api::cluster::machine::Bootstrap;
use api::cluster::rules::Version;
use api::cluster::{Machine, MachineSpec};
use api::controlplane::KubeadmControlPlane;
use api::meta::{BOOTSTRAP_GROUP, ContractRef, Gate, labels};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, Reconciler};

use super::order::{self, Rank};
use super::rollout::{CONFIG_HASH, config_hash, differences};
use super::{Act, KubeadmControlPlaneController, World, health, remediation};
use crate::condition::named;
use crate::names::{Namer, fresh};
use crate::template::{Particulars, instantiate, object_kind};
use crate::{metadata, object};

/// The machine as the control plane wants it. What only a new machine can have comes from the machine itself, if there is one: `domain`,
/// and `reason`, why it takes the place of others.
pub(super) fn wanted(
    world: &World,
    name: &str,
    existing: Option<&Machine>,
    domain: Option<String>,
    reason: Option<String>,
) -> DynamicObject {
    let control_plane = &world.control_plane;
    let template = &control_plane.spec.machine_template;
    let cluster = world.cluster_name();
    let mut labels = template
        .metadata
        .as_ref()
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    labels.insert(labels::CLUSTER_NAME.to_owned(), cluster.clone());
    labels.insert(labels::CONTROL_PLANE.to_owned(), String::new());
    labels.insert(
        labels::CONTROL_PLANE_NAME.to_owned(),
        labels::name_value(&control_plane.name_any()),
    );
    let mut annotations = template_annotations(&world.control_plane);
    annotations.insert(labels::KCP_CLEANUP_HOOK.to_owned(), String::new());
    let hash = match existing {
        Some(machine) => object::annotation(&machine.metadata, CONFIG_HASH).map(str::to_owned),
        None => Some(config_hash(
            control_plane,
            !world.is_initialized() && world.machines.is_empty(),
        )),
    };
    if let Some(hash) = hash {
        annotations.insert(CONFIG_HASH.to_owned(), hash);
    }
    let replaced = match existing {
        Some(machine) => {
            object::annotation(&machine.metadata, labels::REMEDIATION_FOR).map(str::to_owned)
        }
        None => remediation::in_progress(world).map(|record| record.text()),
    };
    if let Some(replaced) = replaced {
        annotations.insert(labels::REMEDIATION_FOR.to_owned(), replaced);
    }
    let reason = match existing {
        Some(m) => object::annotation(&m.metadata, labels::ROLLOUT_REASON).map(str::to_owned),
        None => reason,
    };
    annotations.extend(reason.map(|reason| (labels::ROLLOUT_REASON.to_owned(), reason)));
    let spec = existing.map_or_else(|| new_spec(world, name, domain), kept_spec);
    let gates = template.spec.readiness_gates.iter().flatten().cloned();
    let own = health::gates(world.is_etcd_stacked()).into_iter();
    let own = own.map(|t| Gate {
        condition_type: t.to_owned(),
        polarity: None,
    });
    let machine = Machine {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: control_plane.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![object::owner_ref(control_plane, true)]),
            ..ObjectMeta::default()
        },
        spec: MachineSpec {
            cluster_name: cluster,
            readiness_gates: Some(own.chain(gates).collect()),
            deletion: template.spec.deletion.clone(),
            taints: template.spec.taints.clone(),
            min_ready_seconds: None,
            ..spec
        },
        status: None,
    };
    object::dynamic(&machine)
}

/// Why the control plane must leave the machines alone that are there: some are not its own, or cannot become so.
pub(super) fn adoption_problem(world: &World) -> Option<String> {
    let name = world.control_plane.name_any();
    let foreign: Vec<_> = world.foreign.iter().map(String::as_str).collect();
    if !foreign.is_empty() {
        return Some(format!(
            "{} of the cluster's control plane belong to somebody else: {name} changes nothing while there are such machines",
            named("Machine", &foreign)
        ));
    }
    let wanted = &world.control_plane.spec.version;
    let orphans = world
        .machines
        .iter()
        .filter(|m| object::controller_of(&m.metadata).is_none());
    for machine in orphans {
        let machine_name = machine.name_any();
        let config = machine.spec.bootstrap.config_ref.as_ref();
        if config.is_none_or(|c| c.kind != "KubeadmConfig") {
            let kind = config.map_or("nothing", |c| c.kind.as_str());
            return Some(format!(
                "Machine {machine_name} cannot be adopted: its bootstrap.configRef must name a KubeadmConfig, and not {kind}"
            ));
        }
        let version = machine.spec.version.as_deref().unwrap_or_default();
        let numbers = |text: &str| Version::parse(text).map(|v| (v.major, v.minor));
        let is_near = match (numbers(version), numbers(wanted)) {
            (Some(have), Some(want)) => have.0 == want.0 && have.1.abs_diff(want.1) <= 1,
            _ => false,
        };
        if !is_near {
            return Some(format!(
                "Machine {machine_name} cannot be adopted: its version {version:?} must be at most one minor version from {wanted}"
            ));
        }
    }
    None
}

/// What only a new machine can have.
fn new_spec(world: &World, name: &str, failure_domain: Option<String>) -> MachineSpec {
    let control_plane = &world.control_plane.spec;
    let template = &control_plane.machine_template.spec.infrastructure_ref;
    MachineSpec {
        version: Some(control_plane.version.clone()),
        bootstrap: Bootstrap {
            config_ref: Some(ContractRef {
                api_group: BOOTSTRAP_GROUP.to_owned(),
                kind: "KubeadmConfig".to_owned(),
                name: name.to_owned(),
            }),
            data_secret_name: None,
        },
        infrastructure_ref: ContractRef {
            kind: object_kind(&template.kind).to_owned(),
            name: name.to_owned(),
            ..template.clone()
        },
        failure_domain,
        ..MachineSpec::default()
    }
}

/// What an existing machine keeps; what its own controller wrote is that one's.
fn kept_spec(machine: &Machine) -> MachineSpec {
    MachineSpec {
        provider_id: None,
        bootstrap: Bootstrap {
            data_secret_name: None,
            ..machine.spec.bootstrap.clone()
        },
        ..machine.spec.clone()
    }
}

/// What machines of the control plane and their parts have.
pub(super) fn template_annotations(
    control_plane: &KubeadmControlPlane,
) -> BTreeMap<String, String> {
    let template = &control_plane.spec.machine_template;
    let metadata = template.metadata.as_ref();
    metadata
        .and_then(|m| m.annotations.clone())
        .unwrap_or_default()
}

/// Labels and annotations go on to the parts of a machine.
pub(super) fn part_changes(world: &World, machine: &Machine) -> Vec<Change<Act>> {
    let Some(parts) = world.parts.get(&machine.name_any()) else {
        return vec![];
    };
    let annotations = template_annotations(&world.control_plane);
    [
        (&parts.bootstrap, None),
        (&parts.infrastructure, world.template.as_deref()),
    ]
    .into_iter()
    .filter_map(|(part, template)| {
        let wanted = metadata::Wanted {
            labels: machine.labels(),
            annotations: &annotations,
            template,
            controller: KubeadmControlPlaneController::NAME,
        };
        metadata::follow(part.as_ref()?, &wanted)
    })
    .collect()
}

/// The bootstrap config and infrastructure object of machines that lack them.
pub(super) fn complete(world: &World) -> Vec<Change<Act>> {
    let mut changes = vec![];
    for machine in world.machines.iter().filter(|m| !m.is_deleting()) {
        let initialization = machine
            .status
            .as_ref()
            .and_then(|s| s.initialization.as_ref());
        // A part that was there once and is gone was taken away by somebody: making it anew would make another machine.
        if initialization.is_some_and(|i| i.infrastructure_provisioned == Some(true)) {
            continue;
        }
        let parts = world
            .parts
            .get(&machine.name_any())
            .cloned()
            .unwrap_or_default();
        if parts.infrastructure.is_none()
            && let Some(template) = &world.template
        {
            let particulars = Particulars {
                name: &machine.name_any(),
                cluster: &machine.spec.cluster_name,
                owner: object::owner_ref(&**machine, true),
                labels: machine.metadata.labels.clone().unwrap_or_default(),
                annotations: template_annotations(&world.control_plane),
            };
            changes.push(Change::Create(Box::new(instantiate(template, particulars))));
        }
        if parts.bootstrap.is_none() {
            changes.push(Change::Create(Box::new(config(world, machine))));
        }
    }
    changes
}

/// The first machine initializes the cluster, all others join.
fn config(world: &World, machine: &Machine) -> DynamicObject {
    let wish = world
        .control_plane
        .spec
        .kubeadm_config_spec
        .clone()
        .unwrap_or_default();
    let is_first = !world.is_initialized() && world.machines.len() == 1;
    let spec = if is_first {
        KubeadmConfigSpec {
            join_configuration: None,
            ..wish
        }
    } else {
        let join = wish.join_configuration.unwrap_or_default();
        KubeadmConfigSpec {
            init_configuration: None,
            join_configuration: Some(JoinConfiguration {
                control_plane: Some(join.control_plane.clone().unwrap_or_default()),
                ..join
            }),
            ..wish
        }
    };
    let config = KubeadmConfig {
        metadata: ObjectMeta {
            name: machine.metadata.name.clone(),
            namespace: machine.metadata.namespace.clone(),
            labels: machine.metadata.labels.clone(),
            annotations: Some(template_annotations(&world.control_plane)).filter(|a| !a.is_empty()),
            owner_references: Some(vec![object::owner_ref(machine, true)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    object::dynamic(&config)
}

/// Creates a machine, in the failure domain that has the fewest.
pub(super) fn create(world: &World, now: Timestamp) -> (String, Change<Act>) {
    let owner = world.control_plane.name_any();
    let cluster = world.cluster_name();
    let namer = Namer {
        template: world
            .control_plane
            .spec
            .machine_naming
            .as_ref()
            .and_then(|n| n.template.as_deref()),
        owner_variable: "kubeadmControlPlane",
        owner: &owner,
        owner_uid: world
            .control_plane
            .metadata
            .uid
            .as_deref()
            .unwrap_or_default(),
        cluster: &cluster,
    };
    let taken: Vec<_> = world
        .machines
        .iter()
        .map(|m: &Arc<Machine>| m.name_any())
        .collect();
    let taken: Vec<_> = taken.iter().map(String::as_str).collect();
    let name = fresh(&namer, &taken, now);
    let reason = rollout_reason(world, now);
    let machine = wanted(world, &name, None, emptiest_domain(world, now), reason);
    (name, Change::Create(Box::new(machine)))
}

/// Why machines are replaced, if some are: in what they differ from what is wanted.
pub(super) fn rollout_reason(world: &World, now: Timestamp) -> Option<String> {
    let live = world.machines.iter().filter(|m| !m.is_deleting());
    let differences: BTreeSet<String> = live.flat_map(|m| world.differences(m, now)).collect();
    let differences: Vec<String> = differences.into_iter().collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

impl World {
    /// In what a machine differs from what is wanted.
    pub(super) fn differences(&self, machine: &Machine, now: Timestamp) -> Vec<String> {
        let infrastructure = self
            .parts
            .get(&machine.name_any())
            .and_then(|p| p.infrastructure.as_deref());
        differences(&self.control_plane, machine, infrastructure, now)
    }

    fn domains(&self) -> Vec<&str> {
        let status = self.cluster.as_ref().and_then(|c| c.status.as_ref());
        let domains = status
            .iter()
            .flat_map(|s| s.failure_domains.iter().flatten());
        domains
            .filter(|d| d.control_plane == Some(true))
            .map(|d| d.name.as_str())
            .collect()
    }
}

/// The domain with the fewest machines that stay, then with the fewest of all, then the first by name.
fn emptiest_domain(world: &World, now: Timestamp) -> Option<String> {
    let in_domain = |m: &Machine, d: &str| m.spec.failure_domain.as_deref() == Some(d);
    let stays = |m: &Machine| !m.is_deleting() && world.differences(m, now).is_empty();
    let count = |d: &str, stays_only: bool| {
        world
            .machines
            .iter()
            .filter(|m| in_domain(m, d) && (!stays_only || stays(m)))
            .count()
    };
    let domain = world
        .domains()
        .into_iter()
        .min_by_key(|d| (count(d, true), count(d, false), *d))?;
    Some(domain.to_owned())
}

/// The machine that goes first when there is one too many: of those that have most reason to go, the one in the failure domain with most of
/// them, then the oldest.
pub(super) fn leaving(world: &World, now: Timestamp) -> Option<&Machine> {
    let domains = world.domains();
    let live: Vec<&Machine> = world
        .machines
        .iter()
        .map(|m| &**m)
        .filter(|m| !m.is_deleting())
        .collect();
    let class = |m: &Machine| {
        order::class(
            object::annotation(&m.metadata, labels::DELETE_MACHINE).is_some(),
            !world.differences(m, now).is_empty(),
            !health::is_healthy(m, world.is_etcd_stacked()),
        )
    };
    let first = live.iter().map(|m| class(m)).max()?;
    let eligible: Vec<&Machine> = live.iter().copied().filter(|m| class(m) == first).collect();
    let in_domain = |of: &[&Machine], domain: Option<&str>| {
        let there = of
            .iter()
            .filter(|m| m.spec.failure_domain.as_deref() == domain);
        there.count()
    };
    let rank = |m: &Machine| {
        let domain = m.spec.failure_domain.as_deref();
        let is_known = domain.is_none_or(|d| domains.contains(&d));
        Rank {
            is_misplaced: !is_known,
            crowd: (in_domain(&eligible, domain), in_domain(&live, domain)),
            age: m.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0),
        }
    };
    eligible
        .iter()
        .copied()
        .max_by_key(|m| (rank(m).key(), std::cmp::Reverse(m.name_any())))
}
