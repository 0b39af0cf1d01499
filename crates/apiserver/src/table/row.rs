//! One object on its way into a row: how printers read it.

use jiff::Timestamp;
use serde_json::Value;

use super::duration::human_duration;

/// An object, and the time of day for ages.
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    pub(super) now: Timestamp,
}

impl<'a> Row<'a> {
    /// The value at a dotted path; `null` when there is none.
    pub(super) fn at(&self, path: &str) -> &'a Value {
        at(self.object, path)
    }

    pub(super) fn name(&self) -> &'a str {
        self.text("metadata.name")
    }

    /// The string at a path, or nothing.
    pub(super) fn text(&self, path: &str) -> &'a str {
        self.at(path).as_str().unwrap_or_default()
    }

    /// The string at a path; `default` when it is missing or empty.
    pub(super) fn text_or(&self, path: &str, default: &'a str) -> &'a str {
        match self.text(path) {
            "" => default,
            text => text,
        }
    }

    /// The integer at a path, or 0.
    pub(super) fn integer(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or_default()
    }

    /// The elements at a path, or none.
    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        list(self.at(path))
    }

    /// How long ago the time at a path was.
    pub(super) fn age(&self, path: &str) -> String {
        self.since(self.text(path))
            .unwrap_or_else(|| "<unknown>".to_owned())
    }

    /// How long ago `time` (RFC 3339) was; `None` when it is no time.
    pub(super) fn since(&self, time: &str) -> Option<String> {
        let time: Timestamp = time.parse().ok()?;
        Some(human_duration(self.now.duration_since(time).as_secs()))
    }

    pub(super) fn is_deleting(&self) -> bool {
        !self.at("metadata.deletionTimestamp").is_null()
    }

    /// The condition of this type.
    pub(super) fn condition(&self, ty: &str) -> Option<&'a Value> {
        let mut conditions = self.list("status.conditions").iter();
        conditions.find(|condition| condition["type"] == ty)
    }

    /// Whether the condition of this type is `True`.
    pub(super) fn holds(&self, ty: &str) -> bool {
        self.condition(ty)
            .is_some_and(|condition| condition["status"] == "True")
    }
}

/// The value at a dotted path below `value`; `null` when there is none.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, field| &value[field])
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A scalar as text, strings without quotes; nothing for `null`.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `default` for an absent value.
pub(super) fn scalar_or(value: &Value, default: &str) -> String {
    if value.is_null() {
        default.to_owned()
    } else {
        scalar(value)
    }
}

/// `field` of each element, with commas between.
pub(super) fn joined(items: &[Value], field: &str) -> String {
    let texts: Vec<&str> = items
        .iter()
        .filter_map(|item| item[field].as_str())
        .collect();
    texts.join(",")
}

/// `first,second,third + 2 more...`; `empty` when there is nothing.
pub(super) fn first_three(items: &[String], empty: &str) -> String {
    match items {
        [] => empty.to_owned(),
        [a, b, c, rest @ ..] if !rest.is_empty() => format!("{a},{b},{c} + {} more...", rest.len()),
        _ => items.join(","),
    }
}

/// `a=b,c=d` of a map of labels; `<none>` for none.
pub(super) fn labels(map: &Value) -> String {
    let entries = map.as_object().into_iter().flatten();
    let mut texts: Vec<String> = entries
        .map(|(key, value)| format!("{key}={}", scalar(value)))
        .collect();
    texts.sort();
    if texts.is_empty() {
        "<none>".to_owned()
    } else {
        texts.join(",")
    }
}

/// A `LabelSelector` object in the spelling of query parameters; `<none>` for an empty one.
pub(super) fn selector(selector: &Value) -> String {
    let mut terms: Vec<(String, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        terms.push((key.clone(), format!("{key}={}", scalar(value))));
    }
    for expression in list(&selector["matchExpressions"]) {
        let key = scalar(&expression["key"]);
        let mut values: Vec<String> = list(&expression["values"]).iter().map(scalar).collect();
        values.sort();
        let values = values.join(",");
        let text = match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".to_owned(),
        };
        terms.push((key, text));
    }
    terms.sort();
    if terms.is_empty() {
        return "<none>".to_owned();
    }
    let texts: Vec<String> = terms.into_iter().map(|(_, text)| text).collect();
    texts.join(",")
}
