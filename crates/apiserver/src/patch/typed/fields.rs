//! The set of fields that a value mentions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::path::Element;
use super::super::set::{Entry, Set};
use super::{List, Map, Node, Shape};

/// All leaves, list items and map keys of `value`.
pub(in crate::patch) fn fields(value: &Value, node: Node<'_>) -> Set {
    part(value, node).1
}

/// Whether the value itself is mentioned, and what is below it.
fn part(value: &Value, node: Node<'_>) -> (bool, Set) {
    match node.shape(Some(value)) {
        Shape::Scalar(_) => (true, Set::default()),
        Shape::List(list) if list.is_atomic() => (true, Set::default()),
        Shape::Map(map) if map.is_atomic => (true, Set::default()),
        Shape::List(list) => (false, list_fields(value, list)),
        Shape::Map(map) => (false, map_fields(value, map)),
    }
}

fn list_fields(value: &Value, list: List<'_>) -> Set {
    let named: Vec<(Element, &Value)> = super::items(Some(value))
        .iter()
        .filter_map(|item| Some((list.element(item).ok()?, item)))
        .collect();
    let (mut seen, mut duplicates) = (BTreeSet::new(), BTreeSet::new());
    for (element, _) in &named {
        if !seen.insert(element) {
            duplicates.insert(element.clone());
        }
    }
    let entries = named.into_iter().map(|(element, item)| {
        // Items of the same name have no fields of their own.
        let below = if duplicates.contains(&element) {
            Set::default()
        } else {
            part(item, list.items).1
        };
        Entry {
            element,
            is_member: true,
            below,
        }
    });
    Set::from_entries(entries.collect())
}

fn map_fields(value: &Value, map: Map<'_>) -> Set {
    let Some(members) = super::members(Some(value)) else {
        return Set::default();
    };
    let entries = members.iter().map(|(name, value)| {
        let member = map.member_or_anything(name);
        let (is_leaf, below) = part(value, member.node);
        let is_empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        Entry {
            element: Element::field(name),
            is_member: is_leaf || is_empty || !member.is_declared,
            below,
        }
    });
    Set::from_entries(entries.collect())
}

/// The set with all declared fields on the way to its members.
pub(in crate::patch) fn with_named_fields(set: &Set, node: Node<'_>) -> Set {
    named(set, Some(node))
}

fn named(set: &Set, node: Option<Node<'_>>) -> Set {
    let entries = set.entries().iter().map(|entry| {
        let member = node.and_then(|node| node.step(&entry.element));
        let is_named = !entry.below.is_empty() && member.is_some_and(|member| member.is_declared);
        Entry {
            element: entry.element.clone(),
            is_member: entry.is_member || is_named,
            below: named(&entry.below, member.map(|member| member.node)),
        }
    });
    Set::from_entries(entries.collect())
}
