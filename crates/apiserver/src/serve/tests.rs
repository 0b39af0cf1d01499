//! Connections over a pipe in memory, with the clock of the runtime paused.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Empty;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::Security;
use crate::auth::pki::{ClusterKeys, Issued};
use crate::server::Config;
use crate::store::Memory;

#[derive(Debug)]
struct Trusting(AnyClient);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

async fn server() -> Server {
    let now: Timestamp = "2026-04-22T12:00:00Z".parse().unwrap();
    let config = Config {
        clock: Arc::new(move || now),
        admission: Arc::new(|_| vec![]),
        handlers: crate::webhook::Handlers::default(),
        apis: vec![],
        address: Ipv4Addr::LOCALHOST.into(),
        port: 6443,
        security: Security::default(),
        seed: None,
    };
    let server = Server::open(Memory::new(), config).await.unwrap();
    for (id, name) in [("one", "*"), ("two", "two.example.com")] {
        let spec = ClusterSpec {
            id: id.into(),
            server_names: vec![name.into()],
            keys: ClusterKeys::generate(id, now).unwrap(),
            service_cidr: "10.96.0.0/12".into(),
            version: "v1.36.0".into(),
        };
        server.create_cluster(spec).await.unwrap();
    }
    server
}

/// A client's end of a new connection to the cluster that `name` means.
async fn connect(server: &Server, name: &str) -> std::io::Result<TlsStream<DuplexStream>> {
    connect_as(server, name, None).await
}

async fn connect_as(
    server: &Server,
    name: &str,
    client: Option<Issued>,
) -> std::io::Result<TlsStream<DuplexStream>> {
    connect_with(server, name, client_config(client)).await
}

fn client_config(client: Option<Issued>) -> rustls::ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(AnyClient(provider))));
    match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let chain = CertificateDer::from_pem_slice(client.cert_pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        }
    }
}

async fn connect_with(
    server: &Server,
    name: &str,
    config: rustls::ClientConfig,
) -> std::io::Result<TlsStream<DuplexStream>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = server.clone();
    tokio::spawn(async move {
        let mut shutdown = server.ending();
        connection(&server, far, None, &mut shutdown)
            .await
            .map_err(|error| error.to_string())
    });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, near)
        .await
}

async fn read_to_end(client: &mut TlsStream<DuplexStream>) -> String {
    let mut bytes = vec![];
    // How a connection is closed differs; what was said before counts.
    let _closed = client.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn connections_that_ask_nothing_are_closed() {
    let server = server().await;
    for said in ["", "G", "GET /version HTTP/1.1\r\nhost: x\r\nslow: "] {
        let mut client = connect(&server, "localhost").await.unwrap();
        let start = tokio::time::Instant::now();
        client.write_all(said.as_bytes()).await.unwrap();
        let _answer = read_to_end(&mut client).await;
        assert!(start.elapsed() <= 2 * IDLE_TIMEOUT, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_is_given_up() {
    let server = server().await;
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(said).await.unwrap();
        let start = tokio::time::Instant::now();
        let mut shutdown = server.ending();
        let ended = connection(&server, far, None, &mut shutdown).await;
        assert!(ended.is_err(), "{said:?}");
        assert_eq!(start.elapsed(), HANDSHAKE_TIMEOUT, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_have_a_limit() {
    let server = server().await;
    let get = async |header: usize| {
        let mut client = connect(&server, "localhost").await.unwrap();
        let value = "x".repeat(header);
        let request = format!(
            "GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\nlong: {value}\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(get(32 * 1024).await, "HTTP/1.1 200 OK");
    // How far the answer gets depends on what the client still sends.
    let refused = get(MAX_HEADERS as usize).await;
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 431 "),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn names_choose_clusters_and_unknown_ones_are_refused() {
    let server = server().await;
    let ask = b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for name in [
        "localhost",
        "127.0.0.1",
        "two.example.com",
        "TWO.example.com",
    ] {
        let mut client = connect(&server, name).await.unwrap();
        client.write_all(ask).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{name}: {answer}");
    }
    let error = connect(&server, "three.example.com").await.unwrap_err();
    // Its words differ between builds of rustls; the number is that of unrecognized_name in RFC 6066.
    let said = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let is_unrecognized_name = |said: &rustls::Error| matches!(said, rustls::Error::AlertReceived(alert) if u8::from(*alert) == 112);
    assert!(said.is_some_and(is_unrecognized_name), "{error}");
}

#[tokio::test(start_paused = true)]
async fn requests_without_rights_are_told_apart() {
    let server = server().await;
    for (path, headers, code) in [
        ("/readyz", "", "200"),
        ("/api/v1/pods", "", "403"),
        ("/api/v1/pods", "authorization: Bearer x\r\n", "401"),
        ("/metrics", "", "403"),
        ("/api/v1/pods/%zz", "", "400"),
    ] {
        let mut client = connect(&server, "localhost").await.unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        client.write_all(ask.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}")),
            "{path}: {answer}"
        );
        assert!(answer.contains("audit-id: "), "{answer}");
    }
    let mut client = connect(&server, "localhost").await.unwrap();
    let header = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(100 * 1024));
    // The server stops reading before all is written; whether its last words get through is up to the transport.
    let _written = client.write_all(header.as_bytes()).await;
    let answer = read_to_end(&mut client).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

/// An administrator of cluster `id`.
fn admin(server: &Server, id: &str) -> Issued {
    let cluster = server.cluster(id).unwrap();
    let (now, lifetime) = (cluster.registry().now(), SignedDuration::from_hours(1));
    let authority = cluster.spec().keys.authority().unwrap();
    authority
        .issue_client("admin", &["system:masters"], now, lifetime)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_is_known_to_another_cluster() {
    let server = server().await;
    let ask = b"GET /api/v1/pods HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for (name, code) in [("localhost", "200"), ("two.example.com", "401")] {
        let client = Some(admin(&server, "one"));
        let mut client = connect_as(&server, name, client).await.unwrap();
        client.write_all(ask).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}")),
            "{name}: {answer}"
        );
    }
}

/// Sessions that a client offers to whomever it talks to, whatever the name.
#[derive(Debug)]
struct Promiscuous(ClientSessionMemoryCache);

impl Promiscuous {
    fn name() -> ServerName<'static> {
        ServerName::try_from("any").unwrap()
    }
}

impl ClientSessionStore for Promiscuous {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_are_not_resumed_in_another_cluster() {
    let server = server().await;
    let ask = b"GET /api/v1/pods HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut config = client_config(Some(admin(&server, "one")));
    config.resumption = Resumption::store(Arc::new(Promiscuous(ClientSessionMemoryCache::new(8))));
    let mut seen = vec![];
    for name in ["localhost", "localhost", "two.example.com", "localhost"] {
        let mut client = connect_with(&server, name, config.clone()).await.unwrap();
        client.write_all(ask).await.unwrap();
        let answer = read_to_end(&mut client).await;
        let kind = client.get_ref().1.handshake_kind().unwrap();
        seen.push((
            name,
            answer[9..12].to_owned(),
            kind == HandshakeKind::Resumed,
        ));
    }
    let expected = [
        ("localhost", "200", false),
        ("localhost", "200", true),
        ("two.example.com", "401", false),
    ];
    let expected = expected.map(|(name, code, resumed)| (name, code.to_owned(), resumed));
    assert_eq!(seen[..3], expected);
    assert_eq!(seen[3].1, "200");
}

#[tokio::test(start_paused = true)]
async fn requests_that_do_not_end_are_cut_off_with_their_cluster() {
    let server = server().await;
    let client = Some(admin(&server, "one"));
    let mut client = connect_as(&server, "localhost", client).await.unwrap();
    // The rest of the body does not come.
    let ask = "POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
               content-length: 100\r\n\r\n{";
    client.write_all(ask.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = tokio::time::Instant::now();
    server.drop_cluster("one").await.unwrap();
    read_to_end(&mut client).await;
    assert_eq!(start.elapsed(), END_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn watches_end_in_order_when_the_server_does() {
    let server = server().await;
    let client = Some(admin(&server, "one"));
    let mut client = connect_as(&server, "localhost", client).await.unwrap();
    let ask = "GET /api/v1/namespaces?watch=1 HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    client.read_exact(&mut first).await.unwrap();
    let start = tokio::time::Instant::now();
    server.shut_down().await;
    let rest = read_to_end(&mut client).await;
    assert!(
        rest.contains("kube-system") && rest.ends_with("\r\n0\r\n\r\n"),
        "{rest}"
    );
    assert!(
        start.elapsed() < END_TIMEOUT,
        "nothing was left to wait for"
    );
}

#[tokio::test]
async fn further_connections_wait_for_a_place() {
    let server = server().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = {
        let server = server.clone();
        tokio::spawn(async move { accept(&server, listener, server.ending(), 2).await })
    };
    let connector = TlsConnector::from(Arc::new(client_config(None)));
    let client = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, stream).await.unwrap()
    };
    let mut served = [client().await, client().await];
    let mut further = pin!(client());
    for client in &mut served {
        assert!(futures::poll!(further.as_mut()).is_pending());
        let ask = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n";
        client.write_all(ask).await.unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
    assert!(futures::poll!(further.as_mut()).is_pending());
    let [first, second] = served;
    drop(first);
    let third = further.await;
    drop((second, third));
    server.shut_down().await;
    accepting.await.unwrap().unwrap();
}

fn watch() -> Request<Empty<Bytes>> {
    let path = "https://localhost/api/v1/namespaces/none/configmaps?watch=1";
    Request::get(path).body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_connection_has_so_many_streams_and_no_more() {
    let server = server().await;
    let client = Some(admin(&server, "one"));
    let client = connect_as(&server, "localhost", client).await.unwrap();
    let client = TokioIo::new(client);
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), client).await;
    let (mut sender, connection) = made.unwrap();
    tokio::spawn(connection);
    let mut streams = vec![];
    for _ in 0..MAX_STREAMS {
        streams.push(sender.send_request(watch()).await.unwrap());
    }
    // The client has heard how many it may have.
    let mut further = pin!(sender.send_request(watch()));
    let waited = tokio::time::timeout(Duration::from_secs(1), further.as_mut()).await;
    assert!(waited.is_err());
    drop(streams.pop());
    assert_eq!(further.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_of_http2_is_asked_and_then_left() {
    let server = server().await;
    let (near, far) = tokio::io::duplex(64 * 1024);
    let served = {
        let server = server.clone();
        tokio::spawn(async move {
            let mut shutdown = server.ending();
            let served = connection(&server, far, None, &mut shutdown).await;
            served.map_err(|error| format!("{error:?}"))
        })
    };
    let connector = TlsConnector::from(Arc::new(client_config(None)));
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = connector.connect(name, near).await.unwrap();
    // SETTINGS without any, and a request of `/` by what HPACK knows already, with a host.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let request = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'x'];
    let begin = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &settings,
        &request,
    ]
    .concat();
    client.write_all(&begin).await.unwrap();
    // From here on it says nothing, not even an answer to a ping.
    let start = tokio::time::Instant::now();
    let ended = served.await.unwrap().unwrap_err();
    assert!(ended.contains("KeepAliveTimedOut"), "{ended}");
    assert_eq!(start.elapsed(), 2 * PING_PERIOD);
    drop(client);
}
