//! `values.schema.json`: the keywords of JSON Schema that charts use, with messages in the words of Helm's validator.
//! References reach within the schema only; nothing is fetched. `format` is not checked.

use crate::chart::Chart;
use crate::gotemplate::number;
use crate::values::Values;
use regex::RegexBuilder;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// References followed and schemas entered on one way down.
const MAX_DEPTH: u32 = 128;
/// Schemas applied in one validation.
const MAX_STEPS: u32 = 200_000;

/// Validates the values of a chart, and those of its dependencies against theirs.
///
/// # Errors
/// The message lists every chart with what is wrong in its values.
pub(crate) fn validate(chart: &Chart, values: &Values) -> Result<(), String> {
    let mut message = String::new();
    collect(chart, values, &mut message);
    if message.is_empty() {
        Ok(())
    } else {
        Err(message)
    }
}

fn collect(chart: &Chart, values: &Values, message: &mut String) {
    if let Some(schema) = &chart.schema
        && let Err(why) = validate_one(schema, values)
    {
        let _ = write!(message, "{}:\n{why}", chart.name());
    }
    let none = Values::new();
    for dependency in &chart.dependencies {
        let theirs = values
            .get(dependency.name())
            .and_then(Json::as_object)
            .unwrap_or(&none);
        collect(dependency, theirs, message);
    }
}

fn validate_one(schema: &[u8], values: &Values) -> Result<(), String> {
    let text = schema.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(schema);
    let root: Json =
        serde_json::from_slice(text).map_err(|e| format!("unable to read the schema: {e}\n"))?;
    let mut checker = Checker {
        root: &root,
        steps: 0,
    };
    let failures = checker.check(&root, &Json::Object(values.clone()), "", 0);
    if failures.is_empty() {
        return Ok(());
    }
    // A single group gives its place to what is in it.
    let failures = match failures.as_slice() {
        [only] if only.group => &only.causes,
        all => all,
    };
    let mut out = String::new();
    failures.iter().for_each(|f| f.show(&mut out, 0));
    Err(out)
}

/// One thing that is wrong, with what is wrong below it.
struct Failure {
    path: String,
    message: String,
    causes: Vec<Failure>,
    /// Holds several failures of one value together and says nothing itself.
    group: bool,
}

impl Failure {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_string(),
            message: message.into(),
            causes: Vec::new(),
            group: false,
        }
    }

    fn show(&self, out: &mut String, level: usize) {
        let _ = writeln!(
            out,
            "{}- at '{}': {}",
            "  ".repeat(level),
            self.path,
            self.message
        );
        self.causes
            .iter()
            .for_each(|cause| cause.show(out, level + 1));
    }
}

/// The failures of one value under one schema as one.
fn grouped(path: &str, mut failures: Vec<Failure>) -> Option<Failure> {
    if failures.len() < 2 {
        return failures.pop();
    }
    Some(Failure {
        causes: failures,
        group: true,
        ..Failure::new(path, "validation failed")
    })
}

struct Checker<'s> {
    root: &'s Json,
    steps: u32,
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn is_type(value: &Json, name: &str) -> bool {
    match (value, name) {
        (Json::Number(n), "integer") => {
            n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0)
        }
        _ => kind(value) == name,
    }
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(s) => format!("'{s}'"),
        Json::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number::plain),
        Json::Array(_) | Json::Object(_) => kind(value).to_string(),
        other => other.to_string(),
    }
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(|n| format!("'{n}'"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn step_into(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn matches(pattern: &str, text: &str) -> Option<bool> {
    Some(
        RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .ok()?
            .is_match(text),
    )
}

fn count(value: Option<&Json>) -> Option<usize> {
    value?.as_u64().and_then(|n| usize::try_from(n).ok())
}

impl<'s> Checker<'s> {
    /// What is wrong with a value, as one failure.
    fn sub(&mut self, schema: &'s Json, value: &Json, path: &str, depth: u32) -> Option<Failure> {
        grouped(path, self.check(schema, value, path, depth + 1))
    }

    /// Everything that is wrong with a value.
    fn check(&mut self, schema: &'s Json, value: &Json, path: &str, depth: u32) -> Vec<Failure> {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            return vec![Failure::new(
                path,
                "the schema is too large or refers to itself",
            )];
        }
        let Some(schema) = schema.as_object() else {
            let refused = schema == &Json::Bool(false);
            return refused
                .then(|| Failure::new(path, "false schema"))
                .into_iter()
                .collect();
        };
        let mut out = Vec::new();
        if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            let pointer = target.strip_prefix('#').map(|p| p.replace("%24", "$"));
            match pointer.and_then(|p| self.root.pointer(&p)) {
                Some(target) => {
                    let found = self.sub(target, value, path, depth);
                    out.extend(found.map(|f| Failure { group: false, ..f }));
                }
                None => out.push(Failure::new(
                    path,
                    format!("schema reference {target} is not inside the schema"),
                )),
            }
        }
        general(schema, value, path, &mut out);
        match value {
            Json::Object(map) => {
                object_shape(schema, map, path, &mut out);
                self.object(schema, map, path, depth, &mut out);
            }
            Json::Array(items) => self.array(schema, items, path, depth, &mut out),
            Json::String(s) => string(schema, s, path, &mut out),
            Json::Number(n) => numeric(schema, n.as_f64().unwrap_or(0.0), path, &mut out),
            Json::Null | Json::Bool(_) => {}
        }
        self.combined(schema, value, path, depth, &mut out);
        out
    }

    fn object(
        &mut self,
        schema: &'s Map<String, Json>,
        map: &Map<String, Json>,
        path: &str,
        depth: u32,
        out: &mut Vec<Failure>,
    ) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let patterns = schema.get("patternProperties").and_then(Json::as_object);
        let mut extra = Vec::new();
        for (name, value) in map {
            let inner = step_into(path, name);
            let mut known = false;
            if let Some(schema) = properties.and_then(|p| p.get(name)) {
                known = true;
                out.extend(self.sub(schema, value, &inner, depth));
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if matches(pattern, name) == Some(true) {
                    known = true;
                    out.extend(self.sub(schema, value, &inner, depth));
                }
            }
            match schema.get("additionalProperties") {
                Some(Json::Bool(false)) if !known => extra.push(name.as_str()),
                Some(schema) if !known => out.extend(self.sub(schema, value, &inner, depth)),
                _ => {}
            }
            if let Some(names) = schema.get("propertyNames")
                && let Some(why) = self.sub(names, &Json::String(name.clone()), "", depth)
            {
                let message = format!("invalid propertyName '{name}'");
                out.push(Failure {
                    causes: vec![why],
                    ..Failure::new("", message)
                });
            }
        }
        if !extra.is_empty() {
            out.push(Failure::new(
                path,
                format!("additional properties {} not allowed", quoted(extra)),
            ));
        }
        for word in ["dependentSchemas", "dependencies"] {
            for (name, schema) in schema
                .get(word)
                .and_then(Json::as_object)
                .into_iter()
                .flatten()
            {
                if map.contains_key(name) && !schema.is_array() {
                    out.extend(self.sub(schema, &Json::Object(map.clone()), path, depth));
                }
            }
        }
    }

    fn array(
        &mut self,
        schema: &'s Map<String, Json>,
        items: &[Json],
        path: &str,
        depth: u32,
        out: &mut Vec<Failure>,
    ) {
        limits(schema, ["minItems", "maxItems"], items.len(), path, out);
        if schema.get("uniqueItems") == Some(&Json::Bool(true)) {
            let mut seen = BTreeMap::new();
            let pair = items
                .iter()
                .enumerate()
                .find_map(|(j, item)| Some((seen.insert(canonical(item), j)?, j)));
            if let Some((i, j)) = pair {
                out.push(Failure::new(
                    path,
                    format!("items at {i} and {j} are equal"),
                ));
            }
        }
        // Before 2020 a list of schemas was under "items", and "additionalItems" was for the rest.
        let (first, rest) = match (schema.get("prefixItems"), schema.get("items")) {
            (Some(Json::Array(first)), rest) => (first.as_slice(), rest),
            (_, Some(Json::Array(first))) => (first.as_slice(), schema.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        let mut inside = Vec::new();
        for (i, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(i).or(rest) {
                inside.extend(self.sub(schema, item, &format!("{path}/{i}"), depth));
            }
        }
        out.append(&mut inside);
        if let Some(wanted) = schema.get("contains") {
            let found: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(i, item)| self.sub(wanted, item, &format!("{path}/{i}"), depth))
                .collect();
            if found.iter().all(Option::is_some) {
                let causes = found.into_iter().flatten().collect();
                out.push(Failure {
                    causes,
                    ..Failure::new(path, "no items match contains schema")
                });
            }
        }
    }

    fn combined(
        &mut self,
        schema: &'s Map<String, Json>,
        value: &Json,
        path: &str,
        depth: u32,
        out: &mut Vec<Failure>,
    ) {
        let mut fail = |message: String, causes: Vec<Option<Failure>>| {
            let causes = causes.into_iter().flatten().collect();
            out.push(Failure {
                causes,
                ..Failure::new(path, message)
            });
        };
        let mut all = |word: &str| -> Option<Vec<Option<Failure>>> {
            let schemas = schema.get(word)?.as_array()?;
            Some(
                schemas
                    .iter()
                    .map(|s| self.sub(s, value, path, depth))
                    .collect(),
            )
        };
        if let Some(results) = all("allOf").filter(|r| r.iter().any(Option::is_some)) {
            fail("'allOf' failed".into(), results);
        }
        if let Some(results) = all("anyOf").filter(|r| r.iter().all(Option::is_some)) {
            fail("'anyOf' failed".into(), results);
        }
        if let Some(results) = all("oneOf") {
            let hits: Vec<String> = results
                .iter()
                .enumerate()
                .filter(|(_, r)| r.is_none())
                .map(|(i, _)| i.to_string())
                .collect();
            match hits.len() {
                0 => fail("'oneOf' failed, none matched".into(), results),
                1 => {}
                _ => fail(
                    format!("'oneOf' failed, subschemas {} matched", hits.join(", ")),
                    Vec::new(),
                ),
            }
        }
        if let Some(unwanted) = schema.get("not")
            && self.sub(unwanted, value, path, depth).is_none()
        {
            fail("'not' failed".into(), Vec::new());
        }
        if let Some(condition) = schema.get("if") {
            let word = if self.sub(condition, value, path, depth).is_none() {
                "then"
            } else {
                "else"
            };
            if let Some(schema) = schema.get(word) {
                out.extend(self.sub(schema, value, path, depth));
            }
        }
    }
}

/// A value in one form, for comparing.
fn canonical(value: &Json) -> String {
    match value {
        Json::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number::plain),
        Json::Array(items) => format!(
            "[{}]",
            items.iter().map(canonical).collect::<Vec<_>>().join(",")
        ),
        Json::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{}:{}", Json::String(k.clone()), canonical(v)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        other => other.to_string(),
    }
}

/// The order in which the validator names types.
const TYPES: [&str; 7] = [
    "null", "boolean", "number", "integer", "string", "array", "object",
];

fn general(schema: &Map<String, Json>, value: &Json, path: &str, out: &mut Vec<Failure>) {
    let types: Vec<&str> = match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => TYPES
            .into_iter()
            .filter(|t| many.iter().any(|m| m == t))
            .collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|t| is_type(value, t)) {
        out.push(Failure::new(
            path,
            format!("got {}, want {}", kind(value), types.join(" or ")),
        ));
    }
    let compound = |v: &Json| v.is_array() || v.is_object();
    if let Some(Json::Array(allowed)) = schema.get("enum")
        && !allowed.iter().any(|a| canonical(a) == canonical(value))
    {
        let list: Vec<String> = allowed.iter().map(shown).collect();
        let message = format!("value must be one of {}", list.join(", "));
        let message = if allowed.iter().any(compound) {
            "'enum' failed".into()
        } else {
            message
        };
        out.push(Failure::new(path, message));
    }
    if let Some(wanted) = schema.get("const")
        && canonical(wanted) != canonical(value)
    {
        let message = if compound(wanted) {
            "'const' failed".into()
        } else {
            format!("value must be {}", shown(wanted))
        };
        out.push(Failure::new(path, message));
    }
}

/// A least and a most number of things.
fn limits(
    schema: &Map<String, Json>,
    [least, most]: [&str; 2],
    got: usize,
    path: &str,
    out: &mut Vec<Failure>,
) {
    let mut fail = |word: &str, want: usize| {
        out.push(Failure::new(
            path,
            format!(
                "{word}: got {}, want {}",
                grouped_digits(got),
                grouped_digits(want)
            ),
        ));
    };
    if let Some(want) = count(schema.get(least)).filter(|n| got < *n) {
        fail(least, want);
    }
    if let Some(want) = count(schema.get(most)).filter(|n| got > *n) {
        fail(most, want);
    }
}

fn object_shape(
    schema: &Map<String, Json>,
    map: &Map<String, Json>,
    path: &str,
    out: &mut Vec<Failure>,
) {
    let missing = |names: &Json| -> Vec<String> {
        let names = names
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str);
        names
            .filter(|n| !map.contains_key(*n))
            .map(String::from)
            .collect()
    };
    let gone = schema.get("required").map(missing).unwrap_or_default();
    if !gone.is_empty() {
        let noun = if gone.len() == 1 {
            "property"
        } else {
            "properties"
        };
        out.push(Failure::new(
            path,
            format!("missing {noun} {}", quoted(gone.iter().map(String::as_str))),
        ));
    }
    limits(
        schema,
        ["minProperties", "maxProperties"],
        map.len(),
        path,
        out,
    );
    for word in ["dependentRequired", "dependencies"] {
        for (name, needs) in schema
            .get(word)
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            let gone = missing(needs);
            if map.contains_key(name) && !gone.is_empty() {
                let list = quoted(gone.iter().map(String::as_str));
                out.push(Failure::new(
                    path,
                    format!("properties {list} required, if '{name}' exists"),
                ));
            }
        }
    }
}

fn string(schema: &Map<String, Json>, s: &str, path: &str, out: &mut Vec<Failure>) {
    limits(
        schema,
        ["minLength", "maxLength"],
        s.chars().count(),
        path,
        out,
    );
    if let Some(pattern) = schema.get("pattern").and_then(Json::as_str) {
        let message = match matches(pattern, s) {
            Some(true) => return,
            Some(false) => format!("'{s}' does not match pattern '{pattern}'"),
            None => format!("the pattern '{pattern}' of the schema is no regular expression"),
        };
        out.push(Failure::new(path, message));
    }
}

/// Digits with a comma after each three, as the validator prints numbers.
fn grouped_digits(n: impl ToString) -> String {
    let text = n.to_string();
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |d| ("-", d));
    let mut out = String::from(sign);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    fraction.map_or(out.clone(), |f| format!("{out}.{f}"))
}

fn numeric(schema: &Map<String, Json>, n: f64, path: &str, out: &mut Vec<Failure>) {
    let shown = |n: f64| grouped_digits(number::plain(n));
    let mut fail = |word: &str, limit: f64| {
        out.push(Failure::new(
            path,
            format!("{word}: got {}, want {}", shown(n), shown(limit)),
        ));
    };
    let limit = |word: &str| schema.get(word).and_then(Json::as_f64);
    // In draft 4 the exclusive limits are switches for the others.
    let exclusive = |word: &str| schema.get(word) == Some(&Json::Bool(true));
    if let Some(least) = limit("minimum")
        && (n < least || (n <= least && exclusive("exclusiveMinimum")))
    {
        fail("minimum", least);
    }
    if let Some(most) = limit("maximum")
        && (n > most || (n >= most && exclusive("exclusiveMaximum")))
    {
        fail("maximum", most);
    }
    if let Some(least) = limit("exclusiveMinimum").filter(|l| n <= *l) {
        fail("exclusiveMinimum", least);
    }
    if let Some(most) = limit("exclusiveMaximum").filter(|l| n >= *l) {
        fail("exclusiveMaximum", most);
    }
    if let Some(unit) = limit("multipleOf").filter(|u| *u > 0.0) {
        let times = n / unit;
        if (times - times.round()).abs() > 1e-9 {
            fail("multipleOf", unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(schema: &str, values: &str, want: &Expect) {
        let values: Json = crate::yaml::from_str(values).unwrap();
        let result = validate_one(schema.as_bytes(), values.as_object().unwrap());
        want.assert_eq(&result.err().unwrap_or_default());
    }

    #[test]
    fn keywords() {
        let schema = r##"{"type": "object", "required": ["a", "z"], "additionalProperties": false, "properties": {
            "a": {"type": "integer", "minimum": 1, "maximum": 5}, "b": {"enum": ["x", "y"]}, "c": {"$ref": "#/$defs/name"},
            "d": {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": true},
            "e": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "f": {"if": {"minimum": 3}, "then": {"multipleOf": 2}}},
            "$defs": {"name": {"type": "string", "pattern": "^[a-z]+$"}}}"##;
        check(
            schema,
            "{a: 3, z: 1, b: x, c: ok, d: [a, b], e: ~, f: 4}",
            &expect![[r#"
            - at '': additional properties 'z' not allowed
        "#]],
        );
        check(
            schema,
            "{a: 9, b: q, c: Nope, d: [1], e: 1, f: 5}",
            &expect![[r#"
                - at '': missing property 'z'
                - at '/a': maximum: got 9, want 5
                - at '/b': value must be one of 'x', 'y'
                - at '/c': 'Nope' does not match pattern '^[a-z]+$'
                - at '/d': validation failed
                  - at '/d': minItems: got 1, want 2
                  - at '/d/0': got number, want string
                - at '/e': 'anyOf' failed
                  - at '/e': got number, want string
                  - at '/e': got number, want null
                - at '/f': multipleOf: got 5, want 2
            "#]],
        );
    }

    #[test]
    fn schemas_that_never_end_do() {
        check(
            r##"{"properties": {"a": {"$ref": "#/properties/a"}}}"##,
            "a: 1",
            &expect![[r#"
            - at '/a': the schema is too large or refers to itself
        "#]],
        );
    }
}
