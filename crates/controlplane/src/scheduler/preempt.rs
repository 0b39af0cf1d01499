//! Which pods have to go so that a more important one fits. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use runtime::Selector;

use super::choose::histogram;
use super::filter::{self, Against, Wanted};
use super::neighbours::Neighbours;
use super::snapshot::{NodeInfo, PodInfo, Snapshot};

/// What a pod that had to go is told.
pub(super) const REASON: &str = "PreemptionByScheduler";
/// So many nodes are tried at least, and so many percent of them.
const TRIED_MIN: usize = 100;
const TRIED_PERCENT: usize = 10;

/// How many more pods a budget lets go.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget {
    pub(super) namespace: String,
    pub(super) selector: LabelSelector,
    pub(super) allowed: i32,
    /// Names of pods that were evicted and count already.
    pub(super) disrupted: Vec<String>,
}

/// Pods that make room on a node by going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Preemption {
    pub(super) node: String,
    /// Uids, the most important first.
    pub(super) victims: Vec<String>,
}

/// What came of an attempt to make room.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// In words, if there is nothing to be done.
    pub(super) message: String,
    pub(super) preemption: Option<Preemption>,
    /// Room is being made already.
    pub(super) is_waiting: bool,
}

/// How room can be made on a node.
struct Room<'a> {
    node: &'a str,
    victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

/// The best preemption, or why there is none.
pub(super) fn preempt(
    world: &Snapshot,
    wanted: &Wanted<'_>,
    failures: &BTreeMap<&str, Against>,
    budgets: &[Budget],
) -> Attempt {
    if wanted.spec.preemption_policy.as_deref() == Some("Never") {
        let why = "not eligible due to preemptionPolicy=Never.";
        return Attempt {
            message: why.to_owned(),
            ..Attempt::default()
        };
    }
    if waits_for_victims(world, wanted.pod, failures) {
        let why = "not eligible due to a terminating pod on the nominated node.";
        return Attempt {
            message: why.to_owned(),
            is_waiting: true,
            ..Attempt::default()
        };
    }
    let open: Vec<&str> = failures
        .iter()
        .filter(|(_, against)| !against.is_final)
        .map(|(name, _)| *name)
        .collect();
    let enough = TRIED_MIN.max(open.len() * TRIED_PERCENT / 100);
    let mut tried: BTreeMap<&str, Against> = BTreeMap::new();
    let mut options = vec![];
    for node in open {
        match on(world, wanted, node, budgets) {
            Ok(option) => options.push(option),
            Err(against) => _ = tried.insert(node, against),
        }
        if options.len() >= enough {
            break;
        }
    }
    if let Some(best) = options.into_iter().min_by_key(cost) {
        let victims = best.victims.iter().map(|pod| pod.uid.clone()).collect();
        let preemption = Preemption {
            node: best.node.to_owned(),
            victims,
        };
        return Attempt {
            preemption: Some(preemption),
            ..Attempt::default()
        };
    }
    let helpless = Against::new("Preemption is not helpful for scheduling");
    let all = failures
        .keys()
        .map(|node| tried.get(node).unwrap_or(&helpless));
    Attempt {
        message: histogram(failures.len(), all),
        ..Attempt::default()
    }
}

/// What a preemption costs: broken budgets, the importance of those that go, their number, and how long they have run.
fn cost(option: &Room<'_>) -> impl Ord + use<> {
    let priorities = || option.victims.iter().map(|pod| pod.priority);
    let highest = priorities().max().unwrap_or(i32::MIN);
    let sum: i64 = priorities()
        .map(|priority| i64::from(priority) + i64::from(i32::MAX) + 1)
        .sum();
    let important = option.victims.iter().filter(|pod| pod.priority == highest);
    let earliest = important.map(|pod| started(pod)).min();
    (
        option.violations,
        highest,
        sum,
        option.victims.len(),
        Reverse(earliest),
        option.node.to_owned(),
    )
}

/// Since when a pod runs; one that doesn't runs since just now.
fn started(pod: &PodInfo) -> Timestamp {
    let status = pod.pod.status.as_ref();
    let started = status.and_then(|s| s.start_time.as_ref());
    started.map_or(Timestamp::MAX, |t| t.0)
}

/// Room was made for the pod already, and those that make it have not gone yet.
fn waits_for_victims(world: &Snapshot, pod: &PodInfo, failures: &BTreeMap<&str, Against>) -> bool {
    let Some(node) = pod.nominated() else {
        return false;
    };
    if failures.get(node).is_some_and(|against| against.is_final) {
        return false;
    }
    let there = world.nodes.get(node).into_iter();
    let mut there = there.flat_map(|info| info.pods.values());
    there.any(|other| other.priority < pod.priority && was_preempted(other))
}

fn was_preempted(pod: &PodInfo) -> bool {
    let conditions = pod.pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.is_going()
        && conditions.any(|c| {
            c.type_ == "DisruptionTarget"
                && c.status == "True"
                && c.reason.as_deref() == Some(REASON)
        })
}

/// The fewest and least important pods that have to go from the node.
fn on<'a>(
    world: &Snapshot,
    wanted: &Wanted<'_>,
    name: &'a str,
    budgets: &[Budget],
) -> Result<Room<'a>, Against> {
    let nobody = || Against::for_good("No preemption victims found for incoming pod");
    let info = world.nodes.get(name).ok_or_else(nobody)?;
    let lesser = info.pods.values();
    let mut lesser: Vec<Arc<PodInfo>> = lesser
        .filter(|pod| pod.priority < wanted.pod.priority)
        .cloned()
        .collect();
    if lesser.is_empty() {
        return Err(nobody());
    }
    // The most important first: they may stay if they can.
    lesser.sort_by_key(|pod| (Reverse(pod.priority), started(pod), pod.uid.clone()));
    let mut trial = Trial {
        world,
        wanted,
        info: info.clone(),
        gone: HashSet::new(),
    };
    for pod in &lesser {
        trial.take(pod);
    }
    if let Some(against) = trial.against() {
        return Err(against);
    }
    let (protected, others) = split(&lesser, budgets);
    let mut victims = vec![];
    let mut violations = 0;
    for (pod, is_protected) in protected
        .iter()
        .map(|pod| (pod, true))
        .chain(others.iter().map(|pod| (pod, false)))
    {
        trial.give_back(pod);
        if trial.against().is_some() {
            trial.take(pod);
            victims.push(Arc::clone(pod));
            violations += usize::from(is_protected);
        }
    }
    victims.sort_by_key(|pod| (Reverse(pod.priority), started(pod), pod.uid.clone()));
    Ok(Room {
        node: name,
        victims,
        violations,
    })
}

/// A node without some of its pods.
struct Trial<'a> {
    world: &'a Snapshot,
    wanted: &'a Wanted<'a>,
    info: NodeInfo,
    gone: HashSet<&'a str>,
}

impl<'a> Trial<'a> {
    fn take(&mut self, pod: &'a Arc<PodInfo>) {
        self.info.take(&pod.uid);
        self.gone.insert(&pod.uid);
    }

    fn give_back(&mut self, pod: &'a Arc<PodInfo>) {
        self.info.put(Arc::clone(pod));
        self.gone.remove(pod.uid.as_str());
    }

    fn against(&self) -> Option<Against> {
        let Wanted {
            pod, spec, volumes, ..
        } = *self.wanted;
        let neighbours = Neighbours::of(self.world, pod, spec, &self.gone);
        let volumes = volumes.without(&self.gone);
        let wanted = Wanted {
            pod,
            spec,
            neighbours: &neighbours,
            volumes: &volumes,
        };
        filter::against(&wanted, self.info.node.as_deref()?, &self.info)
    }
}

type Pods = Vec<Arc<PodInfo>>;

/// Those of the pods whose budgets forbid it that they go too, and the others.
fn split(pods: &Pods, budgets: &[Budget]) -> (Pods, Pods) {
    let mut left: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    let empty = BTreeMap::new();
    pods.iter().cloned().partition(|pod| {
        let labels = pod.labels().unwrap_or(&empty);
        let mut violates = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            let selector = &budget.selector;
            let is_empty = selector.match_labels.as_ref().is_none_or(|l| l.is_empty())
                && selector
                    .match_expressions
                    .as_ref()
                    .is_none_or(Vec::is_empty);
            let is_meant = budget.namespace == pod.namespace()
                && !is_empty
                && Selector::from(selector).matches(labels, std::iter::empty())
                && !budget.disrupted.iter().any(|name| name == pod.name());
            if is_meant {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    })
}
