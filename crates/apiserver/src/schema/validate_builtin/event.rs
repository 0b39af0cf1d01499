//! Events: the core group keeps old habits, `events.k8s.io` asks for what makes an event useful.

use serde_json::Value;

use super::{Report, text};
use crate::schema::meta;

/// Longest names of an action, a reason and a reporting instance, in bytes.
const MAX_WORD: usize = 128;
/// Longest message, in bytes.
const MAX_NOTE: usize = 1024;

/// Members of an event as the core group calls them; `events.k8s.io` has other names for some.
struct Event<'a> {
    value: &'a Value,
    is_core: bool,
}

impl<'a> Event<'a> {
    /// The member that the core group calls `name`.
    fn get(&self, name: &str) -> &'a Value {
        let name = match (self.is_core, name) {
            (false, "involvedObject") => "regarding",
            (false, "message") => "note",
            (false, "reportingComponent") => "reportingController",
            (false, "source") => "deprecatedSource",
            (false, "firstTimestamp") => "deprecatedFirstTimestamp",
            (false, "lastTimestamp") => "deprecatedLastTimestamp",
            (false, "count") => "deprecatedCount",
            (_, name) => name,
        };
        &self.value[name]
    }

    fn text(&self, name: &str) -> &'a str {
        self.get(name).as_str().unwrap_or_default()
    }
}

/// Checks an event of the core group (`is_core`) or of `events.k8s.io`.
pub(super) fn event(value: &Value, old: Option<&Value>, is_core: bool, report: &mut Report) {
    let event = Event { value, is_core };
    if event.get("eventTime").is_null() {
        old_style(&event, report);
    } else {
        new_style(&event, report);
    }
    if is_core {
        return;
    }
    match old {
        None => created(&event, report),
        Some(old) => unchanged(
            &event,
            &Event {
                value: old,
                is_core,
            },
            report,
        ),
    }
}

fn wrong_namespace(about: &str, report: &mut Report) {
    report.invalid(
        "involvedObject.namespace",
        &about.into(),
        "does not match event.namespace",
    );
}

/// An event without a time of its own is in the namespace of what it is about.
fn old_style(event: &Event<'_>, report: &mut Report) {
    let namespace = text(&event.value["metadata"], "namespace");
    let about = text(event.get("involvedObject"), "namespace");
    let fits = if about.is_empty() {
        matches!(namespace, "" | "default")
    } else {
        about == namespace
    };
    if !fits {
        wrong_namespace(about, report);
    }
}

fn new_style(event: &Event<'_>, report: &mut Report) {
    let namespace = text(&event.value["metadata"], "namespace");
    let about = text(event.get("involvedObject"), "namespace");
    if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
        wrong_namespace(about, report);
    }
    let controller = if event.is_core {
        "reportingComponent"
    } else {
        "reportingController"
    };
    let name = event.text("reportingComponent");
    if name.is_empty() {
        report.required(controller, "");
    }
    report.all(controller, &name.into(), meta::qualified_name(name));
    for (member, is_needed, limit) in [
        ("reportingInstance", true, MAX_WORD),
        ("action", true, MAX_WORD),
        ("reason", true, MAX_WORD),
        ("message", false, MAX_NOTE),
    ] {
        let length = event.text(member).len();
        if is_needed && length == 0 {
            report.required(member, "");
        }
        if length > limit {
            let what = format!("can have at most {limit} characters");
            report.invalid(member, &"".into(), &what);
        }
    }
}

/// What `events.k8s.io` asks of a new event.
fn created(event: &Event<'_>, report: &mut Report) {
    series(event, report);
    if event.get("eventTime").is_null() {
        report.required("eventTime", "");
    }
    let ty = event.text("type");
    if !matches!(ty, "Normal" | "Warning") {
        report.invalid("type", &"".into(), &format!("has invalid value: {ty}"));
    }
    let source = event.get("source");
    for (member, is_set) in [
        ("firstTimestamp", !event.get("firstTimestamp").is_null()),
        ("lastTimestamp", !event.get("lastTimestamp").is_null()),
        ("count", event.get("count").as_i64().unwrap_or(0) != 0),
        (
            "source",
            !text(source, "component").is_empty() || !text(source, "host").is_empty(),
        ),
    ] {
        if is_set {
            report.invalid(member, &"".into(), "needs to be unset");
        }
    }
}

fn series(event: &Event<'_>, report: &mut Report) {
    let series = event.get("series");
    if series.is_null() {
        return;
    }
    if series["count"].as_i64().unwrap_or(0) < 2 {
        report.invalid("series.count", &"".into(), "should be at least 2");
    }
    if series["lastObservedTime"].is_null() {
        report.required("series.lastObservedTime", "");
    }
}

/// Only the series of an event goes on in `events.k8s.io`.
fn unchanged(event: &Event<'_>, old: &Event<'_>, report: &mut Report) {
    if event.get("series") != old.get("series") {
        series(event, report);
    }
    for member in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ] {
        let field = match member {
            "reportingComponent" => "reportingController",
            other => other,
        };
        report.immutable(field, event.get(member), old.get(member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(is_core: bool, yaml: &str, old: Option<&str>, expected: Expect) {
        let read = |yaml: &str| -> Value { serde_saphyr::from_str(yaml).unwrap() };
        let mut report = Report::default();
        let old = old.map(read);
        event(&read(yaml), old.as_ref(), is_core, &mut report);
        let causes = report.causes.iter();
        let shown: Vec<String> = causes
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn events_are_where_their_object_is() {
        let of = |namespace: &str, about: &str| {
            format!("metadata: {{namespace: {namespace}}}\ninvolvedObject: {{namespace: {about}}}")
        };
        check(true, &of("a", "a"), None, expect![[""]]);
        check(true, &of("default", "''"), None, expect![[""]]);
        check(
            true,
            &of("a", "b"),
            None,
            expect![[
                r#"involvedObject.namespace: Invalid value: "b": does not match event.namespace"#
            ]],
        );
        check(
            true,
            &of("a", "''"),
            None,
            expect![[
                r#"involvedObject.namespace: Invalid value: "": does not match event.namespace"#
            ]],
        );
    }

    #[test]
    fn events_with_a_time_say_more() {
        check(
            true,
            "metadata: {namespace: a}\neventTime: '2026-01-01T00:00:00.000000Z'",
            None,
            expect![[r#"
                involvedObject.namespace: Invalid value: "": does not match event.namespace
                reportingComponent: Required value
                reportingComponent: Invalid value: "": name part must be non-empty
                reportingComponent: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
                reportingInstance: Required value
                action: Required value
                reason: Required value"#]],
        );
        let whole = "metadata: {namespace: a}
eventTime: '2026-01-01T00:00:00.000000Z'
regarding: {namespace: a}
reportingController: example.com/c
reportingInstance: c-1
action: Look
reason: Seen
type: Normal";
        check(false, whole, None, expect![[""]]);
        check(
            false,
            &format!("{whole}\nnote: more\nseries: {{count: 2, lastObservedTime: x}}"),
            Some(whole),
            expect![[r#"message: Invalid value: "more": field is immutable"#]],
        );
        check(
            false,
            "{metadata: {namespace: a}, regarding: {namespace: a}, type: Odd, deprecatedCount: 1, series: {count: 1}}",
            None,
            expect![[r#"
                series.count: Invalid value: "": should be at least 2
                series.lastObservedTime: Required value
                eventTime: Required value
                type: Invalid value: "": has invalid value: Odd
                count: Invalid value: "": needs to be unset"#]],
        );
    }
}
