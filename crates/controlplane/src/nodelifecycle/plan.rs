//! Which taints a node has to have, and when it counts as silent.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Value, json};

use super::World;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// A node that says nothing for this long is silent, as in Kubernetes.
const GRACE: Duration = Duration::from_secs(50);

/// How long the node may still say nothing; zero if it is silent, `None` if it never gave a sign of life.
fn patience(world: &World, now: Timestamp) -> Option<Duration> {
    let renewed = world.lease.as_ref()?.spec.as_ref()?.renew_time.as_ref()?.0;
    let silent_for = Duration::try_from(now.duration_since(renewed)).unwrap_or_default();
    Some(GRACE.saturating_sub(silent_for))
}

fn is_silent(world: &World, now: Timestamp) -> bool {
    patience(world, now).is_some_and(|left| left.is_zero())
}

/// `True`, `False` or `Unknown`.
fn ready(world: &World) -> &str {
    let conditions = world
        .node
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .find(|c| c.type_ == "Ready");
    ready.map_or("Unknown", |c| c.status.as_str())
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.node.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let wanted = match ready(world) {
        _ if is_silent(world, now) => Some(UNREACHABLE),
        "True" => None,
        "False" => Some(NOT_READY),
        _ if world.lease.is_none() => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    let taints = world
        .node
        .spec
        .as_ref()
        .and_then(|s| s.taints.clone())
        .unwrap_or_default();
    let is_ours = |taint: &Taint| taint.key == NOT_READY || taint.key == UNREACHABLE;
    let is_right =
        |taint: &Taint| Some(taint.key.as_str()) == wanted && taint.effect == "NoSchedule";
    let mut new: Vec<Taint> = taints
        .iter()
        .filter(|t| !is_ours(t) || is_right(t))
        .cloned()
        .collect();
    if let Some(key) = wanted.filter(|_| !new.iter().any(is_right)) {
        new.push(Taint {
            key: key.into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        });
    }
    if new != taints {
        // Others change taints as well: the revision makes sure that none of theirs is lost.
        let meta = json!({"resourceVersion": world.node.metadata.resource_version});
        let patch = json!({"metadata": meta, "spec": {"taints": new}});
        let target = ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "Node".into(),
            namespace: String::new(),
            name: world.node.metadata.name.clone().unwrap_or_default(),
        };
        plan.changes.push(Change::Patch {
            target,
            subresource: "",
            patch,
        });
    }
    plan.again_in = patience(world, now).filter(|left| !left.is_zero());
    plan
}

/// The condition of a silent node; a node that speaks says itself how it is.
pub(super) fn status(world: &World, now: Timestamp) -> Option<Value> {
    if !is_silent(world, now) || ready(world) == "Unknown" {
        return None;
    }
    let mut conditions = json!(
        world
            .node
            .status
            .as_ref()
            .and_then(|s| s.conditions.clone())
            .unwrap_or_default()
    );
    for condition in conditions.as_array_mut().into_iter().flatten() {
        condition["status"] = "Unknown".into();
        condition["reason"] = "NodeStatusUnknown".into();
        condition["message"] = "Kubelet stopped posting node status.".into();
    }
    let mut status = json!(world.node.status);
    status["conditions"] = conditions;
    Some(status)
}
