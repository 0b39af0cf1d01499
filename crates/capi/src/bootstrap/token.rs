//! Bootstrap tokens: made in the workload cluster for machines that join, and prolonged until they have.

use std::collections::BTreeMap;
use std::time::Duration;

use api::bootstrap::KubeadmConfig;
use api::cluster::Cluster;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use rand::Rng;
use runtime::{Cx, Wait, rfc3339};
use serde_json::{Value, json};

use super::World;
use crate::infra::local::jws;
use crate::machine::remote_client;

/// How long a token is valid.
pub const TTL: Duration = Duration::from_secs(15 * 60);
/// How often a token is looked at.
pub const CHECK: Duration = Duration::from_secs(5 * 60);
/// Group of those who use the token.
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The token in a config.
#[must_use]
pub fn of(config: &KubeadmConfig) -> Option<&str> {
    let discovery = config
        .spec
        .join_configuration
        .as_ref()?
        .discovery
        .as_ref()?;
    discovery.bootstrap_token.as_ref()?.token.as_deref()
}

/// The public half of a token; `None` if it isn't one.
#[must_use]
pub fn id(token: &str) -> Option<&str> {
    let (id, secret) = token.split_once('.')?;
    let is_plain = |s: &str| s.bytes().all(|b| ALPHABET.contains(&b));
    (id.len() == 6 && secret.len() == 16 && is_plain(id) && is_plain(secret)).then_some(id)
}

/// The name of the token's Secret in kube-system.
#[must_use]
pub fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// When a token's Secret says that it expires.
#[must_use]
pub fn expiry(secret: &Secret) -> Option<Timestamp> {
    crate::secret::text(secret, "expiration")?.parse().ok()
}

/// Whether a token that expires then must be prolonged now: so early that it outlives the next look by far.
#[must_use]
pub fn is_due(expires: Option<Timestamp>, now: Timestamp) -> bool {
    let margin = SignedDuration::try_from(TTL).unwrap_or_default() * 5 / 6;
    expires.is_none_or(|expires| expires < now + margin)
}

/// Whether half of the time of a token that expires then is over: machines that come now get another one.
#[must_use]
pub fn is_half_over(expires: Timestamp, now: Timestamp) -> bool {
    let half = SignedDuration::try_from(TTL).unwrap_or_default() / 2;
    expires < now + half
}

fn random(len: usize) -> String {
    let mut rng = rand::rng();
    (0..len)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

fn failed(what: &str, error: &kube::Error) -> Wait {
    Wait {
        reason: "NotAvailable",
        message: format!("{what}: {}", runtime::chain(error)),
    }
}

/// Prolongs the token in the config, or makes it anew.
pub(super) async fn prolong(cx: &Cx, world: &World, cluster: &Cluster) -> Result<(), Wait> {
    let Some(token) = of(&world.config) else {
        return Ok(());
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let client = remote_client(cx, &namespace, &cluster.name_any()).await?;
    write(&client, token, cx.now()).await
}

/// Makes a token, and writes it into the config with what is `missing` there.
pub(super) async fn make(
    cx: &Cx,
    world: &World,
    cluster: &Cluster,
    missing: &Value,
) -> Result<(), Wait> {
    let config = &world.config;
    let namespace = cluster.namespace().unwrap_or_default();
    let client = remote_client(cx, &namespace, &cluster.name_any()).await?;
    let token = format!("{}.{}", random(6), random(16));
    write(&client, &token, cx.now()).await?;
    let mut discovery = json!({"bootstrapToken": missing});
    discovery["bootstrapToken"]["token"] = json!(token);
    let patch = json!({
        "metadata": {"resourceVersion": config.metadata.resource_version},
        "spec": {"joinConfiguration": {"discovery": discovery}},
    });
    let configs: Api<KubeadmConfig> = Api::namespaced(cx.client(), &namespace);
    let params = PatchParams {
        field_manager: Some("apiary-kubeadmconfig".to_owned()),
        ..PatchParams::default()
    };
    let patched = configs
        .patch(&config.name_any(), &params, &Patch::Merge(&patch))
        .await;
    patched
        .map(drop)
        .map_err(|e| failed("writing the token into the KubeadmConfig", &e))
}

/// Writes the token's Secret, valid for another [`TTL`], and signs the cluster's public description with it.
async fn write(client: &Client, token: &str, now: Timestamp) -> Result<(), Wait> {
    let Some((id, secret)) = id(token).and_then(|id| Some((id, token.split_once('.')?.1))) else {
        let message = "joinConfiguration.discovery.bootstrapToken.token must be six characters, a dot and sixteen characters".to_owned();
        return Err(Wait {
            reason: "NotAvailable",
            message,
        });
    };
    let expires = now + SignedDuration::try_from(TTL).unwrap_or_default();
    let data = BTreeMap::from([
        ("token-id", id.to_owned()),
        ("token-secret", secret.to_owned()),
        ("expiration", rfc3339(expires)),
        ("usage-bootstrap-signing", "true".to_owned()),
        ("usage-bootstrap-authentication", "true".to_owned()),
        ("auth-extra-groups", GROUP.to_owned()),
        (
            "description",
            "token generated by cluster-api-bootstrap-provider-kubeadm".to_owned(),
        ),
    ]);
    let object = Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(id)),
            namespace: Some("kube-system".to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        data: Some(
            data.into_iter()
                .map(|(k, v)| (k.to_owned(), ByteString(v.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    let params = PatchParams::apply("apiary-kubeadmconfig").force();
    secrets
        .patch(&secret_name(id), &params, &Patch::Apply(&object))
        .await
        .map_err(|e| failed("writing the bootstrap token into the workload cluster", &e))?;
    sign(client, token).await
}

/// What kube-controller-manager's bootstrap signer does in time, at once: machines that join check the signature.
async fn sign(client: &Client, token: &str) -> Result<(), Wait> {
    let public: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let what = "signing ConfigMap kube-public/cluster-info of the workload cluster";
    let info = public
        .get("cluster-info")
        .await
        .map_err(|e| failed(what, &e))?;
    let Some(kubeconfig) = info.data.as_ref().and_then(|d| d.get("kubeconfig")) else {
        return Err(Wait {
            reason: "NotAvailable",
            message: format!("{what}: it has no key kubeconfig"),
        });
    };
    let id = id(token).unwrap_or_default();
    let key = format!("{}{id}", jws::KEY_PREFIX);
    let signature = jws::sign(kubeconfig, token);
    if info.data.as_ref().and_then(|d| d.get(&key)) == Some(&signature) {
        return Ok(());
    }
    let patch = json!({"data": {key: signature}});
    let patched = public
        .patch(
            "cluster-info",
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await;
    patched.map(drop).map_err(|e| failed(what, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_two_halves() {
        assert_eq!(id("abcdef.0123456789abcdef"), Some("abcdef"));
        for bad in [
            "",
            "abcdef",
            "abcde.0123456789abcdef",
            "abcdef.0123456789ABCDEF",
            "abcdef.0123456789abcde",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
        assert!(id(&format!("{}.{}", random(6), random(16))).is_some());
    }

    #[test]
    fn tokens_are_prolonged_early() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(is_due(None, now));
        assert!(is_due(Some(now + SignedDuration::from_mins(12)), now));
        assert!(!is_due(Some(now + SignedDuration::from_mins(13)), now));
    }
}
