//! What one object uses of a quota. The admission plugin and the controller that counts again share this.

use std::collections::BTreeMap;

use cel::Quantity;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::amounts::Amounts;
use crate::admission::needs::{self, Needs};
use crate::admission::{Operation, edit};

/// What quotas call compute resources of pods.
const POD_RESOURCES: &[&str] = &[
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// If a quota has one of these, containers must say how much they want.
const REQUIRED: &[&str] = &[
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
];
const SERVICE_RESOURCES: &[&str] = &[
    "count/services",
    "services",
    "services.nodeports",
    "services.loadbalancers",
];
const CLAIM_RESOURCES: &[&str] = &["persistentvolumeclaims", "requests.storage"];
const CLAIM_COUNT: &str = "count/persistentvolumeclaims";
const DEVICE_CLAIM_COUNT: &str = "count/resourceclaims.resource.k8s.io";
/// Behind the name of a device class.
const DEVICES_SUFFIX: &str = ".deviceclass.resource.k8s.io/devices";
/// Who asks for all devices of a class may get so many.
const DEVICES_MAX: i64 = 32;
const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";

/// How the objects of one resource are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    Pods,
    Services,
    Claims,
    /// ResourceClaims, by the devices that they may get.
    Devices,
    /// One each, under these names.
    Others(Vec<String>),
}

impl Counter {
    /// For a resource by its group (empty for the core group) and plural.
    #[must_use]
    pub fn of(group: &str, plural: &str) -> Self {
        match (group, plural) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("resource.k8s.io", "resourceclaims") => Self::Devices,
            ("", "configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets") => {
                Self::Others(vec![format!("count/{plural}"), plural.into()])
            }
            ("", _) => Self::Others(vec![format!("count/{plural}")]),
            _ => Self::Others(vec![format!("count/{plural}.{group}")]),
        }
    }

    /// Whether a quota for `name` counts these objects.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Pods => {
                POD_RESOURCES.contains(&name)
                    || name.starts_with("hugepages-")
                    || name.starts_with("requests.hugepages-")
                    || is_extended_request(name)
            }
            Self::Services => SERVICE_RESOURCES.contains(&name),
            Self::Claims => {
                let by_class = name.rsplit_once(CLASS_SUFFIX).map(|(_, resource)| resource);
                name == CLAIM_COUNT
                    || CLAIM_RESOURCES.contains(&name)
                    || by_class.is_some_and(|resource| CLAIM_RESOURCES.contains(&resource))
            }
            Self::Devices => name == DEVICE_CLAIM_COUNT || name.ends_with(DEVICES_SUFFIX),
            Self::Others(names) => names.iter().any(|own| own == name),
        }
    }

    /// Whether a write may change what is used.
    pub(super) fn handles(
        &self,
        operation: Operation,
        subresource: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> bool {
        use Operation::{Create, Update};
        match (self, operation, subresource) {
            (_, Create, "") | (Self::Services | Self::Claims | Self::Devices, Update, "") => true,
            (Self::Pods, Update, "resize") => true,
            (Self::Pods, Update, "") => {
                old.is_some_and(|old| is_terminating(old) != is_terminating(new))
            }
            (Self::Claims, Update, "status") => old.is_some_and(|old| {
                let allocated =
                    |claim: &Value| claim["status"]["allocatedResources"]["storage"].clone();
                allocated(old) != allocated(new)
                    || attributes_classes(old) != attributes_classes(new)
            }),
            _ => false,
        }
    }

    /// What one object uses at this time.
    #[must_use]
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        let mut used = Amounts::default();
        match self {
            Self::Pods => pod(object, now, &mut used),
            Self::Services => service(&object["spec"], &mut used),
            Self::Claims => claim(object, &mut used),
            Self::Devices => devices(&object["spec"]["devices"], &mut used),
            Self::Others(names) => {
                for name in names {
                    used.set(name.as_str(), Quantity::from(1_i64));
                }
            }
        }
        used
    }

    /// What containers leave unsaid of these resources, in Kubernetes' words; nothing if all is said.
    pub(super) fn missing(&self, object: &Value, resources: &[&str]) -> Option<String> {
        if *self != Self::Pods || needs::has_pod_level(object) {
            return None;
        }
        let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for list in ["containers", "initContainers"] {
            for container in edit::items(&object["spec"], list) {
                let said = compute(&Needs::of(container));
                for resource in resources.iter().filter(|name| REQUIRED.contains(name)) {
                    if said.get(resource).is_none() {
                        let names = missing.entry(resource).or_default();
                        names.push(edit::text(container, "name"));
                    }
                }
            }
        }
        if missing.is_empty() {
            return None;
        }
        let all: Vec<String> = missing
            .into_iter()
            .map(|(resource, mut names)| {
                names.sort_unstable();
                names.dedup();
                format!("{resource} for: {}", names.join(","))
            })
            .collect();
        Some(format!("must specify {}", all.join("; ")))
    }

    /// Whether an object is in the scope that one requirement of a quota names.
    fn is_in(&self, requirement: &Requirement<'_>, object: &Value) -> bool {
        match (self, requirement.scope) {
            (Self::Pods, "Terminating") => is_terminating(object),
            (Self::Pods, "NotTerminating") => !is_terminating(object),
            (Self::Pods, "BestEffort") => object["status"]["qosClass"] == "BestEffort",
            (Self::Pods, "NotBestEffort") => object["status"]["qosClass"] != "BestEffort",
            (Self::Pods, "CrossNamespacePodAffinity") => reaches_other_namespaces(object),
            (Self::Pods, "PriorityClass") => {
                let class = edit::text(&object["spec"], "priorityClassName");
                requirement.selects(&if class.is_empty() {
                    vec![]
                } else {
                    vec![class]
                })
            }
            (Self::Claims, "VolumeAttributesClass") => {
                requirement.selects(&attributes_classes(object))
            }
            _ => false,
        }
    }

    /// Whether an object is in all scopes of a quota with this spec.
    #[must_use]
    pub fn is_in_scope(&self, spec: &Value, object: &Value) -> bool {
        requirements(spec)
            .iter()
            .all(|requirement| self.is_in(requirement, object))
    }
}

/// One scope that a quota is limited to.
struct Requirement<'a> {
    scope: &'a str,
    operator: &'a str,
    values: Vec<&'a str>,
}

impl Requirement<'_> {
    /// Whether one of the classes that an object names is meant.
    fn selects(&self, classes: &[&str]) -> bool {
        let mut all = classes.iter();
        match self.operator {
            "Exists" => !classes.is_empty(),
            "DoesNotExist" => classes.is_empty(),
            "In" => all.any(|class| self.values.contains(class)),
            "NotIn" => classes.is_empty() || all.any(|class| !self.values.contains(class)),
            _ => false,
        }
    }
}

fn requirements(spec: &Value) -> Vec<Requirement<'_>> {
    let scopes = edit::items(spec, "scopes").filter_map(Value::as_str);
    let mut all: Vec<Requirement<'_>> = scopes
        .map(|scope| Requirement {
            scope,
            operator: "Exists",
            values: vec![],
        })
        .collect();
    for expression in edit::items(&spec["scopeSelector"], "matchExpressions") {
        all.push(Requirement {
            scope: edit::text(expression, "scopeName"),
            operator: edit::text(expression, "operator"),
            values: edit::items(expression, "values")
                .filter_map(Value::as_str)
                .collect(),
        });
    }
    all
}

/// `requests.example.com/gpu`: the only form in which quotas know resources that are not Kubernetes' own.
fn is_extended_request(name: &str) -> bool {
    name.strip_prefix("requests.").is_some_and(is_extended)
}

/// Whether a resource of containers is not Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.starts_with("deviceclass.resource.kubernetes.io/")
        || (name.contains('/') && !name.contains("kubernetes.io/"))
}

fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds >= 0)
}

/// Whether a pod's place depends on pods of other namespaces.
fn reaches_other_namespaces(pod: &Value) -> bool {
    let reaches = |term: &Value| {
        edit::items(term, "namespaces").next().is_some() || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &pod["spec"]["affinity"][*kind];
        edit::items(affinity, "requiredDuringSchedulingIgnoredDuringExecution").any(reaches)
            || edit::items(affinity, "preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| reaches(&weighted["podAffinityTerm"]))
    })
}

/// The attributes classes that a claim has, wants or is on its way to.
fn attributes_classes(claim: &Value) -> Vec<&str> {
    let status = &claim["status"];
    let all = [
        edit::text(&claim["spec"], "volumeAttributesClassName"),
        edit::text(status, "currentVolumeAttributesClassName"),
        edit::text(
            &status["modifyVolumeStatus"],
            "targetVolumeAttributesClassName",
        ),
    ];
    let mut all: Vec<&str> = all.into_iter().filter(|name| !name.is_empty()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A pod that is over needs nothing any more, and one whose time to go has passed is not held against anybody.
fn is_over(pod: &Value, now: Timestamp) -> bool {
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    ) {
        return true;
    }
    let meta = &pod["metadata"];
    let deleted: Option<Timestamp> = meta["deletionTimestamp"]
        .as_str()
        .and_then(|at| at.parse().ok());
    let grace = meta["deletionGracePeriodSeconds"].as_i64();
    match (deleted, grace) {
        (Some(at), Some(grace)) => at
            .checked_add(SignedDuration::from_secs(grace))
            .is_ok_and(|end| now > end),
        _ => false,
    }
}

/// When a pod that is going stops to count, if it has not yet.
#[must_use]
pub fn stops_counting(pod: &Value) -> Option<Timestamp> {
    let meta = &pod["metadata"];
    let at: Timestamp = meta["deletionTimestamp"].as_str()?.parse().ok()?;
    let grace = meta["deletionGracePeriodSeconds"].as_i64()?;
    at.checked_add(SignedDuration::from_secs(grace)).ok()
}

fn pod(pod: &Value, now: Timestamp, used: &mut Amounts) {
    used.set("count/pods", Quantity::from(1_i64));
    if !is_over(pod, now) {
        used.set("pods", Quantity::from(1_i64));
        used.add(&compute(&Needs::of_running_pod(pod)));
    }
}

/// Needs under the names that quotas have for them.
fn compute(needs: &Needs) -> Amounts {
    let mut used = Amounts::default();
    for (resource, amount) in &needs.requests {
        let is_plain = matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage");
        let is_huge = resource.starts_with("hugepages-");
        if is_plain || is_huge {
            used.set(resource.as_str(), *amount);
        }
        if is_plain || is_huge || is_extended(resource) {
            used.set(format!("requests.{resource}"), *amount);
        }
    }
    for (resource, amount) in &needs.limits {
        if matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.set(format!("limits.{resource}"), *amount);
        }
    }
    used
}

fn service(spec: &Value, used: &mut Amounts) {
    let ports = || edit::items(spec, "ports");
    let (node_ports, balancers) = match edit::text(spec, "type") {
        "NodePort" => (ports().count(), 0),
        // What has its ports by itself counts what it names; otherwise each port gets one.
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => {
            let named = ports().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0);
            (named.count(), 1)
        }
        "LoadBalancer" => (ports().count(), 1),
        _ => (0, 0),
    };
    for (name, count) in [
        ("count/services", 1),
        ("services", 1),
        ("services.nodeports", node_ports),
        ("services.loadbalancers", balancers),
    ] {
        used.set(name, Quantity::from(count));
    }
}

/// Of alternatives counts, for each class, the one that wants most.
fn devices(devices: &Value, used: &mut Amounts) {
    let wanted = |request: &Value| {
        let count = match edit::text(request, "allocationMode") {
            "ExactCount" => request["count"].as_i64().unwrap_or_default(),
            "All" => DEVICES_MAX,
            _ => 0,
        };
        let class = edit::text(request, "deviceClassName");
        (format!("{class}{DEVICES_SUFFIX}"), Quantity::from(count))
    };
    used.set(DEVICE_CLAIM_COUNT, Quantity::from(1_i64));
    for request in edit::items(devices, "requests") {
        let mut most: BTreeMap<String, Quantity> = BTreeMap::new();
        let exact = Some(&request["exactly"]).filter(|exact| exact.is_object());
        for one in exact
            .into_iter()
            .chain(edit::items(request, "firstAvailable"))
        {
            let (name, count) = wanted(one);
            let known = most.entry(name).or_default();
            *known = count.max(*known);
        }
        for (name, count) in most {
            let so_far = used.get(&name).unwrap_or_default();
            used.set(name, so_far.plus(count));
        }
    }
}

fn claim(claim: &Value, used: &mut Amounts) {
    let annotation = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    let class = annotation
        .as_str()
        .unwrap_or_else(|| edit::text(&claim["spec"], "storageClassName"));
    let mut set = |resource: &str, amount| {
        used.set(resource, amount);
        if !class.is_empty() {
            used.set(format!("{class}{CLASS_SUFFIX}{resource}"), amount);
        }
    };
    set("persistentvolumeclaims", Quantity::from(1_i64));
    let asked = Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    let allocated = Quantity::of(&claim["status"]["allocatedResources"]["storage"]);
    if let Some(asked) = asked {
        let storage = allocated.map_or(asked, |allocated| asked.max(allocated));
        set("requests.storage", storage.rounded_up());
    }
    used.set(CLAIM_COUNT, Quantity::from(1_i64));
}
