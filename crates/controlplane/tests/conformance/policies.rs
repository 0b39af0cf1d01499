//! Admission policies.

use serde_json::{Value, json};

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
