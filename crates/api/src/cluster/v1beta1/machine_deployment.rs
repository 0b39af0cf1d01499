//! v1beta1 of [`MachineDeployment`](crate::cluster::MachineDeployment).

use super::machine;
use crate::conversion::moves::{how, inside, same};
use crate::conversion::{How, Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "MachineDeployment",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[("Ready", "Available"), ("Available", "Available")],
        counters: &[
            ("readyReplicas", "readyReplicas"),
            ("availableReplicas", "availableReplicas"),
            ("updatedReplicas", "upToDateReplicas"),
        ],
        unavailable: true,
        ready: false,
    },
    v1beta1: include_str!("../../crds/v1beta1/machinedeployments.txt"),
    v1beta2: crate::cluster::machine_deployment::crd,
};

const MOVES: &[Move] = &[
    inside("spec.template.spec", machine::SPEC),
    same("spec.minReadySeconds", "spec.template.spec.minReadySeconds"),
    same("spec.machineNamingStrategy", "spec.machineNaming"),
    same("spec.rolloutAfter", "spec.rollout.after"),
    same(
        "spec.strategy.remediation.maxInFlight",
        "spec.remediation.maxInFlight",
    ),
    same(
        "spec.strategy.rollingUpdate.deletePolicy",
        "spec.deletion.order",
    ),
    same(
        "spec.strategy.rollingUpdate.maxSurge",
        "spec.rollout.strategy.rollingUpdate.maxSurge",
    ),
    same(
        "spec.strategy.rollingUpdate.maxUnavailable",
        "spec.rollout.strategy.rollingUpdate.maxUnavailable",
    ),
    how(
        "spec.strategy.type",
        "spec.rollout.strategy.type",
        How::Implied("RollingUpdate"),
    ),
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same(
        "status.readyReplicas",
        "status.deprecated.v1beta1.readyReplicas",
    ),
    same(
        "status.availableReplicas",
        "status.deprecated.v1beta1.availableReplicas",
    ),
    same(
        "status.unavailableReplicas",
        "status.deprecated.v1beta1.unavailableReplicas",
    ),
    same(
        "status.updatedReplicas",
        "status.deprecated.v1beta1.updatedReplicas",
    ),
    same("status.v1beta2.conditions", "status.conditions"),
    same("status.v1beta2.readyReplicas", "status.readyReplicas"),
    same(
        "status.v1beta2.availableReplicas",
        "status.availableReplicas",
    ),
    same("status.v1beta2.upToDateReplicas", "status.upToDateReplicas"),
];
