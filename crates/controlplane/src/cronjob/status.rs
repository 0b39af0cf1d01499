//! What a CronJob shows of its Jobs.

use std::convert::Infallible;

use jiff::Timestamp;
use runtime::{Change, Note, Outcome, Plan, rfc3339};
use serde_json::{Value, json};

use super::World;
use super::plan::{End, active, due, end};

pub(super) fn status(
    world: &World,
    plan: &Plan<Infallible>,
    outcome: &Outcome,
    _now: Timestamp,
) -> Value {
    let old = world.cron_job.status.as_ref();
    let done = &plan.changes[..outcome.done.min(plan.changes.len())];
    let is_deleted = |name: &str| {
        done.iter()
            .any(|change| matches!(change, Change::Delete { target, .. } if target.name == name))
    };
    let references: Vec<Value> = active(world)
        .map(|job| &job.metadata)
        .filter(|meta| !is_deleted(meta.name.as_deref().unwrap_or_default()))
        .map(|meta| {
            json!({
                "apiVersion": "batch/v1", "kind": "Job", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            })
        })
        .collect();
    let mut status = json!({});
    if !references.is_empty() {
        status["active"] = references.into();
    }
    let created = done.iter().find_map(|change| match change {
        Change::Create(job) => due(world, job.metadata.name.as_deref().unwrap_or_default()),
        _ => None,
    });
    // A Job that is there was made for its time, even if nobody could write that down.
    let known = world.jobs.iter().filter_map(|job| {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        due(world, name)
    });
    let last = old.and_then(|s| s.last_schedule_time.as_ref()).map(|t| t.0);
    if let Some(last) = last.into_iter().chain(created).chain(known).max() {
        status["lastScheduleTime"] = rfc3339(last).into();
    }
    let succeeded = world
        .jobs
        .iter()
        .filter(|job| end(job) == Some(End::Complete))
        .filter_map(|job| Some(job.status.as_ref()?.completion_time.as_ref()?.0));
    let before = old
        .and_then(|s| s.last_successful_time.as_ref())
        .map(|t| t.0);
    if let Some(last) = succeeded.chain(before).max() {
        status["lastSuccessfulTime"] = rfc3339(last).into();
    }
    status
}

/// The event about a Job that could not be made or deleted.
pub(super) fn refusal(plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
    let message = outcome.failure.as_ref().map_or("", |f| f.message.as_str());
    let (reason, doing) = match plan.changes.get(outcome.done) {
        Some(Change::Delete { .. }) => ("FailedDelete", "Deleted job: "),
        _ => ("FailedCreate", "Error creating job: "),
    };
    Note {
        about: None,
        warning: true,
        reason,
        message: format!("{doing}{message}"),
        after: None,
    }
}
