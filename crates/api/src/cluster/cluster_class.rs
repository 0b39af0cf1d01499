//! A class of clusters: templates for all their parts, variables, and patches that say what the variables change.

use std::collections::BTreeMap;

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine_deployment::RolloutStrategy;
use super::topology::{
    ControlPlaneRemediation, HealthChecks, WorkerRemediation, WorkerTopologyDeletion,
};
use crate::condition_path;
use crate::meta::crd::AGE_PATH;
use crate::meta::{
    Condition, CrdExt, DeletionTimeouts, DeprecatedConditions, DeprecatedV1Beta1, Gate,
    MachineTaint, ObjectMeta, TemplateRef, find, schema,
};

/// What clusters of the class are made from.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "ClusterClass",
    shortname = "cc",
    status = "ClusterClassStatus",
    derive = "PartialEq",
    namespaced
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterClassSpec {
    /// Further conditions that count for `Available` of clusters that name none themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::gates")]
    pub availability_gates: Option<Vec<Gate>>,
    /// What the infrastructure of clusters is made from.
    pub infrastructure: InfrastructureClass,
    /// What control planes are made from.
    pub control_plane: ControlPlaneClass,
    /// What workers are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersClass>,
    /// What clusters may or must choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub variables: Option<Vec<ClassVariable>>,
    /// How templates are changed for one cluster, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub patches: Option<Vec<ClassPatch>>,
    /// How clusters are upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<ClassUpgrade>,
    /// The Kubernetes versions of the class, from the oldest to the newest. An upgrade over several minor versions goes over these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 256)))]
    pub kubernetes_versions: Option<Vec<String>>,
}

/// What the infrastructure of clusters is made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InfrastructureClass {
    /// The template.
    pub template_ref: TemplateRef,
    /// How the objects are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<ClassNaming>,
}

/// How objects of a class are named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ClassNaming {
    /// A Go template over `.cluster.name`, `.random` and, for workers, `.machineDeployment.topologyName` or
    /// `.machinePool.topologyName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub template: Option<String>,
}

/// Names a template that something is made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassTemplate {
    /// The template.
    pub template_ref: TemplateRef,
}

/// What control planes are made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneClass {
    /// Labels and annotations of control planes and their machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The template.
    pub template_ref: TemplateRef,
    /// What the machines are made from, if the control plane has machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_infrastructure: Option<ClassTemplate>,
    /// When machines are unhealthy and what is done then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<ControlPlaneClassHealthCheck>,
    /// How the objects are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<ClassNaming>,
    /// Limits on deleting machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionTimeouts>,
    /// Taints of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::machine_taints")]
    pub taints: Option<Vec<MachineTaint>>,
    /// Further conditions that count for machines' readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::gates")]
    pub readiness_gates: Option<Vec<Gate>>,
}

/// When control plane machines are unhealthy and what is done then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ControlPlaneClassHealthCheck {
    /// When they are unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<HealthChecks>,
    /// What is done then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<ControlPlaneRemediation>,
}

/// When worker machines are unhealthy and what is done then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct WorkerClassHealthCheck {
    /// When they are unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<HealthChecks>,
    /// What is done then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<WorkerRemediation>,
}

/// What workers are made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct WorkersClass {
    /// Classes of MachineDeployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub machine_deployments: Option<Vec<MachineDeploymentClass>>,
    /// Classes of MachinePools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub machine_pools: Option<Vec<MachinePoolClass>>,
}

/// A class of MachineDeployments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineDeploymentClass {
    /// Labels and annotations of MachineDeployments and their machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The name, by which topologies choose the class.
    #[schemars(length(min = 1, max = 256))]
    pub class: String,
    /// How the machines boot.
    pub bootstrap: ClassTemplate,
    /// What the machines are made from.
    pub infrastructure: ClassTemplate,
    /// When machines are unhealthy and what is done then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<WorkerClassHealthCheck>,
    /// The failure domain of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
    /// How the objects are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<ClassNaming>,
    /// Limits on deleting machines, and which go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<WorkerTopologyDeletion>,
    /// Taints of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::machine_taints")]
    pub taints: Option<Vec<MachineTaint>>,
    /// Seconds that a machine must be ready to be available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,
    /// Further conditions that count for machines' readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::gates")]
    pub readiness_gates: Option<Vec<Gate>>,
    /// How machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<ClassRollout>,
}

/// How machines are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ClassRollout {
    /// The strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RolloutStrategy>,
}

/// A class of MachinePools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachinePoolClass {
    /// Labels and annotations of MachinePools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The name, by which topologies choose the class.
    #[schemars(length(min = 1, max = 256))]
    pub class: String,
    /// How the machines boot.
    pub bootstrap: ClassTemplate,
    /// What the pools are made from.
    pub infrastructure: ClassTemplate,
    /// The failure domains of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub failure_domains: Option<Vec<String>>,
    /// How the objects are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<ClassNaming>,
    /// Limits on deleting machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionTimeouts>,
    /// Taints of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::machine_taints")]
    pub taints: Option<Vec<MachineTaint>>,
    /// Seconds that a machine must be ready to be available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,
}

/// Something that clusters may or must choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassVariable {
    /// The name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Whether clusters must choose a value, or the schema has a default.
    pub required: bool,
    /// What the v1beta1 contract called metadata.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "deprecatedV1Beta1Metadata"
    )]
    pub deprecated_v1beta1_metadata: Option<ObjectMeta>,
    /// What values are allowed.
    pub schema: VariableSchema,
}

/// What values a variable may have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariableSchema {
    /// An OpenAPI v3 schema, as those of CustomResourceDefinitions.
    #[serde(rename = "openAPIV3Schema")]
    #[schemars(schema_with = "super::variables::schema_of_schemas")]
    pub open_api: Value,
}

/// How templates are changed for one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassPatch {
    /// The name, unique in the class.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub description: Option<String>,
    /// A Go template over the variables: the definitions are left out unless it gives `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub enabled_if: Option<String>,
    /// The changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub definitions: Option<Vec<PatchDefinition>>,
    /// An extension that makes the changes, in the place of definitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalPatch>,
}

/// Changes of some templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchDefinition {
    /// Which templates are changed.
    pub selector: PatchSelector,
    /// The changes, in order.
    #[schemars(length(min = 1, max = 100))]
    pub json_patches: Vec<JsonPatch>,
}

/// Which templates are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchSelector {
    /// Group and version of the templates.
    #[schemars(
        regex(
            pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[a-z]([-a-z0-9]*[a-z0-9])?$"
        ),
        length(min = 1, max = 317)
    )]
    pub api_version: String,
    /// Kind of the templates.
    #[schemars(regex(pattern = schema::KIND), length(min = 1, max = 63))]
    pub kind: String,
    /// What the templates are used for.
    pub match_resources: MatchResources,
}

/// What templates are used for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MatchResources {
    /// The control plane and its machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
    /// The infrastructure of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_cluster: Option<bool>,
    /// MachineDeployments of some classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_deployment_class: Option<ClassNames>,
    /// MachinePools of some classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_pool_class: Option<ClassNames>,
}

/// Names of classes; a `*` at the beginning or end stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassNames {
    /// The names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256)))]
    pub names: Option<Vec<String>>,
}

/// One change, as in RFC 6902.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JsonPatch {
    /// What is done.
    #[schemars(extend("enum" = ["add", "replace", "remove"]))]
    pub op: String,
    /// Where, below `/spec/`.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any")]
    pub value: Option<Value>,
    /// Where the value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where the value of a change comes from: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValueFrom {
    /// A variable, or a part of one: `a.b[0].c`. Besides those of the class there is `builtin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub variable: Option<String>,
    /// A Go template over the variables that gives YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10240))]
    pub template: Option<String>,
}

/// Extensions that change templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPatch {
    /// The one that makes the changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub generate_patches_extension: Option<String>,
    /// The one that checks the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub validate_topology_extension: Option<String>,
    /// The one that says which variables there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub discover_variables_extension: Option<String>,
    /// What the extensions are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
}

/// How clusters are upgraded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct ClassUpgrade {
    /// Somebody else who says over which versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalUpgrade>,
}

/// Extensions that plan upgrades.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ExternalUpgrade {
    /// The one that says over which versions an upgrade goes, in the place of `spec.kubernetesVersions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub generate_upgrade_plan_extension: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ClusterClassStatus {
    /// Conditions; see [`conditions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
    /// All variables, and who says that there are such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub variables: Option<Vec<StatusVariable>>,
    /// The generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub observed_generation: Option<i64>,
    /// What the v1beta1 contract showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedV1Beta1<DeprecatedConditions>>,
}

/// A variable of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusVariable {
    /// The name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Whether the definitions differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definitions_conflict: Option<bool>,
    /// Who defines it, and how.
    #[schemars(length(min = 1, max = 100))]
    pub definitions: Vec<VariableDefinition>,
}

/// A definition of a variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariableDefinition {
    /// `inline`, or the patch whose extension defines it.
    #[schemars(length(min = 1, max = 256))]
    pub from: String,
    /// Whether clusters must choose a value, or the schema has a default.
    pub required: bool,
    /// What the v1beta1 contract called metadata.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "deprecatedV1Beta1Metadata"
    )]
    pub deprecated_v1beta1_metadata: Option<ObjectMeta>,
    /// What values are allowed.
    pub schema: VariableSchema,
}

/// Where a variable comes from that the class itself defines.
pub const INLINE: &str = "inline";

/// Conditions of a ClusterClass.
pub mod conditions {
    /// All variables are in the status.
    pub const VARIABLES_READY: &str = "VariablesReady";
    /// The templates are there, and named by the version that is served first.
    pub const REF_VERSIONS_UP_TO_DATE: &str = "RefVersionsUpToDate";
    /// Reconciliation is stopped (negative).
    pub const PAUSED: &str = "Paused";
}

/// Reasons of conditions of a ClusterClass.
pub mod reasons {
    /// VariablesReady is true.
    pub const VARIABLES_READY: &str = "VariablesReady";
    /// VariablesReady is false: an extension has not said which variables there are, or definitions cannot be used.
    pub const VARIABLES_READY_FAILED: &str = "VariablesReconcileFailed";
    /// RefVersionsUpToDate is true.
    pub const REF_VERSIONS_UP_TO_DATE: &str = "RefVersionsUpToDate";
    /// RefVersionsUpToDate is false: some templates are named by an older version.
    pub const REF_VERSIONS_NOT_UP_TO_DATE: &str = "RefVersionsNotUpToDate";
    /// RefVersionsUpToDate is false: some templates are not there.
    pub const TEMPLATE_NOT_FOUND: &str = "TemplateNotFound";
    /// RefVersionsUpToDate is unknown: the controller failed.
    pub const REF_VERSIONS_INTERNAL_ERROR: &str = "InternalError";
}

const COLUMNS: &[crate::meta::crd::Column] = &[
    ("Paused~", "string", condition_path!("Paused")),
    (
        "Variables Ready",
        "string",
        condition_path!("VariablesReady"),
    ),
    ("Age", "date", AGE_PATH),
];

/// The CustomResourceDefinition.
#[must_use]
pub fn crd() -> Value {
    ClusterClass::crd().cluster_api(COLUMNS)
}

impl ClusterClass {
    /// The class of MachineDeployments of this name.
    #[must_use]
    pub fn machine_deployment(&self, class: &str) -> Option<&MachineDeploymentClass> {
        self.machine_deployments().find(|c| c.class == class)
    }

    /// The classes of MachineDeployments.
    pub fn machine_deployments(&self) -> impl Iterator<Item = &MachineDeploymentClass> {
        let workers = self.spec.workers.as_ref();
        workers
            .and_then(|w| w.machine_deployments.as_deref())
            .unwrap_or_default()
            .iter()
    }

    /// The class of MachinePools of this name.
    #[must_use]
    pub fn machine_pool(&self, class: &str) -> Option<&MachinePoolClass> {
        self.machine_pools().find(|c| c.class == class)
    }

    /// The classes of MachinePools.
    pub fn machine_pools(&self) -> impl Iterator<Item = &MachinePoolClass> {
        let workers = self.spec.workers.as_ref();
        workers
            .and_then(|w| w.machine_pools.as_deref())
            .unwrap_or_default()
            .iter()
    }

    /// The patches, in order.
    pub fn patches(&self) -> impl Iterator<Item = &ClassPatch> {
        self.spec.patches.iter().flatten()
    }

    /// Whether it is known which variables there are: always, unless an extension defines some, and the class's controller has not
    /// written down yet what that says.
    #[must_use]
    pub fn has_all_variables(&self) -> bool {
        let is_asked = |patch: &ClassPatch| {
            let external = patch.external.as_ref();
            external.is_some_and(|e| e.discover_variables_extension.is_some())
        };
        let status = self.status.clone().unwrap_or_default();
        let is_ready = status.conditions.as_deref().is_some_and(|all| {
            let ready = find(all, conditions::VARIABLES_READY);
            ready.is_some_and(|condition| condition.status == "True")
        });
        !self.patches().any(is_asked)
            || (is_ready && status.observed_generation == self.metadata.generation)
    }

    /// All variables: those that the class itself defines, then those that extensions define, as far as they are known.
    #[must_use]
    pub fn all_variables(&self) -> Vec<ClassVariable> {
        let mut all = self.variables().to_vec();
        let known = self
            .status
            .iter()
            .flat_map(|s| s.variables.iter().flatten());
        for variable in known {
            let definition = variable.definitions.iter().find(|d| d.from != INLINE);
            let is_new = !all.iter().any(|own| own.name == variable.name);
            if let Some(definition) = definition.filter(|_| is_new) {
                all.push(ClassVariable {
                    name: variable.name.clone(),
                    required: definition.required,
                    deprecated_v1beta1_metadata: definition.deprecated_v1beta1_metadata.clone(),
                    schema: definition.schema.clone(),
                });
            }
        }
        all
    }

    /// The variables that the class itself defines.
    #[must_use]
    pub fn variables(&self) -> &[ClassVariable] {
        self.spec.variables.as_deref().unwrap_or_default()
    }

    /// The handler of the extension that says over which versions an upgrade goes, if there is one.
    #[must_use]
    pub fn upgrade_plan_extension(&self) -> Option<&str> {
        let external = self.spec.upgrade.as_ref()?.external.as_ref()?;
        external.generate_upgrade_plan_extension.as_deref()
    }

    /// The Kubernetes versions of the class.
    #[must_use]
    pub fn kubernetes_versions(&self) -> &[String] {
        self.spec.kubernetes_versions.as_deref().unwrap_or_default()
    }

    /// All templates that the class names, each with the path of its reference.
    #[must_use]
    pub fn template_refs(&self) -> Vec<(String, &TemplateRef)> {
        let control_plane = &self.spec.control_plane;
        let mut refs = vec![
            (
                "spec.infrastructure.templateRef".to_owned(),
                &self.spec.infrastructure.template_ref,
            ),
            (
                "spec.controlPlane.templateRef".to_owned(),
                &control_plane.template_ref,
            ),
        ];
        if let Some(machines) = &control_plane.machine_infrastructure {
            let path = "spec.controlPlane.machineInfrastructure.templateRef";
            refs.push((path.to_owned(), &machines.template_ref));
        }
        for class in self.workers() {
            let path = class.path();
            refs.push((
                format!("{path}.bootstrap.templateRef"),
                &class.bootstrap.template_ref,
            ));
            refs.push((
                format!("{path}.infrastructure.templateRef"),
                &class.infrastructure.template_ref,
            ));
        }
        refs
    }
}
