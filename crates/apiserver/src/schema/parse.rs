//! Bytes to JSON values: JSON and one YAML document, with duplicate keys noticed and everything bounded.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};

/// Deepest nesting of a document; serde_json itself stops at 128.
pub(super) const MAX_DEPTH: usize = 120;

/// Levels of YAML that fit on any stack.
const SHALLOW: usize = 48;
/// A stack for [`MAX_DEPTH`] levels of YAML in an unoptimized build, in bytes.
const DEEP_STACK: usize = 32 << 20;

/// Most values in one document; a body of 3 MiB reaches this with nothing but brackets.
const MAX_VALUES: usize = 500_000;

/// Values that aliases may add to a document, which names them only once.
const MAX_ALIASED: usize = 10_000;

/// Duplicate keys that are told; more are noticed but not listed.
const MAX_DUPLICATES: usize = 32;

/// A document.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub value: Value,
    /// Paths of keys that came more than once in their object; the last value counts.
    pub duplicates: Vec<String>,
}

/// Reads one JSON document.
///
/// # Errors
/// What is wrong, with line and column.
pub(super) fn json(bytes: &[u8]) -> Result<Document, String> {
    let reader = Reader::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { reader: &reader }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| error.to_string())?;
    Ok(reader.finish(value))
}

/// Reads one YAML document as YAML 1.1 clients mean it (`yes` and `on` are booleans).
///
/// # Errors
/// What is wrong, with line and column; also for a second document.
pub(super) fn yaml(bytes: &[u8]) -> Result<Document, String> {
    // Most is JSON, whose reader does much less.
    if let Some(document) = json_as_yaml(bytes) {
        return Ok(document);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    with_stack(text, || {
        let reader = Reader::of_yaml(text);
        let options = yaml_options(serde_saphyr::options::DuplicateKeyPolicy::PassThrough);
        let value =
            serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
                Seed { reader: &reader }.deserialize(deserializer)
            })
            .map_err(|error| {
                let text = error.to_string();
                if text.contains("multiple YAML documents") {
                    "the body must be a single YAML document".to_owned()
                } else {
                    text
                }
            })?;
        Ok(reader.finish(value))
    })?
}

/// A document that is JSON, with the numbers that YAML would make of it; `None` if it is not, or if something is wrong
/// with it that YAML has its own words for.
fn json_as_yaml(bytes: &[u8]) -> Option<Document> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let reader = Reader {
        is_yaml: true,
        ..Reader::default()
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { reader: &reader }
        .deserialize(&mut deserializer)
        .ok()?;
    deserializer.end().ok()?;
    let document = reader.finish(value);
    document.duplicates.is_empty().then_some(document)
}

/// Runs a reader of `text` on a stack of its own if the text may be nested deeply: each level takes some KiB of it.
fn with_stack<T: Send>(text: &str, read: impl FnOnce() -> T + Send) -> Result<T, String> {
    if nesting(text) < SHALLOW {
        return Ok(read());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP_STACK);
        let thread = thread.spawn_scoped(scope, read);
        let thread = thread.map_err(|error| format!("the document cannot be read now: {error}"))?;
        thread
            .join()
            .or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// At least as deep as the text is nested, at a glance.
fn nesting(text: &str) -> usize {
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return json_nesting(text);
    }
    // Closing brackets may be in texts and opening ones count for nothing then, so only those are counted; what is
    // indented by a column can be a list in an object; and an alias is as deep as all the rest.
    let count = |what: &[u8]| text.bytes().filter(|byte| what.contains(byte)).count();
    let indented = text.lines().map(|line| {
        let block = |byte: &u8| matches!(byte, b' ' | b'-' | b'?' | b':' | b'\t');
        line.bytes().take_while(block).count()
    });
    let blocks = 2 * (indented.max().unwrap_or_default() + 1);
    (blocks + count(b"[{")).saturating_mul(1 + count(b"*"))
}

/// How deep a valid JSON text is nested.
fn json_nesting(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => drop(bytes.next()),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    deepest
}

/// Where the first key is that comes twice in its object, in the words of YAML clients; `None` if there is none.
pub(super) fn yaml_duplicate(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let read = with_stack(text, || {
        let reader = Reader::of_yaml(text);
        let options = yaml_options(serde_saphyr::options::DuplicateKeyPolicy::Error);
        serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            Seed { reader: &reader }
                .deserialize(deserializer)
                .map(|_| ())
        })
    })
    .ok()?;
    match read.err()? {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => {
            let key = key.unwrap_or_default();
            Some(format!(
                "line {}: key {key:?} already set in map",
                location.line()
            ))
        }
        _ => None,
    }
}

fn yaml_options(
    duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy,
) -> serde_saphyr::options::Options {
    let budget = serde_saphyr::budget! {
        max_reader_input_bytes: Some(16 << 20),
        max_depth: MAX_DEPTH,
        max_nodes: MAX_VALUES,
        max_events: 2 * MAX_VALUES,
        max_documents: 2,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_merge_keys: 1_000,
        max_total_scalar_bytes: 16 << 20,
    };
    serde_saphyr::options! {
        budget: budget,
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// What is known while reading: where we are and what was noticed.
#[derive(Default)]
struct Reader {
    is_yaml: bool,
    /// Most values of a document with aliases: without any, each value takes a byte at least. 0 says nothing.
    with_aliases: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    path: Vec<Step>,
    values: usize,
    duplicates: Vec<String>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Reader {
    fn finish(self, value: Value) -> Document {
        Document {
            value,
            duplicates: self.state.into_inner().duplicates,
        }
    }

    fn of_yaml(text: &str) -> Self {
        Self {
            is_yaml: true,
            with_aliases: text.len() + MAX_ALIASED,
            ..Self::default()
        }
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let mut state = self.state.borrow_mut();
        state.values += 1;
        let most = match self.with_aliases {
            0 => MAX_VALUES,
            most => most.min(MAX_VALUES),
        };
        if state.values > most {
            return Err(E::custom(format_args!(
                "the document has more than {most} values"
            )));
        }
        if state.path.len() > MAX_DEPTH {
            return Err(E::custom(format_args!(
                "the document is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(())
    }

    fn enter(&self, step: Step) {
        self.state.borrow_mut().path.push(step);
    }

    fn leave(&self) -> Option<Step> {
        self.state.borrow_mut().path.pop()
    }

    /// Notes that the current path was seen before.
    fn duplicate(&self) {
        let mut state = self.state.borrow_mut();
        if state.duplicates.len() == MAX_DUPLICATES {
            return;
        }
        let mut text = String::new();
        for step in &state.path {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => {
                    text.push('.');
                    text.push_str(key);
                }
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        if !state.duplicates.contains(&text) {
            state.duplicates.push(text);
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'r> {
    reader: &'r Reader,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.reader.count()?;
        Ok(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.reader.count()?;
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.reader.count()?;
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.reader.count()?;
        // `1e3` in YAML reaches JSON as 1000, and 2^53 is where floats stop being exact.
        let is_whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
        if self.reader.is_yaml && is_whole {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the value is whole and in range"
            )]
            return Ok((value as i64).into());
        }
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(E::custom("a number that is not finite")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.reader.count()?;
        Ok(Value::String(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Value, E> {
        use base64::Engine as _;
        // YAML's `!!binary`.
        self.visit_string(base64::engine::general_purpose::STANDARD.encode(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.reader.count()?;
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        self.deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.reader.count()?;
        let mut items = Vec::new();
        loop {
            self.reader.enter(Step::Index(items.len()));
            let item = access.next_element_seed(self)?;
            self.reader.leave();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.reader.count()?;
        let mut members = Map::new();
        while let Some(key) = access.next_key_seed(KeySeed)? {
            self.reader.enter(Step::Key(key));
            let value = access.next_value_seed(self)?;
            let Some(Step::Key(key)) = self.reader.leave() else {
                return Err(A::Error::custom("unbalanced nesting"));
            };
            if members.contains_key(&key) {
                self.reader.enter(Step::Key(key.clone()));
                self.reader.duplicate();
                self.reader.leave();
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// Keys are strings as written: `y` is no boolean here.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_string(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<String, E> {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn a_document_has_a_bounded_number_of_values() {
        let list = |count: usize| format!("a: [{}]\n", vec!["1"; count].join(","));
        assert!(yaml(list(1000).as_bytes()).is_ok());
        let error = yaml(list(MAX_VALUES + 1).as_bytes()).unwrap_err();
        assert!(error.contains(&(MAX_VALUES + 1).to_string()), "{error}");
    }

    #[test]
    fn aliases_add_a_bounded_number_of_values() {
        let list = |item: &str| format!("[{}]", vec![item; 40].join(","));
        let small = format!("a: &a {}\nb: &b {}\n", list("x"), list("*a"));
        assert!(yaml(small.as_bytes()).is_ok());
        let large = format!("{small}c: {}\n", list("*b"));
        let error = yaml(large.as_bytes()).unwrap_err();
        assert!(error.contains("values"), "{error}");
    }

    #[test]
    fn deep_yaml_is_read_or_refused_on_any_stack() {
        let nested = |open: &str, close: &str, levels: usize| {
            format!("{}1{}", open.repeat(levels), close.repeat(levels))
        };
        let aliases: String = (1..100)
            .map(|n| format!("a{n}: &a{n}\n- *a{}\n", n - 1))
            .collect();
        let deep = [
            nested("[", "]", 115),
            nested("{\"]\": ", "}", 115),
            nested("[\"]\", ", "]", 115),
            nested("- ", "", 115),
            nested("[", "]", 3000),
            nested("- ", "", 3000),
            format!("a0: &a0 1\n{aliases}"),
        ];
        let on_a_small_stack = std::thread::Builder::new().stack_size(768 << 10);
        let reading = on_a_small_stack.spawn(move || {
            for (n, text) in deep.iter().enumerate() {
                let is_read = yaml(text.as_bytes()).is_ok();
                assert_eq!(is_read, matches!(n, 0..4 | 6), "{n}");
                assert!(yaml_duplicate(text.as_bytes()).is_none());
            }
        });
        reading.unwrap().join().unwrap();
        assert_eq!(json_nesting(r#"{"a":["]}[[\"[",{"b":[]}]}"#), 4);
        assert!(nesting("a:\n  b:\n  - c: {d: [e]}\n") < SHALLOW);
    }

    fn check(read: fn(&[u8]) -> Result<Document, String>, text: &str, expected: Expect) {
        let shown = match read(text.as_bytes()) {
            Ok(document) => format!("{} {:?}", document.value, document.duplicates),
            Err(error) => error,
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn json_keeps_the_last_of_duplicate_keys_and_tells() {
        check(
            json,
            r#"{"a":1,"b":[{"c":1,"c":2,"c":3}],"a":2.5}"#,
            expect![[r#"{"a":2.5,"b":[{"c":3}]} ["b[0].c", "a"]"#]],
        );
        check(
            json,
            r#"{"a":9223372036854775807,"b":-0.0,"c":1e3}"#,
            expect![[r#"{"a":9223372036854775807,"b":-0.0,"c":1000.0} []"#]],
        );
    }

    #[test]
    fn json_that_is_broken_says_where() {
        check(
            json,
            r#"{"a":"#,
            expect!["EOF while parsing a value at line 1 column 5"],
        );
        check(
            json,
            r#"{"a":1} x"#,
            expect!["trailing characters at line 1 column 9"],
        );
        check(
            json,
            &"[".repeat(5000),
            expect!["the document is nested deeper than 120 levels at line 1 column 122"],
        );
        check(
            json,
            &format!("{}{}", "[".repeat(125), "]".repeat(125)),
            expect!["the document is nested deeper than 120 levels at line 1 column 122"],
        );
    }

    #[test]
    fn yaml_is_one_document_with_old_booleans() {
        check(
            yaml,
            "a: 1\nb: yes\nc: \"yes\"\nd: 1.5\ne:\n- x\n- null\nf: 0644\n1: x\na: 2\n",
            expect![[r#"{"1":"x","a":2,"b":true,"c":"yes","d":1.5,"e":["x",null],"f":420} ["a"]"#]],
        );
        check(
            yaml,
            "a: 1\n---\nb: 2\n",
            expect!["the body must be a single YAML document"],
        );
        check(
            yaml,
            "---\na: 1\n---\n",
            expect!["the body must be a single YAML document"],
        );
        check(
            yaml,
            "a: [",
            expect!["unclosed bracket '[' at line 1, column 4"],
        );
        check(
            yaml,
            "d: 2024-01-01T00:00:00Z\ne: 1e3\nx: &a {k: v}\ny: *a\n",
            expect![[r#"{"d":"2024-01-01T00:00:00Z","e":1000,"x":{"k":"v"},"y":{"k":"v"}} []"#]],
        );
        check(yaml, "", expect!["null []"]);
    }

    #[test]
    fn json_is_yaml() {
        check(
            yaml,
            r#" {"a":1e3,"b":"yes","c":1.5,"d":-0.0,"e":9223372036854775807,"f":1e30}"#,
            expect![[r#"{"a":1000,"b":"yes","c":1.5,"d":0,"e":9223372036854775807,"f":1e+30} []"#]],
        );
        check(
            yaml,
            r#"{"a":1,"b":{"c":1,"c":2},"a":3}"#,
            expect![[r#"{"a":3,"b":{"c":2}} ["b.c", "a"]"#]],
        );
        check(
            yaml,
            r#"{"a":1} x"#,
            expect!["did not find expected <document start> at line 1, column 9"],
        );
        check(
            yaml,
            r#"{"a":1, # a comment
            "b":yes,}"#,
            expect![[r#"{"a":1,"b":true} []"#]],
        );
    }
}
