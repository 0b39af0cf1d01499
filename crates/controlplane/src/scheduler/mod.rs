//! The scheduler: finds a node for every pod that has none.
//!
//! Reads pods and nodes; writes bindings, and the `PodScheduled` condition of pods that fit nowhere. Required are taints,
//! node selectors and affinity, resources, host ports, affinity to pods and topology spread; among the nodes that fit
//! the one that is preferred wins, then the one with the most room. Pods that were just bound count at once, before the
//! caches know. Not here: preemption, volumes, preferences about other pods.

pub(crate) mod filter;
mod neighbours;
mod quantity;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use runtime::{Change, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::{Value, json};

pub(crate) use filter::Place;

/// Pods are this scheduler's unless they name another.
const NAME: &str = "default-scheduler";

/// Binds pods to nodes.
#[derive(Debug, Default)]
pub struct Scheduler {
    /// Where pods were bound lately: by uid, with the pod, until the caches show the binding.
    assumed: Mutex<HashMap<String, (String, Arc<Pod>)>>,
}

/// One pod without a node, and what is known of the nodes.
pub struct World {
    pub(crate) pod: Pod,
    pub(crate) nodes: Vec<Arc<Node>>,
    /// Bound pods with their nodes.
    pub(crate) bound: Vec<(String, Arc<Pod>)>,
    /// Labels of namespaces, if an affinity asks for them.
    pub(crate) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The pod needs no node, or not from us.
    pub(crate) is_settled: bool,
}

/// What the scheduler does beyond objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Binds the pod to this node.
    Bind(String),
}

impl Reconciler for Scheduler {
    const NAME: &'static str = "scheduler";
    const REPORTER: &'static str = NAME;
    type Object = Pod;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, pod: &Pod) -> Result<World, GatherError> {
        let spec = pod.spec.as_ref();
        let is_bound = spec
            .and_then(|s| s.node_name.as_deref())
            .is_some_and(|n| !n.is_empty());
        if is_bound {
            self.forget(pod);
        }
        let is_ours = spec
            .and_then(|s| s.scheduler_name.as_deref())
            .unwrap_or(NAME)
            == NAME;
        let is_over = pod.metadata.deletion_timestamp.is_some() || !crate::pod::is_active(pod);
        let is_gated = spec
            .and_then(|s| s.scheduling_gates.as_ref())
            .is_some_and(|gates| !gates.is_empty());
        let mut world = World {
            pod: pod.clone(),
            nodes: vec![],
            bound: vec![],
            namespaces: BTreeMap::new(),
            is_settled: is_bound || !is_ours || is_over || is_gated,
        };
        if world.is_settled {
            return Ok(world);
        }
        world.nodes = cx.list::<Node>(None, &Selector::all()).await?;
        let pods = cx.list::<Pod>(None, &Selector::all()).await?;
        world.bound = self.bound(&pods);
        if asks_for_namespaces(pod) || pods.iter().any(|pod| asks_for_namespaces(pod)) {
            for namespace in cx.list::<Namespace>(None, &Selector::all()).await? {
                let meta = &namespace.metadata;
                let labels = meta.labels.clone().unwrap_or_default();
                world
                    .namespaces
                    .insert(meta.name.clone().unwrap_or_default(), labels);
            }
        }
        Ok(world)
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Act> {
        let mut plan = Plan::default();
        if world.is_settled {
            return plan;
        }
        let name = world.pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = world.pod.metadata.namespace.as_deref().unwrap_or_default();
        match filter::choose(world) {
            Place::On(node) => {
                let message = format!("Successfully assigned {namespace}/{name} to {node}");
                plan.change(Change::Act(Act::Bind(node)), "Scheduled", message);
            }
            Place::Nowhere(why) => {
                plan.warn("FailedScheduling", why.clone());
                plan.wait("Unschedulable", why);
            }
        }
        plan
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Act::Bind(node) = act;
        let meta = &world.pod.metadata;
        let uid = meta.uid.clone().unwrap_or_default();
        self.assume(&uid, node, &world.pod);
        let (namespace, name) = (
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        );
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
        let bound = match http::Request::post(path)
            .header("content-type", "application/json")
            .body(binding.to_string().into_bytes())
        {
            Ok(request) => cx
                .client()
                .request::<Value>(request)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        bound.map(drop).map_err(|message| {
            self.forget(&world.pod);
            Wait {
                reason: "BindingFailed",
                message,
            }
        })
    }

    fn status(
        world: &World,
        plan: &Plan<Act>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        if world.is_settled {
            return None;
        }
        // Only the one condition; the rest of a pod's status is its kubelet's.
        let wait = plan.waits.first()?;
        Some(json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": wait.reason, "message": wait.message,
            "observedGeneration": world.pod.metadata.generation,
        }]}))
    }
}

/// Whether the pod chooses other pods by the labels of their namespaces.
fn asks_for_namespaces(pod: &Pod) -> bool {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let near = affinity
        .and_then(|a| a.pod_affinity.as_ref())
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let far = affinity
        .and_then(|a| a.pod_anti_affinity.as_ref())
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let mut terms = near.into_iter().chain(far).flatten();
    terms.any(|term| term.namespace_selector.is_some())
}

impl Scheduler {
    /// The pods that are on nodes, with those that were bound a moment ago.
    fn bound(&self, pods: &[Arc<Pod>]) -> Vec<(String, Arc<Pod>)> {
        let mut bound = vec![];
        let mut unbound = HashSet::new();
        for pod in pods.iter().filter(|pod| !crate::pod::is_over(pod)) {
            let node = pod.spec.as_ref().and_then(|s| s.node_name.clone());
            match node.filter(|node| !node.is_empty()) {
                Some(node) => bound.push((node, Arc::clone(pod))),
                None => unbound.extend(pod.metadata.uid.as_deref()),
            }
        }
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that the caches show bound, or that went, need no assumption.
        assumed.retain(|uid, _| unbound.contains(uid.as_str()));
        bound.extend(assumed.values().cloned());
        bound
    }

    fn assume(&self, uid: &str, node: &str, pod: &Pod) {
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        assumed.insert(uid.to_owned(), (node.to_owned(), Arc::new(pod.clone())));
    }

    fn forget(&self, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        self.assumed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}
