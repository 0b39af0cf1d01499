//! Backups: all logical clusters as they are at one moment, in one file; and how a store comes out of one again.
//!
//! A backup is written while the server goes on, in one pass and in little memory. It holds everything that the log of
//! record holds, keys and Secrets included, and none of the history. The file:
//!
//! ```text
//! "apiary backup\n"           magic, 14 bytes
//! format                      4 bytes; all numbers are big-endian
//! gzip of records, each a tag (1 byte) and fields; texts and bytes have their length (4 bytes) before them
//!   'C'  cluster: id, record (JSON), revision (8 bytes)
//!   'R'  row of the last cluster: resource, namespace, name, revision (8 bytes), JSON, which is empty for a tombstone
//!   'E'  end: clusters (8 bytes), rows (8 bytes)
//! SHA-256 of all bytes before it
//! ```
//!
//! A store that is restored has gone back in time, and clients may know revisions that it never had. So every cluster's
//! revision leaps ahead by [`REVISION_LEAP`]: what clients know is older than all history, they are told so (410), and list
//! again. Revisions that were lost are never given again.

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::storage::{Mutation, Row, Storage, StorageError, StoredCluster};
use crate::object::Key;

/// By how much the revision of every cluster grows when it is restored.
pub const REVISION_LEAP: u64 = 1_000_000_000;

const MAGIC: &[u8] = b"apiary backup\n";
const FORMAT: u32 = 1;
const DIGEST_BYTES: usize = 32;
const HEAD_BYTES: usize = MAGIC.len() + 4;
/// Longest field: an object at its limit, or a cluster's record, with much room.
const MAX_FIELD_BYTES: usize = 64 << 20;
/// What is committed at once while restoring.
const BATCH_BYTES: usize = 4 << 20;

/// What a snapshot consists of, in this order: each cluster is followed by its rows, and both are ordered by their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Cluster {
        id: &'a str,
        /// See [`Mutation::Cluster`].
        record: &'a [u8],
        revision: u64,
    },
    Row {
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
        revision: u64,
        /// Empty for a tombstone.
        json: &'a [u8],
    },
}

/// The content of a log of record at one moment, whatever is committed since.
pub trait Snapshot: Send {
    /// Hands out everything, in order. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read, or `each` fails.
    fn read(
        &mut self,
        each: &mut dyn FnMut(Item<'_>) -> io::Result<()>,
    ) -> Result<(), StorageError>;
}

/// A log in memory is its own snapshot.
impl Snapshot for Vec<StoredCluster> {
    fn read(
        &mut self,
        each: &mut dyn FnMut(Item<'_>) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        let mut each = |item: Item<'_>| {
            each(item).map_err(|source| StorageError::Failed {
                doing: "writing the backup".into(),
                source: source.into(),
            })
        };
        for cluster in self {
            each(Item::Cluster {
                id: &cluster.id,
                record: &cluster.record,
                revision: cluster.revision,
            })?;
            for (key, row) in &cluster.rows {
                let (revision, json) = match row {
                    Row::Object { revision, json } => (*revision, &json[..]),
                    Row::Tombstone { revision } => (*revision, &[][..]),
                };
                each(Item::Row {
                    resource: &key.resource,
                    namespace: &key.namespace,
                    name: &key.name,
                    revision,
                    json,
                })?;
            }
        }
        Ok(())
    }
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Logical clusters.
    pub clusters: u64,
    /// Objects, and notes about deleted objects of the base.
    pub rows: u64,
}

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("it is no backup of Apiary")]
    Foreign,
    #[error(
        "it was written by a newer version (format {found}, this version reads up to {FORMAT}); use that version"
    )]
    NewerFormat { found: u32 },
    #[error("it is incomplete or damaged: {0}; use another backup")]
    Damaged(String),
    #[error("the store to restore into is not empty")]
    NotEmpty,
    #[error("reading it failed")]
    Read(#[source] io::Error),
    #[error("the store to restore into failed")]
    Storage(#[from] StorageError),
}

/// Writes the snapshot as a backup, in many small pieces: give it a buffer. Blocks.
///
/// # Errors
/// When the snapshot cannot be read or `to` not be written.
pub fn write(snapshot: &mut dyn Snapshot, to: impl Write) -> Result<Summary, StorageError> {
    let failed = |source: io::Error| StorageError::Failed {
        doing: "writing the backup".into(),
        source: source.into(),
    };
    let mut to = Hashing::new(to);
    to.write_all(MAGIC).map_err(failed)?;
    to.write_all(&FORMAT.to_be_bytes()).map_err(failed)?;
    let mut zip = GzEncoder::new(to, Compression::fast());
    let mut summary = Summary::default();
    snapshot.read(&mut |item| match item {
        Item::Cluster {
            id,
            record,
            revision,
        } => {
            summary.clusters += 1;
            zip.write_all(b"C")?;
            write_field(&mut zip, id.as_bytes())?;
            write_field(&mut zip, record)?;
            zip.write_all(&revision.to_be_bytes())
        }
        Item::Row {
            resource,
            namespace,
            name,
            revision,
            json,
        } => {
            summary.rows += 1;
            zip.write_all(b"R")?;
            for text in [resource, namespace, name] {
                write_field(&mut zip, text.as_bytes())?;
            }
            zip.write_all(&revision.to_be_bytes())?;
            write_field(&mut zip, json)
        }
    })?;
    let mut end = || {
        zip.write_all(b"E")?;
        zip.write_all(&summary.clusters.to_be_bytes())?;
        zip.write_all(&summary.rows.to_be_bytes())
    };
    end().map_err(failed)?;
    let Hashing { mut inner, digest } = zip.finish().map_err(failed)?;
    inner.write_all(&digest.finalize()).map_err(failed)?;
    inner.flush().map_err(failed)?;
    Ok(summary)
}

fn write_field(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok();
    let length = length.filter(|_| bytes.len() <= MAX_FIELD_BYTES);
    let length = length.ok_or_else(|| io::Error::other("a field is too long for a backup"))?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)
}

/// Reads the whole backup and says what it holds: that nothing of it is missing or changed. Blocks.
///
/// # Errors
/// When it is no complete backup.
pub fn verify(backup: &mut (impl Read + Seek)) -> Result<Summary, RestoreError> {
    check_digest(backup)?;
    read(backup, &mut |_| Ok(()))
}

/// Puts a backup into a store that is empty, every cluster with a revision that is [`REVISION_LEAP`] ahead. Nothing is
/// written before the backup was read to its end and found good. Blocks.
///
/// # Errors
/// When the backup is no good, or the store is not empty or fails; it may then hold a part and is to be thrown away.
pub fn restore(
    backup: &mut (impl Read + Seek),
    into: &mut dyn Storage,
) -> Result<Summary, RestoreError> {
    verify(backup)?;
    if !into.load()?.is_empty() {
        return Err(RestoreError::NotEmpty);
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut cluster: Arc<str> = "".into();
    let summary = read(backup, &mut |item| {
        match item {
            Item::Cluster {
                id,
                record,
                revision,
            } => {
                cluster = id.into();
                bytes += record.len();
                batch.push(Mutation::Cluster {
                    id: Arc::clone(&cluster),
                    record: Bytes::copy_from_slice(record),
                });
                batch.push(Mutation::Revision {
                    id: Arc::clone(&cluster),
                    revision: revision.saturating_add(REVISION_LEAP),
                });
            }
            Item::Row {
                resource,
                namespace,
                name,
                revision,
                json,
            } => {
                bytes += json.len();
                batch.push(Mutation::Put {
                    id: Arc::clone(&cluster),
                    key: Key::new(resource, namespace, name),
                    row: Row::new(revision, json),
                });
            }
        }
        if bytes > BATCH_BYTES {
            into.commit(&batch)?;
            batch.clear();
            bytes = 0;
        }
        Ok(())
    })?;
    into.commit(&batch)?;
    Ok(summary)
}

/// Compares the end of the file with what is before it.
fn check_digest(backup: &mut (impl Read + Seek)) -> Result<(), RestoreError> {
    let length = backup.seek(SeekFrom::End(0)).map_err(RestoreError::Read)?;
    backup.rewind().map_err(RestoreError::Read)?;
    let mut head = Vec::new();
    let mut start = backup.by_ref().take(HEAD_BYTES as u64);
    start.read_to_end(&mut head).map_err(RestoreError::Read)?;
    let Some(format) = head.strip_prefix(MAGIC) else {
        return Err(RestoreError::Foreign);
    };
    // A newer format may end in another way.
    let found = format.try_into().map(u32::from_be_bytes).unwrap_or(FORMAT);
    if found > FORMAT {
        return Err(RestoreError::NewerFormat { found });
    }
    let content = length.checked_sub((HEAD_BYTES + DIGEST_BYTES) as u64);
    let content = content.ok_or_else(|| RestoreError::Damaged("it is too short".into()))?;
    let mut digest = Sha256::new();
    digest.update(&head);
    let mut reader = io::BufReader::with_capacity(1 << 16, backup.by_ref().take(content));
    loop {
        let bytes = reader.fill_buf().map_err(RestoreError::Read)?;
        if bytes.is_empty() {
            break;
        }
        digest.update(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
    let mut expected = [0; DIGEST_BYTES];
    backup
        .read_exact(&mut expected)
        .map_err(RestoreError::Read)?;
    if digest.finalize()[..] != expected {
        let detail = "its checksum is not that of its content";
        return Err(RestoreError::Damaged(detail.into()));
    }
    Ok(())
}

/// Hands out what is in a backup whose checksum is good.
fn read(
    backup: &mut (impl Read + Seek),
    each: &mut dyn FnMut(Item<'_>) -> Result<(), RestoreError>,
) -> Result<Summary, RestoreError> {
    backup
        .seek(SeekFrom::Start(HEAD_BYTES as u64))
        .map_err(RestoreError::Read)?;
    let mut records = Records(io::BufReader::new(GzDecoder::new(backup)));
    let mut summary = Summary::default();
    loop {
        match records.take::<1>()? {
            [b'C'] => {
                summary.clusters += 1;
                let (id, record) = (records.text()?, records.field()?);
                let revision = records.number()?;
                each(Item::Cluster {
                    id: &id,
                    record: &record,
                    revision,
                })?;
            }
            [b'R'] if summary.clusters > 0 => {
                summary.rows += 1;
                let (resource, namespace, name) =
                    (records.text()?, records.text()?, records.text()?);
                let (revision, json) = (records.number()?, records.field()?);
                each(Item::Row {
                    resource: &resource,
                    namespace: &namespace,
                    name: &name,
                    revision,
                    json: &json,
                })?;
            }
            [b'E'] => {
                let said = Summary {
                    clusters: records.number()?,
                    rows: records.number()?,
                };
                if said != summary {
                    let detail = format!("it holds {summary:?} and says {said:?}");
                    return Err(RestoreError::Damaged(detail));
                }
                return Ok(summary);
            }
            [tag] => return Err(RestoreError::Damaged(format!("a record is of kind {tag}"))),
        }
    }
}

struct Records<R>(R);

impl<R: Read> Records<R> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, RestoreError> {
        self.take().map(u64::from_be_bytes)
    }

    fn field(&mut self) -> Result<Vec<u8>, RestoreError> {
        let length = self.take().map(u32::from_be_bytes)?;
        if length as usize > MAX_FIELD_BYTES {
            let detail = format!("a field has {length} bytes");
            return Err(RestoreError::Damaged(detail));
        }
        // Not allocated by what the file says, but by what is there.
        let mut bytes = Vec::new();
        let mut reader = self.0.by_ref().take(length.into());
        reader.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() < length as usize {
            return Err(RestoreError::Damaged("it ends in a field".into()));
        }
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, RestoreError> {
        let text = String::from_utf8(self.field()?);
        text.map_err(|_| RestoreError::Damaged("a name is no text".into()))
    }
}

/// The checksum is good, so it was written like this, or the disk fails.
fn unreadable(error: io::Error) -> RestoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            RestoreError::Damaged(error.to_string())
        }
        _ => RestoreError::Read(error),
    }
}

/// Digests what passes through.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            digest: Sha256::new(),
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
