//! Quantities of resources: `500m`, `1Gi`, `1e3`. Read, computed with, and written in Kubernetes' canonical form.

use serde_json::Value;

/// The canonical form of `text`: no precision lost, no fraction, the largest suffix; `None` when `text` is no quantity.
/// Values finer than 1n are rounded away from zero, those beyond 2^63-1 are cut to it.
///
/// ```
/// use cel::quantity::canonical;
/// assert_eq!(canonical("1000m").as_deref(), Some("1"));
/// assert_eq!(canonical("1.5Gi").as_deref(), Some("1536Mi"));
/// assert_eq!(canonical("ten"), None);
/// ```
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let parsed = Quantity::parse(text)?;
    Some(parsed.to_string())
}

/// What Kubernetes says of text that is no quantity.
pub const RULE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A quantity. Two are equal when their values are, however they were written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    /// The value in units of 10^-9.
    nano: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    Binary,
    #[default]
    Decimal,
    Exponent,
}

const NANO: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANO;

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Quantity {
    /// Reads a quantity; `None` when `text` is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (format, base, exponent) = suffix_of(suffix)?;
        let nano = scale(whole, fraction, base, exponent);
        let format = if format == Format::Binary && nano < NANO {
            Format::Decimal
        } else {
            format
        };
        Some(Self {
            nano: if is_negative { -nano } else { nano },
            format,
        })
    }

    /// The quantity in a field, which may also be a JSON number.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// The sum; stops at the largest value.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(self.nano.saturating_add(other.nano), other)
    }

    /// What is left after taking `other` away; may be negative. Stops at the smallest value.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(self.nano.saturating_sub(other.nano), other)
    }

    /// A result in the notation of this, or of `other` where this is nothing.
    fn with(self, nano: i128, other: Self) -> Self {
        Self {
            nano: nano.clamp(-MAX, MAX),
            format: if self.is_zero() {
                other.format
            } else {
                self.format
            },
        }
    }

    /// How many times `other` fits into this.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio is shown and compared, six digits are enough"
    )]
    pub fn ratio(self, other: Self) -> f64 {
        self.nano as f64 / other.nano as f64
    }

    /// The value, as near as such a number comes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "approximate, as its name says")]
    pub fn approximate(self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// 1, 0 or -1.
    #[must_use]
    pub fn signum(self) -> i64 {
        i64::try_from(self.nano.signum()).unwrap_or_default()
    }

    /// Whether this is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// The whole number it is, if it is one.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        self.is_whole()
            .then(|| i64::try_from(self.nano / NANO).ok())
            .flatten()
    }

    /// The next whole number, this one if it is whole.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        let rest = self.nano.rem_euclid(NANO);
        let missing = if rest == 0 { 0 } else { NANO - rest };
        Self {
            nano: self.nano.saturating_add(missing),
            ..self
        }
    }

    /// The value in thousandths, rounded up.
    #[must_use]
    pub fn milli(self) -> i128 {
        div_up(self.nano, NANO / 1000)
    }

    /// Whether the value is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Whether the value has no fraction.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }
}

impl From<usize> for Quantity {
    fn from(count: usize) -> Self {
        Self::from(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Quantity {
    fn from(count: i64) -> Self {
        Self {
            nano: i128::from(count).saturating_mul(NANO).clamp(-MAX, MAX),
            format: Format::Decimal,
        }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        if self.format == Format::Binary && self.is_whole() && self.nano.abs() >= 1024 * NANO {
            let mut value = self.nano / NANO;
            let mut power = 0;
            while value % 1024 == 0 && power < 6 {
                value /= 1024;
                power += 1;
            }
            return write!(
                f,
                "{value}{}",
                ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]
            );
        }
        let mut value = self.nano;
        let mut power = 0;
        while value % 1000 == 0 && power < 9 {
            value /= 1000;
            power += 1;
        }
        if self.format == Format::Exponent {
            return match 3 * (i32::try_from(power).unwrap_or_default() - 3) {
                0 => write!(f, "{value}"),
                exponent => write!(f, "{value}e{exponent}"),
            };
        }
        let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power];
        write!(f, "{value}{suffix}")
    }
}

/// Format, base and exponent that a suffix means.
fn suffix_of(suffix: &str) -> Option<(Format, u32, i32)> {
    let simple = match suffix {
        "" => (Format::Decimal, 10, 0),
        "n" => (Format::Decimal, 10, -9),
        "u" => (Format::Decimal, 10, -6),
        "m" => (Format::Decimal, 10, -3),
        "k" => (Format::Decimal, 10, 3),
        "M" => (Format::Decimal, 10, 6),
        "G" => (Format::Decimal, 10, 9),
        "T" => (Format::Decimal, 10, 12),
        "P" => (Format::Decimal, 10, 15),
        "E" => (Format::Decimal, 10, 18),
        "Ki" => (Format::Binary, 1024, 1),
        "Mi" => (Format::Binary, 1024, 2),
        "Gi" => (Format::Binary, 1024, 3),
        "Ti" => (Format::Binary, 1024, 4),
        "Pi" => (Format::Binary, 1024, 5),
        "Ei" => (Format::Binary, 1024, 6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            return Some((Format::Exponent, 10, exponent.parse().ok()?));
        }
    };
    Some(simple)
}

/// `whole.fraction × base^exponent` in units of 10^-9, rounded up, at most [`MAX`].
fn scale(whole: &str, fraction: &str, base: u32, exponent: i32) -> i128 {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return 0;
    }
    // Decimal point of `whole ++ fraction`, counted from its left, once the value is in units of 10^-9.
    let shift = if base == 10 { i64::from(exponent) } else { 0 } + 9;
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len())
        .unwrap_or(i64::MAX)
        .saturating_add(shift);
    let factor = if base == 10 {
        1
    } else {
        1024_i128.pow(exponent.unsigned_abs())
    };
    // 10^28 is beyond the largest value.
    if point > 29 + i64::try_from(digits.len() - digits.trim_start_matches('0').len()).unwrap_or(0)
    {
        return MAX;
    }
    let mut value: i128 = 0;
    let mut rest = false;
    let mut at: i64 = 0;
    // Fractions of binary quantities keep ten more digits until the factor is applied.
    let extra: i64 = if base == 10 { 0 } else { 9 };
    let bytes = digits.as_bytes();
    while at < point + extra {
        let digit = usize::try_from(at)
            .ok()
            .and_then(|at| bytes.get(at))
            .map_or(0, |b| b - b'0');
        value = value.saturating_mul(10).saturating_add(i128::from(digit));
        at += 1;
        if value > MAX.saturating_mul(10_i128.pow(9)) {
            return MAX;
        }
    }
    if let Some(tail) = bytes.get(usize::try_from(at.max(0)).unwrap_or(usize::MAX)..) {
        rest = tail.iter().any(|b| *b != b'0');
    }
    let value = value.saturating_mul(factor);
    let unit = 10_i128.pow(u32::try_from(extra).unwrap_or_default());
    let rounded = div_up(value, unit) + i128::from(rest && value % unit == 0);
    rounded.min(MAX)
}

/// Division that rounds away from zero.
fn div_up(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 {
        quotient
    } else {
        quotient + value.signum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_written_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("0", "0"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1500", "1500"),
            ("1000", "1k"),
            ("100000", "100k"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512Ki", "512Ki"),
            ("1024", "1024"),
            ("1000Ki", "1000Ki"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("9E", "9E"),
            ("1E", "1E"),
            (".5", "500m"),
            ("5.", "5"),
            ("-1", "-1"),
            ("+1", "1"),
            ("0.0000000001", "1n"),
            ("9223372036854775807", "9223372036854775807"),
            ("92233720368547758070", "9223372036854775807"),
            ("0Gi", "0"),
            ("0.1Gi", "107374182400m"),
            ("123456789123456789123456789E", "9223372036854775807"),
            ("00100", "100"),
            ("1e0", "1"),
            ("0.001e3", "1"),
            ("1Ei", "1Ei"),
            ("100Ei", "9223372036854775807"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "m",
            "1x",
            "1 Gi",
            "1..2",
            "1e",
            "--1",
            "1.2.3",
            "1gi",
            "1K",
            "NaN",
            "1e99999999999",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_keeps_the_notation_of_what_was_there() {
        let q = |text| Quantity::parse(text).unwrap_or_default();
        assert_eq!(q("1Gi").minus(q("512Mi")).to_string(), "512Mi");
        assert_eq!(q("0").plus(q("1Gi")).to_string(), "1Gi");
        assert_eq!(q("1e3").plus(q("1Gi")).to_string(), "1073742824");
        assert_eq!(q("1").minus(q("1500m")).to_string(), "-500m");
        assert!(q("1").minus(q("2")).is_negative());
        assert_eq!(q("1500m").rounded_up().to_string(), "2");
        assert_eq!(q("2Ki").rounded_up().to_string(), "2Ki");
        assert_eq!(Quantity::from(12_i64).to_string(), "12");
        assert_eq!(q("9E").plus(q("9E")), q("9223372036854775807"));
        assert_eq!((q("3").whole(), q("3m").whole()), (Some(3), None));
        assert_eq!((q("-1m").signum(), q("0").signum()), (-1, 0));
    }

    #[test]
    fn numbers_are_quantities_too() {
        let of = |value: Value| Quantity::of(&value).map(|q| q.to_string());
        assert_eq!(of(serde_json::json!(1.5)).as_deref(), Some("1500m"));
        assert_eq!(of(serde_json::json!("2Ki")).as_deref(), Some("2Ki"));
        assert_eq!(of(serde_json::json!(null)), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic_and_canonical_forms_stay(text in "[-+]?[0-9.]{0,40}[eEinumkKMGTPi]{0,2}[-+]?[0-9]{0,9}") {
            if let Some(first) = canonical(&text) {
                prop_assert_eq!(canonical(&first).unwrap_or_default(), first);
            }
        }
    }
}
