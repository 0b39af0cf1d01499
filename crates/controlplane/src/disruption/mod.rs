//! PodDisruptionBudgets show how many of their pods may be evicted.
//!
//! Reads PodDisruptionBudgets, the pods that they select, and the workloads that own those; writes their status. The
//! eviction door of the API server spends what is shown here. Pods whose workload says no number of replicas count for
//! budgets in absolute numbers only.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use crate::pod;

/// Counts for budgets.
#[derive(Debug, Default)]
pub struct DisruptionController;

/// One budget, its pods, and what their workloads ask for.
pub struct World {
    pub(crate) budget: PodDisruptionBudget,
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Replicas by the uid of the workload that says them.
    pub(crate) replicas: BTreeMap<String, i32>,
}

impl Reconciler for DisruptionController {
    const NAME: &'static str = "disruption";
    const REPORTER: &'static str = "controllermanager";
    type Object = PodDisruptionBudget;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, budget: &PodDisruptionBudget) -> Result<World, GatherError> {
        let namespace = budget.metadata.namespace.as_deref().unwrap_or_default();
        let mut world = World {
            budget: budget.clone(),
            pods: vec![],
            replicas: BTreeMap::new(),
        };
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if let Some(selector) = selector {
            world.pods = cx
                .list::<Pod>(Some(namespace), &Selector::from(selector))
                .await?;
        }
        let owners: BTreeMap<String, OwnerReference> = world
            .pods
            .iter()
            .filter_map(|pod| pod::controller(pod))
            .map(|owner| (owner.uid.clone(), owner.clone()))
            .collect();
        for owner in owners.values() {
            if let Some((uid, replicas)) = replicas(cx, namespace, owner).await? {
                world.replicas.insert(uid, replicas);
            }
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, now: Timestamp) -> Option<Value> {
        Some(plan::status(world, now))
    }
}

/// The workload behind a pod's owner, and its replicas.
async fn replicas(
    cx: &Cx,
    namespace: &str,
    owner: &OwnerReference,
) -> Result<Option<(String, i32)>, GatherError> {
    let is = |meta: &ObjectMeta| meta.uid.as_deref() == Some(owner.uid.as_str());
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let Some(set) = cx.get::<ReplicaSet>(namespace, &owner.name).await? else {
                return Ok(None);
            };
            let owners = set.metadata.owner_references.iter().flatten();
            let mut deployments =
                owners.filter(|o| o.controller == Some(true) && o.kind == "Deployment");
            if let Some(above) = deployments.next()
                && let Some(found) = cx.get::<Deployment>(namespace, &above.name).await?
                && found.metadata.uid.as_deref() == Some(above.uid.as_str())
            {
                let wanted = found.spec.as_ref().and_then(|s| s.replicas);
                return Ok(Some((above.uid.clone(), wanted.unwrap_or(1))));
            }
            let wanted = set.spec.as_ref().and_then(|s| s.replicas);
            Ok(is(&set.metadata).then(|| (owner.uid.clone(), wanted.unwrap_or(1))))
        }
        "StatefulSet" => {
            let found = cx.get::<StatefulSet>(namespace, &owner.name).await?;
            let found = found.filter(|set| is(&set.metadata));
            Ok(found.map(|set| {
                let wanted = set.spec.as_ref().and_then(|s| s.replicas);
                (owner.uid.clone(), wanted.unwrap_or(1))
            }))
        }
        "ReplicationController" => {
            let found = cx
                .get::<ReplicationController>(namespace, &owner.name)
                .await?;
            let found = found.filter(|controller| is(&controller.metadata));
            Ok(found.map(|controller| {
                let wanted = controller.spec.as_ref().and_then(|s| s.replicas);
                (owner.uid.clone(), wanted.unwrap_or(1))
            }))
        }
        _ => Ok(None),
    }
}
