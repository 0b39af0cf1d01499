//! How commands find what they are told the name of, and what they say if it is not there.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::connect::Connection;
use crate::inspect::read::{Reader, Scope};
use crate::object::{self, meant, name, namespace};

/// Names that an error lists at most.
const LISTED_MAX: usize = 20;

/// Where to look.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Place {
    /// Only in this organization; without it, in all that you may see
    #[arg(long, value_name = "NAME")]
    pub(super) organization: Option<String>,
}

impl Place {
    pub(super) fn scope(&self) -> Scope {
        match &self.organization {
            Some(organization) => Scope::Namespace(object::namespace_of(organization)),
            None => Scope::All,
        }
    }

    /// ` in organization acme`, or nothing.
    pub(super) fn text(&self) -> String {
        let named = self.organization.as_ref();
        named.map_or_else(String::new, |o| format!(" in organization {o}"))
    }
}

/// Says that nothing has this name, what does, and what may have been meant.
pub(super) fn unknown(noun: &str, wanted: &str, place: &Place, names: &[&str]) -> String {
    let mut text = format!("no {noun} is called {wanted:?}{}", place.text());
    if let Some(close) = meant(wanted, names) {
        text.push_str(&format!("; did you mean {close:?}?"));
    }
    let mut listed: Vec<&str> = names.to_vec();
    listed.sort_unstable();
    listed.dedup();
    let more = listed.len().saturating_sub(LISTED_MAX);
    listed.truncate(LISTED_MAX);
    match (listed.as_slice(), more) {
        ([], _) => text.push_str(&format!("; there are no {noun}s")),
        (all, 0) => text.push_str(&format!("; there are: {}", all.join(", "))),
        (some, more) => text.push_str(&format!("; there are: {} and {more} more", some.join(", "))),
    }
    text
}

/// The one object of a list that has this name.
pub(super) fn one(noun: &str, wanted: &str, place: &Place, all: Vec<Value>) -> Result<Value> {
    let (mut found, others): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|object| name(object) == wanted);
    match (found.pop(), found.as_slice()) {
        (Some(object), []) => Ok(object),
        (Some(last), rest) => {
            let places: Vec<&str> = rest.iter().chain([&last]).map(namespace).collect();
            bail!(
                "several {noun}s are called {wanted:?} (in {}): choose one with --organization",
                places.join(", ")
            )
        }
        (None, _) => {
            let names: Vec<&str> = others.iter().map(name).collect();
            Err(anyhow!(unknown(noun, wanted, place, &names)))
        }
    }
}

/// The Cluster of this name.
pub(super) async fn cluster(
    reader: &mut Reader,
    wanted: &str,
    place: &Place,
    connection: &Connection,
) -> Result<Value> {
    let all = reader.list("Cluster", &place.scope()).await;
    let all = all.map_err(|error| connection.explain(error))?;
    if all.is_empty() {
        reader.check_served().await?;
    }
    one("cluster", wanted, place, all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let place = Place::default();
        assert_eq!(
            unknown("cluster", "helo", &place, &["second", "hello"]),
            "no cluster is called \"helo\"; did you mean \"hello\"?; there are: hello, second"
        );
        let place = Place {
            organization: Some("acme".to_owned()),
        };
        assert_eq!(
            unknown("cluster", "helo", &place, &[]),
            "no cluster is called \"helo\" in organization acme; there are no clusters"
        );
    }

    #[test]
    fn one_name_in_two_places_must_be_chosen() {
        let object = |namespace| json!({"metadata": {"name": "a", "namespace": namespace}});
        let place = Place::default();
        let both = vec![object("org-x"), object("org-y")];
        let error = one("cluster", "a", &place, both).unwrap_err().to_string();
        assert!(error.contains("(in org-x, org-y)"), "{error}");
        assert!(one("cluster", "a", &place, vec![object("org-x")]).is_ok());
    }
}
