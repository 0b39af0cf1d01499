//! Which of the nodes that would do is best: the scores of Kubernetes' default profile, with its weights.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, PodSpec};

use super::filter::{matches_term, soft_taints};
use super::neighbours::{Crowd, Wishes};
use super::snapshot::{Labels, NodeInfo, PodInfo, Snapshot};

/// What one score can be at most.
const MAX: i64 = 100;
/// Weights of the scores.
const ROOM: i64 = 1;
const BALANCE: i64 = 1;
const WISHES: i64 = 2;
const AFFINITY: i64 = 2;
const SPREAD: i64 = 2;
const TAINTS: i64 = 3;

/// A node that would do.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    pub(super) info: &'a NodeInfo,
}

/// The name of the best; of equals the first by name.
pub(super) fn best<'a>(
    world: &Snapshot,
    pod: &PodInfo,
    spec: &PodSpec,
    candidates: &[Candidate<'a>],
) -> Option<&'a str> {
    if let [only] = candidates {
        return Some(only.name);
    }
    let mut totals = vec![0_i64; candidates.len()];
    let mut add = |scores: Vec<i64>, weight: i64| {
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += score * weight;
        }
    };
    add(each(candidates, |c| room(pod, c.info)), ROOM);
    add(each(candidates, |c| balance(pod, c.info)), BALANCE);
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let unwelcome = each(candidates, |c| soft_taints(c.node, tolerations));
    add(fewest(unwelcome), TAINTS);
    add(
        most(each(candidates, |c| preference(spec, c.node))),
        AFFINITY,
    );
    let wishes = Wishes::of(world, pod);
    if !wishes.is_empty() {
        add(spanned(each(candidates, |c| wishes.on(c.node))), WISHES);
    }
    let crowds = Crowd::of(world, pod, spec);
    if !crowds.is_empty() {
        add(spread(&crowds, candidates), SPREAD);
    }
    let ranked = candidates.iter().zip(totals);
    let best = ranked.max_by_key(|(candidate, total)| (*total, Reverse(candidate.name)));
    best.map(|(candidate, _)| candidate.name)
}

fn each(candidates: &[Candidate<'_>], score: impl Fn(&Candidate<'_>) -> i64) -> Vec<i64> {
    candidates.iter().map(score).collect()
}

/// In proportion to the largest.
fn most(mut scores: Vec<i64>) -> Vec<i64> {
    let max = scores.iter().copied().max().unwrap_or(0);
    if max > 0 {
        scores
            .iter_mut()
            .for_each(|score| *score = *score * MAX / max);
    }
    scores
}

/// The same the other way round: none is best.
fn fewest(scores: Vec<i64>) -> Vec<i64> {
    most(scores).into_iter().map(|score| MAX - score).collect()
}

/// From the smallest to the largest.
fn spanned(mut scores: Vec<i64>) -> Vec<i64> {
    let min = scores.iter().copied().min().unwrap_or(0);
    let max = scores.iter().copied().max().unwrap_or(0);
    for score in &mut scores {
        *score = if max > min {
            (*score - min) * MAX / (max - min)
        } else {
            0
        };
    }
    scores
}

/// How much of processor and memory stays free.
fn room(pod: &PodInfo, info: &NodeInfo) -> i64 {
    let free = |all: i128, used: i128, wanted: i128| {
        if all <= 0 || used + wanted > all {
            0
        } else {
            (all - used - wanted) * i128::from(MAX) / all
        }
    };
    let (cpu, memory) = (info.allocatable.get("cpu"), info.allocatable.get("memory"));
    let (used, wanted) = (info.used_at_least, pod.at_least);
    let both = free(cpu, used.0, wanted.0) + free(memory, used.1, wanted.1);
    i64::try_from(both / 2).unwrap_or(0)
}

/// How equally processor and memory are used.
fn balance(pod: &PodInfo, info: &NodeInfo) -> i64 {
    let is_light = pod.requests.get("cpu") == 0 && pod.requests.get("memory") == 0;
    if is_light {
        return 0;
    }
    // In thousandths of what there is.
    let share = |resource: &str| {
        let all = info.allocatable.get(resource);
        let used = info.used.get(resource) + pod.requests.get(resource);
        if all > 0 {
            (used * 1000 / all).min(1000)
        } else {
            1000
        }
    };
    let difference = (share("cpu") - share("memory")).abs() / 2;
    i64::try_from((1000 - difference) * i128::from(MAX) / 1000).unwrap_or(0)
}

/// What the pod's preferred node affinities say for the node.
fn preference(spec: &PodSpec, node: &Node) -> i64 {
    let empty = Labels::new();
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

/// How few pods of its kind are where the node is. Where there are many domains, one pod more in one of them counts more. A
/// node outside of the domains that the pod names is worst.
fn spread(crowds: &[Crowd<'_>], candidates: &[Candidate<'_>]) -> Vec<i64> {
    let weights: Vec<i64> = crowds
        .iter()
        .map(|crowd| {
            let domains: BTreeSet<_> = candidates.iter().map(|c| crowd.domain(c.node)).collect();
            logarithm(domains.len() + 2)
        })
        .collect();
    let scores: Vec<Option<i64>> = candidates
        .iter()
        .map(|candidate| {
            let mut sum = 0;
            for (crowd, weight) in crowds.iter().zip(&weights) {
                let Some(there) = crowd.at(candidate.node) else {
                    if crowd.is_strict {
                        return None;
                    }
                    continue;
                };
                let there = i64::try_from(there).unwrap_or(i64::MAX);
                sum += there.saturating_mul(*weight) + (crowd.max_skew - 1) * 1000;
            }
            Some(sum / 1000)
        })
        .collect();
    let min = scores.iter().flatten().copied().min().unwrap_or(0);
    let max = scores.iter().flatten().copied().max().unwrap_or(0);
    let scaled = |score: i64| {
        if max == 0 {
            MAX
        } else {
            MAX * (max + min - score) / max
        }
    };
    scores.iter().map(|score| score.map_or(0, scaled)).collect()
}

/// The natural logarithm in thousandths.
fn logarithm(of: usize) -> i64 {
    let of = u32::try_from(of).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is between 0 and 23,000"
    )]
    let thousandths = (f64::from(of).ln() * 1000.0).round() as i64;
    thousandths
}
