//! KubeadmConfigs: write the bootstrap data of machines.
//!
//! Reads the KubeadmConfig, its Machine and Cluster, the cluster's certificates, Secrets that files come from, and the bootstrap token in
//! the workload cluster, and the version of the control plane if files name it. Writes the Secret with the cloud-init or Ignition document, the
//! lock of the machine that initializes the cluster, and tokens for those that join. Data that has been written once is never written anew:
//! the machine may have read it. That of a MachinePool is, with another token before the last one expires, as new machines may come at any time.

mod cloudinit;
mod container_linux;
mod contents;
mod gather;
mod ignition;
pub mod kubeadm;
mod plan;
mod status;
#[cfg(test)]
mod tests;
pub mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::bootstrap::KubeadmConfig;
use api::cluster::{Cluster, Machine};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

use crate::link::Link;
use crate::pki::Purpose;
use crate::secret::Authorities;
use crate::{object, secret};

/// The controller.
#[derive(Debug)]
pub struct KubeadmConfigController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub config: KubeadmConfig,
    /// The machine that the data is for; what all machines of the pool have in common if it is for a pool.
    #[cfg_attr(test, serde(default))]
    pub machine: Option<Arc<Machine>>,
    /// The data is for all machines of a MachinePool, now and later.
    #[cfg_attr(test, serde(default))]
    pub is_for_pool: bool,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    #[cfg_attr(test, serde(skip))]
    pub authorities: Authorities,
    /// The version that the cluster's control plane should have, if files are templates that may name it.
    #[cfg_attr(test, serde(default))]
    pub control_plane_version: Option<String>,
    /// The lock of the machine that initializes the cluster.
    #[cfg_attr(test, serde(default))]
    pub lock: Option<Arc<ConfigMap>>,
    /// Whether the machine that has the lock is still there.
    #[cfg_attr(test, serde(default))]
    pub is_lock_held: bool,
    /// Secrets that files and passwords come from, by name; values that are no text are left out.
    #[cfg_attr(test, serde(default))]
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// The Secret with the data that was written once.
    #[cfg_attr(test, serde(default))]
    pub data_secret: Option<Arc<Secret>>,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
    /// The workload cluster has the token in the config.
    #[cfg_attr(test, serde(default))]
    pub is_token_there: bool,
    /// When the token in the config expires; `None` if the workload cluster has no such token.
    #[cfg_attr(test, serde(default))]
    pub token_expires: Option<Timestamp>,
}

/// What happens in the workload cluster, or needs randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Makes a token, and writes it into the config together with what is missing of how the cluster is found and recognized. A pool's
    /// older token stays valid until it expires: machines may be booting with it.
    MakeToken { missing: Value },
    /// Prolongs the token in the config, or makes it anew.
    ProlongToken,
    /// Makes a certificate authority or key of the cluster, unless there is one.
    GenerateCertificate(Purpose),
}

impl World {
    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.config.metadata)
    }
}

impl Reconciler for KubeadmConfigController {
    const NAME: &'static str = "kubeadmconfig";
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = KubeadmConfig;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, config: &KubeadmConfig) -> Result<World, GatherError> {
        gather::gather(cx, config).await
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Some(cluster) = world.cluster.as_deref() else {
            return Ok(());
        };
        match act {
            Act::GenerateCertificate(purpose) => {
                let names = (world.config.namespace(), cluster.name_any());
                let names = (&*names.0.unwrap_or_default(), &*names.1);
                // They outlive the machine that they are made for.
                let owner = object::owner_ref(cluster, false);
                let config = world.config.spec.cluster_configuration.as_ref();
                secret::generate(cx, names, owner, *purpose, config).await
            }
            Act::MakeToken { missing } => token::make(cx, world, cluster, missing).await,
            Act::ProlongToken => token::prolong(cx, world, cluster).await,
        }
    }

    fn status(
        world: &World,
        plan: &Plan<Act>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome))
    }
}
