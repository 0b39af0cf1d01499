//! Admission: what looks at a write after authorization and before validation and storage, and may change or refuse it.

use serde_json::Value;

use crate::auth::{Objects, User};
use crate::resource::Resource;
use crate::status::Status;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
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
    /// The cluster's other objects.
    pub objects: &'a dyn Objects,
    /// Texts for `Warning` headers.
    pub warnings: &'a mut Vec<String>,
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
