//! Who asks and whether they may: authentication and authorization.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Object;

/// An authenticated user (or `system:anonymous`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a user wants to do, as authorizers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or any other word.
    pub verb: String,
    pub group: String,
    pub version: String,
    /// Plural; empty for a non-resource path.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The path of a non-resource request.
    pub path: String,
}

/// What authentication and authorization read of the cluster; the store implements it, tests write their own.
pub trait Objects: Send + Sync {
    /// One object by storage name of its resource (`clusterroles.rbac.authorization.k8s.io`).
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>>;
    /// All objects of a resource, in one namespace or in all.
    fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Object>>;
    /// A number that grows whenever any object of `resource` changes: what caches are keyed by.
    fn revision_of(&self, resource: &str) -> u64;
}
