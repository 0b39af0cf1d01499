//! Admission policies.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::Operations;
use crate::world::Suite;

const VERSION: &str = "admissionregistration.k8s.io/v1";

fn rules() -> Value {
    let rule = json!({"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]});
    json!({"resourceRules": [rule]})
}

fn mutation(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

#[tokio::test(start_paused = true)]
async fn validatingadmissionpolicy_should_support_validatingadmissionpolicy_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(
        VERSION,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
    );
    let validations =
        |most: u32| json!([{"expression": format!("object.spec.replicas <= {most}")}]);
    let spec = json!({"validations": validations(100), "matchConstraints": rules()});
    Operations {
        patch: json!({"spec": {"validations": validations(200)}}),
        update: |object| object["spec"]["failurePolicy"] = json!("Ignore"),
        status: true,
        ..Operations::new(kind, json!({"spec": spec}))
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn validatingadmissionpolicy_should_support_validatingadmissionpolicybinding_api_operations()
{
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(
        VERSION,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
    );
    let spec =
        json!({"policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"]});
    Operations {
        patch: json!({"spec": {"validationActions": ["Warn"]}}),
        update: |object| object["spec"]["validationActions"] = json!(["Deny"]),
        ..Operations::new(kind, json!({"spec": spec}))
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn mutatingadmissionpolicy_should_support_mutatingadmissionpolicy_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(
        VERSION,
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
    );
    let spec = json!({
        "reinvocationPolicy": "Never", "matchConstraints": rules(),
        "mutations": [mutation("Object{spec: Object.spec{replicas: 100}}")],
    });
    Operations {
        patch: json!({"spec": {"mutations": [mutation("Object{spec: Object.spec{replicas: 200}}")]}}),
        update: |object| object["spec"]["failurePolicy"] = json!("Ignore"),
        ..Operations::new(kind, json!({"spec": spec}))
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn mutatingadmissionpolicy_should_support_mutatingadmissionpolicybinding_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(
        VERSION,
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
    );
    let spec = json!({"policyName": "replicalimit-policy.example.com"});
    Operations {
        patch: json!({"spec": {"matchResources": {"objectSelector": {"matchLabels": {"a": "b"}}}}}),
        update: |object| object["spec"]["policyName"] = json!("another.example.com"),
        ..Operations::new(kind, json!({"spec": spec}))
    }
    .run()
    .await;
}

/// A policy of this kind with `spec`, bound to the namespace of the test.
async fn bind(suite: &Suite, prefix: &str, mut spec: Value) {
    suite
        .namespaces()
        .merge(
            "conformance",
            json!({"metadata": {"labels": {"marked": "true"}}}),
        )
        .await;
    let selector = json!({"matchLabels": {"marked": "true"}});
    let mut constraints = rules();
    constraints["namespaceSelector"] = selector.clone();
    constraints["resourceRules"][0]["operations"] = json!(["CREATE", "UPDATE"]);
    spec["matchConstraints"] = constraints;
    let name = format!("{prefix}AdmissionPolicy");
    let plural = format!("{}admissionpolic", prefix.to_lowercase());
    suite
        .cluster_wide(VERSION, &name, &format!("{plural}ies"))
        .create(json!({"metadata": {"name": "policy.example.com"}, "spec": spec}))
        .await;
    let mut binding = json!({"policyName": "policy.example.com", "matchResources": {"namespaceSelector": selector}});
    if prefix == "Validating" {
        binding["validationActions"] = json!(["Deny"]);
    }
    suite
        .cluster_wide(
            VERSION,
            &format!("{name}Binding"),
            &format!("{plural}ybindings"),
        )
        .create(json!({"metadata": {"name": "binding.example.com"}, "spec": binding}))
        .await;
}

fn workload(name: &str, replicas: u32) -> Value {
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}})
}

fn deployments(suite: &Suite) -> Kind<'_> {
    suite.namespaced("apps/v1", "Deployment", "deployments")
}

/// Deployments with so many replicas are let in, and one with a single one is not, but as a ReplicaSet.
async fn single_ones_are_refused(suite: &Suite, replicas: u32) {
    let kind = deployments(suite);
    let why = kind.try_create(workload("marker", 1)).await.refused();
    assert!(why.starts_with("422 Invalid: "), "{why}");
    kind.create(workload("replicated", replicas)).await;
    let sets = suite.namespaced("apps/v1", "ReplicaSet", "replicasets");
    sets.create(workload("non-replicated", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn validatingadmissionpolicy_should_validate_against_a_deployment() {
    let suite = Suite::new().await;
    let validations = json!([
        {"expression": "object.spec.replicas > 1", "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas"},
        {"expression": "namespaceObject.metadata.name == 'conformance'", "message": "Internal error! Other namespace should not be allowed."},
    ]);
    bind(&suite, "Validating", json!({"validations": validations})).await;
    single_ones_are_refused(&suite, 2).await;
}

#[tokio::test(start_paused = true)]
async fn validatingadmissionpolicy_should_allow_expressions_to_refer_variables() {
    let suite = Suite::new().await;
    let variables = json!([
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]);
    let validations =
        json!([{"expression": "variables.replicas > 1"}, {"expression": "variables.oddReplicas"}]);
    let spec = json!({"variables": variables, "validations": validations});
    bind(&suite, "Validating", spec).await;
    single_ones_are_refused(&suite, 3).await;
}

async fn mutated(expression: &str) -> Value {
    let suite = Suite::new().await;
    let spec = json!({"reinvocationPolicy": "Never", "mutations": [mutation(expression)]});
    bind(&suite, "Mutating", spec).await;
    deployments(&suite).create(workload("marker", 1)).await
}

#[tokio::test(start_paused = true)]
async fn mutatingadmissionpolicy_should_mutate_a_deployment() {
    let made = mutated("Object{spec: Object.spec{replicas: 1337}}").await;
    assert_eq!(made["spec"]["replicas"], 1337);
}

#[tokio::test(start_paused = true)]
async fn mutatingadmissionpolicy_should_mutate_a_deployment_with_annotations() {
    let expression =
        r#"Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}}"#;
    let made = mutated(expression).await;
    assert_eq!(
        made["metadata"]["annotations"]["mutated-by"],
        "admission-policy"
    );
}
