//! Quantities: `500m`, `1Gi`.

use super::{Function, Outcome, no_such_overload};
use crate::error::EvalError;
use crate::value::Value;

/// What Kubernetes says of text that is no quantity.
const RULE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "quantity" => |_, args| match args {
            [Value::String(text)] => Quantity::parse(text)
                .map(Value::Quantity)
                .ok_or_else(|| EvalError::other(RULE)),
            _ => no_such_overload(),
        },
        "isQuantity" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_some())),
            _ => no_such_overload(),
        },
        "sign" => |_, args| match args {
            [Value::Quantity(a)] => Ok(Value::Int(i64::try_from(a.nano.signum()).unwrap_or(0))),
            _ => no_such_overload(),
        },
        "isInteger" => |_, args| match args {
            [Value::Quantity(a)] => Ok(Value::Bool(a.whole().is_some())),
            _ => no_such_overload(),
        },
        "asInteger" => |_, args| match args {
            [Value::Quantity(a)] => a
                .whole()
                .map(Value::Int)
                .ok_or_else(|| EvalError::other("cannot convert value to integer")),
            _ => no_such_overload(),
        },
        "asApproximateFloat" => |_, args| match args {
            #[allow(clippy::cast_precision_loss, reason = "approximate, as its name says")]
            [Value::Quantity(a)] => Ok(Value::Double(a.nano as f64 / NANO as f64)),
            _ => no_such_overload(),
        },
        "add" => |_, args| combine(args, 1),
        "sub" => |_, args| combine(args, -1),
        _ => return None,
    })
}

fn combine<'a>(args: &[Value<'a>], sign: i128) -> Outcome<'a> {
    Ok(Value::Quantity(match args {
        [Value::Quantity(a), Value::Quantity(b)] => a.plus(b.nano * sign),
        [Value::Quantity(a), Value::Int(b)] => a.plus(i128::from(*b) * NANO * sign),
        _ => return no_such_overload(),
    }))
}

/// A parsed quantity. Compares by value.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// The value in units of 10^-9.
    nano: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Binary,
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

    /// The sum of both, in the notation of the first; cut to what a quantity can be.
    fn plus(&self, nano: i128) -> Self {
        Self {
            nano: self.nano.saturating_add(nano).clamp(-MAX, MAX),
            format: self.format,
        }
    }

    /// The whole number it is, if it is one.
    fn whole(&self) -> Option<i64> {
        if !self.is_whole() {
            return None;
        }
        i64::try_from(self.nano / NANO).ok()
    }

    /// Whether the value has no fraction.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.nano % NANO == 0
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

    #[test]
    fn quantities_are_read_and_written() {
        for (text, expected) in [
            ("1000m", "1"),
            ("1.5Gi", "1536Mi"),
            ("0", "0"),
            ("12e6", "12e6"),
        ] {
            let read = Quantity::parse(text).map(|quantity| quantity.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
        for text in ["", "m", "1x", "1 Gi", "1..2"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }
}
