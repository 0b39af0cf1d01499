//! Sets that were written under an older schema.

use super::super::set::{Entry, Set};
use super::{Node, Shape};
use crate::schema::Type;

/// Brings `set` up to date with a schema in which lists or maps became atomic: who owned parts of one owns the whole
/// now. The other way round nothing changes: what was owned as a whole stays owned by its name.
pub(in crate::patch) fn reconcile(set: Set, node: Node<'_>) -> Set {
    if set.entries().iter().all(|entry| entry.below.is_empty()) {
        return set;
    }
    let entries = set.entries().iter().map(|entry| {
        let Some(member) = node
            .step(&entry.element)
            .filter(|_| !entry.below.is_empty())
        else {
            return entry.clone();
        };
        let (is_member, below) = if is_atomic(member.node) {
            (true, Set::default())
        } else {
            (entry.is_member, reconcile(entry.below.clone(), member.node))
        };
        Entry {
            element: entry.element.clone(),
            is_member,
            below,
        }
    });
    Set::from_entries(entries.collect())
}

fn is_atomic(node: Node<'_>) -> bool {
    if matches!(node.schema.ty, Type::Any) {
        return node.is_atomic_map;
    }
    match node.shape(None) {
        Shape::Scalar(_) => false,
        Shape::List(list) => list.is_atomic(),
        Shape::Map(map) => map.is_atomic,
    }
}
