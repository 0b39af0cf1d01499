//! What a pod needs of its node: the requests and limits of its containers, put together as Kubernetes does.

use std::collections::BTreeMap;

use cel::Quantity;
use serde_json::Value;

use super::edit;

/// Requests and limits by resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    pub(super) requests: BTreeMap<String, Quantity>,
    pub(super) limits: BTreeMap<String, Quantity>,
}

/// The amounts in a list of resources; what is no amount is left out.
pub(super) fn amounts(list: &Value) -> BTreeMap<String, Quantity> {
    list.as_object()
        .into_iter()
        .flatten()
        .filter_map(|(resource, amount)| Some((resource.clone(), Quantity::of(amount)?)))
        .collect()
}

impl Needs {
    /// Of a container or a claim's spec.
    pub(super) fn of(value: &Value) -> Self {
        Self {
            requests: amounts(&value["resources"]["requests"]),
            limits: amounts(&value["resources"]["limits"]),
        }
    }

    /// Of a pod as its spec says, without its overhead.
    pub(super) fn of_pod(pod: &Value) -> Self {
        let mut total = together(pod, Self::of);
        total.take_pod_level(pod);
        total
    }

    /// Of a pod as it is now: what it has been given counts until it has been resized, and so does its overhead.
    pub(super) fn of_running_pod(pod: &Value) -> Self {
        let mut total = together(pod, |container| Self::of_running(pod, container));
        total.take_pod_level(pod);
        let overhead = amounts(&pod["spec"]["overhead"]);
        for (resource, amount) in &overhead {
            let request = total.requests.entry(resource.clone()).or_default();
            *request = request.plus(*amount);
            if let Some(limit) = total.limits.get_mut(resource)
                && !limit.is_zero()
            {
                *limit = limit.plus(*amount);
            }
        }
        total
    }

    /// Of a container whose node may have been told something else than the spec says by now.
    fn of_running(pod: &Value, container: &Value) -> Self {
        let own = Self::of(container);
        let is_sidecar_or_plain = container["restartPolicy"] == "Always"
            || edit::items(&pod["spec"], "containers").any(|c| c["name"] == container["name"]);
        let status = ["containerStatuses", "initContainerStatuses"]
            .iter()
            .flat_map(|list| edit::items(&pod["status"], list))
            .find(|status| status["name"] == container["name"]);
        let Some(status) = status.filter(|s| is_sidecar_or_plain && s["resources"].is_object())
        else {
            return own;
        };
        let given = Self::of(status);
        let allocated = amounts(&status["allocatedResources"]);
        let is_infeasible = edit::items(&pod["status"], "conditions")
            .any(|c| c["type"] == "PodResizePending" && c["reason"] == "Infeasible");
        let mut now = if is_infeasible { Self::default() } else { own };
        now.combine(&given, Quantity::max);
        combine(&mut now.requests, &allocated, Quantity::max);
        now
    }

    /// What the pod says as a whole stands for the sum of its containers.
    fn take_pod_level(&mut self, pod: &Value) {
        let whole = Self::of(&pod["spec"]);
        for (mine, theirs) in [
            (&mut self.requests, whole.requests),
            (&mut self.limits, whole.limits),
        ] {
            mine.extend(theirs.into_iter().filter(|(name, _)| is_pod_level(name)));
        }
    }

    fn combine(&mut self, other: &Self, how: impl Fn(Quantity, Quantity) -> Quantity) {
        combine(&mut self.requests, &other.requests, &how);
        combine(&mut self.limits, &other.limits, &how);
    }
}

/// Whether a pod says as a whole what it needs.
pub(super) fn has_pod_level(pod: &Value) -> bool {
    let whole = Needs::of(&pod["spec"]);
    let mut names = whole.requests.keys().chain(whole.limits.keys());
    names.any(|name| is_pod_level(name))
}

fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

fn combine(
    mine: &mut BTreeMap<String, Quantity>,
    theirs: &BTreeMap<String, Quantity>,
    how: impl Fn(Quantity, Quantity) -> Quantity,
) {
    for (resource, amount) in theirs {
        let entry = mine.entry(resource.clone()).or_default();
        *entry = how(*entry, *amount);
    }
}

/// A pod's containers and sidecars together, or more while one of its other init containers runs.
fn together(pod: &Value, of: impl Fn(&Value) -> Needs) -> Needs {
    let mut total = Needs::default();
    for container in edit::items(&pod["spec"], "containers") {
        total.combine(&of(container), Quantity::plus);
    }
    let (mut sidecars, mut start) = (Needs::default(), Needs::default());
    for container in edit::items(&pod["spec"], "initContainers") {
        let own = of(container);
        if container["restartPolicy"] == "Always" {
            sidecars.combine(&own, Quantity::plus);
            total.combine(&own, Quantity::plus);
        } else {
            let mut now = sidecars.clone();
            now.combine(&own, Quantity::plus);
            start.combine(&now, Quantity::max);
        }
    }
    total.combine(&start, Quantity::max);
    total
}
