//! Where members are in a JSON text. A value does not know that, and people read messages in the order of what they wrote.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The first and the last place of each of the `wanted` paths (`spec.containers[0].image`) in a JSON text: the number of
/// members before it.
pub(super) fn places<'w>(json: &[u8], wanted: &[&'w str]) -> HashMap<&'w str, (usize, usize)> {
    let mut search = Search {
        wanted,
        path: String::new(),
        members: 0,
        found: HashMap::new(),
    };
    // What cannot be read further has been refused before.
    let _end = Below(&mut search).deserialize(&mut serde_json::Deserializer::from_slice(json));
    search.found
}

struct Search<'s, 'w> {
    wanted: &'s [&'w str],
    path: String,
    members: usize,
    found: HashMap<&'w str, (usize, usize)>,
}

impl Search<'_, '_> {
    fn visit(&mut self) {
        self.members += 1;
        let at = self.members;
        if let Some(path) = self.wanted.iter().find(|path| **path == self.path) {
            self.found.entry(path).or_insert((at, at)).1 = at;
        }
    }
}

/// The value at the current path.
struct Below<'b, 's, 'w>(&'b mut Search<'s, 'w>);

impl<'de> DeserializeSeed<'de> for Below<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        for index in 0_usize.. {
            self.0.path.push_str(&format!("[{index}]"));
            let item = items.next_element_seed(Below(self.0))?;
            self.0.path.truncate(length);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        while let Some(key) = members.next_key::<String>()? {
            if length > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&key);
            self.0.visit();
            members.next_value_seed(Below(self.0))?;
            self.0.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_where_they_are_written() {
        let json = br#"{"b": {"x": [1, {"y": null}]}, "a": "t", "c": 1.5, "a": true}"#;
        let found = places(json, &["a", "b.x[1].y", "b", "none"]);
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [("a", (4, 6)), ("b", (1, 1)), ("b.x[1].y", (3, 3))]);
    }
}
