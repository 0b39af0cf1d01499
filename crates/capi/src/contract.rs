//! What controllers read of providers' objects: the fields of the v1beta2 contract, whatever the kind.

use std::sync::Arc;

use api::meta::{ContractRef, Endpoint, FailureDomain, MachineAddress, VersionCount};
use kube::core::DynamicObject;
use runtime::{Cx, GatherError};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The object that a reference names; `None` if it is missing or its kind isn't served.
///
/// # Errors
/// If it can't be read.
pub async fn get(
    cx: &Cx,
    namespace: &str,
    reference: Option<&ContractRef>,
) -> Result<Option<Arc<DynamicObject>>, GatherError> {
    let Some(ContractRef {
        api_group,
        kind,
        name,
    }) = reference
    else {
        return Ok(None);
    };
    match cx.resolve(api_group, kind).await? {
        Some(resource) => cx.get_dynamic(&resource, namespace, name).await,
        None => Ok(None),
    }
}

/// An object of a provider, read by the contract.
#[derive(Clone, Copy, Debug)]
pub struct Contract<'a>(pub &'a DynamicObject);

impl Contract<'_> {
    fn at(&self, path: &[&str]) -> &Value {
        path.iter()
            .fold(&self.0.data, |value, field| &value[*field])
    }

    fn parse<T: DeserializeOwned>(&self, path: &[&str]) -> Option<T> {
        serde_json::from_value(self.at(path).clone()).ok()
    }

    fn count(&self, path: &[&str]) -> Option<i32> {
        i32::try_from(self.at(path).as_i64()?).ok()
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.types.as_ref().map_or("", |t| &t.kind)
    }

    /// Infrastructure: it is there.
    #[must_use]
    pub fn is_provisioned(&self) -> bool {
        self.at(&["status", "initialization", "provisioned"]) == true
    }

    /// Bootstrap: the Secret with the data is there.
    #[must_use]
    pub fn is_data_secret_created(&self) -> bool {
        self.at(&["status", "initialization", "dataSecretCreated"]) == true
    }

    /// Bootstrap: the name of that Secret.
    #[must_use]
    pub fn data_secret_name(&self) -> Option<&str> {
        self.at(&["status", "dataSecretName"]).as_str()
    }

    /// Control plane: it has answered once.
    #[must_use]
    pub fn is_control_plane_initialized(&self) -> bool {
        self.at(&["status", "initialization", "controlPlaneInitialized"]) == true
    }

    /// Infrastructure and control plane of a cluster: where the API server answers.
    #[must_use]
    pub fn endpoint(&self) -> Option<(String, i32)> {
        let endpoint: Endpoint = self.parse(&["spec", "controlPlaneEndpoint"])?;
        endpoint.known().map(|(host, port)| (host.to_owned(), port))
    }

    /// Infrastructure of a cluster: the name in the API server's certificate that clients must ask for, if the address isn't enough.
    #[must_use]
    pub fn tls_server_name(&self) -> Option<&str> {
        self.at(&["status", "tlsServerName"]).as_str()
    }

    /// Infrastructure of a cluster: failure domains for machines.
    #[must_use]
    pub fn failure_domains(&self) -> Vec<FailureDomain> {
        self.parse(&["status", "failureDomains"])
            .unwrap_or_default()
    }

    /// Infrastructure of a machine: its name there.
    #[must_use]
    pub fn provider_id(&self) -> Option<&str> {
        self.at(&["spec", "providerID"])
            .as_str()
            .filter(|id| !id.is_empty())
    }

    /// Infrastructure of a pool: the names there of the machines that it has.
    #[must_use]
    pub fn provider_ids(&self) -> Vec<String> {
        let ids: Vec<String> = self.parse(&["spec", "providerIDList"]).unwrap_or_default();
        ids.into_iter().filter(|id| !id.is_empty()).collect()
    }

    /// Infrastructure of a pool: the kind of an object for each of its machines, if it keeps such objects.
    #[must_use]
    pub fn machine_kind(&self) -> Option<&str> {
        self.at(&["status", "infrastructureMachineKind"])
            .as_str()
            .filter(|kind| !kind.is_empty())
    }

    /// Infrastructure of a machine: its addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<MachineAddress> {
        self.parse(&["status", "addresses"]).unwrap_or_default()
    }

    /// Infrastructure of a machine: where it was placed.
    #[must_use]
    pub fn failure_domain(&self) -> Option<&str> {
        self.at(&["status", "failureDomain"]).as_str()
    }

    /// Control plane: the wanted version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.at(&["spec", "version"]).as_str()
    }

    /// Control plane: how many machines have which version.
    #[must_use]
    pub fn versions(&self) -> Vec<VersionCount> {
        self.parse(&["status", "versions"]).unwrap_or_default()
    }

    /// Control plane: the lowest version that machines have.
    #[must_use]
    pub fn status_version(&self) -> Option<&str> {
        self.at(&["status", "version"]).as_str()
    }

    /// Control plane: a counter of its spec or status.
    #[must_use]
    pub fn replicas(&self, part: &str, field: &str) -> Option<i32> {
        self.count(&[part, field])
    }

    /// Whether deletion has been asked for.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.0.metadata.deletion_timestamp.is_some()
    }
}
