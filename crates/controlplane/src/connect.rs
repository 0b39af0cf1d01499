//! How parts of this process reach its API servers: as over the network, with the same credentials and the same
//! refusals, but without a socket. Everything else goes over the network.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response};
use kube::Client;
use kube::config::AuthInfo;
use kube::core::ApiResource;
use rcgen::{KeyPair, PublicKeyData};
use runtime::{ClusterOptions, ConnectError, Connector, Header, SocketConnector, Texts};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tower::{Service, ServiceExt};
use x509_parser::prelude::{FromDer, X509Certificate};

use apiserver::object::Key;
use apiserver::rest::Body;
use apiserver::store::ClusterStore;
use apiserver::{Cluster, Server};

/// The cluster that answers, the client's certificate (DER), and its `Authorization` header.
type Handshake = (Arc<Cluster>, Option<Vec<u8>>, Option<HeaderValue>);

/// Connects to the clusters of one server without sockets, and to all others with them.
#[derive(Clone)]
pub struct InProcessConnector {
    server: Server,
    sockets: Arc<SocketConnector>,
}

impl InProcessConnector {
    /// A connector to the clusters of `server`.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            server,
            sockets: Arc::new(SocketConnector),
        }
    }

    /// What a TLS handshake settles: which cluster answers, and who asks.
    fn handshake(&self, config: &kube::Config) -> Result<Handshake, String> {
        let name = config.tls_server_name.as_deref();
        let cluster = self
            .server
            .cluster_by_name(name)
            .ok_or_else(|| format!("no cluster is called {:?} here", name.unwrap_or_default()))?;
        if !config.accept_invalid_certs {
            check_authority(
                config.root_cert.as_deref().unwrap_or_default(),
                &cluster.spec().keys.ca_cert_pem,
            )?;
        }
        Ok((
            cluster,
            client_certificate(&config.auth_info)?,
            bearer(&config.auth_info)?,
        ))
    }

    /// Whether the address is where `server` listens.
    fn is_here(&self, config: &kube::Config) -> bool {
        let url = &config.cluster_url;
        let port = url.port_u16().unwrap_or(443);
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        (port == self.server.port()) && (is_loopback || host == self.server.address().to_string())
    }
}

fn refused(config: &kube::Config, why: impl Into<String>) -> ConnectError {
    ConnectError {
        server: config.cluster_url.to_string(),
        source: why.into().into(),
    }
}

#[async_trait::async_trait]
impl Connector for InProcessConnector {
    async fn connect(&self, config: kube::Config) -> Result<Client, ConnectError> {
        if !self.is_here(&config) {
            return self.sockets.connect(config).await;
        }
        let (cluster, certificate, authorization) = self
            .handshake(&config)
            .map_err(|why| refused(&config, why))?;
        let service = cluster.network_service(certificate).map_request(
            move |mut request: Request<kube::client::Body>| {
                if let Some(value) = &authorization {
                    request.headers_mut().insert(AUTHORIZATION, value.clone());
                }
                request
            },
        );
        Ok(client(service, config.default_namespace))
    }

    fn options(&self, config: &kube::Config, others: ClusterOptions) -> ClusterOptions {
        let name = config.tls_server_name.as_deref();
        match self.server.cluster_by_name(name) {
            Some(cluster) if self.is_here(config) => in_process(&cluster, others),
            _ => others,
        }
    }
}

/// How long watches of this process last. There is no connection that could have died unnoticed.
const WATCH: Duration = Duration::from_secs(6 * 3600);

/// How controllers talk to a cluster of this process.
#[must_use]
pub fn in_process(cluster: &Cluster, others: ClusterOptions) -> ClusterOptions {
    ClusterOptions {
        texts: Some(StoredTexts::of(cluster)),
        watch_timeout: WATCH,
        bookmarks: false,
        ..others
    }
}

/// The texts of a cluster's objects, as the store of this process has them.
#[derive(Clone)]
pub struct StoredTexts(ClusterStore);

impl fmt::Debug for StoredTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredTexts")
    }
}

impl StoredTexts {
    /// Those of `cluster`.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Arc<Self> {
        Arc::new(Self(cluster.registry().store().clone()))
    }
}

impl Texts for StoredTexts {
    fn text(&self, resource: &ApiResource, header: &Header) -> Option<Bytes> {
        let name = match resource.group.as_str() {
            "" => Cow::Borrowed(resource.plural.as_str()),
            group => Cow::Owned(format!("{}.{group}", resource.plural)),
        };
        let found = self
            .0
            .get(&Key::new(&name, &header.namespace, &header.name))?;
        (Some(found.header.revision) == header.revision).then(|| found.json.clone())
    }
}

/// A Kubernetes client over a service of this process.
pub fn client<S>(service: S, default_namespace: impl Into<String>) -> Client
where
    S: Service<
            Request<kube::client::Body>,
            Response = Response<Body>,
            Error = std::convert::Infallible,
        > + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    Client::new(service, default_namespace)
}

/// As a TLS client does: the server's authority must be among the trusted ones.
fn check_authority(trusted: &[Vec<u8>], authority_pem: &str) -> Result<(), String> {
    let mut own = CertificateDer::pem_slice_iter(authority_pem.as_bytes()).flatten();
    if own.any(|certificate| trusted.iter().any(|t| t.as_slice() == certificate.as_ref())) {
        return Ok(());
    }
    Err("tls: failed to verify certificate: x509: certificate signed by unknown authority".into())
}

/// The client certificate, if there is one and its key belongs to it.
fn client_certificate(auth: &AuthInfo) -> Result<Option<Vec<u8>>, String> {
    let (Some(certificate), Some(key)) = (
        pem(auth.client_certificate_data.as_deref()),
        client_key(auth),
    ) else {
        return Ok(None);
    };
    let leaf = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|error| format!("the client certificate is not PEM: {error}"))?;
    let (_, parsed) = X509Certificate::from_der(&leaf)
        .map_err(|error| format!("the client certificate is not readable: {error}"))?;
    let key = KeyPair::from_pem(&key)
        .map_err(|error| format!("the client key is not usable: {error}"))?;
    if key.subject_public_key_info() != parsed.public_key().raw {
        return Err("tls: private key does not match public key of the client certificate".into());
    }
    Ok(Some(leaf.to_vec()))
}

fn client_key(auth: &AuthInfo) -> Option<String> {
    use secrecy::ExposeSecret;
    pem(auth.client_key_data.as_ref().map(|key| key.expose_secret()))
}

/// Kubeconfigs carry PEM in base64.
fn pem(encoded: Option<&str>) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded?.trim())
        .ok()?;
    String::from_utf8(bytes).ok()
}

fn bearer(auth: &AuthInfo) -> Result<Option<HeaderValue>, String> {
    use secrecy::ExposeSecret;
    let Some(token) = &auth.token else {
        return Ok(None);
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .map_err(|_| "the token has characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}
