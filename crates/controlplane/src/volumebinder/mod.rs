//! Claims and volumes find each other.
//!
//! Reads claims with their class, the volume they name or those that are free, and the node that the scheduler chose for
//! them; volumes with their claim. Writes `claimRef` of volumes and `volumeName` of claims, and the phases of both. A claim
//! for which there is no volume gets one from its class's provisioner, which is asked by annotation.

mod claim;
#[cfg(test)]
mod tests;
mod volume;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::volume::{SELECTED_NODE, class, volume_name};

/// The two are each other's, and were once.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Nobody but the controller chose the other.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Who is to make a volume for the claim.
pub(crate) const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// Who made the volume.
pub(crate) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Binds claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimBinder;

/// Keeps the phases of volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeBinder;

/// One claim and what could be its volume.
#[derive(Debug, Default)]
pub struct ClaimWorld {
    pub(crate) claim: PersistentVolumeClaim,
    pub(crate) class: Option<Arc<StorageClass>>,
    /// The class of claims that name none, if the claim names none.
    pub(crate) default_class: Option<String>,
    /// The volume that it names.
    pub(crate) volume: Option<Arc<PersistentVolume>>,
    /// All volumes, if it names none.
    pub(crate) others: Vec<Arc<PersistentVolume>>,
    /// Where its pod will be, if the scheduler has said so.
    pub(crate) node: Option<Arc<Node>>,
}

/// One volume and the claim that it is kept for.
#[derive(Debug, Default)]
pub struct VolumeWorld {
    pub(crate) volume: PersistentVolume,
    pub(crate) claim: Option<Arc<PersistentVolumeClaim>>,
}

impl Reconciler for ClaimBinder {
    const NAME: &'static str = "persistentvolume-binder";
    const REPORTER: &'static str = "persistentvolume-controller";
    type Object = PersistentVolumeClaim;
    type World = ClaimWorld;
    type Act = Infallible;

    async fn gather(
        &self,
        cx: &Cx,
        claim: &PersistentVolumeClaim,
    ) -> Result<ClaimWorld, GatherError> {
        let mut world = ClaimWorld {
            claim: claim.clone(),
            ..ClaimWorld::default()
        };
        if let Some(name) = volume_name(claim) {
            world.volume = cx.get("", name).await?;
            return Ok(world);
        }
        let spec = claim.spec.as_ref();
        if spec.is_some_and(|spec| spec.storage_class_name.is_none()) {
            let classes = cx.list::<StorageClass>(None, &Selector::all()).await?;
            let is_default = |class: &&Arc<StorageClass>| {
                let annotations = class.metadata.annotations.as_ref();
                annotations
                    .and_then(|a| a.get(DEFAULT_CLASS))
                    .map(String::as_str)
                    == Some("true")
            };
            // The newest of several, as Kubernetes does.
            let newest = classes
                .iter()
                .filter(is_default)
                .max_by_key(|class| class.metadata.creation_timestamp.clone());
            world.default_class = newest.and_then(|class| class.metadata.name.clone());
        }
        if !class(claim).is_empty() {
            world.class = cx.get("", class(claim)).await?;
        }
        let annotations = claim.metadata.annotations.as_ref();
        if let Some(node) = annotations.and_then(|a| a.get(SELECTED_NODE)) {
            world.node = cx.get("", node).await?;
        }
        world.others = cx.list(None, &Selector::all()).await?;
        Ok(world)
    }

    fn plan(world: &ClaimWorld, _now: Timestamp) -> Plan<Infallible> {
        claim::plan(world)
    }

    fn status(
        world: &ClaimWorld,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(claim::status(world))
    }
}

impl Reconciler for VolumeBinder {
    const NAME: &'static str = "persistentvolume-phases";
    const REPORTER: &'static str = "persistentvolume-controller";
    type Object = PersistentVolume;
    type World = VolumeWorld;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, volume: &PersistentVolume) -> Result<VolumeWorld, GatherError> {
        let mut world = VolumeWorld {
            volume: volume.clone(),
            claim: None,
        };
        let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        if let Some(reference) = reference {
            let namespace = reference.namespace.as_deref().unwrap_or_default();
            let name = reference.name.as_deref().unwrap_or_default();
            world.claim = cx.get(namespace, name).await?;
        }
        Ok(world)
    }

    fn plan(world: &VolumeWorld, _now: Timestamp) -> Plan<Infallible> {
        volume::plan(world)
    }

    fn status(
        world: &VolumeWorld,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value> {
        Some(volume::status(world, now))
    }
}
