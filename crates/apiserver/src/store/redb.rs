//! The durable log of record: one redb file for all logical clusters.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::backends::FileBackend;
use ::redb::{
    Builder, Database, DatabaseError, Error, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableError,
};
use bytes::Bytes;

use super::storage::{Mutation, Row, Storage, StorageError, StoredCluster};
use crate::object::Key;

/// Version of the tables below.
const FORMAT: u64 = 1;
/// Pages are only read once, at the start, so a small cache does.
const CACHE_BYTES: usize = 32 << 20;

/// `format` → [`FORMAT`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Cluster → its record.
const CLUSTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("clusters");
/// Cluster → its newest revision.
const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Cluster, resource, namespace, name → revision (8 bytes, big-endian) and JSON, which is empty for a tombstone.
const ROWS: TableDefinition<'_, RowKey<'_>, &[u8]> = TableDefinition::new("rows");

type RowKey<'a> = (&'a str, &'a str, &'a str, &'a str);

/// A redb file. Every commit is one transaction and on disk when it returns.
pub struct Redb {
    path: PathBuf,
    open: Box<dyn FnMut() -> Result<Database, OpenError> + Send>,
    /// `None` after a failure, which leaves redb unusable: the next commit opens the file again.
    database: Option<Database>,
}

impl Redb {
    /// Opens the file at `path` and creates it, readable by its owner only, when it is missing.
    ///
    /// # Errors
    /// When the directory is missing or not writable, another process has the file open, the file is damaged or
    /// something else, or a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let file = path.to_owned();
        Self::opened(path.to_owned(), move || {
            let opened = open_file(&file).map_err(OpenError::File)?;
            let backend = FileBackend::new(opened).map_err(OpenError::Database)?;
            let database = build(backend)?;
            sync_directory(&file).map_err(OpenError::File)?;
            Ok(database)
        })
    }

    /// Uses what `backend` gives in place of a file. It is called again after every failure.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_backend<B: StorageBackend>(
        mut backend: impl FnMut() -> io::Result<B> + Send + 'static,
    ) -> Result<Self, StorageError> {
        Self::opened(PathBuf::from("the store's backend"), move || {
            build(backend().map_err(OpenError::File)?)
        })
    }

    fn opened(
        path: PathBuf,
        open: impl FnMut() -> Result<Database, OpenError> + Send + 'static,
    ) -> Result<Self, StorageError> {
        let mut store = Self {
            path,
            open: Box::new(open),
            database: None,
        };
        store.database = Some(store.reopen()?);
        Ok(store)
    }

    fn reopen(&mut self) -> Result<Database, StorageError> {
        let open = &mut self.open;
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(database)) => {
                self.guarded("opening", || prepare(&database))?;
                Ok(database)
            }
            Ok(Err(OpenError::File(source))) => Err(StorageError::Unwritable {
                path: self.path.clone(),
                source,
            }),
            Ok(Err(OpenError::Database(error))) => {
                Err(self.explain("opening", Problem::Redb(error.into())))
            }
            Err(panic) => Err(self.damaged(panic_text(&*panic))),
        }
    }

    /// Runs `act` and explains how it failed. redb checks what it reads with assertions, so on a damaged file it may panic.
    fn guarded<T>(
        &self,
        doing: &str,
        act: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, StorageError> {
        match catch_unwind(AssertUnwindSafe(act)) {
            Ok(result) => result.map_err(|problem| self.explain(doing, problem)),
            Err(panic) => Err(self.damaged(panic_text(&*panic))),
        }
    }

    fn explain(&self, doing: &str, problem: Problem) -> StorageError {
        let error = match problem {
            Problem::Redb(error) => error,
            Problem::Damaged(detail) => return self.damaged(detail),
            Problem::Newer(found) => {
                return StorageError::NewerFormat {
                    path: self.path.clone(),
                    found,
                    supported: FORMAT,
                };
            }
        };
        match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => StorageError::Locked {
                path: self.path.clone(),
            },
            Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                self.damaged(error.to_string())
            }
            Error::Corrupted(_)
            | Error::UpgradeRequired(_)
            | Error::RepairAborted
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::TableDoesNotExist(_) => self.damaged(error.to_string()),
            other => StorageError::Failed {
                doing: format!("{doing} {}", self.path.display()),
                source: Box::new(other),
            },
        }
    }

    fn damaged(&self, detail: String) -> StorageError {
        StorageError::Corrupt {
            path: self.path.clone(),
            detail,
        }
    }
}

impl Storage for Redb {
    fn load(&mut self) -> Result<Vec<StoredCluster>, StorageError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        let loaded = self.guarded("reading", || load(&database));
        self.database = Some(database);
        loaded
    }

    fn commit(&mut self, batch: &[Mutation]) -> Result<(), StorageError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        let result = self.guarded("committing to", || commit(&database, batch));
        if result.is_ok() {
            self.database = Some(database);
        } else {
            // Closing a database that failed may fail as well; the next opening repairs it.
            self.guarded("closing", || {
                drop(database);
                Ok(())
            })
            .unwrap_or_default();
        }
        result
    }

    fn is_inline(&self) -> bool {
        false
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

enum OpenError {
    File(io::Error),
    Database(DatabaseError),
}

enum Problem {
    Redb(Error),
    /// What does not make sense.
    Damaged(String),
    /// The format that was found.
    Newer(u64),
}

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a check failed").to_owned()
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        // It holds Secrets and private keys.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options.open(path)
}

/// Makes a newly created file's name durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn build(backend: impl StorageBackend) -> Result<Database, OpenError> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        // Everything is read at the start anyway; this tells a damaged file from a good one.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(OpenError::Database)
}

/// Makes the tables of a new database, or checks that an old one is ours.
fn prepare(database: &Database) -> Result<(), Problem> {
    let read = database.begin_read()?;
    match read.open_table(META) {
        Ok(meta) => match meta.get("format")?.map(|format| format.value()) {
            Some(FORMAT) => Ok(()),
            Some(found) if found > FORMAT => Err(Problem::Newer(found)),
            _ => Err(Problem::Damaged("its format record is missing".into())),
        },
        Err(TableError::TableDoesNotExist(_)) if read.list_tables()?.next().is_none() => {
            let mut write = database.begin_write()?;
            write.set_quick_repair(true);
            write.open_table(META)?.insert("format", FORMAT)?;
            write.open_table(CLUSTERS)?;
            write.open_table(REVISIONS)?;
            write.open_table(ROWS)?;
            write.commit()?;
            Ok(())
        }
        Err(TableError::TableDoesNotExist(_)) => Err(Problem::Damaged(
            "it is the database of another program".into(),
        )),
        Err(error) => Err(error.into()),
    }
}

fn load(database: &Database) -> Result<Vec<StoredCluster>, Problem> {
    let read = database.begin_read()?;
    let mut clusters: BTreeMap<Arc<str>, StoredCluster> = BTreeMap::new();
    let revisions = read.open_table(REVISIONS)?;
    for entry in read.open_table(CLUSTERS)?.iter()? {
        let (id, record) = entry?;
        let id: Arc<str> = id.value().into();
        let revision = revisions.get(&*id)?.map(|revision| revision.value());
        let stored = StoredCluster {
            id: Arc::clone(&id),
            record: Bytes::copy_from_slice(record.value()),
            revision: revision.ok_or_else(|| {
                Problem::Damaged(format!("logical cluster {id:?} has no revision"))
            })?,
            rows: Vec::new(),
        };
        clusters.insert(id, stored);
    }
    let mut resource: Arc<str> = "".into();
    let mut namespace: Arc<str> = "".into();
    for entry in read.open_table(ROWS)?.iter()? {
        let (key, value) = entry?;
        let (id, r, ns, name) = key.value();
        let damaged = || {
            Problem::Damaged(format!(
                "the row of {r} {ns}/{name} in {id:?} is unreadable"
            ))
        };
        let cluster = clusters.get_mut(id).ok_or_else(damaged)?;
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
        let row = decode(value.value()).ok_or_else(damaged)?;
        cluster.rows.push((key, row));
    }
    Ok(clusters.into_values().collect())
}

fn commit(database: &Database, batch: &[Mutation]) -> Result<(), Problem> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    {
        let mut clusters = write.open_table(CLUSTERS)?;
        let mut revisions = write.open_table(REVISIONS)?;
        let mut rows = write.open_table(ROWS)?;
        for mutation in batch {
            match mutation {
                Mutation::Cluster { id, record } => {
                    clusters.insert(&**id, &**record)?;
                }
                Mutation::Revision { id, revision } => {
                    revisions.insert(&**id, revision)?;
                }
                Mutation::Put { id, key, row } => {
                    rows.insert(row_key(id, key), encode(row).as_slice())?;
                }
                Mutation::Remove { id, key } => {
                    rows.remove(row_key(id, key))?;
                }
                Mutation::Drop { id } => {
                    clusters.remove(&**id)?;
                    revisions.remove(&**id)?;
                    let end = format!("{id}\0");
                    let all: Range<RowKey<'_>> = (&**id, "", "", "")..(&*end, "", "", "");
                    rows.retain_in(all, |_, _| false)?;
                }
            }
        }
    }
    write.commit()?;
    Ok(())
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

fn decode(value: &[u8]) -> Option<Row> {
    let (revision, json) = value.split_first_chunk()?;
    let revision = u64::from_be_bytes(*revision);
    Some(if json.is_empty() {
        Row::Tombstone { revision }
    } else {
        Row::Object {
            revision,
            json: Bytes::copy_from_slice(json),
        }
    })
}
