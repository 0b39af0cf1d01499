//! The rules of `metadata`: names, labels, annotations, finalizers, owners. Texts are Kubernetes'.

use serde_json::Value;

use crate::resource::{NameRule, Resource};
use crate::status::Cause;

/// Total of all keys and values of the annotations, in bytes.
pub const MAX_ANNOTATIONS: usize = 256 * 1024;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
     must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with `metadata` of a new object (`old` absent) or of a changed one.
#[must_use]
pub fn validate(resource: &Resource, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let meta = &value["metadata"];
    let mut causes = Vec::new();
    identity(resource, meta, &mut causes);
    if meta["generation"].as_i64().is_some_and(|n| n < 0) {
        causes.push(Cause::invalid(
            "metadata.generation",
            &meta["generation"],
            "must be greater than or equal to 0",
        ));
    }
    labels(&meta["labels"], "metadata.labels", &mut causes);
    annotations(&meta["annotations"], "metadata.annotations", &mut causes);
    owners(&meta["ownerReferences"], &mut causes);
    finalizers(&resource.group, &meta["finalizers"], &mut causes);
    if let Some(old) = old {
        update(meta, &old["metadata"], &mut causes);
    }
    causes
}

fn identity(resource: &Resource, meta: &Value, causes: &mut Vec<Cause>) {
    let text = |name: &str| meta[name].as_str().unwrap_or_default();
    let (name, base) = (text("name"), text("generateName"));
    if !base.is_empty() {
        // The suffix that completes it is alphanumeric.
        for detail in name_errors(resource.strategy.names, base, true) {
            causes.push(Cause::invalid(
                "metadata.generateName",
                &base.into(),
                &detail,
            ));
        }
    }
    if name.is_empty() {
        if base.is_empty() {
            causes.push(Cause::required(
                "metadata.name",
                "name or generateName is required",
            ));
        }
    } else {
        for detail in name_errors(resource.strategy.names, name, false) {
            causes.push(Cause::invalid("metadata.name", &name.into(), &detail));
        }
    }
    let namespace = text("namespace");
    if resource.namespaced {
        if namespace.is_empty() {
            causes.push(Cause::required("metadata.namespace", ""));
        } else {
            for detail in label(namespace) {
                causes.push(Cause::invalid(
                    "metadata.namespace",
                    &namespace.into(),
                    &detail,
                ));
            }
        }
    } else if !namespace.is_empty() {
        causes.push(Cause::forbidden(
            "metadata.namespace",
            "not allowed on this type",
        ));
    }
}

/// What is wrong with a name under `rule`; with `is_prefix`, whether it could begin a generated name.
#[must_use]
pub fn name_errors(rule: NameRule, name: &str, is_prefix: bool) -> Vec<String> {
    let masked;
    let name = if is_prefix && name.ends_with('-') && name.len() > 1 {
        masked = format!("{}a", &name[..name.len() - 1]);
        &*masked
    } else {
        name
    };
    match rule {
        NameRule::Subdomain => subdomain(name),
        NameRule::Label => label(name),
        NameRule::Label1035 => label_1035(name),
        NameRule::PathSegment => path_segment(name, is_prefix),
        NameRule::Address => address(name),
    }
}

fn too_long(text: &str, max: usize, errors: &mut Vec<String>) {
    if text.len() > max {
        errors.push(format!("must be no more than {max} bytes"));
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// What is wrong with an RFC 1123 subdomain.
#[must_use]
pub fn subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    too_long(text, 253, &mut errors);
    if !text.split('.').all(is_label) {
        errors.push(SUBDOMAIN.into());
    }
    errors
}

/// What is wrong with an RFC 1123 label.
#[must_use]
pub fn label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    too_long(text, 63, &mut errors);
    if is_label(text) {
        return errors;
    }
    // What is right but for its dots is told so.
    let is_subdomain = text.split('.').all(is_label);
    let what = if is_subdomain {
        "must not contain dots"
    } else {
        LABEL
    };
    errors.push(what.into());
    errors
}

/// What is wrong with an RFC 1035 label.
#[must_use]
pub fn label_1035(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    too_long(text, 63, &mut errors);
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        errors.push(LABEL_1035.into());
    }
    errors
}

/// Addresses have many spellings, and a name only one.
fn address(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == text => vec![],
        Ok(address) => vec![format!(
            "must be in canonical form ({:?})",
            address.to_string()
        )],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()],
    }
}

fn path_segment(text: &str, is_prefix: bool) -> Vec<String> {
    if !is_prefix && matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    ['/', '%']
        .iter()
        .filter(|c| text.contains(**c))
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

/// What is wrong with a qualified name (`[prefix/]name`): keys of labels and annotations, finalizers.
#[must_use]
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match *parts {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".into());
            } else {
                errors.extend(
                    subdomain(prefix)
                        .into_iter()
                        .map(|e| format!("prefix part {e}")),
                );
            }
            name
        }
        _ => {
            errors.push(format!(
                "a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".into());
    }
    if !is_qualified(name) {
        errors.push(format!("name part {QUALIFIED}"));
    }
    errors
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What is wrong with the value of a label.
#[must_use]
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    too_long(text, 63, &mut errors);
    if !text.is_empty() && !is_qualified(text) {
        errors.push(LABEL_VALUE.into());
    }
    errors
}

/// Checks the keys and values of labels at `field`.
pub(crate) fn labels(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        for detail in qualified_name(key) {
            causes.push(Cause::invalid(field, &key.as_str().into(), &detail));
        }
        for detail in label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(field, value, &detail));
        }
    }
}

/// Checks the keys and the size of annotations at `field`.
pub(crate) fn annotations(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    let mut total = 0;
    for (key, value) in value.as_object().into_iter().flatten() {
        for detail in qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid(field, &key.as_str().into(), &detail));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > MAX_ANNOTATIONS {
        causes.push(Cause::too_long(field, MAX_ANNOTATIONS));
    }
}

fn owners(owners: &Value, causes: &mut Vec<Cause>) {
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        let field = |name: &str| format!("metadata.ownerReferences.{name}");
        let text = |name: &str| owner[name].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version.is_empty() || api_version.ends_with('/') {
            causes.push(Cause::invalid(
                field("apiVersion"),
                &api_version.into(),
                "version must not be empty",
            ));
        }
        for name in ["kind", "name", "uid"] {
            if text(name).is_empty() {
                causes.push(Cause::invalid(field(name), &"".into(), "must not be empty"));
            }
        }
        if kind == "Event" && matches!(api_version, "v1" | "events.k8s.io/v1") {
            let group_version = if api_version == "v1" {
                "/v1"
            } else {
                api_version
            };
            let what = format!("{group_version}, Kind={kind} is disallowed from being an owner");
            causes.push(Cause::invalid("metadata.ownerReferences", owner, &what));
        }
        if owner["controller"] == true {
            let name = format!("{kind}/{}", text("name"));
            match &controller {
                Some(first) => causes.push(Cause::invalid(
                    "metadata.ownerReferences",
                    owners,
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    ),
                )),
                None => controller = Some(name),
            }
        }
    }
}

fn finalizers(group: &str, finalizers: &Value, causes: &mut Vec<Cause>) {
    let names: Vec<&str> = finalizers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for name in &names {
        for detail in qualified_name(name) {
            causes.push(Cause::invalid(
                "metadata.finalizers",
                &(*name).into(),
                &detail,
            ));
        }
        // The core group wants a domain before all but its own three.
        let is_standard = matches!(*name, "orphan" | "foregroundDeletion" | "kubernetes");
        if group.is_empty() && !name.contains('/') && !is_standard {
            causes.push(Cause::invalid(
                "metadata.finalizers",
                &(*name).into(),
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        causes.push(Cause::invalid(
            "metadata.finalizers",
            finalizers,
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

fn update(meta: &Value, old: &Value, causes: &mut Vec<Cause>) {
    for name in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let text = |value: &Value| value[name].as_str().unwrap_or_default().to_owned();
        let is_same = meta[name] == old[name]
            || (text(meta) == text(old) && !meta[name].is_number() && !old[name].is_number());
        if !is_same {
            causes.push(Cause::invalid(
                format!("metadata.{name}"),
                &meta[name],
                "field is immutable",
            ));
        }
    }
    if !old["deletionTimestamp"].is_null() {
        let before: Vec<&Value> = old["finalizers"].as_array().into_iter().flatten().collect();
        let mut added: Vec<String> = meta["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|name| !before.contains(name))
            .map(Value::to_string)
            .collect();
        added.sort();
        if !added.is_empty() {
            causes.push(Cause::forbidden(
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers \
                     []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    if meta["generation"].as_i64().unwrap_or_default()
        < old["generation"].as_i64().unwrap_or_default()
    {
        causes.push(Cause::invalid(
            "metadata.generation",
            &meta["generation"],
            "must not be decremented",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(plural: &str, metadata: &str, old: Option<&str>, expected: Expect) {
        let resource = crate::resource::builtin()
            .iter()
            .find(|r| &*r.plural == plural)
            .unwrap();
        let object = |text: &str| serde_json::json!({"metadata": serde_json::from_str::<Value>(text).unwrap()});
        let causes = validate(resource, &object(metadata), old.map(object).as_ref());
        let shown: Vec<String> = causes
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn names_follow_the_rule_of_the_kind() {
        check(
            "configmaps",
            r#"{"name":"A_b","namespace":"x"}"#,
            None,
            expect![[
                r#"metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
            ]],
        );
        check(
            "configmaps",
            r#"{"name":"a.b","namespace":"x.y"}"#,
            None,
            expect![[r#"metadata.namespace: Invalid value: "x.y": must not contain dots"#]],
        );
        check(
            "configmaps",
            r#"{"generateName":"a-","namespace":"x"}"#,
            None,
            expect![[""]],
        );
        check(
            "configmaps",
            r#"{}"#,
            None,
            expect![[r#"
            metadata.name: Required value: name or generateName is required
            metadata.namespace: Required value"#]],
        );
        check(
            "services",
            r#"{"name":"1a","namespace":"x"}"#,
            None,
            expect![[
                r#"metadata.name: Invalid value: "1a": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"#
            ]],
        );
        check(
            "namespaces",
            r#"{"name":"a.b","namespace":"x"}"#,
            None,
            expect![[r#"
                metadata.name: Invalid value: "a.b": must not contain dots
                metadata.namespace: Forbidden: not allowed on this type"#]],
        );
        check(
            "clusterroles",
            r#"{"name":"system:a/b"}"#,
            None,
            expect![[r#"metadata.name: Invalid value: "system:a/b": may not contain '/'"#]],
        );
        check(
            "clusterroles",
            r#"{"name":"System:Admin"}"#,
            None,
            expect![[""]],
        );
    }

    #[test]
    fn labels_annotations_owners_and_finalizers_are_checked() {
        check(
            "nodes",
            r#"{"name":"a","labels":{"a/b/c":"x","/a":"-","ok":"A_b.c","":""},"annotations":{"Ok/Fine":"é","b ad":""}}"#,
            None,
            expect![[r#"
                metadata.labels: Invalid value: "": name part must be non-empty
                metadata.labels: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
                metadata.labels: Invalid value: "/a": prefix part must be non-empty
                metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
                metadata.labels: Invalid value: "a/b/c": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
                metadata.annotations: Invalid value: "b ad": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#]],
        );
        check(
            "nodes",
            r#"{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"Event","name":"e","uid":"1","controller":true},{"apiVersion":"","kind":"","name":"b","uid":"","controller":true}]}"#,
            None,
            expect![[r#"
                metadata.ownerReferences: Invalid value: {"apiVersion":"v1","controller":true,"kind":"Event","name":"e","uid":"1"}: /v1, Kind=Event is disallowed from being an owner
                metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty
                metadata.ownerReferences.kind: Invalid value: "": must not be empty
                metadata.ownerReferences.uid: Invalid value: "": must not be empty
                metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","controller":true,"kind":"Event","name":"e","uid":"1"},{"apiVersion":"","controller":true,"kind":"","name":"b","uid":""}]: Only one reference can have Controller set to true. Found "true" in references for Event/e and /b"#]],
        );
        check(
            "nodes",
            r#"{"name":"a","finalizers":["x","a/b","orphan","foregroundDeletion"]}"#,
            None,
            expect![[r#"
                metadata.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified
                metadata.finalizers: Invalid value: ["x","a/b","orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set"#]],
        );
        let big = format!(
            r#"{{"name":"a","annotations":{{"a":"{}"}}}}"#,
            "x".repeat(MAX_ANNOTATIONS)
        );
        check(
            "nodes",
            &big,
            None,
            expect!["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
    }

    #[test]
    fn identity_does_not_change() {
        check(
            "nodes",
            r#"{"name":"a","uid":"2","generation":1,"finalizers":["a/b","a/c"],"deletionTimestamp":"2026-01-01T00:00:00Z"}"#,
            Some(
                r#"{"name":"a","uid":"1","generation":2,"finalizers":["a/b"],"deletionTimestamp":"2026-01-01T00:00:00Z"}"#,
            ),
            expect![[r#"
                metadata.uid: Invalid value: "2": field is immutable
                metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a/c"}
                metadata.generation: Invalid value: 1: must not be decremented"#]],
        );
        check(
            "nodes",
            r#"{"name":"a","uid":"1"}"#,
            Some(r#"{"name":"a","uid":"1","deletionTimestamp":"2026-01-01T00:00:00Z"}"#),
            expect!["metadata.deletionTimestamp: Invalid value: null: field is immutable"],
        );
    }
}
