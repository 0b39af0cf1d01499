//! LocalMachinePools: keep a number of equal LocalMachines, as a group of instances of a cloud does.
//!
//! Reads the LocalMachinePool, its MachinePool and Cluster, its LocalMachines and the Machines made for them. Writes LocalMachines and the
//! list of their provider ids. Those made from something else than what is wanted now are replaced, within the bounds of `spec.rollout`. A
//! machine that has to go goes by its Machine, so that its node is drained first.

mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use api::cluster::{Cluster, Machine, MachinePool};
use api::infrastructure::{LocalMachine, LocalMachinePool};
use api::meta::labels;
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::object;

/// The controller.
#[derive(Debug)]
pub struct LocalMachinePoolController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub local: LocalMachinePool,
    #[cfg_attr(test, serde(default))]
    pub pool: Option<Arc<MachinePool>>,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    /// The pool's machines.
    #[cfg_attr(test, serde(default))]
    pub instances: Vec<Arc<LocalMachine>>,
    /// The Machines made for them, by the name of the LocalMachine.
    #[cfg_attr(test, serde(default))]
    pub machines: BTreeMap<String, Arc<Machine>>,
}

impl World {
    fn is_paused(&self) -> bool {
        crate::pause::is_paused(self.cluster.as_deref(), &self.local.metadata)
    }

    fn is_deleting(&self) -> bool {
        self.local.metadata.deletion_timestamp.is_some()
    }

    /// How many machines must be of use at any time.
    fn least(&self) -> usize {
        let wanted = self.pool.as_ref().map_or(0, |pool| pool.replicas());
        let (_, unavailable) = self.local.bounds(wanted);
        usize::try_from(wanted.saturating_sub(unavailable)).unwrap_or_default()
    }

    /// How many machines there should be.
    fn replicas(&self) -> usize {
        let wanted = self.pool.as_ref().map_or(0, |pool| pool.replicas());
        usize::try_from(wanted).unwrap_or_default()
    }
}

impl Reconciler for LocalMachinePoolController {
    const NAME: &'static str = "localmachinepool";
    const FINALIZER: Option<&'static str> =
        Some("localmachinepool.infrastructure.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = LocalMachinePool;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, local: &LocalMachinePool) -> Result<World, GatherError> {
        let namespace = local.namespace().unwrap_or_default();
        let owner = object::controller_of(&local.metadata).filter(|o| o.kind == "MachinePool");
        let pool: Option<Arc<MachinePool>> = match owner {
            Some(owner) => cx.get(&namespace, &owner.name).await?,
            None => None,
        };
        let cluster: Option<Arc<Cluster>> = match &pool {
            Some(pool) => cx.get(&namespace, &pool.spec.cluster_name).await?,
            None => None,
        };
        let own = Selector::owner(local.uid().unwrap_or_default());
        let instances: Vec<Arc<LocalMachine>> = cx.list(Some(&namespace), &own).await?;
        let machines: Vec<Arc<Machine>> = match &pool {
            Some(pool) => {
                let selector =
                    Selector::label(labels::POOL_NAME, labels::name_value(&pool.name_any()));
                cx.list(Some(&namespace), &selector).await?
            }
            None => vec![],
        };
        let machines = machines.into_iter();
        Ok(World {
            machines: machines
                .map(|m| (m.spec.infrastructure_ref.name.clone(), m))
                .collect(),
            local: local.clone(),
            pool,
            cluster,
            instances,
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
