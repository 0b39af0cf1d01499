//! MachineDeployments: replace machines step by step when their template changes.
//!
//! Reads the MachineDeployment, its MachineSets and their Machines. Writes MachineSets. A change of version, bootstrap, infrastructure or
//! failure domain makes a new MachineSet; everything else goes to the existing ones in place.

mod plan;
pub mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::rules;
use api::cluster::{Cluster, Machine, MachineDeployment, MachineSet};
use api::meta::labels;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::contract;

pub(crate) use plan::rollout_after;
pub use plan::{differences, outdated};

/// The controller.
#[derive(Debug)]
pub struct MachineDeploymentController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub deployment: MachineDeployment,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    /// MachineSets of the deployment, and such that nobody controls and the selector matches.
    #[cfg_attr(test, serde(default))]
    pub sets: Vec<Arc<MachineSet>>,
    /// Machines of those.
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<Arc<Machine>>,
    /// Templates that the deployment refers to and that aren't there.
    #[cfg_attr(test, serde(default))]
    pub missing_templates: Vec<String>,
}

impl World {
    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.deployment.metadata)
    }
}

impl Reconciler for MachineDeploymentController {
    const NAME: &'static str = "machinedeployment";
    const FINALIZER: Option<&'static str> = Some("cluster.x-k8s.io/machinedeployment");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = MachineDeployment;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, deployment: &MachineDeployment) -> Result<World, GatherError> {
        let namespace = deployment.namespace().unwrap_or_default();
        let spec = &deployment.spec;
        let members = Selector::label(labels::CLUSTER_NAME, &spec.cluster_name);
        let sets: Vec<Arc<MachineSet>> = cx.list(Some(&namespace), &members).await?;
        let sets: Vec<_> = sets
            .into_iter()
            .filter(|s| is_member(deployment, s))
            .collect();
        let owners: Vec<_> = sets.iter().filter_map(|s| s.metadata.uid.clone()).collect();
        let machines: Vec<Arc<Machine>> = cx.list(Some(&namespace), &members).await?;
        let is_owned = |m: &Machine| {
            crate::object::controller_of(&m.metadata).is_some_and(|o| owners.contains(&o.uid))
        };
        let template = &spec.template.spec;
        let mut missing_templates = vec![];
        for reference in template
            .bootstrap
            .config_ref
            .iter()
            .chain([&template.infrastructure_ref])
        {
            if contract::get(cx, &namespace, Some(reference))
                .await?
                .is_none()
            {
                missing_templates.push(format!("{} {}", reference.kind, reference.name));
            }
        }
        Ok(World {
            cluster: cx.get(&namespace, &spec.cluster_name).await?,
            machines: machines.into_iter().filter(|m| is_owned(m)).collect(),
            deployment: deployment.clone(),
            sets,
            missing_templates,
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(
        world: &World,
        plan: &Plan<Infallible>,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Option<Value> {
        Some(status::status(world, plan, outcome, now))
    }
}

/// Whether a set belongs to the deployment, or may.
fn is_member(deployment: &MachineDeployment, set: &MachineSet) -> bool {
    let labels = set.metadata.labels.clone().unwrap_or_default();
    match crate::object::controller_of(&set.metadata) {
        Some(owner) => Some(owner.uid.as_str()) == deployment.metadata.uid.as_deref(),
        None => rules::selects(&deployment.spec.selector, &labels),
    }
}
