//! `apiary describe`

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::connect;
use super::find::{self, Place};
use crate::inspect::read::Reader;
use crate::inspect::tree::{self, Options};
use crate::ui::{Format, Ui};

/// Show what a cluster is made of, and how each part is
#[derive(Debug, Subcommand)]
pub(super) enum Describe {
    Cluster(Cluster),
}

/// Show a cluster as the tree of its objects, with the condition that sums up each
///
/// Infrastructure and bootstrap configuration are shown of machines that are not ready. Machines in the same state share a line.
/// Objects of all providers that follow the contract of Cluster API are shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary describe cluster hello
  apiary describe cluster hello --show all                          infrastructure of every machine
  apiary describe cluster hello --grouping=false                    every machine on a line of its own
  apiary describe cluster hello --show-conditions all               everything that the objects say
  apiary describe cluster hello --show-conditions Machine,Cluster   … of these kinds
  apiary describe cluster hello -o json                             for programs")]
pub(super) struct Cluster {
    /// Name of the cluster
    name: String,
    /// Whether machines in the same state share a line
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    grouping: bool,
    /// Which machines are shown with their infrastructure and bootstrap configuration
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    show: Show,
    /// Show all conditions of these objects: kinds, `Kind/name`, or `all`, with commas between them
    #[arg(long, value_name = "KIND|KIND/NAME|all", value_delimiter = ',')]
    show_conditions: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: connect::Connection,
}

/// Machines whose parts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Show {
    /// Those that are not ready
    #[default]
    Unready,
    /// All of them
    All,
}

impl Describe {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let Self::Cluster(cluster) = self;
        cluster.run(ui).await
    }
}

impl Cluster {
    async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let mut reader = Reader::new(self.connection.client().await?);
        let cluster = find::cluster(&mut reader, &self.name, &self.place, &self.connection).await?;
        let world = reader.cluster(cluster).await;
        let world = world.map_err(|error| self.connection.explain(error))?;
        let options = Options {
            // Parts of machines are of one machine each.
            each: !self.grouping || self.show == Show::All,
            all: self.show == Show::All,
            conditions: self.show_conditions,
        };
        let tree = tree::tree(&world, &options);
        match ui.format() {
            Format::Text => ui.line(&tree::text(&tree, Timestamp::now(), ui)),
            Format::Json => ui.line(&serde_json::to_string_pretty(&tree)?),
            Format::Yaml => ui.document(&serde_json::to_value(&tree)?),
        }
        Ok(ExitCode::SUCCESS)
    }
}
