//! Which taints a node has to have, and when it counts as silent.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use runtime::{Change, ObjectRef, Plan};
use serde_json::{Value, json};

use super::World;
use crate::pod;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that, if true, keep new pods away.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "node.kubernetes.io/network-unavailable",
    ),
];
/// A node that says nothing for this long is silent, as in Kubernetes; longer if its lease holds for longer.
const GRACE: Duration = Duration::from_secs(50);
/// A new node may take this long until it says something.
const START_GRACE: Duration = Duration::from_secs(60);

fn condition<'a>(world: &'a World, ty: &str) -> Option<&'a NodeCondition> {
    let status = world.node.status.as_ref()?;
    status.conditions.as_ref()?.iter().find(|c| c.type_ == ty)
}

/// The last sign of life, if there ever was one.
fn sign_of_life(world: &World) -> Option<Timestamp> {
    let lease = world
        .lease
        .as_ref()
        .and_then(|l| l.spec.as_ref()?.renew_time.as_ref());
    let heartbeat = condition(world, "Ready").and_then(|c| c.last_heartbeat_time.as_ref());
    lease.map(|t| t.0).max(heartbeat.map(|t| t.0))
}

/// How long the node's lease holds.
fn lease(world: &World) -> Duration {
    let lease = world.lease.as_ref().and_then(|l| l.spec.as_ref());
    let seconds = lease.and_then(|lease| lease.lease_duration_seconds);
    Duration::from_secs(u64::try_from(seconds.unwrap_or(0)).unwrap_or(0))
}

/// How long the node may still say nothing; zero if it is silent.
fn patience(world: &World, now: Timestamp) -> Duration {
    let created = world
        .node
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |t| t.0);
    let (since, grace) = match sign_of_life(world) {
        Some(sign) => (sign, GRACE.max(lease(world).mul_f32(1.25))),
        None => (created, START_GRACE),
    };
    let silent_for = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    grace.saturating_sub(silent_for)
}

pub(super) fn is_silent(world: &World, now: Timestamp) -> bool {
    patience(world, now).is_zero()
}

/// `True`, `False` or `Unknown`; of a silent node the last is true whatever its condition says still.
fn ready(world: &World, now: Timestamp) -> &str {
    if is_silent(world, now) {
        return "Unknown";
    }
    condition(world, "Ready").map_or("False", |c| c.status.as_str())
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
    let mut plan = Plan::default();
    if world.node.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    taint(world, now, &mut plan);
    if is_silent(world, now) {
        let name = world.node.metadata.name.as_deref().unwrap_or_default();
        if condition(world, "Ready").is_some_and(|c| c.status == "True") {
            plan.note(
                "NodeNotReady",
                format!("Node {name} status is now: NodeNotReady"),
            );
        }
        // Nobody else can say so: their kubelet is the one that is silent.
        for pod in world.pods.iter().filter(|pod| pod::is_ready(pod)) {
            plan.changes.push(not_ready(pod, now));
            plan.warn_about(pod.object_ref(&()), "NodeNotReady", "Node is not ready");
        }
        return plan;
    }
    plan.again_in = Some(patience(world, now));
    plan
}

/// Brings the taints that are ours in line with the conditions; those of others stay.
fn taint(world: &World, now: Timestamp, plan: &mut Plan<Infallible>) {
    let spec = world.node.spec.as_ref();
    let taints = spec.and_then(|s| s.taints.clone()).unwrap_or_default();
    let wanted = wanted(world, now);
    let is_ours = |taint: &Taint| {
        let keys = PRESSURES.iter().map(|(_, key)| *key);
        keys.chain([NOT_READY, UNREACHABLE, UNSCHEDULABLE])
            .any(|key| key == taint.key)
    };
    let is_right = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut new: Vec<Taint> = taints
        .iter()
        .filter(|t| !is_ours(t) || is_right(t))
        .cloned()
        .collect();
    for (key, effect) in &wanted {
        if !new
            .iter()
            .any(|taint| taint.key == *key && taint.effect == *effect)
        {
            new.push(Taint {
                key: (*key).into(),
                effect: (*effect).into(),
                time_added: Some(Time(now)),
                ..Taint::default()
            });
        }
    }
    if new == taints {
        return;
    }
    // Others change taints as well: the revision makes sure that none of theirs is lost.
    let meta = json!({"resourceVersion": world.node.metadata.resource_version});
    plan.changes.push(Change::Patch {
        target: ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "Node".into(),
            namespace: String::new(),
            name: world.node.metadata.name.clone().unwrap_or_default(),
        },
        subresource: "",
        patch: json!({"metadata": meta, "spec": {"taints": new}}),
    });
}

/// Key and effect of the taints that the node has to have.
fn wanted(world: &World, now: Timestamp) -> Vec<(&'static str, &'static str)> {
    let mut wanted = vec![];
    let health = match ready(world, now) {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    if let Some(key) = health {
        wanted.extend([(key, "NoSchedule"), (key, "NoExecute")]);
    }
    for (ty, key) in PRESSURES {
        if condition(world, ty).is_some_and(|c| c.status == "True") {
            wanted.push((key, "NoSchedule"));
        }
    }
    if world.node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

fn not_ready(pod: &Pod, now: Timestamp) -> Change<Infallible> {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.clone());
    let mut conditions = json!(conditions.unwrap_or_default());
    for condition in conditions.as_array_mut().into_iter().flatten() {
        if condition["type"] == "Ready" {
            condition["status"] = "False".into();
            condition["lastTransitionTime"] = runtime::rfc3339(now).into();
        }
    }
    Change::Patch {
        target: ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "Pod".into(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
        },
        subresource: "status",
        patch: json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": conditions}}),
    }
}

/// The conditions of a silent node; a node that speaks says itself how it is.
pub(super) fn status(world: &World, now: Timestamp) -> Option<Value> {
    if !is_silent(world, now) {
        return None;
    }
    let (reason, message) = match sign_of_life(world) {
        Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        None => (
            "NodeStatusNeverUpdated",
            "Kubelet never posted node status.",
        ),
    };
    let types = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];
    let unknown = |ty: &&str| match condition(world, ty) {
        Some(known) if known.status == "Unknown" => json!(known),
        known => json!({
            "type": ty, "status": "Unknown", "reason": reason, "message": message,
            "lastHeartbeatTime": known.and_then(|c| c.last_heartbeat_time.as_ref()),
        }),
    };
    let conditions: Vec<Value> = types.iter().map(unknown).collect();
    Some(json!({"conditions": conditions}))
}
