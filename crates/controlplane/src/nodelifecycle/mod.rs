//! Nodes are watched over: a node whose kubelet falls silent counts as not ready, and taints say what is wrong with a node.
//!
//! Reads Nodes, their Leases, and the pods of silent nodes; writes the taints `node.kubernetes.io/…` that follow from
//! conditions and cordons, the conditions of silent nodes, and that their pods are not ready. Pods go from such nodes because of
//! the taints ([`crate::tainteviction`]).

mod plan;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::ApiResource;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";

/// Watches over nodes.
#[derive(Debug, Default)]
pub struct NodeLifecycleController;

/// One node and its sign of life.
pub struct World {
    pub(crate) node: Node,
    pub(crate) lease: Option<Arc<Lease>>,
    /// The pods on it, if it is silent.
    pub(crate) pods: Vec<Arc<Pod>>,
}

impl Reconciler for NodeLifecycleController {
    const NAME: &'static str = "nodelifecycle";
    const REPORTER: &'static str = "node-controller";
    type Object = Node;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, node: &Node) -> Result<World, GatherError> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        // Renewals are many: while the node lives, its lease is looked at when it may have run out, and wakes nobody.
        let leases = ApiResource::erase::<Lease>(&());
        let lease = cx.cluster().entry(&leases, LEASES, name).await?;
        let mut world = World {
            node: node.clone(),
            lease: lease.and_then(|lease| lease.read().ok()),
            pods: vec![],
        };
        if plan::is_silent(&world, cx.now()) {
            world.lease = cx.get::<Lease>(LEASES, name).await?;
            // Its pods change because of this pass, or not at all: they need not wake it, and if many nodes are silent, each
            // change of a pod would wake them all.
            let pods = ApiResource::erase::<Pod>(&());
            let pods = cx.cluster().entries(&pods, None, &Selector::all()).await?;
            let pods = pods.iter().filter_map(|pod| pod.read::<Pod>().ok());
            let is_here = |pod: &Arc<Pod>| {
                let spec = pod.spec.as_ref();
                spec.and_then(|s| s.node_name.as_deref()) == Some(name)
            };
            world.pods = pods.filter(is_here).collect();
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, now: Timestamp) -> Option<Value> {
        plan::status(world, now)
    }
}
