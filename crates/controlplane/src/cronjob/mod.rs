//! CronJobs make Jobs at set times.
//!
//! Reads CronJobs and the Jobs that they control; writes Jobs (creates, deletes) and the CronJob's status. A pass looks for
//! the last time at which a Job was due; times missed before it are not made up for. Between them nothing runs: the
//! next time is a timer.

mod plan;
mod schedule;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use runtime::{Cx, GatherError, Note, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

/// Makes the Jobs of CronJobs.
#[derive(Debug, Default)]
pub struct CronJobController;

/// One CronJob and the Jobs that it controls.
pub struct World {
    pub(crate) cron_job: CronJob,
    pub(crate) jobs: Vec<Arc<Job>>,
}

impl Reconciler for CronJobController {
    const NAME: &'static str = "cronjob";
    const REPORTER: &'static str = "cronjob-controller";
    type Object = CronJob;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, cron_job: &CronJob) -> Result<World, GatherError> {
        let meta = &cron_job.metadata;
        let uid = meta.uid.as_deref().unwrap_or_default();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let mut jobs = cx
            .list::<Job>(Some(namespace), &Selector::owner(uid))
            .await?;
        let controls = |job: &Job| {
            let mut owners = job.metadata.owner_references.iter().flatten();
            owners.any(|owner| owner.uid == uid && owner.controller == Some(true))
        };
        jobs.retain(|job| controls(job));
        Ok(World {
            cron_job: cron_job.clone(),
            jobs,
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }

    fn refusal(_: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
        status::refusal(plan, outcome)
    }
}
