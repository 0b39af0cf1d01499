//! Checks whether machines are healthy, and has those replaced that are not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules;
use super::topology::{ControlPlaneRemediation, HealthChecks, RemediationTrigger};
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, CrdExt, DeprecatedCondition, DeprecatedV1Beta1, FieldError, labels, schema,
};

/// Seconds in which a node must appear if nothing is said.
pub const NODE_STARTUP_TIMEOUT: i32 = 600;
/// The shortest time that may be given for that; less would take machines away that only boot.
pub(super) const NODE_STARTUP_TIMEOUT_MIN: i32 = 30;

/// Which machines are checked, and how. A machine that several checks select is judged by the first of them by name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "MachineHealthCheck",
    shortname = "mhc",
    shortname = "mhcs",
    status = "MachineHealthCheckStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct MachineHealthCheckSpec {
    /// The cluster that the machines belong to; cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
    /// Which machines of the cluster are checked.
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: LabelSelector,
    /// When machines are unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<HealthChecks>,
    /// What is done then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<ControlPlaneRemediation>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineHealthCheckStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// How many machines are checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub expected_machines: Option<i32>,
    /// How many of them are healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current_healthy: Option<i32>,
    /// How many more may become unhealthy until nothing is done any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub remediations_allowed: Option<i32>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// Names of the machines that are checked, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10000), inner(length(min = 1, max = 253)))]
    pub targets: Option<Vec<String>>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedStatus>>,
}

/// What the v1beta1 contract showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeprecatedStatus {
    /// Conditions of the v1beta1 contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<DeprecatedCondition>>,
}

/// Conditions of a MachineHealthCheck.
pub mod conditions {
    /// Not too many machines are unhealthy for something to be done about them.
    pub const REMEDIATION_ALLOWED: &str = "RemediationAllowed";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a MachineHealthCheck, and of those that it sets on Machines.
pub mod reasons {
    /// RemediationAllowed is true.
    pub const REMEDIATION_ALLOWED: &str = "RemediationAllowed";
    /// RemediationAllowed is false.
    pub const TOO_MANY_UNHEALTHY: &str = "TooManyUnhealthy";
    /// A machine is healthy.
    pub const HEALTH_CHECK_SUCCEEDED: &str = "HealthCheckSucceeded";
    /// Somebody asks by an annotation that the machine be replaced.
    pub const HAS_REMEDIATE_ANNOTATION: &str = "HasRemediateAnnotation";
    /// A condition of the Machine has been bad for too long.
    pub const UNHEALTHY_MACHINE: &str = "UnhealthyMachine";
    /// A condition of the Node has been bad for too long.
    pub const UNHEALTHY_NODE: &str = "UnhealthyNode";
    /// The Node was there and is gone.
    pub const NODE_DELETED: &str = "NodeDeleted";
    /// No Node came in time.
    pub const NODE_STARTUP_TIMEOUT: &str = "NodeStartupTimeout";
    /// OwnerRemediated and ExternallyRemediated: the one who does it has not begun yet.
    pub const WAITING_FOR_REMEDIATION: &str = "WaitingForRemediation";
    /// ExternallyRemediated: the template that is named is not there.
    pub const REMEDIATION_TEMPLATE_NOT_FOUND: &str = "RemediationTemplateNotFound";
    /// OwnerRemediated: it is done later, the message says why.
    pub const REMEDIATION_DEFERRED: &str = "RemediationDeferred";
    /// OwnerRemediated: it cannot be done, the message says why.
    pub const CANNOT_BE_REMEDIATED: &str = "CannotBeRemediated";
    /// OwnerRemediated: the machine is being deleted, another one follows.
    pub const MACHINE_DELETING: &str = "MachineDeleting";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Cluster", "string", ".spec.clusterName"),
    ("Replicas", "integer", ".status.expectedMachines"),
    ("Healthy", "integer", ".status.currentHealthy"),
    ("Paused~", "string", condition_path!("Paused")),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    MachineHealthCheck::crd().cluster_api(COLUMNS)
}

impl MachineHealthCheck {
    /// Seconds in which a node must appear; `None` without limit.
    #[must_use]
    pub fn node_startup_timeout(&self) -> Option<i32> {
        let checks = self.spec.checks.as_ref();
        let seconds = checks.and_then(|c| c.node_startup_timeout_seconds);
        Some(seconds.unwrap_or(NODE_STARTUP_TIMEOUT)).filter(|seconds| *seconds > 0)
    }

    /// How many machines of `expected` may be unhealthy for something to be done: the fewest and the most.
    #[must_use]
    pub fn tolerated(&self, expected: i32) -> (i32, i32) {
        let remediation = self.spec.remediation.as_ref();
        let trigger = remediation.and_then(|r| r.trigger_if.as_ref());
        if let Some(range) = trigger.and_then(|t| t.unhealthy_in_range.as_deref()) {
            return parse_range(range).unwrap_or((0, -1));
        }
        let most = trigger.and_then(|t| t.unhealthy_less_than_or_equal_to.as_ref());
        let most = most.and_then(|most| rules::scaled(most, expected, false));
        (0, most.unwrap_or(expected))
    }
}

/// Reads `[3-5]`.
fn parse_range(text: &str) -> Option<(i32, i32)> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let (least, most) = inner.split_once('-')?;
    let range = (least.parse().ok()?, most.parse().ok()?);
    (range.0 <= range.1).then_some(range)
}

/// Fills what was left out: the label, and the time in which a node must appear.
pub fn default(check: &mut MachineHealthCheck) {
    let cluster = check.spec.cluster_name.clone();
    rules::default_label(&mut check.metadata, labels::CLUSTER_NAME, &cluster);
    let checks = check.spec.checks.get_or_insert_default();
    checks
        .node_startup_timeout_seconds
        .get_or_insert(NODE_STARTUP_TIMEOUT);
}

/// What is wrong with a MachineHealthCheck, also compared to what it was.
#[must_use]
pub fn validate(new: &MachineHealthCheck, old: Option<&MachineHealthCheck>) -> Vec<FieldError> {
    let mut errors = vec![];
    let spec = &new.spec;
    if rules::is_empty_selector(&spec.selector) {
        let why =
            "must select something: the machines of one MachineDeployment, or of the control plane";
        errors.push(FieldError::required("spec.selector", why));
    }
    rules::check_selector("spec.selector", &spec.selector, &mut errors);
    let named = spec.selector.match_labels.iter().flatten();
    let named = named.filter(|(key, _)| *key == labels::CLUSTER_NAME);
    for (key, value) in named.filter(|(_, value)| **value != spec.cluster_name) {
        let why = format!(
            "must be {:?}, the name in spec.clusterName, and not {value:?}",
            spec.cluster_name
        );
        let path = format!("spec.selector.matchLabels[{key}]");
        errors.push(FieldError::invalid(path, why));
    }
    let seconds = spec
        .checks
        .as_ref()
        .and_then(|c| c.node_startup_timeout_seconds);
    if seconds.is_some_and(|s| s != 0 && s < NODE_STARTUP_TIMEOUT_MIN) {
        errors.push(FieldError::invalid(
            "spec.checks.nodeStartupTimeoutSeconds",
            format!("must be {NODE_STARTUP_TIMEOUT_MIN} or more, or 0 for no limit"),
        ));
    }
    let remediation = spec.remediation.as_ref();
    if let Some(template) = remediation.and_then(|r| r.template_ref.as_ref())
        && !template.kind.ends_with("Template")
    {
        errors.push(FieldError::invalid(
            "spec.remediation.templateRef.kind",
            format!(
                "{:?} must end with \"Template\": requests for remediation are of the kind without it",
                template.kind
            ),
        ));
    }
    if let Some(trigger) = remediation.and_then(|r| r.trigger_if.as_ref()) {
        check_trigger("spec.remediation.triggerIf", trigger, &mut errors);
    }
    if let Some(old) = old {
        rules::check_cluster_unchanged(&spec.cluster_name, &old.spec.cluster_name, &mut errors);
    }
    errors
}

/// Numbers, percentages and ranges must be readable.
pub(super) fn check_trigger(
    path: &str,
    trigger: &RemediationTrigger,
    errors: &mut Vec<FieldError>,
) {
    let most: Option<&IntOrString> = trigger.unhealthy_less_than_or_equal_to.as_ref();
    rules::check_scaled(&format!("{path}.unhealthyLessThanOrEqualTo"), most, errors);
    if let Some(range) = &trigger.unhealthy_in_range
        && parse_range(range).is_none()
    {
        errors.push(FieldError::invalid(
            format!("{path}.unhealthyInRange"),
            format!("{range:?} must be a range such as \"[3-5]\", the smaller number first"),
        ));
    }
}
