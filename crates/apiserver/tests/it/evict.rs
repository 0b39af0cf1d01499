//! Eviction: what pod disruption budgets allow.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::world::World;

const CORE: &str = "/api/v1/namespaces/default";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A pod on a node that nobody looks after.
async fn make_pod(world: &World, metadata: Value) -> Value {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    world
        .post(&format!("{CORE}/serviceaccounts"), account)
        .await
        .ok();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    world.post(&format!("{CORE}/pods"), pod).await.ok()
}

/// Evicts a running pod under a budget with this policy and status.
async fn check(
    is_ready: bool,
    policy: &str,
    (desired, current, allowed): (i64, i64, i64),
    expected: Expect,
) {
    let world = World::new().await;
    let pod = make_pod(&world, json!({"name": "p", "labels": {"app": "a"}}));
    pod.await;
    let ready = if is_ready { "True" } else { "False" };
    let status =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    world
        .merge(&format!("{CORE}/pods/p/status"), status)
        .await
        .ok();
    let mut budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    if !policy.is_empty() {
        budget["spec"]["unhealthyPodEvictionPolicy"] = policy.into();
    }
    world.post(BUDGETS, budget).await.ok();
    let status = json!({"status": {"observedGeneration": 1, "desiredHealthy": desired, "currentHealthy": current,
        "disruptionsAllowed": allowed, "expectedPods": 1}});
    world
        .merge(&format!("{BUDGETS}/b/status"), status)
        .await
        .ok();
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let answer = world
        .post(&format!("{CORE}/pods/p/eviction"), eviction)
        .await;
    // What the budget forbids is not waited for by the client itself.
    assert!(answer.body["details"]["retryAfterSeconds"].is_null());
    let left: Value =
        world.get(&format!("{BUDGETS}/b")).await.ok()["status"]["disruptionsAllowed"].take();
    expected.assert_eq(&format!("{} {} left", answer.code, left));
}

#[tokio::test(start_paused = true)]
async fn budgets_decide_about_ready_pods() {
    check(true, "", (1, 2, 1), expect!["201 0 left"]).await;
    check(true, "", (1, 1, 0), expect!["429 0 left"]).await;
    check(true, "AlwaysAllow", (1, 1, 0), expect!["429 0 left"]).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ready_do_not_count() {
    check(false, "", (1, 1, 0), expect!["201 0 left"]).await;
    check(false, "", (1, 0, 0), expect!["429 0 left"]).await;
    check(false, "IfHealthyBudget", (2, 1, 0), expect!["429 0 left"]).await;
    check(false, "AlwaysAllow", (1, 0, 0), expect!["201 0 left"]).await;
}

/// Evicts a pod that a finalizer keeps, with these options; what it says of its disruption then, and whether it is to go.
async fn evict(world: &World, options: Value) -> (u16, Value, bool) {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": options});
    let code = world
        .post(&format!("{CORE}/pods/p/eviction"), eviction)
        .await
        .code;
    let pod = world.get(&format!("{CORE}/pods/p")).await.ok();
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let told = conditions.find(|c| c["type"] == "DisruptionTarget");
    let told = told.map_or(Value::Null, |told| {
        assert!(told["lastTransitionTime"].is_string());
        json!([told["status"], told["reason"], told["message"]])
    });
    let is_going = pod["metadata"]["deletionTimestamp"].is_string();
    (code, told, is_going)
}

#[tokio::test(start_paused = true)]
async fn an_evicted_pod_says_that_it_is() {
    let world = World::new().await;
    let pod = make_pod(
        &world,
        json!({"name": "p", "finalizers": ["example.com/hold"]}),
    )
    .await;
    let nothing = |code| (code, Value::Null, false);
    assert_eq!(
        evict(&world, json!({"dryRun": ["All"]})).await,
        nothing(201)
    );
    let other = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    assert_eq!(evict(&world, other).await, nothing(409));
    let old = json!({"preconditions": {"resourceVersion": "1"}});
    assert_eq!(evict(&world, old).await, nothing(409));
    // What is written on the way does not make the pod another one than its client saw.
    let seen = &pod["metadata"];
    let same =
        json!({"preconditions": {"uid": seen["uid"], "resourceVersion": seen["resourceVersion"]}});
    let told = json!(["True", "EvictionByEvictionAPI", "Eviction API: evicting"]);
    assert_eq!(evict(&world, same).await, (201, told.clone(), true));
    assert_eq!(evict(&world, json!({})).await, (201, told, true));
}
