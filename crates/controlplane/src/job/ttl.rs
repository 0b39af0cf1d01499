//! Jobs with `ttlSecondsAfterFinished` are deleted when they have been over for that long.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Preconditions};
use runtime::{Change, Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

use super::look::condition;

/// Deletes Jobs that have been over for long enough, with their pods first.
#[derive(Debug, Default)]
pub struct TtlController;

/// Deletes the Job, in the foreground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expire;

impl Reconciler for TtlController {
    const NAME: &'static str = "ttl-after-finished";
    const REPORTER: &'static str = "ttl-after-finished-controller";
    type Object = Job;
    type World = Job;
    type Act = Expire;

    async fn gather(&self, _: &Cx, job: &Job) -> Result<Job, GatherError> {
        Ok(job.clone())
    }

    fn plan(job: &Job, now: Timestamp) -> Plan<Expire> {
        let mut plan = Plan::default();
        match expiry(job) {
            Some(at) if at <= now => plan.changes.push(Change::Act(Expire)),
            Some(at) => plan.again_at(at, now),
            None => {}
        }
        plan
    }

    async fn act(&self, cx: &Cx, job: &Job, _: &Expire) -> Result<(), Wait> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (namespace, name) = (text(&job.metadata.namespace), text(&job.metadata.name));
        let jobs: Api<Job> = Api::namespaced(cx.client(), &namespace);
        let mut params = DeleteParams::foreground();
        // Its time may have been prolonged since.
        params.preconditions = Some(Preconditions {
            uid: job.metadata.uid.clone(),
            resource_version: job.metadata.resource_version.clone(),
        });
        match jobs.delete(&name, &params).await {
            // It is gone, or has changed: then it is looked at anew.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            Err(error) => Err(Wait {
                reason: "FailedDelete",
                message: format!("deleting the finished Job {namespace}/{name}: {error}"),
            }),
            Ok(_) => Ok(()),
        }
    }

    fn status(_: &Job, _: &Plan<Expire>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

/// When the Job is to be deleted, if it is over and there is a limit.
fn expiry(job: &Job) -> Option<Timestamp> {
    let limit = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let over = condition(job, "Complete").or_else(|| condition(job, "Failed"))?;
    let since = over.last_transition_time.as_ref()?.0;
    let limit = SignedDuration::from_secs(i64::from(limit));
    Some(since.checked_add(limit).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(spec: &Value, conditions: &Value) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": "j"}, "spec": spec, "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    fn a_job_goes_when_its_time_is_over() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let ended = |ty: &str| json!([{"type": ty, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let spec = |limit: Option<i64>| json!({"template": {}, "ttlSecondsAfterFinished": limit});
        let show = |job: &Job| TtlController::plan(job, now).to_string();
        assert_eq!(
            show(&job(&spec(Some(60)), &ended("Complete"))),
            "act Expire\n"
        );
        assert_eq!(show(&job(&spec(Some(0)), &ended("Failed"))), "act Expire\n");
        assert_eq!(
            show(&job(&spec(Some(100)), &ended("Failed"))),
            "again in 40s\n"
        );
        assert_eq!(show(&job(&spec(None), &ended("Failed"))), "");
        assert_eq!(show(&job(&spec(Some(0)), &ended("SuccessCriteriaMet"))), "");
        let mut going = job(&spec(Some(0)), &ended("Complete"));
        going.metadata.deletion_timestamp = serde_json::from_value(json!(now)).unwrap();
        assert_eq!(show(&going), "");
    }
}
