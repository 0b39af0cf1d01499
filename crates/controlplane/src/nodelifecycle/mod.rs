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
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

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
        let mut world = World {
            node: node.clone(),
            lease: cx.get::<Lease>("kube-node-lease", name).await?,
            pods: vec![],
        };
        if plan::is_silent(&world, cx.now()) {
            world.pods = cx.list::<Pod>(None, &Selector::all()).await?;
            let on = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.clone());
            world.pods.retain(|pod| on(pod).as_deref() == Some(name));
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
