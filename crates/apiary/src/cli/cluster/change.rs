//! Changes of a cluster's parts: what is written where, said before it is written.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use kube::Client;
use serde_json::{Value, json};

use super::follow::{self, Goal};
use crate::cli::connect::Connection;
use crate::cli::find::{self, Place};
use crate::inspect::read::Reader;
use crate::inspect::{Key, World};
use crate::object::{is_deleting, kind, name, namespace};
use crate::ui::{Format, Ui};

/// One field of one object that gets another value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// What is changed.
    pub(super) object: Key,
    /// How people call it, e.g. `control plane hello`.
    pub(super) what: String,
    pub(super) from: String,
    pub(super) to: String,
    /// What follows from it, e.g. `1 machine is replaced`.
    pub(super) so: String,
    /// JSON merge patch, which holds only if nobody changes the object meanwhile.
    pub(super) patch: Value,
}

impl Step {
    /// A step that sets this of the spec.
    pub(super) fn new(object: &Value, from: &str, to: &str, so: String, spec: &Value) -> Self {
        let version = &object["metadata"]["resourceVersion"];
        Self {
            object: Key::of(object),
            what: called(object),
            from: from.to_owned(),
            to: to.to_owned(),
            so,
            patch: json!({"metadata": {"resourceVersion": version}, "spec": spec}),
        }
    }

    pub(super) fn text(&self) -> String {
        let Self {
            what, from, to, so, ..
        } = self;
        format!("{what}: {from} → {to}: {so}")
    }
}

/// How people call a part of a cluster.
pub(super) fn called(object: &Value) -> String {
    let noun = match kind(object) {
        "MachineDeployment" | "MachinePool" => "node pool",
        _ => "control plane",
    };
    format!("{noun} {}", name(object))
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DryRun {
    /// Nothing is written; what would be is printed
    Client,
}

/// Options that all changes have.
#[derive(Clone, Debug, Args)]
pub(super) struct How {
    /// Write nothing, and say what would be done
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", require_equals = true, value_name = "WHERE")]
    pub(super) dry_run: Option<DryRun>,
    #[command(flatten)]
    pub(super) waiting: follow::Waiting,
}

/// The cluster that a command is about, with all that belongs to it.
pub(super) async fn gather(
    client: &Client,
    wanted: &str,
    place: &Place,
    connection: &Connection,
) -> Result<World> {
    let mut reader = Reader::new(client.clone());
    let cluster = find::cluster(&mut reader, wanted, place, connection).await?;
    let world = reader.cluster(cluster).await;
    world.map_err(|error| connection.explain(error))
}

/// What forbids any change of a cluster.
pub(super) fn may_change(world: &World) -> Result<()> {
    let called = name(&world.cluster);
    if is_deleting(&world.cluster) {
        bail!("cluster {called} is being deleted");
    }
    if !world.cluster["spec"]["topology"].is_null() {
        bail!(
            "cluster {called} is made from a ClusterClass, which would take the change back: change spec.topology of the Cluster instead (kubectl -n {} edit cluster {called})",
            namespace(&world.cluster)
        );
    }
    Ok(())
}

/// What keeps a change from having any effect for now.
pub(super) fn note_pause(world: &World, ui: &Ui) {
    if world.cluster["spec"]["paused"] == true {
        ui.note(&format!(
            "cluster {} is paused (spec.paused): nothing happens before that is over",
            name(&world.cluster)
        ));
    }
}

/// Says the steps, and takes them unless that is not wanted.
pub(super) async fn take(
    client: &Client,
    world: &World,
    steps: &[Step],
    how: &How,
    ui: &Ui,
) -> Result<()> {
    let is_dry = how.dry_run.is_some();
    how.waiting.check(steps)?;
    let place = namespace(&world.cluster);
    let mut reader = Reader::new(client.clone());
    for step in steps {
        let Step {
            object,
            what,
            from,
            to,
            so,
            patch,
        } = step;
        if !is_dry {
            let written = reader.patch(object, place, patch).await;
            written.with_context(|| format!("changing {what}"))?;
        }
        match ui.format() {
            Format::Text => ui.line(&step.text()),
            Format::Json | Format::Yaml => ui.event(&json!({
                "kind": object.kind, "name": object.name, "from": from, "to": to, "effect": so, "dryRun": is_dry,
            })),
        }
    }
    if is_dry {
        ui.note("Nothing was changed (--dry-run).");
        return Ok(());
    }
    note_pause(world, ui);
    let goal = Goal::Ready;
    how.waiting.follow(client, &world.cluster, goal, ui).await
}
