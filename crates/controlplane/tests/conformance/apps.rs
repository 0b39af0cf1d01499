//! Workloads: what their controllers do without a node.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::Operations;
use crate::world::{Suite, conditions, names, revision};

/// The `spec` of something that makes pods with the label `name`.
pub(crate) fn spec(name: &str, replicas: u32, selector: Value) -> Value {
    let pod = json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "agnhost", "image": "agnhost"}]});
    let template = json!({"metadata": {"labels": {"name": name}}, "spec": pod});
    json!({"replicas": replicas, "selector": selector, "template": template})
}

pub(crate) fn pods(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "Pod", "pods")
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_orphan_rs_created_by_deployment_when_deleteoptions_propagationpolicy_is_orphan()
 {
    let suite = Suite::new().await;
    let kind = suite.namespaced("apps/v1", "Deployment", "deployments");
    let sets = suite.namespaced("apps/v1", "ReplicaSet", "replicasets");
    let labels = json!({"matchLabels": {"name": "gctest"}});
    let created = kind
        .create(json!({"metadata": {"name": "simpletest"}, "spec": spec("gctest", 2, labels)}))
        .await;
    let path = sets.path("");
    suite
        .until(&path, "it has made its pods", |list| {
            list["items"][0]["status"]["replicas"] == 2
        })
        .await;
    let uid = &created["metadata"]["uid"];
    let options = json!({"propagationPolicy": "Orphan", "preconditions": {"uid": uid}});
    kind.delete_with("simpletest", options).await;
    kind.until_gone("simpletest").await;
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    let list = sets.list("").await;
    assert_eq!(names(&list).len(), 1);
    let owners = list["items"][0]["metadata"]["ownerReferences"].as_array();
    assert!(owners.is_none_or(Vec::is_empty), "{list:#}");
    assert_eq!(pods(&suite).count("").await, 2);
}

#[tokio::test(start_paused = true)]
async fn cronjob_should_support_cronjob_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("batch/v1", "CronJob", "cronjobs");
    let pod = json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "busybox", "command": ["/bin/true"]}]});
    let job =
        json!({"parallelism": 1, "completions": 1, "backoffLimit": 1, "template": {"spec": pod}});
    let spec = json!({
        "schedule": "* */1 * * ?", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 0, "suspend": true, "jobTemplate": {"spec": job},
    });
    kind.create(json!({"metadata": {"name": "lasting"}, "spec": spec}))
        .await;
    Operations::new(kind.clone(), json!({"spec": spec}))
        .run()
        .await;

    let time = "2026-04-22T12:00:00Z";
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": time}});
    let patched = kind.merge("lasting/status", patch).await;
    assert_eq!(patched["status"]["lastScheduleTime"], time);
    assert_eq!(patched["metadata"]["annotations"]["patchedstatus"], "true");
    let time = "2026-04-22T12:00:07Z";
    let updated = kind
        .update("lasting/status", |job| {
            job["status"]["lastScheduleTime"] = json!(time);
        })
        .await;
    assert_eq!(updated["status"]["lastScheduleTime"], time);
    let read = kind.get("lasting/status").await;
    assert_eq!(read["metadata"]["uid"], patched["metadata"]["uid"]);
    assert_eq!(kind.get("lasting").await["spec"], patched["spec"]);
}

pub(crate) fn replication_controllers(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "ReplicationController", "replicationcontrollers")
}

/// Makes a ReplicationController whose pods have the label `name`.
pub(crate) async fn make_controller(suite: &Suite, name: &str, replicas: u32) -> Value {
    let spec = spec(name, replicas, json!({"name": name}));
    replication_controllers(suite)
        .create(json!({"metadata": {"name": name}, "spec": spec}))
        .await
}

#[tokio::test(start_paused = true)]
async fn garbage_collector_should_orphan_pods_created_by_rc_if_delete_options_say_so() {
    let suite = Suite::new().await;
    let kind = replication_controllers(&suite);
    let created = make_controller(&suite, "simpletest.rc", 10).await;
    kind.until("simpletest.rc", "it has made its pods", |rc| {
        rc["status"]["replicas"] == 10
    })
    .await;
    let uid = &created["metadata"]["uid"];
    let options = json!({"propagationPolicy": "Orphan", "preconditions": {"uid": uid}});
    kind.delete_with("simpletest.rc", options).await;
    kind.until_gone("simpletest.rc").await;
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_eq!(pods(&suite).count("").await, 10);
}

#[tokio::test(start_paused = true)]
async fn replicationcontroller_should_get_and_update_a_replicationcontroller_scale() {
    let suite = Suite::new().await;
    let kind = replication_controllers(&suite);
    make_controller(&suite, "e2e-rc", 1).await;
    let has = |replicas: u32| move |rc: &Value| rc["status"]["replicas"] == replicas;
    kind.until("e2e-rc", "there is one", has(1)).await;
    let mut scale = kind.get("e2e-rc/scale").await;
    assert_eq!(
        (&scale["kind"], &scale["apiVersion"]),
        (&json!("Scale"), &json!("autoscaling/v1"))
    );
    assert_eq!(scale["status"]["replicas"], 1);
    scale["metadata"]["resourceVersion"] = json!("");
    scale["spec"]["replicas"] = json!(2);
    let scaled = kind.put("e2e-rc/scale", scale).await;
    assert_eq!(scaled["spec"]["replicas"], 2);
    kind.until("e2e-rc", "there are two", has(2)).await;
}

#[tokio::test(start_paused = true)]
async fn replicationcontroller_should_release_no_longer_matching_pods() {
    let suite = Suite::new().await;
    let created = make_controller(&suite, "pod-release", 1).await;
    let kind = pods(&suite);
    let path = format!("{}?labelSelector=name%3Dpod-release", kind.path(""));
    let list = suite
        .until(&path, "there is a pod", |list| list["items"][0].is_object())
        .await;
    let name = &names(&list)[0];
    kind.update(name, |pod| {
        pod["metadata"]["labels"] = json!({"name": "not-matching-name"});
    })
    .await;
    kind.until(name, "it is released", |pod| {
        let owners = pod["metadata"]["ownerReferences"].as_array();
        let mut owners = owners.into_iter().flatten();
        !owners.any(|owner| owner["uid"] == created["metadata"]["uid"])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn replicationcontroller_should_surface_a_failure_condition_on_a_common_issue_like_exceeded_quota()
 {
    let suite = Suite::new().await;
    let quotas = suite.namespaced("v1", "ResourceQuota", "resourcequotas");
    quotas
        .create(json!({"metadata": {"name": "condition-test"}, "spec": {"hard": {"pods": "2"}}}))
        .await;
    quotas
        .until("condition-test", "it is calculated", |quota| {
            quota["status"]["hard"]["pods"] == "2"
        })
        .await;
    let kind = replication_controllers(&suite);
    make_controller(&suite, "condition-test", 3).await;
    let is_seen = |rc: &Value| {
        let seen = rc["status"]["observedGeneration"].as_i64().unwrap_or(0);
        seen >= rc["metadata"]["generation"].as_i64().unwrap()
    };
    let fails = |rc: &Value| conditions(rc).contains_key("ReplicaFailure");
    kind.until("condition-test", "it says that it fails", |rc| {
        is_seen(rc) && fails(rc)
    })
    .await;
    kind.update("condition-test", |rc| rc["spec"]["replicas"] = json!(2))
        .await;
    kind.until("condition-test", "it fails no more", |rc| {
        is_seen(rc) && !fails(rc)
    })
    .await;
}

/// Makes a CronJob for every minute whose jobs run for ever: no node runs their pods.
async fn every_minute<'a>(suite: &'a Suite, name: &str, policy: &str, suspend: bool) -> Kind<'a> {
    let kind = suite.namespaced("batch/v1", "CronJob", "cronjobs");
    let pod = json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "300"]}]});
    let job =
        json!({"parallelism": 1, "completions": 1, "backoffLimit": 1, "template": {"spec": pod}});
    let spec = json!({"schedule": "*/1 * * * ?", "concurrencyPolicy": policy, "suspend": suspend, "jobTemplate": {"spec": job}});
    kind.create(json!({"metadata": {"name": name}, "spec": spec}))
        .await;
    kind
}

fn active(cron_job: &Value) -> usize {
    cron_job["status"]["active"].as_array().map_or(0, Vec::len)
}

/// Names of the jobs that are not being deleted.
async fn living_jobs(suite: &Suite) -> Vec<String> {
    let list = suite.namespaced("batch/v1", "Job", "jobs").list("").await;
    let items = list["items"].as_array().unwrap().iter();
    items
        .filter(|job| job["metadata"]["deletionTimestamp"].is_null())
        .map(|job| job["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn five_minutes_pass() {
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
}

#[tokio::test(start_paused = true)]
async fn cronjob_should_schedule_multiple_jobs_concurrently() {
    let suite = Suite::new().await;
    let kind = every_minute(&suite, "concurrent", "Allow", false).await;
    kind.until("concurrent", "two are active", |job| active(job) >= 2)
        .await;
    assert!(living_jobs(&suite).await.len() >= 2);
    kind.delete_with("concurrent", json!({"propagationPolicy": "Background"}))
        .await;
}

#[tokio::test(start_paused = true)]
async fn cronjob_should_not_schedule_jobs_when_suspended() {
    let suite = Suite::new().await;
    let kind = every_minute(&suite, "suspended", "Allow", true).await;
    five_minutes_pass().await;
    assert_eq!(active(&kind.get("suspended").await), 0);
    assert_eq!(living_jobs(&suite).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn cronjob_should_not_schedule_new_jobs_when_forbidconcurrent() {
    let suite = Suite::new().await;
    let kind = every_minute(&suite, "forbid", "Forbid", false).await;
    kind.until("forbid", "one is active", |job| active(job) == 1)
        .await;
    let first = living_jobs(&suite).await;
    assert_eq!(first.len(), 1);
    five_minutes_pass().await;
    assert_eq!(active(&kind.get("forbid").await), 1);
    assert_eq!(living_jobs(&suite).await, first);
}

#[tokio::test(start_paused = true)]
async fn cronjob_should_replace_jobs_when_replaceconcurrent() {
    let suite = Suite::new().await;
    let kind = every_minute(&suite, "replace", "Replace", false).await;
    kind.until("replace", "one is active", |job| active(job) == 1)
        .await;
    let first = living_jobs(&suite).await;
    assert_eq!(first.len(), 1);
    five_minutes_pass().await;
    let then = living_jobs(&suite).await;
    assert_eq!(then.len(), 1);
    assert_ne!(then, first);
}

pub(crate) fn budgets(suite: &Suite) -> Kind<'_> {
    suite.namespaced("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
}

/// Waits until the controller has seen the budget as it is.
pub(crate) async fn is_processed(kind: &Kind<'_>, name: &str) {
    kind.until(name, "it is processed", |budget| {
        let seen = budget["status"]["observedGeneration"].as_i64().unwrap_or(0);
        seen >= budget["metadata"]["generation"].as_i64().unwrap()
    })
    .await;
}

pub(crate) async fn make_budget(kind: &Kind<'_>, name: &str, least: Value) {
    let spec = json!({"selector": {"matchLabels": {"foo": "bar"}}, "minAvailable": least});
    kind.create(
        json!({"metadata": {"name": name, "labels": {"foo_pdb": "bar_pdb"}}, "spec": spec}),
    )
    .await;
    is_processed(kind, name).await;
}

#[tokio::test(start_paused = true)]
async fn disruptioncontroller_should_create_a_poddisruptionbudget() {
    let suite = Suite::new().await;
    let kind = budgets(&suite);
    make_budget(&kind, "foo", json!("1%")).await;
    let updated = kind
        .update("foo", |budget| budget["spec"]["minAvailable"] = json!("2%"))
        .await;
    assert_eq!(updated["spec"]["minAvailable"], "2%");
    is_processed(&kind, "foo").await;
    let patched = kind
        .merge("foo", json!({"spec": {"minAvailable": "3%"}}))
        .await;
    assert_eq!(patched["spec"]["minAvailable"], "3%");
    assert!(revision(&patched) > revision(&updated));
    is_processed(&kind, "foo").await;
    kind.delete("foo").await;
    kind.until_gone("foo").await;
}

#[tokio::test(start_paused = true)]
async fn disruptioncontroller_listing_poddisruptionbudgets_for_all_namespaces_should_list_and_delete_a_collection_of_poddisruptionbudgets()
 {
    let suite = Suite::new().await;
    suite.make_namespace("other").await;
    let kind = budgets(&suite);
    make_budget(&kind, "foo", json!(2)).await;
    make_budget(&kind, "foo2", json!("1%")).await;
    make_budget(&kind.within("other"), "foo3", json!(2)).await;
    let query = "labelSelector=foo_pdb%3Dbar_pdb";
    assert_eq!(
        names(&kind.everywhere().list(query).await),
        ["foo", "foo2", "foo3"]
    );
    assert_eq!(names(&kind.list(query).await), ["foo", "foo2"]);
    kind.delete_collection("").await;
    for name in ["foo", "foo2"] {
        kind.until_gone(name).await;
    }
    assert_eq!(names(&kind.everywhere().list(query).await), ["foo3"]);
}
