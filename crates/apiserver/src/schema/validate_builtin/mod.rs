//! What the built-in kinds ask beyond their types, for the kinds that charts and people get wrong most. Texts are Kubernetes'.

mod access;
mod admission;
mod cluster;
mod config;
mod event;
mod flowcontrol;
mod job;
mod pod;
mod policies;
mod quota;
mod service;
mod storage;
mod workload;

use cel::Quantity;
use serde_json::Value;

use super::meta;
use super::{Schema, Type};
use crate::resource::Resource;
use crate::status::Cause;

/// Causes that are told.
const MAX_CAUSES: usize = 128;

/// What is wrong with a built-in object beside its metadata; `subresource` is empty for the object itself.
pub(super) fn validate(
    resource: &Resource,
    subresource: &str,
    value: &Value,
    old: Option<&Value>,
) -> Vec<Cause> {
    let mut report = Report::default();
    // What the other subresources write is no business of the rules for the spec.
    if subresource == "status" {
        if let ("batch", "Job", Some(old)) = (&*resource.group, &*resource.kind, old) {
            job::status(value, old, &mut report);
        }
        return report.causes;
    }
    enums(value, &resource.schema, "", &mut report);
    let spec = &value["spec"];
    let old_spec = old.map(|old| &old["spec"]);
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => pod::pod(value, old, subresource, &mut report),
        ("", "PodTemplate") => pod::template(&value["template"], "template", &mut report),
        ("", "ReplicationController") => workload::replication_controller(spec, &mut report),
        ("", "Service") => service::service(value, old, &mut report),
        ("", "ConfigMap") => config::config_map(value, old, &mut report),
        ("", "Secret") => config::secret(value, old, &mut report),
        ("" | "events.k8s.io", "Event") => {
            event::event(value, old, resource.group.is_empty(), &mut report);
        }
        ("", "PersistentVolumeClaim") => storage::claim(spec, old, &mut report),
        ("", "PersistentVolume") => storage::volume(spec, &mut report),
        ("", "ResourceQuota") => quota::quota(spec, old_spec, &mut report),
        ("", "LimitRange") => quota::limit_range(spec, &mut report),
        ("apps", "Deployment") => workload::deployment(spec, old_spec, &mut report),
        ("apps", "ReplicaSet") => workload::replica_set(spec, old_spec, &mut report),
        ("apps", "StatefulSet") => workload::stateful_set(spec, old_spec, &mut report),
        ("apps", "DaemonSet") => workload::daemon_set(spec, old_spec, &mut report),
        ("batch", "Job") => job::job(value, old, &mut report),
        ("batch", "CronJob") => workload::cron_job(value, &mut report),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler(spec, &mut report),
        ("policy", "PodDisruptionBudget") => workload::disruption_budget(spec, &mut report),
        ("networking.k8s.io", "Ingress") => service::ingress(spec, &mut report),
        ("networking.k8s.io", "NetworkPolicy") => service::network_policy(spec, &mut report),
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice(value, old, &mut report),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            access::role(resource, value, &mut report);
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            access::role_binding(resource, value, old, &mut report);
        }
        ("certificates.k8s.io", _) => access::signing_request(spec, &mut report),
        ("coordination.k8s.io", "Lease") => cluster::lease(spec, &mut report),
        ("scheduling.k8s.io", "PriorityClass") => cluster::priority_class(value, old, &mut report),
        ("storage.k8s.io", "StorageClass") => storage::class(value, old, &mut report),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => flowcontrol::schema(value, &mut report),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => {
            flowcontrol::level(value, &mut report);
        }
        ("apiregistration.k8s.io", "APIService") => cluster::api_service(value, &mut report),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            admission::webhooks(value, old, &mut report);
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => {
            policies::validating(value, &mut report);
        }
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => {
            policies::mutating(value, &mut report);
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            policies::binding(value, false, &mut report);
        }
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => {
            policies::binding(value, true, &mut report);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            report.causes.extend(crate::crd::validate(value, old));
        }
        _ => {}
    }
    report.causes
}

/// What is wrong with the `clientConfig` of a webhook at `at`.
pub(crate) fn client_config(config: &Value, at: &str) -> Vec<Cause> {
    let mut report = Report::default();
    admission::client(config, at, &mut report);
    report.causes
}

/// Causes found so far.
#[derive(Default)]
struct Report {
    causes: Vec<Cause>,
}

impl Report {
    fn add(&mut self, cause: Cause) {
        if self.causes.len() < MAX_CAUSES {
            self.causes.push(cause);
        }
    }

    fn required(&mut self, field: impl Into<String>, detail: &str) {
        self.add(Cause::required(field, detail));
    }

    fn invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        self.add(Cause::invalid(field, value, detail));
    }

    /// Something is wrong with a field as a whole; its value is not shown.
    fn wrong(&mut self, field: impl Into<String>, detail: &str) {
        self.add(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {detail}"),
            field: field.into(),
        });
    }

    fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.add(Cause::forbidden(field, detail));
    }

    fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.add(Cause::duplicate(field, value));
    }

    fn not_found(&mut self, field: impl Into<String>, value: &Value) {
        self.add(Cause {
            reason: "FieldValueNotFound",
            message: format!("Not found: {value}"),
            field: field.into(),
        });
    }

    /// Every error of a name or the like at `field`.
    fn all(&mut self, field: &str, value: &Value, errors: Vec<String>) {
        for error in errors {
            self.invalid(field, value, &error);
        }
    }

    fn immutable(&mut self, field: &str, new: &Value, old: &Value) {
        if new != old {
            self.invalid(field, new, "field is immutable");
        }
    }

    fn not_negative(&mut self, field: &str, value: &Value) {
        if value.as_i64().is_some_and(|number| number < 0) {
            self.invalid(field, value, "must be greater than or equal to 0");
        }
    }

    fn port(&mut self, field: &str, value: &Value) {
        if value
            .as_i64()
            .is_none_or(|port| !(1..=65535).contains(&port))
        {
            self.invalid(field, value, "must be between 1 and 65535, inclusive");
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Items of a list with their index; nothing for anything else.
fn items(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

/// Number in `[0-9]+%` or a number; `None` for anything else.
fn int_or_percent(value: &Value) -> Option<(i64, bool)> {
    match value {
        Value::Number(number) => Some((number.as_i64()?, false)),
        Value::String(text) => {
            let digits = text.strip_suffix('%')?;
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number
                .then(|| digits.parse().ok())
                .flatten()
                .map(|n| (n, true))
        }
        _ => None,
    }
}

/// Checks a number or percentage that may not be negative.
fn amount(value: &Value, field: &str, report: &mut Report) {
    if value.is_null() {
        return;
    }
    match int_or_percent(value) {
        Some((number, _)) if number < 0 => {
            report.invalid(field, value, "must be greater than or equal to 0");
        }
        Some(_) => {}
        None => report.invalid(
            field,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
             for validation is '[0-9]+%')",
        ),
    }
}

/// Checks a label selector.
fn selector(selector: &Value, field: &str, report: &mut Report) {
    let mut causes = Vec::new();
    meta::labels(
        &selector["matchLabels"],
        &format!("{field}.matchLabels"),
        &mut causes,
    );
    causes.into_iter().for_each(|cause| report.add(cause));
    for (index, requirement) in items(&selector["matchExpressions"]) {
        let at = format!("{field}.matchExpressions[{index}]");
        let has_values = items(&requirement["values"]).next().is_some();
        match text(requirement, "operator") {
            "In" | "NotIn" if !has_values => {
                report.required(
                    format!("{at}.values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                );
            }
            "Exists" | "DoesNotExist" if has_values => {
                let what = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                report.forbidden(format!("{at}.values"), what);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => report.invalid(
                format!("{at}.operator"),
                &requirement["operator"],
                "not a valid selector operator",
            ),
        }
        let key = text(requirement, "key");
        report.all(&format!("{at}.key"), &key.into(), meta::qualified_name(key));
    }
}

/// Whether labels satisfy a selector.
fn selects(selector: &Value, labels: &Value) -> bool {
    let matches_labels = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    matches_labels
        && items(&selector["matchExpressions"]).all(|(_, requirement)| {
            let label = labels.get(text(requirement, "key"));
            let is_listed = label.is_some_and(|label| {
                items(&requirement["values"]).any(|(_, value)| value == label)
            });
            match text(requirement, "operator") {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

/// Whether a selector selects everything.
fn is_empty_selector(selector: &Value) -> bool {
    selector["matchLabels"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
        && items(&selector["matchExpressions"]).next().is_none()
}

/// Checks quantities that may not be negative; `requests` may not be more than `limits`.
fn resources(resources: &Value, field: &str, report: &mut Report) {
    let amount = |value: &Value| value.as_str().and_then(Quantity::parse);
    for list in ["limits", "requests"] {
        for (name, value) in resources[list].as_object().into_iter().flatten() {
            if amount(value).is_some_and(|amount| amount.is_negative()) {
                report.invalid(
                    format!("{field}.{list}[{name}]"),
                    value,
                    "must be greater than or equal to 0",
                );
            }
        }
    }
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        if let (Some(asked), Some(allowed)) = (amount(request), amount(limit))
            && asked > allowed
        {
            let limit = limit.as_str().unwrap_or_default();
            let what = format!("must be less than or equal to {name} limit of {limit}");
            report.invalid(format!("{field}.requests"), request, &what);
        }
    }
}

/// Fields whose values are told in the order in which Kubernetes declares them; others by the alphabet.
const IN_ORDER_OF_DECLARATION: &[&str] = &[
    "completionMode",
    "concurrencyPolicy",
    "dnsPolicy",
    "preemptionPolicy",
    "restartPolicy",
    "terminationMessagePolicy",
];

/// Values of enumerated types; statuses are not checked, and what is not set has no value.
fn enums(value: &Value, schema: &Schema, path: &str, report: &mut Report) {
    if path == "status" {
        return;
    }
    let schema = schema.resolve();
    if let Some(rules) = &schema.rules
        && !rules.enumeration.is_empty()
        && !rules.enumeration.contains(value)
        && value.as_str().is_some_and(|text| !text.is_empty())
    {
        let mut allowed: Vec<&str> = rules.enumeration.iter().filter_map(Value::as_str).collect();
        let name = path.rsplit('.').next().unwrap_or_default();
        if !IN_ORDER_OF_DECLARATION.contains(&name) {
            allowed.sort_unstable();
        }
        report.add(Cause::not_supported(path, value, &allowed));
        return;
    }
    match (&schema.ty, value) {
        (Type::Object(object), Value::Object(members)) => {
            for (name, member) in members {
                let inner = match object.fields.get(name.as_str()) {
                    Some(field) => &field.schema,
                    None => match &object.additional {
                        Some(schema) => schema,
                        None => continue,
                    },
                };
                if member.is_string() && inner.rules.is_none() {
                    continue;
                }
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                enums(member, inner, &path, report);
            }
        }
        (Type::Array(item), Value::Array(members)) => {
            for (index, member) in members.iter().enumerate() {
                enums(member, item, &format!("{path}[{index}]"), report);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
