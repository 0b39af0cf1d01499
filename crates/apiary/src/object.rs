//! What commands read of objects, whatever their kind: names, conditions, references, ages. Pure.

use jiff::Timestamp;
use serde_json::Value;

/// Begins the namespaces of organizations.
const ORGANIZATION_PREFIX: &str = api::organization::organization::NAMESPACE_PREFIX;

/// The name; empty if there is none.
#[must_use]
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The namespace; empty if there is none.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// The kind.
#[must_use]
pub fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// The API group; empty for Kubernetes' core.
#[must_use]
pub fn group(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// The organization that a namespace belongs to.
#[must_use]
pub fn organization(namespace: &str) -> Option<&str> {
    namespace.strip_prefix(ORGANIZATION_PREFIX)
}

/// The namespace of an organization.
#[must_use]
pub fn namespace_of(organization: &str) -> String {
    format!("{ORGANIZATION_PREFIX}{organization}")
}

/// Whether deletion has been asked for.
#[must_use]
pub fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// A label's value.
#[must_use]
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"][key].as_str()
}

/// An annotation's value.
#[must_use]
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

/// The owner that manages the object: kind and name.
#[must_use]
pub fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?))
}

/// A point in time that a field holds.
#[must_use]
pub fn time(field: &Value) -> Option<Timestamp> {
    field.as_str()?.parse().ok()
}

/// A counter; 0 if it is missing.
#[must_use]
pub fn count(field: &Value) -> i64 {
    field.as_i64().unwrap_or(0)
}

/// One condition of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition<'a> {
    pub ty: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
    /// Since when the status is this one.
    pub since: Option<Timestamp>,
}

impl Condition<'_> {
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Whether `True` means trouble or work under way, as the conventions of Cluster API have it.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        matches!(
            self.ty,
            "Deleting" | "Paused" | "RollingOut" | "ScalingUp" | "ScalingDown" | "Remediating"
        )
    }

    /// Whether all is as one would like it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status == if self.is_negative() { "False" } else { "True" }
    }
}

/// The conditions, in the order in which the object has them. Objects in versions before v1beta2 keep those of today's shape aside.
#[must_use]
pub fn conditions(object: &Value) -> Vec<Condition<'_>> {
    let status = &object["status"];
    let aside = status["v1beta2"]["conditions"].as_array();
    let all = aside.or_else(|| status["conditions"].as_array());
    all.into_iter()
        .flatten()
        .map(|c| Condition {
            ty: text(&c["type"]),
            status: text(&c["status"]),
            reason: text(&c["reason"]),
            message: text(&c["message"]),
            since: time(&c["lastTransitionTime"]),
        })
        .collect()
}

fn text(field: &Value) -> &str {
    field.as_str().unwrap_or_default()
}

/// The condition of this type.
#[must_use]
pub fn condition<'a>(object: &'a Value, ty: &str) -> Option<Condition<'a>> {
    conditions(object).into_iter().find(|c| c.ty == ty)
}

/// Whether the condition is `True`.
#[must_use]
pub fn is_true(object: &Value, ty: &str) -> bool {
    condition(object, ty).is_some_and(|c| c.is_true())
}

/// How long ago something was, as kubectl says it: `45s`, `12m`, `30h`, `9d`.
#[must_use]
pub fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else {
        return String::new();
    };
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1 machine`, `2 machines`.
#[must_use]
pub fn plural(count: i64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// The first of the reasons that a message lists, with the headings above it, in one line.
#[must_use]
pub fn first_reason(message: &str) -> String {
    let mut reason = vec![];
    for line in message.lines() {
        let line = line.trim_start().trim_start_matches("* ");
        reason.push(line);
        if !line.ends_with(':') {
            break;
        }
    }
    reason.join(" ")
}

/// What somebody may have meant who wrote `word`: the closest of the names, if one is close.
#[must_use]
pub fn meant<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let distances = names.iter().map(|name| (distance(word, name), *name));
    let (distance, name) = distances.min()?;
    let is_close = distance <= (word.chars().count() / 3).max(1);
    is_close.then_some(name)
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (to, wanted) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *wanted);
            diagonal = row[to + 1];
            row[to + 1] = change.min(row[to] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_read_as_those_of_kubectl() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let check = |since: &str, want| assert_eq!(age(since.parse().ok(), now), want);
        check("2026-01-02T03:04:00Z", "5s");
        check("2026-01-02T03:02:00Z", "2m");
        check("2026-01-02T01:00:00Z", "2h");
        check("2025-12-30T01:00:00Z", "3d");
        // A clock that runs behind.
        check("2026-01-02T03:05:00Z", "0s");
        check("nonsense", "");
    }

    #[test]
    fn close_names_are_meant() {
        assert_eq!(meant("helo", &["hello", "other"]), Some("hello"));
        assert_eq!(meant("hello-1", &["hello-2", "other"]), Some("hello-2"));
        assert_eq!(meant("prod", &["hello", "other"]), None);
        assert_eq!(meant("prod", &[]), None);
    }

    #[test]
    fn conditions_of_today_are_preferred() {
        let old = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}], "v1beta2":
            {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]}}});
        assert!(is_true(&old, "Ready"));
        assert_eq!(conditions(&json!({"status": {"conditions": "none"}})), []);
    }

    #[test]
    fn a_line_shows_a_whole_reason() {
        let check = |message, want| assert_eq!(first_reason(message), want);
        check("", "");
        check("not there\nmore", "not there");
        check(
            "* Workers:\n  * MachineDeployment a:\n    * 0 of 2\n* Remote: down",
            "Workers: MachineDeployment a: 0 of 2",
        );
    }
}
