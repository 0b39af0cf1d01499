//! v1beta1 of [`KubeadmConfigSpec`](crate::bootstrap::kubeadm_config::KubeadmConfigSpec), which also stands in templates
//! and in control planes.

use crate::conversion::moves::{arguments, how, seconds};
use crate::conversion::{How, Move};

/// Fields of the spec.
pub const SPEC: &[Move] = &[
    arguments("clusterConfiguration.apiServer.extraArgs"),
    arguments("clusterConfiguration.controllerManager.extraArgs"),
    arguments("clusterConfiguration.scheduler.extraArgs"),
    arguments("clusterConfiguration.etcd.local.extraArgs"),
    arguments("initConfiguration.nodeRegistration.kubeletExtraArgs"),
    arguments("joinConfiguration.nodeRegistration.kubeletExtraArgs"),
    how(
        "initConfiguration.bootstrapTokens",
        "initConfiguration.bootstrapTokens",
        How::Each(TOKEN),
    ),
    // One time limit for the first control plane machine and for those that join.
    Move {
        old: "clusterConfiguration.apiServer.timeoutForControlPlane",
        new: "initConfiguration.timeouts.controlPlaneComponentHealthCheckSeconds",
        also: Some("joinConfiguration.timeouts.controlPlaneComponentHealthCheckSeconds"),
        how: How::Seconds,
    },
    seconds(
        "joinConfiguration.discovery.timeout",
        "joinConfiguration.timeouts.tlsBootstrapSeconds",
    ),
];

const TOKEN: &[Move] = &[seconds("ttl", "ttlSeconds")];
