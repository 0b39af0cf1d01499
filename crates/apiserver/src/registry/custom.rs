//! CustomResourceDefinitions: their status is decided in the same write that stores them, so that a definition is
//! served the moment it is acknowledged; deleting one deletes its objects first.

use std::sync::Arc;

use serde_json::Value;

use super::types::DEFINITIONS;
use super::update::Seen;
use super::{Call, DeleteOptions, ListOptions, Registry, Target, metadata};
use crate::auth::User;
use crate::crd;
use crate::object::{Key, Object};
use crate::status::Status;
use crate::store::{Change, ClusterStore, Expected, WriteError};

/// Holds a definition until its objects are gone.
const CLEANUP: &str = crd::FINALIZER;

/// Whether the target is a definition.
pub(super) fn is_definition(target: &Target) -> bool {
    &*target.resource.storage == DEFINITIONS
}

impl Registry {
    /// Stores a definition with its status, and serves it.
    pub(super) async fn write_definition(
        &self,
        key: &Key,
        expected: Expected,
        mut value: Value,
    ) -> Result<Arc<Object>, WriteError> {
        let _one_at_a_time = self.definitions.lock().await;
        // A client that went away has let go of the lock, but its write goes on.
        self.store.settled().await?;
        self.fill_definition(key, &mut value);
        self.store.write(key, expected, Change::Put(value)).await
    }

    /// Refuses an object of a kind whose definition is going: nobody would remove it.
    pub(super) fn check_definition_lives(&self, target: &Target) -> Result<(), Status> {
        let resource = &target.resource;
        let definition = Key::new(DEFINITIONS, "", &resource.storage);
        let is_going = resource.custom.is_some()
            && (self.store.newest(&definition)).is_some_and(|d| d.header.is_deleting);
        if !is_going {
            return Ok(());
        }
        let mut status = Status::method_not_allowed(&resource.group, &resource.plural, "create");
        status.message =
            "create not allowed while custom resource definition is terminating".into();
        Err(status)
    }

    /// Gives a definition its finalizer and its status.
    pub(super) fn fill_definition(&self, key: &Key, value: &mut Value) {
        if !metadata::is_deleting(value) && !metadata::finalizers(value).contains(&CLEANUP) {
            let mut finalizers = metadata::finalizers(value)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>();
            finalizers.push(CLEANUP.into());
            metadata::of(value).insert("finalizers".into(), finalizers.into());
        }
        let group = value["spec"]["group"].as_str().unwrap_or_default();
        let others = self.types.served().names_beside(group, &key.name);
        value["status"] = crd::status_for(value, &others, self.now());
    }

    /// Deletes the objects of every dying definition and lets go of the definitions that have none left. Level
    /// triggered: whoever calls it again after any change gets it done.
    pub async fn clean_up_definitions(&self) {
        for object in self.store.list(DEFINITIONS, None).objects {
            if object.header.is_deleting && object.header.has_finalizers {
                self.clean_up(&object).await;
            }
        }
    }

    async fn clean_up(&self, definition: &Object) {
        let value = definition.value();
        let user = User {
            name: "system:apiserver".into(),
            groups: vec!["system:masters".into()],
            ..User::default()
        };
        let mut call = Call::new(&user, "apiserver");
        let storage = &*definition.header.name;
        let served = self.types.served();
        if let Some(resource) = served
            .resources
            .iter()
            .filter(|r| &*r.storage == storage)
            // At the version they are stored in, nobody has to be asked to convert them.
            .max_by_key(|r| {
                let custom = r.custom.as_ref();
                custom.is_some_and(|custom| custom.storage_version == r.version)
            })
        {
            let all = Target::new(resource.clone(), "", "", "");
            let deleted = self
                .delete_collection(
                    &mut call,
                    &all,
                    &ListOptions::default(),
                    &DeleteOptions::default(),
                )
                .await;
            if let Err(error) = deleted {
                tracing::warn!(definition = storage, %error, "deleting the objects of a definition");
            }
        }
        if !self.store.list(storage, None).objects.is_empty()
            || !metadata::finalizers(&value).contains(&CLEANUP)
        {
            return;
        }
        let Some(resource) =
            super::find_builtin("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        else {
            return;
        };
        let target = Target::new(resource.clone(), "", storage, "");
        let released = self
            .change(&mut call, &target, ("", Seen::Whole), &|old| {
                let mut new = old.clone();
                let left: Vec<&str> = metadata::finalizers(old)
                    .into_iter()
                    .filter(|f| *f != CLEANUP)
                    .collect();
                metadata::of(&mut new).insert("finalizers".into(), left.into());
                Ok(new)
            })
            .await;
        if let Err(error) = released.as_ref()
            && error.code != 404
        {
            tracing::warn!(definition = storage, %error, "letting go of a definition");
        }
    }
}

/// Whether any definition is dying, so that [`Registry::clean_up_definitions`] has work.
#[must_use]
pub(crate) fn has_dying_definitions(store: &ClusterStore) -> bool {
    store
        .list(DEFINITIONS, None)
        .objects
        .iter()
        .any(|o| o.header.is_deleting)
}
