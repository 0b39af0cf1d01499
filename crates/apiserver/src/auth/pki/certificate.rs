//! Writing X.509 v3 certificates (RFC 5280): only what Kubernetes puts into them.

use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{KeyPair, SigningKey as _};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, Tag, construct_der};

use super::PkiError;

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// Who signs, as it stands in what it signs.
pub(super) struct Issuer {
    name: Vec<u8>,
    key_id: Option<Vec<u8>>,
}

impl Issuer {
    pub(super) fn of(cert: &X509Certificate<'_>) -> Self {
        let key_id = cert
            .extensions()
            .iter()
            .find_map(|e| match e.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            });
        Self {
            name: cert.subject().as_raw().to_vec(),
            key_id,
        }
    }
}

/// What one certificate says.
pub(super) struct Template<'a> {
    /// A DER `Name`.
    pub(super) subject: Vec<u8>,
    /// The DER `SubjectPublicKeyInfo`.
    pub(super) spki: &'a [u8],
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) is_authority: bool,
    pub(super) usages: Usages,
    /// DER `GeneralNames`.
    pub(super) alternative_names: Option<Vec<u8>>,
}

/// Key usages and extended key usages.
#[derive(Default)]
pub(super) struct Usages {
    /// Bits of RFC 5280 `KeyUsage`, digitalSignature first.
    bits: u16,
    extended: Vec<&'static [u64]>,
}

impl Usages {
    /// From the words of `CertificateSigningRequest.spec.usages`.
    pub(super) fn parse(words: &[&str]) -> Result<Self, PkiError> {
        let mut usages = Self::default();
        for word in words {
            let bit = match *word {
                "signing" | "digital signature" => 0,
                "content commitment" => 1,
                "key encipherment" => 2,
                "data encipherment" => 3,
                "key agreement" => 4,
                "cert sign" => 5,
                "crl sign" => 6,
                "encipher only" => 7,
                "decipher only" => 8,
                other => {
                    usages.extended.push(extended(other)?);
                    continue;
                }
            };
            usages.bits |= 1 << bit;
        }
        Ok(usages)
    }
}

fn extended(word: &str) -> Result<&'static [u64], PkiError> {
    Ok(match word {
        "any" => &[2, 5, 29, 37, 0],
        "server auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
        "client auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
        "code signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 3],
        "email protection" | "s/mime" => &[1, 3, 6, 1, 5, 5, 7, 3, 4],
        "ipsec end system" => &[1, 3, 6, 1, 5, 5, 7, 3, 5],
        "ipsec tunnel" => &[1, 3, 6, 1, 5, 5, 7, 3, 6],
        "ipsec user" => &[1, 3, 6, 1, 5, 5, 7, 3, 7],
        "timestamping" => &[1, 3, 6, 1, 5, 5, 7, 3, 8],
        "ocsp signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 9],
        "microsoft sgc" => &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3],
        "netscape sgc" => &[2, 16, 840, 1, 113_730, 4, 1],
        other => return Err(PkiError::Usage(other.into())),
    })
}

/// The DER `Name` of a user (or server) and its groups, one relative name each.
pub(super) fn name<S: AsRef<str>>(
    common_name: &str,
    organizations: &[S],
) -> Result<Vec<u8>, PkiError> {
    if common_name.is_empty() {
        return Err(PkiError::Name(String::new()));
    }
    Ok(construct_der(|w| {
        w.write_sequence(|w| {
            for organization in organizations {
                write_attribute(w.next(), ORGANIZATION, organization.as_ref());
            }
            write_attribute(w.next(), COMMON_NAME, common_name);
        });
    }))
}

fn write_attribute(w: DERWriter<'_>, oid: &[u64], text: &str) {
    w.write_set(|w| {
        w.next().write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(oid));
            w.next().write_utf8_string(text);
        });
    });
}

/// The DER `GeneralNames` of a server.
pub(super) fn alternative_names(
    dns_names: &[&str],
    addresses: &[IpAddr],
) -> Result<Vec<u8>, PkiError> {
    if let Some(name) = dns_names.iter().find(|n| n.is_empty() || !n.is_ascii()) {
        return Err(PkiError::Name((*name).into()));
    }
    Ok(construct_der(|w| {
        w.write_sequence(|w| {
            for name in dns_names {
                w.next()
                    .write_tagged_implicit(Tag::context(2), |w| w.write_ia5_string(name));
            }
            for address in addresses {
                w.next()
                    .write_tagged_implicit(Tag::context(7), |w| match address {
                        IpAddr::V4(v4) => w.write_bytes(&v4.octets()),
                        IpAddr::V6(v6) => w.write_bytes(&v6.octets()),
                    });
            }
        });
    }))
}

/// The certificate of `template`, signed by `key`; without an issuer it signs itself.
pub(super) fn write(
    template: &Template<'_>,
    issuer: Option<&Issuer>,
    key: &KeyPair,
) -> Result<Vec<u8>, PkiError> {
    let body = construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_tagged(Tag::context(0), |w| w.write_u8(2));
            w.next().write_bigint_bytes(&serial(), true);
            write_algorithm(w.next(), key);
            let issuer_name = issuer.map_or(&template.subject, |i| &i.name);
            w.next().write_der(issuer_name);
            w.next().write_sequence(|w| {
                write_time(w.next(), template.not_before);
                write_time(w.next(), template.not_after);
            });
            w.next().write_der(&template.subject);
            w.next().write_der(template.spki);
            w.next().write_tagged(Tag::context(3), |w| {
                w.write_sequence(|w| write_extensions(w, template, issuer));
            });
        });
    });
    let signature = key.sign(&body).map_err(PkiError::Sign)?;
    Ok(construct_der(|w| {
        w.write_sequence(|w| {
            w.next().write_der(&body);
            write_algorithm(w.next(), key);
            w.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

/// 127 random bits, positive and never shorter.
fn serial() -> [u8; 16] {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

fn write_algorithm(w: DERWriter<'_>, key: &KeyPair) {
    let algorithm = key.algorithm();
    let (oid, has_null): (&[u64], bool) = if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        (&[1, 2, 840, 10045, 4, 3, 2], false)
    } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        (&[1, 2, 840, 10045, 4, 3, 3], false)
    } else if algorithm == &rcgen::PKCS_ECDSA_P521_SHA512 {
        (&[1, 2, 840, 10045, 4, 3, 4], false)
    } else if algorithm == &rcgen::PKCS_ED25519 {
        (&[1, 3, 101, 112], false)
    } else {
        // Of what `KeyPair` reads, only RSA is left, and it signs with SHA-256.
        (&[1, 2, 840, 113_549, 1, 1, 11], true)
    };
    w.write_sequence(|w| {
        w.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if has_null {
            w.next().write_null();
        }
    });
}

/// `UTCTime` until 2049, `GeneralizedTime` after it, as RFC 5280 wants.
fn write_time(w: DERWriter<'_>, time: Timestamp) {
    const YEAR_2050: i64 = 2_524_608_000;
    let (tag, text) = if time.as_second() < YEAR_2050 {
        (0x17, time.strftime("%y%m%d%H%M%SZ").to_string())
    } else {
        (0x18, time.strftime("%Y%m%d%H%M%SZ").to_string())
    };
    let length = u8::try_from(text.len()).unwrap_or_default();
    let mut der = vec![tag, length];
    der.extend_from_slice(text.as_bytes());
    w.write_der(&der);
}

fn write_extensions(w: &mut DERWriterSeq<'_>, template: &Template<'_>, issuer: Option<&Issuer>) {
    let usages = &template.usages;
    if usages.bits != 0 {
        extension(w, KEY_USAGE, true, |w| {
            let length = 16 - usages.bits.leading_zeros() as usize;
            let bytes = usages.bits.reverse_bits().to_be_bytes();
            w.write_bitvec_bytes(&bytes[..length.div_ceil(8)], length);
        });
    }
    if !usages.extended.is_empty() {
        extension(w, EXTENDED_KEY_USAGE, false, |w| {
            w.write_sequence(|w| {
                for oid in &usages.extended {
                    w.next().write_oid(&ObjectIdentifier::from_slice(oid));
                }
            });
        });
    }
    extension(w, BASIC_CONSTRAINTS, true, |w| {
        w.write_sequence(|w| {
            if template.is_authority {
                w.next().write_bool(true);
            }
        });
    });
    if template.is_authority {
        let id = Sha256::digest(template.spki);
        extension(w, SUBJECT_KEY_ID, false, |w| w.write_bytes(&id[..20]));
    }
    if let Some(id) = issuer.and_then(|i| i.key_id.as_ref()) {
        extension(w, AUTHORITY_KEY_ID, false, |w| {
            w.write_sequence(|w| {
                w.next()
                    .write_tagged_implicit(Tag::context(0), |w| w.write_bytes(id));
            });
        });
    }
    if let Some(names) = &template.alternative_names {
        extension(w, ALTERNATIVE_NAMES, false, |w| w.write_der(names));
    }
}

fn extension(
    w: &mut DERWriterSeq<'_>,
    oid: &[u64],
    critical: bool,
    value: impl FnOnce(DERWriter<'_>),
) {
    let value = construct_der(value);
    w.next().write_sequence(|w| {
        w.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            w.next().write_bool(true);
        }
        w.next().write_bytes(&value);
    });
}
