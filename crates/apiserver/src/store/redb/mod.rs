//! The durable log of record: one redb file for all logical clusters.

mod compact;
pub(super) mod medium;
mod tables;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use ::redb::{Builder, Database, DatabaseError, Error, StorageBackend};

use super::backup::{Item, Snapshot};
use super::storage::{Mutation, Storage, StorageError, StoredCluster};

use medium::{Given, Medium, OwnFile};
pub(super) use tables::Migration;
use tables::{MIGRATIONS, Tables};

/// Objects are read only once, at the start, and what commits read again is in the system's cache of the file anyway: this
/// holds the upper pages of the tree, and half of it a usual batch of writes.
const CACHE_BYTES: usize = 2 << 20;

/// A redb file. Every commit is one transaction and on disk when it returns.
pub struct Redb {
    path: PathBuf,
    medium: Box<dyn Medium>,
    /// `None` after a failure, which leaves redb unusable: the next commit opens the file again.
    database: Option<Database>,
    /// Held by the snapshots of the database, which redb ends with it.
    readers: Arc<()>,
    /// Databases that were replaced while snapshots of them were read.
    retired: Vec<(Weak<()>, Database)>,
    migrations: &'static [Migration],
    /// Bytes of keys and values in the tables.
    live_bytes: u64,
    /// Clusters were dropped since the file was last compacted: what was theirs may still be in unused pages.
    has_dropped: bool,
}

impl Redb {
    /// Opens the file at `path` and creates it, readable by its owner only, when it is missing.
    ///
    /// # Errors
    /// When the directory is missing or not writable, another process has the file open, the file is damaged or
    /// something else, or a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let medium = OwnFile(path.to_owned());
        Self::opened(path.to_owned(), MIGRATIONS, Box::new(medium))
    }

    /// Uses what `backend` gives in place of a file. It is called again after every failure.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_backend<B: StorageBackend>(
        backend: impl FnMut() -> io::Result<B> + Send + 'static,
    ) -> Result<Self, StorageError> {
        Self::migrated(backend, MIGRATIONS)
    }

    /// As [`with_backend`](Self::with_backend), with other migrations than those of this version.
    pub(super) fn migrated<B: StorageBackend>(
        backend: impl FnMut() -> io::Result<B> + Send + 'static,
        migrations: &'static [Migration],
    ) -> Result<Self, StorageError> {
        let path = PathBuf::from("the store's backend");
        Self::opened(path, migrations, Box::new(Given(backend)))
    }

    /// Uses another medium than a file.
    #[cfg(test)]
    pub(super) fn on(medium: impl Medium + 'static) -> Result<Self, StorageError> {
        let path = PathBuf::from("the store's medium");
        Self::opened(path, MIGRATIONS, Box::new(medium))
    }

    fn opened(
        path: PathBuf,
        migrations: &'static [Migration],
        medium: Box<dyn Medium>,
    ) -> Result<Self, StorageError> {
        let mut store = Self {
            path,
            medium,
            database: None,
            readers: Arc::new(()),
            retired: Vec::new(),
            migrations,
            live_bytes: 0,
            has_dropped: false,
        };
        store.database = Some(store.reopen()?);
        Ok(store)
    }

    fn reopen(&mut self) -> Result<Database, StorageError> {
        let medium = &mut self.medium;
        match catch_unwind(AssertUnwindSafe(|| medium.open())) {
            Ok(Ok(database)) => {
                let migrations = self.migrations;
                self.guarded("opening", || tables::prepare(&database, migrations))?;
                Ok(database)
            }
            Ok(Err(OpenError::File(source))) => {
                Err(explain(&self.path, "opening", Problem::File(source)))
            }
            Ok(Err(OpenError::Database(error))) => {
                Err(explain(&self.path, "opening", error.into()))
            }
            Err(panic) => Err(damaged(&self.path, panic_text(&*panic))),
        }
    }

    fn guarded<T>(
        &self,
        doing: &str,
        act: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, StorageError> {
        guarded(&self.path, doing, act)
    }
}

impl Redb {
    /// The database, opened again if it failed before.
    fn take(&mut self) -> Result<Database, StorageError> {
        match self.database.take() {
            Some(database) => Ok(database),
            None => self.reopen(),
        }
    }

    fn read_tables(&mut self, doing: &str) -> Result<Tables, StorageError> {
        let database = self.take()?;
        let tables = self.guarded(doing, || Tables::open(&database));
        self.database = Some(database);
        tables
    }
}

impl Storage for Redb {
    fn load(&mut self) -> Result<Vec<StoredCluster>, StorageError> {
        let tables = self.read_tables("reading")?;
        let loaded = self.guarded("reading", || tables.load())?;
        drop(tables);
        self.live_bytes = loaded.bytes;
        self.has_dropped = loaded.has_dropped;
        if self.is_compaction_due(true) {
            // There is nothing to lose: the file stays as it was.
            if let Err(error) = self.rewrite() {
                tracing::warn!(%error, "the store was not compacted");
            }
        }
        Ok(loaded.clusters)
    }

    fn commit(&mut self, batch: &[Mutation]) -> Result<(), StorageError> {
        let database = self.take()?;
        match self.guarded("committing to", || tables::commit(&database, batch)) {
            Ok(growth) => {
                self.database = Some(database);
                self.live_bytes = self.live_bytes.saturating_add_signed(growth);
                let mut drops = batch.iter().filter(|m| matches!(m, Mutation::Drop { .. }));
                self.has_dropped |= drops.next().is_some();
                Ok(())
            }
            Err(error) => {
                // Closing a database that failed may fail as well; the next opening repairs it.
                self.guarded("closing", || {
                    drop(database);
                    Ok(())
                })
                .unwrap_or_default();
                Err(error)
            }
        }
    }

    fn compact(&mut self) -> Result<bool, StorageError> {
        self.retired
            .retain(|(readers, _)| readers.strong_count() > 0);
        let is_due = self.is_compaction_due(false);
        if is_due {
            self.rewrite()?;
        }
        Ok(is_due)
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot>, StorageError> {
        let tables = self.read_tables("reading")?;
        Ok(Box::new(RedbSnapshot {
            path: self.path.clone(),
            tables,
            _reader: Arc::clone(&self.readers),
        }))
    }

    fn is_inline(&self) -> bool {
        false
    }
}

/// The state of a moment: redb keeps the pages of it for as long as this lives.
struct RedbSnapshot {
    path: PathBuf,
    tables: Tables,
    _reader: Arc<()>,
}

impl Snapshot for RedbSnapshot {
    fn read(
        &mut self,
        each: &mut dyn FnMut(Item<'_>) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        let mut stopped = None;
        let tables = &self.tables;
        guarded(&self.path, "reading", || {
            tables.each(&mut |item| {
                each(item).map_err(|error| {
                    stopped = Some(error);
                    Problem::Stopped
                })
            })
        })
        .map_err(|error| match stopped {
            Some(source) => StorageError::Failed {
                doing: "writing the backup".into(),
                source: source.into(),
            },
            None => error,
        })
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What went wrong inside.
pub(super) enum Problem {
    Redb(Error),
    /// What does not make sense.
    Damaged(String),
    /// The format that was found, and the newest that this version knows.
    Newer {
        found: u64,
        supported: u64,
    },
    File(io::Error),
    /// The reader of a snapshot has had enough.
    Stopped,
}

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// Runs `act` and explains how it failed. redb checks what it reads with assertions, so on a damaged file it may panic.
fn guarded<T>(
    path: &Path,
    doing: &str,
    act: impl FnOnce() -> Result<T, Problem>,
) -> Result<T, StorageError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|problem| explain(path, doing, problem)),
        Err(panic) => Err(damaged(path, panic_text(&*panic))),
    }
}

fn damaged(path: &Path, detail: String) -> StorageError {
    StorageError::Corrupt {
        path: path.to_owned(),
        detail,
    }
}

fn explain(path: &Path, doing: &str, problem: Problem) -> StorageError {
    let error = match problem {
        Problem::Redb(error) => error,
        Problem::Damaged(detail) => return damaged(path, detail),
        Problem::Newer { found, supported } => {
            return StorageError::NewerFormat {
                path: path.to_owned(),
                found,
                supported,
            };
        }
        Problem::File(source) => {
            return StorageError::Unwritable {
                path: path.to_owned(),
                source,
            };
        }
        // Whoever stopped it says why.
        Problem::Stopped => return StorageError::Closed,
    };
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => StorageError::Locked {
            path: path.to_owned(),
        },
        Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            damaged(path, error.to_string())
        }
        Error::Corrupted(_)
        | Error::UpgradeRequired(_)
        | Error::RepairAborted
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TypeDefinitionChanged { .. }
        | Error::TableDoesNotExist(_) => damaged(path, error.to_string()),
        other => StorageError::Failed {
            doing: format!("{doing} {}", path.display()),
            source: Box::new(other),
        },
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a check failed").to_owned()
}

/// Opens the database in a backend, or makes one there.
pub(super) fn build(backend: impl StorageBackend) -> Result<Database, OpenError> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        // Everything is read at the start anyway; this tells a damaged file from a good one.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(OpenError::Database)
}

/// Why a medium could not be opened.
pub(super) enum OpenError {
    File(io::Error),
    Database(DatabaseError),
}
