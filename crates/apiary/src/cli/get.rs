//! `apiary get`

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;

use super::connect;
use super::find::{self, Place};
use crate::inspect::list::{self, Row};
use crate::inspect::read::Reader;
use crate::inspect::table;
use crate::ui::{Format, Ui};

/// List clusters, node pools or machines
///
/// One line each, with the reason for what is not as it should be; `apiary describe cluster` and `apiary why` say more.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary get clusters                         all clusters that you may see
  apiary get nodepools --cluster hello        the node pools of one cluster
  apiary get machines --organization acme     the machines of one organization
  apiary get clusters hello -o yaml           one cluster, for programs")]
pub(super) struct Get {
    /// What to list
    #[arg(value_enum)]
    what: What,
    /// Only the one with this name
    name: Option<String>,
    /// Only what belongs to this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: connect::Connection,
}

/// Kinds of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Workload clusters
    #[value(alias = "cluster")]
    Clusters,
    /// Sets of like workers: MachineDeployments, and MachinePools where they are served
    #[value(aliases = ["nodepool", "node-pools", "node-pool", "machinedeployments", "machinedeployment", "md"])]
    Nodepools,
    /// Machines of clusters
    #[value(alias = "machine")]
    Machines,
}

impl What {
    fn noun(self) -> &'static str {
        match self {
            Self::Clusters => "cluster",
            Self::Nodepools => "node pool",
            Self::Machines => "machine",
        }
    }

    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Clusters => &["Cluster"],
            Self::Nodepools => &["MachineDeployment", "MachinePool"],
            Self::Machines => &["Machine"],
        }
    }
}

impl Get {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let scope = self.place.scope();
        let mut reader = Reader::new(self.connection.client().await?);
        let mut objects = vec![];
        for kind in self.what.kinds() {
            let found = reader.list(kind, &scope).await;
            objects.extend(found.map_err(|error| self.connection.explain(error))?);
        }
        if objects.is_empty() {
            reader.check_served().await?;
        }
        if let Some(cluster) = self
            .cluster
            .as_ref()
            .filter(|_| self.what != What::Clusters)
        {
            objects.retain(|object| object["spec"]["clusterName"] == **cluster);
            if objects.is_empty() {
                // It may be that there is no such cluster.
                find::cluster(&mut reader, cluster, &self.place, &self.connection).await?;
            }
        }
        match self.what {
            What::Clusters => self.show(&list::clusters(&objects), ui),
            What::Nodepools => self.show(&list::pools(&objects), ui),
            What::Machines => self.show(&list::machines(&objects), ui),
        }
    }

    fn show<R: Row>(&self, rows: &[R], ui: &Ui) -> Result<ExitCode> {
        let wanted = match self.what {
            What::Clusters => self.name.as_ref().or(self.cluster.as_ref()),
            What::Nodepools | What::Machines => self.name.as_ref(),
        };
        let is_wanted = |row: &&R| wanted.is_none_or(|name| row.name() == name);
        let shown: Vec<&R> = rows.iter().filter(is_wanted).collect();
        if let (Some(name), true) = (wanted, shown.is_empty()) {
            let names: Vec<&str> = rows.iter().map(Row::name).collect();
            bail!(find::unknown(self.what.noun(), name, &self.place, &names));
        }
        match ui.format() {
            Format::Text if shown.is_empty() => ui.note(&self.nothing()),
            Format::Text => {
                let now = Timestamp::now();
                let cells: Vec<_> = shown.iter().map(|row| row.cells(now)).collect();
                ui.line(&table::text(R::HEADS, &cells, ui));
            }
            Format::Json => ui.line(&serde_json::to_string_pretty(&shown)?),
            Format::Yaml => {
                let rows: Result<Vec<Value>, _> = shown.iter().map(serde_json::to_value).collect();
                ui.document(&Value::Array(rows?));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn nothing(&self) -> String {
        let noun = self.what.noun();
        let of = self.cluster.as_ref().map(|c| format!(" of cluster {c}"));
        let place = self.place.text();
        let hint = match self.what {
            What::Clusters => ": `apiary cluster create --help` shows how to make one",
            What::Nodepools | What::Machines => "",
        };
        format!(
            "There are no {noun}s{}{place}{hint}.",
            of.unwrap_or_default()
        )
    }
}
