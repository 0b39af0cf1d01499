//! What kubelets may do: the rules of `system:node`, and of a few kinds only the objects that are the node's own.
//!
//! Not here yet: letting a node read only the Secrets, ConfigMaps and volumes that its pods use.

use std::sync::LazyLock;

use super::bootstrap;
use super::rbac::Rule;
use super::{Attributes, Decision};

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(bootstrap::node_rules);

/// The decision on a request of the kubelet of `node`; no opinion is left to RBAC.
pub(super) fn authorize(node: &str, request: &Attributes) -> Option<Decision> {
    if !request.is_resource() || !RULES.iter().any(|rule| rule.allows(request)) {
        return None;
    }
    if let Some(reason) = foreign(node, request) {
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
