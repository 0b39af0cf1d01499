//! Which objects a list means: by labels, by owner, or all.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Selects objects by labels and owner; all conditions must hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// Uid of an owner that the object must name in its owner references.
    pub(crate) owner: Option<String>,
    pub(crate) labels: Vec<Requirement>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Requirement {
    Equals(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    /// An operator that nobody knows selects nothing, rather than too much.
    Never,
}

impl Selector {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Objects with this label value.
    #[must_use]
    pub fn label(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::all().with(key, value)
    }

    /// Objects that name the object with this uid among their owners.
    #[must_use]
    pub fn owner(uid: impl Into<String>) -> Self {
        Self {
            owner: Some(uid.into()),
            labels: vec![],
        }
    }

    /// Also demands this label value.
    #[must_use]
    pub fn with(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.and(Requirement::Equals(key.into(), value.into()))
    }

    /// Also demands that the label is there, with any value.
    #[must_use]
    pub fn exists(self, key: impl Into<String>) -> Self {
        self.and(Requirement::Exists(key.into()))
    }

    /// Also demands that the label is absent.
    #[must_use]
    pub fn absent(self, key: impl Into<String>) -> Self {
        self.and(Requirement::Absent(key.into()))
    }

    /// Reads a selector of labels as queries have it: `app=web,tier in (front,back),!legacy`. `None` if it cannot be read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut selector = Self::all();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let mut depth = 0_u32;
            let end = rest.find(|c: char| {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                c == ',' && depth == 0
            });
            let (term, tail) = match end {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, ""),
            };
            selector = selector.and(Requirement::parse(term.trim())?);
            rest = tail.trim();
        }
        Some(selector)
    }

    /// The first label whose value is demanded.
    pub(crate) fn first_label(&self) -> Option<(&str, &str)> {
        self.labels
            .iter()
            .find_map(|requirement| match requirement {
                Requirement::Equals(key, value) => Some((key.as_str(), value.as_str())),
                _ => None,
            })
    }

    fn and(mut self, requirement: Requirement) -> Self {
        self.labels.push(requirement);
        self
    }

    /// Whether an object with these labels and owner uids is meant.
    #[must_use]
    pub fn matches<'a>(
        &self,
        labels: &BTreeMap<String, String>,
        mut owners: impl Iterator<Item = &'a str>,
    ) -> bool {
        self.labels.iter().all(|r| r.holds(labels))
            && self
                .owner
                .as_deref()
                .is_none_or(|uid| owners.any(|o| o == uid))
    }
}

impl Requirement {
    fn parse(term: &str) -> Option<Self> {
        let is_key = |key: &str| {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            !key.is_empty() && key.chars().all(is_allowed)
        };
        let key = |key: &str| is_key(key.trim()).then(|| key.trim().to_owned());
        if let Some(absent) = term.strip_prefix('!') {
            return key(absent).map(Self::Absent);
        }
        if let Some((name, values)) = term.split_once('(') {
            let values = values.strip_suffix(')')?;
            let values = values.split(',').map(|value| value.trim().to_owned());
            let values: Vec<String> = values.collect();
            return match name.trim().rsplit_once(' ')? {
                (name, "in") => Some(Self::In(key(name)?, values)),
                (name, "notin") => Some(Self::NotIn(key(name)?, values)),
                _ => None,
            };
        }
        if let Some((name, value)) = term.split_once("!=") {
            return Some(Self::NotIn(key(name)?, vec![value.trim().to_owned()]));
        }
        if let Some((name, value)) = term.split_once('=') {
            let value = value.strip_prefix('=').unwrap_or(value);
            return Some(Self::Equals(key(name)?, value.trim().to_owned()));
        }
        key(term).map(Self::Exists)
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Equals(key, value) => labels.get(key) == Some(value),
            Self::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
            Self::Never => false,
        }
    }
}

impl From<&LabelSelector> for Selector {
    /// As Kubernetes reads it: an empty selector means everything. (An absent one means nothing; that is the caller's.)
    fn from(selector: &LabelSelector) -> Self {
        let mut labels: Vec<Requirement> = vec![];
        for (key, value) in selector.match_labels.iter().flatten() {
            labels.push(Requirement::Equals(key.clone(), value.clone()));
        }
        for expression in selector.match_expressions.iter().flatten() {
            let key = expression.key.clone();
            let values = expression.values.clone().unwrap_or_default();
            labels.push(match expression.operator.as_str() {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => Requirement::Never,
            });
        }
        Self {
            owner: None,
            labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(selector: serde_json::Value, labels: &[(&str, &str)], expect: bool) {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let got = Selector::from(&selector).matches(&labels, std::iter::empty());
        assert_eq!(got, expect, "{selector:?} on {labels:?}");
    }

    #[test]
    fn label_selectors_mean_what_kubernetes_means() {
        check(json!({}), &[], true);
        check(json!({"matchLabels": {"a": "1"}}), &[("a", "1")], true);
        check(json!({"matchLabels": {"a": "1"}}), &[("a", "2")], false);
        let not_in =
            json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]});
        check(not_in.clone(), &[], true);
        check(not_in, &[("a", "1")], false);
        let unknown =
            json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]});
        check(unknown, &[("a", "2")], false);
    }

    #[test]
    fn selectors_are_read_as_queries_have_them() {
        let labels = |text: &str| {
            let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        for (selector, object, expect) in [
            ("", "a=1", true),
            ("a=1", "a=1,b=2", true),
            ("a==1, b!=3", "a=1,b=2", true),
            ("a in (1, 2),c notin (3)", "a=2", true),
            ("a in (1,2)", "a=3", false),
            ("a,!b", "a=1", true),
            ("a,!b", "a=1,b=2", false),
        ] {
            let parsed = Selector::parse(selector).unwrap();
            let got = parsed.matches(&labels(object), std::iter::empty());
            assert_eq!(got, expect, "{selector} on {object}");
        }
        for wrong in ["a in 1", "a in (1", "=1", "a b", "!"] {
            assert_eq!(Selector::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_owner_is_looked_for_among_all_owners() {
        let none = BTreeMap::new();
        assert!(Selector::owner("u1").matches(&none, ["u0", "u1"].into_iter()));
        assert!(!Selector::owner("u1").matches(&none, std::iter::empty()));
    }
}
