//! One connection to a webhook or an extension server: from the address over TLS to a sender of HTTP/1.1 requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::resolve::Target;
use super::verify;

/// An address that takes longer to answer is given up for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A TLS handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of response headers.
const MAX_HEADERS: usize = 64 * 1024;

/// Opens a connection, which may be upgraded; its errors are the end of `Post "…": `.
pub(crate) async fn open<B>(
    target: Target,
    url: &Url,
    tls: Arc<ClientConfig>,
) -> Result<SendRequest<B>, String>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let name = server_name(url)?;
    let addresses = addresses(target).await?;
    let stream = dial(&addresses).await?;
    let shaken = TlsConnector::from(tls).connect(name, stream);
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, shaken)
        .await
        .map_err(|_| "net/http: TLS handshake timeout")?
        .map_err(|error| verify::explain(&error))?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends with the sender, or with the other side.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a webhook or an extension server ended");
        }
    });
    Ok(sender)
}

/// The addresses to dial, in order.
///
/// # Errors
/// In words, when a name leads nowhere.
pub(crate) async fn addresses(target: Target) -> Result<Vec<SocketAddr>, String> {
    match target {
        Target::Addresses(addresses) => Ok(addresses),
        Target::Host(host, port) => look_up(&host, port).await,
    }
}

/// What to dial for a URL.
pub(super) fn target_of(url: &Url) -> Result<Target, String> {
    let port = url.port_or_known_default().unwrap_or(super::DEFAULT_PORT);
    Ok(match url.host() {
        Some(Host::Ipv4(ip)) => Target::Addresses(vec![SocketAddr::new(ip.into(), port)]),
        Some(Host::Ipv6(ip)) => Target::Addresses(vec![SocketAddr::new(ip.into(), port)]),
        Some(Host::Domain(host)) => Target::Host(host.into(), port),
        None => return Err("the URL names no host".into()),
    })
}

fn server_name(url: &Url) -> Result<ServerName<'static>, String> {
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(ServerName::IpAddress(std::net::IpAddr::from(ip).into())),
        Some(Host::Ipv6(ip)) => Ok(ServerName::IpAddress(std::net::IpAddr::from(ip).into())),
        Some(Host::Domain(host)) => {
            ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())
        }
        None => Err("the URL names no host".into()),
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found
        .map_err(|error| format!("dial tcp: lookup {host}: {error}"))?
        .collect();
    if addresses.is_empty() {
        return Err(format!("dial tcp: lookup {host}: no such host"));
    }
    Ok(addresses)
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut failure = "no address".to_owned();
    for address in addresses {
        let error = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection without TCP_NODELAY");
                }
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "i/o timeout".to_owned(),
        };
        failure = format!("dial tcp {address}: connect: {error}");
    }
    Err(failure)
}
