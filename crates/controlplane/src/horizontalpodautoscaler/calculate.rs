//! How many replicas a metric asks for. Pure; the rules are those of Kubernetes' replica calculator.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::ask::Sample;
use crate::amounts::Amounts;

/// A pod's processor time says little for so long after its start.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
/// A pod that became unready within this time of its start was never ready.
const INITIAL_READINESS: SignedDuration = SignedDuration::from_secs(30);

/// What each pod is to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// In percent of what it asks for.
    Utilization(i32),
    /// In thousandths of the unit.
    Average(i128),
}

/// Which part of a pod is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured<'a> {
    pub(super) resource: &'a str,
    /// One container; empty for the whole pod.
    pub(super) container: &'a str,
}

/// How much the ratio may differ from 1 without a change, for growing and for shrinking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Tolerance {
    pub(super) fn covers(self, ratio: f64) -> bool {
        ratio >= 1.0 - self.down && ratio <= 1.0 + self.up
    }
}

/// What a metric comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// In percent of what the pods ask for.
    pub(super) utilization: Option<i32>,
    /// Of each pod, in thousandths.
    pub(super) average: i128,
}

type Samples = BTreeMap<String, i128>;

/// Replicas by a metric of pods.
pub(super) fn by_pods(
    current: i32,
    pods: &[Arc<Pod>],
    samples: &BTreeMap<String, Sample>,
    measured: Measured<'_>,
    target: Target,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<Proposal, String> {
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = groups(pods, samples, measured.resource, now);
    let mut values: Samples = samples
        .iter()
        .filter(|(name, _)| !groups.ignored.contains(name) && !groups.unready.contains(name))
        .map(|(name, sample)| (name.clone(), sample.value))
        .collect();
    if values.is_empty() {
        let why = "did not receive metrics for targeted pods (pods might be unready)";
        return Err(why.to_owned());
    }
    let requests = match target {
        Target::Utilization(_) => requests(pods, measured)?,
        Target::Average(_) => Samples::new(),
    };
    let first = ratio(&values, &requests, target)?;
    let proposal = |replicas: i32| Proposal {
        replicas,
        utilization: first.utilization,
        average: first.average,
    };
    let grows_with_unready = !groups.unready.is_empty() && first.ratio > 1.0;
    if !grows_with_unready && groups.missing.is_empty() {
        if tolerance.covers(first.ratio) {
            return Ok(proposal(current));
        }
        return Ok(proposal(ceil(first.ratio, groups.ready)));
    }
    // Of whom nothing is known, the worst is assumed: when shrinking that they are busy, when growing that they are not.
    for name in &groups.missing {
        let asked = requests.get(name).copied().unwrap_or(0);
        let value = match target {
            _ if first.ratio > 1.0 => 0,
            Target::Utilization(percent) => asked * i128::from(percent.max(100)) / 100,
            Target::Average(average) => average,
        };
        values.insert(name.clone(), value);
    }
    if grows_with_unready {
        values.extend(groups.unready.iter().map(|name| (name.clone(), 0)));
    }
    let second = ratio(&values, &requests, target)?.ratio;
    let turns = (first.ratio < 1.0 && second > 1.0) || (first.ratio > 1.0 && second < 1.0);
    if tolerance.covers(second) || turns {
        return Ok(proposal(current));
    }
    let replicas = ceil(second, values.len());
    let turns = (second < 1.0 && replicas > current) || (second > 1.0 && replicas < current);
    Ok(proposal(if turns { current } else { replicas }))
}

/// Replicas by one value of something else, which each ready pod has its share of.
pub(super) fn by_value(
    current: i32,
    pods: &[Arc<Pod>],
    value: i128,
    target: i128,
    tolerance: Tolerance,
) -> Proposal {
    let ratio = fraction(value, target);
    let ready = pods.iter().filter(|pod| crate::pod::is_ready(pod)).count();
    let replicas = if tolerance.covers(ratio) {
        current
    } else {
        ceil(ratio, ready)
    };
    Proposal {
        replicas,
        utilization: None,
        average: value,
    }
}

/// Replicas by one value that is divided by the number of replicas.
pub(super) fn by_average(
    current: i32,
    value: i128,
    target: i128,
    tolerance: Tolerance,
) -> Proposal {
    let replicas = i128::from(current.max(1));
    let ratio = fraction(value, target.saturating_mul(replicas));
    let replicas = if tolerance.covers(ratio) {
        current
    } else {
        ceil(fraction(value, target), 1)
    };
    Proposal {
        replicas,
        utilization: None,
        average: value / i128::from(current.max(1)),
    }
}

#[derive(Debug, Default)]
struct Groups {
    ready: usize,
    unready: Vec<String>,
    missing: Vec<String>,
    ignored: Vec<String>,
}

fn groups(
    pods: &[Arc<Pod>],
    samples: &BTreeMap<String, Sample>,
    resource: &str,
    now: Timestamp,
) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() || phase == Some("Failed") {
            groups.ignored.push(name);
        } else if phase == Some("Pending") {
            groups.unready.push(name);
        } else if let Some(sample) = samples.get(&name) {
            if resource == "cpu" && is_unready(pod, sample, now) {
                groups.unready.push(name);
            } else {
                groups.ready += 1;
            }
        } else {
            groups.missing.push(name);
        }
    }
    groups
}

/// Whether the sample says nothing of how the pod does when it works.
fn is_unready(pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    let ready = conditions.find(|c| c.type_ == "Ready");
    let started = status.and_then(|s| s.start_time.as_ref());
    let (Some(ready), Some(started)) = (ready, started) else {
        return true;
    };
    let is_false = ready.status == "False";
    let since = ready.last_transition_time.as_ref();
    let since = since.map_or(Timestamp::UNIX_EPOCH, |t| t.0);
    if now.duration_since(started.0) < CPU_INITIALIZATION {
        is_false || sample.at.duration_since(since) < sample.window
    } else {
        is_false && since.duration_since(started.0) < INITIAL_READINESS
    }
}

/// What each pod, or the container in it, asks for.
fn requests(pods: &[Arc<Pod>], measured: Measured<'_>) -> Result<Samples, String> {
    let mut requests = Samples::new();
    for pod in pods {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let containers = pod.spec.iter().flat_map(|spec| {
            let inits = spec.init_containers.iter().flatten();
            let sidecars = inits.filter(|c| c.restart_policy.as_deref() == Some("Always"));
            spec.containers.iter().chain(sidecars)
        });
        let is_meant = |name: &str| measured.container.is_empty() || name == measured.container;
        let mut sum = 0;
        for container in containers.filter(|container| is_meant(&container.name)) {
            let requests = container
                .resources
                .as_ref()
                .and_then(|r| r.requests.as_ref());
            let amount = Amounts::of(requests).get(measured.resource);
            if amount == 0 {
                return Err(format!(
                    "missing request for {} in container {} of Pod {name}",
                    measured.resource, container.name
                ));
            }
            sum += amount;
        }
        requests.insert(name, sum);
    }
    Ok(requests)
}

struct Ratio {
    ratio: f64,
    utilization: Option<i32>,
    average: i128,
}

fn ratio(values: &Samples, requests: &Samples, target: Target) -> Result<Ratio, String> {
    let count = i128::try_from(values.len().max(1)).unwrap_or(1);
    match target {
        Target::Average(wanted) => {
            let average = values.values().sum::<i128>() / count;
            Ok(Ratio {
                ratio: fraction(average, wanted),
                utilization: None,
                average,
            })
        }
        Target::Utilization(wanted) => {
            let known = values
                .iter()
                .filter(|(name, _)| requests.contains_key(*name));
            let (mut used, mut asked, mut count) = (0, 0, 0);
            for (name, value) in known {
                used += value;
                asked += requests[name];
                count += 1;
            }
            if asked == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let utilization = used * 100 / asked;
            Ok(Ratio {
                ratio: fraction(utilization, i128::from(wanted)),
                utilization: Some(i32::try_from(utilization).unwrap_or(i32::MAX)),
                average: used / count.max(1),
            })
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ratios are compared to a tenth")]
fn fraction(of: i128, by: i128) -> f64 {
    if by == 0 { 0.0 } else { of as f64 / by as f64 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts of pods are small, and `as` stops at the largest number"
)]
fn ceil(ratio: f64, count: usize) -> i32 {
    (ratio * count as f64).ceil() as i32
}
