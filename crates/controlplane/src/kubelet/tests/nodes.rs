//! The objects of nodes.

use expect_test::expect;
use jiff::SignedDuration;

use super::super::*;
use super::{lines, start};

pub(super) fn spec() -> KubeletSpec {
    KubeletSpec {
        node_name: "n1".into(),
        labels: [("node-role.kubernetes.io/worker".to_owned(), String::new())].into(),
        taints: vec![Taint {
            key: "k".into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        }],
        provider_id: "local:///n1".into(),
        version: "v1.36.0".into(),
        cpus: 2,
        memory_mib: 4096,
        internal_ip: "10.0.0.1".into(),
        static_pods: vec![],
        lease_seconds: 0,
        ..KubeletSpec::default()
    }
}

#[test]
fn a_node_registers_as_a_kubelet_does() {
    let node = node::object(&spec(), start());
    let text = ["metadata", "spec", "status"]
        .map(|part| lines(&node[part]))
        .concat();
    expect![[r#"
        labels: {"apiary.io/simulated":"true","beta.kubernetes.io/arch":"amd64","beta.kubernetes.io/os":"linux","kubernetes.io/arch":"amd64","kubernetes.io/hostname":"n1","kubernetes.io/os":"linux","node-role.kubernetes.io/worker":""}
        name: "n1"
        providerID: "local:///n1"
        taints: {"effect":"NoSchedule","key":"k"}
        addresses: {"address":"10.0.0.1","type":"InternalIP"}
        addresses: {"address":"n1","type":"Hostname"}
        allocatable: {"cpu":"2","ephemeral-storage":"100Gi","memory":"4096Mi","pods":"110"}
        capacity: {"cpu":"2","ephemeral-storage":"100Gi","memory":"4096Mi","pods":"110"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"kubelet has sufficient memory available","reason":"KubeletHasSufficientMemory","status":"False","type":"MemoryPressure"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"kubelet has no disk pressure","reason":"KubeletHasNoDiskPressure","status":"False","type":"DiskPressure"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"kubelet has sufficient PID available","reason":"KubeletHasSufficientPID","status":"False","type":"PIDPressure"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"simulated kubelet is posting ready status","reason":"KubeletReady","status":"True","type":"Ready"}
        daemonEndpoints: {"kubeletEndpoint":{"Port":10250}}
        nodeInfo: {"architecture":"amd64","bootID":"21ced11925f1875945d5375c2dc7e9c9","containerRuntimeVersion":"simulated://1.0","kernelVersion":"simulated","kubeProxyVersion":"","kubeletVersion":"v1.36.0","machineID":"21cecf1925f183f345d5355c2dc7e663","operatingSystem":"linux","osImage":"simulated","systemUUID":"21ced01925f185a645d5365c2dc7e816"}
    "#]].assert_eq(&text);
}

#[test]
fn a_node_that_is_there_keeps_its_transition_times() {
    let known: Node = serde_json::from_value(node::object(&spec(), start())).unwrap();
    let later = start() + SignedDuration::from_secs(3600);
    let status = node::status(&spec(), later, Some(&known));
    let ready = &status["conditions"][3];
    assert_eq!(
        (&ready["type"], &ready["lastTransitionTime"]),
        (&json!("Ready"), &json!("2026-01-01T00:00:00Z"))
    );
    assert_eq!(ready["lastHeartbeatTime"], "2026-01-01T01:00:00Z");
}

#[test]
fn pod_addresses_are_the_nodes_own() {
    let all: Vec<String> = node::addresses("n1").collect();
    assert_eq!(all.len(), 253);
    let network = |ip: &String| ip.rsplit_once('.').unwrap().0.to_owned();
    assert!(all.iter().all(|ip| network(ip) == network(&all[0])));
    assert_ne!(
        network(&all[0]),
        network(&node::addresses("n2").next().unwrap())
    );
}

/// Fleets have thousands of them.
#[tokio::test]
async fn a_waiting_kubelet_is_small() {
    let service = tower::service_fn(async |_: http::Request<kube::client::Body>| {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("unreachable"))
    });
    let client = Client::new(service, "default");
    let (_sender, profile) = watch::channel(Arc::default());
    let clock = Clock::simulated(start());
    let mut kubelet = Kubelet::new(spec(), client, clock, Pace::default().join(0), profile);
    let size = size_of_val(&kubelet.live());
    assert!(size < 2048, "{size} bytes");
}
