//! Changes from outside Kubernetes that wake whoever looked: the state of a connection, of a guest, of a download.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::queue::{Dependent, wake_all};

/// Something that changes and isn't an object. A controller that calls [`crate::Cx::watch`] with it while it gathers
/// is woken at the next [`Signal::notify`]. Equality is identity.
#[derive(Clone, Default)]
pub struct Signal(Arc<Mutex<HashSet<Dependent>>>);

impl Signal {
    /// A signal that nobody looks at yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes every object whose last pass looked here.
    pub fn notify(&self) {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wake_all(readers.iter(), None);
    }

    /// How many objects look at it.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn add(&self, dependent: &Dependent) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.insert(dependent.clone());
    }

    pub(crate) fn forget(&self, dependent: &Dependent) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.remove(dependent);
    }
}

impl PartialEq for Signal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Signal {}
impl Hash for Signal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signal({} readers)", self.readers())
    }
}
