//! ReplicaSets keep a number of pods alive.
//!
//! Reads ReplicaSets and the pods of their namespace; writes pods (creates, adopts, releases, deletes) and the
//! ReplicaSet's status. A pod belongs to the ReplicaSet that its controller reference names, and to nobody else.

pub(crate) mod plan;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Cx, GatherError, Note, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

/// Keeps the pods of ReplicaSets.
#[derive(Debug, Default)]
pub struct ReplicaSetController;

/// What keeps pods: its apiVersion and kind, as references to it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) &'static str, pub(crate) &'static str);

/// One ReplicaSet and the pods that are, or could be, its own.
pub struct World {
    /// What this is in truth: ReplicationControllers are planned for as the ReplicaSets that they are otherwise.
    pub(crate) kind: Kind,
    pub(crate) replica_set: ReplicaSet,
    /// All pods of the namespace that match the selector or name the ReplicaSet as their controller.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// The pods of its siblings, the other ReplicaSets of its owner.
    pub(crate) related: Vec<Arc<Pod>>,
}

impl Reconciler for ReplicaSetController {
    const NAME: &'static str = "replicaset";
    const REPORTER: &'static str = "replicaset-controller";
    type Object = ReplicaSet;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, replica_set: &ReplicaSet) -> Result<World, GatherError> {
        let mut world = World::read(cx, Kind("apps/v1", "ReplicaSet"), replica_set.clone()).await?;
        let meta = &replica_set.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let uid = meta.uid.as_deref().unwrap_or_default();
        let wanted = replica_set
            .spec
            .as_ref()
            .and_then(|s| s.replicas)
            .unwrap_or(1);
        let surplus = plan::active(&world)
            .len()
            .saturating_sub(usize::try_from(wanted).unwrap_or(0));
        if surplus > 0 {
            // Which go depends on where the pods of the whole Deployment are.
            let owners = meta.owner_references.iter().flatten();
            for owner in owners.filter(|owner| owner.controller == Some(true)) {
                let siblings = Selector::owner(owner.uid.as_str());
                let mut siblings = cx.list::<ReplicaSet>(Some(namespace), &siblings).await?;
                siblings.retain(|set| set.metadata.uid.as_deref() != Some(uid));
                for sibling in siblings {
                    let uid = sibling.metadata.uid.as_deref().unwrap_or_default();
                    world.related.extend(
                        cx.list::<Pod>(Some(namespace), &Selector::owner(uid))
                            .await?,
                    );
                }
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

    fn refusal(_: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
        status::refusal(plan, outcome)
    }
}

impl World {
    /// Reads the pods of `replica_set`, which is a `kind`.
    pub(crate) async fn read(
        cx: &Cx,
        kind: Kind,
        replica_set: ReplicaSet,
    ) -> Result<Self, GatherError> {
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
        Ok(Self {
            kind,
            replica_set,
            pods,
            related: vec![],
        })
    }
}
