//! Answers as sentences. Pure.

use jiff::Timestamp;
use serde_json::Value;

use super::look::UNEXPLAINED;
use super::{Answer, Cause, Link, Weight};
use crate::inspect::read::when;
use crate::object::age;
use crate::ui::{Role, Ui};

/// Names of others that are told.
const NAMED_MAX: usize = 5;
/// Objects that are told to have been looked at.
const LOOKED_MAX: usize = 20;
/// Lines of what the root says besides its claim.
const DETAIL_MAX: usize = 30;

/// How an object is called in a sentence.
pub(super) fn label(link: &Link) -> String {
    let name = &link.name;
    match link.kind.as_str() {
        _ if link.is_control_plane() => format!("control plane {name}"),
        "Cluster" | "Machine" | "App" => format!("{} {name}", link.kind.to_lowercase()),
        kind => format!("{kind} {name}"),
    }
}

/// The answer as text, with the newest warnings about its root.
#[must_use]
pub fn text(answer: &Answer, warnings: &[Value], now: Timestamp, ui: &Ui) -> String {
    let mut lines = vec![ui.paint(role(answer), &sentence(answer, now))];
    if let Some(cause) = &answer.cause {
        let detail = cause.detail.iter().take(DETAIL_MAX);
        lines.extend(detail.map(|line| format!("    {line}")));
        if let Some(more @ 1..) = cause.detail.len().checked_sub(DETAIL_MAX) {
            lines.push(format!("    … and {more} more lines"));
        }
        lines.extend(same(cause));
        lines.extend(cause.others.iter().map(|other| format!("Also: {other}")));
    }
    lines.extend(answer.remarks.iter().cloned());
    if let Some(advice) = answer.cause.as_ref().and_then(|c| c.advice.as_ref()) {
        lines.push(format!("What to do: {advice}"));
    }
    let is_explained = match &answer.cause {
        None => answer.is_well,
        Some(cause) => !cause.claim.ends_with(UNEXPLAINED),
    };
    if !is_explained {
        let looked = answer.looked_at.iter().take(LOOKED_MAX).cloned();
        let looked: Vec<String> = looked.collect();
        lines.push(format!("Looked at: {}.", looked.join(", ")));
    }
    if !warnings.is_empty() {
        let root = answer.cause.as_ref().and_then(Cause::root);
        let about = label(root.unwrap_or(&answer.subject));
        lines.push(format!("Newest warnings about {about}:"));
        lines.extend(warnings.iter().map(|event| warning(event, now)));
    }
    lines.join("\n")
}

fn role(answer: &Answer) -> Role {
    match (&answer.cause, answer.is_well) {
        (None, true) => Role::Good,
        (Some(cause), _) if cause.weight >= Weight::Stuck => Role::Bad,
        _ => Role::Waiting,
    }
}

/// ` (for 3m)`, or nothing.
fn lasting(since: Option<Timestamp>, now: Timestamp) -> String {
    let age = age(since, now);
    if age.is_empty() {
        age
    } else {
        format!(" (for {age})")
    }
}

fn sentence(answer: &Answer, now: Timestamp) -> String {
    let mut subject = label(&answer.subject);
    if let Some(first) = subject.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let state = &answer.state;
    let lasts = lasting(answer.since, now);
    match &answer.cause {
        None if answer.is_well => format!("{subject} {state}{lasts}."),
        None => format!("{subject} {state}{lasts}, and {UNEXPLAINED}."),
        Some(cause) => {
            // What it says of itself has lasted as long as its state.
            let is_own = cause.chain.len() == 1;
            let since = cause.since.filter(|_| !is_own || answer.since.is_none());
            let way = way(cause);
            let end = lasting(since, now);
            let claim = cause.claim.trim_end_matches('.');
            format!("{subject} {state}{lasts}: {way}{claim}{end}.")
        }
    }
}

/// `it waits for control plane hello, which waits for machine x, whose LocalMachine says: `
fn way(cause: &Cause) -> String {
    let is_fact = cause.claim_is_a_fact();
    let (Some(root), Some(before)) = (cause.chain.last(), cause.chain.len().checked_sub(2)) else {
        return if is_fact { "its " } else { "" }.to_owned();
    };
    // Parts of machines and clusters carry the name of what they are part of.
    let is_part = cause.chain[before].name == root.name && !root.is_control_plane();
    let middle = if is_part {
        &cause.chain[1..=before]
    } else {
        &cause.chain[1..]
    };
    let mut text = String::new();
    for (at, link) in middle.iter().enumerate() {
        let lead = if at == 0 {
            "it waits for "
        } else {
            ", which waits for "
        };
        text.push_str(lead);
        text.push_str(&label(link));
    }
    let kind = &root.kind;
    let end = match (middle.is_empty(), is_part, is_fact) {
        (true, _, false) => format!("its {kind} says: "),
        (true, _, true) => format!("the {kind}'s "),
        (false, true, false) => format!(", whose {kind} says: "),
        (false, true, true) => format!(", of whose {kind} the "),
        (false, false, false) => ", which says: ".to_owned(),
        (false, false, true) => ", whose ".to_owned(),
    };
    text + &end
}

impl Cause {
    fn claim_is_a_fact(&self) -> bool {
        self.weight == Weight::Fact || self.reason == "Finalizers"
    }
}

/// Others of which the same is true.
fn same(cause: &Cause) -> Option<String> {
    if cause.same.is_empty() {
        return None;
    }
    let shown = &cause.same[..cause.same.len().min(NAMED_MAX)];
    let more = match cause.same.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("The same is true of {}{more}.", shown.join(", ")))
}

fn warning(event: &Value, now: Timestamp) -> String {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let times = event["series"]["count"]
        .as_i64()
        .or_else(|| event["count"].as_i64())
        .unwrap_or(1);
    let times = if times > 1 {
        format!(", {times} times")
    } else {
        String::new()
    };
    let message = text("message").replace('\n', "\n        ");
    format!(
        "    {} ago{times}  {}: {message}",
        age(when(event), now),
        text("reason")
    )
}
