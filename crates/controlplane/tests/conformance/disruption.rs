//! How many pods may be missing, and who may not make them so.

use serde_json::{Value, json};

use crate::apps::{budgets, is_processed, make_budget, pods};
use crate::replicasets::{replica_set, replica_sets};
use crate::world::{Answer, Suite};

/// Waits until so many pods run, and gives the name of one.
async fn run(suite: &Suite, count: usize) -> String {
    let is_running = |pod: &&Value| {
        pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
    };
    let path = format!("{}?labelSelector=foo%3Dbar", pods(suite).path(""));
    let list = suite
        .until(&path, "they run", |list| {
            let items = list["items"].as_array().unwrap();
            items.iter().filter(is_running).count() == count
        })
        .await;
    let mut items = list["items"].as_array().unwrap().iter();
    let pod = items.find(is_running).unwrap();
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Pods that no controller made, which run.
async fn make_pods(suite: &Suite, count: usize) -> String {
    for at in 0..count {
        let metadata = json!({"name": format!("pod-{at}"), "labels": {"foo": "bar"}});
        let containers = json!([{"name": "donothing", "image": "pause"}]);
        pods(suite)
            .create(json!({"metadata": metadata, "spec": {"containers": containers}}))
            .await;
    }
    run(suite, count).await
}

async fn evict(suite: &Suite, name: &str) -> Answer {
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let path = pods(suite).path(&format!("{name}/eviction"));
    suite.post(&path, eviction).await
}

/// The budget does not allow to evict the pod.
async fn is_blocked(suite: &Suite, name: &str) {
    let answer = evict(suite, name).await;
    let body = answer.json();
    assert_eq!(answer.code, 429, "{body:#}");
    let causes = body["details"]["causes"].as_array().unwrap();
    let is_it = |cause: &Value| cause["reason"] == "DisruptionBudget";
    assert!(causes.iter().any(is_it), "{body:#}");
}

#[tokio::test(start_paused = true)]
async fn disruptioncontroller_should_observe_poddisruptionbudget_status_updated() {
    let suite = Suite::with_nodes(1).await;
    let kind = budgets(&suite);
    make_budget(&kind, "foo", json!(1)).await;
    make_pods(&suite, 3).await;
    kind.until("foo", "it allows disruptions", |budget| {
        budget["status"]["disruptionsAllowed"]
            .as_i64()
            .is_some_and(|count| count > 0)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn disruptioncontroller_should_update_patch_poddisruptionbudget_status() {
    let suite = Suite::with_nodes(1).await;
    let kind = budgets(&suite);
    make_budget(&kind, "foo", json!(1)).await;
    let name = make_pods(&suite, 1).await;
    let now = pods(&suite).get(&name).await["status"]["startTime"].clone();
    kind.update("foo/status", |budget| {
        budget["status"]["disruptedPods"] = json!({&name: now});
    })
    .await;
    let disrupted = |budget: &Value| budget["status"]["disruptedPods"].get(&name).is_some();
    assert!(disrupted(&kind.get("foo/status").await));
    let patch = json!({"status": {"disruptedPods": null}});
    let patched = kind.merge("foo/status", patch).await;
    assert_eq!(patched["status"].get("disruptedPods"), None);
}

#[tokio::test(start_paused = true)]
async fn disruptioncontroller_should_block_an_eviction_until_the_pdb_is_updated_to_allow_it() {
    let suite = Suite::with_nodes(1).await;
    let kind = budgets(&suite);
    make_budget(&kind, "foo", json!(3)).await;
    replica_sets(&suite)
        .create(replica_set("rs", 3, json!({"foo": "bar"})))
        .await;
    let name = run(&suite, 3).await;
    is_blocked(&suite, &name).await;

    kind.update("foo", |budget| budget["spec"]["minAvailable"] = json!(2))
        .await;
    is_processed(&kind, "foo").await;
    kind.until("foo", "it sees three of two", |budget| {
        let status = &budget["status"];
        status["currentHealthy"] == 3 && status["desiredHealthy"] == 2
    })
    .await;
    evict(&suite, &name).await.ok();

    let patch = json!({"spec": {"minAvailable": null, "maxUnavailable": 0}});
    kind.merge("foo", patch).await;
    is_processed(&kind, "foo").await;
    let name = run(&suite, 3).await;
    is_blocked(&suite, &name).await;
    kind.delete("foo").await;
    kind.until_gone("foo").await;
    run(&suite, 3).await;
    evict(&suite, &name).await.ok();
}
