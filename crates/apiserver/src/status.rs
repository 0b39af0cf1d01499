//! Kubernetes `Status` answers: every refusal of the server is one of these, with the codes, reasons and texts that
//! clients look for.

use std::borrow::Cow;

use serde_json::{Value, json};

/// One reason why a field was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable, e.g. `FieldValueInvalid`.
    pub reason: &'static str,
    /// What is wrong and what would be right, e.g. `Invalid value: "X": must be …`.
    pub message: String,
    /// Path of the field, e.g. `spec.containers[0].image`.
    pub field: String,
}

impl Cause {
    fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: field.into(),
        }
    }

    /// A required field is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".into()
        } else {
            format!("Required value: {detail}")
        };
        Self::new("FieldValueRequired", field, message)
    }

    /// The value breaks a rule.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {}: {detail}", shown(value)),
        )
    }

    /// As [`Self::invalid`], of a value that is too large to be shown.
    pub fn invalid_unshown(field: impl Into<String>, detail: &str) -> Self {
        Self::new(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {detail}"),
        )
    }

    /// As [`Self::duplicate`], of a value that is too large to be shown.
    pub fn duplicate_unshown(field: impl Into<String>) -> Self {
        Self::new("FieldValueDuplicate", field, "Duplicate value")
    }

    /// Something of the server's own went wrong.
    pub fn internal(field: impl Into<String>, detail: &str) -> Self {
        Self::new("InternalError", field, format!("Internal error: {detail}"))
    }

    /// The value has another type than the schema says.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new(
            "FieldValueTypeInvalid",
            field,
            format!("Invalid value: {}: {detail}", shown(value)),
        )
    }

    /// The value is not one of those allowed.
    pub fn not_supported(field: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        let allowed = allowed
            .iter()
            .map(|a| format!("{a:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        Self::new(
            "FieldValueNotSupported",
            field,
            format!(
                "Unsupported value: {}: supported values: {allowed}",
                shown(value)
            ),
        )
    }

    /// The field may not be set (in this way, now, by this user).
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    /// Two entries are the same.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {}", shown(value)),
        )
    }

    /// The value is longer than allowed.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self::new(
            "FieldValueTooLong",
            field,
            format!("Too long: may not be more than {max} bytes"),
        )
    }

    /// More items than allowed.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Self {
        Self::new(
            "FieldValueTooMany",
            field,
            format!("Too many: {actual}: must have at most {max} items"),
        )
    }
}

/// How Kubernetes prints a refused value: strings quoted, everything else as JSON.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 256 {
        return text;
    }
    let cut = (0..=256)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    format!("{}…", &text[..cut])
}

/// A refusal. `code` is the HTTP status; the body is [`Status::body`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    /// One word; webhooks may have their own.
    pub reason: Cow<'static, str>,
    pub message: String,
    /// `{name, group, kind, uid, causes, retryAfterSeconds}`, whatever applies.
    pub details: Option<Value>,
    /// Goes to `metadata.continue`: how an expired list goes on.
    pub continue_token: Option<String>,
}

impl Status {
    fn plain(code: u16, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    fn about(
        code: u16,
        reason: &'static str,
        (group, kind, name): (&str, &str, &str),
        message: String,
    ) -> Self {
        let mut details = serde_json::Map::new();
        for (key, text) in [("name", name), ("group", group), ("kind", kind)] {
            if !text.is_empty() {
                details.insert(key.into(), text.into());
            }
        }
        Self {
            details: Some(Value::Object(details)),
            ..Self::plain(code, reason, message)
        }
    }

    /// 404: `pods "x" not found`.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        Self::about(
            404,
            "NotFound",
            (group, plural, name),
            format!("{} {name:?} not found", qualified(group, plural)),
        )
    }

    /// 404 for a path or a resource that is not served at all.
    pub fn no_such_resource() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::plain(
                404,
                "NotFound",
                "the server could not find the requested resource",
            )
        }
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, plural));
        Self::about(409, "AlreadyExists", (group, plural, name), message)
    }

    /// 409: somebody else wrote first; `why` follows the standard words.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            qualified(group, plural)
        );
        Self::about(409, "Conflict", (group, plural, name), message)
    }

    /// 409 for a stale `resourceVersion`.
    pub fn modified(group: &str, plural: &str, name: &str) -> Self {
        Self::conflict(
            group,
            plural,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422: the object breaks rules; `kind` is the Kind, not the plural.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let texts: Vec<String> = causes
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        let list = if texts.len() == 1 {
            texts[0].clone()
        } else {
            format!("[{}]", texts.join(", "))
        };
        let mut qualified_kind = kind.to_owned();
        if !group.is_empty() {
            qualified_kind = format!("{kind}.{group}");
        }
        let mut status = Self::about(
            422,
            "Invalid",
            (group, kind, name),
            format!("{qualified_kind} {name:?} is invalid: {list}"),
        );
        if let Some(details) = status.details.as_mut().and_then(Value::as_object_mut) {
            let causes = causes
                .into_iter()
                .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}));
            details.insert("causes".into(), causes.collect());
        }
        status
    }

    /// 422: a patch makes something of an object that cannot be read. The object is hinted at only: it may hold secrets.
    pub fn invalid_patch(why: &str) -> Self {
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: \"{{…}}\": {why}"),
            field: "patch".into(),
        };
        Self::invalid("", "", "", vec![cause])
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 403: `pods "x" is forbidden: why`.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, plural);
        let message = match (what.as_str(), name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{what} is forbidden: {why}"),
            _ => format!("{what} {name:?} is forbidden: {why}"),
        };
        Self::about(403, "Forbidden", (group, plural, name), message)
    }

    /// 405 of a path that knows other methods.
    pub fn no_such_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self {
            details: Some(json!({})),
            ..Self::plain(405, "MethodNotAllowed", message)
        }
    }

    /// 405.
    pub fn method_not_allowed(group: &str, plural: &str, verb: &str) -> Self {
        let message = format!(
            "{verb} is not supported on resources of kind \"{}\"",
            qualified(group, plural)
        );
        Self::about(405, "MethodNotAllowed", (group, plural, ""), message)
    }

    /// 406.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::plain(406, "NotAcceptable", message)
    }

    /// 410: the revision is gone from the history.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::plain(413, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 429 with `Retry-After`.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self {
            details: Some(json!({"retryAfterSeconds": retry_after_seconds})),
            ..Self::plain(429, "TooManyRequests", message)
        }
    }

    /// 500.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::plain(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// 504: the asked revision is newer than the store's.
    pub fn too_large_revision(asked: u64, current: u64) -> Self {
        Self {
            details: Some(json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            })),
            ..Self::plain(
                504,
                "Timeout",
                format!("Timeout: Too large resource version: {asked}, current: {current}"),
            )
        }
    }

    /// Any other refusal.
    pub fn new(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::plain(code, reason, message)
    }

    /// The same refusal with other details.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Seconds after which a client may try again.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.details.as_ref()?["retryAfterSeconds"].as_u64()
    }

    /// The `Status` object as clients read it.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = token.clone().into();
        }
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata,
            "status": "Failure", "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = (*self.reason).into();
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}

/// `pods`, `deployments.apps`.
fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}
