//! Deployments roll their pods from one template to the next through ReplicaSets.
//!
//! Reads Deployments and the ReplicaSets of their namespace; writes ReplicaSets and the Deployment's status. A template
//! has one ReplicaSet, found by comparing templates; its name carries a hash only to be unique and stable.

mod plan;
mod revision;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

/// Rolls Deployments.
#[derive(Debug, Default)]
pub struct DeploymentController;

/// One Deployment and the ReplicaSets that are, or could be, its own.
pub struct World {
    pub(crate) deployment: Deployment,
    pub(crate) replica_sets: Vec<Arc<ReplicaSet>>,
    /// Pods that its old ReplicaSets still have, the finished ones excluded: what `Recreate` waits for.
    pub(crate) old_pods: usize,
}

impl Reconciler for DeploymentController {
    const NAME: &'static str = "deployment";
    type Object = Deployment;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, deployment: &Deployment) -> Result<World, GatherError> {
        let meta = &deployment.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let selector = deployment
            .spec
            .as_ref()
            .map(|spec| Selector::from(&spec.selector))
            .unwrap_or_default();
        let mut replica_sets = cx.list::<ReplicaSet>(Some(namespace), &selector).await?;
        let uid = meta.uid.as_deref().unwrap_or_default();
        replica_sets.retain(|set| match controller_uid(set) {
            Some(owner) => owner == uid,
            None => set.metadata.deletion_timestamp.is_none(),
        });
        let mut world = World {
            deployment: deployment.clone(),
            replica_sets,
            old_pods: 0,
        };
        if plan::is_recreate(&world) {
            let newest = plan::newest(&world).and_then(|set| set.metadata.uid.clone());
            for set in &world.replica_sets {
                let uid = set.metadata.uid.as_deref().unwrap_or_default();
                if newest.as_deref() == Some(uid) {
                    continue;
                }
                let pods = cx
                    .list::<Pod>(Some(namespace), &Selector::owner(uid))
                    .await?;
                let is_finished = |pod: &Pod| {
                    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
                    matches!(phase, Some("Succeeded" | "Failed"))
                };
                world.old_pods += pods.iter().filter(|pod| !is_finished(pod)).count();
            }
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }
}

fn controller_uid(set: &ReplicaSet) -> Option<&str> {
    let owners = set.metadata.owner_references.as_ref()?;
    owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.as_str())
}
