//! How much the caches of one cluster may hold of what others make up.
//!
//! Objects of Kubernetes' own groups are stored by the API server itself, which has limits of its own. Those of any other group
//! may be answered by an extension server: lists that never end cost it nothing, and would cost the process all of its memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an object takes beside its text: its header, and its place in maps.
const OVERHEAD: usize = 512;

/// For one of many clusters: objects and bytes of one kind, and bytes of all kinds.
const GUEST_OBJECTS: usize = 100_000;
const GUEST_BYTES: usize = 128 << 20;
const GUEST_TOTAL: usize = 256 << 20;

/// Kubernetes' own groups.
const OWN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// How much a cluster's caches may hold of kinds that are none of Kubernetes' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Objects of one kind.
    pub objects: usize,
    /// Bytes of one kind.
    pub bytes: usize,
    /// Bytes of all such kinds.
    pub total_bytes: usize,
}

impl Default for CacheLimits {
    /// For a cluster whose users are trusted not to exhaust the process.
    fn default() -> Self {
        Self {
            objects: 1_000_000,
            bytes: 1 << 30,
            total_bytes: 4 << 30,
        }
    }
}

impl CacheLimits {
    /// For one of many clusters in a process, whose users may be anybody.
    #[must_use]
    pub fn of_one_of_many() -> Self {
        Self {
            objects: GUEST_OBJECTS,
            bytes: GUEST_BYTES,
            total_bytes: GUEST_TOTAL,
        }
    }
}

/// What the caches of a cluster hold of such kinds.
#[derive(Debug)]
pub(crate) struct Room {
    limits: CacheLimits,
    used: AtomicUsize,
}

impl Room {
    pub(crate) fn new(limits: CacheLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            used: AtomicUsize::new(0),
        })
    }

    /// The room for a kind of this group; `None` if it needs no limit.
    pub(crate) fn of(self: &Arc<Self>, group: &str) -> Option<Arc<Self>> {
        (!is_own(group)).then(|| Arc::clone(self))
    }
}

/// Whether a group is one of Kubernetes' own, which no extension server answers.
pub(crate) fn is_own(group: &str) -> bool {
    OWN.contains(&group)
}

/// The part of the room that somebody has, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    room: Option<Arc<Room>>,
    objects: usize,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(room: Option<Arc<Room>>) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Nothing of the same room.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.room.clone())
    }

    /// One more object, of so many bytes of text.
    pub(crate) fn add(&mut self, length: usize) {
        self.objects += 1;
        self.bytes += length + OVERHEAD;
        if let Some(room) = &self.room {
            room.used.fetch_add(length + OVERHEAD, Ordering::Relaxed);
        }
    }

    /// One less.
    pub(crate) fn remove(&mut self, length: usize) {
        self.objects = self.objects.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(length + OVERHEAD);
        if let Some(room) = &self.room {
            room.used.fetch_sub(length + OVERHEAD, Ordering::Relaxed);
        }
    }

    /// What is too much, in words.
    pub(crate) fn excess(&self) -> Option<String> {
        let Room { limits, used } = &**self.room.as_ref()?;
        let of_all = used.load(Ordering::Relaxed);
        if self.objects > limits.objects {
            return Some(format!("the kind has more than {} objects", limits.objects));
        }
        if self.bytes > limits.bytes {
            return Some(format!(
                "the objects of the kind have more than {} bytes",
                limits.bytes
            ));
        }
        (of_all > limits.total_bytes).then(|| {
            let limit = limits.total_bytes;
            format!(
                "the objects of all kinds that are not Kubernetes' own have more than {limit} bytes"
            )
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let room = Room::new(CacheLimits {
            objects: 3,
            bytes: 10_000,
            total_bytes: 12_000,
        });
        assert!(room.of("apps").is_none());
        let mut one = Held::new(room.of("example.com"));
        let mut other = one.another();
        for _ in 0..3 {
            one.add(2_000);
        }
        assert_eq!(one.excess(), None);
        other.add(5_000);
        assert_eq!(
            other.excess().as_deref(),
            Some(
                "the objects of all kinds that are not Kubernetes' own have more than 12000 bytes"
            )
        );
        one.remove(2_000);
        assert_eq!(other.excess(), None);
        drop(one);
        other.add(4_000);
        assert_eq!(
            other.excess().as_deref(),
            Some("the objects of the kind have more than 10000 bytes")
        );
        drop(other);
        assert_eq!(room.used.load(Ordering::Relaxed), 0);
        let mut many = Held::new(room.of("example.com"));
        (0..4).for_each(|_| many.add(0));
        assert_eq!(
            many.excess().as_deref(),
            Some("the kind has more than 3 objects")
        );
    }
}
