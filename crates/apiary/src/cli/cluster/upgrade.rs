//! `apiary cluster upgrade`

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use api::cluster::rules::Version;
use clap::Args;
use serde_json::{Value, json};

use super::change::{self, How, Step, called};
use super::scale::were;
use crate::blueprint::check_version;
use crate::cli::connect::Connection;
use crate::cli::find::Place;
use crate::inspect::World;
use crate::object::name;
use crate::ui::Ui;

/// Minor versions that workers may be older than the control plane, by Kubernetes' version skew policy.
const MINOR_SKEW_MAX: u64 = 3;

/// Bring a cluster to another Kubernetes version
///
/// Every machine is replaced by a new one, those of the control plane first: new workers are made when all of the control plane is
/// at the new version, which their preflight checks see to. Versions that Kubernetes does not go to are refused before anything is
/// written: older ones, and those that leave out a minor version. The same command again goes on where an upgrade stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary cluster upgrade hello --version v1.36.1 --dry-run
  apiary cluster upgrade hello --version v1.36.1 --wait")]
pub(in crate::cli) struct Upgrade {
    /// Name of the cluster
    name: String,
    /// Kubernetes version to go to, e.g. v1.36.1
    #[arg(long, value_name = "VERSION")]
    version: String,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Upgrade {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        check_version(&self.version)?;
        let client = self.connection.client().await?;
        let world = change::gather(&client, &self.name, &self.place, &self.connection).await?;
        let steps = steps(&world, &self.version)?;
        if steps.is_empty() {
            ui.note(&format!(
                "cluster {} is to have {} already",
                self.name, self.version
            ));
        }
        change::take(&client, &world, &steps, &self.how, ui).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What has to be changed, the control plane first. Pure.
fn steps(world: &World, wanted: &str) -> Result<Vec<Step>> {
    change::may_change(world)?;
    let target = check_version(wanted)?;
    let Some(control_plane) = world.control_plane() else {
        bail!(
            "cluster {} has no control plane that could be upgraded",
            name(&world.cluster)
        );
    };
    let current = version_of(control_plane, &control_plane["spec"]["version"])?;
    check_target(control_plane, &current, &target, wanted)?;
    let mut steps = vec![];
    if current != target {
        let machines = control_plane["spec"]["replicas"].as_i64().unwrap_or(1);
        let from = control_plane["spec"]["version"]
            .as_str()
            .unwrap_or_default();
        let pace = if machines > 1 { ", one at a time" } else { "" };
        let so = format!("{} replaced{pace}", were(machines));
        steps.push(Step::new(
            control_plane,
            from,
            wanted,
            so,
            &json!({"version": wanted}),
        ));
    }
    for pool in world.pools() {
        let from = &pool["spec"]["template"]["spec"]["version"];
        let have = version_of(pool, from)?;
        if have == target {
            continue;
        }
        if have > target {
            bail!(
                "{} is at {}, which is newer than {wanted}: Kubernetes does not go back",
                called(pool),
                from.as_str().unwrap_or_default()
            );
        }
        if have.minor + MINOR_SKEW_MAX < target.minor {
            bail!(
                "{} is at {}: workers may be at most {MINOR_SKEW_MAX} minor versions older than the control plane, also while they wait for their turn",
                called(pool),
                from.as_str().unwrap_or_default()
            );
        }
        let machines = pool["spec"]["replicas"].as_i64().unwrap_or(1);
        let so = format!("{} replaced{}", were(machines), pace(pool));
        let spec = json!({"template": {"spec": {"version": wanted}}});
        let from = from.as_str().unwrap_or_default();
        steps.push(Step::new(pool, from, wanted, so, &spec));
    }
    Ok(steps)
}

/// Refuses what Kubernetes does not do, and what would come into the way of an upgrade that is under way.
fn check_target(
    control_plane: &Value,
    current: &Version,
    target: &Version,
    wanted: &str,
) -> Result<()> {
    let at = control_plane["spec"]["version"]
        .as_str()
        .unwrap_or_default();
    let what = called(control_plane);
    if target < current {
        bail!("{what} is at {at}, which is newer than {wanted}: Kubernetes does not go back");
    }
    if target.major != current.major || target.minor > current.minor + 1 {
        bail!(
            "{what} is at {at}: Kubernetes goes through every minor version, the next is v{}.{}",
            current.major,
            current.minor + 1
        );
    }
    let reached = control_plane["status"]["version"].as_str();
    if let Some(reached) = reached.filter(|reached| *reached != at && current != target) {
        bail!(
            "{what} is still on its way from {reached} to {at}: `apiary why controlplane/{}` says how far it is",
            name(control_plane)
        );
    }
    Ok(())
}

fn version_of(object: &Value, field: &Value) -> Result<Version> {
    let text = field.as_str().unwrap_or_default();
    Version::parse(text).ok_or_else(|| {
        anyhow!(
            "{} has no version that could be understood ({text:?})",
            called(object)
        )
    })
}

/// How many machines of a pool at once, as its strategy says it.
fn pace(pool: &Value) -> String {
    let rolling = &pool["spec"]["rollout"]["strategy"]["rollingUpdate"];
    let part = |field: &str, default: &str| match &rolling[field] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => default.to_owned(),
    };
    match pool["spec"]["rollout"]["strategy"]["type"].as_str() {
        Some("OnDelete") => ", each when somebody deletes it (OnDelete)".to_owned(),
        _ => format!(
            " (at once at most {} more, {} less)",
            part("maxSurge", "1"),
            part("maxUnavailable", "0")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::world;

    const HELLO: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: hello, namespace: org-acme}
spec: {controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: hello}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlane
metadata: {name: hello, namespace: org-acme}
spec: {replicas: 1, version: v1.36.0}
status: {version: v1.36.0}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: hello-workers, namespace: org-acme}
spec: {replicas: 2, rollout: {strategy: {rollingUpdate: {maxSurge: 50%}}}, template: {spec: {version: v1.36.0}}}
";

    fn check(yaml: &str, version: &str, want: &[&str]) {
        let said = match steps(&world(yaml, &[]), version) {
            Ok(steps) => steps.iter().map(Step::text).collect(),
            Err(error) => vec![error.to_string()],
        };
        assert_eq!(said, want);
    }

    #[test]
    fn the_control_plane_goes_first() {
        let steps = [
            "control plane hello: v1.36.0 → v1.37.0: 1 machine is replaced",
            "node pool hello-workers: v1.36.0 → v1.37.0: 2 machines are replaced (at once at most 50% more, 0 less)",
        ];
        check(HELLO, "v1.37.0", &steps);
        check(HELLO, "v1.36.0", &[]);
        // An upgrade that stopped after the control plane goes on.
        let half = HELLO
            .replace(
                "replicas: 1, version: v1.36.0",
                "replicas: 1, version: v1.37.0",
            )
            .replace(
                "strategy: {rollingUpdate: {maxSurge: 50%}}",
                "strategy: {type: OnDelete}",
            );
        let rest = [
            "node pool hello-workers: v1.36.0 → v1.37.0: 2 machines are replaced, each when somebody deletes it (OnDelete)",
        ];
        check(&half, "v1.37.0", &rest);
    }

    #[test]
    fn what_kubernetes_does_not_do_is_refused() {
        check(
            HELLO,
            "v1.35.9",
            &[
                "control plane hello is at v1.36.0, which is newer than v1.35.9: Kubernetes does not go back",
            ],
        );
        let skip = "control plane hello is at v1.36.0: Kubernetes goes through every minor version, the next is v1.37";
        check(HELLO, "v1.38.0", &[skip]);
        check(HELLO, "v2.0.0", &[skip]);
        check(
            HELLO,
            "1.37.0",
            &["--version \"1.37.0\" must look like v1.36.0"],
        );
        let under_way = HELLO.replace("status: {version: v1.36.0}", "status: {version: v1.35.0}");
        check(
            &under_way,
            "v1.36.1",
            &[
                "control plane hello is still on its way from v1.35.0 to v1.36.0: `apiary why controlplane/hello` says how far it is",
            ],
        );
        check(
            &HELLO.replace(
                "template: {spec: {version: v1.36.0",
                "template: {spec: {version: v1.33.0",
            ),
            "v1.37.0",
            &[
                "node pool hello-workers is at v1.33.0: workers may be at most 3 minor versions older than the control plane, also while they wait for their turn",
            ],
        );
        check(
            &HELLO.replace(
                "template: {spec: {version: v1.36.0",
                "template: {spec: {version: v1.37.1",
            ),
            "v1.37.0",
            &[
                "node pool hello-workers is at v1.37.1, which is newer than v1.37.0: Kubernetes does not go back",
            ],
        );
        check(
            &HELLO.replace("replicas: 1, version: v1.36.0", "replicas: 1"),
            "v1.37.0",
            &["control plane hello has no version that could be understood (\"\")"],
        );
    }
}
