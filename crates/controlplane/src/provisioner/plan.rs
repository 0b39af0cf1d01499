//! Which volumes there are to be. Pure.

use std::convert::Infallible;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, Plan};
use serde_json::json;

use super::{NAME, World};
use crate::kubelet::SIMULATED;
use crate::volume::{self, SELECTED_NODE};
use crate::volumebinder::{PROVISIONED_BY, PROVISIONER};

/// The name of the volume that is made for a claim.
pub(super) fn volume_of(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default())
}

pub(super) fn plan(world: &World) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let claim = &world.claim;
    let Some(class) = &world.class else {
        return plan;
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    match (&world.volume, volume::volume_name(claim)) {
        (None, None) if is_asked(claim, class) => make(world, class, &mut plan),
        (Some(found), Some(_)) => grow(world, found, class, &mut plan),
        (Some(_) | None, None) | (None, Some(_)) => {}
    }
    plan
}

/// Whether it is our turn: the binder says so, and where, if that matters.
fn is_asked(claim: &PersistentVolumeClaim, class: &StorageClass) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    let has = |key: &str| annotations.and_then(|a| a.get(key));
    let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    has(PROVISIONER).map(String::as_str) == Some(NAME) && (!waits || has(SELECTED_NODE).is_some())
}

fn make(world: &World, class: &StorageClass, plan: &mut Plan<Infallible>) {
    let claim = &world.claim;
    let (meta, spec) = (&claim.metadata, claim.spec.as_ref());
    let name = volume_of(claim);
    let resource = ApiResource::erase::<PersistentVolume>(&());
    let mut volume = DynamicObject::new(&name, &resource);
    volume.metadata.labels = Some([(SIMULATED.to_owned(), "true".to_owned())].into());
    volume.metadata.annotations = Some([(PROVISIONED_BY.to_owned(), NAME.to_owned())].into());
    let requests = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref());
    volume.data = json!({"spec": {
        "capacity": {"storage": requests.and_then(|r| r.get("storage"))},
        "accessModes": spec.and_then(|s| s.access_modes.as_ref()),
        "volumeMode": spec.and_then(|s| s.volume_mode.as_ref()),
        "volumeAttributesClassName": spec.and_then(|s| s.volume_attributes_class_name.as_ref()),
        "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
        "storageClassName": class.metadata.name,
        "mountOptions": class.mount_options,
        "csi": {"driver": NAME, "volumeHandle": name},
        "claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
        },
    }});
    let message = format!("Successfully provisioned volume {name} (simulated)");
    plan.change(
        Change::Create(Box::new(volume)),
        "ProvisioningSucceeded",
        message,
    );
}

/// A claim may ask for more than its volume has.
fn grow(
    world: &World,
    found: &PersistentVolume,
    class: &StorageClass,
    plan: &mut Plan<Infallible>,
) {
    let is_ours = annotation(found) == Some(NAME) && volume::is_for(found, &world.claim);
    if !is_ours
        || class.allow_volume_expansion != Some(true)
        || volume::wanted_size(&world.claim) <= volume::size(found)
    {
        return;
    }
    let spec = world.claim.spec.as_ref();
    let requests = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref());
    let storage = requests.and_then(|r| r.get("storage"));
    let change = Change::Patch {
        target: volume::reference(found),
        subresource: "",
        patch: json!({"metadata": {"uid": found.metadata.uid}, "spec": {"capacity": {"storage": storage}}}),
    };
    plan.change(
        change,
        "FileSystemResizeSuccessful",
        "Volume resize succeeded (simulated)",
    );
}

/// A volume that was left, and is not to be kept, goes.
pub(super) fn remove(volume: &PersistentVolume) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    let spec = volume.spec.as_ref();
    let policy = spec.and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    let is_going = volume.metadata.deletion_timestamp.is_some();
    if annotation(volume) == Some(NAME)
        && phase == Some("Released")
        && policy == Some("Delete")
        && !is_going
    {
        plan.changes.push(Change::Delete {
            target: volume::reference(volume),
            uid: volume.metadata.uid.clone(),
        });
    }
    plan
}

fn annotation(volume: &PersistentVolume) -> Option<&str> {
    let annotations = volume.metadata.annotations.as_ref()?;
    annotations.get(PROVISIONED_BY).map(String::as_str)
}

/// The class of clusters that have none.
pub(super) fn class() -> Change<Infallible> {
    let resource = ApiResource::erase::<StorageClass>(&());
    let mut class = DynamicObject::new("standard", &resource);
    class.metadata.labels = Some([(SIMULATED.to_owned(), "true".to_owned())].into());
    let default = "storageclass.kubernetes.io/is-default-class";
    class.metadata.annotations = Some([(default.to_owned(), "true".to_owned())].into());
    class.data = json!({
        "provisioner": NAME, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    });
    Change::Create(Box::new(class))
}
