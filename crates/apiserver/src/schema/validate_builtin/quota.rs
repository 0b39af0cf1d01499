//! What bounds a namespace and its containers: ResourceQuotas and LimitRanges.

use std::collections::BTreeSet;

use cel::Quantity;
use serde_json::Value;

use super::{Report, items, text};
use crate::schema::meta;

/// What a quota limits under a plain name, beside huge pages.
const QUOTA_RESOURCES: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// What is counted in whole things.
const COUNTS: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const POD_SCOPE_RESOURCES: &[&str] = &[
    "pods",
    "cpu",
    "memory",
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
];

pub(super) fn quota(spec: &Value, old: Option<&Value>, report: &mut Report) {
    for (name, value) in spec["hard"].as_object().into_iter().flatten() {
        let field = format!("spec.hard[{name}]");
        let errors = meta::qualified_name(name);
        let is_qualified = errors.is_empty();
        report.all(&field, &name.as_str().into(), errors);
        if is_qualified && !name.contains('/') && !is_quota_resource(name) {
            let what = "must be a standard resource for quota";
            report.invalid(field.clone(), &name.as_str().into(), what);
        }
        let Some(amount) = value.as_str().and_then(Quantity::parse) else {
            continue;
        };
        if amount.is_negative() {
            let what = "must be greater than or equal to 0";
            report.invalid(field.clone(), value, what);
        }
        if (COUNTS.contains(&name.as_str()) || is_extended(name)) && amount.milli() % 1000 != 0 {
            report.invalid(field, value, "must be an integer");
        }
    }
    scopes(spec, report);
    scope_selector(spec, report);
    let set = |spec: &Value| -> BTreeSet<String> {
        items(&spec["scopes"])
            .filter_map(|(_, scope)| scope.as_str().map(Into::into))
            .collect()
    };
    if old.is_some_and(|old| set(old) != set(spec)) {
        report.invalid("spec.scopes", &spec["scopes"], "field is immutable");
    }
}

fn is_quota_resource(name: &str) -> bool {
    QUOTA_RESOURCES.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Whether a resource is named after somebody else than Kubernetes.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Whether a quota for this resource may be limited to this scope; for what is not Kubernetes' own, always.
fn fits_scope(scope: &str, resource: &str) -> bool {
    if !is_quota_resource(resource) {
        return true;
    }
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => POD_SCOPE_RESOURCES.contains(&resource),
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => {
            matches!(resource, "persistentvolumeclaims" | "requests.storage")
        }
        _ => true,
    }
}

fn hard(spec: &Value) -> impl Iterator<Item = &String> {
    let members = spec["hard"].as_object().into_iter();
    members.flat_map(|members| members.keys())
}

fn scopes(spec: &Value, report: &mut Report) {
    const FIELD: &str = "spec.scopes";
    let list = &spec["scopes"];
    let scopes: Vec<&str> = items(list)
        .filter_map(|(_, scope)| scope.as_str())
        .collect();
    for scope in &scopes {
        for _ in hard(spec).filter(|resource| !fits_scope(scope, resource)) {
            report.invalid(FIELD, list, "unsupported scope applied to resource");
        }
    }
    for (one, other) in [
        ("BestEffort", "NotBestEffort"),
        ("Terminating", "NotTerminating"),
    ] {
        if scopes.contains(&one) && scopes.contains(&other) {
            report.invalid(FIELD, list, "conflicting scopes");
        }
    }
}

fn scope_selector(spec: &Value, report: &mut Report) {
    const FIELD: &str = "spec.scopeSelector.matchExpressions";
    let selector = &spec["scopeSelector"];
    for (_, expression) in items(&selector["matchExpressions"]) {
        let (scope, operator) = (text(expression, "scopeName"), &expression["operator"]);
        for _ in hard(spec).filter(|resource| !fits_scope(scope, resource)) {
            report.invalid(FIELD, selector, "unsupported scope applied to resource");
        }
        let is_plain = matches!(
            scope,
            "Terminating"
                | "NotTerminating"
                | "BestEffort"
                | "NotBestEffort"
                | "CrossNamespacePodAffinity"
        );
        if is_plain && operator != "Exists" {
            let what = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                        ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                        ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            report.invalid(format!("{FIELD}.operator"), operator, what);
        }
        let has_values = items(&expression["values"]).next().is_some();
        match operator.as_str().unwrap_or_default() {
            "In" | "NotIn" if !has_values => {
                let what = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                report.required(format!("{FIELD}.values"), what);
            }
            "Exists" | "DoesNotExist" if has_values => {
                let what = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                report.invalid(format!("{FIELD}.values"), &expression["values"], what);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => report.invalid(
                format!("{FIELD}.operator"),
                operator,
                "not a valid selector operator",
            ),
        }
    }
}

pub(super) fn limit_range(spec: &Value, report: &mut Report) {
    let mut types: Vec<&str> = Vec::new();
    for (index, limit) in items(&spec["limits"]) {
        let at = format!("spec.limits[{index}]");
        let kind = text(limit, "type");
        let field = format!("{at}.type");
        let errors = meta::qualified_name(kind);
        let is_qualified = errors.is_empty();
        report.all(&field, &kind.into(), errors);
        let is_known = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
        if is_qualified && !kind.contains('/') && !is_known {
            let what = "must be a standard limit type or fully qualified";
            report.invalid(field.clone(), &kind.into(), what);
        }
        if types.contains(&kind) {
            report.duplicate(field, &kind.into());
        }
        types.push(kind);
        limit_names(limit, kind, &at, report);
        let has_storage = ["min", "max"]
            .iter()
            .any(|member| !limit[*member]["storage"].is_null());
        if kind == "PersistentVolumeClaim" && !has_storage {
            let what =
                "either minimum or maximum storage value is required, but neither was provided";
            report.required(format!("{at}.limits"), what);
        }
        let names: BTreeSet<&String> = [
            "max",
            "min",
            "default",
            "defaultRequest",
            "maxLimitRequestRatio",
        ]
        .iter()
        .filter_map(|member| limit[*member].as_object())
        .flat_map(|members| members.keys())
        .collect();
        for name in names {
            limit_order(limit, name, &at, report);
        }
    }
}

/// What a limit may be about.
fn limit_names(limit: &Value, kind: &str, at: &str, report: &mut Report) {
    for member in [
        "max",
        "min",
        "default",
        "defaultRequest",
        "maxLimitRequestRatio",
    ] {
        let is_default = matches!(member, "default" | "defaultRequest");
        let entries = limit[member].as_object();
        if kind == "Pod" && is_default {
            if entries.is_some_and(|entries| !entries.is_empty()) {
                let what = "may not be specified when `type` is 'Pod'";
                report.forbidden(format!("{at}.{member}"), what);
            }
            continue;
        }
        for name in entries.into_iter().flat_map(|entries| entries.keys()) {
            let field = format!("{at}.{member}[{name}]");
            let value: Value = name.as_str().into();
            let errors = meta::qualified_name(name);
            if !errors.is_empty() {
                report.all(&field, &value, errors);
                continue;
            }
            let is_huge = name.starts_with("hugepages-");
            let is_for_containers = matches!(kind, "Pod" | "Container");
            let is_compute = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
            if name.contains('/') {
                let is_native = name.contains("kubernetes.io/");
                if is_for_containers && !is_native && !is_extended(name) {
                    let what = "doesn't follow extended resource name standard";
                    report.invalid(field, &value, what);
                }
                continue;
            }
            if !is_quota_resource(name) && name != "storage" {
                let what = "must be a standard resource type or fully qualified";
                report.invalid(field.clone(), &value, what);
            }
            if is_for_containers && !is_compute && !is_huge {
                report.invalid(field, &value, "must be a standard resource for containers");
            }
        }
    }
}

/// The bounds and defaults of one resource must be in order.
fn limit_order(limit: &Value, name: &str, at: &str, report: &mut Report) {
    let amount = |member: &str| limit[member][name].as_str().and_then(Quantity::parse);
    let (min, max) = (amount("min"), amount("max"));
    let is_pod = limit["type"] == "Pod";
    let (default, request) = if is_pod {
        (None, None)
    } else {
        (amount("default"), amount("defaultRequest"))
    };
    // Where it is told, with which value; what may not be above what.
    for (member, shown, (left, low), (right, high)) in [
        ("min", min, ("min", min), ("max", max)),
        (
            "defaultRequest",
            request,
            ("min", min),
            ("default request", request),
        ),
        (
            "defaultRequest",
            request,
            ("default request", request),
            ("max", max),
        ),
        (
            "defaultRequest",
            request,
            ("default request", request),
            ("default limit", default),
        ),
        ("default", min, ("min", min), ("default", default)),
        ("default", max, ("default", default), ("max", max)),
    ] {
        if let (Some(shown), Some(low), Some(high)) = (shown, low, high)
            && low > high
        {
            let what = format!("{left} value {low} is greater than {right} value {high}");
            let field = format!("{at}.{member}[{name}]");
            report.invalid(field, &shown.to_string().into(), &what);
        }
    }
    ratio(limit, name, at, report);
    let may_overcommit =
        (!name.contains('/') || name.contains("kubernetes.io/")) && !name.starts_with("hugepages-");
    if let (false, Some(default), Some(request)) = (may_overcommit, &default, &request)
        && default != request
    {
        let what = format!(
            "default value {default} must equal to defaultRequest value {request} in {name}"
        );
        let field = format!("{at}.defaultRequest[{name}]");
        report.invalid(field, &request.to_string().into(), &what);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio is shown and compared, six digits are enough"
)]
fn ratio(limit: &Value, name: &str, at: &str, report: &mut Report) {
    let amount = |member: &str| limit[member][name].as_str().and_then(Quantity::parse);
    let Some(ratio) = amount("maxLimitRequestRatio") else {
        return;
    };
    let field = format!("{at}.maxLimitRequestRatio[{name}]");
    let shown: Value = ratio.to_string().into();
    if ratio.milli() < 1000 {
        report.invalid(
            field.clone(),
            &shown,
            &format!("ratio {ratio} is less than 1"),
        );
    }
    if let (Some(min), Some(max)) = (amount("min"), amount("max")) {
        let bound = max.milli() as f64 / min.milli() as f64;
        if ratio.milli() as f64 / 1000.0 > bound {
            let what = format!("ratio {ratio} is greater than max/min = {bound:.6}");
            report.invalid(field, &shown, &what);
        }
    }
}
