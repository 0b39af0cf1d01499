//! The node in the API, and the lease that says that its kubelet lives.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::life::later;
use super::{Kubelet, node};

impl Kubelet {
    /// Creates the node, or makes an existing one of this name ours again.
    pub(super) async fn register(&self) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let now = self.clock.now();
        let node: Node = serde_json::from_value(node::object(&self.spec, now))
            .map_err(kube::Error::SerdeError)?;
        match nodes.create(&PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => return other.map(drop),
        }
        let known = nodes.get(&self.spec.node_name).await?;
        self.report(&nodes, &known).await
    }

    /// Says again how the node is. One that somebody has deleted comes back.
    pub(super) async fn heartbeat(&self) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        match nodes.get_opt(&self.spec.node_name).await? {
            Some(known) => self.report(&nodes, &known).await,
            None => self.register().await,
        }
    }

    async fn report(&self, nodes: &Api<Node>, known: &Node) -> Result<(), kube::Error> {
        let status = node::status(&self.spec, self.clock.now(), Some(known));
        let patch = Patch::Merge(json!({"status": status}));
        let params = PatchParams::default();
        let patched = nodes.patch_status(&self.spec.node_name, &params, &patch);
        patched.await.map(drop)
    }

    pub(super) async fn renew_lease(&mut self) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let now = micro_time(self.clock.now());
        let name = &self.spec.node_name;
        let lease = self.pace.lease();
        let holds = lease.as_secs();
        let until = later(self.clock.now(), lease);
        let patch = json!({"spec": {"renewTime": now, "leaseDurationSeconds": holds}});
        match leases
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => {
                other?;
                self.lease = Some(until);
                return Ok(());
            }
        }
        // The lease goes with its node; for a node that is gone there is none to make.
        let nodes: Api<Node> = Api::all(self.client.clone());
        let Some(node) = nodes.get_opt(name).await? else {
            return Ok(());
        };
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid()});
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": holds, "renewTime": now},
        });
        let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
        leases.create(&PostParams::default(), &lease).await?;
        self.lease = Some(until);
        Ok(())
    }
}

/// RFC 3339 with microseconds, as leases have it.
fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
