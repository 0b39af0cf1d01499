//! The events of one request, from its first stage to its last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::policy::Wanted;
use super::{Audit, Level, Stage};
use crate::auth::{Attributes, Decision, Impersonated, User, user_info};
use crate::registry::Clock;
use crate::status::Status;

/// Longer names of clients are cut, as in Kubernetes.
const USER_AGENT_MAX: usize = 1024;
/// An event that is longer as JSON goes without its bodies.
const EVENT_BYTES_MAX: usize = 10 << 20;
/// Annotations of one event, and the length of each.
const NOTES_MAX: usize = 128;
const NOTE_BYTES_MAX: usize = 16 << 10;
/// Which cluster an event is of, in a log that several clusters share.
const CLUSTER_NOTE: &str = "apiserver/logical-cluster";
/// Annotations that begin like this are part of a body: they are written where bodies are.
pub(crate) const PATCH_NOTE: &str = "patch.webhook.admission.k8s.io/";
const TRUNCATED_NOTE: &str = "audit.k8s.io/truncated";

/// Annotations of one request's events; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<BTreeMap<String, String>>>);

impl Notes {
    /// Adds an annotation as [`note`] does.
    pub(crate) fn add(&self, key: &str, value: &str) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut notes, key, value);
    }

    fn all(&self) -> BTreeMap<String, String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Adds an annotation: what was said first stays, texts are cut, and so many are kept.
pub(crate) fn note(notes: &mut BTreeMap<String, String>, key: &str, value: &str) {
    if notes.len() < NOTES_MAX && !notes.contains_key(key) {
        notes.insert(key.to_owned(), shortened(value, NOTE_BYTES_MAX).to_owned());
    }
}

/// At most `max` bytes of `text`, whole characters.
fn shortened(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// What is known of a request before anybody has looked into it.
pub(crate) struct Asked<'a> {
    pub(crate) id: &'a str,
    /// Path and query.
    pub(crate) uri: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) source_ips: Vec<String>,
    pub(crate) received: Timestamp,
    pub(crate) clock: &'a Clock,
    pub(crate) notes: &'a Notes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    kind: &'static str,
    api_version: &'static str,
    level: Level,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_metadata: Option<Value>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<Value>,
    request_received_timestamp: String,
    stage_timestamp: String,
    annotations: BTreeMap<String, String>,
}

/// The object that a request is about.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) subresource: String,
}

/// What is written down of one request. The last event is written when the trail is dropped, so that none is without an
/// end, whatever becomes of the request.
pub(crate) struct Trail {
    audit: Audit,
    event: Box<Event>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
    notes: Notes,
    clock: Clock,
    is_over: bool,
}

impl Trail {
    pub(super) fn begin(
        audit: Audit,
        wanted: Wanted,
        asked: &Asked<'_>,
        user: &User,
        attributes: &Attributes,
    ) -> Self {
        let mut trail = Self::new(audit, wanted, asked, user, attributes);
        trail.write(Stage::RequestReceived);
        trail
    }

    pub(super) fn unauthenticated(
        audit: Audit,
        wanted: Wanted,
        asked: &Asked<'_>,
        attributes: &Attributes,
        tried: &str,
    ) {
        let mut trail = Self::new(audit, wanted, asked, &User::default(), attributes);
        trail.event.response_status = Some(json!({
            "metadata": {}, "status": "Failure", "reason": "Unauthorized", "code": 401,
            "message": format!("Authentication failed, attempted: {tried}"),
        }));
        trail.write(Stage::ResponseStarted);
        trail.is_over = true;
    }

    fn new(
        audit: Audit,
        wanted: Wanted,
        asked: &Asked<'_>,
        user: &User,
        attributes: &Attributes,
    ) -> Self {
        let object_ref = attributes.is_resource().then(|| ObjectRef {
            resource: attributes.resource.clone(),
            namespace: attributes.namespace.clone(),
            name: attributes.name.clone(),
            api_group: attributes.group.clone(),
            api_version: attributes.version.clone(),
            subresource: attributes.subresource.clone(),
            ..ObjectRef::default()
        });
        let mut user_agent = shortened(asked.user_agent, USER_AGENT_MAX).to_owned();
        if user_agent.len() < asked.user_agent.len() {
            user_agent.push_str("...TRUNCATED");
        }
        let event = Box::new(Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: wanted.level,
            audit_id: asked.id.to_owned(),
            stage: Stage::RequestReceived,
            request_uri: asked.uri.to_owned(),
            verb: attributes.verb.clone(),
            user: user_info(user),
            impersonated_user: None,
            authentication_metadata: None,
            source_ips: asked.source_ips.clone(),
            user_agent,
            object_ref,
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: micro_time(asked.received),
            stage_timestamp: String::new(),
            annotations: BTreeMap::new(),
        });
        Self {
            audit,
            event,
            omit_stages: wanted.omit_stages,
            omit_managed_fields: wanted.omit_managed_fields,
            notes: asked.notes.clone(),
            clock: asked.clock.clone(),
            is_over: false,
        }
    }

    /// Whom the user acts as.
    pub(crate) fn impersonated(&mut self, impersonated: &Impersonated) {
        self.event.impersonated_user = Some(user_info(&impersonated.user));
        if let Some(constraint) = &impersonated.constraint {
            self.event.authentication_metadata =
                Some(json!({"impersonationConstraint": constraint}));
        }
    }

    /// What authorization said.
    pub(crate) fn decided(&self, decision: &Decision) {
        let verdict = if decision.allowed { "allow" } else { "forbid" };
        self.notes.add("authorization.k8s.io/decision", verdict);
        self.notes
            .add("authorization.k8s.io/reason", &decision.reason);
    }

    pub(crate) fn wants_request(&self) -> bool {
        self.event.level >= Level::Request
    }

    pub(crate) fn wants_response(&self) -> bool {
        self.event.level >= Level::RequestResponse
    }

    /// What is not known of the object yet, for instance because its name is in the body.
    pub(crate) fn object_ref(&mut self) -> Option<&mut ObjectRef> {
        self.event.object_ref.as_mut()
    }

    /// The body of the request; kept only if the policy wants it.
    pub(crate) fn request_object(&mut self, mut object: Value) {
        if self.wants_request() {
            self.clean(&mut object);
            self.event.request_object = Some(object);
        }
    }

    /// The body of the answer; kept only if the policy wants it. A `Status` says how the request went at any level.
    pub(crate) fn response_object(&mut self, mut object: Value) {
        if object["kind"] == "Status" && object["apiVersion"] == "v1" {
            let mut status = json!({"metadata": {}});
            for field in ["status", "message", "reason", "details", "code"] {
                if !object[field].is_null() {
                    status[field] = object[field].clone();
                }
            }
            self.event.response_status = Some(status);
        }
        if self.wants_response() {
            self.clean(&mut object);
            self.event.response_object = Some(object);
        }
    }

    /// The request is refused.
    pub(crate) fn refused(&mut self, status: &Status) {
        self.response_object(status.body());
    }

    /// The code of the answer.
    pub(crate) fn code(&mut self, code: u16) {
        let status = self
            .event
            .response_status
            .get_or_insert_with(|| json!({"metadata": {}}));
        status["code"] = code.into();
    }

    /// The headers are sent and the rest will take long.
    pub(crate) fn started(&mut self) {
        self.write(Stage::ResponseStarted);
    }

    /// The server failed.
    pub(crate) fn panicked(mut self, status: &Status) {
        self.refused(status);
        self.write(Stage::Panic);
        self.is_over = true;
    }

    fn clean(&self, object: &mut Value) {
        if !self.omit_managed_fields {
            return;
        }
        let forget = |object: &mut Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        };
        forget(object);
        for item in object
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            forget(item);
        }
        for row in object
            .get_mut("rows")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            forget(&mut row["object"]);
        }
    }

    fn write(&mut self, stage: Stage) {
        if self.omit_stages.contains(&stage) {
            return;
        }
        self.event.stage = stage;
        self.event.stage_timestamp = micro_time((self.clock)());
        let mut notes = self.notes.all();
        if self.event.level < Level::Request {
            notes.retain(|key, _| !key.starts_with(PATCH_NOTE));
        }
        notes.insert(CLUSTER_NOTE.into(), self.audit.0.cluster.to_string());
        self.event.annotations = notes;
        let mut line = self.line();
        if line.len() > EVENT_BYTES_MAX {
            self.event.request_object = None;
            self.event.response_object = None;
            let notes = &mut self.event.annotations;
            notes.insert(TRUNCATED_NOTE.into(), "true".into());
            line = self.line();
        }
        self.audit.write(line);
    }

    fn line(&self) -> Vec<u8> {
        // Texts and numbers: nothing of it can fail to be JSON.
        let mut line = serde_json::to_vec(&self.event).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.event.response_status.is_none() {
            self.event.response_status = Some(json!({
                "metadata": {}, "status": "Failure", "message": "the client went away before it was answered",
            }));
        }
        self.write(Stage::ResponseComplete);
    }
}

/// RFC 3339 with microseconds.
fn micro_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("aé", 1), "a");
        assert_eq!(shortened("aé", 2), "a");
        assert_eq!(shortened("aé", 3), "aé");
        assert_eq!(shortened("", 3), "");
    }

    #[test]
    fn what_was_noted_first_stays() {
        let notes = Notes::default();
        notes.add("a", "1");
        notes.add("a", "2");
        for n in 0..2 * NOTES_MAX {
            notes.add(&format!("n{n}"), "");
        }
        let all = notes.all();
        assert_eq!((all["a"].as_str(), all.len()), ("1", NOTES_MAX));
        let notes = Notes::default();
        notes.add("long", &"x".repeat(2 * NOTE_BYTES_MAX));
        assert_eq!(notes.all()["long"].len(), NOTE_BYTES_MAX);
    }
}
