//! Why something is as it is: from an object along its references, parts and conditions to the one thing that holds it up. Pure.
//!
//! Nothing is guessed. What is said stands in a condition, a reference or a field of the object that is named; where no condition
//! explains a state, that is said, with what was looked at.

mod advice;
mod look;
mod text;

#[cfg(test)]
mod tests;

pub use text::text;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::world::{Key, World};
use crate::object::{self, Condition, condition, is_deleting, kind, name};
use look::Look;

/// An object on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    pub kind: String,
    pub name: String,
    #[serde(skip)]
    group: String,
}

impl Link {
    fn to(object: &Value) -> Self {
        Self {
            kind: kind(object).to_owned(),
            name: name(object).to_owned(),
            group: object::group(object).to_owned(),
        }
    }

    /// Names the object, for the management cluster.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            group: self.group.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }

    fn is_control_plane(&self) -> bool {
        self.group == api::meta::CONTROL_PLANE_GROUP
    }
}

/// How sure it is that time alone changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// Something else has to happen first.
    Waits,
    /// Nobody knows how it is.
    Unknown,
    /// Something says that it has failed or cannot go on.
    Stuck,
    /// A fact that only somebody can change: a reference to nothing, a pause.
    Fact,
}

/// What holds something up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// From what was asked about to the root.
    pub chain: Vec<Link>,
    pub weight: Weight,
    /// What the root says, or (by its weight) a fact about it.
    pub claim: String,
    /// More of what it says, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Names of others for which the same is true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<String>,
    /// What else is not well, with another cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl Cause {
    /// What the trouble is with.
    #[must_use]
    pub fn root(&self) -> Option<&Link> {
        self.chain.last()
    }
}

/// The answer to the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub subject: Link,
    /// What follows the name in the first sentence, e.g. `is not available`.
    pub state: String,
    pub is_well: bool,
    pub since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What is worth knowing besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What was looked at, with the condition that sums it up.
    pub looked_at: Vec<String>,
}

/// Why `subject`, which is in `world`, is as it is.
#[must_use]
pub fn why(world: &World, subject: &Value) -> Answer {
    let look = Look::new(world);
    let summary = summary(subject);
    let mut answer = Answer {
        subject: Link::to(subject),
        state: String::new(),
        is_well: false,
        since: summary.and_then(|s| s.since),
        cause: None,
        remarks: vec![],
        looked_at: vec![],
    };
    if is_deleting(subject) {
        answer.state = "is being deleted".to_owned();
        answer.since = object::time(&subject["metadata"]["deletionTimestamp"]);
        answer.cause = look.at(subject);
    } else if !is_well(subject) {
        if is_behind(subject) {
            answer.state = "has been changed, and nobody has looked at it since".to_owned();
            answer.since = None;
        } else {
            answer.state = bad(subject);
        }
        answer.cause = look.at(subject);
    } else {
        answer.cause = look.parts(subject);
        answer.state = match (activity(subject), &answer.cause) {
            (Some(activity), _) => {
                let doing = object::first_reason(activity.message);
                let list = activity.message.lines().skip(1);
                let list = list.map(|line| line.trim_start_matches(['*', ' ']).to_owned());
                answer.since = activity.since;
                answer.remarks.extend(rolls(activity, list));
                let doing = if doing.is_empty() {
                    activity.ty.to_owned()
                } else {
                    doing
                };
                format!("is {}, and at work: {doing}", good(subject))
            }
            (None, Some(_)) => format!("is {}, but not all of it is well", good(subject)),
            (None, None) => format!("is fine: {}", good(subject)),
        };
        answer.is_well = true;
        answer.remarks.extend(remarks(world, subject));
    }
    answer.looked_at = look.looked_at();
    answer
}

/// The condition that sums an object up.
fn summary(object: &Value) -> Option<Condition<'_>> {
    condition(object, summary_type(object))
}

fn summary_type(object: &Value) -> &'static str {
    match kind(object) {
        "Cluster" | "MachineDeployment" | "MachinePool" => "Available",
        "MachineSet" => "MachinesReady",
        "MachineHealthCheck" => "RemediationAllowed",
        _ if object::group(object) == api::meta::CONTROL_PLANE_GROUP => "Available",
        _ => "Ready",
    }
}

/// Whether an object is as it should be, parts of it perhaps excepted.
fn is_well(object: &Value) -> bool {
    if is_deleting(object) || is_behind(object) {
        return false;
    }
    let is_set = |path: &str| object.pointer(path) == Some(&Value::Bool(true));
    match summary(object) {
        Some(summary) if kind(object) == "Machine" => {
            summary.is_true() && object::is_true(object, "Available")
        }
        Some(summary) => summary.is_true(),
        // Objects of the contract need no conditions.
        None => {
            is_set("/status/initialization/provisioned")
                || is_set("/status/initialization/dataSecretCreated")
                || is_set("/status/initialization/controlPlaneInitialized")
                || is_set("/status/ready")
                || object["status"]["release"]["status"] == "deployed"
        }
    }
}

/// Whether the status is of an earlier generation.
fn is_behind(object: &Value) -> bool {
    let observed = object["status"]["observedGeneration"].as_i64();
    let current = object["metadata"]["generation"].as_i64();
    observed.zip(current).is_some_and(|(seen, now)| seen < now)
}

/// What is going on with an object that is well.
fn activity(object: &Value) -> Option<Condition<'_>> {
    let types = ["RollingOut", "Remediating", "ScalingUp", "ScalingDown"];
    let mut found = types.iter().filter_map(|ty| condition(object, ty));
    found.find(Condition::is_true)
}

/// What changes in a roll-out, as its condition lists it.
fn rolls(activity: Condition<'_>, list: impl Iterator<Item = String>) -> Vec<String> {
    if activity.ty != "RollingOut" {
        return vec![];
    }
    let list: Vec<String> = list.filter(|line| !line.is_empty()).collect();
    if list.is_empty() {
        return vec![];
    }
    vec![format!("What changes: {}.", list.join("; "))]
}

fn good(object: &Value) -> &'static str {
    match kind(object) {
        "MachineSet" => "all machines ready",
        "MachineHealthCheck" => "may have machines replaced",
        "App" => "deployed",
        _ if summary_type(object) == "Available" => "available",
        _ => "ready",
    }
}

fn bad(object: &Value) -> String {
    let is_unknown = summary(object).is_some_and(|s| s.status == "Unknown");
    match kind(object) {
        "MachineSet" => "has machines that are not ready".to_owned(),
        "MachineHealthCheck" => "has no machines replaced".to_owned(),
        "App" => "is not deployed as it should be".to_owned(),
        "Machine" if object::is_true(object, "Ready") => "is ready, but not available".to_owned(),
        _ if is_unknown => format!("may be {} or not: nobody knows", good(object)),
        _ => format!("is not {}", good(object)),
    }
}

/// What is worth knowing of something that is well.
fn remarks(world: &World, object: &Value) -> Vec<String> {
    let mut remarks = vec![];
    if let Some(pause) = look::pause(world, object) {
        remarks.push(format!(
            "It is paused: its {pause}, so nothing is done about it."
        ));
    }
    for (reference, _) in world.dangling(object) {
        remarks.push(format!(
            "Its {} names {} {:?}, which does not exist: the next machine will need it.",
            reference.field, reference.to.kind, reference.to.name
        ));
    }
    remarks
}
