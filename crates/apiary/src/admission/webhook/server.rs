//! The HTTPS server.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use kube::Client;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Certificates, Task, answer, manifests};

/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1_000;
/// A handshake or the headers of a request that take longer end the connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a request's body takes to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nobody has asked anything for so long is closed.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is ended after this long, when what is under way is done: API servers make another one.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// Requests at a time on one connection.
const STREAMS_MAX: u32 = 64;
/// Reviews that are read or answered at a time; further ones wait.
const REVIEWS_MAX: usize = 64;
/// Bytes of a review: two states of the largest object, as JSON.
const REVIEW_MAX: usize = 16 << 20;

/// Serves until the process ends. `client` is for the API server whose objects the rules are about.
///
/// # Errors
/// If the certificate cannot be used.
pub async fn serve(
    listener: TcpListener,
    certificates: Arc<Certificates>,
    client: Client,
) -> Result<Infallible> {
    let tls = TlsAcceptor::from(Arc::new(certificates.config()?));
    let followed = Arc::clone(&certificates);
    tokio::spawn(async move { followed.follow().await });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let reviews = Arc::new(Semaphore::new(REVIEWS_MAX));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // A client that went away, or too many open files: not the listener's end.
            Err(error) => {
                tracing::debug!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let (tls, client, reviews) = (tls.clone(), client.clone(), Arc::clone(&reviews));
        tokio::spawn(async move {
            if let Err(error) = connection(&tls, stream, client, reviews).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    tls: &TlsAcceptor,
    stream: TcpStream,
    client: Client,
    reviews: Arc<Semaphore>,
) -> Result<(), ConnectionError> {
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await??;
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&has_asked);
    let service = hyper::service::service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        let (client, reviews) = (client.clone(), Arc::clone(&reviews));
        async move { Ok::<_, Infallible>(respond(&client, &reviews, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(30));
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    match tokio::time::timeout(FIRST_REQUEST_TIMEOUT, served.as_mut()).await {
        Ok(ended) => return ended,
        Err(_) if !has_asked.load(Ordering::Relaxed) => {
            return Err("nobody asked anything".into());
        }
        Err(_) => {}
    }
    if let Ok(ended) = tokio::time::timeout(CONNECTION_LIFETIME, served.as_mut()).await {
        return ended;
    }
    served.as_mut().graceful_shutdown();
    tokio::time::timeout(BODY_TIMEOUT + super::READ_LIMIT, served).await?
}

async fn respond(
    client: &Client,
    reviews: &Semaphore,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if matches!(path.as_str(), "/healthz" | "/readyz" | "/livez") {
        return text(StatusCode::OK, "ok");
    }
    let Some(task) = Task::of(&path) else {
        let paths = [manifests::MUTATE, manifests::VALIDATE, manifests::CONVERT].join(", ");
        return text(
            StatusCode::NOT_FOUND,
            &format!("{path} is not served: {paths} are"),
        );
    };
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "reviews are sent with POST");
    }
    let turn = tokio::time::timeout(BODY_TIMEOUT, reviews.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return text(
            StatusCode::TOO_MANY_REQUESTS,
            "too many reviews at a time: ask again",
        );
    };
    let body = Limited::new(request.into_body(), REVIEW_MAX).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let most = format!("a review has at most {REVIEW_MAX} bytes");
            return text(StatusCode::PAYLOAD_TOO_LARGE, &most);
        }
        Ok(Err(error)) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the review took too long"),
    };
    let review: Value = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => {
            let why = format!("the review is not JSON: {error}");
            return text(StatusCode::BAD_REQUEST, &why);
        }
    };
    match answer(client, task, review).await {
        Ok(answer) => respond_with(StatusCode::OK, "application/json", answer.to_string()),
        Err(why) => text(StatusCode::BAD_REQUEST, &why),
    }
}

fn text(code: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond_with(code, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn respond_with(code: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let media = header::HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
