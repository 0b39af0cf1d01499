//! Facts about pods that several controllers ask for.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, ObjectMeta, OwnerReference, Time,
};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Change, ObjectRef, Selector};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Succeeded or failed.
#[must_use]
pub fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Neither finished nor being deleted.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !is_over(pod)
}

/// The `Ready` condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// Since when the pod is ready, if it is.
#[must_use]
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
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

/// Names the pod.
#[must_use]
pub fn reference(pod: &Pod) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "Pod".into(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
    }
}

/// Deletes this pod, and no successor of its name.
#[must_use]
pub fn delete<A>(pod: &Pod) -> Change<A> {
    Change::Delete {
        target: reference(pod),
        uid: pod.metadata.uid.clone(),
    }
}

/// Metadata of a patch that is made onto the pod as it is known, and fails if it has changed: conditions are replaced
/// together, and others write them too.
#[must_use]
pub fn known_as(pod: &Pod) -> Value {
    json!({"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version})
}

/// Says at the pod that it is about to be ended, and why; nothing if it says so already.
#[must_use]
pub fn disrupted<A>(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Option<Change<A>> {
    let conditions = with_disruption(pod, reason, message, now);
    let known = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    if known == Some(&conditions) {
        return None;
    }
    Some(Change::Patch {
        target: reference(pod),
        subresource: "status",
        patch: json!({"metadata": known_as(pod), "status": {"conditions": conditions}}),
    })
}

/// The pod's conditions with `DisruptionTarget`: it is about to be ended for a reason that is not its own.
#[must_use]
pub fn with_disruption(
    pod: &Pod,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Vec<PodCondition> {
    let status = pod.status.clone().unwrap_or_default();
    let mut conditions = status.conditions.unwrap_or_default();
    let is_target = |c: &PodCondition| c.type_ == "DisruptionTarget";
    let known = conditions.iter().find(|c| is_target(c)).cloned();
    conditions.retain(|c| !is_target(c));
    let since = known.filter(|c| c.status == "True");
    let since = since.and_then(|c| c.last_transition_time);
    conditions.push(PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: since.or(Some(Time(now))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    });
    conditions
}

/// A name for a new pod, as `generateName` would make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `<owner>-`.
    pub base: String,
    pub name: String,
}

/// Names for the new pods of one workload, computed so that a plan can tell them: they are as good as random, because
/// they follow from the owner's uid and revision and from the time.
pub struct Names {
    base: String,
    seed: String,
    count: u32,
    taken: HashSet<String>,
}

impl Names {
    /// The letters of Kubernetes' generated names.
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    /// A name has 63 characters at most, five of them random.
    const BASE_MAX: usize = 58;

    /// Names for pods of the owner with this metadata; those of `pods` are taken.
    pub fn new<'a>(
        owner: &ObjectMeta,
        now: Timestamp,
        pods: impl Iterator<Item = &'a Pod>,
    ) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (uid, revision) = (text(&owner.uid), text(&owner.resource_version));
        Self {
            base: format!("{}-", text(&owner.name)),
            seed: format!("{uid}/{revision}/{}", now.as_nanosecond()),
            count: 0,
            taken: pods.filter_map(|pod| pod.metadata.name.clone()).collect(),
        }
    }

    /// One more name.
    pub fn draw(&mut self) -> Name {
        let base = self.base.clone();
        self.draw_after(&base)
    }

    /// One more name, with another beginning than `<owner>-`.
    pub fn draw_after(&mut self, base: &str) -> Name {
        loop {
            self.count += 1;
            let digest = Sha256::digest(format!("{}/{}", self.seed, self.count));
            let letters = digest
                .iter()
                .map(|byte| usize::from(*byte) % Self::LETTERS.len());
            let suffix: String = letters
                .take(5)
                .map(|at| char::from(Self::LETTERS[at]))
                .collect();
            let mut end = base.len().min(Self::BASE_MAX);
            while !base.is_char_boundary(end) {
                end -= 1;
            }
            let name = format!("{}{suffix}", &base[..end]);
            if self.taken.insert(name.clone()) {
                let base = base.to_owned();
                return Name { base, name };
            }
        }
    }
}

/// A new pod from a workload's template.
#[must_use]
pub fn from_template(
    template: Option<&PodTemplateSpec>,
    name: &Name,
    namespace: &str,
    owner: &Value,
) -> DynamicObject {
    let resource = ApiResource::erase::<Pod>(&());
    let mut pod = DynamicObject::new(&name.name, &resource).within(namespace);
    pod.metadata.generate_name = Some(name.base.clone());
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
