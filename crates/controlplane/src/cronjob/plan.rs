//! Which Jobs to make and which to delete.

use std::convert::Infallible;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJobSpec, Job};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, ObjectRef, Plan};
use serde_json::json;

use super::World;
use super::schedule::Schedule;

/// Says for which time a Job was made.
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than these are told: there may be something wrong with a clock.
const MISSED_MANY: i64 = 100;

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Failed,
}

/// How a Job ended, if it did.
pub(super) fn end(job: &Job) -> Option<End> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .filter(|c| c.status == "True")
        .find_map(|c| match c.type_.as_str() {
            "Complete" => Some(End::Complete),
            "Failed" => Some(End::Failed),
            _ => None,
        })
}

/// The Jobs that are under way.
pub(super) fn active(world: &World) -> impl Iterator<Item = &Job> {
    let jobs = world.jobs.iter().map(|job| &**job);
    jobs.filter(|job| end(job).is_none())
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    let spec = &world.cron_job.spec;
    if world.cron_job.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    tell_ends(world, &mut plan);
    clean_up(world, spec, &mut plan);
    if spec.suspend != Some(true) {
        follow(world, spec, now, &mut plan);
    }
    plan
}

/// What the status still calls active and is over.
fn tell_ends(world: &World, plan: &mut Plan<Infallible>) {
    let status = world.cron_job.status.as_ref();
    for reference in status.and_then(|s| s.active.as_ref()).into_iter().flatten() {
        let name = reference.name.as_deref().unwrap_or_default();
        let job = world
            .jobs
            .iter()
            .find(|job| job.metadata.uid == reference.uid);
        match job.map(|job| end(job)) {
            Some(Some(end)) => plan.note(
                "SawCompletedJob",
                format!("Saw completed job: {name}, condition: {end:?}"),
            ),
            Some(None) => {}
            None => plan.note("MissingJob", format!("Active job went missing: {name}")),
        }
    }
}

/// Deletes what is over and beyond what shall be kept, the oldest first.
fn clean_up(world: &World, spec: &CronJobSpec, plan: &mut Plan<Infallible>) {
    for (kind, limit) in [
        (
            End::Complete,
            spec.successful_jobs_history_limit.unwrap_or(3),
        ),
        (End::Failed, spec.failed_jobs_history_limit.unwrap_or(1)),
    ] {
        let jobs = world.jobs.iter().map(|job| &**job);
        let mut over: Vec<&Job> = jobs.filter(|job| end(job) == Some(kind)).collect();
        over.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|s| s.start_time.as_ref());
            (started.map(|t| t.0), job.metadata.name.clone())
        });
        let kept = usize::try_from(limit).unwrap_or(0);
        let surplus = over.len().saturating_sub(kept);
        for job in &over[..surplus] {
            delete(job, plan);
        }
    }
}

fn delete(job: &Job, plan: &mut Plan<Infallible>) {
    let name = job.metadata.name.clone().unwrap_or_default();
    if job.metadata.deletion_timestamp.is_some() {
        return;
    }
    let message = format!("Deleted job {name}");
    let change = Change::Delete {
        target: ObjectRef {
            group: "batch".into(),
            version: "v1".into(),
            kind: "Job".into(),
            namespace: job.metadata.namespace.clone().unwrap_or_default(),
            name,
        },
        uid: job.metadata.uid.clone(),
    };
    plan.change(change, "SuccessfulDelete", message);
}

/// Makes the Job that is due, and sets the timer for the next.
fn follow(world: &World, spec: &CronJobSpec, now: Timestamp, plan: &mut Plan<Infallible>) {
    let zone = match zone(spec) {
        Ok(zone) => zone,
        Err(why) => return plan.warn("UnknownTimeZone", why),
    };
    let schedule = match Schedule::parse(&spec.schedule) {
        Ok(schedule) => schedule,
        Err(why) => {
            let text = &spec.schedule;
            return plan.warn(
                "UnparseableSchedule",
                format!("unparseable schedule: {text:?} : {why}"),
            );
        }
    };
    let since = since(world, spec, now);
    if let Some(next) = schedule.next(since, now, &zone) {
        plan.again_at(next, now);
    }
    let Some(due) = schedule.last(since, now, &zone) else {
        return;
    };
    if schedule.missed(since, now, &zone) > MISSED_MANY {
        plan.warn(
            "TooManyMissedTimes",
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        );
    }
    let deadline = spec
        .starting_deadline_seconds
        .map(SignedDuration::from_secs);
    if deadline.is_some_and(|deadline| now.duration_since(due) > deadline) {
        let shown = due
            .to_zoned(zone)
            .strftime("%a, %d %b %Y %H:%M:%S %z")
            .to_string();
        let message = format!("Missed scheduled time to start a job: {shown}");
        return plan.warn("MissSchedule", message);
    }
    let name = job_name(world, due);
    if world
        .jobs
        .iter()
        .any(|job| job.metadata.name.as_ref() == Some(&name))
    {
        return;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if active(world).next().is_some() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return plan.note("JobAlreadyActive", message);
        }
        Some("Replace") => active(world).for_each(|job| delete(job, plan)),
        _ => {}
    }
    let message = format!("Created job {name}");
    let job = job(world, spec, &name, shown(due, zone));
    plan.change(Change::Create(Box::new(job)), "SuccessfulCreate", message);
}

/// A time as its zone's clocks show it; `Z` where they show UTC.
fn shown(at: Timestamp, zone: TimeZone) -> String {
    let zoned = at.to_zoned(zone);
    let format = if zoned.offset() == Offset::UTC {
        "%Y-%m-%dT%H:%M:%SZ"
    } else {
        "%Y-%m-%dT%H:%M:%S%:z"
    };
    zoned.strftime(format).to_string()
}

/// From when on times count: since the last one that had its Job, or since the CronJob is there, but none that is later
/// than its deadline.
fn since(world: &World, spec: &CronJobSpec, now: Timestamp) -> Timestamp {
    let status = world.cron_job.status.as_ref();
    let last = status.and_then(|s| s.last_schedule_time.as_ref());
    let created = world.cron_job.metadata.creation_timestamp.as_ref();
    let since = last.or(created).map_or(now, |t| t.0);
    let Schedule::Fields(_) = Schedule::parse(&spec.schedule).unwrap_or(Schedule::Every(1)) else {
        // It counts from its beginning.
        return since;
    };
    let earliest = spec
        .starting_deadline_seconds
        .and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
    earliest.map_or(since, |earliest| since.max(earliest))
}

fn zone(spec: &CronJobSpec) -> Result<TimeZone, String> {
    match spec.time_zone.as_deref() {
        None | Some("") => Ok(TimeZone::UTC),
        Some(name) => apiserver::zone(name)
            .ok_or_else(|| format!("invalid timeZone: {name:?}: unknown time zone {name}")),
    }
}

/// `<name>-<minutes since 1970>`.
fn job_name(world: &World, due: Timestamp) -> String {
    let name = world.cron_job.metadata.name.as_deref().unwrap_or_default();
    format!("{name}-{}", due.as_second() / 60)
}

/// The time for which a Job of this plan is made, if one is.
pub(super) fn due(world: &World, job: &str) -> Option<Timestamp> {
    let name = world.cron_job.metadata.name.as_deref().unwrap_or_default();
    let minutes: i64 = job.strip_prefix(name)?.strip_prefix('-')?.parse().ok()?;
    Timestamp::from_second(minutes.checked_mul(60)?).ok()
}

fn job(world: &World, spec: &CronJobSpec, name: &str, due: String) -> DynamicObject {
    let meta = &world.cron_job.metadata;
    let resource = ApiResource::erase::<Job>(&());
    let mut job =
        DynamicObject::new(name, &resource).within(meta.namespace.as_deref().unwrap_or_default());
    let template = &spec.job_template;
    let given = template.metadata.as_ref();
    job.metadata.labels = given.and_then(|m| m.labels.clone());
    let mut annotations = given
        .and_then(|m| m.annotations.clone())
        .unwrap_or_default();
    annotations.insert(SCHEDULED_AT.into(), due);
    job.metadata.annotations = Some(annotations);
    job.metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]))
    .ok();
    job.data = json!({"spec": template.spec});
    job
}
