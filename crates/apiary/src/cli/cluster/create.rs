//! `apiary cluster create`

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use kube::Client;
use serde_json::{Value, json};

use super::change::How;
use super::follow::Goal;
use crate::blueprint::Blueprint;
use crate::cli::connect::Connection;
use crate::cli::find::{self, Place};
use crate::cli::template::{self, Shape};
use crate::inspect::read::{Reader, Scope};
use crate::manifests::{self, Manifests};
use crate::object::{name, namespace_of};
use crate::ui::{Format, Ui};

const ORGANIZATION: (&str, &str) = ("security.giantswarm.io", "Organization");

/// Make a cluster
///
/// Applies the manifests that `apiary template cluster` prints. A cluster that is there already is left alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary cluster create second --organization acme --wait
  apiary cluster create second --control-plane 1 --node-pool small=2 --node-pool large=1
  apiary cluster create second --organization acme --dry-run=client > second.yaml")]
pub(in crate::cli) struct Create {
    /// Name of the cluster: lower case letters, digits and dashes
    name: String,
    /// Organization that owns the cluster; may be left out if there is only one
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    connection: Connection,
}

impl Create {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        // What cannot be is said before anybody is asked.
        let wanted = self.organization.as_deref().unwrap_or("organization");
        self.shape.blueprint(&self.name, wanted)?.text()?;
        if self.how.dry_run.is_some() && self.organization.is_some() {
            template::print(&self.shape.blueprint(&self.name, wanted)?, ui)?;
            return Ok(ExitCode::SUCCESS);
        }
        let client = self.connection.client().await?;
        let organization = self.organization(&client).await?;
        let blueprint = self.shape.blueprint(&self.name, &organization)?;
        if self.how.dry_run.is_some() {
            template::print(&blueprint, ui)?;
            return Ok(ExitCode::SUCCESS);
        }
        self.make(&client, &blueprint, ui).await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn make(&self, client: &Client, blueprint: &Blueprint, ui: &Ui) -> Result<()> {
        let Blueprint {
            name: wanted,
            organization,
            ..
        } = blueprint;
        let namespace = namespace_of(organization);
        let mut reader = Reader::new(client.clone());
        let there = reader.list("Cluster", &Scope::Namespace(namespace)).await;
        let there = there.map_err(|error| self.connection.explain(error))?;
        if there.iter().any(|cluster| name(cluster) == wanted) {
            bail!(
                "organization {organization} has a cluster called {wanted:?} already: `apiary cluster scale` and `apiary cluster upgrade` change it"
            );
        }
        let objects = blueprint.objects()?;
        let cluster = objects.last().cloned().unwrap_or(Value::Null);
        let manifests = Manifests::of(objects, "cluster create");
        let applied = manifests::apply_all(client, &manifests).await;
        applied.context(
            "making the cluster: what is there already stays, and the same command goes on with it",
        )?;
        match ui.format() {
            Format::Text => ui.line(&format!(
                "cluster {wanted} created in organization {organization}"
            )),
            Format::Json | Format::Yaml => ui.event(&json!({
                "kind": "Cluster", "name": wanted, "organization": organization, "state": "created",
            })),
        }
        self.how
            .waiting
            .follow(client, &cluster, Goal::Ready, ui)
            .await
    }

    /// The organization that is named, or the only one.
    async fn organization(&self, client: &Client) -> Result<String> {
        let mut reader = Reader::new(client.clone());
        let (group, kind) = ORGANIZATION;
        let all = match reader.list_kind(group, kind, &Scope::All).await {
            Ok(all) => all,
            // Who may not see organizations may still have one.
            Err(kube::Error::Api(status)) if status.code == 403 => match &self.organization {
                Some(organization) => return Ok(organization.clone()),
                None => bail!("you may not list organizations: say which with --organization"),
            },
            Err(error) => return Err(self.connection.explain(error)),
        };
        let names: Vec<&str> = all.iter().map(name).collect();
        match (&self.organization, names.as_slice()) {
            (Some(wanted), names) if names.contains(&wanted.as_str()) => Ok(wanted.clone()),
            (Some(wanted), names) => bail!(find::unknown(
                "organization",
                wanted,
                &Place::default(),
                names
            )),
            (None, [only]) => Ok((*only).to_owned()),
            (None, []) => bail!("there are no organizations: a cluster needs one to own it"),
            (None, several) => bail!(
                "which organization shall own the cluster? Say --organization; there are: {}",
                several.join(", ")
            ),
        }
    }
}
