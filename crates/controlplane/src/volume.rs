//! Facts about volumes and claims that several controllers ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, PersistentVolume, PersistentVolumeClaim, Pod, TopologySelectorTerm, Volume,
};
use runtime::{ObjectRef, Selector};

use crate::amounts::milli;
use crate::scheduler::filter::matches_term;

/// Provisioners that make nothing: volumes of such a class are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// On a claim: the node for which a volume is to be made or chosen.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The claims that a pod's volumes name, in its order; those that are made for the pod alone have a name of their own.
#[must_use]
pub fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| claim_name(pod, volume))
        .collect()
}

fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(source.claim_name.clone());
    }
    volume.ephemeral.as_ref()?;
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    Some(format!("{pod}-{}", volume.name))
}

/// Names the volume.
#[must_use]
pub fn reference(volume: &PersistentVolume) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "PersistentVolume".into(),
        namespace: String::new(),
        name: volume.metadata.name.clone().unwrap_or_default(),
    }
}

/// The class of a claim; none is the empty one.
#[must_use]
pub fn class(claim: &PersistentVolumeClaim) -> &str {
    let class = claim
        .spec
        .as_ref()
        .and_then(|s| s.storage_class_name.as_deref());
    class.unwrap_or_default()
}

/// Claim and volume are each other's.
#[must_use]
pub fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
    phase == Some("Bound") && volume_name(claim).is_some()
}

/// The volume that the claim names.
#[must_use]
pub fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    let name = claim.spec.as_ref()?.volume_name.as_deref()?;
    (!name.is_empty()).then_some(name)
}

/// Whether the volume is kept for this claim.
#[must_use]
pub fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && (reference.uid.is_none() || reference.uid == claim.metadata.uid)
    })
}

/// Whether the volume, which nobody has, is what the claim asks for, wherever it may be.
#[must_use]
pub fn satisfies(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(has), Some(wants)) = (&volume.spec, &claim.spec) else {
        return false;
    };
    let is_free = has.claim_ref.is_none() || is_for(volume, claim);
    if !is_free || volume.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let modes = has.access_modes.as_deref().unwrap_or_default();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let selected = wants.selector.as_ref().is_none_or(|selector| {
        let empty = BTreeMap::new();
        let labels = volume.metadata.labels.as_ref().unwrap_or(&empty);
        Selector::from(selector).matches(labels, std::iter::empty())
    });
    has.storage_class_name.as_deref().unwrap_or_default() == class(claim)
        && mode(&has.volume_mode) == mode(&wants.volume_mode)
        && wants
            .access_modes
            .iter()
            .flatten()
            .all(|m| modes.contains(m))
        && selected
        && has.volume_attributes_class_name == wants.volume_attributes_class_name
        && size(volume) >= wanted_size(claim)
}

/// How large the volume is, in thousandths of a byte.
#[must_use]
pub fn size(volume: &PersistentVolume) -> i128 {
    let capacity = volume.spec.as_ref().and_then(|s| s.capacity.as_ref());
    let storage = capacity.and_then(|c| c.get("storage"));
    storage.and_then(|q| milli(&q.0)).unwrap_or(0)
}

/// How large a volume the claim asks for, in thousandths of a byte.
#[must_use]
pub fn wanted_size(claim: &PersistentVolumeClaim) -> i128 {
    let resources = claim.spec.as_ref().and_then(|s| s.resources.as_ref());
    let requests = resources.and_then(|r| r.requests.as_ref());
    let storage = requests.and_then(|r| r.get("storage"));
    storage.and_then(|q| milli(&q.0)).unwrap_or(0)
}

/// Whether the volume can be used on the node.
#[must_use]
pub fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume.spec.as_ref().and_then(|s| s.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required.as_ref());
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    required.is_none_or(|required| {
        let mut terms = required.node_selector_terms.iter();
        terms.any(|term| matches_term(term, labels, node))
    })
}

/// Whether a class may make volumes for the node.
#[must_use]
pub fn allows(topologies: &[TopologySelectorTerm], node: &Node) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let holds = |term: &TopologySelectorTerm| {
        let mut expressions = term.match_label_expressions.iter().flatten();
        expressions.all(|e| labels.get(&e.key).is_some_and(|v| e.values.contains(v)))
    };
    topologies.is_empty() || topologies.iter().any(holds)
}
