//! The revisions of a release, as Helm keeps them in Secrets.

use std::collections::BTreeMap;

use api::application::App;
use kube::core::DynamicObject;
use render::release::{Release, Status};
use serde_json::Value;

use super::observe::Wanted;

/// Revisions that are kept.
const MAX_REVISIONS: usize = 10;
/// Label of the Secrets of our releases: the uid of the App.
const APP_LABEL: &str = "apiary.io/app-uid";

/// The revisions of a release.
#[derive(Clone, Default)]
pub struct History {
    /// Number and Secret of each revision, oldest first.
    pub(crate) revisions: Vec<(u32, String)>,
    /// The newest revision.
    pub latest: Option<Release>,
    /// The newest revision that was deployed and not replaced.
    pub deployed: Option<Release>,
}

/// Whether a revision was made here.
#[must_use]
pub fn is_ours(release: &Release) -> bool {
    release.labels.contains_key(APP_LABEL)
}

/// The labels of a revision that is made for an App.
pub(super) fn labels(app: &App) -> BTreeMap<String, String> {
    let uid = app.metadata.uid.clone().unwrap_or_default();
    BTreeMap::from([(APP_LABEL.to_owned(), uid)])
}

impl History {
    /// Reads the Secrets of a release. One that is no release counts as a revision without content.
    #[must_use]
    pub fn read(secrets: &[DynamicObject]) -> Self {
        let mut numbered: Vec<(u32, &DynamicObject)> = secrets
            .iter()
            .filter_map(|secret| {
                let version = secret.metadata.labels.as_ref()?.get("version")?;
                Some((version.parse().ok()?, secret))
            })
            .collect();
        numbered.sort_by_key(|(version, _)| *version);
        let read = |secret: &DynamicObject| {
            let secret = serde_json::to_value(secret).unwrap_or_default();
            Release::from_secret(&secret).ok()
        };
        let is_deployed = |secret: &DynamicObject| {
            let status = secret
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get("status"));
            status.is_some_and(|status| status == Status::Deployed.as_str())
        };
        let name = |secret: &DynamicObject| secret.metadata.name.clone().unwrap_or_default();
        Self {
            latest: numbered.last().and_then(|(_, secret)| read(secret)),
            deployed: numbered
                .iter()
                .rev()
                .find(|(_, secret)| is_deployed(secret))
                .and_then(|(_, secret)| read(secret)),
            revisions: numbered
                .into_iter()
                .map(|(version, secret)| (version, name(secret)))
                .collect(),
        }
    }

    /// Whether there is no revision at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.revisions.is_empty()
    }

    /// Whether the newest revision is deployed in the wanted version with the wanted values.
    #[must_use]
    pub fn is_current(&self, wanted: &Wanted) -> bool {
        let bare = |version: &str| version.strip_prefix('v').unwrap_or(version).to_owned();
        self.latest.as_ref().is_some_and(|latest| {
            latest.info.status == Status::Deployed
                && bare(&latest.chart.metadata.version) == wanted.version
                && latest.chart.metadata.name == wanted.chart
                && latest.config == wanted.values
        })
    }

    /// The number of the next revision.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.revisions
            .last()
            .map_or(1, |(version, _)| version.saturating_add(1))
    }

    /// Secrets of revisions that are too many once there is one more.
    pub(super) fn surplus(&self) -> impl Iterator<Item = &str> {
        let surplus = (self.revisions.len() + 1).saturating_sub(MAX_REVISIONS);
        let kept = self.deployed.as_ref().map(|release| release.version);
        let old = self
            .revisions
            .iter()
            .take(surplus)
            .filter(move |(version, _)| Some(*version) != kept);
        old.map(|(_, name)| name.as_str())
    }

    /// The objects of the newest revision and of the one that is deployed: all that may be on the cluster.
    pub(super) fn objects(&self) -> Vec<Value> {
        let releases = self.latest.iter().chain(&self.deployed);
        let documents = releases
            .filter_map(|release| render::yaml::from_str_multi(&release.manifest).ok())
            .flatten();
        documents.flat_map(items).collect()
    }
}

/// A list stands for its items.
fn items(mut object: Value) -> Vec<Value> {
    let is_list = object["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    match object.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(other) => {
            object["items"] = other;
            vec![object]
        }
        None => vec![object],
    }
}

/// Without what is in the releases, which may be secret.
impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "History({:?})", self.revisions)
    }
}
