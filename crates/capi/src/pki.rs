//! Certificate authorities, keys and kubeconfigs of workload clusters.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, RsaKeySize, SerialNumber,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate authority or key is for; each has a Secret of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The cluster's certificate authority.
    Cluster,
    /// etcd's certificate authority.
    Etcd,
    /// The certificate authority of the aggregation layer's clients.
    FrontProxy,
    /// The key pair that signs service account tokens.
    ServiceAccount,
}

impl Purpose {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 4] = [
        Self::Cluster,
        Self::Etcd,
        Self::FrontProxy,
        Self::ServiceAccount,
    ];

    /// The name of the Secret.
    #[must_use]
    pub fn secret_name(self, cluster: &str) -> String {
        let suffix = match self {
            Self::Cluster => "ca",
            Self::Etcd => "etcd",
            Self::FrontProxy => "proxy",
            Self::ServiceAccount => "sa",
        };
        format!("{cluster}-{suffix}")
    }

    /// Where the certificate (or public key) and the private key are on a control plane machine, below the certificates directory.
    #[must_use]
    pub fn files(self) -> (&'static str, &'static str) {
        match self {
            Self::Cluster => ("ca.crt", "ca.key"),
            Self::Etcd => ("etcd/ca.crt", "etcd/ca.key"),
            Self::FrontProxy => ("front-proxy-ca.crt", "front-proxy-ca.key"),
            Self::ServiceAccount => ("sa.pub", "sa.key"),
        }
    }

    fn common_name(self) -> &'static str {
        match self {
            Self::Cluster | Self::ServiceAccount => "kubernetes",
            Self::Etcd => "etcd-ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }
}

/// A certificate (or public key) with its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair(…)")
    }
}

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the key is not usable")]
    Key(#[source] rcgen::Error),
    #[error("the certificate could not be made")]
    Sign(#[source] rcgen::Error),
    #[error("the certificate is not readable: {0}")]
    Parse(String),
}

/// Clocks of machines differ a little.
const BACKDATE_SECONDS: i64 = 300;

/// Makes a certificate authority or key pair. `algorithm` is one of kubeadm's `encryptionAlgorithm`s; without one it is ECDSA-P256.
///
/// # Errors
/// If the system has no randomness.
pub fn generate(
    purpose: Purpose,
    algorithm: Option<&str>,
    validity_days: i32,
    now: Timestamp,
) -> Result<Pair, Error> {
    let key = generate_key(algorithm)?;
    if purpose == Purpose::ServiceAccount {
        return Ok(Pair {
            cert: key.public_key_pem(),
            key: key.serialize_pem(),
        });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = name(purpose.common_name(), None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    set_validity(&mut params, now, i64::from(validity_days) * 86400);
    let cert = params.self_signed(&key).map_err(Error::Sign)?;
    Ok(Pair {
        cert: cert.pem(),
        key: key.serialize_pem(),
    })
}

fn generate_key(algorithm: Option<&str>) -> Result<KeyPair, Error> {
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
    match algorithm {
        Some("RSA-2048") => rsa(RsaKeySize::_2048),
        Some("RSA-3072") => rsa(RsaKeySize::_3072),
        Some("RSA-4096") => rsa(RsaKeySize::_4096),
        Some("ECDSA-P384") => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        Some(_) | None => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
    }
    .map_err(Error::Key)
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, seconds: i64) {
    let at = |second: i64| {
        let second = u64::try_from(second).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(second)
    };
    params.not_before = at(now.as_second() - BACKDATE_SECONDS);
    params.not_after = at(now.as_second() + seconds);
}

/// Issues a client certificate. `group` becomes its organization.
///
/// # Errors
/// If the authority is unusable.
pub fn client_certificate(
    authority: &Pair,
    user: &str,
    group: &str,
    validity_seconds: i64,
    now: Timestamp,
) -> Result<Pair, Error> {
    let issuer_key = KeyPair::from_pem(&authority.key).map_err(Error::Key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.cert, issuer_key).map_err(Error::Sign)?;
    let key = generate_key(None)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, Some(group));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(rand::random::<[u8; 16]>().to_vec()));
    set_validity(&mut params, now, validity_seconds);
    let cert = params.signed_by(&key, &issuer).map_err(Error::Sign)?;
    Ok(Pair {
        cert: cert.pem(),
        key: key.serialize_pem(),
    })
}

/// A request for a client certificate, and its private key, both PEM.
///
/// # Errors
/// If the system has no randomness.
pub fn signing_request(user: &str, group: &str) -> Result<(String, String), Error> {
    let key = generate_key(None)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, Some(group));
    let request = params.serialize_request(&key).map_err(Error::Sign)?;
    Ok((request.pem().map_err(Error::Sign)?, key.serialize_pem()))
}

/// The DER in the first PEM block.
fn der(pem: &str) -> Result<Vec<u8>, Error> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|error| Error::Parse(format!("not PEM: {error}")))?;
    Ok(block.contents)
}

/// `sha256:` and the hash of the certificate's public key, by which machines that join recognize the cluster.
///
/// # Errors
/// If it isn't a certificate.
pub fn public_key_hash(cert_pem: &str) -> Result<String, Error> {
    let der = der(cert_pem)?;
    let (_, cert) =
        X509Certificate::from_der(&der).map_err(|error| Error::Parse(error.to_string()))?;
    Ok(format!(
        "sha256:{}",
        hex::encode(Sha256::digest(cert.public_key().raw))
    ))
}

/// When the certificate ceases to be valid.
///
/// # Errors
/// If it isn't a certificate.
pub fn expiry(cert_pem: &str) -> Result<Timestamp, Error> {
    let der = der(cert_pem)?;
    let (_, cert) =
        X509Certificate::from_der(&der).map_err(|error| Error::Parse(error.to_string()))?;
    Timestamp::from_second(cert.validity().not_after.timestamp())
        .map_err(|error| Error::Parse(error.to_string()))
}

/// Whether the certificate (or public key) and the private key belong together.
///
/// # Errors
/// What is unreadable.
pub fn check_pair(pair: &Pair) -> Result<(), String> {
    let key =
        KeyPair::from_pem(&pair.key).map_err(|_| "the private key is not readable".to_owned())?;
    let block = der(&pair.cert).map_err(|error| error.to_string())?;
    let spki = match X509Certificate::from_der(&block) {
        Ok((_, cert)) => cert.public_key().raw.to_vec(),
        // A bare public key.
        Err(_) => block,
    };
    if rcgen::PublicKeyData::subject_public_key_info(&key) == spki {
        Ok(())
    } else {
        Err("the private key does not belong to the certificate".to_owned())
    }
}

/// What a kubeconfig is made of.
#[derive(Clone, Debug)]
pub struct Kubeconfig<'a> {
    pub cluster: &'a str,
    /// As in `https://127.0.0.1:6443`.
    pub server: &'a str,
    pub tls_server_name: Option<&'a str>,
    pub ca_cert: &'a str,
    pub client: &'a Pair,
}

impl Kubeconfig<'_> {
    /// The kubeconfig as YAML. JSON is YAML, and needs no quoting rules.
    #[must_use]
    pub fn render(&self) -> String {
        let Self {
            cluster,
            server,
            tls_server_name,
            ca_cert,
            client,
        } = self;
        let user = format!("{cluster}-admin");
        let context = format!("{user}@{cluster}");
        let mut endpoint = json!({
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca_cert),
        });
        if let Some(name) = tls_server_name {
            endpoint["tls-server-name"] = json!(name);
        }
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": endpoint}],
            "users": [{"name": user, "user": {
                "client-certificate-data": STANDARD.encode(&client.cert),
                "client-key-data": STANDARD.encode(&client.key),
            }}],
            "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
            "current-context": context,
            "preferences": {},
        });
        crate::yaml::render(&kubeconfig)
    }
}

/// When the client certificate in a kubeconfig that [`Kubeconfig::render`] wrote expires; `None` if there is none.
#[must_use]
pub fn kubeconfig_expiry(kubeconfig: &str) -> Option<Timestamp> {
    let parsed: serde_json::Value = serde_saphyr::from_str(kubeconfig).ok()?;
    let encoded = parsed["users"][0]["user"]["client-certificate-data"].as_str()?;
    let pem = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    expiry(&pem).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[test]
    fn authorities_issue_client_certificates() {
        for algorithm in [None, Some("RSA-2048"), Some("ECDSA-P384")] {
            let ca = generate(Purpose::Cluster, algorithm, 10, now()).unwrap();
            check_pair(&ca).unwrap();
            assert_eq!(
                expiry(&ca.cert).unwrap().to_string(),
                "2026-01-12T03:04:05Z"
            );
            let client =
                client_certificate(&ca, "kubernetes-admin", "system:masters", 3600, now()).unwrap();
            check_pair(&client).unwrap();
            assert_eq!(
                expiry(&client.cert).unwrap().to_string(),
                "2026-01-02T04:04:05Z"
            );
            assert!(
                check_pair(&Pair {
                    cert: ca.cert.clone(),
                    key: client.key
                })
                .is_err()
            );
            assert!(public_key_hash(&ca.cert).unwrap().starts_with("sha256:"));
        }
    }

    #[test]
    fn service_account_keys_are_bare() {
        let pair = generate(Purpose::ServiceAccount, None, 10, now()).unwrap();
        assert!(
            pair.cert.starts_with("-----BEGIN PUBLIC KEY-----"),
            "{}",
            pair.cert
        );
        check_pair(&pair).unwrap();
    }

    #[test]
    fn kubeconfigs_carry_all_they_need() {
        let ca = generate(Purpose::Cluster, None, 10, now()).unwrap();
        let client =
            client_certificate(&ca, "kubernetes-admin", "system:masters", 3600, now()).unwrap();
        let text = Kubeconfig {
            cluster: "hello",
            server: "https://127.0.0.1:6443",
            tls_server_name: Some("hello.acme.clusters.apiary.internal"),
            ca_cert: &ca.cert,
            client: &client,
        }
        .render();
        let parsed = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        let cluster = parsed.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(
            cluster.tls_server_name.as_deref(),
            Some("hello.acme.clusters.apiary.internal")
        );
        assert_eq!(parsed.current_context.as_deref(), Some("hello-admin@hello"));
        assert_eq!(
            kubeconfig_expiry(&text).unwrap().to_string(),
            "2026-01-02T04:04:05Z"
        );
    }

    #[test]
    fn damaged_certificates_are_errors() {
        for text in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(expiry(text).is_err());
            assert!(public_key_hash(text).is_err());
            assert!(
                check_pair(&Pair {
                    cert: text.to_owned(),
                    key: text.to_owned()
                })
                .is_err()
            );
        }
    }
}
