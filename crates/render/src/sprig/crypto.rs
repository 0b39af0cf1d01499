//! Checksums, passwords and encryption.

use super::args::string;
use super::sha1;
use crate::gotemplate::{Function, Type, text};
use sha2::{Digest, Sha256, Sha512};

use Type::Str;

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
];
