//! Pods go from nodes whose taints they do not tolerate, or no longer: taints with the effect `NoExecute`.
//!
//! Reads pods and the node of each; deletes pods, after it has said at them why. A pod that tolerates a taint for so many
//! seconds goes when they have passed since the taint was added; when the taint is taken away before, it stays.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::Value;

/// Nodes that are kept in mind for their taints; with more, all taints without a time count anew.
const NODES_MAX: usize = 4096;

/// Evicts pods that do not tolerate their node's taints.
#[derive(Debug, Default)]
pub struct TaintEvictionController {
    /// Since when a taint is there that does not say so itself, by the node's uid; forgotten when the node has none.
    seen: Mutex<HashMap<String, Vec<(Taint, Timestamp)>>>,
}

/// One pod and what its node does not want.
#[derive(Debug)]
pub struct World {
    pub(crate) pod: Pod,
    /// The taints of its node that no pod stays beside without tolerating them, and since when they are there.
    pub(crate) taints: Vec<(Taint, Timestamp)>,
}

impl Reconciler for TaintEvictionController {
    const NAME: &'static str = "tainteviction";
    const REPORTER: &'static str = "taint-eviction-controller";
    type Object = Pod;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, cx: &Cx, pod: &Pod) -> Result<World, GatherError> {
        let mut world = World {
            pod: pod.clone(),
            taints: vec![],
        };
        let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
        if let Some(name) = node.filter(|name| !name.is_empty())
            && crate::pod::is_active(pod)
            && let Some(node) = cx.get::<Node>("", name).await?
        {
            world.taints = self.taints(&node, cx.now());
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Infallible> {
        plan::plan(world, now)
    }

    fn status(_: &World, _: &Plan<Infallible>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

impl TaintEvictionController {
    fn taints(&self, node: &Arc<Node>, now: Timestamp) -> Vec<(Taint, Timestamp)> {
        let uid = node.metadata.uid.clone().unwrap_or_default();
        let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref());
        let hard = taints.unwrap_or_default().iter();
        let hard = hard.filter(|taint| taint.effect == "NoExecute");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.remove(&uid).unwrap_or_default();
        let since = |taint: &Taint| {
            let known = known.iter().find(|(known, _)| known == taint);
            let known = known.map_or(now, |(_, since)| *since);
            taint.time_added.as_ref().map_or(known, |added| added.0)
        };
        let found: Vec<_> = hard.map(|taint| (taint.clone(), since(taint))).collect();
        let timeless = found.iter().filter(|(taint, _)| taint.time_added.is_none());
        let timeless: Vec<_> = timeless.cloned().collect();
        if !timeless.is_empty() {
            if seen.len() >= NODES_MAX {
                seen.clear();
            }
            seen.insert(uid, timeless);
        }
        found
    }
}
