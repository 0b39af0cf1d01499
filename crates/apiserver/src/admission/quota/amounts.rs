//! Lists of resources with their amounts, as quotas keep them.

use std::collections::BTreeMap;
use std::fmt;

use cel::Quantity;
use serde_json::{Map, Value};

use crate::admission::needs;

/// Amounts by the name of what is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

impl Amounts {
    /// The amounts in an object such as `status.used`.
    #[must_use]
    pub fn of(list: &Value) -> Self {
        Self(needs::amounts(list))
    }

    /// The amount of one thing, if it is listed.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Sets the amount of one thing.
    pub fn set(&mut self, name: impl Into<String>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// What is listed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The entries, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the other amounts; what is not listed here is then.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = entry.plus(*amount);
        }
    }

    /// What is here beyond `other`: the difference where this is more, nothing otherwise.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let rest = self.0.iter().map(|(name, amount)| {
            let left = amount.minus(other.get(name).unwrap_or_default());
            let left = if left.is_negative() {
                Quantity::default()
            } else {
                left
            };
            (name.clone(), left)
        });
        Self(rest.collect())
    }

    /// Only those of which this holds.
    #[must_use]
    pub fn only(&self, holds: impl Fn(&str, Quantity) -> bool) -> Self {
        let kept = self.0.iter().filter(|(name, amount)| holds(name, **amount));
        Self(kept.map(|(name, amount)| (name.clone(), *amount)).collect())
    }

    /// As an object of texts.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let members = self.0.iter();
        let members: Map<String, Value> = members
            .map(|(name, amount)| (name.clone(), amount.to_string().into()))
            .collect();
        members.into()
    }
}

/// `pods=1,requests.cpu=500m`.
impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}
