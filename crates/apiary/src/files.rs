//! Files and directories that only their owner can read, and that are never half there.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::config::DataDir;

/// Makes a data directory if it is missing.
///
/// # Errors
/// When it cannot be made.
pub fn open_data_dir(path: PathBuf) -> Result<DataDir> {
    // The store holds the keys of all clusters: nobody else may look into it.
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .with_context(|| {
            format!(
                "the data directory {} cannot be made: choose another with --data-dir",
                path.display()
            )
        })?;
    let path = path
        .canonicalize()
        .with_context(|| format!("the data directory {}", path.display()))?;
    Ok(DataDir(path))
}

/// A file that is to take the place of another.
pub struct Replacement {
    /// Open for reading and writing.
    pub file: File,
}

/// Writes a file anew: its name leads to the old content or, when `write` is done, to all of the new one.
///
/// # Errors
/// When `write` fails or the file cannot be written; the old one is as it was.
pub fn replace<T>(path: &Path, write: impl FnOnce(&mut Replacement) -> Result<T>) -> Result<T> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    remove(&temporary)?;
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let file = options
        .open(&temporary)
        .with_context(|| format!("writing {}", temporary.display()))?;
    let mut new = Replacement { file };
    let written = write(&mut new).and_then(|written| {
        new.file
            .sync_all()
            .with_context(|| format!("writing {}", temporary.display()))?;
        rename(&temporary, path)?;
        Ok(written)
    });
    if written.is_err() {
        remove(&temporary)?;
    }
    written
}

/// Writes a file that only its owner can read.
///
/// # Errors
/// When it cannot be written; an old one is as it was.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    replace(path, |new| {
        new.file
            .write_all(text.as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    })
}

/// Gives a file another name, durably.
///
/// # Errors
/// When that fails.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().filter(|parent| *parent != Path::new(""));
    std::fs::rename(from, to)
        .and_then(|()| File::open(parent.unwrap_or(Path::new(".")))?.sync_all())
        .with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

/// Removes a file that may be missing.
///
/// # Errors
/// When it is there and stays.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
