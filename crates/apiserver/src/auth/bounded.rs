//! A map with a limit: what was put in first goes first.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

/// SHA-256 of a credential: caches never hold the credential itself.
pub(super) type Fingerprint = [u8; 32];

/// The fingerprint of `credential`.
pub(super) fn fingerprint(credential: &[u8]) -> Fingerprint {
    Sha256::digest(credential).into()
}

/// At most `limit` values by fingerprint.
#[derive(Debug)]
pub(super) struct Bounded<V> {
    values: HashMap<Fingerprint, V>,
    order: VecDeque<Fingerprint>,
    limit: usize,
}

impl<V: Clone> Bounded<V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
            limit,
        }
    }

    pub(super) fn get(&self, key: &Fingerprint) -> Option<V> {
        self.values.get(key).cloned()
    }

    pub(super) fn insert(&mut self, key: Fingerprint, value: V) {
        if self.values.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut cache = Bounded::new(2);
        for n in 0..5_u8 {
            cache.insert([n; 32], n);
            cache.insert([n; 32], n);
        }
        let kept: Vec<Option<u8>> = (0..5).map(|n| cache.get(&[n; 32])).collect();
        assert_eq!(kept, [None, None, None, Some(3), Some(4)]);
    }
}
