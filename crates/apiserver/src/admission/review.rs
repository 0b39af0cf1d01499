//! AdmissionReview: what a webhook is asked, and what it may answer.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::admission::{Request, kind_of};
use crate::auth::user_info;
use crate::resource::Resource;
use crate::status::Status;

/// Warnings and annotations of one answer that are kept.
const MAX_EXTRAS: usize = 64;

/// The request as a webhook sees it.
pub(super) struct Shown<'a> {
    /// In which version.
    pub(super) resource: &'a Resource,
    /// Null where there is none.
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
}

/// What a webhook answered.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) is_allowed: bool,
    /// A JSON Patch; empty for none.
    pub(super) patch: Vec<u8>,
    pub(super) patch_type: String,
    /// The Status of a refusal.
    pub(super) result: Value,
    pub(super) warnings: Vec<String>,
    pub(super) audit: BTreeMap<String, String>,
}

/// The question.
pub(super) fn of(request: &Request<'_>, shown: &Shown<'_>, version: &str, uid: &str) -> Value {
    let mut ask = self::request(request, shown.resource);
    ask["uid"] = uid.into();
    ask["object"] = shown.object.clone();
    ask["oldObject"] = shown.old.clone();
    json!({
        "kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": ask,
    })
}

/// What reviews and expressions know of a request beside its objects, in the version of `shown`.
pub(super) fn request(request: &Request<'_>, shown: &Resource) -> Value {
    let kind = |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let resource =
        |r: &Resource| json!({"group": *r.group, "version": *r.version, "resource": *r.plural});
    let mut ask = json!({
        "kind": kind(kind_of(shown, request.subresource)),
        "resource": resource(shown),
        "requestKind": kind(request.kind()),
        "requestResource": resource(request.resource),
        "operation": request.operation.as_str(),
        "userInfo": user_info(request.user),
        "dryRun": request.dry_run,
        "options": request.options,
    });
    // As Kubernetes leaves them out.
    for (field, text) in [
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
        ("name", request.name),
        ("namespace", namespace_of(request)),
    ] {
        if !text.is_empty() {
            ask[field] = text.into();
        }
    }
    ask
}

/// A namespace is in itself, as far as reviews are concerned.
fn namespace_of<'a>(request: &Request<'a>) -> &'a str {
    if &*request.resource.storage == "namespaces" {
        request.name
    } else {
        request.namespace
    }
}

/// The answer.
///
/// # Errors
/// In words, when it is none to this question.
pub(super) fn read(
    answer: &Value,
    version: &str,
    uid: &str,
    is_mutating: bool,
) -> Result<Verdict, String> {
    let response = &answer["response"];
    if !response.is_object() {
        return Err("webhook response was absent".into());
    }
    let text = |field: &str| response[field].as_str().unwrap_or_default();
    let is_v1 = version == "v1";
    if is_v1 {
        if text("uid") != uid {
            return Err(format!(
                "expected response.uid={uid:?}, got {:?}",
                text("uid")
            ));
        }
        let (api_version, kind) = (
            answer["apiVersion"].as_str().unwrap_or_default(),
            answer["kind"].as_str().unwrap_or_default(),
        );
        if (api_version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={kind}"
            ));
        }
    }
    let (has_patch, has_type) = (!text("patch").is_empty(), !response["patchType"].is_null());
    if is_v1 && is_mutating {
        if has_patch && !has_type {
            return Err("webhook returned response.patch but not response.patchType".into());
        }
        if has_type && !has_patch {
            return Err("webhook returned response.patchType but not response.patch".into());
        }
        if has_type && text("patchType").is_empty() {
            return Err("webhook returned invalid response.patchType of \"\"".into());
        }
    }
    if is_v1 && !is_mutating {
        if has_patch {
            return Err("validating webhook may not return response.patch".into());
        }
        if has_type {
            return Err("validating webhook may not return response.patchType".into());
        }
    }
    let patch = if is_mutating {
        STANDARD
            .decode(text("patch"))
            .map_err(|error| format!("response.patch is not base64: {error}"))?
    } else {
        Vec::new()
    };
    let patch_type = if is_v1 {
        text("patchType")
    } else {
        "JSONPatch"
    };
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let audit = response["auditAnnotations"].as_object();
    Ok(Verdict {
        is_allowed: response["allowed"] == true,
        patch,
        patch_type: patch_type.into(),
        result: response["status"].clone(),
        warnings: warnings
            .filter_map(|w| w.as_str().map(str::to_owned))
            .take(MAX_EXTRAS)
            .collect(),
        audit: audit
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .take(MAX_EXTRAS)
            .collect(),
    })
}

/// The refusal of webhook `name`, from what it said.
pub(super) fn denial(name: &str, result: &Value) -> Status {
    let text = |field: &str| result[field].as_str().unwrap_or_default();
    let code = result["code"].as_u64().unwrap_or_default();
    let code = u16::try_from(code)
        .ok()
        .filter(|code| (400..600).contains(code));
    let denied = format!("admission webhook {name:?} denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let mut status = Status::new(code.unwrap_or(400), text("reason").to_owned(), message);
    if result["details"].is_object() {
        status = status.with_details(result["details"].clone());
    }
    status
}
