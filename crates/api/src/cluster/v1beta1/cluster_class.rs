//! v1beta1 of [`ClusterClass`](crate::cluster::cluster_class::ClusterClass).

use super::health;
use crate::conversion::moves::{how, inside, inside_of, same, seconds};
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

const DRAIN: Move = seconds("nodeDrainTimeout", "deletion.nodeDrainTimeoutSeconds");
const DETACH: Move = seconds(
    "nodeVolumeDetachTimeout",
    "deletion.nodeVolumeDetachTimeoutSeconds",
);
const DELETION: Move = seconds("nodeDeletionTimeout", "deletion.nodeDeletionTimeoutSeconds");
const NAMING: Move = same("namingStrategy", "naming");
const HEALTH: Move = inside_of("machineHealthCheck", "healthCheck", health::CHECK);

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
