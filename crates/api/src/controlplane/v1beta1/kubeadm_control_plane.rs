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
    inside("spec", SPEC),
    how(
        "spec.machineTemplate.infrastructureRef",
        "spec.machineTemplate.spec.infrastructureRef",
        How::Reference,
    ),
    same(
        "spec.machineTemplate.readinessGates",
        "spec.machineTemplate.spec.readinessGates",
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

/// Fields of the spec that templates of control planes have too.
pub(super) const SPEC: &[Move] = &[
    inside("kubeadmConfigSpec", kubeadm::SPEC),
    same("machineTemplate.taints", "machineTemplate.spec.taints"),
    seconds(
        "machineTemplate.nodeDrainTimeout",
        "machineTemplate.spec.deletion.nodeDrainTimeoutSeconds",
    ),
    seconds(
        "machineTemplate.nodeVolumeDetachTimeout",
        "machineTemplate.spec.deletion.nodeVolumeDetachTimeoutSeconds",
    ),
    seconds(
        "machineTemplate.nodeDeletionTimeout",
        "machineTemplate.spec.deletion.nodeDeletionTimeoutSeconds",
    ),
    same("machineNamingStrategy", "machineNaming"),
    same("remediationStrategy.maxRetry", "remediation.maxRetry"),
    seconds(
        "remediationStrategy.minHealthyPeriod",
        "remediation.minHealthyPeriodSeconds",
    ),
    seconds(
        "remediationStrategy.retryPeriod",
        "remediation.retryPeriodSeconds",
    ),
    same("rolloutAfter", "rollout.after"),
    same(
        "rolloutBefore.certificatesExpiryDays",
        "rollout.before.certificatesExpiryDays",
    ),
    same(
        "rolloutStrategy.rollingUpdate.maxSurge",
        "rollout.strategy.rollingUpdate.maxSurge",
    ),
    how(
        "rolloutStrategy.type",
        "rollout.strategy.type",
        How::Implied("RollingUpdate"),
    ),
];
