//! How large the target is to be, and what is said of it. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, MetricSpec, MetricTarget, ResourceMetricSource,
};
use serde_json::{Value, json};

use super::World;
use super::ask::{Reading, Scale, resource_of};
use super::calculate::{self, Measured, Proposal, Target, Tolerance};
use super::history::Bounds;
use crate::amounts::milli;

/// A ratio that differs less from 1 changes nothing.
const TOLERANCE: f64 = 0.1;
/// What pods are to use of their processors if the autoscaler names no metric, in percent.
const USUAL_UTILIZATION: i32 = 80;

/// What comes of one look.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Decision {
    pub(super) current: i32,
    pub(super) desired: i32,
    /// What the metrics asked for, before anything limited it.
    pub(super) recommended: Option<i32>,
    /// Why the size changes.
    pub(super) reason: String,
    /// Type, status, reason and message.
    pub(super) conditions: Vec<(&'static str, bool, &'static str, String)>,
    pub(super) warnings: Vec<(&'static str, String)>,
    /// `status.currentMetrics`.
    pub(super) measured: Vec<Value>,
}

impl Decision {
    fn say(
        &mut self,
        ty: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.conditions.retain(|(known, ..)| *known != ty);
        self.conditions.push((ty, status, reason, message.into()));
    }
}

/// The metrics of an autoscaler, and the usual one if it names none.
pub(super) fn metrics(autoscaler: &HorizontalPodAutoscaler) -> Cow<'_, [MetricSpec]> {
    let own = autoscaler.spec.metrics.as_deref();
    match own.filter(|own| !own.is_empty()) {
        Some(own) => Cow::Borrowed(own),
        None => Cow::Owned(vec![MetricSpec {
            type_: "Resource".to_owned(),
            resource: Some(ResourceMetricSource {
                name: "cpu".to_owned(),
                target: MetricTarget {
                    type_: "Utilization".to_owned(),
                    average_utilization: Some(USUAL_UTILIZATION),
                    ..MetricTarget::default()
                },
            }),
            ..MetricSpec::default()
        }]),
    }
}

pub(super) fn decide(world: &World, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let spec = &world.autoscaler.spec;
    let scale = match &world.scale {
        Ok(scale) => scale,
        Err(why) => {
            let message =
                format!("the HPA controller was unable to get the target's current scale: {why}");
            decision.say("AbleToScale", false, "FailedGetScale", message);
            decision.warnings.push(("FailedGetScale", why.clone()));
            let status = world.autoscaler.status.as_ref();
            let known = status.and_then(|s| s.current_replicas).unwrap_or(0);
            (decision.current, decision.desired) = (known, known);
            return decision;
        }
    };
    let message = "the HPA controller was able to get the target's current scale";
    decision.say("AbleToScale", true, "SucceededGetScale", message);
    let bounds = Bounds {
        min: spec.min_replicas.unwrap_or(1),
        max: spec.max_replicas,
    };
    decision.current = scale.wanted;
    decision.desired = scale.wanted;
    if scale.wanted == 0 && bounds.min != 0 {
        let message = "scaling is disabled since the replica count of the target is zero";
        decision.say("ScalingActive", false, "ScalingDisabled", message);
    } else if scale.wanted > bounds.max {
        decision.desired = bounds.max;
        "Current number of replicas above Spec.MaxReplicas".clone_into(&mut decision.reason);
    } else if scale.wanted < bounds.min {
        decision.desired = bounds.min;
        "Current number of replicas below Spec.MinReplicas".clone_into(&mut decision.reason);
    } else {
        by_metrics(world, scale, bounds, now, &mut decision);
    }
    if decision.desired != decision.current {
        let message = format!(
            "the HPA controller was able to update the target scale to {}",
            decision.desired
        );
        decision.say("AbleToScale", true, "SucceededRescale", message);
    }
    decision
}

fn by_metrics(
    world: &World,
    scale: &Scale,
    bounds: Bounds,
    now: Timestamp,
    decision: &mut Decision,
) {
    if scale.selector.is_empty() {
        let message = "the HPA target's scale is missing a selector";
        decision.say("ScalingActive", false, "InvalidSelector", message);
        decision
            .warnings
            .push(("SelectorRequired", "selector is required".to_owned()));
        return;
    }
    let specs = metrics(&world.autoscaler);
    let mut best: Option<(i32, String)> = None;
    let mut failures = vec![];
    for (metric, reading) in specs.iter().zip(&world.readings) {
        match propose(world, scale, metric, reading, now) {
            Ok((proposal, name)) => {
                decision.measured.push(shown(metric, &proposal));
                if best
                    .as_ref()
                    .is_none_or(|(most, _)| proposal.replicas > *most)
                {
                    best = Some((proposal.replicas, name));
                }
            }
            Err((reason, why, whole)) => failures.push((reason, why, whole)),
        }
    }
    let would_shrink = best.as_ref().is_none_or(|(most, _)| *most < scale.wanted);
    if let Some((reason, why, whole)) = failures.first() {
        decision.warnings.push((reason, why.clone()));
        if would_shrink {
            let message = format!("the HPA was unable to compute the replica count: {why}");
            decision.say("ScalingActive", false, reason, message);
            let message = format!(
                "invalid metrics ({} invalid out of {}), first error is: {whole}",
                failures.len(),
                specs.len()
            );
            decision
                .warnings
                .push(("FailedComputeMetricsReplicas", message));
            return;
        }
    }
    let Some((wanted, name)) = best else { return };
    let message = format!("the HPA was able to successfully calculate a replica count from {name}");
    decision.say("ScalingActive", true, "ValidMetricFound", message);
    decision.recommended = Some(wanted);
    let behavior = world.autoscaler.spec.behavior.as_ref();
    let rules = (
        behavior.and_then(|b| b.scale_up.as_ref()),
        behavior.and_then(|b| b.scale_down.as_ref()),
    );
    let limited = world
        .history
        .limit(scale.wanted, wanted, bounds, rules, now);
    decision.say("AbleToScale", true, limited.able.0, limited.able.1);
    decision.say(
        "ScalingLimited",
        limited.is_limited,
        limited.limit.0,
        limited.limit.1,
    );
    decision.desired = limited.size;
    if limited.size > scale.wanted {
        decision.reason = format!("{name} above target");
    } else if limited.size < scale.wanted {
        "All metrics below target".clone_into(&mut decision.reason);
    }
}

/// Reason, what is wrong, and the same with what was being done.
type Failure = (&'static str, String, String);

/// How a metric is spoken of.
struct Words {
    /// Of the condition, when it cannot be read.
    reason: &'static str,
    /// What was being done then, and what for.
    doing: String,
    whole: String,
    /// Of the metric itself.
    name: String,
}

fn words(metric: &MetricSpec) -> Words {
    let (resource, container) = resource_of(metric);
    let is_share = matches!(target(metric), Some(Target::Utilization(_)));
    let what = if is_share { "utilization" } else { "usage" };
    let share = if is_share {
        " utilization (percentage of request)"
    } else {
        ""
    };
    let id = identifier(metric);
    let other = |reason: &'static str, what: &str, name: String| Words {
        reason,
        doing: format!("failed to get {what} metric {id}"),
        whole: format!("failed to get {what} metric value"),
        name,
    };
    match metric.type_.as_str() {
        "Resource" => Words {
            reason: "FailedGetResourceMetric",
            doing: format!("failed to get {resource} {what}"),
            whole: format!("failed to get {resource} resource metric value"),
            name: format!("{resource} resource{share}"),
        },
        "ContainerResource" => Words {
            reason: "FailedGetContainerResourceMetric",
            doing: format!("failed to get {resource} {what}"),
            whole: format!("failed to get {container} container metric value"),
            name: format!("{resource} container resource{share}"),
        },
        "Pods" => other("FailedGetPodsMetric", "pods", format!("pods metric {id}")),
        "Object" => {
            let object = metric.object.as_ref();
            let kind = object.map(|object| object.described_object.kind.as_str());
            let name = format!("{} metric {id}", kind.unwrap_or_default());
            other("FailedGetObjectMetric", "object", name)
        }
        "External" => {
            let name = format!("external metric {id}");
            other("FailedGetExternalMetric", "external", name)
        }
        _ => other("InvalidMetricSourceType", "unknown", id.to_owned()),
    }
}

fn propose(
    world: &World,
    scale: &Scale,
    metric: &MetricSpec,
    reading: &Result<Reading, String>,
    now: Timestamp,
) -> Result<(Proposal, String), Failure> {
    let (resource, container) = resource_of(metric);
    let tolerance = tolerance(world);
    let words = words(metric);
    let fail = |why: String| {
        let inner = format!("{}: {why}", words.doing);
        (
            words.reason,
            inner.clone(),
            format!("{}: {inner}", words.whole),
        )
    };
    let Some(target) = target(metric) else {
        return Err(fail("the metric has no target that can be used".to_owned()));
    };
    let unable = |why: &String| {
        if resource.is_empty() {
            why.clone()
        } else {
            format!("unable to get metrics for resource {resource}: {why}")
        }
    };
    let reading = reading.as_ref().map_err(|why| fail(unable(why)))?;
    let is_value = metric_target(metric).is_some_and(|target| target.value.is_some());
    let proposal = match (reading, target) {
        (Reading::Pods(samples), target) => {
            let measured = Measured {
                resource,
                container,
            };
            let proposal = calculate::by_pods(
                scale.wanted,
                &world.pods,
                samples,
                measured,
                target,
                tolerance,
                now,
            );
            proposal.map_err(fail)?
        }
        (Reading::Value(value), Target::Average(target)) if is_value => {
            calculate::by_value(scale.wanted, &world.pods, *value, target, tolerance)
        }
        (Reading::Value(value), Target::Average(target)) => {
            calculate::by_average(scale.current, *value, target, tolerance)
        }
        (Reading::Value(_), Target::Utilization(_)) => {
            return Err(fail("a share is only known of resources".to_owned()));
        }
    };
    Ok((proposal, words.name))
}

fn identifier(metric: &MetricSpec) -> &str {
    let pods = metric.pods.as_ref().map(|m| &m.metric);
    let object = metric.object.as_ref().map(|m| &m.metric);
    let external = metric.external.as_ref().map(|m| &m.metric);
    let metric = pods.or(object).or(external);
    metric
        .map(|metric| metric.name.as_str())
        .unwrap_or_default()
}

fn metric_target(metric: &MetricSpec) -> Option<&MetricTarget> {
    let resource = metric.resource.as_ref().map(|m| &m.target);
    let container = metric.container_resource.as_ref().map(|m| &m.target);
    let pods = metric.pods.as_ref().map(|m| &m.target);
    let object = metric.object.as_ref().map(|m| &m.target);
    let external = metric.external.as_ref().map(|m| &m.target);
    resource.or(container).or(pods).or(object).or(external)
}

fn target(metric: &MetricSpec) -> Option<Target> {
    let target = metric_target(metric)?;
    if let Some(percent) = target.average_utilization {
        return Some(Target::Utilization(percent));
    }
    let value = target.average_value.as_ref().or(target.value.as_ref())?;
    milli(&value.0).map(Target::Average)
}

fn tolerance(world: &World) -> Tolerance {
    let behavior = world.autoscaler.spec.behavior.as_ref();
    let of = |rules: Option<&HPAScalingRules>| {
        let own = rules.and_then(|rules| rules.tolerance.as_ref());
        let own = own.and_then(|own| milli(&own.0));
        let own = own.and_then(|own| i32::try_from(own).ok());
        own.map_or(TOLERANCE, |own| f64::from(own) / 1000.0)
    };
    Tolerance {
        up: of(behavior.and_then(|b| b.scale_up.as_ref())),
        down: of(behavior.and_then(|b| b.scale_down.as_ref())),
    }
}

/// The metric as `status.currentMetrics` has it.
fn shown(metric: &MetricSpec, proposal: &Proposal) -> Value {
    let average = quantity(proposal.average);
    let mut current = json!({"averageValue": average});
    if let Some(utilization) = proposal.utilization {
        current["averageUtilization"] = json!(utilization);
    }
    let is_value = metric_target(metric).is_some_and(|target| target.value.is_some());
    if is_value {
        current = json!({"value": average});
    }
    let mut shown = json!({"type": metric.type_});
    if let Some(own) = &metric.resource {
        shown["resource"] = json!({"name": own.name, "current": current});
    } else if let Some(own) = &metric.container_resource {
        shown["containerResource"] =
            json!({"name": own.name, "container": own.container, "current": current});
    } else if let Some(own) = &metric.pods {
        shown["pods"] = json!({"metric": own.metric, "current": current});
    } else if let Some(own) = &metric.object {
        shown["object"] = json!({"metric": own.metric, "describedObject": own.described_object, "current": current});
    } else if let Some(own) = &metric.external {
        shown["external"] = json!({"metric": own.metric, "current": current});
    }
    shown
}

/// Thousandths as a quantity.
fn quantity(milli: i128) -> String {
    if milli % 1000 == 0 {
        (milli / 1000).to_string()
    } else {
        format!("{milli}m")
    }
}
