//! `--wait`: shows what becomes of a cluster until it is as it was asked for.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use futures::stream::{BoxStream, SelectAll, StreamExt, select_all};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, WatchParams};
use kube::core::ApiResource;
use serde_json::Value;

use super::change::Step;
use crate::cli::progress::Progress;
use crate::fleet::{self, State};
use crate::inspect::read::Reader;
use crate::inspect::why;
use crate::object::{name, namespace};
use crate::ui::{Format, Ui};

/// How long changes that come at once are gathered before the next look.
const TOGETHER: Duration = Duration::from_millis(200);
/// Without any change, a look is taken so often.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Kinds of parts whose machines are looked at.
const FOLLOWED: [&str; 3] = ["KubeadmControlPlane", "MachineDeployment", "MachinePool"];

/// Options about waiting.
#[derive(Clone, Debug, Args)]
pub(super) struct Waiting {
    /// Show what happens until it is done
    #[arg(long)]
    wait: bool,
    /// The longest to wait, e.g. 90s, 10m or 1h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration, requires = "wait")]
    timeout: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The cluster is available, and has the machines that are wanted.
    Ready,
    Gone,
}

impl Waiting {
    /// Whether what becomes of these changes can be waited for, if that is wanted.
    ///
    /// # Errors
    /// Names the part that cannot be followed: that it is through would be a guess.
    pub(super) fn check(&self, steps: &[Step]) -> Result<()> {
        let is_unknown = |step: &&Step| !FOLLOWED.contains(&step.object.kind.as_str());
        match steps.iter().find(is_unknown).filter(|_| self.wait) {
            Some(step) => bail!(
                "--wait cannot follow {}, which is a {}: leave it out, and look with `apiary get nodepools` and `apiary describe cluster`",
                step.what,
                step.object.kind
            ),
            None => Ok(()),
        }
    }

    /// Waits, if that is wanted.
    ///
    /// # Errors
    /// When time is up, with the reason why the goal is not reached.
    pub(super) async fn follow(
        &self,
        client: &Client,
        cluster: &Value,
        goal: Goal,
        ui: &Ui,
    ) -> Result<()> {
        if !self.wait {
            if ui.format() == Format::Text {
                ui.note(&format!(
                    "`apiary describe cluster {}` shows how far it is.",
                    name(cluster)
                ));
            }
            return Ok(());
        }
        let start = Instant::now();
        let progress = Progress::new(ui, start);
        let mut changes = changes(client, namespace(cluster)).await;
        loop {
            if is_reached(client, cluster, goal, &progress).await? {
                return Ok(());
            }
            let Some(left) = self.timeout.checked_sub(start.elapsed()) else {
                break;
            };
            // Whatever changes is a reason to look again; a watch that ended is opened anew.
            match tokio::time::timeout(left.min(LOOK_PERIOD), changes.next()).await {
                Ok(Some(())) => tokio::time::sleep(TOGETHER).await,
                Ok(None) => {
                    tokio::time::sleep(TOGETHER).await;
                    changes = self::changes(client, namespace(cluster)).await;
                }
                Err(_) => {}
            }
            while let Some(Some(())) = futures::FutureExt::now_or_never(changes.next()) {}
        }
        progress.end();
        bail!(self.too_long(client, cluster, goal).await)
    }

    /// Says that time is up, and why there is nothing better to say.
    async fn too_long(&self, client: &Client, cluster: &Value, goal: Goal) -> String {
        let what = match goal {
            Goal::Ready => "ready",
            Goal::Gone => "gone",
        };
        let name = name(cluster);
        let late = format!(
            "cluster {name} is not {what} after {}",
            crate::ui::seconds(self.timeout)
        );
        let mut reader = Reader::new(client.clone());
        let known = reader.cluster(cluster.clone()).await;
        let Ok(mut world) = known else { return late };
        let fresh = reader.again(cluster).await;
        if let Ok(Some(fresh)) = fresh {
            world.cluster = fresh;
        }
        let answer = why::why(&world, &world.cluster);
        let plain = Ui::new(Format::Text, true);
        format!(
            "{late}\n{}",
            why::text(&answer, &[], Timestamp::now(), &plain)
        )
    }
}

/// Looks, says what is new, and whether it is all that was waited for.
async fn is_reached(
    client: &Client,
    cluster: &Value,
    goal: Goal,
    progress: &Progress<'_>,
) -> Result<bool> {
    let world = fleet::read_in(client, namespace(cluster)).await;
    let mut world = world.map_err(|error| anyhow!(error).context("looking at the cluster"))?;
    world.clusters.retain(|found| name(found) == name(cluster));
    world.apps.clear();
    let nodes = fleet::tree(&world);
    match (goal, nodes.first()) {
        (Goal::Gone, None) => {
            progress.gone("cluster", name(cluster));
            Ok(true)
        }
        (Goal::Ready, None) => bail!("cluster {} was deleted meanwhile", name(cluster)),
        (Goal::Gone, Some(_)) => {
            progress.tell(&nodes);
            Ok(false)
        }
        (Goal::Ready, Some(node)) => {
            // The cluster may be available before all its machines are what is wanted.
            let mut shown = node.clone();
            if shown.state == State::Ready && !node.is_ready() {
                let waits = node.children.iter().find(|child| !child.is_ready());
                shown.state = State::Waiting;
                shown.reason = waits.map(waits_for).unwrap_or_default();
                shown.message.clear();
            }
            progress.tell(&[shown]);
            Ok(node.is_ready())
        }
    }
}

fn waits_for(part: &fleet::Node) -> String {
    let fleet::Node {
        kind,
        name,
        summary,
        ..
    } = part;
    format!("{kind} {name}: {summary}")
}

/// A sign of life whenever a part of a cluster in the namespace changes.
async fn changes(client: &Client, namespace: &str) -> SelectAll<BoxStream<'static, ()>> {
    let mut all: Vec<BoxStream<'static, ()>> = vec![];
    for (group, kind, plural) in [
        (api::meta::CLUSTER_GROUP, "Cluster", "clusters"),
        (api::meta::CLUSTER_GROUP, "Machine", "machines"),
        (
            api::meta::CLUSTER_GROUP,
            "MachineDeployment",
            "machinedeployments",
        ),
        (api::meta::CLUSTER_GROUP, "MachinePool", "machinepools"),
        (
            api::meta::CONTROL_PLANE_GROUP,
            "KubeadmControlPlane",
            "kubeadmcontrolplanes",
        ),
    ] {
        let resource = ApiResource {
            group: group.to_owned(),
            version: "v1beta2".to_owned(),
            api_version: format!("{group}/v1beta2"),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        // Who may not watch looks from time to time.
        if let Ok(events) = api.watch(&WatchParams::default(), "0").await {
            all.push(events.map(|_| ()).boxed());
        }
    }
    if all.is_empty() {
        all.push(futures::stream::pending().boxed());
    }
    select_all(all)
}

/// `90s`, `10m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "want a number with s, m or h, e.g. 90s, 10m or 1h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .filter(|all| *all > 0 && *all <= 7 * 24 * 3600)
        .map(Duration::from_secs)
        .ok_or_else(|| "must be more than nothing and at most a week".to_owned())
}

#[test]
fn durations_have_units() {
    let check = |text: &str, want: Option<u64>| {
        assert_eq!(
            parse_duration(text).ok(),
            want.map(Duration::from_secs),
            "{text}"
        );
    };
    check("90s", Some(90));
    check("10m", Some(600));
    check("1h", Some(3600));
    for wrong in ["", "10", "m", "1.5h", "-1s", "0s", "200h", "5ß"] {
        check(wrong, None);
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let waiting = |wait: bool| Waiting {
        wait,
        timeout: Duration::from_secs(60),
    };
    let step = |kind: &str| {
        let object = serde_json::json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": kind, "metadata": {"name": "a", "namespace": "n"}});
        Step::new(&object, "1", "2", String::new(), &Value::Null)
    };
    let steps = [step("MachinePool"), step("RKE2ControlPlane")];
    assert!(waiting(true).check(&steps[..1]).is_ok());
    assert!(waiting(false).check(&steps).is_ok());
    let error = waiting(true).check(&steps).unwrap_err().to_string();
    assert!(error.contains("a, which is a RKE2ControlPlane"), "{error}");
}
