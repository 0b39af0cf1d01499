//! The columns of Kubernetes' own kinds.

use serde_json::Value;

use super::row::{Row, labels, scalar, scalar_or};
use super::{definition, network, node, pod, storage, workload};

/// One column.
pub(super) struct Col {
    name: &'static str,
    priority: i64,
    cell: Cell,
}

/// Where a cell comes from.
enum Cell {
    Name,
    /// Time since a path's time.
    Since(&'static str),
    /// The string at a path, or a word in its place.
    Text(&'static str, &'static str),
    Integer(&'static str),
    Boolean(&'static str, bool),
    /// Number of elements at a path.
    Count(&'static str),
    Of(fn(&Row<'_>) -> String),
    Value(fn(&Row<'_>) -> Value),
}

impl Col {
    /// The column's entry in `columnDefinitions`.
    pub(super) fn definition(&self) -> Value {
        let (ty, format) = match self.cell {
            Cell::Name => ("string", "name"),
            Cell::Integer(_) | Cell::Count(_) => ("integer", ""),
            Cell::Boolean(..) => ("boolean", ""),
            _ => ("string", ""),
        };
        definition(self.name, ty, format, "", self.priority)
    }

    /// The cell of one object.
    pub(super) fn cell(&self, row: &Row<'_>) -> Value {
        match &self.cell {
            Cell::Name => row.name().into(),
            Cell::Since(path) => row.age(path).into(),
            Cell::Text(path, default) => match row.at(path) {
                Value::String(text) if !text.is_empty() => text.as_str().into(),
                _ => (*default).into(),
            },
            Cell::Integer(path) => row.integer(path).into(),
            Cell::Boolean(path, default) => row.at(path).as_bool().unwrap_or(*default).into(),
            Cell::Count(path) => match row.at(path) {
                Value::Array(items) => items.len().into(),
                Value::Object(fields) => fields.len().into(),
                _ => 0.into(),
            },
            Cell::Of(text) => text(row).into(),
            Cell::Value(value) => value(row),
        }
    }

    /// The same column, shown by `-o wide` alone.
    const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

const fn col(name: &'static str, cell: Cell) -> Col {
    Col {
        name,
        priority: 0,
        cell,
    }
}

const fn text(name: &'static str, path: &'static str) -> Col {
    col(name, Cell::Text(path, ""))
}

const fn text_or(name: &'static str, path: &'static str, default: &'static str) -> Col {
    col(name, Cell::Text(path, default))
}

const fn integer(name: &'static str, path: &'static str) -> Col {
    col(name, Cell::Integer(path))
}

/// Numbers in a column of texts, for whatever reason.
const fn number_as_text(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Col {
    col(name, Cell::Value(cell))
}

const fn of(name: &'static str, text: fn(&Row<'_>) -> String) -> Col {
    col(name, Cell::Of(text))
}

const NAME: Col = col("Name", Cell::Name);
const AGE: Col = col("Age", Cell::Since("metadata.creationTimestamp"));
const CONTAINERS: Col = of("Containers", |row| workload::containers(row, "name")).wide();
const IMAGES: Col = of("Images", |row| workload::containers(row, "image")).wide();
const SELECTOR: Col = of("Selector", workload::selector).wide();

/// The columns of `autoscaling/v1` `Scale`.
pub(super) const SCALE: &[Col] = &[
    NAME,
    integer("Desired", "spec.replicas"),
    integer("Available", "status.replicas"),
    AGE,
];

const REPLICAS: &[Col] = &[
    NAME,
    col("Desired", Cell::Value(|row| workload::desired(row).into())),
    integer("Current", "status.replicas"),
    integer("Ready", "status.readyReplicas"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const BINDINGS: &[Col] = &[
    NAME,
    of("Role", |row| {
        format!("{}/{}", row.text("roleRef.kind"), row.text("roleRef.name"))
    }),
    AGE,
    of("Users", |row| node::subjects(row, "User")).wide(),
    of("Groups", |row| node::subjects(row, "Group")).wide(),
    of("ServiceAccounts", |row| {
        node::subjects(row, "ServiceAccount")
    })
    .wide(),
];

const WEBHOOKS: &[Col] = &[NAME, col("Webhooks", Cell::Count("webhooks")), AGE];
const PARAM_KIND: Col = of("ParamKind", |row| match row.at("spec.paramKind") {
    Value::Null => "<unset>".to_owned(),
    kind => format!("{}/{}", scalar(&kind["apiVersion"]), scalar(&kind["kind"])),
});
const POLICY_BINDINGS: &[Col] = &[
    NAME,
    text("PolicyName", "spec.policyName"),
    of("ParamRef", node::param_ref),
    AGE,
];

const EVENTS: &[Col] = &[
    of("Last Seen", |row| node::event_seen(row).0),
    text("Type", "type"),
    text("Reason", "reason"),
    of("Object", node::event_object),
    of("Subobject", |row| {
        node::event_involved(row)["fieldPath"]
            .as_str()
            .unwrap_or_default()
            .into()
    })
    .wide(),
    of("Source", node::event_source).wide(),
    of("Message", |row| {
        row.text_or("message", row.text("note")).trim().to_owned()
    }),
    of("First Seen", |row| node::event_seen(row).1).wide(),
    col("Count", Cell::Value(|row| node::event_count(row).into())).wide(),
    col("Name", Cell::Name).wide(),
];

const PODS: &[Col] = &[
    NAME,
    of("Ready", |row| pod::Summary::of(row).ready()),
    of("Status", |row| pod::Summary::of(row).status),
    of("Restarts", |row| pod::Summary::of(row).restarts(row)),
    AGE,
    of("IP", pod::ip).wide(),
    text_or("Node", "spec.nodeName", "<none>").wide(),
    text_or("Nominated Node", "status.nominatedNodeName", "<none>").wide(),
    of("Readiness Gates", pod::readiness_gates).wide(),
];
const POD_TEMPLATES: &[Col] = &[
    NAME,
    of("Containers", |row| workload::containers(row, "name")),
    of("Images", |row| workload::containers(row, "image")),
    of("Pod Labels", |row| {
        labels(row.at("template.metadata.labels"))
    }),
];
const SERVICES: &[Col] = &[
    NAME,
    text("Type", "spec.type"),
    of("Cluster-IP", network::cluster_ip),
    of("External-IP", network::external_ip),
    of("Port(s)", network::service_ports),
    AGE,
    of("Selector", |row| labels(row.at("spec.selector"))).wide(),
];
const ENDPOINTS: &[Col] = &[NAME, of("Endpoints", network::endpoints), AGE];
const NODES: &[Col] = &[
    NAME,
    of("Status", node::status),
    of("Roles", node::roles),
    AGE,
    text("Version", "status.nodeInfo.kubeletVersion"),
    of("Internal-IP", |row| node::address(row, "InternalIP")).wide(),
    of("External-IP", |row| node::address(row, "ExternalIP")).wide(),
    text_or("OS-Image", "status.nodeInfo.osImage", "<unknown>").wide(),
    text_or(
        "Kernel-Version",
        "status.nodeInfo.kernelVersion",
        "<unknown>",
    )
    .wide(),
    text_or(
        "Container-Runtime",
        "status.nodeInfo.containerRuntimeVersion",
        "<unknown>",
    )
    .wide(),
];
const NAMESPACES: &[Col] = &[NAME, text("Status", "status.phase"), AGE];
const SECRETS: &[Col] = &[
    NAME,
    text("Type", "type"),
    col("Data", Cell::Count("data")),
    AGE,
];
const CONFIG_MAPS: &[Col] = &[
    NAME,
    col(
        "Data",
        Cell::Value(|row| storage::config_entries(row).into()),
    ),
    AGE,
];
const PERSISTENT_VOLUMES: &[Col] = &[
    NAME,
    of("Capacity", |row| {
        scalar_or(row.at("spec.capacity.storage"), "0")
    }),
    of("Access Modes", |row| {
        storage::access_modes(row.at("spec.accessModes"))
    }),
    text("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
    of("Status", storage::phase),
    of("Claim", storage::claim),
    of("StorageClass", storage::class),
    text_or(
        "VolumeAttributesClass",
        "spec.volumeAttributesClassName",
        "<unset>",
    ),
    text("Reason", "status.reason"),
    AGE,
    text_or("VolumeMode", "spec.volumeMode", "<unset>").wide(),
];
const PERSISTENT_VOLUME_CLAIMS: &[Col] = &[
    NAME,
    of("Status", storage::phase),
    text("Volume", "spec.volumeName"),
    of("Capacity", |row| {
        storage::bound(row, |row| scalar_or(row.at("status.capacity.storage"), "0"))
    }),
    of("Access Modes", |row| {
        storage::bound(row, |row| {
            storage::access_modes(row.at("status.accessModes"))
        })
    }),
    of("StorageClass", storage::class),
    text_or(
        "VolumeAttributesClass",
        "spec.volumeAttributesClassName",
        "<unset>",
    ),
    AGE,
    text_or("VolumeMode", "spec.volumeMode", "<unset>").wide(),
];
const RESOURCE_QUOTAS: &[Col] = &[
    NAME,
    of("Request", |row| storage::quota(row, false)),
    of("Limit", |row| storage::quota(row, true)),
    AGE,
];
const COMPONENT_STATUSES: &[Col] = &[
    NAME,
    of("Status", |row| node::component(row, "status")),
    of("Message", |row| node::component(row, "message")),
    of("Error", |row| node::component(row, "error")),
];
const DEPLOYMENTS: &[Col] = &[
    NAME,
    of("Ready", workload::ready_of_desired),
    number_as_text("Up-to-date", |row| {
        row.integer("status.updatedReplicas").into()
    }),
    number_as_text("Available", |row| {
        row.integer("status.availableReplicas").into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const STATEFUL_SETS: &[Col] = &[
    NAME,
    of("Ready", workload::ready_of_desired),
    AGE,
    CONTAINERS,
    IMAGES,
];
const DAEMON_SETS: &[Col] = &[
    NAME,
    integer("Desired", "status.desiredNumberScheduled"),
    integer("Current", "status.currentNumberScheduled"),
    integer("Ready", "status.numberReady"),
    integer("Up-to-date", "status.updatedNumberScheduled"),
    integer("Available", "status.numberAvailable"),
    of("Node Selector", |row| {
        labels(row.at("spec.template.spec.nodeSelector"))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const CONTROLLER_REVISIONS: &[Col] = &[
    NAME,
    of("Controller", workload::controller),
    integer("Revision", "revision"),
    AGE,
];
const JOBS: &[Col] = &[
    NAME,
    of("Status", workload::job_status),
    of("Completions", workload::job_completions),
    of("Duration", workload::job_duration),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const CRON_JOBS: &[Col] = &[
    NAME,
    text("Schedule", "spec.schedule"),
    text_or("Timezone", "spec.timeZone", "<none>"),
    of("Suspend", workload::is_suspended),
    col("Active", Cell::Count("status.active")),
    of("Last Schedule", workload::last_schedule),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const POD_AUTOSCALERS: &[Col] = &[
    NAME,
    of("Reference", |row| {
        format!(
            "{}/{}",
            row.text("spec.scaleTargetRef.kind"),
            row.text("spec.scaleTargetRef.name")
        )
    }),
    of("Targets", workload::metrics),
    of("MinPods", |row| {
        scalar_or(row.at("spec.minReplicas"), "<unset>")
    }),
    integer("MaxPods", "spec.maxReplicas"),
    integer("Replicas", "status.currentReplicas"),
    AGE,
];
const DISRUPTION_BUDGETS: &[Col] = &[
    NAME,
    of("Min Available", |row| {
        scalar_or(row.at("spec.minAvailable"), "N/A")
    }),
    of("Max Unavailable", |row| {
        scalar_or(row.at("spec.maxUnavailable"), "N/A")
    }),
    integer("Allowed Disruptions", "status.disruptionsAllowed"),
    AGE,
];
const INGRESSES: &[Col] = &[
    NAME,
    text_or("Class", "spec.ingressClassName", "<none>"),
    of("Hosts", network::hosts),
    of("Address", |row| network::load_balancer(row).join(",")),
    of("Ports", network::ingress_ports),
    AGE,
];
const INGRESS_CLASSES: &[Col] = &[
    NAME,
    text("Controller", "spec.controller"),
    of("Parameters", network::class_parameters),
    AGE,
];
const NETWORK_POLICIES: &[Col] = &[
    NAME,
    of("Pod-Selector", |row| {
        super::row::selector(row.at("spec.podSelector"))
    }),
    AGE,
];
const SERVICE_CIDRS: &[Col] = &[NAME, of("CIDRs", network::cidrs), AGE];
const IP_ADDRESSES: &[Col] = &[NAME, of("ParentRef", network::parent), AGE];
const ENDPOINT_SLICES: &[Col] = &[
    NAME,
    text("AddressType", "addressType"),
    of("Ports", network::slice_ports),
    of("Endpoints", network::slice_addresses),
    AGE,
];
const STORAGE_CLASSES: &[Col] = &[
    of("Name", storage::name_of_class),
    text("Provisioner", "provisioner"),
    text_or("ReclaimPolicy", "reclaimPolicy", "Delete"),
    text_or("VolumeBindingMode", "volumeBindingMode", "Immediate"),
    col(
        "AllowVolumeExpansion",
        Cell::Boolean("allowVolumeExpansion", false),
    ),
    AGE,
];
const VOLUME_ATTRIBUTES_CLASSES: &[Col] = &[
    of("Name", storage::name_of_class),
    text("DriverName", "driverName"),
    AGE,
];
const VOLUME_ATTACHMENTS: &[Col] = &[
    NAME,
    text("Attacher", "spec.attacher"),
    text("PV", "spec.source.persistentVolumeName"),
    text("Node", "spec.nodeName"),
    col("Attached", Cell::Boolean("status.attached", false)),
    AGE,
];
const CSI_NODES: &[Col] = &[NAME, col("Drivers", Cell::Count("spec.drivers")), AGE];
const CSI_DRIVERS: &[Col] = &[
    NAME,
    col("AttachRequired", Cell::Boolean("spec.attachRequired", true)),
    col(
        "PodInfoOnMount",
        Cell::Boolean("spec.podInfoOnMount", false),
    ),
    col(
        "StorageCapacity",
        Cell::Boolean("spec.storageCapacity", false),
    ),
    of("TokenRequests", storage::token_requests),
    col(
        "RequiresRepublish",
        Cell::Boolean("spec.requiresRepublish", false),
    ),
    of("Modes", storage::lifecycle_modes),
    AGE,
];
const CSI_STORAGE_CAPACITIES: &[Col] = &[
    NAME,
    text("StorageClassName", "storageClassName"),
    of("Capacity", |row| scalar_or(row.at("capacity"), "<unset>")),
];
const VALIDATING_POLICIES: &[Col] = &[
    NAME,
    col("Validations", Cell::Count("spec.validations")),
    PARAM_KIND,
    AGE,
];
const MUTATING_POLICIES: &[Col] = &[
    NAME,
    col("Mutations", Cell::Count("spec.mutations")),
    PARAM_KIND,
    AGE,
];
const FLOW_SCHEMAS: &[Col] = &[
    NAME,
    text("PriorityLevel", "spec.priorityLevelConfiguration.name"),
    integer("MatchingPrecedence", "spec.matchingPrecedence"),
    text_or(
        "DistinguisherMethod",
        "spec.distinguisherMethod.type",
        "<none>",
    ),
    AGE,
    of("MissingPL", |row| {
        row.condition("Dangling")
            .map_or("?".to_owned(), |condition| scalar(&condition["status"]))
    }),
];
const PRIORITY_LEVELS: &[Col] = &[
    NAME,
    text("Type", "spec.type"),
    of("NominalConcurrencyShares", |row| {
        scalar_or(row.at("spec.limited.nominalConcurrencyShares"), "<none>")
    }),
    of("Queues", |row| queuing(row, "queues")),
    of("HandSize", |row| queuing(row, "handSize")),
    of("QueueLengthLimit", |row| queuing(row, "queueLengthLimit")),
    AGE,
];
const NAME_AND_AGE: &[Col] = &[NAME, AGE];
const RESOURCE_CLAIMS: &[Col] = &[NAME, of("State", storage::claim_state), AGE];
const RESOURCE_SLICES: &[Col] = &[
    NAME,
    text("Node", "spec.nodeName"),
    text("Driver", "spec.driver"),
    text("Pool", "spec.pool.name"),
    AGE,
];
const CERTIFICATE_REQUESTS: &[Col] = &[
    NAME,
    AGE,
    text_or("SignerName", "spec.signerName", "<none>"),
    text("Requestor", "spec.username"),
    of("RequestedDuration", node::requested_duration),
    of("Condition", node::request_condition),
];
const LEASES: &[Col] = &[NAME, text("Holder", "spec.holderIdentity"), AGE];
const PRIORITY_CLASSES: &[Col] = &[
    NAME,
    integer("Value", "value"),
    col("Global-Default", Cell::Boolean("globalDefault", false)),
    AGE,
    text("PreemptionPolicy", "preemptionPolicy"),
];
const RUNTIME_CLASSES: &[Col] = &[NAME, text("Handler", "handler"), AGE];
const API_SERVICES: &[Col] = &[
    NAME,
    of("Service", node::api_service),
    of("Available", node::api_service_available),
    AGE,
];

fn queuing(row: &Row<'_>, field: &str) -> String {
    scalar_or(
        &row.at("spec.limited.limitResponse.queuing")[field],
        "<none>",
    )
}

/// The columns of a built-in kind; `None` for kinds that have only a name and the time of their creation.
pub(super) fn columns(group: &str, plural: &str) -> Option<&'static [Col]> {
    Some(match (group, plural) {
        ("", "pods") => PODS,
        ("", "podtemplates") => POD_TEMPLATES,
        ("", "replicationcontrollers") => REPLICAS,
        ("", "services") => SERVICES,
        ("", "endpoints") => ENDPOINTS,
        ("", "nodes") => NODES,
        ("", "events") => EVENTS,
        ("", "namespaces") => NAMESPACES,
        ("", "secrets") => SECRETS,
        ("", "configmaps") => CONFIG_MAPS,
        ("", "serviceaccounts") => NAME_AND_AGE,
        ("", "persistentvolumes") => PERSISTENT_VOLUMES,
        ("", "persistentvolumeclaims") => PERSISTENT_VOLUME_CLAIMS,
        ("", "resourcequotas") => RESOURCE_QUOTAS,
        ("", "componentstatuses") => COMPONENT_STATUSES,
        ("apps", "deployments") => DEPLOYMENTS,
        ("apps", "replicasets") => REPLICAS,
        ("apps", "statefulsets") => STATEFUL_SETS,
        ("apps", "daemonsets") => DAEMON_SETS,
        ("apps", "controllerrevisions") => CONTROLLER_REVISIONS,
        ("batch", "jobs") => JOBS,
        ("batch", "cronjobs") => CRON_JOBS,
        ("autoscaling", "horizontalpodautoscalers") => POD_AUTOSCALERS,
        ("policy", "poddisruptionbudgets") => DISRUPTION_BUDGETS,
        ("networking.k8s.io", "ingresses") => INGRESSES,
        ("networking.k8s.io", "ingressclasses") => INGRESS_CLASSES,
        ("networking.k8s.io", "networkpolicies") => NETWORK_POLICIES,
        ("networking.k8s.io", "servicecidrs") => SERVICE_CIDRS,
        ("networking.k8s.io", "ipaddresses") => IP_ADDRESSES,
        ("discovery.k8s.io", "endpointslices") => ENDPOINT_SLICES,
        ("storage.k8s.io", "storageclasses") => STORAGE_CLASSES,
        ("storage.k8s.io", "volumeattributesclasses") => VOLUME_ATTRIBUTES_CLASSES,
        ("storage.k8s.io", "volumeattachments") => VOLUME_ATTACHMENTS,
        ("storage.k8s.io", "csinodes") => CSI_NODES,
        ("storage.k8s.io", "csidrivers") => CSI_DRIVERS,
        ("storage.k8s.io", "csistoragecapacities") => CSI_STORAGE_CAPACITIES,
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations",
        ) => WEBHOOKS,
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => VALIDATING_POLICIES,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => MUTATING_POLICIES,
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings",
        ) => POLICY_BINDINGS,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => FLOW_SCHEMAS,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => PRIORITY_LEVELS,
        ("resource.k8s.io", "deviceclasses" | "resourceclaimtemplates") => NAME_AND_AGE,
        ("resource.k8s.io", "resourceclaims") => RESOURCE_CLAIMS,
        ("resource.k8s.io", "resourceslices") => RESOURCE_SLICES,
        ("events.k8s.io", "events") => EVENTS,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => BINDINGS,
        ("certificates.k8s.io", "certificatesigningrequests") => CERTIFICATE_REQUESTS,
        ("coordination.k8s.io", "leases") => LEASES,
        ("scheduling.k8s.io", "priorityclasses") => PRIORITY_CLASSES,
        ("node.k8s.io", "runtimeclasses") => RUNTIME_CLASSES,
        ("apiregistration.k8s.io", "apiservices") => API_SERVICES,
        _ => return None,
    })
}
