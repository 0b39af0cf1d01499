//! Checksums, passwords and encryption.

use super::args::{int, string};
use super::data::{base64, base64_decode};
use super::{scrypt, sha1};
use crate::gotemplate::{Error, Function, Result, Runtime, Type, Value, fail, text};
use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use rand::RngCore;
use sha2::{Digest, Sha256, Sha512};

use Type::{Str, Uint32};

const S: &[Type] = &[Str];

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "sha1sum",
        Function::new(S, |_, a| {
            Ok(hex::encode(sha1::digest(&text::encode(&string(a, 0)))).into())
        }),
    ),
    (
        "sha256sum",
        Function::new(S, |_, a| {
            Ok(hex::encode(Sha256::digest(text::encode(&string(a, 0)))).into())
        }),
    ),
    (
        "sha512sum",
        Function::new(S, |_, a| {
            Ok(hex::encode(Sha512::digest(text::encode(&string(a, 0)))).into())
        }),
    ),
    (
        "adler32sum",
        Function::new(S, |_, a| {
            Ok(sha1::adler32(&text::encode(&string(a, 0)))
                .to_string()
                .into())
        }),
    ),
    (
        "bcrypt",
        Function::new(S, |rt, a| Ok(bcrypt(rt, &string(a, 0))?.into())),
    ),
    ("htpasswd", Function::new(&[Str, Str], htpasswd)),
    ("encryptAES", Function::new(&[Str, Str], encrypt)),
    (
        "decryptAES",
        Function::new(&[Str, Str], |_, a| decrypt(&string(a, 0), &string(a, 1))),
    ),
    (
        "derivePassword",
        Function::new(&[Uint32, Str, Str, Str, Str], derive),
    ),
];

/// Steps that slow functions cost: a rendering has time for some, not for thousands.
pub(super) const SLOW: u64 = 200_000;

/// The work factor that sprig uses.
const BCRYPT_COST: u32 = 10;

fn bcrypt(rt: &mut Runtime<'_>, password: &str) -> Result<String> {
    rt.budget.step(SLOW)?;
    let password = text::encode(password);
    let mut salt = [0; 16];
    rt.rng.fill_bytes(&mut salt);
    if password.len() > 72 {
        return Ok(
            "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".into(),
        );
    }
    Ok(
        match bcrypt::hash_with_salt(password.as_ref(), BCRYPT_COST, salt) {
            Ok(hash) => hash.format_for_version(bcrypt::Version::TwoA),
            Err(error) => format!("failed to encrypt string with bcrypt: {error}"),
        },
    )
}

fn htpasswd(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let (user, password) = (string(a, 0), string(a, 1));
    if user.contains(':') {
        return Ok(format!("invalid username: {user}").into());
    }
    let hash = bcrypt(rt, &password)?;
    Ok(format!("{user}:{hash}").into())
}

/// The password's bytes as a key: cut or filled with zeros.
fn key(password: &str) -> Result<UnboundCipherKey> {
    let mut key = [0; 32];
    for (slot, byte) in key.iter_mut().zip(text::encode(password).iter()) {
        *slot = *byte;
    }
    UnboundCipherKey::new(&AES_256, &key).map_err(|_| Error::new("the key cannot be used"))
}

fn encrypt(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let (password, plain) = (string(a, 0), string(a, 1));
    if plain.is_empty() {
        return Ok("".into());
    }
    rt.budget.bytes(plain.len() * 3)?;
    let failed = |_| Error::new("encryption failed");
    let mut iv = [0; 16];
    rt.rng.fill_bytes(&mut iv);
    let mut data = text::encode(&plain).into_owned();
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(key(&password)?).map_err(failed)?;
    cipher
        .less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(failed)?;
    Ok(base64(&[&iv[..], &data].concat()).into())
}

fn decrypt(password: &str, encrypted: &str) -> Result<Value> {
    if encrypted.is_empty() {
        return Ok("".into());
    }
    let data = base64_decode(encrypted).map_err(Error::new)?;
    let Some((iv, body)) = data.split_first_chunk::<16>() else {
        fail!(
            "runtime error: slice bounds out of range [:16] with capacity {}",
            data.len()
        );
    };
    let failed = |_| Error::new("decryption failed");
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(key(password)?).map_err(failed)?;
    let mut body = body.to_vec();
    let plain = cipher
        .decrypt(&mut body, DecryptionContext::Iv128(FixedLength::from(*iv)))
        .map_err(failed)?;
    Ok(Value::from_bytes(plain))
}

/// The templates of the Master Password algorithm by type, and the characters of each class.
const TEMPLATES: [(&str, &[&str]); 6] = [
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

fn characters(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The Master Password algorithm: a site's password from one secret.
fn derive(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    const SEED: &[u8] = b"com.lyndir.masterpassword";
    rt.budget.step(SLOW * 5)?;
    rt.budget.bytes(32 << 20)?;
    let counter = match a.first() {
        Some(Value::Uint64(n)) => u32::try_from(*n).unwrap_or(u32::MAX),
        _ => u32::try_from(int(a, 0)).unwrap_or(0),
    };
    let (kind, password, user, site) = (string(a, 1), string(a, 2), string(a, 3), string(a, 4));
    let Some((_, templates)) = TEMPLATES.iter().find(|(name, _)| *name == &*kind) else {
        return Ok(format!("cannot find password template {kind}").into());
    };
    let length = |s: &[u8]| u32::try_from(s.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (user, site) = (text::encode(&user), text::encode(&site));
    let salt = [SEED, &length(&user), &user].concat();
    let secret = scrypt::derive(&text::encode(&password), &salt);
    let message = [SEED, &length(&site), &site, &counter.to_be_bytes()].concat();
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &message);
    let seed = seed.as_ref();
    let template = templates[usize::from(seed[0]) % templates.len()];
    let pick = |(class, byte): (u8, &u8)| {
        let set = characters(class);
        char::from(set[usize::from(*byte) % set.len()])
    };
    Ok(template
        .bytes()
        .zip(&seed[1..])
        .map(pick)
        .collect::<String>()
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_has_a_way_back() {
        // What sprig made of the same password and text.
        let known = "30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ=";
        assert!(matches!(decrypt("secretkey", known), Ok(Value::Str(s)) if &*s == "plaintext"));
        for bad in ["!", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(decrypt("x", bad).is_err(), "{bad}");
        }
    }
}
