//! `apiary template`: manifests for people to read, change, commit and apply.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::blueprint::{Blueprint, Pool, Provider};
use crate::ui::Ui;

/// Print manifests
#[derive(Debug, Subcommand)]
pub(super) enum Template {
    Cluster(Cluster),
}

/// Print the manifests of a hardened workload cluster
///
/// They are what the chart charts/cluster-local comes to: three control plane machines over three failure domains and three workers,
/// unless flags and values say otherwise. What values there are is in charts/cluster-local/README.md. Nothing is changed anywhere, and
/// no management cluster is needed: pipe the result to `kubectl apply -f -`, or keep it in Git. There is no secret in it.
/// `apiary cluster create` applies the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary template cluster second --organization acme | kubectl apply -f -
  apiary template cluster second --organization acme --control-plane 3 --node-pool small=2 --node-pool large=1")]
pub(super) struct Cluster {
    /// Name of the cluster: lower case letters, digits and dashes
    #[arg(required_unless_present = "flag_name")]
    name: Option<String>,
    /// The same, as a flag
    #[arg(
        id = "flag_name",
        long = "name",
        value_name = "NAME",
        conflicts_with = "name",
        hide = true
    )]
    flag_name: Option<String>,
    /// Organization that owns the cluster
    #[arg(long, value_name = "NAME")]
    organization: String,
    #[command(flatten)]
    shape: Shape,
}

/// What a new cluster looks like.
#[derive(Clone, Debug, Args)]
pub(super) struct Shape {
    /// Where its machines run
    #[arg(long, value_enum, default_value_t = Provider::Local)]
    provider: Provider,
    /// Number of control plane machines: 1, or an odd number of which a minority may fail
    #[arg(long, visible_alias = "control-planes", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=7))]
    control_plane: Option<u16>,
    /// Number of worker machines, in one node pool called `workers`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000), conflicts_with = "node_pool")]
    workers: Option<u16>,
    /// A node pool with so many machines; say it once for each pool
    #[arg(long, value_name = "NAME=N")]
    node_pool: Vec<Pool>,
    /// Kubernetes version
    #[arg(long, visible_alias = "kubernetes-version", value_name = "VERSION")]
    version: Option<String>,
    /// File with values of the chart; flags count before it, and a later file before an earlier one
    #[arg(long, short = 'f', value_name = "FILE")]
    values: Vec<PathBuf>,
}

impl Shape {
    /// The cluster of this shape.
    ///
    /// # Errors
    /// If a file with values cannot be read.
    pub(super) fn blueprint(&self, name: &str, organization: &str) -> Result<Blueprint> {
        let mut values = json!({});
        for file in &self.values {
            values = render::values::merge(&values, &read(file)?);
        }
        let mut pools = self.node_pool.clone();
        pools.extend(self.workers.map(|replicas| Pool {
            name: "workers".to_owned(),
            replicas,
        }));
        Ok(Blueprint {
            name: name.to_owned(),
            organization: organization.to_owned(),
            provider: self.provider,
            version: self.version.clone(),
            control_plane: self.control_plane,
            pools,
            values,
        })
    }
}

/// The values in a file.
fn read(file: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    match render::yaml::from_str(&text) {
        Ok(values @ Value::Object(_)) => Ok(values),
        Ok(Value::Null) => Ok(json!({})),
        Ok(_) => bail!("{}: values must be a map", file.display()),
        Err(error) => Err(anyhow!("{}: {error}", file.display())),
    }
}

impl Template {
    pub(super) fn run(self, ui: &Ui) -> Result<ExitCode> {
        let Self::Cluster(cluster) = self;
        let name = cluster.name.or(cluster.flag_name);
        let name = name.ok_or_else(|| anyhow!("the cluster needs a name"))?;
        let blueprint = cluster.shape.blueprint(&name, &cluster.organization)?;
        print(&blueprint, ui)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the manifests: in YAML, unless another form is asked for.
pub(super) fn print(blueprint: &Blueprint, ui: &Ui) -> Result<()> {
    match ui.format() {
        crate::ui::Format::Json => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": blueprint.objects()?});
            ui.line(&serde_json::to_string_pretty(&list)?);
        }
        crate::ui::Format::Text | crate::ui::Format::Yaml => ui.line(blueprint.text()?.trim_end()),
    }
    Ok(())
}
