//! Nodes are watched over: a node whose kubelet falls silent counts as not ready, and taints keep pods off nodes that are
//! not ready.
//!
//! Reads Nodes and their Leases; writes the taints `node.kubernetes.io/not-ready` and `…/unreachable`, and the `Ready`
//! condition of silent nodes. Not here: moving pods away from dead nodes.

mod plan;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

/// Watches over nodes.
#[derive(Debug, Default)]
pub struct NodeLifecycleController;

/// One node and its sign of life.
pub struct World {
    pub(crate) node: Node,
    pub(crate) lease: Option<Arc<Lease>>,
}

impl Reconciler for NodeLifecycleController {
    const NAME: &'static str = "nodelifecycle";
    const REPORTER: &'static str = "node-controller";
    type Object = Node;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, node: &Node) -> Result<World, GatherError> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let lease = cx.get::<Lease>("kube-node-lease", name).await?;
        Ok(World {
            node: node.clone(),
            lease,
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, now: Timestamp) -> Option<Value> {
        plan::status(world, now)
    }
}
