//! Service-account tokens: signing, and what a signature vouches for.
//!
//! A signature only says that we wrote the claims. Whether they still hold (time, the account, the bound object) is
//! looked up on every request in [`Claims::check`], so a deleted account is locked out although its token is cached.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PublicKeyData as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use yasna::models::ObjectIdentifier;

use super::rbac::quoted;
use super::{Objects, User};
use crate::object::Object;

/// Clocks may differ by this much, and a deleted account or bound object keeps its tokens for as long.
const LEEWAY_SECONDS: i64 = 60;
/// A label of Secrets whose tokens are no longer good.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Why a bearer token is refused; shown to whoever reviews it, so it never repeats the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[invalid bearer token, {0}]")]
pub struct TokenError(pub String);

/// The object that a token lives and dies with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub name: String,
    pub uid: String,
}

/// The `kubernetes.io` claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Bound>,
    pub serviceaccount: Bound,
    /// Seconds since 1970 after which the use of the token deserves a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub aud: Vec<String>,
    /// Seconds since 1970.
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    #[serde(default)]
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub subject: Subject,
    pub nbf: i64,
    pub sub: String,
}

/// A token whose signature is right.
#[derive(Clone, Debug)]
pub(super) enum Verified {
    Bound(Box<Claims>),
    Legacy(Box<LegacyClaims>),
}

/// What the token in a Secret of type `kubernetes.io/service-account-token` says; it never expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LegacyClaims {
    iss: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    name: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    uid: String,
    sub: String,
}

/// One cluster's service-account keys: the first one signs, all of them verify.
pub(super) struct Signers(Vec<Signer>);

impl Signers {
    pub(super) fn new(keys: &[KeyPair], issuer: &str) -> Result<Self, SignerError> {
        let signers = keys.iter().map(|key| Signer::new(key, issuer));
        Ok(Self(signers.collect::<Result<_, _>>()?))
    }

    /// The token that says `claims`.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, SignerError> {
        self.0.first().ok_or(SignerError::Algorithm)?.sign(claims)
    }

    /// The claims of a token that one of the keys has signed.
    pub(super) fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let id = jsonwebtoken::decode_header(token).ok().and_then(|h| h.kid);
        let named = self
            .0
            .iter()
            .find(|signer| Some(&signer.key_id) == id.as_ref());
        if let Some(signer) = named {
            return signer.verify(token);
        }
        let mut refused = TokenError("its signature is not of this cluster".into());
        for signer in &self.0 {
            match signer.verify(token) {
                Ok(verified) => return Ok(verified),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The public keys as a JSON Web Key Set.
    pub(super) fn key_set(&self) -> Value {
        let keys: Vec<&Jwk> = self.0.iter().map(|signer| &signer.public).collect();
        json!({"keys": keys})
    }
}

/// Signs and verifies with one key.
struct Signer {
    issuer: String,
    algorithm: Algorithm,
    key_id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: Jwk,
    validation: Validation,
}

/// The key cannot sign tokens.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Only these algorithms are for service-account tokens.
    #[error("service-account key: want RSA, P-256 or P-384")]
    Algorithm,
    /// The key is broken.
    #[error("service-account key cannot be used")]
    Key(#[from] jsonwebtoken::errors::Error),
}

impl Signer {
    fn new(key: &KeyPair, issuer: &str) -> Result<Self, SignerError> {
        let (algorithm, encoding) = encoding_key(key)?;
        let mut public = Jwk::from_encoding_key(&encoding, algorithm)?;
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(key.subject_public_key_info()));
        public.common.key_id = Some(key_id.clone());
        public.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        let mut validation = Validation::new(algorithm);
        // Time and audience are checked against what the caller hands in, not against this machine's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Ok(Self {
            issuer: issuer.into(),
            algorithm,
            key_id,
            decoding: DecodingKey::from_jwk(&public)?,
            encoding,
            public,
            validation,
        })
    }

    /// The token that says `claims`.
    fn sign(&self, claims: &impl Serialize) -> Result<String, SignerError> {
        let header = Header {
            typ: None,
            kid: Some(self.key_id.clone()),
            ..Header::new(self.algorithm)
        };
        Ok(jsonwebtoken::encode(&header, claims, &self.encoding)?)
    }

    /// The claims of a token that we signed.
    fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let bad = |why: &str| TokenError(why.into());
        let decoded = jsonwebtoken::decode::<Value>(token, &self.decoding, &self.validation)
            .map_err(|_| bad("its signature is not of this cluster"))?;
        let claims = decoded.claims;
        let issuer = claims["iss"].as_str().unwrap_or_default();
        if issuer == LEGACY_ISSUER {
            let legacy = serde_json::from_value(claims).map_err(|_| bad("claims are missing"))?;
            return Ok(Verified::Legacy(Box::new(legacy)));
        }
        if issuer != self.issuer {
            return Err(bad("it is of another issuer"));
        }
        let claims = serde_json::from_value(claims).map_err(|_| bad("claims are missing"))?;
        Ok(Verified::Bound(Box::new(claims)))
    }
}

/// The key in the forms that JSON Web Tokens want: PKCS#1 or PKCS#8 for RSA, PKCS#8 for EC.
fn encoding_key(key: &KeyPair) -> Result<(Algorithm, EncodingKey), SignerError> {
    const P256: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
    const P384: &[u64] = &[1, 3, 132, 0, 34];
    let der = key.serialized_der();
    let (algorithm, curve) = if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
        (Algorithm::ES256, P256)
    } else if key.algorithm() == &rcgen::PKCS_ECDSA_P384_SHA384 {
        (Algorithm::ES384, P384)
    } else if key.algorithm() == &rcgen::PKCS_RSA_SHA256 {
        let pkcs1 = rsa_pkcs1(der).ok_or(SignerError::Algorithm)?;
        return Ok((Algorithm::RS256, EncodingKey::from_rsa_der(&pkcs1)));
    } else {
        return Err(SignerError::Algorithm);
    };
    let is_pkcs8 = yasna::parse_der(der, |reader| {
        reader.read_sequence(|reader| {
            let version = reader.next().read_u8()?;
            while reader.read_optional(|r| r.read_der())?.is_some() {}
            Ok(version == 0)
        })
    });
    let pkcs8 = if is_pkcs8.unwrap_or(true) {
        der.to_vec()
    } else {
        wrap_ec(curve, der)
    };
    Ok((algorithm, EncodingKey::from_ec_der(&pkcs8)))
}

/// SEC 1 (whose version is 1) in a PKCS#8 envelope (whose version is 0).
fn wrap_ec(curve: &[u64], sec1: &[u8]) -> Vec<u8> {
    const EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10045, 2, 1];
    yasna::construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_u8(0);
            w.next().write_sequence(|w| {
                w.next()
                    .write_oid(&ObjectIdentifier::from_slice(EC_PUBLIC_KEY));
                w.next().write_oid(&ObjectIdentifier::from_slice(curve));
            });
            w.next().write_bytes(sec1);
        });
    })
}

/// The PKCS#1 key inside a PKCS#8 envelope, or the key itself when there is no envelope.
fn rsa_pkcs1(der: &[u8]) -> Option<Vec<u8>> {
    let inner = yasna::parse_der(der, |reader| {
        reader.read_sequence(|reader| {
            reader.next().read_u8()?;
            reader.next().read_sequence(|reader| {
                while reader.read_optional(|r| r.read_der())?.is_some() {}
                Ok(())
            })?;
            let key = reader.next().read_bytes()?;
            while reader.read_optional(|r| r.read_der())?.is_some() {}
            Ok(key)
        })
    });
    Some(inner.unwrap_or_else(|_| der.to_vec())).filter(|key| !key.is_empty())
}

impl Claims {
    /// Whether the token still holds, for one of `audiences`: the user, and the audiences that matched.
    pub(super) fn check(
        &self,
        objects: &dyn Objects,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<(User, Vec<String>), TokenError> {
        let bad = |why: String| Err(TokenError(why));
        let now = now.as_second();
        if now > self.exp.saturating_add(LEEWAY_SECONDS) {
            return bad("service account token has expired".into());
        }
        if now.saturating_add(LEEWAY_SECONDS) < self.nbf {
            return bad("service account token is not valid yet".into());
        }
        let matched: Vec<String> = self
            .aud
            .iter()
            .filter(|aud| audiences.contains(aud))
            .cloned()
            .collect();
        if matched.is_empty() {
            return bad(format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(&self.aud),
                quoted(audiences)
            ));
        }
        let Subject {
            namespace,
            node,
            pod,
            secret,
            serviceaccount,
            warnafter: _,
        } = &self.subject;
        check_alive(objects, "serviceaccounts", namespace, serviceaccount, now)?;
        for (resource, bound) in [("pods", pod), ("secrets", secret)] {
            if let Some(bound) = bound {
                check_alive(objects, resource, namespace, bound, now)?;
            }
        }
        // The node beside a pod only informs; alone it is what the token is bound to.
        if let (Some(node), None) = (node, pod) {
            check_alive(objects, "nodes", "", node, now)?;
        }
        let mut user = User::service_account(namespace, &serviceaccount.name, &serviceaccount.uid);
        if !self.jti.is_empty() {
            let id = vec![format!("JTI={}", self.jti)];
            user.extra.insert(CREDENTIAL_ID.into(), id);
        }
        for (what, bound) in [("pod", pod), ("node", node)] {
            let Some(bound) = bound else { continue };
            for (part, text) in [("name", &bound.name), ("uid", &bound.uid)] {
                let key = format!("authentication.kubernetes.io/{what}-{part}");
                user.extra.insert(key, vec![text.clone()]);
            }
        }
        Ok((user, matched))
    }
}

impl LegacyClaims {
    /// The claims of the token for `secret`.
    pub(super) fn new(namespace: &str, secret: &str, account: &Bound) -> Self {
        Self {
            iss: LEGACY_ISSUER.into(),
            namespace: namespace.into(),
            secret: secret.into(),
            name: account.name.clone(),
            uid: account.uid.clone(),
            sub: User::service_account(namespace, &account.name, "").name,
        }
    }

    /// Whether the token is still the one in its Secret.
    pub(super) fn check(
        &self,
        objects: &dyn Objects,
        token: &str,
        now: Timestamp,
    ) -> Result<User, TokenError> {
        let account = Bound {
            name: self.name.clone(),
            uid: self.uid.clone(),
        };
        let now = now.as_second();
        check_alive(objects, "serviceaccounts", &self.namespace, &account, now)?;
        let secret = objects
            .get("secrets", &self.namespace, &self.secret)
            .filter(|secret| !secret.header.is_deleting);
        let stored = (secret.as_ref())
            .map(|secret| secret.value())
            .filter(|secret| secret["type"] == "kubernetes.io/service-account-token")
            .and_then(|secret| STANDARD.decode(secret["data"]["token"].as_str()?).ok());
        if stored.is_none_or(|stored| Sha256::digest(stored) != Sha256::digest(token)) {
            return Err(TokenError("token has been invalidated".into()));
        }
        if secret.is_some_and(|secret| secret.header.label(INVALID_SINCE).is_some()) {
            return Err(TokenError(format!(
                "the token in secret {}/{} for service account {}/{} has been marked invalid. Use tokens from the \
                 TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from \
                 the secret to temporarily allow use of this token",
                self.namespace, self.secret, self.namespace, self.name
            )));
        }
        Ok(User::service_account(
            &self.namespace,
            &self.name,
            &self.uid,
        ))
    }
}

/// The object exists, is the same one, and was not deleted long ago.
fn check_alive(
    objects: &dyn Objects,
    resource: &str,
    namespace: &str,
    bound: &Bound,
    now: i64,
) -> Result<(), TokenError> {
    let what = resource.trim_end_matches('s');
    let Some(object) = objects.get(resource, namespace, &bound.name) else {
        return Err(TokenError(format!("{what} {:?} not found", bound.name)));
    };
    if *object.header.uid != *bound.uid {
        return Err(TokenError(format!(
            "{what} UID ({}) does not match claim ({})",
            object.header.uid, bound.uid
        )));
    }
    if object.header.is_deleting && deleted_at(&object) < now - LEEWAY_SECONDS {
        return Err(TokenError(format!(
            "{what} {:?} has been deleted",
            bound.name
        )));
    }
    Ok(())
}

fn deleted_at(object: &Object) -> i64 {
    object.value()["metadata"]["deletionTimestamp"]
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map_or(i64::MIN, Timestamp::as_second)
}
