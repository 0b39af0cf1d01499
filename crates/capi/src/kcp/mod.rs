//! KubeadmControlPlanes: keep the machines of a control plane, one change at a time.
//!
//! Reads the KubeadmControlPlane, its Machines and their parts, the cluster's certificates, and kubeadm's record in the workload cluster.
//! Writes the certificates (once), the kubeconfig, Machines with their KubeadmConfig and infrastructure object, and what an upgrade changes
//! in the workload cluster. The first machine initializes the cluster, all others join. Nothing is changed while a machine is unhealthy,
//! and no etcd member goes without a majority that stays.

mod act;
mod coredns;
mod encryption;
mod gather;
pub mod health;
mod machines;
mod order;
mod plan;
mod remediation;
pub mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::cluster::{Cluster, Machine};
use api::controlplane::KubeadmControlPlane;
use jiff::Timestamp;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

use crate::bootstrap::kubeadm;
use crate::etcd::Members;
use crate::kubeconfig::KubeconfigState;
use crate::link::Link;
use crate::pki::Purpose;
use crate::secret::Authorities;

/// The controller.
#[derive(Debug)]
pub struct KubeadmControlPlaneController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub control_plane: KubeadmControlPlane,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    /// The cluster's infrastructure.
    #[cfg_attr(test, serde(default))]
    pub infrastructure: Option<Arc<DynamicObject>>,
    /// The template of the machines' infrastructure.
    #[cfg_attr(test, serde(default))]
    pub template: Option<Arc<DynamicObject>>,
    /// Machines of the control plane, also those that nobody controls yet.
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<Arc<Machine>>,
    /// Names of machines of the cluster's control plane that somebody else controls.
    #[cfg_attr(test, serde(default))]
    pub foreign: Vec<String>,
    /// Parts of machines, by the machine's name.
    #[cfg_attr(test, serde(default))]
    pub parts: BTreeMap<String, Parts>,
    /// Names of the cluster's other machines.
    #[cfg_attr(test, serde(default))]
    pub workers: Vec<String>,
    /// Names of the cluster's MachinePools.
    #[cfg_attr(test, serde(default))]
    pub pools: Vec<String>,
    #[cfg_attr(test, serde(skip))]
    pub authorities: Authorities,
    /// The Secret with the key for the cluster's Secrets is there.
    #[cfg_attr(test, serde(default))]
    pub has_encryption_key: bool,
    #[cfg_attr(test, serde(default))]
    pub kubeconfig: Option<KubeconfigState>,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
    /// What was read of the workload cluster; `None` if it does not answer.
    #[cfg_attr(test, serde(default))]
    pub workload: Option<Workload>,
}

/// Parts of a machine that are there.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Parts {
    pub bootstrap: Option<Arc<DynamicObject>>,
    /// The machine got the key for the cluster's Secrets.
    pub has_encryption_key: bool,
    pub infrastructure: Option<Arc<DynamicObject>>,
}

/// What was read of the workload cluster.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Workload {
    /// kubeadm's record of the cluster; `None` if that isn't there yet.
    pub configuration: Option<Value>,
    pub etcd: Option<Members>,
    /// The image of kube-proxy; `None` if there is no such DaemonSet.
    pub kube_proxy_image: Option<String>,
    /// `None` if it is not there, or is left alone.
    pub core_dns: Option<coredns::CoreDns>,
}

/// What isn't an object of this cluster, or needs randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Makes a certificate authority or key, unless there is one.
    GenerateCertificate(Purpose),
    /// Makes the key for the cluster's Secrets, unless there is one.
    GenerateEncryptionKey,
    /// Writes the kubeconfig with a new client certificate.
    WriteKubeconfig,
    /// Takes a member out of etcd.
    RemoveEtcdMember(String),
    /// Writes what the control plane says of the cluster into kubeadm's ConfigMap, by which machines join.
    WriteClusterConfiguration,
    /// Sets the image of kube-proxy.
    SetKubeProxyImage(String),
    /// A step of an upgrade of CoreDNS.
    UpgradeCoreDns(coredns::Step),
}

impl World {
    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.control_plane.metadata)
    }

    fn cluster_name(&self) -> String {
        self.cluster
            .as_ref()
            .and_then(|c| c.metadata.name.clone())
            .unwrap_or_default()
    }

    /// Whether the first machine has set up the cluster.
    fn is_initialized(&self) -> bool {
        self.control_plane.is_initialized()
            || self
                .workload
                .as_ref()
                .is_some_and(|w| w.configuration.is_some())
    }

    /// Whether that is said, once and for all: not of a cluster that goes with its only machine.
    fn is_known_initialized(&self) -> bool {
        let is_going = |m: &Machine| m.is_deleting() || crate::remediation::is_wanted(m);
        let is_going = matches!(self.machines.as_slice(), [machine] if is_going(machine));
        self.control_plane.is_initialized() || (self.is_initialized() && !is_going)
    }

    /// Whether kubeadm's record of the cluster is not as it should be.
    fn must_write_configuration(&self) -> bool {
        let record = self
            .workload
            .as_ref()
            .and_then(|w| w.configuration.as_ref());
        let Some(record) = record else { return false };
        let spec = &self.control_plane.spec;
        let config = spec.kubeadm_config_spec.clone().unwrap_or_default();
        // A version that kubeadm does not know is told where the machine gets its configuration.
        kubeadm::follow(record, &config, &spec.version).is_ok_and(|wanted| wanted != *record)
    }

    fn is_etcd_stacked(&self) -> bool {
        !self.control_plane.is_etcd_external()
    }
}

impl Reconciler for KubeadmControlPlaneController {
    const NAME: &'static str = "kubeadmcontrolplane";
    const FINALIZER: Option<&'static str> = Some("kubeadm.controlplane.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = KubeadmControlPlane;
    type World = World;
    type Act = Act;

    async fn gather(
        &self,
        cx: &Cx,
        control_plane: &KubeadmControlPlane,
    ) -> Result<World, GatherError> {
        gather::gather(cx, control_plane).await
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        act::act(cx, world, act).await
    }

    fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }
}
