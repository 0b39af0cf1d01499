//! Clusters: takes over what infrastructure and control plane report, and deletes everything in the right order.
//!
//! Reads the Cluster, the objects that it refers to, and its MachineDeployments, MachinePools, MachineSets and Machines. Writes the Cluster's
//! endpoint and status, and makes the Cluster an owner of its infrastructure and control plane. Deletion goes from the workers over
//! the control plane to the infrastructure; nothing of a later group is touched before the earlier one is gone.

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::{Cluster, ClusterClass, Machine, MachineDeployment, MachinePool, MachineSet};
use api::meta::{Gate, labels};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::link::Link;
use crate::{contract, topology};

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
}

impl World {
    /// Further conditions that count for `Available`: the Cluster's own, or those of its class.
    fn availability_gates(&self) -> &[Gate] {
        let own = self.cluster.spec.availability_gates.as_deref();
        let class = self.class.as_ref();
        own.or_else(|| class?.spec.availability_gates.as_deref())
            .unwrap_or_default()
    }
}

impl Reconciler for ClusterController {
    const NAME: &'static str = "cluster";
    const FINALIZER: Option<&'static str> = Some("cluster.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = Cluster;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, cluster: &Cluster) -> Result<World, GatherError> {
        let namespace = cluster.namespace().unwrap_or_default();
        let name = cluster.name_any();
        let members = Selector::label(labels::CLUSTER_NAME, &name);
        let scope = Some(namespace.as_str());
        Ok(World {
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

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome))
    }
}
