//! `apiary cluster`: making, changing and deleting workload clusters.

mod change;
mod create;
mod delete;
mod follow;
mod scale;
mod upgrade;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{connect, kubeconfig};
use crate::ui::Ui;

/// Make, change and delete workload clusters
#[derive(Debug, Subcommand)]
pub(super) enum Cluster {
    Create(create::Create),
    Scale(scale::Scale),
    Upgrade(upgrade::Upgrade),
    Delete(delete::Delete),
    Kubeconfig(Kubeconfig),
}

/// Print the kubeconfig of a cluster
///
/// The same as `apiary kubeconfig NAME`. For example: `apiary cluster kubeconfig hello > hello.kubeconfig`
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// Name of the cluster
    name: String,
    /// Organization of the cluster, where the name alone is not enough
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    #[command(flatten)]
    connection: connect::Connection,
}

impl Cluster {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(ui).await,
            Self::Scale(scale) => scale.run(ui).await,
            Self::Upgrade(upgrade) => upgrade.run(ui).await,
            Self::Delete(delete) => delete.run(ui).await,
            Self::Kubeconfig(Kubeconfig {
                name,
                organization,
                connection,
            }) => {
                let all = kubeconfig::Kubeconfig {
                    cluster: Some(name),
                    organization,
                    connection,
                };
                all.run(ui).await
            }
        }
    }
}
