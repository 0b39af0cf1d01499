//! Kinds that steer the cluster itself: leases, priorities, aggregated APIs.

use serde_json::Value;

use super::{Report, meta, text};

pub(super) fn lease(spec: &Value, report: &mut Report) {
    if spec["leaseDurationSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds <= 0)
    {
        report.invalid(
            "spec.leaseDurationSeconds",
            &spec["leaseDurationSeconds"],
            "must be greater than 0",
        );
    }
    report.not_negative("spec.leaseTransitions", &spec["leaseTransitions"]);
}

pub(super) fn priority_class(class: &Value, old: Option<&Value>, report: &mut Report) {
    let name = text(&class["metadata"], "name");
    let value = class["value"].as_i64().unwrap_or_default();
    let is_system = matches!(name, "system-node-critical" | "system-cluster-critical");
    if name.starts_with("system-") && !is_system {
        let what = "priority class names with 'system-' prefix are reserved for system use only. error: \
                    only system priority classes may have it";
        report.forbidden("metadata.name", what);
    }
    if value > 1_000_000_000 && !is_system {
        let what = "maximum allowed value of a user defined priority is 1000000000";
        report.forbidden("value", what);
    }
    let Some(old) = old else { return };
    if class["value"] != old["value"] {
        report.forbidden("value", "may not be changed in an update.");
    }
    report.immutable(
        "preemptionPolicy",
        &class["preemptionPolicy"],
        &old["preemptionPolicy"],
    );
}

pub(super) fn api_service(service: &Value, report: &mut Report) {
    let spec = &service["spec"];
    let name = &service["metadata"]["name"];
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let required = format!("{version}.{group}");
    if *name != required {
        let what = format!("must be `spec.version+\".\"+spec.group`: {required:?}");
        report.invalid("metadata.name", name, &what);
    }
    if group.is_empty() && version != "v1" {
        let what = "only v1 may have an empty group and it better be legacy kube";
        report.required("spec.group", what);
    }
    if !group.is_empty() {
        report.all("spec.group", &spec["group"], meta::subdomain(group));
    }
    let errors = meta::label_1035(version);
    report.all("spec.version", &version.into(), errors);
    for (field, limit) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let value = &spec[field];
        if value.as_i64().is_none_or(|n| n <= 0 || n > limit) {
            // The limit itself is fine.
            let what = format!("must be positive and less than {limit}");
            report.invalid(format!("spec.{field}"), value, &what);
        }
    }
    if spec["service"].is_object() {
        for member in ["namespace", "name"] {
            if text(&spec["service"], member).is_empty() {
                report.required(format!("spec.service.{member}"), "");
            }
        }
        let port = &spec["service"]["port"];
        if port
            .as_i64()
            .is_some_and(|port| !(1..=65_535).contains(&port))
        {
            let what = "port is not valid: must be between 1 and 65535, inclusive";
            report.invalid("spec.service.port", port, what);
        }
        if spec["insecureSkipTLSVerify"] == true && !text(spec, "caBundle").is_empty() {
            report.invalid(
                "spec.insecureSkipTLSVerify",
                &true.into(),
                "may not be true if caBundle is present",
            );
        }
        return;
    }
    if !text(spec, "caBundle").is_empty() {
        let what = "local APIServices may not have a caBundle";
        report.invalid("spec.caBundle", &"<bundle>".into(), what);
    }
    if spec["insecureSkipTLSVerify"] == true {
        let what = "local APIServices may not have insecureSkipTLSVerify";
        report.invalid("spec.insecureSkipTLSVerify", &true.into(), what);
    }
}
