//! A cluster's certificate authority and keys: making them, taking over those of kubeadm and Cluster API, and issuing
//! certificates.
//!
//! Keys are read and used by `rcgen` (P-256 by default; RSA, P-384, P-521 and Ed25519 when imported, as PKCS#8, PKCS#1
//! or SEC 1). Certificates are written by [`certificate`], because Kubernetes puts each group of a user into an
//! organization of its own and `rcgen` knows only one per name.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

mod certificate;
mod request;

pub use request::CertificateRequest;
pub(crate) use request::{subject_names, text};

use certificate::{Template, Usages};

/// Usages of a kubelet's or user's client certificate, as `CertificateSigningRequest.spec.usages` names them.
pub const CLIENT_USAGES: &[&str] = &["digital signature", "key encipherment", "client auth"];
/// Usages of a serving certificate.
pub const SERVER_USAGES: &[&str] = &["digital signature", "key encipherment", "server auth"];

const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Certificates start this much in the past, for clocks that are behind.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// Why a key or certificate could not be made or read. Never contains key material.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The private key of the named owner cannot be read or used.
    #[error(
        "private key of the {0} cannot be used: want an unencrypted RSA, EC or Ed25519 key in PEM"
    )]
    Key(&'static str, #[source] rcgen::Error),
    /// The PEM text holds nothing of the wanted sort.
    #[error("{what} is not PEM: want a block {want}")]
    Pem {
        what: &'static str,
        want: &'static str,
    },
    /// The certificate cannot be read.
    #[error("certificate of the {0} cannot be read: want X.509 v3")]
    Certificate(&'static str),
    /// Certificate and key do not belong together.
    #[error("certificate authority: the certificate is not of the key")]
    Mismatch,
    /// The certificate signing request is not one, or its signature is wrong.
    #[error("certificate signing request: {0}")]
    Request(String),
    /// Not a usage of `CertificateSigningRequest`.
    #[error("usage {0:?} is unknown: want for example \"client auth\"")]
    Usage(String),
    /// A name that cannot stand in a certificate.
    #[error("name {0:?} cannot stand in a certificate: want ASCII")]
    Name(String),
    /// The key refuses to sign.
    #[error("signing failed")]
    Sign(#[source] rcgen::Error),
}

/// Everything secret that a logical cluster starts from. Store it like a Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKeys {
    /// Certificate authority of servers and clients. Several certificates are all trusted, the first one issues.
    pub ca_cert_pem: String,
    pub ca_key_pem: String,
    /// Signs service-account tokens. Several keys are all believed, the first one signs.
    pub sa_key_pem: String,
    /// Certificate authority of the proxies that say for whom they ask, the server itself among them (towards extension
    /// servers). Empty if nobody has made one yet.
    #[serde(default)]
    pub front_proxy_ca_cert_pem: String,
    /// See [`Self::front_proxy_ca_cert_pem`].
    #[serde(default)]
    pub front_proxy_ca_key_pem: String,
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKeys")
            .field("ca_cert_pem", &self.ca_cert_pem)
            .finish_non_exhaustive()
    }
}

impl ClusterKeys {
    /// New keys for the cluster `name` (the authority's common name), valid for ten years from `now`.
    ///
    /// # Errors
    /// When `name` is not ASCII or the system has no randomness.
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let service_accounts = generate_key("service-account signer")?;
        let authority = Issued::authority(name, now)?;
        let mut keys = Self {
            ca_cert_pem: authority.cert_pem,
            ca_key_pem: authority.key_pem,
            sa_key_pem: service_accounts.serialize_pem(),
            front_proxy_ca_cert_pem: String::new(),
            front_proxy_ca_key_pem: String::new(),
        };
        keys.ensure_front_proxy(now)?;
        Ok(keys)
    }

    /// Makes the authority of the proxies if there is none; whether it did.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn ensure_front_proxy(&mut self, now: Timestamp) -> Result<bool, PkiError> {
        if !self.front_proxy_ca_cert_pem.is_empty() {
            return Ok(false);
        }
        let made = Issued::authority("front-proxy-ca", now)?;
        self.front_proxy_ca_cert_pem = made.cert_pem;
        self.front_proxy_ca_key_pem = made.key_pem;
        Ok(true)
    }

    /// The same keys with an authority of the proxies that somebody else made.
    ///
    /// # Errors
    /// When it cannot be used, or the certificate is not the key's.
    pub fn with_front_proxy(mut self, cert_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        Authority::new(cert_pem, key_pem)?;
        self.front_proxy_ca_cert_pem = cert_pem.into();
        self.front_proxy_ca_key_pem = key_pem.into();
        Ok(self)
    }

    /// The authority of the proxies, ready to issue.
    ///
    /// # Errors
    /// When certificate or key cannot be used, or do not belong together.
    pub fn front_proxy_authority(&self) -> Result<Authority, PkiError> {
        Authority::new(&self.front_proxy_ca_cert_pem, &self.front_proxy_ca_key_pem)
    }

    /// Keys that somebody else made, for example the `<cluster>-ca` and `<cluster>-sa` Secrets of Cluster API.
    ///
    /// # Errors
    /// When one of them cannot be used, or the certificate is not the key's.
    pub fn from_pem(
        ca_cert_pem: &str,
        ca_key_pem: &str,
        sa_key_pem: &str,
    ) -> Result<Self, PkiError> {
        let keys = Self {
            ca_cert_pem: ca_cert_pem.into(),
            ca_key_pem: ca_key_pem.into(),
            sa_key_pem: sa_key_pem.into(),
            front_proxy_ca_cert_pem: String::new(),
            front_proxy_ca_key_pem: String::new(),
        };
        keys.authority()?;
        read_key("service-account signer", sa_key_pem)?;
        Ok(keys)
    }

    /// The certificate authority, ready to issue.
    ///
    /// # Errors
    /// When certificate or key cannot be used, or do not belong together.
    pub fn authority(&self) -> Result<Authority, PkiError> {
        Authority::new(&self.ca_cert_pem, &self.ca_key_pem)
    }
}

/// A certificate with its private key, both PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    pub cert_pem: String,
    pub key_pem: String,
}

impl Issued {
    /// A new certificate authority that signed itself, valid for ten years from `now`.
    fn authority(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let key = generate_key("certificate authority")?;
        let cert = certificate::write(
            &Template {
                subject: certificate::name(name, &[] as &[&str])?,
                spki: &key.subject_public_key_info(),
                not_before: before(now, BACKDATE),
                not_after: after(now, CA_LIFETIME),
                is_authority: true,
                usages: Usages::parse(&["digital signature", "key encipherment", "cert sign"])?,
                alternative_names: Some(certificate::alternative_names(&[name], &[])?),
            },
            None,
            &key,
        )?;
        Ok(Self {
            cert_pem: pem("CERTIFICATE", &cert),
            key_pem: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("cert_pem", &self.cert_pem)
            .finish_non_exhaustive()
    }
}

/// A certificate authority that can sign.
pub struct Authority {
    key: KeyPair,
    issuer: certificate::Issuer,
    /// Nothing that is issued outlives the authority.
    not_after: Timestamp,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// An authority from its certificate and key.
    ///
    /// # Errors
    /// When one of them cannot be used, or they do not belong together.
    pub fn new(cert_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        const WHAT: &str = "certificate authority";
        let cert = read_certificates(cert_pem)?
            .into_iter()
            .next()
            .ok_or(PkiError::Certificate(WHAT))?;
        let key = read_key(WHAT, key_pem)?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&cert).map_err(|_| PkiError::Certificate(WHAT))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(PkiError::Mismatch);
        }
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .unwrap_or(Timestamp::MAX);
        Ok(Self {
            issuer: certificate::Issuer::of(&parsed),
            not_after,
            key,
        })
    }

    /// A serving certificate with a fresh key. The first of `dns_names` is also its common name.
    ///
    /// # Errors
    /// When a name is not ASCII.
    pub fn issue_server(
        &self,
        dns_names: &[&str],
        addresses: &[IpAddr],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Issued, PkiError> {
        let common_name = dns_names.first().copied().unwrap_or("kube-apiserver");
        let names = certificate::alternative_names(dns_names, addresses)?;
        let subject = certificate::name(common_name, &[] as &[&str])?;
        self.issue(subject, Some(names), SERVER_USAGES, (now, lifetime))
    }

    /// A client certificate with a fresh key for the user `common_name` in the groups `organizations`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn issue_client(
        &self,
        common_name: &str,
        organizations: &[&str],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Issued, PkiError> {
        let subject = certificate::name(common_name, organizations)?;
        self.issue(subject, None, CLIENT_USAGES, (now, lifetime))
    }

    fn issue(
        &self,
        subject: Vec<u8>,
        alternative_names: Option<Vec<u8>>,
        usages: &[&str],
        (now, lifetime): (Timestamp, SignedDuration),
    ) -> Result<Issued, PkiError> {
        let key = generate_key("certificate")?;
        let cert = certificate::write(
            &Template {
                subject,
                spki: &key.subject_public_key_info(),
                not_before: before(now, BACKDATE),
                not_after: after(now, lifetime).min(self.not_after),
                is_authority: false,
                usages: Usages::parse(usages)?,
                alternative_names,
            },
            Some(&self.issuer),
            &self.key,
        )?;
        Ok(Issued {
            cert_pem: pem("CERTIFICATE", &cert),
            key_pem: key.serialize_pem(),
        })
    }

    /// Signs a request as it stands (subject, key and alternative names are the requester's; who may have them is the
    /// caller's decision) with `usages` as `CertificateSigningRequest.spec.usages` names them. Answers with PEM.
    ///
    /// # Errors
    /// When a usage is unknown.
    pub fn sign(
        &self,
        request: &CertificateRequest,
        usages: &[&str],
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<String, PkiError> {
        let cert = certificate::write(
            &Template {
                subject: request.subject.clone(),
                spki: &request.spki,
                not_before: before(now, BACKDATE),
                not_after: after(now, lifetime).min(self.not_after),
                is_authority: false,
                usages: Usages::parse(usages)?,
                alternative_names: request.alternative_names.clone(),
            },
            Some(&self.issuer),
            &self.key,
        )?;
        Ok(pem("CERTIFICATE", &cert))
    }
}

/// All certificates of a PEM bundle.
pub(crate) fn read_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let bad = || PkiError::Pem {
        what: "certificate",
        want: "BEGIN CERTIFICATE",
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| bad())?;
    if found.is_empty() {
        Err(bad())
    } else {
        Ok(found)
    }
}

/// The private key of `what` from PEM.
pub(crate) fn read_key(what: &'static str, text: &str) -> Result<KeyPair, PkiError> {
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| PkiError::Pem {
        what: "private key",
        want: "BEGIN PRIVATE KEY",
    })?;
    KeyPair::try_from(&der).map_err(|error| PkiError::Key(what, error))
}

/// All private keys in a PEM text, at least one.
pub(crate) fn read_keys(what: &'static str, text: &str) -> Result<Vec<KeyPair>, PkiError> {
    let missing = || PkiError::Pem {
        what: "private key",
        want: "BEGIN PRIVATE KEY",
    };
    let mut keys = vec![];
    for der in PrivateKeyDer::pem_slice_iter(text.as_bytes()) {
        let der = der.map_err(|_| missing())?;
        keys.push(KeyPair::try_from(&der).map_err(|error| PkiError::Key(what, error))?);
    }
    if keys.is_empty() {
        return Err(missing());
    }
    Ok(keys)
}

/// The keys in `text` with a new one before them, of which at most `max` are kept.
pub(crate) fn rotate_keys(what: &'static str, text: &str, max: usize) -> Result<String, PkiError> {
    let mut all = vec![generate_key(what)?.serialize_pem()];
    for key in read_keys(what, text)? {
        all.push(key.serialize_pem());
    }
    all.truncate(max);
    Ok(all.concat())
}

/// The first of the keys in `text`.
pub(crate) fn first_key(what: &'static str, text: &str) -> Result<String, PkiError> {
    let mut keys = read_keys(what, text)?;
    Ok(keys.swap_remove(0).serialize_pem())
}

fn generate_key(what: &'static str) -> Result<KeyPair, PkiError> {
    KeyPair::generate().map_err(|error| PkiError::Key(what, error))
}

fn before(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}

fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// PEM text of `der`.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for at in (0..body.len()).step_by(64) {
        text.push_str(&body[at..body.len().min(at + 64)]);
        text.push('\n');
    }
    text + "-----END " + label + "-----\n"
}
