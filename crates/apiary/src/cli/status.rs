//! `apiary status`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::connect;
use crate::fleet;
use crate::ui::{Format, Ui};

/// Show the fleet, and for everything that is not ready the reason
///
/// Exits with 0 if all is ready, with 1 if something is not.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    connection: connect::Connection,
    /// Show every machine, also those that are ready
    #[arg(short, long)]
    all: bool,
}

impl Status {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let client = self.connection.client().await?;
        let world = fleet::read(&client)
            .await
            .map_err(|error| self.connection.explain(error))?;
        let nodes = fleet::tree(&world);
        match ui.format() {
            Format::Text if nodes.is_empty() => {
                ui.line("The fleet is empty. `apiary cluster create --help` shows how to begin.");
            }
            Format::Text => ui.line(&fleet::text(&nodes, ui, self.all)),
            Format::Json => ui.line(&serde_json::to_string_pretty(&nodes)?),
            Format::Yaml => ui.document(&serde_json::to_value(&nodes)?),
        }
        let is_ready = nodes.iter().all(fleet::Node::is_ready);
        Ok(if is_ready {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
