//! A log of record in memory, for tests and throw-away clusters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::backup::Snapshot;
use super::lock;
use super::storage::{Mutation, Row, Storage, StorageError, StoredCluster};
use crate::object::Key;

/// Keeps the log for as long as a clone of it exists: open a second store on a clone to see what a restart would find.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    clusters: Arc<Mutex<BTreeMap<Arc<str>, Image>>>,
}

#[derive(Debug, Default)]
struct Image {
    record: Bytes,
    revision: u64,
    rows: BTreeMap<Key, Row>,
}

impl Memory {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Storage for Memory {
    fn load(&mut self) -> Result<Vec<StoredCluster>, StorageError> {
        let clusters = lock(&self.clusters);
        Ok(clusters
            .iter()
            .map(|(id, image)| StoredCluster {
                id: Arc::clone(id),
                record: image.record.clone(),
                revision: image.revision,
                rows: image
                    .rows
                    .iter()
                    .map(|(key, row)| (key.clone(), row.clone()))
                    .collect(),
            })
            .collect())
    }

    fn commit(&mut self, batch: &[Mutation]) -> Result<(), StorageError> {
        let mut clusters = lock(&self.clusters);
        for mutation in batch {
            match mutation {
                Mutation::Cluster { id, record } => {
                    let image = clusters.entry(Arc::clone(id)).or_default();
                    image.record = record.clone();
                }
                Mutation::Revision { id, revision } => {
                    clusters.entry(Arc::clone(id)).or_default().revision = *revision;
                }
                Mutation::Put { id, key, row } => {
                    let image = clusters.entry(Arc::clone(id)).or_default();
                    image.rows.insert(key.clone(), row.clone());
                }
                Mutation::Remove { id, key } => {
                    if let Some(image) = clusters.get_mut(id) {
                        image.rows.remove(key);
                    }
                }
                Mutation::Drop { id } => {
                    clusters.remove(id);
                }
            }
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StorageError> {
        Ok(Box::new(self.load()?))
    }

    fn is_inline(&self) -> bool {
        true
    }
}
