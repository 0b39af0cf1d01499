//! Jobs and their pods, from creation to their end.

use serde_json::{Value, json};

use crate::world::World;

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const JOB: &str = "/apis/batch/v1/namespaces/default/jobs/j";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A Job named `j` whose only container runs this script.
fn job(script: &str, spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": ["/bin/sh", "-c", script]}],
        }}},
    });
    for (key, value) in spec.as_object().unwrap() {
        job["spec"][key] = value.clone();
    }
    job
}

fn condition<'a>(job: &'a Value, ty: &str) -> Option<&'a Value> {
    let mut conditions = job["status"]["conditions"].as_array()?.iter();
    conditions.find(|c| c["type"] == ty && c["status"] == "True")
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap()
}

impl World {
    async fn ends(&self, how: &'static str) -> Value {
        self.until(JOB, how, |job| condition(job, how).is_some())
            .await
    }

    /// The reasons of the events about the Job, sorted.
    async fn told(&self, wanted: &str) {
        let path = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind=Job";
        let told = |events: &Value| items(events).iter().any(|event| event["reason"] == wanted);
        self.until(path, wanted, told).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_its_pod_and_completes() {
    let world = World::new(1).await;
    world.post(JOBS, job("./work.sh", json!({}))).await;
    world
        .until(JOB, "the pod is active", |job| job["status"]["active"] == 1)
        .await;
    let job = world.ends("Complete").await;
    let status = &job["status"];
    assert_eq!(status["succeeded"], 1);
    assert_eq!(status["ready"], 0);
    assert_eq!(status["terminating"], 0);
    assert_eq!(status["uncountedTerminatedPods"], json!({}));
    assert!(status["active"].is_null() && status["failed"].is_null());
    assert!(status["startTime"].as_str() <= status["completionTime"].as_str());
    let complete = condition(&job, "Complete").unwrap();
    assert_eq!(complete["reason"], "CompletionsReached");
    assert!(condition(&job, "SuccessCriteriaMet").is_some());
    let pods = world.get(PODS).await;
    let pod = &items(&pods)[0];
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert!(pod["metadata"]["finalizers"].is_null());
    assert_eq!(
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"],
        "j"
    );
    world.told("SuccessfulCreate").await;
    world.told("Completed").await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_pods_fail_gives_up() {
    let world = World::new(1).await;
    world
        .post(JOBS, job("exit 3", json!({"backoffLimit": 2})))
        .await;
    let job = world.ends("Failed").await;
    assert_eq!(job["status"]["failed"], 3);
    let failed = condition(&job, "Failed").unwrap();
    assert_eq!(failed["reason"], "BackoffLimitExceeded");
    assert!(condition(&job, "FailureTarget").is_some());
    world.told("BackoffLimitExceeded").await;
    // The pauses before the second and the third pod.
    let pods = world.get(PODS).await;
    let mut created: Vec<jiff::Timestamp> = items(&pods)
        .iter()
        .map(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap())
        .map(|at| at.parse().unwrap())
        .collect();
    created.sort();
    let gaps: Vec<i64> = created
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).as_secs())
        .collect();
    assert!(
        (10..13).contains(&gaps[0]) && (20..23).contains(&gaps[1]),
        "{gaps:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn containers_restart_in_place_until_the_limit() {
    let world = World::new(1).await;
    let mut job = job("exit 1", json!({"backoffLimit": 2}));
    job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure".into();
    world.post(JOBS, job).await;
    let job = world.ends("Failed").await;
    assert_eq!(job["status"]["failed"], 1);
    world
        .until(PODS, "the pod is gone", |pods| items(pods).is_empty())
        .await;
}

#[tokio::test(start_paused = true)]
async fn indexes_succeed_and_fail_each_for_itself() {
    let world = World::new(1).await;
    let spec = json!({
        "completionMode": "Indexed", "completions": 4, "parallelism": 4, "backoffLimitPerIndex": 1,
    });
    world
        .post(JOBS, job("exit $(expr $JOB_COMPLETION_INDEX % 2)", spec))
        .await;
    let job = world.ends("Failed").await;
    let status = &job["status"];
    assert_eq!(status["completedIndexes"], "0,2");
    assert_eq!(status["failedIndexes"], "1,3");
    assert_eq!(
        (&status["succeeded"], &status["failed"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(
        condition(&job, "Failed").unwrap()["reason"],
        "FailedIndexes"
    );
    let pods = world.get(PODS).await;
    assert_eq!(items(&pods).len(), 6);
    for pod in items(&pods) {
        let index = &pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"];
        let host = format!("j-{}", index.as_str().unwrap());
        assert_eq!(pod["spec"]["hostname"], host);
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with(&format!("{host}-")) && name.len() == host.len() + 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_waits_to_be_resumed() {
    let world = World::new(1).await;
    world
        .post(JOBS, job("sleep 60", json!({"suspend": true})))
        .await;
    let waiting = world.ends("Suspended").await;
    assert!(waiting["status"]["startTime"].is_null());
    let suspend = |is: bool| json!({"spec": {"suspend": is}});
    world.merge(JOB, suspend(false)).await;
    world
        .until(JOB, "a pod runs", |job| job["status"]["ready"] == 1)
        .await;
    world.merge(JOB, suspend(true)).await;
    world
        .until(PODS, "the pod is gone", |pods| items(pods).is_empty())
        .await;
    let waiting = world.ends("Suspended").await;
    assert!(waiting["status"]["failed"].is_null());
    world.merge(JOB, suspend(false)).await;
    let job = world.ends("Complete").await;
    assert_eq!(job["status"]["succeeded"], 1);
    assert!(job["status"]["failed"].is_null());
    world.told("Suspended").await;
    world.told("Resumed").await;
}

#[tokio::test(start_paused = true)]
async fn policies_decide_early() {
    let world = World::new(1).await;
    let rules = json!([
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
    ]);
    world
        .post(
            JOBS,
            job("exit 42", json!({"podFailurePolicy": {"rules": rules}})),
        )
        .await;
    let failed = world.ends("Failed").await;
    let condition = condition(&failed, "Failed").unwrap();
    assert_eq!(condition["reason"], "PodFailurePolicy");
    let pods = world.get(PODS).await;
    let message = format!(
        "Container c for pod default/{} failed with exit code 42 matching FailJob rule at index 1",
        items(&pods)[0]["metadata"]["name"].as_str().unwrap()
    );
    assert_eq!(condition["message"], message);
    world
        .delete(JOB, json!({"propagationPolicy": "Background"}))
        .await;
    world
        .until(PODS, "the pod is gone", |pods| items(pods).is_empty())
        .await;
    let spec = json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    });
    let script = "if [ $JOB_COMPLETION_INDEX -eq 0 ]; then exit 0; fi; sleep 10000";
    world.post(JOBS, job(script, spec)).await;
    let job = world.ends("Complete").await;
    assert_eq!(job["status"]["completedIndexes"], "0");
    assert!(job["status"]["failed"].is_null());
    let met = self::condition(&job, "SuccessCriteriaMet").unwrap();
    assert_eq!(met["reason"], "SuccessPolicy");
    assert_eq!(met["message"], "Matched rules at index 0");
}

#[tokio::test(start_paused = true)]
async fn a_job_has_so_much_time_and_goes_when_it_has_been_over_for_long() {
    let world = World::new(1).await;
    let spec = json!({"activeDeadlineSeconds": 30, "ttlSecondsAfterFinished": 100});
    world.post(JOBS, job("sleep 10000", spec)).await;
    let job = world.ends("Failed").await;
    let failed = condition(&job, "Failed").unwrap();
    assert_eq!(failed["reason"], "DeadlineExceeded");
    let over: jiff::Timestamp = failed["lastTransitionTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    world.until(JOB, "the Job is gone", Value::is_null).await;
    let waited = world.clock.now().duration_since(over).as_secs();
    assert!((100..103).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_job_takes_its_pods_along() {
    for policy in ["Foreground", "Background"] {
        let world = World::new(1).await;
        let spec = json!({"parallelism": 2, "completions": 2});
        world.post(JOBS, job("sleep 10000", spec)).await;
        world
            .until(JOB, "two pods run", |job| job["status"]["ready"] == 2)
            .await;
        world
            .delete(JOB, json!({"propagationPolicy": policy}))
            .await;
        world.until(JOB, "the Job is gone", Value::is_null).await;
        world
            .until(PODS, "the pods are gone", |pods| items(pods).is_empty())
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_job_deleted_without_them_are_free() {
    let world = World::new(1).await;
    world.post(JOBS, job("sleep 10000", json!({}))).await;
    world
        .until(JOB, "a pod runs", |job| job["status"]["ready"] == 1)
        .await;
    world
        .delete(JOB, json!({"propagationPolicy": "Orphan"}))
        .await;
    let is_free = |pods: &Value| {
        let meta = &items(pods)[0]["metadata"];
        meta["ownerReferences"].is_null() && meta["finalizers"].is_null()
    };
    world.until(PODS, "the pod is free", is_free).await;
}
