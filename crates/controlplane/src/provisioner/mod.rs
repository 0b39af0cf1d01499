//! Volumes for pods on simulated nodes: simulated too, and they say so. They have a size and nothing in them.
//!
//! Reads claims of classes whose provisioner is [`NAME`], their volumes, and nodes; writes PersistentVolumes for the claims,
//! takes away those that were left, lets them grow, and gives a cluster of simulated nodes that has no StorageClass the class
//! `standard`.

mod plan;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::kubelet::is_simulated;
use crate::volume::{class, volume_name};

/// The provisioner, as classes name it.
pub const NAME: &str = "simulated.apiary.io/volumes";

/// Makes volumes for claims, and lets them grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provisioner;

/// Takes away the volumes whose claims have gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remover;

/// Gives a cluster of simulated nodes a StorageClass, if it has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultClass;

/// One claim, its class if that is one of ours, and its volume.
#[derive(Debug, Default)]
pub struct World {
    pub(crate) claim: PersistentVolumeClaim,
    pub(crate) class: Option<Arc<StorageClass>>,
    pub(crate) volume: Option<Arc<PersistentVolume>>,
}

impl Reconciler for Provisioner {
    const NAME: &'static str = "simulated-provisioner";
    const REPORTER: &'static str = NAME;
    type Object = PersistentVolumeClaim;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, claim: &PersistentVolumeClaim) -> Result<World, GatherError> {
        let mut world = World {
            claim: claim.clone(),
            ..World::default()
        };
        if !class(claim).is_empty() {
            let class = cx.get::<StorageClass>("", class(claim)).await?;
            world.class = class.filter(|class| class.provisioner == NAME);
        }
        if world.class.is_some() {
            let made = plan::volume_of(claim);
            world.volume = cx.get("", volume_name(claim).unwrap_or(&made)).await?;
        }
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

impl Reconciler for Remover {
    const NAME: &'static str = "simulated-remover";
    const REPORTER: &'static str = NAME;
    type Object = PersistentVolume;
    type World = PersistentVolume;
    type Act = Infallible;

    async fn gather(
        &self,
        _: &Cx,
        volume: &PersistentVolume,
    ) -> Result<PersistentVolume, GatherError> {
        Ok(volume.clone())
    }

    fn plan(volume: &PersistentVolume, _now: Timestamp) -> Plan<Infallible> {
        plan::remove(volume)
    }

    fn status(
        _: &PersistentVolume,
        _: &Plan<Infallible>,
        _: &Outcome,
        _: Timestamp,
    ) -> Option<Value> {
        None
    }
}

impl Reconciler for DefaultClass {
    const NAME: &'static str = "simulated-storageclass";
    const REPORTER: &'static str = NAME;
    type Object = Node;
    /// The cluster is in need of a class.
    type World = bool;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, node: &Node) -> Result<bool, GatherError> {
        if !is_simulated(node) {
            return Ok(false);
        }
        let classes = cx.list::<StorageClass>(None, &Selector::all()).await?;
        Ok(classes.is_empty())
    }

    fn plan(is_in_need: &bool, _now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        plan.changes.extend(is_in_need.then(plan::class));
        plan
    }

    fn status(_: &bool, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}
