//! Reads the fleet from the management cluster.

use kube::Client;
use serde_json::Value;

/// The objects that the tree is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub organizations: Vec<Value>,
    pub clusters: Vec<Value>,
    pub control_planes: Vec<Value>,
    pub machine_deployments: Vec<Value>,
    pub machines: Vec<Value>,
    /// Machines of the local provider: they know why a machine does not boot.
    pub local_machines: Vec<Value>,
    pub catalogs: Vec<Value>,
    pub apps: Vec<Value>,
}

/// Reads everything; kinds that are not served (yet) have no objects.
///
/// # Errors
/// When the API does not answer or refuses.
pub async fn read(client: &Client) -> Result<World, kube::Error> {
    Ok(World {
        organizations: list(
            client,
            "/apis/security.giantswarm.io/v1alpha1/organizations",
        )
        .await?,
        clusters: list(client, "/apis/cluster.x-k8s.io/v1beta2/clusters").await?,
        control_planes: list(
            client,
            "/apis/controlplane.cluster.x-k8s.io/v1beta2/kubeadmcontrolplanes",
        )
        .await?,
        machine_deployments: list(client, "/apis/cluster.x-k8s.io/v1beta2/machinedeployments")
            .await?,
        machines: list(client, "/apis/cluster.x-k8s.io/v1beta2/machines").await?,
        local_machines: list(
            client,
            "/apis/infrastructure.cluster.x-k8s.io/v1beta2/localmachines",
        )
        .await?,
        catalogs: list(client, "/apis/application.giantswarm.io/v1alpha1/catalogs").await?,
        apps: list(client, "/apis/application.giantswarm.io/v1alpha1/apps").await?,
    })
}

async fn list(client: &Client, path: &str) -> Result<Vec<Value>, kube::Error> {
    let request = http::Request::get(path)
        .body(vec![])
        .map_err(kube::Error::HttpError)?;
    match client.request::<Value>(request).await {
        Ok(mut list) => match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(vec![]),
        },
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(vec![]),
        Err(error) => Err(error),
    }
}
