//! What to do about a KubeadmControlPlane. Pure. One change to the machines at a time.

use std::time::Duration;

use api::cluster::{Machine, machine};
use api::controlplane::kubeadm_control_plane::reasons;
use api::meta::{find, labels};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{Change, ObjectRef, Plan};
use serde_json::json;

use super::{Act, World, coredns, encryption, health, machines, remediation, rollout};
use crate::condition::named;
use crate::kubeconfig::{self, Server};
use crate::pki::Purpose;
use crate::{departing, etcd, object, pause};

/// How often a control plane that waits for its machines is looked at, beside on changes.
pub(super) const AGAIN: Duration = Duration::from_secs(15);

/// When what follows from a change of etcd's members is looked at.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn plan(world: &World, now: Timestamp) -> Plan<Act> {
    if world.is_paused() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    if world.control_plane.metadata.deletion_timestamp.is_some() {
        delete(world, &mut plan);
        return plan;
    }
    let Some(cluster) = world.cluster.as_deref() else {
        plan.wait(
            "WaitingForOwner",
            "No Cluster refers to this control plane yet",
        );
        return plan;
    };
    if let Some(problem) = machines::adoption_problem(world) {
        plan.wait("AdoptionFailed", problem);
        return plan;
    }
    if let Some(template) = &world.template {
        let owner = object::owner_ref(cluster, false);
        let labels = object::labels([(labels::CLUSTER_NAME, &cluster.name_any())]);
        plan.changes.extend(object::adopt(
            ObjectRef::of(template),
            &template.metadata,
            &owner,
            &labels,
        ));
    }
    if !cluster.is_infrastructure_provisioned() {
        plan.wait(
            "WaitingForClusterInfrastructureReady",
            "Waiting for the cluster's infrastructure",
        );
        return plan;
    }
    if certificates(world, &mut plan) {
        encryption_key(world, &mut plan);
    }
    // What runs goes on: only new machines need what is missing.
    if !world.is_certified() && !world.is_initialized() && world.machines.is_empty() {
        return plan;
    }
    if cluster.endpoint().is_none() {
        plan.wait(
            reasons::WAITING_FOR_CONTROL_PLANE_ENDPOINT,
            "Waiting for the cluster's control plane endpoint",
        );
        return plan;
    }
    if needs_kubeconfig(world, now) {
        plan.changes.push(Change::Act(Act::WriteKubeconfig));
    }
    for machine in &world.machines {
        let wanted = machines::wanted(world, &machine.name_any(), Some(machine), None, None);
        if machine.is_deleting() {
            plan.changes.extend(departing::follow(machine, &wanted));
        } else {
            plan.changes.push(Change::Apply(Box::new(wanted)));
            plan.changes.extend(machines::part_changes(world, machine));
        }
    }
    plan.changes.extend(machines::complete(world));
    release(world, &mut plan);
    if remove_stray(world, &mut plan) {
        return plan;
    }
    if !remediation::plan(world, now, &mut plan) {
        scale(world, now, &mut plan);
    }
    for at in rollout::times(&world.control_plane, &world.machines) {
        plan.again_at(at, now);
    }
    plan
}

impl World {
    /// Certificate authorities and keys that machines need and that aren't there.
    fn missing_authorities(&self) -> Vec<Purpose> {
        let mut missing = self.authorities.missing();
        if !self.is_etcd_stacked() {
            missing.retain(|p| *p != Purpose::Etcd);
        }
        missing
    }

    /// Whether all is there that a new machine gets.
    pub(super) fn is_certified(&self) -> bool {
        let spec = self.control_plane.spec.kubeadm_config_spec.as_ref();
        let cluster = self.cluster_name();
        self.authorities.problems(&cluster).is_empty()
            && self.missing_authorities().is_empty()
            && (self.has_encryption_key || !encryption::is_wanted(spec, &cluster))
    }
}

/// Certificates are made before the cluster is set up, and never again. Returns whether all are there.
fn certificates(world: &World, plan: &mut Plan<Act>) -> bool {
    let problems = world.authorities.problems(&world.cluster_name());
    let missing = world.missing_authorities();
    if problems.is_empty() && missing.is_empty() {
        return true;
    }
    let names: Vec<_> = missing
        .iter()
        .map(|p| p.secret_name(&world.cluster_name()))
        .collect();
    if !problems.is_empty() {
        plan.wait(reasons::CERTIFICATES_NOT_AVAILABLE, problems.join("; "));
    } else if world.is_initialized() || !world.machines.is_empty() {
        plan.wait(
            reasons::CERTIFICATES_NOT_AVAILABLE,
            format!(
                "Secrets {} are missing; new ones would not fit the running cluster",
                names.join(", ")
            ),
        );
    } else {
        plan.changes.extend(
            missing
                .into_iter()
                .map(|p| Change::Act(Act::GenerateCertificate(p))),
        );
        plan.wait(
            reasons::CERTIFICATES_NOT_AVAILABLE,
            format!("Making Secrets {}", names.join(", ")),
        );
    }
    false
}

/// The key for the cluster's Secrets is made before a machine needs it, and never again.
fn encryption_key(world: &World, plan: &mut Plan<Act>) {
    if world.is_certified() {
        return;
    }
    let cluster = world.cluster_name();
    let name = encryption::secret_name(&cluster);
    // One that was switched on later is made for the machines to come.
    if world.parts.values().any(|p| p.has_encryption_key) {
        plan.wait(
            reasons::CERTIFICATES_NOT_AVAILABLE,
            format!(
                "Secret {name} is missing; what is in etcd can be read with no other key: restore it"
            ),
        );
    } else {
        plan.changes.push(Change::Act(Act::GenerateEncryptionKey));
        plan.wait(
            reasons::CERTIFICATES_NOT_AVAILABLE,
            format!("Making Secret {name}"),
        );
    }
}

/// Whether the kubeconfig must be written, and can: it is signed by the cluster's authority.
fn needs_kubeconfig(world: &World, now: Timestamp) -> bool {
    let has_authority = world.authorities.pair(Purpose::Cluster).is_some();
    let is_due = |server: Server| kubeconfig::is_due(world.kubeconfig.as_ref(), &server, now);
    has_authority && world.server().is_some_and(is_due)
}

/// Lets the oldest machine that is being deleted go, once its etcd member is out.
fn release(world: &World, plan: &mut Plan<Act>) {
    let mut deleting: Vec<_> = world.machines.iter().filter(|m| m.is_deleting()).collect();
    deleting.sort_by_key(|m| m.metadata.deletion_timestamp.clone().map(|t| t.0));
    let Some(machine) = deleting.first() else {
        return;
    };
    if !has_hook(machine) || !is_at_hook(machine) {
        return;
    }
    let is_last = world.machines.len() == 1;
    let members = world.workload.as_ref().and_then(|w| w.etcd.as_ref());
    let member = machine
        .node_name()
        .filter(|_| world.is_etcd_stacked() && !is_last);
    let (Some(node), Some(members)) = (member, members) else {
        if member.is_none() {
            plan.changes.push(drop_hook(machine));
        } else {
            plan.wait(
                reasons::CONTROL_PLANE_UNHEALTHY,
                "Waiting for the list of etcd members to be readable",
            );
        }
        return;
    };
    if !members.0.contains_key(node) {
        plan.changes.push(drop_hook(machine));
        return;
    }
    let voters = members.voters();
    if etcd::may_remove(node, &voters, &health::healthy_members(&world.machines)) {
        plan.changes
            .push(Change::Act(Act::RemoveEtcdMember(node.to_owned())));
        plan.wait(
            reasons::WAITING_FOR_MACHINE_DELETION,
            format!("Removing etcd member {node}"),
        );
    } else {
        plan.wait(
            reasons::CONTROL_PLANE_UNHEALTHY,
            format!("Removing etcd member {node} would leave no healthy majority"),
        );
    }
}

fn has_hook(machine: &Machine) -> bool {
    object::annotation(&machine.metadata, labels::KCP_CLEANUP_HOOK).is_some()
}

/// Whether deletion has come to the pre-terminate hooks, and ours is the only one.
fn is_at_hook(machine: &Machine) -> bool {
    let deleting = find(machine.conditions(), machine::conditions::DELETING);
    let is_waiting =
        deleting.is_some_and(|c| c.reason == machine::reasons::WAITING_FOR_PRE_TERMINATE_HOOK);
    let hooks = machine
        .annotations()
        .keys()
        .filter(|k| k.starts_with(labels::PRE_TERMINATE_HOOK))
        .count();
    is_waiting && hooks == 1
}

fn drop_hook(machine: &Machine) -> Change<Act> {
    Change::Patch {
        target: object::target(machine),
        subresource: "",
        patch: json!({"metadata": {"annotations": {labels::KCP_CLEANUP_HOOK: null}}}),
    }
}

/// Takes a member out of etcd that no machine stands for, whose vote would count for ever. Returns whether one is on its way out.
fn remove_stray(world: &World, plan: &mut Plan<Act>) -> bool {
    let Some((stray, is_learner)) = health::strays(world).first().copied() else {
        return false;
    };
    let members = world.workload.as_ref().and_then(|w| w.etcd.as_ref());
    let voters = members.map(etcd::Members::voters).unwrap_or_default();
    let healthy = health::healthy_members(&world.machines);
    if is_learner || etcd::may_remove(stray, &voters, &healthy) {
        plan.changes
            .push(Change::Act(Act::RemoveEtcdMember(stray.to_owned())));
        plan.wait(
            reasons::CONTROL_PLANE_UNHEALTHY,
            format!("Removing etcd member {stray}, whose Machine is gone"),
        );
        plan.again_in = Some(SOON);
        return true;
    }
    plan.wait(
        reasons::CONTROL_PLANE_UNHEALTHY,
        format!(
            "etcd member {stray} has no Machine, and removing it would leave no healthy majority"
        ),
    );
    false
}

/// Replaces outdated machines, then brings their number to what is wanted.
fn scale(world: &World, now: Timestamp, plan: &mut Plan<Act>) {
    let have = i32::try_from(world.machines.len()).unwrap_or(i32::MAX);
    let wanted = world.control_plane.replicas();
    let is_outdated = |m: &Machine| !m.is_deleting() && !world.differences(m, now).is_empty();
    let has_outdated = world.machines.iter().any(|m| is_outdated(m));
    let surge = if has_outdated {
        world.control_plane.max_surge()
    } else {
        0
    };
    // Nothing begins that new machines would have to end.
    if !world.is_certified() && (has_outdated || have < wanted) {
        return;
    }
    if have == 0 {
        grow(world, now, plan);
        return;
    }
    if has_outdated || have != wanted {
        let leaving = (have >= wanted + surge)
            .then(|| machines::leaving(world, now))
            .flatten();
        // What takes the place of a machine that is gone makes things better, also if another one is not well.
        let is_replacing = have < wanted && remediation::in_progress(world).is_some();
        let problem = if is_replacing {
            deletion(world).or_else(|| without_help(world))
        } else {
            preflight(world, leaving)
        };
        if let Some(problem) = problem {
            plan.wait(reasons::CONTROL_PLANE_UNHEALTHY, problem);
            plan.again_in = Some(AGAIN);
            return;
        }
        // Machines join by the record: what has changed must be in it before the first of them.
        let is_joined_by = has_outdated || have < wanted;
        if is_joined_by && world.must_write_configuration() {
            plan.changes
                .push(Change::Act(Act::WriteClusterConfiguration));
        }
        match leaving {
            Some(machine) => shrink(world, machine, plan),
            None => grow(world, now, plan),
        }
        return;
    }
    follow_up(world, plan);
}

/// The deletion that is waited for.
fn deletion(world: &World) -> Option<String> {
    let deleting: Vec<_> = world
        .machines
        .iter()
        .filter(|m| m.is_deleting())
        .map(|m| m.name_any())
        .collect();
    let names: Vec<_> = deleting.iter().map(String::as_str).collect();
    let waits = format!("Waiting for the deletion of {}", named("Machine", &names));
    (!names.is_empty()).then_some(waits)
}

/// Why not even a replacement may come now: no machine is there that it could join.
fn without_help(world: &World) -> Option<String> {
    let is_stacked = world.is_etcd_stacked();
    let mut machines = world.machines.iter();
    let is_helpful = machines.any(|m| health::is_healthy(m, is_stacked));
    (!is_helpful).then(|| "No machine of the control plane is healthy".to_owned())
}

/// Why no machine may come or go now; of `leaving`, the machine that would go, nothing is asked.
fn preflight(world: &World, leaving: Option<&Machine>) -> Option<String> {
    if let Some(waits) = deletion(world) {
        return Some(waits);
    }
    if !world.is_initialized() {
        return Some("Waiting for the first machine to set up the cluster".to_owned());
    }
    // What the machines say of themselves may be old.
    if !world.link.is_up() {
        return Some(world.link.message());
    }
    let is_stacked = world.is_etcd_stacked();
    let problems: Vec<_> = world
        .machines
        .iter()
        .filter(|m| leaving.is_none_or(|leaving| leaving.name_any() != m.name_any()))
        .filter_map(|m| {
            let name = m.name_any();
            if m.node_name().is_none() {
                return Some(format!("* Machine {name}: no node yet"));
            }
            let gates = health::unhealthy_gates(m, is_stacked);
            (!gates.is_empty()).then(|| format!("* Machine {name}: {} not true", gates.join(", ")))
        })
        .collect();
    (!problems.is_empty()).then(|| problems.join("\n"))
}

fn grow(world: &World, now: Timestamp, plan: &mut Plan<Act>) {
    if world.template.is_none() {
        let reference = &world
            .control_plane
            .spec
            .machine_template
            .spec
            .infrastructure_ref;
        plan.wait(
            "ScalingUp",
            format!("{} {} does not exist", reference.kind, reference.name),
        );
        return;
    }
    let members = world.workload.as_ref().and_then(|w| w.etcd.as_ref());
    if let Some(members) = members
        && !etcd::may_add(&members.voters(), &health::healthy_members(&world.machines))
    {
        plan.wait(
            reasons::CONTROL_PLANE_UNHEALTHY,
            "Another etcd member could cost the majority",
        );
        return;
    }
    let (name, change) = machines::create(world, now);
    plan.changes.push(change);
    plan.note("SuccessfulCreate", format!("Created machine {name}"));
    if let Some(reason) = machines::rollout_reason(world, now) {
        plan.note(
            "RolloutStarted",
            format!("Machine {name} takes the place of another one: {reason}"),
        );
    }
}

fn shrink(world: &World, machine: &Machine, plan: &mut Plan<Act>) {
    let members = world.workload.as_ref().and_then(|w| w.etcd.as_ref());
    if world.is_etcd_stacked()
        && let (Some(node), Some(members)) = (machine.node_name(), members)
        && !etcd::may_remove(
            node,
            &members.voters(),
            &health::healthy_members(&world.machines),
        )
    {
        plan.wait(
            reasons::CONTROL_PLANE_UNHEALTHY,
            format!(
                "Removing machine {} would leave etcd no healthy majority",
                machine.name_any()
            ),
        );
        return;
    }
    plan.changes.push(object::delete(machine));
    plan.note(
        "SuccessfulDelete",
        format!("Deleted machine {}", machine.name_any()),
    );
}

/// What follows when all machines are what is wanted: kube-proxy goes with the version, CoreDNS with what is said of it.
fn follow_up(world: &World, plan: &mut Plan<Act>) {
    kube_proxy(world, plan);
    coredns::follow(world, plan);
}

fn kube_proxy(world: &World, plan: &mut Plan<Act>) {
    let is_skipped =
        object::annotation(&world.control_plane.metadata, labels::SKIP_KUBE_PROXY).is_some();
    let Some(image) = world
        .workload
        .as_ref()
        .and_then(|w| w.kube_proxy_image.as_deref())
    else {
        return;
    };
    if is_skipped {
        return;
    }
    let tag = world.control_plane.spec.version.replace('+', "_");
    let config = world.control_plane.spec.kubeadm_config_spec.as_ref();
    let repository = config.and_then(|c| {
        c.cluster_configuration
            .as_ref()?
            .image_repository
            .as_deref()
    });
    let name = image.rsplit_once(':').map_or(image, |(name, _)| name);
    let wanted = match repository {
        Some(repository) => format!("{repository}/kube-proxy:{tag}"),
        None => format!("{name}:{tag}"),
    };
    if image != wanted {
        plan.changes
            .push(Change::Act(Act::SetKubeProxyImage(wanted)));
    }
}

/// The workers go first; then all machines at once, and etcd with them.
fn delete(world: &World, plan: &mut Plan<Act>) {
    let left: Vec<_> = [("Machine", &world.workers), ("MachinePool", &world.pools)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| named(kind, &names.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    if !left.is_empty() {
        let message = format!("Waiting for the deletion of {}", left.join(" and "));
        plan.wait(reasons::WAITING_FOR_WORKERS_DELETION, message);
        return;
    }
    for machine in &world.machines {
        if !machine.is_deleting() {
            plan.changes.push(object::delete(&**machine));
        } else if has_hook(machine) {
            plan.changes.push(drop_hook(machine));
        }
    }
    if world.machines.is_empty() {
        plan.is_finished = true;
    } else {
        let names: Vec<_> = world.machines.iter().map(|m| m.name_any()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        plan.wait(
            reasons::WAITING_FOR_MACHINE_DELETION,
            format!("Deleting {}", named("Machine", &names)),
        );
    }
}
