//! ValidatingAdmissionPolicy: expressions judge the object as it would be stored.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::definitions::{Binding, Policies, Policy};
use super::evaluate::{Judgement, error_type, judge};
use super::{Inputs, is_excluded, params, relevant};
use crate::admission::{Admission, Numbers, Request, matching};
use crate::auth::Authorizer;
use crate::status::Status;

/// The plugin.
pub(crate) struct ValidatingPolicies {
    policies: Policies,
    authorizer: Arc<Authorizer>,
    numbers: Arc<Numbers>,
}

impl ValidatingPolicies {
    pub(crate) fn new(authorizer: Arc<Authorizer>, numbers: Arc<Numbers>) -> Self {
        Self {
            policies: Policies::new(
                "validatingadmissionpolicies.admissionregistration.k8s.io",
                "validatingadmissionpolicybindings.admissionregistration.k8s.io",
            ),
            authorizer,
            numbers,
        }
    }

    /// Does what the binding wants done about refusals.
    fn heed(
        &self,
        request: &mut Request<'_>,
        policy: &Policy,
        binding: &Binding,
        judgement: Judgement,
        denial: &mut Option<Denial>,
    ) {
        let count = |message: &str, action: &str, took: Duration| {
            let error = error_type(message);
            self.numbers
                .checked(&policy.name, &binding.name, error, action, took);
        };
        for (why, took) in &judgement.forgiven {
            count(why, "allow", *took);
        }
        for refusal in judgement.refusals {
            for action in &binding.actions {
                match &**action {
                    "Deny" => {
                        count(&refusal.message, "deny", refusal.took);
                        let message = refusal.message.clone();
                        deny(denial, policy, binding, message, &refusal.reason);
                    }
                    "Warn" => {
                        count(&refusal.message, "warn", refusal.took);
                        request.warnings.push(format!(
                            "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                            policy.name, binding.name, refusal.message
                        ));
                    }
                    _ => {
                        count(&refusal.message, "audit", refusal.took);
                        let failure = json!([{
                            "message": refusal.message, "policy": policy.name, "binding": binding.name,
                            "expressionIndex": refusal.index, "validationActions": binding.actions,
                        }]);
                        let key = "validation.policy.admission.k8s.io/validation_failure";
                        request.annotate(key, failure.to_string());
                    }
                }
            }
        }
        for (failure, took) in judgement.audit_failures {
            count(&failure, "deny", took);
            deny(denial, policy, binding, failure, "Invalid");
        }
        for (key, value) in judgement.audit {
            // Several bindings may say something under one key.
            let said = (request.audit)
                .entry(format!("{}/{key}", policy.name))
                .or_default();
            if said.is_empty() {
                *said = value;
            } else if !said.split(", ").any(|part| part == value) {
                *said = format!("{said}, {value}");
            }
        }
    }
}

/// The first refusal of a request.
struct Denial {
    message: String,
    reason: String,
}

#[async_trait::async_trait]
impl Admission for ValidatingPolicies {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let policies = self.policies.get(request.objects);
        if policies.1.is_empty() || is_excluded(request) {
            return Ok(());
        }
        let mut denial = None;
        for found in relevant(&policies.1, request, object)? {
            let own = request.resource;
            let shown = matching::converted(request, object, own, &found.resource).await?;
            let old = request.old.unwrap_or(&Value::Null);
            let old = matching::converted(request, old, own, &found.resource).await?;
            for binding in found.bindings {
                let policy = found.policy;
                let all = match params::collect(policy, binding, request).await {
                    Ok(all) => all,
                    Err(_) if policy.ignores_failures => continue,
                    Err(why) => {
                        deny(&mut denial, policy, binding, why, "Invalid");
                        continue;
                    }
                };
                let judgements: Vec<Judgement> = {
                    let inputs =
                        Inputs::new(&self.authorizer, request, &found.resource, &shown, &old);
                    let counting = (&*self.numbers, request.operation);
                    let judged =
                        (all.iter()).map(|params| judge(policy, &inputs, params, counting));
                    judged.collect()
                };
                for judgement in judgements {
                    self.heed(request, policy, binding, judgement, &mut denial);
                }
            }
        }
        match denial {
            None => Ok(()),
            Some(denial) => Err(refusal(request, denial)),
        }
    }
}

fn deny(
    denial: &mut Option<Denial>,
    policy: &Policy,
    binding: &Binding,
    why: String,
    reason: &str,
) {
    denial.get_or_insert_with(|| Denial {
        message: format!(
            "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {why}",
            policy.name, binding.name
        ),
        reason: reason.into(),
    });
}

fn refusal(request: &Request<'_>, denial: Denial) -> Status {
    let mut status = request.forbidden(&denial.message);
    status.code = match &*denial.reason {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    status.reason = denial.reason.into();
    if let Some(details) = status.details.as_mut() {
        details["causes"] = json!([{"message": denial.message}]);
    }
    status
}
