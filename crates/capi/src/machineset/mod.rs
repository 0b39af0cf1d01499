//! MachineSets: keep a number of equal machines.
//!
//! Reads the MachineSet, its templates, its Machines and their parts. Writes Machines, and for each new Machine the bootstrap config and
//! infrastructure object that it refers to. A Machine comes first and its parts follow, owned by it: so nothing is ever left over when
//! something fails in between.

mod order;
mod plan;
pub(crate) mod preflight;
mod remediation;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::rules;
use api::cluster::{Cluster, Machine, MachineDeployment, MachineSet};
use api::meta::labels;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::{contract, metadata, object};

/// The controller.
#[derive(Debug)]
pub struct MachineSetController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub set: MachineSet,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    /// The cluster's control plane object.
    #[cfg_attr(test, serde(default))]
    pub control_plane: Option<Arc<DynamicObject>>,
    /// The set's deployment; read only if machines are to be replaced.
    #[cfg_attr(test, serde(default))]
    pub deployment: Option<Arc<MachineDeployment>>,
    /// `None` if the machines need none, or it is missing.
    #[cfg_attr(test, serde(default))]
    pub bootstrap_template: Option<Arc<DynamicObject>>,
    #[cfg_attr(test, serde(default))]
    pub infrastructure_template: Option<Arc<DynamicObject>>,
    /// Machines that the selector matches and that nobody else controls.
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<Arc<Machine>>,
    /// Parts of machines that are there, by the machine's name.
    #[cfg_attr(test, serde(default))]
    pub parts: BTreeMap<String, Parts>,
}

/// Parts of a machine that are there.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Parts {
    pub bootstrap: Option<Arc<DynamicObject>>,
    pub infrastructure: Option<Arc<DynamicObject>>,
}

impl World {
    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.set.metadata)
    }
}

impl Reconciler for MachineSetController {
    const NAME: &'static str = "machineset";
    const FINALIZER: Option<&'static str> = Some("cluster.x-k8s.io/machineset");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = MachineSet;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, set: &MachineSet) -> Result<World, GatherError> {
        let namespace = set.namespace().unwrap_or_default();
        let spec = &set.spec;
        let template = &spec.template.spec;
        let cluster: Option<Arc<Cluster>> = cx.get(&namespace, &spec.cluster_name).await?;
        let control_plane_ref = cluster
            .as_ref()
            .and_then(|c| c.spec.control_plane_ref.as_ref());
        let candidates = Selector::label(labels::CLUSTER_NAME, &spec.cluster_name);
        let machines: Vec<Arc<Machine>> = cx.list(Some(&namespace), &candidates).await?;
        let machines: Vec<_> = machines.into_iter().filter(|m| is_member(set, m)).collect();
        let annotations = plan::template_annotations(set);
        let mut parts = BTreeMap::new();
        for machine in machines.iter().filter(|m| !m.is_deleting()) {
            let bootstrap = machine.spec.bootstrap.config_ref.as_ref();
            let infrastructure = Some(&machine.spec.infrastructure_ref);
            let bootstrap = contract::get(cx, &namespace, bootstrap).await?;
            let infrastructure = contract::get(cx, &namespace, infrastructure).await?;
            let labels = machine.labels();
            let of_machine = Parts {
                bootstrap: metadata::whole(cx, bootstrap, labels, &annotations).await?,
                infrastructure: metadata::whole(cx, infrastructure, labels, &annotations).await?,
            };
            parts.insert(machine.name_any(), of_machine);
        }
        let deployment = object::label(&set.metadata, labels::DEPLOYMENT_NAME);
        let deployment = match deployment {
            Some(name) if machines.iter().any(|m| crate::remediation::is_wanted(m)) => {
                cx.get(&namespace, name).await?
            }
            _ => None,
        };
        Ok(World {
            deployment,
            control_plane: contract::get(cx, &namespace, control_plane_ref).await?,
            bootstrap_template: contract::get(
                cx,
                &namespace,
                template.bootstrap.config_ref.as_ref(),
            )
            .await?,
            infrastructure_template: contract::get(
                cx,
                &namespace,
                Some(&template.infrastructure_ref),
            )
            .await?,
            set: set.clone(),
            cluster,
            machines,
            parts,
        })
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
        Some(status::status(world, plan, outcome))
    }
}

/// Whether a machine belongs to the set, or may.
fn is_member(set: &MachineSet, machine: &Machine) -> bool {
    let labels = machine.metadata.labels.clone().unwrap_or_default();
    match object::controller_of(&machine.metadata) {
        Some(owner) => Some(owner.uid.as_str()) == set.metadata.uid.as_deref(),
        None => rules::selects(&set.spec.selector, &labels),
    }
}
