//! What is in the file: tables, their format, and how a batch becomes a transaction.

use std::ops::Range;
use std::sync::Arc;

use ::redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use bytes::Bytes;

use super::Problem;
use crate::object::Key;
use crate::store::backup::Item;
use crate::store::storage::{Mutation, Row, StoredCluster};

/// Turns a file of one format into one of the next, in a transaction that also writes the new format's number.
pub(in crate::store) type Migration = fn(&WriteTransaction) -> Result<(), Problem>;

/// The first migrates format 1, the second format 2, and so on. Never remove or change one: files of all formats open.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// [`FORMAT`] and [`DROPPED`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Cluster → its record.
const CLUSTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("clusters");
/// Cluster → its newest revision.
const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Cluster, resource, namespace, name → revision (8 bytes, big-endian) and JSON, which is empty for a tombstone.
const ROWS: TableDefinition<'_, RowKey<'_>, &[u8]> = TableDefinition::new("rows");

/// Entry of the table of numbers: the format of the tables.
const FORMAT: &str = "format";
/// Entry of the table of numbers: whether a cluster was dropped since the file was made.
const DROPPED: &str = "dropped";

type RowKey<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The newest format with these migrations.
pub(super) fn format(migrations: &[Migration]) -> u64 {
    1 + migrations.len() as u64
}

/// Makes the tables of a new database, brings those of an older format to the newest, or checks that an old one is ours.
pub(super) fn prepare(database: &Database, migrations: &[Migration]) -> Result<(), Problem> {
    let newest = format(migrations);
    let read = database.begin_read()?;
    let found = match read.open_table(META) {
        Ok(meta) => meta.get(FORMAT)?.map(|format| format.value()),
        Err(TableError::TableDoesNotExist(_)) if read.list_tables()?.next().is_none() => {
            let mut write = database.begin_write()?;
            write.set_quick_repair(true);
            write.open_table(META)?.insert(FORMAT, newest)?;
            write.open_table(CLUSTERS)?;
            write.open_table(REVISIONS)?;
            write.open_table(ROWS)?;
            write.commit()?;
            return Ok(());
        }
        Err(TableError::TableDoesNotExist(_)) => {
            let detail = "it is the database of another program";
            return Err(Problem::Damaged(detail.into()));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(mut found) = found.filter(|found| *found > 0) else {
        return Err(Problem::Damaged("its format record is missing".into()));
    };
    if found > newest {
        return Err(Problem::Newer {
            found,
            supported: newest,
        });
    }
    // Each step is durable before the next: a crash between two of them goes on from there.
    for migration in migrations
        .iter()
        .skip(usize::try_from(found - 1).unwrap_or(usize::MAX))
    {
        tracing::info!(from = found, to = found + 1, "migrating the store");
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        migration(&write)?;
        found += 1;
        write.open_table(META)?.insert(FORMAT, found)?;
        write.commit()?;
    }
    Ok(())
}

/// All tables as they are at a moment.
pub(super) struct Tables {
    meta: ReadOnlyTable<&'static str, u64>,
    clusters: ReadOnlyTable<&'static str, &'static [u8]>,
    revisions: ReadOnlyTable<&'static str, u64>,
    rows: ReadOnlyTable<RowKey<'static>, &'static [u8]>,
}

/// What is in the file.
pub(super) struct Loaded {
    pub(super) clusters: Vec<StoredCluster>,
    /// Of keys and values.
    pub(super) bytes: u64,
    /// Clusters were dropped since the file was made.
    pub(super) has_dropped: bool,
}

impl Tables {
    pub(super) fn open(database: &Database) -> Result<Self, Problem> {
        let read = database.begin_read()?;
        Ok(Self {
            meta: read.open_table(META)?,
            clusters: read.open_table(CLUSTERS)?,
            revisions: read.open_table(REVISIONS)?,
            rows: read.open_table(ROWS)?,
        })
    }

    pub(super) fn load(&self) -> Result<Loaded, Problem> {
        let mut clusters: Vec<StoredCluster> = Vec::new();
        let mut bytes = 0;
        let mut resource: Arc<str> = "".into();
        let mut namespace: Arc<str> = "".into();
        self.each(&mut |item| {
            match item {
                Item::Cluster {
                    id,
                    record,
                    revision,
                } => {
                    bytes += (id.len() + record.len()) as u64;
                    clusters.push(StoredCluster {
                        id: id.into(),
                        record: Bytes::copy_from_slice(record),
                        revision,
                        rows: Vec::new(),
                    });
                }
                Item::Row {
                    resource: r,
                    namespace: ns,
                    name,
                    revision,
                    json,
                } => {
                    // Neighbours share the parts of their keys.
                    if *resource != *r {
                        resource = r.into();
                    }
                    if *namespace != *ns {
                        namespace = ns.into();
                    }
                    let key = Key {
                        resource: Arc::clone(&resource),
                        namespace: Arc::clone(&namespace),
                        name: name.into(),
                    };
                    if let Some(cluster) = clusters.last_mut() {
                        bytes += row_bytes(cluster.id.len(), &key, json.len());
                        cluster.rows.push((key, Row::new(revision, json)));
                    }
                }
            }
            Ok(())
        })?;
        let dropped = self.meta.get(DROPPED)?;
        Ok(Loaded {
            clusters,
            bytes,
            has_dropped: dropped.is_some_and(|dropped| dropped.value() > 0),
        })
    }

    /// Every cluster, each followed by its rows, in order.
    pub(super) fn each(
        &self,
        each: &mut dyn FnMut(Item<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut rows = self.rows.iter()?;
        let mut next = rows.next().transpose()?;
        for cluster in self.clusters.iter()? {
            let (id, record) = cluster?;
            let (id, record) = (id.value(), record.value());
            let revision = self.revisions.get(id)?.map(|revision| revision.value());
            let revision = revision.ok_or_else(|| {
                Problem::Damaged(format!("logical cluster {id:?} has no revision"))
            })?;
            each(Item::Cluster {
                id,
                record,
                revision,
            })?;
            while let Some((key, value)) = &next {
                let (of, resource, namespace, name) = key.value();
                if of != id {
                    break;
                }
                let Some((revision, json)) = decode(value.value()) else {
                    return Err(unreadable(key.value(), "it is too short"));
                };
                each(Item::Row {
                    resource,
                    namespace,
                    name,
                    revision,
                    json,
                })?;
                next = rows.next().transpose()?;
            }
        }
        match next {
            Some((key, _)) => Err(unreadable(key.value(), "there is no such cluster")),
            None => Ok(()),
        }
    }

    /// Fills the empty tables of another database with what is in these.
    pub(super) fn copy_to(&self, database: &Database) -> Result<(), Problem> {
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        {
            let mut clusters = write.open_table(CLUSTERS)?;
            for entry in self.clusters.iter()? {
                let (id, record) = entry?;
                clusters.insert(id.value(), record.value())?;
            }
            let mut revisions = write.open_table(REVISIONS)?;
            for entry in self.revisions.iter()? {
                let (id, revision) = entry?;
                revisions.insert(id.value(), revision.value())?;
            }
            let mut rows = write.open_table(ROWS)?;
            for entry in self.rows.iter()? {
                let (key, row) = entry?;
                rows.insert(key.value(), row.value())?;
            }
        }
        write.commit()?;
        Ok(())
    }
}

fn unreadable((id, resource, namespace, name): RowKey<'_>, why: &str) -> Problem {
    Problem::Damaged(format!(
        "the row of {resource} {namespace}/{name} in logical cluster {id:?} is unreadable: {why}"
    ))
}

/// Makes the batch durable. The answer is by how many bytes the content has grown.
pub(super) fn commit(database: &Database, batch: &[Mutation]) -> Result<i64, Problem> {
    // One sync, which checksums make safe: what a crash leaves half written is not taken for a commit. Quick repair would
    // sync twice and write the whole state of the allocator with each commit, so that opening after a crash need not read
    // everything; this store reads everything whenever it is opened. The price: redb's checksums are not cryptographic, so
    // somebody who chooses what is stored, and in the same moment takes the machine's power, could try for a torn commit
    // that passes for a whole one.
    let write = database.begin_write()?;
    let mut added = 0;
    let mut removed = 0;
    {
        let mut meta = write.open_table(META)?;
        let mut clusters = write.open_table(CLUSTERS)?;
        let mut revisions = write.open_table(REVISIONS)?;
        let mut rows = write.open_table(ROWS)?;
        for mutation in batch {
            match mutation {
                Mutation::Cluster { id, record } => {
                    added += (id.len() + record.len()) as u64;
                    if let Some(old) = clusters.insert(&**id, &**record)? {
                        removed += (id.len() + old.value().len()) as u64;
                    }
                }
                Mutation::Revision { id, revision } => {
                    revisions.insert(&**id, revision)?;
                }
                Mutation::Put { id, key, row } => {
                    let row = encode(row);
                    added += row_bytes(id.len(), key, row.len());
                    if let Some(old) = rows.insert(row_key(id, key), row.as_slice())? {
                        removed += row_bytes(id.len(), key, old.value().len());
                    }
                }
                Mutation::Remove { id, key } => {
                    if let Some(old) = rows.remove(row_key(id, key))? {
                        removed += row_bytes(id.len(), key, old.value().len());
                    }
                }
                Mutation::Drop { id } => {
                    meta.insert(DROPPED, 1)?;
                    if let Some(old) = clusters.remove(&**id)? {
                        removed += (id.len() + old.value().len()) as u64;
                    }
                    revisions.remove(&**id)?;
                    let end = format!("{id}\0");
                    let all: Range<RowKey<'_>> = (&**id, "", "", "")..(&*end, "", "", "");
                    rows.retain_in(all, |(id, resource, namespace, name), old| {
                        let key = id.len() + resource.len() + namespace.len() + name.len();
                        removed += (key + old.len()) as u64;
                        false
                    })?;
                }
            }
        }
    }
    write.commit()?;
    Ok(added.cast_signed() - removed.cast_signed())
}

/// Of a row with its key.
fn row_bytes(id: usize, key: &Key, value: usize) -> u64 {
    let key = key.resource.len() + key.namespace.len() + key.name.len();
    (id + key + value) as u64
}

fn row_key<'a>(id: &'a str, key: &'a Key) -> RowKey<'a> {
    (id, &key.resource, &key.namespace, &key.name)
}

fn encode(row: &Row) -> Vec<u8> {
    let (revision, json) = match row {
        Row::Object { revision, json } => (revision, &json[..]),
        Row::Tombstone { revision } => (revision, &[][..]),
    };
    [&revision.to_be_bytes(), json].concat()
}

/// Revision and JSON.
fn decode(value: &[u8]) -> Option<(u64, &[u8])> {
    let (revision, json) = value.split_first_chunk()?;
    Some((u64::from_be_bytes(*revision), json))
}
