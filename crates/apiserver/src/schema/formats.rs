//! The `format`s of strings that Kubernetes checks; all others pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{canonical, time};

/// Whether `text` has the format; formats that Kubernetes does not know say nothing.
pub(crate) fn is_valid(format: &str, text: &str) -> bool {
    match format {
        "date" => is_date(text),
        "date-time" | "datetime" => time::seconds(text).is_some(),
        "duration" => is_duration(text),
        "byte" => canonical::is_base64(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "uri" => is_uri(text),
        "bsonobjectid" => text.len() == 24 && is_hex(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && is_hex(digits)
        }
        "rgbcolor" => is_rgb(text),
        "ssn" => is_ssn(text),
        "creditcard" => is_credit_card(text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        _ => true,
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// Go's durations (`1h2m3.5s`, `-1.5h`) and `N units` (`2 days`).
fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return true;
    }
    is_go_duration(unsigned) || is_worded_duration(text)
}

fn is_go_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        if !digits.bytes().any(|b| b.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
        let Some(unit) = units
            .iter()
            .filter(|u| after.starts_with(**u))
            .max_by_key(|u| u.len())
        else {
            return false;
        };
        rest = &after[unit.len()..];
    }
    !text.is_empty()
}

fn is_worded_duration(text: &str) -> bool {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let units = [
        "ns",
        "nano",
        "nanosecond",
        "us",
        "µs",
        "micro",
        "microsecond",
        "ms",
        "milli",
        "millisecond",
        "s",
        "sec",
        "second",
        "m",
        "min",
        "minute",
        "h",
        "hr",
        "hour",
        "d",
        "day",
        "w",
        "wk",
        "week",
    ];
    let unit = unit.trim();
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    !digits.is_empty() && (units.contains(&unit) || units.contains(&singular))
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let compact: String = text.chars().filter(|c| *c != '-').collect();
    let has_groups = match text.len() {
        36 => text
            .bytes()
            .enumerate()
            .all(|(at, b)| (b == b'-') == matches!(at, 8 | 13 | 18 | 23)),
        32 => true,
        _ => false,
    };
    has_groups
        && compact.len() == 32
        && is_hex(&compact)
        && version.is_none_or(|version| {
            let variant = compact.as_bytes()[16].to_ascii_lowercase();
            compact.chars().nth(12) == Some(version)
                && (version == '3' || matches!(variant, b'8' | b'9' | b'a' | b'b'))
        })
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let limit = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.len() <= 3
        && bits.bytes().all(|b| b.is_ascii_digit())
        && bits.parse::<u8>().is_ok_and(|n| n <= limit)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = if text.contains('.') {
        text.split('.').collect()
    } else {
        text.split([':', '-']).collect()
    };
    let width = if text.contains('.') { 4 } else { 2 };
    let octets = parts.len() * width / 2;
    matches!(octets, 6 | 8 | 20) && parts.iter().all(|part| part.len() == width && is_hex(part))
}

fn is_email(text: &str) -> bool {
    let address = match (text.find('<'), text.ends_with('>')) {
        (Some(at), true) => &text[at + 1..text.len() - 1],
        _ => text,
    };
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            !local.is_empty()
                && !domain.is_empty()
                && !local.contains(char::is_whitespace)
                && !domain.contains(|c: char| c.is_whitespace() || c == '@')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
                && !domain.contains("..")
        }
        None => false,
    }
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 255
        && text.trim_end_matches('.').split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

/// A scheme with something behind it, or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    match text.split_once(':') {
        Some((scheme, _)) => {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        }
        None => false,
    }
}

fn is_rgb(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|t| t.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

fn is_ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', ' ']).collect();
    let widths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
    (widths == [3, 2, 4] || widths == [9])
        && parts.iter().all(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

/// The digits of `text` without spaces and hyphens; `None` when anything else is in it (`X` ends an ISBN-10).
fn digits(text: &str) -> Option<Vec<u32>> {
    let compact: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let last = compact.len().checked_sub(1)?;
    compact
        .iter()
        .enumerate()
        .map(|(at, c)| match c {
            'X' if at == last && last == 9 => Some(10),
            c => c.to_digit(10),
        })
        .collect()
}

fn is_credit_card(text: &str) -> bool {
    let Some(digits) = digits(text).filter(|d| (13..=19).contains(&d.len())) else {
        return false;
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_isbn10(text: &str) -> bool {
    digits(text).is_some_and(|d| {
        d.len() == 10
            && d.iter()
                .zip((1..=10).rev())
                .map(|(d, weight)| d * weight)
                .sum::<u32>()
                .is_multiple_of(11)
    })
}

fn is_isbn13(text: &str) -> bool {
    digits(text).is_some_and(|d| {
        let weighted = d
            .iter()
            .enumerate()
            .map(|(at, d)| if at % 2 == 0 { *d } else { d * 3 });
        d.len() == 13 && weighted.sum::<u32>().is_multiple_of(10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formats_accept_and_refuse() {
        for (format, good, bad) in [
            ("date", "2026-02-28", "2026-02-30"),
            ("date-time", "2026-02-28T10:00:00Z", "2026-02-28"),
            ("duration", "1h2m3.5s", "1x"),
            ("duration", "22 ns", "h"),
            ("duration", "-1.5h", ""),
            ("duration", "300ms", "1..5s"),
            ("byte", "YQ==", "YQ"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
            (
                "uuid4",
                "123e4567-e89b-42d3-a456-426614174000",
                "123e4567-e89b-12d3-a456-426614174000",
            ),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "fd00::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("cidr", "fd00::/64", "fd00::"),
            ("mac", "00:11:22:aa:bb:cc", "00:11:22"),
            ("email", "a@b.c", "a"),
            ("hostname", "a.b-c", "a_b"),
            ("uri", "https://a/b", "a b"),
            ("hexcolor", "#fff", "#ffff"),
            ("rgbcolor", "rgb(1, 2, 255)", "rgb(1,2,256)"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("isbn10", "0-306-40615-2", "0-306-40615-3"),
            ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
            ("ssn", "123-45-6789", "123-45"),
        ] {
            assert!(is_valid(format, good), "{format} {good}");
            assert!(!is_valid(format, bad), "{format} {bad}");
        }
        assert!(is_valid("password", "x") && is_valid("whatever", ""));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            for format in ["date", "date-time", "duration", "byte", "uuid", "uuid4", "cidr", "mac", "email", "hostname",
                "uri", "hexcolor", "rgbcolor", "ssn", "creditcard", "isbn"] {
                is_valid(format, &text);
            }
        }
    }
}
