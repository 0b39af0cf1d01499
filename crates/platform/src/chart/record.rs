//! The Chart and the merged values on a cluster: what clients look at, though nothing there works by them.

use std::time::Duration;

use api::application::chart::{ChartConfig, ChartRelease, VersionedKey};
use api::application::labels::{
    APP_NAME, APP_NAMESPACE, APP_OPERATOR_VERSION, CHART_OPERATOR_PREFIX, CHART_OPERATOR_VERSION,
    MANAGED_BY, NOTES,
};
use api::application::{App, AppSpec, Chart, ChartSpec, PLATFORM_NAMESPACE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use render::release::{Release, Status};
use runtime::{Wait, rfc3339};
use serde_json::{Value, json};

use super::observe::Wanted;
use super::site::{Site, known, place, refused};

/// How long a new definition may take until its kind is served.
const DEFINITION_TRIES: u32 = 40;
const DEFINITION_PAUSE: Duration = Duration::from_millis(250);
const DO_NOT_EDIT: &str = "DO NOT EDIT. Values managed by app-operator.";

/// The ConfigMap with the merged values of an App.
pub(super) fn config_map_name(app: &str) -> String {
    format!("{app}-chart-values")
}

/// The Secret with the merged values of an App.
pub(super) fn secret_name(app: &str) -> String {
    format!("{app}-chart-secrets")
}

/// Resource versions of the ConfigMap and the Secret, where they exist.
type Versions = (Option<String>, Option<String>);

/// Writes the merged values and the Chart with its status.
///
/// # Errors
/// What the cluster refused.
pub async fn record(
    site: &Site,
    app: &App,
    wanted: &Wanted,
    url: &str,
    latest: Option<&Release>,
) -> Result<(), Wait> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": PLATFORM_NAMESPACE, "labels": {MANAGED_BY: "app-operator"}},
    });
    apply(site, &namespace).await?;
    define_charts(site).await?;
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let config_map = wanted.merged.config_map.as_ref();
    let config_map = values(site, "ConfigMap", &config_map_name(name), config_map).await?;
    let secret = wanted.merged.secret.as_ref();
    let secret = values(site, "Secret", &secret_name(name), secret).await?;
    apply(site, &chart(app, wanted, url, (config_map, secret))).await?;
    let mut object = json!({
        "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "Chart",
        "metadata": {"name": wanted.release, "namespace": PLATFORM_NAMESPACE},
    });
    object["status"] = status(latest);
    let written = site.apply_own(&object, "status").await;
    written
        .map(drop)
        .map_err(|error| refused(&known(&object), &error))
}

/// Removes what [`record`] wrote.
///
/// # Errors
/// What the cluster refused.
pub async fn forget(site: &Site, app: &App) -> Result<(), Wait> {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    site.delete(&place(
        "v1",
        "ConfigMap",
        PLATFORM_NAMESPACE,
        &config_map_name(name),
    ))
    .await?;
    site.delete(&place(
        "v1",
        "Secret",
        PLATFORM_NAMESPACE,
        &secret_name(name),
    ))
    .await?;
    // Last, because it says to whom the others belong.
    site.delete(&place(
        "application.giantswarm.io/v1alpha1",
        "Chart",
        PLATFORM_NAMESPACE,
        app.release_name(),
    ))
    .await
}

async fn apply(site: &Site, object: &Value) -> Result<Option<String>, Wait> {
    let applied = site
        .apply_own(object, "")
        .await
        .map_err(|error| refused(&known(object), &error))?;
    Ok(applied.metadata.resource_version)
}

/// The definition of Charts, if the cluster has none.
async fn define_charts(site: &Site) -> Result<(), Wait> {
    let definition = api::application::chart::crd();
    let place = known(&definition);
    let have = site
        .get(&place)
        .await
        .map_err(|error| refused(&place, &error))?;
    if have.is_none() {
        apply(site, &definition).await?;
    }
    let probe = self::place(
        "application.giantswarm.io/v1alpha1",
        "Chart",
        PLATFORM_NAMESPACE,
        "",
    );
    for _ in 0..DEFINITION_TRIES {
        match site
            .list(&probe, "chart-operator.giantswarm.io/version=none")
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                tokio::time::sleep(DEFINITION_PAUSE).await;
            }
            other => return other.map(drop).map_err(|error| refused(&probe, &error)),
        }
    }
    Err(super::site::failed(
        "Charts are defined but not served".to_owned(),
    ))
}

/// Writes or removes merged values; returns their resource version.
async fn values(
    site: &Site,
    kind: &str,
    name: &str,
    values: Option<&Value>,
) -> Result<Option<String>, Wait> {
    let Some(values) = values else {
        site.delete(&place("v1", kind, PLATFORM_NAMESPACE, name))
            .await?;
        return Ok(None);
    };
    let text = render::yaml::to_string(values);
    let text = if kind == "Secret" {
        STANDARD.encode(text)
    } else {
        text
    };
    let object = json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": {
            "name": name, "namespace": PLATFORM_NAMESPACE,
            "labels": {MANAGED_BY: "app-operator"}, "annotations": {NOTES: DO_NOT_EDIT},
        },
        "data": {"values": text},
    });
    apply(site, &object).await
}

fn spec(app: &App, wanted: &Wanted, url: &str, (config_map, secret): Versions) -> ChartSpec {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let key = |name: String, version: Option<String>| {
        Some(VersionedKey {
            name,
            namespace: PLATFORM_NAMESPACE.to_owned(),
            resource_version: version?,
        })
    };
    let config = ChartConfig {
        config_map: key(config_map_name(name), config_map),
        secret: key(secret_name(name), secret),
    };
    let AppSpec {
        install,
        upgrade,
        rollback,
        uninstall,
        namespace_config,
        ..
    } = app.spec.clone();
    ChartSpec {
        name: wanted.release.clone(),
        namespace: wanted.namespace.clone(),
        tarball_url: url.to_owned(),
        version: wanted.version.clone(),
        config: (config != ChartConfig::default()).then_some(config),
        install,
        upgrade,
        rollback,
        uninstall,
        namespace_config,
    }
}

fn chart(app: &App, wanted: &Wanted, url: &str, versions: Versions) -> Value {
    let meta = &app.metadata;
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.remove(APP_OPERATOR_VERSION);
    labels.insert(MANAGED_BY.to_owned(), "app-operator".to_owned());
    labels.insert(CHART_OPERATOR_VERSION.to_owned(), "1.0.0".to_owned());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| key.starts_with(CHART_OPERATOR_PREFIX));
    annotations.insert(APP_NAME.to_owned(), meta.name.clone().unwrap_or_default());
    annotations.insert(
        APP_NAMESPACE.to_owned(),
        meta.namespace.clone().unwrap_or_default(),
    );
    json!({
        "apiVersion": "application.giantswarm.io/v1alpha1", "kind": "Chart",
        "metadata": {
            "name": wanted.release, "namespace": PLATFORM_NAMESPACE, "labels": labels, "annotations": annotations,
        },
        "spec": spec(app, wanted, url, versions),
    })
}

fn status(latest: Option<&Release>) -> Value {
    let Some(latest) = latest else {
        return json!({"version": "", "appVersion": "", "release": {"status": "not-installed"}});
    };
    let is_deployed = latest.info.status == Status::Deployed;
    let mut status = json!({
        "version": latest.chart.metadata.version,
        "appVersion": latest.chart.metadata.app_version,
        "release": {"status": latest.info.status.as_str(), "revision": latest.version},
    });
    if !is_deployed {
        status["reason"] = json!(latest.info.description);
    }
    if let Some(at) = latest.info.last_deployed {
        status["release"]["lastDeployed"] = json!(rfc3339(at));
    }
    status
}

/// Whether a Chart says what it should.
pub(super) fn is_current(
    have: &Chart,
    app: &App,
    wanted: &Wanted,
    versions: Versions,
    latest: Option<&Release>,
) -> bool {
    let want = chart(app, wanted, &have.spec.tarball_url, versions);
    let has_all = |field: &str, have: Option<&std::collections::BTreeMap<String, String>>| {
        let want = want["metadata"][field].as_object();
        want.into_iter().flatten().all(|(key, value)| {
            have.and_then(|have| have.get(key))
                .is_some_and(|have| value.as_str() == Some(have))
        })
    };
    let status = status(latest);
    let release: Option<ChartRelease> = serde_json::from_value(status["release"].clone()).ok();
    let have_status = have.status.clone().unwrap_or_default();
    serde_json::to_value(&have.spec).is_ok_and(|spec| spec == want["spec"])
        && has_all("labels", have.metadata.labels.as_ref())
        && has_all("annotations", have.metadata.annotations.as_ref())
        && release.is_some_and(|release| release == have_status.release)
        && status["version"].as_str() == Some(&have_status.version)
        && status["reason"].as_str() == have_status.reason.as_deref()
}
