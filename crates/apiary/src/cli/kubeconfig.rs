//! `apiary kubeconfig`

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::connect;
use crate::ui::Ui;

/// Print the kubeconfig of a workload cluster, or of the management cluster
///
/// For example: `apiary kubeconfig hello > hello.kubeconfig`
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// Name of the cluster; without one, the management cluster
    cluster: Option<String>,
    /// Organization of the cluster, where the name alone is not enough
    #[arg(long)]
    organization: Option<String>,
    #[command(flatten)]
    connection: connect::Connection,
}

impl Kubeconfig {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let Some(cluster) = &self.cluster else {
            ui.line(self.connection.text()?.trim_end());
            return Ok(ExitCode::SUCCESS);
        };
        let client = self.connection.client().await?;
        let secrets: Api<Secret> = match &self.organization {
            Some(organization) => Api::namespaced(client, &format!("org-{organization}")),
            None => Api::all(client),
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
            [] => bail!(
                "cluster {cluster:?} has no kubeconfig (yet): `apiary status` shows what it waits for"
            ),
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
}
