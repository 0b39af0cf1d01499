//! The live value with the applied one laid over it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::super::path::Element;
use super::{List, Map, Node, Shape, nameless};

/// Lays `config` over `live`: nothing is removed, leaves are taken from `config`, lists that are maps or sets keep the
/// live order unless `config` orders its own items otherwise.
///
/// # Errors
/// When an item of a set or map has no name, or `config` names one twice.
pub(in crate::patch) fn combine(
    live: &Value,
    config: &Value,
    node: Node<'_>,
) -> Result<Value, String> {
    match node.shape(Some(config)) {
        Shape::Scalar(_) => Ok(config.clone()),
        Shape::List(list) => {
            let (live, items) = (super::items(Some(live)), super::items(Some(config)));
            if list.is_atomic() || (live.is_empty() && items.is_empty()) {
                return Ok(config.clone());
            }
            lists(live, items, list)
        }
        Shape::Map(map) => {
            let (live, members) = (super::members(Some(live)), super::members(Some(config)));
            if map.is_atomic || (live.is_none() && members.is_none()) {
                return Ok(config.clone());
            }
            maps(live, members, map)
        }
    }
}

fn maps(
    live: Option<&serde_json::Map<String, Value>>,
    config: Option<&serde_json::Map<String, Value>>,
    map: Map<'_>,
) -> Result<Value, String> {
    let mut result = live.cloned().unwrap_or_default();
    for (name, value) in config.into_iter().flatten() {
        let value = match result.get(name) {
            Some(live) => combine(live, value, map.member_or_anything(name).node)?,
            None => value.clone(),
        };
        result.insert(name.clone(), value);
    }
    Ok(Value::Object(result))
}

/// The items of one list with their names.
struct Named<'v> {
    names: Vec<Element>,
    /// `None` for names that several items have.
    items: BTreeMap<Element, Option<&'v Value>>,
}

impl<'v> Named<'v> {
    fn of(items: &'v [Value], list: List<'_>, may_repeat: bool) -> Result<Self, String> {
        let mut named = Self {
            names: Vec::with_capacity(items.len()),
            items: BTreeMap::new(),
        };
        for (at, item) in items.iter().enumerate() {
            let name = list.element(item).map_err(|why| nameless(at, &why))?;
            if let Some(other) = named.items.get_mut(&name) {
                if !may_repeat {
                    return Err(format!("duplicate entries for key {name}"));
                }
                *other = None;
            } else {
                named.items.insert(name.clone(), Some(item));
            }
            named.names.push(name);
        }
        Ok(named)
    }
}

/// Interleaves the two lists: live items that `config` does not name stay where they are between their neighbours,
/// items that both name come in the order of `config`.
fn lists(live_items: &[Value], config_items: &[Value], list: List<'_>) -> Result<Value, String> {
    let live = Named::of(live_items, list, true)?;
    let config = Named::of(config_items, list, false)?;
    let merged =
        |name: &Element| match (live.items.get(name).copied().flatten(), config.items[name]) {
            (Some(live), Some(item)) => combine(live, item, list.items),
            (_, item) => Ok(item.cloned().unwrap_or_default()),
        };
    let mut shared: VecDeque<&Element> = config
        .names
        .iter()
        .filter(|name| live.items.contains_key(*name))
        .collect();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut result = Vec::with_capacity(live_items.len().max(config_items.len()));
    let (mut l, mut c) = (0, 0);
    while l < live.names.len() || c < config.names.len() {
        if let (Some(live_name), Some(config_name)) = (live.names.get(l), config.names.get(c)) {
            if live_name == config_name {
                done.insert(config_name);
                result.push(merged(config_name)?);
                shared.pop_front();
                l += 1;
                c += 1;
                continue;
            }
            let is_later = config.items.contains_key(live_name)
                && shared.front().is_some_and(|next| *next != live_name);
            if is_later {
                l += 1;
                continue;
            }
        }
        if let Some(name) = live.names.get(l) {
            if !config.items.contains_key(name) {
                result.push(live_items[l].clone());
                l += 1;
                continue;
            }
            if done.contains(name) {
                l += 1;
            }
        }
        if let Some(name) = config.names.get(c) {
            done.insert(name);
            result.push(merged(name)?);
            c += 1;
            if shared.front() == Some(&name) {
                shared.pop_front();
            }
        }
    }
    Ok(Value::Array(result))
}
