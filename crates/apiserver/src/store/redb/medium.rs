//! Where the database is: a file and the name of the one that is to take its place; and who may read it, who has it, and
//! that its name is durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use ::redb::backends::FileBackend;
use ::redb::{Database, DatabaseError, StorageBackend};

use super::{OpenError, build};

/// Where a database is, and how another one takes its place.
pub(in crate::store) trait Medium: Send {
    /// Opens what is there, or creates it, and removes a successor that never took its place.
    fn open(&mut self) -> Result<Database, OpenError>;

    /// How many bytes it takes; `None` where no other can take its place.
    fn length(&self) -> Option<u64>;

    /// Makes an empty database that is to take its place.
    fn create_successor(&mut self) -> Result<Database, OpenError>;

    /// Puts the successor in its place, durably. After an error either may be there.
    fn succeed(&mut self) -> io::Result<()>;

    /// Gives the successor up.
    fn discard_successor(&mut self);
}

/// A file of its own; the successor is beside it until it takes its name.
pub(super) struct OwnFile(pub(super) PathBuf);

impl Medium for OwnFile {
    fn open(&mut self) -> Result<Database, OpenError> {
        let path = &self.0;
        let file = options().create(true).truncate(false).open(path);
        let file = file.map_err(OpenError::File)?;
        let ours = identity(&file.metadata().map_err(OpenError::File)?);
        let backend = FileBackend::new(file).map_err(OpenError::Database)?;
        // Between opening and locking it, another process may have put a compacted file in its place.
        let there = std::fs::metadata(path).map_err(OpenError::File)?;
        if identity(&there) != ours {
            return Err(OpenError::Database(DatabaseError::DatabaseAlreadyOpen));
        }
        // What a compaction left that was killed.
        remove(&successor(path)).map_err(OpenError::File)?;
        let database = build(backend)?;
        sync_directory(path).map_err(OpenError::File)?;
        Ok(database)
    }

    fn length(&self) -> Option<u64> {
        std::fs::metadata(&self.0).ok().map(|file| file.len())
    }

    fn create_successor(&mut self) -> Result<Database, OpenError> {
        let successor = successor(&self.0);
        remove(&successor).map_err(OpenError::File)?;
        let file = options().create_new(true).open(&successor);
        let file = file.map_err(OpenError::File)?;
        build(FileBackend::new(file).map_err(OpenError::Database)?)
    }

    fn succeed(&mut self) -> io::Result<()> {
        std::fs::rename(successor(&self.0), &self.0)?;
        sync_directory(&self.0)
    }

    fn discard_successor(&mut self) {
        // If that fails as well, the next opening tries again.
        remove(&successor(&self.0)).unwrap_or_default();
    }
}

/// What a function gives, which stays where it is.
pub(super) struct Given<F>(pub(super) F);

impl<B: StorageBackend, F: FnMut() -> io::Result<B> + Send> Medium for Given<F> {
    fn open(&mut self) -> Result<Database, OpenError> {
        build(self.0().map_err(OpenError::File)?)
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn create_successor(&mut self) -> Result<Database, OpenError> {
        Err(OpenError::File(io::ErrorKind::Unsupported.into()))
    }

    fn succeed(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn discard_successor(&mut self) {}
}

fn successor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".compact");
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        // It holds Secrets and private keys.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) {}

/// Makes a name in the directory of `path` durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
