//! Whether a kubelet takes a pod that was bound to its node: pure.
//!
//! The scheduler has looked at the same things; but pods can be bound by anybody, and two at the same time.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::KubeletSpec;
use super::node;
use super::quantity::{self, Amounts};
use crate::scheduler::filter;

/// What a node has, and what of it is taken; in thousandths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    all: Amounts,
    used: Amounts,
}

/// A refusal: its reason and message.
pub(super) type Refusal = (&'static str, String);

impl Room {
    /// The room of a node with these pods.
    pub(super) fn of<'p>(spec: &KubeletSpec, pods: impl Iterator<Item = &'p Pod>) -> Self {
        let mut room = Self {
            all: [
                ("cpu".to_owned(), node::allocatable_millicpus(spec)),
                (
                    "memory".to_owned(),
                    (node::allocatable_mib(spec) << 20).saturating_mul(1000),
                ),
                ("pods".to_owned(), u64::from(node::max_pods(spec)) * 1000),
            ]
            .into(),
            used: Amounts::new(),
        };
        for pod in pods {
            for (name, amount) in allocated(pod) {
                let sum = room.used.entry(name).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
        room
    }

    /// What is against so much more: the resource, and how Kubernetes says it.
    fn against(&self, wanted: &Amounts) -> Option<(&str, String)> {
        self.all.iter().find_map(|(name, all)| {
            let used = self.used.get(name).copied().unwrap_or(0);
            let amount = wanted.get(name).copied().unwrap_or(0);
            let fits = amount == 0 || used.saturating_add(amount) <= *all;
            (!fits).then(|| {
                let (amount, used, all) = (shown(name, amount), shown(name, used), shown(name, *all));
                let words = format!(
                    "Node didn't have enough resource: {name}, requested: {amount}, used: {used}, capacity: {all}"
                );
                (name.as_str(), words)
            })
        })
    }

    /// Why a pod cannot be resized to this.
    pub(super) fn against_resize(&self, wanted: &Amounts) -> Option<Refusal> {
        let too_small = self.all.iter().find_map(|(name, all)| {
            let amount = wanted.get(name).copied().unwrap_or(0);
            (amount > *all).then(|| {
                let (amount, all) = (shown(name, amount), shown(name, *all));
                format!(
                    "Node didn't have enough capacity: {name}, requested: {amount}, capacity: {all}"
                )
            })
        });
        if let Some(message) = too_small {
            return Some(("Infeasible", message));
        }
        let (_, message) = self.against(wanted)?;
        Some(("Deferred", message))
    }
}

/// Processors are counted in thousandths, all else whole.
fn shown(name: &str, amount: u64) -> u64 {
    if name == "cpu" { amount } else { amount / 1000 }
}

/// What a pod asks for: the sum of what runs together, or an init container if that is more; and one pod.
pub(super) fn requests(pod: &Pod) -> Amounts {
    sum(pod, |_| None)
}

/// The same of a pod that runs, with what it was given rather than what it asks for now.
fn allocated(pod: &Pod) -> Amounts {
    let statuses = || {
        let status = pod.status.iter();
        status.flat_map(|status| {
            let apps = status.container_statuses.iter().flatten();
            apps.chain(status.init_container_statuses.iter().flatten())
        })
    };
    sum(pod, |name| {
        let status = statuses().find(|status| status.name == name)?;
        let given = status.allocated_resources.as_ref()?;
        Some(quantity::amounts(Some(given)))
    })
}

fn sum(pod: &Pod, given: impl Fn(&str) -> Option<Amounts>) -> Amounts {
    let mut together: Amounts = [("pods".to_owned(), 1000)].into();
    let Some(spec) = &pod.spec else {
        return together;
    };
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        given(&container.name).unwrap_or_else(|| quantity::requests(container.resources.as_ref()))
    };
    let add = |sum: &mut Amounts, more: Amounts| {
        for (name, amount) in more {
            let sum = sum.entry(name).or_default();
            *sum = sum.saturating_add(amount);
        }
    };
    // Init containers run one after the other, each beside the sidecars before it.
    let mut peak = Amounts::new();
    let mut beside = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut beside, of(container));
            continue;
        }
        let mut at_once = beside.clone();
        add(&mut at_once, of(container));
        for (name, amount) in at_once {
            let most = peak.entry(name).or_default();
            *most = (*most).max(amount);
        }
    }
    add(&mut together, beside);
    for container in &spec.containers {
        add(&mut together, of(container));
    }
    for (name, amount) in peak {
        let most = together.entry(name).or_default();
        *most = (*most).max(amount);
    }
    add(&mut together, quantity::amounts(spec.overhead.as_ref()));
    together
}

/// Why the kubelet does not take the pod beside the others.
pub(super) fn against(
    spec: &KubeletSpec,
    node: &Node,
    pod: &Pod,
    others: &[&Pod],
) -> Option<Refusal> {
    let room = Room::of(spec, others.iter().copied());
    if let Some((resource, message)) = room.against(&requests(pod)) {
        let reason = match resource {
            "cpu" => "OutOfcpu",
            "memory" => "OutOfmemory",
            _ => "OutOfpods",
        };
        return Some((reason, message));
    }
    let own = pod.spec.as_ref()?;
    if !filter::matches_selector(own, node) {
        return Some((
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
                .into(),
        ));
    }
    let wanted = host_ports(own);
    let mut taken = others
        .iter()
        .filter_map(|pod| pod.spec.as_ref())
        .flat_map(host_ports);
    if taken.any(|port| wanted.iter().any(|wanted| clash(wanted, &port))) {
        return Some((
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
                .into(),
        ));
    }
    None
}

/// Address, protocol and number.
type HostPort = (String, String, i32);

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = spec
        .containers
        .iter()
        .flat_map(|c| c.ports.iter().flatten());
    let text = |field: &Option<String>, default: &str| {
        let field = field.clone().filter(|text| !text.is_empty());
        field.unwrap_or_else(|| default.to_owned())
    };
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            Some((
                text(&port.host_ip, "0.0.0.0"),
                text(&port.protocol, "TCP"),
                number,
            ))
        })
        .collect()
}

fn clash(one: &HostPort, other: &HostPort) -> bool {
    let is_any = |address: &str| address == "0.0.0.0";
    one.1 == other.1 && one.2 == other.2 && (one.0 == other.0 || is_any(&one.0) || is_any(&other.0))
}
