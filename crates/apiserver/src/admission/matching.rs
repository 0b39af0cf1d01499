//! Which requests webhooks and policies are about: rules, and selectors on namespaces and objects.

use std::sync::Arc;

use serde_json::Value;

use super::{Operation, Request, kind_of};
use crate::resource::Resource;
use crate::select::LabelSelector;
use crate::status::Status;

/// The group whose kinds steer admission. Nobody is asked about them: a webhook that fails could not be removed.
const EXEMPT_GROUP: &str = "admissionregistration.k8s.io";
const EXEMPT: &[&str] = &[
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// Whether nobody outside is asked about this request.
pub(super) fn is_exempt(request: &Request<'_>) -> bool {
    let (group, _, kind) = request.kind();
    group == EXEMPT_GROUP && EXEMPT.contains(&kind)
}

/// `rules[]`: operations on resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    operations: Vec<Box<str>>,
    groups: Vec<Box<str>>,
    versions: Vec<Box<str>>,
    /// `pods`, `pods/status`, `pods/*`, `*`, `*/scale`, `*/*`.
    resources: Vec<(Box<str>, Box<str>)>,
    scope: Box<str>,
    /// Policies only; empty for any name.
    names: Vec<Box<str>>,
}

impl Rule {
    /// Reads a decoded rule, of webhooks or of policies.
    pub(super) fn of(rule: &Value) -> Self {
        let split = |text: Box<str>| match text.split_once('/') {
            Some((resource, subresource)) => (resource.into(), subresource.into()),
            None => (text, "".into()),
        };
        Self {
            operations: texts(&rule["operations"]),
            groups: texts(&rule["apiGroups"]),
            versions: texts(&rule["apiVersions"]),
            resources: texts(&rule["resources"]).into_iter().map(split).collect(),
            scope: rule["scope"].as_str().unwrap_or("*").into(),
            names: texts(&rule["resourceNames"]),
        }
    }

    /// Whether the rule is about the request, seen as one to `resource`.
    fn matches(&self, request: &Request<'_>, resource: &Resource) -> bool {
        let has = |list: &[Box<str>], wanted: &str| {
            list.iter().any(|item| &**item == "*" || &**item == wanted)
        };
        has(&self.operations, request.operation.as_str())
            && has(&self.groups, &resource.group)
            && has(&self.versions, &resource.version)
            && self.resources.iter().any(|(plural, subresource)| {
                (&**plural == "*" || **plural == *resource.plural)
                    && (&**subresource == "*" || &**subresource == request.subresource)
            })
            && match &*self.scope {
                "Namespaced" => !request.namespace.is_empty(),
                "Cluster" => request.namespace.is_empty(),
                _ => true,
            }
            && (self.names.is_empty() || self.names.iter().any(|name| &**name == request.name))
    }
}

/// The texts of a list.
pub(super) fn texts(list: &Value) -> Vec<Box<str>> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(Into::into).collect()
}

/// Which requests somebody wants to see.
#[derive(Debug)]
pub(super) struct Matcher {
    pub(super) rules: Vec<Rule>,
    /// What is never seen (policies).
    pub(super) excluded: Vec<Rule>,
    /// `matchPolicy: Equivalent`: rules are also about other versions of the resource they name.
    pub(super) is_equivalent: bool,
    pub(super) namespaces: LabelSelector,
    pub(super) objects: LabelSelector,
}

/// A selector that was validated; one that cannot be read selects nothing.
pub(super) fn selector(selector: &Value) -> LabelSelector {
    if selector.is_null() {
        return LabelSelector::default();
    }
    LabelSelector::of(selector).unwrap_or_else(|_| {
        // `null` selects nothing, and is always readable.
        LabelSelector::of(&Value::Null).unwrap_or_default()
    })
}

impl Matcher {
    /// Reads the fields that webhooks and `MatchResources` have in common; the names of the lists of rules differ.
    pub(super) fn of(value: &Value, rules: &str) -> Self {
        let list = |name: &str| {
            let rules = value[name].as_array().into_iter().flatten();
            rules.map(Rule::of).collect()
        };
        Self {
            rules: list(rules),
            excluded: list("excludeResourceRules"),
            is_equivalent: value["matchPolicy"] != "Exact",
            namespaces: selector(&value["namespaceSelector"]),
            objects: selector(&value["objectSelector"]),
        }
    }

    /// The resource whose version the request is to be shown in; `None` if it is not to be shown at all.
    ///
    /// # Errors
    /// 404 when the namespace of the request is not there to be looked at.
    pub(super) fn select(
        &self,
        request: &Request<'_>,
        object: &Value,
    ) -> Result<Option<Arc<Resource>>, Status> {
        if !self.selects_object(request, object) {
            return Ok(None);
        }
        let found = self.first(&self.rules, request);
        if found.is_none() || self.first(&self.excluded, request).is_some() {
            return Ok(None);
        }
        Ok(if self.selects_namespace(request, object)? {
            found
        } else {
            None
        })
    }

    /// As [`Matcher::select`], for bindings: no rules at all are about everything.
    ///
    /// # Errors
    /// As [`Matcher::select`].
    pub(super) fn select_or_any(
        &self,
        request: &Request<'_>,
        object: &Value,
    ) -> Result<bool, Status> {
        if !self.rules.is_empty() {
            return Ok(self.select(request, object)?.is_some());
        }
        Ok(self.selects_object(request, object)
            && self.first(&self.excluded, request).is_none()
            && self.selects_namespace(request, object)?)
    }

    fn first(&self, rules: &[Rule], request: &Request<'_>) -> Option<Arc<Resource>> {
        if rules
            .iter()
            .any(|rule| rule.matches(request, request.resource))
        {
            return Some(Arc::new(request.resource.clone()));
        }
        if !self.is_equivalent || rules.is_empty() {
            return None;
        }
        let others = request.kinds.equivalents(request.resource);
        let is_other = |other: &&Arc<Resource>| {
            (&other.group, &other.version) != (&request.resource.group, &request.resource.version)
                && (request.subresource.is_empty()
                    || other.subresource(request.subresource).is_some())
        };
        rules.iter().find_map(|rule| {
            let mut others = others.iter().filter(is_other);
            others.find(|other| rule.matches(request, other)).cloned()
        })
    }

    fn selects_object(&self, request: &Request<'_>, object: &Value) -> bool {
        let selects = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            object["metadata"].is_object()
                && (self.objects).matches_labels(|label| labels[label].as_str())
        };
        self.objects.is_everything() || selects(object) || request.old.is_some_and(selects)
    }

    fn selects_namespace(&self, request: &Request<'_>, object: &Value) -> Result<bool, Status> {
        if self.namespaces.is_everything() {
            return Ok(true);
        }
        let is_itself = &*request.resource.storage == "namespaces";
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if is_itself && request.subresource.is_empty() && writes {
            let labels = &object["metadata"]["labels"];
            return Ok((self.namespaces).matches_labels(|label| labels[label].as_str()));
        }
        let name = match (is_itself, request.namespace) {
            (true, _) => request.name,
            (false, "") => return Ok(true),
            (false, namespace) => namespace,
        };
        let namespace = request
            .objects
            .get("namespaces", "", name)
            .ok_or_else(|| Status::not_found("", "namespaces", name))?;
        Ok(self.namespaces.matches(&namespace.header))
    }
}

/// The object of a request as `to` shows it. Bodies of subresources of another kind are the same in every version.
pub(super) async fn converted(
    request: &Request<'_>,
    object: &Value,
    from: &Resource,
    to: &Resource,
) -> Result<Value, Status> {
    let (group, version, kind) = kind_of(to, request.subresource);
    let is_same_form = (&from.group, &from.version) == (&to.group, &to.version);
    let is_own = (group, version, kind) == (&*to.group, &*to.version, &*to.kind);
    if object.is_null() || is_same_form || !is_own {
        return Ok(object.clone());
    }
    request.kinds.convert(object.clone(), from, to).await
}
