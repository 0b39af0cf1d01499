//! ConfigMaps and Secrets. Contents of secrets never go into messages.

use serde_json::Value;

use super::{Report, text};
use crate::schema::canonical;
use crate::status::Cause;

/// Largest total of the values, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

pub(super) fn config_map(map: &Value, old: Option<&Value>, report: &mut Report) {
    let mut size = 0;
    for (key, value) in map["data"].as_object().into_iter().flatten() {
        config_key("data", key, report);
        if !map["binaryData"][key].is_null() {
            report.invalid(
                format!("data[{key}]"),
                &key.as_str().into(),
                "duplicate of key present in binaryData",
            );
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in map["binaryData"].as_object().into_iter().flatten() {
        config_key("binaryData", key, report);
        size += decoded_size(value);
    }
    if size > MAX_SIZE {
        // Kubernetes names no field here, and this is how it writes that.
        report.add(Cause::too_long("[]", MAX_SIZE));
    }
    frozen(map, old, &["data", "binaryData"], report);
}

/// An object that said it is immutable stays so.
fn frozen(value: &Value, old: Option<&Value>, members: &[&str], report: &mut Report) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else {
        return;
    };
    let what = "field is immutable when `immutable` is set";
    if value["immutable"] != true {
        report.forbidden("immutable", what);
    }
    for member in members {
        if value[*member] != old[*member] {
            report.forbidden(*member, what);
        }
    }
}

fn config_key(member: &str, key: &str, report: &mut Report) {
    let field = format!("{member}[{key}]");
    let value: Value = key.into();
    if key.len() > 253 {
        report.invalid(field.clone(), &value, "must be no more than 253 bytes");
    }
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if key.is_empty() || !key.bytes().all(is_allowed) {
        report.invalid(
            field,
            &value,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  \
             or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        );
    } else if key == "." {
        report.invalid(field, &value, "must not be '.'");
    } else if key == ".." {
        report.invalid(field, &value, "must not be '..'");
    } else if key.starts_with("..") {
        report.invalid(field, &value, "must not start with '..'");
    }
}

/// Bytes behind base64 text.
fn decoded_size(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    text.len() / 4 * 3
        - text
            .bytes()
            .rev()
            .take(2)
            .filter(|b| *b == b'=')
            .count()
            .min(text.len() / 4 * 3)
}

pub(super) fn secret(secret: &Value, old: Option<&Value>, report: &mut Report) {
    let mut size = 0;
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        config_key("data", key, report);
        size += decoded_size(value);
    }
    if size > MAX_SIZE {
        report.add(Cause::too_long("data", MAX_SIZE));
    }
    typed_secret(secret, report);
    if let Some(old) = old {
        report.immutable("type", &secret["type"], &old["type"]);
    }
    frozen(secret, old, &["data"], report);
}

/// What the well-known types of secrets must hold.
fn typed_secret(secret: &Value, report: &mut Report) {
    let data = &secret["data"];
    let mut needs = |keys: &[&str]| {
        for key in keys {
            if data[*key].is_null() {
                report.required(format!("data[{key}]"), "");
            }
        }
    };
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            if text(&secret["metadata"]["annotations"], name).is_empty() {
                report.required(format!("metadata.annotations[{name}]"), "");
            }
        }
        "kubernetes.io/tls" => needs(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => needs(&["ssh-privatekey"]),
        "kubernetes.io/dockercfg" => registry_credentials(data, ".dockercfg", report),
        "kubernetes.io/dockerconfigjson" => registry_credentials(data, ".dockerconfigjson", report),
        "kubernetes.io/basic-auth" if data["username"].is_null() && data["password"].is_null() => {
            needs(&["username", "password"]);
        }
        _ => {}
    }
}

fn registry_credentials(data: &Value, key: &str, report: &mut Report) {
    let field = format!("data[{key}]");
    let Some(text) = data[key].as_str() else {
        report.required(field, "");
        return;
    };
    let is_json = canonical::base64_bytes(text)
        .is_some_and(|bytes| serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
    if !is_json {
        report.invalid(
            field,
            &"<secret contents redacted>".into(),
            "invalid character in JSON",
        );
    }
}
