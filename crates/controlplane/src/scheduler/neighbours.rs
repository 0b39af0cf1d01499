//! Which other pods a pod wants near or far: affinity and anti-affinity to pods, and topology spread constraints.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm, PodSpec, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use runtime::Selector;

use super::World;
use super::filter::matches_selector;

type Labels = BTreeMap<String, String>;

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
    pub(super) fn of(world: &'a World, spec: &'a PodSpec) -> Self {
        let affinity = spec.affinity.as_ref();
        let near = affinity.and_then(|a| a.pod_affinity.as_ref());
        let near = near.and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
        let far = required_anti_affinity(spec);
        let domains = |term: &'a PodAffinityTerm| {
            let mut domains = count(world, &term.topology_key, |pod| {
                wants(world, &world.pod, term, pod)
            });
            domains.is_first =
                domains.counts.is_empty() && wants(world, &world.pod, term, &world.pod);
            domains
        };
        let hard = spec.topology_spread_constraints.iter().flatten();
        let hard = hard.filter(|c| c.when_unsatisfiable == "DoNotSchedule");
        Self {
            near: near.into_iter().flatten().map(domains).collect(),
            far: far.iter().map(domains).collect(),
            shunned: shunned(world),
            spread: hard
                .map(|constraint| spread(world, spec, constraint))
                .collect(),
        }
    }

    /// What is against the node, in the words of Kubernetes.
    pub(super) fn against(&self, node: &Node) -> Option<&'static str> {
        let value = |key: &str| label(node, key);
        for spread in &self.spread {
            let Some(domain) = value(spread.domains.key) else {
                return Some(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            let there = spread.domains.counts.get(domain).copied().unwrap_or(0);
            let there = i64::try_from(there).unwrap_or(i64::MAX);
            if there.saturating_add(spread.own) - spread.least > spread.max_skew {
                return Some("node(s) didn't match pod topology spread constraints");
            }
        }
        let is_near = |near: &Domains<'_>| {
            value(near.key).is_some_and(|v| near.is_first || near.counts.contains_key(v))
        };
        if !self.near.iter().all(is_near) {
            return Some("node(s) didn't match pod affinity rules");
        }
        let is_far =
            |far: &Domains<'_>| !value(far.key).is_some_and(|v| far.counts.contains_key(v));
        if !self.far.iter().all(is_far) {
            return Some("node(s) didn't match pod anti-affinity rules");
        }
        if self.shunned.iter().any(|(key, v)| value(key) == Some(v)) {
            return Some("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        None
    }
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn labels(pod: &Pod) -> Labels {
    pod.metadata.labels.clone().unwrap_or_default()
}

fn node_of<'a>(world: &'a World, name: &str) -> Option<&'a Node> {
    let mut nodes = world.nodes.iter();
    nodes
        .find(|node| node.metadata.name.as_deref() == Some(name))
        .map(|node| &**node)
}

/// The pods that are meant, by the domain that their node is in.
fn count<'a>(world: &'a World, key: &'a str, is_meant: impl Fn(&Pod) -> bool) -> Domains<'a> {
    let mut counts = BTreeMap::new();
    for (on, pod) in &world.bound {
        if let Some(domain) = node_of(world, on).and_then(|node| label(node, key))
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

fn required_anti_affinity(spec: &PodSpec) -> &[PodAffinityTerm] {
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|a| a.pod_anti_affinity.as_ref());
    affinity
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
}

/// The domains of pods whose anti-affinity means this pod.
fn shunned(world: &World) -> Vec<(&str, &str)> {
    let mut shunned = vec![];
    for (on, pod) in &world.bound {
        let terms = pod
            .spec
            .as_ref()
            .map(required_anti_affinity)
            .unwrap_or_default();
        for term in terms
            .iter()
            .filter(|term| wants(world, pod, term, &world.pod))
        {
            let domain = node_of(world, on).and_then(|node| label(node, &term.topology_key));
            shunned.extend(domain.map(|domain| (term.topology_key.as_str(), domain)));
        }
    }
    shunned
}

/// Whether a term of `owner` means `pod`.
fn wants(world: &World, owner: &Pod, term: &PodAffinityTerm, pod: &Pod) -> bool {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let selected = term.namespace_selector.as_ref().is_some_and(|selector| {
        let empty = Labels::new();
        let labels = world.namespaces.get(namespace).unwrap_or(&empty);
        Selector::from(selector).matches(labels, std::iter::empty())
    });
    let is_own = listed.is_empty()
        && term.namespace_selector.is_none()
        && pod.metadata.namespace == owner.metadata.namespace;
    let same = |key: &String| labels(owner).get(key) == labels(pod).get(key);
    let differs = |key: &String| {
        labels(owner)
            .get(key)
            .is_none_or(|v| labels(pod).get(key) != Some(v))
    };
    (is_own || selected || listed.iter().any(|n| n == namespace))
        && selects(term.label_selector.as_ref(), pod)
        && term.match_label_keys.iter().flatten().all(same)
        && term.mismatch_label_keys.iter().flatten().all(differs)
}

/// An absent selector selects nothing.
fn selects(selector: Option<&LabelSelector>, pod: &Pod) -> bool {
    selector.is_some_and(|s| Selector::from(s).matches(&labels(pod), std::iter::empty()))
}

fn spread<'a>(
    world: &'a World,
    spec: &PodSpec,
    constraint: &'a TopologySpreadConstraint,
) -> Spread<'a> {
    let own_labels = labels(&world.pod);
    let is_meant = |pod: &Pod| {
        let same = |key: &String| own_labels.get(key) == labels(pod).get(key);
        pod.metadata.namespace == world.pod.metadata.namespace
            && pod.metadata.deletion_timestamp.is_none()
            && selects(constraint.label_selector.as_ref(), pod)
            && constraint.match_label_keys.iter().flatten().all(same)
    };
    let domains = count(world, &constraint.topology_key, is_meant);
    // Only where the pod could be: a full zone that it may not use is no reason.
    let eligible = world
        .nodes
        .iter()
        .filter(|node| matches_selector(spec, node));
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
        own: i64::from(is_meant(&world.pod)),
    }
}
