//! Flow schemas and priority levels, as objects.

use serde_json::json;

use crate::operations::Operations;
use crate::world::Suite;

const VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

#[tokio::test(start_paused = true)]
async fn api_priority_and_fairness_should_support_flowschema_api_operations() {
    let suite = Suite::new().await;
    let rule = json!({
        "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    });
    let spec = json!({
        "matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"}, "rules": [rule],
    });
    let kind = suite.cluster_wide(VERSION, "FlowSchema", "flowschemas");
    Operations {
        patch: json!({"spec": {"matchingPrecedence": 9999}}),
        update: |object| object["spec"]["matchingPrecedence"] = json!(9000),
        status: true,
        ..Operations::new(kind, json!({"spec": spec}))
    }
    .run()
    .await;
}

#[tokio::test(start_paused = true)]
async fn api_priority_and_fairness_should_support_prioritylevelconfiguration_api_operations() {
    let suite = Suite::new().await;
    let spec = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}});
    let kind = suite.cluster_wide(
        VERSION,
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
    );
    Operations {
        patch: json!({"spec": {"limited": {"nominalConcurrencyShares": 4}}}),
        update: |object| object["spec"]["limited"]["nominalConcurrencyShares"] = json!(6),
        status: true,
        ..Operations::new(kind, json!({"spec": spec}))
    }
    .run()
    .await;
}
