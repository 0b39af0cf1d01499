//! Amounts of resources as Kubernetes writes them: `100m`, `1.5Gi`, `2e3`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The amount in thousandths, rounded up; `None` if the text is no amount of zero or more.
pub(super) fn milli(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (factor, divisor): (u128, u128) = match unit {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        _ => {
            let exponent = unit.strip_prefix(['e', 'E'])?.parse().ok();
            let exponent: u32 = exponent.filter(|e| *e <= 12)?;
            (1000 * 10_u128.pow(exponent), 1)
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 18 || fraction.contains('.') {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?) * divisor;
    let scaled = digits.parse::<u128>().ok()?.checked_mul(factor)?;
    u64::try_from(scaled.div_ceil(scale)).ok()
}

/// Resources in thousandths, by name.
pub(super) type Amounts = BTreeMap<String, u64>;

/// What is readable of a list of amounts.
pub(super) fn amounts(list: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let readable =
        |(name, quantity): (&String, &Quantity)| Some((name.clone(), milli(&quantity.0)?));
    list.into_iter().flatten().filter_map(readable).collect()
}

/// What a container asks for; a limit without a request is one.
pub(super) fn requests(resources: Option<&ResourceRequirements>) -> Amounts {
    let limits = resources.and_then(|all| all.limits.as_ref());
    let mut all = amounts(limits);
    all.extend(amounts(resources.and_then(|all| all.requests.as_ref())));
    all
}

#[cfg(test)]
mod tests {
    use super::milli;

    #[test]
    fn amounts_read_as_kubernetes_does() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("1.5", Some(1500)),
            ("1Ki", Some(1_024_000)),
            ("0.5Gi", Some(536_870_912_000)),
            ("2e3", Some(2_000_000)),
            ("1n", Some(1)),
            ("", None),
            ("-1", None),
            ("x", None),
            ("1Q", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
            ("999999999999Ti", None),
        ] {
            assert_eq!(milli(text), expected, "{text}");
        }
    }
}
