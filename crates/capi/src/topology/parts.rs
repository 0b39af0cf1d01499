//! What class and topology say of the same thing, as one. Pure.

use std::collections::BTreeMap;

use api::cluster::cluster_class::{ControlPlaneClass, MachineDeploymentClass};
use api::cluster::topology::{
    ControlPlaneTopology, HealthChecks, MachineDeploymentTopology, RemediationTrigger,
};
use api::meta::{DeletionTimeouts, ObjectMeta, TemplateRef, labels};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

/// Labels or annotations.
pub(super) type Texts = BTreeMap<String, String>;

/// Labels and annotations; what the topology says wins.
pub(super) fn metadata(
    class: Option<&ObjectMeta>,
    topology: Option<&ObjectMeta>,
) -> (Texts, Texts) {
    let (mut all, mut notes) = (Texts::new(), Texts::new());
    for metadata in [class, topology].into_iter().flatten() {
        all.extend(metadata.labels.clone().unwrap_or_default());
        notes.extend(metadata.annotations.clone().unwrap_or_default());
    }
    // They tell this controller something, and nobody else.
    notes.remove(labels::TOPOLOGY_DEFER_UPGRADE);
    notes.remove(labels::TOPOLOGY_HOLD_UPGRADE_SEQUENCE);
    (all, notes)
}

/// Limits on deleting machines; what the topology says wins, one by one.
pub(super) fn deletion(
    class: Option<&DeletionTimeouts>,
    topology: Option<&DeletionTimeouts>,
) -> Option<Value> {
    let mut all = Map::new();
    for timeouts in [class, topology].into_iter().flatten() {
        if let Ok(Value::Object(set)) = serde_json::to_value(timeouts) {
            all.extend(set);
        }
    }
    (!all.is_empty()).then_some(Value::Object(all))
}

/// When machines are unhealthy and what is done then, as a MachineHealthCheck has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub checks: Option<HealthChecks>,
    pub trigger: Option<RemediationTrigger>,
    pub template: Option<TemplateRef>,
}

impl Health {
    /// As parts of the spec.
    pub(super) fn to_json(&self) -> (Option<Value>, Option<Value>) {
        let mut remediation = Map::new();
        if let Some(trigger) = &self.trigger {
            remediation.insert("triggerIf".to_owned(), json!(trigger));
        }
        if let Some(template) = &self.template {
            remediation.insert("templateRef".to_owned(), json!(template));
        }
        let remediation = (!remediation.is_empty()).then_some(Value::Object(remediation));
        (self.checks.as_ref().map(|c| json!(c)), remediation)
    }
}

/// Of the control plane; `None` if its machines are not checked. What the topology says takes the place of all that the class says.
pub(super) fn control_plane_health(
    class: &ControlPlaneClass,
    topology: Option<&ControlPlaneTopology>,
) -> Option<Health> {
    class.machine_infrastructure.as_ref()?;
    let own = topology.and_then(|t| t.health_check.as_ref());
    if own.is_some_and(|h| h.enabled == Some(false)) {
        return None;
    }
    let (checks, remediation) = match own {
        Some(own) if own.checks.is_some() || own.remediation.is_some() => {
            (own.checks.clone(), own.remediation.clone())
        }
        _ => {
            let health = class.health_check.as_ref()?;
            (health.checks.clone(), health.remediation.clone())
        }
    };
    let remediation = remediation.unwrap_or_default();
    Some(Health {
        checks,
        trigger: remediation.trigger_if,
        template: remediation.template_ref,
    })
}

/// Of a MachineDeployment; `None` if its machines are not checked.
pub(super) fn worker_health(
    class: &MachineDeploymentClass,
    topology: &MachineDeploymentTopology,
) -> Option<Health> {
    let own = topology.health_check.as_ref();
    if own.is_some_and(|h| h.enabled == Some(false)) {
        return None;
    }
    let (checks, remediation) = match own {
        Some(own) if own.checks.is_some() || own.remediation.is_some() => {
            (own.checks.clone(), own.remediation.clone())
        }
        _ => {
            let health = class.health_check.as_ref()?;
            (health.checks.clone(), health.remediation.clone())
        }
    };
    let remediation = remediation.unwrap_or_default();
    Some(Health {
        checks,
        trigger: remediation.trigger_if,
        template: remediation.template_ref,
    })
}

/// How many machines are replaced at once because they are unhealthy.
pub(super) fn max_in_flight(
    class: &MachineDeploymentClass,
    topology: &MachineDeploymentTopology,
) -> Option<IntOrString> {
    let own = topology.health_check.as_ref();
    let own = own.and_then(|h| h.remediation.as_ref()?.max_in_flight.clone());
    let class = class.health_check.as_ref();
    own.or_else(|| class.and_then(|h| h.remediation.as_ref()?.max_in_flight.clone()))
}

/// How machines are replaced; what the topology says takes the place of all that the class says.
pub(super) fn rollout(
    class: &MachineDeploymentClass,
    topology: &MachineDeploymentTopology,
) -> Option<Value> {
    match (&topology.rollout, &class.rollout) {
        (Some(own), _) => Some(json!(own)),
        (None, Some(class)) => Some(json!(class)),
        (None, None) => None,
    }
}

/// Which machines go first.
pub(super) fn order(
    class: &MachineDeploymentClass,
    topology: &MachineDeploymentTopology,
) -> Option<String> {
    let own = topology.deletion.as_ref();
    let own = own.and_then(|d| d.order.order.clone());
    let class = class.deletion.as_ref();
    own.or_else(|| class.and_then(|d| d.order.order.clone()))
}

/// Sets a value at a path, unless there is none.
pub(super) fn put<T: serde::Serialize>(target: &mut Value, path: &[&str], value: Option<T>) {
    let Some(value) = value else { return };
    let inner = path.iter().fold(target, |target, field| {
        if !target.is_object() {
            *target = json!({});
        }
        &mut target[*field]
    });
    *inner = json!(value);
}

/// Labels or annotations, unless there are none.
pub(super) fn texts(texts: &Texts) -> Option<&Texts> {
    (!texts.is_empty()).then_some(texts)
}
