//! Where a pod goes, or in which words it is said that it goes nowhere. Pure.

use std::collections::{BTreeMap, HashSet};

use super::filter::{self, Against, Wanted};
use super::neighbours::Neighbours;
use super::preempt::{self, Budget, Preemption};
use super::score::{self, Candidate};
use super::snapshot::{PodInfo, Snapshot};
use super::volumes::Volumes;

/// Below this many nodes all of them are looked at; above, only a part of those that would do.
const ALL_MAX: usize = 100;
/// At least this part of the nodes is looked at, in percent.
const PART_MIN: usize = 5;

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    On(String),
    Nowhere(Nowhere),
}

/// Why no node takes the pod, and what could be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nowhere {
    /// As `kubectl describe` shows it.
    pub(super) message: String,
    /// The pods that would have to go, and where.
    pub(super) preemption: Option<Preemption>,
    /// Room is being made for it already.
    pub(super) is_waiting: bool,
}

/// How many nodes that would do are enough to choose from.
fn enough(nodes: usize) -> usize {
    if nodes < ALL_MAX {
        return nodes;
    }
    let part = 50_usize.saturating_sub(nodes / 125).max(PART_MIN);
    (nodes * part / 100).max(ALL_MAX)
}

/// Chooses a node for the pod. `start` is the node with which the search begins, and is moved on, so that in large clusters
/// not the same nodes are looked at every time. `budgets` protect pods from having to go.
pub(super) fn choose(
    world: &Snapshot,
    pod: &PodInfo,
    volumes: &Volumes,
    budgets: &[Budget],
    start: &mut usize,
) -> Choice {
    let Some(spec) = &pod.pod.spec else {
        return nowhere("the pod has no spec");
    };
    let total = world.present().count();
    if total == 0 {
        return nowhere("no nodes available to schedule pods");
    }
    let neighbours = Neighbours::of(world, pod, spec, &HashSet::new());
    let wanted = Wanted {
        pod,
        spec,
        neighbours: &neighbours,
        volumes,
    };
    let named = filter::names(spec);
    let is_meant = |name: &str| named.as_ref().is_none_or(|names| names.contains(&name));
    let first = *start % total;
    let ordered = world
        .present()
        .skip(first)
        .chain(world.present().take(first));
    let mut failures: BTreeMap<&str, Against> = BTreeMap::new();
    let mut candidates = vec![];
    let mut looked_at = 0;
    for (name, node, info) in ordered {
        if candidates.len() >= enough(total) {
            break;
        }
        looked_at += 1;
        if !is_meant(name) {
            let why = "node(s) didn't satisfy plugin(s) [NodeAffinity]";
            failures.insert(name, Against::for_good(why));
            continue;
        }
        match filter::against(&wanted, node, info) {
            Some(why) => _ = failures.insert(name, why),
            // Room was made for it here.
            None if pod.nominated() == Some(name) => return Choice::On(name.clone()),
            None => candidates.push(Candidate { name, node, info }),
        }
    }
    *start = (first + looked_at) % total;
    if let Some(best) = score::best(world, pod, spec, &candidates) {
        return Choice::On(best.to_owned());
    }
    let attempt = preempt::preempt(world, &wanted, &failures, budgets);
    let mut message = histogram(total, failures.values());
    if !attempt.message.is_empty() {
        message = format!("{message} preemption: {}", attempt.message);
    }
    Choice::Nowhere(Nowhere {
        message,
        preemption: attempt.preemption,
        is_waiting: attempt.is_waiting,
    })
}

fn nowhere(why: &str) -> Choice {
    Choice::Nowhere(Nowhere {
        message: why.to_owned(),
        ..Nowhere::default()
    })
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
pub(super) fn histogram<'a>(total: usize, failures: impl Iterator<Item = &'a Against>) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in failures.flat_map(|against| &against.reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    let reasons = reasons.iter().map(|(why, count)| format!("{count} {why}"));
    let mut reasons: Vec<String> = reasons.collect();
    reasons.sort();
    format!("0/{total} nodes are available: {}.", reasons.join(", "))
}

/// Why the pod can be on no node of `total`, whatever they are like.
pub(super) fn refused(total: usize, why: &str) -> String {
    let helpless = Against::new("Preemption is not helpful for scheduling");
    let preemption = histogram(total, std::iter::repeat_n(&helpless, total));
    format!("0/{total} nodes are available: {why}. preemption: {preemption}")
}
