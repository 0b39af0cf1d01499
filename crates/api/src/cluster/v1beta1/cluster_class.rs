//! v1beta1 of [`ClusterClass`](crate::cluster::cluster_class::ClusterClass).

use super::part::{
    DELETION, DETACH, DRAIN, HEALTH, IN_FLIGHT, ORDER, STRATEGY, SURGE, UNAVAILABLE,
};
use crate::conversion::moves::{how, inside, same};
use crate::conversion::{How, Kind, Legacy, Move};
use crate::meta::CLUSTER_GROUP;

/// The kind.
pub static KIND: Kind = Kind {
    group: CLUSTER_GROUP,
    kind: "ClusterClass",
    moves: MOVES,
    legacy: Legacy {
        conditions: &[
            ("VariablesReconciled", "VariablesReady"),
            ("RefVersionsUpToDate", "RefVersionsUpToDate"),
        ],
        ..Legacy::NONE
    },
    v1beta1: include_str!("../../crds/v1beta1/clusterclasses.txt"),
    v1beta2: crate::cluster::cluster_class::crd,
};

const MOVES: &[Move] = &[
    template("spec.infrastructure.ref", "spec.infrastructure.templateRef"),
    same(
        "spec.infrastructureNamingStrategy",
        "spec.infrastructure.naming",
    ),
    inside("spec.controlPlane", CONTROL_PLANE),
    each("spec.workers.machineDeployments", MACHINE_DEPLOYMENT),
    each("spec.workers.machinePools", MACHINE_POOL),
    each("spec.variables", VARIABLE),
    each("spec.patches", PATCH),
    same("status.conditions", "status.deprecated.v1beta1.conditions"),
    same("status.v1beta2.conditions", "status.conditions"),
    each("status.variables", STATUS_VARIABLE),
];

const fn template(old: &'static str, new: &'static str) -> Move {
    how(old, new, How::Template)
}

const fn each(path: &'static str, table: &'static [Move]) -> Move {
    how(path, path, How::Each(table))
}

const NAMING: Move = same("namingStrategy", "naming");

const CONTROL_PLANE: &[Move] = &[
    template("ref", "templateRef"),
    template(
        "machineInfrastructure.ref",
        "machineInfrastructure.templateRef",
    ),
    HEALTH,
    NAMING,
    DRAIN,
    DETACH,
    DELETION,
];

const MACHINE_DEPLOYMENT: &[Move] = &[
    METADATA,
    BOOTSTRAP,
    INFRASTRUCTURE,
    HEALTH,
    NAMING,
    IN_FLIGHT,
    ORDER,
    SURGE,
    UNAVAILABLE,
    STRATEGY,
    DRAIN,
    DETACH,
    DELETION,
];

const MACHINE_POOL: &[Move] = &[
    METADATA,
    BOOTSTRAP,
    INFRASTRUCTURE,
    NAMING,
    DRAIN,
    DETACH,
    DELETION,
];

const METADATA: Move = same("template.metadata", "metadata");
const BOOTSTRAP: Move = template("template.bootstrap.ref", "bootstrap.templateRef");
const INFRASTRUCTURE: Move = template("template.infrastructure.ref", "infrastructure.templateRef");

const VARIABLE: &[Move] = &[same("metadata", "deprecatedV1Beta1Metadata")];

const STATUS_VARIABLE: &[Move] = &[each("definitions", VARIABLE)];

const PATCH: &[Move] = &[
    same(
        "external.generateExtension",
        "external.generatePatchesExtension",
    ),
    same(
        "external.validateExtension",
        "external.validateTopologyExtension",
    ),
];
