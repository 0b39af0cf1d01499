//! The addresses of the pods behind Services.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::apps::pods;
use crate::kind::Kind;
use crate::world::{Suite, names, revision};

/// Two pods with ports of the same name and other numbers, by address; a Service of the first by the number of its port, and one
/// of both by the name.
async fn make_pods_and_services(suite: &Suite) -> BTreeMap<String, Value> {
    let port = |name: &str, number: u16| json!({"name": name, "containerPort": number});
    let named = "example-name";
    for (name, ports) in [
        ("pod1", json!([port(named, 3000)])),
        ("pod2", json!([port(named, 3001), port("other-port", 3002)])),
    ] {
        let labels = json!({name: "on", "shared12": "on"});
        let containers = json!([{"name": "container1", "image": "nginx", "ports": ports}]);
        pods(suite)
            .create(json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}))
            .await;
    }
    for (name, label, port, target) in [
        ("example-int-port", "pod1", "example", json!(3000)),
        ("example-named-port", "shared12", "http", json!(named)),
    ] {
        let ports = json!([{"name": port, "port": 80, "targetPort": target, "protocol": "TCP"}]);
        let spec =
            json!({"selector": {label: "on"}, "publishNotReadyAddresses": true, "ports": ports});
        suite
            .namespaced("v1", "Service", "services")
            .create(json!({"metadata": {"name": name}, "spec": spec}))
            .await;
    }
    let mut by_address = BTreeMap::new();
    for name in ["pod1", "pod2"] {
        let pod = pods(suite)
            .until(name, "it has an address", |pod| {
                pod["status"]["podIPs"][0].is_object()
            })
            .await;
        let address = pod["status"]["podIP"].as_str().unwrap();
        by_address.insert(address.to_owned(), pod.clone());
    }
    by_address
}

/// The address is that of a pod, which the reference names, and this port of it is called as the Service calls it. The pod's name.
fn check_address<'a>(
    pods: &'a BTreeMap<String, Value>,
    address: &Value,
    target: &Value,
    (ports, name): (&Value, &str),
) -> &'a str {
    let pod = &pods[address.as_str().unwrap()];
    let metadata = &pod["metadata"];
    assert_eq!(target["kind"], "Pod");
    for field in ["namespace", "name", "uid"] {
        assert_eq!(target[field], metadata[field]);
    }
    assert_eq!(ports.as_array().unwrap().len(), 1);
    let port = &pod["spec"]["containers"][0]["ports"][0]["containerPort"];
    assert_eq!(&ports[0]["port"], port);
    assert_eq!(ports[0]["name"], name);
    assert_eq!(ports[0]["protocol"], "TCP");
    metadata["name"].as_str().unwrap()
}

fn slices(suite: &Suite) -> Kind<'_> {
    suite.namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
}

fn of_service(service: &str) -> String {
    format!("labelSelector=kubernetes.io%2Fservice-name%3D{service}")
}

/// Waits for the slices of a Service, which are of these pods and no others.
async fn slices_are(
    suite: &Suite,
    by_address: &BTreeMap<String, Value>,
    (service, port): (&str, &str),
    wanted: &[&str],
) {
    let path = format!("{}?{}", slices(suite).path(""), of_service(service));
    let endpoints = |list: &Value| -> Vec<(Value, Value)> {
        let items = list["items"].as_array().unwrap().iter();
        let of_slice = |slice: &Value| {
            let all = slice["endpoints"].as_array().cloned().unwrap_or_default();
            let ports = slice["ports"].clone();
            all.into_iter().map(move |e| (e, ports.clone()))
        };
        items.flat_map(of_slice).collect()
    };
    let list = suite
        .until(&path, "all pods are in slices", |list| {
            endpoints(list).len() == wanted.len()
        })
        .await;
    let mut found: Vec<&str> = endpoints(&list)
        .iter()
        .map(|(endpoint, ports)| {
            let (address, target) = (&endpoint["addresses"][0], &endpoint["targetRef"]);
            check_address(by_address, address, target, (ports, port))
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, wanted);
}

#[tokio::test(start_paused = true)]
async fn endpointslice_should_create_endpoints_and_endpointslices_for_pods_matching_a_service() {
    let suite = Suite::with_nodes(1).await;
    let by_address = make_pods_and_services(&suite).await;
    slices_are(
        &suite,
        &by_address,
        ("example-int-port", "example"),
        &["pod1"],
    )
    .await;
    let both = ("example-named-port", "http");
    slices_are(&suite, &by_address, both, &["pod1", "pod2"]).await;
    // Ports of the same name and other numbers are in slices of their own.
    let list = slices(&suite).list(&of_service(both.0)).await;
    let before = names(&list);
    assert_eq!(before.len(), 2);
    for name in &before {
        slices(&suite).delete(name).await;
    }
    slices_are(&suite, &by_address, both, &["pod1", "pod2"]).await;
}

/// Waits for the Endpoints of a Service: a subset for each of these pods, and no others.
async fn endpoints_are(
    suite: &Suite,
    by_address: &BTreeMap<String, Value>,
    (service, port): (&str, &str),
    wanted: &[&str],
) {
    let addresses = |subset: &Value| -> Vec<Value> {
        let of = |key: &str| subset[key].as_array().cloned().unwrap_or_default();
        [of("addresses"), of("notReadyAddresses")].concat()
    };
    let endpoints = suite
        .namespaced("v1", "Endpoints", "endpoints")
        .until(service, "all pods are in it", |endpoints| {
            let subsets = endpoints["subsets"].as_array();
            subsets.is_some_and(|subsets| {
                subsets.len() == wanted.len() && subsets.iter().all(|s| addresses(s).len() == 1)
            })
        })
        .await;
    let mut found = vec![];
    for subset in endpoints["subsets"].as_array().unwrap() {
        let address = &addresses(subset)[0];
        let (ip, target) = (&address["ip"], &address["targetRef"]);
        found.push(check_address(
            by_address,
            ip,
            target,
            (&subset["ports"], port),
        ));
    }
    found.sort_unstable();
    assert_eq!(found, wanted);
}

#[tokio::test(start_paused = true)]
async fn endpointscontroller_should_create_endpoints_for_pods_matching_a_service() {
    let suite = Suite::with_nodes(1).await;
    let by_address = make_pods_and_services(&suite).await;
    let one = ("example-int-port", "example");
    endpoints_are(&suite, &by_address, one, &["pod1"]).await;
    let both = ("example-named-port", "http");
    endpoints_are(&suite, &by_address, both, &["pod1", "pod2"]).await;
}

#[tokio::test(start_paused = true)]
async fn service_endpoints_latency_should_not_be_very_high() {
    const TRIALS: usize = 200;
    const AT_ONCE: usize = 15;
    let suite = Suite::with_nodes(1).await;
    let metadata = json!({"name": "svc-latency-rc", "labels": {"name": "svc-latency-rc"}});
    let containers = json!([{"name": "pause", "image": "pause"}]);
    let kind = pods(&suite);
    kind.create(json!({"metadata": metadata, "spec": {"containers": containers}}))
        .await;
    kind.until("svc-latency-rc", "it runs", |pod| {
        pod["status"]["phase"] == "Running"
    })
    .await;
    let since = revision(&slices(&suite).list("").await);
    let mut watch = slices(&suite)
        .watch(&format!("resourceVersion={since}"))
        .await;
    let services = suite.namespaced("v1", "Service", "services");
    let spec =
        json!({"selector": {"name": "svc-latency-rc"}, "ports": [{"protocol": "TCP", "port": 80}]});
    let service = json!({"metadata": {"generateName": "latency-svc-"}, "spec": spec});
    let mut took = vec![];
    while took.len() < TRIALS {
        let created = (0..AT_ONCE).map(|_| async {
            let start = Instant::now();
            let made = services.create(service.clone()).await;
            (made["metadata"]["name"].clone(), start)
        });
        let mut open = futures::future::join_all(created).await;
        while !open.is_empty() {
            let (_, slice) = watch.next().await;
            if slice["endpoints"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let name = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
            if let Some(at) = open.iter().position(|(open, _)| open == name) {
                took.push(open.swap_remove(at).1.elapsed());
            }
        }
    }
    took.sort_unstable();
    let (median, tail) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    assert!(median <= Duration::from_secs(20), "{median:?}");
    assert!(tail <= Duration::from_secs(50), "{tail:?}");
}
