//! FlowSchemas and PriorityLevelConfigurations.

use serde_json::Value;

use super::{Report, items, text};
use crate::flow;
use crate::schema::meta;
use crate::status::Cause;

const EXEMPT: &str = "exempt";
const MAX_PRECEDENCE: i64 = 10_000;
const MAX_QUEUES: i64 = 10_000_000;
/// Bits of the hash by which a flow is dealt its queues.
const HASH_BITS: f64 = 60.0;
const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];

/// `FlowSchema`.
pub(super) fn schema(schema: &Value, report: &mut Report) {
    let (spec, name) = (&schema["spec"], text(&schema["metadata"], "name"));
    let precedence = &spec["matchingPrecedence"];
    let number = precedence.as_i64().unwrap_or_default();
    let field = "spec.matchingPrecedence";
    if number <= 0 {
        report.invalid(field, precedence, "must be a positive value");
    } else if number > MAX_PRECEDENCE {
        let why = format!("must not be greater than {MAX_PRECEDENCE}");
        report.invalid(field, precedence, &why);
    } else if number == 1 && name != EXEMPT {
        let why = "only the schema named 'exempt' may have matchingPrecedence 1";
        report.invalid(field, precedence, why);
    }
    let method = &spec["distinguisherMethod"];
    if !method.is_null() {
        let field = "spec.distinguisherMethod.type";
        one_of(method, "type", field, &["ByNamespace", "ByUser"], report);
    }
    let level = text(&spec["priorityLevelConfiguration"], "name");
    let field = "spec.priorityLevelConfiguration.name";
    if level.is_empty() {
        report.required(field, "must reference a priority level");
    } else {
        report.all(field, &level.into(), meta::subdomain(level));
    }
    for (index, rule) in items(&spec["rules"]) {
        self::rule(rule, &format!("spec.rules[{index}]"), report);
    }
    if flow::mandatory_schema(name).is_some_and(|fixed| fixed != spec) {
        let why = format!("spec of '{name}' must equal the fixed value");
        report.invalid("spec", spec, &why);
    }
}

/// Whom a rule is about, and what they do.
fn rule(rule: &Value, at: &str, report: &mut Report) {
    for (index, subject) in items(&rule["subjects"]) {
        self::subject(subject, &format!("{at}.subjects[{index}]"), report);
    }
    if is_empty(&rule["subjects"]) {
        let why = "subjects must contain at least one value";
        report.required(format!("{at}.subjects"), why);
    }
    if is_empty(&rule["resourceRules"]) && is_empty(&rule["nonResourceRules"]) {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        report.required(at, why);
    }
    for (index, rule) in items(&rule["resourceRules"]) {
        resource_rule(rule, &format!("{at}.resourceRules[{index}]"), report);
    }
    for (index, rule) in items(&rule["nonResourceRules"]) {
        path_rule(rule, &format!("{at}.nonResourceRules[{index}]"), report);
    }
}

fn subject(subject: &Value, at: &str, report: &mut Report) {
    let members = [
        ("ServiceAccount", "serviceAccount"),
        ("User", "user"),
        ("Group", "group"),
    ];
    let kind = text(subject, "kind");
    let Some((_, own)) = members.iter().find(|(member_of, _)| *member_of == kind) else {
        let kinds = ["Group", "ServiceAccount", "User"];
        one_of(subject, "kind", &format!("{at}.kind"), &kinds, report);
        return;
    };
    let field = format!("{at}.{own}");
    let named = &subject[*own];
    if named.is_null() {
        let why = format!("{own} is required when subject kind is '{kind}'");
        report.required(field, &why);
    } else {
        let name = text(named, "name");
        if name.is_empty() {
            report.required(format!("{field}.name"), "");
        } else if *own == "serviceAccount" && name != "*" {
            report.all(
                &format!("{field}.name"),
                &name.into(),
                meta::subdomain(name),
            );
        }
        if *own == "serviceAccount" {
            let (namespace, field) = (text(named, "namespace"), format!("{field}.namespace"));
            if namespace.is_empty() {
                report.required(field, "must specify namespace for service account");
            } else {
                report.all(&field, &namespace.into(), meta::label(namespace));
            }
        }
    }
    for (other, member) in members.iter().filter(|(other, _)| *other != kind) {
        if !subject[*member].is_null() {
            let why = format!("{member} is forbidden when subject kind is not '{other}'");
            report.forbidden(format!("{at}.{member}"), &why);
        }
    }
}

fn resource_rule(rule: &Value, at: &str, report: &mut Report) {
    verbs(&rule["verbs"], &format!("{at}.verbs"), report);
    for (name, missing, what) in [
        (
            "apiGroups",
            "resource rules must supply at least one api group",
            "api groups",
        ),
        (
            "resources",
            "resource rules must supply at least one resource",
            "resources",
        ),
    ] {
        let (list, field) = (&rule[name], format!("{at}.{name}"));
        if is_empty(list) {
            report.required(field, missing);
        } else {
            alone(list, &field, what, report);
        }
    }
    let (namespaces, field) = (&rule["namespaces"], format!("{at}.namespaces"));
    if is_empty(namespaces) && rule["clusterScope"] != true {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        report.required(field, why);
    } else if !alone(namespaces, &field, "namespaces", report) {
        for (index, namespace) in items(namespaces) {
            for why in meta::label(namespace.as_str().unwrap_or_default()) {
                let why =
                    format!("each member of this list must be '*' or a DNS-1123 label; {why}");
                report.invalid(format!("{field}[{index}]"), namespace, &why);
            }
        }
    }
}

fn path_rule(rule: &Value, at: &str, report: &mut Report) {
    verbs(&rule["verbs"], &format!("{at}.verbs"), report);
    let (paths, field) = (&rule["nonResourceURLs"], format!("{at}.nonResourceURLs"));
    if is_empty(paths) {
        let why = "nonResourceURLs must contain at least one value";
        report.required(field, why);
    } else if !alone(paths, &field, "non-resource URLs", report) {
        for (index, path) in items(paths) {
            if let Some(why) = path_problem(path.as_str().unwrap_or_default()) {
                report.invalid(format!("{field}[{index}]"), path, why);
            }
        }
    }
}

/// What is wrong with `/a/path` or `/a/path/*`.
fn path_problem(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !path.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}

fn verbs(verbs: &Value, field: &str, report: &mut Report) {
    if is_empty(verbs) {
        report.required(field, "verbs must contain at least one value");
    } else if !alone(verbs, field, "verbs", report) {
        let is_known = |verb: &Value| verb.as_str().is_some_and(|verb| VERBS.contains(&verb));
        if !items(verbs).all(|(_, verb)| is_known(verb)) {
            report.add(Cause::not_supported(field, verbs, VERBS));
        }
    }
}

/// Whether `*` is in the list, and so every other thing too much.
fn alone(list: &Value, field: &str, what: &str, report: &mut Report) -> bool {
    let has_star = items(list).any(|(_, item)| item == "*");
    if has_star && items(list).count() > 1 {
        let why = format!("if '*' is present, must not specify other {what}");
        report.invalid(field, list, &why);
    }
    has_star
}

/// `PriorityLevelConfiguration`.
pub(super) fn level(level: &Value, report: &mut Report) {
    let (spec, name) = (&level["spec"], text(&level["metadata"], "name"));
    let ty = text(spec, "type");
    if (name == EXEMPT) != (ty == "Exempt") {
        let why = "must be 'Exempt' if and only if `name` is 'exempt'";
        report.invalid("spec.type", &spec["type"], why);
    }
    match ty {
        "Exempt" => {
            if !spec["limited"].is_null() {
                let why = "must be nil if the type is not Limited";
                report.forbidden("spec.limited", why);
            }
            shares(&spec["exempt"], "spec.exempt", report);
        }
        "Limited" => {
            if !spec["exempt"].is_null() {
                report.forbidden("spec.exempt", "must be nil if the type is Limited");
            }
            if spec["limited"].is_null() {
                let why = "must not be empty when type is Limited";
                report.required("spec.limited", why);
            } else {
                limited(&spec["limited"], report);
            }
        }
        _ => one_of(spec, "type", "spec.type", &["Exempt", "Limited"], report),
    }
    if let Some(fixed) = flow::mandatory_level(name) {
        let mut own = spec.clone();
        let but = if name == EXEMPT {
            own["exempt"] = fixed["exempt"].clone();
            " except the 'spec.exempt' field"
        } else {
            ""
        };
        if own != *fixed {
            let why = format!("spec of '{name}'{but} must equal the fixed value");
            report.invalid("spec", spec, &why);
        }
    }
}

fn shares(level: &Value, at: &str, report: &mut Report) {
    let shares = &level["nominalConcurrencyShares"];
    if shares.as_i64().is_some_and(|number| number < 0) {
        let field = format!("{at}.nominalConcurrencyShares");
        report.invalid(field, shares, "must be a non-negative integer");
    }
    let lendable = &level["lendablePercent"];
    if lendable
        .as_i64()
        .is_some_and(|percent| !(0..=100).contains(&percent))
    {
        let field = format!("{at}.lendablePercent");
        report.invalid(field, lendable, "must be between 0 and 100, inclusive");
    }
}

fn limited(limited: &Value, report: &mut Report) {
    const RESPONSE: &str = "spec.limited.limitResponse";
    shares(limited, "spec.limited", report);
    let response = &limited["limitResponse"];
    let (queuing, field) = (&response["queuing"], format!("{RESPONSE}.queuing"));
    match text(response, "type") {
        "Reject" if !queuing.is_null() => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            report.forbidden(field, why);
        }
        "Reject" => {}
        "Queue" if queuing.is_null() => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            report.required(field, why);
        }
        "Queue" => self::queuing(queuing, &field, report),
        _ => {
            let field = format!("{RESPONSE}.type");
            one_of(response, "type", &field, &["Queue", "Reject"], report);
        }
    }
    let borrowing = &limited["borrowingLimitPercent"];
    if borrowing.as_i64().is_some_and(|percent| percent < 0) {
        let why = "if specified, must be a non-negative integer";
        report.invalid("spec.limited.borrowingLimitPercent", borrowing, why);
    }
}

fn queuing(queuing: &Value, at: &str, report: &mut Report) {
    let number = |name: &str| queuing[name].as_i64().unwrap_or_default();
    let field = |name: &str| format!("{at}.{name}");
    if number("queueLengthLimit") <= 0 {
        let limit = &queuing["queueLengthLimit"];
        report.invalid(field("queueLengthLimit"), limit, "must be positive");
    }
    let (queues, hand) = (number("queues"), number("handSize"));
    if queues <= 0 {
        report.invalid(field("queues"), &queuing["queues"], "must be positive");
    } else if queues > MAX_QUEUES {
        let why = format!("must not be greater than {MAX_QUEUES}");
        report.invalid(field("queues"), &queuing["queues"], &why);
    }
    let why = if hand <= 0 {
        "must be positive".to_owned()
    } else if hand > queues {
        format!("should not be greater than queues ({queues})")
    } else if ((queues as f64).log2() * hand as f64).ceil() > HASH_BITS {
        format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        )
    } else {
        return;
    };
    report.invalid(field("handSize"), &queuing["handSize"], &why);
}

fn one_of(object: &Value, name: &str, field: &str, allowed: &[&str], report: &mut Report) {
    if !allowed.contains(&text(object, name)) {
        report.add(Cause::not_supported(
            field,
            &text(object, name).into(),
            allowed,
        ));
    }
}

fn is_empty(list: &Value) -> bool {
    items(list).next().is_none()
}
