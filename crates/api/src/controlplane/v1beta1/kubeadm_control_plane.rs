//! v1beta1 of [`KubeadmControlPlane`](crate::controlplane::kubeadm_control_plane::KubeadmControlPlane).

use crate::bootstrap::v1beta1::kubeadm;
use crate::conversion::moves::{how, inside, same, seconds};
use crate::conversion::{How, Kind, Legacy, Move};
use crate::meta::CONTROL_PLANE_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CONTROL_PLANE_GROUP,
    kind: "KubeadmControlPlane",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[
            ("Ready", "Available"),
            ("Available", "Initialized"),
            ("MachinesReady", "MachinesReady"),
            ("CertificatesAvailable", "CertificatesAvailable"),
            (
                "ControlPlaneComponentsHealthy",
                "ControlPlaneComponentsHealthy",
            ),
            ("EtcdClusterHealthy", "EtcdClusterHealthy"),
        ],
        counters: &[
            ("readyReplicas", "readyReplicas"),
            ("updatedReplicas", "upToDateReplicas"),
        ],
        unavailable: true,
        ready: true,
    },
    v1beta1: include_str!("../../crds/v1beta1/kubeadmcontrolplanes.txt"),
    v1beta2: crate::controlplane::kubeadm_control_plane::crd,
};

const MOVES: &[Move] = &[
    inside("spec.kubeadmConfigSpec", kubeadm::SPEC),
    how(
        "spec.machineTemplate.infrastructureRef",
        "spec.machineTemplate.spec.infrastructureRef",
        How::Reference,
    ),
    same(
        "spec.machineTemplate.readinessGates",
        "spec.machineTemplate.spec.readinessGates",
    ),
    same(
        "spec.machineTemplate.taints",
        "spec.machineTemplate.spec.taints",
    ),
    seconds(
        "spec.machineTemplate.nodeDrainTimeout",
        "spec.machineTemplate.spec.deletion.nodeDrainTimeoutSeconds",
    ),
    seconds(
        "spec.machineTemplate.nodeVolumeDetachTimeout",
        "spec.machineTemplate.spec.deletion.nodeVolumeDetachTimeoutSeconds",
    ),
    seconds(
        "spec.machineTemplate.nodeDeletionTimeout",
        "spec.machineTemplate.spec.deletion.nodeDeletionTimeoutSeconds",
    ),
    same("spec.machineNamingStrategy", "spec.machineNaming"),
    same(
        "spec.remediationStrategy.maxRetry",
        "spec.remediation.maxRetry",
    ),
    seconds(
        "spec.remediationStrategy.minHealthyPeriod",
        "spec.remediation.minHealthyPeriodSeconds",
    ),
    seconds(
        "spec.remediationStrategy.retryPeriod",
        "spec.remediation.retryPeriodSeconds",
    ),
    same("spec.rolloutAfter", "spec.rollout.after"),
    same(
        "spec.rolloutBefore.certificatesExpiryDays",
        "spec.rollout.before.certificatesExpiryDays",
    ),
    same(
        "spec.rolloutStrategy.rollingUpdate.maxSurge",
        "spec.rollout.strategy.rollingUpdate.maxSurge",
    ),
    how(
        "spec.rolloutStrategy.type",
        "spec.rollout.strategy.type",
        How::Implied("RollingUpdate"),
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
        "status.readyReplicas",
        "status.deprecated.v1beta1.readyReplicas",
    ),
    same(
        "status.unavailableReplicas",
        "status.deprecated.v1beta1.unavailableReplicas",
    ),
    same(
        "status.updatedReplicas",
        "status.deprecated.v1beta1.updatedReplicas",
    ),
    same(
        "status.initialized",
        "status.initialization.controlPlaneInitialized",
    ),
    same(
        "status.lastRemediation.timestamp",
        "status.lastRemediation.time",
    ),
    same("status.v1beta2.conditions", "status.conditions"),
    same("status.v1beta2.readyReplicas", "status.readyReplicas"),
    same(
        "status.v1beta2.availableReplicas",
        "status.availableReplicas",
    ),
    same("status.v1beta2.upToDateReplicas", "status.upToDateReplicas"),
];
