//! `apiary cluster scale`

use std::process::ExitCode;

use anyhow::{Result, bail};
use api::meta::labels;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::change::{self, How, Step, called};
use crate::blueprint::{Pool, check_control_plane};
use crate::cli::connect::Connection;
use crate::cli::find::{self, Place};
use crate::inspect::World;
use crate::object::{annotation, name, plural};
use crate::ui::Ui;

/// Change the number of a cluster's machines
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true)), after_help = "\
Examples:
  apiary cluster scale hello --node-pool workers=5 --wait
  apiary cluster scale hello --control-plane 3 --node-pool hello-workers=0
  apiary cluster scale hello --node-pool workers=5 --dry-run")]
pub(in crate::cli) struct Scale {
    /// Name of the cluster
    name: String,
    /// Machines of the control plane: 1, or an odd number of which a minority may fail
    #[arg(long, value_name = "N", group = "what", value_parser = clap::value_parser!(u16).range(1..=7))]
    control_plane: Option<u16>,
    /// Machines of a node pool, which is called by its name with or without that of the cluster; say it once for each
    #[arg(long, value_name = "NAME=N", group = "what")]
    node_pool: Vec<Pool>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Scale {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        if let Some(machines) = self.control_plane {
            check_control_plane(machines)?;
        }
        let client = self.connection.client().await?;
        let world = change::gather(&client, &self.name, &self.place, &self.connection).await?;
        let steps = steps(&world, self.control_plane, &self.node_pool)?;
        if steps.is_empty() {
            ui.note(&format!(
                "cluster {} has as many machines already",
                self.name
            ));
        }
        for pool in world.pools().filter(|pool| is_autoscaled(pool)) {
            if steps.iter().any(|step| step.object.name == name(pool)) {
                ui.note(&format!(
                    "{} is scaled by an autoscaler, which may change the number again",
                    called(pool)
                ));
            }
        }
        change::take(&client, &world, &steps, &self.how, ui).await?;
        Ok(ExitCode::SUCCESS)
    }
}

fn is_autoscaled(pool: &Value) -> bool {
    annotation(pool, labels::AUTOSCALER_MIN_SIZE).is_some()
}

/// What has to be changed. Pure.
fn steps(world: &World, control_plane: Option<u16>, pools: &[Pool]) -> Result<Vec<Step>> {
    change::may_change(world)?;
    let mut wanted: Vec<(&Value, u16)> = vec![];
    if let Some(machines) = control_plane {
        let Some(object) = world.control_plane() else {
            bail!(
                "cluster {} has no control plane that could be scaled",
                name(&world.cluster)
            );
        };
        wanted.push((object, machines));
    }
    for pool in pools {
        let object = find_pool(world, &pool.name)?;
        let is_it = |other: &Value| name(other) == name(object) && other["kind"] == object["kind"];
        if wanted.iter().any(|(other, _)| is_it(other)) {
            bail!("node pool {} is named twice", name(object));
        }
        wanted.push((object, pool.replicas));
    }
    let changed = wanted.into_iter().filter_map(|(object, machines)| {
        let have = object["spec"]["replicas"].as_i64().unwrap_or(1);
        let want = i64::from(machines);
        let so = match want - have {
            0 => return None,
            more @ 1.. => format!("{} made", were(more)),
            less => format!("{} deleted", were(-less)),
        };
        let spec = json!({"replicas": machines});
        Some(Step::new(
            object,
            &have.to_string(),
            &want.to_string(),
            so,
            &spec,
        ))
    });
    Ok(changed.collect())
}

/// `1 machine is`, `2 machines are`.
pub(super) fn were(count: i64) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", plural(count, "machine"))
}

/// The node pool of this name, with or without that of the cluster before it.
fn find_pool<'a>(world: &'a World, wanted: &str) -> Result<&'a Value> {
    let long = format!("{}-{wanted}", name(&world.cluster));
    let by_name = |called: &str| world.pools().find(|pool| name(pool) == called);
    if let Some(pool) = by_name(wanted).or_else(|| by_name(&long)) {
        return Ok(pool);
    }
    let names: Vec<&str> = world.pools().map(name).collect();
    bail!(
        "cluster {}: {}",
        name(&world.cluster),
        find::unknown("node pool", wanted, &Place::default(), &names)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::world;

    pub(super) const HELLO: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: hello, namespace: org-acme}
spec: {controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: hello}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlane
metadata: {name: hello, namespace: org-acme, resourceVersion: '7'}
spec: {replicas: 3}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: hello-workers, namespace: org-acme, resourceVersion: '8'}
spec: {replicas: 2}
";

    fn check(yaml: &str, control_plane: Option<u16>, pools: &[&str], want: &[&str]) {
        let pools: Vec<Pool> = pools.iter().map(|pool| pool.parse().unwrap()).collect();
        let said = match steps(&world(yaml, &[]), control_plane, &pools) {
            Ok(steps) => steps.iter().map(Step::text).collect(),
            Err(error) => vec![error.to_string()],
        };
        assert_eq!(said, want);
    }

    #[test]
    fn numbers_of_machines_change() {
        check(
            HELLO,
            Some(1),
            &["workers=3"],
            &[
                "control plane hello: 3 → 1: 2 machines are deleted",
                "node pool hello-workers: 2 → 3: 1 machine is made",
            ],
        );
        check(HELLO, Some(3), &["hello-workers=2"], &[]);
        check(
            HELLO,
            None,
            &["worker=3"],
            &["cluster hello: no node pool is called \"worker\"; there are: hello-workers"],
        );
        check(
            HELLO,
            None,
            &["workers=3", "hello-workers=4"],
            &["node pool hello-workers is named twice"],
        );
        let steps = steps(&world(HELLO, &[]), Some(5), &[]).unwrap();
        assert_eq!(
            steps[0].patch,
            json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}})
        );
    }

    #[test]
    fn clusters_of_classes_and_those_that_go_are_left_alone() {
        let gone = HELLO.replace(
            "name: hello, namespace: org-acme}",
            "name: hello, namespace: org-acme, deletionTimestamp: '2026-01-02T03:00:00Z'}",
        );
        check(&gone, Some(1), &[], &["cluster hello is being deleted"]);
        let classy = HELLO.replace(
            "spec: {controlPlaneRef",
            "spec: {topology: {}, controlPlaneRef",
        );
        let error = steps(&world(&classy, &[]), Some(1), &[]).unwrap_err();
        assert!(error.to_string().contains("spec.topology"), "{error}");
    }
}
