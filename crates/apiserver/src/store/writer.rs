//! The one writer of the process: it alone touches the log of record and the map of clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::consume_budget;

use super::backup::Snapshot;
use super::base::Base;
use super::cluster::Cluster;
use super::overlay;
use super::storage::{Mutation, Row, Storage, StorageError, StoredCluster};
use super::write::{Answer, Write, WriteError};
use super::{FIRST_REVISION, StoreError, lock, read, write};
use crate::object::{Key, Object};

/// Most writes that share one commit.
const MAX_BATCH: usize = 512;
/// Most operations that wait for the writer; further callers wait for room.
const QUEUE: usize = 1024;

/// What callers hand operations to.
#[derive(Clone)]
pub(super) enum Queue {
    /// Commits run in the caller's task.
    Inline(Arc<Mutex<Writer>>),
    /// Commits run in the writer's thread, which ends when the last sender is gone.
    Thread(mpsc::Sender<Operation>),
}

/// Room for one write.
pub(super) enum Slot<'a> {
    Inline(MutexGuard<'a, Writer>),
    Thread(mpsc::Permit<'a, Operation>),
}

pub(super) enum Operation {
    Write(Write),
    Admin(Admin, oneshot::Sender<AdminAnswer>),
    Compact,
    Snapshot(oneshot::Sender<SnapshotAnswer>),
    Close(oneshot::Sender<()>),
}

type SnapshotAnswer = Result<Box<dyn Snapshot>, Arc<StorageError>>;

/// An operation on a whole cluster.
pub(super) enum Admin {
    Create {
        id: Arc<str>,
        record: Value,
        base: Arc<Base>,
    },
    Attach {
        id: Arc<str>,
        base: Arc<Base>,
    },
    Update {
        id: Arc<str>,
        record: Value,
    },
    Drop {
        id: Arc<str>,
    },
}

/// `Create` and `Attach` answer with the cluster.
type AdminAnswer = Result<Option<Arc<Cluster>>, StoreError>;

impl Admin {
    pub(super) fn id(&self) -> &Arc<str> {
        match self {
            Self::Create { id, .. } | Self::Attach { id, .. } => id,
            Self::Update { id, .. } | Self::Drop { id } => id,
        }
    }
}

impl Queue {
    /// Waits for room; `None` when the store is closed.
    pub(super) async fn reserve(&self) -> Option<Slot<'_>> {
        match self {
            Self::Inline(writer) => {
                // A caller who never has to wait must still let others run.
                consume_budget().await;
                Some(Slot::Inline(lock(writer)))
            }
            Self::Thread(queue) => queue.reserve().await.ok().map(Slot::Thread),
        }
    }

    pub(super) async fn admin(&self, admin: Admin) -> AdminAnswer {
        match self {
            Self::Inline(writer) => lock(writer).administer(admin),
            Self::Thread(queue) => {
                let (done, answer) = oneshot::channel();
                let sent = queue.send(Operation::Admin(admin, done)).await;
                sent.map_err(|_| StoreError::Closed)?;
                answer.await.unwrap_or(Err(StoreError::Closed))
            }
        }
    }

    /// Asks for a compaction. When there is much to do it is asked for again later.
    pub(super) fn compact(&self) {
        match self {
            Self::Inline(writer) => lock(writer).compact(),
            Self::Thread(queue) => queue.try_send(Operation::Compact).unwrap_or_default(),
        }
    }

    pub(super) async fn snapshot(&self) -> SnapshotAnswer {
        let closed = || Arc::new(StorageError::Closed);
        match self {
            Self::Inline(writer) => lock(writer).snapshot(),
            Self::Thread(queue) => {
                let (done, answer) = oneshot::channel();
                let sent = queue.send(Operation::Snapshot(done)).await;
                sent.map_err(|_| closed())?;
                answer.await.unwrap_or_else(|_| Err(closed()))
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Inline(writer) => lock(writer).storage = None,
            Self::Thread(queue) => {
                let (done, closed) = oneshot::channel();
                if queue.send(Operation::Close(done)).await.is_ok() {
                    // An error means that the writer is gone, which is as closed as can be.
                    closed.await.unwrap_or_default();
                }
            }
        }
    }
}

impl Slot<'_> {
    /// Queues the write that `stage` makes, or commits it at once.
    pub(super) fn write<T>(
        self,
        stage: impl FnOnce(&mut dyn FnMut(Write)) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let mut staged = None;
        match self {
            Self::Inline(mut writer) => {
                let answer = stage(&mut |write| staged = Some(write));
                writer.commit_writes(staged.into_iter().collect());
                answer
            }
            Self::Thread(permit) => {
                let mut permit = Some(permit);
                stage(&mut |write| {
                    if let Some(permit) = permit.take() {
                        permit.send(Operation::Write(write));
                    }
                })
            }
        }
    }
}

/// All clusters by id. Only the writer changes the map.
#[derive(Default)]
pub(super) struct Clusters(RwLock<BTreeMap<Arc<str>, Entry>>);

struct Entry {
    record: Value,
    /// Of the base that the cluster had last.
    base: String,
    body: Body,
}

enum Body {
    /// Found at the start; waits for its base.
    Loaded {
        revision: u64,
        rows: Vec<LoadedRow>,
    },
    Served(Arc<Cluster>),
}

/// Key, revision, and the object or `None` for a deleted object of the base.
type LoadedRow = (Key, u64, Option<Arc<Object>>);

impl Clusters {
    pub(super) fn served(&self, id: &str) -> Option<Arc<Cluster>> {
        match &read(&self.0).get(id)?.body {
            Body::Served(cluster) => Some(Arc::clone(cluster)),
            Body::Loaded { .. } => None,
        }
    }

    pub(super) fn all_served(&self) -> Vec<Arc<Cluster>> {
        let clusters = read(&self.0);
        let bodies = clusters.values().map(|entry| &entry.body);
        bodies
            .filter_map(|body| match body {
                Body::Served(cluster) => Some(Arc::clone(cluster)),
                Body::Loaded { .. } => None,
            })
            .collect()
    }

    pub(super) fn records(&self) -> Vec<(String, Value)> {
        read(&self.0)
            .iter()
            .map(|(id, entry)| (id.to_string(), entry.record.clone()))
            .collect()
    }
}

/// What the log of record keeps as a cluster's record.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
    record: Value,
    base: String,
}

fn record_mutation(id: &Arc<str>, record: &Value, base: &str) -> Mutation {
    let stored = serde_json::json!({"record": record, "base": base});
    Mutation::Cluster {
        id: Arc::clone(id),
        record: stored.to_string().into(),
    }
}

/// Loads the clusters and starts the writer.
pub(super) fn start(mut storage: Box<dyn Storage>) -> Result<(Arc<Clusters>, Queue), StorageError> {
    let clusters = Arc::new(Clusters::default());
    for stored in storage.load()? {
        let id = Arc::clone(&stored.id);
        let entry = decode(stored).map_err(|source| StorageError::Failed {
            doing: format!("reading logical cluster {id:?} from the log of record"),
            source: source.into(),
        })?;
        write(&clusters.0).insert(id, entry);
    }
    let is_inline = storage.is_inline();
    let mut writer = Writer {
        storage: Some(storage),
        clusters: Arc::clone(&clusters),
        doubts: BTreeMap::new(),
        failure: Arc::new(StorageError::Closed),
        history_bytes: Arc::default(),
        served: Arc::default(),
    };
    if is_inline {
        return Ok((clusters, Queue::Inline(Arc::new(Mutex::new(writer)))));
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || writer.run(receiver))
        .map_err(|source| StorageError::Failed {
            doing: "starting the store's writer thread".into(),
            source: source.into(),
        })?;
    Ok((clusters, Queue::Thread(sender)))
}

fn decode(stored: StoredCluster) -> Result<Entry, String> {
    let decoded = serde_json::from_slice(&stored.record);
    let StoredRecord { record, base } =
        decoded.map_err(|error| format!("its record is no longer what was written: {error}"))?;
    let mut rows = Vec::with_capacity(stored.rows.len());
    for (key, row) in stored.rows {
        rows.push(match row {
            Row::Object { revision, json } => {
                let object = Object::from_json(json, revision);
                let object = object.map_err(|source| unreadable(&key, &source))?;
                (key, revision, Some(Arc::new(object)))
            }
            Row::Tombstone { revision } => (key, revision, None),
        });
    }
    let revision = stored.revision;
    Ok(Entry {
        record,
        base,
        body: Body::Loaded { revision, rows },
    })
}

/// Names the place of damage without the content, which may be secret.
fn unreadable(key: &Key, error: &serde_json::Error) -> String {
    let Key {
        resource,
        namespace,
        name,
    } = key;
    format!("{resource} {namespace}/{name} is no longer what was written: {error}")
}

/// What a failed commit may or may not have changed in the log of record.
#[derive(Default)]
struct Doubt {
    keys: BTreeSet<Key>,
    /// The record, or everything.
    whole: bool,
}

pub(super) struct Writer {
    /// `None` after the store was closed.
    storage: Option<Box<dyn Storage>>,
    clusters: Arc<Clusters>,
    /// Since the last successful commit.
    doubts: BTreeMap<Arc<str>, Doubt>,
    /// Why the last failed commit failed.
    failure: Arc<StorageError>,
    history_bytes: Arc<AtomicUsize>,
    /// Held by every cluster.
    served: Arc<()>,
}

impl Writer {
    fn run(&mut self, mut queue: mpsc::Receiver<Operation>) {
        let mut next = None;
        while let Some(operation) = next.take().or_else(|| queue.blocking_recv()) {
            match operation {
                Operation::Write(first) => {
                    let mut batch = vec![first];
                    while batch.len() < MAX_BATCH {
                        match queue.try_recv() {
                            Ok(Operation::Write(write)) => batch.push(write),
                            // An operation on a cluster is a batch of its own, after what came before it.
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit_writes(batch);
                }
                Operation::Admin(admin, done) => {
                    // Nobody waits for the answer any more: nothing to do about it.
                    done.send(self.administer(admin)).unwrap_or_default();
                }
                Operation::Compact => self.compact(),
                Operation::Snapshot(done) => {
                    // Nobody waits for the answer any more: nothing to do about it.
                    drop(done.send(self.snapshot()));
                }
                Operation::Close(done) => {
                    self.storage = None;
                    done.send(()).unwrap_or_default();
                }
            }
        }
    }

    fn commit_writes(&mut self, writes: Vec<Write>) {
        let mut clusters: BTreeMap<Arc<str>, Vec<Write>> = BTreeMap::new();
        for write in writes {
            if lock(&write.cluster.pending).closed {
                answer(write, Err(WriteError::Closed));
            } else if write.epoch != write.cluster.epoch.load(Ordering::Relaxed) {
                let failure = Arc::clone(&self.failure);
                answer(write, Err(WriteError::Storage(failure)));
            } else {
                let id = Arc::clone(&write.cluster.id);
                clusters.entry(id).or_default().push(write);
            }
        }
        let mut batch = Vec::new();
        for (id, writes) in &clusters {
            batch.extend(writes.iter().map(Write::mutation));
            batch.extend(writes.last().map(|last| Mutation::Revision {
                id: Arc::clone(id),
                revision: last.event.revision,
            }));
        }
        if batch.is_empty() {
            return;
        }
        match self.commit(batch) {
            Ok(()) => {
                for writes in clusters.into_values() {
                    publish(writes);
                }
            }
            Err(failure) => {
                for (id, writes) in clusters {
                    let keys = writes.iter().map(|write| write.event.key.clone());
                    self.doubts.entry(id).or_default().keys.extend(keys);
                    for write in writes {
                        write.cluster.roll_back();
                        answer(write, Err(refusal(&failure)));
                    }
                }
            }
        }
    }

    /// Commits the batch, after what brings the log of record back to the state in memory if that is in doubt.
    fn commit(&mut self, batch: Vec<Mutation>) -> Result<(), Arc<StorageError>> {
        let mut mutations = self.settle();
        mutations.extend(batch);
        let result = match &mut self.storage {
            Some(storage) => storage.commit(&mutations),
            None => return Err(Arc::new(StorageError::Closed)),
        };
        match result {
            Ok(()) => {
                self.doubts.clear();
                Ok(())
            }
            Err(failure) => {
                let cause = std::error::Error::source(&failure).map(ToString::to_string);
                tracing::error!(%failure, cause, "commit failed");
                self.failure = Arc::new(failure);
                Err(Arc::clone(&self.failure))
            }
        }
    }

    fn compact(&mut self) {
        if let Some(storage) = &mut self.storage {
            match storage.compact() {
                Ok(false) => {}
                Ok(true) => tracing::debug!("the log of record was compacted"),
                Err(failure) => tracing::warn!(%failure, "the log of record was not compacted"),
            }
        }
    }

    fn snapshot(&mut self) -> SnapshotAnswer {
        // What is in doubt must be neither in it nor missing.
        if !self.doubts.is_empty() {
            self.commit(Vec::new())?;
        }
        match &mut self.storage {
            Some(storage) => storage.snapshot().map_err(Arc::new),
            None => Err(Arc::new(StorageError::Closed)),
        }
    }

    fn settle(&self) -> Vec<Mutation> {
        let mut mutations = Vec::new();
        let clusters = read(&self.clusters.0);
        for (id, doubt) in &self.doubts {
            let id = Arc::clone(id);
            match (clusters.get(&id), doubt.whole) {
                (None, _) => mutations.push(Mutation::Drop { id }),
                (Some(entry), true) => {
                    mutations.push(Mutation::Drop {
                        id: Arc::clone(&id),
                    });
                    dump(&id, entry, &mut mutations);
                }
                (Some(entry), false) => {
                    if let Body::Served(cluster) = &entry.body {
                        restore(cluster, &doubt.keys, &mut mutations);
                    }
                }
            }
        }
        mutations
    }

    fn administer(&mut self, admin: Admin) -> AdminAnswer {
        match admin {
            Admin::Create { id, record, base } => self.create(id, record, base).map(Some),
            Admin::Attach { id, base } => self.attach(&id, base).map(Some),
            Admin::Update { id, record } => self.update(&id, record).map(|()| None),
            Admin::Drop { id } => self.drop_cluster(&id).map(|()| None),
        }
    }

    /// Commits a change of a whole cluster.
    fn commit_whole(&mut self, id: &Arc<str>, batch: Vec<Mutation>) -> Result<(), StoreError> {
        self.commit(batch).map_err(|failure| {
            self.doubts.entry(Arc::clone(id)).or_default().whole = true;
            failure.into()
        })
    }

    fn create(
        &mut self,
        id: Arc<str>,
        record: Value,
        base: Arc<Base>,
    ) -> Result<Arc<Cluster>, StoreError> {
        if read(&self.clusters.0).contains_key(&id) {
            return Err(StoreError::Exists(id));
        }
        let revision = FIRST_REVISION.max(base.revision());
        let batch = vec![
            record_mutation(&id, &record, base.fingerprint()),
            Mutation::Revision {
                id: Arc::clone(&id),
                revision,
            },
        ];
        self.commit_whole(&id, batch)?;
        let fingerprint = base.fingerprint().to_owned();
        let bytes = (Arc::clone(&self.history_bytes), Arc::clone(&self.served));
        let cluster = Arc::new(Cluster::new(
            Arc::clone(&id),
            base,
            revision,
            Vec::new(),
            bytes,
        ));
        let entry = Entry {
            record,
            base: fingerprint,
            body: Body::Served(Arc::clone(&cluster)),
        };
        write(&self.clusters.0).insert(id, entry);
        Ok(cluster)
    }

    fn attach(&mut self, id: &Arc<str>, base: Arc<Base>) -> Result<Arc<Cluster>, StoreError> {
        let (mut revision, change) = {
            let clusters = read(&self.clusters.0);
            let entry = clusters
                .get(id)
                .ok_or_else(|| StoreError::NotFound(Arc::clone(id)))?;
            let Body::Loaded { revision, .. } = &entry.body else {
                return Err(StoreError::Exists(Arc::clone(id)));
            };
            let is_other = entry.base != base.fingerprint();
            let change = is_other.then(|| record_mutation(id, &entry.record, base.fingerprint()));
            (*revision, change)
        };
        if let Some(change) = change {
            revision = base.revision().max(revision + 1);
            let id_again = Arc::clone(id);
            let batch = vec![
                change,
                Mutation::Revision {
                    id: id_again,
                    revision,
                },
            ];
            self.commit_whole(id, batch)?;
        }
        let mut clusters = write(&self.clusters.0);
        let entry = clusters
            .get_mut(id)
            .ok_or_else(|| StoreError::NotFound(Arc::clone(id)))?;
        let rows = match &mut entry.body {
            Body::Loaded { rows, .. } => std::mem::take(rows),
            Body::Served(_) => return Err(StoreError::Exists(Arc::clone(id))),
        };
        base.fingerprint().clone_into(&mut entry.base);
        let bytes = (Arc::clone(&self.history_bytes), Arc::clone(&self.served));
        let cluster = Arc::new(Cluster::new(Arc::clone(id), base, revision, rows, bytes));
        entry.body = Body::Served(Arc::clone(&cluster));
        Ok(cluster)
    }

    fn update(&mut self, id: &Arc<str>, record: Value) -> Result<(), StoreError> {
        let not_found = || StoreError::NotFound(Arc::clone(id));
        let change = {
            let clusters = read(&self.clusters.0);
            let entry = clusters.get(id).ok_or_else(not_found)?;
            record_mutation(id, &record, &entry.base)
        };
        self.commit_whole(id, vec![change])?;
        let mut clusters = write(&self.clusters.0);
        clusters.get_mut(id).ok_or_else(not_found)?.record = record;
        Ok(())
    }

    fn drop_cluster(&mut self, id: &Arc<str>) -> Result<(), StoreError> {
        if !read(&self.clusters.0).contains_key(id) {
            return Err(StoreError::NotFound(Arc::clone(id)));
        }
        self.commit_whole(id, vec![Mutation::Drop { id: Arc::clone(id) }])?;
        let entry = write(&self.clusters.0).remove(id);
        if let Some(Entry {
            body: Body::Served(cluster),
            ..
        }) = entry
        {
            cluster.close();
        }
        Ok(())
    }
}

fn publish(writes: Vec<Write>) {
    if let Some(last) = writes.last() {
        let events = writes.iter().map(|write| &write.event);
        last.cluster.publish(events, last.at);
    }
    for write in writes {
        let object = Arc::clone(&write.event.object);
        answer(write, Ok(object));
    }
}

fn answer(write: Write, answer: Answer) {
    // An error means that the caller went away; the write stands as it is.
    drop(write.done.send(answer));
}

fn refusal(failure: &Arc<StorageError>) -> WriteError {
    match &**failure {
        StorageError::Closed => WriteError::Closed,
        _ => WriteError::Storage(Arc::clone(failure)),
    }
}

/// What makes the log of record hold the cluster as it is in memory.
fn dump(id: &Arc<str>, entry: &Entry, mutations: &mut Vec<Mutation>) {
    mutations.push(record_mutation(id, &entry.record, &entry.base));
    let mut put = |key: Key, row: Row| {
        mutations.push(Mutation::Put {
            id: Arc::clone(id),
            key,
            row,
        });
    };
    let revision = match &entry.body {
        Body::Loaded { revision, rows } => {
            for (key, revision, object) in rows {
                put(key.clone(), row(object.as_ref(), *revision));
            }
            *revision
        }
        Body::Served(cluster) => {
            let state = read(&cluster.state);
            for (resource, collection) in &state.collections {
                for (namespace, name, object) in overlay::entries(&collection.layer, None) {
                    let key = Key::new(resource, namespace, name);
                    put(key, row(object.as_ref(), collection.changed));
                }
            }
            state.revision
        }
    };
    mutations.push(Mutation::Revision {
        id: Arc::clone(id),
        revision,
    });
}

/// What makes the log of record hold these keys as they are in memory.
fn restore(cluster: &Cluster, keys: &BTreeSet<Key>, mutations: &mut Vec<Mutation>) {
    let state = read(&cluster.state);
    let id = || Arc::clone(&cluster.id);
    for key in keys {
        let collection = state.collections.get(&key.resource);
        let own = collection.and_then(|c| Some((c.changed, overlay::get(&c.layer, key)?)));
        mutations.push(match own {
            Some((changed, object)) => Mutation::Put {
                id: id(),
                key: key.clone(),
                row: row(object.as_ref(), changed),
            },
            None => Mutation::Remove {
                id: id(),
                key: key.clone(),
            },
        });
    }
    mutations.push(Mutation::Revision {
        id: id(),
        revision: state.revision,
    });
}

/// The row of an object, or the tombstone of an object of the base that was deleted at `deleted` or before.
fn row(object: Option<&Arc<Object>>, deleted: u64) -> Row {
    match object {
        Some(object) => Row::Object {
            revision: object.header.revision,
            json: object.json.clone(),
        },
        None => Row::Tombstone { revision: deleted },
    }
}
