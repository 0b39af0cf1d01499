//! Admission policies and their bindings, down to their expressions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::admission::{match_conditions, rule_with_operations};
use super::{Report, items, text};
use crate::admission::expressions::{Compiler, Scope, Wanted};
use crate::schema::meta;
use crate::status::Cause;

const MAX_ANNOTATIONS: usize = 20;
/// Bytes of the expression of an annotation.
const MAX_ANNOTATION: usize = 5 * 1024;
const REASONS: &[&str] = &[
    "Forbidden",
    "Invalid",
    "RequestEntityTooLarge",
    "Unauthorized",
];
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// `ValidatingAdmissionPolicy`.
pub(super) fn validating(policy: &Value, report: &mut Report) {
    let spec = &policy["spec"];
    let mut compiler = common(spec, false, report);
    let (validations, annotations) = (&spec["validations"], &spec["auditAnnotations"]);
    let has_some = |list: &Value| items(list).next().is_some();
    if !has_some(validations) && !has_some(annotations) {
        let what = "validations or auditAnnotations must contain at least one item";
        report.required("spec.validations", what);
        report.required("spec.auditAnnotations", what);
        return;
    }
    for (index, validation) in items(validations) {
        let at = format!("spec.validations[{index}]");
        self::validation(&mut compiler, validation, &at, report);
    }
    let count = items(annotations).count();
    if count > MAX_ANNOTATIONS {
        let what = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        report.invalid("spec.auditAnnotations", annotations, &what);
    }
    let mut keys = BTreeSet::new();
    for (index, annotation) in items(annotations) {
        let at = format!("spec.auditAnnotations[{index}]");
        let key = text(annotation, "key");
        let full = format!("{}/{key}", text(&policy["metadata"], "name"));
        let errors = meta::qualified_name(&full);
        report.all(&format!("{at}.key"), &full.into(), errors);
        let field = format!("{at}.valueExpression");
        let source = text(annotation, "valueExpression");
        if source.trim().is_empty() {
            report.required(field, "valueExpression is not specified");
        } else if source.trim().len() > MAX_ANNOTATION {
            let what = format!("must not exceed {MAX_ANNOTATION} bytes in length");
            report.required(field, &what);
        } else {
            check(&compiler, source, Wanted::TextOrNull, &field, report);
        }
        if !keys.insert(key) {
            report.duplicate(format!("{at}.key"), &key.into());
        }
    }
}

fn validation(compiler: &mut Compiler, validation: &Value, at: &str, report: &mut Report) {
    let source = text(validation, "expression");
    let field = format!("{at}.expression");
    if source.trim().is_empty() {
        report.required(field, "expression is not specified");
    } else {
        check(compiler, source, Wanted::Bool, &field, report);
    }
    let is_blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    let source = text(validation, "messageExpression");
    let field = format!("{at}.messageExpression");
    if is_blank(source) {
        report.invalid(field, &source.into(), "must be non-empty if specified");
    } else if !source.is_empty() {
        check(compiler, source, Wanted::Text, &field, report);
    }
    let message = text(validation, "message");
    let field = format!("{at}.message");
    if is_blank(message) {
        report.invalid(field, &message.into(), "must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        report.invalid(field, &message.into(), "must not contain line breaks");
    }
    if let Some(reason) = validation["reason"].as_str()
        && !REASONS.contains(&reason)
    {
        report.add(Cause::not_supported(
            format!("{at}.reason"),
            &reason.into(),
            REASONS,
        ));
    }
}

/// `MutatingAdmissionPolicy`.
pub(super) fn mutating(policy: &Value, report: &mut Report) {
    let spec = &policy["spec"];
    let compiler = common(spec, true, report);
    only_writes(&spec["matchConstraints"], "spec.matchConstraints", report);
    let mutations = &spec["mutations"];
    if items(mutations).next().is_none() {
        report.required("spec.mutations", "mutations must contain at least one item");
    }
    for (index, mutation) in items(mutations) {
        let at = format!("spec.mutations[{index}]");
        let (own, other, wanted) = match text(mutation, "patchType") {
            "JSONPatch" => ("jsonPatch", "applyConfiguration", Wanted::Patch),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Wanted::Configuration),
            "" => {
                report.required(format!("{at}.patchType"), "");
                continue;
            }
            // The schema refuses it.
            _ => continue,
        };
        let kind = text(mutation, "patchType");
        if mutation[own].is_null() {
            let what = format!("must be specified when patchType is {kind}");
            report.required(format!("{at}.{own}"), &what);
        } else {
            let source = text(&mutation[own], "expression");
            let field = format!("{at}.{own}.expression");
            if source.trim().is_empty() {
                report.required(field, "");
            } else {
                check(&compiler, source, wanted, &field, report);
            }
        }
        if !mutation[other].is_null() {
            let what = format!("must not be specified when patchType is {kind}");
            let shown = format!("{{{other}}}");
            report.invalid(format!("{at}.{other}"), &shown.into(), &what);
        }
    }
    if text(spec, "reinvocationPolicy").is_empty() {
        report.required("spec.reinvocationPolicy", "");
    }
}

/// What both kinds of policies have; the compiler knows the variables.
fn common(spec: &Value, is_mutation: bool, report: &mut Report) -> Compiler {
    let has_params = spec["paramKind"].is_object();
    if has_params {
        param_kind(&spec["paramKind"], report);
    }
    let constraints = &spec["matchConstraints"];
    if constraints.is_object() {
        match_resources(constraints, "spec.matchConstraints", report);
        if items(&constraints["resourceRules"]).next().is_none() {
            report.required("spec.matchConstraints.resourceRules", "");
        }
    } else {
        report.required("spec.matchConstraints", "");
    }
    let at = "spec.matchConditions";
    match_conditions(&spec["matchConditions"], has_params, at, report);
    let mut compiler = Compiler::new(Scope {
        has_params,
        has_authorizer: true,
        is_mutation,
    });
    for (index, variable) in items(&spec["variables"]) {
        let at = format!("spec.variables[{index}]");
        let (name, source) = (text(variable, "name"), text(variable, "expression"));
        let mut letters = name.chars();
        let is_name = letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !RESERVED.contains(&name);
        if name.trim().is_empty() {
            report.required(format!("{at}.name"), "name is not specified");
        } else if !is_name {
            let what = "must be a valid CEL identifier";
            report.invalid(format!("{at}.name"), &name.into(), what);
        }
        let field = format!("{at}.expression");
        if source.trim().is_empty() {
            report.required(field, "expression is not specified");
        } else if let Err(why) = compiler.variable(name, source) {
            report.invalid(field, &source.into(), &why);
        }
    }
    compiler
}

fn check(compiler: &Compiler, source: &str, wanted: Wanted, field: &str, report: &mut Report) {
    if let Err(why) = compiler.compile(source, wanted) {
        report.invalid(field, &source.into(), &why);
    }
}

fn param_kind(kind: &Value, report: &mut Report) {
    let api_version = text(kind, "apiVersion");
    let field = "spec.paramKind.apiVersion";
    match api_version.split('/').collect::<Vec<_>>().as_slice() {
        [""] => report.required(field, ""),
        [version] => report.all(field, &(*version).into(), meta::label_1035(version)),
        [group, version] => {
            report.all(field, &(*group).into(), meta::subdomain(group));
            report.all(field, &(*version).into(), meta::label_1035(version));
        }
        _ => {
            let what = format!("unexpected GroupVersion string: {api_version}");
            report.invalid(field, &api_version.into(), &what);
        }
    }
    let name = text(kind, "kind");
    if name.is_empty() {
        report.required("spec.paramKind.kind", "");
        return;
    }
    let errors = meta::label_1035(&name.to_lowercase());
    if !errors.is_empty() {
        let what = format!(
            "may have mixed case, but should otherwise match: {}",
            errors.join(",")
        );
        report.invalid("spec.paramKind.kind", &name.into(), &what);
    }
}

fn match_resources(resources: &Value, at: &str, report: &mut Report) {
    for member in ["namespaceSelector", "objectSelector"] {
        super::selector(&resources[member], &format!("{at}.{member}"), report);
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in items(&resources[list]) {
            let at = format!("{at}.{list}[{index}]");
            let mut names = BTreeSet::new();
            for (index, name) in items(&rule["resourceNames"]) {
                let at = format!("{at}.resourceNames[{index}]");
                if !names.insert(name.as_str().unwrap_or_default()) {
                    report.duplicate(at, name);
                }
            }
            rule_with_operations(rule, &at, true, report);
        }
    }
}

/// Only creations and updates can be changed.
fn only_writes(resources: &Value, at: &str, report: &mut Report) {
    for (_, rule) in items(&resources["resourceRules"]) {
        for (_, operation) in items(&rule["operations"]) {
            if operation != "CREATE" && operation != "UPDATE" {
                report.add(Cause::not_supported(
                    format!("{at}.resourceRules.operations"),
                    operation,
                    &["CREATE", "UPDATE"],
                ));
            }
        }
    }
}

/// `ValidatingAdmissionPolicyBinding` and `MutatingAdmissionPolicyBinding`.
pub(super) fn binding(binding: &Value, is_mutating: bool, report: &mut Report) {
    let spec = &binding["spec"];
    let name = text(spec, "policyName");
    if name.is_empty() {
        report.required("spec.policyName", "");
    } else {
        report.all("spec.policyName", &name.into(), meta::subdomain(name));
    }
    if spec["paramRef"].is_object() {
        param_ref(&spec["paramRef"], report);
    }
    if spec["matchResources"].is_object() {
        match_resources(&spec["matchResources"], "spec.matchResources", report);
    }
    if is_mutating {
        only_writes(&spec["matchResources"], "spec.matchResources", report);
        return;
    }
    let actions = &spec["validationActions"];
    let has = |action: &str| items(actions).any(|(_, a)| a == action);
    if has("Deny") && has("Warn") {
        let what = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                    response and headers serves no purpose)";
        report.invalid("spec.validationActions", actions, what);
    }
    if items(actions).next().is_none() {
        let what = "at least one validation action is required";
        report.required("spec.validationActions", what);
    }
}

fn param_ref(reference: &Value, report: &mut Report) {
    let (has_name, has_selector) = (
        !text(reference, "name").is_empty(),
        reference["selector"].is_object(),
    );
    super::selector(&reference["selector"], "spec.paramRef.selector", report);
    match (has_name, has_selector) {
        (true, true) => {
            for member in ["name", "selector"] {
                let what = "name and selector are mutually exclusive";
                report.forbidden(format!("spec.paramRef.{member}"), what);
            }
        }
        (false, false) => {
            let what = "one of name or selector must be specified";
            report.required("spec.paramRef", what);
        }
        _ => {}
    }
    let field = "spec.paramRef.parameterNotFoundAction";
    match text(reference, "parameterNotFoundAction") {
        "Allow" | "Deny" => {}
        "" => report.required(field, ""),
        other => report.add(Cause::not_supported(
            field,
            &other.into(),
            &["Deny", "Allow"],
        )),
    }
}
