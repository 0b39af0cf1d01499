//! Pods whose Job is over or gone carry its finalizer for nothing: nobody will count them.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

use super::facts::{is_managed_elsewhere, is_tracked};
use super::{is_over, plan};
use crate::pod;

/// Frees pods of the tracking finalizer that no Job waits for.
#[derive(Debug, Default)]
pub struct OrphanController;

/// A pod, and its Job if the Job is there.
pub struct World {
    pub(crate) pod: Pod,
    pub(crate) job: Option<Arc<Job>>,
}

impl Reconciler for OrphanController {
    const NAME: &'static str = "job-orphan";
    const REPORTER: &'static str = "job-controller";
    type Object = Pod;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, pod: &Pod) -> Result<World, GatherError> {
        let owner = pod::controller(pod).filter(|_| is_tracked(pod));
        let mut job = None;
        if let Some(owner) = owner.filter(|owner| is_job(owner)) {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let found = cx.get::<Job>(namespace, &owner.name).await?;
            job = found.filter(|job| job.metadata.uid.as_deref() == Some(&owner.uid));
        }
        Ok(World {
            pod: pod.clone(),
            job,
        })
    }

    fn plan(world: &World, _: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        let is_waited_for = world
            .job
            .as_ref()
            .is_some_and(|job| !is_over(job) || is_managed_elsewhere(job.spec.as_ref()));
        let is_foreign = pod::controller(&world.pod).is_some_and(|owner| !is_job(owner));
        if is_tracked(&world.pod) && !is_waited_for && !is_foreign {
            plan.changes.push(plan::untrack(&world.pod));
        }
        plan
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

fn is_job(owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference) -> bool {
    owner.kind == "Job" && owner.api_version == "batch/v1"
}
