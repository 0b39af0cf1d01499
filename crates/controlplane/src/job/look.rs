//! Where a Job stands: its pods counted, and whether it has succeeded or failed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::backoff::Failures;
use super::facts::{
    self, all_index_failures, finished_at, has_failed, has_succeeded, index, index_failures,
    is_terminating, is_tracked,
};
use super::indexes::Indexes;
use super::policy::{self, Meaning};
use super::{World, is_ours_to_run};
use crate::pod;

/// Whose pod it is, seen from one Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Ours, and it matches.
    Own,
    /// Ours by reference, but it no longer matches.
    Released,
    /// Matches and has no controller.
    Orphan,
    /// Somebody else's.
    Foreign,
}

/// How a Job is going to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub has_failed: bool,
    pub reason: String,
    pub message: String,
    /// The status says so already.
    pub is_recorded: bool,
}

/// One pod of the Job.
#[derive(Clone, Copy)]
pub(super) struct Mine<'a> {
    pub pod: &'a Pod,
    /// Carries the finalizer, or is about to when it is adopted.
    pub is_tracked: bool,
    pub is_orphan: bool,
}

/// The indexes of an indexed Job.
pub(super) struct Indexed<'a> {
    pub completions: u32,
    /// What the status has of the succeeded ones.
    pub recorded: Indexes,
    pub succeeded: Indexes,
    /// With a limit per index: what the status has of the failed ones, and all of them.
    pub failed: Option<(Indexes, Indexes)>,
    /// The pod that failed last of each index for which another is to be made: it stays until then, because it tells
    /// how often its index failed.
    pub awaiting: BTreeMap<u32, &'a Pod>,
}

/// Where one Job stands at one moment.
pub(super) struct Look<'a> {
    pub job: &'a Job,
    pub spec: &'a JobSpec,
    pub status: JobStatus,
    pub now: Timestamp,
    pub pods: Vec<Mine<'a>>,
    /// Pods noted as succeeded and failed, that may not be counted yet.
    pub uncounted: (HashSet<String>, HashSet<String>),
    pub succeeded: i64,
    pub failed: i64,
    pub failures: Failures,
    pub indexed: Option<Indexed<'a>>,
    pub verdict: Option<Verdict>,
}

/// A condition of the Job, if it is true.
pub(super) fn condition<'a>(job: &'a Job, ty: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|c| c.type_ == ty && c.status == "True")
}

/// Whose pod it is.
pub(super) fn claim(job: &Job, pod: &Pod) -> Claim {
    let spec = job.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let matches = selector.is_some_and(|selector| pod::matches(selector, pod));
    let is_going = job.metadata.deletion_timestamp.is_some();
    match pod::controller(pod) {
        Some(owner) if Some(owner.uid.as_str()) == job.metadata.uid.as_deref() => {
            // A Job that goes lets none of its pods go.
            if matches || is_going {
                Claim::Own
            } else {
                Claim::Released
            }
        }
        None if matches && !is_going && pod.metadata.deletion_timestamp.is_none() => Claim::Orphan,
        _ => Claim::Foreign,
    }
}

impl<'a> Look<'a> {
    /// `None` for a Job that is over or run by somebody else.
    pub(super) fn at(world: &'a World, now: Timestamp) -> Option<Self> {
        let job = &world.job;
        let spec = job.spec.as_ref().filter(|_| is_ours_to_run(job))?;
        let claimed = world.pods.iter().filter_map(|pod| {
            let is_orphan = match claim(job, pod) {
                Claim::Own => false,
                Claim::Orphan => true,
                Claim::Released | Claim::Foreign => return None,
            };
            let is_tracked = is_orphan || is_tracked(pod);
            Some(Mine {
                pod,
                is_tracked,
                is_orphan,
            })
        });
        let status = job.status.clone().unwrap_or_default();
        let noted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        let set = |uids: Option<Vec<String>>| uids.into_iter().flatten().collect();
        let mut look = Self {
            job,
            spec,
            now,
            pods: claimed.collect(),
            uncounted: (set(noted.succeeded), set(noted.failed)),
            succeeded: 0,
            failed: 0,
            failures: Failures::default(),
            indexed: None,
            verdict: None,
            status,
        };
        look.pods
            .sort_by_key(|mine| (index(mine.pod), mine.pod.metadata.name.clone()));
        look.count();
        look.verdict = look
            .recorded_verdict()
            .or_else(|| look.failure())
            .or_else(|| look.enough_indexes());
        Some(look)
    }

    /// How many pods or indexes are to succeed; `None` if the first success is enough.
    pub(super) fn completions(&self) -> Option<i64> {
        self.spec.completions.map(i64::from)
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.job.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &'a Pod> {
        let pods = self.pods.iter().map(|mine| mine.pod);
        pods.filter(|pod| pod::is_active(pod))
    }

    pub(super) fn terminating(&self) -> impl Iterator<Item = &'a Pod> {
        let pods = self.pods.iter().map(|mine| mine.pod);
        pods.filter(|pod| is_terminating(pod))
    }

    /// The index of an indexed Job's pod, if it is one that the Job has.
    fn slot(&self, pod: &Pod) -> Option<u32> {
        let indexed = self.spec.completion_mode.as_deref() == Some("Indexed");
        let completions = u32::try_from(self.spec.completions.unwrap_or(0)).unwrap_or(0);
        index(pod).filter(|index| indexed && *index < completions)
    }

    /// Whether the pod can be one of those that count: of an indexed Job only those with one of its indexes.
    pub(super) fn is_valid(&self, pod: &Pod) -> bool {
        self.spec.completion_mode.as_deref() != Some("Indexed") || self.slot(pod).is_some()
    }

    /// Counts the pods.
    fn count(&mut self) {
        let is_noted = |set: &HashSet<String>, pod: &Pod| {
            pod.metadata
                .uid
                .as_ref()
                .is_some_and(|uid| set.contains(uid))
        };
        let ours = |mine: &&Mine<'a>| self.is_valid(mine.pod);
        let tracked: Vec<&'a Pod> = self
            .pods
            .iter()
            .filter(ours)
            .filter(|mine| mine.is_tracked)
            .map(|mine| mine.pod)
            .collect();
        let (noted_succeeded, noted_failed) = &self.uncounted;
        let new_succeeded = tracked.iter().filter(|pod| {
            has_succeeded(pod) && !is_noted(noted_succeeded, pod) && !is_noted(noted_failed, pod)
        });
        let new_failed = tracked.iter().filter(|pod| {
            has_failed(pod, self.spec)
                && !is_noted(noted_failed, pod)
                && policy::failure(self.spec, pod).counts()
        });
        let sum = |counted: Option<i32>, noted: usize, new: usize| {
            i64::from(counted.unwrap_or(0)) + i64::try_from(noted + new).unwrap_or(i64::MAX)
        };
        let succeeded = sum(
            self.status.succeeded,
            noted_succeeded.len(),
            new_succeeded.count(),
        );
        let failed = sum(self.status.failed, noted_failed.len(), new_failed.count());
        // Those that were counted are there still, unless they are going.
        let is_known = |mine: &&Mine<'a>| {
            mine.is_tracked
                || (mine.pod.metadata.deletion_timestamp.is_none() && pod::is_over(mine.pod))
        };
        let known = self.pods.iter().filter(is_known).filter(ours);
        let (good, bad): (Vec<_>, Vec<_>) = known
            .map(|mine| mine.pod)
            .filter(|pod| has_succeeded(pod) || has_failed(pod, self.spec))
            .partition(|pod| has_succeeded(pod));
        self.failures = Failures::of(&good, &bad);
        (self.succeeded, self.failed) = (succeeded, failed);
        if self.spec.completion_mode.as_deref() == Some("Indexed") {
            let indexed = self.indexes(&tracked);
            self.succeeded = i64::from(indexed.succeeded.count());
            self.indexed = Some(indexed);
        }
    }

    fn indexes(&self, tracked: &[&'a Pod]) -> Indexed<'a> {
        let completions = u32::try_from(self.spec.completions.unwrap_or(0)).unwrap_or(0);
        let read = |text: &Option<String>| {
            Indexes::parse(text.as_deref().unwrap_or_default(), completions)
        };
        let recorded = read(&self.status.completed_indexes);
        let slots = |pods: &mut dyn Iterator<Item = &'a Pod>| -> BTreeSet<u32> {
            pods.filter_map(|pod| self.slot(pod)).collect()
        };
        let all = || tracked.iter().copied();
        let succeeded = recorded.with(&slots(&mut all().filter(|pod| has_succeeded(pod))));
        let mut awaiting: BTreeMap<u32, &'a Pod> = BTreeMap::new();
        let failed = self.spec.backoff_limit_per_index.map(|limit| {
            let before = read(&self.status.failed_indexes);
            let ended = slots(&mut all().filter(|pod| self.has_failed_for_good(pod, limit)));
            let failed = before.with(&ended);
            let active = slots(&mut self.active());
            for pod in all().filter(|pod| has_failed(pod, self.spec)) {
                let Some(slot) = self.slot(pod) else { continue };
                if succeeded.has(slot) || failed.has(slot) || active.contains(&slot) {
                    continue;
                }
                let newest = awaiting.entry(slot).or_insert(pod);
                if all_index_failures(newest) <= all_index_failures(pod)
                    && finished_at(newest) <= finished_at(pod)
                {
                    *newest = pod;
                }
            }
            (before, failed)
        });
        Indexed {
            completions,
            recorded,
            succeeded,
            failed,
            awaiting,
        }
    }

    /// Whether with this pod its index has failed.
    fn has_failed_for_good(&self, pod: &Pod, limit: i32) -> bool {
        has_failed(pod, self.spec)
            && match policy::failure(self.spec, pod) {
                Meaning::FailsIndex => true,
                Meaning::Ignored => false,
                Meaning::Counts | Meaning::FailsJob(_) => index_failures(pod) >= limit,
            }
    }

    /// What the status says of the Job's end.
    fn recorded_verdict(&self) -> Option<Verdict> {
        let recorded = |ty: &str, has_failed: bool| {
            let condition = condition(self.job, ty)?;
            Some(Verdict {
                has_failed,
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
                is_recorded: true,
            })
        };
        recorded("SuccessCriteriaMet", false).or_else(|| recorded("FailureTarget", true))
    }

    fn failure(&self) -> Option<Verdict> {
        let failed = |reason: &str, message: &str| {
            Some(Verdict {
                has_failed: true,
                reason: reason.into(),
                message: message.into(),
                is_recorded: false,
            })
        };
        let ended = self
            .pods
            .iter()
            .filter(|mine| has_failed(mine.pod, self.spec));
        for mine in ended {
            if let Meaning::FailsJob(message) = policy::failure(self.spec, mine.pod) {
                return failed("PodFailurePolicy", &message);
            }
        }
        let limit = i64::from(self.spec.backoff_limit.unwrap_or(6));
        if self.failed > limit || self.has_restarted_too_often(limit) {
            let message = "Job has reached the specified backoff limit";
            return failed("BackoffLimitExceeded", message);
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            let message = "Job was active longer than specified deadline";
            return failed("DeadlineExceeded", message);
        }
        let indexed = self.indexed.as_ref()?;
        let (_, indexes) = indexed.failed.as_ref()?;
        let most = self.spec.max_failed_indexes.map(i64::from);
        if most.is_some_and(|most| i64::from(indexes.count()) > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return failed("MaxFailedIndexesExceeded", message);
        }
        let is_done = indexes.count() + indexed.succeeded.count() >= indexed.completions;
        (indexes.count() > 0 && is_done)
            .then(|| failed("FailedIndexes", "Job has failed indexes"))?
    }

    /// Containers that restart in their pods use up the limit as well.
    fn has_restarted_too_often(&self, limit: i64) -> bool {
        let spec = self.spec.template.spec.as_ref();
        if spec.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let restarts: i64 = self.pods.iter().map(|mine| facts::restarts(mine.pod)).sum();
        restarts > 0 && restarts >= limit
    }

    /// How long the Job may still be active; `None` without a deadline.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let limit = self.spec.active_deadline_seconds?;
        if self.is_suspended() {
            return None;
        }
        let start = self.status.start_time.as_ref().map_or(self.now, |t| t.0);
        let end = start.checked_add(SignedDuration::from_secs(limit));
        let left = end.unwrap_or(Timestamp::MAX).duration_since(self.now);
        Some(Duration::try_from(left).unwrap_or_default())
    }

    fn enough_indexes(&self) -> Option<Verdict> {
        let indexed = self.indexed.as_ref()?;
        let policy = self.spec.success_policy.as_ref();
        let message = policy::success(policy, indexed.completions, &indexed.succeeded)?;
        Some(Verdict {
            has_failed: false,
            reason: "SuccessPolicy".into(),
            message,
            is_recorded: false,
        })
    }

    /// Whether the pod's finalizer may go once what there is to know of the pod is on record.
    pub(super) fn is_dispensable(&self, mine: &Mine<'_>) -> bool {
        let pod = mine.pod;
        if !mine.is_tracked {
            return false;
        }
        if self.is_deleting() || self.verdict.is_some() || has_succeeded(pod) {
            return true;
        }
        let awaiting = self
            .indexed
            .as_ref()
            .and_then(|indexed| indexed.awaiting.get(&self.slot(pod)?));
        let awaits = awaiting.is_some_and(|last| last.metadata.uid == pod.metadata.uid);
        has_failed(pod, self.spec) && !awaits
    }

    /// What there is to note of a dispensable pod before it may go.
    pub(super) fn note(&self, pod: &Pod) -> ToNote {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let (succeeded, failed) = &self.uncounted;
        let is_failing = self.verdict.as_ref().is_some_and(|v| v.has_failed);
        if has_succeeded(pod) && !failed.contains(uid) {
            return match &self.indexed {
                // The index is what is noted.
                Some(indexed) => match self.slot(pod) {
                    Some(slot) if !indexed.recorded.has(slot) => ToNote::Index,
                    _ => ToNote::Nothing,
                },
                None if succeeded.contains(uid) => ToNote::Nothing,
                None => ToNote::Success,
            };
        }
        // When a Job fails, so have all pods that it still has.
        let counts = (has_failed(pod, self.spec) || is_failing) && self.is_valid(pod);
        if !counts {
            return ToNote::Nothing;
        }
        if policy::failure(self.spec, pod).counts() && !failed.contains(uid) {
            return ToNote::Failure;
        }
        let failed_indexes = self.indexed.as_ref().and_then(|i| i.failed.as_ref());
        match (failed_indexes, self.slot(pod)) {
            (Some((recorded, all)), Some(slot)) if all.has(slot) && !recorded.has(slot) => {
                ToNote::Index
            }
            _ => ToNote::Nothing,
        }
    }
}

/// What the status has to say before a pod may lose its finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToNote {
    /// It is all there.
    Nothing,
    /// That its index has succeeded, or failed.
    Index,
    /// Its uid, as succeeded.
    Success,
    /// Its uid, as failed.
    Failure,
}
