//! Who asks and whether they may: authentication and authorization.
//!
//! Everything here is a pure function of a cluster's keys, its [`Objects`] and the time that is handed in: no HTTP and
//! no store. [`pki`] makes and reads keys and certificates, [`authenticate`] turns credentials into a [`User`],
//! [`impersonate`](impersonate()) turns that into another one, [`authorize`] decides by RBAC, [`review`](review())
//! answers the review kinds, and [`bootstrap`] has the roles that every cluster starts with.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::object::Object;

pub mod authenticate;
pub mod authorize;
pub mod bootstrap;
mod bounded;
mod front_proxy;
mod impersonate;
mod node;
pub mod oidc;
pub mod pki;
pub mod rbac;
mod relations;
mod review;
mod selectors;
pub mod token;

#[cfg(test)]
pub(crate) mod tests;

pub use authenticate::Authenticator;
pub(crate) use authenticate::bearer;
pub use authorize::{Authorizer, Decision};
pub use bootstrap::{bootstrap_objects, kubeadm_objects};
pub use impersonate::{Impersonated, impersonate, impersonates};
pub use oidc::Authentication;
pub use pki::ClusterKeys;
pub(crate) use review::user_info;
pub use review::{ReviewContext, review};
pub use selectors::Selectors;

/// Who issues the service-account tokens of every cluster.
pub const SERVICE_ACCOUNT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Who made a request without any credential.
pub const ANONYMOUS: &str = "system:anonymous";
/// Group of everyone with a credential.
pub const ALL_AUTHENTICATED: &str = "system:authenticated";
/// Group of the anonymous user.
pub const ALL_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything, whatever RBAC says.
pub const MASTERS: &str = "system:masters";
/// Group of the kubelets.
pub const NODES: &str = "system:nodes";
/// Names of kubelet users start with this.
pub const NODE_PREFIX: &str = "system:node:";
/// Names of service-account users start with this, followed by `<namespace>:<name>`.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// Group of all service accounts; with `:<namespace>` those of one namespace.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// An authenticated user (or `system:anonymous`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Who asks without any credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.into(),
            groups: vec![ALL_UNAUTHENTICATED.into()],
            ..Self::default()
        }
    }

    /// A user with `groups`, and `system:authenticated`.
    #[must_use]
    pub fn authenticated(
        name: impl Into<String>,
        groups: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|g| g == ALL_AUTHENTICATED) {
            groups.push(ALL_AUTHENTICATED.into());
        }
        Self {
            name: name.into(),
            groups,
            ..Self::default()
        }
    }

    /// A service account, as its token makes it.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let user = format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}");
        Self {
            uid: uid.into(),
            ..Self::authenticated(user, service_account_groups(namespace))
        }
    }

    /// Whether the user is in `group`.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Name of the node when the user is a kubelet; empty if it is one of no node.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        let node = self.name.strip_prefix(NODE_PREFIX)?;
        self.is_in(NODES).then_some(node)
    }
}

/// The groups of every service account of `namespace`, without `system:authenticated`.
fn service_account_groups(namespace: &str) -> [String; 2] {
    [
        SERVICE_ACCOUNTS.into(),
        format!("{SERVICE_ACCOUNTS}:{namespace}"),
    ]
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
    /// What a `list`, `watch` or `deletecollection` is narrowed to.
    pub selectors: Selectors,
}

impl Attributes {
    /// Whether this is about a resource, not about a path.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
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

/// A time as Kubernetes writes it: RFC 3339, whole seconds, `Z`.
pub(crate) fn wire_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
