//! Usage as `metrics.k8s.io` shows it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::VERSION;
use crate::kubelet::script::Profile;
use crate::kubelet::usage;

/// What time a figure is for: the newest moment of a window that long.
const WINDOW: &str = "15s";
/// What a node uses beside its pods: a twentieth of a core, and 256 MiB.
const NODE_NANOCORES: u64 = 50_000_000;
const NODE_BYTES: u64 = 256 << 20;

/// Processor in billionths of a core, and memory in bytes.
pub(super) type Used = (u64, u64);

fn quantities((nanocores, bytes): Used) -> Value {
    json!({"cpu": format!("{nanocores}n"), "memory": format!("{}Ki", bytes / 1024)})
}

/// The metrics of one pod; none if none of its containers runs.
pub(super) fn of_pod(pod: &Pod, profile: &Profile, now: Timestamp) -> Option<Value> {
    let containers = usage::of(pod, profile, now);
    if containers.is_empty() {
        return None;
    }
    let containers: Vec<Value> = containers
        .iter()
        .map(|used| {
            let usage = quantities((used.cpu_nanocores, used.memory_bytes));
            json!({"name": used.container, "usage": usage})
        })
        .collect();
    let meta = &pod.metadata;
    let at = runtime::rfc3339(now);
    let mut metadata =
        json!({"name": meta.name, "namespace": meta.namespace, "creationTimestamp": at});
    if let Some(labels) = &meta.labels {
        metadata["labels"] = json!(labels);
    }
    Some(json!({
        "apiVersion": VERSION, "kind": "PodMetrics", "metadata": metadata,
        "timestamp": at, "window": WINDOW, "containers": containers,
    }))
}

/// What all pods of each node use.
pub(super) fn by_node(pods: &[Pod], profile: &Profile, now: Timestamp) -> BTreeMap<String, Used> {
    let mut all: BTreeMap<String, Used> = BTreeMap::new();
    for pod in pods {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let Some(node) = node else { continue };
        let sum = all.entry(node).or_default();
        for used in usage::of(pod, profile, now) {
            sum.0 = sum.0.saturating_add(used.cpu_nanocores);
            sum.1 = sum.1.saturating_add(used.memory_bytes);
        }
    }
    all
}

/// The metrics of one node; none of one that is not ready.
pub(super) fn of_node(node: &Node, used: &BTreeMap<String, Used>, now: Timestamp) -> Option<Value> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "True")?;
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let pods = used.get(name).copied().unwrap_or_default();
    let at = runtime::rfc3339(now);
    let mut metadata = json!({"name": name, "creationTimestamp": at});
    if let Some(labels) = &node.metadata.labels {
        metadata["labels"] = json!(labels);
    }
    let sum = (
        pods.0.saturating_add(NODE_NANOCORES),
        pods.1.saturating_add(NODE_BYTES),
    );
    Some(json!({
        "apiVersion": VERSION, "kind": "NodeMetrics", "metadata": metadata,
        "timestamp": at, "window": WINDOW, "usage": quantities(sum),
    }))
}

/// How a kind of the group looks, as a CustomResourceDefinition says it.
pub(super) fn definition(kind: &str, plural: &str) -> Value {
    let usage = json!({
        "type": "object", "additionalProperties": {"type": "string"},
        "description": "Amounts by resource: cpu in cores, memory in bytes.",
    });
    let container = json!({
        "type": "object", "properties": {"name": {"type": "string"}, "usage": usage}, "required": ["name", "usage"],
    });
    let mut properties = json!({
        "timestamp": {"type": "string", "format": "date-time"},
        "window": {"type": "string", "description": "The time before the timestamp that the figures are for."},
    });
    let scope = if plural == "pods" {
        properties["containers"] = json!({"type": "array", "items": container});
        "Namespaced"
    } else {
        properties["usage"] = usage;
        "Cluster"
    };
    let schema = json!({
        "type": "object", "description": "What is used, as the cluster last measured it.", "properties": properties,
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.metrics.k8s.io")},
        "spec": {
            "group": "metrics.k8s.io", "scope": scope,
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}
