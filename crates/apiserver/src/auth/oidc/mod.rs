//! OpenID Connect: tokens of other issuers, by an `AuthenticationConfiguration` that can be replaced while the server
//! runs.
//!
//! Claims become a user by mappings and expressions over `claims`; what has to hold is said by expressions over `claims`
//! and `user`. Not here: distributed claims and egress selectors.

mod claims;
mod config;
mod fetch;
mod keys;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use super::bounded::{Bounded, fingerprint};
use super::{ALL_AUTHENTICATED, SERVICE_ACCOUNT_ISSUER, User};
use config::{Anonymous, Config, IssuerConfig};
use keys::Keys;

pub use config::ConfigError;

/// Longer tokens are refused unread.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// How long a token is believed without looking again, in seconds.
const CACHE_SECONDS: i64 = 10;
/// Tokens that are remembered.
const CACHE_LIMIT: usize = 4096;
/// Clocks of issuers may be this far ahead, in seconds.
const LEEWAY_SECONDS: i64 = 300;

/// Whose tokens clusters believe beside their own, and whether requests without any are anonymous.
pub struct Authentication {
    current: ArcSwap<State>,
    replaced: AtomicU64,
    refused: AtomicU64,
}

struct State {
    text: String,
    issuers: Vec<Issuer>,
    anonymous: Anonymous,
    known: Mutex<Bounded<Known>>,
}

struct Issuer {
    config: IssuerConfig,
    keys: Keys,
}

/// A token that was believed.
#[derive(Clone)]
struct Known {
    user: Arc<User>,
    /// Seconds since 1970.
    until: i64,
}

impl Authentication {
    /// Reads a configuration in YAML or JSON. The issuers are asked when the first of their tokens comes.
    ///
    /// # Errors
    /// What is wrong, with the field.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            current: ArcSwap::from_pointee(State::new(text)?),
            replaced: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Replaces the configuration by another one, which holds from the next request on; false if it is the same.
    ///
    /// # Errors
    /// What is wrong, with the field; then the old one stays.
    pub fn replace(&self, text: &str) -> Result<bool, ConfigError> {
        if self.current.load().text == text {
            return Ok(false);
        }
        let state = State::new(text).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })?;
        self.current.store(Arc::new(state));
        self.replaced.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Whether a request for `path` without credentials is one of the anonymous user.
    pub(crate) fn allows_anonymous(&self, path: &str) -> bool {
        match &self.current.load().anonymous {
            Anonymous::Allowed => true,
            Anonymous::OnlyFor(paths) => paths.iter().any(|allowed| allowed == path),
            Anonymous::Refused => false,
        }
    }

    /// Whether the token says that it is of one of the issuers.
    pub(crate) fn is_responsible(&self, token: &str) -> bool {
        let issuer = issuer_of(token);
        let state = self.current.load();
        issuer.is_some_and(|issuer| state.issuers.iter().any(|i| i.config.url == issuer))
    }

    /// The user of a token of one of the issuers.
    ///
    /// # Errors
    /// Why the token is refused; never with the token in it.
    pub(crate) async fn authenticate(&self, token: &str, now: Timestamp) -> Result<User, String> {
        let state = self.current.load_full();
        let now = now.as_second();
        let key = fingerprint(token.as_bytes());
        let known = state.known().get(&key).filter(|known| now < known.until);
        if let Some(known) = known {
            return Ok((*known.user).clone());
        }
        let issuer = issuer_of(token)
            .and_then(|issuer| state.issuers.iter().find(|i| i.config.url == issuer))
            .ok_or("it is of another issuer")?;
        let (user, expires) = issuer.authenticate(token, now).await?;
        let known = Known {
            user: Arc::new(user.clone()),
            until: expires.min(now.saturating_add(CACHE_SECONDS)),
        };
        state.known().insert(key, known);
        Ok(user)
    }

    /// How often the configuration was replaced, in the text format of Prometheus.
    pub(crate) fn metrics(&self, text: &mut String) {
        let name = "apiserver_authentication_config_controller_automatic_reloads_total";
        _ = writeln!(
            text,
            "# HELP {name} Reloads of the authentication configuration.\n# TYPE {name} counter"
        );
        for (status, count) in [("success", &self.replaced), ("failure", &self.refused)] {
            let count = count.load(Ordering::Relaxed);
            _ = writeln!(text, "{name}{{status=\"{status}\"}} {count}");
        }
    }
}

impl State {
    fn new(text: &str) -> Result<Self, ConfigError> {
        let config = Config::parse(text, &[SERVICE_ACCOUNT_ISSUER])?;
        let issuers = config.issuers.into_iter().map(|config| Issuer {
            keys: Keys::new(&config.url, config.discovery.clone(), config.roots.clone()),
            config,
        });
        Ok(Self {
            text: text.into(),
            issuers: issuers.collect(),
            anonymous: config.anonymous,
            known: Mutex::new(Bounded::new(CACHE_LIMIT)),
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Bounded<Known>> {
        // Whole after every step, so a poisoned lock is as good as any.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issuer {
    /// The user, and when the token expires.
    async fn authenticate(&self, token: &str, now: i64) -> Result<(User, i64), String> {
        let claims = self.keys.verify(token).await?;
        let config = &self.config;
        if claims["iss"] != config.url {
            return Err("it is of another issuer".into());
        }
        let expires = seconds(&claims["exp"]).ok_or("it never expires: claim exp is missing")?;
        if now > expires {
            return Err("it has expired".into());
        }
        let not_before = seconds(&claims["nbf"]);
        if not_before.is_some_and(|from| now.saturating_add(LEEWAY_SECONDS) < from) {
            return Err("it is not valid yet".into());
        }
        let is_for = |aud: &Value| {
            aud.as_str()
                .is_some_and(|aud| config.audiences.iter().any(|a| a == aud))
        };
        let is_ours = match &claims["aud"] {
            Value::Array(all) => all.iter().any(is_for),
            aud => is_for(aud),
        };
        if !is_ours {
            return Err(format!(
                "it is for another audience: want one of {:?}",
                config.audiences
            ));
        }
        let mut user = config.mappings.user(&claims)?;
        claims::check_claims(&config.validations, &claims)?;
        claims::check_user(&config.user_validations, &user)?;
        if !user.is_in(ALL_AUTHENTICATED) {
            user.groups.push(ALL_AUTHENTICATED.into());
        }
        Ok((user, expires))
    }
}

/// A time in a claim; fractions are cut off.
fn seconds(claim: &Value) -> Option<i64> {
    claim.as_i64().or_else(|| {
        let seconds = claim.as_f64().filter(|s| s.abs() < 1e15)?;
        format!("{:.0}", seconds.trunc()).parse().ok()
    })
}

/// Who a token says it is of, unverified.
fn issuer_of(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    #[derive(serde::Deserialize)]
    struct Claims {
        iss: String,
    }
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.iss)
}
