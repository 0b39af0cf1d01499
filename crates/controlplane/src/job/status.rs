//! What a Job shows of its pods, after what was done to them.

use std::collections::HashSet;
use std::convert::Infallible;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::{Change, Note, ObjectRef, Outcome, Plan};
use serde_json::{Value, json};

use super::World;
use super::look::{Look, ToNote, Verdict};
use super::plan::done;
use crate::pod;

/// Uids that a status holds at most: more of them would make it too large.
const UNCOUNTED_MAX: usize = 500;

/// What was done to the pods.
pub(super) struct Done<'a> {
    created: i64,
    deleted: HashSet<&'a str>,
    untracked: HashSet<&'a str>,
}

/// What the Job has come to.
pub(super) struct Conclusion {
    pub status: JobStatus,
    pub events: Vec<Event>,
    /// There is more to do as soon as the status is written.
    pub is_unfinished: bool,
}

/// Something that users are told.
pub(super) struct Event {
    pub is_warning: bool,
    pub reason: &'static str,
    pub message: String,
}

impl<'a> Done<'a> {
    /// When these changes are made.
    pub(super) fn of(changes: &'a [Change<Infallible>]) -> Self {
        let (created, deleted, untracked) = done(changes);
        Self {
            created: i64::try_from(created).unwrap_or(i64::MAX),
            deleted,
            untracked,
        }
    }

    fn has_deleted(&self, pod: &Pod) -> bool {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.deleted.contains(name)
    }

    fn has_untracked(&self, pod: &Pod) -> bool {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.untracked.contains(name)
    }
}

pub(super) fn status(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Value> {
    let look = Look::at(world, now)?;
    let made = plan.changes.get(..outcome.done).unwrap_or(&plan.changes);
    Some(json!(conclude(&look, &Done::of(made)).status))
}

/// Where the Job stands after what was done.
pub(super) fn conclude(look: &Look<'_>, done: &Done<'_>) -> Conclusion {
    let count = |pods: &mut dyn Iterator<Item = &Pod>| i64::try_from(pods.count()).unwrap_or(0);
    let kept = || look.active().filter(|pod| !done.has_deleted(pod));
    let deleted = || look.active().filter(|pod| done.has_deleted(pod));
    let active = count(&mut kept()) + done.created;
    let terminating = count(&mut look.terminating()) + count(&mut deleted());
    let ready = count(&mut kept().filter(|pod| pod::is_ready(pod)));
    let mut after = Conclusion {
        status: look.status.clone(),
        events: vec![],
        is_unfinished: false,
    };
    let small = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    after.status.active = Some(small(active));
    after.status.ready = Some(small(ready));
    after.status.terminating = Some(small(terminating));
    if after.status.start_time.is_none() && !look.is_suspended() {
        after.status.start_time = Some(time(look.now));
    }
    let verdict = look.verdict.clone().or_else(|| completion(look, active));
    if verdict.is_none() && !look.is_deleting() {
        after.suspension(look);
    }
    let is_pending = after.count(look, done);
    after.is_unfinished = is_pending;
    if let Some(indexed) = &look.indexed {
        let text = indexed.succeeded.to_string();
        after.status.completed_indexes = Some(text).filter(|text| !text.is_empty());
        after.status.succeeded = Some(small(i64::from(indexed.succeeded.count())));
        let failed = indexed.failed.as_ref();
        after.status.failed_indexes = failed.map(|(_, all)| all.to_string());
    }
    match &verdict {
        Some(verdict) if !verdict.is_recorded => {
            let ty = if verdict.has_failed {
                "FailureTarget"
            } else {
                "SuccessCriteriaMet"
            };
            after.set(look.now, ty, "True", &verdict.reason, &verdict.message);
            after.is_unfinished = true;
        }
        Some(verdict) if active == 0 && terminating == 0 && !is_pending => {
            after.finish(look, verdict);
        }
        Some(_) | None => {}
    }
    for number in [
        &mut after.status.active,
        &mut after.status.succeeded,
        &mut after.status.failed,
    ] {
        *number = number.filter(|number| *number != 0);
    }
    after
}

/// Whether enough pods have succeeded.
fn completion(look: &Look<'_>, active: i64) -> Option<Verdict> {
    let is_enough = match look.completions() {
        // The others are waited for.
        None => look.succeeded > 0,
        Some(completions) => look.succeeded >= completions,
    };
    (is_enough && active == 0).then(|| Verdict {
        has_failed: false,
        reason: "CompletionsReached".into(),
        message: "Reached expected number of succeeded pods".into(),
        is_recorded: false,
    })
}

impl Conclusion {
    /// Notes pods that came to an end, and counts those that were noted and let go. Whether some are still to be let go.
    fn count(&mut self, look: &Look<'_>, done: &Done<'_>) -> bool {
        let mut noted = look
            .status
            .uncounted_terminated_pods
            .clone()
            .unwrap_or_default();
        let held: HashSet<&str> = look
            .pods
            .iter()
            .filter(|mine| mine.is_tracked && !done.has_untracked(mine.pod))
            .filter_map(|mine| mine.pod.metadata.uid.as_deref())
            .collect();
        for (uids, counter) in [
            (&mut noted.succeeded, &mut self.status.succeeded),
            (&mut noted.failed, &mut self.status.failed),
        ] {
            let uids = uids.get_or_insert_default();
            let before = uids.len();
            uids.retain(|uid| held.contains(uid.as_str()));
            let gone = i32::try_from(before - uids.len()).unwrap_or(i32::MAX);
            *counter = Some(counter.unwrap_or(0).saturating_add(gone));
        }
        let mut is_pending = false;
        for mine in &look.pods {
            if !look.is_dispensable(mine) || done.has_untracked(mine.pod) {
                continue;
            }
            is_pending = true;
            let total = noted.succeeded.as_ref().map_or(0, Vec::len)
                + noted.failed.as_ref().map_or(0, Vec::len);
            let list = match look.note(mine.pod) {
                ToNote::Success => &mut noted.succeeded,
                ToNote::Failure => &mut noted.failed,
                ToNote::Nothing | ToNote::Index => continue,
            };
            if let Some(uid) = &mine.pod.metadata.uid
                && total < UNCOUNTED_MAX
            {
                list.get_or_insert_default().push(uid.clone());
            }
        }
        let some = |uids: Option<Vec<String>>| uids.filter(|uids| !uids.is_empty());
        self.status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            succeeded: some(noted.succeeded),
            failed: some(noted.failed),
        });
        is_pending
    }

    /// Whether the Job rests.
    fn suspension(&mut self, look: &Look<'_>) {
        if look.is_suspended() {
            if self.set(
                look.now,
                "Suspended",
                "True",
                "JobSuspended",
                "Job suspended",
            ) {
                self.tell("Suspended", "Job suspended");
                self.status.start_time = None;
            }
        } else if self.set(look.now, "Suspended", "False", "JobResumed", "Job resumed") {
            self.tell("Resumed", "Job resumed");
            // What counts against the deadline is the time without a rest.
            self.status.start_time = Some(time(look.now));
        }
    }

    fn finish(&mut self, look: &Look<'_>, verdict: &Verdict) {
        // A pod that outran a suspension may end a Job whose start was taken back. The API asks for one, unless the Job
        // never had anything to do.
        if self.status.start_time.is_none() && look.completions() != Some(0) {
            self.status.start_time = Some(time(look.now));
        }
        let (reason, message) = (verdict.reason.as_str(), verdict.message.as_str());
        if verdict.has_failed {
            self.set(look.now, "Failed", "True", reason, message);
            self.events.push(Event {
                is_warning: true,
                reason: told(reason),
                message: message.to_owned(),
            });
            return;
        }
        self.set(look.now, "Complete", "True", reason, message);
        self.status.completion_time = Some(time(look.now));
        let succeeded = i64::from(self.status.succeeded.unwrap_or(0));
        if look.completions().is_some_and(|wanted| succeeded > wanted) {
            self.events.push(Event {
                is_warning: true,
                reason: "TooManySucceededPods",
                message: "Too many succeeded pods running after completion count reached".into(),
            });
        }
        self.tell("Completed", "Job completed");
    }

    fn tell(&mut self, reason: &'static str, message: &str) {
        self.events.push(Event {
            is_warning: false,
            reason,
            message: message.to_owned(),
        });
    }

    /// Sets a condition; whether anything changed. What never was true is not said to be false.
    fn set(&mut self, now: Timestamp, ty: &str, status: &str, reason: &str, message: &str) -> bool {
        let new = JobCondition {
            type_: ty.into(),
            status: status.into(),
            last_probe_time: Some(time(now)),
            last_transition_time: Some(time(now)),
            reason: Some(reason.into()),
            message: Some(message.into()),
        };
        let conditions = self.status.conditions.get_or_insert_default();
        match conditions.iter_mut().find(|c| c.type_ == ty) {
            Some(old)
                if (&old.status, &old.reason, &old.message)
                    == (&new.status, &new.reason, &new.message) =>
            {
                false
            }
            Some(old) => {
                *old = new;
                true
            }
            None if status == "False" => false,
            None => {
                conditions.push(new);
                true
            }
        }
    }
}

/// Kubernetes' times have whole seconds.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The reason of the event about a Job that failed.
fn told(reason: &str) -> &'static str {
    const REASONS: [&str; 5] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
    ];
    let known = REASONS.into_iter().find(|known| *known == reason);
    known.unwrap_or("Failed")
}

/// The event about a pod that could not be created, deleted or changed.
pub(super) fn refusal(plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
    let message = outcome.failure.as_ref().map(|f| f.message.as_str());
    let message = message.unwrap_or_default();
    let (reason, doing, prefix) = match plan.changes.get(outcome.done) {
        Some(Change::Delete { target, .. }) => {
            ("FailedDelete", "deleting", format!("deleting {target}: "))
        }
        Some(Change::Create(pod) | Change::Apply(pod) | Change::ApplyStatus(pod)) => (
            "FailedCreate",
            "creating",
            format!("{}: ", ObjectRef::of(pod)),
        ),
        Some(Change::Patch { target, .. }) => ("FailedUpdate", "updating", format!("{target}: ")),
        Some(Change::Act(never)) => match *never {},
        None => ("FailedUpdate", "updating", String::new()),
    };
    let message = message.strip_prefix(&prefix).unwrap_or(message);
    Note {
        about: None,
        warning: true,
        reason,
        message: format!("Error {doing}: {message}"),
        after: None,
    }
}
