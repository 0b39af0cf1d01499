//! Jobs with indexes and policies, whose pods they are, and their life as objects.
//!
//! What the tasks of a test do is in their command where a simulated kubelet can tell it, and in annotations where it cannot.

use http::Method;
use serde_json::{Value, json};

use crate::apps::pods;
use crate::kind::Kind;
use crate::world::{Suite, conditions, names, revision};

/// A task that ends well at once.
const SUCCEEDS: &str = "exit 0";
/// A task that fails at once.
const FAILS: &str = "exit 1";
/// A task that ends well if its index is even, and fails if it is odd.
const FAILS_IF_ODD: &str =
    "if [ $(expr ${JOB_COMPLETION_INDEX} % 2) -ne 0 ]; then\nexit 1\nelse\nexit 0\nfi\n";

fn jobs(suite: &Suite) -> Kind<'_> {
    suite.namespaced("batch/v1", "Job", "jobs")
}

/// A Job whose tasks run in a container that is started once. `container` has what is special about it.
fn job(name: &str, (parallelism, completions): (u32, u32), container: Value) -> Value {
    let mut task = json!({
        "name": "c", "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    });
    merge(&mut task, container);
    let pod = json!({
        "restartPolicy": "Never", "containers": [task],
        "volumes": [{"name": "data", "emptyDir": {}}],
    });
    let template = json!({"metadata": {"labels": {"job": name}}, "spec": pod});
    let spec = json!({
        "parallelism": parallelism, "completions": completions, "backoffLimit": 6,
        "manualSelector": false, "template": template,
    });
    json!({"metadata": {"name": name}, "spec": spec})
}

/// The same with an index for each task, and with what else its `spec` has; null takes away.
fn indexed(name: &str, amounts: (u32, u32), script: &str, more: Value) -> Value {
    let mut job = job(name, amounts, shell(script));
    job["spec"]["completionMode"] = json!("Indexed");
    merge(&mut job["spec"], more);
    job
}

fn merge(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("not an object: {more}");
    };
    for (key, value) in more {
        object[key] = value;
    }
}

fn shell(script: &str) -> Value {
    json!({"command": ["/bin/sh", "-c"], "args": [script]})
}

/// Tasks that run until they are stopped.
fn pause() -> Value {
    json!({"image": "pause"})
}

/// Whether the Job has the condition, for this reason.
fn has(job: &Value, ty: &str, reason: &str) -> bool {
    let conditions = conditions(job);
    let condition = conditions.get(ty);
    condition.is_some_and(|c| c["status"] == "True" && c["reason"] == reason)
}

/// Waits until so many tasks have ended well and the Job is complete for this reason; it must not fail before.
async fn completes(kind: &Kind<'_>, name: &str, reason: &str, completions: u32) -> Value {
    let is_complete = |job: &Value| {
        assert!(!conditions(job).contains_key("Failed"), "{job:#}");
        job["status"]["succeeded"] == completions && has(job, "Complete", reason)
    };
    kind.until(name, "it completes", is_complete).await
}

/// Waits until the Job has failed; it must not complete before.
async fn fails(kind: &Kind<'_>, name: &str) -> Value {
    let has_failed = |job: &Value| {
        let conditions = conditions(job);
        assert!(!conditions.contains_key("Complete"), "{job:#}");
        let failed = conditions.get("Failed");
        failed.is_some_and(|c| c["status"] == "True")
    };
    kind.until(name, "it fails", has_failed).await
}

/// Waits until exactly so many pods of the Job run.
async fn run(suite: &Suite, name: &str, count: usize) -> Vec<Value> {
    let is_running = |pod: &&Value| pod["status"]["phase"] == "Running";
    let path = format!("{}?labelSelector=job%3D{name}", pods(suite).path(""));
    let list = suite
        .until(&path, "they run", |list| {
            let items = list["items"].as_array().unwrap();
            items.iter().filter(is_running).count() == count
        })
        .await;
    let items = list["items"].as_array().unwrap().iter();
    items.filter(is_running).cloned().collect()
}

/// A number of a Job's status; one that is not there is zero.
fn number(job: &Value, key: &str) -> i64 {
    job["status"][key].as_i64().unwrap_or(0)
}

/// No pod of a Job that is over is left, and it says so.
fn is_at_rest(job: &Value) {
    assert_eq!(number(job, "active"), 0, "{job:#}");
    assert_eq!(job["status"]["ready"], 0, "{job:#}");
    assert_eq!(job["status"]["terminating"], 0, "{job:#}");
}

/// Waits for both conditions of a Job whose policy says that enough is done.
async fn succeeds_early(kind: &Kind<'_>, name: &str, completions: u32) -> Value {
    kind.until(name, "enough is done", |job| {
        has(job, "SuccessCriteriaMet", "SuccessPolicy")
    })
    .await;
    let job = completes(kind, name, "SuccessPolicy", completions).await;
    is_at_rest(&job);
    job
}

#[tokio::test(start_paused = true)]
async fn job_with_successpolicy_should_succeeded_when_all_indexes_succeeded() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "with-success-policy-all-index-succeeded");
    let policy = json!({"successPolicy": {"rules": [{"succeededCount": 2}]}});
    kind.create(indexed(name, (2, 2), SUCCEEDS, policy)).await;
    let job = succeeds_early(&kind, name, 2).await;
    assert_eq!(number(&job, "failed"), 0, "{job:#}");
}

#[tokio::test(start_paused = true)]
async fn job_with_successpolicy_succeededindexes_rule_should_succeeded_even_when_some_indexes_remain_pending()
 {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "with-success-policy-succeeded-indexed");
    let policy = json!({"successPolicy": {"rules": [{"succeededIndexes": "0"}]}});
    kind.create(indexed(name, (2, 5), FAILS_IF_ODD, policy))
        .await;
    let job = succeeds_early(&kind, name, 1).await;
    assert_eq!(job["status"]["completedIndexes"], "0");
}

#[tokio::test(start_paused = true)]
async fn job_with_successpolicy_succeededcount_rule_should_succeeded_even_when_some_indexes_remain_pending()
 {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "with-success-policy-succeeded-count");
    let policy =
        json!({"backoffLimit": i32::MAX, "successPolicy": {"rules": [{"succeededCount": 1}]}});
    kind.create(indexed(name, (2, 5), FAILS_IF_ODD, policy))
        .await;
    let job = succeeds_early(&kind, name, 1).await;
    assert_eq!(job["status"]["completedIndexes"], "0");
}

#[tokio::test(start_paused = true)]
async fn job_should_execute_all_indexes_despite_some_failing_when_using_backofflimitperindex() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "with-backoff-limit-per-index");
    let limits = json!({"backoffLimit": null, "backoffLimitPerIndex": 1});
    kind.create(indexed(name, (2, 4), FAILS_IF_ODD, limits))
        .await;
    let job = fails(&kind, name).await;
    let status = &job["status"];
    assert_eq!(status["failedIndexes"], "1,3");
    assert_eq!(status["completedIndexes"], "0,2");
    // Each odd index failed twice.
    assert_eq!((number(&job, "failed"), number(&job, "succeeded")), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn job_should_terminate_job_execution_when_the_number_of_failed_indexes_exceeds_maxfailedindexes()
 {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "with-max-failed-indexes");
    let limits = json!({"backoffLimit": null, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0});
    kind.create(indexed(name, (1, 4), FAILS, limits)).await;
    let job = fails(&kind, name).await;
    assert_eq!(job["status"]["failedIndexes"], "0");
    assert_eq!(number(&job, "failed"), 1);
}

#[tokio::test(start_paused = true)]
async fn job_should_mark_indexes_as_failed_when_the_failindex_action_is_matched_in_podfailurepolicy()
 {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "matching-fail-index-action");
    let codes = json!({"operator": "In", "values": [1]});
    let rules = json!([{"action": "FailIndex", "onExitCodes": codes}]);
    let policy = json!({"backoffLimit": null, "backoffLimitPerIndex": 1, "podFailurePolicy": {"rules": rules}});
    kind.create(indexed(name, (2, 2), FAILS_IF_ODD, policy))
        .await;
    let job = fails(&kind, name).await;
    assert_eq!(job["status"]["failedIndexes"], "1");
    assert_eq!(job["status"]["completedIndexes"], "0");
    // Index 1 was not tried again.
    assert_eq!((number(&job, "failed"), number(&job, "succeeded")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn job_should_allow_to_use_a_pod_failure_policy_to_ignore_failure_matching_on_disruptiontarget_condition()
 {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "evicted-pod-ignore-on-disruption-condition");
    let disrupted = json!([{"type": "DisruptionTarget", "status": "True"}]);
    let rules = json!([{"action": "Ignore", "onPodConditions": disrupted}]);
    let policy = json!({"backoffLimit": 2, "podFailurePolicy": {"rules": rules}});
    let mut made = indexed(name, (3, 3), "./until-the-second-run.sh", policy);
    let template = &mut made["spec"]["template"];
    template["metadata"]["annotations"] = json!({"simulated.apiary.io/run-time": "160h"});
    template["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "node-1"});
    template["spec"]["terminationGracePeriodSeconds"] = json!(1);
    kind.create(made).await;
    kind.until(name, "all are ready", |job| job["status"]["ready"] == 3)
        .await;
    let evicted = run(&suite, name, 3).await;
    let pods = pods(&suite);
    for pod in &evicted {
        let pod = pod["metadata"]["name"].as_str().unwrap();
        let eviction =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        let path = pods.path(&format!("{pod}/eviction"));
        suite.post(&path, eviction).await.ok();
    }
    for pod in &evicted {
        pods.until_gone(pod["metadata"]["name"].as_str().unwrap())
            .await;
    }
    // Those that run in their place find the mark of the first run, and end.
    for pod in run(&suite, name, 3).await {
        let patch = json!({"metadata": {"annotations": {"simulated.apiary.io/run-time": "1s"}}});
        pods.merge(pod["metadata"]["name"].as_str().unwrap(), patch)
            .await;
    }
    let job = completes(&kind, name, "CompletionsReached", 3).await;
    assert_eq!(number(&job, "failed"), 0, "{job:#}");
}

#[tokio::test(start_paused = true)]
async fn job_should_adopt_matching_orphans_and_release_non_matching_pods() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "adopt-release");
    let job = kind.create(job(name, (2, 4), pause())).await;
    let running = run(&suite, name, 2).await;
    let pod = running[0]["metadata"]["name"].as_str().unwrap();
    let pods = pods(&suite);
    let controller = |pod: &Value| {
        let owners = pod["metadata"]["ownerReferences"].as_array();
        let mut owners = owners.into_iter().flatten();
        owners.find(|o| o["controller"] == true).cloned()
    };
    pods.update(pod, |pod| {
        pod["metadata"]["ownerReferences"] = json!(null);
    })
    .await;
    let adopted = pods
        .until(pod, "it is adopted", |pod| controller(pod).is_some())
        .await;
    let owner = controller(&adopted).unwrap();
    assert_eq!(owner["kind"], "Job");
    assert_eq!(owner["name"], name);
    assert_eq!(owner["uid"], job["metadata"]["uid"]);
    pods.update(pod, |pod| pod["metadata"]["labels"] = json!(null))
        .await;
    pods.until(pod, "it is released", |pod| controller(pod).is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn job_should_apply_changes_to_a_job_status() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "suspend-false-to-true");
    let created = kind.create(job(name, (2, 4), pause())).await;
    run(&suite, name, 2).await;
    let status = format!("{name}/status");
    let at = |job: &Value| conditions(job)["CustomConditionType"]["lastTransitionTime"].clone();

    let first = "2026-04-22T12:00:05Z";
    let condition =
        json!({"type": "CustomConditionType", "status": "True", "lastTransitionTime": first});
    let annotations = json!({"patchedstatus": "true"});
    let patch =
        json!({"metadata": {"annotations": annotations}, "status": {"conditions": [condition]}});
    let patched = kind.merge(&status, patch).await;
    assert_eq!(at(&patched), first);
    assert_eq!(patched["metadata"]["annotations"]["patchedstatus"], "true");

    let second = "2026-04-22T12:00:09Z";
    let updated = kind
        .update(&status, |job| {
            let all = job["status"]["conditions"].as_array_mut().unwrap();
            let mut all = all.iter_mut();
            let custom = all.find(|c| c["type"] == "CustomConditionType").unwrap();
            custom["lastTransitionTime"] = json!(second);
        })
        .await;
    assert_eq!(at(&updated), second);
    let read = kind.get(&status).await;
    assert_eq!(read["metadata"]["uid"], created["metadata"]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn job_should_manage_the_lifecycle_of_a_job() {
    let suite = Suite::with_nodes(1).await;
    let (kind, name) = (jobs(&suite), "e2e-job");
    let query = format!("labelSelector=e2e-job-label%3D{name}");
    let since = revision(&kind.list(&query).await);
    let watched = |since: u64| format!("{query}&resourceVersion={since}");

    let mut suspended = job(name, (2, 4), shell(SUCCEEDS));
    suspended["metadata"]["labels"] = json!({"e2e-job-label": name});
    suspended["spec"]["suspend"] = json!(true);
    let created = kind.create(suspended).await;
    let patch = json!({"metadata": {"labels": {name: "patched"}}});
    let patched = kind.strategic(name, patch).await;
    assert!(revision(&patched) > revision(&created));
    let is_patched = |job: &Value| job["metadata"]["labels"][name] == "patched";
    assert!(is_patched(&patched));
    let mut watch = kind.watch(&watched(since)).await;
    watch.until("MODIFIED", is_patched).await;

    let updated = kind
        .update(name, |job| {
            job["spec"]["suspend"] = json!(false);
            job["metadata"]["annotations"] = json!({"updated": "true"});
        })
        .await;
    let is_updated = |job: &Value| job["metadata"]["annotations"]["updated"] == "true";
    assert!(is_updated(&updated));
    let mut watch = kind.watch(&watched(revision(&patched))).await;
    watch.until("MODIFIED", is_updated).await;
    assert_eq!(names(&kind.everywhere().list(&query).await), [name]);

    completes(&kind, name, "CompletionsReached", 4).await;
    let path = format!("{}?{query}&propagationPolicy=Background", kind.path(""));
    suite.send(Method::DELETE, &path, &[], "").await.ok();
    let mut watch = kind.watch(&watched(revision(&updated))).await;
    watch
        .until("DELETED", |job| {
            job["metadata"]["labels"]["e2e-job-label"] == name
        })
        .await;
    assert_eq!(kind.everywhere().count(&query).await, 0);
}
