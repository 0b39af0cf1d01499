//! Which volumes must leave the node of a Machine before it goes: a disk that is still attached when its machine disappears is not to be had
//! elsewhere for minutes. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, Pod};
use kube::ResourceExt;

use super::World;
use super::drain::{self, Treatment};

/// How volumes of CSI drivers are called in a Node's status: `kubernetes.io/csi/<driver>^<handle>`.
const CSI: &str = "kubernetes.io/csi/";

/// The volumes that are still attached to the node and don't belong to pods that stay there, by names for people.
pub(super) fn attached(world: &World, node: &Node, now: Timestamp) -> Vec<String> {
    let kept = kept(world, now);
    let by_csi_name = |name: &str| {
        let (driver, handle) = name.strip_prefix(CSI)?.split_once('^')?;
        let mut volumes = world.departure.volumes.iter();
        volumes.find(|volume| {
            let csi = volume.spec.as_ref().and_then(|s| s.csi.as_ref());
            csi.is_some_and(|csi| csi.driver == driver && csi.volume_handle == handle)
        })
    };
    let status = node.status.iter();
    let by_node = status
        .flat_map(|s| s.volumes_attached.iter().flatten())
        .map(|volume| match by_csi_name(&volume.name) {
            Some(volume) => volume.name_any(),
            None => volume.name.clone(),
        });
    let by_attachment = world.departure.attachments.iter().filter_map(|attachment| {
        let is_attached = attachment.status.as_ref().is_some_and(|s| s.attached);
        (is_attached && attachment.spec.node_name == node.name_any()).then(|| {
            let volume = attachment.spec.source.persistent_volume_name.clone();
            // A volume without a PersistentVolume is written in the pod itself.
            volume.unwrap_or_else(|| attachment.name_any())
        })
    });
    let all: BTreeSet<_> = by_node.chain(by_attachment).collect();
    all.into_iter()
        .filter(|name| !kept.contains(name))
        .collect()
}

/// Names of the PersistentVolumes of pods that stay on the node.
fn kept(world: &World, now: Timestamp) -> BTreeSet<String> {
    let stays =
        |pod: &&std::sync::Arc<Pod>| drain::treatment(world, pod, true, now).0 == Treatment::Skip;
    let claims: BTreeSet<_> = world
        .pods
        .iter()
        .filter(stays)
        .flat_map(|p| claims_of(p))
        .collect();
    let is_claimed = |volume: &&std::sync::Arc<PersistentVolume>| {
        let claim = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        claim.is_some_and(|claim| {
            let of = |name: &Option<String>| name.clone().unwrap_or_default();
            claims.contains(&(of(&claim.namespace), of(&claim.name)))
        })
    };
    let volumes = world.departure.volumes.iter();
    volumes
        .filter(is_claimed)
        .map(|volume| volume.name_any())
        .collect()
}

/// Namespaces and names of the claims that a pod uses.
fn claims_of(pod: &Pod) -> Vec<(String, String)> {
    let namespace = pod.namespace().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let names = volumes.filter_map(|volume| match &volume.persistent_volume_claim {
        Some(claim) => Some(claim.claim_name.clone()),
        // The claim of an ephemeral volume is called like the pod and the volume.
        None => volume
            .ephemeral
            .as_ref()
            .map(|_| format!("{}-{}", pod.name_any(), volume.name)),
    });
    names.map(|name| (namespace.clone(), name)).collect()
}
