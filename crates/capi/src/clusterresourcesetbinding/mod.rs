//! ClusterResourceSetBindings: what each cluster gets from ClusterResourceSets, and what it has got.
//!
//! One pass for each Cluster. Reads the sets that select it and what they name; applies the objects in the workload cluster; writes the
//! binding, called like the cluster, that says what has been applied. `ApplyOnce` makes what is not there and is done; `Reconcile`
//! applies again whenever what is written changes. Nothing is ever removed from a cluster. The binding belongs to the Cluster and
//! goes with it.

mod act;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use api::addons::cluster_resource_set::{ResourceRef, Strategy};
use api::addons::{ClusterResourceSet, ClusterResourceSetBinding};
use api::cluster::Cluster;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::Value;

use crate::clusterresourceset::resource::{self, Resource};
use crate::clusterresourceset::{is_paused, is_selected};
use crate::link::{self, Link};

/// The controller.
#[derive(Debug)]
pub struct ClusterResourceSetBindingController;

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub cluster: Cluster,
    /// Names of all sets of the namespace.
    #[cfg_attr(test, serde(default))]
    pub known: Vec<String>,
    /// The sets that select the cluster and aren't paused, by name, with what they name; `None` where that is not there.
    #[cfg_attr(test, serde(default))]
    pub sets: Vec<(Arc<ClusterResourceSet>, Vec<Option<Resource>>)>,
    #[cfg_attr(test, serde(default))]
    pub binding: Option<Arc<ClusterResourceSetBinding>>,
    #[cfg_attr(test, serde(default))]
    pub link: Link,
}

/// Applies what the cluster has not got, and writes down in the binding what came of it.
#[derive(Clone, PartialEq)]
pub struct Act {
    work: Vec<Work>,
}

/// The objects of one ConfigMap or Secret.
#[derive(Clone, PartialEq)]
pub(crate) struct Work {
    set: String,
    resource: ResourceRef,
    strategy: Strategy,
    hash: String,
    /// The objects, or what is wrong with them.
    objects: Result<Vec<DynamicObject>, String>,
}

// Objects may be secret.
impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, work) in self.work.iter().enumerate() {
            let how = match work.strategy {
                Strategy::ApplyOnce => "make",
                Strategy::Reconcile => "apply",
            };
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{how} {} of {}: ", work.resource, work.set)?;
            match &work.objects {
                Ok(objects) => {
                    let names = objects.iter().map(|o| {
                        let kind = o.types.as_ref().map_or("", |t| t.kind.as_str());
                        format!("{kind} {}", o.name_any())
                    });
                    write!(f, "{}", names.collect::<Vec<_>>().join(", "))?;
                }
                Err(why) => write!(f, "{why}")?,
            }
        }
        Ok(())
    }
}

impl World {
    /// Whether nothing may be done, or nothing can be.
    fn is_at_rest(&self) -> bool {
        self.cluster.metadata.deletion_timestamp.is_some() || self.cluster.is_paused()
    }
}

impl Reconciler for ClusterResourceSetBindingController {
    const NAME: &'static str = "clusterresourcesetbinding";
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = Cluster;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, cluster: &Cluster) -> Result<World, GatherError> {
        let namespace = cluster.namespace().unwrap_or_default();
        let all: Vec<Arc<ClusterResourceSet>> = cx.list(Some(&namespace), &Selector::all()).await?;
        let mut world = World {
            cluster: cluster.clone(),
            known: all.iter().map(|set| set.name_any()).collect(),
            sets: vec![],
            binding: cx.get(&namespace, &cluster.name_any()).await?,
            link: Link::NotYet,
        };
        if world.is_at_rest() {
            return Ok(world);
        }
        for set in all {
            let is_going = set.metadata.deletion_timestamp.is_some();
            if is_going || is_paused(&set) || !is_selected(&set, cluster) {
                continue;
            }
            let mut resources = vec![];
            for reference in &set.spec.resources {
                resources.push(resource::get(cx, &namespace, reference).await?);
            }
            world.sets.push((set, resources));
        }
        world.sets.sort_by_key(|(set, _)| set.name_any());
        // Who has got everything needs no connection.
        if !plan::due(&world).is_empty()
            && let Some(remote) = link::reach(cx, Some(cluster)).await?
        {
            world.link = Link::from(&remote);
        }
        Ok(world)
    }

    fn plan(world: &World, _: Timestamp) -> Plan<Act> {
        plan::plan(world)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        act::apply(cx, world, &act.work).await
    }

    fn status(_: &World, _: &Plan<Act>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}
