//! Detached JSON web signatures (RFC 7515, appendix F), as kubeadm checks them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};

/// The signature of `content` by a bootstrap token, without the content: `<header>..<signature>`.
pub(super) fn detached(content: &str, token_id: &str, token_secret: &str) -> Option<String> {
    let header = serde_json::json!({"alg": "HS256", "kid": token_id}).to_string();
    let header = URL_SAFE_NO_PAD.encode(header);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = EncodingKey::from_secret(token_secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).ok()?;
    Some(format!("{header}..{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::DecodingKey;

    /// The vector of Kubernetes' own test (`cluster-bootstrap/token/jws`).
    #[test]
    fn it_is_the_signature_that_kubeadm_expects() {
        let got = detached(
            "Hello from the other side. I must have called a thousand times.",
            "joshua",
            "my voice is my passcode",
        );
        let expect =
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert_eq!(got.as_deref(), Some(expect));
    }

    #[test]
    fn it_can_be_checked() {
        let signed = detached("content", "abcdef", "0123456789abcdef").unwrap();
        let (header, signature) = signed.split_once("..").unwrap();
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode("content"));
        let check = |secret: &str| {
            let key = DecodingKey::from_secret(secret.as_bytes());
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256)
                .unwrap()
        };
        assert!(check("0123456789abcdef"));
        assert!(!check("0123456789abcdeg"));
    }
}
