//! DaemonSets keep one pod on every node that is eligible.
//!
//! Reads DaemonSets, nodes, and the pods and ControllerRevisions of the namespace; writes pods (creates, adopts, releases,
//! deletes), revisions (`history`) and the DaemonSet's status. A pod is bound to its node by a node affinity; the scheduler
//! binds it.
//!
//! - `node` says which nodes are eligible, `look` where a DaemonSet stands, `plan` and `rolling` what is to be done,
//!   `create` how a new pod looks, `status` what is shown: all pure.
//! - `backoff` remembers for how long a pod that failed is left alone: deleting it makes way for the next, which may fail
//!   the same way.
//!
//! A DaemonSet is woken by nodes only when one comes, goes, or changes in what it could ask for (`news`): there may be many,
//! and each tells of its health all the time.

mod backoff;
mod create;
mod look;
mod news;
mod node;
mod plan;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::ApiResource;
use runtime::{Cx, GatherError, Note, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::Value;

use crate::claim::Keeper;
use crate::history::{self, History, Owner};
use backoff::{BackOff, BackOffs};
pub use news::NodeNews;

/// Keeps the pods of DaemonSets.
#[derive(Debug, Default)]
pub struct DaemonSetController {
    news: NodeNews,
    failures: BackOffs,
}

impl DaemonSetController {
    /// Woken by these news; somebody has to run them.
    #[must_use]
    pub fn new(news: NodeNews) -> Self {
        Self {
            news,
            failures: BackOffs::default(),
        }
    }
}

/// One DaemonSet with what is, or could be, its own, and the nodes that matter to it.
pub struct World {
    pub(crate) daemon_set: DaemonSet,
    /// All nodes, by name.
    pub(crate) nodes: BTreeMap<String, Arc<Node>>,
    /// All pods of the namespace that match the selector or name the DaemonSet as an owner.
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) history: History,
    /// Since when and for how long pods that failed are left alone, by node.
    pub(crate) back_offs: BTreeMap<String, BackOff>,
}

/// What the controller does beyond objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Remembers that the pod on this node failed and is about to be deleted.
    Remember(String),
}

impl Reconciler for DaemonSetController {
    const NAME: &'static str = "daemonset";
    const REPORTER: &'static str = "daemonset-controller";
    type Object = DaemonSet;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, daemon_set: &DaemonSet) -> Result<World, GatherError> {
        let mut world = World {
            daemon_set: daemon_set.clone(),
            nodes: BTreeMap::new(),
            pods: vec![],
            history: History::default(),
            back_offs: self.failures.of(&daemon_set.metadata),
        };
        let Some(owner) = owner(daemon_set) else {
            return Ok(world);
        };
        if daemon_set.metadata.deletion_timestamp.is_some() {
            return Ok(world);
        }
        world.pods = owner.keeper.candidates(cx, owner.selector).await?;
        world.history = History::read(cx, &owner).await?;
        // What is of no interest in a node's news wakes nobody: its status above all.
        cx.watch(self.news.signal());
        let resource = ApiResource::erase::<Node>(&());
        let all = Selector::all();
        for entry in cx.cluster().entries(&resource, None, &all).await? {
            if let Ok(node) = entry.read::<Node>() {
                world.nodes.insert(entry.header.name.clone(), node);
            }
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Act::Remember(node) = act;
        self.failures
            .remember(&world.daemon_set.metadata, node, cx.now());
        Ok(())
    }

    fn status(world: &World, _: &Plan<Act>, _: &Outcome, now: Timestamp) -> Option<Value> {
        status::status(world, now)
    }

    fn refusal(_: &World, plan: &Plan<Act>, outcome: &Outcome) -> Note {
        status::refusal(plan, outcome)
    }
}

/// How revisions depend on the DaemonSet; `None` for an object without a spec.
fn owner(daemon_set: &DaemonSet) -> Option<Owner<'_>> {
    let spec = daemon_set.spec.as_ref()?;
    let status = daemon_set.status.as_ref();
    Some(Owner {
        keeper: Keeper {
            api_version: "apps/v1",
            kind: "DaemonSet",
            meta: &daemon_set.metadata,
        },
        selector: &spec.selector,
        template: &spec.template,
        collisions: status.and_then(|s| s.collision_count).unwrap_or(0),
        hash_label: history::REVISION_LABEL,
    })
}
