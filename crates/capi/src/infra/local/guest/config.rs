//! Reads kubeadm's configuration file. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use serde_json::Value;

/// kubeadm's configuration, as far as a simulated machine follows it.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) cluster: Option<Value>,
    pub(super) init: Option<Value>,
    pub(super) join: Option<Value>,
    /// The kubelet's configuration, if it is in the same file.
    pub(super) kubelet: Option<Value>,
    /// v1beta3 or v1beta4.
    pub(super) version: String,
}

/// Reads all documents of a file. All must be of one supported version.
pub(super) fn parse(text: &str) -> Result<Configuration, String> {
    let mut configuration = Configuration::default();
    for document in documents(text) {
        let parsed: Value = crate::yaml::parse(&document)?;
        if parsed.is_null() {
            continue;
        }
        let api_version = parsed["apiVersion"].as_str().unwrap_or_default();
        let version = match api_version.strip_prefix("kubeadm.k8s.io/") {
            Some(version @ ("v1beta3" | "v1beta4")) => version,
            Some(_) => {
                return Err(format!(
                    "{api_version} is not supported: v1beta3 and v1beta4 are"
                ));
            }
            // Configuration of other components may be in the same file.
            None => {
                if parsed["kind"] == "KubeletConfiguration" {
                    configuration.kubelet = Some(parsed);
                }
                continue;
            }
        };
        if !configuration.version.is_empty() && configuration.version != version {
            return Err(format!(
                "documents of {} and {version} are mixed",
                configuration.version
            ));
        }
        version.clone_into(&mut configuration.version);
        match parsed["kind"].as_str() {
            Some("ClusterConfiguration") => configuration.cluster = Some(parsed),
            Some("InitConfiguration") => configuration.init = Some(parsed),
            Some("JoinConfiguration") => configuration.join = Some(parsed),
            other => return Err(format!("kind {:?} is unknown", other.unwrap_or_default())),
        }
    }
    Ok(configuration)
}

fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents.retain(|d| !d.trim().is_empty());
    documents
}

/// A text of a document.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().fold(value, |v, field| &v[*field]).as_str()
}

/// What the kubelet is told about its Node.
#[derive(Debug, Default)]
pub(super) struct Registration {
    pub(super) name: Option<String>,
    /// `None`: kubeadm's default.
    pub(super) taints: Option<Vec<Taint>>,
    pub(super) labels: BTreeMap<String, String>,
    /// Arguments of the kubelet.
    pub(super) args: BTreeMap<String, String>,
}

/// Reads the `nodeRegistration` of a document.
pub(super) fn registration(document: &Value) -> Registration {
    let node = &document["nodeRegistration"];
    let args = args(&node["kubeletExtraArgs"]);
    Registration {
        name: node["name"].as_str().map(str::to_lowercase),
        taints: serde_json::from_value(node["taints"].clone()).unwrap_or_default(),
        labels: args
            .get("node-labels")
            .map_or_else(BTreeMap::new, |l| labels(l)),
        args,
    }
}

/// Arguments of a process: a map in v1beta3, and a list in v1beta4, of which the last of a name counts.
pub(super) fn args(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mapped = value.as_object().into_iter().flatten();
    let mapped = mapped.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    let listed = value.as_array().into_iter().flatten();
    let listed = listed.filter_map(|arg| Some((text(&arg["name"])?, text(&arg["value"])?)));
    mapped.chain(listed).collect()
}

/// A taint as in `key=value:NoSchedule`.
pub(super) fn taint(text: &str) -> Option<Taint> {
    let (pair, effect) = text.trim().rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let is_known = matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
    (is_known && !key.is_empty()).then(|| Taint {
        key: key.to_owned(),
        value: Some(value.to_owned()).filter(|v| !v.is_empty()),
        effect: effect.to_owned(),
        ..Taint::default()
    })
}

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}
