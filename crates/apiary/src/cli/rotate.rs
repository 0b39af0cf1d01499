//! `apiary rotate`: new keys in the place of old ones.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{DataDir, default_data_dir};
use crate::control::{self, TokenKeyChange};
use crate::ui::{Format, Ui};

/// Replace a key of a cluster by a new one
#[derive(Debug, Subcommand)]
pub(super) enum Rotate {
    TokenKey(TokenKey),
}

/// Sign the service-account tokens of a cluster with a new key
///
/// The new key signs from now on. Tokens of the last two keys stay good, so that nothing breaks: kubelets and client
/// libraries ask for new ones by themselves, within an hour as a rule. Then run it again with `--forget-old`, which leaves
/// tokens of the signing key only. Tokens in Secrets never end by themselves: those of old keys are worth nothing after that.
#[derive(Debug, Args)]
pub(super) struct TokenKey {
    /// Name of the workload cluster; without one, the management cluster
    cluster: Option<String>,
    /// Organization of the cluster, where the name alone is not enough
    #[arg(long, requires = "cluster")]
    organization: Option<String>,
    /// Make no new key, but believe tokens only if they are of the key that signs
    #[arg(long)]
    forget_old: bool,
    /// The data directory of the running `apiary up` [default: ~/.local/share/apiary]
    #[arg(long, value_name = "DIR", env = "APIARY_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Rotate {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let Self::TokenKey(asked) = self;
        let data = DataDir(asked.data_dir.map_or_else(default_data_dir, Ok)?);
        let change = TokenKeyChange {
            cluster: asked.cluster,
            organization: asked.organization,
            forget_old: asked.forget_old,
        };
        let Some(cluster) = control::change_token_keys(&data.control_socket(), &change).await?
        else {
            bail!("no `apiary up` runs on {}", data.0.display());
        };
        let what = if change.forget_old {
            "believes tokens only of the key that signs"
        } else {
            "signs tokens with a new key"
        };
        match ui.format() {
            Format::Text => ui.line(&format!("{cluster} {what}")),
            Format::Json | Format::Yaml => {
                ui.document(&json!({"cluster": cluster, "forgotOld": change.forget_old}));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
