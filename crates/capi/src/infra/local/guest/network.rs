//! Connections of the guest, and waiting for things in a cluster.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, PostParams};
use kube::config::AuthInfo;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Guest;
use crate::pki::Pair;

/// How often something is looked for.
const POLL: Duration = Duration::from_millis(200);
/// The longest that one step of a boot waits; a failed boot is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a request waits for an answer that does not come.
const SILENCE: Duration = Duration::from_secs(5);

/// Who asks.
pub(super) enum Identity<'a> {
    Nobody,
    Token(&'a str),
    Certificate(&'a Pair),
}

impl Guest<'_> {
    /// A client of an API server. Without `ca_cert` the server isn't checked.
    pub(super) async fn connect(
        &self,
        server: &str,
        ca_cert: Option<&str>,
        identity: Identity<'_>,
    ) -> Result<Client, String> {
        let url: http::Uri = server.parse().map_err(|_| format!("{server} is no URL"))?;
        let mut config = kube::Config::new(url);
        config.tls_server_name = Some(self.hardware.tls_server_name.clone());
        match ca_cert {
            Some(pem) => config.root_cert = Some(certificates(pem)?),
            None => config.accept_invalid_certs = true,
        }
        config.auth_info = match identity {
            Identity::Nobody => AuthInfo::default(),
            Identity::Token(token) => AuthInfo {
                token: Some(token.to_owned().into()),
                ..AuthInfo::default()
            },
            Identity::Certificate(pair) => AuthInfo {
                client_certificate_data: Some(STANDARD.encode(&pair.cert)),
                client_key_data: Some(STANDARD.encode(&pair.key).into()),
                ..AuthInfo::default()
            },
        };
        self.host
            .connect(config)
            .await
            .map_err(|why| format!("connecting to {server}: {why}"))
    }

    /// Asks until there is an answer, or patience ends. `look` returns `Err` for what is not (yet) right.
    pub(super) async fn wait_for<T, F>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> Result<T, String>
    where
        F: Future<Output = Result<T, String>>,
    {
        let end = Instant::now() + PATIENCE;
        loop {
            let looked = if self.progress.is_lost() {
                tokio::time::sleep(SILENCE).await;
                Err("timed out".to_owned())
            } else {
                look().await
            };
            match looked {
                Ok(found) => return Ok(found),
                Err(why) if Instant::now() >= end => {
                    return Err(format!("timed out waiting for {what}: {why}"));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// The DER of all certificates in a PEM text.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let blocks: Result<Vec<_>, _> =
        x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes()).collect();
    match blocks {
        Ok(blocks) if !blocks.is_empty() => Ok(blocks.into_iter().map(|b| b.contents).collect()),
        _ => Err("the certificate authority is not PEM".to_owned()),
    }
}

/// Creates an object; one that is there already is fine.
pub(super) async fn create<K>(client: &Client, object: &K) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
{
    let (api, what): (Api<K>, _) = (Api::all(client.clone()), K::kind(&()));
    created(api, object, &what).await
}

/// Creates an object in its namespace; one that is there already is fine.
pub(super) async fn create_in<K>(client: &Client, namespace: &str, object: &K) -> Result<(), String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let (api, what): (Api<K>, _) = (Api::namespaced(client.clone(), namespace), K::kind(&()));
    created(api, object, &what).await
}

async fn created<K>(api: Api<K>, object: &K, kind: &str) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => {
            let name = object.meta().name.clone().unwrap_or_default();
            Err(format!(
                "creating {kind} {name}: {}",
                runtime::chain(&error)
            ))
        }
    }
}
