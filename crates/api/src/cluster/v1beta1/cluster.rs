//! v1beta1 of [`Cluster`](crate::cluster::Cluster).

use super::health;
use crate::conversion::moves::{how, inside, inside_of, same, seconds};
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

const CONTROL_PLANE: &[Move] = &[
    inside_of("machineHealthCheck", "healthCheck", health::CHECK),
    seconds("nodeDrainTimeout", "deletion.nodeDrainTimeoutSeconds"),
    seconds(
        "nodeVolumeDetachTimeout",
        "deletion.nodeVolumeDetachTimeoutSeconds",
    ),
    seconds("nodeDeletionTimeout", "deletion.nodeDeletionTimeoutSeconds"),
];

const MACHINE_DEPLOYMENT: &[Move] = &[
    inside_of("machineHealthCheck", "healthCheck", health::CHECK),
    same(
        "strategy.remediation.maxInFlight",
        "healthCheck.remediation.maxInFlight",
    ),
    same("strategy.rollingUpdate.deletePolicy", "deletion.order"),
    same(
        "strategy.rollingUpdate.maxSurge",
        "rollout.strategy.rollingUpdate.maxSurge",
    ),
    same(
        "strategy.rollingUpdate.maxUnavailable",
        "rollout.strategy.rollingUpdate.maxUnavailable",
    ),
    how(
        "strategy.type",
        "rollout.strategy.type",
        How::Implied("RollingUpdate"),
    ),
    seconds("nodeDrainTimeout", "deletion.nodeDrainTimeoutSeconds"),
    seconds(
        "nodeVolumeDetachTimeout",
        "deletion.nodeVolumeDetachTimeoutSeconds",
    ),
    seconds("nodeDeletionTimeout", "deletion.nodeDeletionTimeoutSeconds"),
];

const MACHINE_POOL: &[Move] = &[
    seconds("nodeDrainTimeout", "deletion.nodeDrainTimeoutSeconds"),
    seconds(
        "nodeVolumeDetachTimeout",
        "deletion.nodeVolumeDetachTimeoutSeconds",
    ),
    seconds("nodeDeletionTimeout", "deletion.nodeDeletionTimeoutSeconds"),
];
