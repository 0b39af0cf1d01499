//! What to do about a KubeadmConfig. Pure.

use std::collections::BTreeSet;

use api::bootstrap::KubeadmConfig;
use api::bootstrap::kubeadm_config::reasons;
use api::cluster::{Cluster, Machine};
use api::meta::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use runtime::{Change, Plan};
use serde_json::{Value, json};

use super::contents::{self, Role};
use super::{Act, World, token};
use crate::pki::{self, Purpose};
use crate::{object, pause, secret};

/// The ConfigMap that says which machine initializes the cluster.
#[must_use]
pub(super) fn lock_name(cluster: &str) -> String {
    format!("{cluster}-lock")
}

/// The machine that has the lock.
#[must_use]
pub(super) fn holder(lock: &ConfigMap) -> Option<String> {
    let information: Value =
        serde_json::from_str(lock.data.as_ref()?.get("lock-information")?).ok()?;
    Some(information["machineName"].as_str()?.to_owned())
}

/// Secrets that files and passwords come from.
#[must_use]
pub(super) fn secret_names(config: &KubeadmConfig) -> BTreeSet<String> {
    let files = config
        .spec
        .files
        .iter()
        .flatten()
        .filter_map(|f| f.content_from.as_ref());
    let users = config
        .spec
        .users
        .iter()
        .flatten()
        .filter_map(|u| u.passwd_from.as_ref());
    files
        .chain(users)
        .map(|from| from.secret.name.clone())
        .collect()
}

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.config.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let (Some(machine), Some(cluster)) = (world.machine.as_deref(), world.cluster.as_deref())
    else {
        plan.wait(
            reasons::NOT_AVAILABLE,
            "Waiting for a Machine or MachinePool of an existing Cluster to own this config",
        );
        return plan;
    };
    let is_initialized = cluster.is_control_plane_initialized();
    if is_initialized {
        plan.changes.extend(unlock(world, machine));
    }
    if world.is_for_pool {
        plan.again_in = Some(token::CHECK);
        if machine.is_deleting() {
            return plan;
        }
        // It may have been there and is gone, or the user has given one.
        if token::of(&world.config).is_some() && world.link.is_up() && !world.is_token_there {
            plan.changes.push(Change::Act(Act::ProlongToken));
        }
    } else if world.is_done() {
        plan.changes.extend(own_data(world, cluster));
        prolong(world, machine, now, &mut plan);
        return plan;
    }
    if !cluster.is_infrastructure_provisioned() {
        plan.wait(
            reasons::NOT_AVAILABLE,
            "Waiting for Cluster status.initialization.infrastructureProvisioned to be true",
        );
        return plan;
    }
    let role = match (is_initialized, machine.is_control_plane()) {
        (true, true) => Role::JoinControlPlane,
        (true, false) => Role::JoinWorker,
        (false, true) => Role::Init,
        (false, false) => {
            plan.wait(
                reasons::NOT_AVAILABLE,
                "Waiting for Cluster control plane to be initialized",
            );
            return plan;
        }
    };
    // A machine that cannot boot keeps no other one from it: it gives the lock back, and takes it only when its data is complete.
    let release = (role == Role::Init)
        .then(|| unlock(world, machine))
        .flatten();
    if let Some(problem) = missing_certificates(world, role) {
        if role == Role::Init && cluster.spec.control_plane_ref.is_none() {
            plan.changes.extend(certificates(world));
        } else {
            plan.changes.extend(release);
        }
        plan.wait(reasons::NOT_AVAILABLE, problem);
        return plan;
    }
    if role != Role::Init && !discover(world, cluster, now, &mut plan) {
        return plan;
    }
    let (document, format) = match contents::render(world, machine, cluster, role) {
        Ok(rendered) => rendered,
        Err(problem) => {
            plan.changes.extend(release);
            plan.wait(reasons::READING_FAILED, problem);
            return plan;
        }
    };
    if role == Role::Init && !lock(world, machine, cluster, &mut plan) {
        return plan;
    }
    plan.changes
        .push(data_secret(world, cluster, document, format));
    plan
}

/// What makes the certificates that are missing, where nobody else does.
fn certificates(world: &World) -> impl Iterator<Item = Change<Act>> {
    let is_external = contents::is_etcd_external(&world.config.spec);
    let missing = world.authorities.missing().into_iter();
    missing
        .filter(move |p| !(is_external && *p == Purpose::Etcd))
        .map(|p| Change::Act(Act::GenerateCertificate(p)))
}

/// The Secret that the machine boots from.
fn data_secret(world: &World, cluster: &Cluster, document: String, format: &str) -> Change<Act> {
    let secret = secret::build(
        &world.config.namespace().unwrap_or_default(),
        &world.config.name_any(),
        &cluster.name_any(),
        object::owner_ref(&world.config, true),
        [("value", document), ("format", format.to_owned())],
    );
    Change::Apply(Box::new(object::dynamic(&secret)))
}

impl World {
    /// Whether the machine has its data, from here or from wherever it came.
    pub(super) fn is_done(&self) -> bool {
        // A pool may have its data from another config, which this one takes the place of.
        let machine = self.machine.as_ref().filter(|_| !self.is_for_pool);
        self.config.is_data_secret_created()
            || machine.is_some_and(|m| m.spec.bootstrap.data_secret_name.is_some())
    }
}

/// Takes over the Secret that an earlier life of this config wrote: objects that were moved or restored have another uid.
fn own_data(world: &World, cluster: &Cluster) -> Option<Change<Act>> {
    let secret = world.data_secret.as_deref()?;
    let owner = object::owner_ref(&world.config, true);
    let mut metadata = secret.metadata.clone();
    let is_former =
        |o: &OwnerReference| o.kind == owner.kind && o.name == owner.name && o.uid != owner.uid;
    let owners = metadata.owner_references.get_or_insert_default();
    owners.retain(|o| !is_former(o));
    if object::controller_of(&metadata).is_some_and(|o| o.uid != owner.uid) {
        return None;
    }
    let labels = object::labels([(labels::CLUSTER_NAME, &cluster.name_any())]);
    object::adopt(object::target(secret), &metadata, &owner, &labels)
}

/// The token of a machine that hasn't joined yet stays valid.
fn prolong(world: &World, machine: &Machine, now: Timestamp, plan: &mut Plan<Act>) {
    if token::of(&world.config).is_none() || machine.node_name().is_some() || machine.is_deleting()
    {
        return;
    }
    plan.again_in = Some(token::CHECK);
    if world.link.is_up() && token::is_due(world.token_expires, now) {
        plan.changes.push(Change::Act(Act::ProlongToken));
    }
}

/// Lets only one machine initialize the cluster. Returns whether it is this one.
fn lock(world: &World, machine: &Machine, cluster: &Cluster, plan: &mut Plan<Act>) -> bool {
    let Some(lock) = &world.lock else {
        let information = json!({"machineName": machine.name_any()}).to_string();
        let lock = ConfigMap {
            metadata: ObjectMeta {
                name: Some(lock_name(&cluster.name_any())),
                namespace: cluster.metadata.namespace.clone(),
                labels: Some(object::labels([(
                    labels::CLUSTER_NAME,
                    &cluster.name_any(),
                )])),
                owner_references: Some(vec![object::owner_ref(cluster, false)]),
                ..ObjectMeta::default()
            },
            data: Some(object::labels([("lock-information", &information)])),
            ..ConfigMap::default()
        };
        plan.changes
            .push(Change::Create(Box::new(object::dynamic(&lock))));
        plan.wait(
            reasons::NOT_AVAILABLE,
            "Taking the lock of the machine that initializes the cluster",
        );
        return false;
    };
    let holder = holder(lock);
    if holder.as_deref() == Some(&*machine.name_any()) {
        return true;
    }
    if !world.is_lock_held {
        plan.changes.push(object::delete(&**lock));
    }
    let holder = holder.unwrap_or_else(|| "unknown".to_owned());
    plan.wait(
        reasons::NOT_AVAILABLE,
        format!("Waiting for Machine {holder} to initialize the control plane"),
    );
    false
}

fn unlock(world: &World, machine: &Machine) -> Option<Change<Act>> {
    let lock = world.lock.as_deref()?;
    (holder(lock)? == machine.name_any()).then(|| object::delete(lock))
}

fn missing_certificates(world: &World, role: Role) -> Option<String> {
    let cluster = world
        .cluster
        .as_ref()
        .map(|c| c.name_any())
        .unwrap_or_default();
    let is_etcd_external = contents::is_etcd_external(&world.config.spec);
    let needed: &[Purpose] = match role {
        Role::JoinWorker => &[Purpose::Cluster],
        Role::Init | Role::JoinControlPlane => &Purpose::ALL,
    };
    let missing: Vec<_> = needed
        .iter()
        .filter(|p| !(is_etcd_external && **p == Purpose::Etcd))
        .filter(|p| world.authorities.pair(**p).is_none())
        .map(|p| p.secret_name(&cluster))
        .collect();
    (!missing.is_empty()).then(|| format!("Waiting for Secrets {}", missing.join(", ")))
}

/// How the machine finds the cluster: as the user says, or by a token that is made now. Returns whether the config says it.
fn discover(world: &World, cluster: &Cluster, now: Timestamp, plan: &mut Plan<Act>) -> bool {
    let join = world.config.spec.join_configuration.as_ref();
    let discovery = join.and_then(|j| j.discovery.as_ref());
    if discovery.is_some_and(|d| d.file.is_some()) {
        return true;
    }
    let said = discovery.and_then(|d| d.bootstrap_token.as_ref());
    // One without an end is never used up.
    let is_half_over = world
        .token_expires
        .is_some_and(|at| token::is_half_over(at, now));
    let is_used_up = world.is_for_pool && world.link.is_up() && is_half_over;
    let has_token = token::of(&world.config).is_some() && !is_used_up;
    let wants_endpoint = said.is_none_or(|t| t.api_server_endpoint.is_none());
    let wants_hashes = said.is_none_or(|t| {
        t.ca_cert_hashes.as_ref().is_none_or(Vec::is_empty)
            && t.unsafe_skip_ca_verification != Some(true)
    });
    if has_token && !wants_endpoint && !wants_hashes {
        return true;
    }
    let Some(address) = cluster.address() else {
        plan.wait(
            reasons::NOT_AVAILABLE,
            "Waiting for Cluster spec.controlPlaneEndpoint to be set",
        );
        return false;
    };
    let ca = world
        .authorities
        .pair(Purpose::Cluster)
        .map(|ca| pki::public_key_hash(&ca.cert));
    match ca {
        Some(Ok(ca_cert_hash)) if has_token || world.link.is_up() => {
            // What the user says stays.
            let mut missing = json!({});
            if wants_endpoint {
                missing["apiServerEndpoint"] = json!(address);
            }
            if wants_hashes {
                missing["caCertHashes"] = json!([ca_cert_hash]);
            }
            if has_token {
                let spec = json!({"joinConfiguration": {"discovery": {"bootstrapToken": missing}}});
                plan.changes.push(object::patch_spec(&world.config, &spec));
                plan.wait(reasons::NOT_AVAILABLE, "Completing the discovery");
            } else {
                plan.changes.push(Change::Act(Act::MakeToken { missing }));
                plan.wait(reasons::NOT_AVAILABLE, "Making a bootstrap token");
            }
        }
        Some(Ok(_)) | None => plan.wait(reasons::NOT_AVAILABLE, world.link.message()),
        Some(Err(error)) => {
            let name = Purpose::Cluster.secret_name(&cluster.name_any());
            plan.wait(reasons::NOT_AVAILABLE, format!("Secret {name}: {error}"));
        }
    }
    false
}
