//! MutatingAdmissionPolicy: expressions that make apply configurations and JSON patches.

use std::sync::Arc;

use cel::Budget;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::definitions::{Mutation, Policies, Policy};
use super::evaluate::{applies, error_type, failed};
use super::{Inputs, is_excluded, params, relevant};
use crate::admission::{Admission, Numbers, Operation, Request, matching};
use crate::auth::Authorizer;
use crate::patch;
use crate::resource::Resource;
use crate::schema;
use crate::status::Status;

const NAME: &str = "MutatingAdmissionPolicy";

/// The plugin.
pub(crate) struct MutatingPolicies {
    policies: Policies,
    authorizer: Arc<Authorizer>,
    numbers: Arc<Numbers>,
}

impl MutatingPolicies {
    pub(crate) fn new(authorizer: Arc<Authorizer>, numbers: Arc<Numbers>) -> Self {
        Self {
            policies: Policies::new(
                "mutatingadmissionpolicies.admissionregistration.k8s.io",
                "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
            ),
            authorizer,
            numbers,
        }
    }

    /// The object after all mutations of a policy; `None` if it is not about the request.
    fn mutate(
        &self,
        policy: &Policy,
        request: &Request<'_>,
        resource: &Resource,
        (object, old): (&Value, &Value),
        params: &Value,
    ) -> Result<Option<Value>, String> {
        let inputs = Inputs::new(&self.authorizer, request, resource, object, old);
        if !applies(policy, &inputs, params, (&self.numbers, request.operation))? {
            return Ok(None);
        }
        let mut current = object.clone();
        for mutation in &policy.mutations {
            let next = {
                let inputs = Inputs::new(&self.authorizer, request, resource, &current, old);
                let activation = inputs.activation(params, &policy.variables);
                let mut budget = Budget::default();
                let (Mutation::Configuration(expression) | Mutation::Patch(expression)) = mutation;
                let made = expression
                    .program
                    .eval(&activation, &mut budget)
                    .map_err(|error| failed(expression, &error))?;
                let made = made.to_json().map_err(|error| failed(expression, &error))?;
                match mutation {
                    Mutation::Configuration(_) => configured(&current, made, resource)?,
                    Mutation::Patch(_) => patched(&current, &made)?,
                }
            };
            current = schema::admitted(resource, request.subresource, next)
                .map_err(|status| status.message)?;
        }
        Ok(Some(current))
    }
}

/// `configuration` laid over the object, as server-side apply does, with the identity that the object has.
fn configured(current: &Value, configuration: Value, resource: &Resource) -> Result<Value, String> {
    let mut configuration = configuration;
    for member in ["apiVersion", "kind"] {
        configuration[member] = current[member].clone();
    }
    patch::lay_over(current, &configuration, &resource.schema)
        .map_err(|why| format!("error applying patch: {why}"))
}

/// The object after a JSON Patch; as it was, if a `test` of the patch fails.
fn patched(current: &Value, operations: &Value) -> Result<Value, String> {
    let operations = operations
        .as_array()
        .into_iter()
        .flatten()
        .map(|operation| {
            let op = operation["op"].as_str().unwrap_or_default();
            let mut made = json!({"op": op, "path": operation["path"]});
            if let Some(from) = operation["from"].as_str().filter(|from| !from.is_empty()) {
                made["from"] = from.into();
            }
            if matches!(op, "add" | "replace" | "test") {
                made["value"] = operation["value"].clone();
            }
            made
        });
    let mut next = current.clone();
    for operation in operations {
        let is_test = operation["op"] == "test";
        let body = json!([operation]).to_string();
        next = match patch::json(&next, body.as_bytes()) {
            Ok(next) => next,
            Err(_) if is_test => return Ok(current.clone()),
            Err(status) => {
                let why = status.details.as_ref();
                let why = why.and_then(|d| d["causes"][0]["message"].as_str());
                return Err(format!("JSON Patch: {}", why.unwrap_or(&status.message)));
            }
        };
    }
    Ok(next)
}

#[async_trait::async_trait]
impl Admission for MutatingPolicies {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn admit(&self, request: &mut Request<'_>, object: &mut Value) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let policies = self.policies.get(request.objects);
        if policies.1.is_empty() || !writes || is_excluded(request) {
            return Ok(());
        }
        request.reinvocation.enter(NAME, object);
        let mut refusals: Vec<String> = vec![];
        // Which policies are about the request is decided before any of them changes it.
        for found in relevant(&policies.1, request, object)? {
            let (policy, own) = (found.policy, request.resource);
            for binding in found.bindings {
                let denied = |why: String| {
                    format!(
                        "policy '{}' with binding '{}' denied request: {why}",
                        policy.name, binding.name
                    )
                };
                let all = match params::collect(policy, binding, request).await {
                    Ok(all) => all,
                    Err(_) if policy.ignores_failures => continue,
                    Err(why) => {
                        refusals.push(denied(why));
                        continue;
                    }
                };
                for params in all {
                    let text = |field: &str| params["metadata"][field].as_str().unwrap_or("");
                    let member = format!(
                        "{}/{}/{}/{}",
                        policy.name,
                        binding.name,
                        text("namespace"),
                        text("name")
                    );
                    if !request.reinvocation.is_due(NAME, &member) {
                        continue;
                    }
                    let shown = matching::converted(request, object, own, &found.resource).await?;
                    let old = request.old.unwrap_or(&Value::Null);
                    let old = matching::converted(request, old, own, &found.resource).await?;
                    let begun = Instant::now();
                    let next =
                        self.mutate(policy, request, &found.resource, (&shown, &old), &params);
                    let error = match &next {
                        Ok(None) => None,
                        Ok(Some(_)) => Some("no_error"),
                        Err(why) => Some(error_type(why)),
                    };
                    if let Some(error) = error {
                        let names = (policy.name.as_str(), binding.name.as_str());
                        self.numbers
                            .mutated(names.0, names.1, error, begun.elapsed());
                    }
                    let has_changed = match next {
                        Ok(Some(next)) if next != shown => {
                            let back = matching::converted(request, &next, &found.resource, own);
                            *object = back.await?;
                            true
                        }
                        Ok(Some(_)) => false,
                        Ok(None) => continue,
                        Err(why) => {
                            if !policy.ignores_failures {
                                refusals.push(denied(why));
                            }
                            false
                        }
                    };
                    request
                        .reinvocation
                        .called(NAME, &member, has_changed, policy.wants_again);
                }
            }
        }
        request.reinvocation.leave(NAME, object);
        refused(request, &refusals)
    }
}

fn refused(request: &Request<'_>, refusals: &[String]) -> Result<(), Status> {
    let Some(first) = refusals.first() else {
        return Ok(());
    };
    let mut status = request.forbidden(first);
    status.message.clone_from(first);
    status.reason = "Invalid".into();
    if let Some(details) = status.details.as_mut() {
        let causes = refusals.iter().map(|message| json!({"message": message}));
        details["causes"] = causes.collect();
    }
    Err(status)
}
