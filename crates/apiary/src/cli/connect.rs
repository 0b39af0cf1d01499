//! How commands reach the management cluster.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::config::{DataDir, default_data_dir};

/// Which management cluster is meant.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The data directory of the running `apiary up` [default: ~/.local/share/apiary]
    #[arg(long, value_name = "DIR", env = "APIARY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A kubeconfig, for a management cluster elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    kubeconfig: Option<PathBuf>,
}

impl Connection {
    fn path(&self) -> Result<PathBuf> {
        match (&self.kubeconfig, &self.data_dir) {
            (Some(path), _) => Ok(path.clone()),
            (None, given) => {
                Ok(DataDir(given.clone().map_or_else(default_data_dir, Ok)?).kubeconfig())
            }
        }
    }

    /// The kubeconfig itself.
    pub(super) fn text(&self) -> Result<String> {
        let path = self.path()?;
        std::fs::read_to_string(&path).map_err(|error| {
            anyhow!(error).context(format!(
                "reading {}: has `apiary up` run here?",
                path.display()
            ))
        })
    }

    pub(super) async fn client(&self) -> Result<Client> {
        let path = self.path()?;
        let config = Kubeconfig::read_from(&path).map_err(|error| {
            anyhow!(error).context(format!(
                "reading {}: has `apiary up` run here?",
                path.display()
            ))
        })?;
        let config =
            kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// An error of the API, with a hint if nobody answers.
    pub(super) fn explain(&self, error: kube::Error) -> anyhow::Error {
        match error {
            kube::Error::Api(status) => {
                anyhow!("the management cluster refused: {}", status.message)
            }
            other => anyhow!(other)
                .context("the management cluster does not answer: does `apiary up` run?"),
        }
    }
}
