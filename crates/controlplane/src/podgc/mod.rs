//! Pods that nobody else would end: on nodes that are gone, deleted before they had a node, on nodes that are out of service, and
//! the oldest of very many that are over.
//!
//! Reads pods and the node of each; marks pods as failed and deletes them at once.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::core::ApiResource;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

/// So many pods that are over are kept, as Kubernetes keeps them by default.
const OVER_MAX: usize = 12_500;

/// Nodes that are not there and are kept in mind; with more, those count as missed just now.
const MISSING_MAX: usize = 4096;

/// Collects pods.
#[derive(Debug, Default)]
pub struct PodCollector {
    /// Since when a node is not there that pods are on.
    missing: Mutex<HashMap<String, Timestamp>>,
    over: Mutex<Over>,
}

/// The pods that are over, the first to go first: evicted ones, then the oldest. Namespace and name at the end.
#[derive(Debug, Default)]
struct Over(BTreeSet<(bool, Timestamp, String, String)>);

/// One pod, and why it may have to go.
#[derive(Debug)]
pub struct World {
    pub(crate) pod: Pod,
    pub(crate) place: Place,
    /// More pods are over than are kept, and this is one of the first to go.
    pub(crate) is_surplus: bool,
}

/// What is known of where the pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    None,
    There,
    /// An administrator says that the node will not come back, and it is not ready.
    OutOfService,
    /// The node is not there since then.
    Missing(Timestamp),
}

/// What is done beyond objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Deletes the pod without waiting for anybody.
    Delete,
}

impl Reconciler for PodCollector {
    const NAME: &'static str = "podgc";
    const REPORTER: &'static str = "pod-garbage-collector-controller";
    type Object = Pod;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, pod: &Pod) -> Result<World, GatherError> {
        let name = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
        let place = match name.filter(|name| !name.is_empty()) {
            None => Place::None,
            Some(name) => {
                let node = cx.get::<Node>("", name).await?;
                let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
                match node {
                    Some(node) => {
                        missing.remove(name);
                        if is_out_of_service(&node) {
                            Place::OutOfService
                        } else {
                            Place::There
                        }
                    }
                    None => {
                        if missing.len() >= MISSING_MAX && !missing.contains_key(name) {
                            missing.clear();
                        }
                        Place::Missing(*missing.entry(name.to_owned()).or_insert(cx.now()))
                    }
                }
            }
        };
        let is_surplus = crate::pod::is_over(pod) && {
            let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
            over.put(pod);
            over.is_surplus(pod, |namespace, name| {
                let pod = cx.cluster().cached::<Pod>(namespace, name);
                pod.is_some_and(|pod| crate::pod::is_over(&pod))
            })
        };
        Ok(World {
            pod: pod.clone(),
            place,
            is_surplus,
        })
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan::plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let Act::Delete = act;
        let meta = &world.pod.metadata;
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: meta.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let resource = ApiResource::erase::<Pod>(&());
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().unwrap_or_default();
        let deleted = cx.cluster().delete(&resource, namespace, name, &params);
        match deleted.await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(Wait {
                reason: "DeletionFailed",
                message: runtime::chain(&error),
            }),
            Ok(_) => Ok(()),
        }
    }

    fn status(_: &World, _: &Plan<Act>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref());
    let mut taints = taints.unwrap_or_default().iter();
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    taints.any(|taint| taint.key == "node.kubernetes.io/out-of-service")
        && !conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

impl Over {
    fn key(pod: &Pod) -> (bool, Timestamp, String, String) {
        let meta = &pod.metadata;
        let reason = pod.status.as_ref().and_then(|s| s.reason.as_deref());
        let created = meta.creation_timestamp.as_ref();
        (
            // False comes first.
            reason != Some("Evicted"),
            created.map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        )
    }

    fn put(&mut self, pod: &Pod) {
        self.0.insert(Self::key(pod));
    }

    /// Whether the pod is one of those that are too many; `is_over` says whether a pod is still there and over. Pods that
    /// went are forgotten when it matters.
    fn is_surplus(&mut self, pod: &Pod, is_over: impl Fn(&str, &str) -> bool) -> bool {
        if self.0.len() <= OVER_MAX {
            return false;
        }
        self.0
            .retain(|(_, _, namespace, name)| is_over(namespace, name));
        let surplus = self.0.len().saturating_sub(OVER_MAX);
        self.0
            .iter()
            .take(surplus)
            .any(|key| *key == Self::key(pod))
    }
}
