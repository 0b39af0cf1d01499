//! Kinds that steer the cluster itself: leases, priorities, webhooks, aggregated APIs.

use serde_json::Value;

use super::{Report, items, text};
use crate::schema::meta;
use crate::status::Cause;

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
    if *name != format!("{version}.{group}") {
        let what = "must be `spec.version+\".\"+spec.group`";
        report.invalid("metadata.name", name, what);
    }
    if version.is_empty() {
        report.required("spec.version", "");
    }
    for (field, limit) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let value = &spec[field];
        if value.as_i64().is_none_or(|n| n <= 0 || n > limit) {
            let what = format!("must be positive and less than or equal to {limit}");
            report.invalid(format!("spec.{field}"), value, &what);
        }
    }
    if spec["service"].is_object() {
        for member in ["namespace", "name"] {
            if text(&spec["service"], member).is_empty() {
                report.required(format!("spec.service.{member}"), "");
            }
        }
        if spec["insecureSkipTLSVerify"] == true && !text(spec, "caBundle").is_empty() {
            report.invalid(
                "spec.insecureSkipTLSVerify",
                &true.into(),
                "may not be true if caBundle is present",
            );
        }
    } else if !text(spec, "caBundle").is_empty() {
        report.invalid(
            "spec.caBundle",
            &"<bundle>".into(),
            "local APIServices may not have a caBundle",
        );
    }
}

pub(super) fn webhooks(configuration: &Value, report: &mut Report) {
    let mut names: Vec<&str> = Vec::new();
    for (index, webhook) in items(&configuration["webhooks"]) {
        let at = format!("webhooks[{index}]");
        let name = text(webhook, "name");
        if name.is_empty() {
            report.required(format!("{at}.name"), "");
        } else {
            report.all(&format!("{at}.name"), &name.into(), meta::subdomain(name));
            if name.split('.').count() < 3 {
                let what = "should be a domain with at least three segments separated by dots";
                report.invalid(format!("{at}.name"), &name.into(), what);
            }
            if names.contains(&name) {
                report.duplicate(format!("{at}.name"), &name.into());
            }
        }
        names.push(name);
        match text(webhook, "sideEffects") {
            "None" | "NoneOnDryRun" => {}
            "" => report.required(
                format!("{at}.sideEffects"),
                "must specify one of None, NoneOnDryRun",
            ),
            _ => {
                let allowed = &["None", "NoneOnDryRun"];
                report.add(Cause::not_supported(
                    format!("{at}.sideEffects"),
                    &webhook["sideEffects"],
                    allowed,
                ));
            }
        }
        webhook_client(webhook, &at, report);
        for member in ["namespaceSelector", "objectSelector"] {
            super::selector(&webhook[member], &format!("{at}.{member}"), report);
        }
        if webhook["timeoutSeconds"]
            .as_i64()
            .is_some_and(|n| !(1..=30).contains(&n))
        {
            let what = "the timeout value must be between 1 and 30 seconds";
            report.invalid(
                format!("{at}.timeoutSeconds"),
                &webhook["timeoutSeconds"],
                what,
            );
        }
    }
}

fn webhook_client(webhook: &Value, at: &str, report: &mut Report) {
    let versions: Vec<&str> = items(&webhook["admissionReviewVersions"])
        .filter_map(|(_, v)| v.as_str())
        .collect();
    if versions.is_empty() {
        let what = "must specify one of v1, v1beta1";
        report.required(format!("{at}.admissionReviewVersions"), what);
    } else if !versions
        .iter()
        .any(|version| matches!(*version, "v1" | "v1beta1"))
    {
        let what = "must include at least one of v1, v1beta1";
        report.invalid(
            format!("{at}.admissionReviewVersions"),
            &webhook["admissionReviewVersions"],
            what,
        );
    }
    let config = &webhook["clientConfig"];
    let at = format!("{at}.clientConfig");
    match (config["url"].as_str(), config["service"].is_object()) {
        (Some(_), true) | (None, false) => {
            report.required(at, "exactly one of url or service is required");
        }
        (Some(url), false) => {
            if !url.starts_with("https://") {
                let what =
                    "'https' is the only allowed URL scheme; desired format: https://host[/path]";
                report.invalid(format!("{at}.url"), &url.into(), what);
            }
        }
        (None, true) => {
            for member in ["name", "namespace"] {
                if text(&config["service"], member).is_empty() {
                    report.required(
                        format!("{at}.service.{member}"),
                        &format!("service {member} is required"),
                    );
                }
            }
        }
    }
}
