//! What the scheduler knows: the nodes, and which pods are on them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, Node, Pod, PodAffinityTerm};

use crate::amounts::{self, Amounts};
use crate::pod;

pub(super) type Labels = BTreeMap<String, String>;

/// One pod, with what is computed of it once.
#[derive(Debug)]
pub(super) struct PodInfo {
    pub(super) pod: Arc<Pod>,
    pub(super) uid: String,
    pub(super) priority: i32,
    pub(super) requests: Amounts,
    /// Processor and memory as nodes are compared by them.
    pub(super) at_least: (i128, i128),
    pub(super) ports: Vec<HostPort>,
}

/// A port of the host that a pod wants.
#[derive(Debug)]
pub(super) struct HostPort {
    ip: String,
    number: i32,
    protocol: String,
}

impl HostPort {
    /// The same port on the same address; no address means all.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let is_any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.number == other.number
            && self.protocol == other.protocol
            && (self.ip == other.ip || is_any(&self.ip) || is_any(&other.ip))
    }
}

impl PodInfo {
    pub(super) fn of(pod: Arc<Pod>) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| {
            // Sidecars keep their ports as long as the pod lives.
            let inits = spec.init_containers.iter().flatten();
            let sidecars = inits.filter(|c| c.restart_policy.as_deref() == Some("Always"));
            spec.containers.iter().chain(sidecars)
        });
        let ports = containers.filter_map(|c| c.ports.as_ref()).flatten();
        let ports = ports.filter_map(|port| {
            Some(HostPort {
                ip: port.host_ip.clone().unwrap_or_default(),
                number: port.host_port.filter(|number| *number > 0)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            })
        });
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            priority: pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0),
            requests: amounts::requests(&pod),
            at_least: amounts::at_least(&pod),
            ports: ports.collect(),
            pod,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn labels(&self) -> Option<&Labels> {
        self.pod.metadata.labels.as_ref()
    }

    pub(super) fn is_going(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// The uid of the controller whose pods it counts with; none for one that is about to go.
    fn family(&self) -> Option<&str> {
        let owner = pod::controller(&self.pod).filter(|_| !self.is_going())?;
        Some(&owner.uid)
    }

    pub(super) fn affinity(&self) -> Option<&Affinity> {
        self.pod.spec.as_ref()?.affinity.as_ref()
    }

    /// The node that was made free for it.
    pub(super) fn nominated(&self) -> Option<&str> {
        let status = self.pod.status.as_ref()?;
        let node = status.nominated_node_name.as_deref()?;
        (!node.is_empty()).then_some(node)
    }

    /// Whether it has a wish about pods beside it, required or preferred.
    pub(super) fn is_social(&self) -> bool {
        self.affinity()
            .is_some_and(|a| a.pod_affinity.is_some() || a.pod_anti_affinity.is_some())
    }

    pub(super) fn required_affinity(&self) -> &[PodAffinityTerm] {
        let near = self.affinity().and_then(|a| a.pod_affinity.as_ref());
        near.and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
    }

    pub(super) fn required_anti_affinity(&self) -> &[PodAffinityTerm] {
        let far = self.affinity().and_then(|a| a.pod_anti_affinity.as_ref());
        far.and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
    }
}

/// One node and what is on it. A node that is not (yet) there has pods only.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeInfo {
    pub(super) node: Option<Arc<Node>>,
    pub(super) allocatable: Amounts,
    pub(super) used: Amounts,
    /// Processor and memory, where pods that ask for none count for a little.
    pub(super) used_at_least: (i128, i128),
    /// By uid.
    pub(super) pods: BTreeMap<String, Arc<PodInfo>>,
    /// Pods without a node for which room was made here.
    pub(super) nominated: BTreeMap<String, Arc<PodInfo>>,
}

impl NodeInfo {
    pub(super) fn put(&mut self, pod: Arc<PodInfo>) {
        self.take(&pod.uid);
        self.used.add(&pod.requests);
        self.used_at_least.0 += pod.at_least.0;
        self.used_at_least.1 += pod.at_least.1;
        self.pods.insert(pod.uid.clone(), pod);
    }

    pub(super) fn take(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.used.subtract(&pod.requests);
        self.used_at_least.0 -= pod.at_least.0;
        self.used_at_least.1 -= pod.at_least.1;
        Some(pod)
    }

    fn is_forgotten(&self) -> bool {
        self.node.is_none() && self.pods.is_empty() && self.nominated.is_empty()
    }
}

/// All nodes with their pods, and the labels of namespaces.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) nodes: BTreeMap<String, NodeInfo>,
    pub(super) namespaces: BTreeMap<String, Labels>,
    /// Where each pod is, by uid.
    places: HashMap<String, String>,
    /// Where room was made for a pod, by uid.
    nominations: HashMap<String, String>,
    /// Uids of placed pods with wishes about others.
    social: BTreeMap<String, String>,
    /// How many pods of one controller, by its uid, are on each node and not about to go.
    families: HashMap<String, BTreeMap<String, usize>>,
}

impl Snapshot {
    /// A node as it is now.
    pub(super) fn set_node(&mut self, name: &str, node: Option<Arc<Node>>) {
        let info = self.nodes.entry(name.to_owned()).or_default();
        let status = node.as_ref().and_then(|node| node.status.as_ref());
        info.allocatable = Amounts::of(status.and_then(|s| s.allocatable.as_ref()));
        info.node = node;
        if info.is_forgotten() {
            self.nodes.remove(name);
        }
    }

    /// The pod is on this node, or about to be.
    pub(super) fn put(&mut self, node: &str, pod: Arc<PodInfo>) {
        self.take(&pod.uid);
        self.places.insert(pod.uid.clone(), node.to_owned());
        if pod.is_social() {
            self.social.insert(pod.uid.clone(), node.to_owned());
        }
        if let Some(owner) = pod.family() {
            let family = self.families.entry(owner.to_owned()).or_default();
            *family.entry(node.to_owned()).or_default() += 1;
        }
        self.nodes.entry(node.to_owned()).or_default().put(pod);
    }

    /// The pod is on no node any more; says where it was.
    pub(super) fn take(&mut self, uid: &str) -> Option<(String, Arc<PodInfo>)> {
        self.withdraw(uid);
        let node = self.places.remove(uid)?;
        self.social.remove(uid);
        let info = self.nodes.get_mut(&node)?;
        let pod = info.take(uid)?;
        if info.is_forgotten() {
            self.nodes.remove(&node);
        }
        self.leave(&node, &pod);
        Some((node, pod))
    }

    /// The pod's family has one member less on the node.
    fn leave(&mut self, node: &str, pod: &PodInfo) {
        let Some(owner) = pod.family() else {
            return;
        };
        let Some(family) = self.families.get_mut(owner) else {
            return;
        };
        if let Some(count) = family.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                family.remove(node);
            }
        }
        if family.is_empty() {
            self.families.remove(owner);
        }
    }

    /// The nodes that are there with pods of one controller, which goes by this uid, and how many those are.
    pub(super) fn family(&self, owner: &str) -> impl Iterator<Item = (&Node, usize)> {
        let family = self.families.get(owner).into_iter().flatten();
        family.filter_map(|(name, count)| Some((&**self.nodes.get(name)?.node.as_ref()?, *count)))
    }

    /// Room was made on the node for a pod that is on none.
    pub(super) fn nominate(&mut self, node: &str, pod: Arc<PodInfo>) {
        self.withdraw(&pod.uid);
        self.nominations.insert(pod.uid.clone(), node.to_owned());
        let info = self.nodes.entry(node.to_owned()).or_default();
        info.nominated.insert(pod.uid.clone(), pod);
    }

    /// The pod has no node that was made free for it.
    pub(super) fn withdraw(&mut self, uid: &str) {
        let Some(node) = self.nominations.remove(uid) else {
            return;
        };
        if let Some(info) = self.nodes.get_mut(&node) {
            info.nominated.remove(uid);
            if info.is_forgotten() {
                self.nodes.remove(&node);
            }
        }
    }

    /// The node that the pod is on.
    pub(super) fn place(&self, uid: &str) -> Option<&str> {
        self.places.get(uid).map(String::as_str)
    }

    /// The pod as it is on its node, or about to be.
    pub(super) fn placed_as(&self, uid: &str) -> Option<&PodInfo> {
        let node = self.nodes.get(self.places.get(uid)?)?;
        node.pods.get(uid).map(|pod| &**pod)
    }

    /// The nodes that are there, by name.
    pub(super) fn present(&self) -> impl Iterator<Item = (&String, &Node, &NodeInfo)> {
        let all = self.nodes.iter();
        all.filter_map(|(name, info)| Some((name, &**info.node.as_ref()?, info)))
    }

    /// The pods on nodes that are there.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Node, &PodInfo)> {
        self.present()
            .flat_map(|(_, node, info)| info.pods.values().map(move |pod| (node, &**pod)))
    }

    /// Those of them that have wishes about others.
    pub(super) fn social(&self) -> impl Iterator<Item = (&Node, &PodInfo)> {
        self.social.iter().filter_map(|(uid, name)| {
            let info = self.nodes.get(name)?;
            Some((&**info.node.as_ref()?, &**info.pods.get(uid)?))
        })
    }
}
