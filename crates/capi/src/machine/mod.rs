//! Machines: tie a bootstrap config, an infrastructure object and a Node together, and take them apart in order.
//!
//! Reads the Machine, what it refers to, its owners, and the Node and pods in the workload cluster. Writes the Machine's spec
//! (provider id, bootstrap data), its ownership of the parts, labels, annotations and taints of the Node. Deletion: hooks, drain,
//! volumes, hooks, infrastructure, bootstrap, Node. The health of control plane components is shown here too, so that each Machine has one
//! writer.

mod delete;
mod detach;
mod drain;
mod node;
mod plan;
mod remote;

pub(crate) use remote::{client as remote_client, delete_node, patch_node};
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use api::cluster::{
    Cluster, Machine, MachineDeployment, MachineDrainRule, MachinePool, MachineSet,
};
use api::controlplane::KubeadmControlPlane;
use api::meta::labels;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::Value;

use crate::link::Link;
use crate::{contract, object};

/// The controller.
#[derive(Debug)]
pub struct MachineController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub machine: Machine,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    #[cfg_attr(test, serde(default))]
    pub bootstrap: Option<Arc<DynamicObject>>,
    #[cfg_attr(test, serde(default))]
    pub infrastructure: Option<Arc<DynamicObject>>,
    /// The cluster's control plane object.
    #[cfg_attr(test, serde(default))]
    pub control_plane: Option<Arc<DynamicObject>>,
    /// The owner of a control plane machine.
    #[cfg_attr(test, serde(default))]
    pub kubeadm_control_plane: Option<Arc<KubeadmControlPlane>>,
    /// The owner of a worker machine.
    #[cfg_attr(test, serde(default))]
    pub set: Option<Arc<MachineSet>>,
    /// The owner of that.
    #[cfg_attr(test, serde(default))]
    pub deployment: Option<Arc<MachineDeployment>>,
    /// The owner of a machine of a pool.
    #[cfg_attr(test, serde(default))]
    pub pool: Option<Arc<MachinePool>>,
    /// Machines of the control plane that aren't being deleted.
    #[cfg_attr(test, serde(default))]
    pub control_plane_size: usize,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
    /// Nodes with the machine's provider id, or with the name that the machine knows.
    #[cfg_attr(test, serde(default))]
    pub nodes: Vec<Arc<Node>>,
    /// Pods on the Node; read only while it is drained, and on control plane machines.
    #[cfg_attr(test, serde(default))]
    pub pods: Vec<Arc<Pod>>,
    #[cfg_attr(test, serde(default))]
    pub departure: Departure,
    /// Names of etcd's voting members; `None` if the record can't be read.
    #[cfg_attr(test, serde(default))]
    pub etcd_members: Option<Vec<String>>,
}

/// What is read only while a machine is deleted.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Departure {
    /// What users say of how pods leave.
    pub rules: Vec<Arc<MachineDrainRule>>,
    /// Namespaces of the workload cluster, if a rule asks for their labels.
    pub namespaces: Vec<Arc<Namespace>>,
    /// DaemonSets that pods of the node belong to.
    pub daemon_sets: Vec<Arc<DaemonSet>>,
    /// What is attached to nodes, and the volumes behind it if there is any for this node.
    pub attachments: Vec<Arc<VolumeAttachment>>,
    pub volumes: Vec<Arc<PersistentVolume>>,
}

/// What happens in the workload cluster.
#[derive(Clone, PartialEq)]
pub enum Act {
    /// A merge patch of the Node.
    PatchNode { name: String, patch: Value },
    /// Evicts pods, as pairs of namespace and name, with `grace` seconds to end in place of their own; `rest` is what else is waited for.
    Drain {
        pods: Vec<(String, String)>,
        grace: Option<u32>,
        rest: Box<drain::Rest>,
    },
    /// Removes the Node object.
    DeleteNode { name: String },
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PatchNode { name, patch } => write!(f, "patch Node {name} {patch}"),
            Self::Drain { pods, grace, .. } => {
                write!(f, "evict {pods:?}")?;
                grace.map_or(Ok(()), |grace| write!(f, " in {grace}s"))
            }
            Self::DeleteNode { name } => write!(f, "delete Node {name}"),
        }
    }
}

impl World {
    /// The machine's Node, if it is known and there.
    pub(crate) fn node(&self) -> Option<&Node> {
        match self.nodes.as_slice() {
            [node] => Some(node),
            _ => None,
        }
    }

    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.machine.metadata)
    }
}

impl Reconciler for MachineController {
    const NAME: &'static str = "machine";
    const FINALIZER: Option<&'static str> = Some("machine.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = Machine;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, machine: &Machine) -> Result<World, GatherError> {
        let namespace = machine.namespace().unwrap_or_default();
        let spec = &machine.spec;
        let cluster: Option<Arc<Cluster>> = cx.get(&namespace, &spec.cluster_name).await?;
        let control_plane_ref = cluster
            .as_ref()
            .and_then(|c| c.spec.control_plane_ref.as_ref());
        let peers =
            Selector::label(labels::CLUSTER_NAME, &spec.cluster_name).exists(labels::CONTROL_PLANE);
        let peers: Vec<Arc<Machine>> = cx.list(Some(&namespace), &peers).await?;
        let owner = object::controller_of(&machine.metadata);
        let owned_by = |kind| owner.filter(|o| o.kind == kind).map(|o| o.name.as_str());
        let mut world = World {
            bootstrap: contract::get(cx, &namespace, spec.bootstrap.config_ref.as_ref()).await?,
            infrastructure: contract::get(cx, &namespace, Some(&spec.infrastructure_ref)).await?,
            control_plane: contract::get(cx, &namespace, control_plane_ref).await?,
            kubeadm_control_plane: match owned_by("KubeadmControlPlane") {
                Some(name) => cx.get(&namespace, name).await?,
                None => None,
            },
            set: match owned_by("MachineSet") {
                Some(name) => cx.get(&namespace, name).await?,
                None => None,
            },
            deployment: None,
            pool: match owned_by("MachinePool") {
                Some(name) => cx.get(&namespace, name).await?,
                None => None,
            },
            control_plane_size: peers.iter().filter(|m| !m.is_deleting()).count(),
            link: Link::default(),
            nodes: vec![],
            pods: vec![],
            departure: Departure::default(),
            etcd_members: None,
            machine: machine.clone(),
            cluster,
        };
        if let Some(set) = &world.set
            && let Some(owner) = object::controller_of(&set.metadata)
        {
            world.deployment = cx.get(&namespace, &owner.name).await?;
        }
        remote::gather(cx, &mut world).await?;
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        remote::act(cx, world, act).await
    }

    fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }
}
