//! The seam to the log of record: what is committed, what is loaded, and how it fails.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::backup::Snapshot;
use crate::object::Key;

/// A log of record. All calls block and come one at a time, from one place.
pub trait Storage: Send + 'static {
    /// Everything that was committed.
    ///
    /// # Errors
    /// When it cannot be read or does not make sense.
    fn load(&mut self) -> Result<Vec<StoredCluster>, StorageError>;

    /// Makes the whole batch durable, in order, or nothing of it.
    ///
    /// # Errors
    /// After an error it is unknown whether the batch is there. The store then begins its next batch with mutations that
    /// restore what the failed one touched, so the implementation need not find out.
    fn commit(&mut self, batch: &[Mutation]) -> Result<(), StorageError>;

    /// Gives back the space of what was removed, if that is worth it; whether it was.
    ///
    /// # Errors
    /// When it cannot be done. Nothing of the content has changed.
    fn compact(&mut self) -> Result<bool, StorageError>;

    /// What is committed now, to be read while commits go on.
    ///
    /// # Errors
    /// When it cannot be read.
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StorageError>;

    /// Whether a commit is so quick that it can run inside the caller's task. Otherwise the store gives the log a thread
    /// of its own, which under a paused clock makes time jump.
    fn is_inline(&self) -> bool;
}

/// One logical cluster as the log of record holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCluster {
    pub id: Arc<str>,
    /// JSON; see [`Mutation::Cluster`].
    pub record: Bytes,
    /// The newest revision, which may be newer than every row.
    pub revision: u64,
    pub rows: Vec<(Key, Row)>,
}

/// What the log of record holds at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The object's canonical JSON.
    Object { revision: u64, json: Bytes },
    /// The object of the base layer is deleted.
    Tombstone { revision: u64 },
}

impl Row {
    /// The row of an object, or a tombstone when `json` is empty.
    #[must_use]
    pub fn new(revision: u64, json: &[u8]) -> Self {
        if json.is_empty() {
            return Self::Tombstone { revision };
        }
        Self::Object {
            revision,
            json: Bytes::copy_from_slice(json),
        }
    }
}

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The cluster exists and `record` is what is remembered of it.
    Cluster { id: Arc<str>, record: Bytes },
    /// The cluster's newest revision.
    Revision { id: Arc<str>, revision: u64 },
    /// The key holds this.
    Put { id: Arc<str>, key: Key, row: Row },
    /// The key holds nothing.
    Remove { id: Arc<str>, key: Key },
    /// Nothing of the cluster remains.
    Drop { id: Arc<str> },
}

/// How a log of record fails.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot open {path}: its directory must exist and be writable")]
    Unwritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is in use by another process; stop that process, or choose another file")]
    Locked { path: PathBuf },
    #[error("{path} is damaged or not a store: {detail}; restore it from a backup")]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "{path} was written by a newer version (format {found}, this version reads up to {supported}); use that version"
    )]
    NewerFormat {
        path: PathBuf,
        found: u64,
        supported: u64,
    },
    #[error("{doing} failed")]
    Failed {
        /// What the store was doing, e.g. `committing to data/store.redb`.
        doing: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the log of record is closed")]
    Closed,
}
