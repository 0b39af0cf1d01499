//! Documents of version 2 that extension servers wrote, cut down to their group version and merged into ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

const REFERENCE: &str = "#/definitions/";
const KINDS: &str = "x-kubernetes-group-version-kind";

/// The paths of a document that begin with `prefix`, and the definitions that they need.
#[must_use]
pub fn cut_down(mut document: Value, prefix: &str) -> Value {
    let mut paths = take(&mut document, "paths");
    paths.retain(|path, _| path.starts_with(prefix));
    let mut definitions = take(&mut document, "definitions");
    let mut kept = Map::new();
    let mut wanted = BTreeSet::new();
    for path in paths.values() {
        references(path, &mut wanted);
    }
    while let Some(name) = wanted.pop_first() {
        // What was moved already is not there any more.
        if let Some(definition) = definitions.remove(&name) {
            references(&definition, &mut wanted);
            kept.insert(name, definition);
        }
    }
    json!({"paths": paths, "definitions": kept})
}

fn take(value: &mut Value, member: &str) -> Map<String, Value> {
    match value.get_mut(member).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// The definitions that a value refers to directly.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            for (key, member) in members {
                match member.as_str() {
                    Some(text) if key == "$ref" => {
                        found.extend(text.strip_prefix(REFERENCE).map(str::to_owned));
                    }
                    _ => references(member, found),
                }
            }
        }
        _ => {}
    }
}

/// Adds a part, which was cut down, to a whole document. A path that is there already stays; a definition of the same name that
/// says something else gets another name.
///
/// # Errors
/// When `part` is no JSON.
pub(super) fn merge(document: &mut Value, part: &[u8]) -> Result<(), serde_json::Error> {
    let mut part: Value = serde_json::from_slice(part)?;
    let renamed = match document["definitions"].as_object() {
        Some(known) => renamed(known, &part["definitions"]),
        None => BTreeMap::new(),
    };
    if !renamed.is_empty() {
        rename(&mut part, &renamed);
    }
    let (paths, definitions) = (take(&mut part, "paths"), take(&mut part, "definitions"));
    if let Some(known) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            known.entry(path).or_insert(operations);
        }
    }
    if let Some(known) = document["definitions"].as_object_mut() {
        for (name, definition) in definitions {
            let name = renamed.get(&name).cloned().unwrap_or(name);
            match known.get_mut(&name) {
                Some(known) => add_kinds(known, &definition),
                None => {
                    known.insert(name, definition);
                }
            }
        }
    }
    Ok(())
}

/// New names for the definitions that collide with known ones: names of nobody else, be it here, there or among the new ones.
fn renamed(known: &Map<String, Value>, definitions: &Value) -> BTreeMap<String, String> {
    let mut renamed = BTreeMap::new();
    let Some(definitions) = definitions.as_object() else {
        return renamed;
    };
    for (name, definition) in definitions {
        if known.get(name).is_none_or(|k| is_same(k, definition)) {
            continue;
        }
        let is_free = |new: &String| {
            known.get(new).is_none_or(|k| is_same(k, definition)) && !definitions.contains_key(new)
        };
        let mut names = (2_u32..).map(|number| format!("{name}_v{number}"));
        if let Some(new) = names.find(is_free) {
            renamed.insert(name.clone(), new);
        }
    }
    renamed
}

/// Whether two definitions are the same but for the kinds that they stand for.
fn is_same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    let count = |map: &Map<String, Value>| map.keys().filter(|key| *key != KINDS).count();
    count(a) == count(b) && (a.iter()).all(|(key, value)| key == KINDS || b.get(key) == Some(value))
}

fn add_kinds(known: &mut Value, definition: &Value) {
    let Some(new) = definition[KINDS].as_array() else {
        return;
    };
    match known[KINDS].as_array_mut() {
        Some(kinds) => {
            let added: Vec<Value> = new.iter().filter(|k| !kinds.contains(k)).cloned().collect();
            kinds.extend(added);
        }
        None => known[KINDS] = new.clone().into(),
    }
}

fn rename(value: &mut Value, renamed: &BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        Value::Object(members) => {
            for (key, member) in members {
                let new = match member.as_str() {
                    Some(text) if key == "$ref" => {
                        text.strip_prefix(REFERENCE).and_then(|n| renamed.get(n))
                    }
                    _ => None,
                };
                match new {
                    Some(new) => *member = format!("{REFERENCE}{new}").into(),
                    None => rename(member, renamed),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refers(name: &str) -> Value {
        json!({"$ref": format!("#/definitions/{name}")})
    }

    #[test]
    fn only_what_the_paths_need_is_kept() {
        let document = json!({
            "swagger": "2.0",
            "paths": {"/apis/a/v1/x": {"get": refers("X")}, "/apis/b/v1/y": {"get": refers("Y")}, "/version": {}},
            "definitions": {
                "X": {"properties": {"self": refers("X"), "z": {"items": refers("Z")}}},
                "Y": {}, "Z": {}, "W": {},
            },
        });
        let kept = cut_down(document, "/apis/a/v1/");
        let names = |member: &str| -> Vec<String> {
            kept[member].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names("paths"), ["/apis/a/v1/x"]);
        assert_eq!(names("definitions"), ["X", "Z"]);
        let nothing = json!({"paths": {}, "definitions": {}});
        for nonsense in [json!(null), json!({"paths": 1, "definitions": [1]})] {
            assert_eq!(cut_down(nonsense, "/apis/"), nothing);
        }
    }

    #[test]
    fn new_names_are_nobody_elses() {
        let mut document = json!({"paths": {}, "definitions": {"A": {"type": "string"}}});
        let part = json!({
            "paths": {"/a": {"get": refers("A"), "post": refers("A_v2")}},
            "definitions": {"A": {"type": "object"}, "A_v2": {"type": "integer"}},
        });
        merge(&mut document, part.to_string().as_bytes()).unwrap();
        let expected = json!({
            "paths": {"/a": {"get": refers("A_v3"), "post": refers("A_v2")}},
            "definitions": {
                "A": {"type": "string"}, "A_v2": {"type": "integer"}, "A_v3": {"type": "object"},
            },
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn definitions_that_differ_get_another_name() {
        let kinds = |name: &str| json!([{"group": name, "kind": "Same"}]);
        let mut document = json!({
            "paths": {"/ours": 1},
            "definitions": {"Same": {"type": "object", KINDS: kinds("ours")}, "Other": {"type": "string"}, "Other_v2": {}},
        });
        let part = json!({
            "paths": {"/ours": 2, "/theirs": {"get": refers("Other"), "post": refers("Same")}},
            "definitions": {
                "Same": {"type": "object", KINDS: kinds("theirs")},
                "Other": {"type": "object", "properties": {"other": refers("Other")}},
            },
        });
        merge(&mut document, part.to_string().as_bytes()).unwrap();
        let expected = json!({
            "paths": {"/ours": 1, "/theirs": {"get": refers("Other_v3"), "post": refers("Same")}},
            "definitions": {
                "Same": {"type": "object", KINDS: [kinds("ours")[0], kinds("theirs")[0]]},
                "Other": {"type": "string"}, "Other_v2": {},
                "Other_v3": {"type": "object", "properties": {"other": refers("Other_v3")}},
            },
        });
        assert_eq!(document, expected);
    }
}
