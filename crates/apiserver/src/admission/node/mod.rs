//! NodeRestriction and TaintNodesByCondition: what a kubelet may write, and how a new node starts.

mod pods;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::service_account::MIRROR;
use super::{Admission, Operation, Request, edit};
use crate::auth::pki::CertificateRequest;
use crate::auth::{Authorizer, NODE_PREFIX};
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

/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";
/// Signers of kubelets' certificates.
const KUBELET_SIGNERS: &[&str] = &[
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/kube-apiserver-client-kubelet",
];

pub(super) struct NodeRestriction(pub(super) Arc<Authorizer>);

#[async_trait::async_trait]
impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        let user = request.user;
        let Some(node) = user.node() else {
            return Ok(());
        };
        if request.operation == Operation::Connect {
            return Ok(());
        }
        let kubelet = Kubelet { node, request };
        if node.is_empty() {
            let name = &user.name;
            return kubelet.refuse(format!("could not determine node from user {name:?}"));
        }
        kubelet.check(object, &self.0)
    }
}

/// A write of the kubelet of `node`.
struct Kubelet<'a, 'r> {
    node: &'a str,
    request: &'a Request<'r>,
}

type Verdict = Result<(), Status>;

impl Kubelet<'_, '_> {
    fn refuse(&self, why: impl AsRef<str>) -> Verdict {
        Err(self.request.forbidden(why.as_ref()))
    }

    fn check(&self, object: &Value, authorizer: &Authorizer) -> Verdict {
        let resource = self.request.resource;
        let subresource = self.request.subresource;
        match (&*resource.group, &*resource.plural, subresource) {
            ("", "pods", "") => self.pod(object),
            ("", "pods", "status") => self.pod_status(object),
            ("", "pods", "eviction") => self.eviction(object),
            ("", "pods", other) => self.refuse(format!(
                "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
            )),
            ("", "nodes", _) => self.own_node(object),
            ("", "persistentvolumeclaims", "status") => self.claim_status(object),
            ("", "persistentvolumeclaims", _) => self.refuse("may only update PVC status"),
            ("", "serviceaccounts", "token") => self.token(object, authorizer),
            ("certificates.k8s.io", "podcertificaterequests", _) => {
                self.refuse("PodCertificateRequest feature gate is disabled")
            }
            ("coordination.k8s.io", "leases", _) if self.request.namespace != LEASES => self
                .refuse(format!(
                    "can only access leases in the {LEASES:?} system namespace"
                )),
            ("coordination.k8s.io", "leases", _) if self.named(object) != self.node => {
                self.refuse("can only access node lease with the same name as the requesting node")
            }
            ("storage.k8s.io", "csinodes", _) if self.named(object) != self.node => {
                self.refuse("can only access CSINode with the same name as the requesting node")
            }
            ("resource.k8s.io", "resourceslices", _) => self.slice(object),
            ("certificates.k8s.io", "certificatesigningrequests", _) => self.certificate(object),
            _ => Ok(()),
        }
    }

    /// The name that the request is about.
    fn named<'o>(&'o self, object: &'o Value) -> &'o str {
        if self.request.name.is_empty() {
            edit::text(&object["metadata"], "name")
        } else {
            self.request.name
        }
    }

    fn own_node(&self, object: &Value) -> Verdict {
        let node = self.node;
        let named = self.named(object);
        if named != node {
            return self.refuse(format!(
                "node {node:?} is not allowed to modify node {named:?}"
            ));
        }
        let config = &object["spec"]["configSource"];
        match (self.request.operation, self.request.old) {
            (Operation::Create, _) => {
                if !config.is_null() {
                    return self.refuse(format!(
                        "node {node:?} is not allowed to create pods with a non-nil configSource"
                    ));
                }
                let foreign = foreign_labels(&labels(object));
                if foreign.is_empty() {
                    return Ok(());
                }
                self.refuse(format!(
                    "node {node:?} is not allowed to set the following labels: {}",
                    foreign.join(", ")
                ))
            }
            (Operation::Update, Some(old)) => self.changed_node(old, object),
            _ => Ok(()),
        }
    }

    fn changed_node(&self, old: &Value, object: &Value) -> Verdict {
        let node = self.node;
        let config = &object["spec"]["configSource"];
        if !config.is_null() && *config != old["spec"]["configSource"] {
            return self.refuse(format!(
                "node {node:?} is not allowed to update configSource to a new non-nil configSource"
            ));
        }
        if !is_same(&old["spec"]["taints"], &object["spec"]["taints"]) {
            return self.refuse(format!("node {node:?} is not allowed to modify taints"));
        }
        let owners = |object: &Value| object["metadata"]["ownerReferences"].clone();
        if !is_same(&owners(old), &owners(object)) {
            return self.refuse(format!(
                "node {node:?} is not allowed to modify ownerReferences"
            ));
        }
        // Labels can also be changed through the status.
        let (old, new) = (labels(old), labels(object));
        let changed = old.symmetric_difference(&new).cloned().collect();
        let foreign = foreign_labels(&changed);
        if foreign.is_empty() {
            return Ok(());
        }
        self.refuse(format!(
            "is not allowed to modify labels: {}",
            foreign.join(", ")
        ))
    }

    fn claim_status(&self, object: &Value) -> Verdict {
        const OWN: &[&str] = &[
            "capacity",
            "conditions",
            "allocatedResourceStatuses",
            "allocatedResources",
        ];
        let (Operation::Update, Some(old)) = (self.request.operation, self.request.old) else {
            let operation = self.request.operation.as_str();
            return self.refuse(format!("unexpected operation {operation:?}"));
        };
        let rest = |claim: &Value| {
            let mut claim = claim.as_object().cloned().unwrap_or_default();
            for (part, fields) in [
                ("metadata", &["resourceVersion", "managedFields"][..]),
                ("status", OWN),
            ] {
                let part = claim.get_mut(part).and_then(Value::as_object_mut);
                if let Some(part) = part {
                    part.retain(|field, _| !fields.contains(&&**field));
                }
            }
            Value::Object(claim)
        };
        let (old, new) = (rest(old), rest(object));
        let fields = |value: &Value| -> BTreeSet<String> {
            let fields = value.as_object().into_iter().flatten();
            fields.map(|(field, _)| field.clone()).collect()
        };
        let mut all = fields(&old);
        all.extend(fields(&new));
        let changed: Vec<String> = all
            .into_iter()
            .filter(|field| !is_same(&old[field], &new[field]))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.refuse(format!(
            "node {:?} is not allowed to update fields other than status.quantity and status.conditions: {} differs",
            self.node,
            changed.join(", ")
        ))
    }

    fn slice(&self, object: &Value) -> Verdict {
        let request = self.request;
        let (slice, verb) = match (request.operation, request.old) {
            (Operation::Create, _) => (object, "create"),
            (Operation::Delete, Some(old)) => (old, "delete"),
            _ => return Ok(()),
        };
        if slice["spec"]["nodeName"] == self.node {
            return Ok(());
        }
        self.refuse(format!(
            "can only {verb} ResourceSlice with the same NodeName as the requesting node"
        ))
    }

    /// A kubelet asks for certificates of its own name alone.
    fn certificate(&self, object: &Value) -> Verdict {
        let spec = &object["spec"];
        let is_kubelets = KUBELET_SIGNERS.contains(&edit::text(spec, "signerName"));
        if self.request.operation != Operation::Create || !is_kubelets {
            return Ok(());
        }
        let pem = STANDARD.decode(edit::text(spec, "request")).ok();
        let pem = pem.and_then(|pem| String::from_utf8(pem).ok());
        let asked = CertificateRequest::from_pem(&pem.unwrap_or_default());
        let name = format!("{NODE_PREFIX}{}", self.node);
        match asked {
            Ok(asked) if asked.common_name == name => Ok(()),
            Ok(_) => self.refuse(format!("can only create a node CSR with CN={name}")),
            Err(why) => self.refuse(format!("unable to parse csr: {why}")),
        }
    }
}

/// Equal, where an empty list or object is as good as none.
fn is_same(a: &Value, b: &Value) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    a == b || (is_empty(a) && is_empty(b))
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
