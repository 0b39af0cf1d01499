//! Ingresses, addresses, endpoints.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::Operations;
use crate::world::{Suite, conditions, names, revision};

#[tokio::test(start_paused = true)]
async fn api_server_should_provide_secure_master_service() {
    let suite = Suite::new().await;
    let services = suite
        .namespaced("v1", "Service", "services")
        .within("default");
    let service = services.get("kubernetes").await;
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
}

#[tokio::test(start_paused = true)]
async fn api_server_should_have_endpoints_and_endpointslices_pointing_to_api_server() {
    let suite = Suite::new().await;
    let endpoints = suite
        .namespaced("v1", "Endpoints", "endpoints")
        .within("default");
    let slices = slices(&suite).within("default");
    let endpoints = endpoints.get("kubernetes").await;
    let subset = &endpoints["subsets"][0];
    let list = slices
        .list("labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes")
        .await;
    let slice = &list["items"][0];
    assert_eq!(slice["addressType"], "IPv4");
    let addresses = &slice["endpoints"][0]["addresses"];
    assert_eq!(addresses, &json!([subset["addresses"][0]["ip"]]));
    assert_eq!(slice["ports"][0]["port"], subset["ports"][0]["port"]);
    assert!(subset["ports"][0]["port"].is_u64());
}

fn slices(suite: &Suite) -> Kind<'_> {
    suite.namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
}

/// A Service whose selector matches nothing.
async fn empty_service(suite: &Suite) -> Kind<'_> {
    let services = suite.namespaced("v1", "Service", "services");
    let spec = json!({"selector": {"does-not-match-anything": "so-be-it"}, "ports": [{"name": "example", "port": 80, "protocol": "TCP"}]});
    services
        .create(json!({"metadata": {"name": "example-empty-selector"}, "spec": spec}))
        .await;
    services
}

#[tokio::test(start_paused = true)]
async fn endpointslice_should_create_and_delete_endpointslices_for_a_service_with_a_selector_that_matches_no_pods()
 {
    let suite = Suite::new().await;
    let services = empty_service(&suite).await;
    let slices = slices(&suite);
    let path = format!(
        "{}?labelSelector=kubernetes.io%2Fservice-name%3Dexample-empty-selector",
        slices.path("")
    );
    let list = suite
        .until(&path, "there is a slice", |list| {
            list["items"][0].is_object()
        })
        .await;
    let slice = &list["items"][0];
    let labels = &slice["metadata"]["labels"];
    let manager = "endpointslice.kubernetes.io/managed-by";
    assert_eq!(labels[manager], "endpointslice-controller.k8s.io");
    assert!(slice["endpoints"].as_array().is_none_or(Vec::is_empty));
    services.delete("example-empty-selector").await;
    suite
        .until(&path, "the slice goes", |list| list["items"] == json!([]))
        .await;
}

#[tokio::test(start_paused = true)]
async fn endpointscontroller_should_create_and_delete_endpoints_for_a_service_with_a_selector_that_matches_no_pods()
 {
    let suite = Suite::new().await;
    let services = empty_service(&suite).await;
    let endpoints = suite.namespaced("v1", "Endpoints", "endpoints");
    endpoints
        .until("example-empty-selector", "they are there", |e| {
            e["kind"] == "Endpoints"
        })
        .await;
    services.delete("example-empty-selector").await;
    endpoints.until_gone("example-empty-selector").await;
}

#[tokio::test(start_paused = true)]
async fn endpointslice_should_support_creating_endpointslice_api_operations() {
    let suite = Suite::new().await;
    let endpoint = json!({"addresses": ["1.2.3.4", "5.6.7.8"]});
    let template = json!({"addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "example", "protocol": "TCP", "port": 80}]});
    Operations::new(slices(&suite), template).run().await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_should_test_the_lifecycle_of_an_endpoint() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("v1", "Endpoints", "endpoints");
    let query = "labelSelector=test-endpoint-static%3Dtrue";
    let list = kind.everywhere().list(query).await;
    let mut watch = kind
        .watch(&format!("{query}&resourceVersion={}", revision(&list)))
        .await;
    let created = kind
        .create(json!({
            "metadata": {"name": "testservice", "labels": {"test-endpoint-static": "true"}},
            "subsets": [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}],
        }))
        .await;
    watch.expect("ADDED").await;
    assert_eq!(names(&kind.everywhere().list(query).await), ["testservice"]);
    kind.update("testservice", |e| {
        e["metadata"]["labels"]["test-service"] = json!("updated");
    })
    .await;
    watch.expect("MODIFIED").await;
    let read = kind.get("testservice").await;
    assert_eq!(read["metadata"]["labels"]["test-service"], "updated");
    // A strategic merge patch replaces the subsets.
    let patch = json!({
        "metadata": {"labels": {"test-service": "patched"}},
        "subsets": [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}],
    });
    let patched = kind.strategic("testservice", patch).await;
    assert!(revision(&patched) > revision(&created));
    watch.expect("MODIFIED").await;
    let read = kind.get("testservice").await;
    assert_eq!(read["metadata"]["labels"]["test-service"], "patched");
    let subsets = json!([{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}]);
    assert_eq!(read["subsets"], subsets);
    kind.delete_collection(query).await;
    watch.expect("DELETED").await;
    kind.assert_gone("testservice").await;
}

#[tokio::test(start_paused = true)]
async fn endpointslicemirroring_should_mirror_a_custom_endpoints_resource_through_create_update_and_delete()
 {
    let suite = Suite::new().await;
    let services = suite.namespaced("v1", "Service", "services");
    let endpoints = suite.namespaced("v1", "Endpoints", "endpoints");
    let name = "example-custom-endpoints";
    let ports = json!([{"name": "example", "port": 80, "protocol": "TCP"}]);
    services
        .create(json!({"metadata": {"name": name}, "spec": {"ports": ports}}))
        .await;
    endpoints
        .create(json!({"metadata": {"name": name}, "subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": ports}]}))
        .await;
    let path = format!(
        "{}?labelSelector=kubernetes.io%2Fservice-name%3D{name}",
        slices(&suite).path("")
    );
    let shows = |address: &'static str| {
        move |list: &Value| {
            let items = list["items"].as_array().unwrap();
            let slice = items.first().unwrap_or(&Value::Null);
            items.len() == 1
                && slice["ports"][0]["port"] == 80
                && slice["endpoints"][0]["addresses"] == json!([address])
        }
    };
    suite
        .until(&path, "they are mirrored", shows("10.1.2.3"))
        .await;
    endpoints
        .update(name, |e| {
            e["subsets"][0]["addresses"] = json!([{"ip": "10.2.3.4"}]);
        })
        .await;
    suite
        .until(&path, "the update is mirrored", shows("10.2.3.4"))
        .await;
    endpoints.delete(name).await;
    suite
        .until(&path, "the slice goes", |list| list["items"] == json!([]))
        .await;
}

#[tokio::test(start_paused = true)]
async fn ingress_api_should_support_creating_ingress_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("networking.k8s.io/v1", "Ingress", "ingresses");
    let template = |host: &str| {
        let backend = |name: &str| json!({"service": {"name": name, "port": {"number": 8080}}});
        let path = json!({"path": "/", "pathType": "ImplementationSpecific", "backend": backend("test-backend")});
        json!({"spec": {"defaultBackend": backend("default-backend"), "rules": [{"host": host, "http": {"paths": [path]}}]}})
    };
    let templates = ["host1.bar.com", "host2.bar.com", "host3.bar.com"].map(template);
    let mut lasting = templates[0].clone();
    lasting["metadata"] = json!({"name": "lasting"});
    kind.create(lasting).await;
    let operations = Operations::new(kind.clone(), Value::Null);
    Operations {
        templates,
        ..operations
    }
    .run()
    .await;

    let status = |address: &str| json!({"loadBalancer": {"ingress": [{"ip": address}]}});
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status("169.1.1.1")});
    let patched = kind.merge("lasting/status", patch).await;
    assert_eq!(patched["status"], status("169.1.1.1"));
    assert_eq!(patched["metadata"]["annotations"]["patchedstatus"], "true");
    let updated = kind
        .update("lasting/status", |ingress| {
            ingress["status"] = status("169.1.1.2");
        })
        .await;
    assert_eq!(updated["status"], status("169.1.1.2"));
    let read = kind.get("lasting/status").await;
    assert_eq!(read["metadata"]["uid"], patched["metadata"]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn ingressclass_api_should_support_creating_ingressclass_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide("networking.k8s.io/v1", "IngressClass", "ingressclasses");
    let template = json!({"spec": {"controller": "example.com/controller"}});
    Operations::new(kind, template).run().await;
}

#[tokio::test(start_paused = true)]
async fn servicecidr_and_ipaddress_api_should_support_servicecidr_api_operations() {
    let suite = Suite::new().await;
    let resources = ["servicecidrs", "servicecidrs/status"];
    suite.discovers("networking.k8s.io/v1", &resources).await;
    let kind = suite.cluster_wide("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs");
    let range = kind.get("kubernetes").await;
    assert_eq!(range["spec"]["cidrs"], json!(["10.96.0.0/12"]));
    assert_eq!(conditions(&range)["Ready"]["status"], "True");
    let status = kind.get("kubernetes/status").await;
    assert_eq!(status["kind"], "ServiceCIDR");
    assert_eq!(status["metadata"]["uid"], range["metadata"]["uid"]);
    assert_eq!(kind.count("").await, 1);
    kind.watch("").await.expect("ADDED").await;
}

#[tokio::test(start_paused = true)]
async fn servicecidr_and_ipaddress_api_should_support_ipaddress_api_operations() {
    let suite = Suite::new().await;
    suite
        .discovers("networking.k8s.io/v1", &["ipaddresses"])
        .await;
    let kind = suite.cluster_wide("networking.k8s.io/v1", "IPAddress", "ipaddresses");
    let object = |name: &str, ty: &str| {
        let parent = json!({"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"});
        json!({"metadata": {"name": name, "labels": {"type": ty}}, "spec": {"parentRef": parent}})
    };
    let four = "255.255.255.255";
    let created = kind.create(object(four, "broadcast")).await;
    kind.create(object("fe80::42:1dff:fe84:f9e2", "link-local"))
        .await;
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}});
    let patched = kind.merge(four, patch).await;
    assert!(revision(&patched) > revision(&created));
    let updated = kind
        .update(four, |ip| {
            ip["metadata"]["annotations"]["updated"] = json!("true");
        })
        .await;
    assert_eq!(
        updated["metadata"]["annotations"],
        json!({"patched": "true", "updated": "true"})
    );
    let (broadcast, link) = (
        "labelSelector=type%3Dbroadcast",
        "labelSelector=type%3Dlink-local",
    );
    assert_eq!(kind.count(broadcast).await, 1);
    let mut watch = kind.watch(broadcast).await;
    watch.expect("ADDED").await;
    kind.delete(four).await;
    watch.expect("DELETED").await;
    kind.delete_collection(link).await;
    assert_eq!(kind.count(link).await, 0);
}

#[tokio::test(start_paused = true)]
async fn services_should_find_a_service_from_listing_all_namespaces() {
    let suite = Suite::new().await;
    let services = suite.namespaced("v1", "Service", "services").everywhere();
    let list = services.list("").await;
    let is_it = |service: &Value| {
        let metadata = &service["metadata"];
        metadata["name"] == "kubernetes" && metadata["namespace"] == "default"
    };
    assert!(list["items"].as_array().unwrap().iter().any(is_it));
}

#[tokio::test(start_paused = true)]
async fn services_should_complete_a_service_status_lifecycle() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("v1", "Service", "services");
    let query = "labelSelector=test-service-static%3Dtrue";
    let since = revision(&kind.everywhere().list(query).await);
    let mut watch = kind
        .watch(&format!("{query}&resourceVersion={since}"))
        .await;
    let port = json!({"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80});
    let spec = json!({"type": "LoadBalancer", "ports": [port], "loadBalancerClass": "example.com/internal-vip"});
    kind.create(json!({"metadata": {"name": "test-service", "labels": {"test-service-static": "true"}}, "spec": spec}))
        .await;
    watch.expect("ADDED").await;
    let status = kind.get("test-service/status").await;
    assert_eq!(status["kind"], "Service");
    let patch = json!({
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    });
    kind.merge("test-service/status", patch).await;
    let annotated = |service: &Value| service["metadata"]["annotations"]["patchedstatus"] == "true";
    let seen = watch.until("MODIFIED", annotated).await;
    assert_eq!(
        seen["status"]["loadBalancer"]["ingress"][0]["ip"],
        "203.0.113.1"
    );
    kind.update("test-service/status", |service| {
        service["status"]["conditions"] = json!([{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test", "lastTransitionTime": null}]);
    })
    .await;
    let seen = watch
        .until("MODIFIED", |s| conditions(s).contains_key("StatusUpdate"))
        .await;
    assert_eq!(conditions(&seen)["StatusUpdate"]["reason"], "E2E");
    assert!(annotated(&seen));
    let patch = json!({"metadata": {"labels": {"test-service": "patched"}}});
    kind.strategic("test-service", patch).await;
    watch
        .until("MODIFIED", |s| {
            s["metadata"]["labels"]["test-service"] == "patched"
        })
        .await;
    kind.delete("test-service").await;
    watch.until("DELETED", |_| true).await;
}

#[tokio::test(start_paused = true)]
async fn services_should_delete_a_collection_of_services() {
    let suite = Suite::new().await;
    let kind = suite.namespaced("v1", "Service", "services");
    for (name, label) in [
        ("one", "delete"),
        ("two", "delete"),
        ("three", "do-not-delete"),
    ] {
        let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}]);
        kind.create(json!({"metadata": {"name": name, "labels": {"e2e-test-service": label}}, "spec": {"ports": ports}}))
            .await;
    }
    assert_eq!(kind.count("").await, 3);
    kind.delete_collection("labelSelector=e2e-test-service%3Ddelete")
        .await;
    assert_eq!(names(&kind.list("").await), ["three"]);
}
