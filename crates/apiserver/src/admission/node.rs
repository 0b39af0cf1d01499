//! NodeRestriction and TaintNodesByCondition: what a kubelet may write, and how a new node starts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::service_account::MIRROR;
use super::{Admission, Operation, Request, edit};
use crate::status::Status;

/// Labels of Kubernetes' own prefixes that a kubelet may set on its node.
const KUBELET_LABELS: &[&str] = &[
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// Prefixes (with those below them) that are left to the kubelet.
const KUBELET_PREFIXES: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

pub(super) struct NodeRestriction;

#[async_trait::async_trait]
impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        let Some(node) = request.user.node() else {
            return Ok(());
        };
        refusal(request, node, object).map_or(Ok(()), |why| Err(request.forbidden(&why)))
    }
}

/// Why the kubelet of `node` may not do this.
fn refusal(request: &Request<'_>, node: &str, object: &Value) -> Option<String> {
    let group = &*request.resource.group;
    let named = || {
        if request.name.is_empty() {
            edit::text(&object["metadata"], "name")
        } else {
            request.name
        }
    };
    match (group, &*request.resource.plural, request.subresource) {
        ("", "pods", "") => pod(request, node, object),
        ("", "pods", "status") => pod_status(request, node, object),
        ("", "pods", "eviction") => own_pod(request, node)
            .err()
            .map(|()| format!("node {node} can only evict pods with spec.nodeName set to itself")),
        ("", "pods", other) => Some(format!("unexpected pod subresource {other:?}")),
        ("", "nodes", _) if named() != node => Some(format!(
            "node {node:?} is not allowed to modify node {:?}",
            named()
        )),
        // Labels can also be changed through the status.
        ("", "nodes", "" | "status") => own_node(request, node, object),
        ("", "serviceaccounts", "token") => token(request, object),
        ("coordination.k8s.io", "leases", _) if request.namespace != "kube-node-lease" => {
            Some("can only access leases in the \"kube-node-lease\" system namespace".to_owned())
        }
        ("coordination.k8s.io", "leases", _) if named() != node => {
            Some("can only access node lease with the same name as the requesting node".to_owned())
        }
        ("storage.k8s.io", "csinodes", _) if named() != node => {
            Some("can only access CSINode with the same name as the requesting node".to_owned())
        }
        _ => None,
    }
}

/// The pod that the request is about runs on the node.
fn own_pod(request: &Request<'_>, node: &str) -> Result<(), ()> {
    let stored;
    let pod = if request.subresource != "eviction" && request.old.is_some() {
        request.old
    } else {
        stored = request
            .objects
            .get("pods", request.namespace, request.name)
            .map(|pod| pod.value());
        stored.as_ref()
    };
    // A pod that is gone is refused later, and with a better word.
    let is_own = pod.is_none_or(|pod| pod["spec"]["nodeName"] == node);
    if is_own { Ok(()) } else { Err(()) }
}

fn pod(request: &Request<'_>, node: &str, pod: &Value) -> Option<String> {
    match request.operation {
        Operation::Create => mirror_pod(node, pod),
        Operation::Delete => own_pod(request, node).err().map(|()| {
            format!("node {node:?} can only delete pods with spec.nodeName set to itself")
        }),
        Operation::Update | Operation::Connect => Some(format!(
            "unexpected operation, node {node:?} can only create and delete mirror pods"
        )),
    }
}

fn mirror_pod(node: &str, pod: &Value) -> Option<String> {
    if pod["metadata"]["annotations"][MIRROR].is_null() {
        return Some(format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    let spec = &pod["spec"];
    if spec["nodeName"] != node {
        return Some(format!(
            "node {node:?} can only create pods with spec.nodeName set to itself"
        ));
    }
    let owners: Vec<&Value> = edit::items(&pod["metadata"], "ownerReferences").collect();
    let is_owned_by_node = owners.iter().all(|owner| {
        owner["kind"] == "Node" && owner["apiVersion"] == "v1" && owner["name"] == node
    });
    if owners.len() > 1 || !is_owned_by_node {
        return Some(format!(
            "node {node:?} can only create pods with an owner reference set to itself"
        ));
    }
    if !edit::text(spec, "serviceAccountName").is_empty() {
        return Some(format!(
            "node {node:?} can not create pods that reference a service account"
        ));
    }
    let what = references(spec)?;
    Some(format!(
        "node {node:?} can not create pods that reference {what}"
    ))
}

/// What a pod takes from its namespace.
fn references(spec: &Value) -> Option<&'static str> {
    const VOLUMES: &[(&str, &str)] = &[
        ("secret", "secrets"),
        ("configMap", "configmaps"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims"),
        ("projected", "secrets"),
    ];
    if edit::items(spec, "resourceClaims").next().is_some() {
        return Some("resourceclaims");
    }
    if edit::items(spec, "imagePullSecrets").next().is_some() {
        return Some("secrets");
    }
    for volume in edit::items(spec, "volumes") {
        let found = VOLUMES.iter().find(|(field, _)| !volume[*field].is_null());
        if let Some((_, what)) = found {
            return Some(what);
        }
    }
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| edit::items(spec, field))
        .find_map(container_references)
}

fn container_references(container: &Value) -> Option<&'static str> {
    let from_all = edit::items(container, "envFrom").find_map(|source| {
        if !source["secretRef"].is_null() {
            return Some("secrets");
        }
        (!source["configMapRef"].is_null()).then_some("configmaps")
    });
    let from_one = edit::items(container, "env").find_map(|variable| {
        let source = &variable["valueFrom"];
        if !source["secretKeyRef"].is_null() {
            return Some("secrets");
        }
        (!source["configMapKeyRef"].is_null()).then_some("configmaps")
    });
    from_all.or(from_one)
}

fn pod_status(request: &Request<'_>, node: &str, pod: &Value) -> Option<String> {
    if own_pod(request, node).is_err() {
        return Some(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    let old = request.old?;
    (labels(old) != labels(pod))
        .then(|| format!("node {node:?} cannot update labels through pod status"))
}

fn own_node(request: &Request<'_>, node: &str, object: &Value) -> Option<String> {
    match request.operation {
        Operation::Create => {
            let foreign = foreign_labels(&labels(object));
            (!foreign.is_empty()).then(|| {
                format!(
                    "node {node:?} is not allowed to set the following labels: {}",
                    foreign.join(", ")
                )
            })
        }
        Operation::Update => {
            let old = request.old?;
            let is_whole = request.subresource.is_empty();
            if is_whole && old["spec"]["taints"] != object["spec"]["taints"] {
                return Some(format!("node {node:?} is not allowed to modify taints"));
            }
            if old["metadata"]["ownerReferences"] != object["metadata"]["ownerReferences"] {
                return Some(format!(
                    "node {node:?} is not allowed to modify ownerReferences"
                ));
            }
            let (old, new) = (labels(old), labels(object));
            let changed = old.symmetric_difference(&new).cloned().collect();
            let foreign = foreign_labels(&changed);
            (!foreign.is_empty()).then(|| {
                format!(
                    "node {node:?} is not allowed to modify labels: {}",
                    foreign.join(", ")
                )
            })
        }
        Operation::Delete | Operation::Connect => None,
    }
}

fn labels(object: &Value) -> BTreeSet<(String, String)> {
    let labels = object["metadata"]["labels"].as_object();
    let labels = labels.into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), value.to_string()))
        .collect()
}

/// The labels of Kubernetes' own prefixes that are none of a kubelet's business, each once.
fn foreign_labels(labels: &BTreeSet<(String, String)>) -> Vec<String> {
    let keys: BTreeSet<&str> = labels.iter().map(|(key, _)| &**key).collect();
    let is_below = |prefix: &str, parent: &str| {
        prefix == parent
            || prefix
                .strip_suffix(parent)
                .is_some_and(|head| head.ends_with('.'))
    };
    keys.into_iter()
        .filter(|key| {
            let Some((prefix, _)) = key.split_once('/') else {
                return false;
            };
            if is_below(prefix, "node-restriction.kubernetes.io") {
                return true;
            }
            let is_system = is_below(prefix, "kubernetes.io") || is_below(prefix, "k8s.io");
            let is_kubelets = KUBELET_LABELS.contains(key)
                || KUBELET_PREFIXES
                    .iter()
                    .any(|parent| is_below(prefix, parent));
            is_system && !is_kubelets
        })
        .map(ToOwned::to_owned)
        .collect()
}

/// A kubelet asks only for tokens of pods that it runs.
fn token(request: &Request<'_>, body: &Value) -> Option<String> {
    let node = request.user.node()?;
    let reference = &body["spec"]["boundObjectRef"];
    if reference["kind"] != "Pod" {
        return Some("node requested token not bound to a pod".into());
    }
    let name = edit::text(reference, "name");
    let uid = edit::text(reference, "uid");
    if uid.is_empty() {
        return Some("node requested token with a pod binding without a uid".into());
    }
    let Some(pod) = request.objects.get("pods", request.namespace, name) else {
        return Some(format!("pod {name:?} not found"));
    };
    if *pod.header.uid != *uid {
        return Some(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        ));
    }
    (pod.value()["spec"]["nodeName"] != node)
        .then(|| "node requested token bound to a pod scheduled on a different node".into())
}

pub(super) struct TaintNodesByCondition;

#[async_trait::async_trait]
impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    async fn admit(&self, request: &mut Request<'_>, node: &mut Value) -> Result<(), Status> {
        const KEY: &str = "node.kubernetes.io/not-ready";
        if request.operation != Operation::Create || !request.is_for("", "nodes", "") {
            return Ok(());
        }
        if edit::map(node, "spec").is_none() {
            return Ok(());
        }
        if let Some(taints) = edit::list(&mut node["spec"], "taints") {
            let taint = json!({"key": KEY, "effect": "NoSchedule"});
            let is_tainted = taints
                .iter()
                .any(|t| t["key"] == KEY && t["effect"] == "NoSchedule");
            if !is_tainted {
                taints.push(taint);
            }
        }
        Ok(())
    }
}
