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
pub(super) struct Disk {
    platter: Arc<Mutex<Platter>>,
    power: Power,
}

#[derive(Debug, Default)]
struct Platter {
    /// What survives a power loss.
    durable: Vec<u8>,
    /// What reads see.
    cached: Vec<u8>,
    /// What was done since the last honest sync.
    unsynced: Vec<Action>,
}

/// What disks that fail together have in common. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Power(Arc<Mutex<Supply>>);

#[derive(Debug, Default)]
struct Supply {
    /// Writes and syncs so far.
    actions: u64,
    /// Grows with each power loss; handles from before are dead.
    power_cycle: u64,
    is_off: bool,
    faults: Faults,
}

/// How an action goes that may fail.
pub(super) enum Outcome {
    /// It is done, and says so.
    Done,
    /// It says that it is done.
    Promised,
    /// The power goes while it is under way: it may be on disk as well, or a part of it.
    Cut,
    /// Nothing is done.
    Failed,
    /// It is done if it is a sync, and says that it is not.
    Unsaid,
}

impl Power {
    /// The next action.
    pub(super) fn act(&self) -> Outcome {
        let mut supply = lock(&self.0);
        if supply.is_off {
            return Outcome::Failed;
        }
        let now = supply.actions;
        supply.actions += 1;
        let faults = supply.faults;
        if faults.power_loss_at.is_some_and(|at| now >= at) {
            supply.is_off = true;
            Outcome::Cut
        } else if is_in(faults.fail, now) {
            Outcome::Failed
        } else if faults.lie_from.is_some_and(|from| now >= from) {
            Outcome::Promised
        } else if is_in(faults.fail_after_sync, now) {
            Outcome::Unsaid
        } else {
            Outcome::Done
        }
    }

    /// What went on so far.
    pub(super) fn actions(&self) -> u64 {
        lock(&self.0).actions
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        lock(&self.0).faults = faults;
    }

    /// Turns it on again if it was off. Handles from before are dead.
    pub(super) fn restore(&self) {
        let mut supply = lock(&self.0);
        supply.power_cycle += 1;
        supply.is_off = false;
        supply.faults = Faults::default();
    }
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
        let power_cycle = lock(&self.power.0).power_cycle;
        Handle {
            disk: self.clone(),
            power_cycle,
        }
    }

    /// An empty disk on the same power.
    pub(super) fn beside(power: &Power) -> Self {
        Self {
            platter: Arc::default(),
            power: power.clone(),
        }
    }

    pub(super) fn actions(&self) -> u64 {
        self.power.actions()
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.power.set_faults(faults);
    }

    /// Cuts the power now if it is still on, and turns it on again.
    pub(super) fn power_cycle(&self, seed: u64) {
        self.lose_what_was_not_synced(&mut StdRng::seed_from_u64(seed));
        self.power.restore();
    }

    /// Of what was not synced, some is there, some is not, and some only in part.
    pub(super) fn lose_what_was_not_synced(&self, rng: &mut StdRng) {
        let mut platter = lock(&self.platter);
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
    }

    /// Another disk with the same content.
    pub(super) fn copy(&self) -> Self {
        let cached = lock(&self.platter).cached.clone();
        let platter = Platter {
            durable: cached.clone(),
            cached,
            ..Platter::default()
        };
        Self {
            platter: Arc::new(Mutex::new(platter)),
            power: Power::default(),
        }
    }

    /// Flips a bit of what is stored.
    pub(super) fn damage(&self, at: usize) {
        let mut platter = lock(&self.platter);
        platter.cached[at] ^= 0x10;
        platter.durable[at] ^= 0x10;
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.platter).cached.len()
    }

    /// Shortens what is stored.
    pub(super) fn truncate(&self, len: usize) {
        let mut platter = lock(&self.platter);
        platter.cached.truncate(len);
        platter.durable.truncate(len);
    }

    /// Whether `needle` is stored anywhere.
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        let platter = lock(&self.platter);
        platter.cached.windows(needle.len()).any(|w| w == needle)
    }
}

#[derive(Debug)]
pub(super) struct Handle {
    disk: Disk,
    power_cycle: u64,
}

impl Handle {
    fn seen<T>(&self, act: impl FnOnce(&Platter) -> io::Result<T>) -> io::Result<T> {
        let supply = lock(&self.disk.power.0);
        if supply.is_off || supply.power_cycle != self.power_cycle {
            return Err(io::Error::other("no power"));
        }
        drop(supply);
        act(&lock(&self.disk.platter))
    }

    fn act(&self, action: Action) -> io::Result<()> {
        self.seen(|_| Ok(()))?;
        let outcome = self.disk.power.act();
        let mut platter = lock(&self.disk.platter);
        match outcome {
            Outcome::Done | Outcome::Promised | Outcome::Unsaid => platter.act(action),
            Outcome::Cut => {
                platter.act(action);
                return Err(io::Error::other("power lost"));
            }
            Outcome::Failed => return Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
        Ok(())
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

    fn sync(&mut self) {
        self.unsynced.clear();
        self.durable.clone_from(&self.cached);
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.seen(|platter| Ok(platter.cached.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.seen(|platter| {
            let stored = platter.cached.get(start..start + out.len());
            out.copy_from_slice(stored.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.act(Action::SetLen(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.seen(|_| Ok(()))?;
        let outcome = self.disk.power.act();
        let mut platter = lock(&self.disk.platter);
        match outcome {
            Outcome::Done => platter.sync(),
            Outcome::Promised => {}
            Outcome::Cut => return Err(io::Error::other("power lost")),
            Outcome::Failed => return Err(io::Error::from(io::ErrorKind::StorageFull)),
            Outcome::Unsaid => {
                platter.sync();
                return Err(io::Error::other("the answer of the sync was lost"));
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.act(Action::Write(offset, data.to_vec()))
    }
}
