//! v1beta1 of [`MachinePool`](crate::cluster::MachinePool).

use super::machine;
use crate::conversion::moves::{inside, same};
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "MachinePool",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[
            ("Ready", "Available"),
            ("BootstrapReady", "BootstrapConfigReady"),
            ("InfrastructureReady", "InfrastructureReady"),
        ],
        counters: &[
            ("readyReplicas", "readyReplicas"),
            ("availableReplicas", "availableReplicas"),
        ],
        unavailable: true,
        ready: false,
    },
    v1beta1: include_str!("../../crds/v1beta1/machinepools.txt"),
    v1beta2: crate::cluster::machine_pool::crd,
};

const MOVES: &[Move] = &[
    inside("spec.template.spec", machine::SPEC),
    same("spec.minReadySeconds", "spec.template.spec.minReadySeconds"),
    same(
        "status.bootstrapReady",
        "status.initialization.bootstrapDataSecretCreated",
    ),
    same(
        "status.infrastructureReady",
        "status.initialization.infrastructureProvisioned",
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
        "status.availableReplicas",
        "status.deprecated.v1beta1.availableReplicas",
    ),
    same(
        "status.unavailableReplicas",
        "status.deprecated.v1beta1.unavailableReplicas",
    ),
    same("status.v1beta2.conditions", "status.conditions"),
    same("status.v1beta2.readyReplicas", "status.readyReplicas"),
    same(
        "status.v1beta2.availableReplicas",
        "status.availableReplicas",
    ),
    same("status.v1beta2.upToDateReplicas", "status.upToDateReplicas"),
];
