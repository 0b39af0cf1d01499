//! Go strings in Rust strings. A Go string is bytes that are usually UTF-8; charts do carry others (a keystore read with
//! `.Files.Get` and encoded with `b64enc`). A byte that is no part of valid UTF-8 is kept as one private character, so
//! that every string function works on `str` and the bytes come back unchanged at the few places that look at bytes.

use std::borrow::Cow;

/// The first of 128 characters at the very end of Unicode's last private plane, standing for the bytes 0x80 to 0xFF.
const ESCAPE: u32 = 0x10_FF00;

fn escaped(byte: u8) -> char {
    char::from_u32(ESCAPE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for, if it stands for one.
pub(crate) fn escaped_byte(c: char) -> Option<u8> {
    u32::from(c)
        .checked_sub(ESCAPE)
        .and_then(|b| u8::try_from(b).ok())
        .filter(|b| *b >= 0x80)
}

/// Takes bytes in.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|b| escaped(*b)));
    }
    out
}

fn has_escapes(s: &str) -> bool {
    // All 128 characters begin with these bytes in UTF-8.
    s.len() >= 4
        && s.as_bytes().windows(2).any(|w| w == [0xF4, 0x8F])
        && s.chars().any(|c| escaped_byte(c).is_some())
}

/// Gives the bytes back.
pub(crate) fn encode(s: &str) -> Cow<'_, [u8]> {
    if !has_escapes(s) {
        return Cow::Borrowed(s.as_bytes());
    }
    let mut out = Vec::with_capacity(s.len());
    let mut buffer = [0; 4];
    for c in s.chars() {
        match escaped_byte(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Cow::Owned(out)
}

/// Go's `len` of a string.
pub(crate) fn byte_len(s: &str) -> usize {
    encode(s).len()
}

/// Go's `s[from:to]`, by bytes. The caller checks the range.
pub(crate) fn slice(s: &str, from: usize, to: usize) -> String {
    decode(encode(s).get(from..to).unwrap_or_default())
}

/// The text for outside: bytes that are no UTF-8 become U+FFFD.
pub(crate) fn lossy(s: &str) -> Cow<'_, str> {
    match encode(s) {
        Cow::Borrowed(_) => Cow::Borrowed(s),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive() {
        for bytes in [&b"plain"[..], b"\xff\x00\x80a\xc3", "grüße 🎉".as_bytes()] {
            assert_eq!(&*encode(&decode(bytes)), bytes);
            assert_eq!(byte_len(&decode(bytes)), bytes.len());
        }
        assert_eq!(lossy(&decode(b"a\xffb")), "a\u{fffd}b");
    }
}
