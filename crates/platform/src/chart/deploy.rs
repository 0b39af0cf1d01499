//! Installing and upgrading a release.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::application::App;
use api::application::app::reasons;
use api::application::labels::MANAGED_BY;
use jiff::SignedDuration;
use render::release::{Info, Release, Status};
use render::{Chart, HookEvent, Rendered};
use runtime::Wait;
use serde_json::{Value, json};

use super::history::{self, History};
use super::observe::Wanted;
use super::rendering::{self, Job};
use super::site::{Place, Site, failed, known, place, refused};
use super::uninstall::too_slow;
use super::{hooks, record};

/// How long an operation may take that says nothing itself.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The longest that an operation may ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long a chart's own definitions may take until their kinds are served.
const DEFINITIONS_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(250);
const KEEP: &str = "keep";
const NAMESPACE_MANAGER: &str = "chart-operator";

/// One installation or upgrade.
pub struct Deployment {
    pub site: Site,
    pub app: App,
    pub wanted: Wanted,
    /// Where the chart is from.
    pub url: String,
    pub chart: Arc<Chart>,
    /// The release so far.
    pub history: History,
}

/// Reads the longest time of an operation.
pub(super) fn timeout(text: Option<&str>) -> Duration {
    let parsed = text.and_then(|text| text.parse::<SignedDuration>().ok());
    let parsed = parsed.and_then(|duration| Duration::try_from(duration).ok());
    parsed.map_or(TIMEOUT, |duration| duration.min(TIMEOUT_MAX))
}

/// Whether the chart's author wants an object to outlive the release.
pub(super) fn is_kept(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/resource-policy"]
        .as_str()
        .is_some_and(|policy| policy.trim() == KEEP)
}

/// Writes a revision to where Helm looks for it.
pub(super) async fn store(site: &Site, release: &Release, is_change: bool) -> Result<(), Wait> {
    let now = site.cluster().clock().now();
    let secret = release
        .to_secret(now, is_change)
        .map_err(|error| failed(format!("storing the release: {error}")))?;
    let written = site.apply_own(&secret, "").await;
    written
        .map(drop)
        .map_err(|error| refused(&known(&secret), &error))
}

/// Installs or upgrades a release.
///
/// # Errors
/// What was wrong with the chart, what the cluster refused, or the hook that failed. Once a revision is stored, the error
/// is in it too.
pub async fn deploy(deployment: &Deployment) -> Result<(), Wait> {
    let Deployment {
        site,
        app,
        wanted,
        url,
        history,
        ..
    } = deployment;
    check_chart(deployment)?;
    record(site, app, wanted, url, history.latest.as_ref()).await?;
    prepare_namespace(site, app).await?;
    if !app
        .spec
        .install
        .as_ref()
        .is_some_and(|install| install.skip_crds)
    {
        define(site, &deployment.chart).await?;
    }
    let is_upgrade = history.deployed.is_some();
    let now = site.cluster().clock().now();
    let job = Job {
        chart: Arc::clone(&deployment.chart),
        name: wanted.release.clone(),
        namespace: wanted.namespace.clone(),
        revision: history.next(),
        is_upgrade,
        values: wanted.values.clone(),
        now,
    };
    let mut rendered = rendering::render(site, job).await?;
    let mut release = revision(deployment, &mut rendered);
    close_interrupted(site, history).await?;
    store(site, &release, false).await?;
    let limit = if is_upgrade {
        timeout(app.spec.upgrade.as_ref().and_then(|o| o.timeout.as_deref()))
    } else {
        timeout(app.spec.install.as_ref().and_then(|o| o.timeout.as_deref()))
    };
    let carried = tokio::time::timeout(
        limit,
        carry_out(deployment, &rendered, &release, is_upgrade),
    )
    .await;
    let result = carried.unwrap_or_else(|_| Err(too_slow(limit)));
    (release.info.status, release.info.description) = match &result {
        Ok(()) if is_upgrade => (Status::Deployed, "Upgrade complete".to_owned()),
        Ok(()) => (Status::Deployed, "Install complete".to_owned()),
        Err(why) => (Status::Failed, why.message.clone()),
    };
    store(site, &release, true).await?;
    if result.is_ok() {
        supersede(site, history).await?;
    }
    for secret in history.surplus() {
        site.delete(&place("v1", "Secret", &wanted.namespace, secret))
            .await?;
    }
    record(site, app, wanted, url, Some(&release)).await?;
    result
}

/// What is at the URL must be what the index says.
fn check_chart(deployment: &Deployment) -> Result<(), Wait> {
    let (metadata, wanted) = (&deployment.chart.metadata, &deployment.wanted);
    let version = metadata
        .version
        .strip_prefix('v')
        .unwrap_or(&metadata.version);
    if metadata.name == wanted.chart && version == wanted.version {
        return Ok(());
    }
    let message = format!(
        "chart `{}` is {} {}, the catalog says {} {}",
        deployment.url, metadata.name, metadata.version, wanted.chart, wanted.version
    );
    Err(Wait {
        reason: reasons::CHART_PULL_FAILED,
        message,
    })
}

/// The release's namespace, with the metadata that the App wants. One that is there and wants nothing is left alone.
async fn prepare_namespace(site: &Site, app: &App) -> Result<(), Wait> {
    let config = app.spec.namespace_config.clone().unwrap_or_default();
    let place = place("v1", "Namespace", "", &app.spec.namespace);
    let have = site
        .get(&place)
        .await
        .map_err(|error| refused(&place, &error))?;
    if have.is_some() && app.spec.namespace_config.is_none() {
        return Ok(());
    }
    let mut labels: BTreeMap<String, String> = config.labels.unwrap_or_default();
    let manager = have.as_ref().map(|have| {
        have.metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(MANAGED_BY))
    });
    if manager.is_none_or(|manager| manager.is_some_and(|manager| manager == NAMESPACE_MANAGER)) {
        labels
            .entry(MANAGED_BY.to_owned())
            .or_insert_with(|| NAMESPACE_MANAGER.to_owned());
    }
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": app.spec.namespace, "labels": labels, "annotations": config.annotations.unwrap_or_default(),
        },
    });
    let applied = site.apply_own(&namespace, "").await;
    applied.map(drop).map_err(|error| refused(&place, &error))
}

/// Installs the chart's own definitions and waits until they are served. They are never upgraded, as with Helm.
async fn define(site: &Site, chart: &Chart) -> Result<(), Wait> {
    let mut kinds = vec![];
    for file in chart.crds() {
        let text = String::from_utf8_lossy(&file.data);
        let documents = render::yaml::from_str_multi(&text);
        let documents = documents.map_err(|error| Wait {
            reason: reasons::RENDER_FAILED,
            message: format!("{}: {error}", file.name),
        })?;
        for definition in documents {
            let place = site.place(&definition, "").await?;
            if site
                .get(&place)
                .await
                .map_err(|error| refused(&place, &error))?
                .is_none()
            {
                let group = definition["spec"]["group"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let kind = definition["spec"]["names"]["kind"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                site.apply(&place, definition).await?;
                kinds.push((group, kind));
            }
        }
    }
    // From here on what is served is asked again when a definition changes.
    let _follow = site.cluster().kinds_changed();
    let waiting = async {
        for (group, kind) in &kinds {
            while !matches!(site.cluster().served(group, None, kind).await, Ok(Some(_))) {
                tokio::time::sleep(POLL).await;
            }
        }
    };
    let served = tokio::time::timeout(DEFINITIONS_MAX, waiting).await;
    served.map_err(|_| failed("the chart's definitions are installed but not served".to_owned()))
}

/// The new revision, as it is before anything is done.
fn revision(deployment: &Deployment, rendered: &mut Rendered) -> Release {
    let (wanted, history) = (&deployment.wanted, &deployment.history);
    let now = deployment.site.cluster().clock().now();
    let first = history
        .latest
        .as_ref()
        .and_then(|latest| latest.info.first_deployed);
    let status = if history.deployed.is_some() {
        Status::PendingUpgrade
    } else {
        Status::PendingInstall
    };
    let description = if history.deployed.is_some() {
        "Preparing upgrade"
    } else {
        "Initial install underway"
    };
    Release {
        name: wanted.release.clone(),
        info: Info {
            first_deployed: Some(first.unwrap_or(now)),
            last_deployed: Some(now),
            deleted: None,
            description: description.to_owned(),
            status,
            notes: std::mem::take(&mut rendered.notes),
        },
        chart: std::mem::take(&mut rendered.chart),
        config: wanted.values.clone(),
        manifest: std::mem::take(&mut rendered.manifest),
        hooks: rendered.hooks.clone(),
        version: history.next(),
        namespace: wanted.namespace.clone(),
        labels: history::labels(&deployment.app),
        apply_method: "ssa".to_owned(),
    }
}

/// Hooks, objects, and what is no longer wanted.
async fn carry_out(
    deployment: &Deployment,
    rendered: &Rendered,
    release: &Release,
    is_upgrade: bool,
) -> Result<(), Wait> {
    let Deployment {
        site,
        wanted,
        history,
        ..
    } = deployment;
    let (before, after) = if is_upgrade {
        (HookEvent::PreUpgrade, HookEvent::PostUpgrade)
    } else {
        (HookEvent::PreInstall, HookEvent::PostInstall)
    };
    let namespace = &wanted.namespace;
    hooks::run(site, namespace, &release.hooks, before).await?;
    let mut old = vec![];
    for object in history.objects() {
        // A kind that is not served any more has no objects.
        if let Ok(place) = site.place(&object, namespace).await {
            old.push((place, is_kept(&object)));
        }
    }
    let mut new = vec![];
    for object in &rendered.objects {
        let place = site
            .place(&object.value, namespace)
            .await
            .map_err(|why| at(why, &object.source))?;
        if !old.iter().any(|(old, _)| is_same(old, &place)) {
            check_ownership(site, &place, wanted).await?;
        }
        new.push((place, object));
    }
    for (place, object) in &new {
        let marked = marked(object.value.clone(), wanted);
        site.apply(place, marked)
            .await
            .map_err(|why| at(why, &object.source))?;
    }
    for (place, is_kept) in &old {
        if !is_kept && !new.iter().any(|(new, _)| is_same(new, place)) {
            site.delete(place).await?;
        }
    }
    hooks::run(site, namespace, &release.hooks, after).await
}

fn at(why: Wait, source: &str) -> Wait {
    Wait {
        message: format!("{source}: {}", why.message),
        ..why
    }
}

fn is_same(a: &Place, b: &Place) -> bool {
    a.resource.group == b.resource.group
        && a.resource.kind == b.resource.kind
        && a.namespace == b.namespace
        && a.name == b.name
}

/// Helm's marks of whose an object is.
fn marked(mut object: Value, wanted: &Wanted) -> Value {
    let metadata = &mut object["metadata"];
    for field in ["labels", "annotations"] {
        if !metadata[field].is_object() {
            metadata[field] = json!({});
        }
    }
    metadata["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    metadata["annotations"]["meta.helm.sh/release-name"] = json!(wanted.release);
    metadata["annotations"]["meta.helm.sh/release-namespace"] = json!(wanted.namespace);
    object
}

/// An object that is there already must be the release's own.
async fn check_ownership(site: &Site, place: &Place, wanted: &Wanted) -> Result<(), Wait> {
    let Some(have) = site
        .get(place)
        .await
        .map_err(|error| refused(place, &error))?
    else {
        return Ok(());
    };
    let annotation = |key: &str| have.metadata.annotations.as_ref()?.get(key).cloned();
    let is_own = annotation("meta.helm.sh/release-name").as_ref() == Some(&wanted.release)
        && annotation("meta.helm.sh/release-namespace").as_ref() == Some(&wanted.namespace);
    if is_own {
        return Ok(());
    }
    let release = &wanted.release;
    Err(failed(format!(
        "{place} already exists and does not belong to release `{release}`"
    )))
}

/// The revision that was deployed has a successor now.
async fn supersede(site: &Site, history: &History) -> Result<(), Wait> {
    let Some(mut old) = history.deployed.clone() else {
        return Ok(());
    };
    old.info.status = Status::Superseded;
    store(site, &old, true).await
}

/// A revision whose operation never came to its end does not stay under way.
async fn close_interrupted(site: &Site, history: &History) -> Result<(), Wait> {
    let Some(mut latest) = history.latest.clone() else {
        return Ok(());
    };
    if !latest.info.status.is_pending() {
        return Ok(());
    }
    latest.info.status = Status::Failed;
    latest.info.description = "The operation was interrupted".to_owned();
    store(site, &latest, true).await
}
