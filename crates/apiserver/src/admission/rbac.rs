//! Nobody writes a role or a binding that gives more than the writer has, unless they have the verb for it.

use std::sync::Arc;

use serde_json::Value;

use super::{Admission, Operation, Request, edit};
use crate::auth::rbac::{Rule, escalation};
use crate::auth::{Attributes, Authorizer, MASTERS};
use crate::status::Status;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) struct Escalation(pub(super) Arc<Authorizer>);

#[async_trait::async_trait]
impl Admission for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    async fn admit(&self, _: &mut Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, request: &mut Request<'_>, object: &Value) -> Result<(), Status> {
        let is_write = matches!(request.operation, Operation::Create | Operation::Update);
        if !is_write || *request.resource.group != *GROUP || !request.subresource.is_empty() {
            return Ok(());
        }
        let is_collection = |old| is_only_for_collection(old, object);
        if request.user.is_in(MASTERS) || request.old.is_some_and(is_collection) {
            return Ok(());
        }
        match &*request.resource.plural {
            "roles" | "clusterroles" => self.role(request, object),
            "rolebindings" | "clusterrolebindings" => self.binding(request, object),
            _ => Ok(()),
        }
    }
}

impl Escalation {
    fn role(&self, request: &Request<'_>, role: &Value) -> Result<(), Status> {
        let plural = &request.resource.plural;
        if self.may(request, "escalate", plural, named_in_path(request)) {
            return Ok(());
        }
        self.confirm(request, &Rule::list_of(role))?;
        // The rules of an aggregated role will be whatever others write, so only who has everything may make one.
        let is_aggregated = |role: &Value| {
            let selectors = &role["aggregationRule"];
            edit::items(selectors, "clusterRoleSelectors")
                .next()
                .is_some()
        };
        if !is_aggregated(role) && !request.old.is_some_and(is_aggregated) {
            return Ok(());
        }
        self.confirm(request, &everything()).map_err(|_| {
            request.forbidden("must have cluster-admin privileges to use the aggregationRule")
        })
    }

    fn binding(&self, request: &Request<'_>, binding: &Value) -> Result<(), Status> {
        let role = edit::text(&binding["roleRef"], "name");
        let (plural, namespace) = match edit::text(&binding["roleRef"], "kind") {
            "Role" => ("roles", request.namespace),
            _ => ("clusterroles", ""),
        };
        if self.may(request, "bind", plural, role) {
            return Ok(());
        }
        let role = request
            .objects
            .get(&format!("{plural}.{GROUP}"), namespace, role)
            .ok_or_else(|| Status::not_found(GROUP, plural, role))?;
        self.confirm(request, &Rule::list_of(&role.value()))
    }

    fn may(&self, request: &Request<'_>, verb: &str, plural: &str, name: &str) -> bool {
        let attributes = Attributes {
            verb: verb.into(),
            group: GROUP.into(),
            version: "v1".into(),
            resource: plural.into(),
            namespace: request.namespace.into(),
            name: name.into(),
            ..Attributes::default()
        };
        self.0
            .authorize(request.objects, request.user, &attributes)
            .allowed
    }

    fn confirm(&self, request: &Request<'_>, wanted: &[Rule]) -> Result<(), Status> {
        let held = self
            .0
            .rules_for(request.objects, request.user, request.namespace);
        escalation(request.user, &held.rules, wanted, &held.unresolved)
            .map_or(Ok(()), |why| Err(request.forbidden(&why)))
    }
}

/// The name in the path of the request: whoever posts a new object has not named one there.
fn named_in_path<'a>(request: &Request<'a>) -> &'a str {
    let is_posted = matches!(edit::text(request.options, "kind"), "" | "CreateOptions");
    if request.operation == Operation::Create && is_posted {
        ""
    } else {
        request.name
    }
}

/// Whether a write changes no more than what the garbage collector needs to change.
fn is_only_for_collection(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        let metadata = object.get_mut("metadata");
        if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
            for field in ["finalizers", "ownerReferences", "managedFields"] {
                metadata.remove(field);
            }
        }
        object
    };
    rest(old) == rest(new)
}

fn everything() -> Vec<Rule> {
    let star = || vec![Box::from("*")];
    vec![
        Rule {
            verbs: star(),
            api_groups: star(),
            resources: star(),
            ..Rule::default()
        },
        Rule {
            verbs: star(),
            urls: star(),
            ..Rule::default()
        },
    ]
}
