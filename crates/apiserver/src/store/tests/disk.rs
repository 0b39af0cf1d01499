//! A disk that fails: loses power, tears writes, forgets what it promised to keep.

use std::io;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::StorageBackend;

use crate::store::lock;

/// What the disk writes at once; a torn write ends at a multiple of it.
const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What survives a power loss.
    durable: Vec<u8>,
    /// What reads see.
    cached: Vec<u8>,
    /// What was done since the last honest sync.
    unsynced: Vec<Action>,
    /// Writes and syncs so far.
    actions: u64,
    /// Grows with each power loss; handles from before are dead.
    power_cycle: u64,
    is_off: bool,
    faults: Faults,
}

#[derive(Clone, Debug)]
enum Action {
    SetLen(usize),
    Write(usize, Vec<u8>),
}

/// What goes wrong, and when, counted in actions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// The power goes at this action.
    pub(super) power_loss_at: Option<u64>,
    /// These actions fail, and do nothing.
    pub(super) fail: Option<(u64, u64)>,
    /// These syncs fail although they did their work.
    pub(super) fail_after_sync: Option<(u64, u64)>,
    /// Syncs from this action on are promised and not done.
    pub(super) lie_from: Option<u64>,
}

impl Action {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    /// A handle as the store opens it; dead after the next power loss.
    pub(super) fn handle(&self) -> Handle {
        let power_cycle = lock(&self.0).power_cycle;
        Handle {
            disk: self.clone(),
            power_cycle,
        }
    }

    pub(super) fn actions(&self) -> u64 {
        lock(&self.0).actions
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        lock(&self.0).faults = faults;
    }

    /// Cuts the power now if it is still on, and turns it on again: of what was not synced, some is there, some is not,
    /// and some only in part.
    pub(super) fn power_cycle(&self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut platter = lock(&self.0);
        let mut image = std::mem::take(&mut platter.durable);
        for action in std::mem::take(&mut platter.unsynced) {
            match action {
                Action::Write(offset, mut data) if rng.random_bool(0.2) => {
                    data.truncate(rng.random_range(0..=data.len() / SECTOR) * SECTOR);
                    Action::Write(offset, data).apply(&mut image);
                }
                action if rng.random_bool(0.6) => action.apply(&mut image),
                _ => {}
            }
        }
        platter.cached.clone_from(&image);
        platter.durable = image;
        platter.power_cycle += 1;
        platter.is_off = false;
        platter.faults = Faults::default();
    }

    /// Another disk with the same content.
    pub(super) fn copy(&self) -> Self {
        let cached = lock(&self.0).cached.clone();
        Self(Arc::new(Mutex::new(Platter {
            durable: cached.clone(),
            cached,
            ..Platter::default()
        })))
    }

    /// Flips a bit of what is stored.
    pub(super) fn damage(&self, at: usize) {
        let mut platter = lock(&self.0);
        platter.cached[at] ^= 0x10;
        platter.durable[at] ^= 0x10;
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.0).cached.len()
    }

    /// Shortens what is stored.
    pub(super) fn truncate(&self, len: usize) {
        let mut platter = lock(&self.0);
        platter.cached.truncate(len);
        platter.durable.truncate(len);
    }

    /// Whether `needle` is stored anywhere.
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        let platter = lock(&self.0);
        platter.cached.windows(needle.len()).any(|w| w == needle)
    }
}

#[derive(Debug)]
pub(super) struct Handle {
    disk: Disk,
    power_cycle: u64,
}

impl Handle {
    fn with<T>(&self, act: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = lock(&self.disk.0);
        if platter.is_off || platter.power_cycle != self.power_cycle {
            return Err(io::Error::other("no power"));
        }
        act(&mut platter)
    }

    fn act(&self, act: impl FnOnce(&mut Platter) -> io::Result<()>) -> io::Result<()> {
        self.with(|platter| {
            let now = platter.actions;
            platter.actions += 1;
            if platter.faults.power_loss_at.is_some_and(|at| now >= at) {
                platter.is_off = true;
                // The action under way may be on disk as well, or a part of it.
                act(platter)?;
                return Err(io::Error::other("power lost"));
            }
            if is_in(platter.faults.fail, now) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            act(platter)
        })
    }
}

fn is_in(range: Option<(u64, u64)>, now: u64) -> bool {
    range.is_some_and(|(from, to)| (from..to).contains(&now))
}

impl Platter {
    fn act(&mut self, action: Action) {
        action.apply(&mut self.cached);
        self.unsynced.push(action);
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|platter| Ok(platter.cached.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.with(|platter| {
            let stored = platter.cached.get(start..start + out.len());
            out.copy_from_slice(stored.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.act(|platter| {
            platter.act(Action::SetLen(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.act(|platter| {
            let now = platter.actions - 1;
            if platter.is_off || platter.faults.lie_from.is_some_and(|from| now >= from) {
                return Ok(());
            }
            platter.unsynced.clear();
            platter.durable.clone_from(&platter.cached);
            if is_in(platter.faults.fail_after_sync, now) {
                return Err(io::Error::other("the answer of the sync was lost"));
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.act(|platter| {
            platter.act(Action::Write(offset, data.to_vec()));
            Ok(())
        })
    }
}
