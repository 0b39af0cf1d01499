//! Jobs run pods until enough of them have succeeded.
//!
//! Reads Jobs and the pods of their namespace; writes pods (creates, adopts, releases, deletes, and takes the tracking
//! finalizer from them) and the Job's status. A pod belongs to the Job that its controller reference names.
//!
//! Every pod is counted exactly once, whatever fails in between. Pods carry the finalizer
//! `batch.kubernetes.io/job-tracking`. A pod that came to its end is first noted in the status (its uid in
//! `uncountedTerminatedPods`, or its index in `completedIndexes`); only in a later pass, when that is on record, the
//! finalizer goes; and a noted uid without a pod that carries the finalizer is what raises the count. The end of a Job
//! goes the same two steps: first `SuccessCriteriaMet` or `FailureTarget`, and when all pods are gone and counted,
//! `Complete` or `Failed`.
//!
//! - `look` works out where a Job stands, `plan` what is to be done, `status` what it shows afterwards: all pure.
//! - [`OrphanController`] frees the pods of Jobs that are over or gone, [`TtlController`] deletes Jobs that are over
//!   for long enough.
//!
//! What is known of a Job's back-off is read from its pods; Kubernetes' controller keeps it in memory.

mod backoff;
mod create;
mod facts;
mod indexes;
mod look;
mod orphan;
mod plan;
mod policy;
mod status;
#[cfg(test)]
mod tests;
mod ttl;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Cx, GatherError, Note, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

pub use orphan::OrphanController;
pub use ttl::TtlController;

/// Runs the pods of Jobs.
#[derive(Debug, Default)]
pub struct JobController;

/// One Job and the pods that are, or could be, its own.
pub struct World {
    pub(crate) job: Job,
    /// All pods of the namespace that match the selector or name the Job as their controller; none for a Job that is
    /// over or run by somebody else.
    pub(crate) pods: Vec<Arc<Pod>>,
}

impl Reconciler for JobController {
    const NAME: &'static str = "job";
    const REPORTER: &'static str = "job-controller";
    type Object = Job;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, job: &Job) -> Result<World, GatherError> {
        let mut world = World {
            job: job.clone(),
            pods: vec![],
        };
        if !is_ours_to_run(job) {
            return Ok(world);
        }
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let spec = job.spec.as_ref();
        if let Some(selector) = spec.and_then(|spec| spec.selector.as_ref()) {
            world.pods = cx
                .list::<Pod>(Some(namespace), &Selector::from(selector))
                .await?;
        }
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let owned = cx
            .list::<Pod>(Some(namespace), &Selector::owner(uid))
            .await?;
        for pod in owned {
            if !world
                .pods
                .iter()
                .any(|known| known.metadata.name == pod.metadata.name)
            {
                world.pods.push(pod);
            }
        }
        Ok(world)
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
        status::status(world, plan, outcome, now)
    }

    fn refusal(_: &World, plan: &Plan<Infallible>, outcome: &Outcome) -> Note {
        status::refusal(plan, outcome)
    }
}

/// Neither over nor run by another controller.
fn is_ours_to_run(job: &Job) -> bool {
    !is_over(job) && !facts::is_managed_elsewhere(job.spec.as_ref())
}

/// Complete or failed.
pub(crate) fn is_over(job: &Job) -> bool {
    ["Complete", "Failed"]
        .iter()
        .any(|ty| look::condition(job, ty).is_some())
}
