//! What is wrong with a definition, in Kubernetes' words.

use std::sync::Arc;

use serde_json::Value;

use super::status::{APPROVED, Approval, approval_of, is_protected};
use super::{Compiled, Names};
use crate::resource::{Resource, builtin};
use crate::schema::meta::{label_1035, subdomain};
use crate::status::Cause;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &[
    "binary",
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "name",
    "password",
];
const MAX_SELECTABLE_FIELDS: usize = 8;

/// What is wrong with a new definition (`old` absent) or a changed one, beside its metadata. The definition is defaulted.
#[must_use]
pub fn validate(crd: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = &crd["spec"];
    let mut causes = Vec::new();
    let names = Names::requested(spec);
    let group = spec["group"].as_str().unwrap_or_default();
    let is_builtin = |r: &Arc<Resource>| *r.group == *group && *r.plural == *names.plural;
    if old.is_none() && builtin().iter().any(is_builtin) {
        let what = "is served by this API server itself";
        let name = &crd["metadata"]["name"];
        causes.push(Cause::invalid("metadata.name", name, what));
    }
    if crd["metadata"]["name"] != format!("{}.{group}", names.plural) {
        let what = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid(
            "metadata.name",
            &crd["metadata"]["name"],
            what,
        ));
    }
    self::group(group, &mut causes);
    scope(&spec["scope"], &mut causes);
    versions(crd, &mut causes);
    self::names(&names, &mut causes);
    conversion(&spec["conversion"], &mut causes);
    if spec["preserveUnknownFields"] == true
        && old.is_none_or(|old| old["spec"]["preserveUnknownFields"] != true)
    {
        causes.push(Cause::invalid(
            "spec.preserveUnknownFields",
            &true.into(),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    approval(crd, old, group, &mut causes);
    stored_versions(crd, &mut causes);
    // A stored definition may break rules that are younger than it, as long as its schemas stay.
    if old.is_none_or(|old| old["spec"]["versions"] != spec["versions"]) {
        let mut violations = Compiled::of(crd).violations.clone();
        violations.sort_by(|a, b| (&a.field, &a.message).cmp(&(&b.field, &b.message)));
        violations.dedup();
        causes.extend(violations);
    }
    if let Some(old) = old {
        update(crd, old, &mut causes);
    }
    causes
}

fn group(group: &str, causes: &mut Vec<Cause>) {
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
        return;
    }
    let errors = subdomain(group);
    if !errors.is_empty() {
        causes.push(Cause::invalid(
            "spec.group",
            &group.into(),
            &errors.join(","),
        ));
    } else if !group.contains('.') {
        causes.push(Cause::invalid(
            "spec.group",
            &group.into(),
            "should be a domain with at least one dot",
        ));
    }
}

fn scope(scope: &Value, causes: &mut Vec<Cause>) {
    match scope.as_str().unwrap_or_default() {
        "" => causes.push(Cause::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        _ => causes.push(Cause::not_supported(
            "spec.scope",
            scope,
            &["Cluster", "Namespaced"],
        )),
    }
}

fn versions(crd: &Value, causes: &mut Vec<Cause>) {
    let versions = &crd["spec"]["versions"];
    let list: Vec<&Value> = versions.as_array().into_iter().flatten().collect();
    let mut seen = Vec::new();
    for (index, version) in list.iter().enumerate() {
        let at = format!("spec.versions[{index}]");
        let name = version["name"].as_str().unwrap_or_default();
        let errors = label_1035(name);
        if !errors.is_empty() {
            causes.push(Cause::invalid(
                format!("{at}.name"),
                &name.into(),
                &errors.join(","),
            ));
        }
        if seen.contains(&name) {
            causes.push(Cause::invalid(
                "spec.versions",
                versions,
                "must contain unique version names",
            ));
        }
        seen.push(name);
        if !version["schema"]["openAPIV3Schema"].is_object()
            && crd["spec"]["preserveUnknownFields"] != true
        {
            let field = format!("{at}.schema.openAPIV3Schema");
            causes.push(Cause::required(field, ""));
        }
        subresources(
            &version["subresources"],
            &format!("{at}.subresources"),
            causes,
        );
        for (column_index, column) in version["additionalPrinterColumns"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            column_rules(
                column,
                &format!("{at}.additionalPrinterColumns[{column_index}]"),
                causes,
            );
        }
        selectable_fields(version, &at, causes);
        let warning = version["deprecationWarning"].as_str().unwrap_or_default();
        if !warning.is_empty() && version["deprecated"] != true {
            let what = "can only be set for deprecated versions";
            causes.push(Cause::invalid(
                format!("{at}.deprecationWarning"),
                &warning.into(),
                what,
            ));
        }
        if warning.len() > 256 {
            let what = "must be <= 256 UTF-8 bytes";
            causes.push(Cause::invalid(
                format!("{at}.deprecationWarning"),
                &warning.into(),
                what,
            ));
        }
    }
    if list
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        let what = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", versions, what));
    }
}

fn subresources(subresources: &Value, at: &str, causes: &mut Vec<Cause>) {
    let scale = &subresources["scale"];
    if !scale.is_object() {
        return;
    }
    for (name, roots, what) in [
        (
            "specReplicasPath",
            &[".spec."][..],
            "should be a json path under .spec",
        ),
        (
            "statusReplicasPath",
            &[".status."][..],
            "should be a json path under .status",
        ),
        (
            "labelSelectorPath",
            &[".spec.", ".status."][..],
            "should be a json path under either .spec or .status",
        ),
    ] {
        let field = format!("{at}.scale.{name}");
        match scale[name].as_str().unwrap_or_default() {
            "" if name == "labelSelectorPath" => {}
            "" => causes.push(Cause::required(field, "")),
            path => {
                if let Some(what) = simple_path_error(path) {
                    causes.push(Cause::invalid(field, &path.into(), what));
                } else if !roots.iter().any(|root| path.starts_with(root)) {
                    causes.push(Cause::invalid(field, &path.into(), what));
                }
            }
        }
    }
}

/// What is wrong with a path of names behind dots.
fn simple_path_error(path: &str) -> Option<&'static str> {
    if !path.starts_with('.') {
        return Some("must be a simple json path starting with .");
    }
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    (!path[1..].split('.').all(is_name)).then_some("must be a json path in the dot notation")
}

fn column_rules(column: &Value, at: &str, causes: &mut Vec<Cause>) {
    let text = |name: &str| column[name].as_str().unwrap_or_default();
    if text("name").is_empty() {
        causes.push(Cause::required(format!("{at}.name"), ""));
    }
    let what = format!("must be one of {}", COLUMN_TYPES.join(","));
    if text("type").is_empty() {
        causes.push(Cause::required(format!("{at}.type"), &what));
    } else if !COLUMN_TYPES.contains(&text("type")) {
        causes.push(Cause::invalid(format!("{at}.type"), &column["type"], &what));
    }
    if !text("format").is_empty() && !COLUMN_FORMATS.contains(&text("format")) {
        let what = format!("must be one of {}", COLUMN_FORMATS.join(","));
        causes.push(Cause::invalid(
            format!("{at}.format"),
            &column["format"],
            &what,
        ));
    }
    if text("jsonPath").is_empty() {
        causes.push(Cause::required(format!("{at}.JSONPath"), ""));
    }
}

fn selectable_fields(version: &Value, at: &str, causes: &mut Vec<Cause>) {
    let fields: Vec<&Value> = version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let mut seen = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let at = format!("{at}.selectableFields[{index}].jsonPath");
        let path = field["jsonPath"].as_str().unwrap_or_default();
        if path.is_empty() {
            causes.push(Cause::required(at, ""));
            continue;
        }
        if let Some(what) = simple_path_error(path) {
            let what = format!("is an invalid path: {what}");
            causes.push(Cause::invalid(at, &path.into(), &what));
            continue;
        }
        if path == ".metadata" || path.starts_with(".metadata.") {
            causes.push(Cause::invalid(
                at.clone(),
                &path.into(),
                "must not point to fields in metadata",
            ));
        }
        let mut node = &version["schema"]["openAPIV3Schema"];
        for name in path[1..].split('.') {
            node = &node["properties"][name];
        }
        if !matches!(
            node["type"].as_str(),
            Some("string" | "boolean" | "integer")
        ) {
            causes.push(Cause::invalid(
                at.clone(),
                &path.into(),
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ));
        }
        if seen.contains(&path) {
            causes.push(Cause::duplicate(at, &path.into()));
        }
        seen.push(path);
    }
    if seen.len() > MAX_SELECTABLE_FIELDS {
        causes.push(Cause::too_many(
            format!("{at}.selectableFields"),
            seen.len(),
            MAX_SELECTABLE_FIELDS,
        ));
    }
}

fn names(names: &Names, causes: &mut Vec<Cause>) {
    for (field, name) in [("plural", &names.plural), ("singular", &names.singular)] {
        let at = format!("spec.names.{field}");
        if name.is_empty() {
            causes.push(Cause::required(at, ""));
            continue;
        }
        let errors = label_1035(name);
        if !errors.is_empty() {
            causes.push(Cause::invalid(at, &name.as_str().into(), &errors.join(",")));
        }
    }
    for (field, name) in [("kind", &names.kind), ("listKind", &names.list_kind)] {
        let at = format!("spec.names.{field}");
        if name.is_empty() {
            causes.push(Cause::required(at, ""));
            continue;
        }
        let errors = label_1035(&name.to_lowercase());
        if !errors.is_empty() {
            let what = format!(
                "may have mixed case, but should otherwise match: {}",
                errors.join(",")
            );
            causes.push(Cause::invalid(at, &name.as_str().into(), &what));
        }
    }
    for (field, list) in [
        ("shortNames", &names.short_names),
        ("categories", &names.categories),
    ] {
        for (index, name) in list.iter().enumerate() {
            let errors = label_1035(name);
            if !errors.is_empty() {
                let at = format!("spec.names.{field}[{index}]");
                causes.push(Cause::invalid(at, &name.as_str().into(), &errors.join(",")));
            }
        }
    }
    if names.kind == names.list_kind && !names.kind.is_empty() {
        let what = "kind and listKind may not be the same";
        causes.push(Cause::invalid(
            "spec.names.listKind",
            &names.list_kind.as_str().into(),
            what,
        ));
    }
}

fn conversion(conversion: &Value, causes: &mut Vec<Cause>) {
    if conversion.is_null() {
        return;
    }
    let webhook = &conversion["webhook"];
    match conversion["strategy"].as_str().unwrap_or_default() {
        "" => causes.push(Cause::required("spec.conversion.strategy", "")),
        "None" => {
            if !webhook.is_null() {
                let what = "should not be set when strategy is not set to Webhook";
                causes.push(Cause::forbidden("spec.conversion.webhook", what));
            }
        }
        "Webhook" => {
            let config = &webhook["clientConfig"];
            if !config.is_object() {
                let what = "required when strategy is set to Webhook";
                causes.push(Cause::required("spec.conversion.webhookClientConfig", what));
            } else {
                let at = "spec.conversion.webhookClientConfig";
                causes.extend(crate::schema::client_config(config, at));
            }
            let versions = &webhook["conversionReviewVersions"];
            let list: Vec<&str> = versions
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for (index, version) in list.iter().enumerate() {
                let at = format!("spec.conversion.conversionReviewVersions[{index}]");
                if list[..index].contains(version) {
                    causes.push(Cause::invalid(at, &(*version).into(), "duplicate version"));
                    continue;
                }
                let errors = label_1035(version);
                if !errors.is_empty() {
                    causes.push(Cause::invalid(at, &(*version).into(), &errors.join(",")));
                }
            }
            if list.is_empty() {
                causes.push(Cause::required(
                    "spec.conversion.conversionReviewVersions",
                    "",
                ));
            } else if !list
                .iter()
                .any(|version| matches!(*version, "v1" | "v1beta1"))
            {
                let what = "must include at least one of v1, v1beta1";
                causes.push(Cause::invalid(
                    "spec.conversion.conversionReviewVersions",
                    versions,
                    what,
                ));
            }
        }
        _ => {
            let strategy = &conversion["strategy"];
            causes.push(Cause::not_supported(
                "spec.conversion.strategy",
                strategy,
                &["None", "Webhook"],
            ));
        }
    }
}

fn approval(crd: &Value, old: Option<&Value>, group: &str, causes: &mut Vec<Cause>) {
    let state = approval_of(crd);
    if !is_protected(group) || old.is_some_and(|old| approval_of(old) == state) {
        return;
    }
    let field = format!("metadata.annotations[{APPROVED}]");
    match state {
        Approval::Approved(_) | Approval::Bypassed(_) => {}
        Approval::Missing(why) => causes.push(Cause::required(field, &why)),
        Approval::Invalid(why) => {
            causes.push(Cause::invalid(
                field,
                &crd["metadata"]["annotations"][APPROVED],
                &why,
            ));
        }
    }
}

fn stored_versions(crd: &Value, causes: &mut Vec<Cause>) {
    let versions: Vec<&Value> = crd["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    for (index, stored) in crd["status"]["storedVersions"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if !versions.iter().any(|version| version["name"] == *stored) {
            let name = stored.as_str().unwrap_or_default();
            causes.push(Cause::invalid(
                format!("status.storedVersions[{index}]"),
                stored,
                &format!(
                    "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                     until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                     status.storedVersions"
                ),
            ));
        }
    }
}

fn update(crd: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let is_established = old["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    let (spec, before) = (&crd["spec"], &old["spec"]);
    let mut fixed = vec![
        ("spec.group", &spec["group"], &before["group"]),
        (
            "spec.names.plural",
            &spec["names"]["plural"],
            &before["names"]["plural"],
        ),
    ];
    if is_established {
        fixed.push(("spec.scope", &spec["scope"], &before["scope"]));
        fixed.push((
            "spec.names.kind",
            &spec["names"]["kind"],
            &before["names"]["kind"],
        ));
    }
    for (field, new, old) in fixed {
        if new != old {
            causes.push(Cause::invalid(field, new, "field is immutable"));
        }
    }
}
