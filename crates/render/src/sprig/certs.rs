//! Keys and certificates. Where sprig makes RSA keys for certificates these are P-256 keys, made from the rendering's seed:
//! every TLS library takes them and they cost nothing to make. Signatures carry a random number of the signing library,
//! so two renderings with one seed agree on the keys and differ in the last bytes of the certificates. RSA keys, which
//! only `genPrivateKey` makes, come from that library's own randomness.

use super::args::{any, int, string};
use super::crypto::SLOW;
use super::data::base64_decode;
use crate::gotemplate::{
    Error, Function, Map, Object, Result, Runtime, Type, Value, fail, format, text,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, RsaKeySize, SanType, SerialNumber,
};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use Type::{Int, List, Str};

/// Go's name of a certificate with its key.
const CERTIFICATE: &str = "sprig.certificate";
const CA: Type = Type::Object(CERTIFICATE);

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    ("genPrivateKey", Function::new(&[Str], private_key)),
    ("buildCustomCert", Function::new(&[Str, Str], custom)),
    (
        "genCA",
        Function::new(&[Str, Int], |rt, a| authority(rt, a, None)),
    ),
    (
        "genCAWithKey",
        Function::new(&[Str, Int, Str], |rt, a| authority(rt, a, Some(2))),
    ),
    (
        "genSelfSignedCert",
        Function::new(&[Str, List, List, Int], |rt, a| self_signed(rt, a, None)),
    ),
    (
        "genSelfSignedCertWithKey",
        Function::new(&[Str, List, List, Int, Str], |rt, a| {
            self_signed(rt, a, Some(4))
        }),
    ),
    (
        "genSignedCert",
        Function::new(&[Str, List, List, Int, CA], |rt, a| signed(rt, a, None)),
    ),
    (
        "genSignedCertWithKey",
        Function::new(&[Str, List, List, Int, CA, Str], |rt, a| {
            signed(rt, a, Some(5))
        }),
    ),
];

/// A certificate and its key as templates hold them.
struct Pair {
    cert: String,
    key: String,
}

impl Object for Pair {
    fn type_name(&self) -> &'static str {
        CERTIFICATE
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Cert" => Some(self.cert.as_str().into()),
            "Key" => Some(self.key.as_str().into()),
            _ => None,
        }
    }

    fn text(&self) -> String {
        format!("{{{} {}}}", self.cert, self.key)
    }

    fn data(&self) -> Value {
        let fields =
            ["Cert", "Key"].map(|name| (Rc::from(name), self.field(name).unwrap_or_default()));
        Value::Map(fields.into_iter().collect::<Map>())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn pair(cert: String, key: String) -> Value {
    Value::Object(Rc::new(Pair { cert, key }))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|l| std::str::from_utf8(l).unwrap_or_default())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The label and the bytes of the first block.
fn unpem(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let body = rest.split_once("-----END ")?.0;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    Some((label, STANDARD.decode(body).ok()?))
}

/// A key pair and its PEM.
struct Key {
    pair: KeyPair,
    pem: String,
}

/// PKCS #8 of a P-256 key, up to its 32 bytes.
const P256_PKCS8: &str = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";

/// A P-256 key out of the rendering's randomness.
fn new_p256(rt: &mut Runtime<'_>) -> Result<Key> {
    // A number that is zero or too large for the curve is as likely as winning a lottery four times in a row.
    for _ in 0..4 {
        let mut secret = [0; 32];
        rt.rng.fill_bytes(&mut secret);
        let mut der = hex::decode(P256_PKCS8).unwrap_or_default();
        der.extend_from_slice(&secret);
        let Ok(pair) = KeyPair::try_from(der) else {
            continue;
        };
        let sec1 = [
            &hex::decode("30770201010420").unwrap_or_default()[..],
            &secret,
            &hex::decode("a00a06082a8648ce3d030107a144034200").unwrap_or_default(),
            pair.der_bytes(),
        ]
        .concat();
        return Ok(Key {
            pem: pem("EC PRIVATE KEY", &sec1),
            pair,
        });
    }
    fail!("error generating key: no usable random number")
}

fn parse_key(text: &str) -> Result<Key> {
    let Some((label, der)) = unpem(text) else {
        fail!("no PEM data in input")
    };
    if label != "PRIVATE KEY" && !label.ends_with(" PRIVATE KEY") {
        fail!("no private key data in PEM block of type {label}");
    }
    match KeyPair::try_from(der) {
        Ok(pair) => Ok(Key {
            pair,
            pem: text.to_string(),
        }),
        Err(_) => fail!(
            "invalid private key type {}",
            label.trim_end_matches(" PRIVATE KEY")
        ),
    }
}

fn key_of(rt: &mut Runtime<'_>, a: &[Value], given: Option<usize>) -> Result<Key> {
    match given {
        None => new_p256(rt),
        Some(i) => {
            parse_key(&string(a, i)).map_err(|e| Error::new(format!("parsing private key: {e}")))
        }
    }
}

/// The OCTET STRING inside PKCS #8, which is the key in its own format.
fn inner_key(pkcs8: &[u8]) -> Option<&[u8]> {
    /// Takes one DER element off the front: its content.
    fn element<'d>(der: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
        let (first, rest) = der.split_first().filter(|(t, _)| **t == tag)?;
        let _ = first;
        let (length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            _ => {
                let count = usize::from(length & 0x7f);
                let digits = rest.get(..count).filter(|d| d.len() <= 4)?;
                (
                    digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)),
                    &rest[count..],
                )
            }
        };
        let content = rest.get(..length)?;
        *der = &rest[length..];
        Some(content)
    }
    let mut der = pkcs8;
    let mut inside = element(&mut der, 0x30)?;
    element(&mut inside, 0x02)?;
    element(&mut inside, 0x30)?;
    element(&mut inside, 0x04)
}

fn private_key(rt: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let failed = |e: rcgen::Error| format!("failed to generate private key: {e}");
    Ok(match &*string(a, 0) {
        "" | "rsa" => {
            rt.budget.step(SLOW * 10)?;
            match KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096) {
                Ok(pair) => {
                    let der = pair.serialize_der();
                    pem("RSA PRIVATE KEY", inner_key(&der).unwrap_or_default())
                }
                Err(e) => failed(e),
            }
        }
        "ecdsa" => new_p256(rt)?.pem,
        "ed25519" => {
            let mut secret = [0; 32];
            rt.rng.fill_bytes(&mut secret);
            let der = [
                &hex::decode("302e020100300506032b657004220420").unwrap_or_default()[..],
                &secret,
            ]
            .concat();
            pem("PRIVATE KEY", &der)
        }
        "dsa" => "failed to generate private key: DSA keys are not supported".into(),
        other => format!("Unknown type {other}"),
    }
    .into())
}

fn custom(_: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let decoded = |i: usize, what: &str| {
        let bytes = base64_decode(&string(a, i))
            .map_err(|_| Error::new(format!("unable to decode base64 {what}")))?;
        Ok::<String, Error>(text::decode(&bytes))
    };
    let (cert, key) = (decoded(0, "certificate")?, decoded(1, "private key")?);
    if unpem(&cert).is_none_or(|(label, _)| label != "CERTIFICATE") {
        fail!("unable to decode certificate");
    }
    parse_key(&key).map_err(|e| Error::new(format!("error parsing private key: {e}")))?;
    Ok(pair(cert, key))
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(list) => list.items(),
        _ => &[],
    }
}

/// Seconds of the last moment that a certificate can name.
const LAST_SECOND: u64 = 253_402_300_799;

/// What all certificates have in common.
fn params(
    rt: &mut Runtime<'_>,
    name: &str,
    ips: &Value,
    hosts: &Value,
    days: i64,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, &*text::lossy(name));
    for ip in items(ips) {
        let Value::Str(ip) = ip else {
            fail!(
                "error parsing ip: {} is not a string",
                format::print(&mut rt.budget, ip)?
            );
        };
        let parsed: IpAddr = ip
            .parse()
            .map_err(|_| Error::new(format!("error parsing ip: {ip}")))?;
        params.subject_alt_names.push(SanType::IpAddress(parsed));
    }
    for host in items(hosts) {
        let Value::Str(host) = host else {
            let shown = format::print(&mut rt.budget, host)?;
            fail!("error processing alternate dns name: {shown} is not a string");
        };
        let host = (**host)
            .try_into()
            .map_err(|_| Error::new(format!("x509: {host:?} cannot be encoded as an IA5String")))?;
        params.subject_alt_names.push(SanType::DnsName(host));
    }
    let mut serial = [0; 16];
    rt.rng.fill_bytes(&mut serial);
    // A serial number is positive.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = u64::try_from(rt.now.as_second())
        .unwrap_or(0)
        .min(LAST_SECOND);
    let end = now
        .saturating_add_signed(days.saturating_mul(86_400))
        .min(LAST_SECOND);
    params.not_before = epoch + Duration::from_secs(now);
    params.not_after = epoch + Duration::from_secs(end);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params)
}

fn failed(error: &rcgen::Error) -> Error {
    Error::new(format!("error creating certificate: {error}"))
}

fn authority(rt: &mut Runtime<'_>, a: &[Value], given: Option<usize>) -> Result<Value> {
    rt.budget.step(SLOW / 10)?;
    let key = key_of(rt, a, given)?;
    let mut params = params(rt, &string(a, 0), &Value::Nil, &Value::Nil, int(a, 1))?;
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = params.self_signed(&key.pair).map_err(|e| failed(&e))?;
    Ok(pair(pem("CERTIFICATE", cert.der()), key.pem))
}

fn self_signed(rt: &mut Runtime<'_>, a: &[Value], given: Option<usize>) -> Result<Value> {
    rt.budget.step(SLOW / 10)?;
    let key = key_of(rt, a, given)?;
    let params = params(rt, &string(a, 0), &any(a, 1), &any(a, 2), int(a, 3))?;
    let cert = params.self_signed(&key.pair).map_err(|e| failed(&e))?;
    Ok(pair(pem("CERTIFICATE", cert.der()), key.pem))
}

fn signed(rt: &mut Runtime<'_>, a: &[Value], given: Option<usize>) -> Result<Value> {
    rt.budget.step(SLOW / 10)?;
    let ca = any(a, 4);
    let Value::Object(object) = &ca else {
        fail!("unable to decode certificate")
    };
    let Some(ca) = object.as_any().downcast_ref::<Pair>() else {
        fail!("unable to decode certificate")
    };
    let signer =
        parse_key(&ca.key).map_err(|e| Error::new(format!("error parsing private key: {e}")))?;
    let issuer = Issuer::from_ca_cert_pem(&ca.cert, signer.pair).map_err(|e| {
        Error::new(format!(
            "error parsing certificate: decodedSignerCert.Bytes: {e}"
        ))
    })?;
    let key = key_of(rt, a, given)?;
    let mut params = params(rt, &string(a, 0), &any(a, 1), &any(a, 2), int(a, 3))?;
    params.use_authority_key_identifier_extension = true;
    let cert = params
        .signed_by(&key.pair, &issuer)
        .map_err(|e| failed(&e))?;
    Ok(pair(pem("CERTIFICATE", cert.der()), key.pem))
}
