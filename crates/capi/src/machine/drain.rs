//! Which pods leave the node of a Machine before it goes, in what order, and what is waited for. Pure.

use api::cluster::MachineDrainRule;
use api::cluster::machine::reasons;
use api::cluster::machine_drain_rule::{DrainBehavior, MachineSelector, PodSelector};
use api::cluster::rules::selects;
use api::meta::labels;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::ResourceExt;
use runtime::Plan;

use super::{Act, World};
use crate::condition::named;
use crate::object;

/// What a pod on an unreachable node gets as its time to end, in seconds: nobody there would use more.
const UNREACHABLE_GRACE: u32 = 1;

/// What draining does with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It stays on the node, and so may its volumes.
    Skip,
    /// It is no obstacle any more.
    Over,
    /// It must come to its end by itself.
    Wait,
    /// It is on its way.
    Evicted,
    Evict,
}

/// Plans the next evictions. Returns whether nothing is left to wait for.
pub(super) fn drain(world: &World, node: &Node, now: Timestamp, plan: &mut Plan<Act>) -> bool {
    let is_reachable = is_reachable(node);
    let mut pods: Vec<_> = world
        .pods
        .iter()
        .map(|pod| {
            let (treatment, order) = treatment(world, pod, is_reachable, now);
            (order, treatment, pod)
        })
        .filter(|(_, treatment, _)| !matches!(treatment, Treatment::Skip | Treatment::Over))
        .collect();
    let Some(order) = pods.iter().map(|(order, ..)| *order).min() else {
        return true;
    };
    pods.sort_by_key(|(_, _, pod)| (pod.namespace(), pod.name_any()));
    let of = |is_now: bool, wanted: &[Treatment]| -> Vec<String> {
        pods.iter()
            .filter(|(o, treatment, _)| (*o == order) == is_now && wanted.contains(treatment))
            .map(|(_, _, pod)| full_name(pod))
            .collect()
    };
    let evict: Vec<_> = pods
        .iter()
        .filter(|(o, treatment, _)| *o == order && *treatment == Treatment::Evict)
        .map(|(_, _, pod)| (pod.namespace().unwrap_or_default(), pod.name_any()))
        .collect();
    // What is on its way is so whenever its turn was.
    let mut leaving = of(true, &[Treatment::Evicted]);
    leaving.extend(of(false, &[Treatment::Evicted]));
    let rest = Rest {
        started: started(world).unwrap_or(now),
        leaving,
        completing: of(true, &[Treatment::Wait]),
        evicted_later: of(false, &[Treatment::Evict]),
        completing_later: of(false, &[Treatment::Wait]),
    };
    let accepted: Vec<_> = evict
        .iter()
        .map(|(ns, name)| format!("{ns}/{name}"))
        .collect();
    plan.wait(reasons::DRAINING_NODE, rest.message(&accepted, &[]));
    if !evict.is_empty() {
        plan.changes.push(runtime::Change::Act(Act::Drain {
            pods: evict,
            grace: (!is_reachable).then_some(UNREACHABLE_GRACE),
            rest: Box::new(rest),
        }));
    }
    false
}

/// The pods that are not being evicted just now, for the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    started: Timestamp,
    leaving: Vec<String>,
    completing: Vec<String>,
    evicted_later: Vec<String>,
    completing_later: Vec<String>,
}

impl Rest {
    /// What a drain still waits for; `accepted` are the pods whose eviction was granted, `refused` says why others were not evicted.
    pub(super) fn message(&self, accepted: &[String], refused: &[String]) -> String {
        let mut lines = vec![format!(
            "Drain not completed yet (started at {}):",
            runtime::rfc3339(self.started)
        )];
        let mut leaving = self.leaving.clone();
        leaving.extend(accepted.iter().cloned());
        let pods =
            |names: &[String]| named("Pod", &names.iter().map(String::as_str).collect::<Vec<_>>());
        if !leaving.is_empty() {
            lines.push(format!(
                "* {}: deletionTimestamp set, but still not removed from the Node",
                pods(&leaving)
            ));
        }
        lines.extend(refused.iter().map(|line| format!("* {line}")));
        if !self.completing.is_empty() {
            lines.push(format!(
                "* {}: waiting for completion",
                pods(&self.completing)
            ));
        }
        let after = "After above Pods have been removed from the Node, the following will be";
        if !self.evicted_later.is_empty() {
            lines.push(format!("{after} evicted: {}", pods(&self.evicted_later)));
        }
        if !self.completing_later.is_empty() {
            let names = pods(&self.completing_later);
            lines.push(format!("{after} waited for until they complete: {names}"));
        }
        lines.join("\n")
    }
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

/// When draining began, if it did.
pub(super) fn started(world: &World) -> Option<Timestamp> {
    let deletion = world.machine.status.as_ref()?.deletion.as_ref()?;
    Some(deletion.node_drain_start_time.as_ref()?.0)
}

/// What draining does with a pod, and when its turn is.
pub(super) fn treatment(
    world: &World,
    pod: &Pod,
    is_node_reachable: bool,
    now: Timestamp,
) -> (Treatment, i32) {
    let (behavior, order) = behavior(world, pod);
    if behavior == DrainBehavior::Skip {
        return (Treatment::Skip, order);
    }
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    let is_over = matches!(phase, Some("Succeeded" | "Failed"));
    let treatment = match (&pod.metadata.deletion_timestamp, behavior) {
        // Nobody on an unreachable node will confirm it.
        (Some(deleted), _)
            if !is_node_reachable && now > deleted.0 + SignedDuration::from_secs(1) =>
        {
            Treatment::Over
        }
        (Some(_), _) => Treatment::Evicted,
        (None, DrainBehavior::WaitCompleted) if is_over => Treatment::Over,
        (None, DrainBehavior::WaitCompleted) => Treatment::Wait,
        (None, _) => Treatment::Evict,
    };
    (treatment, order)
}

/// What holds for a pod: what it is, then what it says itself, then the first rule that is about it.
fn behavior(world: &World, pod: &Pod) -> (DrainBehavior, i32) {
    let owner = object::controller_of(&pod.metadata);
    let is_kept_by_daemon_set = owner
        .filter(|o| o.kind == "DaemonSet")
        .is_some_and(|owner| {
            let sets = &world.departure.daemon_sets;
            sets.iter().any(|set| {
                set.namespace() == pod.namespace() && set.metadata.uid.as_ref() == Some(&owner.uid)
            })
        });
    let is_mirror = object::annotation(&pod.metadata, "kubernetes.io/config.mirror").is_some();
    if is_kept_by_daemon_set || is_mirror {
        return (DrainBehavior::Skip, 0);
    }
    let label = object::label(&pod.metadata, labels::DRAIN).map(str::to_ascii_lowercase);
    match label.as_deref() {
        Some("skip") => return (DrainBehavior::Skip, 0),
        Some("wait-completed") => return (DrainBehavior::WaitCompleted, 0),
        _ => {}
    }
    let mut rules: Vec<_> = world.departure.rules.iter().collect();
    rules.sort_by_key(|rule| rule.name_any());
    let rule = rules
        .into_iter()
        .find(|rule| is_about_machine(rule, world) && is_about_pod(rule, pod, world));
    match rule {
        Some(rule) => (
            rule.spec.drain.behavior,
            rule.spec.drain.order.unwrap_or_default(),
        ),
        None => (DrainBehavior::Drain, 0),
    }
}

/// Whether a selector selects an object; one that is not there selects all.
fn is_selected(selector: Option<&LabelSelector>, metadata: Option<&ObjectMeta>) -> bool {
    let empty = Default::default();
    let labels = metadata.and_then(|m| m.labels.as_ref()).unwrap_or(&empty);
    selector.is_none_or(|selector| selects(selector, labels))
}

fn is_about_machine(rule: &MachineDrainRule, world: &World) -> bool {
    let cluster = world.cluster.as_ref().map(|c| &c.metadata);
    let is_one = |one: &MachineSelector| {
        is_selected(one.selector.as_ref(), Some(&world.machine.metadata))
            && is_selected(one.cluster_selector.as_ref(), cluster)
    };
    rule.spec
        .machines
        .as_ref()
        .is_none_or(|all| all.iter().any(is_one))
}

fn is_about_pod(rule: &MachineDrainRule, pod: &Pod, world: &World) -> bool {
    let namespaces = &world.departure.namespaces;
    let namespace = namespaces
        .iter()
        .find(|ns| Some(ns.name_any()) == pod.namespace());
    let namespace = namespace.map(|ns| &ns.metadata);
    let is_one = |one: &PodSelector| {
        is_selected(one.selector.as_ref(), Some(&pod.metadata))
            && is_selected(one.namespace_selector.as_ref(), namespace)
    };
    rule.spec
        .pods
        .as_ref()
        .is_none_or(|all| all.iter().any(is_one))
}

/// Whether somebody on the node can be expected to do what the API server says.
pub(super) fn is_reachable(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let is_silent =
        |c: &k8s_openapi::api::core::v1::NodeCondition| c.type_ == "Ready" && c.status == "Unknown";
    !conditions.into_iter().any(is_silent)
        && !taints
            .into_iter()
            .any(|t| t.key == "node.kubernetes.io/unreachable")
}
