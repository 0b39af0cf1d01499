//! What is served, as clients find out.

use http::Method;
use serde_json::{Value, json};

use crate::crd::definition;
use crate::world::{Suite, has_named};

/// A resource of each group that every cluster serves.
const SERVED: [(&str, &str); 21] = [
    (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
    ),
    ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io/v1", "apiservices"),
    ("apps/v1", "deployments"),
    ("authentication.k8s.io/v1", "tokenreviews"),
    ("authorization.k8s.io/v1", "selfsubjectaccessreviews"),
    ("autoscaling/v1", "horizontalpodautoscalers"),
    ("autoscaling/v2", "horizontalpodautoscalers"),
    ("batch/v1", "jobs"),
    ("certificates.k8s.io/v1", "certificatesigningrequests"),
    ("coordination.k8s.io/v1", "leases"),
    ("discovery.k8s.io/v1", "endpointslices"),
    ("events.k8s.io/v1", "events"),
    ("flowcontrol.apiserver.k8s.io/v1", "flowschemas"),
    ("networking.k8s.io/v1", "ingresses"),
    ("node.k8s.io/v1", "runtimeclasses"),
    ("policy/v1", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io/v1", "clusterroles"),
    ("resource.k8s.io/v1", "resourceclaims"),
    ("scheduling.k8s.io/v1", "priorityclasses"),
    ("storage.k8s.io/v1", "csinodes"),
];

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// What client-go asks for: it takes the plain lists as well.
const CLIENT_GO: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The aggregated document at `path`, asked for with `accept`.
async fn aggregated(suite: &Suite, path: &str, accept: &str) -> Value {
    let answer = suite.get_as(path, accept).await;
    let content = answer.headers["content-type"].to_str().unwrap();
    assert_eq!(content, AGGREGATED);
    let document = answer.ok();
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    document
}

/// Whether the document has the resource of the group and version (`v1` alone is the core group).
fn is_listed(document: &Value, group_version: &str, resource: &str) -> bool {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let groups = document["items"].as_array().unwrap();
    // The core group has no name.
    let of_group = groups
        .iter()
        .filter(|g| g["metadata"]["name"].as_str().unwrap_or_default() == group);
    let versions = of_group.flat_map(|g| g["versions"].as_array().unwrap());
    versions
        .filter(|v| v["version"] == version)
        .any(|v| has_named(&v["resources"], "resource", &[resource]))
}

async fn a_new_definition_is_found(accept: &str) {
    let suite = Suite::new().await;
    let crds = suite.cluster_wide(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    let group = "group-x.example.com";
    let object = definition(
        group,
        "testcrds",
        "testcrd",
        "Namespaced",
        &["v1"],
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    );
    crds.create(object).await;
    crds.until("testcrds.group-x.example.com", "it is served", |crd| {
        crate::crd::is_established(crd)
    })
    .await;
    let document = aggregated(&suite, "/apis", accept).await;
    let version = format!("{group}/v1");
    assert!(is_listed(&document, &version, "testcrds"), "{document:#}");
}

#[tokio::test(start_paused = true)]
async fn aggregateddiscovery_should_support_raw_aggregated_discovery_endpoint_accept_headers() {
    let suite = Suite::new().await;
    let document = aggregated(&suite, "/apis", AGGREGATED).await;
    for (version, resource) in SERVED {
        assert!(
            is_listed(&document, version, resource),
            "{version} {resource}"
        );
    }
    let core = aggregated(&suite, "/api", AGGREGATED).await;
    assert!(is_listed(&core, "v1", "namespaces"));
}

#[tokio::test(start_paused = true)]
async fn aggregateddiscovery_should_support_raw_aggregated_discovery_request_for_crds() {
    a_new_definition_is_found(AGGREGATED).await;
}

#[tokio::test(start_paused = true)]
async fn aggregateddiscovery_should_support_aggregated_discovery_interface() {
    let suite = Suite::new().await;
    let document = aggregated(&suite, "/apis", CLIENT_GO).await;
    for (version, resource) in SERVED {
        assert!(
            is_listed(&document, version, resource),
            "{version} {resource}"
        );
    }
    let core = aggregated(&suite, "/api", CLIENT_GO).await;
    assert!(is_listed(&core, "v1", "namespaces"));
    // What a client makes of it: every resource has a kind, a scope and verbs.
    for group in document["items"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            for resource in version["resources"].as_array().unwrap() {
                assert!(resource["responseKind"]["kind"].is_string(), "{resource}");
                assert!(resource["scope"].is_string(), "{resource}");
                assert!(resource["verbs"].is_array(), "{resource}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn aggregateddiscovery_should_support_aggregated_discovery_interface_for_crds() {
    a_new_definition_is_found(CLIENT_GO).await;
}

#[tokio::test(start_paused = true)]
async fn discovery_should_validate_preferredversion_for_each_apigroup() {
    let suite = Suite::new().await;
    let groups = suite.get("/apis/").await.ok();
    let groups = groups["groups"].as_array().unwrap();
    assert!(!groups.is_empty());
    for group in groups {
        let name = group["name"].as_str().unwrap();
        let group = suite.get(&format!("/apis/{name}/")).await.ok();
        let preferred = group["preferredVersion"]["groupVersion"].as_str().unwrap();
        assert!(
            has_named(&group["versions"], "groupVersion", &[preferred]),
            "{group}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_should_locate_the_groupversion_and_a_resource_within_each_apigroup() {
    let suite = Suite::new().await;
    suite.discovers("v1", &["namespaces"]).await;
    for (version, resource) in SERVED {
        suite.discovers(version, &[resource]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn customresourcedefinition_resources_should_include_custom_resource_definition_resources_in_discovery_documents()
 {
    let suite = Suite::new().await;
    let resources = [
        "customresourcedefinitions",
        "customresourcedefinitions/status",
    ];
    suite.discovers("apiextensions.k8s.io/v1", &resources).await;
}

#[tokio::test(start_paused = true)]
async fn server_version_should_find_the_server_version() {
    let suite = Suite::new().await;
    let version = suite.get("/version").await.ok();
    let major = version["major"].as_str().unwrap();
    assert!(matches!(major.as_bytes(), [b'1'..=b'9']), "{version}");
    let minor = version["minor"].as_str().unwrap();
    let digits = minor.trim_end_matches('+');
    assert!(
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
        "{version}"
    );
}

#[tokio::test(start_paused = true)]
async fn servers_with_support_for_table_transformation_should_return_a_406_for_a_backend_which_does_not_implement_metadata()
 {
    let suite = Suite::new().await;
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    let headers = [
        ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
        ("content-type", "application/json"),
    ];
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = suite
        .send(Method::POST, path, &headers, review.to_string())
        .await;
    assert_eq!(answer.code, 406);
    let status = answer.json();
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&json!("Status"), &json!("NotAcceptable"))
    );
}
