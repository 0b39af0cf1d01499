//! What the scheduler writes: bindings, why a pod waits, and the end of pods that make room.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodCondition};
use kube::api::{DeleteParams, Preconditions};
use kube::core::ApiResource;
use runtime::Cluster;
use serde_json::{Value, json};

use super::preempt::REASON;
use super::snapshot::PodInfo;
use super::{MANAGER, NAME};
use crate::volume::SELECTED_NODE;

/// Binds the pod to the node.
pub(super) async fn bind(cluster: &Cluster, pod: &PodInfo, node: &str) -> Result<(), kube::Error> {
    let (namespace, name) = (pod.namespace(), pod.name());
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(binding.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    cluster.request::<Value>(request).await.map(drop)
}

/// What is said of a pod that has no node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Reason of the condition `PodScheduled`.
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// The node that is being made free for it, if that changes; empty for none.
    pub(super) nominated: Option<String>,
}

impl Waiting {
    /// Whether the pod says so already.
    fn is_said(&self, pod: &Pod) -> bool {
        let status = pod.status.as_ref();
        let conditions = status.and_then(|s| s.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        let is_same = |c: &PodCondition| {
            c.type_ == "PodScheduled"
                && c.status == "False"
                && c.reason.as_deref() == Some(self.reason)
                && c.message.as_deref().unwrap_or_default() == self.message
        };
        let nominated = status.and_then(|s| s.nominated_node_name.as_deref());
        let is_nominated = self.nominated.as_deref();
        conditions.any(is_same)
            && is_nominated.is_none_or(|node| node == nominated.unwrap_or_default())
    }
}

/// Says at the pod why it waits, unless it says so already.
pub(super) async fn say(
    cluster: &Cluster,
    pod: &PodInfo,
    waiting: &Waiting,
) -> Result<(), kube::Error> {
    if waiting.is_said(&pod.pod) {
        return Ok(());
    }
    let mut condition = json!({
        "type": "PodScheduled", "status": "False", "reason": waiting.reason,
        "observedGeneration": pod.pod.metadata.generation,
    });
    if !waiting.message.is_empty() {
        condition["message"] = waiting.message.clone().into();
    }
    let known = pod.pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut known = known.into_iter().flatten();
    if !known.any(|c| c.type_ == "PodScheduled" && c.status == "False") {
        condition["lastTransitionTime"] = runtime::rfc3339(cluster.clock().now()).into();
    }
    let mut status = json!({"conditions": [condition]});
    match waiting.nominated.as_deref() {
        None => {}
        Some("") => status["nominatedNodeName"] = Value::Null,
        Some(node) => status["nominatedNodeName"] = node.into(),
    }
    patch_status(cluster, pod, status).await
}

/// No node is made free for the pod any more.
pub(super) async fn withdraw(cluster: &Cluster, pod: &PodInfo) -> Result<(), kube::Error> {
    patch_status(cluster, pod, json!({"nominatedNodeName": null})).await
}

async fn patch_status(cluster: &Cluster, pod: &PodInfo, status: Value) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"uid": pod.uid}, "status": status});
    let (namespace, name) = (pod.namespace(), pod.name());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status?fieldManager={MANAGER}");
    let content = "application/strategic-merge-patch+json";
    let request = http::Request::patch(path)
        .header(http::header::CONTENT_TYPE, content)
        .body(patch.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    gone_is_fine(cluster.request::<Value>(request).await)
}

/// Tells a claim for which node it gets its volume.
pub(super) async fn choose_node(
    cluster: &Cluster,
    claim: &PersistentVolumeClaim,
    node: &str,
) -> Result<(), kube::Error> {
    let annotations = claim.metadata.annotations.as_ref();
    if annotations
        .and_then(|a| a.get(SELECTED_NODE))
        .map(String::as_str)
        == Some(node)
    {
        return Ok(());
    }
    let meta = &claim.metadata;
    let patch = json!({"metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": {SELECTED_NODE: node},
    }});
    let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    let key = (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    cluster.merge_patch(&resource, key, &patch, MANAGER).await
}

/// Ends a pod that has to make room, and says at it why.
pub(super) async fn evict(cluster: &Cluster, victim: &PodInfo) -> Result<(), kube::Error> {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": REASON,
        "message": format!("{NAME}: preempting to accommodate a higher priority pod"),
        "lastTransitionTime": runtime::rfc3339(cluster.clock().now()),
        "observedGeneration": victim.pod.metadata.generation,
    });
    patch_status(cluster, victim, json!({"conditions": [condition]})).await?;
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(victim.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let resource = ApiResource::erase::<Pod>(&());
    let deleted = cluster
        .delete(&resource, victim.namespace(), victim.name(), &params)
        .await;
    gone_is_fine(deleted.map(drop))
}

/// The pod may be gone, or another one of its name may have come.
fn gone_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}
