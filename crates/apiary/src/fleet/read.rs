//! Reads the fleet from the management cluster.

use kube::Client;
use serde_json::Value;

use crate::inspect::read::no_pools;

/// The objects that the tree is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub organizations: Vec<Value>,
    pub clusters: Vec<Value>,
    pub control_planes: Vec<Value>,
    pub machine_deployments: Vec<Value>,
    pub machine_pools: Vec<Value>,
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
    let organizations = "/apis/security.giantswarm.io/v1alpha1/organizations";
    let catalogs = "/apis/application.giantswarm.io/v1alpha1/catalogs";
    Ok(World {
        organizations: list(client, organizations).await?,
        catalogs: list(client, catalogs).await?,
        ..read_at(client, "").await?
    })
}

/// Reads the clusters and apps of one namespace.
///
/// # Errors
/// When the API does not answer or refuses.
pub async fn read_in(client: &Client, namespace: &str) -> Result<World, kube::Error> {
    read_at(client, &format!("namespaces/{namespace}/")).await
}

/// `place` stands before the plural.
async fn read_at(client: &Client, place: &str) -> Result<World, kube::Error> {
    let at = |group: &str, plural: &str| format!("/apis/{group}/{place}{plural}");
    let core = |plural: &str| at("cluster.x-k8s.io/v1beta2", plural);
    Ok(World {
        clusters: list(client, &core("clusters")).await?,
        control_planes: list(
            client,
            &at(
                "controlplane.cluster.x-k8s.io/v1beta2",
                "kubeadmcontrolplanes",
            ),
        )
        .await?,
        machine_deployments: list(client, &core("machinedeployments")).await?,
        machine_pools: match list(client, &core("machinepools")).await {
            Ok(pools) => pools,
            Err(error) => no_pools(client, error).await?,
        },
        machines: list(client, &core("machines")).await?,
        local_machines: list(
            client,
            &at("infrastructure.cluster.x-k8s.io/v1beta2", "localmachines"),
        )
        .await?,
        apps: list(client, &at("application.giantswarm.io/v1alpha1", "apps")).await?,
        ..World::default()
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
