//! ClusterResourceSets: objects that every cluster of a selection gets.
//!
//! This controller ties the ConfigMaps and Secrets that a set names to the set, and shows how far its clusters are. The objects are applied
//! by [`clusterresourcesetbinding`](crate::clusterresourcesetbinding), one pass for each cluster: a cluster that does not answer
//! delays no other.

mod plan;
pub(crate) mod resource;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use api::addons::{ClusterResourceSet, ClusterResourceSetBinding};
use api::cluster::{Cluster, rules};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector};
use serde_json::Value;

use resource::Resource;

/// The controller.
#[derive(Debug)]
pub struct ClusterResourceSetController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub set: ClusterResourceSet,
    /// What the set names, in its order; `None` where it is not there.
    #[cfg_attr(test, serde(default))]
    pub resources: Vec<Option<Resource>>,
    /// The clusters that are selected, by name.
    #[cfg_attr(test, serde(default))]
    pub clusters: Vec<Arc<Cluster>>,
    /// What clusters of the namespace have got.
    #[cfg_attr(test, serde(default))]
    pub bindings: Vec<Arc<ClusterResourceSetBinding>>,
}

impl Reconciler for ClusterResourceSetController {
    const NAME: &'static str = "clusterresourceset";
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = ClusterResourceSet;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, set: &ClusterResourceSet) -> Result<World, GatherError> {
        let namespace = set.namespace().unwrap_or_default();
        let mut resources = vec![];
        for reference in &set.spec.resources {
            resources.push(resource::get(cx, &namespace, reference).await?);
        }
        let mut clusters: Vec<Arc<Cluster>> = cx.list(Some(&namespace), &Selector::all()).await?;
        clusters.retain(|cluster| is_selected(set, cluster));
        clusters.sort_by_key(|cluster| cluster.name_any());
        Ok(World {
            set: set.clone(),
            resources,
            clusters,
            bindings: cx.list(Some(&namespace), &Selector::all()).await?,
        })
    }

    fn plan(world: &World, _: Timestamp) -> Plan<Infallible> {
        plan::plan(world)
    }

    fn status(world: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        Some(status::status(world))
    }
}

/// Whether the set is about the cluster. A selector that selects by nothing selects no cluster.
pub(crate) fn is_selected(set: &ClusterResourceSet, cluster: &Cluster) -> bool {
    let selector = &set.spec.cluster_selector;
    let labels = cluster.metadata.labels.clone().unwrap_or_default();
    cluster.metadata.deletion_timestamp.is_none()
        && !rules::is_empty_selector(selector)
        && rules::selects(selector, &labels)
}

/// Whether the set waits for somebody to let it go on.
pub(crate) fn is_paused(set: &ClusterResourceSet) -> bool {
    crate::pause::is_paused(None, &set.metadata)
}
