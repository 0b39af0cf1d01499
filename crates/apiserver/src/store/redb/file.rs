//! The file itself: who may read it, who has it, and that its name is durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use ::redb::Database;
use ::redb::DatabaseError;
use ::redb::backends::FileBackend;

use super::{OpenError, build};

/// Opens the file and takes its lock; creates it when it is missing.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
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

/// Makes an empty database that is to take the place of the file.
pub(super) fn create_successor(path: &Path) -> Result<Database, OpenError> {
    let successor = successor(path);
    remove(&successor).map_err(OpenError::File)?;
    let file = options().create_new(true).open(&successor);
    let file = file.map_err(OpenError::File)?;
    build(FileBackend::new(file).map_err(OpenError::Database)?)
}

/// Puts the successor in the file's place, durably.
pub(super) fn succeed(path: &Path) -> io::Result<()> {
    std::fs::rename(successor(path), path)?;
    sync_directory(path)
}

/// Gives a successor up.
pub(super) fn discard_successor(path: &Path) {
    // If that fails as well, the next opening tries again.
    remove(&successor(path)).unwrap_or_default();
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
