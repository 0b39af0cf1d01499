//! PUT and PATCH, server-side apply included: the next state of an object.

use serde_json::{Value, json};

use super::{Call, MAX_WRITE_TRIES, Registry, Shown, Target, metadata, prepare, write_failed};
use crate::admission::Operation;
use crate::negotiate::PatchType;
use crate::object::Object;
use crate::patch;
use crate::schema::{self, FieldValidation};
use crate::status::{Cause, Status};
use crate::store::{Change, Expected, WriteError};

/// A patch as it came.
pub struct PatchBody<'a> {
    pub kind: PatchType,
    pub bytes: &'a [u8],
    /// Apply only: take fields from other managers.
    pub force: bool,
}

impl PatchBody<'_> {
    /// The document of a merge patch of either kind; null for a JSON Patch, which has none.
    ///
    /// # Errors
    /// 400 if it is no object.
    pub(super) fn document(&self) -> Result<Value, Status> {
        match self.kind {
            PatchType::Json | PatchType::Apply => Ok(Value::Null),
            PatchType::Merge => patch::object(self.bytes)
                .map_err(|why| Status::bad_request(format!("error decoding patch: {why}"))),
            PatchType::Strategic => patch::object(self.bytes).map_err(Status::bad_request),
        }
    }
}

/// The document of an apply; what is wrong with it for strict readers is refused, told or ignored, as asked for.
fn applied(call: &mut Call<'_>, bytes: &[u8]) -> Result<Value, Status> {
    let (config, strict) = schema::decode_applied(bytes)?;
    let Some(why) = strict else {
        return Ok(config);
    };
    let why = format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {why}");
    match call.field_validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => call.warnings.push(why),
        FieldValidation::Strict => {
            return Err(Status::bad_request(format!(
                "error strict decoding YAML: {why}"
            )));
        }
    }
    Ok(config)
}

/// How the next state comes about, beside the state itself.
pub(super) struct Modification<'f> {
    /// Builds the next state from the newest.
    pub(super) next: &'f (dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
    /// The revision that the client built on, if it said so.
    pub(super) revision: Option<u64>,
    /// The state brings its own managed fields.
    pub(super) is_applied: bool,
    /// The subresource that the managed fields name.
    pub(super) subresource: &'f str,
    /// What admission sees of the change.
    pub(super) seen: Seen<'f>,
}

/// What admission sees of a change.
#[derive(Clone, Copy)]
pub(super) enum Seen<'f> {
    /// The object.
    Whole,
    /// A part of it, as a subresource shows it.
    Part(&'f dyn Part),
    /// Nothing: admission saw what the change comes from.
    Nothing,
}

/// A subresource with a kind of its own that shows a part of an object.
pub(super) trait Part: Send + Sync {
    /// What the subresource shows of `object`.
    fn show(&self, object: &Value) -> Value;

    /// Makes `object` what `shown` says.
    ///
    /// # Errors
    /// When `shown` breaks rules.
    fn set(&self, object: &mut Value, shown: &Value) -> Result<(), Status>;
}

impl Registry {
    /// Replaces an object. Tells whether it was created.
    ///
    /// # Errors
    /// 404 if there is none (unless the kind may be created so), 409 if it was changed since the client read it.
    pub async fn update(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        mut value: Value,
    ) -> Result<(Shown, bool), Status> {
        check_identity(target, &value)?;
        if target.resource.namespaced {
            metadata::of(&mut value).insert("namespace".into(), json!(target.namespace));
        }
        let strategy = &target.resource.strategy;
        let Some(revision) = metadata::revision(&value) else {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &value["metadata"]["resourceVersion"],
                "must be the number that a read of the object returned",
            );
            return Err(target.invalid(vec![cause]));
        };
        if self.store.newest(&target.key()).is_none() {
            if strategy.create_on_update && target.subresource.is_empty() {
                call.check_creation()?;
                let uid = metadata::text(&value, "uid");
                if !uid.is_empty() {
                    return Err(target.conflict(&format!(
                        "Precondition failed: UID in precondition: {uid}, UID in object meta: "
                    )));
                }
                let mut value = value;
                let meta = metadata::of(&mut value);
                meta.remove("resourceVersion");
                meta.insert("name".into(), target.name.clone().into());
                return Ok((self.create(call, target, value).await?, true));
            }
            return Err(target.not_found());
        }
        if revision == 0 && !strategy.unconditional_update {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: "Invalid value: 0x0 (or 0): must be specified for an update".into(),
                field: "metadata.resourceVersion".into(),
            };
            return Err(target.invalid(vec![cause]));
        }
        let modification = Modification {
            next: &|_| Ok(value.clone()),
            revision: (revision != 0).then_some(revision),
            is_applied: false,
            subresource: &target.subresource,
            seen: Seen::Whole,
        };
        Ok((self.modify(call, target, &modification).await?, false))
    }

    /// Patches an object. Tells whether it was created, which only server-side apply does.
    ///
    /// # Errors
    /// 404 if there is none, 409 for conflicts of server-side apply or of a revision inside the patch, 400/422 for
    /// patches that do not fit.
    pub async fn patch(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        body: &PatchBody<'_>,
    ) -> Result<(Shown, bool), Status> {
        if body.kind == PatchType::Apply {
            return self.apply(call, target, body).await;
        }
        let document = body.document()?;
        let (resource, validation) = (&target.resource, call.field_validation);
        let is_new =
            |old: &Value, field: &String| !schema::check_fields(resource, old).contains(field);
        let next = |old: &Value| {
            let new = match body.kind {
                PatchType::Json => patch::json(old, body.bytes)?,
                PatchType::Strategic => patch::strategic(old, &document, &resource.schema)?,
                PatchType::Merge | PatchType::Apply => patch::merge(old, &document),
            };
            // JSON Patch says the revision it builds on only by its result.
            let built_on = metadata::text(&new, "resourceVersion");
            if !built_on.is_empty() && built_on != metadata::text(old, "resourceVersion") {
                return Err(target.modified());
            }
            if validation == FieldValidation::Strict {
                let unknown: Vec<_> = schema::check_fields(resource, &new)
                    .into_iter()
                    .filter(|f| is_new(old, f))
                    .collect();
                if !unknown.is_empty() {
                    return Err(unknown_in_patch(&unknown));
                }
            }
            schema::decode_patched(resource, new)
        };
        let revision = metadata::revision(&document).filter(|r| *r != 0);
        let modification = Modification {
            next: &next,
            revision,
            is_applied: false,
            subresource: &target.subresource,
            seen: Seen::Whole,
        };
        Ok((self.modify(call, target, &modification).await?, false))
    }

    /// Server-side apply: creates the object if there is none.
    async fn apply(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        body: &PatchBody<'_>,
    ) -> Result<(Shown, bool), Status> {
        let config = applied(call, body.bytes)?;
        if config["apiVersion"] != target.api_version || config["kind"] != *target.resource.kind {
            let found = patch::version_and_kind(&config);
            return Err(Status::bad_request(format!("invalid object type: {found}")));
        }
        check_identity(target, &config)?;
        let Some(revision) = metadata::revision(&config) else {
            return Err(target.modified());
        };
        let revision = Some(revision).filter(|r| *r != 0);
        for _ in 0..MAX_WRITE_TRIES {
            if self.store.newest(&target.key()).is_none() {
                if !target.subresource.is_empty() {
                    return Err(target.not_found());
                }
                if revision.is_some() {
                    return Err(target.modified());
                }
                call.check_creation()?;
                let manager = self.manager(call, target);
                let value =
                    patch::apply(None, &config, &target.resource.schema, &manager, body.force)?;
                let mut value =
                    schema::decode_value(&target.resource, value, FieldValidation::Ignore)?.value;
                metadata::of(&mut value).insert("name".into(), target.name.clone().into());
                match self.create_by(call, target, value, true).await {
                    Err(status) if status.reason == "AlreadyExists" => continue,
                    created => return Ok((created?, true)),
                }
            }
            let manager_name = call.manager.clone();
            let now = self.now();
            let next = |old: &Value| {
                let manager = patch::Manager {
                    name: &manager_name,
                    api_version: &target.api_version,
                    subresource: &target.subresource,
                    has_status: target.resource.strategy.has_status,
                    now,
                    versions: self,
                };
                let new = patch::apply(
                    Some(old),
                    &config,
                    &target.resource.schema,
                    &manager,
                    body.force,
                )?;
                schema::decode_value(&target.resource, new, FieldValidation::Ignore)
                    .map(|d| d.value)
            };
            let modification = Modification {
                next: &next,
                revision,
                is_applied: true,
                subresource: &target.subresource,
                seen: Seen::Whole,
            };
            match self.modify(call, target, &modification).await {
                // It went meanwhile. Other things may be missing as well.
                Err(status)
                    if status.code == 404
                        && target.subresource.is_empty()
                        && self.store.newest(&target.key()).is_none() => {}
                changed => return Ok((changed?, false)),
            }
        }
        Err(target.modified())
    }

    /// Changes an object by a function of its newest state; what subresources use. `subresource` is the one that the
    /// managed fields name, `seen` what admission is shown.
    pub(super) async fn change(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        (subresource, seen): (&str, Seen<'_>),
        next: &(dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
    ) -> Result<Shown, Status> {
        let modification = Modification {
            next,
            revision: None,
            is_applied: false,
            subresource,
            seen,
        };
        self.modify(call, target, &modification).await
    }

    pub(super) async fn modify(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        how: &Modification<'_>,
    ) -> Result<Shown, Status> {
        for _ in 0..MAX_WRITE_TRIES {
            let Some(object) = self.store.newest(&target.key()) else {
                return Err(target.not_found());
            };
            if how
                .revision
                .is_some_and(|revision| revision != object.header.revision)
            {
                return Err(target.modified());
            }
            let warnings = call.warnings.len();
            let shown = self.shown_one(&target.resource, &object).await?;
            let old = self.present(&target.resource, &shown);
            let new = self.next_state(call, target, how, &old).await?;
            if patch::is_same(&old, &new) {
                // The state may still be on its way to the disk: the answer must not overtake it.
                self.store
                    .durable(object.header.revision)
                    .await
                    .map_err(|error| write_failed(target, &error))?;
                // Or it was given up, or replaced: then there is something else to compare with.
                if self.is_current(target, &object) {
                    return self.show(&target.resource, &object).await;
                }
                continue;
            }
            if call.dry_run {
                return self.rehearse(target, new, Some(&old)).await;
            }
            match self.commit(target, &object, &old, new).await? {
                Ok(written) => return self.show(&target.resource, &written).await,
                Err(WriteError::Conflict { .. }) => call.warnings.truncate(warnings),
                Err(error) => return Err(write_failed(target, &error)),
            }
        }
        Err(target.modified())
    }

    /// The state that the write would store.
    async fn next_state(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        how: &Modification<'_>,
        old: &Value,
    ) -> Result<Value, Status> {
        let mut new = (how.next)(old)?;
        check_identity(target, &new)?;
        check_uid(target, old, &new)?;
        if target.resource.namespaced {
            let meta = metadata::of(&mut new);
            meta.insert("namespace".into(), target.namespace.clone().into());
        }
        metadata::keep_system_fields(old, &mut new);
        metadata::of(&mut new).insert(
            "resourceVersion".into(),
            old["metadata"]["resourceVersion"].clone(),
        );
        metadata::dedupe_owner_references(&mut new);
        schema::default(&target.resource, &mut new);
        prepare::for_update(target, old, &mut new);
        if !how.is_applied {
            let manager = patch::Manager {
                subresource: how.subresource,
                ..self.manager(call, target)
            };
            patch::record_update(Some(old), &mut new, &target.resource.schema, &manager);
        }
        self.admit_change(call, target, how, old, &mut new).await?;
        schema::default(&target.resource, &mut new);
        schema::settle(&target.resource, &mut new);
        prepare::generation_of_changed(target, old, &mut new);
        if new["metadata"]["generation"] != old["metadata"]["generation"] {
            self.observe(target, &mut new);
        }
        let causes =
            schema::validate_subresource(&target.resource, &target.subresource, &new, Some(old));
        if !causes.is_empty() {
            return Err(target.invalid(causes));
        }
        self.check_stored(target, &new, Some(old)).await?;
        match how.seen {
            Seen::Whole => {
                self.judge(call, target, Operation::Update, Some(old), &new)
                    .await?;
            }
            Seen::Part(part) => {
                let door = target.door(how.subresource);
                let (old, shown) = (part.show(old), part.show(&new));
                self.judge(call, &door, Operation::Update, Some(&old), &shown)
                    .await?;
            }
            Seen::Nothing => {}
        }
        Ok(new)
    }

    /// Lets admission change the next state, or the part of it that the client wrote.
    async fn admit_change(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        how: &Modification<'_>,
        old: &Value,
        new: &mut Value,
    ) -> Result<(), Status> {
        match how.seen {
            Seen::Whole => {
                self.admit(call, target, Operation::Update, Some(old), new)
                    .await
            }
            Seen::Part(part) => {
                let door = target.door(how.subresource);
                let (old, before) = (part.show(old), part.show(new));
                let mut shown = before.clone();
                self.admit(call, &door, Operation::Update, Some(&old), &mut shown)
                    .await?;
                if shown == before {
                    return Ok(());
                }
                part.set(new, &shown)
            }
            Seen::Nothing => Ok(()),
        }
    }

    /// Whether this is what everybody sees.
    pub(super) fn is_current(&self, target: &Target, object: &Object) -> bool {
        let known = self.store.get(&target.key());
        known.is_some_and(|known| known.header.revision == object.header.revision)
    }

    /// Writes a changed state, or removes the object if the change let go of the last thing that held it.
    async fn commit(
        &self,
        target: &Target,
        object: &Object,
        old: &Value,
        new: Value,
    ) -> Result<Result<std::sync::Arc<Object>, WriteError>, Status> {
        let (key, expected) = (target.key(), Expected::Revision(object.header.revision));
        let is_gone = is_released(target, &new);
        let stored = self.to_storage(new, &target.resource).await?;
        if is_gone {
            return Ok(self
                .store
                .write(&key, expected, Change::Delete(stored))
                .await);
        }
        if super::custom::is_definition(target) {
            return Ok(self.write_definition(&key, expected, stored).await);
        }
        if super::service::is_service(target) {
            return self.write_service(&key, expected, stored, Some(old)).await;
        }
        Ok(self.store.write(&key, expected, Change::Put(stored)).await)
    }
}

/// An object being deleted that nothing holds any more.
pub(super) fn is_released(target: &Target, value: &Value) -> bool {
    metadata::is_deleting(value)
        && metadata::finalizers(value).is_empty()
        && value["metadata"]["deletionGracePeriodSeconds"]
            .as_i64()
            .unwrap_or(0)
            == 0
        && (&*target.resource.storage != "namespaces"
            || value["spec"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty))
}

/// Kind, version, name and namespace in a body must be those of the URL.
fn check_identity(target: &Target, value: &Value) -> Result<(), Status> {
    let (api_version, kind) = (
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    if !api_version.is_empty() && api_version != target.api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            target.api_version
        )));
    }
    if !kind.is_empty() && kind != &*target.resource.kind {
        return Err(Status::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            target.resource.kind
        )));
    }
    let name = metadata::text(value, "name");
    if !name.is_empty() && name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let namespace = metadata::text(value, "namespace");
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// A uid in the body is a precondition.
fn check_uid(target: &Target, old: &Value, new: &Value) -> Result<(), Status> {
    let (said, is) = (metadata::text(new, "uid"), metadata::text(old, "uid"));
    if said.is_empty() || said == is {
        return Ok(());
    }
    Err(target.conflict(&format!(
        "Precondition failed: UID in precondition: {said}, UID in object meta: {is}"
    )))
}

fn unknown_in_patch(unknown: &[String]) -> Status {
    let list = unknown
        .iter()
        .map(|f| format!("unknown field {f:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    Status::invalid_patch(&format!("strict decoding error: {list}"))
}
