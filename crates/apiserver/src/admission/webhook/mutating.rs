//! MutatingAdmissionWebhook: one after the other, each sees what those before it made of the object.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::configured::{Configured, MUTATING, Webhook};
use super::{BUDGET, Failure, ask, failed_calling, is_wanted, outcome};
use crate::admission::review::{self, Shown, Verdict};
use crate::admission::{Admission, Numbers, Operation, Request, matching};
use crate::audit::PATCH_NOTE;
use crate::auth::Authorizer;
use crate::patch;
use crate::resource::Resource;
use crate::schema;
use crate::status::Status;
use crate::webhook::Caller;

const NAME: &str = "MutatingAdmissionWebhook";

/// The plugin.
pub(crate) struct MutatingWebhooks {
    caller: Arc<Caller>,
    authorizer: Arc<Authorizer>,
    numbers: Arc<Numbers>,
    configured: Configured,
}

impl MutatingWebhooks {
    pub(crate) fn new(
        caller: Arc<Caller>,
        authorizer: Arc<Authorizer>,
        numbers: Arc<Numbers>,
    ) -> Self {
        Self {
            caller,
            authorizer,
            numbers,
            configured: Configured::new(MUTATING),
        }
    }

    /// Asks one webhook and applies its patch; tells whether the object is another one now.
    async fn call(
        &self,
        webhook: &Webhook,
        request: &mut Request<'_>,
        resource: &Resource,
        object: &mut Value,
        (place, deadline): (&str, Instant),
    ) -> Result<bool, Failure> {
        let own = request.resource;
        let shown = matching::converted(request, object, own, resource);
        let shown = shown.await.map_err(Failure::Other)?;
        let old = request.old.unwrap_or(&Value::Null);
        let old = matching::converted(request, old, own, resource);
        let old = old.await.map_err(Failure::Other)?;
        let seen = Shown {
            resource,
            object: &shown,
            old: &old,
        };
        let verdict = ask(&self.caller, webhook, request, &seen, deadline).await?;
        for (key, value) in &verdict.audit {
            request.annotate(format!("{}/{key}", webhook.name), value);
        }
        request.warnings.extend_from_slice(&verdict.warnings);
        if !verdict.is_allowed {
            let denial = review::denial(&webhook.name, &verdict.result);
            return Err(Failure::Denied(denial));
        }
        let Some(patched) = patched(webhook, request, resource, &shown, &verdict)? else {
            return Ok(false);
        };
        let has_changed = patched != shown;
        if has_changed {
            // The log leaves it out of events that are to have no bodies.
            let patch: Value = serde_json::from_slice(&verdict.patch).unwrap_or_default();
            let note = json!({
                "configuration": webhook.configuration, "webhook": webhook.name, "patch": patch,
                "patchType": "JSONPatch",
            });
            request.annotate(format!("{PATCH_NOTE}{place}"), note.to_string());
            let back = matching::converted(request, &patched, resource, own);
            *object = back.await.map_err(Failure::Other)?;
        }
        Ok(has_changed)
    }
}

/// What the webhook's patch makes of the object, in canonical form and with defaults; `None` if there is no patch.
fn patched(
    webhook: &Webhook,
    request: &Request<'_>,
    resource: &Resource,
    shown: &Value,
    verdict: &Verdict,
) -> Result<Option<Value>, Failure> {
    let is_nothing = |patch: &[u8]| {
        serde_json::from_slice::<Vec<Value>>(patch).is_ok_and(|operations| operations.is_empty())
    };
    if verdict.patch.is_empty() || is_nothing(&verdict.patch) {
        return Ok(None);
    }
    if verdict.patch_type != "JSONPatch" {
        let why = format!("unsupported patch type {:?}", verdict.patch_type);
        return Err(Failure::nonsense(why));
    }
    if !shown.is_object() {
        return Err(Failure::Other(Status::internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            webhook.name
        ))));
    }
    let patched = patch::json(shown, &verdict.patch).map_err(|status| {
        let why = status.details.as_ref();
        let why = why.and_then(|d| d["causes"][0]["message"].as_str());
        let why = why.unwrap_or(&status.message);
        // Whose patch it is is said here.
        let why = why.strip_prefix("error decoding patch: ").unwrap_or(why);
        if status.code == 400 {
            Failure::nonsense(format!(
                "received undecodable patch in webhook response: {why}"
            ))
        } else {
            Failure::Other(Status::internal(why))
        }
    })?;
    let mut value = schema::admitted(resource, request.subresource, patched)
        .map_err(|status| Failure::Other(Status::internal(status.message)))?;
    // The identity of an object is not a webhook's to change.
    for member in ["apiVersion", "kind"] {
        if value[member] != shown[member] {
            value[member] = shown[member].clone();
        }
    }
    Ok(Some(value))
}

#[async_trait::async_trait]
impl Admission for MutatingWebhooks {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        let configured = self.configured.get(request.objects);
        if configured.1.is_empty() || matching::is_exempt(request) {
            return Ok(());
        }
        let deadline = Instant::now() + BUDGET;
        request.reinvocation.enter(NAME, object);
        let round = u8::from(request.reinvocation.is_again());
        for (index, webhook) in configured.1.iter().enumerate() {
            let Some(resource) = webhook.matcher.select(request, object)? else {
                continue;
            };
            let judges = (&*self.authorizer, &*self.numbers);
            if !is_wanted(judges, webhook, request, &resource, object).await? {
                continue;
            }
            // Who was not called the first time is not called the second time either.
            if !request.reinvocation.is_due(NAME, &webhook.uid) {
                continue;
            }
            let place = format!("round_{round}_index_{index}");
            let begun = Instant::now();
            let called = self
                .call(webhook, request, &resource, object, (&place, deadline))
                .await;
            let (operation, took) = (request.operation, begun.elapsed());
            let how = outcome(webhook, &called);
            self.numbers
                .called(&webhook.name, true, operation, took, how);
            let has_changed = matches!(called, Ok(true));
            let note = json!({
                "configuration": webhook.configuration, "webhook": webhook.name, "mutated": has_changed,
            });
            request.annotate(
                format!("mutation.webhook.admission.k8s.io/{place}"),
                note.to_string(),
            );
            request
                .reinvocation
                .called(NAME, &webhook.uid, has_changed, webhook.wants_again);
            match called {
                Ok(_) => {}
                Err(Failure::Calling { why, .. }) if webhook.ignores_failures => {
                    tracing::warn!(
                        webhook = webhook.name,
                        why,
                        "a webhook that may fail failed"
                    );
                    request.annotate(
                        format!("failed-open.mutation.webhook.admission.k8s.io/{place}"),
                        &webhook.name,
                    );
                }
                Err(Failure::Calling { why, .. }) => return Err(failed_calling(webhook, &why)),
                Err(Failure::Denied(status) | Failure::Other(status)) => return Err(status),
            }
        }
        if request.operation != Operation::Delete {
            request.reinvocation.leave(NAME, object);
        }
        Ok(())
    }
}
