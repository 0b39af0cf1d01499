//! Which other pods a pod wants near or far: affinity and anti-affinity to pods, and topology spread constraints.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{
    Node, PodAffinityTerm, PodSpec, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use runtime::Selector;

use super::filter::{Against, matches_selector, taint_against};
use super::snapshot::{Labels, PodInfo, Snapshot};
use crate::pod;

/// Topology keys over which pods of one workload spread if they say nothing, and by how much they may differ.
const USUAL_SPREAD: [(&str, i64); 2] = [
    ("kubernetes.io/hostname", 3),
    ("topology.kubernetes.io/zone", 5),
];
/// How much an existing pod's required affinity counts as a preference for who comes.
const REQUIRED_WEIGHT: i64 = 1;

/// What one pod demands of the places of others, and others of its own.
pub(super) struct Neighbours<'a> {
    /// Required affinity: where the pods are that each term wants, by the value of its topology key.
    near: Vec<Domains<'a>>,
    /// Required anti-affinity of the pod.
    far: Vec<Domains<'a>>,
    /// Places that pods there do not want to share with this one.
    shunned: Vec<(&'a str, &'a str)>,
    spread: Vec<Spread<'a>>,
}

/// How many pods of one kind there are in each domain of a topology.
struct Domains<'a> {
    key: &'a str,
    counts: BTreeMap<&'a str, usize>,
    /// No pod of the kind is anywhere, but the pod itself is of the kind: it may be the first.
    is_first: bool,
}

struct Spread<'a> {
    domains: Domains<'a>,
    max_skew: i64,
    least: i64,
    /// 1 if the pod itself counts.
    own: i64,
}

impl<'a> Neighbours<'a> {
    /// As if the pods with the uids `without` were not there.
    pub(super) fn of(
        world: &'a Snapshot,
        pod: &'a PodInfo,
        spec: &'a PodSpec,
        without: &HashSet<&str>,
    ) -> Self {
        let domains = |term: &'a PodAffinityTerm| {
            let is_meant = |other: &PodInfo| {
                !without.contains(other.uid.as_str()) && wants(world, pod, term, other)
            };
            let mut domains = count(world, &term.topology_key, is_meant);
            domains.is_first = domains.counts.is_empty() && wants(world, pod, term, pod);
            domains
        };
        let hard = spec.topology_spread_constraints.iter().flatten();
        let hard = hard.filter(|c| c.when_unsatisfiable == "DoNotSchedule");
        let near: Vec<_> = pod.required_affinity().iter().map(domains).collect();
        Self {
            near,
            far: pod.required_anti_affinity().iter().map(domains).collect(),
            shunned: shunned(world, pod, without),
            spread: hard
                .map(|constraint| spread(world, pod, spec, constraint, without))
                .collect(),
        }
    }

    /// What is against the node, in the words of Kubernetes.
    pub(super) fn against(&self, node: &Node) -> Option<Against> {
        let value = |key: &str| label(node, key);
        for spread in &self.spread {
            let Some(domain) = value(spread.domains.key) else {
                return Some(Against::for_good(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let there = spread.domains.counts.get(domain).copied().unwrap_or(0);
            let there = i64::try_from(there).unwrap_or(i64::MAX);
            if there.saturating_add(spread.own) - spread.least > spread.max_skew {
                let why = "node(s) didn't match pod topology spread constraints";
                return Some(Against::new(why));
            }
        }
        // The first of several is near itself, wherever it is.
        let may_be_first = self.near.iter().all(|near| near.is_first);
        let is_near = |near: &Domains<'_>| {
            value(near.key).is_some_and(|v| may_be_first || near.counts.contains_key(v))
        };
        if !self.near.iter().all(is_near) {
            let why = "node(s) didn't match pod affinity rules";
            return Some(Against::for_good(why));
        }
        let is_far =
            |far: &Domains<'_>| !value(far.key).is_some_and(|v| far.counts.contains_key(v));
        if !self.far.iter().all(is_far) {
            let why = "node(s) didn't match pod anti-affinity rules";
            return Some(Against::new(why));
        }
        if self.shunned.iter().any(|(key, v)| value(key) == Some(v)) {
            let why = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Some(Against::new(why));
        }
        None
    }
}

/// What pods would like beside them: weights by the value of a node's label.
pub(super) struct Wishes<'a>(BTreeMap<(&'a str, &'a str), i64>);

impl<'a> Wishes<'a> {
    /// Wishes of the pod about those that are there, and of those about it.
    pub(super) fn of(world: &'a Snapshot, pod: &'a PodInfo) -> Self {
        let mut weights = BTreeMap::new();
        let mut add = |node: &'a Node, key: &'a str, weight: i64| {
            if let Some(domain) = label(node, key) {
                *weights.entry((key, domain)).or_default() += weight;
            }
        };
        let own: Vec<(&PodAffinityTerm, i64)> = preferences(pod).collect();
        if !own.is_empty() {
            for (node, other) in world.placed() {
                for (term, weight) in &own {
                    if wants(world, pod, term, other) {
                        add(node, &term.topology_key, *weight);
                    }
                }
            }
        }
        for (node, other) in world.social() {
            let required = other.required_affinity().iter();
            let required = required.map(|term| (term, REQUIRED_WEIGHT));
            for (term, weight) in preferences(other).chain(required) {
                if wants(world, other, term, pod) {
                    add(node, &term.topology_key, weight);
                }
            }
        }
        Self(weights)
    }

    /// What they come to on the node.
    pub(super) fn on(&self, node: &Node) -> i64 {
        let met = self.0.iter();
        met.filter(|((key, domain), _)| label(node, key) == Some(domain))
            .map(|(_, weight)| weight)
            .sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Preferred affinity, and preferred anti-affinity with negative weights.
fn preferences(pod: &PodInfo) -> impl Iterator<Item = (&PodAffinityTerm, i64)> {
    let affinity = pod.affinity();
    let near = affinity
        .and_then(|a| a.pod_affinity.as_ref())
        .and_then(|a| {
            a.preferred_during_scheduling_ignored_during_execution
                .as_deref()
        });
    let far = affinity
        .and_then(|a| a.pod_anti_affinity.as_ref())
        .and_then(|a| {
            a.preferred_during_scheduling_ignored_during_execution
                .as_deref()
        });
    let weigh = |sign: i64| move |term: &'_ WeightedPodAffinityTerm| sign * i64::from(term.weight);
    let (plus, minus) = (weigh(1), weigh(-1));
    let near = near.unwrap_or_default().iter();
    let far = far.unwrap_or_default().iter();
    near.map(move |term| (&term.pod_affinity_term, plus(term)))
        .chain(far.map(move |term| (&term.pod_affinity_term, minus(term))))
}

/// How many pods of a soft constraint, or of the pod's own kind, are in the domain of each node.
pub(super) struct Crowd<'a> {
    key: &'a str,
    counts: BTreeMap<&'a str, usize>,
    pub(super) max_skew: i64,
    /// A node outside of all domains is no place for the pod.
    pub(super) is_strict: bool,
}

impl<'a> Crowd<'a> {
    /// Of the pod's soft constraints; if it has no constraints at all, those that hold for every workload: its pods spread
    /// over nodes and zones.
    pub(super) fn of(world: &'a Snapshot, pod: &'a PodInfo, spec: &'a PodSpec) -> Vec<Self> {
        let constraints = spec.topology_spread_constraints.as_deref();
        let constraints = constraints.unwrap_or_default();
        if constraints.is_empty() {
            let Some(owner) = pod::controller(&pod.pod) else {
                return vec![];
            };
            return USUAL_SPREAD
                .iter()
                .map(|(key, max_skew)| Self {
                    key,
                    counts: siblings(world, &owner.uid, key),
                    max_skew: *max_skew,
                    is_strict: false,
                })
                .collect();
        }
        let soft = constraints
            .iter()
            .filter(|c| c.when_unsatisfiable == "ScheduleAnyway");
        soft.map(|constraint| {
            let is_meant = |other: &PodInfo| spreads(pod, constraint, other);
            Self {
                key: &constraint.topology_key,
                counts: count(world, &constraint.topology_key, is_meant).counts,
                max_skew: i64::from(constraint.max_skew),
                is_strict: true,
            }
        })
        .collect()
    }

    /// How many are where the node is; `None` if it is in no domain.
    pub(super) fn at(&self, node: &Node) -> Option<usize> {
        let domain = label(node, self.key)?;
        Some(self.counts.get(domain).copied().unwrap_or(0))
    }

    pub(super) fn domain<'n>(&self, node: &'n Node) -> Option<&'n str> {
        label(node, self.key)
    }
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The pods of one controller, by the domain that their node is in.
fn siblings<'a>(world: &'a Snapshot, owner: &str, key: &str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for (node, count) in world.family(owner) {
        if let Some(domain) = label(node, key) {
            *counts.entry(domain).or_default() += count;
        }
    }
    counts
}

/// The pods that are meant, by the domain that their node is in.
fn count<'a>(
    world: &'a Snapshot,
    key: &'a str,
    is_meant: impl Fn(&PodInfo) -> bool,
) -> Domains<'a> {
    let mut counts = BTreeMap::new();
    for (node, pod) in world.placed() {
        if let Some(domain) = label(node, key)
            && is_meant(pod)
        {
            *counts.entry(domain).or_default() += 1;
        }
    }
    Domains {
        key,
        counts,
        is_first: false,
    }
}

/// The domains of pods whose anti-affinity means this pod.
fn shunned<'a>(
    world: &'a Snapshot,
    pod: &PodInfo,
    without: &HashSet<&str>,
) -> Vec<(&'a str, &'a str)> {
    let mut shunned = vec![];
    let others = world.social();
    for (node, other) in others.filter(|(_, other)| !without.contains(other.uid.as_str())) {
        let terms = other.required_anti_affinity().iter();
        for term in terms.filter(|term| wants(world, other, term, pod)) {
            let domain = label(node, &term.topology_key);
            shunned.extend(domain.map(|domain| (term.topology_key.as_str(), domain)));
        }
    }
    shunned
}

/// Whether a term of `owner` means `pod`.
fn wants(world: &Snapshot, owner: &PodInfo, term: &PodAffinityTerm, pod: &PodInfo) -> bool {
    let namespace = pod.namespace();
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let selected = || {
        term.namespace_selector.as_ref().is_some_and(|selector| {
            let empty = Labels::new();
            let labels = world.namespaces.get(namespace).unwrap_or(&empty);
            Selector::from(selector).matches(labels, std::iter::empty())
        })
    };
    let is_own =
        listed.is_empty() && term.namespace_selector.is_none() && namespace == owner.namespace();
    let value = |pod: &'_ PodInfo, key: &String| pod.labels().and_then(|l| l.get(key)).cloned();
    let same = |key: &String| value(owner, key) == value(pod, key);
    let differs = |key: &String| {
        let own = value(owner, key);
        own.is_none() || own != value(pod, key)
    };
    (is_own || listed.iter().any(|n| n == namespace) || selected())
        && selects(term.label_selector.as_ref(), pod)
        && term.match_label_keys.iter().flatten().all(same)
        && term.mismatch_label_keys.iter().flatten().all(differs)
}

/// An absent selector selects nothing.
fn selects(selector: Option<&LabelSelector>, pod: &PodInfo) -> bool {
    let empty = Labels::new();
    let labels = pod.labels().unwrap_or(&empty);
    selector.is_some_and(|s| Selector::from(s).matches(labels, std::iter::empty()))
}

/// Whether the other pod counts for the pod's constraint.
fn spreads(pod: &PodInfo, constraint: &TopologySpreadConstraint, other: &PodInfo) -> bool {
    let value = |pod: &'_ PodInfo, key: &String| pod.labels().and_then(|l| l.get(key)).cloned();
    let mut keys = constraint.match_label_keys.iter().flatten();
    pod.namespace() == other.namespace()
        && !other.is_going()
        && selects(constraint.label_selector.as_ref(), other)
        && keys.all(|key| value(pod, key) == value(other, key))
}

fn spread<'a>(
    world: &'a Snapshot,
    pod: &PodInfo,
    spec: &PodSpec,
    constraint: &'a TopologySpreadConstraint,
    without: &HashSet<&str>,
) -> Spread<'a> {
    let is_meant =
        |other: &PodInfo| !without.contains(other.uid.as_str()) && spreads(pod, constraint, other);
    let domains = count(world, &constraint.topology_key, is_meant);
    let honors = |policy: &Option<String>, default: bool| match policy.as_deref() {
        Some("Honor") => true,
        Some("Ignore") => false,
        _ => default,
    };
    let by_affinity = honors(&constraint.node_affinity_policy, true);
    let by_taints = honors(&constraint.node_taints_policy, false);
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    // Only where the pod could be: a full zone that it may not use is no reason.
    let eligible = world.present().map(|(_, node, _)| node).filter(|node| {
        (!by_affinity || matches_selector(spec, node))
            && (!by_taints || taint_against(node, tolerations).is_none())
    });
    let sizes: BTreeMap<&str, usize> = eligible
        .filter_map(|node| label(node, &constraint.topology_key))
        .map(|domain| (domain, domains.counts.get(domain).copied().unwrap_or(0)))
        .collect();
    let is_few = constraint
        .min_domains
        .is_some_and(|min| sizes.len() < usize::try_from(min).unwrap_or(0));
    let least = if is_few {
        0
    } else {
        sizes.values().copied().min().unwrap_or(0)
    };
    Spread {
        domains,
        max_skew: i64::from(constraint.max_skew),
        least: i64::try_from(least).unwrap_or(i64::MAX),
        // Whether the pod itself counts does not depend on whether it is there.
        own: i64::from(selects(constraint.label_selector.as_ref(), pod)),
    }
}
