//! Field selectors: `metadata.name=x,status.phase!=Running`, with the few fields that each kind allows.

use serde_json::Value;

use crate::object::Header;
use crate::resource::Resource;
use crate::status::Status;

/// A condition on fields: all terms hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

/// One condition on a field as it is written, whatever the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    pub field: Box<str>,
    /// Whether the field must differ from the value rather than equal it.
    pub is_negated: bool,
    pub value: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    is_negated: bool,
    value: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    /// The node that a pod is bound to.
    Node,
    /// The first path that leads to a value; else the text that stands for an absent one.
    Paths(Vec<Box<str>>, &'static str),
}

/// `(label, paths, what an absent value reads as)`.
type Known = (&'static str, &'static [&'static str], &'static str);

const PODS: &[Known] = &[
    ("spec.nodeName", &["spec.nodeName"], ""),
    ("spec.host", &["spec.nodeName"], ""),
    ("spec.restartPolicy", &["spec.restartPolicy"], ""),
    ("spec.schedulerName", &["spec.schedulerName"], ""),
    ("spec.serviceAccountName", &["spec.serviceAccountName"], ""),
    ("spec.hostNetwork", &["spec.hostNetwork"], "false"),
    ("status.phase", &["status.phase"], ""),
    ("status.podIP", &["status.podIP"], ""),
    // Allowed, but Kubernetes gives it no value.
    ("status.podIPs", &[], ""),
    (
        "status.nominatedNodeName",
        &["status.nominatedNodeName"],
        "",
    ),
];

const EVENTS: &[Known] = &[
    (
        "involvedObject.kind",
        &["involvedObject.kind", "regarding.kind"],
        "",
    ),
    (
        "involvedObject.namespace",
        &["involvedObject.namespace", "regarding.namespace"],
        "",
    ),
    (
        "involvedObject.name",
        &["involvedObject.name", "regarding.name"],
        "",
    ),
    (
        "involvedObject.uid",
        &["involvedObject.uid", "regarding.uid"],
        "",
    ),
    (
        "involvedObject.apiVersion",
        &["involvedObject.apiVersion", "regarding.apiVersion"],
        "",
    ),
    (
        "involvedObject.resourceVersion",
        &[
            "involvedObject.resourceVersion",
            "regarding.resourceVersion",
        ],
        "",
    ),
    (
        "involvedObject.fieldPath",
        &["involvedObject.fieldPath", "regarding.fieldPath"],
        "",
    ),
    ("reason", &["reason"], ""),
    (
        "reportingComponent",
        &["reportingComponent", "reportingController"],
        "",
    ),
    (
        "reportingController",
        &["reportingComponent", "reportingController"],
        "",
    ),
    (
        "source",
        &[
            "source.component",
            "deprecatedSource.component",
            "reportingComponent",
            "reportingController",
        ],
        "",
    ),
    ("type", &["type"], ""),
];

/// The fields of a kind beside name and namespace; `None` for kinds that have no list of their own.
fn known(resource: &Resource) -> Option<&'static [Known]> {
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => Some(PODS),
        ("" | "events.k8s.io", "events") => Some(EVENTS),
        ("", "nodes") => Some(&[("spec.unschedulable", &["spec.unschedulable"], "false")]),
        ("", "namespaces") => Some(&[("status.phase", &["status.phase"], "")]),
        ("", "secrets") => Some(&[("type", &["type"], "")]),
        ("", "services") => Some(&[
            ("spec.clusterIP", &["spec.clusterIP"], ""),
            ("spec.type", &["spec.type"], ""),
        ]),
        ("", "replicationcontrollers") => Some(&[("status.replicas", &["status.replicas"], "0")]),
        ("batch", "jobs") => Some(&[("status.successful", &["status.succeeded"], "0")]),
        ("certificates.k8s.io", "certificatesigningrequests") => {
            Some(&[("spec.signerName", &["spec.signerName"], "")])
        }
        ("resource.k8s.io", "resourceslices") => Some(&[
            ("spec.nodeName", &["spec.nodeName"], ""),
            ("spec.driver", &["spec.driver"], ""),
        ]),
        _ => None,
    }
}

impl FieldSelector {
    /// Reads the `fieldSelector` query parameter for objects of `resource`.
    ///
    /// # Errors
    /// 400 for bad syntax and for fields that the kind does not allow.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, Status> {
        let requirements = FieldRequirement::parse(text).map_err(Status::bad_request)?;
        let terms = requirements.into_iter().map(|requirement| {
            Ok(Term {
                field: field(&requirement.field, resource)?,
                is_negated: requirement.is_negated,
                value: requirement.value,
            })
        });
        let terms: Result<_, String> = terms.collect();
        Ok(Self {
            terms: terms.map_err(Status::bad_request)?,
        })
    }

    /// Whether every object is selected.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The only node whose pods can be selected, if the selector names one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        let names = |term: &&Term| term.field == Field::Node && !term.is_negated;
        let term = self.terms.iter().find(names)?;
        Some(&*term.value).filter(|node| !node.is_empty())
    }

    /// Whether an object is selected; `value` decodes it and is called at most once, only when needed.
    pub fn matches(&self, header: &Header, value: impl FnOnce() -> Value) -> bool {
        let (by_header, by_value): (Vec<&Term>, Vec<&Term>) = self
            .terms
            .iter()
            .partition(|term| !matches!(term.field, Field::Paths(..)));
        let on_header = by_header.iter().all(|term| {
            let actual = match term.field {
                Field::Name => &*header.name,
                Field::Node => header.node.as_deref().unwrap_or_default(),
                _ => &*header.namespace,
            };
            (*term.value == *actual) != term.is_negated
        });
        if !on_header || by_value.is_empty() {
            return on_header;
        }
        let object = value();
        by_value.iter().all(|term| match &term.field {
            Field::Paths(paths, absent) => {
                let actual = paths.iter().find_map(|path| text_at(&object, path));
                (*term.value == *actual.as_deref().unwrap_or(absent)) != term.is_negated
            }
            Field::Name | Field::Namespace | Field::Node => true,
        })
    }
}

/// The scalar at a dotted path, as text.
fn text_at(object: &Value, path: &str) -> Option<String> {
    let value = path
        .split('.')
        .try_fold(object, |value, field| value.get(field))?;
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Parts between commas that no backslash precedes.
fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut is_escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl FieldRequirement {
    /// Reads a field selector without knowing the kind; all conditions must hold.
    ///
    /// # Errors
    /// Kubernetes' words for what is wrong with the syntax.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let parts = split_unescaped(text).into_iter();
        let parts = parts.filter(|part| !part.is_empty());
        parts.map(|part| Self::parse_one(text, part)).collect()
    }

    /// The only value of `field` that meets all `requirements`, if they say one.
    #[must_use]
    pub fn exact<'r>(requirements: &'r [Self], field: &str) -> Option<&'r str> {
        let mut equal = requirements
            .iter()
            .filter(|requirement| *requirement.field == *field && !requirement.is_negated);
        equal.next().map(|requirement| &*requirement.value)
    }

    fn parse_one(selector: &str, part: &str) -> Result<Self, String> {
        let operator = (0..part.len())
            .filter(|at| part.is_char_boundary(*at))
            .find_map(|at| {
                let rest = &part[at..];
                ["!=", "==", "="]
                    .into_iter()
                    .find(|operator| rest.starts_with(operator))
                    .map(|operator| (&part[..at], operator, &rest[operator.len()..]))
            });
        let Some((label, operator, value)) = operator else {
            return Err(format!(
                "invalid selector: '{selector}'; can't understand '{part}'"
            ));
        };
        Ok(Self {
            field: label.into(),
            is_negated: operator == "!=",
            value: unescaped(value)?.into(),
        })
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                other => {
                    let sequence = other.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{sequence}"
                    ));
                }
            },
            ',' | '=' => {
                // Kubernetes prints the character's number.
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                ));
            }
            c => plain.push(c),
        }
    }
    Ok(plain)
}

fn field(label: &str, resource: &Resource) -> Result<Field, String> {
    let known = known(resource);
    match label {
        "metadata.name" => return Ok(Field::Name),
        // Only custom resources take the scope into account.
        "metadata.namespace" if resource.namespaced || resource.custom.is_none() => {
            return Ok(Field::Namespace);
        }
        _ => {}
    }
    if let Some(custom) = &resource.custom {
        let is_selectable = |path: &&std::sync::Arc<str>| path.trim_start_matches('.') == label;
        return match custom.selectable_fields.iter().find(is_selectable) {
            Some(_) => Ok(Field::Paths(vec![label.into()], "")),
            None => Err(format!("field label not supported: {label}")),
        };
    }
    let Some(known) = known else {
        return Err(format!(
            "{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        ));
    };
    let is_pod = resource.group.is_empty() && &*resource.plural == "pods";
    if is_pod && matches!(label, "spec.nodeName" | "spec.host") {
        return Ok(Field::Node);
    }
    // The events group calls the involved object by another name.
    let renamed = match label.strip_prefix("regarding.") {
        Some(rest) if &*resource.group == "events.k8s.io" => format!("involvedObject.{rest}"),
        _ => label.to_owned(),
    };
    known
        .iter()
        .find(|(name, _, _)| *name == renamed)
        .map(|(_, paths, absent)| {
            Field::Paths(paths.iter().map(|path| (*path).into()).collect(), absent)
        })
        .ok_or_else(|| match &*resource.kind {
            "Job" => format!("field label {label:?} not supported for Job"),
            _ => format!("field label not supported: {label}"),
        })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::{custom_resource, resource};

    /// For each selector: whether it selects `object`, or why it is refused.
    fn check(resource: &Resource, object: &Value, selectors: &[&str], expected: &Expect) {
        let header = Header::of(object, 1);
        let mut text = String::new();
        for selector in selectors {
            let answer = match FieldSelector::parse(selector, resource) {
                Ok(parsed) => parsed.matches(&header, || object.clone()).to_string(),
                Err(status) => format!("{}: {}", status.code, status.message),
            };
            text.push_str(&format!("{selector:?}: {answer}\n"));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn pods_are_selected_by_node_and_phase() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
        });
        check(
            &resource("", "v1", "pods", "Pod"),
            &pod,
            &[
                "",
                "metadata.name=web",
                "metadata.name==web",
                "metadata.name!=web",
                "metadata.namespace=kube-system",
                "spec.nodeName=n1,status.phase!=Pending",
                "spec.host=n1",
                "spec.nodeName=",
                "spec.hostNetwork=false",
                "status.podIPs=10.0.0.1",
                "metadata.name=web,",
                "metadata.name",
                "spec.color=red",
                "metadata.uid=x",
                "metadata.name=a\\,b",
                "metadata.name=a=b",
                "metadata.name=a\\b",
                "metadata.name=a\\",
            ],
            &expect![[r#"
                "": true
                "metadata.name=web": true
                "metadata.name==web": true
                "metadata.name!=web": false
                "metadata.namespace=kube-system": false
                "spec.nodeName=n1,status.phase!=Pending": true
                "spec.host=n1": true
                "spec.nodeName=": false
                "spec.hostNetwork=false": true
                "status.podIPs=10.0.0.1": false
                "metadata.name=web,": true
                "metadata.name": 400: invalid selector: 'metadata.name'; can't understand 'metadata.name'
                "spec.color=red": 400: field label not supported: spec.color
                "metadata.uid=x": 400: field label not supported: metadata.uid
                "metadata.name=a\\,b": false
                "metadata.name=a=b": 400: invalid field selector: unescaped character in value: 61
                "metadata.name=a\\b": 400: invalid field selector: invalid escape sequence: \b
                "metadata.name=a\\": 400: invalid field selector: invalid escape sequence: \
            "#]],
        );
    }

    #[test]
    fn other_kinds_have_their_own_fields() {
        let object =
            json!({"metadata": {"name": "x"}, "type": "Opaque", "status": {"succeeded": 1}});
        let mut text = String::new();
        for (group, plural, kind, selector) in [
            ("", "secrets", "Secret", "type=Opaque"),
            ("", "nodes", "Node", "spec.unschedulable=false"),
            ("", "configmaps", "ConfigMap", "type=Opaque"),
            ("batch", "jobs", "Job", "status.successful=1"),
            ("batch", "jobs", "Job", "status.active=1"),
            ("apps", "deployments", "Deployment", "metadata.namespace="),
            ("apps", "deployments", "Deployment", "spec.replicas=1"),
        ] {
            let answer = match FieldSelector::parse(selector, &resource(group, "v1", plural, kind))
            {
                Ok(parsed) => parsed
                    .matches(&Header::of(&object, 1), || object.clone())
                    .to_string(),
                Err(status) => status.message,
            };
            text.push_str(&format!("{plural} {selector}: {answer}\n"));
        }
        expect![[r#"
            secrets type=Opaque: true
            nodes spec.unschedulable=false: true
            configmaps type=Opaque: "type" is not a known field selector: only "metadata.name", "metadata.namespace"
            jobs status.successful=1: true
            jobs status.active=1: field label "status.active" not supported for Job
            deployments metadata.namespace=: true
            deployments spec.replicas=1: "spec.replicas" is not a known field selector: only "metadata.name", "metadata.namespace"
        "#]].assert_eq(&text);
    }

    #[test]
    fn events_are_found_by_what_they_are_about_in_both_spellings() {
        let event = json!({
            "metadata": {"name": "e", "namespace": "default"}, "reason": "Started", "type": "Normal",
            "involvedObject": {"kind": "Pod", "name": "web"}, "reportingComponent": "kubelet",
        });
        let selectors = [
            "involvedObject.name=web,involvedObject.kind=Pod",
            "regarding.name=web",
            "reportingController=kubelet",
            "source=kubelet",
        ];
        check(
            &resource("", "v1", "events", "Event"),
            &event,
            &selectors,
            &expect![[r#"
                "involvedObject.name=web,involvedObject.kind=Pod": true
                "regarding.name=web": 400: field label not supported: regarding.name
                "reportingController=kubelet": true
                "source=kubelet": true
            "#]],
        );
        check(
            &resource("events.k8s.io", "v1", "events", "Event"),
            &event,
            &selectors,
            &expect![[r#"
                "involvedObject.name=web,involvedObject.kind=Pod": true
                "regarding.name=web": true
                "reportingController=kubelet": true
                "source=kubelet": true
            "#]],
        );
    }

    #[test]
    fn custom_resources_name_their_selectable_fields() {
        let shirt = json!({
            "metadata": {"name": "s"}, "spec": {"color": "blue", "size": 3, "clean": true},
        });
        check(
            &custom_resource(
                "stable.example.com",
                "v1",
                "shirts",
                "Shirt",
                &[".spec.color", ".spec.size", ".spec.clean"],
            ),
            &shirt,
            &[
                "spec.color=blue",
                "spec.size=3",
                "spec.clean!=true",
                "spec.shape=round",
                "metadata.namespace=x",
            ],
            &expect![[r#"
                "spec.color=blue": true
                "spec.size=3": true
                "spec.clean!=true": false
                "spec.shape=round": 400: field label not supported: spec.shape
                "metadata.namespace=x": 400: field label not supported: metadata.namespace
            "#]],
        );
    }

    #[test]
    fn a_single_name_is_known_without_looking() {
        let pods = resource("", "v1", "pods", "Pod");
        let name = |text| {
            let parsed = FieldRequirement::parse(text).expect("valid");
            FieldRequirement::exact(&parsed, "metadata.name").map(str::to_owned)
        };
        assert_eq!(
            name("status.phase=Running,metadata.name==a").as_deref(),
            Some("a")
        );
        assert_eq!(name("metadata.name!=a"), None);
        let header = Header::of(&json!({"metadata": {"name": "b"}}), 1);
        let by_name =
            FieldSelector::parse("metadata.name=a,status.phase=Running", &pods).expect("valid");
        assert!(!by_name.matches(&header, || unreachable!("the header decides")));
    }

    proptest! {
        #[test]
        fn no_selector_panics(text in "[a-c=!,\\\\.]{0,30}|(metadata.name|status.phase)\\PC{0,20}") {
            let pods = resource("", "v1", "pods", "Pod");
            if let Ok(selector) = FieldSelector::parse(&text, &pods) {
                let object = json!({"metadata": {"name": "a"}});
                let _ = selector.matches(&Header::of(&object, 1), || object.clone());
            }
        }
    }
}
