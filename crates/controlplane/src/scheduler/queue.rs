//! The pods that want a node: whose turn it is, who waits for a while, and who waits until something changes. Pure: the
//! time is an argument.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::snapshot::PodInfo;

/// A pod that was in vain tried is tried again after this at the earliest, doubled each time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What may help a pod that fits nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Causes(u8);

impl Causes {
    /// A node came or changed.
    pub(super) const NODE: Self = Self(1);
    /// A pod went.
    pub(super) const LESS: Self = Self(2);
    /// A pod came, or has other labels.
    pub(super) const MORE: Self = Self(4);
    /// A volume, a claim or a class changed.
    pub(super) const VOLUME: Self = Self(8);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The more important first, and of equals who came first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(Reverse<i32>, u64, String);

#[derive(Debug)]
enum Place {
    Active(Turn),
    /// When it is due; of the same time, who was sent to wait first is first.
    Later(Instant, u64),
    Parked(Causes),
    /// Somebody is dealing with it.
    Out,
}

#[derive(Debug)]
struct Pending {
    pod: Arc<PodInfo>,
    place: Place,
    attempts: u32,
    /// When it was tried last.
    tried: Option<Instant>,
}

/// Pods without a node, by uid.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pods: HashMap<String, Pending>,
    active: BTreeSet<Turn>,
    later: BTreeSet<(Instant, u64, String)>,
    serial: u64,
}

impl Queue {
    /// A pod that wants a node, as it is now. One that is known keeps its place, unless it became another one.
    pub(super) fn put(&mut self, pod: Arc<PodInfo>) {
        let uid = pod.uid.clone();
        let Some(known) = self.pods.get_mut(&uid) else {
            let pending = Pending {
                pod,
                place: Place::Out,
                attempts: 0,
                tried: None,
            };
            self.pods.insert(uid.clone(), pending);
            self.activate(&uid);
            return;
        };
        let is_same = known.pod.pod.spec == pod.pod.spec && known.pod.labels() == pod.labels();
        known.pod = pod;
        if !is_same && !matches!(known.place, Place::Out) {
            self.activate(&uid);
        }
    }

    /// The pod wants no node any more.
    pub(super) fn remove(&mut self, uid: &str) {
        self.leave(uid);
        self.pods.remove(uid);
    }

    pub(super) fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// The next pod. It is out until it is [`Queue::park`]ed, tried [`Queue::again`] or [`Queue::remove`]d.
    pub(super) fn next(&mut self, now: Instant) -> Option<Arc<PodInfo>> {
        while let Some((due, _, uid)) = self.later.first().cloned()
            && due <= now
        {
            self.activate(&uid);
        }
        let Turn(_, _, uid) = self.active.pop_first()?;
        let pending = self.pods.get_mut(&uid)?;
        pending.place = Place::Out;
        pending.attempts += 1;
        pending.tried = Some(now);
        Some(Arc::clone(&pending.pod))
    }

    /// The pod fits nowhere until one of these happens.
    pub(super) fn park(&mut self, uid: &str, causes: Causes) {
        self.leave(uid);
        if let Some(pending) = self.pods.get_mut(uid) {
            pending.place = Place::Parked(causes);
        }
    }

    /// The pod is tried again after a pause.
    pub(super) fn again(&mut self, uid: &str, now: Instant) {
        self.leave(uid);
        if let Some(pending) = self.pods.get_mut(uid) {
            let due = pending.rested().max(now);
            self.serial += 1;
            pending.place = Place::Later(due, self.serial);
            self.later.insert((due, self.serial, uid.to_owned()));
        }
    }

    /// Something happened: who may be helped by it is tried again, after its pause.
    pub(super) fn wake(&mut self, cause: Causes, now: Instant) {
        let mut woken: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, p)| matches!(p.place, Place::Parked(causes) if causes.meets(cause)))
            .map(|(uid, _)| uid.clone())
            .collect();
        // In an order that does not depend on the map's.
        woken.sort_unstable_by_key(|uid| {
            let pod = &self.pods[uid].pod.pod.metadata;
            (
                pod.creation_timestamp.clone(),
                pod.namespace.clone(),
                pod.name.clone(),
            )
        });
        for uid in woken {
            if self.pods.get(&uid).is_some_and(|p| p.rested() <= now) {
                self.activate(&uid);
            } else {
                self.again(&uid, now);
            }
        }
    }

    /// When the next pod has waited long enough.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(due, ..)| *due)
    }

    fn activate(&mut self, uid: &str) {
        self.leave(uid);
        if let Some(pending) = self.pods.get_mut(uid) {
            self.serial += 1;
            let turn = Turn(Reverse(pending.pod.priority), self.serial, uid.to_owned());
            pending.place = Place::Active(turn.clone());
            self.active.insert(turn);
        }
    }

    fn leave(&mut self, uid: &str) {
        let Some(pending) = self.pods.get_mut(uid) else {
            return;
        };
        match std::mem::replace(&mut pending.place, Place::Out) {
            Place::Active(turn) => _ = self.active.remove(&turn),
            Place::Later(due, serial) => {
                _ = self.later.remove(&(due, serial, uid.to_owned()));
            }
            Place::Parked(_) | Place::Out => {}
        }
    }
}

impl Pending {
    /// When its pause is over.
    fn rested(&self) -> Instant {
        let doubled = PAUSE_MIN.saturating_mul(1 << self.attempts.saturating_sub(1).min(10));
        let tried = self.tried.unwrap_or_else(Instant::now);
        tried + doubled.min(PAUSE_MAX)
    }
}
