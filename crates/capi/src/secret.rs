//! The Secrets of a cluster: certificate authorities and kubeconfig.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::bootstrap::kubeadm::ClusterConfiguration;
use api::controlplane::kubeadm_control_plane::reasons;
use api::meta::labels;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use runtime::{Cx, GatherError, Wait};

use crate::object;
use crate::pki::{self, Pair, Purpose};

/// The certificate authorities of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Authorities(BTreeMap<Purpose, Found>);

/// A Secret that should hold a pair.
#[derive(Clone, Debug)]
pub enum Found {
    Pair(Pair),
    /// It lacks a key, or is no text.
    Unreadable(String),
}

impl Authorities {
    /// Reads all Secrets.
    ///
    /// # Errors
    /// If Secrets can't be read.
    pub async fn gather(cx: &Cx, namespace: &str, cluster: &str) -> Result<Self, GatherError> {
        let mut found = BTreeMap::new();
        for purpose in Purpose::ALL {
            let secret: Option<Arc<Secret>> =
                cx.get(namespace, &purpose.secret_name(cluster)).await?;
            if let Some(secret) = secret {
                found.insert(purpose, read_pair(&secret));
            }
        }
        Ok(Self(found))
    }

    /// The certificate authorities given, for tests.
    #[cfg(test)]
    pub fn of(pairs: impl IntoIterator<Item = (Purpose, Pair)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(p, pair)| (p, Found::Pair(pair)))
                .collect(),
        )
    }

    /// The pair, if it is there and readable.
    #[must_use]
    pub fn pair(&self, purpose: Purpose) -> Option<&Pair> {
        match self.0.get(&purpose) {
            Some(Found::Pair(pair)) => Some(pair),
            Some(Found::Unreadable(_)) | None => None,
        }
    }

    /// Purposes that have no Secret.
    #[must_use]
    pub fn missing(&self) -> Vec<Purpose> {
        Purpose::ALL
            .into_iter()
            .filter(|p| !self.0.contains_key(p))
            .collect()
    }

    /// What is wrong with Secrets that are there.
    #[must_use]
    pub fn problems(&self, cluster: &str) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(purpose, found)| match found {
                Found::Unreadable(why) => {
                    Some(format!("Secret {}: {why}", purpose.secret_name(cluster)))
                }
                Found::Pair(_) => None,
            })
            .collect()
    }
}

fn read_pair(secret: &Secret) -> Found {
    let text =
        |key: &str| text(secret, key).ok_or_else(|| format!("data has no text under {key:?}"));
    match (text("tls.crt"), text("tls.key")) {
        (Ok(cert), Ok(key)) => Found::Pair(Pair { cert, key }),
        (Err(why), _) | (_, Err(why)) => Found::Unreadable(why),
    }
}

/// A value of a Secret as text.
#[must_use]
pub fn text(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.clone()).ok()
}

/// A Secret of Cluster API.
#[must_use]
pub fn build(
    namespace: &str,
    name: &str,
    cluster: &str,
    owner: OwnerReference,
    data: impl IntoIterator<Item = (&'static str, String)>,
) -> Secret {
    Secret {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            labels: Some(object::labels([(labels::CLUSTER_NAME, cluster)])),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(labels::SECRET_TYPE.to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// Days that a certificate authority is valid if nobody says anything.
const AUTHORITY_DAYS: i32 = 3650;

/// Writes a Secret that must never be written twice: one that is there counts.
pub(crate) async fn create(cx: &Cx, secret: Secret) -> Result<(), Wait> {
    let namespace = secret.metadata.namespace.clone().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(cx.client(), &namespace);
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(()),
        // Somebody was quicker: that one counts.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(failed(
            &format!("writing Secret {}", secret.name_any()),
            &error,
        )),
    }
}

/// Makes a certificate authority or key of a cluster, unless there is one, with the algorithm and for as long as `config` says.
pub(crate) async fn generate(
    cx: &Cx,
    (namespace, cluster): (&str, &str),
    owner: OwnerReference,
    purpose: Purpose,
    config: Option<&ClusterConfiguration>,
) -> Result<(), Wait> {
    let algorithm = config.and_then(|c| c.encryption_algorithm.clone());
    let days = config
        .and_then(|c| c.ca_certificate_validity_period_days)
        .unwrap_or(AUTHORITY_DAYS);
    let now = cx.now();
    let name = purpose.secret_name(cluster);
    // An RSA key takes a second of computing.
    let made =
        runtime::compute(move || pki::generate(purpose, algorithm.as_deref(), days, now)).await;
    let made = made.map_err(|e| failed("making a key", &e))?;
    let pair = made.map_err(|e| failed(&format!("making {name}"), &e))?;
    let data = [("tls.crt", pair.cert), ("tls.key", pair.key)];
    create(cx, build(namespace, &name, cluster, owner, data)).await
}

/// What went wrong with the certificates and keys of a cluster.
pub(crate) fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Wait {
    Wait {
        reason: reasons::CERTIFICATES_NOT_AVAILABLE,
        message: format!("{what}: {}", runtime::chain(error)),
    }
}
