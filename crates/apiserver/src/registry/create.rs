//! POST: a new object.

use serde_json::{Value, json};

use super::{Call, Registry, Shown, Target, metadata, prepare, write_failed};
use crate::admission::Operation;
use crate::object::Object;
use crate::patch;
use crate::schema::{self, Schema};
use crate::status::Status;
use crate::store::{Change, Expected, WriteError};

/// How often a generated name is tried.
const MAX_NAME_TRIES: usize = 8;

impl Registry {
    /// Stores a new object and answers with it, at the version of the target. `target.name` may be empty; the object
    /// then names itself, or asks for a generated name.
    ///
    /// # Errors
    /// 409 if the name is taken, 422 if the object breaks rules, and whatever admission says.
    pub async fn create(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        value: Value,
    ) -> Result<Shown, Status> {
        self.create_by(call, target, value, false).await
    }

    /// As [`Registry::create`]; `is_applied` if the object comes from server-side apply and brings its managed fields.
    pub(super) async fn create_by(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        mut value: Value,
        is_applied: bool,
    ) -> Result<Shown, Status> {
        if !metadata::text(&value, "resourceVersion").is_empty() {
            return Err(Status::new(
                500,
                "",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.check_definition_lives(target)?;
        metadata::of(&mut value).remove("resourceVersion");
        metadata::wipe_system_fields(&mut value);
        fill_namespace(target, &mut value)?;
        if metadata::dedupe_owner_references(&mut value) {
            call.warnings.push(".metadata.ownerReferences contains duplicate entries; API server dedups owner references".into());
        }
        schema::default(&target.resource, &mut value);
        if !is_applied {
            let manager = self.manager(call, target);
            patch::record_update(None, &mut value, &target.resource.schema, &manager);
        }
        let named = target.named(metadata::text(&value, "name"));
        self.admit(call, &named, Operation::Create, None, &mut value)
            .await?;
        self.finish_create(call, target, value).await
    }

    /// Names, stamps, validates and writes what admission has seen.
    async fn finish_create(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        mut value: Value,
    ) -> Result<Shown, Status> {
        schema::default(&target.resource, &mut value);
        prepare::generation_of_new(target, &mut value);
        let meta = metadata::of(&mut value);
        meta.insert(
            "creationTimestamp".into(),
            metadata::timestamp(self.now()).into(),
        );
        meta.insert("uid".into(), self.naming.uid().into());
        let base = metadata::text(&value, "generateName").to_owned();
        let generates = metadata::text(&value, "name").is_empty() && !base.is_empty();
        for attempt in 0..MAX_NAME_TRIES {
            if generates {
                metadata::of(&mut value).insert("name".into(), self.naming.generate(&base).into());
            }
            let named = target.named(metadata::text(&value, "name"));
            schema::prepare(&target.resource, &mut value, None);
            schema::default(&target.resource, &mut value);
            schema::settle(&target.resource, &mut value);
            self.observe(target, &mut value);
            let causes = schema::validate(&target.resource, &value, None);
            if !causes.is_empty() {
                return Err(named.invalid(causes));
            }
            self.check_stored(&named, &value, None).await?;
            if attempt == 0 {
                self.judge(call, &named, Operation::Create, None, &value)
                    .await?;
            }
            // What is stored is kept only as long as another name may have to be tried.
            let stored = if generates {
                value.clone()
            } else {
                value.take()
            };
            match self.store_new(call, &named, stored).await {
                Err(status) if generates && status.reason == "AlreadyExists" => {}
                other => return other,
            }
        }
        let mut status =
            Status::already_exists(&target.resource.group, &target.resource.plural, &base);
        status
            .message
            .push_str(", the server was not able to generate a unique name for the object");
        Err(status)
    }

    async fn store_new(
        &self,
        call: &Call<'_>,
        target: &Target,
        value: Value,
    ) -> Result<Shown, Status> {
        if call.dry_run {
            if let Some(existing) = self.store.newest(&target.key()) {
                return Err(taken(target, &existing));
            }
            return self.rehearse(target, value, None).await;
        }
        let key = target.key();
        let stored = self.to_storage(value, &target.resource).await?;
        let written = if super::custom::is_definition(target) {
            self.write_definition(&key, Expected::Absent, stored).await
        } else if super::service::is_service(target) {
            self.write_service(&key, Expected::Absent, stored, None)
                .await?
        } else {
            self.store
                .write(&key, Expected::Absent, Change::Put(stored))
                .await
        };
        match written {
            Ok(object) => self.show(&target.resource, &object).await,
            Err(WriteError::Conflict {
                current: Some(existing),
            }) => Err(taken(target, &existing)),
            Err(error) => Err(write_failed(target, &error)),
        }
    }

    /// What is asked with a POST and not stored, with its asker as the owner of its fields.
    pub(crate) fn own(
        &self,
        call: &Call<'_>,
        target: &Target,
        schema: &Schema,
        mut value: Value,
    ) -> Value {
        let manager = self.manager(call, target);
        patch::record_update(None, &mut value, schema, &manager);
        value
    }

    pub(super) fn manager<'a>(
        &'a self,
        call: &'a Call<'_>,
        target: &'a Target,
    ) -> patch::Manager<'a> {
        patch::Manager {
            name: &call.manager,
            api_version: &target.api_version,
            subresource: &target.subresource,
            has_status: target.resource.strategy.has_status,
            now: self.now(),
            versions: self,
        }
    }
}

fn taken(target: &Target, existing: &Object) -> Status {
    let mut status = Status::already_exists(
        &target.resource.group,
        &target.resource.plural,
        &target.name,
    );
    if existing.header.is_deleting {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

/// The namespace of the URL and that of the object must agree; an object without one gets the URL's.
fn fill_namespace(target: &Target, value: &mut Value) -> Result<(), Status> {
    let said = metadata::text(value, "namespace").to_owned();
    if !target.resource.namespaced {
        if said.is_empty() {
            metadata::of(value).remove("namespace");
            return Ok(());
        }
        let cause =
            crate::status::Cause::forbidden("metadata.namespace", "not allowed on this type");
        return Err(target
            .named(metadata::text(value, "name"))
            .invalid(vec![cause]));
    }
    if said.is_empty() {
        metadata::of(value).insert("namespace".into(), json!(target.namespace));
    } else if said != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
