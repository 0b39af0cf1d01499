//! The keys of an issuer: found by discovery, kept, and fetched anew when a token names one that is not known.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::fetch;

/// Keys that are older are fetched anew when they are used: what an issuer has taken back is believed no longer.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// Between two fetches for keys that are not known, whatever tokens come.
const FETCH_PERIOD: Duration = Duration::from_secs(10);
/// Keys of one issuer.
const KEYS_MAX: usize = 256;
/// Signatures that are believed; symmetric ones are not among them.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// The keys of one issuer.
pub(super) struct Keys {
    issuer: String,
    discovery: Url,
    roots: Option<Arc<RootCertStore>>,
    known: ArcSwapOption<KeySet>,
    /// One fetch at a time; when the last one began, and why it failed.
    fetching: Mutex<Fetching>,
}

#[derive(Default)]
struct Fetching {
    began: Option<Instant>,
    failure: Option<String>,
}

struct KeySet {
    keys: Vec<Key>,
    fetched: Instant,
}

struct Key {
    id: Option<String>,
    /// If the issuer says for which one it is.
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

impl Keys {
    pub(super) fn new(issuer: &str, discovery: Url, roots: Option<Arc<RootCertStore>>) -> Self {
        Self {
            issuer: issuer.into(),
            discovery,
            roots,
            known: ArcSwapOption::empty(),
            fetching: Mutex::default(),
        }
    }

    /// The claims of a token that one of the keys has signed.
    ///
    /// # Errors
    /// When none has, or the keys cannot be had.
    pub(super) async fn verify(&self, token: &str) -> Result<Value, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| "it is no signed token")?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("signatures by {:?} are not believed", header.alg));
        }
        let seen = self.known.load_full();
        let is_old = seen
            .as_ref()
            .is_none_or(|known| known.fetched.elapsed() > AGE_MAX);
        if let Some(known) = seen.as_ref().filter(|_| !is_old)
            && let Some(claims) = known.verify(token, &header)
        {
            return Ok(claims);
        }
        let failure = self.refresh(seen.as_ref()).await;
        let now = self.known.load_full();
        if let Some(claims) = now.and_then(|known| known.verify(token, &header)) {
            return Ok(claims);
        }
        Err(failure.unwrap_or_else(|| "its signature is by none of the issuer's keys".into()))
    }

    /// Fetches the keys, unless somebody has since `seen`, or it was tried just now. Answers why it failed.
    async fn refresh(&self, seen: Option<&Arc<KeySet>>) -> Option<String> {
        let mut fetching = self.fetching.lock().await;
        let now = self.known.load_full();
        let is_newer = match (&now, seen) {
            (Some(now), Some(seen)) => !Arc::ptr_eq(now, seen),
            (now, _) => now.is_some(),
        };
        if is_newer {
            return None;
        }
        let is_recent = |began: Instant| began.elapsed() < FETCH_PERIOD;
        if fetching.began.is_some_and(is_recent) {
            return fetching.failure.clone();
        }
        fetching.began = Some(Instant::now());
        let fetched = self.fetch().await;
        fetching.failure = fetched.as_ref().err().cloned();
        match fetched {
            Ok(keys) => self.known.store(Some(Arc::new(keys))),
            Err(why) => tracing::warn!(
                issuer = self.issuer,
                why,
                "the keys of an issuer cannot be had"
            ),
        }
        fetching.failure.clone()
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let client = fetch::client(self.roots.clone())?;
        let document = fetch::json(&self.discovery, client.clone()).await?;
        let issuer = document["issuer"].as_str().unwrap_or_default();
        if issuer != self.issuer {
            return Err(format!(
                "discovery at {} is of another issuer, {issuer:?}: want {:?}",
                self.discovery, self.issuer
            ));
        }
        self.fetch_keys(&document, client).await
    }

    async fn fetch_keys(
        &self,
        document: &Value,
        client: Arc<ClientConfig>,
    ) -> Result<KeySet, String> {
        let url = document["jwks_uri"].as_str().unwrap_or_default();
        let url = Url::parse(url)
            .ok()
            .filter(|url| url.scheme() == "https")
            .ok_or_else(|| format!("jwks_uri {url:?} of discovery is no https URL"))?;
        let set = fetch::json(&url, client).await?;
        let all = set["keys"].as_array().map_or(&[][..], Vec::as_slice);
        // Keys of kinds that are not known here are of use to others.
        let keys: Vec<Key> = all.iter().take(KEYS_MAX).filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(format!("{url} has no key that could sign"));
        }
        Ok(KeySet {
            keys,
            fetched: Instant::now(),
        })
    }
}

impl KeySet {
    fn verify(&self, token: &str, header: &Header) -> Option<Value> {
        let mut validation = Validation::new(header.alg);
        // Time, issuer and audience are checked elsewhere, with the server's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        self.keys
            .iter()
            .filter(|key| key.may_have_signed(header))
            .find_map(|key| {
                let decoded = jsonwebtoken::decode::<Value>(token, &key.key, &validation);
                decoded.ok().map(|decoded| decoded.claims)
            })
    }
}

impl Key {
    fn read(json: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let for_signatures = matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        for_signatures.then_some(Self {
            id: jwk.common.key_id,
            algorithm: jwk.common.key_algorithm,
            key,
        })
    }

    fn may_have_signed(&self, header: &Header) -> bool {
        let is_id = match (&self.id, &header.kid) {
            (Some(id), Some(wanted)) => id == wanted,
            // Who names no key is tried with all.
            _ => true,
        };
        let is_algorithm = self
            .algorithm
            .is_none_or(|algorithm| algorithm.to_string() == format!("{:?}", header.alg));
        is_id && is_algorithm
    }
}
