//! `apiary kubeconfig`

use std::process::ExitCode;

use anyhow::{Error, Result, anyhow, bail};
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::connect;
use crate::fleet;
use crate::ui::Ui;

/// Print the kubeconfig of a workload cluster, or of the management cluster
///
/// For example: `apiary kubeconfig hello > hello.kubeconfig`
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// Name of the cluster; without one, the management cluster
    pub(super) cluster: Option<String>,
    /// Organization of the cluster, where the name alone is not enough
    #[arg(long)]
    pub(super) organization: Option<String>,
    #[command(flatten)]
    pub(super) connection: connect::Connection,
}

impl Kubeconfig {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let Some(cluster) = &self.cluster else {
            ui.line(self.connection.text()?.trim_end());
            return Ok(ExitCode::SUCCESS);
        };
        let client = self.connection.client().await?;
        let secrets: Api<Secret> = match &self.organization {
            Some(organization) => Api::namespaced(client.clone(), &format!("org-{organization}")),
            None => Api::all(client.clone()),
        };
        let labels = format!("cluster.x-k8s.io/cluster-name={cluster}");
        let list = secrets
            .list(&ListParams::default().labels(&labels))
            .await
            .map_err(|e| self.connection.explain(e))?;
        let name = format!("{cluster}-kubeconfig");
        let found: Vec<&Secret> = list
            .items
            .iter()
            .filter(|secret| secret.name_any() == name)
            .collect();
        let secret = match found.as_slice() {
            [secret] => secret,
            [] => return Err(self.missing(&client, cluster).await),
            several => {
                let places: Vec<String> = several.iter().filter_map(|s| s.namespace()).collect();
                bail!(
                    "several clusters are called {cluster:?} ({}): choose one with --organization",
                    places.join(", ")
                );
            }
        };
        let Some(value) = secret.data.as_ref().and_then(|data| data.get("value")) else {
            bail!("Secret {name} has no key \"value\"");
        };
        ui.line(String::from_utf8_lossy(&value.0).trim_end());
        Ok(ExitCode::SUCCESS)
    }

    /// Why there is no kubeconfig: no such cluster, or it isn't that far.
    async fn missing(&self, client: &Client, cluster: &str) -> Error {
        let clusters = match fleet::read(client).await {
            Ok(world) => world.clusters,
            Err(error) => return self.connection.explain(error),
        };
        let namespace = self.organization.as_ref().map(|o| format!("org-{o}"));
        let metadata = clusters.iter().map(|cluster| &cluster["metadata"]);
        let names: Vec<&str> = metadata
            .filter(|m| namespace.is_none() || m["namespace"].as_str() == namespace.as_deref())
            .filter_map(|m| m["name"].as_str())
            .collect();
        if names.contains(&cluster) {
            return anyhow!(
                "cluster {cluster:?} has no kubeconfig (yet): `apiary status` shows what it waits for"
            );
        }
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        match &self.organization {
            Some(organization) => {
                anyhow!(
                    "organization {organization} has no cluster called {cluster:?}; it has: {names}"
                )
            }
            None => anyhow!("no cluster is called {cluster:?}; there are: {names}"),
        }
    }
}
