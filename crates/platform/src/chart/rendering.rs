//! Rendering a chart for a cluster: with what the cluster can do, and looks at what is on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::application::app::reasons;
use jiff::Timestamp;
use render::{Capabilities, Chart, Error, Lookup, ReleaseContext, Rendered};
use runtime::Wait;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::site::{Place, Site, failed, said, within};

/// What is rendered.
pub(super) struct Job {
    pub(super) chart: Arc<Chart>,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) revision: u32,
    pub(super) is_upgrade: bool,
    pub(super) values: Map<String, Value>,
    pub(super) now: Timestamp,
}

/// Looks at the cluster, from the thread that renders.
struct ClusterLookup {
    site: Site,
    handle: Handle,
}

impl Lookup for ClusterLookup {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String> {
        let found = async {
            let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
            let served = self.site.cluster().served(group, Some(version), kind).await;
            let Some(served) = served.map_err(|error| said(&error))? else {
                return Ok(None);
            };
            let place = Place {
                resource: served.resource,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            if name.is_empty() {
                let items = self
                    .site
                    .list(&place, "")
                    .await
                    .map_err(|error| said(&error))?;
                return Ok(Some(
                    json!({"apiVersion": api_version, "kind": format!("{kind}List"), "items": items}),
                ));
            }
            let found = self.site.get(&place).await.map_err(|error| said(&error))?;
            Ok(found.and_then(|object| serde_json::to_value(object).ok()))
        };
        self.handle.block_on(found)
    }
}

/// Renders a chart.
pub(super) async fn render(site: &Site, job: Job) -> Result<Rendered, Wait> {
    let capabilities = capabilities(site).await?;
    let lookup = ClusterLookup {
        site: site.clone(),
        handle: Handle::current(),
    };
    let rendering = tokio::task::spawn_blocking(move || {
        let release = ReleaseContext {
            name: job.name,
            namespace: job.namespace,
            revision: job.revision,
            is_install: !job.is_upgrade,
            is_upgrade: job.is_upgrade,
            now: job.now,
            seed: rand::random(),
        };
        render::template(
            &job.chart,
            &release,
            &Value::Object(job.values),
            &capabilities,
            &lookup,
        )
    });
    let rendered = rendering
        .await
        .map_err(|error| failed(format!("rendering: {error}")))?;
    rendered.map_err(|error| {
        let reason = match &error {
            Error::Schema(_) | Error::Values(_) | Error::NotAMap(_) => reasons::VALUES_INVALID,
            Error::KubeVersion { .. }
            | Error::Template(_)
            | Error::Manifest { .. }
            | Error::Thread(_) => reasons::RENDER_FAILED,
        };
        Wait {
            reason,
            message: error.to_string(),
        }
    })
}

async fn capabilities(site: &Site) -> Result<Capabilities, Wait> {
    let asking = |error: kube::Error| {
        failed(format!(
            "asking the cluster what it can do: {}",
            said(&error)
        ))
    };
    let client = site.client();
    let version = within(client.apiserver_version()).await.map_err(asking)?;
    let groups = within(client.list_api_groups()).await.map_err(asking)?;
    let served = site.cluster().all_served().await.map_err(asking)?;
    let mut versions: BTreeSet<String> = groups
        .groups
        .into_iter()
        .flat_map(|group| {
            group
                .versions
                .into_iter()
                .map(|version| version.group_version)
        })
        .collect();
    versions.insert("v1".to_owned());
    versions.extend(
        served
            .kinds
            .into_iter()
            .map(|s| format!("{}/{}", s.resource.api_version, s.resource.kind)),
    );
    Ok(Capabilities::new(
        &version.git_version,
        versions.into_iter().collect(),
    ))
}
