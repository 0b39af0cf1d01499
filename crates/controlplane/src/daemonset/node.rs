//! Which nodes are to have a pod of a DaemonSet, and which node a pod is for. Pure.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Toleration};

use crate::scheduler::filter::{matches_selector, taint_against, tolerates};

/// Taints that pods of DaemonSets bear: they are to run on nodes in trouble as well.
const BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The same for pods in the network of their node.
const BORNE_IN_HOST_NETWORK: (&str, &str) =
    ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Whether a node is eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is to have a pod.
    Runs,
    /// It keeps the pod that it has.
    Stays,
    /// It is to have none.
    No,
}

/// The tolerations that the template's pods have.
pub(super) fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut all = spec.tolerations.clone().unwrap_or_default();
    let in_host_network = spec.host_network == Some(true);
    let borne = BORNE.into_iter();
    for (key, effect) in borne.chain(in_host_network.then_some(BORNE_IN_HOST_NETWORK)) {
        let added = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        };
        let is_same = |toleration: &&mut Toleration| {
            let value = toleration.value.as_deref().unwrap_or_default();
            toleration.key == added.key
                && toleration.operator == added.operator
                && toleration.effect == added.effect
                && value.is_empty()
        };
        match all.iter_mut().find(is_same) {
            Some(same) => *same = added,
            None => all.push(added),
        }
    }
    all
}

/// Whether the node is eligible for pods with this spec and these tolerations.
pub(super) fn fit(spec: &PodSpec, tolerations: &[Toleration], node: &Node) -> Fit {
    let wanted = spec.node_name.as_deref().unwrap_or_default();
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if !wanted.is_empty() && wanted != name || !matches_selector(spec, node) {
        return Fit::No;
    }
    if taint_against(node, tolerations).is_none() {
        return Fit::Runs;
    }
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref());
    let mut evicting = taints
        .unwrap_or_default()
        .iter()
        .filter(|taint| taint.effect == "NoExecute");
    if evicting.all(|taint| tolerations.iter().any(|t| tolerates(t, taint))) {
        Fit::Stays
    } else {
        Fit::No
    }
}

/// The node that a pod is on, or that its affinity names.
pub(super) fn of(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if let Some(name) = spec.node_name.as_ref().filter(|name| !name.is_empty()) {
        return Some(name.clone());
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let terms = required.node_selector_terms.iter();
    let mut fields = terms.flat_map(|term| term.match_fields.iter().flatten());
    let field = fields.find(|field| field.key == "metadata.name" && field.operator == "In")?;
    match field.values.as_deref() {
        Some([name]) => Some(name.clone()),
        _ => None,
    }
}
