//! Amounts of resources: `100m`, `1.5`, `64Mi`, `1e3`.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// An exact amount in billionths. What is smaller than that is rounded up, as Kubernetes does. Two are equal when the
/// amounts are, however they were written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nano: i128,
    /// Written with `Ki`, `Mi` …, and shown so.
    is_binary: bool,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Quantity {
    /// Reads Kubernetes' notation; nothing when it is not one or the amount is too large for anything.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, suffix) = rest.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.contains('.') || whole.len() + fraction.len() == 0 || digits.len() > 40 {
            return None;
        }
        let (multiplier, decimals) = scale(suffix)?;
        let shift = decimals.checked_add(9)? - i32::try_from(fraction.len()).ok()?;
        let number: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scaled = number.checked_mul(multiplier)?;
        let power = 10_i128.checked_pow(shift.unsigned_abs());
        let nano = match (shift >= 0, power) {
            (true, power) => scaled.checked_mul(power?)?,
            (false, Some(power)) => scaled / power + i128::from(scaled % power != 0),
            (false, None) => i128::from(scaled != 0),
        };
        Some(Self {
            nano: if negative { -nano } else { nano },
            is_binary: suffix.ends_with('i'),
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

    /// How many times `other` fits into this.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio is shown and compared, six digits are enough"
    )]
    pub fn ratio(self, other: Self) -> f64 {
        self.nano as f64 / other.nano as f64
    }

    /// Whether this is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// The sum; stops at the largest amount.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_add(other.nano),
            is_binary: self.is_binary || (self.is_zero() && other.is_binary),
        }
    }

    /// What is left after taking `other` away; may be negative. Stops at the smallest amount.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_sub(other.nano),
            is_binary: self.is_binary || (self.is_zero() && other.is_binary),
        }
    }

    /// Whether this is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nano < 0
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
}

impl From<usize> for Quantity {
    fn from(count: usize) -> Self {
        let count = i128::try_from(count).unwrap_or(i128::MAX);
        Self {
            nano: count.saturating_mul(NANO),
            is_binary: false,
        }
    }
}

/// As Kubernetes does: with the largest suffix of its family that needs no fraction.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_binary && self.nano % NANO == 0 {
            let mut whole = self.nano / NANO;
            let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
                .into_iter()
                .peekable();
            while let Some(suffix) = suffixes.next() {
                if whole == 0 || whole % 1024 != 0 || suffixes.peek().is_none() {
                    return write!(f, "{whole}{suffix}");
                }
                whole /= 1024;
            }
        }
        let mut amount = self.nano;
        let mut suffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"]
            .into_iter()
            .peekable();
        while let Some(suffix) = suffixes.next() {
            if amount == 0 {
                return f.write_str("0");
            }
            if amount % 1000 != 0 || suffixes.peek().is_none() {
                return write!(f, "{amount}{suffix}");
            }
            amount /= 1000;
        }
        Ok(())
    }
}

const NANO: i128 = 1_000_000_000;

/// Factor and power of ten of a suffix.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let decimal = |power| Some((1, power));
    let binary = |power: u32| Some((1024_i128.pow(power), 0));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let power: i32 = exponent.parse().ok()?;
            (-60..=60).contains(&power).then_some((1, power))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Quantity::parse(text).map_or_else(|| "-".into(), |quantity| quantity.to_string())
    }

    #[test]
    fn reads_what_kubernetes_writes() {
        for (text, want) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("0.5Ki", "512"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("0.1", "100m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1e3", "1k"),
            ("1E3", "1k"),
            ("1.5e-1", "150m"),
            ("1E", "1E"),
            ("1Ki", "1Ki"),
            ("1.5Gi", "1536Mi"),
            ("128974848", "128974848"),
            ("129M", "129M"),
            ("-2", "-2"),
            ("+2k", "2k"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("2500u", "2500u"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn arithmetic_keeps_the_notation_of_what_was_there() {
        let q = |text| Quantity::parse(text).unwrap();
        assert_eq!(q("1Gi").minus(q("512Mi")).to_string(), "512Mi");
        assert_eq!(q("0").plus(q("1Gi")).to_string(), "1Gi");
        assert_eq!(q("1").minus(q("1500m")).to_string(), "-500m");
        assert!(q("1").minus(q("2")).is_negative());
        assert_eq!(q("1500m").rounded_up().to_string(), "2");
        assert_eq!(q("2Ki").rounded_up().to_string(), "2Ki");
        assert_eq!(Quantity::from(12).to_string(), "12");
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "-",
            "m",
            ".",
            "1.2.3",
            "1x",
            "1 Gi",
            "1e",
            "1e99999999999",
            "1e61",
            "0x1",
            "1é",
            "99999999999999999999999999999999999999999999",
            "99999999999999999999999999999999Ei",
        ] {
            assert_eq!(shown(text), "-", "{text}");
        }
    }
}
