//! v1beta1 of [`Cluster`](crate::cluster::Cluster).

use super::part::{
    DELETION, DETACH, DRAIN, HEALTH, IN_FLIGHT, ORDER, STRATEGY, SURGE, UNAVAILABLE,
};
use crate::conversion::moves::{how, inside, same};
use crate::conversion::{How, Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "Cluster",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[
            ("Ready", "Available"),
            ("InfrastructureReady", "InfrastructureReady"),
            ("ControlPlaneReady", "ControlPlaneAvailable"),
            ("ControlPlaneInitialized", "ControlPlaneInitialized"),
        ],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/clusters.txt"),
    v1beta2: crate::cluster::cluster::crd,
};

const MOVES: &[Move] = &[
    how(
        "spec.controlPlaneRef",
        "spec.controlPlaneRef",
        How::Reference,
    ),
    how(
        "spec.infrastructureRef",
        "spec.infrastructureRef",
        How::Reference,
    ),
    same("spec.topology.class", "spec.topology.classRef.name"),
    same(
        "spec.topology.classNamespace",
        "spec.topology.classRef.namespace",
    ),
    inside("spec.topology.controlPlane", CONTROL_PLANE),
    how(
        "spec.topology.workers.machineDeployments",
        "spec.topology.workers.machineDeployments",
        How::Each(MACHINE_DEPLOYMENT),
    ),
    how(
        "spec.topology.workers.machinePools",
        "spec.topology.workers.machinePools",
        How::Each(MACHINE_POOL),
    ),
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same(
        "status.failureReason",
        "status.deprecated.v1beta1.failureReason",
    ),
    same(
        "status.failureMessage",
        "status.deprecated.v1beta1.failureMessage",
    ),
    same(
        "status.infrastructureReady",
        "status.initialization.infrastructureProvisioned",
    ),
    same(
        "status.controlPlaneReady",
        "status.initialization.controlPlaneInitialized",
    ),
    how(
        "status.failureDomains",
        "status.failureDomains",
        How::Domains,
    ),
    same("status.v1beta2.conditions", "status.conditions"),
    same("status.v1beta2.controlPlane", "status.controlPlane"),
    same("status.v1beta2.workers", "status.workers"),
];

const CONTROL_PLANE: &[Move] = &[HEALTH, DRAIN, DETACH, DELETION];

const MACHINE_DEPLOYMENT: &[Move] = &[
    HEALTH,
    IN_FLIGHT,
    ORDER,
    SURGE,
    UNAVAILABLE,
    STRATEGY,
    DRAIN,
    DETACH,
    DELETION,
];

const MACHINE_POOL: &[Move] = &[DRAIN, DETACH, DELETION];
