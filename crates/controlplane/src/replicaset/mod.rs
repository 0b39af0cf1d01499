//! ReplicaSets keep a number of pods alive.
//!
//! Reads ReplicaSets and the pods of their namespace; writes pods (creates, adopts, releases, deletes) and the
//! ReplicaSet's status. A pod belongs to the ReplicaSet that its controller reference names, and to nobody else.

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

/// Keeps the pods of ReplicaSets.
#[derive(Debug, Default)]
pub struct ReplicaSetController;

/// One ReplicaSet and the pods that are, or could be, its own.
pub struct World {
    pub(crate) replica_set: ReplicaSet,
    /// All pods of the namespace that match the selector or name the ReplicaSet as their controller.
    pub(crate) pods: Vec<Arc<Pod>>,
}

impl Reconciler for ReplicaSetController {
    const NAME: &'static str = "replicaset";
    type Object = ReplicaSet;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, replica_set: &ReplicaSet) -> Result<World, GatherError> {
        let meta = &replica_set.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let selector = replica_set
            .spec
            .as_ref()
            .map(|spec| Selector::from(&spec.selector))
            .unwrap_or_default();
        let mut pods = cx.list::<Pod>(Some(namespace), &selector).await?;
        let uid = meta.uid.as_deref().unwrap_or_default();
        for owned in cx
            .list::<Pod>(Some(namespace), &Selector::owner(uid))
            .await?
        {
            if !pods
                .iter()
                .any(|pod| pod.metadata.name == owned.metadata.name)
            {
                pods.push(owned);
            }
        }
        Ok(World {
            replica_set: replica_set.clone(),
            pods,
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(
        world: &World,
        _plan: &Plan<Infallible>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, outcome, now))
    }
}
