//! MachinePools: machines that the infrastructure keeps, as one.
//!
//! Reads the MachinePool, its bootstrap config and infrastructure object, the infrastructure's objects for single machines where it has
//! such, and the Nodes in the workload cluster. Writes the names that the infrastructure gives its machines, a Machine for each object of a
//! machine (so that a machine can be drained, checked and replaced as any other), and annotations of Nodes where there are no Machines.
//! How many machines there are and when they are replaced is the infrastructure's matter.

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use api::cluster::{Cluster, Machine, MachinePool};
use api::meta::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::Value;

use crate::contract::Contract;
use crate::link::{self, Link};
use crate::machine::{delete_node, patch_node, remote_client};
use crate::{contract, object};

/// The controller.
#[derive(Debug)]
pub struct MachinePoolController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub pool: MachinePool,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    #[cfg_attr(test, serde(default))]
    pub bootstrap: Option<Arc<DynamicObject>>,
    #[cfg_attr(test, serde(default))]
    pub infrastructure: Option<Arc<DynamicObject>>,
    /// The infrastructure's objects for single machines.
    #[cfg_attr(test, serde(default))]
    pub instances: Vec<Arc<DynamicObject>>,
    /// Whether there are such, and they could be listed.
    #[cfg_attr(test, serde(default))]
    pub is_listed: bool,
    /// What of somebody else's the pool refers to, in words.
    #[cfg_attr(test, serde(default))]
    pub foreign: Vec<String>,
    /// The pool's Machines.
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<Arc<Machine>>,
    /// Names of `instances` that Machines of somebody else have.
    #[cfg_attr(test, serde(default))]
    pub taken: BTreeSet<String>,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
    /// All Nodes of the workload cluster.
    #[cfg_attr(test, serde(default))]
    pub nodes: Vec<Arc<Node>>,
}

/// What happens in the workload cluster.
#[derive(Clone, PartialEq)]
pub enum Act {
    /// A merge patch of the Node.
    PatchNode { name: String, patch: Value },
    /// Removes the Node object.
    DeleteNode { name: String },
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PatchNode { name, patch } => write!(f, "patch Node {name} {patch}"),
            Self::DeleteNode { name } => write!(f, "delete Node {name}"),
        }
    }
}

impl World {
    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.pool.metadata)
    }

    fn is_deleting(&self) -> bool {
        self.pool.metadata.deletion_timestamp.is_some()
    }

    /// The infrastructure as the contract has it, if it is there.
    fn contract(&self) -> Option<Contract<'_>> {
        self.infrastructure.as_deref().map(Contract)
    }

    /// Whether the infrastructure keeps objects for single machines, so that there are Machines.
    fn has_machines(&self) -> bool {
        self.contract().is_some_and(|i| i.machine_kind().is_some()) || !self.machines.is_empty()
    }

    /// The Node of a machine with this name in the infrastructure.
    fn node(&self, provider_id: &str) -> Option<&Node> {
        let found = self.nodes.iter().find(|n| node_id(n) == Some(provider_id));
        found.map(|n| &**n)
    }
}

/// The infrastructure's name for the machine of a Node.
fn node_id(node: &Node) -> Option<&str> {
    node.spec.as_ref()?.provider_id.as_deref()
}

impl Reconciler for MachinePoolController {
    const NAME: &'static str = "machinepool";
    const FINALIZER: Option<&'static str> = Some("machinepool.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = MachinePool;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, pool: &MachinePool) -> Result<World, GatherError> {
        let namespace = pool.namespace().unwrap_or_default();
        let template = &pool.spec.template.spec;
        let cluster: Option<Arc<Cluster>> = cx.get(&namespace, &pool.spec.cluster_name).await?;
        let bootstrap = template.bootstrap.config_ref.as_ref();
        let infrastructure =
            contract::get(cx, &namespace, Some(&template.infrastructure_ref)).await?;
        let selector = Selector::label(labels::CLUSTER_NAME, &pool.spec.cluster_name)
            .with(labels::POOL_NAME, labels::name_value(&pool.name_any()));
        let machines: Vec<Arc<Machine>> = cx.list(Some(&namespace), &selector).await?;
        let mut foreign = vec![];
        let infrastructure = own(pool, infrastructure, &mut foreign);
        let bootstrap = own(
            pool,
            contract::get(cx, &namespace, bootstrap).await?,
            &mut foreign,
        );
        let listed = instances(cx, infrastructure.as_deref(), &namespace, &selector).await?;
        let mut world = World {
            bootstrap,
            is_listed: listed.is_some(),
            instances: listed.unwrap_or_default(),
            foreign,
            machines: machines
                .into_iter()
                .filter(|m| is_member(pool, m))
                .collect(),
            taken: BTreeSet::new(),
            link: Link::default(),
            nodes: vec![],
            pool: pool.clone(),
            infrastructure,
            cluster,
        };
        for instance in &world.instances {
            let name = instance.name_any();
            if !world.machines.iter().any(|m| m.name_any() == name) {
                let other: Option<Arc<Machine>> = cx.get(&namespace, &name).await?;
                world.taken.extend(other.map(|_| name));
            }
        }
        if let Some(remote) = link::reach(cx, world.cluster.as_deref()).await? {
            world.link = Link::from(&remote);
            if let Some(remote) = remote.cx() {
                world.nodes = remote.list(None, &Selector::all()).await?;
            }
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let namespace = world.pool.namespace().unwrap_or_default();
        let client = remote_client(cx, &namespace, &world.pool.spec.cluster_name).await?;
        match act {
            Act::PatchNode { name, patch } => {
                patch_node(&client, "apiary-machinepool", name, patch).await
            }
            Act::DeleteNode { name } => delete_node(&client, name).await,
        }
    }

    fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }
}

/// The infrastructure's objects for single machines of the pool; `None` if it keeps no such, or their kind is not served (now).
async fn instances(
    cx: &Cx,
    infrastructure: Option<&DynamicObject>,
    namespace: &str,
    selector: &Selector,
) -> Result<Option<Vec<Arc<DynamicObject>>>, GatherError> {
    let contract = infrastructure.map(Contract);
    let Some(kind) = contract.as_ref().and_then(Contract::machine_kind) else {
        return Ok(None);
    };
    let types = infrastructure.and_then(|i| i.types.as_ref());
    let group = types.and_then(|t| t.api_version.split_once('/'));
    let group = group.map_or("", |(group, _)| group);
    match cx.resolve(group, kind).await? {
        Some(resource) => {
            let found = cx.list_dynamic(&resource, Some(namespace), selector);
            found.await.map(Some)
        }
        None => Ok(None),
    }
}

/// The part that a pool refers to, unless somebody else has it.
fn own(
    pool: &MachinePool,
    part: Option<Arc<DynamicObject>>,
    foreign: &mut Vec<String>,
) -> Option<Arc<DynamicObject>> {
    let part = part?;
    match object::controller_of(&part.metadata) {
        Some(owner) if Some(&owner.uid) != pool.metadata.uid.as_ref() => {
            foreign.push(format!(
                "{} {} belongs to {} {}: each pool needs one of its own",
                Contract(&part).kind(),
                part.name_any(),
                owner.kind,
                owner.name
            ));
            None
        }
        _ => Some(part),
    }
}

/// Whether a Machine belongs to the pool, or may.
fn is_member(pool: &MachinePool, machine: &Machine) -> bool {
    object::controller_of(&machine.metadata)
        .is_none_or(|owner| Some(owner.uid.as_str()) == pool.metadata.uid.as_deref())
}
