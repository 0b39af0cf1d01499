//! The index of a Helm repository: which charts it has in which versions. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::Version as Semver;
use serde_json::Value;
use url::Url;

/// Versions in one index; a larger one is refused.
const MAX_VERSIONS: usize = 50_000;

/// Which charts a repository has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// Versions by name of the chart, as listed.
    pub entries: BTreeMap<String, Vec<Version>>,
}

/// One version of one chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    pub name: String,
    pub version: String,
    pub app_version: String,
    pub api_version: String,
    pub description: Option<String>,
    pub home: Option<String>,
    pub icon: Option<String>,
    pub keywords: Vec<String>,
    pub created: Option<Timestamp>,
    pub annotations: BTreeMap<String, String>,
    /// Where the chart is; absolute.
    pub url: String,
    /// SHA-256 of the archive.
    pub digest: Option<String>,
}

/// What a repository does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No charts at all.
    Everything,
    /// No chart of that name.
    Chart,
    /// The chart, but not in that version.
    Version,
}

impl Index {
    /// Reads an `index.yaml`. Charts that cannot be named or reached are left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, base: &str) -> Result<Self, String> {
        let document = render::yaml::from_str(text).map_err(|error| error.to_string())?;
        let Some(entries) = document["entries"].as_object() else {
            return Err("it has no map \"entries\" of charts".to_owned());
        };
        let base = Url::parse(&format!("{base}/")).map_err(|error| format!("its URL: {error}"))?;
        let mut index = Self::default();
        let mut count = 0;
        for (name, versions) in entries {
            let versions: Vec<Version> = versions
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|v| Version::read(name, v, &base))
                .collect();
            count += versions.len();
            if count > MAX_VERSIONS {
                return Err(format!(
                    "it has more than {MAX_VERSIONS} versions of charts"
                ));
            }
            if !versions.is_empty() {
                index.entries.insert(name.clone(), versions);
            }
        }
        Ok(index)
    }

    /// Adds a version; the first of a name and version counts.
    pub fn add(&mut self, version: Version) {
        let versions = self.entries.entry(version.name.clone()).or_default();
        if !versions.iter().any(|v| v.version == version.version) {
            versions.push(version);
        }
    }

    /// A chart in a version: as written, else without its leading `v`.
    ///
    /// # Errors
    /// What is missing.
    pub fn find(&self, name: &str, version: &str) -> Result<&Version, Missing> {
        if self.entries.is_empty() {
            return Err(Missing::Everything);
        }
        let versions = self.entries.get(name).ok_or(Missing::Chart)?;
        let bare = version.strip_prefix('v').unwrap_or(version);
        let exact = versions.iter().find(|v| v.version == version);
        exact
            .or_else(|| versions.iter().find(|v| v.version == bare))
            .ok_or(Missing::Version)
    }

    /// Of each chart the newest `max` versions and the latest, with whether it is the latest.
    pub fn newest(&self, max: usize) -> impl Iterator<Item = (&Version, bool)> {
        self.entries
            .values()
            .flat_map(move |versions| newest(versions, max))
    }
}

/// Newest first by time of creation. The latest is the highest by semantic versioning without regard to pre-releases, among
/// equals the newest; if none is semantic, the newest.
fn newest(versions: &[Version], max: usize) -> Vec<(&Version, bool)> {
    let mut sorted: Vec<&Version> = versions.iter().collect();
    sorted.sort_by(|a, b| {
        b.created
            .cmp(&a.created)
            .then_with(|| semver(b).cmp(&semver(a)))
    });
    let released = |v: &Version| semver(v).map(|s| (s.major, s.minor, s.patch));
    let latest = (0..sorted.len())
        .rev()
        .max_by_key(|&at| released(sorted[at]))
        .unwrap_or(0);
    let mut seen = BTreeSet::new();
    let chosen = sorted
        .iter()
        .enumerate()
        .filter(|&(at, v)| (at < max || at == latest) && seen.insert(&v.version));
    chosen
        .map(|(at, version)| (*version, at == latest))
        .collect()
}

fn semver(version: &Version) -> Option<Semver> {
    Semver::parse(
        version
            .version
            .strip_prefix('v')
            .unwrap_or(&version.version),
    )
    .ok()
}

impl Version {
    fn read(name: &str, entry: &Value, base: &Url) -> Option<Self> {
        let mut version = Self::of_metadata(entry);
        if version.name.is_empty() {
            name.clone_into(&mut version.name);
        }
        let url = entry["urls"].as_array()?.first()?.as_str()?;
        version.url = base.join(url).ok()?.to_string();
        version.digest =
            optional(&entry["digest"]).map(|d| d.trim_start_matches("sha256:").to_lowercase());
        version.created = optional(&entry["created"]).and_then(|created| created.parse().ok());
        (version.name == name && !version.version.is_empty()).then_some(version)
    }

    /// What a `Chart.yaml` says; an index has the same fields.
    #[must_use]
    pub fn of_metadata(metadata: &Value) -> Self {
        let words = metadata["keywords"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let annotations = metadata["annotations"].as_object().into_iter().flatten();
        Self {
            name: text(&metadata["name"]),
            version: text(&metadata["version"]),
            app_version: text(&metadata["appVersion"]),
            api_version: optional(&metadata["apiVersion"]).unwrap_or_else(|| "v1".to_owned()),
            description: optional(&metadata["description"]),
            home: optional(&metadata["home"]),
            icon: optional(&metadata["icon"]),
            keywords: words.map(str::to_owned).collect(),
            annotations: annotations
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
            created: None,
            url: String::new(),
            digest: None,
        }
    }
}

/// Versions may look like numbers in YAML.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn optional(value: &Value) -> Option<String> {
    Some(text(value)).filter(|text| !text.is_empty())
}
