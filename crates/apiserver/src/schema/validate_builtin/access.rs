//! Roles, bindings and certificate requests.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Report, items, text};
use crate::resource::Resource;
use crate::schema::{canonical, meta};
use crate::status::Cause;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn role(resource: &Resource, role: &Value, report: &mut Report) {
    for (index, rule) in items(&role["rules"]) {
        let at = format!("rules[{index}]");
        let has = |name: &str| items(&rule[name]).next().is_some();
        if !has("verbs") {
            report.required(
                format!("{at}.verbs"),
                "verbs must contain at least one value",
            );
        }
        if has("nonResourceURLs") {
            if resource.namespaced {
                let what = "namespaced rules cannot apply to non-resource URLs";
                report.invalid(
                    format!("{at}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    what,
                );
            }
            if has("apiGroups") || has("resources") || has("resourceNames") {
                let what = "rules cannot apply to both regular resources and non-resource URLs";
                report.invalid(
                    format!("{at}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    what,
                );
            }
            continue;
        }
        if !has("apiGroups") {
            let what = "resource rules must supply at least one api group";
            report.required(format!("{at}.apiGroups"), what);
        }
        if !has("resources") {
            let what = "resource rules must supply at least one resource";
            report.required(format!("{at}.resources"), what);
        }
    }
    for (index, selector) in items(&role["aggregationRule"]["clusterRoleSelectors"]) {
        super::selector(
            selector,
            &format!("aggregationRule.clusterRoleSelectors[{index}]"),
            report,
        );
    }
}

pub(super) fn role_binding(
    resource: &Resource,
    binding: &Value,
    old: Option<&Value>,
    report: &mut Report,
) {
    let reference = &binding["roleRef"];
    if reference["apiGroup"] != GROUP {
        report.add(Cause::not_supported(
            "roleRef.apiGroup",
            &reference["apiGroup"],
            &[GROUP],
        ));
    }
    let kinds: &[&str] = if resource.namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&text(reference, "kind")) {
        report.add(Cause::not_supported(
            "roleRef.kind",
            &reference["kind"],
            kinds,
        ));
    }
    if text(reference, "name").is_empty() {
        report.required("roleRef.name", "");
    }
    for (index, subject) in items(&binding["subjects"]) {
        subject_rules(resource, subject, &format!("subjects[{index}]"), report);
    }
    if let Some(old) = old
        && old["roleRef"] != *reference
    {
        // As Kubernetes shows it.
        let shown = json!({
            "APIGroup": reference["apiGroup"], "Kind": reference["kind"], "Name": reference["name"],
        });
        report.invalid("roleRef", &shown, "cannot change roleRef");
    }
}

fn subject_rules(resource: &Resource, subject: &Value, at: &str, report: &mut Report) {
    let name = text(subject, "name");
    if name.is_empty() {
        report.required(format!("{at}.name"), "");
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                report.all(&format!("{at}.name"), &name.into(), meta::subdomain(name));
            }
            if !text(subject, "apiGroup").is_empty() {
                report.add(Cause::not_supported(
                    format!("{at}.apiGroup"),
                    &subject["apiGroup"],
                    &[""],
                ));
            }
            if !resource.namespaced && text(subject, "namespace").is_empty() {
                report.required(format!("{at}.namespace"), "");
            }
        }
        "User" | "Group" => {
            if subject["apiGroup"] != GROUP {
                report.add(Cause::not_supported(
                    format!("{at}.apiGroup"),
                    &subject["apiGroup"],
                    &[GROUP],
                ));
            }
        }
        _ => {
            let kinds = &["ServiceAccount", "User", "Group"];
            report.add(Cause::not_supported(
                format!("{at}.kind"),
                &subject["kind"],
                kinds,
            ));
        }
    }
}

pub(super) fn signing_request(spec: &Value, report: &mut Report) {
    match text(spec, "request") {
        "" => report.required("spec.request", ""),
        request => {
            if let Err(what) = pem_request(request) {
                report.invalid("spec.request", &request.into(), what);
            }
        }
    }
    if items(&spec["usages"]).next().is_none() {
        report.required("spec.usages", "usages must contain at least one value");
    }
    match text(spec, "signerName") {
        "" => report.required("spec.signerName", ""),
        name => {
            let is_qualified = name.split_once('/').is_some_and(|(domain, path)| {
                domain.contains('.') && meta::subdomain(domain).is_empty() && !path.is_empty()
            });
            if !is_qualified {
                let what = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
                report.invalid("spec.signerName", &name.into(), what);
            }
        }
    }
    if spec["expirationSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 600)
    {
        let what = "may not specify a duration less than 600 seconds (10 minutes)";
        report.invalid("spec.expirationSeconds", &spec["expirationSeconds"], what);
    }
}

/// Base64 of a PEM block of a certificate request.
fn pem_request(request: &str) -> Result<(), &'static str> {
    let bytes = canonical::base64_bytes(request).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let Some((_, rest)) = text.split_once("-----BEGIN ") else {
        return Err("PEM block type must be CERTIFICATE REQUEST");
    };
    let (label, rest) = rest.split_once("-----").unwrap_or((rest, ""));
    if !matches!(label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
        return Err("PEM block type must be CERTIFICATE REQUEST");
    }
    let body: String = rest
        .split("-----END")
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body);
    match der {
        // Every request is one ASN.1 sequence.
        Ok(der) if der.first() == Some(&0x30) => Ok(()),
        _ => Err("asn1: structure error: the request cannot be parsed"),
    }
}
