//! The node that a simulated kubelet registers.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::{KubeletSpec, SIMULATED};

/// Pods that a node takes, as in Kubernetes.
const MAX_PODS: u32 = 110;

/// Pods that this node takes.
pub(super) fn max_pods(spec: &KubeletSpec) -> u32 {
    match spec.max_pods {
        0 => MAX_PODS,
        given => given,
    }
}

/// What of the processors is for pods, in thousandths of one.
pub(super) fn allocatable_millicpus(spec: &KubeletSpec) -> u64 {
    let all = u64::from(spec.cpus) * 1000;
    all.saturating_sub(spec.reserved_millicpus.into())
}

/// What of the memory is for pods, in MiB.
pub(super) fn allocatable_mib(spec: &KubeletSpec) -> u64 {
    spec.memory_mib.saturating_sub(spec.reserved_memory_mib)
}

/// The whole node, as registration posts it.
pub(super) fn object(spec: &KubeletSpec, now: Timestamp) -> Value {
    let mut labels = json!({
        "kubernetes.io/hostname": spec.node_name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64", SIMULATED: "true",
    });
    for (key, value) in &spec.labels {
        labels[key] = value.clone().into();
    }
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": spec.node_name, "labels": labels},
        "spec": {},
        "status": status(spec, now, None),
    });
    if !spec.provider_id.is_empty() {
        node["spec"]["providerID"] = spec.provider_id.clone().into();
    }
    if !spec.taints.is_empty() {
        node["spec"]["taints"] = json!(spec.taints);
    }
    node
}

/// The node's status; transition times of conditions that hold already are kept.
pub(super) fn status(spec: &KubeletSpec, now: Timestamp, old: Option<&Node>) -> Value {
    let at = runtime::rfc3339(now);
    let condition = |ty: &str, status: &str, reason: &str, message: &str| {
        let known = old.and_then(|n| {
            n.status
                .as_ref()?
                .conditions
                .as_ref()?
                .iter()
                .find(|c| c.type_ == ty && c.status == status)
        });
        let since = known
            .and_then(|c| c.last_transition_time.as_ref())
            .map_or_else(|| at.clone(), |t| runtime::rfc3339(t.0));
        json!({
            "type": ty, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": since,
        })
    };
    let pods = max_pods(spec).to_string();
    let capacity = json!({
        "cpu": spec.cpus.to_string(), "memory": format!("{}Mi", spec.memory_mib),
        "ephemeral-storage": "100Gi", "pods": pods,
    });
    let millicpus = allocatable_millicpus(spec);
    let cpu = match millicpus % 1000 {
        0 => (millicpus / 1000).to_string(),
        _ => format!("{millicpus}m"),
    };
    let allocatable = json!({
        "cpu": cpu, "memory": format!("{}Mi", allocatable_mib(spec)),
        "ephemeral-storage": "100Gi", "pods": pods,
    });
    json!({
        "capacity": capacity, "allocatable": allocatable,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "simulated kubelet is posting ready status"),
        ],
        "addresses": [
            {"type": "InternalIP", "address": spec.internal_ip}, {"type": "Hostname", "address": spec.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "simulated", "kernelVersion": "simulated",
            "containerRuntimeVersion": "simulated://1.0", "kubeletVersion": spec.version, "kubeProxyVersion": "",
            "machineID": identity(&spec.node_name, 1), "systemUUID": identity(&spec.node_name, 2),
            "bootID": identity(&spec.node_name, 3),
        },
    })
}

/// An id that stays the same for one node.
fn identity(name: &str, salt: u8) -> String {
    let hash = |seed: u64| {
        name.bytes().chain([salt]).fold(seed, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    format!(
        "{:016x}{:016x}",
        hash(0xcbf2_9ce4_8422_2325),
        hash(0x9e37_79b9_7f4a_7c15)
    )
}

/// Addresses for the node's pods: a /24 of 10.128.0.0/10 that the node's name chooses.
pub(super) fn addresses(node_name: &str) -> impl Iterator<Item = String> {
    let hash = node_name.bytes().fold(0x811c_9dc5_u32, |h, b| {
        (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
    });
    let network = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + ((hash % (1 << 14)) << 8);
    (2..255).map(move |host| Ipv4Addr::from(network + host).to_string())
}
