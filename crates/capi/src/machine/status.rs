//! What a Machine shows. Pure.

use std::time::Duration;

use api::cluster::machine::{conditions, reasons};
use api::cluster::{Machine, MachinePool};
use api::meta::{find, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use runtime::{Outcome, Plan, rfc3339};
use serde_json::{Value, json};

use super::{Act, World};
use crate::condition::{self, Condition, Part, Truth, mirror, summary};
use crate::contract::Contract;
use crate::{kcp, object};

/// How long a deletion may take before that is told.
const SLOW: SignedDuration = SignedDuration::from_mins(15);

pub(super) fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome, now: Timestamp) -> Value {
    let machine = &world.machine;
    let mut status = object::status_of(machine.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(status);
    }
    if is_infrastructure_provisioned(world) {
        status["initialization"]["infrastructureProvisioned"] = json!(true);
    }
    if is_bootstrap_ready(world) {
        status["initialization"]["bootstrapDataSecretCreated"] = json!(true);
    }
    if let Some(infrastructure) = world
        .infrastructure
        .as_deref()
        .map(Contract)
        .filter(Contract::is_provisioned)
    {
        let addresses = infrastructure.addresses();
        if !addresses.is_empty() {
            status["addresses"] = json!(addresses);
        }
        if let Some(domain) = infrastructure.failure_domain() {
            status["failureDomain"] = json!(domain);
        }
    }
    if let Some(node) = world.node() {
        if machine.node_name().is_none() {
            status["nodeRef"] = json!({"name": node.name_any()});
        }
        if let Some(info) = node.status.as_ref().and_then(|s| s.node_info.as_ref()) {
            status["nodeInfo"] = json!(info);
        }
    }
    if let Some(status) = status.as_object_mut() {
        status.remove("certificatesExpiryDate");
    }
    if let Some(at) = certificates_expiry(world) {
        status["certificatesExpiryDate"] = json!(rfc3339(at));
    }
    let phase = phase(world, &status);
    if status["phase"] != phase {
        status["phase"] = json!(phase);
        status["lastUpdated"] = json!(rfc3339(now));
    }
    if machine.is_deleting() {
        deletion_times(&mut status, plan, now);
    }
    status["conditions"] = condition::to_json(&all_conditions(world, plan, outcome, now));
    if let Some(status) = status.as_object_mut() {
        status.remove("observedGeneration");
    }
    status
}

/// When the certificates of a control plane machine end, as the Machine or else its bootstrap config is annotated.
fn certificates_expiry(world: &World) -> Option<Timestamp> {
    let own = object::annotation(&world.machine.metadata, labels::CERTIFICATES_EXPIRY);
    let bootstrap = world.bootstrap.as_deref();
    let config =
        bootstrap.and_then(|b| object::annotation(&b.metadata, labels::CERTIFICATES_EXPIRY));
    // One that is no time does not hide one that is.
    let mut times = [own, config].into_iter().flatten();
    let time = times.find_map(|text| text.parse().ok());
    time.filter(|_| world.machine.is_control_plane())
}

fn is_infrastructure_provisioned(world: &World) -> bool {
    let was = world
        .machine
        .status
        .as_ref()
        .and_then(|s| s.initialization.as_ref());
    was.is_some_and(|i| i.infrastructure_provisioned == Some(true))
        || world
            .infrastructure
            .as_deref()
            .map(Contract)
            .is_some_and(|i| i.is_provisioned() && i.provider_id().is_some())
}

fn is_bootstrap_ready(world: &World) -> bool {
    world.machine.spec.bootstrap.data_secret_name.is_some()
        || world
            .bootstrap
            .as_deref()
            .map(Contract)
            .is_some_and(|b| b.is_data_secret_created())
}

fn phase(world: &World, status: &Value) -> &'static str {
    let is_set = |flag: &str| status["initialization"][flag] == true;
    if world.machine.is_deleting() {
        "Deleting"
    } else if !status["nodeRef"].is_null() && is_set("infrastructureProvisioned") {
        "Running"
    } else if is_set("infrastructureProvisioned") {
        "Provisioned"
    } else if is_set("bootstrapDataSecretCreated") {
        "Provisioning"
    } else {
        "Pending"
    }
}

/// Remembers when each step of deletion began.
fn deletion_times(status: &mut Value, plan: &Plan<Act>, now: Timestamp) {
    let field = match plan.waits.first().map(|w| w.reason) {
        Some(reasons::WAITING_FOR_PRE_DRAIN_HOOK) => "waitForPreDrainHookStartTime",
        Some(reasons::DRAINING_NODE) => "nodeDrainStartTime",
        Some(reasons::WAITING_FOR_VOLUME_DETACH) => "waitForNodeVolumeDetachStartTime",
        Some(reasons::WAITING_FOR_PRE_TERMINATE_HOOK) => "waitForPreTerminateHookStartTime",
        _ => return,
    };
    if status["deletion"][field].is_null() {
        status["deletion"][field] = json!(rfc3339(now));
    }
}

fn all_conditions(
    world: &World,
    plan: &Plan<Act>,
    outcome: &Outcome,
    now: Timestamp,
) -> Vec<Condition> {
    let mut all = vec![
        bootstrap_ready(world),
        infrastructure_ready(world),
        node_ready(world, now),
        node_healthy(world, now),
        up_to_date(world, now),
        deleting(world, plan, outcome),
        condition::paused(false),
    ];
    if world.kubeadm_control_plane.is_some() {
        all.extend(kcp::health::machine_conditions(world, now));
    }
    let ready = ready(world, &all, now);
    let available = available(world, &ready, now);
    all.insert(0, ready);
    all.insert(0, available);
    all
}

fn bootstrap_ready(world: &World) -> Condition {
    let type_ = conditions::BOOTSTRAP_CONFIG_READY;
    match (&world.bootstrap, &world.machine.spec.bootstrap.config_ref) {
        (Some(bootstrap), _) => {
            let is_created = Contract(bootstrap).is_data_secret_created();
            mirror(
                type_,
                bootstrap,
                "Ready",
                (is_created, "status.initialization.dataSecretCreated"),
            )
        }
        (None, None) => Condition::yes(type_, reasons::DATA_SECRET_PROVIDED),
        (None, Some(reference)) => missing(world, type_, &reference.kind, &reference.name),
    }
}

fn infrastructure_ready(world: &World) -> Condition {
    let type_ = conditions::INFRASTRUCTURE_READY;
    let reference = &world.machine.spec.infrastructure_ref;
    match &world.infrastructure {
        Some(infrastructure) => {
            let is_provisioned = Contract(infrastructure).is_provisioned();
            mirror(
                type_,
                infrastructure,
                "Ready",
                (is_provisioned, "status.initialization.provisioned"),
            )
        }
        None if is_infrastructure_provisioned(world) && !world.machine.is_deleting() => {
            Condition::no(
                type_,
                "ObjectDeleted",
                format!(
                    "{} {} has been deleted while the Machine still exists",
                    reference.kind, reference.name
                ),
            )
        }
        None => missing(world, type_, &reference.kind, &reference.name),
    }
}

fn missing(world: &World, type_: &'static str, kind: &str, name: &str) -> Condition {
    if world.machine.is_deleting() {
        Condition::no(
            type_,
            "ObjectDeleted",
            format!("{kind} {name} has been deleted"),
        )
    } else {
        Condition::no(
            type_,
            "ObjectDoesNotExist",
            format!("{kind} {name} does not exist"),
        )
    }
}

/// Why nothing is known of the Node, if so.
fn without_node(world: &World, type_: &'static str, now: Timestamp) -> Option<Condition> {
    let is_initialized = world
        .cluster
        .as_ref()
        .is_some_and(|c| c.is_control_plane_initialized());
    let provider_id = world.machine.spec.provider_id.as_deref();
    let wire = find(world.machine.conditions(), type_);
    if world.node().is_some() {
        return None;
    }
    Some(if !is_initialized {
        Condition::unknown(
            type_,
            "InspectionFailed",
            "Waiting for Cluster control plane to be initialized",
        )
    } else if !world.link.is_up() {
        match wire {
            // What was known last stays, until contact has been lost for good.
            Some(known) if !world.link.is_lost(now) => Condition::from(known),
            _ => Condition::unknown(type_, reasons::CONNECTION_DOWN, world.link.message()),
        }
    } else if let Some(ambiguity) = world.ambiguity() {
        Condition::unknown(type_, "InternalError", ambiguity)
    } else if let Some(name) = world.machine.node_name() {
        if world.machine.is_deleting() {
            Condition::no(
                type_,
                reasons::NODE_DELETED,
                format!("Node {name} has been deleted"),
            )
        } else {
            Condition::no(
                type_,
                reasons::NODE_DELETED,
                format!("Node {name} has been deleted while the Machine still exists"),
            )
        }
    } else if let Some(id) = provider_id {
        Condition::unknown(
            type_,
            "InspectionFailed",
            format!("Waiting for a Node with spec.providerID {id} to exist"),
        )
    } else {
        let kind = &world.machine.spec.infrastructure_ref.kind;
        Condition::unknown(
            type_,
            "InspectionFailed",
            format!("Waiting for {kind} to report spec.providerID"),
        )
    })
}

fn node_ready(world: &World, now: Timestamp) -> Condition {
    let type_ = conditions::NODE_READY;
    if let Some(condition) = without_node(world, type_, now) {
        return condition;
    }
    match node_condition(world.node(), "Ready") {
        Some(("True", _, _)) => Condition::yes(type_, reasons::NODE_READY),
        Some(("False", _, message)) => Condition::no(type_, reasons::NODE_NOT_READY, message),
        Some((_, _, message)) => Condition::unknown(type_, "NodeReadyUnknown", message),
        None => Condition::unknown(
            type_,
            "NodeReadyUnknown",
            "Node Ready condition not yet reported",
        ),
    }
}

fn node_condition<'a>(node: Option<&'a Node>, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = node?.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|c| c.type_ == type_)?;
    let text = |t: &'a Option<String>| t.as_deref().unwrap_or_default();
    Some((&found.status, text(&found.reason), text(&found.message)))
}

fn node_healthy(world: &World, now: Timestamp) -> Condition {
    let type_ = conditions::NODE_HEALTHY;
    if let Some(condition) = without_node(world, type_, now) {
        return condition;
    }
    let (mut bad, mut unknown) = (vec![], vec![]);
    for (name, good) in [
        ("Ready", "True"),
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
    ] {
        match node_condition(world.node(), name) {
            Some((status, _, _)) if status == good => {}
            Some(("Unknown", _, message)) => unknown.push(format!("* Node.{name}: {message}")),
            Some((_, _, message)) => bad.push(format!("* Node.{name}: {message}")),
            None => unknown.push(format!("* Node.{name}: Condition not yet reported")),
        }
    }
    match (bad.is_empty(), unknown.is_empty()) {
        (true, true) => Condition::yes(type_, reasons::NODE_HEALTHY),
        (true, false) => Condition::unknown(type_, "NodeHealthUnknown", unknown.join("\n")),
        (false, _) => {
            bad.append(&mut unknown);
            Condition::no(type_, reasons::NODE_NOT_HEALTHY, bad.join("\n"))
        }
    }
}

/// Whether the machine is what its owner wants, as the owner judges it.
fn up_to_date(world: &World, now: Timestamp) -> Condition {
    let type_ = conditions::UP_TO_DATE;
    let machine = &world.machine;
    let mut differences = match (&world.kubeadm_control_plane, &world.set, &world.deployment) {
        (Some(control_plane), _, _) => {
            kcp::rollout::differences(control_plane, machine, world.infrastructure.as_deref(), now)
        }
        (None, Some(set), Some(deployment)) => {
            crate::machinedeployment::outdated(deployment, set, now)
        }
        (None, Some(_), None) => vec![],
        (None, None, _) => match &world.pool {
            Some(pool) => of_pool(machine, pool),
            None => return Condition::yes(type_, "UpToDate"),
        },
    };
    if let (Some(wanted), Some(have)) = (&machine.spec.version, kubelet_version(world))
        && wanted != have
        && differences.is_empty()
    {
        differences.push(format!("Node version {have}, {wanted} required"));
    }
    if differences.is_empty() {
        return Condition::yes(type_, "UpToDate");
    }
    let message: Vec<_> = differences.iter().map(|d| format!("* {d}")).collect();
    Condition::no(type_, "NotUpToDate", message.join("\n"))
}

/// What a machine of a pool has otherwise than its pool wants: the version is what its Node runs.
fn of_pool(machine: &Machine, pool: &MachinePool) -> Vec<String> {
    match (&machine.spec.version, &pool.spec.template.spec.version) {
        (Some(have), Some(wanted)) if have != wanted => {
            vec![format!("Version {have}, {wanted} required")]
        }
        _ => vec![],
    }
}

fn kubelet_version(world: &World) -> Option<&str> {
    Some(
        &world
            .node()?
            .status
            .as_ref()?
            .node_info
            .as_ref()?
            .kubelet_version,
    )
}

fn deleting(world: &World, plan: &Plan<Act>, outcome: &Outcome) -> Condition {
    let type_ = conditions::DELETING;
    if !world.machine.is_deleting() {
        return Condition::no(type_, "NotDeleting", "");
    }
    match (plan.waits.first(), &outcome.failure) {
        (Some(wait), Some(failure)) if wait.reason == failure.reason => {
            Condition::new(type_, Truth::True, wait.reason, failure.message.clone())
        }
        (Some(wait), Some(failure)) => Condition::new(
            type_,
            Truth::True,
            wait.reason,
            format!("{}\n* {}", wait.message, failure.message),
        ),
        (Some(wait), None) => Condition::new(type_, Truth::True, wait.reason, wait.message.clone()),
        (None, _) => Condition::new(
            type_,
            Truth::True,
            "DeletionCompleted",
            "Deletion completed",
        ),
    }
}

/// The deletion as `Ready` tells it: when it takes long, that and what is likely to be the reason.
fn slow_deletion(world: &World, deleting: &Condition, now: Timestamp) -> Option<Condition> {
    let started = world.machine.metadata.deletion_timestamp.as_ref()?.0;
    if now < started + SLOW {
        return None;
    }
    let causes = [
        ("disruption budget", "PodDisruptionBudgets"),
        ("deletionTimestamp set, but still", "Pods not terminating"),
        ("failed to evict Pod", "Pod eviction errors"),
        ("waiting for completion", "Pods not completed yet"),
    ];
    let causes: Vec<_> = causes
        .iter()
        .filter(|(sign, _)| deleting.message.contains(sign))
        .map(|(_, cause)| *cause)
        .collect();
    let likely = match causes.as_slice() {
        [] => String::new(),
        causes => format!(", delay likely due to {}", causes.join(", ")),
    };
    let message = format!(
        "Machine deletion in progress since more than 15m, stage: {}{likely}",
        deleting.reason
    );
    Some(Condition {
        message,
        ..deleting.clone()
    })
}

/// When a slow deletion is told, if that is to come.
pub(super) fn slow_at(world: &World) -> Option<Timestamp> {
    Some(world.machine.metadata.deletion_timestamp.as_ref()?.0 + SLOW)
}

fn ready(world: &World, all: &[Condition], now: Timestamp) -> Condition {
    let slow = all.iter().find(|c| c.type_ == conditions::DELETING);
    let slow = slow.and_then(|deleting| slow_deletion(world, deleting, now));
    let find_own = |type_: &str| {
        let own = all.iter().find(|c| c.type_ == type_);
        slow.as_ref().filter(|slow| slow.type_ == type_).or(own)
    };
    let wire = world.machine.conditions();
    let health = find(wire, conditions::HEALTH_CHECK_SUCCEEDED).map(Condition::from);
    let mut parts: Vec<_> = [
        (conditions::DELETING, true),
        (conditions::BOOTSTRAP_CONFIG_READY, false),
        (conditions::INFRASTRUCTURE_READY, false),
        (conditions::NODE_HEALTHY, false),
    ]
    .into_iter()
    .map(|(type_, is_negative)| Part {
        type_,
        condition: find_own(type_),
        is_negative,
        is_optional: false,
    })
    .collect();
    parts.push(Part {
        type_: conditions::HEALTH_CHECK_SUCCEEDED,
        condition: health.as_ref(),
        is_negative: false,
        is_optional: true,
    });
    let gates = world
        .machine
        .spec
        .readiness_gates
        .as_deref()
        .unwrap_or_default();
    let others: Vec<_> = gates
        .iter()
        .map(|g| find(wire, &g.condition_type).map(Condition::from))
        .collect();
    for (gate, other) in gates.iter().zip(&others) {
        parts.push(Part {
            type_: &gate.condition_type,
            condition: find_own(&gate.condition_type).or(other.as_ref()),
            is_negative: gate.polarity.as_deref() == Some("Negative"),
            is_optional: false,
        });
    }
    summary(conditions::READY, &parts)
}

/// Since when the machine is ready, if it was so before.
fn ready_since(world: &World, now: Timestamp) -> Timestamp {
    let wire = find(world.machine.conditions(), conditions::READY).filter(|c| c.status == "True");
    wire.map_or(now, |c| c.last_transition_time.0)
}

fn min_ready(world: &World) -> SignedDuration {
    SignedDuration::from_secs(i64::from(
        world.machine.spec.min_ready_seconds.unwrap_or_default(),
    ))
}

fn available(world: &World, ready: &Condition, now: Timestamp) -> Condition {
    let type_ = conditions::AVAILABLE;
    if !ready.is_true() {
        return Condition::no(type_, "NotReady", "");
    }
    if now >= ready_since(world, now) + min_ready(world) {
        return Condition::yes(type_, type_);
    }
    Condition::no(type_, reasons::WAITING_FOR_MIN_READY_SECONDS, "")
}

/// When to look again because the machine will then have been ready for long enough. One that isn't may be by the end of
/// this very pass, whose own status does not wake it.
pub(super) fn until_available(world: &World, now: Timestamp) -> Option<Duration> {
    let wire = find(world.machine.conditions(), conditions::READY).filter(|c| c.status == "True");
    let since = wire.map_or(now, |wire| wire.last_transition_time.0);
    let left = since + min_ready(world);
    Duration::try_from(left.duration_since(now))
        .ok()
        .filter(|d| !d.is_zero())
}
