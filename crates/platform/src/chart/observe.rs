//! What is wanted of a release, and what is on its cluster.

use api::application::labels::{APP_NAME, APP_NAMESPACE};
use api::application::{App, Chart, ObjectKey, PLATFORM_NAMESPACE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::core::DynamicObject;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::history::{History, is_ours};
use super::record;
use super::site::{Site, place};
use crate::app::values::Merged;

/// What an App wants of its release.
#[derive(Clone, PartialEq)]
pub struct Wanted {
    /// Name of the release.
    pub release: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Name of the chart.
    pub chart: String,
    /// Version of the chart, without a leading `v`.
    pub version: String,
    /// Values, by the kind of object they came from.
    pub merged: Merged,
    /// All values.
    pub values: Map<String, Value>,
}

/// What is on the cluster.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub(crate) chart: Option<Chart>,
    pub(crate) config_map: Option<Stored>,
    pub(crate) secret: Option<Stored>,
    pub history: History,
}

/// Merged values as they are stored.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    pub(crate) values: Option<Value>,
    pub(crate) resource_version: String,
}

/// Without the values, which may be secret.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stored({})", self.resource_version)
    }
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Wanted({} {} {})",
            self.release, self.chart, self.version
        )
    }
}

impl Wanted {
    /// What an App wants with these values.
    #[must_use]
    pub fn of(app: &App, merged: Merged) -> Self {
        Self {
            release: app.release_name().to_owned(),
            namespace: app.spec.namespace.clone(),
            chart: app.spec.name.clone(),
            version: app.version().to_owned(),
            values: merged.all(),
            merged,
        }
    }

    /// Tells one attempt from another: the same chart from the same place with the same values.
    #[must_use]
    pub fn fingerprint(&self, url: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [
            &self.version,
            url,
            &Value::Object(self.values.clone()).to_string(),
        ] {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        hex::encode(hasher.finalize())
    }
}

impl Observed {
    /// The App that the Chart belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<ObjectKey> {
        let annotations = self.chart.as_ref()?.metadata.annotations.as_ref()?;
        let name = annotations.get(APP_NAME)?.clone();
        Some(ObjectKey {
            name,
            namespace: annotations.get(APP_NAMESPACE)?.clone(),
        })
    }

    /// Whether there is a release that is the App's.
    #[must_use]
    pub fn is_installed(&self, app: &App) -> bool {
        let key = ObjectKey {
            name: app.metadata.name.clone().unwrap_or_default(),
            namespace: app.metadata.namespace.clone().unwrap_or_default(),
        };
        let is_own = self.owner() == Some(key) || self.history.latest.as_ref().is_some_and(is_ours);
        !self.history.is_empty() && is_own
    }

    /// Whether Chart or merged values are there.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.chart.is_some() || self.config_map.is_some() || self.secret.is_some()
    }

    /// Whether Chart and merged values say what they should.
    #[must_use]
    pub fn is_recorded(&self, app: &App, wanted: &Wanted) -> bool {
        let Some(chart) = &self.chart else {
            return false;
        };
        let values =
            |stored: &Option<Stored>| stored.as_ref().and_then(|stored| stored.values.clone());
        let version = |stored: &Option<Stored>| {
            stored
                .as_ref()
                .map(|stored| stored.resource_version.clone())
        };
        let versions = (version(&self.config_map), version(&self.secret));
        values(&self.config_map) == wanted.merged.config_map
            && values(&self.secret) == wanted.merged.secret
            && record::is_current(chart, app, wanted, versions, self.history.latest.as_ref())
    }

    /// Where the Chart says that it is from.
    #[must_use]
    pub fn tarball_url(&self) -> Option<String> {
        self.chart
            .as_ref()
            .map(|chart| chart.spec.tarball_url.clone())
    }
}

/// Reads what is on the cluster.
///
/// # Errors
/// If the cluster can't be asked.
pub async fn observe(site: &Site, app: &App) -> Result<Observed, kube::Error> {
    let release = app.release_name();
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let chart = place(
        "application.giantswarm.io/v1alpha1",
        "Chart",
        PLATFORM_NAMESPACE,
        release,
    );
    let config_map = place(
        "v1",
        "ConfigMap",
        PLATFORM_NAMESPACE,
        &record::config_map_name(name),
    );
    let secret = place(
        "v1",
        "Secret",
        PLATFORM_NAMESPACE,
        &record::secret_name(name),
    );
    let releases = place("v1", "Secret", &app.spec.namespace, "");
    let selector = format!("owner=helm,name={release}");
    let (chart, config_map, secret, releases) = tokio::try_join!(
        site.get(&chart),
        site.get(&config_map),
        site.get(&secret),
        site.list(&releases, &selector)
    )?;
    let as_chart =
        |chart: DynamicObject| serde_json::from_value(serde_json::to_value(chart).ok()?).ok();
    Ok(Observed {
        chart: chart.and_then(as_chart),
        config_map: config_map.map(|object| stored(&object, |text| Some(text.to_owned()))),
        secret: secret.map(|object| {
            stored(&object, |text| {
                String::from_utf8(STANDARD.decode(text).ok()?).ok()
            })
        }),
        history: History::read(&releases),
    })
}

fn stored(object: &DynamicObject, decode: impl Fn(&str) -> Option<String>) -> Stored {
    let text = object.data["data"]["values"].as_str().and_then(decode);
    Stored {
        values: text.and_then(|text| render::yaml::from_str(&text).ok()),
        resource_version: object.metadata.resource_version.clone().unwrap_or_default(),
    }
}
