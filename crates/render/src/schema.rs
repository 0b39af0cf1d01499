//! `values.schema.json`: the keywords of JSON Schema that charts use, with messages in the words of Helm's validator.
//! References reach within the schema only; nothing is fetched. `format` is not checked.

use crate::chart::Chart;
use crate::gotemplate::number;
use crate::values::Values;
use regex::RegexBuilder;
use serde_json::{Map, Value as Json};
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
    let mut out = String::new();
    failures.iter().for_each(|f| f.show(&mut out, 0));
    Err(out)
}

/// One thing that is wrong, and for "any of these" what is wrong with each.
struct Failure {
    path: String,
    message: String,
    causes: Vec<Failure>,
}

impl Failure {
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

/// Equal as JSON Schema sees it: 1 is 1.0.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(x), Json::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Json::Array(x), Json::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y))
        }
        (Json::Object(x), Json::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
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
    fn check(&mut self, schema: &'s Json, value: &Json, path: &str, depth: u32) -> Vec<Failure> {
        let mut out = Vec::new();
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            self.fail(
                &mut out,
                path,
                "the schema is too large or refers to itself".into(),
            );
            return out;
        }
        let Some(schema) = schema.as_object() else {
            if schema == &Json::Bool(false) {
                self.fail(&mut out, path, "false schema".into());
            }
            return out;
        };
        if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            match target
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(&pointer.replace("%24", "$")))
            {
                Some(target) => out.extend(self.check(target, value, path, depth + 1)),
                None => self.fail(
                    &mut out,
                    path,
                    format!("schema reference {target} is not inside the schema"),
                ),
            }
        }
        Self::general(schema, value, path, &mut out);
        match value {
            Json::Object(map) => self.object(schema, map, path, depth, &mut out),
            Json::Array(items) => self.array(schema, items, path, depth, &mut out),
            Json::String(s) => Self::string(schema, s, path, &mut out),
            Json::Number(n) => Self::number(schema, n.as_f64().unwrap_or(0.0), path, &mut out),
            Json::Null | Json::Bool(_) => {}
        }
        self.combined(schema, value, path, depth, &mut out);
        out
    }

    #[expect(clippy::unused_self, reason = "called where the checker is at hand")]
    fn fail(&self, out: &mut Vec<Failure>, path: &str, message: String) {
        out.push(Failure {
            path: path.to_string(),
            message,
            causes: Vec::new(),
        });
    }

    fn general(schema: &Map<String, Json>, value: &Json, path: &str, out: &mut Vec<Failure>) {
        let mut fail = |message: String| {
            out.push(Failure {
                path: path.to_string(),
                message,
                causes: Vec::new(),
            });
        };
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|t| is_type(value, t)) {
            fail(format!("got {}, want {}", kind(value), types.join(" or ")));
        }
        if let Some(Json::Array(allowed)) = schema.get("enum")
            && !allowed.iter().any(|a| equal(a, value))
        {
            let list: Vec<String> = allowed.iter().map(shown).collect();
            fail(format!("value must be one of {}", list.join(", ")));
        }
        if let Some(wanted) = schema.get("const")
            && !equal(wanted, value)
        {
            fail(format!("value must be {}", shown(wanted)));
        }
    }

    fn object(
        &mut self,
        schema: &'s Map<String, Json>,
        map: &Map<String, Json>,
        path: &str,
        depth: u32,
        out: &mut Vec<Failure>,
    ) {
        self.object_shape(schema, map, path, out);
        let properties = schema.get("properties").and_then(Json::as_object);
        let patterns = schema.get("patternProperties").and_then(Json::as_object);
        let additional = schema.get("additionalProperties");
        let mut extra = Vec::new();
        for (name, value) in map {
            let inner = step_into(path, name);
            let mut known = false;
            if let Some(schema) = properties.and_then(|p| p.get(name)) {
                known = true;
                out.extend(self.check(schema, value, &inner, depth + 1));
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if matches(pattern, name) == Some(true) {
                    known = true;
                    out.extend(self.check(schema, value, &inner, depth + 1));
                }
            }
            match additional {
                Some(Json::Bool(false)) if !known => extra.push(name.as_str()),
                Some(schema) if !known => out.extend(self.check(schema, value, &inner, depth + 1)),
                _ => {}
            }
            if let Some(names) = schema.get("propertyNames")
                && !self
                    .check(names, &Json::String(name.clone()), path, depth + 1)
                    .is_empty()
            {
                self.fail(out, path, format!("invalid propertyName '{name}'"));
            }
        }
        if !extra.is_empty() {
            self.fail(
                out,
                path,
                format!("additional properties {} not allowed", quoted(extra)),
            );
        }
        for (name, schema) in schema
            .get("dependentSchemas")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            if map.contains_key(name) {
                out.extend(self.check(schema, &Json::Object(map.clone()), path, depth + 1));
            }
        }
    }

    fn object_shape(
        &self,
        schema: &Map<String, Json>,
        map: &Map<String, Json>,
        path: &str,
        out: &mut Vec<Failure>,
    ) {
        let names = |list: &'_ Json| -> Vec<String> {
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(|n| Some(n.as_str()?.to_string()))
                .collect()
        };
        let missing: Vec<String> = schema
            .get("required")
            .map(names)
            .unwrap_or_default()
            .into_iter()
            .filter(|n| !map.contains_key(n))
            .collect();
        if !missing.is_empty() {
            let noun = if missing.len() == 1 {
                "property"
            } else {
                "properties"
            };
            self.fail(
                out,
                path,
                format!(
                    "missing {noun} {}",
                    quoted(missing.iter().map(String::as_str))
                ),
            );
        }
        if let Some(least) = count(schema.get("minProperties")).filter(|n| map.len() < *n) {
            self.fail(
                out,
                path,
                format!("minProperties: got {}, want {least}", map.len()),
            );
        }
        if let Some(most) = count(schema.get("maxProperties")).filter(|n| map.len() > *n) {
            self.fail(
                out,
                path,
                format!("maxProperties: got {}, want {most}", map.len()),
            );
        }
        for (name, needs) in schema
            .get("dependentRequired")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
        {
            let missing: Vec<String> = names(needs)
                .into_iter()
                .filter(|n| !map.contains_key(n))
                .collect();
            if map.contains_key(name) && !missing.is_empty() {
                let list = quoted(missing.iter().map(String::as_str));
                self.fail(
                    out,
                    path,
                    format!("properties {list} required, if '{name}' exists"),
                );
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
        if let Some(least) = count(schema.get("minItems")).filter(|n| items.len() < *n) {
            self.fail(
                out,
                path,
                format!("minItems: got {}, want {least}", items.len()),
            );
        }
        if let Some(most) = count(schema.get("maxItems")).filter(|n| items.len() > *n) {
            self.fail(
                out,
                path,
                format!("maxItems: got {}, want {most}", items.len()),
            );
        }
        if schema.get("uniqueItems") == Some(&Json::Bool(true)) {
            let pair = (1..items.len()).find_map(|j| {
                (0..j)
                    .find(|i| equal(&items[*i], &items[j]))
                    .map(|i| (i, j))
            });
            if let Some((i, j)) = pair {
                self.fail(out, path, format!("items at {i} and {j} are equal"));
            }
        }
        // Before 2020 a list of schemas was under "items", and "additionalItems" was for the rest.
        let (first, rest) = match (schema.get("prefixItems"), schema.get("items")) {
            (Some(Json::Array(first)), rest) => (first.as_slice(), rest),
            (_, Some(Json::Array(first))) => (first.as_slice(), schema.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        for (i, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(i).or(rest) {
                out.extend(self.check(schema, item, &format!("{path}/{i}"), depth + 1));
            }
        }
        if let Some(wanted) = schema.get("contains")
            && !items
                .iter()
                .any(|item| self.check(wanted, item, path, depth + 1).is_empty())
        {
            self.fail(out, path, "no items match contains schema".into());
        }
    }

    fn string(schema: &Map<String, Json>, s: &str, path: &str, out: &mut Vec<Failure>) {
        let mut fail = |message: String| {
            out.push(Failure {
                path: path.to_string(),
                message,
                causes: Vec::new(),
            });
        };
        let length = s.chars().count();
        if let Some(least) = count(schema.get("minLength")).filter(|n| length < *n) {
            fail(format!("minLength: got {length}, want {least}"));
        }
        if let Some(most) = count(schema.get("maxLength")).filter(|n| length > *n) {
            fail(format!("maxLength: got {length}, want {most}"));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str) {
            match matches(pattern, s) {
                Some(true) => {}
                Some(false) => fail(format!("'{s}' does not match pattern '{pattern}'")),
                None => fail(format!(
                    "the pattern '{pattern}' of the schema is no regular expression"
                )),
            }
        }
    }

    fn number(schema: &Map<String, Json>, n: f64, path: &str, out: &mut Vec<Failure>) {
        let mut fail = |word: &str, limit: f64| {
            let message = format!(
                "{word}: got {}, want {}",
                number::plain(n),
                number::plain(limit)
            );
            out.push(Failure {
                path: path.to_string(),
                message,
                causes: Vec::new(),
            });
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

    fn combined(
        &mut self,
        schema: &'s Map<String, Json>,
        value: &Json,
        path: &str,
        depth: u32,
        out: &mut Vec<Failure>,
    ) {
        let list = |word: &str| schema.get(word).and_then(Json::as_array);
        for schema in list("allOf").into_iter().flatten() {
            out.extend(self.check(schema, value, path, depth + 1));
        }
        if let Some(choices) = list("anyOf") {
            let results: Vec<_> = choices
                .iter()
                .map(|s| self.check(s, value, path, depth + 1))
                .collect();
            if !results.iter().any(Vec::is_empty) {
                let causes = results.into_iter().flatten().collect();
                out.push(Failure {
                    path: path.to_string(),
                    message: "anyOf failed".into(),
                    causes,
                });
            }
        }
        if let Some(choices) = list("oneOf") {
            let results: Vec<_> = choices
                .iter()
                .map(|s| self.check(s, value, path, depth + 1))
                .collect();
            let hits: Vec<String> = results
                .iter()
                .enumerate()
                .filter(|(_, r)| r.is_empty())
                .map(|(i, _)| i.to_string())
                .collect();
            if hits.is_empty() {
                let message = "oneOf failed, none matched".to_string();
                out.push(Failure {
                    path: path.to_string(),
                    message,
                    causes: results.into_iter().flatten().collect(),
                });
            } else if hits.len() > 1 {
                self.fail(
                    out,
                    path,
                    format!("oneOf failed, subschemas {} matched", hits.join(", ")),
                );
            }
        }
        if let Some(unwanted) = schema.get("not")
            && self.check(unwanted, value, path, depth + 1).is_empty()
        {
            self.fail(out, path, "not failed".into());
        }
        if let Some(condition) = schema.get("if") {
            let word = if self.check(condition, value, path, depth + 1).is_empty() {
                "then"
            } else {
                "else"
            };
            if let Some(schema) = schema.get(word) {
                out.extend(self.check(schema, value, path, depth + 1));
            }
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
            "{a: 9, b: q, c: NO, d: [1], e: 1, f: 5}",
            &expect![[r#"
            - at '': missing property 'z'
            - at '/a': maximum: got 9, want 5
            - at '/b': value must be one of 'x', 'y'
            - at '/c': got boolean, want string
            - at '/d': minItems: got 1, want 2
            - at '/d/0': got number, want string
            - at '/e': anyOf failed
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
