//! Admission: what looks at a write after authorization and before validation and storage, and may change or refuse it.
//!
//! [`Chain::builtin`] has the plugins that Kubernetes turns on by default and that need nothing outside the cluster.
//! Policies, webhooks and quota come after them ([`Chain::push`], [`Chain::push_last`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::audit;
use crate::auth::{Authorizer, Objects, User};
use crate::resource::Resource;
use crate::status::Status;
use crate::webhook::Caller;

mod certificates;
mod edit;
mod limits;
mod matching;
mod namespace;
mod needs;
mod node;
mod numbers;
mod pod_security;
mod pods;
mod policy;
pub mod quota;
mod rbac;
mod reinvocation;
mod review;
mod runtime_class;
mod service_account;
mod storage;
mod webhook;

#[cfg(test)]
mod tests;

pub(crate) use numbers::Numbers;
use policy::{MutatingPolicies, ValidatingPolicies};
pub(crate) use policy::{expressions, typecheck};
pub use reinvocation::Reinvocation;
use webhook::{MutatingWebhooks, ValidatingWebhooks};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// The word that rules and reviews use: `CREATE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What admission asks about kinds and their versions.
#[async_trait::async_trait]
pub trait Kinds: Send + Sync {
    /// The served resources that show the same objects: `resource` itself and its other versions.
    fn equivalents(&self, resource: &Resource) -> Vec<Arc<Resource>>;

    /// The served resource of a kind, e.g. of `apps/v1` and `Deployment`.
    fn of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>>;

    /// `object`, which is as `from` shows it, as `to` shows it.
    ///
    /// # Errors
    /// When the object cannot be converted.
    async fn convert(&self, object: Value, from: &Resource, to: &Resource)
    -> Result<Value, Status>;
}

/// One write on its way to the store.
pub struct Request<'a> {
    pub operation: Operation,
    pub user: &'a User,
    pub resource: &'a Resource,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// The state before; absent on create.
    pub old: Option<&'a Value>,
    pub dry_run: bool,
    /// The options of the request as an object (`CreateOptions`, …); null if nobody sent any.
    pub options: &'a Value,
    /// The cluster's other objects.
    pub objects: &'a dyn Objects,
    /// The cluster's kinds.
    pub kinds: &'a dyn Kinds,
    /// Texts for `Warning` headers.
    pub warnings: &'a mut Vec<String>,
    /// Annotations of the request in the audit log.
    pub audit: &'a mut BTreeMap<String, String>,
    /// Whether the mutating plugins have to look again.
    pub reinvocation: Reinvocation,
}

impl Request<'_> {
    /// Whether this is about the resource `plural` of `group` or its `subresource` (empty for the resource itself).
    #[must_use]
    pub fn is_for(&self, group: &str, plural: &str, subresource: &str) -> bool {
        *self.resource.group == *group
            && *self.resource.plural == *plural
            && self.subresource == subresource
    }

    /// Group, version and kind of the object that is admitted: those of the subresource when they are its own.
    #[must_use]
    pub fn kind(&self) -> (&str, &str, &str) {
        kind_of(self.resource, self.subresource)
    }

    /// Annotates the request in the audit log: what was said first stays, long texts are cut, and what is too much is
    /// left out.
    pub fn annotate(&mut self, key: impl AsRef<str>, value: impl AsRef<str>) {
        audit::note(self.audit, key.as_ref(), value.as_ref());
    }

    /// The refusal that Kubernetes' own plugins give.
    #[must_use]
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.resource.group, &self.resource.plural, self.name, why)
    }
}

/// Group, version and kind of the bodies of `subresource` (empty for the resource itself).
fn kind_of<'r>(resource: &'r Resource, subresource: &str) -> (&'r str, &'r str, &'r str) {
    match resource.subresource(subresource) {
        Some(found) => match &found.group_version {
            Some((group, version)) => (group, version, &found.kind),
            None => (&resource.group, &resource.version, &found.kind),
        },
        None => (&resource.group, &resource.version, &resource.kind),
    }
}

/// One admission plugin.
#[async_trait::async_trait]
pub trait Admission: Send + Sync {
    /// A name for messages and metrics.
    fn name(&self) -> &'static str;

    /// May change the object (`Null` on delete) or refuse the request.
    ///
    /// # Errors
    /// The Status that the client gets.
    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status>;

    /// Looks at the final object and may refuse it.
    ///
    /// # Errors
    /// The Status that the client gets.
    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let _ = (request, object);
        Ok(())
    }
}

/// Plugins in the order in which they run. All of them admit, then (after validation) all of them validate; the first
/// refusal ends it. When a webhook or policy has changed the object, all of them admit a second time, so that each sees
/// what those after it did.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Vec<Arc<dyn Admission>>,
    /// They come after all others: webhooks, policies, quota.
    last: Vec<Arc<dyn Admission>>,
}

impl Chain {
    /// The plugins of every cluster, in Kubernetes' order. `authorizer` is the cluster's own.
    #[must_use]
    pub fn builtin(authorizer: &Arc<Authorizer>) -> Self {
        let plugins: Vec<Arc<dyn Admission>> = vec![
            Arc::new(namespace::NamespaceLifecycle),
            Arc::new(limits::LimitRanger),
            Arc::new(service_account::ServiceAccount),
            Arc::new(node::NodeRestriction(authorizer.clone())),
            Arc::new(node::TaintNodesByCondition),
            Arc::new(pod_security::PodSecurity),
            Arc::new(pods::Priority),
            Arc::new(pods::DefaultTolerationSeconds),
            Arc::new(storage::DefaultStorageClass),
            Arc::new(storage::StorageObjectInUseProtection),
            Arc::new(storage::PersistentVolumeClaimResize),
            Arc::new(runtime_class::RuntimeClass),
            Arc::new(certificates::Requester),
            Arc::new(certificates::CertificateApproval(authorizer.clone())),
            Arc::new(certificates::CertificateSigning(authorizer.clone())),
            Arc::new(certificates::CertificateSubjectRestriction),
            Arc::new(storage::DefaultIngressClass),
            Arc::new(pods::PodTopologyLabels),
            Arc::new(rbac::Escalation(authorizer.clone())),
        ];
        Self {
            plugins,
            last: Vec::new(),
        }
    }

    /// Adds a plugin that runs after those that are there, but before those of [`Chain::push_last`].
    pub fn push(&mut self, plugin: Arc<dyn Admission>) {
        self.plugins.push(plugin);
    }

    /// Adds a plugin that runs after all others.
    pub fn push_last(&mut self, plugin: Arc<dyn Admission>) {
        self.last.push(plugin);
    }

    /// Adds the policies and webhooks that a cluster's objects configure, which count in `numbers` what they do.
    pub(crate) fn push_judges(
        &mut self,
        authorizer: &Arc<Authorizer>,
        caller: &Arc<Caller>,
        numbers: &Arc<Numbers>,
    ) {
        let (asked, counted) = (|| authorizer.clone(), || numbers.clone());
        let called = || caller.clone();
        self.push_last(Arc::new(MutatingPolicies::new(asked(), counted())));
        self.push_last(Arc::new(MutatingWebhooks::new(
            called(),
            asked(),
            counted(),
        )));
        self.push_last(Arc::new(ValidatingPolicies::new(asked(), counted())));
        self.push_last(Arc::new(ValidatingWebhooks::new(
            called(),
            asked(),
            counted(),
        )));
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn Admission>> {
        self.plugins.iter().chain(&self.last)
    }

    /// The names of the plugins, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all().map(|plugin| plugin.name())
    }
}

#[async_trait::async_trait]
impl Admission for Chain {
    fn name(&self) -> &'static str {
        "Chain"
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        for plugin in self.all() {
            plugin.admit(request, object).await?;
        }
        if request.reinvocation.begin_again() {
            for plugin in self.all() {
                plugin.admit(request, object).await?;
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        for plugin in self.all() {
            plugin.validate(request, object).await?;
        }
        Ok(())
    }
}
