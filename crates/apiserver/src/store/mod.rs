//! The log of record and the in-memory state that lists and watches are served from.
//!
//! A write is compared with the newest state of its key, gets the next revision of its logical cluster, and is queued.
//! One writer for the whole process commits what is queued in batches, one durable commit for each, and only then makes
//! the batch visible: to reads, to lists, to watchers, and to the caller who waits for it. Until then it exists in a
//! *pending* layer that only the next write to the same key looks at.
//!
//! Every logical cluster is a thin layer over an immutable [`Base`] of bootstrap objects that all clusters share: what
//! a cluster never touched costs it nothing.
//!
//! What is not here: selectors, paging, bookmarks' timing, encoding for the wire. Those are the registry's.
//!
//! Lock order, outermost first: the writer (only when inline), the map of clusters, a cluster's pending layer, its state.

pub mod backup;
mod base;
mod cluster;
mod history;
mod memory;
mod overlay;
mod redb;
mod storage;
mod watch;
mod write;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

pub use self::redb::Redb;
use backup::Snapshot;
pub use base::Base;
pub use cluster::{ClusterStore, Expired, Listing};
pub use history::{Event, EventKind};
pub use memory::Memory;
pub use storage::{Mutation, Row, Storage, StorageError, StoredCluster};
pub use watch::{Changes, Cursor, CursorEnd};
pub use write::{Change, Expected, WriteError};

use writer::{Admin, Clusters, Queue};

/// History of idle clusters is forgotten this often.
const AGEING_PERIOD: Duration = Duration::from_secs(10);
/// The log of record is asked this often, in those periods, whether it can give back space.
const COMPACTION_PERIODS: u32 = 6;

/// Largest encoded object, in bytes: etcd's default limit of a request.
pub const MAX_OBJECT_BYTES: usize = 1_572_864;

/// Revision at which clusters start; the objects of their [`Base`] are older.
pub const FIRST_REVISION: u64 = 1000;

/// Why an operation on whole clusters failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("logical cluster {0:?} exists already")]
    Exists(Arc<str>),
    #[error("there is no logical cluster {0:?}")]
    NotFound(Arc<str>),
    #[error("the store is closed")]
    Closed,
    #[error("the store's log of record failed")]
    Storage(#[source] Arc<StorageError>),
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<StorageError>> for StoreError {
    fn from(error: Arc<StorageError>) -> Self {
        match *error {
            StorageError::Closed => Self::Closed,
            _ => Self::Storage(error),
        }
    }
}

/// All logical clusters of the process over one log of record. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    clusters: Arc<Clusters>,
    queue: Queue,
}

impl Store {
    /// Loads everything that `storage` holds. Blocks; meant for the start of the process.
    ///
    /// Clusters found in `storage` are listed by [`records`](Self::records) and served once they got their base with
    /// [`attach_base`](Self::attach_base).
    ///
    /// # Errors
    /// When the log of record cannot be read; the error says what is wrong with it.
    pub fn open(storage: impl Storage) -> Result<Self, StoreError> {
        let (clusters, queue) = writer::start(Box::new(storage))?;
        Ok(Self { clusters, queue })
    }

    /// Creates a logical cluster that starts as `base`, at revision [`FIRST_REVISION`].
    ///
    /// `record` is whatever the server wants to remember of it; [`records`](Self::records) gives it back.
    ///
    /// # Errors
    /// When the id is taken, or the log of record fails.
    pub async fn create_cluster(
        &self,
        id: &str,
        record: Value,
        base: Arc<Base>,
    ) -> Result<ClusterStore, StoreError> {
        self.served(Admin::Create {
            id: id.into(),
            record,
            base,
        })
        .await
    }

    /// Serves a cluster that was found at [`open`](Self::open).
    ///
    /// When the base is another than before, the cluster's revision grows by one, so that clients look again.
    ///
    /// # Errors
    /// When there is no such cluster, it has its base already, or the log of record fails.
    pub async fn attach_base(&self, id: &str, base: Arc<Base>) -> Result<ClusterStore, StoreError> {
        self.served(Admin::Attach {
            id: id.into(),
            base,
        })
        .await
    }

    async fn served(&self, admin: Admin) -> Result<ClusterStore, StoreError> {
        let id = Arc::clone(admin.id());
        let cluster = self.queue.admin(admin).await?;
        let cluster = cluster.ok_or(StoreError::NotFound(id))?;
        Ok(ClusterStore::new(cluster, self.queue.clone()))
    }

    /// Replaces what the server remembers of a cluster.
    ///
    /// # Errors
    /// When there is no such cluster, or the log of record fails; then the old record stays.
    pub async fn update_record(&self, id: &str, record: Value) -> Result<(), StoreError> {
        let id = id.into();
        self.queue.admin(Admin::Update { id, record }).await?;
        Ok(())
    }

    /// Removes a cluster and everything in it; its watches end with [`CursorEnd::Closed`].
    ///
    /// # Errors
    /// When there is no such cluster, or the log of record fails; then the cluster stays as it was.
    pub async fn drop_cluster(&self, id: &str) -> Result<(), StoreError> {
        self.queue.admin(Admin::Drop { id: id.into() }).await?;
        Ok(())
    }

    /// A served cluster.
    #[must_use]
    pub fn cluster(&self, id: &str) -> Option<ClusterStore> {
        let cluster = self.clusters.served(id)?;
        Some(ClusterStore::new(cluster, self.queue.clone()))
    }

    /// Id and record of every cluster, served or waiting for its base, ordered by id.
    #[must_use]
    pub fn records(&self) -> Vec<(String, Value)> {
        self.clusters.records()
    }

    /// Keeps memory and disk small for as long as it is polled.
    pub async fn tend(&self) {
        loop {
            for _ in 0..COMPACTION_PERIODS {
                tokio::time::sleep(AGEING_PERIOD).await;
                self.age();
            }
            self.compact();
        }
    }

    /// Forgets history that is older than the window, in all clusters. Clusters that are in use do so themselves; this is
    /// for idle ones, a few times a minute.
    pub fn age(&self) {
        let now = Instant::now();
        for cluster in self.clusters.all_served() {
            cluster.age(now);
        }
    }

    /// Lets the log of record give back the space of what was removed, some time later.
    pub fn compact(&self) {
        self.queue.compact();
    }

    /// All clusters as they are now, together: everything that was acknowledged, and nothing half. Writes go on while it is
    /// read; see [`backup::write`].
    ///
    /// # Errors
    /// When the log of record cannot be read, or the store is closed.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(self.queue.snapshot().await?)
    }

    /// Commits what is queued and closes the log of record. Afterwards reads still work and writes are refused.
    pub async fn close(&self) {
        self.queue.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

// A panic while a lock is held can only come from a broken invariant in a pure map operation; the other clusters and
// reads are better served than refused, so poison is not passed on.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
