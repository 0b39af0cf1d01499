//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: expressions that judge and change what is written, and the match
//! conditions that webhooks share with them.
//!
//! Policies and bindings are compiled when one of them has changed, and kept until the next change.

mod definitions;
mod evaluate;
pub(crate) mod expressions;
mod inputs;
mod mutating;
mod params;
pub(crate) mod typecheck;
mod validating;

pub(super) use evaluate::Conditions;
pub(super) use inputs::Inputs;
pub(crate) use mutating::MutatingPolicies;
pub(crate) use validating::ValidatingPolicies;

use std::sync::Arc;

use serde_json::Value;

use super::{Request, matching};
use crate::resource::Resource;
use crate::status::Status;
use definitions::{Binding, Policy};

/// Groups whose kinds are questions to the server itself; no policy is about them.
const QUESTIONS: &[&str] = &["authentication.k8s.io", "authorization.k8s.io"];

fn is_excluded(request: &Request<'_>) -> bool {
    let is_question = QUESTIONS.contains(&&*request.resource.group);
    is_question || matching::is_exempt(request)
}

/// One policy that is about a request, with the bindings that are, and the version that it wants to see.
struct Relevant<'p> {
    policy: &'p Policy,
    resource: Arc<Resource>,
    bindings: Vec<&'p Binding>,
}

/// The policies with bindings that are about the request.
fn relevant<'p>(
    policies: &'p [Policy],
    request: &Request<'_>,
    object: &Value,
) -> Result<Vec<Relevant<'p>>, Status> {
    let mut found = vec![];
    for policy in policies.iter().filter(|policy| !policy.bindings.is_empty()) {
        let Some(resource) = policy.matcher.select(request, object)? else {
            continue;
        };
        let mut bindings = vec![];
        for binding in &policy.bindings {
            let is_meant = match &binding.matcher {
                Some(matcher) => matcher.select_or_any(request, object)?,
                None => true,
            };
            if is_meant {
                bindings.push(binding);
            }
        }
        if !bindings.is_empty() {
            found.push(Relevant {
                policy,
                resource,
                bindings,
            });
        }
    }
    Ok(found)
}
