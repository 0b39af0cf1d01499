//! How inputs are changed: as bytes, as text with the words of what is read here, and as JSON.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// Longest input, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Deepest nesting that is made.
const MAX_NESTING: usize = 3000;

/// What parsers look for.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "0.1",
    "9223372036854775808",
    "18446744073709551616",
    "\u{0}",
    "\u{feff}",
    "\\u0000",
    "\\ud800",
    "%",
    "%2f",
    "%00",
    "..",
    "/",
    "//",
    "?",
    "&",
    "=",
    "==",
    "!=",
    "!",
    " in ",
    " notin ",
    "(",
    ")",
    "()",
    ">",
    "<",
    "@",
    "$",
    "$.",
    "[*]",
    "[?(@.a==1)]",
    "[::]",
    "[-1:]",
    "..*",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!!float ",
    "---\n",
    "- ",
    ": ",
    "|\n",
    ">\n",
    "#",
    "'",
    "\n",
    "\t",
    "~",
    "metadata",
    "name",
    "namespace",
    "labels",
    "spec",
    "$patch",
    "$retainKeys",
    "$setElementOrder/a",
    "$deleteFromPrimitiveList/a",
    "items",
    "properties",
    "type",
    "object",
    "array",
    "pattern",
    "(a+)+$",
    "maxLength",
    "default",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
    "k8s\u{0}",
    "Bearer ",
    "eyJhbGciOiJub25lIn0",
    "2024-01-01T00:00:00Z",
    "100m",
    "1Ei",
    "=;,",
    "q=0.5",
    "as=Table",
];

/// Another input made of one, with parts of the other.
pub(super) fn mutated(one: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.4)
        && let Ok(mut value) = serde_json::from_slice(one)
    {
        for _ in 0..rng.random_range(1..4) {
            change(&mut value, rng);
        }
        return value.to_string().into_bytes();
    }
    let mut bytes = one.to_vec();
    for _ in 0..rng.random_range(1..5) {
        change_bytes(&mut bytes, other, rng);
        bytes.truncate(MAX_BYTES);
    }
    bytes
}

fn change_bytes(bytes: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    let at = rng.random_range(0..=bytes.len());
    let end = rng.random_range(at..=bytes.len().min(at + 40));
    match rng.random_range(0..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = rng.random(),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        4 => {
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        5 => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            let times = rng.random_range(1..MAX_NESTING);
            bytes.splice(at..at, word.repeat(times).into_bytes());
        }
        6 => bytes.truncate(at),
        _ => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            bytes.splice(at..end, word.bytes());
        }
    }
}

/// Changes one place somewhere inside.
fn change(value: &mut Value, rng: &mut StdRng) {
    match value {
        Value::Object(fields) if !fields.is_empty() && rng.random_bool(0.85) => {
            let at = rng.random_range(0..fields.len());
            let Some(key) = fields.keys().nth(at).cloned() else {
                return;
            };
            match rng.random_range(0..12) {
                0 => drop(fields.remove(&key)),
                1 => {
                    let moved = fields.remove(&key).unwrap_or_default();
                    let word = WORDS[rng.random_range(0..WORDS.len())];
                    fields.insert(word.into(), moved);
                }
                _ => change(&mut fields[&key], rng),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.85) => {
            let at = rng.random_range(0..items.len());
            match rng.random_range(0..8) {
                0 => drop(items.remove(at)),
                1 => {
                    let again = items[at].clone();
                    items.resize(items.len() + rng.random_range(1..100), again);
                }
                _ => change(&mut items[at], rng),
            }
        }
        _ => *value = interesting(value, rng),
    }
}

fn interesting(old: &Value, rng: &mut StdRng) -> Value {
    match rng.random_range(0..14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(i64::MIN),
        5 => json!(1.5e300),
        6 => json!(""),
        7 => json!([]),
        8 => json!({}),
        9 => json!("x".repeat(rng.random_range(1..5000))),
        10 => json!([old, old]),
        11 => json!({"a": old, "": old}),
        12 => (0..rng.random_range(1..200)).fold(old.clone(), |inner, _| json!([inner])),
        _ => json!(WORDS[rng.random_range(0..WORDS.len())]),
    }
}
