//! What kubelets may do: the rules of `system:node`, and of some kinds only the objects that are the node's own or that
//! its pods use.

use std::sync::LazyLock;

use super::bootstrap;
use super::rbac::Rule;
use super::relations::{Kind, Relations};
use super::{Attributes, Decision, Objects};

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(bootstrap::node_rules);

/// The decision on a request of the kubelet of `node`; no opinion is left to RBAC.
pub(super) fn authorize(
    node: &str,
    request: &Attributes,
    objects: &dyn Objects,
    relations: &Relations,
) -> Option<Decision> {
    if !request.is_resource() || !RULES.iter().any(|rule| rule.allows(request)) {
        return None;
    }
    let used = used(node, request, objects, relations);
    if let Some(reason) = foreign(node, request).or(used) {
        return Some(Decision {
            allowed: false,
            reason,
        });
    }
    Some(Decision {
        allowed: true,
        reason: String::new(),
    })
}

/// Why the object is none of the node's business.
fn foreign(node: &str, request: &Attributes) -> Option<String> {
    let is_nameless = request.name.is_empty();
    let is_own = is_nameless || request.name == node;
    match (&*request.group, &*request.resource) {
        ("coordination.k8s.io", "leases") if request.namespace != "kube-node-lease" => {
            Some("can only access leases in the \"kube-node-lease\" system namespace".into())
        }
        ("coordination.k8s.io", "leases") if !is_own => {
            Some("can only access node lease with the same name as the requesting node".into())
        }
        ("storage.k8s.io", "csinodes") if !is_own => {
            Some("can only access CSINode with the same name as the requesting node".into())
        }
        ("", "nodes") if !is_own && request.verb != "get" => Some(format!(
            "node {node:?} cannot {} node {:?}, only its own Node object",
            request.verb, request.name
        )),
        _ => None,
    }
}

/// Why an object of the kinds that pods use is none of the node's business.
fn used(
    node: &str,
    request: &Attributes,
    objects: &dyn Objects,
    relations: &Relations,
) -> Option<String> {
    let (namespace, name) = (request.namespace.as_str(), request.name.as_str());
    let is_plain = request.subresource.is_empty();
    let refuse = |why: &str| Some(why.to_owned());
    let is_related = match (&*request.group, &*request.resource) {
        ("", resource @ ("secrets" | "configmaps")) => {
            if !matches!(&*request.verb, "get" | "list" | "watch") {
                return refuse("can only read resources of this type");
            }
            if !is_plain {
                return refuse("cannot read subresource");
            }
            if namespace.is_empty() {
                return refuse("can only read namespaced object of this type");
            }
            if name.is_empty() {
                return refuse("No Object name found");
            }
            let kind = if resource == "secrets" {
                Kind::Secret
            } else {
                Kind::ConfigMap
            };
            relations.uses(objects, node, kind, namespace, name)
        }
        ("", "persistentvolumeclaims") if is_plain || request.verb == "get" => {
            if request.verb != "get" || name.is_empty() {
                return refuse("can only get individual resources of this type");
            }
            relations.uses(objects, node, Kind::Claim, namespace, name)
        }
        ("", "persistentvolumeclaims") => {
            relations.uses(objects, node, Kind::Claim, namespace, name)
        }
        ("", "persistentvolumes") => {
            if request.verb != "get" || name.is_empty() {
                return refuse("can only get individual resources of this type");
            }
            relations.mounts(objects, node, name)
        }
        ("storage.k8s.io", "volumeattachments") => {
            if request.verb != "get" || name.is_empty() {
                return refuse("can only get individual resources of this type");
            }
            Relations::is_attached(objects, node, name)
        }
        ("", "serviceaccounts") => {
            if request.verb != "create" || request.subresource != "token" || name.is_empty() {
                return refuse("can only create tokens for individual service accounts");
            }
            relations.uses(objects, node, Kind::ServiceAccount, namespace, name)
        }
        _ => return None,
    };
    (!is_related).then(|| format!("no relationship found between node '{node}' and this object"))
}
