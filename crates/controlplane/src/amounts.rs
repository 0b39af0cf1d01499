//! Amounts of resources: `100m`, `1.5Gi`, `2e3` as numbers, and what a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by the name of the resource, in thousandths of its unit. Few resources: a list is quicker than a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(Vec<(Box<str>, i128)>);

/// What containers without requests count for when nodes are compared: a tenth of a core, 200 MB.
const LEAST_CPU: i128 = 100;
const LEAST_MEMORY: i128 = 200 * 1024 * 1024 * 1000;

impl Amounts {
    /// What is written in these quantities; what is none of a resource, or cannot be read, is left out.
    pub(crate) fn of(quantities: Option<&BTreeMap<String, Quantity>>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in quantities.into_iter().flatten() {
            if let Some(amount) = milli(&quantity.0).filter(|amount| *amount != 0) {
                amounts.0.push((name.as_str().into(), amount));
            }
        }
        amounts
    }

    /// The amount of one resource; 0 if there is none.
    pub(crate) fn get(&self, resource: &str) -> i128 {
        let found = self.0.iter().find(|(name, _)| **name == *resource);
        found.map_or(0, |(_, amount)| *amount)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i128)> {
        self.0.iter().map(|(name, amount)| (&**name, *amount))
    }

    /// The amount of one resource, to change it.
    pub(crate) fn of_resource(&mut self, resource: &str) -> &mut i128 {
        let at = self.0.iter().position(|(name, _)| **name == *resource);
        let at = at.unwrap_or_else(|| {
            self.0.push((resource.into(), 0));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (resource, amount) in more.iter() {
            *self.of_resource(resource) += amount;
        }
    }

    pub(crate) fn subtract(&mut self, less: &Self) {
        for (resource, amount) in less.iter() {
            *self.of_resource(resource) -= amount;
        }
    }

    /// The larger of both, resource by resource.
    pub(crate) fn raise(&mut self, other: &Self) {
        for (resource, amount) in other.iter() {
            let own = self.of_resource(resource);
            *own = (*own).max(amount);
        }
    }
}

/// What the pod asks for: the sum of its containers, or the most that is needed while it initializes if that is more; what
/// the pod as a whole asks for instead, if it does; its overhead; and one pod.
pub(crate) fn requests(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else {
        return Amounts::default();
    };
    let mut sum = of_containers(spec, |container| asked(container, pod.status.as_ref()));
    let whole = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    for (resource, amount) in Amounts::of(whole).iter() {
        *sum.of_resource(resource) = amount;
    }
    sum.add(&Amounts::of(spec.overhead.as_ref()));
    *sum.of_resource("pods") = 1000;
    sum
}

/// The same of processor and memory, where a container that asks for none counts for a little.
pub(crate) fn at_least(pod: &Pod) -> (i128, i128) {
    let Some(spec) = &pod.spec else { return (0, 0) };
    let sum = of_containers(spec, |container| {
        let mut asked = asked(container, pod.status.as_ref());
        for (resource, least) in [("cpu", LEAST_CPU), ("memory", LEAST_MEMORY)] {
            let own = asked.of_resource(resource);
            if *own == 0 {
                *own = least;
            }
        }
        asked
    });
    let mut asked = sum;
    let whole = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    for (resource, amount) in Amounts::of(whole).iter() {
        *asked.of_resource(resource) = amount;
    }
    asked.add(&Amounts::of(spec.overhead.as_ref()));
    (asked.get("cpu"), asked.get("memory"))
}

fn of_containers(spec: &PodSpec, asked: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut sum = Amounts::default();
    for container in &spec.containers {
        sum.add(&asked(container));
    }
    // Sidecars run beside all that start after them.
    let (mut sidecars, mut most) = (Amounts::default(), Amounts::default());
    for init in spec.init_containers.iter().flatten() {
        let wanted = asked(init);
        if init.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&wanted);
            most.raise(&sidecars);
        } else {
            let mut now = sidecars.clone();
            now.add(&wanted);
            most.raise(&now);
        }
    }
    sum.add(&sidecars);
    sum.raise(&most);
    sum
}

/// What a container asks for; while it is resized, the larger of what it has and what it wants.
fn asked(container: &Container, status: Option<&PodStatus>) -> Amounts {
    let requests = container
        .resources
        .as_ref()
        .and_then(|r| r.requests.as_ref());
    let mut asked = Amounts::of(requests);
    let statuses = status.and_then(|s| s.container_statuses.as_ref());
    let status = statuses.and_then(|all| all.iter().find(|s| s.name == container.name));
    if let Some(status) = status {
        asked.raise(&Amounts::of(status.allocated_resources.as_ref()));
    }
    asked
}

/// No quantity is larger, as in Kubernetes: 2^63 - 1. Sums and shares of so much cannot overflow here.
const LARGEST: i128 = i64::MAX as i128 * 1000;

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
    let scaled = digits.parse::<i128>().ok()?.saturating_mul(factor);
    let rounded = scaled.div_euclid(scale) + i128::from(scaled.rem_euclid(scale) != 0);
    let rounded = rounded.min(LARGEST);
    Some(if is_negative { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::{LARGEST, milli};

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
            ("999999999999999999E", Some(LARGEST)),
            ("-999999999999999999Ei", Some(-LARGEST)),
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
