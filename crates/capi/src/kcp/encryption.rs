//! The key that Secrets of a workload cluster are encrypted with in its etcd.
//!
//! A control plane whose files take the key `encryption` of the Secret `<cluster>-encryption-provider-config` gets that Secret made, as
//! it gets its certificate authorities: once, before its first machine. It is never made again, because what is in etcd can be read with no other one. A
//! Secret that is there already is somebody's own, and taken as it is. So the key is in no manifest and no values, and a chart can be rendered
//! again and again without a new one.

use api::bootstrap::KubeadmConfigSpec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::core::DynamicObject;
use serde_json::{Value, json};

/// The key within the Secret.
pub(super) const KEY: &str = "encryption";

/// The Secret with the key of a cluster.
pub(super) fn secret_name(cluster: &str) -> String {
    format!("{cluster}-encryption-provider-config")
}

/// Whether machines get the key.
pub(super) fn is_wanted(spec: Option<&KubeadmConfigSpec>, cluster: &str) -> bool {
    let files = spec.and_then(|s| s.files.as_ref());
    let mut sources = files.into_iter().flatten().filter_map(|f| {
        let from = f.content_from.as_ref()?;
        Some((from.secret.name.as_str(), from.secret.key.as_str()))
    });
    sources.any(|source| source == (secret_name(cluster).as_str(), KEY))
}

/// Whether a machine that was made from this KubeadmConfig got the key.
pub(super) fn is_in(config: &DynamicObject, cluster: &str) -> bool {
    match serde_json::from_value::<Option<KubeadmConfigSpec>>(config.data["spec"].clone()) {
        Ok(spec) => is_wanted(spec.as_ref(), cluster),
        // Nobody knows.
        Err(_) => true,
    }
}

/// A new configuration: Secrets are written with a new key of secretbox, and those that were written before in plain can be read.
pub(super) fn generate() -> String {
    let key: [u8; 32] = rand::random();
    crate::yaml::render(&configuration(&STANDARD.encode(key)))
}

fn configuration(key: &str) -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [
                {"secretbox": {"keys": [{"name": "key1", "secret": key}]}},
                {"identity": {}},
            ],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_whole_and_never_the_same() {
        let key = |text: &str| {
            let parsed: Value = serde_saphyr::from_str(text).unwrap();
            let key = parsed["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"]
                .as_str()
                .unwrap()
                .to_owned();
            STANDARD.decode(key).unwrap()
        };
        let (one, other) = (key(&generate()), key(&generate()));
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
