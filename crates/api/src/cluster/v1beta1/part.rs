//! Fields that parts of clusters have alike, in machines, topologies and classes.

use super::health;
use crate::conversion::moves::{how, inside_of, same, seconds};
use crate::conversion::{How, Move};

/// How long a node is drained.
pub const DRAIN: Move = seconds("nodeDrainTimeout", "deletion.nodeDrainTimeoutSeconds");
/// How long its volumes are waited for.
pub const DETACH: Move = seconds(
    "nodeVolumeDetachTimeout",
    "deletion.nodeVolumeDetachTimeoutSeconds",
);
/// How long its deletion is tried.
pub const DELETION: Move = seconds("nodeDeletionTimeout", "deletion.nodeDeletionTimeoutSeconds");

/// The health check.
pub const HEALTH: Move = inside_of("machineHealthCheck", "healthCheck", health::CHECK);

/// How many unhealthy machines of a MachineDeployment are replaced at once.
pub const IN_FLIGHT: Move = same(
    "strategy.remediation.maxInFlight",
    "healthCheck.remediation.maxInFlight",
);
/// Which of its machines go first.
pub const ORDER: Move = same("strategy.rollingUpdate.deletePolicy", "deletion.order");
/// How many more than wanted there may be.
pub const SURGE: Move = same(
    "strategy.rollingUpdate.maxSurge",
    "rollout.strategy.rollingUpdate.maxSurge",
);
/// How many may be missing.
pub const UNAVAILABLE: Move = same(
    "strategy.rollingUpdate.maxUnavailable",
    "rollout.strategy.rollingUpdate.maxUnavailable",
);
/// How its machines are replaced.
pub const STRATEGY: Move = how(
    "strategy.type",
    "rollout.strategy.type",
    How::Implied("RollingUpdate"),
);
