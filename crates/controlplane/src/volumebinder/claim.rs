//! Which volume a claim gets, or who is to make it one. Pure.

use std::convert::Infallible;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Value, json};

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, ClaimWorld, PROVISIONER};
use crate::volume::{self, NO_PROVISIONER, SELECTED_NODE};

pub(super) fn plan(world: &ClaimWorld) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.claim.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    if volume::volume_name(&world.claim).is_some() {
        named(world, &mut plan);
        return plan;
    }
    if let Some(class) = &world.default_class {
        plan.changes.push(patch_claim(
            &world.claim,
            json!({"spec": {"storageClassName": class}}),
        ));
        return plan;
    }
    match best(world) {
        Some(found) => bind(world, found, &mut plan),
        None => provision(world, &mut plan),
    }
    plan
}

/// The claim names a volume.
fn named(world: &ClaimWorld, plan: &mut Plan<Infallible>) {
    let claim = &world.claim;
    let name = volume::volume_name(claim).unwrap_or_default();
    let Some(found) = &world.volume else {
        if is_completed(claim) {
            let why = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
            plan.warn("ClaimLost", why);
        }
        return;
    };
    let reference = found.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    if reference.is_some() && !volume::is_for(found, claim) {
        if is_completed(claim) {
            let why = "Two claims are bound to the same volume, this one is bound incorrectly";
            plan.warn("ClaimMisbound", why);
        } else {
            let why = format!("volume \"{name}\" already bound to a different claim.");
            plan.warn("FailedBinding", why);
        }
        return;
    }
    if reference.is_none_or(|reference| reference.uid.is_none()) {
        plan.changes.push(claim_volume(claim, found, false));
    }
    if !is_completed(claim) {
        let annotations = json!({BIND_COMPLETED: "yes"});
        let patch = json!({"metadata": {"annotations": annotations}});
        plan.changes.push(patch_claim(claim, patch));
    }
}

/// The free volume that fits best: one that is kept for the claim, else the smallest.
fn best(world: &ClaimWorld) -> Option<&Arc<PersistentVolume>> {
    let reaches = |volume: &PersistentVolume| {
        let node = world.node.as_deref();
        node.is_none_or(|node| volume::reaches(volume, node))
    };
    let fitting = world
        .others
        .iter()
        .filter(|found| volume::satisfies(found, &world.claim) && reaches(found));
    let best = fitting.min_by_key(|found| {
        let is_free = !volume::is_for(found, &world.claim);
        (is_free, volume::size(found), found.metadata.name.clone())
    })?;
    // It could turn out that its pod cannot be where this one is.
    (!waits(world) || volume::is_for(best, &world.claim)).then_some(best)
}

/// The claim gets its volume when its pod has a node, and it has none.
fn waits(world: &ClaimWorld) -> bool {
    let mode = world
        .class
        .as_ref()
        .and_then(|c| c.volume_binding_mode.as_deref());
    let annotations = world.claim.metadata.annotations.as_ref();
    mode == Some("WaitForFirstConsumer")
        && !annotations.is_some_and(|a| a.contains_key(SELECTED_NODE))
}

fn bind(world: &ClaimWorld, found: &PersistentVolume, plan: &mut Plan<Infallible>) {
    let claim = &world.claim;
    let was_kept = volume::is_for(found, claim);
    plan.changes.push(claim_volume(claim, found, !was_kept));
    let annotations = json!({BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"});
    let spec = json!({"volumeName": found.metadata.name});
    let patch = json!({"metadata": {"annotations": annotations}, "spec": spec});
    plan.changes.push(patch_claim(claim, patch));
}

/// Nothing fits: the class's provisioner is asked, if there is one.
fn provision(world: &ClaimWorld, plan: &mut Plan<Infallible>) {
    let name = volume::class(&world.claim);
    if waits(world) {
        let why = "waiting for first consumer to be created before binding";
        plan.note("WaitForFirstConsumer", why);
        return;
    }
    let Some(class) = &world.class else {
        if name.is_empty() {
            let why = "no persistent volumes available for this claim and no storage class is set";
            plan.note("FailedBinding", why);
        } else {
            let why = format!("storageclass.storage.k8s.io \"{name}\" not found");
            plan.warn("ProvisioningFailed", why);
        }
        return;
    };
    let provisioner = class.provisioner.as_str();
    if provisioner == NO_PROVISIONER {
        let why = format!(
            "no persistent volumes available for this claim, and storage class \"{name}\" makes none"
        );
        plan.note("FailedBinding", why);
        return;
    }
    let annotations = world.claim.metadata.annotations.as_ref();
    if annotations
        .and_then(|a| a.get(PROVISIONER))
        .map(String::as_str)
        != Some(provisioner)
    {
        let old = "volume.beta.kubernetes.io/storage-provisioner";
        let annotations = json!({PROVISIONER: provisioner, old: provisioner});
        let patch = json!({"metadata": {"annotations": annotations}});
        plan.changes.push(patch_claim(&world.claim, patch));
    }
    let why = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    plan.note("ExternalProvisioning", why);
}

pub(super) fn status(world: &ClaimWorld) -> Value {
    let claim = &world.claim;
    let is_named = volume::volume_name(claim).is_some();
    let found = world.volume.as_ref();
    if is_named && is_completed(claim) && found.is_none_or(|found| !volume::is_for(found, claim)) {
        return json!({"phase": "Lost"});
    }
    match found.filter(|found| is_completed(claim) && volume::is_for(found, claim)) {
        Some(found) => {
            let spec = found.spec.as_ref();
            json!({
                "phase": "Bound",
                "accessModes": spec.and_then(|s| s.access_modes.as_ref()),
                "capacity": spec.and_then(|s| s.capacity.as_ref()),
            })
        }
        None => json!({"phase": "Pending"}),
    }
}

fn is_completed(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    annotations.is_some_and(|a| a.contains_key(BIND_COMPLETED))
}

/// Keeps the volume for the claim; if somebody else is quicker, the claim is looked at again.
fn claim_volume(
    claim: &PersistentVolumeClaim,
    found: &PersistentVolume,
    by_controller: bool,
) -> Change<Infallible> {
    let meta = &claim.metadata;
    let reference = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name,
        "uid": meta.uid, "resourceVersion": meta.resource_version,
    });
    let mut patch = json!({
        "metadata": {"uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version},
        "spec": {"claimRef": reference},
    });
    if by_controller {
        patch["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
    }
    Change::Patch {
        target: volume::reference(found),
        subresource: "",
        patch,
    }
}

fn patch_claim(claim: &PersistentVolumeClaim, mut patch: Value) -> Change<Infallible> {
    patch["metadata"]["uid"] = json!(claim.metadata.uid);
    Change::Patch {
        target: ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "PersistentVolumeClaim".into(),
            namespace: claim.metadata.namespace.clone().unwrap_or_default(),
            name: claim.metadata.name.clone().unwrap_or_default(),
        },
        subresource: "",
        patch,
    }
}
