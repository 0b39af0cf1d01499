//! What the topology of a Cluster must be, by itself and for its ClusterClass, and how it may change. Pure.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::cluster::Cluster;
use super::cluster_class::ClusterClass;
use super::cluster_class_rules::{check_compatible, check_health};
use super::rules::{self, Version};
use super::topology::{MachineDeploymentTopology, MachinePoolTopology, Topology, Variable};
use super::variables;
use super::workers::WorkersKind;
use crate::meta::{FieldError, MachineTaint, labels};

impl Topology {
    /// The entries for MachineDeployments.
    pub fn machine_deployments(&self) -> impl Iterator<Item = &MachineDeploymentTopology> {
        let workers = self.workers.as_ref();
        let entries = workers.and_then(|w| w.machine_deployments.as_deref());
        entries.unwrap_or_default().iter()
    }

    /// The entries for MachinePools.
    pub fn machine_pools(&self) -> impl Iterator<Item = &MachinePoolTopology> {
        let workers = self.workers.as_ref();
        let entries = workers.and_then(|w| w.machine_pools.as_deref());
        entries.unwrap_or_default().iter()
    }
}

impl Cluster {
    fn is_annotated(&self, annotation: &str) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|a| a.contains_key(annotation))
    }

    /// The namespace and name of the ClusterClass, if the Cluster has a topology.
    #[must_use]
    pub fn class(&self) -> Option<(String, String)> {
        let class = &self.spec.topology.as_ref()?.class_ref;
        let namespace = class.namespace.clone();
        let namespace = namespace.or_else(|| self.metadata.namespace.clone());
        Some((namespace.unwrap_or_default(), class.name.clone()))
    }
}

/// What is wrong with a topology, whatever its class.
pub fn check(cluster: &Cluster, topology: &Topology, errors: &mut Vec<FieldError>) {
    rules::check_version("spec.topology.version", &topology.version, errors);
    let annotations = cluster.metadata.annotations.as_ref();
    let concurrency = annotations.and_then(|a| a.get(labels::TOPOLOGY_UPGRADE_CONCURRENCY));
    if let Some(text) = concurrency
        && !text.parse::<u32>().is_ok_and(|n| n >= 1)
    {
        let path = format!(
            "metadata.annotations[{}]",
            labels::TOPOLOGY_UPGRADE_CONCURRENCY
        );
        let why = format!("{text:?} must be a number of 1 or more");
        errors.push(FieldError::invalid(path, why));
    }
    let path = "spec.topology.controlPlane";
    if let Some(control_plane) = &topology.control_plane {
        let taints = control_plane.taints.as_deref();
        rules::check_taints(&format!("{path}.taints"), taints, true, errors);
        if let Some(health) = &control_plane.health_check {
            let trigger = health.remediation.as_ref();
            let trigger = trigger.and_then(|r| r.trigger_if.as_ref());
            check_health(
                &format!("{path}.healthCheck"),
                health.checks.as_ref(),
                trigger,
                errors,
            );
        }
    }
    for entry in topology.groups() {
        let path = entry.path();
        if entry.replicas.is_some_and(|r| r < 0) {
            errors.push(FieldError::invalid(
                format!("{path}.replicas"),
                "must be 0 or more",
            ));
        }
        check_worker_taints(&path, entry.kind, entry.taints, errors);
    }
    for entry in topology.machine_deployments() {
        check_machine_deployment(entry, errors);
    }
}

/// What is wrong with the taints of a group of workers, or of a class of them. MachinePools have none.
pub(super) fn check_worker_taints(
    path: &str,
    kind: WorkersKind,
    taints: Option<&[MachineTaint]>,
    errors: &mut Vec<FieldError>,
) {
    let path = format!("{path}.taints");
    if kind == WorkersKind::MachinePool && taints.is_some_and(|taints| !taints.is_empty()) {
        let why = "MachinePools cannot have taints; say them in the kubelet's settings of the bootstrap config";
        errors.push(FieldError::forbidden(path, why));
        return;
    }
    rules::check_taints(&path, taints, false, errors);
}

fn path_of(entry: &MachineDeploymentTopology) -> String {
    format!("spec.topology.workers.machineDeployments[{}]", entry.name)
}

fn check_machine_deployment(entry: &MachineDeploymentTopology, errors: &mut Vec<FieldError>) {
    let path = path_of(entry);
    if let Some(health) = &entry.health_check {
        let remediation = health.remediation.as_ref();
        let trigger = remediation.and_then(|r| r.trigger_if.as_ref());
        let path = format!("{path}.healthCheck");
        check_health(&path, health.checks.as_ref(), trigger, errors);
        rules::check_scaled(
            &format!("{path}.remediation.maxInFlight"),
            remediation.and_then(|r| r.max_in_flight.as_ref()),
            errors,
        );
    }
    let strategy = entry.rollout.as_ref().and_then(|r| r.strategy.as_ref());
    if let Some(bounds) = strategy.and_then(|s| s.rolling_update.as_ref()) {
        let path = format!("{path}.rollout.strategy.rollingUpdate");
        let (surge, missing) = (bounds.max_surge.as_ref(), bounds.max_unavailable.as_ref());
        rules::check_scaled(&format!("{path}.maxSurge"), surge, errors);
        rules::check_scaled(&format!("{path}.maxUnavailable"), missing, errors);
        let zero = Some(&IntOrString::Int(0));
        if surge == zero && missing == zero {
            errors.push(FieldError::invalid(
                format!("{path}.maxUnavailable"),
                "must not be 0 when maxSurge is 0: no machine could ever be replaced",
            ));
        }
    }
}

/// What may not change, whatever the class.
pub fn check_change(new: &Cluster, old: &Cluster, errors: &mut Vec<FieldError>) {
    let (before, after) = match (&old.spec.topology, &new.spec.topology) {
        (None, None) => return,
        (None, Some(_)) => {
            if !new.is_annotated(labels::TOPOLOGY_UNSAFE_CLASS) {
                let why = format!(
                    "cannot be given to a Cluster that is there without one: its parts have other names; annotation {} allows it",
                    labels::TOPOLOGY_UNSAFE_CLASS
                );
                errors.push(FieldError::forbidden("spec.topology", why));
            }
            return;
        }
        (Some(_), None) => {
            let why = "cannot be removed: nobody would manage the parts of the Cluster any more";
            errors.push(FieldError::forbidden("spec.topology", why));
            return;
        }
        (Some(before), Some(after)) => (before, after),
    };
    let versions = (
        Version::parse(&before.version),
        Version::parse(&after.version),
    );
    if let (Some(from), Some(to)) = versions
        && to.numbers() < from.numbers()
        && !new.is_annotated(labels::TOPOLOGY_UNSAFE_VERSION)
    {
        let why = format!(
            "cannot go back from {} to {}",
            before.version, after.version
        );
        errors.push(FieldError::forbidden("spec.topology.version", why));
    }
}

/// What cannot be changed while the class cannot be read: whether a class or a version may follow another one is a matter of the class.
#[must_use]
pub fn check_blind(new: &Cluster, old: &Cluster) -> Option<FieldError> {
    let version = |cluster: &Cluster| cluster.spec.topology.as_ref().map(|t| t.version.clone());
    let (class, before) = (new.class()?, old.class()?);
    let is_changed = class != before || version(new) != version(old);
    if !is_changed || new.is_annotated(labels::TOPOLOGY_UNSAFE_CLASS) {
        return None;
    }
    let (namespace, name) = class;
    Some(FieldError::forbidden(
        "spec.topology.classRef",
        format!(
            "ClusterClass {namespace}/{name} is not there, or is not shared with this namespace: class and version can only be changed with one that is"
        ),
    ))
}

/// Fills in what the variables of the class have defaults for.
pub fn default_for_class(topology: &mut Topology, class: &ClusterClass) {
    let definitions = &*class.all_variables();
    variables::default_values(&mut topology.variables, definitions, false);
    let control_plane = topology.control_plane.as_mut();
    let mut overrides: Vec<_> = control_plane
        .into_iter()
        .filter_map(|c| c.variables.as_mut())
        .collect();
    if let Some(workers) = &mut topology.workers {
        let deployments = workers.machine_deployments.iter_mut().flatten();
        overrides.extend(deployments.filter_map(|e| e.variables.as_mut()));
        let pools = workers.machine_pools.iter_mut().flatten();
        overrides.extend(pools.filter_map(|e| e.variables.as_mut()));
    }
    for overrides in overrides {
        variables::default_values(&mut overrides.overrides, definitions, true);
    }
}

/// What is wrong with a topology for its class.
#[must_use]
pub fn check_for_class(topology: &Topology, class: &ClusterClass) -> Vec<FieldError> {
    // While an extension has not said which variables there are, nothing can be said about values. The controller of topologies waits for
    // that.
    check_known(topology, class, class.has_all_variables())
}

/// The same, with values for variables that are known so far, or without.
pub(super) fn check_known(
    topology: &Topology,
    class: &ClusterClass,
    has_all: bool,
) -> Vec<FieldError> {
    let mut errors = vec![];
    let definitions = &*class.all_variables();
    let check_values =
        |path: &str, values: Option<&[Variable]>, is_part, errors: &mut Vec<FieldError>| {
            if has_all {
                variables::check_values(path, values, definitions, is_part, errors);
            }
        };
    let path = "spec.topology.variables";
    let values = topology.variables.as_deref();
    check_values(path, values, false, &mut errors);
    let versions = class.kubernetes_versions();
    if !versions.is_empty() && !versions.contains(&topology.version) {
        let why = format!(
            "{} must be one of those of the class: {}",
            topology.version,
            versions.join(", ")
        );
        errors.push(FieldError::invalid("spec.topology.version", why));
    }
    if let Some(control_plane) = &topology.control_plane {
        let path = "spec.topology.controlPlane";
        let overrides = control_plane.variables.as_ref();
        let overrides = overrides.and_then(|v| v.overrides.as_deref());
        let variables_path = format!("{path}.variables.overrides");
        check_values(&variables_path, overrides, true, &mut errors);
        if let Some(health) = &control_plane.health_check {
            let of_class = &class.spec.control_plane;
            let path = format!("{path}.healthCheck");
            if of_class.machine_infrastructure.is_none() {
                let why =
                    "can only be set if the class has spec.controlPlane.machineInfrastructure";
                errors.push(FieldError::forbidden(&path, why));
            }
            let has_checks = health.checks.is_some() || of_class.health_check.is_some();
            check_enabled(&path, health.enabled, has_checks, &mut errors);
        }
    }
    for entry in topology.groups() {
        let path = entry.path();
        let variables_path = format!("{path}.variables.overrides");
        let overrides = entry.overrides;
        check_values(&variables_path, overrides, true, &mut errors);
        if class.workers_class(entry.kind, entry.class).is_none() {
            let known = class.workers().filter(|c| c.kind == entry.kind);
            let known: Vec<&str> = known.map(|c| c.class).collect();
            let why = format!(
                "{:?} must be one of those of the class: {}",
                entry.class,
                known.join(", ")
            );
            errors.push(FieldError::invalid(format!("{path}.class"), why));
        }
    }
    for entry in topology.machine_deployments() {
        let path = path_of(entry);
        let of_class = class.machine_deployment(&entry.class);
        if let (Some(health), Some(of_class)) = (&entry.health_check, of_class) {
            let has_checks = health.checks.is_some() || of_class.health_check.is_some();
            check_enabled(
                &format!("{path}.healthCheck"),
                health.enabled,
                has_checks,
                &mut errors,
            );
        }
    }
    errors
}

fn check_enabled(
    path: &str,
    enabled: Option<bool>,
    has_checks: bool,
    errors: &mut Vec<FieldError>,
) {
    if enabled == Some(true) && !has_checks {
        let why = "neither the class nor the Cluster says what is checked";
        errors.push(FieldError::forbidden(format!("{path}.enabled"), why));
    }
}

/// How the version may change, for a class: over at most one minor version unless the class lists those between.
#[must_use]
pub fn check_version_step(new: &Cluster, old: &Cluster, class: &ClusterClass) -> Vec<FieldError> {
    let (Some(before), Some(after)) = (&old.spec.topology, &new.spec.topology) else {
        return vec![];
    };
    let is_planned =
        !class.kubernetes_versions().is_empty() || class.upgrade_plan_extension().is_some();
    if new.is_annotated(labels::TOPOLOGY_UNSAFE_VERSION) || is_planned {
        return vec![];
    }
    let versions = (
        Version::parse(&before.version),
        Version::parse(&after.version),
    );
    match versions {
        (Some(from), Some(to)) if to.major > from.major || to.minor > from.minor + 1 => {
            let why = format!(
                "cannot go from {} to {}: only one minor version at once, unless the class lists those between in spec.kubernetesVersions, or names an extension that plans upgrades",
                before.version, after.version
            );
            vec![FieldError::forbidden("spec.topology.version", why)]
        }
        _ => vec![],
    }
}

/// How the class may change: to one whose parts are of the same kinds.
#[must_use]
pub fn check_rebase(old: &ClusterClass, new: &ClusterClass) -> Vec<FieldError> {
    let mut found = vec![];
    check_compatible(old, new, &mut found);
    let why = |error: FieldError| {
        let why = format!("the classes do not fit together: {error}");
        FieldError::forbidden("spec.topology.classRef", why)
    };
    found.into_iter().map(why).collect()
}

/// Why the version cannot change now: the cluster has not come to the one it has yet.
#[must_use]
pub fn check_settled(
    new: &Cluster,
    old: &Cluster,
    control_plane: Option<&Value>,
    workers: &[Value],
) -> Vec<FieldError> {
    let (Some(before), Some(after)) = (&old.spec.topology, &new.spec.topology) else {
        return vec![];
    };
    if before.version == after.version || new.is_annotated(labels::TOPOLOGY_UNSAFE_VERSION) {
        return vec![];
    }
    let mut waiting = vec![];
    if let Some(control_plane) = control_plane {
        let kind = control_plane["kind"]
            .as_str()
            .unwrap_or("the control plane");
        let wanted = control_plane["spec"]["version"]
            .as_str()
            .unwrap_or_default();
        let versions = control_plane["status"]["versions"].as_array();
        let mut found = versions
            .into_iter()
            .flatten()
            .filter_map(|v| v["version"].as_str());
        if wanted != before.version {
            waiting.push(format!("{kind} does not have {} yet", before.version));
        } else if versions.is_none_or(Vec::is_empty) {
            waiting.push(format!("{kind} is being set up"));
        } else if found.any(|version| version != wanted) {
            waiting.push(format!("{kind} is upgrading to {wanted}"));
        }
    }
    let is_behind = |group: &&Value| {
        let found = group["status"]["versions"].as_array();
        let mut found = found.into_iter().flatten();
        group["spec"]["template"]["spec"]["version"] != before.version
            || found.any(|v| v["version"] != before.version)
    };
    let behind = workers.iter().filter(is_behind);
    let behind: Vec<&str> = behind
        .filter_map(|group| group["metadata"]["name"].as_str())
        .collect();
    if !behind.is_empty() {
        waiting.push(format!(
            "not upgraded to {} yet: {}",
            before.version,
            behind.join(", ")
        ));
    }
    if old.is_pending("AfterClusterUpgrade") {
        waiting.push(
            "a runtime extension has not agreed to the end of the last upgrade (AfterClusterUpgrade)"
                .to_owned(),
        );
    }
    if waiting.is_empty() {
        return vec![];
    }
    let why = format!("cannot be changed now: {}", waiting.join("; "));
    vec![FieldError::forbidden("spec.topology.version", why)]
}
