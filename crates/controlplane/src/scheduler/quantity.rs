//! Resource quantities as numbers: `100m`, `1.5Gi`, `2e3`.

/// The quantity in thousandths, rounded up; `None` if the text is no quantity.
#[must_use]
pub(crate) fn milli(text: &str) -> Option<i128> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    // `1e3` and `1E3` are exponents; `1E` alone is exa.
    let (factor, divisor): (i128, i128) = match unit {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000_i128 << 60, 1),
        _ => {
            let exponent: u32 = unit
                .strip_prefix(['e', 'E'])?
                .parse()
                .ok()
                .filter(|e| *e <= 18)?;
            (1000 * 10_i128.pow(exponent), 1)
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_negative = whole.starts_with('-');
    let digits = format!("{}{fraction}", whole.trim_start_matches(['+', '-']));
    if digits.is_empty() || digits.len() > 18 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = 10_i128
        .pow(u32::try_from(fraction.len()).ok()?)
        .checked_mul(divisor)?;
    let scaled = digits.parse::<i128>().ok()?.checked_mul(factor)?;
    let rounded = scaled.div_euclid(scale) + i128::from(scaled.rem_euclid(scale) != 0);
    Some(if is_negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::milli;

    #[test]
    fn quantities_read_as_kubernetes_does() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("1.5", Some(1500)),
            ("1Ki", Some(1_024_000)),
            ("0.5Gi", Some(536_870_912_000)),
            ("2e3", Some(2_000_000)),
            ("1n", Some(1)),
            ("", None),
            ("x", None),
            ("1Q", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
    }
}
