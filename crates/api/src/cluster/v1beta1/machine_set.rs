//! v1beta1 of [`MachineSet`](crate::cluster::MachineSet).

use super::machine;
use crate::conversion::moves::{inside, same};
use crate::conversion::{Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "MachineSet",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[("MachinesReady", "MachinesReady")],
        counters: &[
            ("readyReplicas", "readyReplicas"),
            ("availableReplicas", "availableReplicas"),
            ("fullyLabeledReplicas", "replicas"),
        ],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/machinesets.txt"),
    v1beta2: crate::cluster::machine_set::crd,
};

const MOVES: &[Move] = &[
    inside("spec.template.spec", machine::SPEC),
    same("spec.minReadySeconds", "spec.template.spec.minReadySeconds"),
    same("spec.deletePolicy", "spec.deletion.order"),
    same("spec.machineNamingStrategy", "spec.machineNaming"),
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
        "status.fullyLabeledReplicas",
        "status.deprecated.v1beta1.fullyLabeledReplicas",
    ),
    same("status.v1beta2.conditions", "status.conditions"),
    same("status.v1beta2.readyReplicas", "status.readyReplicas"),
    same(
        "status.v1beta2.availableReplicas",
        "status.availableReplicas",
    ),
    same("status.v1beta2.upToDateReplicas", "status.upToDateReplicas"),
];
