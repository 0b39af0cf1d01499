//! Resources that a pod was given, and what is done when its spec asks for others: pure.
//!
//! A resize is done at once if the node has room for it. Otherwise the pod keeps what it has and says so in the condition
//! `PodResizePending`: `Deferred` while other pods are in the way, `Infeasible` if the node is too small.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::admit::{self, Room};
use super::pod::Event;
use super::quantity;

/// What is decided about the resources of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resize {
    /// A resize that cannot be done: reason and message.
    pub pending: Option<(&'static str, String)>,
    /// Containers that must be started anew to be resized.
    pub restarts: BTreeSet<String>,
    /// What containers keep for now, by name.
    kept: BTreeMap<String, ResourceRequirements>,
    pub events: Vec<Event>,
}

/// The resources that can be resized.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

impl Resize {
    /// Decides for a pod on a node with this room beside it.
    pub(super) fn of(pod: &Pod, room: impl FnOnce() -> Room) -> Self {
        let mut resize = Self::default();
        let changed: Vec<(&Container, &ContainerStatus)> = containers(pod)
            .filter_map(|container| Some((container, status(pod, &container.name)?)))
            .filter(|(container, status)| is_changed(container, status))
            .collect();
        if changed.is_empty() {
            return resize;
        }
        let wanted = admit::requests(pod);
        if let Some((reason, message)) = room().against_resize(&wanted) {
            let is_news = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .all(|c| {
                    c.type_ != "PodResizePending"
                        || c.reason.as_deref() != Some(reason)
                        || c.observed_generation != pod.metadata.generation
                });
            if is_news {
                let event = if reason == "Deferred" {
                    "ResizeDeferred"
                } else {
                    "ResizeInfeasible"
                };
                resize.events.push(told(pod, true, event, reason, &message));
            }
            for (container, status) in changed {
                let kept = status.resources.clone().unwrap_or_default();
                resize.kept.insert(container.name.clone(), kept);
            }
            resize.pending = Some((reason, message));
            return resize;
        }
        for (container, status) in &changed {
            if must_restart(container, status) {
                resize.restarts.insert(container.name.clone());
            }
        }
        for (reason, word) in [
            ("ResizeStarted", "started"),
            ("ResizeCompleted", "completed"),
        ] {
            resize.events.push(told(pod, false, reason, word, ""));
        }
        resize
    }

    /// Puts the resources of a container that has begun into its status.
    pub(super) fn show(&self, container: &Container, status: &mut Value) {
        let own = self
            .kept
            .get(&container.name)
            .or(container.resources.as_ref());
        let Some(own) = own else { return };
        if let Some(requests) = &own.requests {
            status["allocatedResources"] = json!(requests);
        }
        if own.requests.is_some() || own.limits.is_some() {
            status["resources"] = json!(own);
        }
    }
}

/// The containers that can be resized: those that run all the time.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| {
        let init = spec.init_containers.iter().flatten();
        let sidecars = init.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        spec.containers.iter().chain(sidecars)
    })
}

fn status<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let status = pod.status.as_ref()?;
    let apps = status.container_statuses.iter().flatten();
    let init = status.init_container_statuses.iter().flatten();
    let mut all = apps.chain(init);
    // Before its first start a container has nothing yet.
    all.find(|status| status.name == name && status.container_id.is_some())
}

type List = Option<BTreeMap<String, Quantity>>;

/// The resources of which one list says something else than another.
fn differing(new: &List, old: &List) -> Vec<&'static str> {
    let (new, old) = (
        quantity::amounts(new.as_ref()),
        quantity::amounts(old.as_ref()),
    );
    let is_other = |name: &&str| new.get(*name) != old.get(*name);
    RESIZABLE.into_iter().filter(is_other).collect()
}

fn changes(container: &Container, status: &ContainerStatus) -> Vec<&'static str> {
    let new = container.resources.clone().unwrap_or_default();
    let old = status.resources.clone().unwrap_or_default();
    let mut all = differing(&new.requests, &old.requests);
    all.extend(differing(&new.limits, &old.limits));
    all
}

fn is_changed(container: &Container, status: &ContainerStatus) -> bool {
    !changes(container, status).is_empty()
}

fn must_restart(container: &Container, status: &ContainerStatus) -> bool {
    let is_running = status.state.as_ref().is_some_and(|s| s.running.is_some());
    let changed = changes(container, status);
    let mut policies = container.resize_policy.iter().flatten();
    is_running
        && policies.any(|policy| {
            policy.restart_policy == "RestartContainer"
                && changed.contains(&policy.resource_name.as_str())
        })
}

fn told(pod: &Pod, is_warning: bool, reason: &'static str, word: &str, error: &str) -> Event {
    let containers: Vec<Value> = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|c| json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()}))
        .collect();
    let mut summary = json!({"containers": containers, "generation": pod.metadata.generation});
    if !error.is_empty() {
        summary["error"] = error.into();
    }
    Event {
        is_warning,
        reason,
        field: String::new(),
        message: format!("Pod resize {word}: {summary}"),
    }
}
