//! Sets of fields as tries, and their wire form `FieldsV1`.

use serde_json::{Map, Value};

use super::path::Element;

/// A set of fields below one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// Sorted by element, each element once; every entry is a member or has members below.
    entries: Vec<Entry>,
}

/// One part of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) element: Element,
    /// The part itself belongs to the set.
    pub(super) is_member: bool,
    /// What belongs to the set below the part.
    pub(super) below: Set,
}

impl Entry {
    fn is_vacant(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }

    fn checked(self) -> Option<Self> {
        (!self.is_vacant()).then_some(self)
    }
}

/// What becomes of two entries of the same element.
type Pick = fn(Option<Entry>, Option<&Entry>) -> Option<Entry>;

impl Set {
    /// Collects entries in any order; the first of two entries with the same element wins.
    pub(super) fn from_entries(mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| !entry.is_vacant());
        if !entries.is_sorted_by(|a, b| a.element < b.element) {
            entries.sort_by(|a, b| a.element.cmp(&b.element));
            entries.dedup_by(|b, a| a.element == b.element);
        }
        Self { entries }
    }

    /// The set of one path of field names.
    pub(super) fn of_fields(names: &[&str]) -> Self {
        let Some((first, rest)) = names.split_first() else {
            return Self::default();
        };
        let entry = Entry {
            element: Element::field(first),
            is_member: rest.is_empty(),
            below: Self::of_fields(rest),
        };
        Self {
            entries: vec![entry],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn get(&self, element: &Element) -> Option<&Entry> {
        self.entries
            .binary_search_by(|entry| entry.element.cmp(element))
            .ok()
            .map(|at| &self.entries[at])
    }

    /// What is in either set.
    #[must_use]
    pub(super) fn union(self, other: &Self) -> Self {
        self.combine(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(Entry {
                is_member: a.is_member || b.is_member,
                below: a.below.union(&b.below),
                element: a.element,
            }),
            (a, b) => a.or_else(|| b.cloned()),
        })
    }

    /// What is in both sets.
    #[must_use]
    pub(super) fn intersection(self, other: &Self) -> Self {
        self.combine(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Entry {
                is_member: a.is_member && b.is_member,
                below: a.below.intersection(&b.below),
                element: a.element,
            }
            .checked(),
            _ => None,
        })
    }

    /// What is not in the other set. Removing a part leaves what is below it.
    #[must_use]
    pub(super) fn difference(self, other: &Self) -> Self {
        self.combine(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Entry {
                is_member: a.is_member && !b.is_member,
                below: a.below.difference(&b.below),
                element: a.element,
            }
            .checked(),
            (a, _) => a,
        })
    }

    /// What is neither in the other set nor below one of its members.
    #[must_use]
    pub(super) fn without_trees(self, other: &Self) -> Self {
        self.combine(other, |a, b| match (a, b) {
            (Some(_), Some(b)) if b.is_member => None,
            (Some(a), Some(b)) => Entry {
                below: a.below.without_trees(&b.below),
                ..a
            }
            .checked(),
            (a, _) => a,
        })
    }

    /// The part of the set below one field of the whole.
    #[must_use]
    pub(super) fn only_field(mut self, name: &str) -> Self {
        self.entries
            .retain(|entry| matches!(&entry.element, Element::Field(field) if **field == *name));
        self
    }

    fn combine(self, other: &Self, pick: Pick) -> Self {
        if other.is_empty() && self.is_empty() {
            return self;
        }
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut others = other.entries.iter().peekable();
        for entry in self.entries {
            while let Some(before) = others.next_if(|o| o.element < entry.element) {
                entries.extend(pick(None, Some(before)));
            }
            let same = others.next_if(|o| o.element == entry.element);
            entries.extend(pick(Some(entry), same));
        }
        entries.extend(others.filter_map(|rest| pick(None, Some(rest))));
        Self { entries }
    }

    /// Calls `visit` with every member's path, as text; members of one level come before what is below them.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&str)) {
        self.each_below(&mut String::new(), visit);
    }

    fn each_below(&self, path: &mut String, visit: &mut dyn FnMut(&str)) {
        let length = path.len();
        for entry in self.entries.iter().filter(|entry| entry.is_member) {
            path.push_str(&entry.element.to_string());
            visit(path);
            path.truncate(length);
        }
        for entry in self.entries.iter().filter(|entry| !entry.below.is_empty()) {
            path.push_str(&entry.element.to_string());
            entry.below.each_below(path, visit);
            path.truncate(length);
        }
    }

    /// Reads `FieldsV1`. Elements of unknown kinds are dropped.
    pub(super) fn parse(fields: &Value) -> Result<Self, String> {
        Self::parse_part(fields).map(|(below, _)| below)
    }

    /// A part's members, and whether it is a member itself: `{}` is, and everything with `"."`.
    fn parse_part(fields: &Value) -> Result<(Self, bool), String> {
        let Value::Object(fields) = fields else {
            return Err("fieldsV1 must consist of objects".into());
        };
        let mut entries = Vec::with_capacity(fields.len());
        let mut is_member = false;
        for (key, value) in fields {
            if key == "." {
                is_member = true;
            } else if let Some(element) = Element::parse(key)? {
                let (below, is_member) = Self::parse_part(value)?;
                entries.push(Entry {
                    element,
                    is_member,
                    below,
                });
            }
        }
        let below = Self::from_entries(entries);
        is_member |= below.is_empty();
        Ok((below, is_member))
    }

    /// The set as `FieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        for entry in &self.entries {
            let mut below = entry.below.to_json();
            if let (true, false, Value::Object(below)) =
                (entry.is_member, entry.below.is_empty(), &mut below)
            {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            fields.insert(entry.element.to_key(), below);
        }
        Value::Object(fields)
    }

    /// Whether canonical `FieldsV1` and this set meet, or the set takes a part whole below which `fields` has
    /// members: without decoding `fields`.
    pub(super) fn touches(&self, fields: &Value) -> bool {
        self.entries.iter().any(|entry| {
            fields
                .get(entry.element.to_key())
                .is_some_and(|part| entry.is_member || entry.below.touches(part))
        })
    }
}
