//! `Chart.yaml`.

use super::LoadError;
use crate::gotemplate::{number, quote};
use crate::semver::Version;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// A person behind a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintainer {
    /// Name.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Mail address.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Web page.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A chart that a chart needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Dependency {
    /// Its chart's name; after processing, the alias if there is one.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// The range of versions that will do.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Where it comes from.
    #[serde(deserialize_with = "text")]
    pub repository: String,
    /// Paths of values, with commas between; the first that is a boolean switches the dependency.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Names under the value `tags` that switch it.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Set by processing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
    /// Values of it that its parent takes over.
    #[serde(
        rename = "import-values",
        deserialize_with = "list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub import_values: Vec<Json>,
    /// The name that it goes by here.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub alias: String,
}

/// What a chart says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Name of the chart.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Home page.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// Where its source is.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Version of the chart.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// One sentence.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to find it by.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// The people behind it.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Maintainer>,
    /// Address of a picture.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// `v1` or `v2`.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Of a dependency in old charts.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Of a dependency in old charts.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// Version of what the chart installs.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub app_version: String,
    /// True if nobody should use it any more.
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub deprecated: bool,
    /// For other programs.
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The range of Kubernetes versions that it works on.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// The charts that it needs.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// `application` or `library`; empty means application.
    #[serde(
        rename = "type",
        deserialize_with = "text",
        skip_serializing_if = "String::is_empty"
    )]
    pub kind: String,
}

/// A scalar as text, the way the YAML of Kubernetes gives `1.10` to a string field: as "1.1".
fn scalar(json: Json) -> Result<String, &'static str> {
    match json {
        Json::Null => Ok(String::new()),
        Json::String(s) => Ok(s),
        Json::Bool(b) => Ok(b.to_string()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the original formats with the digits of a float32"
        )]
        Json::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() => Ok(short(f as f32)),
            _ => Ok(n.to_string()),
        },
        Json::Array(_) => Err("cannot unmarshal array into a field of type string"),
        Json::Object(_) => Err("cannot unmarshal object into a field of type string"),
    }
}

fn short(f: f32) -> String {
    // The shortest digits that read back as the same float32.
    f.to_string()
        .parse()
        .map_or_else(|_| f.to_string(), number::general)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    scalar(Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: Option<BTreeMap<String, Json>> = Option::deserialize(deserializer)?;
    let entries = map
        .unwrap_or_default()
        .into_iter()
        .map(|(k, v)| Ok((k, scalar(v)?)));
    entries
        .collect::<Result<_, _>>()
        .map_err(<D::Error as serde::de::Error>::custom::<&str>)
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Spaces become plain ones, characters that cannot be printed go.
fn sanitize(s: &mut String) {
    *s = s
        .chars()
        .filter_map(|c| {
            if c.is_whitespace() {
                Some(' ')
            } else {
                Some(c).filter(|c| quote::is_print(*c))
            }
        })
        .collect();
}

impl Metadata {
    /// Cleans the texts up and checks what Helm checks.
    pub(super) fn check(&mut self) -> Result<(), LoadError> {
        for field in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(field);
        }
        self.sources
            .iter_mut()
            .chain(&mut self.keywords)
            .for_each(sanitize);
        let refuse = |what: String| Err(LoadError(format!("validation: chart.metadata.{what}")));
        if self.name.is_empty() {
            return refuse("name is required".into());
        }
        if matches!(self.name.as_str(), "." | "..") {
            return refuse(format!("name {:?} is not allowed", self.name));
        }
        if self.name.contains('/') {
            return refuse(format!("name {:?} is invalid", self.name));
        }
        if self.version.is_empty() {
            return refuse("version is required".into());
        }
        if Version::parse(&self.version).is_err() {
            return refuse(format!("version {:?} is invalid", self.version));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return refuse("type must be application or library".into());
        }
        let mut names = BTreeSet::new();
        for dependency in &mut self.dependencies {
            dependency.check()?;
            let name = if dependency.alias.is_empty() {
                &dependency.name
            } else {
                &dependency.alias
            };
            if !names.insert(name.clone()) {
                return Err(LoadError(format!(
                    "validation: more than one dependency with name or alias {name:?}"
                )));
            }
        }
        Ok(())
    }
}

impl Dependency {
    fn check(&mut self) -> Result<(), LoadError> {
        for field in [
            &mut self.name,
            &mut self.version,
            &mut self.repository,
            &mut self.condition,
        ] {
            sanitize(field);
        }
        self.tags.iter_mut().for_each(sanitize);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !self.alias.chars().all(allowed) {
            let name = &self.name;
            return Err(LoadError(format!(
                "validation: dependency {name:?} has disallowed characters in the alias"
            )));
        }
        Ok(())
    }
}
