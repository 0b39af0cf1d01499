//! Recorded requests and their answers as text: read, filled in, made comparable, compared.
//!
//! This file is also part of `xtask`, which sends the requests to any server; it knows no client.
//!
//! A file of requests:
//!
//! ```text
//! ### name of the request
//! POST /api/v1/namespaces/$NS/configmaps
//! header: value
//!
//! body
//! ```
//!
//! `$NS` is the scratch namespace, and part of every name that is not in it. `${name.metadata.uid}` is a field of the
//! answer to the request of that name. Bodies are JSON unless `content-type` says something else. `WATCH` is a GET whose
//! answer is read to its end. The header `show` is not sent: it names the parts of the answer that matter, as JSON pointers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Who asks.
pub(super) const USER_AGENT: &str = "replay/1";

/// A request as it is written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// JSON pointers of what is compared; all when it is empty.
    pub(super) show: Vec<String>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) content_type: String,
    pub(super) warnings: Vec<String>,
    pub(super) body: Vec<u8>,
}

/// Sections of a file: name and text after each `### name`.
pub(super) fn sections(text: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            sections.push((name.trim().to_owned(), String::new()));
        } else if let Some((_, section)) = sections.last_mut() {
            section.push_str(line);
            section.push('\n');
        }
    }
    sections
}

/// Reads a file of requests.
///
/// # Errors
/// Names the request that is not written as it should.
pub(super) fn parse(text: &str) -> Result<Vec<Request>, String> {
    let mut names = BTreeSet::new();
    let parsed = sections(text).into_iter().map(|(name, section)| {
        let wrong = |what: &str| format!("request {name:?}: {what}");
        if !names.insert(name.clone()) {
            return Err(wrong("its name is taken"));
        }
        let (head, body) = section.split_once("\n\n").unwrap_or((&section, ""));
        let mut lines = head.trim().lines();
        let first = lines.next().and_then(|line| line.split_once(' '));
        let (method, path) = first.ok_or_else(|| wrong("it begins with a method and a path"))?;
        let mut request = Request {
            name: name.clone(),
            method: method.into(),
            path: path.trim().into(),
            body: body.trim().into(),
            ..Request::default()
        };
        for line in lines {
            let header = line.split_once(": ");
            let (key, value) = header.ok_or_else(|| wrong("a header is `name: value`"))?;
            if key == "show" {
                request.show = value.split_whitespace().map(str::to_owned).collect();
            } else {
                request.headers.push((key.to_lowercase(), value.into()));
            }
        }
        let has_type = request.headers.iter().any(|(key, _)| key == "content-type");
        if !request.body.is_empty() && !has_type {
            let json = ("content-type".into(), "application/json".into());
            request.headers.push(json);
        }
        Ok(request)
    });
    parsed.collect()
}

/// What is known while a file is replayed.
#[derive(Debug, Default)]
pub(super) struct Session {
    namespace: String,
    answers: BTreeMap<String, Value>,
    uids: BTreeSet<String>,
}

impl Session {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ..Self::default()
        }
    }

    /// What has to be there before the first request: the namespace and the service account of its pods.
    pub(super) fn prelude(&self) -> Vec<Request> {
        let post = |path: String, body: Value| Request {
            name: "prelude".into(),
            method: "POST".into(),
            path,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string(),
            show: vec![],
        };
        let namespace = &self.namespace;
        vec![
            post(
                "/api/v1/namespaces".into(),
                serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            ),
            post(
                format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
                serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}),
            ),
        ]
    }

    /// The request as it is sent.
    ///
    /// # Errors
    /// When it refers to what no earlier answer has.
    pub(super) fn fill(&self, request: &Request) -> Result<Request, String> {
        let mut filled = request.clone();
        filled.path = self.filled(&request.path)?;
        filled.body = self.filled(&request.body)?;
        for (_, value) in &mut filled.headers {
            *value = self.filled(value)?;
        }
        Ok(filled)
    }

    fn filled(&self, text: &str) -> Result<String, String> {
        let text = text.replace("$NS", &self.namespace);
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let end = after.split_once('}');
            let (reference, after) = end.ok_or("a ${ has no }")?;
            let mut parts = reference.split('.');
            let of = parts.next().unwrap_or_default();
            let answer = self.answers.get(of);
            let mut value = answer.ok_or_else(|| format!("no request {of:?} came before"))?;
            for part in parts {
                value = match part.parse::<usize>() {
                    Ok(at) => &value[at],
                    Err(_) => &value[part],
                };
            }
            filled.push_str(before);
            match value {
                Value::String(text) => filled.push_str(text),
                other => filled.push_str(&other.to_string()),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Remembers the answer, and gives it as text in which nothing differs from one run to the next.
    pub(super) fn note(&mut self, request: &Request, answer: &Answer) -> String {
        let mut text = format!("{} {}\n", answer.code, answer.content_type);
        for warning in &answer.warnings {
            text.push_str(&format!("warning: {}\n", self.plain(warning)));
        }
        let documents: Vec<Value> = serde_json::Deserializer::from_slice(&answer.body)
            .into_iter()
            .map_while(Result::ok)
            .collect();
        if documents.is_empty() {
            text.push_str(&self.plain(&String::from_utf8_lossy(&answer.body)));
        }
        for document in &documents {
            self.learn(document);
        }
        for document in documents {
            let comparable = self.comparable("", &document);
            if request.show.is_empty() {
                text.push_str(&format!("{comparable:#}\n"));
            }
            for pointer in &request.show {
                let part = comparable.pointer(pointer);
                text.push_str(&match part {
                    Some(part) => format!("{pointer}: {part:#}\n"),
                    None => format!("{pointer} is missing\n"),
                });
            }
            self.answers.insert(request.name.clone(), document);
        }
        text
    }

    /// Keeps the uids, which messages repeat.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if let ("uid", Value::String(uid)) = (key.as_str(), value)
                        && uid.len() > 30
                    {
                        self.uids.insert(uid.clone());
                    }
                    self.learn(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn comparable(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let prefix = fields.get("generateName").and_then(Value::as_str);
                let field = |(key, value): (&String, &Value)| {
                    let generated = value.as_str().zip(prefix).filter(|_| key == "name");
                    let value = match generated {
                        Some((name, prefix)) if name.starts_with(prefix) => {
                            Value::String(format!("{}<suffix>", self.plain(prefix)))
                        }
                        _ => self.comparable(key, value),
                    };
                    (self.plain(key), value)
                };
                let mut fields: Map<String, Value> = fields.iter().map(field).collect();
                let causes = fields.get("details").and_then(|d| d["causes"].as_array());
                if causes.is_some_and(|causes| causes.len() > 1)
                    && let Some(Value::String(message)) = fields.get_mut("message")
                    && let Some(at) = message.find(": [")
                {
                    // The same once more, in that order.
                    message.replace_range(at.., ": <causes>");
                }
                Value::Object(fields)
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items
                    .iter()
                    .map(|item| self.comparable(key, item))
                    .collect();
                if key == "managedFields" {
                    // By time, of which a second is too coarse.
                    items.sort_by_key(|item| {
                        ["manager", "operation", "subresource"].map(|key| item[key].to_string())
                    });
                }
                if key == "causes" {
                    // Some are found in the order of a map.
                    items.sort_by_key(|item| ["field", "message"].map(|key| item[key].to_string()));
                }
                items.into()
            }
            Value::String(text) => masked(key, text).unwrap_or_else(|| self.plain(text)).into(),
            Value::Number(_) if key == "nodePort" => "<port>".into(),
            other => other.clone(),
        }
    }

    fn plain(&self, text: &str) -> String {
        let mut plain = text.replace(&self.namespace, "$NS");
        for uid in &self.uids {
            plain = plain.replace(uid, "<uid>");
        }
        without_numbers(&without_object(&without_times(&plain)))
    }
}

/// Messages quote whole objects, in their own order of fields.
fn without_object(text: &str) -> String {
    let begun = "Invalid value: \"{";
    let found = text.split_once(begun);
    match found.and_then(|(before, rest)| Some((before, rest.rsplit_once("}\": ")?.1))) {
        Some((before, after)) => format!("{before}Invalid value: \"<object>\": {after}"),
        None => text.to_owned(),
    }
}

/// Revisions in messages, and generated names of volumes.
fn without_numbers(text: &str) -> String {
    let mut plain = text.to_owned();
    for before in [", current: ", "in record (", "kube-api-access-"] {
        if let Some((head, tail)) = plain.split_once(before) {
            let end = tail.find(|c: char| !c.is_ascii_alphanumeric());
            let tail = &tail[end.unwrap_or(tail.len())..];
            plain = format!("{head}{before}<some>{tail}");
        }
    }
    plain
}

/// What stands for a value that is another each time.
fn masked(key: &str, text: &str) -> Option<String> {
    let is_time = is_time(text);
    let mask = match key {
        "uid" if text.len() > 30 => "<uid>",
        "message" if text.starts_with("Apply failed with ") => &text[..text.find(':')?],
        "resourceVersion" if !matches!(text, "" | "0") => "<revision>",
        "continue" if !text.is_empty() => "<continue>",
        "token" if !text.is_empty() => "<token>",
        "storageVersionHash" => "<hash>",
        // Prose about columns.
        "description" => "<text>",
        "clusterIP" | "clusterIPs" if text.starts_with("10.") => "<ip>",
        "cells" if is_age(text) => "<age>",
        _ if is_time => "<time>",
        _ => return None,
    };
    Some(mask.into())
}

fn is_time(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00Z" || shape == "0000-00-00T00:00:00.000000Z"
}

fn is_age(text: &str) -> bool {
    text.ends_with(['s', 'm', 'h', 'd'])
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "smhd".contains(c))
}

fn without_times(text: &str) -> String {
    let words = text.split_inclusive([' ', '"', ',']).map(|word| {
        let bare = word.trim_end_matches([' ', '"', ',']);
        if is_time(bare) {
            word.replacen(bare, "<time>", 1)
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

/// The lines that are only in one of two texts: `-` in the first, `+` in the second. Empty when they are equal.
pub(super) fn difference(first: &str, second: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (
        first.trim_end().lines().collect(),
        second.trim_end().lines().collect(),
    );
    // The longest common subsequence of the rests, by where they begin.
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if same(a[i], b[j]) {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = String::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && same(a[i], b[j]) {
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push_str(&format!("- {}\n", a[i].trim_end()));
            i += 1;
        } else {
            lines.push_str(&format!("+ {}\n", b[j].trim_end()));
            j += 1;
        }
    }
    lines
}

/// A comma more is no difference of its own.
fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches(',') == b.trim_end_matches(',')
}
