//! Facts about pods that several controllers ask for.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::core::{ApiResource, DynamicObject};
use runtime::Selector;
use serde_json::{Value, json};

/// Neither finished nor being deleted.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The `Ready` condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "True")?;
    Some(
        ready
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
    )
}

/// How long until the pod has been ready for `min_ready` seconds: zero if it has been, `None` if it isn't ready.
#[must_use]
pub fn available_in(pod: &Pod, min_ready: i32, now: Timestamp) -> Option<Duration> {
    let since = ready_since(pod)?;
    let wanted = Duration::from_secs(u64::try_from(min_ready).unwrap_or(0));
    let been = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    Some(wanted.saturating_sub(been))
}

/// The reference to the object that controls the pod.
#[must_use]
pub fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.metadata
        .owner_references
        .as_ref()?
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// Whether the selector selects the pod; an empty selector selects nothing here, as workloads use it.
#[must_use]
pub fn matches(selector: &LabelSelector, pod: &Pod) -> bool {
    let is_empty = selector.match_labels.as_ref().is_none_or(|l| l.is_empty())
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(|e| e.is_empty());
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    !is_empty && Selector::from(selector).matches(&labels, std::iter::empty())
}

/// A new pod `<base>-<random>` from a workload's template.
#[must_use]
pub fn from_template(
    template: Option<&PodTemplateSpec>,
    base: &str,
    namespace: &str,
    owner: &Value,
) -> DynamicObject {
    let resource = ApiResource::erase::<Pod>(&());
    let mut pod = DynamicObject::new("", &resource).within(namespace);
    pod.metadata.name = None;
    pod.metadata.generate_name = Some(format!("{base}-"));
    pod.metadata.owner_references = serde_json::from_value(json!([owner])).ok();
    if let Some(template) = template {
        if let Some(meta) = &template.metadata {
            pod.metadata.labels = meta.labels.clone();
            pod.metadata.annotations = meta.annotations.clone();
            pod.metadata.finalizers = meta.finalizers.clone();
        }
        pod.data = json!({"spec": template.spec});
    }
    pod
}
