//! Values that the versions write differently. Values of another type than the schema asks for stay as they are: the
//! schema says what is wrong with them.

use serde_json::{Map, Value, json};

use super::api_version;
use crate::meta::FieldError;

/// Nanoseconds of Go's units of time.
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SECOND: i128 = 1_000_000_000;
/// Digits of a number in a duration: more than the longest duration that Go knows has.
const MAX_DIGITS: usize = 20;

/// A duration as whole seconds. Fractions are cut off, but what is longer than nothing stays longer than nothing, because
/// 0 often means "without limit"; more than fits is as much as fits.
///
/// # Errors
/// When it is no duration, or negative.
pub(super) fn seconds(value: Value, path: &str) -> Result<Value, FieldError> {
    let Some(text) = value.as_str() else {
        return Ok(value);
    };
    let Some(nanoseconds) = nanoseconds(text) else {
        let detail =
            format!("{text:?} must be a duration such as 90s, 10m or 1h30m: numbers with a unit");
        return Err(FieldError::invalid(path, detail));
    };
    if nanoseconds < 0 {
        let detail = format!(
            "{text:?} must not be negative: leave the field out, or give a time such as 10m"
        );
        return Err(FieldError::invalid(path, detail));
    }
    let least = i128::from(nanoseconds > 0);
    let seconds = (nanoseconds / SECOND).max(least);
    Ok(i32::try_from(seconds).unwrap_or(i32::MAX).into())
}

/// Seconds in Go's notation: `1h0m30s`.
pub(super) fn duration(value: Value) -> Value {
    let Some(seconds) = value.as_i64() else {
        return value;
    };
    let sign = if seconds < 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    let text = match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    };
    text.into()
}

/// What a duration in Go's notation means. Nothing if it is none.
pub(super) fn nanoseconds(text: &str) -> Option<i128> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    loop {
        let whole = digits(rest);
        rest = &rest[whole.len()..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            fraction = digits(after);
            rest = &after[fraction.len()..];
        }
        if whole.is_empty() && fraction.is_empty() || whole.len() > MAX_DIGITS {
            return None;
        }
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(unit);
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        rest = after;
        let number = |digits: &str| {
            if digits.is_empty() {
                Some(0)
            } else {
                digits.parse::<i128>().ok()
            }
        };
        // Finer than any unit can be is cut off.
        let fraction = &fraction[..fraction.len().min(15)];
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let part = number(whole)? * size + number(fraction)? * size / scale;
        total = total.saturating_add(part);
        if rest.is_empty() {
            return Some(if is_negative { -total } else { total });
        }
    }
}

fn digits(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    &text[..end]
}

/// `{"v": "4"}` as `[{"name": "v", "value": "4"}]`, by name.
pub(super) fn arguments(value: Value) -> Value {
    let Value::Object(map) = value else {
        return value;
    };
    let mut list: Vec<(String, Value)> = map.into_iter().collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list.into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// The other way round. Of arguments with one name the last one counts.
pub(super) fn map_of_arguments(value: Value) -> Value {
    let Value::Array(list) = value else {
        return value;
    };
    let pair = |item: &Value| Some((item["name"].as_str()?.to_owned(), item["value"].clone()));
    Value::Object(list.iter().filter_map(pair).collect())
}

/// An object reference without version and namespace; none if it refers to nothing.
///
/// # Errors
/// When the group isn't said, or it leads into another namespace.
pub(super) fn reference(
    value: Value,
    path: &str,
    namespace: &str,
) -> Result<Option<Value>, FieldError> {
    let Some(members) = value.as_object() else {
        return Ok(Some(value));
    };
    if is_nothing(members) {
        return Ok(None);
    }
    check_namespace(members, path, namespace)?;
    let mut reference = picked(members, &["kind", "name"]);
    let said = members
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match said.split_once('/') {
        Some((group, version))
            if !group.is_empty() && !version.is_empty() && !version.contains('/') =>
        {
            reference.insert("apiGroup".into(), group.into());
        }
        _ => {
            let detail = format!(
                "{said:?} must be the group and version of the object, such as infrastructure.cluster.x-k8s.io/v1beta1"
            );
            return Err(FieldError::invalid(format!("{path}.apiVersion"), detail));
        }
    }
    Ok(Some(Value::Object(reference)))
}

/// The other way round.
pub(super) fn object_reference(value: &Value, namespace: &str) -> Option<Value> {
    let members = value.as_object()?;
    let mut reference = picked(members, &["kind", "name"]);
    let text = |field: &str| members.get(field).and_then(Value::as_str);
    if let Some(group) = text("apiGroup") {
        let version = api_version(group, text("kind").unwrap_or_default());
        reference.insert("apiVersion".into(), version.into());
    }
    Some(with_namespace(reference, namespace))
}

/// An object reference without namespace; none if it refers to nothing.
///
/// # Errors
/// When it leads into another namespace.
pub(super) fn template(
    value: Value,
    path: &str,
    namespace: &str,
) -> Result<Option<Value>, FieldError> {
    let Some(members) = value.as_object() else {
        return Ok(Some(value));
    };
    if is_nothing(members) {
        return Ok(None);
    }
    check_namespace(members, path, namespace)?;
    let reference = picked(members, &["apiVersion", "kind", "name"]);
    Ok(Some(Value::Object(reference)))
}

/// The other way round.
pub(super) fn object_template(value: Value, namespace: &str) -> Value {
    match value {
        Value::Object(members) => with_namespace(members, namespace),
        other => other,
    }
}

/// The name of a Node that is referred to.
pub(super) fn node(value: &Value) -> Option<Value> {
    let name = value["name"].as_str().filter(|name| !name.is_empty())?;
    Some(json!({"name": name}))
}

/// The other way round.
pub(super) fn node_reference(value: &Value) -> Option<Value> {
    let name = value["name"].as_str()?;
    Some(json!({"apiVersion": "v1", "kind": "Node", "name": name}))
}

/// Failure domains as a list, by name.
pub(super) fn domains(value: Value) -> Value {
    let Value::Object(map) = value else {
        return value;
    };
    let mut list: Vec<(String, Value)> = map.into_iter().collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    let named = |(name, mut domain): (String, Value)| {
        if let Some(members) = domain.as_object_mut() {
            members.insert("name".into(), name.into());
        }
        domain
    };
    list.into_iter().map(named).collect()
}

/// The other way round.
pub(super) fn map_of_domains(value: Value) -> Value {
    let Value::Array(list) = value else {
        return value;
    };
    let mut map = Map::new();
    for mut domain in list {
        let Some(members) = domain.as_object_mut() else {
            continue;
        };
        if let Some(Value::String(name)) = members.remove("name") {
            map.insert(name, domain);
        }
    }
    Value::Object(map)
}

/// Programs write references to nothing with all members empty.
fn is_nothing(members: &Map<String, Value>) -> bool {
    members.values().all(|value| value == "" || value.is_null())
}

fn picked(members: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let pick = |name: &&str| Some(((*name).to_owned(), members.get(*name)?.clone()));
    names.iter().filter_map(pick).collect()
}

fn with_namespace(mut reference: Map<String, Value>, namespace: &str) -> Value {
    if !namespace.is_empty() {
        reference.insert("namespace".into(), namespace.into());
    }
    Value::Object(reference)
}

fn check_namespace(
    members: &Map<String, Value>,
    path: &str,
    namespace: &str,
) -> Result<(), FieldError> {
    let said = members
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if said.is_empty() || namespace.is_empty() || said == namespace {
        return Ok(());
    }
    let detail = format!("{said:?} must be {namespace:?}, the namespace of the object that refers");
    Err(FieldError::invalid(format!("{path}.namespace"), detail))
}
