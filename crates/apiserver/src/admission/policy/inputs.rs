//! What expressions see of a request.

use std::sync::Arc;

use cel::{Activation, CheckOf, Program, ResourceCheck, Subject, Value as Cel};
use serde_json::Value;

use super::expressions::{NAMESPACE, REQUEST};
use crate::admission::{Request, review};
use crate::auth::{Attributes, Authorizer, Objects, Selectors, User};
use crate::resource::Resource;

/// The variables of expressions, but for params.
pub(in crate::admission) struct Inputs<'a> {
    /// Null where there is none, as are the others.
    pub(super) object: &'a Value,
    old: &'a Value,
    request: Value,
    namespace: Value,
    asks: Asks<'a>,
    resource: &'a Resource,
    subresource: &'a str,
    place: (&'a str, &'a str),
}

impl<'a> Inputs<'a> {
    /// `object` and `old` are as `resource` shows them.
    pub(in crate::admission) fn new(
        authorizer: &'a Authorizer,
        request: &'a Request<'_>,
        resource: &'a Resource,
        object: &'a Value,
        old: &'a Value,
    ) -> Self {
        let namespace = match request.namespace {
            "" => Value::Null,
            name => (request.objects.get("namespaces", "", name))
                .map(|namespace| namespace.value())
                .unwrap_or_default(),
        };
        Self {
            object,
            old,
            request: review::request(request, resource),
            namespace,
            asks: Asks {
                authorizer,
                objects: request.objects,
                user: request.user,
            },
            resource,
            subresource: request.subresource,
            place: (request.namespace, request.name),
        }
    }

    /// The variables, with `params` and the variables of a policy.
    pub(super) fn activation<'s>(
        &'s self,
        params: &'s Value,
        variables: &[(String, Arc<Program>)],
    ) -> Activation<'s> {
        let typed = |json: &'s Value, ty| Cel::typed(json, ty).unwrap_or(Cel::Null);
        let subject = Subject::requester(&self.asks);
        let check = ResourceCheck::new(
            subject.clone(),
            &self.resource.group,
            &self.resource.plural,
        )
        .with(self.subresource, self.place.0, self.place.1);
        Activation::new()
            .with("object", Cel::json(self.object))
            .with("oldObject", Cel::json(self.old))
            .with("request", typed(&self.request, &REQUEST))
            .with("namespaceObject", typed(&self.namespace, &NAMESPACE))
            .with("params", Cel::json(params))
            .with("authorizer", Cel::Authorizer(subject))
            .with(
                "authorizer.requestResource",
                Cel::ResourceCheck(Arc::new(check)),
            )
            .with_lazy("variables", variables.iter().cloned())
    }
}

/// Answers `authorizer` by the cluster's own rules.
struct Asks<'a> {
    authorizer: &'a Authorizer,
    objects: &'a dyn Objects,
    user: &'a User,
}

impl cel::Authorizer for Asks<'_> {
    fn check(&self, check: &cel::Check<'_>) -> cel::Decision {
        let account = check
            .service_account
            .map(|(namespace, name)| User::service_account(namespace, name, ""));
        let mut attributes = Attributes {
            verb: check.verb.into(),
            ..Attributes::default()
        };
        match check.of {
            CheckOf::Path(path) => attributes.path = path.into(),
            CheckOf::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
                field_selector,
                label_selector,
            } => {
                attributes.group = group.into();
                attributes.version = "*".into();
                attributes.resource = resource.into();
                attributes.subresource = subresource.into();
                attributes.namespace = namespace.into();
                attributes.name = name.into();
                attributes.selectors = Selectors::parse(field_selector, label_selector);
            }
        }
        let user = account.as_ref().unwrap_or(self.user);
        let decision = self.authorizer.authorize(self.objects, user, &attributes);
        cel::Decision {
            is_allowed: decision.allowed,
            reason: decision.reason,
            error: None,
        }
    }
}
