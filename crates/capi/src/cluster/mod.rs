//! Clusters: takes over what infrastructure and control plane report, and deletes everything in the right order.
//!
//! Reads the Cluster, the objects that it refers to, and its MachineDeployments, MachinePools, MachineSets and Machines. Writes the Cluster's
//! endpoint and status, and makes the Cluster an owner of its infrastructure and control plane. Deletion goes from the workers over
//! the control plane to the infrastructure; nothing of a later group is touched before the earlier one is gone.

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::cluster::{Cluster, ClusterClass, Machine, MachineDeployment, MachinePool, MachineSet};
use api::meta::{Gate, labels};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::Value;

use crate::kubeconfig::{self, KubeconfigState, Server};
use crate::link::Link;
use crate::pki::{Pair, Purpose};
use crate::secret::Authorities;
use crate::{contract, object, topology};

/// The controller.
#[derive(Debug)]
pub struct ClusterController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub cluster: Cluster,
    /// `None` if it isn't referred to or isn't there.
    #[cfg_attr(test, serde(default))]
    pub infrastructure: Option<Arc<DynamicObject>>,
    /// `None` if it isn't referred to or isn't there.
    #[cfg_attr(test, serde(default))]
    pub control_plane: Option<Arc<DynamicObject>>,
    #[cfg_attr(test, serde(default))]
    pub deployments: Vec<Arc<MachineDeployment>>,
    #[cfg_attr(test, serde(default))]
    pub pools: Vec<Arc<MachinePool>>,
    #[cfg_attr(test, serde(default))]
    pub sets: Vec<Arc<MachineSet>>,
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<Arc<Machine>>,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
    /// Of a Cluster with a topology; `None` if it isn't there.
    #[cfg_attr(test, serde(default))]
    pub class: Option<Arc<ClusterClass>>,
    /// The cluster's certificate authority, and its kubeconfig; read only if nobody manages the control plane.
    #[cfg_attr(test, serde(skip))]
    pub authority: Option<Pair>,
    #[cfg_attr(test, serde(default))]
    pub kubeconfig: Option<KubeconfigState>,
}

/// What needs randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Writes the kubeconfig with a new client certificate.
    WriteKubeconfig,
}

impl World {
    /// Where clients find the cluster, if nobody manages its control plane and the endpoint is known.
    fn server(&self) -> Option<Server> {
        Server::of(&self.cluster, self.infrastructure.as_deref())
            .filter(|_| !is_managed(&self.cluster))
    }

    /// Further conditions that count for `Available`: the Cluster's own, or those of its class.
    fn availability_gates(&self) -> &[Gate] {
        let own = self.cluster.spec.availability_gates.as_deref();
        let class = self.class.as_ref();
        own.or_else(|| class?.spec.availability_gates.as_deref())
            .unwrap_or_default()
    }
}

/// Whether somebody else manages the control plane of a cluster, and writes its kubeconfig.
fn is_managed(cluster: &Cluster) -> bool {
    cluster.spec.control_plane_ref.is_some() || cluster.spec.topology.is_some()
}

impl Reconciler for ClusterController {
    const NAME: &'static str = "cluster";
    const FINALIZER: Option<&'static str> = Some("cluster.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = Cluster;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, cluster: &Cluster) -> Result<World, GatherError> {
        let namespace = cluster.namespace().unwrap_or_default();
        let name = cluster.name_any();
        let members = Selector::label(labels::CLUSTER_NAME, &name);
        let scope = Some(namespace.as_str());
        let (mut authority, mut state) = (None, None);
        if !is_managed(cluster) {
            let authorities = Authorities::gather(cx, &namespace, &name).await?;
            authority = authorities.pair(Purpose::Cluster).cloned();
            let uid = cluster.metadata.uid.as_deref();
            state = kubeconfig::gather(cx, &namespace, &name, uid).await?;
        }
        Ok(World {
            authority,
            kubeconfig: state,
            infrastructure: contract::get(cx, &namespace, cluster.spec.infrastructure_ref.as_ref())
                .await?,
            control_plane: contract::get(cx, &namespace, cluster.spec.control_plane_ref.as_ref())
                .await?,
            deployments: cx.list(scope, &members).await?,
            pools: cx.list(scope, &members).await?,
            sets: cx.list(scope, &members).await?,
            machines: cx.list(scope, &members).await?,
            class: topology::class_of(cx, cluster).await?,
            link: Link::from(&cx.clusters().get(&namespace, &name).await?),
            cluster: cluster.clone(),
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Act::WriteKubeconfig = act;
        let (Some(ca), Some(server)) = (&world.authority, world.server()) else {
            return Ok(());
        };
        let names = (world.cluster.namespace(), world.cluster.name_any());
        let names = (&*names.0.unwrap_or_default(), &*names.1);
        let owner = object::owner_ref(&world.cluster, true);
        kubeconfig::write(cx, names, (owner, "apiary-cluster"), ca, &server).await
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
