//! What several clusters have in common, kept once in the process.
//!
//! Every embedded control plane begins with the same couple of hundred objects, byte for byte, and serves the same
//! kinds. Its caches would hold a copy of each, as text and as types.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::cache::Entry;
use crate::discovery::Served;

/// Values shared by the clusters that are given the same `Shared`. Clones are the same. Only equal values are shared, so
/// nobody can tell; what no cluster holds any more is given back.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    hasher: RandomState,
    entries: Mutex<Table<Entry>>,
    kinds: Mutex<Table<Vec<Served>>>,
}

/// Values by their hash. Those of one hash stand in a row.
#[derive(Debug)]
struct Table<T> {
    values: HashMap<u64, Vec<Weak<T>>>,
    /// With this many hashes it is time to look for values that are gone.
    crowded: usize,
}

const CROWDED_MIN: usize = 1024;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            crowded: CROWDED_MIN,
        }
    }
}

impl<T> Table<T> {
    fn of(&mut self, hash: u64, value: T, is_equal: impl Fn(&T, &T) -> bool) -> Arc<T> {
        if self.values.len() >= self.crowded {
            self.values.retain(|_, row| {
                row.retain(|value| value.strong_count() > 0);
                !row.is_empty()
            });
            self.crowded = CROWDED_MIN.max(2 * self.values.len());
        }
        let row = self.values.entry(hash).or_default();
        let mut known = row.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|known| is_equal(known, &value)) {
            return known;
        }
        row.retain(|value| value.strong_count() > 0);
        let value = Arc::new(value);
        row.push(Arc::downgrade(&value));
        value
    }
}

impl Shared {
    /// The object that another cluster may have too.
    pub(crate) fn entry(&self, entry: Entry) -> Arc<Entry> {
        let hash = self.0.hasher.hash_one(entry.json());
        let mut table = self
            .0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        table.of(hash, entry, |a, b| a.json() == b.json())
    }

    /// The kinds of a group that another cluster may serve too.
    pub(crate) fn kinds(&self, kinds: Vec<Served>) -> Arc<Vec<Served>> {
        let names: Vec<(&str, &str)> = kinds
            .iter()
            .map(|served| {
                let resource = &served.resource;
                (resource.api_version.as_str(), resource.plural.as_str())
            })
            .collect();
        let hash = self.0.hasher.hash_one(names);
        let mut table = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        table.of(hash, kinds, |a, b| a == b)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    fn entry(name: usize) -> Entry {
        let object = json!({"metadata": {"name": name.to_string(), "resourceVersion": "1"}});
        Entry::parse(&to_raw_value(&object).unwrap(), |_| None).unwrap()
    }

    #[test]
    fn equal_values_are_one() {
        let shared = Shared::default();
        let first = shared.entry(entry(1));
        assert!(Arc::ptr_eq(&first, &shared.entry(entry(1))));
        assert!(!Arc::ptr_eq(&first, &shared.entry(entry(2))));
        assert!(!Arc::ptr_eq(&first, &Shared::default().entry(entry(1))));
        assert!(Arc::ptr_eq(&shared.kinds(vec![]), &shared.kinds(vec![])));
    }

    #[test]
    fn what_nobody_holds_is_given_back() {
        let shared = Shared::default();
        let kept: Vec<_> = (0..10).map(|at| shared.entry(entry(at))).collect();
        for at in 0..20 * CROWDED_MIN {
            shared.entry(entry(at));
        }
        assert!(shared.0.entries.lock().unwrap().values.len() <= CROWDED_MIN);
        assert!(Arc::ptr_eq(&kept[3], &shared.entry(entry(3))));
    }
}
