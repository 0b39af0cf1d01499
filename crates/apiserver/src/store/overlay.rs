//! Ordered maps of objects, and one laid over another.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter;
use std::ops::Bound;
use std::sync::Arc;

use crate::object::{Key, Object};

/// Namespace → name → `T`; `""` is the namespace of cluster-scoped objects.
pub(super) type Tree<T> = BTreeMap<Arc<str>, BTreeMap<Arc<str>, T>>;

/// A tree whose `None` hides what lies below.
pub(super) type Layer = Tree<Option<Arc<Object>>>;

pub(super) static NO_OBJECTS: Tree<Arc<Object>> = Tree::new();
pub(super) static NO_LAYER: Layer = Layer::new();

/// Namespace, name, object.
pub(super) type Entry<'a, T> = (&'a str, &'a str, T);

/// The entries of one namespace or all, in order.
pub(super) fn entries<'a, T>(
    tree: &'a Tree<T>,
    namespace: Option<&'a str>,
) -> impl Iterator<Item = Entry<'a, &'a T>> {
    let bounds = namespace.map_or((Bound::Unbounded, Bound::Unbounded), |namespace| {
        (Bound::Included(namespace), Bound::Included(namespace))
    });
    tree.range::<str, _>(bounds).flat_map(|(namespace, names)| {
        names
            .iter()
            .map(move |(name, t)| (&**namespace, &**name, t))
    })
}

/// The entries that show when `upper` lies over `lower`, in order. Both must be ordered.
pub(super) fn over<'a>(
    lower: impl Iterator<Item = Entry<'a, &'a Arc<Object>>>,
    upper: impl Iterator<Item = Entry<'a, &'a Option<Arc<Object>>>>,
) -> impl Iterator<Item = Entry<'a, &'a Arc<Object>>> {
    let mut lower = lower.peekable();
    let mut upper = upper.peekable();
    iter::from_fn(move || {
        loop {
            let order = match (lower.peek(), upper.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(low), Some(up)) => (low.0, low.1).cmp(&(up.0, up.1)),
            };
            if order == Ordering::Less {
                return lower.next();
            }
            if order == Ordering::Equal {
                lower.next();
            }
            if let Some((namespace, name, Some(object))) = upper.next() {
                return Some((namespace, name, object));
            }
        }
    })
}

pub(super) fn get<'a, T>(tree: &'a Tree<T>, key: &Key) -> Option<&'a T> {
    tree.get(&*key.namespace)?.get(&*key.name)
}

pub(super) fn insert<T>(tree: &mut Tree<T>, key: &Key, value: T) {
    tree.entry(Arc::clone(&key.namespace))
        .or_default()
        .insert(Arc::clone(&key.name), value);
}

pub(super) fn remove<T>(tree: &mut Tree<T>, key: &Key) {
    if let Some(names) = tree.get_mut(&*key.namespace) {
        names.remove(&*key.name);
        if names.is_empty() {
            tree.remove(&*key.namespace);
        }
    }
}
