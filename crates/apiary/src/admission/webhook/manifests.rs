//! The manifests that lead an API server's requests to the webhooks. Pure.

use api::meta::V1BETA2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where objects are filled.
pub const MUTATE: &str = "/mutate";
/// Where objects are checked.
pub const VALIDATE: &str = "/validate";
/// Where objects are converted.
pub const CONVERT: &str = "/convert";

/// How API servers reach the webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By an address, such as `https://webhooks.example.com:9443`.
    Url(String),
    /// By a Service of the cluster.
    Service {
        namespace: String,
        name: String,
        port: u16,
    },
}

impl Place {
    /// Reads an `https://` address without path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_url(text: &str) -> Result<Self, String> {
        let uri: http::Uri = text.parse().map_err(|e| format!("{text:?}: {e}"))?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("https") || uri.host().is_none() || !is_bare {
            return Err(format!(
                "{text:?} must be an address such as https://webhooks.example.com:9443, without a path"
            ));
        }
        Ok(Self::Url(text.trim_end_matches('/').to_owned()))
    }

    /// Reads `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_service(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} must be NAMESPACE/NAME or NAMESPACE/NAME:PORT");
        let (namespace, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| wrong())?),
            None => (rest, 443),
        };
        if namespace.is_empty() || name.is_empty() || name.contains('/') || port == 0 {
            return Err(wrong());
        }
        Ok(Self::Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
        })
    }

    fn client_config(&self, path: &str, authority: &str) -> Value {
        let mut config = match self {
            Self::Url(url) => json!({"url": format!("{url}{path}")}),
            Self::Service {
                namespace,
                name,
                port,
            } => {
                json!({"service": {"namespace": namespace, "name": name, "port": port, "path": path}})
            }
        };
        config["caBundle"] = json!(STANDARD.encode(authority));
        config
    }
}

/// The definitions of all kinds, converted at `place`, and the webhooks for those of Cluster API. `authority` is the PEM of who issued the
/// server's certificate.
#[must_use]
pub fn manifests(place: &Place, authority: &str) -> Vec<Value> {
    let mut all = api::crds();
    let (mutating, validating) = (rules(&all, false), rules(&all, true));
    for crd in &mut all {
        let versions = crd["spec"]["versions"].as_array().map_or(0, Vec::len);
        if versions > 1 {
            crd["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": place.client_config(CONVERT, authority),
            }});
        }
    }
    let configuration = |kind: &str, name: &str, path: &str, rules: Vec<Value>| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "apiary-cluster-api"},
            "webhooks": [{
                "name": name,
                "admissionReviewVersions": ["v1"],
                "clientConfig": place.client_config(path, authority),
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "rules": rules,
                "sideEffects": "None",
                "timeoutSeconds": 10,
            }],
        })
    };
    all.push(configuration(
        "MutatingWebhookConfiguration",
        "default.cluster.x-k8s.io",
        MUTATE,
        mutating,
    ));
    all.push(configuration(
        "ValidatingWebhookConfiguration",
        "validation.cluster.x-k8s.io",
        VALIDATE,
        validating,
    ));
    all
}

/// A rule for each group of Cluster API, and where objects are checked, for sizes and for the deletion of classes.
fn rules(crds: &[Value], is_check: bool) -> Vec<Value> {
    let mut groups: Vec<(&str, Vec<String>)> = vec![];
    let mut sizes: Vec<(&str, Vec<String>)> = vec![];
    fn put<'a>(groups: &mut Vec<(&'a str, Vec<String>)>, group: &'a str, resource: String) {
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, resources)) => resources.push(resource),
            None => groups.push((group, vec![resource])),
        }
    }
    for crd in crds {
        let (Some(group), Some(plural)) = (
            crd["spec"]["group"].as_str(),
            crd["spec"]["names"]["plural"].as_str(),
        ) else {
            continue;
        };
        if !group.ends_with("cluster.x-k8s.io") {
            continue;
        }
        put(&mut groups, group, plural.to_owned());
        if !crd["spec"]["versions"][0]["subresources"]["scale"].is_null() {
            put(&mut sizes, group, format!("{plural}/scale"));
        }
    }
    let rule = |group: &str, operations: &[&str], resources: &[String]| {
        json!({
            "apiGroups": [group], "apiVersions": [V1BETA2], "operations": operations,
            "resources": resources, "scope": "*",
        })
    };
    let all = groups.iter();
    let mut rules: Vec<Value> = all
        .map(|(group, resources)| rule(group, &["CREATE", "UPDATE"], resources))
        .collect();
    if is_check {
        let sizes = sizes.iter();
        rules.extend(sizes.map(|(group, resources)| rule(group, &["UPDATE"], resources)));
        let classes = ["clusterclasses".to_owned()];
        rules.push(rule(api::meta::CLUSTER_GROUP, &["DELETE"], &classes));
    }
    rules
}
