//! Signatures of a cluster's public description, by which a machine that joins knows that whoever shows it has its token: JWS with detached
//! payload, HS256, as Kubernetes' bootstrap signer writes them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Prefix of the keys in ConfigMap kube-public/cluster-info; the token's id follows.
pub const KEY_PREFIX: &str = "jws-kubeconfig-";

/// The signature of `payload` by `token` (`id.secret`).
#[must_use]
pub fn sign(payload: &str, token: &str) -> String {
    let (id, secret) = token.split_once('.').unwrap_or((token, ""));
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let signature = signature(&header, payload, secret);
    format!("{header}..{signature}")
}

/// Whether `jws` is the signature of `payload` by `token`.
#[must_use]
pub fn verify(jws: &str, payload: &str, token: &str) -> bool {
    let Some((id, secret)) = token.split_once('.') else {
        return false;
    };
    let mut parts = jws.split('.');
    let (Some(header), Some(""), Some(found), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let decoded = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let parsed: Value = serde_json::from_slice(&decoded).unwrap_or_default();
    let is_ours = parsed["alg"] == "HS256" && parsed["kid"] == id;
    is_ours
        && same(
            found.as_bytes(),
            signature(header, payload, secret).as_bytes(),
        )
}

/// Compares without telling where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

fn signature(header: &str, payload: &str, secret: &str) -> String {
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    URL_SAFE_NO_PAD.encode(hmac_sha256(secret.as_bytes(), message.as_bytes()))
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|b| b ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|b| b ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let mac = hex::encode(hmac_sha256(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(
            mac,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let mac = hex::encode(hmac_sha256(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        ));
        assert_eq!(
            mac,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn signatures_are_checked() {
        let token = "abcdef.0123456789abcdef";
        let jws = sign("payload", token);
        assert!(verify(&jws, "payload", token));
        for (jws, payload, token) in [
            (jws.as_str(), "other", token),
            (&jws, "payload", "abcdef.0123456789abcdee"),
            (&jws, "payload", "bbcdef.0123456789abcdef"),
            ("", "payload", token),
            ("a.b.c", "payload", token),
            (&jws, "payload", ""),
        ] {
            assert!(!verify(jws, payload, token), "{jws} {payload} {token}");
        }
    }
}
