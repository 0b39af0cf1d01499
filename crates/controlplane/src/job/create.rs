//! The new pods of a Job.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::backoff::Failures;
use super::facts::{
    INDEX, INDEX_FAILURES, INDEX_IGNORED, TRACKING, ignored_index_failures, index, index_failures,
    replaces_failed_only,
};
use super::look::{Indexed, Look};
use super::policy;
use crate::pod::{self, Name, Names};

/// A name has 63 characters at most, five of them random.
const BASE_MAX: usize = 58;

/// Which pods can be made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Their indexes; `None` for each pod of a Job without indexes.
    pub pods: Vec<Option<u32>>,
    /// When more can be made.
    pub again_in: Option<Duration>,
}

/// Up to `count` pods, as far as their back-off is over.
pub(super) fn wanted(look: &Look<'_>, count: usize) -> Wanted {
    let has_limit_per_index = look.spec.backoff_limit_per_index.is_some();
    let left = look.failures.left(look.now);
    if !has_limit_per_index && !left.is_zero() {
        return Wanted {
            pods: vec![],
            again_in: Some(left),
        };
    }
    let Some(indexed) = &look.indexed else {
        return Wanted {
            pods: vec![None; count],
            again_in: None,
        };
    };
    let mut wanted = Wanted::default();
    for index in pending(look, indexed, count) {
        let awaiting = indexed.awaiting.get(&index);
        let left = awaiting.map_or(Duration::ZERO, |last| {
            Failures::of_index(last).left(look.now)
        });
        if left.is_zero() {
            wanted.pods.push(Some(index));
        } else {
            wanted.again_in = Some(wanted.again_in.map_or(left, |again| again.min(left)));
        }
    }
    wanted
}

/// The lowest indexes that neither have come to an end nor have a pod.
fn pending(look: &Look<'_>, indexed: &Indexed<'_>, count: usize) -> Vec<u32> {
    let mut taken = indexed.succeeded.clone();
    if let Some((_, failed)) = &indexed.failed {
        taken = taken.union(failed);
    }
    taken = taken.with(&look.active().filter_map(index).collect());
    if replaces_failed_only(look.spec) {
        taken = taken.with(&look.terminating().filter_map(index).collect());
    }
    taken.missing(count, indexed.completions)
}

/// The name of a new pod: `<job>-<random>`, with the index `<job>-<index>-<random>`.
pub(super) fn name(look: &Look<'_>, names: &mut Names, index: Option<u32>) -> Name {
    let Some(index) = index else {
        return names.draw();
    };
    let job = look.job.metadata.name.as_deref().unwrap_or_default();
    let suffix = format!("-{index}-");
    let mut end = job.len().min(BASE_MAX.saturating_sub(suffix.len()));
    while !job.is_char_boundary(end) {
        end -= 1;
    }
    names.draw_after(&format!("{}{suffix}", &job[..end]))
}

/// A new pod from the Job's template.
pub(super) fn pod(look: &Look<'_>, name: &Name, index: Option<u32>) -> DynamicObject {
    let namespace = look.job.metadata.namespace.as_deref().unwrap_or_default();
    let owner = owner_reference(look);
    let mut pod = pod::from_template(Some(&look.spec.template), name, namespace, &owner);
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|f| f == TRACKING) {
        finalizers.push(TRACKING.into());
    }
    if look.indexed.is_some() {
        for list in ["initContainers", "containers"] {
            let containers = pod.data["spec"].get_mut(list);
            let containers = containers.and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(tell_index);
        }
    }
    if let Some(index) = index {
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(INDEX.into(), index.to_string());
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(INDEX.into(), index.to_string());
        if look.spec.backoff_limit_per_index.is_some() {
            let awaiting = look.indexed.as_ref().and_then(|i| i.awaiting.get(&index));
            let (counted, ignored) = awaiting.map_or((0, 0), |last| failures(look, last));
            annotations.insert(INDEX_FAILURES.into(), counted.to_string());
            if ignored > 0 {
                annotations.insert(INDEX_IGNORED.into(), ignored.to_string());
            }
        }
        let job = look.job.metadata.name.as_deref().unwrap_or_default();
        pod.data["spec"]["hostname"] = format!("{job}-{index}").into();
    }
    pod
}

/// The failures of an index, with that of the pod that failed last: those that count, and those that were ignored.
fn failures(look: &Look<'_>, last: &Pod) -> (i32, i32) {
    let (counted, ignored) = (index_failures(last), ignored_index_failures(last));
    if policy::failure(look.spec, last).counts() {
        (counted.saturating_add(1), ignored)
    } else {
        (counted, ignored.saturating_add(1))
    }
}

/// Gives a container its index in the environment.
fn tell_index(container: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let mut env = container["env"].as_array().cloned().unwrap_or_default();
    if env.iter().any(|variable| variable["name"] == NAME) {
        return;
    }
    let path = format!("metadata.labels['{INDEX}']");
    env.push(json!({"name": NAME, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    container["env"] = env.into();
}

/// How pods refer to their Job.
pub(super) fn owner_reference(look: &Look<'_>) -> Value {
    let meta = &look.job.metadata;
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "name": meta.name, "uid": meta.uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}
