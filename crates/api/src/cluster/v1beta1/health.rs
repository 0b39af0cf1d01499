//! When machines are unhealthy and what is done then: the same in a MachineHealthCheck and in a topology.

use crate::conversion::moves::{how, same, seconds};
use crate::conversion::{How, Move};

/// Fields of a health check.
pub const CHECK: &[Move] = &[
    same("enable", "enabled"),
    seconds("nodeStartupTimeout", "checks.nodeStartupTimeoutSeconds"),
    how(
        "unhealthyConditions",
        "checks.unhealthyNodeConditions",
        How::Each(CONDITION),
    ),
    how(
        "unhealthyMachineConditions",
        "checks.unhealthyMachineConditions",
        How::Each(CONDITION),
    ),
    same(
        "maxUnhealthy",
        "remediation.triggerIf.unhealthyLessThanOrEqualTo",
    ),
    same("unhealthyRange", "remediation.triggerIf.unhealthyInRange"),
    how(
        "remediationTemplate",
        "remediation.templateRef",
        How::Template,
    ),
];

const CONDITION: &[Move] = &[seconds("timeout", "timeoutSeconds")];
