//! YAML in and out, as Helm reads and writes it: YAML 1.1 booleans and octal numbers, the last of double keys wins,
//! keys become strings. The library behind it is known here and nowhere else.

mod emit;

use crate::gotemplate::{Budget, Result, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use std::fmt;

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Reads one document; an empty one is null.
///
/// # Errors
/// When the text is no YAML, holds more than one document or is larger or deeper than any sensible one.
pub fn from_str(text: &str) -> std::result::Result<Json, Error> {
    let document: Option<Node> =
        serde_saphyr::from_str_with_options(text, options()).map_err(explain)?;
    Ok(document.map_or(Json::Null, |Node(json)| json))
}

/// Reads the first document of a stream, as Helm does where it expects one.
///
/// # Errors
/// As [`from_str`].
pub fn first(text: &str) -> std::result::Result<Json, Error> {
    match from_str(text) {
        Ok(json) => Ok(json),
        Err(error) => match from_str_multi(text) {
            Ok(documents) => Ok(documents.into_iter().next().unwrap_or_default()),
            Err(_) => Err(error),
        },
    }
}

/// Reads all documents of a stream; empty ones are left out.
///
/// # Errors
/// As [`from_str`].
pub fn from_str_multi(text: &str) -> std::result::Result<Vec<Json>, Error> {
    let documents: Vec<Node> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(explain)?;
    Ok(documents
        .into_iter()
        .map(|Node(json)| json)
        .filter(|json| !json.is_null())
        .collect())
}

/// Writes a value as Helm's `toYaml` does, with a line break at the end.
pub fn to_string(json: &Json) -> String {
    emit::json(json)
}

/// Writes a template's value as Helm's `toYaml` does, with a line break at the end.
///
/// # Errors
/// For what JSON cannot hold, and at the limits of the rendering.
pub(crate) fn encode(budget: &mut Budget, value: &Value) -> Result<String> {
    emit::value(budget, value)
}

/// Writes a template's value as Helm's `toYamlPretty` does: lists indented under their key, nothing folded.
///
/// # Errors
/// As [`encode`].
pub(crate) fn encode_pretty(budget: &mut Budget, value: &Value) -> Result<String> {
    emit::pretty(budget, value)
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        strict_booleans: false,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function in map_err"
)]
fn explain(error: serde_saphyr::Error) -> Error {
    Error(error.to_string())
}

/// A document as JSON.
struct Node(Json);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Self)
    }
}

struct NodeVisitor;

/// A float as JSON holds it: whole numbers in reach become integers, as they do on Go's way through JSON.
fn float(f: f64) -> Json {
    Number::from_f64(f).map_or(Json::Null, Json::Number)
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, b: bool) -> std::result::Result<Json, E> {
        Ok(Json::Bool(b))
    }

    fn visit_i64<E>(self, i: i64) -> std::result::Result<Json, E> {
        Ok(i.into())
    }

    fn visit_u64<E>(self, u: u64) -> std::result::Result<Json, E> {
        Ok(u.into())
    }

    fn visit_f64<E>(self, f: f64) -> std::result::Result<Json, E> {
        Ok(float(f))
    }

    fn visit_str<E>(self, s: &str) -> std::result::Result<Json, E> {
        Ok(s.into())
    }

    fn visit_string<E>(self, s: String) -> std::result::Result<Json, E> {
        Ok(s.into())
    }

    fn visit_unit<E>(self) -> std::result::Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Node(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Json, A::Error> {
        let mut entries = Map::new();
        while let Some((Node(key), Node(value))) = map.next_entry()? {
            let key = match key {
                Json::String(s) => s,
                Json::Bool(b) => b.to_string(),
                Json::Number(n) => match n.as_f64() {
                    // go-yaml writes a float key with the digits of a float32.
                    #[expect(clippy::cast_possible_truncation, reason = "as go-yaml does")]
                    Some(f) if n.is_f64() => {
                        crate::gotemplate::number::general(f64::from(f as f32))
                    }
                    _ => n.to_string(),
                },
                _ => {
                    return Err(serde::de::Error::custom(
                        "a key must be a string, number or boolean",
                    ));
                }
            };
            entries.insert(key, value);
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn check(yaml: &str, want: &expect_test::Expect) {
        let shown = match from_str_multi(yaml) {
            Ok(docs) => docs.iter().map(|d| d.to_string() + "\n").collect(),
            Err(e) => format!("error: {e}\n"),
        };
        want.assert_eq(&shown);
    }

    #[test]
    fn reads_as_helm_reads() {
        check(
            "a: yes\nb: 0755\nc: 1.5\nd: ~\ne: on\nf: '1'\ng: 1_000\nh: 0x1f\ni: 2020-01-01\nyes: 1\n1: x\n",
            &expect![[r#"
                {"1":"x","a":true,"b":493,"c":1.5,"d":null,"e":true,"f":"1","g":1000,"h":31,"i":"2020-01-01","true":1}
            "#]],
        );
        check(
            "a: 1\na: 2\n",
            &expect![[r#"
            {"a":2}
        "#]],
        );
        check(
            "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n",
            &expect![[r#"
            {"a":{"b":1},"c":{"b":1,"d":2}}
        "#]],
        );
        check(
            "---\na: 1\n---\n# nothing\n---\nb: 2\n...\n",
            &expect![[r#"
            {"a":1}
            {"b":2}
        "#]],
        );
    }

    #[test]
    fn alias_bombs_end() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..30 {
            bomb += &format!(
                "a{i}: &a{i} [{}]\n",
                vec![format!("*a{}", i - 1); 10].join(", ")
            );
        }
        assert!(from_str(&bomb).is_err());
        assert!(from_str(&"[".repeat(1_000_000)).is_err());
    }
}
