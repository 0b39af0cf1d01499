//! What built-in kinds and their members are for, in Kubernetes' own words, as the crate `k8s-openapi` brings them along.
//!
//! They are in memory from the first document on, in the order of a megabyte for all clusters of the process together.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use k8s_openapi::api::{
    admissionregistration::v1 as admissionregistration, apps::v1 as apps,
    authentication::v1 as authentication, authorization::v1 as authorization, autoscaling,
    batch::v1 as batch, certificates::v1 as certificates, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, events::v1 as events,
    flowcontrol::v1 as flowcontrol, networking::v1 as networking, node::v1 as node,
    policy::v1 as policy, rbac::v1 as rbac, resource::v1 as resource, scheduling::v1 as scheduling,
    storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

/// What is said of a component and its members.
struct Words {
    component: Box<str>,
    members: BTreeMap<Box<str>, Box<str>>,
}

static WORDS: LazyLock<HashMap<Box<str>, Words>> = LazyLock::new(read);

/// Any object: what it says of the members that all objects have holds for custom resources, too.
const OBJECT: &str = "io.k8s.api.core.v1.ConfigMap";

macro_rules! roots {
    ($generator:ident: $($module:ident::{$($ty:ident),*}),* $(,)?) => {
        $($($generator.subschema_for::<$module::$ty>();)*)*
    };
}

fn read() -> HashMap<Box<str>, Words> {
    let mut generator = SchemaGenerator::default();
    roots!(generator:
        core::{Binding, ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
            PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, Service, ServiceAccount},
        admissionregistration::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
            ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration},
        apiextensions::{CustomResourceDefinition},
        apiregistration::{APIService},
        apps::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
        authentication::{SelfSubjectReview, TokenRequest, TokenReview},
        authorization::{LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview},
        batch::{CronJob, Job},
        certificates::{CertificateSigningRequest},
        coordination::{Lease},
        discovery::{EndpointSlice},
        events::{Event},
        flowcontrol::{FlowSchema, PriorityLevelConfiguration},
        networking::{IngressClass, Ingress, IPAddress, NetworkPolicy, ServiceCIDR},
        node::{RuntimeClass},
        policy::{Eviction, PodDisruptionBudget},
        rbac::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
        resource::{DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice},
        scheduling::{PriorityClass},
        storage::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass},
        meta::{APIGroup, APIGroupList, APIResourceList, APIVersions, DeleteOptions, ListMeta, Status},
    );
    generator.subschema_for::<autoscaling::v1::HorizontalPodAutoscaler>();
    generator.subschema_for::<autoscaling::v1::Scale>();
    generator.subschema_for::<autoscaling::v2::HorizontalPodAutoscaler>();
    let said = |schema: &Value| Box::from(schema["description"].as_str().unwrap_or_default());
    let definitions = generator.take_definitions(false).into_iter();
    let words = definitions.map(|(name, schema)| {
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members.map(|(name, member)| (Box::from(&**name), said(member)));
        let words = Words {
            component: said(&schema),
            members: members.collect(),
        };
        (name.into(), words)
    });
    words.collect()
}

/// What is said of a member that every object has: `apiVersion`, `kind` or `metadata`.
pub(super) fn of_object(member: &str) -> &'static str {
    let words = WORDS
        .get(OBJECT)
        .and_then(|words| words.members.get(member));
    words.map_or("", |text| text)
}

/// Adds what is known of the component `name` and its members.
pub(super) fn describe(name: &str, node: &mut Value) {
    if let Some(words) = WORDS.get(name) {
        set(node, &words.component);
        for (member, text) in &words.members {
            if let Some(member) = node["properties"].get_mut(&**member) {
                set(member, text);
            }
        }
    } else if let Some(properties) = node.get_mut("properties")
        && properties["items"]["items"].is_object()
        && name.ends_with("List")
    {
        describe_list(properties);
    }
}

/// Adds what the members of a list are.
pub(super) fn describe_list(properties: &mut Value) {
    for (member, text) in [
        ("apiVersion", of_object("apiVersion")),
        ("kind", of_object("kind")),
        (
            "metadata",
            "What holds for the list: its revision, and how it goes on.",
        ),
        ("items", "The objects."),
    ] {
        if let Some(member) = properties.get_mut(member) {
            set(member, text);
        }
    }
}

fn set(node: &mut Value, text: &str) {
    let Some(fields) = node.as_object_mut().filter(|_| !text.is_empty()) else {
        return;
    };
    // Nothing may stand beside a reference in version 3, and version 2 does not mind.
    if let (1, Some(reference)) = (fields.len(), fields.get("$ref").cloned())
        && reference
            .as_str()
            .is_some_and(|name| name.starts_with("#/components/"))
    {
        *fields = Map::from_iter([("allOf".into(), json!([{"$ref": reference}]))]);
    }
    fields.insert("description".into(), text.into());
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::schema::{Type, builtin};

    /// The members of a message that nothing is said of.
    fn silent(name: &str) -> Vec<String> {
        let schema = builtin::message(name).map(|schema| &schema.ty);
        let (Some(Type::Object(object)), Some(words)) = (schema, WORDS.get(name)) else {
            return vec![];
        };
        let says = |field: &str| {
            words
                .members
                .get(field)
                .is_some_and(|text| !text.is_empty())
        };
        let fields = object.fields.keys().filter(|field| !says(field));
        fields.map(|field| field.to_string()).collect()
    }

    #[test]
    fn nearly_everything_is_described() {
        let mut text = String::new();
        for package in builtin::packages() {
            let messages = builtin::messages(package);
            let messages = messages.iter().filter(|name| !name.ends_with("List"));
            let (known, unknown): (Vec<&String>, Vec<&String>) =
                messages.partition(|name| WORDS.contains_key(&***name));
            let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
            let unknown: Vec<String> = unknown.into_iter().map(|name| short(name)).collect();
            if !unknown.is_empty() {
                text += &format!("{package}: {}\n", unknown.join(" "));
            }
            for name in known {
                let silent = silent(name);
                if !silent.is_empty() {
                    text += &format!("{package} {}: {}\n", short(name), silent.join(" "));
                }
            }
        }
        expect![[r#"
            io.k8s.api.admissionregistration.v1: Rule
            io.k8s.api.autoscaling.v1: ContainerResourceMetricSource ContainerResourceMetricStatus ExternalMetricSource ExternalMetricStatus HorizontalPodAutoscalerCondition MetricSpec MetricStatus ObjectMetricSource ObjectMetricStatus PodsMetricSource PodsMetricStatus ResourceMetricSource ResourceMetricStatus
            io.k8s.api.certificates.v1 CertificateSigningRequest: metadata
            io.k8s.api.core.v1: AvoidPods EphemeralContainerCommon NodeProxyOptions PersistentVolumeSource PodAttachOptions PodExecOptions PodLogOptions PodPortForwardOptions PodProxyOptions PodSignature PodStatusResult Preconditions PreferAvoidPodsEntry ProbeHandler RangeAllocation SerializedReference ServiceProxyOptions VolumeSource
            io.k8s.api.networking.v1: IngressRuleValue
            io.k8s.api.networking.v1 IngressRule: http
            io.k8s.api.resource.v1: DeviceConfiguration
            io.k8s.apimachinery.pkg.apis.meta.v1: ApplyOptions CreateOptions GetOptions ListOptions PartialObjectMetadata Patch PatchOptions RootPaths Table TableColumnDefinition TableOptions TableRow TableRowCondition UpdateOptions
            io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1: ConversionRequest ConversionResponse ConversionReview
            io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1 ExternalDocumentation: description url
            io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1 JSONSchemaProps: $ref $schema additionalItems additionalProperties allOf anyOf definitions dependencies description enum example exclusiveMaximum exclusiveMinimum externalDocs id items maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf not nullable oneOf pattern patternProperties properties required title type uniqueItems
        "#]].assert_eq(&text);
    }
}
