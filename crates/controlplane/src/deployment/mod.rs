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
    /// ReplicaSets that are its own but no longer match its selector.
    pub(crate) strays: Vec<Arc<ReplicaSet>>,
    /// Pods that its old ReplicaSets still have, the finished ones excluded: what `Recreate` waits for.
    pub(crate) old_pods: usize,
    /// The name for the present template's ReplicaSet is somebody else's.
    pub(crate) is_taken: bool,
}

impl Reconciler for DeploymentController {
    const NAME: &'static str = "deployment";
    const REPORTER: &'static str = "deployment-controller";
    type Object = Deployment;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, deployment: &Deployment) -> Result<World, GatherError> {
        let meta = &deployment.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let uid = meta.uid.as_deref().unwrap_or_default();
        let spec = deployment.spec.as_ref();
        let selector = spec
            .map(|spec| Selector::from(&spec.selector))
            .unwrap_or_default();
        let mut replica_sets = cx.list::<ReplicaSet>(Some(namespace), &selector).await?;
        let mut strays = cx
            .list::<ReplicaSet>(Some(namespace), &Selector::owner(uid))
            .await?;
        strays.retain(|set| {
            let is_ours =
                controller_uid(set) == Some(uid) && set.metadata.deletion_timestamp.is_none();
            is_ours
                && !replica_sets
                    .iter()
                    .any(|known| known.metadata.uid == set.metadata.uid)
        });
        replica_sets.retain(|set| match controller_uid(set) {
            Some(owner) => owner == uid,
            None => set.metadata.deletion_timestamp.is_none(),
        });
        let mut world = World {
            deployment: deployment.clone(),
            replica_sets,
            strays,
            old_pods: 0,
            is_taken: false,
        };
        if plan::newest(&world).is_none() {
            let name = plan::name_of_new(deployment);
            world.is_taken = cx.get::<ReplicaSet>(namespace, &name).await?.is_some();
        }
        if plan::is_recreate(&world) {
            let mut running = 0;
            for set in plan::old(&world) {
                let uid = set.metadata.uid.as_deref().unwrap_or_default();
                let pods = cx
                    .list::<Pod>(Some(namespace), &Selector::owner(uid))
                    .await?;
                running += pods.iter().filter(|pod| !crate::pod::is_over(pod)).count();
            }
            world.old_pods = running;
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
