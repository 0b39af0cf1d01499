//! Label selectors in both spellings: `a=b,c in (d,e),!f` and the `LabelSelector` object.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::names::{label_value_problems, qualified_name_problems};
use crate::object::Header;
use crate::status::Status;

/// A condition on labels: all requirements hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// An absent `LabelSelector` object selects nothing, an empty one everything.
    is_nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: Box<str>,
    pub operator: Operator,
    /// One for `Gt` and `Lt`, some for `In` and `NotIn`, else none.
    pub values: BTreeSet<Box<str>>,
}

/// How a label is compared. `=` and `==` are `In`, `!=` is `NotIn` with a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

impl fmt::Display for LabelSelector {
    /// The spelling of the query parameter, requirements ordered by key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut requirements: Vec<&Requirement> = self.requirements.iter().collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        for (at, requirement) in requirements.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            operator,
            values,
        } = self;
        let list = values.iter().map(|v| &**v).collect::<Vec<_>>().join(",");
        match (operator, values.len()) {
            (Operator::Exists, _) => write!(f, "{key}"),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
            (Operator::Gt, _) => write!(f, "{key}>{list}"),
            (Operator::Lt, _) => write!(f, "{key}<{list}"),
            (Operator::In, 1) => write!(f, "{key}={list}"),
            (Operator::NotIn, 1) => write!(f, "{key}!={list}"),
            (Operator::In, _) => write!(f, "{key} in ({list})"),
            (Operator::NotIn, _) => write!(f, "{key} notin ({list})"),
        }
    }
}

impl LabelSelector {
    /// Reads the spelling of the `labelSelector` query parameter.
    ///
    /// # Errors
    /// 400 with Kubernetes' words for what is wrong.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let requirements = parser.selector().map_err(Status::bad_request)?;
        Ok(Self {
            requirements,
            is_nothing: false,
        })
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`). `null` selects nothing.
    ///
    /// # Errors
    /// 400 for unknown operators and malformed keys and values.
    pub fn of(selector: &Value) -> Result<Self, Status> {
        if selector.is_null() {
            return Ok(Self {
                requirements: Vec::new(),
                is_nothing: true,
            });
        }
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            requirements.push(requirement(key, Operator::In, [value.into()].into()));
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(Status::bad_request(format!(
                        "{other:?} is not a valid label selector operator"
                    )));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(Into::into).collect();
            let key = expression["key"].as_str().unwrap_or_default();
            requirements.push(requirement(key, operator, values));
        }
        let requirements: Result<_, String> = requirements.into_iter().collect();
        Ok(Self {
            requirements: requirements.map_err(Status::bad_request)?,
            is_nothing: false,
        })
    }

    /// Reads a plain map of labels that must all be there, e.g. a service's `spec.selector`.
    #[must_use]
    pub fn of_map(labels: &Value) -> Self {
        let labels = labels.as_object().into_iter().flatten();
        let requirements = labels.map(|(key, value)| Requirement {
            key: key.as_str().into(),
            operator: Operator::In,
            values: [value.as_str().unwrap_or_default().into()].into(),
        });
        Self {
            requirements: requirements.collect(),
            is_nothing: false,
        }
    }

    /// Whether every object is selected.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.is_nothing
    }

    /// The single conditions, all of which must hold.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the object with this header is selected.
    #[must_use]
    pub fn matches(&self, header: &Header) -> bool {
        self.matches_labels(|key| header.label(key))
    }

    /// Whether an object is selected whose labels `label` looks up.
    pub fn matches_labels<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds = |requirement: &Requirement| requirement.matches(label(&requirement.key));
        !self.is_nothing && self.requirements.iter().all(holds)
    }
}

impl Requirement {
    /// Whether a label with this value (or none) meets the requirement.
    #[must_use]
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = || self.values.first().and_then(|bound| number(bound));
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => value
                .and_then(number)
                .zip(bound())
                .is_some_and(|(v, b)| v > b),
            Operator::Lt => value
                .and_then(number)
                .zip(bound())
                .is_some_and(|(v, b)| v < b),
        }
    }
}

/// A requirement after its checks; the error is Kubernetes' aggregated text.
fn requirement(
    key: &str,
    operator: Operator,
    values: BTreeSet<Box<str>>,
) -> Result<Requirement, String> {
    let mut problems = Vec::new();
    problems.extend(key_problem(key, "key").err());
    let shown = || {
        let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        format!("[{}]", values.join(","))
    };
    let rule = match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            Some("for 'in', 'notin' operators, values set can't be empty")
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            Some("values set must be empty for exists and does not exist")
        }
        _ => None,
    };
    problems.extend(rule.map(|rule| format!("values: Invalid value: {}: {rule}", shown())));
    for (at, value) in values.iter().enumerate() {
        if matches!(operator, Operator::Gt | Operator::Lt) && value.parse::<i64>().is_err() {
            problems.push(format!(
                "values[{at}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            ));
        }
        let wrong = label_value_problems(value);
        if !wrong.is_empty() {
            let wrong = wrong.join("; ");
            problems.push(format!(
                "values[{at}][{key}]: Invalid value: {value:?}: {wrong}"
            ));
        }
    }
    match problems.as_slice() {
        [] => Ok(Requirement {
            key: key.into(),
            operator,
            values,
        }),
        [problem] => Err(problem.clone()),
        _ => Err(format!("[{}]", problems.join(", "))),
    }
}

fn key_problem(key: &str, field: &str) -> Result<(), String> {
    let problems = qualified_name_problems(key);
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{field}: Invalid value: {key:?}: {}",
        problems.join("; ")
    ))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// One of `= == != ! ( ) , < >`.
    Symbol(&'static str),
    End,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Token::Word(text) | Token::Symbol(text) => text,
            Token::End => "",
        }
    }
}

/// Longer symbols first, so that `==` is not read as two.
const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let length = if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol))
        {
            tokens.push(Token::Symbol(symbol));
            symbol.len()
        } else {
            let ends = |c: char| is_space(c) || "=!(),<>".contains(c);
            let end = rest.find(ends).unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..end]));
            end
        };
        rest = rest[length..].trim_start_matches(is_space);
    }
    tokens
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(requirements),
                Token::Word(_) | Token::Symbol("!") => {}
                other => {
                    let found = other.text();
                    return Err(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            let requirement = self.requirement();
            requirements
                .push(requirement.map_err(|e| format!("unable to parse requirement: {e}"))?);
            match (self.next(), self.peek()) {
                (Token::End, _) => return Ok(requirements),
                (Token::Symbol(","), Token::Word(_) | Token::Symbol("!")) => {}
                (Token::Symbol(","), other) => {
                    let found = other.text();
                    return Err(format!("found '{found}', expected: identifier after ','"));
                }
                (other, _) => {
                    let found = other.text();
                    return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let is_negated = self.peek() == Token::Symbol("!");
        if is_negated {
            self.at += 1;
        }
        let key = self.word()?;
        // Kubernetes has no field path for this check and prints `<nil>` in its place.
        key_problem(key, "<nil>")?;
        if is_negated {
            return requirement(key, Operator::DoesNotExist, BTreeSet::new());
        }
        let operator = match self.peek() {
            Token::End | Token::Symbol(",") => {
                return requirement(key, Operator::Exists, BTreeSet::new());
            }
            Token::Symbol("=" | "==") | Token::Word("in") => Operator::In,
            Token::Symbol("!=") | Token::Word("notin") => Operator::NotIn,
            Token::Symbol(">") => Operator::Gt,
            Token::Symbol("<") => Operator::Lt,
            other => {
                let found = other.text();
                return Err(format!(
                    "found '{found}', expected: in, notin, =, ==, !=, gt, lt"
                ));
            }
        };
        let values = match self.next() {
            Token::Word(_) => self.values()?,
            _ => [self.exact_value()?.into()].into(),
        };
        requirement(key, operator, values)
    }

    fn word(&mut self) -> Result<&'a str, String> {
        match self.next() {
            Token::Word(word) => Ok(word),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    /// What follows `=`; `a=` is the empty value.
    fn exact_value(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(""),
            _ => self.word(),
        }
    }

    /// `(a,b)`. Two commas in a row, or one at an end, stand for an empty value; `()` is no value at all.
    fn values(&mut self) -> Result<BTreeSet<Box<str>>, String> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let mut values = BTreeSet::new();
        if self.peek() == Token::Symbol(")") {
            self.at += 1;
            return Ok(values);
        }
        loop {
            match self.peek() {
                Token::Word(word) => {
                    self.at += 1;
                    values.insert(word.into());
                }
                Token::Symbol("," | ")") => {
                    values.insert("".into());
                }
                other => {
                    let found = other.text();
                    return Err(format!("found '{found}', expected: ',', ')' or identifier"));
                }
            }
            match self.next() {
                Token::Symbol(")") => return Ok(values),
                Token::Symbol(",") => {}
                other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn header(labels: &Value) -> Header {
        Header::of(&json!({"metadata": {"name": "x", "labels": labels}}), 1)
    }

    /// For each selector: which of four objects it selects, or why it is refused.
    fn check(selectors: &[&str], expected: &Expect) {
        let objects = [
            ("none", json!({})),
            ("a=", json!({"a": ""})),
            ("a=b", json!({"a": "b"})),
            ("a=7,x/y=z", json!({"a": "7", "x/y": "z"})),
        ];
        let mut text = String::new();
        for selector in selectors {
            let answer = match LabelSelector::parse(selector) {
                Ok(parsed) => {
                    let selected = objects
                        .iter()
                        .filter(|(_, labels)| parsed.matches(&header(labels)));
                    let names: Vec<&str> = selected.map(|(name, _)| *name).collect();
                    if names.is_empty() {
                        "nothing".to_owned()
                    } else {
                        names.join(" | ")
                    }
                }
                Err(status) => format!("{}: {}", status.code, status.message),
            };
            text.push_str(&format!("{selector:?}\n    {answer}\n"));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn selects_by_presence_equality_and_sets() {
        check(
            &[
                "",
                " ",
                "a",
                "!a",
                "! a",
                "a=b",
                "a == b",
                "a=",
                "a=,x/y",
                "a!=b",
                "a!=",
                "a in (b)",
                "a in (b,)",
                "a in (,b)",
                "a in (,,)",
                "a notin (b, 7)",
                "a>6",
                "a<6",
                "a,x/y=z",
                "in in (in)",
                "notin",
                "a=in",
            ],
            &expect![[r#"
                ""
                    none | a= | a=b | a=7,x/y=z
                " "
                    none | a= | a=b | a=7,x/y=z
                "a"
                    a= | a=b | a=7,x/y=z
                "!a"
                    none
                "! a"
                    none
                "a=b"
                    a=b
                "a == b"
                    a=b
                "a="
                    a=
                "a=,x/y"
                    nothing
                "a!=b"
                    none | a= | a=7,x/y=z
                "a!="
                    none | a=b | a=7,x/y=z
                "a in (b)"
                    a=b
                "a in (b,)"
                    a= | a=b
                "a in (,b)"
                    a= | a=b
                "a in (,,)"
                    a=
                "a notin (b, 7)"
                    none | a=
                "a>6"
                    a=7,x/y=z
                "a<6"
                    nothing
                "a,x/y=z"
                    a=7,x/y=z
                "in in (in)"
                    nothing
                "notin"
                    nothing
                "a=in"
                    nothing
            "#]],
        );
    }

    #[test]
    fn refuses_what_kubernetes_refuses() {
        check(
            &[
                "a in ()",
                "a in",
                "a in b",
                "a in (b",
                "a in (b c)",
                "a in (b=c)",
                "a==b==",
                "a=b c",
                "a=b,",
                ",a",
                "=a",
                "!",
                "!a=b",
                "a b",
                "a>b",
                "a=(",
                "a/b/c",
                "/a",
                "a/",
                "-a=b",
                "a=-b",
                "A/b=c",
                "a=b!",
                "a!!b",
            ],
            &expect![[r#"
                "a in ()"
                    400: unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty
                "a in"
                    400: unable to parse requirement: found '' expected: '('
                "a in b"
                    400: unable to parse requirement: found 'b' expected: '('
                "a in (b"
                    400: unable to parse requirement: found '', expected: ',' or ')'
                "a in (b c)"
                    400: unable to parse requirement: found 'c', expected: ',' or ')'
                "a in (b=c)"
                    400: unable to parse requirement: found '=', expected: ',' or ')'
                "a==b=="
                    400: found '==', expected: ',' or 'end of string'
                "a=b c"
                    400: found 'c', expected: ',' or 'end of string'
                "a=b,"
                    400: found '', expected: identifier after ','
                ",a"
                    400: found ',', expected: !, identifier, or 'end of string'
                "=a"
                    400: found '=', expected: !, identifier, or 'end of string'
                "!"
                    400: unable to parse requirement: found '', expected: identifier
                "!a=b"
                    400: found '=', expected: ',' or 'end of string'
                "a b"
                    400: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt
                "a>b"
                    400: unable to parse requirement: values[0]: Invalid value: "b": for 'Gt', 'Lt' operators, the value must be an integer
                "a=("
                    400: unable to parse requirement: found '(', expected: identifier
                "a/b/c"
                    400: unable to parse requirement: <nil>: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
                "/a"
                    400: unable to parse requirement: <nil>: Invalid value: "/a": prefix part must be non-empty
                "a/"
                    400: unable to parse requirement: <nil>: Invalid value: "a/": name part must be non-empty; name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
                "-a=b"
                    400: unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
                "a=-b"
                    400: unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
                "A/b=c"
                    400: unable to parse requirement: <nil>: Invalid value: "A/b": prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
                "a=b!"
                    400: found '!', expected: ',' or 'end of string'
                "a!!b"
                    400: unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt
            "#]],
        );
    }

    #[test]
    fn names_may_be_only_so_long() {
        let long = "x".repeat(64);
        check(
            &[&format!("{long}=y"), &format!("a={long}")],
            &expect![[r#"
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=y"
                    400: unable to parse requirement: <nil>: Invalid value: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": name part must be no more than 63 bytes
                "a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    400: unable to parse requirement: values[0][a]: Invalid value: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": must be no more than 63 bytes
            "#]],
        );
    }

    #[test]
    fn selector_objects_mean_the_same() {
        let check = |selector: Value| match LabelSelector::of(&selector) {
            Ok(parsed) => [json!({}), json!({"a": "b"}), json!({"a": "c", "d": ""})]
                .map(|labels| parsed.matches(&header(&labels)).to_string())
                .join(" "),
            Err(status) => status.message,
        };
        let text = [
            check(Value::Null),
            check(json!({})),
            check(json!({"matchLabels": {"a": "b"}})),
            check(
                json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}),
            ),
            check(json!({"matchExpressions": [{"key": "d", "operator": "Exists"}]})),
            check(
                json!({"matchLabels": {"a": "c"}, "matchExpressions": [{"key": "d", "operator": "DoesNotExist"}]}),
            ),
            check(json!({"matchExpressions": [{"key": "d", "operator": "Gt", "values": ["1"]}]})),
            check(json!({"matchExpressions": [{"key": "d", "operator": "In"}]})),
            check(
                json!({"matchExpressions": [{"key": "d", "operator": "Exists", "values": ["x"]}]}),
            ),
            check(json!("nonsense")),
        ];
        expect![[r#"
            false false false
            true true true
            false true false
            true false true
            false false true
            false false false
            "Gt" is not a valid label selector operator
            values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty
            values: Invalid value: ["x"]: values set must be empty for exists and does not exist
            true true true"#]]
        .assert_eq(&text.join("\n"));
    }

    proptest! {
        #[test]
        fn no_selector_panics(text in "[a-c/()=!<>, innot.0-9-]{0,40}|\\PC{0,30}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let _ = selector.matches(&header(&json!({"a": "1"})));
            }
        }
    }
}
