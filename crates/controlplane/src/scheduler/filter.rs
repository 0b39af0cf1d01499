//! Where a pod fits: each filter says in the words of Kubernetes what is against a node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};

use super::neighbours::Neighbours;
use super::snapshot::{NodeInfo, PodInfo};
use super::volumes::Volumes;

/// What is against a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Against {
    pub(super) reasons: Vec<String>,
    /// Also without any pod on the node, it would not do.
    pub(super) is_final: bool,
}

impl Against {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reasons: vec![reason.into()],
            is_final: false,
        }
    }

    pub(super) fn for_good(reason: impl Into<String>) -> Self {
        Self {
            is_final: true,
            ..Self::new(reason)
        }
    }
}

/// What the filters look at beside the node.
pub(super) struct Wanted<'a> {
    pub(super) pod: &'a PodInfo,
    pub(super) spec: &'a PodSpec,
    pub(super) neighbours: &'a Neighbours<'a>,
    pub(super) volumes: &'a Volumes,
}

/// What is against the node: as Kubernetes does, the first filter that fails speaks.
pub(super) fn against(wanted: &Wanted<'_>, node: &Node, info: &NodeInfo) -> Option<Against> {
    let spec = wanted.spec;
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if let Some(why) = taint_against(node, tolerations) {
        return Some(Against::for_good(why));
    }
    if !matches_selector(spec, node) {
        let why = "node(s) didn't match Pod's node affinity/selector";
        return Some(Against::for_good(why));
    }
    let there = info.pods.values().chain(rivals(wanted.pod, info));
    let mut taken = there.flat_map(|pod| &pod.ports);
    if taken.any(|port| wanted.pod.ports.iter().any(|own| own.clashes(port))) {
        let why = "node(s) didn't have free ports for the requested pod ports";
        return Some(Against::new(why));
    }
    room_against(wanted.pod, info)
        .or_else(|| wanted.volumes.against(node))
        .or_else(|| wanted.neighbours.against(node))
}

/// Pods that are to come to the node, and come before this one.
fn rivals<'a>(
    pod: &PodInfo,
    info: &'a NodeInfo,
) -> impl Iterator<Item = &'a std::sync::Arc<PodInfo>> {
    let (uid, priority) = (pod.uid.clone(), pod.priority);
    let nominated = info.nominated.values();
    nominated.filter(move |other| other.uid != uid && other.priority >= priority)
}

fn room_against(pod: &PodInfo, info: &NodeInfo) -> Option<Against> {
    let mut against = Against::default();
    let coming: Vec<&PodInfo> = rivals(pod, info).map(|pod| &**pod).collect();
    for (resource, amount) in pod.requests.iter() {
        let all = info.allocatable.get(resource);
        let expected: i128 = coming.iter().map(|pod| pod.requests.get(resource)).sum();
        if amount <= all - info.used.get(resource) - expected {
            continue;
        }
        if resource == "pods" {
            against.reasons.push("Too many pods".to_owned());
        } else {
            against.reasons.push(format!("Insufficient {resource}"));
            against.is_final |= amount > all;
        }
    }
    (!against.reasons.is_empty()).then_some(against)
}

/// The nodes that the pod can only be on, by name, if it says so.
pub(super) fn names(spec: &PodSpec) -> Option<Vec<&str>> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let mut names = vec![];
    for term in &required.node_selector_terms {
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let named = fields
            .iter()
            .find(|field| field.key == "metadata.name" && field.operator == "In")?;
        names.extend(named.values.iter().flatten().map(String::as_str));
    }
    Some(names)
}

/// Taints with the effect PreferNoSchedule that the pod does not tolerate.
pub(super) fn soft_taints(node: &Node, tolerations: &[Toleration]) -> i64 {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref());
    let soft = taints
        .unwrap_or_default()
        .iter()
        .filter(|t| t.effect == "PreferNoSchedule");
    soft.filter(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
        .map(|_| 1)
        .sum()
}

/// The first taint that keeps the pod off the node, in words.
pub(crate) fn taint_against(node: &Node, tolerations: &[Toleration]) -> Option<String> {
    let spec = node.spec.as_ref();
    let unschedulable = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    let is_cordoned = spec.and_then(|s| s.unschedulable) == Some(true);
    if is_cordoned && !tolerations.iter().any(|t| tolerates(t, &unschedulable)) {
        return Some("node(s) were unschedulable".into());
    }
    let taints = spec.and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let mut hard = taints
        .iter()
        .filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
    hard.any(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
        .then(|| "node(s) had untolerated taint(s)".into())
}

/// Whether the toleration lets a pod onto a node with this taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let is_exists = toleration.operator.as_deref() == Some("Exists");
    (effect.is_empty() || effect == taint.effect)
        && ((key.is_empty() && is_exists) || key == taint.key)
        && (is_exists
            || toleration.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default())
}

/// Whether node selector and required node affinity want the node.
pub(crate) fn matches_selector(spec: &PodSpec, node: &Node) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    selected
        && required.is_none_or(|r| {
            r.node_selector_terms
                .iter()
                .any(|term| matches_term(term, labels, node))
        })
}

pub(crate) fn matches_term(
    term: &NodeSelectorTerm,
    labels: &BTreeMap<String, String>,
    node: &Node,
) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.metadata.name.as_ref();
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|r| holds(r, labels.get(&r.key)))
        && fields
            .iter()
            .all(|r| r.key == "metadata.name" && holds(r, name))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: Option<&String>| text.and_then(|t| t.parse::<i64>().ok());
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value)
            .zip(number(values.first()))
            .is_some_and(|(is, than)| is > than),
        "Lt" => number(value)
            .zip(number(values.first()))
            .is_some_and(|(is, than)| is < than),
        _ => false,
    }
}
