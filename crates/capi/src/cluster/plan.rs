//! What to do about a Cluster. Pure.

use api::cluster::cluster::reasons;
use api::cluster::{Machine, MachineSet};
use api::meta::labels;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, ObjectRef, Plan};
use serde_json::json;

use super::{Act, World};
use crate::condition::named;
use crate::contract::Contract;
use crate::kubeconfig::{self, Server};
use crate::{object, pause};

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.cluster.metadata.deletion_timestamp.is_some() {
        delete(world, &mut plan);
        return plan;
    }
    for part in [&world.infrastructure, &world.control_plane]
        .into_iter()
        .flatten()
    {
        plan.changes.extend(own(world, part));
    }
    plan.changes.extend(endpoint(world));
    let is_due = |server: Server| kubeconfig::is_due(world.kubeconfig.as_ref(), &server, now);
    if world.authority.is_some() && world.server().is_some_and(is_due) {
        plan.changes.push(Change::Act(Act::WriteKubeconfig));
    }
    if world.is_newly_provisioned() {
        plan.note(
            "InfrastructureReady",
            "The infrastructure of the cluster is there",
        );
    }
    if world.is_newly_initialized() {
        plan.note(
            "ControlPlaneInitialized",
            "The control plane of the cluster has answered",
        );
    }
    plan
}

impl World {
    pub(super) fn is_paused(&self) -> bool {
        pause::is_paused(Some(&self.cluster), &self.cluster.metadata)
    }

    /// Whether the controller of topologies has not written down yet that nobody has anything against the deletion.
    fn waits_for_extensions(&self) -> bool {
        let is_ok = object::annotation(&self.cluster.metadata, labels::OK_TO_DELETE).is_some();
        self.cluster.spec.topology.is_some() && !is_ok
    }

    /// Whether the infrastructure is there: it says so, it said so once, or nobody manages it here.
    pub(super) fn is_provisioned(&self) -> bool {
        self.cluster.is_infrastructure_provisioned() || self.is_newly_provisioned()
    }

    /// Whether the control plane has answered once.
    pub(super) fn is_initialized(&self) -> bool {
        self.cluster.is_control_plane_initialized() || self.is_newly_initialized()
    }

    fn is_newly_provisioned(&self) -> bool {
        !self.cluster.is_infrastructure_provisioned()
            && match &self.infrastructure {
                Some(infrastructure) => Contract(infrastructure).is_provisioned(),
                None => {
                    self.cluster.spec.infrastructure_ref.is_none()
                        && self.cluster.spec.topology.is_none()
                }
            }
    }

    fn is_newly_initialized(&self) -> bool {
        !self.cluster.is_control_plane_initialized()
            && match &self.control_plane {
                Some(control_plane) => Contract(control_plane).is_control_plane_initialized(),
                // Nobody manages the control plane: its first machine tells.
                None => {
                    self.cluster.spec.control_plane_ref.is_none()
                        && self
                            .machines
                            .iter()
                            .any(|m| m.is_control_plane() && m.node_name().is_some())
                }
            }
    }
}

/// The Cluster owns its parts, so that they go with it at the latest.
fn own(world: &World, part: &DynamicObject) -> Option<Change<Act>> {
    let owner = object::owner_ref(&world.cluster, world.cluster.spec.topology.is_some());
    let labels = object::labels([(labels::CLUSTER_NAME, &world.cluster.name_any())]);
    object::adopt(ObjectRef::of(part), &part.metadata, &owner, &labels)
}

/// The first endpoint that a part knows becomes the Cluster's, and stays.
fn endpoint(world: &World) -> Option<Change<Act>> {
    if world.cluster.endpoint().is_some() {
        return None;
    }
    let infrastructure = world
        .infrastructure
        .as_deref()
        .map(Contract)
        .filter(|_| world.is_provisioned())
        .and_then(|i| i.endpoint());
    let control_plane = || {
        let control_plane = world.control_plane.as_deref().map(Contract);
        control_plane.filter(|_| world.is_initialized())?.endpoint()
    };
    let (host, port) = infrastructure.or_else(control_plane)?;
    let spec = json!({"controlPlaneEndpoint": {"host": host, "port": port}});
    Some(object::patch_spec(&world.cluster, &spec))
}

/// Whether a set belongs to no MachineDeployment.
pub(super) fn is_alone(set: &MachineSet) -> bool {
    object::controller_of(&set.metadata).is_none_or(|owner| owner.kind != "MachineDeployment")
}

/// Whether a machine belongs to no set and no control plane.
pub(super) fn is_unmanaged(machine: &Machine) -> bool {
    object::controller_of(&machine.metadata).is_none()
}

fn delete(world: &World, plan: &mut Plan<Act>) {
    if world.waits_for_extensions() {
        plan.wait(
            reasons::WAITING_FOR_BEFORE_DELETE_HOOK,
            "Waiting for the runtime extensions that are asked before a cluster is deleted; TopologyReconciled names them",
        );
        return;
    }
    if !workers_are_gone(world, plan) {
        return;
    }
    for (part, reason) in [
        (
            &world.control_plane,
            reasons::WAITING_FOR_CONTROL_PLANE_DELETION,
        ),
        (
            &world.infrastructure,
            reasons::WAITING_FOR_INFRASTRUCTURE_DELETION,
        ),
    ] {
        if let Some(part) = part {
            if part.metadata.deletion_timestamp.is_none() {
                plan.changes.push(object::delete_dynamic(part));
            }
            let kind = Contract(part).kind().to_owned();
            plan.wait(reason, format!("Waiting for {kind} to be deleted"));
            return;
        }
    }
    plan.is_finished = true;
    plan.note("Deleted", "The cluster is deleted");
}

/// Deletes the workers; says whether none is left.
fn workers_are_gone(world: &World, plan: &mut Plan<Act>) -> bool {
    let has_control_plane = world.cluster.spec.control_plane_ref.is_some();
    // Without a control plane object nobody else deletes the machines of the control plane.
    let is_worker = |m: &Machine| !m.is_control_plane() || !has_control_plane;
    let workers: Vec<_> = world.machines.iter().filter(|m| is_worker(m)).collect();
    plan.changes.extend(
        world
            .deployments
            .iter()
            .filter(is_live)
            .map(|d| object::delete(&**d)),
    );
    plan.changes.extend(
        world
            .pools
            .iter()
            .filter(is_live)
            .map(|p| object::delete(&**p)),
    );
    plan.changes.extend(
        world
            .sets
            .iter()
            .filter(|s| is_alone(s))
            .filter(is_live)
            .map(|s| object::delete(&**s)),
    );
    plan.changes.extend(
        workers
            .iter()
            .filter(|m| is_unmanaged(m))
            .filter(|m| !m.is_deleting())
            .map(|m| object::delete(&***m)),
    );
    let waiting = [
        (
            "MachineDeployment",
            names(world.deployments.iter().map(|d| d.name_any())),
        ),
        (
            "MachinePool",
            names(world.pools.iter().map(|p| p.name_any())),
        ),
        ("MachineSet", names(world.sets.iter().map(|s| s.name_any()))),
        ("Machine", names(workers.iter().map(|m| m.name_any()))),
    ];
    let message: Vec<_> = waiting
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| {
            format!(
                "* {}",
                named(kind, &names.iter().map(String::as_str).collect::<Vec<_>>())
            )
        })
        .collect();
    if !message.is_empty() {
        plan.wait(reasons::WAITING_FOR_WORKERS_DELETION, message.join("\n"));
    }
    message.is_empty()
}

fn names(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect()
}

fn is_live<K: kube::Resource>(object: &&std::sync::Arc<K>) -> bool {
    object.meta().deletion_timestamp.is_none()
}
