//! What a ClusterClass must be, and how it may change, also while clusters use it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cluster::Cluster;
use super::cluster_class::{
    ClassNames, ClassPatch, ClusterClass, ExternalPatch, INLINE, JsonPatch, MatchResources,
    PatchSelector,
};
use super::machine_health_check::{NODE_STARTUP_TIMEOUT_MIN, check_trigger};
use super::rules::{self, Version};
use super::topology::{HealthChecks, RemediationTrigger, Topology};
use super::topology_rules;
use super::variables::{self, BUILTIN};
use super::workers::{WorkersClassEntry, WorkersKind};
use crate::meta::{FieldError, TemplateRef};

/// What is wrong with a ClusterClass, also compared to what it was. There are no defaults.
#[must_use]
pub fn validate(new: &ClusterClass, old: Option<&ClusterClass>) -> Vec<FieldError> {
    let mut errors = vec![];
    for (path, reference) in new.template_refs() {
        if !reference.kind.ends_with("Template") || reference.kind == "Template" {
            let why = format!("{:?} must be the kind of a template", reference.kind);
            errors.push(FieldError::invalid(format!("{path}.kind"), why));
        }
    }
    check_control_plane(new, &mut errors);
    check_workers(new, &mut errors);
    check_namings(new, &mut errors);
    check_versions(new.kubernetes_versions(), &mut errors);
    variables::check_definitions("spec.variables", new.variables(), &mut errors);
    check_patches(new, &mut errors);
    check_handler(
        "spec.upgrade.external.generateUpgradePlanExtension",
        new.upgrade_plan_extension(),
        &mut errors,
    );
    if let Some(old) = old {
        check_compatible(old, new, &mut errors);
    }
    errors
}

fn check_control_plane(new: &ClusterClass, errors: &mut Vec<FieldError>) {
    let class = &new.spec.control_plane;
    let path = "spec.controlPlane";
    rules::check_taints(
        &format!("{path}.taints"),
        class.taints.as_deref(),
        true,
        errors,
    );
    let Some(health) = &class.health_check else {
        return;
    };
    let path = format!("{path}.healthCheck");
    if class.machine_infrastructure.is_none() {
        errors.push(FieldError::forbidden(
            &path,
            "can only be set together with spec.controlPlane.machineInfrastructure",
        ));
    }
    let trigger = health.remediation.as_ref();
    let trigger = trigger.and_then(|r| r.trigger_if.as_ref());
    check_health(&path, health.checks.as_ref(), trigger, errors);
}

/// What is wrong with a health check at `path`.
pub(super) fn check_health(
    path: &str,
    checks: Option<&HealthChecks>,
    trigger: Option<&RemediationTrigger>,
    errors: &mut Vec<FieldError>,
) {
    let seconds = checks.and_then(|c| c.node_startup_timeout_seconds);
    if seconds.is_some_and(|s| s != 0 && s < NODE_STARTUP_TIMEOUT_MIN) {
        errors.push(FieldError::invalid(
            format!("{path}.checks.nodeStartupTimeoutSeconds"),
            format!("must be {NODE_STARTUP_TIMEOUT_MIN} or more, or 0 for no limit"),
        ));
    }
    if let Some(trigger) = trigger {
        check_trigger(&format!("{path}.remediation.triggerIf"), trigger, errors);
    }
}

fn check_workers(new: &ClusterClass, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for class in new.workers() {
        let path = class.path();
        if !names.insert((class.kind, class.class)) {
            let why = format!("{:?} is there twice", class.class);
            errors.push(FieldError::invalid(format!("{path}.class"), why));
        }
        topology_rules::check_worker_taints(&path, class.kind, class.taints, errors);
    }
    for (i, class) in new.machine_deployments().enumerate() {
        let path = format!("spec.workers.machineDeployments[{i}]");
        if let Some(health) = &class.health_check {
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
    }
}

/// Templates of names may use what names are made of, and nothing else; and one name cannot do for all clusters.
fn check_namings(new: &ClusterClass, errors: &mut Vec<FieldError>) {
    let spec = &new.spec;
    let mut namings = vec![
        (
            "spec.infrastructure".to_owned(),
            spec.infrastructure.naming.as_ref(),
            String::new(),
        ),
        (
            "spec.controlPlane".to_owned(),
            spec.control_plane.naming.as_ref(),
            String::new(),
        ),
    ];
    namings.extend(new.workers().map(|class| {
        let own = format!(".{}.topologyName", class.kind.variable());
        (class.path(), class.naming, own)
    }));
    for (path, naming, own) in namings {
        let Some(template) = naming.and_then(|n| n.template.as_deref()) else {
            continue;
        };
        let path = format!("{path}.naming.template");
        let used = match variables_in(template) {
            Ok(used) => used,
            Err(why) => {
                errors.push(FieldError::invalid(path, why));
                continue;
            }
        };
        let known = [".cluster.name", ".random", &own];
        if let Some(other) = used.iter().find(|v| !known.contains(&v.as_str())) {
            let known: Vec<&str> = known.into_iter().filter(|k| !k.is_empty()).collect();
            let why = format!("{other:?} must be one of {}", known.join(", "));
            errors.push(FieldError::invalid(path, why));
        } else if !used.iter().any(|v| v == ".cluster.name" || v == ".random") {
            let why = "must contain {{ .cluster.name }} or {{ .random }}: names of different clusters must differ";
            errors.push(FieldError::invalid(path, why));
        }
    }
}

/// The variables of a template of names.
fn variables_in(template: &str) -> Result<Vec<String>, String> {
    let (mut rest, mut found) = (template, vec![]);
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((variable, after)) = after.split_once("}}") else {
            return Err("has a \"{{\" without \"}}\"".to_owned());
        };
        found.push(variable.trim().to_owned());
        rest = after;
    }
    Ok(found)
}

fn check_versions(versions: &[String], errors: &mut Vec<FieldError>) {
    let mut previous: Option<Version> = None;
    for (i, text) in versions.iter().enumerate() {
        let path = format!("spec.kubernetesVersions[{i}]");
        rules::check_version(&path, text, errors);
        let Some(version) = Version::parse(text) else {
            continue;
        };
        if let Some(previous) = &previous {
            if version.numbers() < previous.numbers() || version == *previous {
                let why = format!("{text:?} must be newer than the one before it");
                errors.push(FieldError::invalid(&path, why));
            } else if version.major == previous.major && version.minor > previous.minor + 1 {
                let why = format!("{text:?} leaves out a minor version after the one before it");
                errors.push(FieldError::invalid(&path, why));
            }
        }
        previous = Some(version);
    }
}

fn check_patches(new: &ClusterClass, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (i, patch) in new.patches().enumerate() {
        let path = format!("spec.patches[{i}]");
        if patch.name == INLINE {
            let why = format!(
                "{INLINE:?} is where the class's own variables come from; choose another one"
            );
            errors.push(FieldError::invalid(format!("{path}.name"), why));
        }
        if !names.insert(&patch.name) {
            let why = format!(
                "{:?} is there twice; names of patches must be unique",
                patch.name
            );
            errors.push(FieldError::invalid(format!("{path}.name"), why));
        }
        check_patch(&path, new, patch, errors);
    }
}

fn check_patch(path: &str, class: &ClusterClass, patch: &ClassPatch, errors: &mut Vec<FieldError>) {
    if let Some(external) = &patch.external {
        check_external(path, patch, external, errors);
        return;
    }
    let definitions = patch.definitions.as_deref().unwrap_or_default();
    if definitions.is_empty() {
        let why = "must have the changes that the patch makes";
        errors.push(FieldError::required(format!("{path}.definitions"), why));
    }
    for (i, definition) in definitions.iter().enumerate() {
        let path = format!("{path}.definitions[{i}]");
        check_selector(
            &format!("{path}.selector"),
            class,
            &definition.selector,
            errors,
        );
        for (i, change) in definition.json_patches.iter().enumerate() {
            check_json_patch(&format!("{path}.jsonPatches[{i}]"), class, change, errors);
        }
    }
}

/// An extension makes the changes, or looks at the outcome.
fn check_external(
    path: &str,
    patch: &ClassPatch,
    external: &ExternalPatch,
    errors: &mut Vec<FieldError>,
) {
    if patch.definitions.is_some() {
        let why = "cannot be set together with external";
        errors.push(FieldError::forbidden(format!("{path}.definitions"), why));
    }
    let path = format!("{path}.external");
    let (generates, validates) = (
        &external.generate_patches_extension,
        &external.validate_topology_extension,
    );
    if generates.is_none() && validates.is_none() {
        let why = "generatePatchesExtension or validateTopologyExtension must be set";
        errors.push(FieldError::required(&path, why));
    }
    for (field, handler) in [
        ("generatePatchesExtension", generates),
        ("validateTopologyExtension", validates),
        (
            "discoverVariablesExtension",
            &external.discover_variables_extension,
        ),
    ] {
        check_handler(&format!("{path}.{field}"), handler.as_deref(), errors);
    }
}

fn check_handler(path: &str, handler: Option<&str>, errors: &mut Vec<FieldError>) {
    let is_name = |name: &str| {
        name.split_once('.')
            .is_some_and(|(h, c)| !h.is_empty() && !c.is_empty())
    };
    if let Some(handler) = handler.filter(|name| !is_name(name)) {
        let why = format!("{handler:?} must be <handler>.<ExtensionConfig>");
        errors.push(FieldError::invalid(path, why));
    }
}

fn is_same_kind(selector: &PatchSelector, reference: &TemplateRef) -> bool {
    selector.api_version == reference.api_version && selector.kind == reference.kind
}

impl MatchResources {
    /// The classes of groups of workers of a kind, if the selector is about these.
    #[must_use]
    pub fn workers_class(&self, kind: WorkersKind) -> Option<&ClassNames> {
        match kind {
            WorkersKind::MachineDeployment => self.machine_deployment_class.as_ref(),
            WorkersKind::MachinePool => self.machine_pool_class.as_ref(),
        }
    }
}

/// A selector must select something, or the change is never made and nobody knows why.
fn check_selector(
    path: &str,
    class: &ClusterClass,
    selector: &PatchSelector,
    errors: &mut Vec<FieldError>,
) {
    let matches = &selector.match_resources;
    let control_plane = &class.spec.control_plane;
    let machines = control_plane.machine_infrastructure.as_ref();
    let mut is_any = false;
    let mut refuse = |field: &str, why: &str| {
        let path = format!("{path}.matchResources.{field}");
        let why = format!(
            "selects no template: {why} of kind {} {}",
            selector.api_version, selector.kind
        );
        errors.push(FieldError::invalid(path, why));
    };
    if matches.control_plane == Some(true) {
        is_any = true;
        let is_machines = machines.is_some_and(|m| is_same_kind(selector, &m.template_ref));
        if !is_machines && !is_same_kind(selector, &control_plane.template_ref) {
            refuse(
                "controlPlane",
                "the control plane and its machines have none",
            );
        }
    }
    if matches.infrastructure_cluster == Some(true) {
        is_any = true;
        if !is_same_kind(selector, &class.spec.infrastructure.template_ref) {
            refuse("infrastructureCluster", "the infrastructure is not");
        }
    }
    for kind in WorkersKind::ALL {
        let Some(names) = matches.workers_class(kind) else {
            continue;
        };
        is_any = true;
        for name in names.names.iter().flatten() {
            let is_used = |c: WorkersClassEntry<'_>| {
                is_same_kind(selector, &c.bootstrap.template_ref)
                    || is_same_kind(selector, &c.infrastructure.template_ref)
            };
            let of_kind = class.workers().filter(|c| c.kind == kind);
            if !of_kind.filter(|c| is_named(name, c.class)).any(is_used) {
                let why = format!("no class of {}s is called {name} and has one", kind.name());
                refuse(&format!("{}Class.names", kind.variable()), &why);
            }
        }
    }
    if !is_any {
        errors.push(FieldError::required(
            format!("{path}.matchResources"),
            "must say what the templates are used for: controlPlane, infrastructureCluster, machineDeploymentClass or machinePoolClass",
        ));
    }
}

/// Whether `name`, which may begin or end with a `*`, means the class.
#[must_use]
pub fn is_named(name: &str, class: &str) -> bool {
    name == class
        || name == "*"
        || name
            .strip_prefix('*')
            .is_some_and(|rest| class.ends_with(rest))
        || name
            .strip_suffix('*')
            .is_some_and(|rest| class.starts_with(rest))
}

/// Whether a list of names of a selector means the class.
#[must_use]
pub fn is_selected(names: Option<&ClassNames>, class: &str) -> bool {
    let names = names.iter().flat_map(|n| n.names.iter().flatten());
    names.into_iter().any(|name| is_named(name, class))
}

fn check_json_patch(
    path: &str,
    class: &ClusterClass,
    change: &JsonPatch,
    errors: &mut Vec<FieldError>,
) {
    if !change.path.starts_with("/spec/") {
        let why = format!("{:?} must start with \"/spec/\"", change.path);
        errors.push(FieldError::invalid(format!("{path}.path"), why));
    }
    let is_index = |part: &str| part.parse::<u64>().is_ok();
    let last = change.path.rsplit('/').next().unwrap_or_default();
    let inner = change.path.rsplit_once('/').map_or("", |(inner, _)| inner);
    let is_place = |part: &str| part == "-" || is_index(part);
    let is_end = change.op == "add" && matches!(last, "-" | "0");
    if inner.split('/').any(is_place) || (is_place(last) && !is_end) {
        let why = format!(
            "{:?} must not go into a list, except that \"add\" may add at its beginning (0) or end (-)",
            change.path
        );
        errors.push(FieldError::invalid(format!("{path}.path"), why));
    }
    let from = change.value_from.as_ref();
    if change.op == "remove" {
        if change.value.is_some() || from.is_some() {
            let why = "must not be set for \"remove\"";
            errors.push(FieldError::forbidden(format!("{path}.value"), why));
        }
        return;
    }
    if change.value.is_some() == from.is_some() {
        let why = "exactly one of value and valueFrom must be set";
        errors.push(FieldError::invalid(path, why));
    }
    let Some(from) = from else { return };
    if from.variable.is_some() == from.template.is_some() {
        let why = "exactly one of variable and template must be set";
        errors.push(FieldError::invalid(format!("{path}.valueFrom"), why));
    }
    if let Some(variable) = &from.variable {
        check_variable(
            &format!("{path}.valueFrom.variable"),
            class,
            variable,
            errors,
        );
    }
}

fn check_variable(path: &str, class: &ClusterClass, variable: &str, errors: &mut Vec<FieldError>) {
    let end = variable.find(['.', '[']).unwrap_or(variable.len());
    let (name, rest) = variable.split_at(end);
    if name == BUILTIN {
        let part = rest
            .trim_start_matches('.')
            .split('.')
            .next()
            .unwrap_or_default();
        let known = [
            "cluster",
            "controlPlane",
            "machineDeployment",
            "machinePool",
        ];
        if !known.contains(&part) {
            let why = format!("{variable:?}: builtin has {}", known.join(", "));
            errors.push(FieldError::invalid(path, why));
        }
    } else if !class.variables().iter().any(|v| v.name == name) {
        let why = format!("{name:?} is not among spec.variables");
        errors.push(FieldError::invalid(path, why));
    }
}

/// Parts of clusters keep their kinds, or they could not be changed from one class, or one state of it, to the next.
pub fn check_compatible(old: &ClusterClass, new: &ClusterClass, errors: &mut Vec<FieldError>) {
    let mut same = |path: String, old: Option<&TemplateRef>, new: Option<&TemplateRef>| {
        let kind = |r: Option<&TemplateRef>| {
            r.map_or_else(
                || "none".to_owned(),
                |r| {
                    let group = r.api_version.split('/').next().unwrap_or_default();
                    format!("{}.{group}", r.kind)
                },
            )
        };
        let (old, new) = (kind(old), kind(new));
        if old != new {
            let why =
                format!("must stay of kind {old}, and not become {new}: clusters are made of that");
            errors.push(FieldError::forbidden(path, why));
        }
    };
    let machines = |c: &ClusterClass| {
        let machines = c.spec.control_plane.machine_infrastructure.clone();
        machines.map(|m| m.template_ref)
    };
    same(
        "spec.infrastructure.templateRef".to_owned(),
        Some(&old.spec.infrastructure.template_ref),
        Some(&new.spec.infrastructure.template_ref),
    );
    same(
        "spec.controlPlane.templateRef".to_owned(),
        Some(&old.spec.control_plane.template_ref),
        Some(&new.spec.control_plane.template_ref),
    );
    same(
        "spec.controlPlane.machineInfrastructure.templateRef".to_owned(),
        machines(old).as_ref(),
        machines(new).as_ref(),
    );
    for class in new.workers() {
        let Some(before) = old.workers_class(class.kind, class.class) else {
            continue;
        };
        same(
            format!("{}.infrastructure.templateRef", class.path()),
            Some(&before.infrastructure.template_ref),
            Some(&class.infrastructure.template_ref),
        );
        // The config of a pool stays the same object, whatever it says.
        if class.kind == WorkersKind::MachinePool {
            same(
                format!("{}.bootstrap.templateRef", class.path()),
                Some(&before.bootstrap.template_ref),
                Some(&class.bootstrap.template_ref),
            );
        }
    }
}

/// What cannot be taken from a class because `clusters` use it.
#[must_use]
pub fn check_in_use(
    new: &ClusterClass,
    old: &ClusterClass,
    clusters: &[Cluster],
) -> Vec<FieldError> {
    let mut errors = vec![];
    for cluster in clusters {
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        let Some(topology) = &cluster.spec.topology else {
            continue;
        };
        for used in topology.groups() {
            let has = |c: &ClusterClass| c.workers_class(used.kind, used.class).is_some();
            if has(old) && !has(new) {
                let why = format!(
                    "class {:?} cannot be removed: Cluster {name} uses it",
                    used.class
                );
                let path = format!("spec.workers.{}", used.kind.list());
                errors.push(FieldError::forbidden(path, why));
            }
        }
        for used in topology.machine_deployments() {
            let has = |c: &ClusterClass| {
                let class = c.machine_deployment(&used.class);
                class.is_some_and(|c| c.health_check.is_some())
            };
            let own = used.health_check.as_ref();
            let is_needed = own.is_some_and(|h| h.enabled == Some(true) && h.checks.is_none());
            if has(old) && !has(new) && is_needed {
                let path = format!(
                    "spec.workers.machineDeployments[{}].healthCheck",
                    used.class
                );
                let why = format!("cannot be removed: Cluster {name} uses it");
                errors.push(FieldError::forbidden(path, why));
            }
        }
        let own = topology.control_plane.as_ref();
        let own = own.and_then(|c| c.health_check.as_ref());
        let is_needed = own.is_some_and(|h| h.enabled == Some(true) && h.checks.is_none());
        let has = |c: &ClusterClass| c.spec.control_plane.health_check.is_some();
        if has(old) && !has(new) && is_needed {
            let why = format!("cannot be removed: Cluster {name} uses it");
            errors.push(FieldError::forbidden("spec.controlPlane.healthCheck", why));
        }
        let listed = |c: &ClusterClass| {
            let versions = c.kubernetes_versions();
            versions.is_empty() || versions.contains(&topology.version)
        };
        if listed(old) && !listed(new) {
            let why = format!("must keep {}: Cluster {name} has it", topology.version);
            errors.push(FieldError::forbidden("spec.kubernetesVersions", why));
        }
        check_variables_in_use((new, old), cluster, topology, &mut errors);
    }
    errors
}

/// Values that clusters have must stay allowed, those of single pools too. What other namespaces have in them is not told.
fn check_variables_in_use(
    (new, old): (&ClusterClass, &ClusterClass),
    cluster: &Cluster,
    topology: &Topology,
    errors: &mut Vec<FieldError>,
) {
    let refused = |class: &ClusterClass| {
        let mut topology = topology.clone();
        topology_rules::default_for_class(&mut topology, class);
        // Of a class that has just been changed nobody has asked its extensions yet.
        let found = topology_rules::check_known(&topology, class, true).into_iter();
        found.filter(|error| error.path.contains("variables"))
    };
    let before: Vec<String> = refused(old).map(|error| error.path).collect();
    let is_own = cluster.metadata.namespace == new.metadata.namespace;
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let found = refused(new).filter(|error| !before.contains(&error.path));
    errors.extend(found.map(|error| {
        let why = if is_own {
            format!("does not allow what Cluster {name} has: {error}")
        } else {
            let path = error.path;
            format!("does not allow what a Cluster of another namespace has at {path}")
        };
        FieldError::forbidden("spec.variables", why)
    }));
}

/// The namespace and name of the class of a Cluster, as JSON has it.
#[must_use]
pub fn class_of(cluster: &Value) -> Option<(String, String)> {
    let class = &cluster["spec"]["topology"]["classRef"];
    let namespace = class["namespace"].as_str();
    let namespace = namespace.or(cluster["metadata"]["namespace"].as_str())?;
    Some((namespace.to_owned(), class["name"].as_str()?.to_owned()))
}
