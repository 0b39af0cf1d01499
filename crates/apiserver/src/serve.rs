//! Connections: TLS for all clusters on one port, told apart by SNI, then HTTP/1.1 or HTTP/2.
//!
//! A connection belongs to the cluster that its handshake named, for all its requests: it is authenticated against that
//! cluster's authority, and TLS sessions are resumed per cluster, so nobody's identity reaches another cluster.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jiff::{SignedDuration, Timestamp};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;

use crate::server::{ClusterSpec, InProcess, Server, ServerError};

/// Connections at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// A handshake that takes longer is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without any request for this long is closed, as is one whose request headers take longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What is under way when the server or the cluster ends has this long to finish.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams at a time on one HTTP/2 connection: clients put all their watches on one.
const MAX_STREAMS: u32 = 1_000;
/// Silent HTTP/2 connections are asked for a sign of life this often.
const PING_PERIOD: Duration = Duration::from_secs(30);
/// Certificates of the server itself live in memory and are made anew with each process.
pub(crate) const CERTIFICATE_LIFETIME: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
/// A TLS record (RFC 8446): a fatal alert that says that nobody here has the name that the client asked for.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Bytes of request headers.
const MAX_HEADERS: u32 = 64 * 1024;

/// Accepts connections until `shutdown`.
pub(crate) async fn run(
    server: &Server,
    listener: TcpListener,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    accept(server, listener, shutdown, MAX_CONNECTIONS).await
}

/// Accepts connections until `shutdown`, so many at a time.
async fn accept(
    server: &Server,
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
    most: usize,
) -> std::io::Result<()> {
    let slots = Arc::new(Semaphore::new(most));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return Ok(());
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|over| *over) => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            // A client that went away, or too many open files: not the listener's end.
            Err(error) => {
                tracing::debug!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let server = server.clone();
        let mut shutdown = shutdown.clone();
        tokio::spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection without TCP_NODELAY");
            }
            if let Err(error) = connection(&server, stream, Some(from.ip()), &mut shutdown).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
    let all = slots.acquire_many(u32::try_from(most).unwrap_or(u32::MAX));
    if tokio::time::timeout(END_TIMEOUT, all).await.is_err() {
        tracing::debug!("connections were cut off at the end of the server");
    }
    Ok(())
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection<S>(
    server: &Server,
    stream: S,
    address: Option<IpAddr>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = async {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().map(str::to_owned);
        let Some(cluster) = server.cluster_by_name(name.as_deref()) else {
            // Nothing was agreed on yet, so the alert is plain.
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(format!("no cluster is called {:?}", name.unwrap_or_default()).into());
        };
        let tls = start.into_stream(cluster.tls()?).await?;
        Ok::<_, ConnectionError>((cluster, tls))
    };
    let (cluster, tls) = tokio::select! {
        made = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => {
            made.map_err(|_| "the handshake took too long")??
        }
        _ = shutdown.wait_for(|over| *over) => return Ok(()),
    };
    let certificate = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| leaf.to_vec());
    let asked = Arc::new(Notify::new());
    let service = TowerToHyperService::new(Noticed {
        inner: cluster.connection_service(certificate, address),
        asked: asked.clone(),
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(MAX_HEADERS as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(PING_PERIOD)
        .keep_alive_timeout(PING_PERIOD);
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(tls), service));
    tokio::select! {
        served = served.as_mut() => return served,
        () = cluster.closed() => {}
        () = never_asked(&asked) => return Err("no request came".into()),
    }
    // Watches end by themselves, and requests under way are answered.
    served.as_mut().graceful_shutdown();
    tokio::time::timeout(END_TIMEOUT, served)
        .await
        .map_err(|_| "requests were cut off at the end")?
}

/// Resolves if the first request does not come in time.
async fn never_asked(asked: &Notify) {
    if tokio::time::timeout(IDLE_TIMEOUT, asked.notified())
        .await
        .is_ok()
    {
        std::future::pending::<()>().await;
    }
}

/// Tells when the connection has its first request.
#[derive(Clone)]
struct Noticed {
    inner: InProcess,
    asked: Arc<Notify>,
}

impl tower::Service<Request<Incoming>> for Noticed {
    type Response = <InProcess as tower::Service<Request<Incoming>>>::Response;
    type Error = Infallible;
    type Future = <InProcess as tower::Service<Request<Incoming>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.asked.notify_one();
        self.inner.call(request)
    }
}

/// TLS of one cluster: its serving certificate, and client certificates taken as they come. Whether a client
/// certificate is one of the cluster's is decided per request, because the answer to a wrong one is 401.
pub(crate) fn tls_config(
    spec: &ClusterSpec,
    address: IpAddr,
    now: Timestamp,
) -> Result<rustls::ServerConfig, ServerError> {
    let keys_error = |source| ServerError::Keys {
        id: spec.id.clone(),
        source,
    };
    let tls_error = |source| ServerError::Tls {
        id: spec.id.clone(),
        source,
    };
    let mut names: Vec<&str> = spec
        .server_names
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "*")
        .collect();
    names.extend([
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]);
    let mut addresses = vec![address];
    if !addresses.contains(&IpAddr::from([127, 0, 0, 1])) {
        addresses.push(IpAddr::from([127, 0, 0, 1]));
    }
    let issued = spec
        .keys
        .authority()
        .and_then(|a| a.issue_server(&names, &addresses, now, CERTIFICATE_LIFETIME))
        .map_err(keys_error)?;
    let unreadable = |_| {
        tls_error(rustls::Error::General(
            "the issued certificate is unreadable".into(),
        ))
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).map_err(unreadable)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyClient(provider.clone()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(tls_error)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Asks for a client certificate and makes sure that the client has its key; who it is, the authenticator says.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
