//! What kubelets may do: of most kinds what `system:node` says, and of some only the objects that are the node's own or
//! that its pods use.

use std::sync::LazyLock;

use super::bootstrap;
use super::rbac::Rule;
use super::relations::{Kind, Relations};
use super::{Attributes, Decision, Objects};

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(bootstrap::node_rules);

/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";

/// One request of one kubelet.
struct Ask<'a> {
    node: &'a str,
    request: &'a Attributes,
    objects: &'a dyn Objects,
    relations: &'a Relations,
}

/// Why not; empty when there is nothing to say.
type Verdict = Result<(), String>;

/// The decision on a request of the kubelet of `node`. What is not allowed is left to RBAC.
pub(super) fn authorize(
    node: &str,
    request: &Attributes,
    objects: &dyn Objects,
    relations: &Relations,
) -> Decision {
    let ask = Ask {
        node,
        request,
        objects,
        relations,
    };
    match ask.verdict() {
        Ok(()) => Decision {
            allowed: true,
            reason: String::new(),
        },
        Err(reason) => Decision {
            allowed: false,
            reason,
        },
    }
}

fn refuse(why: impl Into<String>) -> Verdict {
    Err(why.into())
}

impl Ask<'_> {
    fn verdict(&self) -> Verdict {
        if self.node.is_empty() {
            return refuse(format!("unknown node for user {:?}", super::NODE_PREFIX));
        }
        let request = self.request;
        let subresource = &*request.subresource;
        match (&*request.group, &*request.resource) {
            ("", "secrets") => self.read_in_namespace(Kind::Secret),
            ("", "configmaps") => self.read_in_namespace(Kind::ConfigMap),
            ("", "persistentvolumeclaims") if subresource == "status" => self.update_status(),
            ("", "persistentvolumeclaims") => self.get(Kind::Claim),
            ("", "persistentvolumes") => self.get(Kind::Volume),
            ("resource.k8s.io", "resourceclaims") => self.get(Kind::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => self.get(Kind::Attachment),
            ("", "serviceaccounts") => self.service_account(),
            ("coordination.k8s.io", "leases") => self.lease(),
            ("storage.k8s.io", "csinodes") => self.csi_node(),
            ("resource.k8s.io", "resourceslices") => self.slice(),
            ("", "nodes") => self.own_node(),
            ("", "pods") => self.pod(),
            ("certificates.k8s.io", "podcertificaterequests") => refuse(""),
            _ if RULES.iter().any(|rule| rule.allows(request)) => Ok(()),
            _ => refuse(""),
        }
    }

    fn is_verb(&self, verbs: &[&str]) -> bool {
        verbs.contains(&&*self.request.verb)
    }

    /// The object is the node's business.
    fn related(&self, kind: Kind) -> Verdict {
        let request = self.request;
        if request.name.is_empty() {
            return refuse("No Object name found");
        }
        let is_related = self.relations.reach(
            self.objects,
            self.node,
            kind,
            &request.namespace,
            &request.name,
        );
        if is_related {
            return Ok(());
        }
        refuse(format!(
            "no relationship found between node '{}' and this object",
            self.node
        ))
    }

    fn get(&self, kind: Kind) -> Verdict {
        if !self.is_verb(&["get"]) {
            return refuse("can only get individual resources of this type");
        }
        if !self.request.subresource.is_empty() {
            return refuse("cannot get subresource");
        }
        self.related(kind)
    }

    fn read_in_namespace(&self, kind: Kind) -> Verdict {
        if !self.is_verb(&["get", "list", "watch"]) {
            return refuse("can only read resources of this type");
        }
        if !self.request.subresource.is_empty() {
            return refuse("cannot read subresource");
        }
        if self.request.namespace.is_empty() {
            return refuse("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn update_status(&self) -> Verdict {
        if !self.is_verb(&["update", "patch"]) {
            return refuse("can only get/update/patch this type");
        }
        self.related(Kind::Claim)
    }

    fn service_account(&self) -> Verdict {
        let request = self.request;
        if self.is_verb(&["get"]) && request.subresource.is_empty() {
            return self.read_in_namespace(Kind::ServiceAccount);
        }
        if !self.is_verb(&["create"]) || request.name.is_empty() {
            return refuse("can only create tokens for individual service accounts");
        }
        if request.subresource != "token" {
            return refuse("can only create token subresource of serviceaccount");
        }
        self.related(Kind::ServiceAccount)
    }

    /// On creation the name is not known here; the admission plugin looks at it.
    fn is_own_name(&self) -> bool {
        self.is_verb(&["create"]) || self.request.name == self.node
    }

    fn lease(&self) -> Verdict {
        if !self.is_verb(&["get", "create", "update", "patch", "delete"]) {
            return refuse("can only get, create, update, patch, or delete a node lease");
        }
        if self.request.namespace != LEASES {
            return refuse(format!(
                "can only access leases in the {LEASES:?} system namespace"
            ));
        }
        if !self.is_own_name() {
            return refuse("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn csi_node(&self) -> Verdict {
        if !self.is_verb(&["get", "create", "update", "patch", "delete"]) {
            return refuse("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.request.subresource.is_empty() {
            return refuse("cannot authorize CSINode subresources");
        }
        if !self.is_own_name() {
            return refuse("can only access CSINode with the same name as the requesting node");
        }
        Ok(())
    }

    fn slice(&self) -> Verdict {
        let request = self.request;
        if !request.subresource.is_empty() {
            return refuse("cannot authorize ResourceSlice subresources");
        }
        match &*request.verb {
            // The admission plugin looks at whose it is.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Kind::Slice),
            "watch" | "list" | "deletecollection" => {
                if request.selectors.requires("spec.nodeName", self.node) {
                    return Ok(());
                }
                refuse(
                    "can only list/watch/deletecollection resourceslices with nodeName field selector",
                )
            }
            _ => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn own_node(&self) -> Verdict {
        let (node, name) = (self.node, &*self.request.name);
        match (&*self.request.subresource, &*self.request.verb) {
            // The admission plugin looks at which node it is.
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if name == node => Ok(()),
            ("", "get" | "list" | "watch") if name.is_empty() => refuse(format!(
                "node '{node}' cannot read all nodes, only its own Node object"
            )),
            ("", "get" | "list" | "watch") => refuse(format!(
                "node '{node}' cannot read '{name}', only its own Node object"
            )),
            _ => refuse(""),
        }
    }

    fn pod(&self) -> Verdict {
        let request = self.request;
        match (&*request.subresource, &*request.verb) {
            ("", "get") => self.related(Kind::Pod),
            ("", "list" | "watch") if request.selectors.requires("spec.nodeName", self.node) => {
                Ok(())
            }
            ("", "list" | "watch") if !request.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => {
                refuse("can only list/watch pods with spec.nodeName field selector")
            }
            // The admission plugin looks at whose pod it is.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Ok(())
            }
            _ => refuse(""),
        }
    }
}
