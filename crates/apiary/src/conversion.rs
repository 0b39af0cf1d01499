//! Conversion of Cluster API's kinds in the management cluster: what their webhooks do elsewhere, without the network.

use std::sync::Arc;

use api::conversion;
use apiserver::webhook::{Converter, Handlers};
use serde_json::Value;

/// Converts objects of Cluster API between v1beta1 and v1beta2.
struct ClusterApi;

impl Converter for ClusterApi {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        conversion::convert(object, api_version).map_err(|error| error.to_string())
    }
}

/// Registers the conversion of every kind that has several versions, in logical cluster `cluster`.
pub fn register(handlers: &Handlers, cluster: &str) {
    let converter = Arc::new(ClusterApi);
    for kind in conversion::KINDS {
        handlers.convert(cluster, kind.group, kind.kind, converter.clone());
    }
}
