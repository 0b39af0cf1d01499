//! Facts about a Job's pods.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// Keeps a pod until its Job has counted it.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label with the index of an indexed Job's pod.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of the same index failed before this one, as far as they count.
pub(super) const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// How many pods of the same index failed before this one and were ignored by the policy.
pub(super) const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// The controller that does what a Job without `managedBy` asks for.
pub(super) const CONTROLLER: &str = "kubernetes.io/job-controller";

/// Whether another controller than this one is to run the Job.
pub(super) fn is_managed_elsewhere(spec: Option<&JobSpec>) -> bool {
    let manager = spec.and_then(|spec| spec.managed_by.as_deref());
    manager.is_some_and(|manager| manager != CONTROLLER)
}

/// The pod carries the finalizer, so nobody has counted it to the end.
pub(super) fn is_tracked(pod: &Pod) -> bool {
    let finalizers = pod.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|f| f == TRACKING)
}

pub(super) fn phase(pod: &Pod) -> &str {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    phase.unwrap_or_default()
}

pub(super) fn has_succeeded(pod: &Pod) -> bool {
    phase(pod) == "Succeeded"
}

/// Being deleted, and not at its end.
pub(super) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && !crate::pod::is_over(pod)
}

/// Pods are replaced only when they have failed, not already when they are being deleted.
pub(super) fn replaces_failed_only(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// Failed, or deleted before it came to an end: it might never come to one.
pub(super) fn has_failed(pod: &Pod, spec: &JobSpec) -> bool {
    phase(pod) == "Failed"
        || (!replaces_failed_only(spec)
            && pod.metadata.deletion_timestamp.is_some()
            && !has_succeeded(pod))
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

/// The pod's completion index, if it has one.
pub(super) fn index(pod: &Pod) -> Option<u32> {
    let index: i32 = annotation(pod, INDEX)?.parse().ok()?;
    u32::try_from(index).ok()
}

fn count(pod: &Pod, name: &str) -> i32 {
    let count = annotation(pod, name).and_then(|text| text.parse::<i32>().ok());
    count.unwrap_or(0).max(0)
}

/// Failures of the pod's index before it that count.
pub(super) fn index_failures(pod: &Pod) -> i32 {
    count(pod, INDEX_FAILURES)
}

/// Failures of the pod's index before it that were ignored.
pub(super) fn ignored_index_failures(pod: &Pod) -> i32 {
    count(pod, INDEX_IGNORED)
}

/// All failures of the pod's index before it.
pub(super) fn all_index_failures(pod: &Pod) -> i32 {
    index_failures(pod).saturating_add(ignored_index_failures(pod))
}

/// Restarts of the pod's containers, as long as it is not over.
pub(super) fn restarts(pod: &Pod) -> i64 {
    let Some(status) = &pod.status else { return 0 };
    if !matches!(status.phase.as_deref(), Some("Running" | "Pending")) {
        return 0;
    }
    let inits = status.init_container_statuses.iter().flatten();
    let all = inits.chain(status.container_statuses.iter().flatten());
    all.map(|container| i64::from(container.restart_count))
        .sum()
}

/// When a pod came to its end: when its last container did, else when it ceased to be ready, else when it was deleted,
/// else when it was created.
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let created = pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    containers_finished(pod)
        .or_else(|| unready_since(pod))
        .or_else(|| asked_to_go(pod))
        .or(created)
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn containers_finished(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let inits = pod
        .spec
        .iter()
        .flat_map(|s| s.init_containers.iter().flatten());
    let sidecars: HashSet<&str> = inits
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name.as_str())
        .collect();
    let inits = status.init_container_statuses.iter().flatten();
    let mut all = status
        .container_statuses
        .iter()
        .flatten()
        .chain(inits.filter(|c| sidecars.contains(c.name.as_str())));
    let first = ended(all.next()?)?;
    all.try_fold(first, |latest, container| {
        Some(latest.max(ended(container)?))
    })
}

fn ended(container: &ContainerStatus) -> Option<Timestamp> {
    let terminated = container.state.as_ref()?.terminated.as_ref()?;
    terminated.finished_at.as_ref().map(|t| t.0)
}

fn unready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "False")?;
    ready.last_transition_time.as_ref().map(|t| t.0)
}

fn asked_to_go(pod: &Pod) -> Option<Timestamp> {
    let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    deadline.checked_sub(SignedDuration::from_secs(grace)).ok()
}
