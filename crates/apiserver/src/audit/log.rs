//! The file of audit events: a bounded queue, one thread that writes, and rotation by size and age.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};

/// Events that wait to be written.
const QUEUE_EVENTS: usize = 10_000;
/// Bytes of events that wait to be written.
const QUEUE_BYTES: usize = 64 << 20;
/// Times in names of old files.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.6f";
const MICROSECOND: SignedDuration = SignedDuration::from_micros(1);

/// Where the log is, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Old files lie beside it: `audit-2026-04-22T12-00-00.000000.log` beside `audit.log`.
    pub path: PathBuf,
    /// A file that would grow beyond this is put aside, in bytes. At least one event is in each file.
    pub max_bytes: u64,
    /// How many old files are kept.
    pub max_backups: usize,
    /// How long old files are kept.
    pub max_age: Duration,
}

impl LogConfig {
    /// 100 MiB a file, ten old files, for at most 30 days.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: 100 << 20,
            max_backups: 10,
            max_age: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {}", path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A log of audit events. Clones write to the same file; the last one that goes ends its thread.
#[derive(Clone)]
pub struct Log(Arc<Queue>);

struct Queue {
    sender: mpsc::Sender<Entry>,
    /// Bytes in the queue.
    bytes: Arc<AtomicUsize>,
    /// Events that could not be written.
    failed: Arc<AtomicU64>,
}

enum Entry {
    Line(Vec<u8>),
    Flush(oneshot::Sender<()>),
}

impl Log {
    /// Opens the file, which nobody else may read, and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(config: LogConfig) -> Result<Self, LogError> {
        let path = config.path.clone();
        let wrong = |source| LogError {
            path: path.clone(),
            source,
        };
        let (sender, queue) = mpsc::channel(QUEUE_EVENTS);
        let bytes = Arc::new(AtomicUsize::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            rotation: Rotation::open(config, now).map_err(wrong)?,
            failed: failed.clone(),
            is_broken: false,
        };
        let in_queue = bytes.clone();
        std::thread::Builder::new()
            .name("audit-log".into())
            .spawn(move || writer.run(queue, &in_queue))
            .map_err(wrong)?;
        Ok(Self(Arc::new(Queue {
            sender,
            bytes,
            failed,
        })))
    }

    /// Queues a line, without waiting; false if the queue is full.
    pub(super) fn write(&self, line: Vec<u8>) -> bool {
        let queue = &*self.0;
        let length = line.len();
        let waiting = queue.bytes.fetch_add(length, Ordering::AcqRel);
        let is_queued =
            waiting + length <= QUEUE_BYTES && queue.sender.try_send(Entry::Line(line)).is_ok();
        if !is_queued {
            queue.bytes.fetch_sub(length, Ordering::AcqRel);
        }
        is_queued
    }

    /// Resolves when everything queued so far is in the file, or could not be written.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        if self.0.sender.send(Entry::Flush(done)).await.is_ok() {
            // An error means that the thread is gone, and nothing more will be written.
            is_done.await.unwrap_or_default();
        }
    }

    /// Events that could not be written.
    pub(super) fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }
}

fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

struct Writer {
    rotation: Rotation,
    failed: Arc<AtomicU64>,
    /// The last write failed: said once.
    is_broken: bool,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Entry>, in_queue: &AtomicUsize) {
        while let Some(entry) = queue.blocking_recv() {
            match entry {
                Entry::Line(line) => {
                    let written = self.rotation.write(&line);
                    in_queue.fetch_sub(line.len(), Ordering::AcqRel);
                    self.note(written);
                }
                Entry::Flush(done) => {
                    // Nobody waits any more: nothing to tell.
                    done.send(()).unwrap_or_default();
                }
            }
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.is_broken = false,
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_broken, true) {
                    let path = self.rotation.config.path.display();
                    tracing::error!(%error, %path, "audit events are lost: the log cannot be written");
                }
            }
        }
    }
}

/// The file and its predecessors.
struct Rotation {
    config: LogConfig,
    file: File,
    /// Bytes in `file`.
    size: u64,
    now: fn() -> Timestamp,
}

impl Rotation {
    fn open(config: LogConfig, now: fn() -> Timestamp) -> io::Result<Self> {
        let (file, size) = open(&config.path)?;
        let rotation = Self {
            config,
            file,
            size,
            now,
        };
        rotation.forget_old()?;
        Ok(rotation)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.size > 0 && self.size.saturating_add(length) > self.config.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += length;
        Ok(())
    }

    /// Puts the file aside and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let (start, end) = self.names();
        // Names grow, whatever the clock does: nothing is written over, and the oldest is known.
        let newest = self.aside()?.pop().map(|(time, _)| time);
        let after = newest.and_then(|newest| newest.checked_add(MICROSECOND).ok());
        let time = after.map_or((self.now)(), |after| after.max((self.now)()));
        let name = format!("{start}{}{end}", time.strftime(TIME));
        fs::rename(&self.config.path, self.folder().join(name))?;
        (self.file, self.size) = open(&self.config.path)?;
        self.forget_old()
    }

    /// Removes old files that are too many or too old.
    fn forget_old(&self) -> io::Result<()> {
        let oldest = (self.now)()
            .checked_sub(self.config.max_age)
            .unwrap_or(Timestamp::MIN);
        let aside = self.aside()?;
        let surplus = aside.len().saturating_sub(self.config.max_backups);
        for (at, (time, name)) in aside.iter().enumerate() {
            if at < surplus || *time < oldest {
                fs::remove_file(self.folder().join(name))?;
            }
        }
        Ok(())
    }

    /// Old files with the time at which each was put aside, oldest first.
    fn aside(&self) -> io::Result<Vec<(Timestamp, String)>> {
        let (start, end) = self.names();
        let mut aside = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let time = name
                .strip_prefix(start.as_str())
                .and_then(|rest| rest.strip_suffix(end.as_str()))
                .and_then(|time| DateTime::strptime(TIME, time).ok())
                .and_then(|time| time.to_zoned(TimeZone::UTC).ok());
            if let Some(time) = time {
                aside.push((time.timestamp(), name.to_owned()));
            }
        }
        aside.sort();
        Ok(aside)
    }

    fn folder(&self) -> &Path {
        self.config
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// What the names of old files begin and end with.
    fn names(&self) -> (String, String) {
        let part = |part: Option<&std::ffi::OsStr>| {
            part.unwrap_or_default().to_string_lossy().into_owned()
        };
        let start = format!("{}-", part(self.config.path.file_stem()));
        let end = match self.config.path.extension() {
            Some(extension) => format!(".{}", part(Some(extension))),
            None => String::new(),
        };
        (start, end)
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> LogConfig {
        LogConfig {
            max_bytes: 20,
            max_backups: 2,
            ..LogConfig::new(folder.join("audit.log"))
        }
    }

    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn noon() -> Timestamp {
        "2026-04-22T12:00:00Z".parse().unwrap()
    }

    fn next_year() -> Timestamp {
        "2027-04-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn full_files_are_put_aside_and_few_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("audit-of-something-else.log"), "kept").unwrap();
        let mut rotation = Rotation::open(config(folder.path()), noon).unwrap();
        for n in 0..9 {
            rotation.write(format!("line {n}..\n").as_bytes()).unwrap();
        }
        rotation.write(&[b'x'; 50]).unwrap();
        let text = |text: &str| text.to_owned();
        let (second, third) = (
            text("audit-2026-04-22T12-00-00.000003.log"),
            text("audit-2026-04-22T12-00-00.000004.log"),
        );
        let kept = [
            (second, text("line 6..\nline 7..\n")),
            (third, text("line 8..\n")),
            (text("audit-of-something-else.log"), text("kept")),
            (text("audit.log"), "x".repeat(50)),
        ];
        assert_eq!(files(folder.path()), kept);
        drop(rotation);
        drop(Rotation::open(config(folder.path()), next_year).unwrap());
        let left: Vec<String> = files(folder.path()).into_iter().map(|f| f.0).collect();
        assert_eq!(left, ["audit-of-something-else.log", "audit.log"]);
    }

    #[tokio::test]
    async fn lines_are_appended_and_nobody_else_may_read_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for line in ["a\n", "b\n"] {
            let log = Log::open(LogConfig::new(&path)).unwrap();
            assert!(log.write(line.into()));
            log.flush().await;
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_counted() {
        let log = Log::open(LogConfig::new("/dev/full")).unwrap();
        assert!(log.write(b"a\n".to_vec()));
        log.flush().await;
        assert_eq!(log.failed(), 1);
        assert!(!log.write(vec![0; QUEUE_BYTES + 1]), "too much at once");
        let missing = Log::open(LogConfig::new("/nowhere/audit.log"))
            .err()
            .unwrap();
        assert_eq!(missing.to_string(), "the audit log /nowhere/audit.log");
    }
}
