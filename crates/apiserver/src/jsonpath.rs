//! JSONPath as kubectl understands it, as far as columns and scale paths of CustomResourceDefinitions need it:
//! fields, `['quoted']` fields, indexes, slices, unions, wildcards, recursive descent and filters.
//! Missing keys are no error, they lead nowhere.

use std::cmp::Ordering;

use serde_json::Value;

/// Longest accepted expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// Deepest accepted nesting of filters.
const MAX_DEPTH: usize = 16;
/// Most nodes that one evaluation may visit. Recursive descents multiply; columns need a handful.
const MAX_VISITED: usize = 100_000;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(Box<str>),
    /// Every element of an array, every value of an object.
    Wildcard,
    /// The node itself and everything below it.
    Descend,
    Slice(Slice),
    Union(Vec<JsonPath>),
    Filter(Operand, Option<(Comparison, Operand)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Parses an expression without its outer braces, e.g. `.status.conditions[?(@.type=="Ready")].status`.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        let mut parser = Parser {
            rest: text.trim(),
            depth: 0,
        };
        if let Some(rest) = parser.rest.strip_prefix(['$', '@']) {
            parser.rest = rest;
        }
        let steps = parser.steps(|_| false)?;
        Ok(Self { steps })
    }

    /// Everything that the path leads to, in order; nothing when a part of it is missing.
    #[must_use]
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut budget = MAX_VISITED;
        self.walk(root, &mut budget)
    }

    /// The first value that the path leads to.
    #[must_use]
    pub fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.find(root).first().copied()
    }

    fn walk<'a>(&self, root: &'a Value, budget: &mut usize) -> Vec<&'a Value> {
        let mut nodes = vec![root];
        for step in &self.steps {
            let mut found = Vec::new();
            for node in nodes {
                step.follow(node, &mut found, budget);
            }
            if *budget == 0 {
                return Vec::new();
            }
            nodes = found;
        }
        nodes
    }
}

/// Pays for one more node; `false` when nothing is left.
fn pay(budget: &mut usize) -> bool {
    *budget = budget.saturating_sub(1);
    *budget > 0
}

impl Step {
    fn follow<'a>(&self, node: &'a Value, found: &mut Vec<&'a Value>, budget: &mut usize) {
        if !pay(budget) {
            return;
        }
        match self {
            Self::Field(name) => found.extend(node.get(&**name)),
            Self::Wildcard => {
                for child in children(node) {
                    if pay(budget) {
                        found.push(child);
                    }
                }
            }
            Self::Descend => {
                found.push(node);
                for child in children(node) {
                    self.follow(child, found, budget);
                }
            }
            Self::Slice(slice) => {
                if let Value::Array(items) = node {
                    found.extend(slice.of(items));
                }
            }
            Self::Union(paths) => {
                for path in paths {
                    found.extend(path.walk(node, budget));
                }
            }
            Self::Filter(left, comparison) => {
                for child in children(node) {
                    if pay(budget) && holds(left, comparison.as_ref(), child, budget) {
                        found.push(child);
                    }
                }
            }
        }
    }
}

fn children(node: &Value) -> Vec<&Value> {
    match node {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn holds(
    left: &Operand,
    comparison: Option<&(Comparison, Operand)>,
    node: &Value,
    budget: &mut usize,
) -> bool {
    let Some((comparison, right)) = comparison else {
        return left.value(node, budget).is_some();
    };
    let (Some(left), Some(right)) = (left.value(node, budget), right.value(node, budget)) else {
        return false;
    };
    let order = order(&left, &right);
    match comparison {
        Comparison::Equal => left == right || order == Some(Ordering::Equal),
        Comparison::NotEqual => left != right && order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

impl Operand {
    fn value(&self, node: &Value, budget: &mut usize) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Path(path) => path
                .walk(node, budget)
                .first()
                .map(|value| (*value).clone()),
        }
    }
}

impl Slice {
    fn of(self, items: &[Value]) -> Vec<&Value> {
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let absolute = |at: i64| {
            if at < 0 {
                at.saturating_add(length)
            } else {
                at
            }
        };
        let start = absolute(self.start.unwrap_or(0)).max(0);
        let end = self.end.map_or(length, absolute).min(length);
        let (Ok(start), Ok(end), Ok(step)) = (
            usize::try_from(start),
            usize::try_from(end),
            usize::try_from(self.step),
        ) else {
            return Vec::new();
        };
        let range = items.get(start..end).unwrap_or_default();
        range.iter().step_by(step.max(1)).collect()
    }

    /// `[at]`: like a slice of one element, but an index before the first element leads nowhere.
    fn one(at: i64) -> Self {
        Self {
            start: Some(at),
            end: if at == -1 {
                None
            } else {
                Some(at.saturating_add(1))
            },
            step: 1,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Reads steps up to the end or to a character at which `ends` says so.
    fn steps(&mut self, ends: impl Fn(char) -> bool) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        while let Some(c) = self.rest.chars().next() {
            if ends(c) {
                break;
            }
            match c {
                '.' => {
                    self.rest = &self.rest[1..];
                    if let Some(rest) = self.rest.strip_prefix('.') {
                        self.rest = rest;
                        // `..` before a name descends; Kubernetes allows nothing behind it, too.
                        steps.push(Step::Descend);
                    }
                    if self.rest.starts_with('[') {
                        continue;
                    }
                    steps.extend(self.field(&ends)?);
                }
                '[' => {
                    self.rest = &self.rest[1..];
                    steps.push(self.bracket()?);
                }
                '*' => {
                    self.rest = &self.rest[1..];
                    steps.push(Step::Wildcard);
                }
                ' ' | '\t' => self.rest = self.rest.trim_start(),
                _ if steps.is_empty() => steps.extend(self.field(&ends)?),
                other => return Err(format!("unexpected character {other:?}")),
            }
        }
        Ok(steps)
    }

    /// A plain name; a backslash takes the next character as it is.
    fn field(&mut self, ends: &impl Fn(char) -> bool) -> Result<Option<Step>, String> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut consumed = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) => name.push(escaped),
                    None => return Err("ends with a backslash".to_owned()),
                },
                '.' | '[' | ' ' | '\t' | '=' | '!' | '<' | '>' | ')' | ']' | '{' | '}' => {
                    consumed = at;
                    break;
                }
                c if ends(c) => {
                    consumed = at;
                    break;
                }
                c => name.push(c),
            }
        }
        self.rest = &self.rest[consumed..];
        if let Some(c) = self.rest.chars().next()
            && !ends(c)
            && !matches!(c, '.' | '[' | ' ' | '\t')
        {
            return Err(format!("unexpected character {c:?}"));
        }
        Ok(match name.as_str() {
            "" => None,
            "*" => Some(Step::Wildcard),
            _ => Some(Step::Field(name.into())),
        })
    }

    /// What stands between `[` and `]`.
    fn bracket(&mut self) -> Result<Step, String> {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix("?(") {
            self.rest = rest;
            return self.filter();
        }
        let mut parts = Vec::new();
        loop {
            parts.push(self.part()?);
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
            } else if let Some(rest) = self.rest.strip_prefix(']') {
                self.rest = rest;
                break;
            } else {
                return Err("unterminated array: expected `,` or `]`".to_owned());
            }
        }
        if parts.len() == 1
            && let Some(part) = parts.pop()
        {
            return Ok(part);
        }
        let paths = parts.into_iter().map(|step| JsonPath { steps: vec![step] });
        Ok(Step::Union(paths.collect()))
    }

    /// One part of a union: a quoted name, `*`, an index or a slice.
    fn part(&mut self) -> Result<Step, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(['\'', '"']) {
            return Ok(Step::Field(self.quoted()?.into()));
        }
        let end = self.rest.find([',', ']']).ok_or("unterminated array")?;
        let text = self.rest[..end].trim();
        self.rest = &self.rest[end..];
        if text == "*" {
            return Ok(Step::Wildcard);
        }
        let invalid = || format!("invalid array index {text:?}");
        let numbers: Result<Vec<Option<i64>>, String> = text
            .split(':')
            .map(|number| match number.trim() {
                "" => Ok(None),
                number => number.parse().map(Some).map_err(|_| invalid()),
            })
            .collect();
        match *numbers?.as_slice() {
            [Some(at)] => Ok(Step::Slice(Slice::one(at))),
            [start, end] => Ok(Step::Slice(Slice {
                start,
                end,
                step: 1,
            })),
            [start, end, step] if step.is_none_or(|step| step > 0) => {
                let step = step.unwrap_or(1);
                Ok(Step::Slice(Slice { start, end, step }))
            }
            _ => Err(invalid()),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            if Some(c) == quote {
                self.rest = &self.rest[at + c.len_utf8()..];
                return Ok(text);
            }
            if c == '\\' {
                text.extend(chars.next().map(|(_, c)| c));
            } else {
                text.push(c);
            }
        }
        Err("unterminated quoted string".to_owned())
    }

    /// `@.a == "b")]`, behind `?(`.
    fn filter(&mut self) -> Result<Step, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("filters are nested deeper than {MAX_DEPTH}"));
        }
        let left = self.operand()?;
        let comparison = self.comparison();
        let step = match comparison {
            None => Step::Filter(left, None),
            Some(comparison) => Step::Filter(left, Some((comparison, self.operand()?))),
        };
        self.depth -= 1;
        self.rest = self.rest.trim_start();
        let rest = self
            .rest
            .strip_prefix(')')
            .ok_or("unterminated filter: expected `)`")?;
        let rest = rest.trim_start().strip_prefix(']');
        self.rest = rest.ok_or("unterminated filter: expected `]`")?;
        Ok(step)
    }

    fn comparison(&mut self) -> Option<Comparison> {
        self.rest = self.rest.trim_start();
        let (text, comparison) = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ]
        .into_iter()
        .find(|(text, _)| self.rest.starts_with(text))?;
        self.rest = &self.rest[text.len()..];
        Some(comparison)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(['\'', '"']) {
            return Ok(Operand::Literal(self.quoted()?.into()));
        }
        if let Some(rest) = self.rest.strip_prefix('@') {
            self.rest = rest;
            let steps = self.steps(|c| matches!(c, '=' | '!' | '<' | '>' | ')'))?;
            return Ok(Operand::Path(JsonPath { steps }));
        }
        let end = self
            .rest
            .find([')', '=', '!', '<', '>', ' '])
            .unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        let literal = match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => {
                let number: Result<serde_json::Number, _> = text.parse();
                Value::Number(number.map_err(|_| format!("unrecognized operand {text:?}"))?)
            }
        };
        self.rest = &self.rest[end..];
        Ok(Operand::Literal(literal))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(paths: &[&str], expected: &Expect) {
        let object = json!({
            "metadata": {"name": "x", "annotations": {"a.b/c": "dotted"}},
            "spec": {"replicas": 3, "paused": false, "nothing": null, "tags": ["p", "q", "r", "s"]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "n": 1},
                {"type": "Synced", "status": "False", "n": 2.5},
                {"type": "Ready", "status": "Unknown"},
            ]},
        });
        let mut text = String::new();
        for path in paths {
            let answer = match JsonPath::parse(path) {
                Ok(parsed) => {
                    Value::from_iter(parsed.find(&object).into_iter().cloned()).to_string()
                }
                Err(problem) => format!("error: {problem}"),
            };
            text.push_str(&format!("{path}\n    {answer}\n"));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn fields_lead_down_and_missing_ones_nowhere() {
        check(
            &[
                ".metadata.name",
                "$.metadata.name",
                "metadata.name",
                ".metadata.annotations.a\\.b/c",
                ".metadata.annotations['a.b/c']",
                ".metadata.annotations[\"a.b/c\"]",
                ".spec.replicas",
                ".spec.nothing",
                ".spec.paused",
                ".spec.none.below",
                ".metadata.name.below",
                ".spec.tags.x",
                "",
                ".",
            ],
            &expect![[r#"
                .metadata.name
                    ["x"]
                $.metadata.name
                    ["x"]
                metadata.name
                    ["x"]
                .metadata.annotations.a\.b/c
                    ["dotted"]
                .metadata.annotations['a.b/c']
                    ["dotted"]
                .metadata.annotations["a.b/c"]
                    ["dotted"]
                .spec.replicas
                    [3]
                .spec.nothing
                    [null]
                .spec.paused
                    [false]
                .spec.none.below
                    []
                .metadata.name.below
                    []
                .spec.tags.x
                    []

                    [{"metadata":{"annotations":{"a.b/c":"dotted"},"name":"x"},"spec":{"nothing":null,"paused":false,"replicas":3,"tags":["p","q","r","s"]},"status":{"conditions":[{"n":1,"status":"True","type":"Ready"},{"n":2.5,"status":"False","type":"Synced"},{"status":"Unknown","type":"Ready"}]}}]
                .
                    [{"metadata":{"annotations":{"a.b/c":"dotted"},"name":"x"},"spec":{"nothing":null,"paused":false,"replicas":3,"tags":["p","q","r","s"]},"status":{"conditions":[{"n":1,"status":"True","type":"Ready"},{"n":2.5,"status":"False","type":"Synced"},{"status":"Unknown","type":"Ready"}]}}]
            "#]],
        );
    }

    #[test]
    fn brackets_pick_elements() {
        check(
            &[
                ".spec.tags[0]",
                ".spec.tags[-1]",
                ".spec.tags[-2]",
                ".spec.tags[9]",
                ".spec.tags[-9]",
                ".spec.tags[1:3]",
                ".spec.tags[:2]",
                ".spec.tags[2:]",
                ".spec.tags[::2]",
                ".spec.tags[0,2]",
                ".spec.tags[*]",
                ".metadata['name','none']",
                ".status.conditions[*].type",
                ".spec[0]",
                "..type",
                ".spec.*",
            ],
            &expect![[r#"
                .spec.tags[0]
                    ["p"]
                .spec.tags[-1]
                    ["s"]
                .spec.tags[-2]
                    ["r"]
                .spec.tags[9]
                    []
                .spec.tags[-9]
                    []
                .spec.tags[1:3]
                    ["q","r"]
                .spec.tags[:2]
                    ["p","q"]
                .spec.tags[2:]
                    ["r","s"]
                .spec.tags[::2]
                    ["p","r"]
                .spec.tags[0,2]
                    ["p","r"]
                .spec.tags[*]
                    ["p","q","r","s"]
                .metadata['name','none']
                    ["x"]
                .status.conditions[*].type
                    ["Ready","Synced","Ready"]
                .spec[0]
                    []
                ..type
                    ["Ready","Synced","Ready"]
                .spec.*
                    [null,false,3,["p","q","r","s"]]
            "#]],
        );
    }

    #[test]
    fn filters_compare() {
        check(
            &[
                ".status.conditions[?(@.type==\"Ready\")].status",
                ".status.conditions[?(@.type=='Synced')].status",
                ".status.conditions[?( @.type != 'Ready' )].type",
                ".status.conditions[?(@.n)].n",
                ".status.conditions[?(@.n>1)].n",
                ".status.conditions[?(@.n>=1)].n",
                ".status.conditions[?(@.n<2)].n",
                ".status.conditions[?(@.n==1.0)].n",
                ".status.conditions[?(\"True\"==@.status)].type",
                ".spec.tags[?(@==\"q\")]",
                ".status.conditions[?(@.none==\"x\")]",
            ],
            &expect![[r#"
                .status.conditions[?(@.type=="Ready")].status
                    ["True","Unknown"]
                .status.conditions[?(@.type=='Synced')].status
                    ["False"]
                .status.conditions[?( @.type != 'Ready' )].type
                    ["Synced"]
                .status.conditions[?(@.n)].n
                    [1,2.5]
                .status.conditions[?(@.n>1)].n
                    [2.5]
                .status.conditions[?(@.n>=1)].n
                    [1,2.5]
                .status.conditions[?(@.n<2)].n
                    [1]
                .status.conditions[?(@.n==1.0)].n
                    [1]
                .status.conditions[?("True"==@.status)].type
                    ["Ready"]
                .spec.tags[?(@=="q")]
                    ["q"]
                .status.conditions[?(@.none=="x")]
                    []
            "#]],
        );
    }

    #[test]
    fn expressions_have_a_length_and_a_depth() {
        let long = |bytes: usize| format!(".{}", "a".repeat(bytes - 1));
        assert!(JsonPath::parse(&long(MAX_LENGTH)).is_ok());
        assert_eq!(
            JsonPath::parse(&long(MAX_LENGTH + 1)).unwrap_err(),
            "is longer than 4096 bytes"
        );
        let nested = |levels: usize| {
            let (open, close) = ("[?(@.a".repeat(levels), ")]".repeat(levels));
            format!(".a{open}{close}")
        };
        assert!(JsonPath::parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(
            JsonPath::parse(&nested(MAX_DEPTH + 1)).unwrap_err(),
            "filters are nested deeper than 16"
        );
    }

    #[test]
    fn bad_expressions_are_refused() {
        check(
            &[
                ".a[",
                ".a[]",
                ".a[x]",
                ".a['x]",
                ".a[1:2:3:4]",
                ".a[::0]",
                ".a[?(@.x",
                ".a[?(@.x==)]",
                ".a[?(@.x==y)]",
                ".a]",
                ".a)",
                ".a\\",
                ".{a}",
            ],
            &expect![[r#"
                .a[
                    error: unterminated array
                .a[]
                    error: invalid array index ""
                .a[x]
                    error: invalid array index "x"
                .a['x]
                    error: unterminated quoted string
                .a[1:2:3:4]
                    error: invalid array index "1:2:3:4"
                .a[::0]
                    error: invalid array index "::0"
                .a[?(@.x
                    error: unterminated filter: expected `)`
                .a[?(@.x==)]
                    error: unrecognized operand ""
                .a[?(@.x==y)]
                    error: unrecognized operand "y"
                .a]
                    error: unexpected character ']'
                .a)
                    error: unexpected character ')'
                .a\
                    error: ends with a backslash
                .{a}
                    error: unexpected character '{'
            "#]],
        );
    }

    #[test]
    fn descents_that_multiply_end() {
        let mut deep = json!({});
        for _ in 0..60 {
            deep = json!({"a": deep, "b": [{}, {}]});
        }
        let path = JsonPath::parse("..[*]..[*]..[*]..[*]..a").expect("valid");
        assert!(path.find(&deep).is_empty());
    }

    proptest! {
        #[test]
        fn no_expression_panics(text in "[.a*@$\\[\\]()?='\":,0-9\\\\ <>!-]{0,40}|\\PC{0,30}") {
            if let Ok(path) = JsonPath::parse(&text) {
                let _ = path.find(&json!({"a": [{"a": 1}, "a", [0, 1, 2]], "0": {"a": {"a": null}}}));
            }
        }
    }
}
