//! An extension on loopback: HTTPS with a certificate of its own authority.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use runtime::Tasks;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{HOOKS, Script};

/// Where it is, and the certificate of its authority in PEM.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) authority: String,
}

/// Serves until `tasks` end.
pub(super) async fn start(tasks: &Tasks, script: Arc<Script>) -> Server {
    let (authority, acceptor) = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn("extension", async move {
        while let Ok((connection, _)) = listener.accept().await {
            serve(connection, acceptor.clone(), &script).await;
        }
    });
    Server {
        url: format!("https://127.0.0.1:{port}/base"),
        authority,
    }
}

fn tls() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&own, &issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(own.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (authority, TlsAcceptor::from(Arc::new(config)))
}

async fn serve(connection: TcpStream, acceptor: TlsAcceptor, script: &Arc<Script>) {
    let Ok(stream) = acceptor.accept(connection).await else {
        return;
    };
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let script = Arc::clone(script);
        async move {
            assert_eq!(request.method(), Method::POST);
            let base = format!("/base/{HOOKS}/");
            let path = request.uri().path().strip_prefix(&base).unwrap().to_owned();
            // The hook, and the handler but for discovery.
            let handler = path
                .split_once('/')
                .map_or("", |(_, handler)| handler)
                .to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let answer = script.reply(&handler, &serde_json::from_slice(&body).unwrap());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer.to_string()))))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that has had enough may go at any time.
    drop(served.await);
}
