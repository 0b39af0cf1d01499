//! Jobs whose tasks fail, are restarted, or never end.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, conditions};

fn jobs(suite: &Suite) -> Kind<'_> {
    suite.namespaced("batch/v1", "Job", "jobs")
}

/// A job of two tasks at a time, four in all.
fn job(name: &str, policy: &str, script: &str) -> Value {
    let container = json!({
        "name": "c", "image": "busybox", "command": ["/bin/sh", "-c"], "args": [script],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    });
    json!({
        "metadata": {"name": name},
        "spec": {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": {
            "metadata": {"labels": {"job": name}},
            "spec": {
                "restartPolicy": policy, "containers": [container],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        }},
    })
}

/// A task that fails in its first run.
const FAILS_ONCE: &str = "if [[ -r /data/foo ]] ; then exit 0 ; else touch /data/foo ; exit 1 ; fi";

fn has(job: &Value, condition: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == condition && c["status"] == "True")
}

/// The pods of a job that succeeded.
async fn succeeded(suite: &Suite, name: &str) -> Vec<Value> {
    let pods = suite.namespaced("v1", "Pod", "pods");
    let list = pods.list(&format!("labelSelector=job%3D{name}")).await;
    let items = list["items"].as_array().unwrap().iter();
    let done = items.filter(|pod| pod["status"]["phase"] == "Succeeded");
    done.cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn job_should_run_a_job_to_completion_when_tasks_sometimes_fail_and_are_locally_restarted() {
    let suite = Suite::with_nodes(1).await;
    let kind = jobs(&suite);
    kind.create(job("fail-once-local", "OnFailure", FAILS_ONCE))
        .await;
    kind.until("fail-once-local", "it is complete", |job| {
        has(job, "Complete")
    })
    .await;
    let pods = succeeded(&suite, "fail-once-local").await;
    assert_eq!(pods.len(), 4);
    for pod in pods {
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn job_should_create_pods_for_an_indexed_job_with_completion_indexes_and_specified_hostname()
{
    let suite = Suite::with_nodes(1).await;
    let kind = jobs(&suite);
    let mut indexed = job("indexed-job", "Never", "exit 0");
    indexed["spec"]["completionMode"] = json!("Indexed");
    kind.create(indexed).await;
    kind.until("indexed-job", "it is complete", |job| has(job, "Complete"))
        .await;
    let pods = succeeded(&suite, "indexed-job").await;
    let mut indexes = vec![];
    for pod in pods {
        let index = &pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"];
        let index: usize = index.as_str().unwrap().parse().unwrap();
        assert_eq!(pod["spec"]["hostname"], format!("indexed-job-{index}"));
        indexes.push(index);
    }
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn job_should_delete_a_job() {
    let suite = Suite::with_nodes(1).await;
    let kind = jobs(&suite);
    kind.create(job("foo", "Never", "sleep 1000000")).await;
    let path = suite.namespaced("v1", "Pod", "pods").path("");
    suite
        .until(&path, "two tasks run", |list| {
            let items = list["items"].as_array().unwrap();
            items.len() == 2 && items.iter().all(|pod| pod["status"]["phase"] == "Running")
        })
        .await;
    let background = json!({"propagationPolicy": "Background"});
    kind.delete_with("foo", background).await;
    kind.until_gone("foo").await;
    suite
        .until(&path, "its tasks go", |list| list["items"] == json!([]))
        .await;
}

#[tokio::test(start_paused = true)]
async fn job_should_allow_to_use_the_pod_failure_policy_on_exit_code_to_fail_the_job_early() {
    let suite = Suite::with_nodes(1).await;
    let kind = jobs(&suite);
    let mut failing = job("pod-failure-failjob", "Never", FAILS_ONCE);
    let codes = json!({"containerName": "c", "operator": "In", "values": [1]});
    failing["spec"]["podFailurePolicy"] =
        json!({"rules": [{"action": "FailJob", "onExitCodes": codes}]});
    kind.create(failing).await;
    let failed = kind
        .until("pod-failure-failjob", "it fails", |job| has(job, "Failed"))
        .await;
    // By the policy, long before the six failures that it may have.
    assert_eq!(conditions(&failed)["Failed"]["reason"], "PodFailurePolicy");
    assert!(failed["status"]["failed"].as_u64() <= Some(2), "{failed:#}");
}
