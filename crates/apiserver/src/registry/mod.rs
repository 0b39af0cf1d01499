//! What the API does with objects: every verb as steps over the store, the same for all kinds.
//!
//! A write reads the newest state, builds the next one (`update`, `patch`), lets admission change and judge it,
//! validates it, and commits it against the revision that it was built from; if somebody was quicker it starts again,
//! unless the client named a revision. HTTP is not known here, nor is any kind except through its `Resource`.

mod convert;
mod create;
mod custom;
mod delete;
mod list;
mod metadata;
mod naming;
mod prepare;
mod service;
mod subresource;
mod types;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use custom::has_dying_definitions;
pub use delete::{DeleteOptions, Deleted};
pub use list::{ListOptions, Page, revision};
pub(crate) use metadata::timestamp;
pub(crate) use naming::Naming;
pub use service::Cidr;
pub(crate) use types::DEFINITIONS;
pub use types::{Served, Types, find_builtin};
pub use update::PatchBody;

use crate::admission::{Admission, Chain, Kinds, Operation, Reinvocation, Request, typecheck};
use crate::audit;
use crate::auth::User;
use crate::object::{Key, Object};
use crate::patch;
use crate::resource::{self, Resource};
use crate::schema::{self, FieldValidation};
use crate::status::Status;
use crate::store::{ClusterStore, WriteError};
use crate::webhook::Caller;

/// How often a write starts again because somebody else was quicker, before the client gets the conflict.
const MAX_WRITE_TRIES: usize = 32;

/// The time of day; simulated worlds bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// All verbs on one logical cluster.
pub struct Registry {
    pub(crate) store: ClusterStore,
    pub(crate) types: Types,
    pub(crate) admission: Chain,
    /// Calls conversion webhooks.
    caller: Arc<Caller>,
    pub(crate) clock: Clock,
    pub(crate) naming: Naming,
    /// Cluster IPs are handed out under this lock.
    pub(crate) services: service::Allocator,
    /// CustomResourceDefinitions are written one at a time, because their names may collide.
    pub(crate) definitions: tokio::sync::Mutex<()>,
}

/// What a request says beside its object.
pub struct Call<'a> {
    pub user: &'a User,
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// `?fieldManager`, or the first word of the user agent.
    pub manager: String,
    /// The options of the request as an object, for admission to see; null if nobody sent any.
    pub options: Value,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// Annotations of the request in the audit log.
    pub audit: BTreeMap<String, String>,
    /// Why the user may not create an object by a PUT or an apply that finds none.
    pub no_creation: Option<Box<Status>>,
}

impl<'a> Call<'a> {
    /// A request of a part of this server, which says nothing beside its object.
    #[must_use]
    pub fn new(user: &'a User, manager: &str) -> Self {
        Self {
            user,
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            manager: manager.into(),
            options: Value::Null,
            warnings: vec![],
            audit: BTreeMap::new(),
            no_creation: None,
        }
    }

    /// A request for one of several objects that this one is about.
    fn part(&self) -> Self {
        Self {
            dry_run: self.dry_run,
            field_validation: self.field_validation,
            options: self.options.clone(),
            no_creation: self.no_creation.clone(),
            ..Self::new(self.user, &self.manager)
        }
    }

    /// Takes over what was said of a part.
    fn join(&mut self, part: Self) {
        self.dry_run |= part.dry_run;
        self.warnings.extend(part.warnings);
        for (key, value) in &part.audit {
            audit::note(&mut self.audit, key, value);
        }
    }

    fn check_creation(&self) -> Result<(), Status> {
        match &self.no_creation {
            Some(status) => Err((**status).clone()),
            None => Ok(()),
        }
    }
}

/// An object as an answer shows it.
#[derive(Clone, Debug)]
pub enum Shown {
    /// The stored bytes are what is shown: nobody has to decode them to hand them on.
    Stored(Arc<Object>),
    /// It was converted, or is not stored at all.
    Made(Value),
}

impl Shown {
    /// The decoded object.
    #[must_use]
    pub fn into_value(self) -> Value {
        match self {
            Self::Stored(object) => object.value(),
            Self::Made(value) => value,
        }
    }

    /// `metadata.uid`; empty if it has none.
    #[must_use]
    pub fn uid(&self) -> &str {
        match self {
            Self::Stored(object) => &object.header.uid,
            Self::Made(value) => metadata::text(value, "uid"),
        }
    }
}

/// Where a request points: a resource and, within it, one object or one of its subresources.
#[derive(Clone)]
pub struct Target {
    pub resource: Arc<Resource>,
    /// `v1`, `apps/v1`: what the client calls the version.
    pub api_version: String,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
}

impl Target {
    /// A target within `resource`; empty texts for what does not apply.
    #[must_use]
    pub fn new(resource: Arc<Resource>, namespace: &str, name: &str, subresource: &str) -> Self {
        let api_version = resource.api_version();
        let (namespace, name, subresource) = (
            namespace.to_owned(),
            name.to_owned(),
            subresource.to_owned(),
        );
        Self {
            resource,
            api_version,
            namespace,
            name,
            subresource,
        }
    }

    /// Key of the object in the store.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(&self.resource.storage, &self.namespace, &self.name)
    }

    fn named(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    /// The same object through another subresource.
    fn door(&self, subresource: &str) -> Self {
        Self {
            subresource: subresource.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }

    pub(crate) fn modified(&self) -> Status {
        Status::modified(&self.resource.group, &self.resource.plural, &self.name)
    }

    fn conflict(&self, why: &str) -> Status {
        Status::conflict(&self.resource.group, &self.resource.plural, &self.name, why)
    }

    fn invalid(&self, causes: Vec<crate::status::Cause>) -> Status {
        Status::invalid(
            &self.resource.group,
            &self.resource.kind,
            &self.name,
            causes,
        )
    }
}

impl Registry {
    pub(crate) fn new(
        store: ClusterStore,
        admission: Chain,
        caller: Arc<Caller>,
        clock: Clock,
        naming: Naming,
        service_cidr: Cidr,
    ) -> Self {
        let types = Types::new(&store);
        let services = service::Allocator::new(service_cidr);
        Self {
            store,
            types,
            admission,
            caller,
            clock,
            naming,
            services,
            definitions: tokio::sync::Mutex::new(()),
        }
    }

    /// The resources that are served now.
    #[must_use]
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// The store underneath.
    #[must_use]
    pub fn store(&self) -> &ClusterStore {
        &self.store
    }

    /// Where cluster IPs come from.
    #[must_use]
    pub fn service_cidr(&self) -> Cidr {
        self.services.cidr()
    }

    /// The time of day, cut to what timestamps on the wire carry.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// One object at the version that the target asks for.
    ///
    /// # Errors
    /// 404 if there is none, 500 if it cannot be converted.
    pub async fn get(&self, target: &Target) -> Result<Shown, Status> {
        let object = self
            .store
            .get(&target.key())
            .ok_or_else(|| target.not_found())?;
        self.show(&target.resource, &object).await
    }

    /// A stored state as `resource` shows it.
    ///
    /// # Errors
    /// 500 if it cannot be converted.
    async fn show(&self, resource: &Resource, object: &Arc<Object>) -> Result<Shown, Status> {
        let object = self.shown_one(resource, object).await?;
        if self.shows_stored_bytes(resource, &object) {
            return Ok(Shown::Stored(object));
        }
        Ok(Shown::Made(self.convert(resource, object.value())))
    }

    /// The decoded object as `resource` shows it: at its version, with defaults that came after it was stored.
    #[must_use]
    pub fn present(&self, resource: &Resource, object: &Object) -> Value {
        let value = object.value();
        if self.shows_stored_bytes(resource, object) {
            value
        } else {
            self.convert(resource, value)
        }
    }

    /// Whether the stored bytes are what `resource` shows, so that they need not be decoded.
    #[must_use]
    pub fn shows_stored_bytes(&self, resource: &Resource, object: &Object) -> bool {
        self.show_stored_bytes(resource, std::slice::from_ref(object))
    }

    /// As [`Registry::shows_stored_bytes`], of all these objects.
    #[must_use]
    pub fn show_stored_bytes<'o>(
        &self,
        resource: &Resource,
        objects: impl IntoIterator<Item = &'o Object>,
    ) -> bool {
        let prefix = format!("{{\"apiVersion\":\"{}\",", resource.api_version());
        let since = match resource.custom {
            Some(_) => self.types.schema_revision(&resource.storage),
            None => 0,
        };
        objects.into_iter().all(|object| {
            object.json.starts_with(prefix.as_bytes()) && object.header.revision >= since
        })
    }

    fn convert(&self, resource: &Resource, value: Value) -> Value {
        if resource.custom.is_some() {
            let mut value = value;
            value["apiVersion"] = resource.api_version().into();
            schema::prune(resource, &mut value);
            schema::default(resource, &mut value);
            return value;
        }
        match stored_as(resource) {
            Some(stored) => resource::convert(value, &stored, resource),
            None => value,
        }
    }

    /// Tells a new or changed policy what the types of the kinds it names say about it.
    fn observe(&self, target: &Target, value: &mut Value) {
        let storage = &*target.resource.storage;
        if storage != "validatingadmissionpolicies.admissionregistration.k8s.io" {
            return;
        }
        let status = typecheck::status(value, |group, version, plural| {
            self.types.find(group, version, plural)
        });
        for (member, said) in status.as_object().into_iter().flatten() {
            value["status"][member] = said.clone();
        }
    }

    /// The object as it is stored: at the storage version of its kind.
    async fn to_storage(&self, value: Value, resource: &Resource) -> Result<Value, Status> {
        if let Some(custom) = &resource.custom {
            let api_version = format!("{}/{}", resource.group, custom.storage_version);
            if custom.storage_version == resource.version {
                return Ok(value);
            }
            let mut value = self.convert_custom(value, resource, &api_version).await?;
            // What is stored is shown as it is to those who ask for that version.
            let stored =
                (self.types).find(&resource.group, &custom.storage_version, &resource.plural);
            if let Some(stored) = stored {
                schema::prune(&stored, &mut value);
                schema::default(&stored, &mut value);
            }
            return Ok(value);
        }
        Ok(match stored_as(resource) {
            Some(stored) => resource::convert(value, resource, &stored),
            None => value,
        })
    }

    /// The state that a write would have left, for who asked for a dry run.
    async fn rehearse(
        &self,
        target: &Target,
        mut value: Value,
        old: Option<&Value>,
    ) -> Result<Shown, Status> {
        if service::is_service(target) {
            let value = self.rehearse_service(&target.key(), value, old).await?;
            return Ok(Shown::Made(value));
        }
        if custom::is_definition(target) {
            self.fill_definition(&target.key(), &mut value);
        }
        // What the stored version cannot say would not have been kept.
        let Some(stored) = self.stored_elsewhere(&target.resource) else {
            return Ok(Shown::Made(value));
        };
        let value = self.to_storage(value, &target.resource).await?;
        let api_version = target.resource.api_version();
        let value = self.convert_custom(value, &stored, &api_version).await?;
        Ok(Shown::Made(self.convert(&target.resource, value)))
    }

    async fn admit(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        operation: Operation,
        old: Option<&Value>,
        object: &mut Value,
    ) -> Result<(), Status> {
        let options = options_of(&call.options, operation);
        let mut request = self.request(call, target, operation, old);
        if let Some(options) = &options {
            request.options = options;
        }
        let managed = object["metadata"]["managedFields"].clone();
        self.admission.admit(&mut request, object).await?;
        if let Err(why) = patch::check_managed_fields(object, &managed) {
            let metadata = metadata::of(object);
            if managed.is_null() {
                metadata.remove("managedFields");
            } else {
                metadata.insert("managedFields".into(), managed);
            }
            call.warnings.push(format!(
                ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated \
                 mutating admission controller; please fix your requests: {why}"
            ));
        }
        Ok(())
    }

    async fn judge(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        operation: Operation,
        old: Option<&Value>,
        object: &Value,
    ) -> Result<(), Status> {
        let options = options_of(&call.options, operation);
        let mut request = self.request(call, target, operation, old);
        if let Some(options) = &options {
            request.options = options;
        }
        self.admission.validate(&mut request, object).await
    }

    fn request<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        target: &'a Target,
        operation: Operation,
        old: Option<&'a Value>,
    ) -> Request<'a> {
        Request {
            operation,
            user: call.user,
            resource: &target.resource,
            subresource: &target.subresource,
            namespace: &target.namespace,
            name: &target.name,
            old,
            dry_run: call.dry_run,
            options: &call.options,
            objects: &self.store,
            kinds: self,
            warnings: &mut call.warnings,
            audit: &mut call.audit,
            reinvocation: Reinvocation::default(),
        }
    }
}

#[async_trait::async_trait]
impl Kinds for Registry {
    fn equivalents(&self, resource: &Resource) -> Vec<Arc<Resource>> {
        let served = self.types.served();
        let is_same = |other: &&Arc<Resource>| other.storage == resource.storage;
        served.resources.iter().filter(is_same).cloned().collect()
    }

    fn of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let served = self.types.served();
        let is_meant = |r: &&Arc<Resource>| &*r.kind == kind && r.is_version(api_version);
        served.resources.iter().find(is_meant).cloned()
    }

    async fn convert(
        &self,
        object: Value,
        from: &Resource,
        to: &Resource,
    ) -> Result<Value, Status> {
        if from.custom.is_some() {
            let api_version = to.api_version();
            let converted = self.convert_custom(object, from, &api_version).await?;
            return Ok(Self::convert(self, to, converted));
        }
        Ok(resource::convert(object, from, to))
    }
}

/// The options as admission sees them, if they are other ones than the client sent: a PUT or an apply that finds nothing
/// is a creation.
fn options_of(sent: &Value, operation: Operation) -> Option<Value> {
    let is_update = matches!(
        sent["kind"].as_str(),
        Some("UpdateOptions" | "PatchOptions")
    );
    if operation != Operation::Create || !is_update {
        return None;
    }
    let mut options = sent.clone();
    options["kind"] = "CreateOptions".into();
    if let Some(members) = options.as_object_mut() {
        members.remove("force");
    }
    Some(options)
}

/// The resource in whose form a built-in resource is stored, if it is another one: events of both groups are stored as
/// those of the core group, autoscalers of both versions as those of the second.
fn stored_as(resource: &Resource) -> Option<Arc<Resource>> {
    match (&*resource.storage, &*resource.group, &*resource.version) {
        ("events", "events.k8s.io", _) => find_builtin("", "v1", "events"),
        ("horizontalpodautoscalers.autoscaling", group, "v1") => {
            find_builtin(group, "v2", "horizontalpodautoscalers")
        }
        _ => None,
    }
}

/// The Status of a failed write other than a conflict, which callers handle first.
fn write_failed(target: &Target, error: &WriteError) -> Status {
    match error {
        WriteError::Conflict { .. } => target.modified(),
        WriteError::TooLarge { .. } => Status::too_large(error.to_string()),
        WriteError::TooDeep => Status::bad_request(error.to_string()),
        WriteError::Closed => {
            Status::new(503, "ServiceUnavailable", "the cluster is being removed")
        }
        WriteError::Storage(_) => Status::internal(format!("the store could not write: {error}")),
    }
}
