//! The pods of a kubelet: it makes and removes mirrors of what it runs anyway, and says how its own pods are.

use serde_json::Value;

use super::{Kubelet, MIRROR, Operation, Verdict, edit, is_same};
use crate::status::Status;

impl Kubelet<'_, '_> {
    /// Whether the stored pod runs on the node.
    ///
    /// # Errors
    /// 404 when there is no such pod.
    fn is_own_pod(&self, name: &str) -> Result<bool, Status> {
        let request = self.request;
        let stored = request.objects.get("pods", request.namespace, name);
        let pod = stored.ok_or_else(|| Status::not_found("", "pods", name))?;
        Ok(pod.value()["spec"]["nodeName"] == self.node)
    }

    pub(super) fn pod(&self, pod: &Value) -> Verdict {
        let node = self.node;
        match self.request.operation {
            Operation::Create => self.mirror_pod(pod),
            Operation::Delete if self.is_own_pod(self.request.name)? => Ok(()),
            Operation::Delete => self.refuse(format!(
                "node {node:?} can only delete pods with spec.nodeName set to itself"
            )),
            operation => self.refuse(format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                operation.as_str()
            )),
        }
    }

    fn mirror_pod(&self, pod: &Value) -> Verdict {
        let node = self.node;
        if pod["metadata"]["annotations"][MIRROR].is_null() {
            return self.refuse(format!(
                "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
            ));
        }
        if pod["spec"]["nodeName"] != node {
            return self.refuse(format!(
                "node {node:?} can only create pods with spec.nodeName set to itself"
            ));
        }
        let owners: Vec<&Value> = edit::items(&pod["metadata"], "ownerReferences").collect();
        match owners.as_slice() {
            [] => self.refuse(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            )),
            [owner] => self.owner(owner),
            _ => self.refuse(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            )),
        }?;
        match references(pod) {
            None => Ok(()),
            Some(what) => self.refuse(format!(
                "node {node:?} can not create pods that reference {what}"
            )),
        }
    }

    /// The owner is the node as it is.
    fn owner(&self, owner: &Value) -> Verdict {
        let node = self.node;
        if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
            return self.refuse(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        if owner["controller"] != true {
            return self.refuse(format!(
                "node {node:?} can only create pods with a controller owner reference set to itself"
            ));
        }
        if owner["blockOwnerDeletion"] == true {
            return self.refuse(format!(
                "node {node:?} must not set blockOwnerDeletion on an owner reference"
            ));
        }
        let stored = self.request.objects.get("nodes", "", node);
        let stored = stored.ok_or_else(|| Status::not_found("", "nodes", node))?;
        let (claimed, uid) = (edit::text(owner, "uid"), &*stored.header.uid);
        if claimed != uid {
            return self.refuse(format!(
                "node {node} UID mismatch: expected {claimed} got {uid}"
            ));
        }
        Ok(())
    }

    pub(super) fn pod_status(&self, pod: &Value) -> Verdict {
        let node = self.node;
        let (Operation::Update, Some(old)) = (self.request.operation, self.request.old) else {
            let operation = self.request.operation.as_str();
            return self.refuse(format!("unexpected operation {operation:?}"));
        };
        if old["spec"]["nodeName"] != node {
            return self.refuse(format!(
                "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
            ));
        }
        let is_kept = |parent: &str, field: &str| is_same(&old[parent][field], &pod[parent][field]);
        if !is_kept("metadata", "labels") {
            return self.refuse(format!(
                "node {node:?} cannot update labels through pod status"
            ));
        }
        if !is_kept("status", "resourceClaimStatuses") {
            return self.refuse(format!(
                "node {node:?} cannot update resource claim statues"
            ));
        }
        if !is_kept("status", "extendedResourceClaimStatus") {
            return self.refuse(format!(
                "node {node:?} cannot update extended resource claim status"
            ));
        }
        Ok(())
    }

    pub(super) fn eviction(&self, eviction: &Value) -> Verdict {
        if self.request.operation != Operation::Create {
            let operation = self.request.operation.as_str();
            return self.refuse(format!("unexpected operation {operation}"));
        }
        let pod = self.named(eviction);
        if pod.is_empty() {
            return self.refuse("could not determine pod from request data");
        }
        if self.is_own_pod(pod)? {
            return Ok(());
        }
        self.refuse(format!(
            "node {} can only evict pods with spec.nodeName set to itself",
            self.node
        ))
    }
}

/// What a pod takes from the cluster.
fn references(pod: &Value) -> Option<&'static str> {
    let spec = &pod["spec"];
    if !edit::text(spec, "serviceAccountName").is_empty() {
        return Some("serviceaccounts");
    }
    let volumes = || edit::items(spec, "volumes");
    let sources = || volumes().flat_map(|volume| edit::items(&volume["projected"], "sources"));
    let containers = || {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|field| edit::items(spec, field))
    };
    if edit::items(spec, "imagePullSecrets").next().is_some()
        || containers().any(|c| container_names(c, "secretRef", "secretKeyRef"))
        || volumes().any(names_secret)
        || sources().any(|source| !source["secret"].is_null())
    {
        return Some("secrets");
    }
    if containers().any(|c| container_names(c, "configMapRef", "configMapKeyRef"))
        || volumes().any(|volume| !volume["configMap"].is_null())
        || sources().any(|source| !source["configMap"].is_null())
    {
        return Some("configmaps");
    }
    if edit::items(spec, "resourceClaims").next().is_some() {
        return Some("resourceclaims");
    }
    const VOLUMES: &[(&str, &str)] = &[
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        (
            "ephemeral",
            "persistentvolumeclaims (via ephemeral volumes)",
        ),
    ];
    const SOURCES: &[(&str, &str)] = &[
        (
            "serviceAccountToken",
            "serviceaccounts (via projected volumes)",
        ),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    let found = |value: &Value, of: &[(&'static str, &'static str)]| {
        let mut of = of.iter();
        of.find(|(field, _)| !value[*field].is_null())
            .map(|(_, what)| *what)
    };
    volumes().find_map(|volume| {
        found(volume, VOLUMES).or_else(|| {
            let mut sources = edit::items(&volume["projected"], "sources");
            sources.find_map(|source| found(source, SOURCES))
        })
    })
}

fn container_names(container: &Value, all: &str, one: &str) -> bool {
    edit::items(container, "envFrom").any(|source| !source[all].is_null())
        || edit::items(container, "env").any(|variable| !variable["valueFrom"][one].is_null())
}

/// Whether a volume is made of a Secret or mounted with one.
fn names_secret(volume: &Value) -> bool {
    let sources = volume.as_object().into_iter().flatten();
    sources.into_iter().any(|(field, source)| match &**field {
        "secret" | "azureFile" => !source.is_null(),
        _ => !source["secretRef"].is_null() || !source["nodePublishSecretRef"].is_null(),
    })
}
