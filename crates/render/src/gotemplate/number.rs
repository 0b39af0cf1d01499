//! Numbers as Go writes and reads them.

/// The decimal digits of a finite positive float and the exponent of the first digit, shortest that reads back the same.
fn shortest(x: f64) -> (String, i32) {
    let text = format!("{x:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

fn special(x: f64) -> Option<&'static str> {
    if x.is_nan() {
        Some("NaN")
    } else if x == f64::INFINITY {
        Some("+Inf")
    } else if x == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

fn exponent_form(digits: &str, exponent: i32) -> String {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{:02}", exponent.abs())
}

fn plain_form(digits: &str, exponent: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if exponent < 0 {
        format!("0.{}{digits}", zeros(-exponent - 1))
    } else if exponent + 1 >= count {
        format!("{digits}{}", zeros(exponent + 1 - count))
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(exponent + 1).unwrap_or(0));
        format!("{whole}.{fraction}")
    }
}

/// `strconv.FormatFloat(x, 'g', -1, 64)`, which is also `%v`.
pub(crate) fn general(x: f64) -> String {
    if let Some(text) = special(x) {
        return text.to_string();
    }
    let sign = if x.is_sign_negative() { "-" } else { "" };
    let (digits, exponent) = shortest(x.abs());
    // The shortest form turns to an exponent from a million on, however many digits there are.
    let body = if (-4..6).contains(&exponent) {
        plain_form(&digits, exponent)
    } else {
        exponent_form(&digits, exponent)
    };
    format!("{sign}{body}")
}

/// `strconv.FormatFloat(x, 'f', -1, 64)`.
pub(crate) fn plain(x: f64) -> String {
    if let Some(text) = special(x) {
        return text.to_string();
    }
    let sign = if x.is_sign_negative() { "-" } else { "" };
    let (digits, exponent) = shortest(x.abs());
    format!("{sign}{}", plain_form(&digits, exponent))
}

/// As `encoding/json` writes a float.
pub(crate) fn json(x: f64) -> Option<String> {
    if !x.is_finite() {
        return None;
    }
    let abs = x.abs();
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        let (digits, exponent) = shortest(abs);
        let sign = if x < 0.0 { "-" } else { "" };
        let text = exponent_form(&digits, exponent);
        // e-09 is written e-9.
        return Some(format!("{sign}{}", text.replacen("e-0", "e-", 1)));
    }
    Some(plain(x))
}

/// `strconv.ParseInt(s, base, 64)` where base 0 means by prefix, with underscores then allowed.
pub(crate) fn parse_int(s: &str, base: u32) -> Option<i64> {
    let (negative, digits) = match s.strip_prefix(['+', '-']) {
        Some(rest) => (s.starts_with('-'), rest),
        None => (false, s),
    };
    let magnitude = parse_uint(digits, base)?;
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// `strconv.ParseUint(s, base, 64)`.
pub(crate) fn parse_uint(s: &str, base: u32) -> Option<u64> {
    let (radix, digits, prefixed) = match (base, s.as_bytes()) {
        (0, [b'0', b'x' | b'X', ..]) => (16, &s[2..], true),
        (0, [b'0', b'o' | b'O', ..]) => (8, &s[2..], true),
        (0, [b'0', b'b' | b'B', ..]) => (2, &s[2..], true),
        (0, [b'0', _, ..]) => (8, &s[1..], true),
        (0, _) => (10, s, false),
        _ => (base, s, false),
    };
    let cleaned;
    let digits = if base == 0 && digits.contains('_') {
        let misplaced = digits.ends_with('_')
            || digits.contains("__")
            || (!prefixed && digits.starts_with('_'));
        if misplaced {
            return None;
        }
        cleaned = digits.replace('_', "");
        cleaned.as_str()
    } else {
        digits
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// `strconv.ParseFloat(s, 64)` for decimal numbers.
pub(crate) fn parse_float(s: &str) -> Option<f64> {
    let body = s.strip_prefix(['+', '-']).unwrap_or(s);
    let named = ["inf", "infinity", "nan"]
        .iter()
        .any(|n| body.eq_ignore_ascii_case(n));
    if !named && !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // Out of range is an error in Go, infinity here.
    s.parse::<f64>().ok().filter(|f| named || f.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100000.0, "100000"),
            (1000000.0, "1e+06"),
            (12345678.0, "1.2345678e+07"),
            (123456.789, "123456.789"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e21, "1e+21"),
            (1234567.5, "1.2345675e+06"),
            (8080.0, "8080"),
            (-0.0, "-0"),
        ];
        for (x, want) in cases {
            assert_eq!(general(x), want);
        }
        assert_eq!(json(12345678.0).as_deref(), Some("12345678"));
        assert_eq!(json(1e-7).as_deref(), Some("1e-7"));
        assert_eq!(json(1e21).as_deref(), Some("1e+21"));
        assert_eq!(plain(1e6), "1000000");
    }

    #[test]
    fn integers_read_as_go_reads_them() {
        assert_eq!(parse_int("0x1F", 0), Some(31));
        assert_eq!(parse_int("-0755", 0), Some(-493));
        assert_eq!(parse_int("1_000", 0), Some(1000));
        assert_eq!(parse_int("089", 0), None);
        assert_eq!(parse_int("089", 10), Some(89));
        assert_eq!(parse_int("-9223372036854775808", 10), Some(i64::MIN));
        assert_eq!(parse_int("", 10), None);
        assert_eq!(parse_int("+-1", 10), None);
    }
}
