//! Conditions as controllers decide on them, and the rules by which conditions of several things become one. Pure.

use std::borrow::Cow;

use kube::core::DynamicObject;
use serde_json::{Value, json};

/// Objects that a message names before it counts the rest.
const NAMED_MAX: usize = 3;
/// The longest message of a condition, in bytes; in characters, the schema allows as many.
const MESSAGE_MAX: usize = 32_768;

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// A condition without what the driver adds: times and generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub type_: Cow<'static, str>,
    pub truth: Truth,
    pub reason: Cow<'static, str>,
    pub message: String,
}

impl Condition {
    /// A condition.
    pub fn new(
        type_: &'static str,
        truth: Truth,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_: type_.into(),
            truth,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A true condition without message.
    pub fn yes(type_: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(type_, Truth::True, reason, "")
    }

    /// A false condition.
    pub fn no(
        type_: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(type_, Truth::False, reason, message)
    }

    /// A condition about which nothing is known.
    pub fn unknown(
        type_: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(type_, Truth::Unknown, reason, message)
    }

    /// Whether it is true.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.truth == Truth::True
    }

    /// As part of a status.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "type": self.type_,
            "status": self.truth.as_str(),
            "reason": self.reason,
            "message": cut(&self.message),
        })
    }
}

/// A message that may be stored: one that is too long would keep the whole status from being written.
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_MAX)]
}

impl From<&api::meta::Condition> for Condition {
    fn from(wire: &api::meta::Condition) -> Self {
        Self {
            type_: wire.type_.clone().into(),
            truth: Truth::parse(&wire.status),
            reason: wire.reason.clone().into(),
            message: wire.message.clone(),
        }
    }
}

/// The conditions as part of a status.
#[must_use]
pub fn to_json(conditions: &[Condition]) -> Value {
    conditions.iter().map(Condition::to_json).collect()
}

/// The condition `type_` of any object.
#[must_use]
pub fn of(object: &DynamicObject, type_: &str) -> Option<Condition> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|c| c["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some(Condition {
        type_: text("type").into(),
        truth: Truth::parse(&text("status")),
        reason: text("reason").into(),
        message: text("message"),
    })
}

/// The condition that says whether reconciliation is stopped.
#[must_use]
pub fn paused(is_paused: bool) -> Condition {
    if is_paused {
        Condition::yes("Paused", "Paused")
    } else {
        Condition::no("Paused", "NotPaused", "")
    }
}

/// The status of an object whose reconciliation is stopped: as it was, but saying so.
#[must_use]
pub fn paused_status(mut status: Value) -> Value {
    let mut conditions: Vec<Value> = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|c| c["type"] != "Paused");
    conditions.push(paused(true).to_json());
    status["conditions"] = Value::Array(conditions);
    status
}

/// Shows the condition `from` of `object` as `type_`. Objects that have no such condition are judged by `is_good`, the flag of the contract
/// that stands for it.
#[must_use]
pub fn mirror(
    type_: &'static str,
    object: &DynamicObject,
    from: &str,
    is_good: (bool, &str),
) -> Condition {
    let kind = object
        .types
        .as_ref()
        .map(|t| t.kind.clone())
        .unwrap_or_default();
    if let Some(found) = of(object, from) {
        return Condition {
            type_: type_.into(),
            ..found
        };
    }
    let (is_good, flag) = is_good;
    if is_good {
        Condition::yes(type_, from.to_owned())
    } else {
        Condition::no(
            type_,
            format!("Not{from}"),
            format!("{kind} {flag} is false"),
        )
    }
}

/// A condition that counts for a summary.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub type_: &'a str,
    pub condition: Option<&'a Condition>,
    /// True is bad.
    pub is_negative: bool,
    /// Does not count while it is missing.
    pub is_optional: bool,
}

/// One condition from several of the same object: an issue outranks the unknown, that outranks the good. The reason follows from the
/// type: Ready, NotReady, ReadyUnknown. The message lists what is wrong.
#[must_use]
pub fn summary(type_: &'static str, parts: &[Part<'_>]) -> Condition {
    let (mut issues, mut unknowns) = (vec![], vec![]);
    for part in parts {
        let Some(condition) = part.condition else {
            if !part.is_optional {
                unknowns.push(bullet(part.type_, "Condition not yet reported"));
            }
            continue;
        };
        let is_issue = condition.truth
            == if part.is_negative {
                Truth::True
            } else {
                Truth::False
            };
        let message = if condition.message.is_empty() {
            &*condition.reason
        } else {
            &condition.message
        };
        if is_issue {
            issues.push(bullet(part.type_, message));
        } else if condition.truth == Truth::Unknown {
            unknowns.push(bullet(part.type_, message));
        }
    }
    if issues.is_empty() && unknowns.is_empty() {
        return Condition::yes(type_, type_);
    }
    let truth = if issues.is_empty() {
        Truth::Unknown
    } else {
        Truth::False
    };
    let reason = if issues.is_empty() {
        format!("{type_}Unknown")
    } else {
        format!("Not{type_}")
    };
    issues.append(&mut unknowns);
    Condition::new(type_, truth, reason, issues.join("\n"))
}

fn bullet(type_: &str, message: &str) -> String {
    if message.starts_with("* ") {
        format!("* {type_}:\n  {}", message.replace('\n', "\n  "))
    } else {
        format!("* {type_}: {}", message.replace('\n', "\n  "))
    }
}

/// One condition from the conditions `of` (Ready, UpToDate, …) of several objects of one kind. Without objects it is true.
#[must_use]
pub fn aggregate(
    type_: &'static str,
    of: &str,
    kind: &str,
    objects: &[(&str, Option<Condition>)],
) -> Condition {
    if objects.is_empty() {
        return Condition::yes(type_, "NoReplicas");
    }
    let (mut truth, mut groups) = (Truth::True, Vec::<(String, Vec<&str>)>::new());
    for (name, condition) in objects {
        let message = match condition {
            Some(condition) if condition.truth == Truth::True => continue,
            Some(condition) => {
                if condition.truth == Truth::False {
                    truth = Truth::False;
                }
                if condition.message.is_empty() {
                    condition.reason.to_string()
                } else {
                    condition.message.clone()
                }
            }
            None => format!("Condition {of} not yet reported"),
        };
        if truth == Truth::True {
            truth = Truth::Unknown;
        }
        match groups.iter_mut().find(|(m, _)| *m == message) {
            Some((_, names)) => names.push(name),
            None => groups.push((message, vec![name])),
        }
    }
    let reason = match truth {
        Truth::True => of.to_owned(),
        Truth::False => format!("Not{of}"),
        Truth::Unknown => format!("{of}Unknown"),
    };
    let message: Vec<_> = groups
        .iter()
        .map(|(message, names)| bullet(&named(kind, names), message))
        .collect();
    Condition::new(type_, truth, reason, message.join("\n"))
}

/// `Machine a`, `Machines a, b`, `Machines a, b, c, ... (2 more)`.
#[must_use]
pub fn named(kind: &str, names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    let plural = if names.len() == 1 { "" } else { "s" };
    let shown = names[..names.len().min(NAMED_MAX)].join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => format!("{kind}{plural} {shown}"),
        more => format!("{kind}{plural} {shown}, ... ({more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn show(condition: &Condition, expect: &Expect) {
        let Condition {
            type_,
            truth,
            reason,
            message,
        } = condition;
        expect.assert_eq(&format!("{type_}={} {reason}\n{message}\n", truth.as_str()));
    }

    #[test]
    fn issues_outrank_unknowns_outrank_the_good() {
        let good = Condition::yes("A", "Fine");
        let bad = Condition::no("B", "Broken", "the disk is full");
        let deleting = Condition::yes("Deleting", "WaitingForX");
        let lost = Condition::unknown("C", "ConnectionDown", "* one\n* two");
        let part = |condition, is_negative| Part {
            type_: "X",
            condition,
            is_negative,
            is_optional: false,
        };
        show(
            &summary("Ready", &[part(Some(&good), false)]),
            &expect![[r#"
                Ready=True Ready

            "#]],
        );
        show(
            &summary(
                "Ready",
                &[part(Some(&good), false), part(Some(&lost), false)],
            ),
            &expect![[r#"
                Ready=Unknown ReadyUnknown
                * X:
                  * one
                  * two
            "#]],
        );
        show(
            &summary(
                "Ready",
                &[
                    part(Some(&lost), false),
                    part(Some(&bad), false),
                    part(Some(&deleting), true),
                ],
            ),
            &expect![[r#"
                Ready=False NotReady
                * X: the disk is full
                * X: WaitingForX
                * X:
                  * one
                  * two
            "#]],
        );
        show(
            &summary("Ready", &[part(None, false)]),
            &expect![[r#"
            Ready=Unknown ReadyUnknown
            * X: Condition not yet reported
        "#]],
        );
        show(
            &summary(
                "Ready",
                &[Part {
                    is_optional: true,
                    ..part(None, false)
                }],
            ),
            &expect![[r#"
                Ready=True Ready

            "#]],
        );
    }

    #[test]
    fn equal_messages_are_grouped() {
        let bad = || Some(Condition::no("Ready", "NotReady", "no disk"));
        let machines = [
            ("d", bad()),
            ("c", bad()),
            ("b", bad()),
            ("a", bad()),
            ("e", None),
            ("f", Some(Condition::yes("Ready", "Ready"))),
        ];
        show(
            &aggregate("MachinesReady", "Ready", "Machine", &machines),
            &expect![[r#"
                MachinesReady=False NotReady
                * Machines a, b, c, ... (1 more): no disk
                * Machine e: Condition Ready not yet reported
            "#]],
        );
        show(
            &aggregate("MachinesReady", "Ready", "Machine", &[]),
            &expect![[r#"
                MachinesReady=True NoReplicas

            "#]],
        );
        show(
            &aggregate("MachinesReady", "Ready", "Machine", &machines[5..]),
            &expect![[r#"
                MachinesReady=True Ready

            "#]],
        );
    }
}
