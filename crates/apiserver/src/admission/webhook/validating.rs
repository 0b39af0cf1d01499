//! ValidatingAdmissionWebhook: all at once, on the object as it would be stored.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::configured::{Configured, VALIDATING, Webhook};
use super::{BUDGET, Failure, ask, failed_calling, is_wanted, outcome};
use crate::admission::review::{self, Shown, Verdict};
use crate::admission::{Admission, Numbers, Request, matching};
use crate::auth::Authorizer;
use crate::resource::Resource;
use crate::status::Status;
use crate::webhook::Caller;

/// The plugin.
pub(crate) struct ValidatingWebhooks {
    caller: Arc<Caller>,
    authorizer: Arc<Authorizer>,
    numbers: Arc<Numbers>,
    configured: Configured,
}

impl ValidatingWebhooks {
    pub(crate) fn new(
        caller: Arc<Caller>,
        authorizer: Arc<Authorizer>,
        numbers: Arc<Numbers>,
    ) -> Self {
        Self {
            caller,
            authorizer,
            numbers,
            configured: Configured::new(VALIDATING),
        }
    }

    async fn call(
        &self,
        webhook: &Webhook,
        request: &Request<'_>,
        resource: &Resource,
        object: &Value,
        deadline: Instant,
    ) -> Result<Verdict, Failure> {
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
        ask(&self.caller, webhook, request, &seen, deadline).await
    }
}

#[async_trait::async_trait]
impl Admission for ValidatingWebhooks {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let configured = self.configured.get(request.objects);
        if configured.1.is_empty() || matching::is_exempt(request) {
            return Ok(());
        }
        let judges = (&*self.authorizer, &*self.numbers);
        let mut relevant: Vec<(&Webhook, Arc<Resource>)> = vec![];
        for webhook in &configured.1 {
            if let Some(resource) = webhook.matcher.select(request, object)?
                && is_wanted(judges, webhook, request, &resource, object).await?
            {
                relevant.push((webhook, resource));
            }
        }
        let deadline = Instant::now() + BUDGET;
        let asked = &*request;
        let calls = relevant.iter().map(async |(webhook, resource)| {
            let begun = Instant::now();
            let answer = self.call(webhook, asked, resource, object, deadline).await;
            (answer, begun.elapsed())
        });
        let answers = join_all(calls).await;
        let mut refusal = None;
        for (index, ((answer, took), (webhook, _))) in
            answers.into_iter().zip(&relevant).enumerate()
        {
            let answer = answer.and_then(|verdict| heed(request, webhook, verdict));
            let how = outcome(webhook, &answer);
            self.numbers
                .called(&webhook.name, false, request.operation, took, how);
            let status = match answer {
                Ok(()) => continue,
                Err(Failure::Calling { why, .. }) if webhook.ignores_failures => {
                    tracing::warn!(
                        webhook = webhook.name,
                        why,
                        "a webhook that may fail failed"
                    );
                    request.annotate(
                        format!(
                            "failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
                        ),
                        &webhook.name,
                    );
                    continue;
                }
                Err(Failure::Calling { why, .. }) => failed_calling(webhook, &why),
                Err(Failure::Denied(status) | Failure::Other(status)) => status,
            };
            refusal.get_or_insert(status);
        }
        refusal.map_or(Ok(()), Err)
    }
}

/// Passes on what a webhook says beside its verdict.
fn heed(request: &mut Request<'_>, webhook: &Webhook, verdict: Verdict) -> Result<(), Failure> {
    for (key, value) in verdict.audit {
        request.annotate(format!("{}/{key}", webhook.name), value);
    }
    request.warnings.extend(verdict.warnings);
    if verdict.is_allowed {
        return Ok(());
    }
    let denial = review::denial(&webhook.name, &verdict.result);
    Err(Failure::Denied(denial))
}
