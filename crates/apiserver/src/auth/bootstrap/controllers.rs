//! `system:controller:<name>` for each controller of kube-controller-manager; each is bound to the service account
//! `<name>` of kube-system.

use super::table::{CORE, EVENTS, READ, RuleRow, named, on};

const AUTHORIZATION: &str = "authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// Deployments, ReplicaSets and DaemonSets are also read in the group that they came from.
const APPS: &str = "apps extensions";

const MANAGE_SLICES: RuleRow = on(
    "create delete get list update watch",
    DISCOVERY,
    "endpointslices",
);
const MANAGE_REVISIONS: RuleRow = on(
    "create delete get list patch update watch",
    "apps",
    "controllerrevisions",
);
const MANAGE_PODS: RuleRow = on("create delete list patch watch", CORE, "pods");
const POD_STATUS: RuleRow = on("patch update", CORE, "pods/status");

const DAEMON_SET: &[RuleRow] = &[
    on(READ, APPS, "daemonsets"),
    on("update", APPS, "daemonsets/status"),
    on("update", APPS, "daemonsets/finalizers"),
    on("list watch", CORE, "nodes"),
    MANAGE_PODS,
    on("create", CORE, "pods/binding"),
    MANAGE_REVISIONS,
    EVENTS,
];

const DISRUPTION: &[RuleRow] = &[
    on(READ, APPS, "deployments"),
    on(READ, APPS, "replicasets"),
    on(READ, CORE, "replicationcontrollers"),
    on(READ, "policy", "poddisruptionbudgets"),
    on(READ, "apps", "statefulsets"),
    on("update", "policy", "poddisruptionbudgets/status"),
    POD_STATUS,
    on("get", "*", "*/scale"),
    EVENTS,
];

const AUTOSCALER: &[RuleRow] = &[
    on(READ, "autoscaling", "horizontalpodautoscalers"),
    on("update", "autoscaling", "horizontalpodautoscalers/status"),
    on("get update", "*", "*/scale"),
    on("list watch", CORE, "pods"),
    on("list watch", "metrics.k8s.io", "pods"),
    on(READ, "custom.metrics.k8s.io", "*"),
    on(READ, "external.metrics.k8s.io", "*"),
    EVENTS,
];

const VOLUME_BINDER: &[RuleRow] = &[
    on(
        "create delete get list update watch",
        CORE,
        "persistentvolumes",
    ),
    on("update", CORE, "persistentvolumes/status"),
    on("get list update watch", CORE, "persistentvolumeclaims"),
    on("update", CORE, "persistentvolumeclaims/status"),
    on("create delete get list watch", CORE, "pods"),
    on(READ, STORAGE, "storageclasses"),
    on("list watch", CORE, "nodes"),
    EVENTS,
    on("watch", CORE, "events"),
];

const STATEFUL_SET: &[RuleRow] = &[
    on("list watch", CORE, "pods"),
    on(READ, "apps", "statefulsets"),
    on("update", "apps", "statefulsets/status"),
    on("update", "apps", "statefulsets/finalizers"),
    on("create delete get patch update", CORE, "pods"),
    MANAGE_REVISIONS,
    on("create get list watch", CORE, "persistentvolumeclaims"),
    on("delete update", CORE, "persistentvolumeclaims"),
    on("update", CORE, "pods/finalizers"),
    EVENTS,
];

const CERTIFICATE: &[RuleRow] = &[
    on(
        "delete get list watch",
        CERTIFICATES,
        "certificatesigningrequests",
    ),
    on(
        "update",
        CERTIFICATES,
        "certificatesigningrequests/approval certificatesigningrequests/status",
    ),
    named(
        on("approve", CERTIFICATES, "signers"),
        "kubernetes.io/kube-apiserver-client-kubelet",
    ),
    named(
        on("sign", CERTIFICATES, "signers"),
        "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
         kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
    ),
    on("create", AUTHORIZATION, "subjectaccessreviews"),
    EVENTS,
];

const TAINT_EVICTION: &[RuleRow] = &[
    on("delete get list watch", CORE, "pods"),
    POD_STATUS,
    on(READ, RESOURCE, "resourceclaims"),
    on(READ, RESOURCE, "resourceslices"),
    on(READ, RESOURCE, "deviceclasses"),
    EVENTS,
];

pub(super) const ROLES: &[(&str, &[RuleRow])] = &[
    (
        "attachdetach-controller",
        &[
            on(
                "list watch",
                CORE,
                "persistentvolumeclaims persistentvolumes",
            ),
            on(READ, CORE, "nodes"),
            on("patch update", CORE, "nodes/status"),
            on("list watch", CORE, "pods"),
            EVENTS,
            on("create delete get list watch", STORAGE, "volumeattachments"),
            on(READ, STORAGE, "csidrivers"),
            on(READ, STORAGE, "csinodes"),
        ],
    ),
    ("certificate-controller", CERTIFICATE),
    (
        "clusterrole-aggregation-controller",
        &[on(
            "escalate get list patch update watch",
            "rbac.authorization.k8s.io",
            "clusterroles",
        )],
    ),
    (
        "cronjob-controller",
        &[
            on("get list update watch", "batch", "cronjobs"),
            on("create delete get list patch update watch", "batch", "jobs"),
            on("update", "batch", "cronjobs/status"),
            on("update", "batch", "cronjobs/finalizers"),
            on("delete list watch", CORE, "pods"),
            EVENTS,
        ],
    ),
    ("daemon-set-controller", DAEMON_SET),
    (
        "deployment-controller",
        &[
            on("get list update watch", APPS, "deployments"),
            on("update", APPS, "deployments/status"),
            on("update", APPS, "deployments/finalizers"),
            on(
                "create delete get list patch update watch",
                APPS,
                "replicasets",
            ),
            on("get list update watch", CORE, "pods"),
            EVENTS,
        ],
    ),
    ("device-taint-eviction-controller", TAINT_EVICTION),
    ("disruption-controller", DISRUPTION),
    (
        "endpoint-controller",
        &[
            on(READ, CORE, "pods services"),
            on("create delete get list update watch", CORE, "endpoints"),
            on("create", CORE, "endpoints/restricted"),
            EVENTS,
        ],
    ),
    (
        "endpointslice-controller",
        &[
            on(READ, CORE, "nodes pods services"),
            on("update", CORE, "services/finalizers"),
            MANAGE_SLICES,
            EVENTS,
        ],
    ),
    (
        "endpointslicemirroring-controller",
        &[
            on(READ, CORE, "endpoints services"),
            on("update", CORE, "services/finalizers"),
            on("update", CORE, "endpoints/finalizers"),
            MANAGE_SLICES,
            EVENTS,
        ],
    ),
    (
        "ephemeral-volume-controller",
        &[
            on(READ, CORE, "pods"),
            on("update", CORE, "pods/finalizers"),
            on("create get list watch", CORE, "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    (
        "expand-controller",
        &[
            on("get list patch update watch", CORE, "persistentvolumes"),
            on("patch update", CORE, "persistentvolumeclaims/status"),
            on(READ, CORE, "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    (
        "generic-garbage-collector",
        &[on("delete get list patch update watch", "*", "*"), EVENTS],
    ),
    ("horizontal-pod-autoscaler", AUTOSCALER),
    (
        "job-controller",
        &[
            on("get list patch update watch", "batch", "jobs"),
            on("update", "batch", "jobs/status"),
            on("update", "batch", "jobs/finalizers"),
            MANAGE_PODS,
            EVENTS,
        ],
    ),
    (
        "legacy-service-account-token-cleaner",
        &[
            named(
                on("get", CORE, "configmaps"),
                "kube-apiserver-legacy-service-account-token-tracking",
            ),
            on("delete patch", CORE, "secrets"),
        ],
    ),
    (
        "namespace-controller",
        &[
            on("delete get list watch", CORE, "namespaces"),
            on("update", CORE, "namespaces/finalize namespaces/status"),
            on("delete deletecollection get list watch", "*", "*"),
        ],
    ),
    (
        "node-controller",
        &[
            on("delete get list patch update watch", CORE, "nodes"),
            on("patch update", CORE, "nodes/status"),
            POD_STATUS,
            on("delete get list watch", CORE, "pods"),
            EVENTS,
        ],
    ),
    ("persistent-volume-binder", VOLUME_BINDER),
    (
        "pod-garbage-collector",
        &[
            on("delete list watch", CORE, "pods"),
            on(READ, CORE, "nodes"),
            on("patch", CORE, "pods/status"),
        ],
    ),
    (
        "pv-protection-controller",
        &[
            on("get list update watch", CORE, "persistentvolumes"),
            EVENTS,
        ],
    ),
    (
        "pvc-protection-controller",
        &[
            on("get list update watch", CORE, "persistentvolumeclaims"),
            on("update", CORE, "persistentvolumeclaims/status"),
            on(READ, CORE, "pods"),
            EVENTS,
        ],
    ),
    (
        "replicaset-controller",
        &[
            on("get list update watch", APPS, "replicasets"),
            on("update", APPS, "replicasets/status"),
            on("update", APPS, "replicasets/finalizers"),
            MANAGE_PODS,
            EVENTS,
        ],
    ),
    (
        "replication-controller",
        &[
            on("get list update watch", CORE, "replicationcontrollers"),
            on("update", CORE, "replicationcontrollers/status"),
            on("update", CORE, "replicationcontrollers/finalizers"),
            MANAGE_PODS,
            EVENTS,
        ],
    ),
    (
        "resource-claim-controller",
        &[
            on(READ, CORE, "pods"),
            on("update", CORE, "pods/finalizers"),
            on("create delete get list watch", RESOURCE, "resourceclaims"),
            on(
                "patch update",
                RESOURCE,
                "resourceclaims resourceclaims/status",
            ),
            POD_STATUS,
            EVENTS,
            on("patch update", RESOURCE, "resourceclaims/binding"),
        ],
    ),
    (
        "resourcequota-controller",
        &[
            on("list watch", "*", "*"),
            on("update", CORE, "resourcequotas/status"),
            EVENTS,
        ],
    ),
    (
        "root-ca-cert-publisher",
        &[on("create update", CORE, "configmaps"), EVENTS],
    ),
    (
        "route-controller",
        &[
            on("list watch", CORE, "nodes"),
            on("patch", CORE, "nodes/status"),
            EVENTS,
        ],
    ),
    (
        "selinux-warning-controller",
        &[
            EVENTS,
            on(READ, CORE, "persistentvolumes"),
            on(READ, CORE, "persistentvolumeclaims"),
            on(READ, CORE, "pods"),
            on(READ, STORAGE, "csidrivers"),
        ],
    ),
    (
        "service-account-controller",
        &[on("create", CORE, "serviceaccounts"), EVENTS],
    ),
    (
        "service-cidrs-controller",
        &[
            on("get list patch update watch", NETWORKING, "servicecidrs"),
            on("patch update", NETWORKING, "servicecidrs/finalizers"),
            on("patch update", NETWORKING, "servicecidrs/status"),
            on(READ, NETWORKING, "ipaddresses"),
            EVENTS,
        ],
    ),
    (
        "service-controller",
        &[
            on(READ, CORE, "services"),
            on("patch update", CORE, "services/status"),
            on("list watch", CORE, "nodes"),
            EVENTS,
        ],
    ),
    ("statefulset-controller", STATEFUL_SET),
    (
        "ttl-after-finished-controller",
        &[on("delete get list watch", "batch", "jobs"), EVENTS],
    ),
    (
        "ttl-controller",
        &[on("list patch update watch", CORE, "nodes"), EVENTS],
    ),
    (
        "validatingadmissionpolicy-status-controller",
        &[
            on(
                READ,
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies",
            ),
            on(
                "get patch update",
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies/status",
            ),
            EVENTS,
        ],
    ),
    (
        "volumeattributesclass-protection-controller",
        &[
            on(READ, CORE, "persistentvolumeclaims"),
            on(READ, CORE, "persistentvolumes"),
            on("get list update watch", STORAGE, "volumeattributesclasses"),
            EVENTS,
        ],
    ),
];
