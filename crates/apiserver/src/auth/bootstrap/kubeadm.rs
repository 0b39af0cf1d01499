//! What kubeadm adds to a cluster that it initialises.

use super::table::{
    Binding, CORE, PUBLIC, Role, SYSTEM, bind_local, bind_to, local, named, on, role,
};

/// Group of the bootstrap tokens that kubeadm makes for joining nodes.
const JOINING: &str = "group:system:bootstrappers:kubeadm:default-node-token";
const NODES: &str = "group:system:nodes";

pub(super) const ROLES: &[Role] = &[
    role("kubeadm:get-nodes", &[on("get", CORE, "nodes")]),
    local(
        PUBLIC,
        "kubeadm:bootstrap-signer-clusterinfo",
        &[named(on("get", CORE, "configmaps"), "cluster-info")],
    ),
    local(
        SYSTEM,
        "kubeadm:nodes-kubeadm-config",
        &[named(on("get", CORE, "configmaps"), "kubeadm-config")],
    ),
    local(
        SYSTEM,
        "kubeadm:kubelet-config",
        &[named(on("get", CORE, "configmaps"), "kubelet-config")],
    ),
    local(
        SYSTEM,
        "kube-proxy",
        &[named(on("get", CORE, "configmaps"), "kube-proxy")],
    ),
];

pub(super) const BINDINGS: &[Binding] = &[
    bind_to(
        "kubeadm:cluster-admins",
        "cluster-admin",
        &["group:kubeadm:cluster-admins"],
    ),
    bind_to("kubeadm:get-nodes", "kubeadm:get-nodes", &[JOINING]),
    bind_to(
        "kubeadm:kubelet-bootstrap",
        "system:node-bootstrapper",
        &[JOINING],
    ),
    bind_to(
        "kubeadm:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[JOINING],
    ),
    bind_to(
        "kubeadm:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[NODES],
    ),
    bind_to(
        "kubeadm:node-proxier",
        "system:node-proxier",
        &["account:kube-proxy"],
    ),
    bind_local(
        PUBLIC,
        "kubeadm:bootstrap-signer-clusterinfo",
        "kubeadm:bootstrap-signer-clusterinfo",
        &["user:system:anonymous"],
    ),
    bind_local(
        SYSTEM,
        "kubeadm:nodes-kubeadm-config",
        "kubeadm:nodes-kubeadm-config",
        &[JOINING, NODES],
    ),
    bind_local(
        SYSTEM,
        "kubeadm:kubelet-config",
        "kubeadm:kubelet-config",
        &[JOINING, NODES],
    ),
    bind_local(SYSTEM, "kube-proxy", "kube-proxy", &[JOINING]),
];
