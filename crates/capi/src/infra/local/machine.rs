//! LocalMachines: simulated machines that boot from their real bootstrap data.
//!
//! Reads the LocalMachine, its Machine, Cluster and LocalCluster, and the bootstrap data. Writes its provider id and status, and its disk: a
//! Secret with what the guest would find on its disk after a restart of the host. Deletion pulls the plug; the last control plane machine
//! takes the control plane with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::cluster::{Cluster, Machine, MachinePool};
use api::infrastructure::local_machine::{BASTION, conditions, provider_id, reasons};
use api::infrastructure::{LocalCluster, LocalMachine};
use api::meta::{MachineAddress, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use runtime::{Change, ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::{Value, json};

use boots::{Advance, Booting, Boots};

use super::guest::{self, BootstrapData, Disk, Hardware};
use super::{ClusterId, Host, home};
use crate::condition::{self, Condition, Part, summary};
use crate::{names, object, pause, secret};

mod boots;

/// Processors of machines that don't say.
const CPUS: i32 = 4;
/// Memory of machines that don't say.
const MEMORY_MIB: i32 = 8192;
/// Characters of the console that are shown.
const CONSOLE_MAX: usize = 4096;

/// The controller.
pub struct LocalMachineController {
    host: Arc<dyn Host>,
    boots: Boots,
    /// What this host was told to run since it started, by the machine's uid.
    running: Mutex<BTreeMap<String, Running>>,
}

/// What runs of a machine that has booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Running {
    /// Nothing, as after a restart of the host.
    #[default]
    Nothing,
    /// The control plane, if the machine has one, but not the kubelet: the machine hangs.
    AllButKubelet,
    All,
}

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub local: LocalMachine,
    #[cfg_attr(test, serde(default))]
    pub machine: Option<Arc<Machine>>,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    #[cfg_attr(test, serde(default))]
    pub infrastructure: Option<Arc<LocalCluster>>,
    /// The Secret with the bootstrap data, once it is known.
    #[cfg_attr(test, serde(default))]
    pub data_name: Option<String>,
    /// The cluster's control plane runs in the process of another management cluster.
    #[cfg_attr(test, serde(default))]
    pub is_away: bool,
    /// The bootstrap data, if it is there.
    #[cfg_attr(test, serde(default))]
    pub bootstrap: Option<BootstrapData>,
    /// What the guest left on its disk, if it has booted.
    #[cfg_attr(test, serde(default))]
    pub disk: Option<Disk>,
    /// How far a boot is that goes on.
    #[cfg_attr(test, serde(default))]
    pub boot: Option<Booting>,
    #[cfg_attr(test, serde(default))]
    pub running: Running,
    /// Other machines of the control plane that aren't being deleted.
    #[cfg_attr(test, serde(default))]
    pub control_plane_peers: usize,
}

/// What happens on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Runs the bootstrap data.
    Boot,
    /// Runs what was running before the host was restarted, or before the machine hung.
    Resume,
    /// The same without the kubelet.
    ResumeHanging,
    /// Stops the kubelet, as if the machine hung.
    Hang,
    /// Stops everything on the machine; with the control plane if it is the last machine of it.
    PullPlug { is_last_of_control_plane: bool },
}

impl LocalMachineController {
    /// A controller of machines on `host`.
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self {
            host,
            boots: Boots::default(),
            running: Mutex::default(),
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn resume(&self, world: &World, has_kubelet: bool) -> Result<(), String> {
        match &world.disk {
            Some(disk) => guest::resume(&*self.host, &world.hardware(), disk, has_kubelet).await,
            None => Ok(()),
        }
    }
}

impl Reconciler for LocalMachineController {
    const NAME: &'static str = "localmachine";
    const FINALIZER: Option<&'static str> = Some("localmachine.infrastructure.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = LocalMachine;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, local: &LocalMachine) -> Result<World, GatherError> {
        let namespace = local.namespace().unwrap_or_default();
        let mut world = World {
            local: local.clone(),
            machine: None,
            cluster: None,
            infrastructure: None,
            data_name: None,
            is_away: false,
            bootstrap: None,
            disk: None,
            boot: self.boots.look(local),
            running: self
                .running()
                .get(&local.uid().unwrap_or_default())
                .copied()
                .unwrap_or_default(),
            control_plane_peers: 0,
        };
        let disk: Option<Arc<Secret>> = cx.get(&namespace, &disk_name(local)).await?;
        world.disk = disk
            .as_deref()
            .and_then(|d| Disk::parse(&secret::text(d, "disk")?));
        if let Some(cluster) = object::label(&local.metadata, labels::CLUSTER_NAME) {
            world.cluster = cx.get(&namespace, cluster).await?;
            let peers =
                Selector::label(labels::CLUSTER_NAME, cluster).exists(labels::CONTROL_PLANE);
            let peers: Vec<Arc<LocalMachine>> = cx.list(Some(&namespace), &peers).await?;
            let others = peers
                .iter()
                .filter(|p| p.metadata.uid != local.metadata.uid);
            world.control_plane_peers = others
                .filter(|p| p.metadata.deletion_timestamp.is_none())
                .count();
        }
        let reference = world
            .cluster
            .as_ref()
            .and_then(|c| c.spec.infrastructure_ref.as_ref());
        if let Some(reference) = reference.filter(|r| r.kind == "LocalCluster") {
            world.infrastructure = cx.get(&namespace, &reference.name).await?;
            let own = home::own(cx).await?;
            let infrastructure = world.infrastructure.as_deref();
            world.is_away = infrastructure.is_some_and(|i| home::is_away(i, own.as_deref()));
        }
        let mut owners = local.metadata.owner_references.iter().flatten();
        if let Some(owner) = owners.find(|o| o.kind == "Machine") {
            world.machine = cx.get(&namespace, &owner.name).await?;
        }
        world.data_name = data_name(cx, &namespace, world.machine.as_deref()).await?;
        if let Some(name) = world.data_name.clone() {
            let data: Option<Arc<Secret>> = cx.get(&namespace, &name).await?;
            world.bootstrap = data.as_deref().and_then(BootstrapData::of);
        }
        Ok(world)
    }

    fn plan(world: &World, now: Timestamp) -> Plan<Act> {
        plan(world, now)
    }

    async fn act(&self, cx: &Cx, world: &World, act: &Act) -> Result<(), Wait> {
        let uid = world.local.uid().unwrap_or_default();
        let failed = |message: String| Wait {
            reason: reasons::BOOT_FAILED,
            message,
        };
        match act {
            Act::Boot => {
                let disk = match self.boots.advance(&self.host, world, cx.now()).await {
                    Advance::Booted(disk) => disk,
                    Advance::Failed(failure) => return Err(failed(failure.to_string())),
                    Advance::GoesOn(booting) => return Err(booting.wait()),
                };
                write_disk(cx, &world.local, &disk).await?;
                self.running().insert(uid, Running::All);
            }
            Act::Resume => {
                self.resume(world, true).await.map_err(failed)?;
                self.running().insert(uid, Running::All);
            }
            Act::ResumeHanging => {
                self.resume(world, false).await.map_err(failed)?;
                self.running().insert(uid, Running::AllButKubelet);
            }
            Act::Hang => {
                if let (Some(disk), Some(id)) = (&world.disk, world.id()) {
                    self.host
                        .stop_kubelet(&id, &disk.node_name)
                        .await
                        .map_err(failed)?;
                }
                self.running().insert(uid, Running::AllButKubelet);
            }
            Act::PullPlug {
                is_last_of_control_plane,
            } => {
                // First, so that it starts nothing that has just been stopped.
                let booted = self.boots.end(&uid).await;
                if let Some(id) = world.id() {
                    let known = world.disk.as_ref().map(|d| d.node_name.clone());
                    let node = known.or(booted).unwrap_or_else(|| world.local.name_any());
                    self.host.stop_kubelet(&id, &node).await.map_err(failed)?;
                    if *is_last_of_control_plane {
                        self.host.stop_control_plane(&id).await.map_err(failed)?;
                    }
                }
                self.running().remove(&uid);
            }
        }
        Ok(())
    }

    fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Option<Value> {
        Some(status(world, plan, outcome, now))
    }
}

/// The Secret with a machine's bootstrap data: its own, or that of its pool.
async fn data_name(
    cx: &Cx,
    namespace: &str,
    machine: Option<&Machine>,
) -> Result<Option<String>, GatherError> {
    let Some(machine) = machine else {
        return Ok(None);
    };
    let own = machine.spec.bootstrap.data_secret_name.clone();
    if let Some(own) = own.filter(|name| !name.is_empty()) {
        return Ok(Some(own));
    }
    let owner = object::controller_of(&machine.metadata).filter(|o| o.kind == "MachinePool");
    let Some(owner) = owner else {
        return Ok(None);
    };
    let pool: Option<Arc<MachinePool>> = cx.get(namespace, &owner.name).await?;
    let template = pool.as_ref().map(|pool| &pool.spec.template.spec);
    Ok(template.and_then(|t| t.bootstrap.data_secret_name.clone()))
}

/// The Secret in place of the machine's disk.
fn disk_name(local: &LocalMachine) -> String {
    format!("{}-simulated-disk", local.name_any())
}

async fn write_disk(cx: &Cx, local: &LocalMachine, disk: &Disk) -> Result<(), Wait> {
    let namespace = local.namespace().unwrap_or_default();
    let cluster = object::label(&local.metadata, labels::CLUSTER_NAME).unwrap_or_default();
    let owner = object::owner_ref(local, true);
    let built = secret::build(
        &namespace,
        &disk_name(local),
        cluster,
        owner,
        [("disk", disk.render())],
    );
    let secrets: Api<Secret> = Api::namespaced(cx.client(), &namespace);
    let params = PatchParams::apply("apiary-localmachine").force();
    let written = secrets
        .patch(&disk_name(local), &params, &Patch::Apply(&built))
        .await;
    written.map(drop).map_err(|error| Wait {
        reason: reasons::BOOT_FAILED,
        message: format!("writing the simulated disk: {}", runtime::chain(&error)),
    })
}

/// What a machine waits for before it exists.
enum Before {
    Wait(&'static str, String),
    Delay(Timestamp),
    Nothing,
}

impl World {
    fn is_paused(&self) -> bool {
        pause::is_paused(self.cluster.as_deref(), &self.local.metadata)
    }

    fn id(&self) -> Option<ClusterId> {
        Some(ClusterId {
            namespace: self.local.namespace().unwrap_or_default(),
            name: object::label(&self.local.metadata, labels::CLUSTER_NAME)?.to_owned(),
        })
    }

    fn is_control_plane(&self) -> bool {
        object::label(&self.local.metadata, labels::CONTROL_PLANE).is_some()
    }

    /// An address that the machine keeps, in a range that no network of this host has to have.
    fn address(&self) -> String {
        // Not by its uid, which is another one when the objects are moved to another management cluster.
        let namespace = self.local.namespace().unwrap_or_default();
        let hash = names::hash(&[&provider_id(&namespace, &self.local.name_any())]);
        let [a, b, c, ..] = hash.to_be_bytes();
        format!("10.{}.{b}.{}", 64 + a % 64, c.clamp(1, 254))
    }

    /// What the image has that the machine boots from.
    fn kubernetes_version(&self) -> Option<String> {
        let own = self.local.spec.kubernetes_version.clone();
        own.or_else(|| self.machine.as_ref()?.spec.version.clone())
    }

    fn hardware(&self) -> Hardware {
        let id = self.id().unwrap_or(ClusterId {
            namespace: String::new(),
            name: String::new(),
        });
        let status = self.infrastructure.as_ref().and_then(|i| i.status.as_ref());
        Hardware {
            name: self.local.name_any(),
            provider_id: provider_id(&id.namespace, &self.local.name_any()),
            address: self.address(),
            tls_server_name: status
                .and_then(|s| s.tls_server_name.clone())
                .unwrap_or_default(),
            cpus: self.local.spec.cpus.unwrap_or(CPUS),
            memory_mib: self.local.spec.memory_mib.unwrap_or(MEMORY_MIB),
            kubernetes_version: self.kubernetes_version(),
            is_away: self.is_away,
            boot_fault: self.local.spec.faults.as_ref().and_then(|f| f.boot.clone()),
            cluster: id,
        }
    }

    /// A bastion has no Machine, no bootstrap data and no Node: when it exists, it runs.
    fn is_bastion(&self) -> bool {
        object::label(&self.local.metadata, BASTION).is_some()
    }

    /// Whether the cluster has a name on the network of this host.
    fn is_placed(&self) -> bool {
        let status = self.infrastructure.as_ref().and_then(|i| i.status.as_ref());
        status.is_some_and(|s| s.tls_server_name.is_some())
    }

    fn has_booted(&self) -> bool {
        self.disk.is_some()
    }

    /// Why the machine does not exist yet.
    fn before(&self, now: Timestamp) -> Before {
        let wait = |reason, message: &str| Before::Wait(reason, message.to_owned());
        if self.is_bastion() {
            return Before::Nothing;
        }
        if self.machine.is_none() {
            return wait(
                reasons::WAITING_FOR_OWNER,
                "Waiting for a Machine to own this object",
            );
        }
        if !self
            .cluster
            .as_ref()
            .is_some_and(|c| c.is_infrastructure_provisioned())
        {
            return wait(
                reasons::WAITING_FOR_CLUSTER_INFRASTRUCTURE,
                "Waiting for the cluster's infrastructure",
            );
        }
        if !self.is_placed() {
            return wait(
                reasons::WAITING_FOR_CLUSTER_INFRASTRUCTURE,
                "Waiting for the Cluster's infrastructure to be a LocalCluster with status.tlsServerName",
            );
        }
        if let Some(fault) = self
            .local
            .spec
            .faults
            .as_ref()
            .and_then(|f| f.provisioning.as_ref())
        {
            return wait(reasons::PROVISIONING_FAULT, fault);
        }
        if self.bootstrap.is_none() {
            return match &self.data_name {
                Some(name) => Before::Wait(
                    reasons::WAITING_FOR_BOOTSTRAP_DATA,
                    format!("Waiting for Secret {name} with key value"),
                ),
                None => wait(
                    reasons::WAITING_FOR_BOOTSTRAP_DATA,
                    "Waiting for the bootstrap data",
                ),
            };
        }
        let delay = SignedDuration::from_secs(i64::from(
            self.local.spec.start_delay_seconds.unwrap_or_default(),
        ));
        let created = self
            .local
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(now, |t| t.0);
        if now < created + delay {
            Before::Delay(created + delay)
        } else {
            Before::Nothing
        }
    }
}

fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.local.metadata.deletion_timestamp.is_some() {
        // Nothing was started of it here unless the cluster has its place on this host.
        let is_last_of_control_plane = world.is_control_plane()
            && world.control_plane_peers == 0
            && !world.is_away
            && (world.infrastructure.is_none() || world.is_placed());
        plan.changes.push(Change::Act(Act::PullPlug {
            is_last_of_control_plane,
        }));
        plan.is_finished = true;
        return plan;
    }
    if !world.has_booted() {
        match world.before(now) {
            Before::Wait(reason, message) => {
                plan.wait(reason, message);
                return plan;
            }
            Before::Delay(until) => {
                plan.wait(
                    reasons::WAITING_FOR_START_DELAY,
                    format!("The machine starts at {}", runtime::rfc3339(until)),
                );
                plan.again_in = std::time::Duration::try_from(until.duration_since(now)).ok();
                return plan;
            }
            Before::Nothing => {}
        }
    }
    let id = world.hardware().provider_id;
    if world.local.spec.provider_id.as_ref() != Some(&id) {
        plan.changes
            .push(object::patch_spec(&world.local, &json!({"providerID": id})));
    }
    if world.is_bastion() {
        return plan;
    }
    let is_hung = world
        .local
        .spec
        .faults
        .as_ref()
        .is_some_and(|f| f.kubelet_stopped == Some(true));
    // A boot that goes on is looked at, and ended when it has come to its end.
    if let Some(booting) = world
        .boot
        .as_ref()
        .filter(|b| !world.has_booted() && !b.is_over)
    {
        plan.waits.push(booting.wait());
        plan.again_in = Some(boots::LOOK);
        return plan;
    }
    let act = match (world.has_booted(), world.running, is_hung) {
        (false, _, _) => Some(Act::Boot),
        (true, Running::Nothing | Running::AllButKubelet, false) => Some(Act::Resume),
        (true, Running::Nothing, true) => Some(Act::ResumeHanging),
        (true, Running::All, true) => Some(Act::Hang),
        (true, Running::All, false) | (true, Running::AllButKubelet, true) => None,
    };
    plan.changes.extend(act.map(Change::Act));
    plan
}

fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Value {
    let mut status = object::status_of(world.local.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(status);
    }
    let exists = world.has_booted() || matches!(world.before(now), Before::Nothing);
    if exists {
        status["initialization"] = json!({"provisioned": true});
        status["addresses"] = json!([
            MachineAddress {
                type_: "Hostname".to_owned(),
                address: world.local.name_any()
            },
            MachineAddress {
                type_: "InternalIP".to_owned(),
                address: world.address()
            },
        ]);
        let own = world.local.spec.failure_domain.clone();
        let wanted = own.or_else(|| world.machine.as_ref()?.spec.failure_domain.clone());
        let offered = world
            .infrastructure
            .as_ref()
            .and_then(|i| i.status.as_ref()?.failure_domains.as_ref()?.first());
        if let Some(domain) = wanted.or_else(|| offered.map(|d| d.name.clone())) {
            status["failureDomain"] = json!(domain);
        }
    }
    let console = world.disk.as_ref().map(|d| &d.console);
    if let Some(console) = console.or(world.boot.as_ref().map(|b| &b.console)) {
        status["console"] = json!(tail(console));
    }
    let provisioned = match plan.waits.first() {
        _ if exists => Condition::yes(conditions::MACHINE_PROVISIONED, reasons::PROVISIONED),
        Some(wait) => Condition::no(
            conditions::MACHINE_PROVISIONED,
            wait.reason,
            wait.message.clone(),
        ),
        None => Condition::no(conditions::MACHINE_PROVISIONED, "Deleting", ""),
    };
    let booted = booted(world, plan, outcome, exists);
    let part = |condition| Part {
        type_: "",
        condition: Some(condition),
        is_negative: false,
        is_optional: false,
    };
    let parts = [
        Part {
            type_: conditions::MACHINE_PROVISIONED,
            ..part(&provisioned)
        },
        Part {
            type_: conditions::BOOTSTRAP_EXEC_SUCCEEDED,
            ..part(&booted)
        },
    ];
    // Before the machine exists there is nothing to boot.
    let ready = summary(conditions::READY, if exists { &parts } else { &parts[..1] });
    status["conditions"] =
        condition::to_json(&[ready, provisioned, booted, condition::paused(false)]);
    if let Some(status) = status.as_object_mut() {
        status.remove("observedGeneration");
    }
    status
}

/// Whether the guest has worked through its bootstrap data, or how far it is.
fn booted(world: &World, plan: &Plan<Act>, outcome: &Outcome, exists: bool) -> Condition {
    let boots = plan
        .changes
        .iter()
        .any(|c| matches!(c, Change::Act(Act::Boot)));
    let going_on = plan.waits.first().filter(|_| exists && !world.has_booted());
    match outcome.failure.as_ref().or(going_on) {
        Some(failure) => Condition::no(
            conditions::BOOTSTRAP_EXEC_SUCCEEDED,
            failure.reason,
            failure.message.clone(),
        ),
        None if world.is_bastion() => Condition::yes(
            conditions::BOOTSTRAP_EXEC_SUCCEEDED,
            reasons::NOTHING_TO_BOOT,
        ),
        None if world.has_booted() || boots => Condition::yes(
            conditions::BOOTSTRAP_EXEC_SUCCEEDED,
            reasons::BOOTSTRAP_SUCCEEDED,
        ),
        None => Condition::no(conditions::BOOTSTRAP_EXEC_SUCCEEDED, reasons::BOOTING, ""),
    }
}

/// The end of a text, from the beginning of a line.
fn tail(text: &str) -> &str {
    let Some(start) = text.len().checked_sub(CONSOLE_MAX) else {
        return text;
    };
    let start = (start..text.len())
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(text.len());
    let rest = &text[start..];
    rest.split_once('\n').map_or(rest, |(_, lines)| lines)
}

#[cfg(test)]
mod tests;
