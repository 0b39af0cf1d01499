//! Carries out changes: one request each, or none if nothing would change.

use std::collections::HashMap;
use std::fmt;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, Request};
use serde_json::{Value, json};

use crate::applied::{is_applied, says_nothing, without_nulls};
use crate::cache::Entry;
use crate::discovery::Served;
use crate::status::{APPLY_REJECTED, TRANSIENT_ERROR};
use crate::{Cx, ObjectRef, Wait};

/// Why a change was not made, as far as it matters for what happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Somebody was quicker: look again at once.
    Conflict(String),
    /// Nothing wrong with the change: try again later.
    Transient(String),
    /// The change is not acceptable. If it was for something missing, a later attempt may help.
    Rejected { message: String, is_missing: bool },
    /// An act failed, with its own reason.
    Act(Wait),
}

impl Failure {
    fn of(what: &dyn fmt::Display, error: &kube::Error) -> Self {
        let message = |why: &str| format!("{what}: {why}");
        match error {
            kube::Error::Api(status) => match status.code {
                409 => Self::Conflict(message(&status.message)),
                401 | 408 | 429 | 500.. => Self::Transient(message(&status.message)),
                code => Self::Rejected {
                    message: message(&status.message),
                    is_missing: code == 404,
                },
            },
            kube::Error::BuildRequest(_) | kube::Error::SerdeError(_) => Self::Rejected {
                message: message(&crate::chain(error)),
                is_missing: false,
            },
            _ => Self::Transient(message(&crate::chain(error))),
        }
    }

    fn rejected(message: String) -> Self {
        Self::Rejected {
            message,
            is_missing: false,
        }
    }

    /// Whether the driver tries again by itself, and doesn't wait for something to change.
    pub(crate) fn is_retried(&self) -> bool {
        !matches!(
            self,
            Self::Rejected {
                is_missing: false,
                ..
            }
        )
    }

    /// As the user sees it.
    pub(crate) fn wait(&self) -> Wait {
        match self {
            Self::Conflict(message) | Self::Transient(message) => Wait {
                reason: TRANSIENT_ERROR,
                message: message.clone(),
            },
            Self::Rejected { message, .. } => Wait {
                reason: APPLY_REJECTED,
                message: message.clone(),
            },
            Self::Act(wait) => wait.clone(),
        }
    }
}

/// Writes for one pass.
pub(crate) struct Writer<'a> {
    pub(crate) cx: &'a Cx,
    pub(crate) manager: String,
    /// Revisions that its writes made.
    pub(crate) revisions: Vec<u64>,
    /// The newest resource versions of what it wrote, by uid.
    versions: HashMap<String, String>,
    /// Requests sent, and requests saved because they would have changed nothing.
    pub(crate) sent: u64,
    pub(crate) saved: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(cx: &'a Cx, controller: &str) -> Self {
        Self {
            cx,
            manager: format!("apiary-{controller}"),
            revisions: vec![],
            versions: HashMap::new(),
            sent: 0,
            saved: 0,
        }
    }

    /// Writes in another manager's name, if one is given.
    pub(crate) fn managing_as(mut self, manager: Option<&str>) -> Self {
        if let Some(manager) = manager {
            manager.clone_into(&mut self.manager);
        }
        self
    }

    pub(crate) async fn apply(&mut self, object: &DynamicObject) -> Result<(), Failure> {
        let target = ObjectRef::of(object);
        if target.name.is_empty() {
            return Err(Failure::rejected(format!(
                "{}: metadata.name must be set to apply it",
                target.kind
            )));
        }
        let served = self.served(&target).await?;
        let mut config = body(&target, object)?;
        without_nulls(&mut config);
        if let Some(entry) = self.cached(&served, &target).await
            && let Ok(have) = serde_json::from_str::<Value>(entry.json())
            && is_applied(&have, &config, &self.manager, "")
        {
            self.saved += 1;
            return Ok(());
        }
        let params = PatchParams::apply(&self.manager).force();
        let request =
            self.collection(&served, &target)
                .patch(&target.name, &params, &Patch::Apply(config));
        self.send(&served.resource, &target, request).await
    }

    pub(crate) async fn apply_status(&mut self, object: &DynamicObject) -> Result<(), Failure> {
        let target = ObjectRef::of(object);
        let served = self.served(&target).await?;
        let mut config = body(&target, object)?;
        without_nulls(&mut config);
        if let Some(entry) = self.cached(&served, &target).await
            && let Ok(have) = serde_json::from_str::<Value>(entry.json())
            && (is_applied(&have, &config, &self.manager, "status")
                || says_nothing(&have, &config, &self.manager))
        {
            self.saved += 1;
            return Ok(());
        }
        let params = PatchParams::apply(&self.manager).force();
        let patch = Patch::Apply(config);
        let collection = self.collection(&served, &target);
        let request = collection.patch_subresource("status", &target.name, &params, &patch);
        match self.send(&served.resource, &target, request).await {
            // It went while we planned: look again.
            Err(Failure::Rejected {
                message,
                is_missing: true,
            }) => Err(Failure::Conflict(message)),
            result => result,
        }
    }

    pub(crate) async fn create(&mut self, object: &DynamicObject) -> Result<(), Failure> {
        let target = ObjectRef::of(object);
        let served = self.served(&target).await?;
        if !target.name.is_empty() && self.cached(&served, &target).await.is_some() {
            self.saved += 1;
            return Ok(());
        }
        let params = PostParams {
            field_manager: Some(self.manager.clone()),
            ..PostParams::default()
        };
        let body = body(&target, object)?.to_string().into_bytes();
        let request = self.collection(&served, &target).create(&params, body);
        match self.send(&served.resource, &target, request).await {
            // It exists: that is all that was asked for.
            Err(Failure::Conflict(_)) => Ok(()),
            result => result,
        }
    }

    pub(crate) async fn patch(
        &mut self,
        target: &ObjectRef,
        subresource: &'static str,
        patch: &Value,
    ) -> Result<(), Failure> {
        let served = self.served(target).await?;
        if let Some(entry) =
            self.cx
                .cluster()
                .entry_if_synced(&served.resource, &target.namespace, &target.name)
            && let Ok(have) = serde_json::from_str::<Value>(entry.json())
        {
            let mut want = have.clone();
            json_merge(&mut want, patch);
            if want == have {
                self.saved += 1;
                return Ok(());
            }
        }
        let params = PatchParams {
            field_manager: Some(self.manager.clone()),
            ..PatchParams::default()
        };
        let collection = self.collection(&served, target);
        let merge = Patch::Merge(patch);
        let request = if subresource.is_empty() {
            collection.patch(&target.name, &params, &merge)
        } else {
            collection.patch_subresource(subresource, &target.name, &params, &merge)
        };
        match self.send(&served.resource, target, request).await {
            // It went while we planned: look again.
            Err(Failure::Rejected {
                message,
                is_missing: true,
            }) => Err(Failure::Conflict(message)),
            result => result,
        }
    }

    pub(crate) async fn delete(
        &mut self,
        target: &ObjectRef,
        uid: Option<&str>,
    ) -> Result<(), Failure> {
        let served = self.served(target).await?;
        let cached =
            self.cx
                .cluster()
                .entry_if_synced(&served.resource, &target.namespace, &target.name);
        if let Some(entry) = cached
            && entry.header.is_deleting
            && uid.is_none_or(|uid| uid == entry.header.uid)
        {
            self.saved += 1;
            return Ok(());
        }
        let mut params = DeleteParams::background();
        params.preconditions = uid.map(|uid| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        self.sent += 1;
        let (resource, cluster) = (&served.resource, self.cx.cluster());
        match cluster
            .delete(resource, &target.namespace, &target.name, &params)
            .await
        {
            Ok(header) => {
                self.revisions.extend(header.and_then(|h| h.revision));
                Ok(())
            }
            // Gone, or replaced by a successor that isn't meant.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(Failure::of(&format_args!("deleting {target}"), &error)),
        }
    }

    /// One write of the status of the controlled object, by server-side apply, if anything differs. A missing object is
    /// fine. Returns the revision it made.
    ///
    /// It is written only onto the version that the pass saw or wrote itself: the pass is not woken by this write, so
    /// another's change must not slip into the cache with its answer.
    pub(crate) async fn status(
        &mut self,
        resource: &ApiResource,
        object: &Value,
        mut status: Value,
    ) -> Result<Option<u64>, Failure> {
        without_nulls(&mut status);
        let metadata = &object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default();
        let version = self.versions.get(uid).map(String::as_str);
        let version = version.or(metadata["resourceVersion"].as_str());
        let mut config = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "resourceVersion": version},
            "status": status,
        });
        without_nulls(&mut config);
        if is_applied(object, &config, &self.manager, "status") {
            self.saved += 1;
            return Ok(None);
        }
        let (namespace, name) = (
            metadata["namespace"].as_str(),
            metadata["name"].as_str().unwrap_or_default(),
        );
        let params = PatchParams::apply(&self.manager).force();
        let request = Request::new(crate::cluster::path(resource, namespace, None))
            .patch_subresource("status", name, &params, &Patch::Apply(config));
        let before = self.revisions.len();
        let what = format!("writing the status of {} {name}", resource.kind);
        match self.send_as(resource, &what, request).await {
            Err(Failure::Rejected {
                is_missing: true, ..
            }) => Ok(None),
            Err(failure) => Err(failure),
            Ok(()) => Ok(self.revisions.get(before).copied()),
        }
    }

    /// A merge patch of the controlled object itself. Returns the revision it made.
    pub(crate) async fn patch_self(
        &mut self,
        resource: &ApiResource,
        object: &Entry,
        subresource: &str,
        patch: &Value,
    ) -> Result<Option<u64>, Failure> {
        let (namespace, name) = (&object.header.namespace, &object.header.name);
        let params = PatchParams {
            field_manager: Some(self.manager.clone()),
            ..PatchParams::default()
        };
        let collection = Request::new(crate::cluster::path(resource, Some(namespace), None));
        let merge = Patch::Merge(patch);
        let request = if subresource.is_empty() {
            collection.patch(name, &params, &merge)
        } else {
            collection.patch_subresource(subresource, name, &params, &merge)
        };
        let before = self.revisions.len();
        let what = format!("patching {} {name}", resource.kind);
        match self.send_as(resource, &what, request).await {
            Err(Failure::Rejected {
                is_missing: true, ..
            }) => Ok(None),
            Err(failure) => Err(failure),
            Ok(()) => Ok(self.revisions.get(before).copied()),
        }
    }

    async fn served(&self, target: &ObjectRef) -> Result<Served, Failure> {
        let ObjectRef {
            group,
            version,
            kind,
            namespace,
            ..
        } = target;
        let served = self.cx.cluster().served(group, Some(version), kind).await;
        let served =
            served.map_err(|error| Failure::of(&format_args!("discovering {kind}"), &error))?;
        let Some(served) = served else {
            let message = format!(
                "{target}: the server does not serve {kind} of {group:?} in version {version:?}"
            );
            return Err(Failure::Rejected {
                message,
                is_missing: true,
            });
        };
        match (served.is_namespaced, namespace.is_empty()) {
            (true, true) => Err(Failure::rejected(format!(
                "{target}: {kind} is namespaced: metadata.namespace must be set"
            ))),
            (false, false) => Err(Failure::rejected(format!(
                "{target}: {kind} is cluster-scoped: metadata.namespace must be empty"
            ))),
            (true, false) | (false, true) => Ok(served),
        }
    }

    /// The object as the cache has it. What we write we also watch, so that others' changes to it wake us.
    async fn cached(&self, served: &Served, target: &ObjectRef) -> Option<std::sync::Arc<Entry>> {
        let read = self
            .cx
            .entry(&served.resource, &target.namespace, &target.name)
            .await;
        read.unwrap_or_else(|error| {
            tracing::debug!(%error, "writing without a look at what is there");
            None
        })
    }

    fn collection(&self, served: &Served, target: &ObjectRef) -> Request {
        Request::new(crate::cluster::path(
            &served.resource,
            Some(&target.namespace),
            None,
        ))
    }

    async fn send(
        &mut self,
        resource: &ApiResource,
        target: &ObjectRef,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), Failure> {
        self.send_as(resource, target, request).await
    }

    async fn send_as(
        &mut self,
        resource: &ApiResource,
        what: &(dyn fmt::Display + Sync),
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), Failure> {
        let failed = |error: &kube::Error| Failure::of(&what, error);
        let request = request.map_err(|error| failed(&kube::Error::BuildRequest(error)))?;
        self.sent += 1;
        let written = self.cx.cluster().write(resource, request).await;
        if let Some(header) = written.map_err(|error| failed(&error))? {
            self.revisions.extend(header.revision);
            self.versions.insert(header.uid, header.resource_version);
        }
        Ok(())
    }
}

fn body(target: &ObjectRef, object: &DynamicObject) -> Result<Value, Failure> {
    let mut body = serde_json::to_value(object)
        .map_err(|error| Failure::rejected(format!("{target}: {error}")))?;
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("creationTimestamp");
    }
    Ok(body)
}

/// RFC 7396.
fn json_merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            json_merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
