//! Names a server that takes part in the life of clusters: a runtime extension.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt, ResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::rules::{self, is_label};
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{Condition, CrdExt, DeprecatedConditions, DeprecatedV1Beta1, FieldError, schema};

/// Annotation of an ExtensionConfig: `namespace/name` of a Secret whose key [`CA_KEY`] is written to `spec.clientConfig.caBundle`.
pub const INJECT_CA_FROM_SECRET: &str = "runtime.cluster.x-k8s.io/inject-ca-from-secret";
/// The key of that Secret.
pub const CA_KEY: &str = "ca.crt";
/// The port of a Service if `spec.clientConfig.service.port` says none.
pub const DEFAULT_PORT: i32 = 443;

/// Where an extension answers, and which clusters it is asked about.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "runtime.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "ExtensionConfig",
    status = "ExtensionConfigStatus",
    derive = "PartialEq",
    shortname = "ext"
)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionConfigSpec {
    /// Where the extension answers, and who may have signed its certificate.
    pub client_config: ClientConfig,
    /// The namespaces of the Clusters that it is asked about. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub namespace_selector: Option<LabelSelector>,
    /// What each request tells the extension in `settings`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
}

/// Where an extension answers: either `url` or `service`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClientConfig {
    /// `https://host:port/path`, without user, query and fragment. Hooks are below this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub url: Option<String>,
    /// A Service of the management cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// Certificates in PEM of those who may have signed the extension's. Default: those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "ca_bundle")]
    pub ca_bundle: Option<ByteString>,
}

/// Names a Service and a place on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRef {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The path below which hooks are. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub path: Option<String>,
    /// Its port. Default: 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

fn ca_bundle(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "byte", "minLength": 1, "maxLength": 51200})
}

/// What the extension said it can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ExtensionConfigStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// Its handlers, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "handlers")]
    pub handlers: Option<Vec<Handler>>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedConditions>>,
}

/// One thing that an extension answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Its name: what the extension calls it, a dot and the name of the ExtensionConfig.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// The hook that it answers.
    pub request_hook: GroupVersionHook,
    /// Seconds that a call may take. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: Option<i32>,
    /// What a call that fails means: `Fail` stops what asked, `Ignore` goes on as if the extension had nothing to say. Default: `Fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
}

/// A hook and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupVersionHook {
    /// Group and version: `hooks.runtime.cluster.x-k8s.io/v1alpha1`.
    #[schemars(length(min = 1, max = 512))]
    pub api_version: String,
    /// The hook, such as `BeforeClusterCreate`.
    #[schemars(length(min = 1, max = 256))]
    pub hook: String,
}

/// What a call that fails means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum FailurePolicy {
    /// As if the extension had nothing to say.
    Ignore,
    /// What asked doesn't go on.
    #[default]
    Fail,
}

fn handlers(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": generator.subschema_for::<Handler>(),
        "maxItems": MAX_HANDLERS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

/// How many handlers an extension may have.
pub const MAX_HANDLERS: usize = 512;

/// Conditions of an ExtensionConfig.
pub mod conditions {
    /// The extension has said what it can do.
    pub const DISCOVERED: &str = "Discovered";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of an ExtensionConfig.
pub mod reasons {
    /// `status.handlers` is what the extension said.
    pub const DISCOVERED: &str = "Discovered";
    /// It could not be asked, or its answer makes no sense; the message says why. `status.handlers` is what it said before.
    pub const NOT_DISCOVERED: &str = "NotDiscovered";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Paused~", "string", condition_path!("Paused")),
    ("Discovered", "string", condition_path!("Discovered")),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    ExtensionConfig::crd().cluster_api(COLUMNS)
}

/// Fills what was left out: a selector of all namespaces, and the port of a Service.
pub fn default(config: &mut ExtensionConfig) {
    let spec = &mut config.spec;
    spec.namespace_selector.get_or_insert_default();
    if let Some(service) = &mut spec.client_config.service {
        service.port.get_or_insert(DEFAULT_PORT);
    }
}

/// What is wrong with an ExtensionConfig.
#[must_use]
pub fn validate(new: &ExtensionConfig) -> Vec<FieldError> {
    let mut errors = vec![];
    // Handlers are called `<handler>.<name>`: a dot in it could not be told from the one between.
    if !is_label(&new.name_any()) {
        errors.push(FieldError::invalid(
            "metadata.name",
            "must be a DNS label: up to 63 lower case letters, digits and -, such as my-extension",
        ));
    }
    let client = &new.spec.client_config;
    let path = "spec.clientConfig";
    match (&client.url, &client.service) {
        (None, None) => errors.push(FieldError::required(
            path,
            "either url or service must be set",
        )),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(
            path,
            "url and service cannot both be set; keep the one where the extension answers",
        )),
        (Some(url), None) => {
            if let Err(detail) = check_url(url) {
                let detail =
                    format!("{detail}; it must be like https://extension.example.com/path");
                errors.push(FieldError::invalid(format!("{path}.url"), detail));
            }
        }
        (None, Some(service)) => check_service(service, &mut errors),
    }
    if let Some(bundle) = &client.ca_bundle
        && !is_pem(&bundle.0)
    {
        errors.push(FieldError::invalid(
            format!("{path}.caBundle"),
            "must be certificates in PEM, from BEGIN CERTIFICATE to END CERTIFICATE",
        ));
    }
    if let Some(selector) = &new.spec.namespace_selector {
        rules::check_selector("spec.namespaceSelector", selector, &mut errors);
    }
    errors
}

/// What is wrong with the URL of an extension. It isn't repeated: it may hold a password.
///
/// # Errors
/// What is wrong, in words.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://");
    let rest = rest.ok_or("only https is allowed")?;
    if rest.contains('?') {
        return Err("it cannot have a query");
    }
    if rest.contains('#') {
        return Err("it cannot have a fragment");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("it cannot have a user or password");
    }
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address of IPv6 are in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("its port must be from 1 to 65535");
    }
    let is_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host
            .split('.')
            .all(|part| is_label(&part.to_ascii_lowercase())),
    };
    if !is_host {
        return Err("its host must be a name or an address");
    }
    if rest.contains(|c: char| !c.is_ascii_graphic()) {
        return Err("it can have no spaces and no characters beyond ASCII");
    }
    Ok(())
}

fn check_service(service: &ServiceRef, errors: &mut Vec<FieldError>) {
    let mut invalid = |field: &str, detail: String| {
        let path = format!("spec.clientConfig.service.{field}");
        errors.push(FieldError::invalid(path, detail));
    };
    for (field, value) in [("name", &service.name), ("namespace", &service.namespace)] {
        if !is_label(value) {
            invalid(
                field,
                format!(
                    "{value:?} must be the name of a {}",
                    if field == "name" {
                        "Service"
                    } else {
                        "Namespace"
                    }
                ),
            );
        }
    }
    if let Some(path) = &service.path {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
        if !path.starts_with('/') || !path.chars().all(is_plain) {
            invalid(
                "path",
                format!("{path:?} must be a path such as /hooks, without query and fragment"),
            );
        }
    }
    if let Some(port) = service.port
        && !(1..=65535).contains(&port)
    {
        invalid("port", format!("{port} must be from 1 to 65535"));
    }
}

/// Whether there is at least one certificate, and each one has its end. What is in them is found out when it is used.
fn is_pem(bundle: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bundle) else {
        return false;
    };
    let begins = text.matches("-----BEGIN CERTIFICATE-----").count();
    let ends = text.matches("-----END CERTIFICATE-----").count();
    begins > 0 && begins == ends
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    fn config(name: &str, client: &str, rest: &str) -> ExtensionConfig {
        let text =
            format!("{{metadata: {{name: {name}}}, spec: {{clientConfig: {{{client}}}{rest}}}}}");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn check(clients: &[&str], expect: Expect) {
        let mut text = String::new();
        for client in clients {
            let found = validate(&config("ext", client, ""));
            let first = found.first().map_or("fine".to_owned(), ToString::to_string);
            writeln!(text, "{client}\n  {first}").unwrap();
        }
        expect.assert_eq(&text);
    }

    #[test]
    fn an_extension_answers_in_one_place() {
        check(
            &[
                "",
                "url: 'https://a', service: {name: a, namespace: b}",
                "service: {name: a, namespace: b, port: 65535, path: /hooks}",
                "service: {name: a.b, namespace: b}",
                "service: {name: a, namespace: B}",
                "service: {name: a, namespace: b, port: 0}",
                "service: {name: a, namespace: b, path: hooks}",
                "service: {name: a, namespace: b, path: '/hooks?a'}",
                "url: 'https://a', caBundle: aGVsbG8=",
                "url: 'https://a', caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=",
            ],
            expect![[r#"

                  spec.clientConfig: Required value: either url or service must be set
                url: 'https://a', service: {name: a, namespace: b}
                  spec.clientConfig: Forbidden: url and service cannot both be set; keep the one where the extension answers
                service: {name: a, namespace: b, port: 65535, path: /hooks}
                  fine
                service: {name: a.b, namespace: b}
                  spec.clientConfig.service.name: Invalid value: "a.b" must be the name of a Service
                service: {name: a, namespace: B}
                  spec.clientConfig.service.namespace: Invalid value: "B" must be the name of a Namespace
                service: {name: a, namespace: b, port: 0}
                  spec.clientConfig.service.port: Invalid value: 0 must be from 1 to 65535
                service: {name: a, namespace: b, path: hooks}
                  spec.clientConfig.service.path: Invalid value: "hooks" must be a path such as /hooks, without query and fragment
                service: {name: a, namespace: b, path: '/hooks?a'}
                  spec.clientConfig.service.path: Invalid value: "/hooks?a" must be a path such as /hooks, without query and fragment
                url: 'https://a', caBundle: aGVsbG8=
                  spec.clientConfig.caBundle: Invalid value: must be certificates in PEM, from BEGIN CERTIFICATE to END CERTIFICATE
                url: 'https://a', caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
                  fine
            "#]],
        );
    }

    #[test]
    fn urls_are_plain_and_safe() {
        check(
            &[
                "url: 'https://Extension.example.com:8443/a/b'",
                "url: 'https://127.0.0.1:1'",
                "url: 'https://[::1]:8443/'",
                "url: 'https://[::1]'",
                "url: 'http://a'",
                "url: 'https://'",
                "url: 'https:///a'",
                "url: 'https://user:word@a'",
                "url: 'https://a?b'",
                "url: 'https://a/#b'",
                "url: 'https://a:0'",
                "url: 'https://a:65536'",
                "url: 'https://a:'",
                "url: 'https://[::1'",
                "url: 'https://a b'",
                "url: 'https://a/b c'",
            ],
            expect![[r#"
                url: 'https://Extension.example.com:8443/a/b'
                  fine
                url: 'https://127.0.0.1:1'
                  fine
                url: 'https://[::1]:8443/'
                  fine
                url: 'https://[::1]'
                  fine
                url: 'http://a'
                  spec.clientConfig.url: Invalid value: only https is allowed; it must be like https://extension.example.com/path
                url: 'https://'
                  spec.clientConfig.url: Invalid value: its host must be a name or an address; it must be like https://extension.example.com/path
                url: 'https:///a'
                  spec.clientConfig.url: Invalid value: its host must be a name or an address; it must be like https://extension.example.com/path
                url: 'https://user:word@a'
                  spec.clientConfig.url: Invalid value: it cannot have a user or password; it must be like https://extension.example.com/path
                url: 'https://a?b'
                  spec.clientConfig.url: Invalid value: it cannot have a query; it must be like https://extension.example.com/path
                url: 'https://a/#b'
                  spec.clientConfig.url: Invalid value: it cannot have a fragment; it must be like https://extension.example.com/path
                url: 'https://a:0'
                  spec.clientConfig.url: Invalid value: its port must be from 1 to 65535; it must be like https://extension.example.com/path
                url: 'https://a:65536'
                  spec.clientConfig.url: Invalid value: its port must be from 1 to 65535; it must be like https://extension.example.com/path
                url: 'https://a:'
                  spec.clientConfig.url: Invalid value: its port must be from 1 to 65535; it must be like https://extension.example.com/path
                url: 'https://[::1'
                  spec.clientConfig.url: Invalid value: its host must be a name or an address; it must be like https://extension.example.com/path
                url: 'https://a b'
                  spec.clientConfig.url: Invalid value: its host must be a name or an address; it must be like https://extension.example.com/path
                url: 'https://a/b c'
                  spec.clientConfig.url: Invalid value: it can have no spaces and no characters beyond ASCII; it must be like https://extension.example.com/path
            "#]],
        );
    }

    #[test]
    fn defaults_are_filled_and_names_and_selectors_are_checked() {
        let mut plain = config("ext", "service: {name: a, namespace: b}", "");
        default(&mut plain);
        let selector = ", namespaceSelector: {matchExpressions: [{key: a, operator: Like}]}";
        let mut text = serde_saphyr::to_string(&plain.spec).unwrap();
        for error in validate(&config("a.b", "url: 'https://a'", selector)) {
            writeln!(text, "{error}").unwrap();
        }
        expect![[r#"
            clientConfig:
              service:
                namespace: b
                name: a
                port: 443
            namespaceSelector: {}
            metadata.name: Invalid value: must be a DNS label: up to 63 lower case letters, digits and -, such as my-extension
            spec.namespaceSelector.matchExpressions[0].operator: Invalid value: "Like" must be one of In, NotIn, Exists, DoesNotExist
        "#]].assert_eq(&text);
    }
}
