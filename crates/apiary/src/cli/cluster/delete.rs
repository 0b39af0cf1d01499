//! `apiary cluster delete`

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::change::{self, How};
use super::follow::Goal;
use crate::cli::connect::Connection;
use crate::cli::find::Place;
use crate::fleet;
use crate::inspect::World;
use crate::inspect::read::Reader;
use crate::object::{is_deleting, label, name, namespace, organization, plural};
use crate::ui::{Format, Ui};

/// Label of Clusters that are not to be deleted.
const PREVENT_DELETION: &str = "giantswarm.io/prevent-deletion";

/// Delete a cluster with everything that belongs to it
///
/// Says what goes, and asks for the name of the cluster before anything is deleted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary cluster delete second --wait
  apiary cluster delete second --yes
  apiary cluster delete second --dry-run       only says what would go")]
pub(in crate::cli) struct Delete {
    /// Name of the cluster
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Delete {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let client = self.connection.client().await?;
        let world = change::gather(&client, &self.name, &self.place, &self.connection).await?;
        let all = fleet::read_in(&client, namespace(&world.cluster)).await;
        let all = all.map_err(|error| self.connection.explain(error))?;
        let lines = what_goes(&world, &all.apps);
        if self.how.dry_run.is_some() {
            match ui.format() {
                Format::Text => lines.iter().for_each(|line| ui.line(line)),
                Format::Json | Format::Yaml => ui.document(&json!({"effect": lines})),
            }
            ui.note("Nothing was deleted (--dry-run).");
            return Ok(ExitCode::SUCCESS);
        }
        lines.iter().for_each(|line| ui.note(line));
        if !is_deleting(&world.cluster) {
            if label(&world.cluster, PREVENT_DELETION).is_some_and(|value| value != "false") {
                bail!(
                    "nothing was deleted: cluster {} has the label {PREVENT_DELETION}; take it away first",
                    self.name
                );
            }
            if !self.yes && !self.is_meant(ui)? {
                bail!("nothing was deleted: that is not the name of the cluster");
            }
            Reader::new(client.clone()).delete(&world.cluster).await?;
        }
        match ui.format() {
            Format::Text => ui.line(&format!("cluster {} is being deleted", self.name)),
            Format::Json | Format::Yaml => ui.event(&json!({
                "kind": "Cluster", "name": self.name, "state": "deleting",
            })),
        }
        change::note_pause(&world, ui);
        let waiting = &self.how.waiting;
        waiting
            .follow(&client, &world.cluster, Goal::Gone, ui)
            .await?;
        Ok(ExitCode::SUCCESS)
    }

    /// Whether somebody at the terminal writes the name of the cluster.
    fn is_meant(&self, ui: &Ui) -> Result<bool> {
        let mut input = std::io::stdin().lock();
        if !std::io::stdin().is_terminal() {
            bail!("nothing was deleted: there is no terminal to ask at; say --yes if it is meant");
        }
        ui.note("Write the name of the cluster to delete it:");
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        Ok(answer.trim() == self.name)
    }
}

/// What goes with a cluster, and what is left without it. Pure.
fn what_goes(world: &World, apps: &[Value]) -> Vec<String> {
    let cluster = &world.cluster;
    let place = namespace(cluster);
    let place = organization(place).map_or_else(
        || format!("namespace {place}"),
        |organization| format!("organization {organization}"),
    );
    let called = name(cluster);
    let control_plane = world.control_plane_machines().count();
    let all = world.of_kind("Machine").count();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut lines = vec![format!(
        "Cluster {called} of {place} goes, with everything that runs on it:"
    )];
    lines.push(format!(
        "  control plane: {}",
        plural(number(control_plane), "machine")
    ));
    for pool in world.pools() {
        let machines = world.machines_of(pool).count();
        lines.push(format!(
            "  node pool {}: {}",
            name(pool),
            plural(number(machines), "machine")
        ));
    }
    let pooled: usize = world
        .pools()
        .map(|pool| world.machines_of(pool).count())
        .sum();
    if let others @ 1.. = all - control_plane - pooled.min(all - control_plane) {
        lines.push(format!(
            "  outside of node pools: {}",
            plural(number(others), "machine")
        ));
    }
    let on_it = apps.iter().filter(|app| {
        let target = app["spec"]["kubeConfig"]["context"]["name"].as_str();
        let label = label(app, "giantswarm.io/cluster");
        target.or(label) == Some(called)
    });
    let on_it: Vec<&str> = on_it.map(name).collect();
    if !on_it.is_empty() {
        lines.push(format!(
            "Apps that are installed on it: {}",
            on_it.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::{objects, world};

    #[test]
    fn what_goes_is_said() {
        let world = world(
            "
kind: Cluster
metadata: {name: hello, namespace: org-acme}
---
kind: Machine
metadata: {name: cp, labels: {cluster.x-k8s.io/control-plane: ''}}
---
kind: Machine
metadata: {name: w, labels: {cluster.x-k8s.io/deployment-name: hello-workers}}
---
kind: Machine
metadata: {name: alone}
---
kind: MachineDeployment
metadata: {name: hello-workers}
",
            &[],
        );
        let apps = objects(
            "
metadata: {name: web, labels: {giantswarm.io/cluster: hello}}
---
metadata: {name: db}
spec: {kubeConfig: {context: {name: hello}}}
---
metadata: {name: other, labels: {giantswarm.io/cluster: second}}
",
        );
        assert_eq!(
            what_goes(&world, &apps),
            [
                "Cluster hello of organization acme goes, with everything that runs on it:",
                "  control plane: 1 machine",
                "  node pool hello-workers: 1 machine",
                "  outside of node pools: 1 machine",
                "Apps that are installed on it: web, db",
            ]
        );
    }
}
