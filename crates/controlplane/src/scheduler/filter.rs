//! Where a pod fits, and in which words it is said that it fits nowhere.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::World;
use super::neighbours::Neighbours;
use super::quantity::milli;

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    On(String),
    /// Why no node takes the pod, as `kubectl describe` shows it.
    Nowhere(String),
}

/// Resources in thousandths, by name.
type Amounts = BTreeMap<String, i128>;

/// How good a place is; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Taints that would rather not have the pod, negative.
    unwelcome: i64,
    /// Weights of the preferred node affinities that hold.
    preferred: i64,
    /// The smallest free share of a resource, in permille.
    room: i128,
}

/// The fitting node that is best; ties go to the first by name.
pub(super) fn choose(world: &World) -> Place {
    let Some(spec) = &world.pod.spec else {
        return Place::Nowhere("the pod has no spec".into());
    };
    let neighbours = Neighbours::of(world, spec);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(Score, Reverse<String>)> = None;
    for node in &world.nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        match fit(world, spec, node, &neighbours) {
            Err(whys) => {
                for why in whys {
                    *reasons.entry(why).or_default() += 1;
                }
            }
            Ok(score) => best = best.max(Some((score, Reverse(name)))),
        }
    }
    if let Some((_, Reverse(name))) = best {
        return Place::On(name);
    }
    if world.nodes.is_empty() {
        return Place::Nowhere("no nodes available to schedule pods".into());
    }
    let mut texts: Vec<String> = reasons
        .iter()
        .map(|(why, count)| format!("{count} {why}"))
        .collect();
    texts.sort();
    Place::Nowhere(format!(
        "0/{} nodes are available: {}.",
        world.nodes.len(),
        texts.join(", ")
    ))
}

/// How good the node is, or what is against it: as Kubernetes does, the first filter that fails speaks.
fn fit(
    world: &World,
    spec: &PodSpec,
    node: &Node,
    neighbours: &Neighbours<'_>,
) -> Result<Score, Vec<String>> {
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if let Some(why) = taint_against(node, tolerations) {
        return Err(vec![why]);
    }
    if !matches_selector(spec, node) {
        return Err(vec![
            "node(s) didn't match Pod's node affinity/selector".into(),
        ]);
    }
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let there: Vec<&Pod> = world
        .bound
        .iter()
        .filter(|(on, _)| on == name)
        .map(|(_, pod)| &**pod)
        .collect();
    let wanted_ports = host_ports(spec);
    let mut taken = there
        .iter()
        .filter_map(|pod| pod.spec.as_ref())
        .flat_map(host_ports);
    if taken.any(|port| wanted_ports.iter().any(|wanted| wanted.clashes(&port))) {
        return Err(vec![
            "node(s) didn't have free ports for the requested pod ports".into(),
        ]);
    }
    let room = room(spec, node, &there)?;
    if let Some(why) = neighbours.against(node) {
        return Err(vec![why.into()]);
    }
    Ok(Score {
        unwelcome: -soft_taints(node, tolerations),
        preferred: preference(spec, node),
        room,
    })
}

fn room(spec: &PodSpec, node: &Node, there: &[&Pod]) -> Result<i128, Vec<String>> {
    let allocatable = amounts(node.status.as_ref().and_then(|s| s.allocatable.as_ref()));
    let mut used = Amounts::new();
    for pod in there {
        add(&mut used, &requests(pod.spec.as_ref()));
    }
    let wanted = requests(Some(spec));
    let mut against = vec![];
    let mut least = 1000;
    for (resource, amount) in &wanted {
        let all = allocatable.get(resource).copied().unwrap_or(0);
        let free = all - used.get(resource).copied().unwrap_or(0);
        if *amount > free {
            against.push(if resource == "pods" {
                "Too many pods".to_owned()
            } else {
                format!("Insufficient {resource}")
            });
        } else if all > 0 {
            least = least.min((free - amount) * 1000 / all);
        }
    }
    if against.is_empty() {
        Ok(least)
    } else {
        Err(against)
    }
}

/// What the pod asks for: the sum of its containers, or the largest init container if that is more; and one pod.
fn requests(spec: Option<&PodSpec>) -> Amounts {
    let mut sum = Amounts::new();
    let Some(spec) = spec else { return sum };
    for container in &spec.containers {
        add(
            &mut sum,
            &amounts(
                container
                    .resources
                    .as_ref()
                    .and_then(|r| r.requests.as_ref()),
            ),
        );
    }
    for init in spec.init_containers.iter().flatten() {
        let wanted = amounts(init.resources.as_ref().and_then(|r| r.requests.as_ref()));
        if init.restart_policy.as_deref() == Some("Always") {
            add(&mut sum, &wanted);
            continue;
        }
        for (resource, amount) in wanted {
            let all = sum.entry(resource).or_default();
            *all = (*all).max(amount);
        }
    }
    add(&mut sum, &amounts(spec.overhead.as_ref()));
    sum.insert("pods".into(), 1000);
    sum
}

fn amounts(quantities: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let quantities = quantities.into_iter().flatten();
    quantities
        .filter_map(|(name, quantity)| Some((name.clone(), milli(&quantity.0)?)))
        .filter(|(_, amount)| *amount != 0)
        .collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        *sum.entry(resource.clone()).or_default() += amount;
    }
}

/// A port of the host that a pod wants.
struct HostPort {
    ip: String,
    number: i32,
    protocol: String,
}

impl HostPort {
    /// The same port on the same address; no address means all.
    fn clashes(&self, other: &Self) -> bool {
        let is_any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.number == other.number
            && self.protocol == other.protocol
            && (self.ip == other.ip || is_any(&self.ip) || is_any(&other.ip))
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = spec
        .containers
        .iter()
        .filter_map(|c| c.ports.as_ref())
        .flatten();
    ports
        .filter_map(|port| {
            Some(HostPort {
                ip: port.host_ip.clone().unwrap_or_default(),
                number: port.host_port.filter(|number| *number > 0)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            })
        })
        .collect()
}

/// Taints with the effect PreferNoSchedule that the pod does not tolerate.
fn soft_taints(node: &Node, tolerations: &[Toleration]) -> i64 {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref());
    let soft = taints
        .unwrap_or_default()
        .iter()
        .filter(|t| t.effect == "PreferNoSchedule");
    soft.filter(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
        .map(|_| 1)
        .sum()
}

/// What the pod's preferred node affinities say for the node.
fn preference(spec: &PodSpec, node: &Node) -> i64 {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref());
    let preferred = affinity.and_then(|a| {
        a.preferred_during_scheduling_ignored_during_execution
            .as_ref()
    });
    let holding = preferred
        .into_iter()
        .flatten()
        .filter(|p| matches_term(&p.preference, labels, node));
    holding.map(|p| i64::from(p.weight)).sum()
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
    let against = taints
        .iter()
        .filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))?;
    let value = against.value.as_deref().unwrap_or_default();
    Some(format!(
        "node(s) had untolerated taint {{{}: {value}}}",
        against.key
    ))
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

fn matches_term(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, node: &Node) -> bool {
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
