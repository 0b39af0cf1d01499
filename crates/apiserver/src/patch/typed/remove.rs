//! A value without some of its parts.

use serde_json::Value;

use super::super::path::Element;
use super::super::set::Set;
use super::{List, Map, Node, Shape};

/// `value` without the list items and map members in `set`. Containers that lose their last part stay, empty: whether
/// they go is said by the set.
pub(in crate::patch) fn remove(value: &Value, set: &Set, node: Node<'_>) -> Value {
    match (node.shape(Some(value)), value) {
        (Shape::List(list), Value::Array(items)) if !list.is_atomic() => {
            from_list(items, set, list)
        }
        (Shape::Map(map), Value::Object(members)) if !map.is_atomic => from_map(members, set, map),
        _ => value.clone(),
    }
}

fn from_list(items: &[Value], set: &Set, list: List<'_>) -> Value {
    let left = |item: &Value| match list
        .element(item)
        .ok()
        .and_then(|element| set.get(&element))
    {
        None => Some(item.clone()),
        Some(entry) if entry.is_member => None,
        Some(entry) => Some(remove(item, &entry.below, list.items)),
    };
    items.iter().filter_map(left).collect()
}

fn from_map(members: &serde_json::Map<String, Value>, set: &Set, map: Map<'_>) -> Value {
    let left = |name: &str, value: &Value| match set.get(&Element::field(name)) {
        None => Some(value.clone()),
        Some(entry) if entry.is_member => None,
        Some(entry) => Some(remove(
            value,
            &entry.below,
            map.member_or_anything(name).node,
        )),
    };
    let kept = members
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), left(name, value)?)));
    Value::Object(kept.collect())
}
