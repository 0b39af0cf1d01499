//! What a controller decides in one pass, as a value that can be printed, compared and tested.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{DynamicObject, GroupVersionKind};

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    pub group: String,
    pub version: String,
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

/// One thing to do. The order in [`Plan::changes`] is the order of execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<A> {
    /// Server-side apply with the controller's field manager, forced.
    Apply(Box<DynamicObject>),
    /// Server-side apply of a part of the status of an object that somebody else controls: what this controller says of it,
    /// and no more. What it said before and does not say now goes.
    ApplyStatus(Box<DynamicObject>),
    /// Create if absent, otherwise leave alone: for objects whose later owner is somebody else, and for generated
    /// secrets that must never be overwritten.
    Create(Box<DynamicObject>),
    /// JSON merge patch of an object that somebody else owns (`subresource` empty for the main resource).
    Patch {
        target: ObjectRef,
        subresource: &'static str,
        patch: serde_json::Value,
    },
    /// Delete with the background policy; a missing object is fine. `uid` guards against a successor of the same name.
    Delete {
        target: ObjectRef,
        uid: Option<String>,
    },
    /// Something that isn't a Kubernetes object of this cluster; done by [`crate::Reconciler::act`].
    Act(A),
}

/// Why a controller isn't done: shown to the user as the reason and message of the `Ready` condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// A constant from `api` (CamelCase).
    pub reason: &'static str,
    pub message: String,
}

/// An event for the user: something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// What it happened to, if not to the object of the pass.
    pub about: Option<Arc<ObjectReference>>,
    pub warning: bool,
    /// CamelCase.
    pub reason: &'static str,
    pub message: String,
    /// It happened when this many changes of the plan are made, whatever becomes of the others; `None` if it takes all
    /// of them. Warnings are told in any case.
    pub after: Option<usize>,
}

/// What a controller decided in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<A> {
    pub changes: Vec<Change<A>>,
    pub waits: Vec<Wait>,
    pub notes: Vec<Note>,
    /// Look again after this long even if nothing changes.
    pub again_in: Option<Duration>,
    /// Only when the object is being deleted: everything is gone, the driver may drop the controller's finalizer.
    /// A plan without changes and waits for a deleting object means the same.
    pub is_finished: bool,
}

impl<A> Default for Plan<A> {
    fn default() -> Self {
        Self {
            changes: vec![],
            waits: vec![],
            notes: vec![],
            again_in: None,
            is_finished: false,
        }
    }
}

/// What became of a plan's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many changes were carried out, in order.
    pub done: usize,
    /// The first that failed: its reason (`ApplyRejected`, `TransientError`, or the act's own) and message.
    pub failure: Option<Wait>,
}

impl<A> Plan<A> {
    /// Adds a server-side apply of `object`, anything that serializes to a Kubernetes object with apiVersion and kind.
    pub fn apply(&mut self, object: DynamicObject) {
        self.changes.push(Change::Apply(Box::new(object)));
    }

    /// Adds a wait.
    pub fn wait(&mut self, reason: &'static str, message: impl Into<String>) {
        self.waits.push(Wait {
            reason,
            message: message.into(),
        });
    }

    /// Looks again at this time, if it is still to come and nothing earlier is planned.
    pub fn again_at(&mut self, at: Timestamp, now: Timestamp) {
        let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        if !left.is_zero() {
            self.again_in = Some(self.again_in.map_or(left, |again| again.min(left)));
        }
    }

    /// Adds an event of type Normal, told if all changes of the plan are made.
    pub fn note(&mut self, reason: &'static str, message: impl Into<String>) {
        self.notes.push(Note {
            about: None,
            warning: false,
            reason,
            message: message.into(),
            after: None,
        });
    }

    /// Adds a change with its event of type Normal, told if the changes up to this one are made.
    pub fn change(&mut self, change: Change<A>, reason: &'static str, message: impl Into<String>) {
        self.changes.push(change);
        self.notes.push(Note {
            about: None,
            warning: false,
            reason,
            message: message.into(),
            after: Some(self.changes.len()),
        });
    }

    /// Adds an event of type Warning about another object than that of the pass.
    pub fn warn_about(
        &mut self,
        object: ObjectReference,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.notes.push(Note {
            about: Some(Arc::new(object)),
            warning: true,
            reason,
            message: message.into(),
            after: None,
        });
    }

    /// Adds an event of type Warning.
    pub fn warn(&mut self, reason: &'static str, message: impl Into<String>) {
        self.notes.push(Note {
            about: None,
            warning: true,
            reason,
            message: message.into(),
            after: None,
        });
    }
}

impl ObjectRef {
    /// The reference of an object that carries its types.
    #[must_use]
    pub fn of(object: &DynamicObject) -> Self {
        let gvk = object
            .types
            .as_ref()
            .and_then(|t| GroupVersionKind::try_from(t).ok());
        let gvk = gvk.unwrap_or_else(|| GroupVersionKind::gvk("", "", ""));
        Self {
            group: gvk.group,
            version: gvk.version,
            kind: gvk.kind,
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl<A: fmt::Debug> fmt::Display for Plan<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            match change {
                Change::Apply(object) => writeln!(f, "apply {}", ObjectRef::of(object))?,
                Change::ApplyStatus(object) => {
                    let (target, status) = (ObjectRef::of(object), &object.data["status"]);
                    writeln!(f, "apply status of {target} {status}")?;
                }
                Change::Create(object) => writeln!(f, "create {}", ObjectRef::of(object))?,
                Change::Patch {
                    target,
                    subresource: "",
                    patch,
                } => writeln!(f, "patch {target} {patch}")?,
                Change::Patch {
                    target,
                    subresource,
                    patch,
                } => writeln!(f, "patch {target}/{subresource} {patch}")?,
                Change::Delete { target, .. } => writeln!(f, "delete {target}")?,
                Change::Act(act) => writeln!(f, "act {act:?}")?,
            }
        }
        for wait in &self.waits {
            writeln!(f, "wait {}: {}", wait.reason, wait.message)?;
        }
        for note in &self.notes {
            let kind = if note.warning { "warn" } else { "note" };
            write!(f, "{kind} ")?;
            if let Some(about) = &note.about {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                write!(f, "{} {}: ", text(&about.kind), text(&about.name))?;
            }
            writeln!(f, "{}: {}", note.reason, note.message)?;
        }
        if let Some(after) = self.again_in {
            writeln!(f, "again in {after:?}")?;
        }
        if self.is_finished {
            writeln!(f, "finished")?;
        }
        Ok(())
    }
}
