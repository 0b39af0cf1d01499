//! From credentials to a user: client certificates, service-account tokens, bootstrap tokens, or nobody in particular.
//!
//! Tokens of other issuers are in [`super::oidc`], users whom proxies name in `front_proxy`. Not here yet: static tokens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bounded::{Bounded, fingerprint};
use super::front_proxy::FrontProxies;
use super::pki::{self, ClusterKeys, PkiError};
use super::token::{
    Bound, Claims, LegacyClaims, SignerError, Signers, Subject, TokenError, Verified,
};
use super::{Objects, User};
use crate::status::Status;

/// How many verified certificates, and how many verified tokens, one cluster remembers.
const CACHE_LIMIT: usize = 1024;
/// Longer tokens are refused unread.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// OID of the UID in a certificate's subject.
const SUBJECT_UID: &str = "1.3.6.1.4.1.57683.2";

/// Why a cluster cannot authenticate anybody.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticatorError {
    /// Its certificate authority or key cannot be read.
    #[error("reading the cluster's keys")]
    Keys(#[from] PkiError),
    /// Its certificate authority cannot verify.
    #[error("certificate authority cannot verify clients: {0}")]
    Verifier(String),
    /// Its service-account key cannot sign.
    #[error("preparing the service-account key")]
    Signer(#[from] SignerError),
}

/// What a service-account token is asked to say.
#[derive(Clone, Debug)]
pub struct TokenSpec<'a> {
    pub namespace: &'a str,
    pub service_account: Bound,
    /// The cluster's own audiences when empty.
    pub audiences: &'a [String],
    pub pod: Option<Bound>,
    pub secret: Option<Bound>,
    pub node: Option<Bound>,
    pub lifetime_seconds: i64,
    /// When its use starts to deserve a warning, from now.
    pub warn_after_seconds: Option<i64>,
}

/// A verified certificate, remembered by the hash of its bytes.
struct Client {
    user: User,
    /// Seconds since 1970.
    not_before: i64,
    not_after: i64,
}

/// Says who sends a request to one logical cluster.
pub struct Authenticator {
    verifier: Arc<dyn ClientCertVerifier>,
    front_proxies: Option<FrontProxies>,
    issuer: String,
    signers: ArcSwap<Signers>,
    audiences: Vec<String>,
    clients: Mutex<Bounded<Arc<Client>>>,
    tokens: Mutex<Bounded<Verified>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Trusts the authority and the service-account key in `keys`. Tokens are of `issuer` and for `audiences` (the
    /// issuer itself when empty).
    ///
    /// # Errors
    /// When one of the keys cannot be used.
    pub fn new(
        keys: &ClusterKeys,
        issuer: &str,
        audiences: Vec<String>,
    ) -> Result<Self, AuthenticatorError> {
        Ok(Self {
            verifier: verifier(&keys.ca_cert_pem)?,
            front_proxies: FrontProxies::new(keys)?,
            issuer: issuer.to_owned(),
            signers: ArcSwap::from_pointee(signers(&keys.sa_key_pem, issuer)?),
            audiences: if audiences.is_empty() {
                vec![issuer.to_owned()]
            } else {
                audiences
            },
            clients: Mutex::new(Bounded::new(CACHE_LIMIT)),
            tokens: Mutex::new(Bounded::new(CACHE_LIMIT)),
        })
    }

    /// Believes tokens of these keys (in PEM) from now on, and signs with the first of them.
    ///
    /// # Errors
    /// When one of the keys cannot be used; then all stays as it is.
    pub fn replace_keys(&self, sa_key_pem: &str) -> Result<(), AuthenticatorError> {
        let signers = signers(sa_key_pem, &self.issuer)?;
        let mut tokens = lock(&self.tokens);
        self.signers.store(Arc::new(signers));
        *tokens = Bounded::new(CACHE_LIMIT);
        Ok(())
    }

    /// The user of a request with the leaf certificate `client_cert` (DER) and the header `authorization`. A good
    /// certificate wins over a token; a request without any credential is anonymous.
    ///
    /// # Errors
    /// 401 when there are credentials and none of them is good.
    pub fn authenticate(
        &self,
        objects: &dyn Objects,
        client_cert: Option<&[u8]>,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<User, Status> {
        if client_cert.is_none() && authorization.is_none() {
            return Ok(User::anonymous());
        }
        if let Some(user) = client_cert.and_then(|cert| self.client(cert, now)) {
            return Ok(user);
        }
        authorization
            .and_then(bearer)
            .and_then(|token| {
                self.authenticate_token(objects, token, &self.audiences, now)
                    .ok()
            })
            .map(|(user, _)| user)
            .ok_or_else(Status::unauthorized)
    }

    /// The user that the headers of a request name, if it comes from a proxy: with a client certificate (DER) of the
    /// authority of proxies.
    #[must_use]
    pub fn proxied_user(
        &self,
        client_cert: &[u8],
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<User> {
        let proxies = self.front_proxies.as_ref()?;
        proxies.user(client_cert, headers, now)
    }

    /// The user of `token` when it is for one of `audiences`, and the audiences that matched.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn authenticate_token(
        &self,
        objects: &dyn Objects,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<(User, Vec<String>), TokenError> {
        if let Some((id, secret)) = bootstrap_parts(token) {
            let user = bootstrap_user(objects, id, secret, now)?;
            return Ok((user, self.own_audiences(audiences)?));
        }
        match self.verify(token)? {
            Verified::Bound(claims) => claims.check(objects, audiences, now),
            Verified::Legacy(claims) => {
                let user = claims.check(objects, token, now)?;
                Ok((user, self.own_audiences(audiences)?))
            }
        }
    }

    /// A signed service-account token. The caller has checked that the account and the bound object exist.
    ///
    /// # Errors
    /// 500 when signing fails.
    pub fn issue_token(&self, spec: TokenSpec<'_>, now: Timestamp) -> Result<String, Status> {
        let now = now.as_second();
        let account = &spec.service_account;
        let claims = Claims {
            aud: if spec.audiences.is_empty() {
                self.audiences.clone()
            } else {
                spec.audiences.to_vec()
            },
            exp: now.saturating_add(spec.lifetime_seconds),
            iat: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now,
            sub: User::service_account(spec.namespace, &account.name, "").name,
            subject: Subject {
                namespace: spec.namespace.into(),
                node: spec.node,
                pod: spec.pod,
                secret: spec.secret,
                warnafter: spec.warn_after_seconds.map(|s| now.saturating_add(s)),
                serviceaccount: spec.service_account,
            },
        };
        self.signers.load().sign(&claims).map_err(Status::internal)
    }

    /// The token for a Secret of type `kubernetes.io/service-account-token`; good as long as that Secret holds it.
    ///
    /// # Errors
    /// 500 when signing fails.
    pub fn issue_legacy_token(
        &self,
        namespace: &str,
        secret: &str,
        account: &Bound,
    ) -> Result<String, Status> {
        let claims = LegacyClaims::new(namespace, secret, account);
        self.signers.load().sign(&claims).map_err(Status::internal)
    }

    /// Who signs the tokens (claim `iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom tokens are for unless they say otherwise.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The document behind `/openid/v1/jwks`.
    #[must_use]
    pub fn key_set(&self) -> Value {
        self.signers.load().key_set()
    }

    /// The document behind `/.well-known/openid-configuration`; `keys_url` is where [`Self::key_set`] is served.
    #[must_use]
    pub fn discovery(&self, keys_url: &str) -> Value {
        let keys = self.key_set();
        let mut algorithms: Vec<&str> = keys["keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key["alg"].as_str())
            .collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        json!({
            "issuer": self.issuer,
            "jwks_uri": keys_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })
    }

    /// The cluster's own audiences among `audiences`: whom tokens without an audience are for.
    pub(super) fn own_audiences(&self, audiences: &[String]) -> Result<Vec<String>, TokenError> {
        let own = self.audiences.iter().filter(|a| audiences.contains(a));
        let matched: Vec<String> = own.cloned().collect();
        if matched.is_empty() {
            return Err(TokenError("it is for another audience".into()));
        }
        Ok(matched)
    }

    /// The user of a client certificate of this cluster's authority.
    fn client(&self, der: &[u8], now: Timestamp) -> Option<User> {
        let key = fingerprint(der);
        let seconds = now.as_second();
        let known = lock(&self.clients).get(&key);
        if let Some(client) = known {
            let is_valid = (client.not_before..=client.not_after).contains(&seconds);
            return is_valid.then(|| client.user.clone());
        }
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).ok()?));
        self.verifier
            .verify_client_cert(&CertificateDer::from(der), &[], time)
            .ok()?;
        let client = Arc::new(read_client(der, &key)?);
        lock(&self.clients).insert(key, client.clone());
        Some(client.user.clone())
    }

    fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError("it is too long".into()));
        }
        let key = fingerprint(token.as_bytes());
        let known = lock(&self.tokens).get(&key);
        if let Some(known) = known {
            return Ok(known);
        }
        let signers = self.signers.load_full();
        let verified = signers.verify(token)?;
        let mut tokens = lock(&self.tokens);
        // What keys that are gone have verified is not remembered.
        if Arc::ptr_eq(&signers, &self.signers.load()) {
            tokens.insert(key, verified.clone());
        }
        Ok(verified)
    }
}

/// Verifies client certificates of the authorities in `ca_cert_pem`.
pub(super) fn verifier(
    ca_cert_pem: &str,
) -> Result<Arc<dyn ClientCertVerifier>, AuthenticatorError> {
    let wrong = |error: &dyn std::fmt::Display| AuthenticatorError::Verifier(error.to_string());
    let mut roots = RootCertStore::empty();
    for cert in pki::read_certificates(ca_cert_pem)? {
        roots.add(cert).map_err(|error| wrong(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| wrong(&error))
}

fn signers(sa_key_pem: &str, issuer: &str) -> Result<Signers, AuthenticatorError> {
    let keys = pki::read_keys("service-account signer", sa_key_pem)?;
    Ok(Signers::new(&keys, issuer)?)
}

/// A cache is whole after every step, so a poisoned lock is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The token in the header `Authorization`.
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// User, groups and validity from a certificate that was verified.
fn read_client(der: &[u8], hash: &[u8; 32]) -> Option<Client> {
    let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
    let (name, organizations) = pki::subject_names(cert.subject());
    if name.is_empty() {
        return None;
    }
    let mut user = User::authenticated(name, organizations);
    user.uid = cert
        .subject()
        .iter_attributes()
        .find(|a| a.attr_type().to_id_string() == SUBJECT_UID)
        .map(pki::text)
        .unwrap_or_default();
    user.extra.insert(
        "authentication.kubernetes.io/credential-id".into(),
        vec![format!("X509SHA256={}", hex::encode(hash))],
    );
    let validity = cert.validity();
    Some(Client {
        user,
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// `[a-z0-9]{6}.[a-z0-9]{16}`.
fn bootstrap_parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is_plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (id.len() == 6 && secret.len() == 16 && is_plain(id) && is_plain(secret))
        .then_some((id, secret))
}

/// The user of the bootstrap token `<id>.<secret>`.
fn bootstrap_user(
    objects: &dyn Objects,
    id: &str,
    secret: &str,
    now: Timestamp,
) -> Result<User, TokenError> {
    let bad = |why: &str| TokenError(format!("bootstrap token {id:?} {why}"));
    let stored = objects
        .get("secrets", "kube-system", &format!("bootstrap-token-{id}"))
        .filter(|stored| !stored.header.is_deleting)
        .ok_or_else(|| bad("does not exist"))?
        .value();
    let text = |key: &str| {
        let bytes = STANDARD.decode(stored["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    // Comparing hashes takes the same time whatever the difference.
    let is_same =
        text("token-secret").is_some_and(|want| Sha256::digest(want) == Sha256::digest(secret));
    let is_whole = stored["type"] == "bootstrap.kubernetes.io/token"
        && text("token-id").as_deref() == Some(id);
    if !is_same || !is_whole {
        return Err(bad("does not exist"));
    }
    if let Some(expiration) = text("expiration") {
        let until: Option<Timestamp> = expiration.parse().ok();
        if until.is_none_or(|until| now >= until) {
            return Err(bad("has expired"));
        }
    }
    if text("usage-bootstrap-authentication").as_deref() != Some("true") {
        return Err(bad("is not for authentication"));
    }
    let mut groups = vec!["system:bootstrappers".to_owned()];
    let extra = text("auth-extra-groups").unwrap_or_default();
    for group in extra.split(',').filter(|group| !group.is_empty()) {
        if !is_bootstrap_group(group) {
            return Err(bad(
                "has a group that does not start with system:bootstrappers:",
            ));
        }
        if !groups.iter().any(|g| g == group) {
            groups.push(group.to_owned());
        }
    }
    groups.sort();
    Ok(User::authenticated(
        format!("system:bootstrap:{id}"),
        groups,
    ))
}

/// `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]`.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else {
        return false;
    };
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().all(|b| is_word(b) || b == b':' || b == b'-')
        && rest.bytes().last().is_some_and(is_word)
}
