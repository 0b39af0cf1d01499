//! ClusterRoles for people, components and nodes, and who has them.

use super::table::{
    Binding, CORE, EVENTS, READ, Role, RuleRow, WRITE, bind, named, on, paths, role,
};

const ALL: &str = "create delete deletecollection get list patch update watch";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const STORAGE: &str = "storage.k8s.io";

const fn aggregated(name: &'static str, aggregate_to: &'static str) -> Role {
    Role {
        aggregate_to,
        is_aggregated: true,
        ..role(name, &[])
    }
}

const fn part_of(aggregate_to: &'static str, part: Role) -> Role {
    Role {
        aggregate_to,
        ..part
    }
}

const TOKEN_REVIEWS: RuleRow = on("create", AUTHENTICATION, "tokenreviews");
const ACCESS_REVIEWS: RuleRow = on("create", AUTHORIZATION, "subjectaccessreviews");

const ADMIN: &[RuleRow] = &[
    on("create", AUTHORIZATION, "localsubjectaccessreviews"),
    on(ALL, "rbac.authorization.k8s.io", "roles rolebindings"),
];

const EDIT: &[RuleRow] = &[
    on(
        READ,
        CORE,
        "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
    ),
    on("impersonate", CORE, "serviceaccounts"),
    on(
        WRITE,
        CORE,
        "pods pods/attach pods/exec pods/portforward pods/proxy",
    ),
    on("create", CORE, "pods/eviction"),
    on(
        WRITE,
        CORE,
        "configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
         serviceaccounts services services/proxy",
    ),
    on(WRITE, "core events.k8s.io", "events"),
    on("create", CORE, "serviceaccounts/token"),
    on(
        WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets \
         statefulsets/scale",
    ),
    on(WRITE, "autoscaling", "horizontalpodautoscalers"),
    on(WRITE, "batch", "cronjobs jobs"),
    on(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets \
         replicasets/scale replicationcontrollers/scale",
    ),
    on(WRITE, "policy", "poddisruptionbudgets"),
    on(WRITE, NETWORKING, "ingresses networkpolicies"),
    on(ALL, COORDINATION, "leases"),
    on(WRITE, RESOURCE, "resourceclaims resourceclaimtemplates"),
];

const VIEW: &[RuleRow] = &[
    on(
        READ,
        CORE,
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers \
         replicationcontrollers/scale serviceaccounts services services/status",
    ),
    on(
        READ,
        CORE,
        "bindings limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
         resourcequotas resourcequotas/status",
    ),
    on(READ, "core events.k8s.io", "events"),
    on(READ, CORE, "namespaces"),
    on(READ, DISCOVERY, "endpointslices"),
    on(
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status \
         replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    on(
        READ,
        "autoscaling",
        "horizontalpodautoscalers horizontalpodautoscalers/status",
    ),
    on(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    on(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status \
         networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    on(
        READ,
        "policy",
        "poddisruptionbudgets poddisruptionbudgets/status",
    ),
    on(
        READ,
        NETWORKING,
        "ingresses ingresses/status networkpolicies",
    ),
    on(
        READ,
        RESOURCE,
        "resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
];

const NODE: &[RuleRow] = &[
    TOKEN_REVIEWS,
    on(
        "create",
        AUTHORIZATION,
        "localsubjectaccessreviews subjectaccessreviews",
    ),
    on(READ, CORE, "services"),
    on("create get list watch", CORE, "nodes"),
    on("patch update", CORE, "nodes/status"),
    on("patch update", CORE, "nodes"),
    EVENTS,
    on(READ, CORE, "pods"),
    on("create delete", CORE, "pods"),
    on("patch update", CORE, "pods/status"),
    on("create", CORE, "pods/eviction"),
    on(READ, CORE, "configmaps secrets"),
    on("get", CORE, "persistentvolumeclaims persistentvolumes"),
    on("get", CORE, "endpoints"),
    on(
        "create get list watch",
        CERTIFICATES,
        "certificatesigningrequests",
    ),
    on("create delete get patch update", COORDINATION, "leases"),
    on("get", STORAGE, "volumeattachments"),
    on("create", CORE, "serviceaccounts/token"),
    on("get patch update", CORE, "persistentvolumeclaims/status"),
    on(READ, STORAGE, "csidrivers"),
    on("create delete get patch update", STORAGE, "csinodes"),
    on(READ, "node.k8s.io", "runtimeclasses"),
    on("get", RESOURCE, "resourceclaims"),
    on("deletecollection", RESOURCE, "resourceslices"),
    on("get", CORE, "serviceaccounts"),
];

const CONTROLLER_MANAGER: &[RuleRow] = &[
    EVENTS,
    on("create", COORDINATION, "leases"),
    named(
        on("get update", COORDINATION, "leases"),
        "kube-controller-manager",
    ),
    on("create", CORE, "secrets serviceaccounts"),
    on("delete", CORE, "secrets"),
    on("get", CORE, "configmaps namespaces secrets serviceaccounts"),
    on("update", CORE, "secrets serviceaccounts"),
    TOKEN_REVIEWS,
    ACCESS_REVIEWS,
    on("list watch", "*", "*"),
    on("create", CORE, "serviceaccounts/token"),
];

const SCHEDULER: &[RuleRow] = &[
    EVENTS,
    on("create", COORDINATION, "leases"),
    named(
        on("get list update watch", COORDINATION, "leases"),
        "kube-scheduler",
    ),
    on(ALL, COORDINATION, "leasecandidates"),
    on(READ, CORE, "nodes"),
    on("delete get list watch", CORE, "pods"),
    on("create", CORE, "bindings pods/binding"),
    on("patch update", CORE, "pods/status"),
    on(READ, CORE, "replicationcontrollers services"),
    on(READ, "apps extensions", "replicasets"),
    on(READ, "apps", "statefulsets"),
    on(READ, "policy", "poddisruptionbudgets"),
    on(READ, CORE, "persistentvolumeclaims persistentvolumes"),
    TOKEN_REVIEWS,
    ACCESS_REVIEWS,
    on(READ, STORAGE, "csinodes"),
    on(READ, STORAGE, "volumeattachments"),
    on(READ, CORE, "namespaces"),
    on(READ, STORAGE, "csidrivers"),
    on(READ, STORAGE, "csistoragecapacities"),
    on(READ, RESOURCE, "deviceclasses"),
    on("get list patch update watch", RESOURCE, "resourceclaims"),
    on(
        "get list patch update watch",
        RESOURCE,
        "resourceclaims/status",
    ),
    on("update", CORE, "pods/finalizers"),
    on(READ, RESOURCE, "resourceslices"),
    on("create delete", RESOURCE, "resourceclaims"),
    on("patch update", RESOURCE, "resourceclaims/binding"),
];

const NODE_PROXIER: &[RuleRow] = &[
    on("list watch", CORE, "endpoints services"),
    on(READ, CORE, "nodes"),
    EVENTS,
    on("list watch", NETWORKING, "servicecidrs"),
    on("list watch", DISCOVERY, "endpointslices"),
];

pub(super) const ROLES: &[Role] = &[
    role(
        "cluster-admin",
        &[
            on("*", "*", "*"),
            RuleRow {
                verbs: "*",
                ..paths("*")
            },
        ],
    ),
    aggregated("admin", ""),
    aggregated("edit", "admin"),
    aggregated("view", "edit"),
    part_of("admin", role("system:aggregate-to-admin", ADMIN)),
    part_of("edit", role("system:aggregate-to-edit", EDIT)),
    part_of("view", role("system:aggregate-to-view", VIEW)),
    role("system:auth-delegator", &[TOKEN_REVIEWS, ACCESS_REVIEWS]),
    role(
        "system:basic-user",
        &[
            on(
                "create",
                AUTHORIZATION,
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            on("create", AUTHENTICATION, "selfsubjectreviews"),
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[on(
            "create",
            CERTIFICATES,
            "certificatesigningrequests/nodeclient",
        )],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[on(
            "create",
            CERTIFICATES,
            "certificatesigningrequests/selfnodeclient",
        )],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[named(
            on("approve", CERTIFICATES, "signers"),
            "kubernetes.io/kube-apiserver-client",
        )],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[named(
            on("approve", CERTIFICATES, "signers"),
            "kubernetes.io/kube-apiserver-client-kubelet",
        )],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[named(
            on("approve", CERTIFICATES, "signers"),
            "kubernetes.io/kubelet-serving",
        )],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[named(
            on("approve", CERTIFICATES, "signers"),
            "kubernetes.io/legacy-unknown",
        )],
    ),
    role(
        "system:discovery",
        &[paths(
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role(
        "system:heapster",
        &[
            on(READ, CORE, "events namespaces nodes pods"),
            on(READ, "extensions", "deployments"),
        ],
    ),
    role(
        "system:kube-aggregator",
        &[on(READ, CORE, "endpoints services")],
    ),
    role("system:kube-controller-manager", CONTROLLER_MANAGER),
    role(
        "system:kube-dns",
        &[on("list watch", CORE, "endpoints services")],
    ),
    role("system:kube-scheduler", SCHEDULER),
    role(
        "system:kubelet-api-admin",
        &[
            on(READ, CORE, "nodes"),
            on("proxy", CORE, "nodes"),
            on("*", CORE, "nodes/log nodes/metrics nodes/proxy nodes/stats"),
            on("*", CORE, "nodes/configz nodes/healthz nodes/pods"),
        ],
    ),
    role(
        "system:monitoring",
        &[
            paths(
                "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /statusz",
            ),
            on("get", CORE, "nodes/metrics"),
        ],
    ),
    role("system:node", NODE),
    role(
        "system:node-bootstrapper",
        &[on(
            "create get list watch",
            CERTIFICATES,
            "certificatesigningrequests",
        )],
    ),
    role(
        "system:node-problem-detector",
        &[
            on("get", CORE, "nodes"),
            on("patch", CORE, "nodes/status"),
            EVENTS,
        ],
    ),
    role("system:node-proxier", NODE_PROXIER),
    role(
        "system:persistent-volume-provisioner",
        &[
            on("create delete get list watch", CORE, "persistentvolumes"),
            on("get list update watch", CORE, "persistentvolumeclaims"),
            on(READ, STORAGE, "storageclasses"),
            on("watch", CORE, "events"),
            EVENTS,
        ],
    ),
    role(
        "system:public-info-viewer",
        &[paths("/healthz /livez /readyz /version /version/")],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[paths(
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    role(
        "system:volume-scheduler",
        &[
            on("get list patch update watch", CORE, "persistentvolumes"),
            on(READ, STORAGE, "storageclasses"),
            on(
                "get list patch update watch",
                CORE,
                "persistentvolumeclaims",
            ),
        ],
    ),
];

pub(super) const BINDINGS: &[Binding] = &[
    bind("cluster-admin", &["group:system:masters"]),
    bind("system:monitoring", &["group:system:monitoring"]),
    bind("system:discovery", &["group:system:authenticated"]),
    bind("system:basic-user", &["group:system:authenticated"]),
    bind(
        "system:public-info-viewer",
        &["group:system:authenticated", "group:system:unauthenticated"],
    ),
    bind("system:node-proxier", &["user:system:kube-proxy"]),
    bind(
        "system:kube-controller-manager",
        &["user:system:kube-controller-manager"],
    ),
    bind("system:kube-dns", &["account:kube-dns"]),
    bind("system:kube-scheduler", &["user:system:kube-scheduler"]),
    bind("system:volume-scheduler", &["user:system:kube-scheduler"]),
    // Kubelets have their powers from the node authorizer; the binding stays without subjects, as upstream keeps it.
    bind("system:node", &[]),
    bind(
        "system:service-account-issuer-discovery",
        &["group:system:serviceaccounts"],
    ),
];
