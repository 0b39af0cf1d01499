//! Check tests: an autoscaler, its pods and what they use in YAML → its size and what it says.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde::Deserialize;
use serde_json::json;

use super::ask::Sample;
use super::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// `spec` of the autoscaler.
    #[serde(default)]
    spec: Value,
    size: i32,
    /// What each pod uses of its 100 millicores; a pod that is absent is unready, one with null has no metrics.
    #[serde(default)]
    cpu: Vec<Option<i128>>,
    #[serde(default)]
    unready: usize,
    #[serde(default)]
    error: Option<String>,
    /// Sizes that were recommended: seconds ago, size.
    #[serde(default)]
    recommended: Vec<(i64, i32)>,
    /// Changes: seconds ago, from, to.
    #[serde(default)]
    changed: Vec<(i64, i32, i32)>,
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

fn pod(name: &str, is_ready: bool) -> Arc<Pod> {
    let ready = json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }, "lastTransitionTime": ago(3600).to_string()});
    let container = json!({"name": "c", "resources": {"requests": {"cpu": "100m"}}});
    let pod = json!({
        "metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container]},
        "status": {"phase": "Running", "startTime": ago(3600).to_string(), "conditions": [ready]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn world(yaml: &str) -> World {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 10,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
    });
    let more = scene.spec.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    let meta = json!({"name": "web", "namespace": "default", "uid": "u", "generation": 2});
    let mut history = History::default();
    for (seconds, size) in scene.recommended {
        history.recommend(size, ago(seconds));
    }
    for (seconds, from, to) in scene.changed {
        history.scaled(from, to, ago(seconds));
    }
    let mut pods = vec![];
    let mut samples = BTreeMap::new();
    for (at, used) in scene.cpu.iter().enumerate() {
        let name = format!("p{at}");
        pods.push(pod(&name, true));
        if let Some(value) = *used {
            let window = jiff::SignedDuration::from_secs(15);
            samples.insert(
                name,
                Sample {
                    value,
                    at: now(),
                    window,
                },
            );
        }
    }
    for at in 0..scene.unready {
        let name = format!("u{at}");
        pods.push(pod(&name, false));
    }
    let reading = scene.error.map_or(Ok(Reading::Pods(samples)), Err);
    let scale = Scale {
        wanted: scene.size,
        current: scene.size,
        selector: "app=web".into(),
        ..Scale::default()
    };
    World {
        autoscaler: serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap(),
        scale: Ok(scale),
        pods,
        readings: vec![reading],
        history,
    }
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = AutoscalerController::plan(&world, now());
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    let status = status::status(&world, &plan, &outcome, now());
    let conditions = status["conditions"].as_array().unwrap().iter();
    let conditions: String = conditions
        .map(|c| {
            let text = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
            format!(
                "{}={} {}: {}\n",
                text("type"),
                text("status"),
                text("reason"),
                text("message")
            )
        })
        .collect();
    let metrics = &status["currentMetrics"];
    expect.assert_eq(&format!("{plan}{conditions}{metrics}\n"));
}

#[test]
fn busy_pods_get_company() {
    check(
        "size: 2\ncpu: [90, 110]",
        &expect![[r#"
        act Remember(4)
        act Scale { from: 2, to: 4 }
        note SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target
        again in 15s
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 4
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        [{"resource":{"current":{"averageUtilization":100,"averageValue":"100m"},"name":"cpu"},"type":"Resource"}]
    "#]],
    );
}

#[test]
fn a_small_difference_changes_nothing() {
    check(
        "size: 2\ncpu: [52, 53]",
        &expect![[r#"
        act Remember(2)
        again in 15s
        AbleToScale=True ReadyForNewScale: recommended size matches current size
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        [{"resource":{"current":{"averageUtilization":52,"averageValue":"52m"},"name":"cpu"},"type":"Resource"}]
    "#]],
    );
}

#[test]
fn idle_pods_go_when_they_have_been_idle_for_long() {
    check(
        "size: 4\ncpu: [10, 10, 10, 10]\nrecommended: [[200, 4], [15, 1]]",
        &expect![[r#"
            act Remember(1)
            again in 15s
            AbleToScale=True ScaleDownStabilized: recent recommendations were higher than current one, applying the highest recent recommendation
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
            [{"resource":{"current":{"averageUtilization":10,"averageValue":"10m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
    check(
        "size: 4\ncpu: [10, 10, 10, 10]\nrecommended: [[290, 1], [15, 1]]",
        &expect![[r#"
            act Remember(1)
            act Scale { from: 4, to: 1 }
            note SuccessfulRescale: New size: 1; reason: All metrics below target
            again in 15s
            AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 1
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
            [{"resource":{"current":{"averageUtilization":10,"averageValue":"10m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
    check(
        "size: 4\ncpu: [10, 10, 10, 10]",
        &expect![[r#"
        act Remember(1)
        again in 15s
        AbleToScale=True ScaleDownStabilized: recent recommendations were higher than current one, applying the highest recent recommendation
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        [{"resource":{"current":{"averageUtilization":10,"averageValue":"10m"},"name":"cpu"},"type":"Resource"}]
    "#]],
    );
}

#[test]
fn growth_has_a_rate_and_an_end() {
    check(
        "size: 1\ncpu: [900]",
        &expect![[r#"
        act Remember(18)
        act Scale { from: 1, to: 5 }
        note SuccessfulRescale: New size: 5; reason: cpu resource utilization (percentage of request) above target
        again in 15s
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 5
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=True ScaleUpLimit: the desired replica count is increasing faster than the maximum scale rate
        [{"resource":{"current":{"averageUtilization":900,"averageValue":"900m"},"name":"cpu"},"type":"Resource"}]
    "#]],
    );
    check(
        "size: 6\ncpu: [200, 200, 200, 200, 200, 200]",
        &expect![[r#"
            act Remember(24)
            act Scale { from: 6, to: 10 }
            note SuccessfulRescale: New size: 10; reason: cpu resource utilization (percentage of request) above target
            again in 15s
            AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 10
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=True TooManyReplicas: the desired replica count is more than the maximum replica count
            [{"resource":{"current":{"averageUtilization":200,"averageValue":"200m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
    check(
        "size: 5\ncpu: [200, 200, 200, 200, 200]\nchanged: [[10, 1, 5]]",
        &expect![[r#"
            act Remember(20)
            again in 15s
            AbleToScale=True ReadyForNewScale: recommended size matches current size
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=True ScaleUpLimit: the desired replica count is increasing faster than the maximum scale rate
            [{"resource":{"current":{"averageUtilization":200,"averageValue":"200m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
}

#[test]
fn policies_are_the_users() {
    check(
        "size: 4\ncpu: [200, 200, 200, 200]\nspec: {behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}}",
        &expect![[r#"
            act Remember(16)
            act Scale { from: 4, to: 5 }
            note SuccessfulRescale: New size: 5; reason: cpu resource utilization (percentage of request) above target
            again in 15s
            AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 5
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=True ScaleUpLimit: the desired replica count is increasing faster than the maximum scale rate
            [{"resource":{"current":{"averageUtilization":200,"averageValue":"200m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
    check(
        "size: 4\ncpu: [1, 1, 1, 1]\nspec: {behavior: {scaleDown: {selectPolicy: Disabled, stabilizationWindowSeconds: 0}}}",
        &expect![[r#"
            act Remember(1)
            again in 15s
            AbleToScale=True ScaleDownStabilized: recent recommendations were higher than current one, applying the highest recent recommendation
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
            [{"resource":{"current":{"averageUtilization":1,"averageValue":"1m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
}

#[test]
fn of_whom_nothing_is_known_the_worst_is_assumed() {
    // Growing: the one without metrics uses nothing. Shrinking: it uses all it asks for.
    check(
        "size: 3\ncpu: [90, 90, null]",
        &expect![[r#"
        act Remember(4)
        act Scale { from: 3, to: 4 }
        note SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target
        again in 15s
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 4
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        [{"resource":{"current":{"averageUtilization":90,"averageValue":"90m"},"name":"cpu"},"type":"Resource"}]
    "#]],
    );
    check(
        "size: 3\ncpu: [10, 10, null]\nrecommended: [[15, 1]]",
        &expect![[r#"
            act Remember(3)
            again in 15s
            AbleToScale=True ReadyForNewScale: recommended size matches current size
            ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
            ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
            [{"resource":{"current":{"averageUtilization":10,"averageValue":"10m"},"name":"cpu"},"type":"Resource"}]
        "#]],
    );
    check(
        "size: 3\ncpu: [100]\nunready: 2",
        &expect![[r#"
        act Remember(3)
        again in 15s
        AbleToScale=True ReadyForNewScale: recommended size matches current size
        ScalingActive=True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)
        ScalingLimited=False DesiredWithinRange: the desired count is within the acceptable range
        [{"resource":{"current":{"averageUtilization":100,"averageValue":"100m"},"name":"cpu"},"type":"Resource"}]
    "#]],
    );
}

#[test]
fn without_metrics_it_says_why() {
    check(
        "size: 2\ncpu: [10, 10]\nerror: no metrics returned from resource metrics API",
        &expect![[r#"
            warn FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API
            warn FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API
            again in 15s
            AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
            ScalingActive=False FailedGetResourceMetric: the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API
            []
        "#]],
    );
    check(
        "size: 2\nunready: 2",
        &expect![[r#"
        warn FailedGetResourceMetric: failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)
        warn FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)
        again in 15s
        AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive=False FailedGetResourceMetric: the HPA was unable to compute the replica count: failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)
        []
    "#]],
    );
}

#[test]
fn bounds_come_before_metrics() {
    check(
        "size: 12\ncpu: [50]",
        &expect![[r#"
        act Scale { from: 12, to: 10 }
        note SuccessfulRescale: New size: 10; reason: Current number of replicas above Spec.MaxReplicas
        again in 15s
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 10
        []
    "#]],
    );
    check(
        "size: 1\nspec: {minReplicas: 3}",
        &expect![[r#"
        act Scale { from: 1, to: 3 }
        note SuccessfulRescale: New size: 3; reason: Current number of replicas below Spec.MinReplicas
        again in 15s
        AbleToScale=True SucceededRescale: the HPA controller was able to update the target scale to 3
        []
    "#]],
    );
    check(
        "size: 0",
        &expect![[r#"
        again in 15s
        AbleToScale=True SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive=False ScalingDisabled: scaling is disabled since the replica count of the target is zero
        []
    "#]],
    );
}

#[test]
fn a_target_that_is_not_there_is_told() {
    let mut world = world("size: 1");
    world.scale = Err("deployments.apps \"web\" not found".into());
    let plan = AutoscalerController::plan(&world, now());
    expect![[r#"
        warn FailedGetScale: deployments.apps "web" not found
        again in 15s
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn values_of_something_else_are_shared() {
    let metric = "spec: {metrics: [{type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: '10'}}}]}";
    let mut world = world(&format!("size: 2\n{metric}"));
    world.readings = vec![Ok(Reading::Value(45_000))];
    expect![[r#"
        act Remember(5)
        act Scale { from: 2, to: 5 }
        note SuccessfulRescale: New size: 5; reason: external metric queue above target
        again in 15s
    "#]]
    .assert_eq(&AutoscalerController::plan(&world, now()).to_string());
}
