//! Limits for pods, and how urgent they are.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, revision};

fn amounts(cpu: &str, memory: &str, storage: &str) -> Value {
    let mut amounts = json!({});
    for (name, amount) in [
        ("cpu", cpu),
        ("memory", memory),
        ("ephemeral-storage", storage),
    ] {
        if !amount.is_empty() {
            amounts[name] = json!(amount);
        }
    }
    amounts
}

fn limit_range(name: &str) -> Value {
    let limits = json!({
        "type": "Container", "min": amounts("50m", "100Mi", "100Gi"), "max": amounts("500m", "500Mi", "500Gi"),
        "default": amounts("500m", "500Mi", "500Gi"), "defaultRequest": amounts("100m", "200Mi", "200Gi"),
    });
    json!({"metadata": {"name": name, "labels": {"e2e-test": name, name: "created"}}, "spec": {"limits": [limits]}})
}

fn limit_ranges(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "LimitRange", "limitranges")
}

fn pod(name: &str, requests: Value, limits: Value) -> Value {
    let container = json!({"name": "pause", "image": "pause", "resources": {"requests": requests, "limits": limits}});
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}

#[tokio::test(start_paused = true)]
async fn limitrange_should_create_a_limitrange_with_defaults_and_ensure_pod_has_those_defaults_applied()
 {
    let suite = Suite::new().await;
    let (kind, pods) = (limit_ranges(&suite), suite.namespaced("v1", "Pod", "pods"));
    let mut watch = kind.watch("labelSelector=e2e-test%3Dlimit-range").await;
    kind.create(limit_range("limit-range")).await;
    let seen = watch.expect("ADDED").await;
    assert_eq!(seen["spec"], limit_range("limit-range")["spec"]);

    pods.create(pod("no-resources", json!({}), json!({}))).await;
    let resources = |pod: &Value| pod["spec"]["containers"][0]["resources"].clone();
    let expected = json!({"requests": amounts("100m", "200Mi", "200Gi"), "limits": amounts("500m", "500Mi", "500Gi")});
    assert_eq!(resources(&pods.get("no-resources").await), expected);
    // A limit without a request is the request as well.
    let partial = pod(
        "partial",
        amounts("", "150Mi", "150Gi"),
        amounts("300m", "", ""),
    );
    pods.create(partial).await;
    let expected = json!({"requests": amounts("300m", "150Mi", "150Gi"), "limits": amounts("300m", "500Mi", "500Gi")});
    assert_eq!(resources(&pods.get("partial").await), expected);

    let small = pod("small", amounts("10m", "50Mi", "50Gi"), json!({}));
    let large = pod("large", amounts("600m", "600Mi", "600Gi"), json!({}));
    for pod in [&small, &large] {
        // What is too much is more than the limit that it gets, too.
        let code = pods.try_create(pod.clone()).await.code;
        assert!([403, 422].contains(&code), "{pod:#}");
    }
    let min = amounts("9m", "49Mi", "49Gi");
    kind.update("limit-range", |range| {
        range["spec"]["limits"][0]["min"] = min.clone();
    })
    .await;
    assert_eq!(
        kind.get("limit-range").await["spec"]["limits"][0]["min"],
        min
    );
    pods.create(small).await;
    let code = pods.try_create(large.clone()).await.code;
    assert!([403, 422].contains(&code));
    kind.delete_with("limit-range", json!({"gracePeriodSeconds": 30}))
        .await;
    assert_eq!(kind.count("").await, 0);
    pods.create(large).await;
}

#[tokio::test(start_paused = true)]
async fn limitrange_should_list_patch_and_delete_a_limitrange_by_collection() {
    let suite = Suite::new().await;
    suite.make_namespace("other").await;
    let kind = limit_ranges(&suite);
    let created = kind.create(limit_range("e2e-limitrange")).await;
    kind.within("other")
        .create(limit_range("e2e-limitrange"))
        .await;
    let (all, patched_ones) = (
        "labelSelector=e2e-test%3De2e-limitrange",
        "labelSelector=e2e-limitrange%3Dpatched",
    );
    assert_eq!(kind.everywhere().count(all).await, 2);
    let mut limits = created["spec"]["limits"].clone();
    limits[0]["min"] = amounts("9m", "49Mi", "49Gi");
    let patch =
        json!({"metadata": {"labels": {"e2e-limitrange": "patched"}}, "spec": {"limits": limits}});
    let patched = kind.strategic("e2e-limitrange", patch).await;
    assert_eq!(patched["metadata"]["labels"]["e2e-limitrange"], "patched");
    assert_eq!(patched["spec"]["limits"], limits);
    assert!(revision(&patched) > revision(&created));
    kind.delete_collection(patched_ones).await;
    assert_eq!(kind.count(patched_ones).await, 0);
    assert_eq!(kind.everywhere().count(all).await, 1);
}

#[tokio::test(start_paused = true)]
async fn schedulerpreemption_priorityclass_endpoints_verify_priorityclass_endpoints_can_be_operated_with_different_http_methods()
 {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses");
    let mut made = Vec::new();
    for (name, value) in [("p1", 1), ("p2", 2)] {
        let object =
            json!({"metadata": {"name": name, "labels": {"e2e": "conformance"}}, "value": value});
        made.push(kind.create(object).await);
    }
    // The value stays as it is.
    let refused = kind
        .try_patch("p1", "strategic", json!({"value": 10}))
        .await;
    assert_eq!(refused.code, 422, "{:#}", refused.json());
    let mut changed = made[1].clone();
    changed["value"] = json!(20);
    let refused = kind.try_put("p2", changed).await;
    assert_eq!(refused.code, 422, "{:#}", refused.json());

    let patch = json!({"description": "updated description"});
    kind.strategic("p1", patch).await;
    kind.update("p2", |class| {
        class["description"] = json!("updated description");
    })
    .await;
    let query = "labelSelector=e2e%3Dconformance";
    assert_eq!(kind.count(query).await, 2);
    for class in &made {
        let read = kind.get(class["metadata"]["name"].as_str().unwrap()).await;
        assert_eq!(read["value"], class["value"]);
        assert_eq!(read["description"], "updated description");
        assert!(revision(&read) > revision(class));
    }
    kind.delete_collection(query).await;
    assert_eq!(kind.count(query).await, 0);
}

#[tokio::test(start_paused = true)]
async fn conformance_tests_should_have_at_least_two_untainted_nodes() {
    let suite = Suite::with_nodes(2).await;
    let nodes = suite.get("/api/v1/nodes").await.ok();
    let is_open =
        |node: &&Value| node["spec"]["taints"].is_null() && node["spec"]["unschedulable"].is_null();
    let nodes = nodes["items"].as_array().unwrap();
    assert_eq!(nodes.iter().filter(is_open).count(), 2, "{nodes:#?}");
}
