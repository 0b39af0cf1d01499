//! The health of control plane components, as their Machines show it and as the control plane sums it up. Pure.

use api::cluster::machine::conditions as on_machine;
use api::cluster::{Machine, machine};
use api::controlplane::kubeadm_control_plane::{conditions, reasons};
use api::meta::find;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::World;
use crate::condition::{Condition, Truth, aggregate};
use crate::etcd;
use crate::machine::World as MachineWorld;

/// Condition types of components and the names of their pods.
const COMPONENTS: [(&str, &str); 3] = [
    (on_machine::API_SERVER_POD_HEALTHY, "kube-apiserver"),
    (
        on_machine::CONTROLLER_MANAGER_POD_HEALTHY,
        "kube-controller-manager",
    ),
    (on_machine::SCHEDULER_POD_HEALTHY, "kube-scheduler"),
];
/// Label and taint of control plane nodes.
const ROLE: &str = "node-role.kubernetes.io/control-plane";

/// Conditions that count for the readiness of a control plane's machines.
#[must_use]
pub fn gates(is_etcd_stacked: bool) -> Vec<&'static str> {
    let mut gates = vec![on_machine::NODE_KUBEADM_LABELS_AND_TAINTS_SET];
    gates.extend(COMPONENTS.map(|(type_, _)| type_));
    if is_etcd_stacked {
        gates.extend([
            on_machine::ETCD_POD_HEALTHY,
            on_machine::ETCD_MEMBER_HEALTHY,
        ]);
    }
    gates
}

/// The components of one machine, for that machine's status.
#[must_use]
pub fn machine_conditions(world: &MachineWorld, now: Timestamp) -> Vec<Condition> {
    let is_etcd_stacked = world
        .kubeadm_control_plane
        .as_ref()
        .is_some_and(|k| !k.is_etcd_external());
    let Some(node) = world.node() else {
        let why = without_node(world);
        // What was known last stays, until contact has been lost for good.
        let is_kept = !world.link.is_up() && !world.link.is_lost(now);
        let known = |type_: &str| find(world.machine.conditions(), type_).filter(|_| is_kept);
        return gates(is_etcd_stacked)
            .into_iter()
            .map(|type_| match known(type_) {
                Some(known) => Condition::from(known),
                None => Condition {
                    type_: type_.into(),
                    ..why.clone()
                },
            })
            .collect();
    };
    let name = node.name_any();
    let component = |type_: &'static str, component: &str| {
        let of = format!("{component}-{name}");
        if is_silent(node) {
            let why = format!("Node {name} does not answer, and what is known of Pod {of} is old");
            return Condition::unknown(type_, "InspectionFailed", why);
        }
        pod(type_, &world.pods, &of)
    };
    let mut all: Vec<_> = COMPONENTS
        .iter()
        .map(|(type_, name)| component(type_, name))
        .collect();
    let has_label = node.labels().contains_key(ROLE);
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let has_taint = taints
        .into_iter()
        .any(|t| t.key == ROLE && t.effect == "NoSchedule");
    let wants_taint = wants_taint(world);
    let type_ = on_machine::NODE_KUBEADM_LABELS_AND_TAINTS_SET;
    all.insert(
        0,
        match (has_label, has_taint || !wants_taint) {
            (true, true) => Condition::yes(type_, "NodeKubeadmLabelsAndTaintsSet"),
            (false, _) => Condition::no(
                type_,
                "SomeNodeKubeadmLabelsAndTaintsNotSet",
                format!("* Label {ROLE} is not set"),
            ),
            (true, false) => Condition::no(
                type_,
                "SomeNodeKubeadmLabelsAndTaintsNotSet",
                format!("* Taint {ROLE} is not set"),
            ),
        },
    );
    if is_etcd_stacked {
        all.push(component(on_machine::ETCD_POD_HEALTHY, "etcd"));
        all.push(member(world, node));
    }
    all
}

/// Whether nobody has heard of the node's kubelet for some time.
fn is_silent(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let mut ready = conditions.filter(|c| c.type_ == "Ready");
    ready.any(|c| c.status == "Unknown")
}

fn without_node(world: &MachineWorld) -> Condition {
    let placeholder = on_machine::API_SERVER_POD_HEALTHY;
    let is_initialized = world
        .cluster
        .as_ref()
        .is_some_and(|c| c.is_control_plane_initialized());
    if world.machine.is_deleting() {
        Condition::no(placeholder, "Deleting", "Machine is deleting")
    } else if !is_initialized {
        Condition::unknown(
            placeholder,
            "InspectionFailed",
            "Waiting for Cluster control plane to be initialized",
        )
    } else if world.link.is_up() {
        Condition::unknown(
            placeholder,
            "InspectionFailed",
            "Waiting for a Node to exist",
        )
    } else {
        Condition::unknown(
            placeholder,
            machine::reasons::CONNECTION_DOWN,
            world.link.message(),
        )
    }
}

/// Users may ask for control plane nodes without taint.
fn wants_taint(world: &MachineWorld) -> bool {
    let config = world
        .kubeadm_control_plane
        .as_ref()
        .and_then(|k| k.spec.kubeadm_config_spec.as_ref());
    let registration =
        config.and_then(|c| c.init_configuration.as_ref()?.node_registration.as_ref());
    registration.is_none_or(|r| {
        r.taints
            .as_ref()
            .is_none_or(|taints| taints.iter().any(|t| t.key == ROLE))
    })
}

fn pod(type_: &'static str, pods: &[std::sync::Arc<Pod>], name: &str) -> Condition {
    let Some(pod) = pods.iter().find(|p| p.name_any() == name) else {
        return Condition::no(type_, "DoesNotExist", format!("Pod {name} does not exist"));
    };
    let status = pod.status.as_ref();
    let is_ready = status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == "Ready" && c.status == "True");
    match status.and_then(|s| s.phase.as_deref()) {
        _ if pod.metadata.deletion_timestamp.is_some() => {
            Condition::no(type_, "Deleting", format!("Pod {name} is deleting"))
        }
        Some("Running") if is_ready => Condition::yes(type_, "Running"),
        Some("Failed" | "Succeeded") => {
            Condition::no(type_, "Failed", format!("Pod {name} has ended"))
        }
        _ => Condition::no(
            type_,
            "Provisioning",
            format!("Pod {name} is not ready yet"),
        ),
    }
}

fn member(world: &MachineWorld, node: &Node) -> Condition {
    let type_ = on_machine::ETCD_MEMBER_HEALTHY;
    let name = node.name_any();
    match &world.etcd_members {
        // A simulated member is as its machine is.
        Some(_) if is_silent(node) => {
            let why = format!("Node {name} does not answer, and neither does its member of etcd");
            Condition::unknown(type_, "InspectionFailed", why)
        }
        None => Condition::unknown(
            type_,
            "InspectionFailed",
            "The list of etcd members is not readable",
        ),
        Some(members) if members.contains(&name) => Condition::yes(type_, reasons::HEALTHY),
        Some(_) => Condition::no(
            type_,
            reasons::NOT_HEALTHY,
            format!("etcd has no voting member {name}"),
        ),
    }
}

/// Whether all components of a machine work, as the machine shows it.
#[must_use]
pub fn is_healthy(machine: &Machine, is_etcd_stacked: bool) -> bool {
    machine.node_name().is_some() && unhealthy_gates(machine, is_etcd_stacked).is_empty()
}

/// Components that don't work.
#[must_use]
pub fn unhealthy_gates(machine: &Machine, is_etcd_stacked: bool) -> Vec<&'static str> {
    let is_good = |type_: &&str| api::meta::is_true(machine.conditions(), type_);
    gates(is_etcd_stacked)
        .into_iter()
        .filter(|t| *t != on_machine::NODE_KUBEADM_LABELS_AND_TAINTS_SET)
        .filter(|t| !is_good(t))
        .collect()
}

/// Names of members of etcd that work: those whose machine says so.
#[must_use]
pub fn healthy_members(machines: &[std::sync::Arc<Machine>]) -> Vec<String> {
    machines
        .iter()
        .filter(|m| api::meta::is_true(m.conditions(), on_machine::ETCD_MEMBER_HEALTHY))
        .filter_map(|m| m.node_name().map(str::to_owned))
        .collect()
}

/// Members of etcd that no machine stands for, and whether they are learning: their machine went without them. Empty while a
/// machine has no node yet, as its member may be there before.
pub(super) fn strays(world: &World) -> Vec<(&str, bool)> {
    let members = world.workload.as_ref().and_then(|w| w.etcd.as_ref());
    let nodes: Vec<_> = world.machines.iter().map(|m| m.node_name()).collect();
    if !world.is_etcd_stacked() || nodes.is_empty() || nodes.contains(&None) {
        return vec![];
    }
    let all = members.into_iter().flat_map(|m| &m.0);
    all.filter(|(name, _)| !nodes.contains(&Some(name.as_str())))
        .map(|(name, member)| (name.as_str(), member.is_learner))
        .collect()
}

/// One condition for the members of etcd.
pub(super) fn etcd_healthy(world: &World) -> Condition {
    let type_ = conditions::ETCD_CLUSTER_HEALTHY;
    if !world.is_etcd_stacked() {
        return Condition::yes(type_, reasons::HEALTHY);
    }
    if !world.is_initialized() {
        return Condition::unknown(
            type_,
            reasons::HEALTH_UNKNOWN,
            "Waiting for Cluster control plane to be initialized",
        );
    }
    let sum = sum_up(
        world,
        type_,
        &[
            on_machine::ETCD_POD_HEALTHY,
            on_machine::ETCD_MEMBER_HEALTHY,
        ],
    );
    let strays = strays(world);
    if strays.is_empty() {
        return sum;
    }
    let strays = strays
        .iter()
        .map(|(name, _)| format!("* Etcd member {name} has no Machine"));
    let known = sum.message.lines().map(str::to_owned);
    let message: Vec<_> = known.chain(strays).collect();
    Condition::no(type_, reasons::NOT_HEALTHY, message.join("\n"))
}

/// One condition for the components on all machines.
pub(super) fn components_healthy(world: &World) -> Condition {
    let type_ = conditions::CONTROL_PLANE_COMPONENTS_HEALTHY;
    if !world.is_initialized() {
        return Condition::unknown(
            type_,
            reasons::HEALTH_UNKNOWN,
            "Waiting for Cluster control plane to be initialized",
        );
    }
    sum_up(world, type_, &COMPONENTS.map(|(t, _)| t))
}

fn sum_up(world: &World, type_: &'static str, types: &[&str]) -> Condition {
    let mut found = vec![];
    for machine in &world.machines {
        for part in types {
            let label = format!("{} {part}", machine.name_any());
            found.push((label, find(machine.conditions(), part).map(Condition::from)));
        }
    }
    let found: Vec<_> = found
        .iter()
        .map(|(name, c)| (name.as_str(), c.clone()))
        .collect();
    let sum = aggregate(type_, "Healthy", "Machine", &found);
    let reason = match sum.truth {
        Truth::True => reasons::HEALTHY,
        Truth::False => reasons::NOT_HEALTHY,
        Truth::Unknown => reasons::HEALTH_UNKNOWN,
    };
    Condition {
        reason: reason.into(),
        ..sum
    }
}

/// Whether a majority of etcd works.
pub(super) fn has_quorum(world: &World) -> bool {
    if !world.is_etcd_stacked() {
        return true;
    }
    let Some(members) = world.workload.as_ref().and_then(|w| w.etcd.as_ref()) else {
        return false;
    };
    let voters = members.voters();
    let healthy = healthy_members(&world.machines);
    voters.iter().filter(|v| healthy.contains(v)).count() >= etcd::quorum(voters.len())
}
