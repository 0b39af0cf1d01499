//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: programs outside of the server that change and judge what is
//! written.
//!
//! Configurations are read when one of them has changed, and kept compiled until the next change, so that an edit (of a
//! certificate bundle, say) counts for the next request.

mod configured;
mod mutating;
mod validating;

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

pub(crate) use mutating::MutatingWebhooks;
pub(crate) use validating::ValidatingWebhooks;

use super::numbers::{Called, Matching};
use super::policy::Inputs;
use super::{Numbers, Request, matching, review};
use crate::auth::Authorizer;
use crate::resource::Resource;
use crate::status::Status;
use crate::webhook::{CallError, Caller};
use configured::Webhook;
use review::Verdict;

/// What all webhooks of one kind may take for one request.
const BUDGET: Duration = Duration::from_secs(34);

/// How a call ended that did not let the request pass.
enum Failure {
    /// The webhook could not be asked, or talked nonsense: its failure policy decides.
    Calling {
        why: String,
        /// Of its answer, or of what stands for one.
        code: u16,
    },
    /// The webhook said no.
    Denied(Status),
    /// The request cannot be shown to the webhook.
    Other(Status),
}

impl Failure {
    /// The webhook answered with what is no answer.
    fn nonsense(why: String) -> Self {
        Self::Calling { why, code: 503 }
    }
}

/// What the numbers say of a call.
fn outcome<'f, T>(webhook: &Webhook, result: &'f Result<T, Failure>) -> Called<'f> {
    match result {
        Ok(_) => Called::Allowed,
        Err(Failure::Calling { code, .. }) if webhook.ignores_failures => {
            Called::FailedOpen { code: *code }
        }
        Err(Failure::Calling { code, .. }) => Called::Failed { code: *code },
        Err(Failure::Denied(status)) => Called::Denied(status),
        Err(Failure::Other(_)) => Called::Internal,
    }
}

/// Whether the match conditions of a webhook hold; when that cannot be known, its failure policy decides.
async fn is_wanted(
    (authorizer, numbers): (&Authorizer, &Numbers),
    webhook: &Webhook,
    request: &Request<'_>,
    resource: &Resource,
    object: &Value,
) -> Result<bool, Status> {
    if webhook.conditions.is_empty() {
        return Ok(true);
    }
    let own = request.resource;
    let shown = matching::converted(request, object, own, resource).await?;
    let old = request.old.unwrap_or(&Value::Null);
    let old = matching::converted(request, old, own, resource).await?;
    let inputs = Inputs::new(authorizer, request, resource, &shown, &old);
    let begun = Instant::now();
    let holds = webhook.conditions.hold(&inputs, &Value::Null);
    let known = holds.as_ref().ok().copied();
    let matching = if webhook.is_mutating {
        Matching::MutatingWebhook
    } else {
        Matching::ValidatingWebhook
    };
    let (name, operation) = (webhook.name.as_str(), request.operation);
    numbers.matched(name, matching, operation, begun.elapsed(), known);
    match holds {
        Ok(holds) => Ok(holds),
        Err(_) if webhook.ignores_failures => Ok(false),
        Err(why) => Err(request.forbidden(&why)),
    }
}

/// Asks one webhook about `object`, which with `old` is as the webhook wants to see it.
async fn ask(
    caller: &Caller,
    webhook: &Webhook,
    request: &Request<'_>,
    shown: &review::Shown<'_>,
    deadline: Instant,
) -> Result<Verdict, Failure> {
    if request.dry_run && !webhook.is_fit_for_dry_run {
        return Err(Failure::Other(Status::bad_request(format!(
            "admission webhook {:?} does not support dry run",
            webhook.name
        ))));
    }
    let Some(version) = webhook.review_version else {
        let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        return Err(Failure::Calling {
            why: why.into(),
            code: 400,
        });
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::Other(out_of_time()));
    }
    let uid = uuid::Uuid::new_v4().to_string();
    let review = review::of(request, shown, version, &uid);
    let timeout = webhook.timeout.min(left);
    let answer = caller
        .call(request.objects, &webhook.client, review, timeout)
        .await
        .map_err(|CallError { why, code }| Failure::Calling {
            why: format!("failed to call webhook: {why}"),
            code,
        })?;
    review::read(&answer, version, &uid, webhook.is_mutating)
        .map_err(|why| Failure::nonsense(format!("received invalid webhook response: {why}")))
}

fn out_of_time() -> Status {
    Status::new(
        504,
        "Timeout",
        "Timeout: request did not complete within requested timeout - context deadline exceeded",
    )
}

/// 500 for a webhook that had to be asked and could not.
fn failed_calling(webhook: &Webhook, why: &str) -> Status {
    Status::internal(format!("failed calling webhook {:?}: {why}", webhook.name)).with_details(
        serde_json::json!({"causes": [{"message": format!("failed calling webhook {:?}: {why}", webhook.name)}]}),
    )
}
