//! Topologies: makes the parts of a Cluster from its ClusterClass, and keeps them as class, topology and variables say.
//!
//! Reads the Cluster, its ClusterClass and the templates that this names, and all that was made for the topology. Writes the
//! infrastructure and control plane objects and the Cluster's references to them, copies of templates, MachineDeployments, MachinePools with
//! their configs and infrastructure objects, MachineHealthChecks, and the condition `TopologyReconciled`. Everything is applied as field manager `capi-topology`, and only fields
//! that follow from the topology: the number of machines of a pool is the autoscaler's if the topology does not say one.
//!
//! A template is never changed: what is rendered otherwise gets another name, by a hash of what it is rendered to, and the one before
//! goes when nobody refers to it any more. What a MachinePool refers to is no template: it is changed in place, and the infrastructure
//! replaces machines. Versions are rolled out in the order of [`upgrade`]; extensions are asked as [`hooks`] and [`external`] say.

mod build;
pub(crate) mod external;
mod gather;
mod group;
mod hooks;
mod parts;
mod patches;
mod plan;
mod pool;
mod route;
mod rules;
mod status;
mod templates;
#[cfg(test)]
mod tests;

mod upgrade;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::{
    Cluster, ClusterClass, MachineDeployment, MachineHealthCheck, MachinePool, MachineSet,
};
use jiff::Timestamp;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

pub use external::{External, Externals, ItemChange, ItemPatch};
pub(crate) use gather::class_of;
pub use route::Route;
pub(crate) use rules::check_variables;
pub use rules::{check_expressions, check_values};

use crate::hook::{Answer, Caller, Hook, Unanswered};

/// Annotation by which the owner of a ClusterClass lets Clusters of other namespaces use it, and so see what is in its templates.
pub const SHARED: &str = "topology.apiary.io/shared";

/// The controller.
#[derive(Debug)]
pub struct TopologyController {
    pub caller: Arc<Caller>,
}

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub cluster: Cluster,
    /// `None` if it isn't there.
    #[cfg_attr(test, serde(default))]
    pub class: Option<Arc<ClusterClass>>,
    /// The templates that the class names, as far as they are there.
    #[cfg_attr(test, serde(default))]
    pub templates: Vec<Arc<DynamicObject>>,
    /// What the Cluster refers to.
    #[cfg_attr(test, serde(default))]
    pub control_plane: Option<Arc<DynamicObject>>,
    /// MachineDeployments that were made for the topology, also those that are on their way out.
    #[cfg_attr(test, serde(default))]
    pub deployments: Vec<Arc<MachineDeployment>>,
    /// MachinePools that were made for the topology, also those that are on their way out.
    #[cfg_attr(test, serde(default))]
    pub pools: Vec<Arc<MachinePool>>,
    /// MachineSets of its MachineDeployments.
    #[cfg_attr(test, serde(default))]
    pub sets: Vec<Arc<MachineSet>>,
    /// MachineHealthChecks that were made for the topology.
    #[cfg_attr(test, serde(default))]
    pub checks: Vec<Arc<MachineHealthCheck>>,
    /// Templates that were made for the topology, also those that nobody refers to any more.
    #[cfg_attr(test, serde(default))]
    pub copies: Vec<Arc<DynamicObject>>,
    /// Hooks that some extension has a handler for.
    #[cfg_attr(test, serde(default))]
    pub hooks: BTreeSet<Hook>,
    /// What extensions said in this pass.
    #[cfg_attr(test, serde(default))]
    pub answers: BTreeMap<Hook, Answer>,
    /// What extensions said about patches of the class.
    #[cfg_attr(test, serde(skip))]
    pub external: Externals,
    /// Over which versions an extension has the upgrade go, if one is asked.
    #[cfg_attr(test, serde(default))]
    pub route: Option<Result<Route, Unanswered>>,
}

impl Reconciler for TopologyController {
    const NAME: &'static str = "topology";
    // What was applied elsewhere by Cluster API's own controller and moved here stays this manager's: fields that the topology gives
    // up go, as if it had been here from the beginning.
    const MANAGER: Option<&'static str> = Some("capi-topology");
    // The generation that was observed is said by the controller of Clusters; here it is only part of the condition.
    const CONDITIONS: ConditionStyle = ConditionStyle::Plain;
    type Object = Cluster;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, cluster: &Cluster) -> Result<World, GatherError> {
        gather::gather(&self.caller, cx, cluster).await
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        status::status(world, plan, outcome)
    }
}
