//! The kubeconfig of a workload cluster, `<cluster>-kubeconfig`: whether it must be written, and how.

use std::sync::Arc;

use api::cluster::Cluster;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use runtime::{Cx, GatherError, Wait};
use serde_json::Value;

use crate::contract::Contract;
use crate::object;
use crate::pki::{self, Pair};
use crate::secret::{self, failed};

/// Seconds that the client certificate of a kubeconfig is valid.
const SECONDS: i64 = 365 * 86400;

/// The kubeconfig that is there.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct KubeconfigState {
    /// Whether its owner made it; a user's own is never touched.
    pub is_ours: bool,
    /// When its client certificate expires.
    pub expires: Option<Timestamp>,
    /// The address in it, and the name that is asked for there.
    pub server: Option<String>,
    pub tls_server_name: Option<String>,
}

/// Where clients find the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub address: String,
    /// The name to ask for, if it is another than that of the address.
    pub tls_name: Option<String>,
}

impl Server {
    /// `None` before the endpoint is known.
    pub(crate) fn of(cluster: &Cluster, infrastructure: Option<&DynamicObject>) -> Option<Self> {
        Some(Self {
            address: format!("https://{}", cluster.address()?),
            tls_name: infrastructure.and_then(|i| Contract(i).tls_server_name().map(str::to_owned)),
        })
    }
}

/// The Secret with the kubeconfig of a cluster.
fn secret_name(cluster: &str) -> String {
    format!("{cluster}-kubeconfig")
}

/// Reads the kubeconfig of a cluster, which the object with the uid `owner` may have made.
pub(crate) async fn gather(
    cx: &Cx,
    namespace: &str,
    cluster: &str,
    owner: Option<&str>,
) -> Result<Option<KubeconfigState>, GatherError> {
    let found: Option<Arc<Secret>> = cx.get(namespace, &secret_name(cluster)).await?;
    let Some(found) = found else { return Ok(None) };
    let text = secret::text(&found, "value").unwrap_or_default();
    let parsed: Value = serde_saphyr::from_str(&text).unwrap_or_default();
    let endpoint = &parsed["clusters"][0]["cluster"];
    let field = |name: &str| endpoint[name].as_str().map(str::to_owned);
    Ok(Some(KubeconfigState {
        is_ours: object::is_controlled_by(&found.metadata, owner),
        expires: pki::kubeconfig_expiry(&text),
        server: field("server"),
        tls_server_name: field("tls-server-name"),
    }))
}

/// Whether the kubeconfig is missing, names another server, or its certificate is past half of its life.
pub(crate) fn is_due(state: Option<&KubeconfigState>, server: &Server, now: Timestamp) -> bool {
    let Some(state) = state else {
        return true;
    };
    let half = SignedDuration::from_secs(SECONDS / 2);
    let is_old = state.expires.is_none_or(|expires| expires < now + half);
    let is_other = state.server.as_deref() != Some(&*server.address)
        || state.tls_server_name != server.tls_name;
    state.is_ours && (is_old || is_other)
}

/// Writes the kubeconfig with a new client certificate of the cluster's authority `ca`.
pub(crate) async fn write(
    cx: &Cx,
    (namespace, cluster): (&str, &str),
    (owner, manager): (OwnerReference, &str),
    ca: &Pair,
    server: &Server,
) -> Result<(), Wait> {
    let client =
        pki::client_certificate(ca, "kubernetes-admin", "system:masters", SECONDS, cx.now())
            .map_err(|e| failed("making the client certificate of the kubeconfig", &e))?;
    let text = pki::Kubeconfig {
        cluster,
        server: &server.address,
        tls_server_name: server.tls_name.as_deref(),
        ca_cert: &ca.cert,
        client: &client,
    }
    .render();
    let name = secret_name(cluster);
    let secret = secret::build(namespace, &name, cluster, owner, [("value", text)]);
    let secrets: Api<Secret> = Api::namespaced(cx.client(), namespace);
    let params = PatchParams::apply(manager).force();
    let written = secrets.patch(&name, &params, &Patch::Apply(&secret)).await;
    written
        .map(drop)
        .map_err(|e| failed(&format!("writing Secret {name}"), &e))
}
