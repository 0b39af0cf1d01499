//! Writes: compared with the newest state, given a revision, and handed to the writer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cluster::{Cluster, ClusterStore};
use super::history::{Event, EventKind};
use super::storage::{Mutation, Row, StorageError};
use super::{MAX_OBJECT_BYTES, lock};
use crate::object::{Key, MAX_OBJECT_DEPTH, Object, is_too_deep};

/// What the caller believes is at the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Absent,
    /// The object that this revision wrote.
    Revision(u64),
}

/// What shall be at the key.
#[derive(Clone, Debug)]
pub enum Change {
    Put(Value),
    /// Nothing; the value is the final state, which watchers get.
    Delete(Value),
}

/// Why a write did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// Something else than expected is at the key.
    #[error("the object has another revision than expected")]
    Conflict { current: Option<Arc<Object>> },
    #[error("the object has {size} bytes, more than the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the object is nested deeper than {MAX_OBJECT_DEPTH} levels")]
    TooDeep,
    #[error("the logical cluster is gone or the store is closed")]
    Closed,
    #[error("the write could not be made durable")]
    Storage(#[source] Arc<StorageError>),
}

/// What a finished write answers.
pub(super) type Answer = Result<Arc<Object>, WriteError>;

/// A write on its way to the log of record.
pub(super) struct Write {
    pub(super) cluster: Arc<Cluster>,
    pub(super) epoch: u64,
    pub(super) event: Arc<Event>,
    pub(super) at: Instant,
    pub(super) done: oneshot::Sender<Answer>,
}

impl Write {
    /// What the log of record shall hold at the key.
    pub(super) fn mutation(&self) -> Mutation {
        let id = Arc::clone(&self.cluster.id);
        let key = self.event.key.clone();
        let revision = self.event.revision;
        let row = match self.event.kind {
            EventKind::Added | EventKind::Modified => Row::Object {
                revision,
                json: self.event.object.json.clone(),
            },
            EventKind::Deleted if self.cluster.base.get(&key).is_some() => {
                Row::Tombstone { revision }
            }
            EventKind::Deleted => return Mutation::Remove { id, key },
        };
        Mutation::Put { id, key, row }
    }
}

impl ClusterStore {
    /// Changes one object if it is as expected, and waits until the change is durable and visible. The answer is the new
    /// state, or the final one of a deleted object, with the revision of this change.
    ///
    /// Dropping the future does not take the write back.
    ///
    /// # Errors
    /// See [`WriteError`]. After `Conflict`, `TooLarge` and `TooDeep` nothing has changed; after `Storage` nothing is visible, and
    /// whether the log of record has it is only certain after the next successful write (then it has not).
    pub async fn write(
        &self,
        key: &Key,
        expected: Expected,
        change: Change,
    ) -> Result<Arc<Object>, WriteError> {
        let slot = self.queue.reserve().await.ok_or(WriteError::Closed)?;
        let at = Instant::now();
        let answer = slot.write(|queue| self.cluster.stage(key, expected, change, at, queue))?;
        // The writer answers everything it takes; it is gone only when the store was closed.
        answer.await.unwrap_or(Err(WriteError::Closed))
    }
}

impl Cluster {
    /// Compares, assigns the revision, and queues; the order in the queue is the order of revisions.
    fn stage(
        self: &Arc<Self>,
        key: &Key,
        expected: Expected,
        change: Change,
        at: Instant,
        queue: impl FnOnce(Write),
    ) -> Result<oneshot::Receiver<Answer>, WriteError> {
        let mut pending = lock(&self.pending);
        if pending.closed {
            return Err(WriteError::Closed);
        }
        let current = self.newest(&pending, key);
        let is_expected = match (expected, &current) {
            (Expected::Absent, None) => matches!(change, Change::Put(_)),
            (Expected::Revision(revision), Some(current)) => current.header.revision == revision,
            (Expected::Absent, Some(_)) | (Expected::Revision(_), None) => false,
        };
        if !is_expected {
            return Err(WriteError::Conflict { current });
        }
        let revision = pending.assigned + 1;
        let (kind, object) = match change {
            Change::Put(value) => {
                if is_too_deep(&value) {
                    return Err(WriteError::TooDeep);
                }
                let object = Object::encode(value, revision);
                let size = object.json.len();
                if size > MAX_OBJECT_BYTES {
                    let limit = MAX_OBJECT_BYTES;
                    return Err(WriteError::TooLarge { size, limit });
                }
                let kind = match current {
                    Some(_) => EventKind::Modified,
                    None => EventKind::Added,
                };
                (kind, object)
            }
            Change::Delete(value) => (EventKind::Deleted, Object::encode(value, revision)),
        };
        let object = Arc::new(object);
        let staged = (kind != EventKind::Deleted).then(|| Arc::clone(&object));
        pending.staged.insert(key.clone(), (revision, staged));
        pending.assigned = revision;
        let (done, answer) = oneshot::channel();
        queue(Write {
            cluster: Arc::clone(self),
            epoch: self.epoch.load(Ordering::Relaxed),
            event: Arc::new(Event {
                key: key.clone(),
                revision,
                kind,
                object,
                previous: current,
            }),
            at,
            done,
        });
        Ok(answer)
    }
}
