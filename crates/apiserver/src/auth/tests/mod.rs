//! Checks of authentication and authorization on a tiny cluster in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Attributes, Authenticator, ClusterKeys, Objects, Selectors};
use crate::object::{Key, Object};

mod authenticate;
mod authorize;
mod impersonate;
mod pki;
mod review;

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Noon of a day in 2026.
pub(crate) fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

/// A cluster's objects.
#[derive(Default)]
pub(crate) struct World {
    objects: BTreeMap<(String, String, String), Arc<Object>>,
    revision: u64,
    changed: BTreeMap<String, u64>,
}

impl World {
    /// A cluster with the bootstrap roles.
    pub(crate) fn bootstrapped() -> Self {
        let mut world = Self::default();
        for (key, value) in super::bootstrap_objects() {
            world.put_key(&key, value);
        }
        world
    }

    fn put_key(&mut self, key: &Key, value: Value) {
        self.revision += 1;
        self.changed.insert(key.resource.to_string(), self.revision);
        self.objects.insert(
            (
                key.resource.to_string(),
                key.namespace.to_string(),
                key.name.to_string(),
            ),
            Arc::new(Object::encode(value, self.revision)),
        );
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&mut self, resource: &str, value: Value) -> &mut Self {
        let text = |field: &str| {
            value["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let key = Key::new(resource, &text("namespace"), &text("name"));
        self.put_key(&key, value);
        self
    }

    pub(crate) fn delete(&mut self, resource: &str, namespace: &str, name: &str) {
        self.revision += 1;
        self.changed.insert(resource.into(), self.revision);
        self.objects
            .remove(&(resource.into(), namespace.into(), name.into()));
    }

    /// A service account with the UID `uid-<name>`.
    pub(crate) fn account(&mut self, namespace: &str, name: &str) -> &mut Self {
        self.put(
            "serviceaccounts",
            json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}")}}),
        )
    }

    /// A Role, or a ClusterRole when `namespace` is empty.
    pub(crate) fn role(&mut self, namespace: &str, name: &str, rules: Value) -> &mut Self {
        let resource = if namespace.is_empty() {
            "clusterroles"
        } else {
            "roles"
        };
        self.put(
            &format!("{resource}.rbac.authorization.k8s.io"),
            json!({"metadata": {"namespace": namespace, "name": name}, "rules": rules}),
        )
    }

    /// A binding named like its role (`ClusterRole/view`, `Role/x`) in `namespace`, or everywhere.
    pub(crate) fn bind(&mut self, namespace: &str, role: &str, subjects: Value) -> &mut Self {
        let (kind, name) = role.split_once('/').unwrap();
        let resource = if namespace.is_empty() {
            "clusterrolebindings"
        } else {
            "rolebindings"
        };
        self.put(
            &format!("{resource}.rbac.authorization.k8s.io"),
            json!({
                "metadata": {"namespace": namespace, "name": format!("{name}-binding")},
                "roleRef": {"kind": kind, "name": name}, "subjects": subjects,
            }),
        )
    }
}

impl Objects for World {
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.objects
            .get(&(resource.into(), namespace.into(), name.into()))
            .cloned()
    }

    fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.objects
            .iter()
            .filter(|((r, ns, _), _)| r == resource && namespace.is_none_or(|want| want == ns))
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn revision_of(&self, resource: &str) -> u64 {
        self.changed.get(resource).copied().unwrap_or_default()
    }
}

/// The cluster's keys and its authenticator.
pub(crate) fn cluster() -> (ClusterKeys, Authenticator) {
    let keys = ClusterKeys::generate("hello", now()).unwrap();
    let authenticator = Authenticator::new(&keys, ISSUER, Vec::new()).unwrap();
    (keys, authenticator)
}

/// `get pods/log.group ns/name`, `list pods.group ns/ spec.nodeName=w1` or `get /healthz`.
pub(crate) fn request(text: &str) -> Attributes {
    let mut parts = text.split(' ');
    let verb = parts.next().unwrap().to_owned();
    let what = parts.next().unwrap();
    if what.starts_with('/') {
        return Attributes {
            verb,
            path: what.into(),
            ..Attributes::default()
        };
    }
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let place = parts.next().unwrap_or("/");
    let (namespace, name) = place.split_once('/').unwrap();
    let selectors = Selectors::parse(parts.next().unwrap_or_default(), "");
    Attributes {
        verb,
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        selectors,
        ..Attributes::default()
    }
}

pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}
