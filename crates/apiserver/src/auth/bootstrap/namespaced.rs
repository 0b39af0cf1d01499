//! Roles inside kube-system and kube-public, and who has them.

use super::table::{
    Binding, CORE, EVENTS, PUBLIC, READ, Role, RuleRow, SYSTEM, bind_local, local, named, on,
};

const AUTH_READER: &str = "extension-apiserver-authentication-reader";
const COORDINATION: &str = "coordination.k8s.io";
const SIGNER: &str = "system:controller:bootstrap-signer";
const CLOUD_PROVIDER: &str = "system:controller:cloud-provider";
const TOKEN_CLEANER: &str = "system:controller:token-cleaner";
const LEADER_MANAGER: &str = "system::leader-locking-kube-controller-manager";
const LEADER_SCHEDULER: &str = "system::leader-locking-kube-scheduler";

/// Electing a leader.
const LEADER: &[RuleRow] = &[
    on("create get list update watch", COORDINATION, "leases"),
    on(
        "create get list update watch",
        COORDINATION,
        "leasecandidates",
    ),
];

pub(super) const ROLES: &[Role] = &[
    local(
        SYSTEM,
        AUTH_READER,
        &[named(
            on(READ, CORE, "configmaps"),
            "extension-apiserver-authentication",
        )],
    ),
    local(SYSTEM, SIGNER, &[on(READ, CORE, "secrets")]),
    local(
        SYSTEM,
        CLOUD_PROVIDER,
        &[on("create get list watch", CORE, "configmaps")],
    ),
    local(
        SYSTEM,
        TOKEN_CLEANER,
        &[on("delete get list watch", CORE, "secrets"), EVENTS],
    ),
    local(SYSTEM, LEADER_MANAGER, LEADER),
    local(SYSTEM, LEADER_SCHEDULER, LEADER),
    local(
        PUBLIC,
        SIGNER,
        &[
            on(READ, CORE, "configmaps"),
            named(on("update", CORE, "configmaps"), "cluster-info"),
            EVENTS,
        ],
    ),
];

pub(super) const BINDINGS: &[Binding] = &[
    bind_local(
        SYSTEM,
        "system::extension-apiserver-authentication-reader",
        AUTH_READER,
        &[
            "user:system:kube-controller-manager",
            "user:system:kube-scheduler",
        ],
    ),
    bind_local(
        SYSTEM,
        LEADER_MANAGER,
        LEADER_MANAGER,
        &[
            "user:system:kube-controller-manager",
            "account:kube-controller-manager",
            "account:leader-election-controller",
        ],
    ),
    bind_local(
        SYSTEM,
        LEADER_SCHEDULER,
        LEADER_SCHEDULER,
        &["user:system:kube-scheduler", "account:kube-scheduler"],
    ),
    bind_local(SYSTEM, SIGNER, SIGNER, &["account:bootstrap-signer"]),
    bind_local(
        SYSTEM,
        CLOUD_PROVIDER,
        CLOUD_PROVIDER,
        &["account:cloud-provider"],
    ),
    bind_local(
        SYSTEM,
        TOKEN_CLEANER,
        TOKEN_CLEANER,
        &["account:token-cleaner"],
    ),
    bind_local(PUBLIC, SIGNER, SIGNER, &["account:bootstrap-signer"]),
];
