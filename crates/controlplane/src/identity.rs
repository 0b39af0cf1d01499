//! The lease by which an API server says that it serves a cluster: `apiserver-…` in `kube-system`, as tools that count the
//! servers of a cluster look for it.
//!
//! There are no leases of a leader among schedulers or controllers: there is one of each, in the same process.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use runtime::Cluster;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NAMESPACE: &str = "kube-system";
const SERVER: &str = "kube-apiserver";
/// The host that the server says it is on: all clusters of a process are on one, and it has no other name in them.
const HOST: &str = "apiary";
/// How long the lease holds, in seconds, as Kubernetes has it. It renews every ten seconds; three times an hour do as well.
const SECONDS: u64 = 3600;
const RENEWAL: Duration = Duration::from_secs(SECONDS / 3);
/// Pause after the API did not answer.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps the lease, for ever.
pub async fn run(cluster: Arc<Cluster>) {
    let leases: Api<Lease> = Api::namespaced(cluster.client().clone(), NAMESPACE);
    let params = PatchParams::apply(SERVER).force();
    let begin = cluster.clock().now();
    loop {
        let lease = lease(begin, cluster.clock().now());
        let patched = leases.patch(&name(), &params, &Patch::Apply(&lease)).await;
        let pause = match patched {
            Ok(_) => RENEWAL,
            Err(error) => {
                let why = runtime::chain(&error);
                tracing::debug!(why, "the lease of the API server is not renewed");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Names the server by its host.
fn name() -> String {
    let digest = Sha256::digest(HOST.as_bytes());
    let hash: String = digest[..13]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("apiserver-{hash}")
}

/// The lease of a server that has run since `begin`.
fn lease(begin: Timestamp, now: Timestamp) -> Value {
    let micro = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let labels =
        json!({"apiserver.kubernetes.io/identity": SERVER, "kubernetes.io/hostname": HOST});
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name(), "namespace": NAMESPACE, "labels": labels},
        "spec": {
            // Another after each start.
            "holderIdentity": format!("{}_{}", name(), begin.as_millisecond()),
            "leaseDurationSeconds": SECONDS, "acquireTime": micro(begin), "renewTime": micro(now),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_found_by_its_label_and_has_a_holder_of_its_own_after_each_start() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = lease(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:20:00Z"));
        expect_test::expect![[r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"labels":{"apiserver.kubernetes.io/identity":"kube-apiserver","kubernetes.io/hostname":"apiary"},"name":"apiserver-56bf6664d56eec6fc29d796958","namespace":"kube-system"},"spec":{"acquireTime":"2026-01-01T00:00:00.000000Z","holderIdentity":"apiserver-56bf6664d56eec6fc29d796958_1767225600000","leaseDurationSeconds":3600,"renewTime":"2026-01-01T00:20:00.000000Z"}}"#]]
            .assert_eq(&first.to_string());
        let second = lease(at("2026-01-02T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        assert_eq!(first["metadata"], second["metadata"]);
        assert_ne!(
            first["spec"]["holderIdentity"],
            second["spec"]["holderIdentity"]
        );
    }
}
