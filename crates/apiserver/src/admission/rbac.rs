//! Nobody writes a role or a binding that gives more than the writer has, unless they have the verb for it.

use std::sync::Arc;

use serde_json::Value;

use super::{Admission, Operation, Request, edit};
use crate::auth::rbac::{Rule, escalation};
use crate::auth::{Attributes, Authorizer, MASTERS};
use crate::status::{Cause, Status};

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
        match &*request.resource.plural {
            "roles" | "clusterroles" => self.role(request, object),
            "rolebindings" | "clusterrolebindings" => self.binding(request, object),
            _ => Ok(()),
        }
    }
}

impl Escalation {
    fn role(&self, request: &Request<'_>, role: &Value) -> Result<(), Status> {
        let is_same = request.old.is_some_and(|old| {
            Rule::list_of(old) == Rule::list_of(role)
                && old["aggregationRule"] == role["aggregationRule"]
        });
        let plural = &request.resource.plural;
        if is_same || self.may(request, "escalate", plural, name(request, role)) {
            return Ok(());
        }
        // The rules of an aggregated role will be whatever others write, so only who has everything may make one.
        let wanted = if role["aggregationRule"].is_object() {
            everything()
        } else {
            Rule::list_of(role)
        };
        self.confirm(request, &wanted)
    }

    fn binding(&self, request: &Request<'_>, binding: &Value) -> Result<(), Status> {
        if let Some(old) = request.old {
            if !is_same_role(&old["roleRef"], &binding["roleRef"]) {
                return Err(role_is_fixed(request, binding));
            }
            if old["subjects"] == binding["subjects"] {
                return Ok(());
            }
        }
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
        if request.user.is_in(MASTERS) {
            return true;
        }
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

fn name<'a>(request: &Request<'a>, object: &'a Value) -> &'a str {
    if request.name.is_empty() {
        edit::text(&object["metadata"], "name")
    } else {
        request.name
    }
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

fn is_same_role(old: &Value, new: &Value) -> bool {
    ["kind", "name"]
        .iter()
        .all(|field| edit::text(old, field) == edit::text(new, field))
}

fn role_is_fixed(request: &Request<'_>, binding: &Value) -> Status {
    let cause = Cause::invalid("roleRef", &binding["roleRef"], "cannot change roleRef");
    Status::invalid(
        GROUP,
        &request.resource.kind,
        name(request, binding),
        vec![cause],
    )
}
