//! GET of a small JSON document over TLS.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// For name, connection, handshake, request and answer together.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer documents, in bytes, are refused.
const BYTES_MAX: usize = 1 << 20;

/// A client that believes `roots`, or the machine's authorities.
///
/// # Errors
/// When the machine has no authorities.
pub(super) fn client(roots: Option<Arc<RootCertStore>>) -> Result<Arc<ClientConfig>, String> {
    let roots = match roots {
        Some(roots) => roots,
        None => machine_roots()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities that this machine trusts, read once.
fn machine_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err("this machine trusts no authority: name one in certificateAuthority".into());
    }
    Ok(roots.clone())
}

/// The document at `url`. Redirects are not followed.
///
/// # Errors
/// In words, what went wrong on the way.
pub(super) async fn json(url: &Url, client: Arc<ClientConfig>) -> Result<Value, String> {
    let fetched = tokio::time::timeout(TIMEOUT, get(url, client)).await;
    let fetched =
        fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
    fetched.map_err(|why| format!("GET {url}: {why}"))
}

async fn get(url: &Url, client: Arc<ClientConfig>) -> Result<Value, String> {
    let host = url.host_str().ok_or("it names no host")?;
    let host = host.trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| format!("connecting: {error}"))?;
    let stream = TlsConnector::from(client).connect(name, stream).await;
    let stream = TokioIo::new(stream.map_err(|error| format!("TLS: {error}"))?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let request = Request::get(url.path())
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "kube-apiserver")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return format!("the document is too long: it may have {BYTES_MAX} bytes");
            }
            error.to_string()
        })?;
        let body = body.to_bytes();
        serde_json::from_slice(&body).map_err(|error| format!("no JSON: {error}"))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The body may still be on its way when the server has closed.
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
