//! The roles and bindings that a cluster has from its first moment.
//!
//! [`bootstrap_objects`] is what a Kubernetes 1.36 API server keeps up itself, [`kubeadm_objects`] what kubeadm adds.
//! They are tables of ours; names, labels and powers are those that clients and charts rely on. Objects come without
//! UID and creation time: whoever stores them sets those.

use serde_json::{Map, Value, json};

use super::authorize::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use super::rbac::Rule;
use crate::object::Key;

mod cluster;
mod controllers;
mod kubeadm;
mod namespaced;

use table::{Binding, Role, RuleRow, SYSTEM};

/// The rows that the tables are made of. Words in one text are separated by spaces.
mod table {
    pub(super) const SYSTEM: &str = "kube-system";
    pub(super) const PUBLIC: &str = "kube-public";
    pub(super) const READ: &str = "get list watch";
    pub(super) const WRITE: &str = "create delete deletecollection patch update";
    /// The core group's word in the tables.
    pub(super) const CORE: &str = "core";

    pub(super) struct RuleRow {
        pub(super) verbs: &'static str,
        pub(super) groups: &'static str,
        pub(super) resources: &'static str,
        pub(super) names: &'static str,
        pub(super) urls: &'static str,
    }

    pub(super) const fn on(
        verbs: &'static str,
        groups: &'static str,
        resources: &'static str,
    ) -> RuleRow {
        RuleRow {
            verbs,
            groups,
            resources,
            names: "",
            urls: "",
        }
    }

    pub(super) const fn named(row: RuleRow, names: &'static str) -> RuleRow {
        RuleRow { names, ..row }
    }

    pub(super) const fn paths(urls: &'static str) -> RuleRow {
        RuleRow {
            urls,
            ..on("get", "", "")
        }
    }

    /// Writing events, which almost everybody does.
    pub(super) const EVENTS: RuleRow = on("create patch update", "core events.k8s.io", "events");

    pub(super) struct Role {
        /// Empty for a ClusterRole.
        pub(super) namespace: &'static str,
        pub(super) name: &'static str,
        /// The aggregated role that takes these rules over: `view`, `edit`, `admin`.
        pub(super) aggregate_to: &'static str,
        /// Rules come from the roles that aggregate to the role's own name.
        pub(super) is_aggregated: bool,
        pub(super) rules: &'static [RuleRow],
    }

    pub(super) const fn role(name: &'static str, rules: &'static [RuleRow]) -> Role {
        Role {
            namespace: "",
            name,
            aggregate_to: "",
            is_aggregated: false,
            rules,
        }
    }

    pub(super) const fn local(
        namespace: &'static str,
        name: &'static str,
        rules: &'static [RuleRow],
    ) -> Role {
        Role {
            namespace,
            ..role(name, rules)
        }
    }

    pub(super) struct Binding {
        /// Empty for a ClusterRoleBinding.
        pub(super) namespace: &'static str,
        pub(super) name: &'static str,
        /// A ClusterRole unless `is_local_role`.
        pub(super) role: &'static str,
        pub(super) is_local_role: bool,
        /// `user:<name>`, `group:<name>` or `account:<name>` (of kube-system).
        pub(super) subjects: &'static [&'static str],
    }

    pub(super) const fn bind(name: &'static str, subjects: &'static [&'static str]) -> Binding {
        bind_to(name, name, subjects)
    }

    pub(super) const fn bind_to(
        name: &'static str,
        role: &'static str,
        subjects: &'static [&'static str],
    ) -> Binding {
        Binding {
            namespace: "",
            name,
            role,
            is_local_role: false,
            subjects,
        }
    }

    pub(super) const fn bind_local(
        namespace: &'static str,
        name: &'static str,
        role: &'static str,
        subjects: &'static [&'static str],
    ) -> Binding {
        Binding {
            namespace,
            is_local_role: true,
            ..bind_to(name, role, subjects)
        }
    }
}

/// Every role and binding of a fresh API server.
#[must_use]
pub fn bootstrap_objects() -> Vec<(Key, Value)> {
    let mut objects: Vec<(Key, Value)> = cluster::ROLES
        .iter()
        .chain(namespaced::ROLES)
        .map(|role| role_object(role, true))
        .collect();
    objects.extend(
        cluster::BINDINGS
            .iter()
            .chain(namespaced::BINDINGS)
            .map(|binding| binding_object(binding, true)),
    );
    for (name, rules) in controllers::ROLES {
        objects.push(controller_role(name, rules));
        objects.push(controller_binding(name));
    }
    objects
}

/// The roles and bindings that kubeadm adds, so that nodes can join and administrators can work.
#[must_use]
pub fn kubeadm_objects() -> Vec<(Key, Value)> {
    let roles = kubeadm::ROLES.iter().map(|role| role_object(role, false));
    let bindings = kubeadm::BINDINGS
        .iter()
        .map(|binding| binding_object(binding, false));
    roles.chain(bindings).collect()
}

/// The rules of `system:node`, which kubelets have without a binding.
pub(super) fn node_rules() -> Vec<Rule> {
    cluster::ROLES
        .iter()
        .filter(|role| role.name == "system:node")
        .flat_map(|role| role.rules.iter().map(rule))
        .collect()
}

fn words(text: &str) -> Vec<Box<str>> {
    let mut words: Vec<Box<str>> = text
        .split_whitespace()
        .map(|word| if word == table::CORE { "" } else { word }.into())
        .collect();
    words.sort();
    words
}

fn rule(row: &RuleRow) -> Rule {
    Rule {
        verbs: words(row.verbs),
        api_groups: words(row.groups),
        resources: words(row.resources),
        resource_names: words(row.names),
        urls: words(row.urls),
    }
}

/// What the aggregated role `target` amounts to: the rules of its parts in the order of their names, none twice.
fn aggregated(target: &str) -> Vec<Rule> {
    let mut parts: Vec<&Role> = cluster::ROLES
        .iter()
        .filter(|role| role.aggregate_to == target)
        .collect();
    parts.sort_by_key(|role| role.name);
    let mut rules = Vec::new();
    for part in parts {
        let own = if part.is_aggregated {
            aggregated(part.name)
        } else {
            part.rules.iter().map(rule).collect()
        };
        for rule in own {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}

fn metadata(namespace: &str, name: &str, is_default: bool) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("name".into(), name.into());
    if !namespace.is_empty() {
        metadata.insert("namespace".into(), namespace.into());
    }
    if is_default {
        metadata.insert(
            "annotations".into(),
            json!({"rbac.authorization.kubernetes.io/autoupdate": "true"}),
        );
        metadata.insert(
            "labels".into(),
            json!({"kubernetes.io/bootstrapping": "rbac-defaults"}),
        );
    }
    metadata
}

fn object(kind: &str, metadata: Map<String, Value>) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata})
}

fn role_object(role: &Role, is_default: bool) -> (Key, Value) {
    let (kind, resource) = if role.namespace.is_empty() {
        ("ClusterRole", CLUSTER_ROLES)
    } else {
        ("Role", ROLES)
    };
    let mut value = object(kind, metadata(role.namespace, role.name, is_default));
    let aggregate = |target: &str| format!("rbac.authorization.k8s.io/aggregate-to-{target}");
    if !role.aggregate_to.is_empty() {
        value["metadata"]["labels"][aggregate(role.aggregate_to)] = "true".into();
    }
    let rules = if role.is_aggregated {
        value["aggregationRule"] =
            json!({"clusterRoleSelectors": [{"matchLabels": {aggregate(role.name): "true"}}]});
        aggregated(role.name)
    } else {
        role.rules.iter().map(rule).collect()
    };
    value["rules"] = rules.iter().map(Rule::to_value).collect();
    (Key::new(resource, role.namespace, role.name), value)
}

fn subject(text: &str) -> Value {
    const GROUP: &str = "rbac.authorization.k8s.io";
    match text.split_once(':') {
        Some(("user", name)) => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
        Some(("account", name)) => {
            json!({"kind": "ServiceAccount", "name": name, "namespace": SYSTEM})
        }
        Some((_, name)) => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        None => Value::Null,
    }
}

fn binding_object(binding: &Binding, is_default: bool) -> (Key, Value) {
    let (kind, resource) = if binding.namespace.is_empty() {
        ("ClusterRoleBinding", CLUSTER_ROLE_BINDINGS)
    } else {
        ("RoleBinding", ROLE_BINDINGS)
    };
    let mut value = object(kind, metadata(binding.namespace, binding.name, is_default));
    value["roleRef"] = json!({
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": if binding.is_local_role { "Role" } else { "ClusterRole" },
        "name": binding.role,
    });
    if !binding.subjects.is_empty() {
        value["subjects"] = binding.subjects.iter().map(|text| subject(text)).collect();
    }
    (Key::new(resource, binding.namespace, binding.name), value)
}

fn controller_role(name: &str, rules: &[RuleRow]) -> (Key, Value) {
    let name = format!("system:controller:{name}");
    let mut value = object("ClusterRole", metadata("", &name, true));
    value["rules"] = rules.iter().map(|row| rule(row).to_value()).collect();
    (Key::new(CLUSTER_ROLES, "", &name), value)
}

fn controller_binding(account: &str) -> (Key, Value) {
    let name = format!("system:controller:{account}");
    let mut value = object("ClusterRoleBinding", metadata("", &name, true));
    value["roleRef"] = json!({
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name,
    });
    value["subjects"] = json!([subject(&format!("account:{account}"))]);
    (Key::new(CLUSTER_ROLE_BINDINGS, "", &name), value)
}
