//! v1beta1 of [`Machine`](crate::cluster::Machine).

use super::part::{DELETION, DETACH, DRAIN};
use crate::conversion::moves::{how, inside, same};
use crate::conversion::{How, Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "Machine",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[
            ("Ready", "Ready"),
            ("BootstrapReady", "BootstrapConfigReady"),
            ("InfrastructureReady", "InfrastructureReady"),
            ("NodeHealthy", "NodeHealthy"),
        ],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/machines.txt"),
    v1beta2: crate::cluster::machine::crd,
};

const MOVES: &[Move] = &[
    inside("spec", SPEC),
    how(
        "status.phase",
        "status.phase",
        How::Renamed("Updating", "Running"),
    ),
    how("status.nodeRef", "status.nodeRef", How::Node),
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
        "status.bootstrapReady",
        "status.initialization.bootstrapDataSecretCreated",
    ),
    same(
        "status.infrastructureReady",
        "status.initialization.infrastructureProvisioned",
    ),
    same("status.v1beta2.conditions", "status.conditions"),
];

/// The spec of a Machine, also in templates.
pub const SPEC: &[Move] = &[
    how("bootstrap.configRef", "bootstrap.configRef", How::Reference),
    how("infrastructureRef", "infrastructureRef", How::Reference),
    DRAIN,
    DETACH,
    DELETION,
];
