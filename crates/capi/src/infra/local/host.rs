//! What a guest needs of the machine under it.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Taint;

use serde::{Deserialize, Serialize};

use crate::pki::Pair;

/// Names a workload cluster on the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The keys of a control plane, PEM, as kubeadm has them in its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pki {
    /// The cluster's certificate authority.
    pub ca: Pair,
    /// The certificate authority of the aggregation layer's clients.
    pub front_proxy_ca: Pair,
    /// etcd's certificate authority; `None` if etcd is somebody else's.
    pub etcd_ca: Option<Pair>,
    /// Public and private key of service account tokens.
    pub service_account: Pair,
}

/// A control plane to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneSpec {
    pub cluster: ClusterId,
    /// The name by which clients ask for this cluster.
    pub tls_server_name: String,
    pub pki: Pki,
    /// CIDR blocks of services, separated by commas.
    pub service_cidr: String,
    /// CIDR blocks of pods, separated by commas; empty if the user gave none.
    pub pod_cidr: String,
    /// The DNS domain of services.
    pub dns_domain: String,
    /// With leading `v`.
    pub kubernetes_version: String,
    /// The address of the machine.
    pub advertise_address: String,
    /// Further names and addresses for the serving certificate.
    pub cert_sans: Vec<String>,
}

/// A simulated kubelet to start.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeletSpec {
    pub cluster: ClusterId,
    pub node_name: String,
    /// The address of the API server, as in `https://127.0.0.1:6443`, and the name to ask for there.
    pub server: String,
    pub tls_server_name: String,
    /// The cluster's certificate authority, PEM.
    pub ca_cert: String,
    /// The kubelet's client certificate and key.
    pub credentials: Pair,
    /// What the Node is registered with.
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub provider_id: String,
    pub internal_ip: String,
    /// With leading `v`.
    pub kubernetes_version: String,
    pub cpus: i32,
    pub memory_mib: i32,
    pub settings: KubeletSettings,
}

/// What a simulated kubelet follows of its KubeletConfiguration and arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeletSettings {
    /// How long the node's lease holds, in seconds; 0: the host's own pace.
    pub lease_seconds: u32,
    /// Pods that the node takes; 0: 110.
    pub max_pods: u32,
    /// What of the processors is not for pods, in thousandths of one.
    pub reserved_millicpus: u32,
    /// What of the memory is not for pods, in MiB.
    pub reserved_memory_mib: u64,
}

/// What a guest needs of the machine under it. Everything is idempotent: controllers ask again after a restart, and when in doubt. Errors are
/// texts for users.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Starts the control plane, or takes note of another machine of one that runs. Returns when its API server answers.
    ///
    /// # Errors
    /// What went wrong.
    async fn start_control_plane(&self, spec: ControlPlaneSpec) -> Result<(), String>;

    /// Whether there is a control plane, running or not.
    fn has_control_plane(&self, cluster: &ClusterId) -> bool;

    /// Stops the control plane and removes everything in it. None is fine.
    ///
    /// # Errors
    /// What went wrong.
    async fn stop_control_plane(&self, cluster: &ClusterId) -> Result<(), String>;

    /// Starts a kubelet. One that runs with the same spec goes on, another of the same name is replaced.
    ///
    /// # Errors
    /// What went wrong.
    async fn start_kubelet(&self, spec: KubeletSpec) -> Result<(), String>;

    /// Stops a kubelet, as pulling the plug does. None is fine.
    ///
    /// # Errors
    /// What went wrong.
    async fn stop_kubelet(&self, cluster: &ClusterId, node_name: &str) -> Result<(), String>;

    /// The network as the guest sees it: a client of an API server.
    ///
    /// # Errors
    /// What went wrong.
    async fn connect(&self, config: kube::Config) -> Result<kube::Client, String>;
}
