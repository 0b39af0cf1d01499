//! Deletes what is in a namespace that is being deleted: pods first, then everything else, then the namespace.
//!
//! Reads namespaces, what the server serves, and the objects of every namespaced kind in a namespace that goes; deletes
//! them; writes the namespace's conditions; takes `kubernetes` out of `spec.finalizers` when the server itself confirms
//! that nothing is left. A living namespace costs nothing.

mod act;
mod gather;
mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::ApiResource;
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler, Wait};
use serde_json::Value;

/// The finalizer in `spec.finalizers` that stands for the namespace's content.
pub(crate) const CONTENT: &str = "kubernetes";

/// Empties namespaces that are being deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamespaceController;

/// A namespace and, if it is being deleted, what is in it.
#[derive(Debug, Default)]
pub struct World {
    pub(crate) name: String,
    /// It is being deleted, and its content is ours to delete.
    pub(crate) is_ours: bool,
    /// Why not all kinds are known.
    pub(crate) discovery_failure: Option<String>,
    /// All namespaced kinds whose objects can be deleted.
    pub(crate) kinds: Vec<ApiResource>,
    /// The kinds of which there are objects.
    pub(crate) content: Vec<Content>,
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Content {
    pub(crate) resource: ApiResource,
    /// The server deletes all of them by one request.
    pub(crate) has_delete_collection: bool,
    pub(crate) objects: Vec<Object>,
}

/// One object in the namespace.
#[derive(Debug)]
pub struct Object {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) is_deleting: bool,
    pub(crate) finalizers: Vec<String>,
}

/// What is no change of one object.
pub enum Act {
    /// Delete all objects of a kind in the namespace.
    DeleteAll(ApiResource),
    /// Let the namespace itself go, after a last look.
    Finalize,
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteAll(resource) => write!(f, "DeleteAll({})", resource.plural),
            Self::Finalize => f.write_str("Finalize"),
        }
    }
}

impl Reconciler for NamespaceController {
    const NAME: &'static str = "namespace";
    type Object = Namespace;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, namespace: &Namespace) -> Result<World, GatherError> {
        gather::gather(cx, namespace).await
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Act> {
        plan::plan(world)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        act::act(cx, world, act).await
    }

    fn status(
        world: &World,
        _plan: &Plan<Act>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        status::status(world, outcome)
    }
}
