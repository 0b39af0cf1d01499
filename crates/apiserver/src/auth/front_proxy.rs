//! Proxies that say for whom they ask: the headers `X-Remote-*`, believed from who has a client certificate of the cluster's
//! authority of proxies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::authenticate::{AuthenticatorError, lock, verifier};
use super::bounded::{Bounded, fingerprint};
use super::impersonate::unescape;
use super::pki::{self, ClusterKeys};
use super::{ALL_UNAUTHENTICATED, ANONYMOUS, User};
use crate::aggregation::PROXY_NAME;

/// Proxies whose certificates are remembered.
const CACHE_LIMIT: usize = 64;
const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA_PREFIX: &str = "x-remote-extra-";

/// The first and the last second of a certificate, since 1970.
type Validity = (i64, i64);

/// Recognizes proxies.
pub(super) struct FrontProxies {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Those that were verified.
    known: Mutex<Bounded<Validity>>,
}

impl FrontProxies {
    /// Trusts the authority of proxies in `keys`; `None` if there is none.
    pub(super) fn new(keys: &ClusterKeys) -> Result<Option<Self>, AuthenticatorError> {
        if keys.front_proxy_ca_cert_pem.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            verifier: verifier(&keys.front_proxy_ca_cert_pem)?,
            known: Mutex::new(Bounded::new(CACHE_LIMIT)),
        }))
    }

    /// The user that the headers name, if they come from a proxy with the certificate `client_cert` (DER).
    pub(super) fn user(
        &self,
        client_cert: &[u8],
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<User> {
        // Without the header it is a client like any other, and costs no more.
        let name = first(headers, USER)?;
        if !self.is_proxy(client_cert, now) {
            return None;
        }
        let mut user = User {
            uid: first(headers, UID).unwrap_or_default(),
            groups: all(headers, GROUP),
            ..User::default()
        };
        user.name = name;
        for (header, value) in headers {
            if let Some(key) = header.as_str().strip_prefix(EXTRA_PREFIX) {
                let values = user.extra.entry(unescape(key)).or_default();
                values.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
            }
        }
        // Nobody in particular is not somebody because a proxy says so.
        if user.name != ANONYMOUS && !user.is_in(ALL_UNAUTHENTICATED) {
            user.groups = User::authenticated("", std::mem::take(&mut user.groups)).groups;
        }
        Some(user)
    }

    fn is_proxy(&self, der: &[u8], now: Timestamp) -> bool {
        let key = fingerprint(der);
        let seconds = now.as_second();
        let known = lock(&self.known).get(&key);
        if let Some((not_before, not_after)) = known {
            return (not_before..=not_after).contains(&seconds);
        }
        let Some(validity) = self.verify(der, seconds) else {
            return false;
        };
        lock(&self.known).insert(key, validity);
        true
    }

    fn verify(&self, der: &[u8], seconds: i64) -> Option<Validity> {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).ok()?));
        let certificate = CertificateDer::from(der);
        self.verifier
            .verify_client_cert(&certificate, &[], time)
            .ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let (name, _) = pki::subject_names(parsed.subject());
        let validity = parsed.validity();
        (name == PROXY_NAME).then(|| {
            (
                validity.not_before.timestamp(),
                validity.not_after.timestamp(),
            )
        })
    }
}

fn first(headers: &HeaderMap, name: &str) -> Option<String> {
    all(headers, name).into_iter().next()
}

/// All values that are not empty.
fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    texts.filter(|text| !text.is_empty()).collect()
}
