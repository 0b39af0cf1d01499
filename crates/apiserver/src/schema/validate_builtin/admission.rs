//! Configurations of webhooks, and the rules and references that policies share with them.

use serde_json::Value;
use url::Url;

use super::{Report, items, text};
use crate::admission::expressions::{Compiler, Scope, Wanted};
use crate::schema::meta;
use crate::status::Cause;

const VERSIONS: &str = "v1, v1beta1";
/// Match conditions of one webhook.
const MAX_CONDITIONS: usize = 64;

/// `MutatingWebhookConfiguration` and `ValidatingWebhookConfiguration`.
pub(super) fn webhooks(configuration: &Value, old: Option<&Value>, report: &mut Report) {
    let mut names: Vec<&str> = Vec::new();
    // What an old configuration was allowed, it stays allowed.
    let keeps = |is_bad: &dyn Fn(&Value) -> bool| {
        old.is_some_and(|old| items(&old["webhooks"]).any(|(_, webhook)| is_bad(webhook)))
    };
    let keeps_side_effects = keeps(&|webhook| !has_no_side_effects(webhook));
    let keeps_versions = keeps(&|webhook| !has_known_version(webhook));
    for (index, webhook) in items(&configuration["webhooks"]) {
        let at = format!("webhooks[{index}]");
        let name = text(webhook, "name");
        qualified_name(name, &format!("{at}.name"), report);
        for (index, rule) in items(&webhook["rules"]) {
            rule_with_operations(rule, &format!("{at}.rules[{index}]"), true, report);
        }
        if webhook["sideEffects"].is_null() {
            let what = "must specify one of None, NoneOnDryRun";
            report.required(format!("{at}.sideEffects"), what);
        } else if !keeps_side_effects && !has_no_side_effects(webhook) {
            report.add(Cause::not_supported(
                format!("{at}.sideEffects"),
                &webhook["sideEffects"],
                &["None", "NoneOnDryRun"],
            ));
        }
        let timeout = &webhook["timeoutSeconds"];
        if timeout.as_i64().is_some_and(|n| !(1..=30).contains(&n)) {
            let what = "the timeout value must be between 1 and 30 seconds";
            report.invalid(format!("{at}.timeoutSeconds"), timeout, what);
        }
        for member in ["namespaceSelector", "objectSelector"] {
            super::selector(&webhook[member], &format!("{at}.{member}"), report);
        }
        client(
            &webhook["clientConfig"],
            &format!("{at}.clientConfig"),
            report,
        );
        match_conditions(
            &webhook["matchConditions"],
            false,
            &format!("{at}.matchConditions"),
            report,
        );
        review_versions(
            webhook,
            keeps_versions,
            &format!("{at}.admissionReviewVersions"),
            report,
        );
        if names.contains(&name) {
            report.duplicate(format!("{at}.name"), &name.into());
        }
        if !name.is_empty() {
            names.push(name);
        }
    }
}

fn has_no_side_effects(webhook: &Value) -> bool {
    matches!(text(webhook, "sideEffects"), "None" | "NoneOnDryRun")
}

fn has_known_version(webhook: &Value) -> bool {
    items(&webhook["admissionReviewVersions"]).any(|(_, v)| v == "v1" || v == "v1beta1")
}

/// A domain of at least three segments.
fn qualified_name(name: &str, at: &str, report: &mut Report) {
    if name.is_empty() {
        report.required(at, "");
        return;
    }
    let errors = meta::subdomain(name);
    let is_domain = errors.is_empty();
    report.all(at, &name.into(), errors);
    if is_domain && name.split('.').count() < 3 {
        let what = "should be a domain with at least three segments separated by dots";
        report.invalid(at, &name.into(), what);
    }
}

fn review_versions(webhook: &Value, keeps_unknown: bool, at: &str, report: &mut Report) {
    let versions = &webhook["admissionReviewVersions"];
    if items(versions).next().is_none() {
        report.required(at, &format!("must specify one of {VERSIONS}"));
        return;
    }
    let mut seen = Vec::new();
    for (index, version) in items(versions) {
        let at = format!("{at}[{index}]");
        if seen.contains(&version) {
            report.invalid(at, version, "duplicate version");
            continue;
        }
        seen.push(version);
        let errors = meta::label_1035(version.as_str().unwrap_or_default());
        report.all(&at, version, errors);
    }
    if !keeps_unknown && !has_known_version(webhook) {
        let what = format!("must include at least one of {VERSIONS}");
        report.invalid(at, versions, &what);
    }
}

/// `clientConfig`: of admission and conversion webhooks.
pub(super) fn client(config: &Value, at: &str, report: &mut Report) {
    match (config["url"].as_str(), config["service"].is_object()) {
        (Some(_), true) | (None, false) => {
            report.required(at, "exactly one of url or service is required");
        }
        (Some(text), false) => url(text, &format!("{at}.url"), report),
        (None, true) => service(&config["service"], &format!("{at}.service"), report),
    }
}

fn url(text: &str, at: &str, report: &mut Report) {
    const FORM: &str = "; desired format: https://host[/path]";
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            report.required(at, &format!("url must be a valid URL: {error}{FORM}"));
            return;
        }
    };
    if url.scheme() != "https" {
        let what = format!("'https' is the only allowed URL scheme{FORM}");
        report.invalid(at, &url.scheme().into(), &what);
    }
    if url.host_str().unwrap_or_default().is_empty() {
        let what = format!("host must be specified{FORM}");
        report.invalid(at, &"".into(), &what);
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The name may be followed by a password.
        let what = "user information is not permitted in the URL";
        report.invalid(at, &url.username().into(), what);
    }
    if let Some(fragment) = url.fragment().filter(|f| !f.is_empty()) {
        let what = "fragments are not permitted in the URL";
        report.invalid(at, &fragment.into(), what);
    }
    if let Some(query) = url.query().filter(|q| !q.is_empty()) {
        let what = "query parameters are not permitted in the URL";
        report.invalid(at, &query.into(), what);
    }
}

fn service(service: &Value, at: &str, report: &mut Report) {
    for member in ["name", "namespace"] {
        if text(service, member).is_empty() {
            report.required(format!("{at}.{member}"), "");
        }
    }
    let port = &service["port"];
    if port
        .as_i64()
        .is_some_and(|port| !(1..=65535).contains(&port))
    {
        let what = "port is not valid: must be between 1 and 65535, inclusive";
        report.invalid(format!("{at}.port"), port, what);
    }
    let path = text(service, "path");
    if !matches!(path, "" | "/") {
        service_path(path, &format!("{at}.path"), report);
    }
}

fn service_path(path: &str, at: &str, report: &mut Report) {
    let value = Value::from(path);
    let Some(inner) = path.strip_prefix('/') else {
        report.invalid(at, &value, "must start with a '/'");
        return;
    };
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (index, step) in inner.split('/').enumerate() {
        if step.is_empty() {
            report.invalid(at, &value, &format!("segment[{index}] may not be empty"));
            continue;
        }
        for error in meta::subdomain(step) {
            report.invalid(at, &value, &format!("segment[{index}]: {error}"));
        }
    }
}

/// One rule of a webhook or a policy; policies may name subresources only by `resource/subresource` as well.
pub(super) fn rule_with_operations(
    rule: &Value,
    at: &str,
    allows_subresources: bool,
    report: &mut Report,
) {
    let operations = &rule["operations"];
    if items(operations).next().is_none() {
        report.required(format!("{at}.operations"), "");
    }
    wildcard_alone(
        operations,
        &format!("{at}.operations"),
        "operations",
        report,
    );
    for (member, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let at = format!("{at}.{member}");
        if items(&rule[member]).next().is_none() {
            report.required(at.clone(), "");
        }
        wildcard_alone(&rule[member], &at, what, report);
    }
    for (index, version) in items(&rule["apiVersions"]) {
        if version == "" {
            report.required(format!("{at}.apiVersions[{index}]"), "");
        }
    }
    let resources = &rule["resources"];
    let at = format!("{at}.resources");
    if items(resources).next().is_none() {
        report.required(at.clone(), "");
    }
    if allows_subresources {
        resources_with_subresources(resources, &at, report);
    }
}

fn wildcard_alone(list: &Value, at: &str, what: &str, report: &mut Report) {
    let count = items(list).count();
    if count > 1 && items(list).any(|(_, item)| item == "*") {
        let what = format!("if '*' is present, must not specify other {what}");
        report.invalid(at, list, &what);
    }
}

fn resources_with_subresources(resources: &Value, at: &str, report: &mut Report) {
    let (mut of_any_sub, mut of_any_resource) = (Vec::new(), Vec::new());
    let (mut has_star, mut has_main) = (false, false);
    for (index, item) in items(resources) {
        let at = format!("{at}[{index}]");
        let name = item.as_str().unwrap_or_default();
        if name.is_empty() {
            report.required(at, "");
            continue;
        }
        has_star |= name == "*";
        let Some((resource, sub)) = name.split_once('/') else {
            has_main = name != "*";
            continue;
        };
        if of_any_sub.contains(&resource) {
            let what = format!("if '{resource}/*' is present, must not specify {name}");
            report.invalid(at.clone(), item, &what);
        }
        if of_any_resource.contains(&sub) {
            let what = format!("if '*/{sub}' is present, must not specify {name}");
            report.invalid(at, item, &what);
        }
        if sub == "*" {
            of_any_sub.push(resource);
        }
        if resource == "*" {
            of_any_resource.push(sub);
        }
    }
    let count = items(resources).count();
    if count > 1 && items(resources).any(|(_, item)| item == "*/*") {
        let what = "if '*/*' is present, must not specify other resources";
        report.invalid(at, resources, what);
    }
    if has_star && has_main {
        let what = "if '*' is present, must not specify other resources without subresources";
        report.invalid(at, resources, what);
    }
}

/// Names and number of match conditions, and whether they compile.
pub(super) fn match_conditions(
    conditions: &Value,
    has_params: bool,
    at: &str,
    report: &mut Report,
) {
    let compiler = Compiler::new(Scope {
        has_params,
        has_authorizer: true,
        is_mutation: false,
    });
    let count = items(conditions).count();
    if count > MAX_CONDITIONS {
        report.add(Cause::too_many(at, count, MAX_CONDITIONS));
        return;
    }
    let mut names = Vec::new();
    for (index, condition) in items(conditions) {
        let at = format!("{at}[{index}]");
        let source = text(condition, "expression").trim();
        if source.is_empty() {
            report.required(format!("{at}.expression"), "");
        } else if let Err(why) = compiler.compile(source, Wanted::Bool) {
            report.invalid(format!("{at}.expression"), &source.into(), &why);
        }
        let name = text(condition, "name");
        if name.is_empty() {
            report.required(format!("{at}.name"), "");
        } else {
            report.all(
                &format!("{at}.name"),
                &name.into(),
                meta::qualified_name(name),
            );
        }
        if names.contains(&name) {
            report.duplicate(format!("{at}.name"), &name.into());
        }
        names.push(name);
    }
}
