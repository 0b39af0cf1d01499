//! What changed between two values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::path::{Element, is_equal};
use super::super::set::{Entry, Set};
use super::{List, Map, Node, Shape, nameless};

/// The difference of two values.
#[derive(Debug, Default)]
pub(in crate::patch) struct Delta {
    /// Fields that are new or have another value.
    pub(in crate::patch) changed: Set,
    /// Fields that are gone.
    pub(in crate::patch) removed: Set,
}

/// The difference of one part: whether the part itself differs, and what differs below.
#[derive(Default)]
struct Part {
    is_changed: bool,
    is_removed: bool,
    below: Delta,
}

impl Part {
    fn leaf(before: Option<&Value>, after: Option<&Value>) -> Self {
        match (before, after) {
            (None, _) => Self {
                is_changed: true,
                ..Self::default()
            },
            (Some(_), None) => Self {
                is_removed: true,
                ..Self::default()
            },
            (Some(before), Some(after)) => Self {
                is_changed: !is_equal(before, after),
                ..Self::default()
            },
        }
    }

    /// Both differences together: a value that changed its shape is compared once in each.
    fn and(self, other: Self) -> Self {
        Self {
            is_changed: self.is_changed || other.is_changed,
            is_removed: self.is_removed || other.is_removed,
            below: Delta {
                changed: self.below.changed.union(&other.below.changed),
                removed: self.below.removed.union(&other.below.removed),
            },
        }
    }
}

/// Gathers the parts of one value.
#[derive(Default)]
struct Parts {
    changed: Vec<Entry>,
    removed: Vec<Entry>,
}

impl Parts {
    fn add(&mut self, element: Element, part: Part) {
        let Part {
            is_changed,
            is_removed,
            below,
        } = part;
        let is_in_removed = is_removed || !below.removed.is_empty();
        if is_changed || !below.changed.is_empty() {
            let entry = Entry {
                element: element.clone(),
                is_member: is_changed,
                below: below.changed,
            };
            self.changed.push(entry);
        }
        if is_in_removed {
            self.removed.push(Entry {
                element,
                is_member: is_removed,
                below: below.removed,
            });
        }
    }

    fn delta(self) -> Delta {
        Delta {
            changed: Set::from_entries(self.changed),
            removed: Set::from_entries(self.removed),
        }
    }
}

/// Compares two states of one object.
///
/// # Errors
/// When an item of a set or map has no name.
pub(in crate::patch) fn compare(
    before: &Value,
    after: &Value,
    node: Node<'_>,
) -> Result<Delta, String> {
    part(Some(before), Some(after), node).map(|part| part.below)
}

/// At least one of the two is there.
fn part(before: Option<&Value>, after: Option<&Value>, node: Node<'_>) -> Result<Part, String> {
    if before == after {
        return Ok(Part::default());
    }
    let shape_before = before.map(|_| node.shape(before));
    let shape_after = after.map(|_| node.shape(after));
    match (shape_before, shape_after) {
        (Some(shape), None) | (None, Some(shape)) => shaped(before, after, shape),
        (Some(a), Some(b)) if std::mem::discriminant(&a) == std::mem::discriminant(&b) => {
            shaped(before, after, b)
        }
        (Some(a), Some(b)) => Ok(shaped(before, after, a)?.and(shaped(before, after, b)?)),
        (None, None) => Ok(Part::default()),
    }
}

fn shaped(before: Option<&Value>, after: Option<&Value>, shape: Shape<'_>) -> Result<Part, String> {
    let below = match shape {
        Shape::Scalar(_) => return Ok(Part::leaf(before, after)),
        Shape::List(list) => {
            let is_empty = super::items(before).is_empty() && super::items(after).is_empty();
            if list.is_atomic() || is_empty {
                return Ok(Part::leaf(before, after));
            }
            lists(super::items(before), super::items(after), list)?
        }
        Shape::Map(map) => {
            let is_empty = super::members(before).is_none() && super::members(after).is_none();
            if map.is_atomic || is_empty {
                return Ok(Part::leaf(before, after));
            }
            maps(before, after, map)?
        }
    };
    Ok(Part {
        is_changed: before.is_none(),
        is_removed: after.is_none(),
        below,
    })
}

fn maps(before: Option<&Value>, after: Option<&Value>, map: Map<'_>) -> Result<Delta, String> {
    let mut parts = Parts::default();
    let object = |value: Option<&Value>| value.is_some_and(Value::is_object);
    let (has_before, has_after) = (object(before), object(after));
    let (before, after) = (super::members(before), super::members(after));
    for (name, value) in before.into_iter().flatten() {
        let implied = || map.implied(name).filter(|_| has_after);
        let other = after.and_then(|after| after.get(name)).or_else(implied);
        if other != Some(value) {
            let part = part(Some(value), other, map.member_or_anything(name).node)?;
            parts.add(Element::field(name), part);
        }
    }
    for (name, value) in after.into_iter().flatten() {
        if before.is_none_or(|before| !before.contains_key(name)) {
            let implied = map.implied(name).filter(|_| has_before);
            let part = part(implied, Some(value), map.member_or_anything(name).node)?;
            parts.add(Element::field(name), part);
        }
    }
    Ok(parts.delta())
}

fn lists(before: &[Value], after: &[Value], list: List<'_>) -> Result<Delta, String> {
    let mut named: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for (at, item) in before.iter().enumerate() {
        let element = list.element(item).map_err(|why| nameless(at, &why))?;
        named.entry(element).or_default().0.push(item);
    }
    for (at, item) in after.iter().enumerate() {
        let element = list.element(item).map_err(|why| nameless(at, &why))?;
        named.entry(element).or_default().1.push(item);
    }
    let mut parts = Parts::default();
    for (element, (before, after)) in named {
        let part = match (before.as_slice(), after.as_slice()) {
            ([] | [_], [] | [_]) => {
                part(before.first().copied(), after.first().copied(), list.items)?
            }
            // Items of the same name are compared as one leaf.
            ([_, _, ..], [_, _, ..]) => {
                let is_same = before.len() == after.len()
                    && before.iter().zip(&after).all(|(a, b)| is_equal(a, b));
                Part {
                    is_changed: !is_same,
                    ..Part::default()
                }
            }
            ([_, _, ..], rest) => {
                let gone = Part {
                    is_removed: true,
                    ..Part::default()
                };
                match rest.first() {
                    Some(item) => gone.and(part(None, Some(item), list.items)?),
                    None => gone,
                }
            }
            (rest, _) => {
                let new = Part {
                    is_changed: true,
                    ..Part::default()
                };
                match rest.first() {
                    Some(item) => new.and(part(Some(item), None, list.items)?),
                    None => new,
                }
            }
        };
        parts.add(element, part);
    }
    Ok(parts.delta())
}
