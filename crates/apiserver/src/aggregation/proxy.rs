//! Passing a request on to whoever serves its group version: headers, bodies as they come, and connections that become
//! something else.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::remote::{Remote, Sender};
use super::routes::RemoteRoute;
use crate::auth::User;
use crate::rest::{Body, BodyError, respond, websocket};
use crate::server::Cluster;
use crate::status::Status;

/// The longest that clients wait for the resources of a group version, as in Kubernetes.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest until any other answer begins, also that of a request that lasts.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer, or line of a watch, that a part of this process gets from an extension server, in bytes: it may read
/// the whole into memory. Everybody else gets it as it comes.
const MAX_TRUSTED: usize = 16 * 1024 * 1024;

/// Headers that are between one client and one server.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
/// What a connection may become. Whatever else a client asks for, a server may understand as more requests, which nobody here
/// would look at.
const PROTOCOLS: [&str; 2] = ["websocket", "SPDY/3.1"];
/// Headers by which proxies say for whom they ask; those of clients go no further.
const IDENTITY: &str = "x-remote-";
const IMPERSONATION: &str = "impersonate-";

/// A request that is to be passed on: its user is known, and may.
pub(crate) struct Delegated {
    pub parts: Parts,
    pub body: Body,
    pub user: User,
    pub verb: &'static str,
    /// Its id in the audit log.
    pub id: HeaderValue,
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// How long it may take; `None` for one that lasts.
    pub limit: Option<Duration>,
    /// The client is a part of this process.
    pub is_trusted: bool,
}

/// The connection that a client asks for in place of the request.
fn wanted_protocol(headers: &HeaderMap) -> Option<&HeaderValue> {
    let named = headers.get_all(header::CONNECTION).iter();
    let mut words = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let is_asked = words.any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| is_asked)
}

/// Whether the client asks for another protocol on its connection; such a request may last.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    wanted_protocol(headers).is_some()
}

/// An answer in plain text: there is nobody who would speak for the group.
fn plain(code: StatusCode, text: &str) -> Response<Body> {
    let text = format!("{text}\n");
    let mut response = respond::raw(code, "text/plain; charset=utf-8", text);
    let nosniff = HeaderValue::from_static("nosniff");
    (response.headers_mut()).insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn unavailable(why: &str) -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// What comes of sending a request, if that comes in time and while the cluster is there.
async fn begun<T>(
    cluster: &Cluster,
    limit: Duration,
    sent: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::select! {
        sent = tokio::time::timeout(limit, sent) => {
            sent.unwrap_or_else(|_| Err("context deadline exceeded".into()))
        }
        () = cluster.closed() => Err("the cluster is gone".into()),
    }
}

fn failed(remote: &Remote, why: &str) -> Response<Body> {
    let name = &*remote.spec.name;
    tracing::debug!(name, why, "an extension API server failed");
    unavailable(&format!("error trying to reach service: {why}"))
}

impl Delegated {
    /// Takes away what is between the client and us, and whatever could be used to act as the user.
    pub(crate) fn strip(&mut self) {
        let headers = &mut self.parts.headers;
        strip_hop_by_hop(headers);
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::HOST);
        let is_secret = |name: &HeaderName| {
            let name = name.as_str();
            name.starts_with(IDENTITY) || name.starts_with(IMPERSONATION)
        };
        let secret: Vec<HeaderName> = headers.keys().filter(|n| is_secret(n)).cloned().collect();
        for name in secret {
            headers.remove(name);
        }
        websocket::remove_bearer(headers);
    }

    /// Passes the request on to an extension server.
    ///
    /// # Errors
    /// 429 when there are too many such requests, 400 for paths, protocols and users that it may understand otherwise than we did.
    pub(crate) async fn pass_on(
        mut self,
        cluster: &Arc<Cluster>,
        route: &RemoteRoute,
    ) -> Result<Response<Body>, Status> {
        check_path(self.parts.uri.path())?;
        if !route.is_available {
            return Ok(unavailable("service unavailable"));
        }
        let place = cluster.aggregation().place()?;
        let began = Instant::now();
        let remote = route.remote.clone();
        let protocol = wanted_protocol(&self.parts.headers).cloned();
        if let Some(protocol) = &protocol {
            check_protocol(protocol)?;
        }
        let taken = self.parts.extensions.remove::<OnUpgrade>();
        if protocol.is_some() && taken.is_none() {
            return Err(Status::bad_request(
                "this connection cannot be upgraded: use HTTP/1.1",
            ));
        }
        self.strip();
        let (limit, is_trusted, is_watch) = (self.limit, self.is_trusted, self.verb == "watch");
        let is_discovery = self.verb == "get" && self.parts.uri.path().matches('/').count() == 3;
        let until_begin = if is_discovery {
            DISCOVERY_TIMEOUT
        } else {
            BEGIN_TIMEOUT
        };
        let request = self.into_request(&remote, protocol.as_ref())?;
        let sent = remote.send(cluster.dialer(), request, protocol.is_some());
        let (mut response, sender) = match begun(cluster, until_begin, sent).await {
            Ok(sent) => sent,
            Err(why) => return Ok(failed(&remote, &why)),
        };
        if let (Some(protocol), Some(client)) = (protocol, taken)
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            let became = response.headers().get(header::UPGRADE);
            if became.is_none_or(|b| !b.as_bytes().eq_ignore_ascii_case(protocol.as_bytes())) {
                let why = "invalid upgrade response: it is of another protocol than was asked for";
                return Ok(plain(StatusCode::BAD_GATEWAY, why));
            }
            let server = hyper::upgrade::on(&mut response);
            tokio::spawn(tunnel(cluster.clone(), client, server, place));
            return Ok(switched(response, &protocol));
        }
        let code = response.status();
        if code.is_informational() {
            let why = format!("invalid upgrade response: status code {}", code.as_u16());
            return Ok(unavailable(&why));
        }
        if code.is_redirection() && response.headers().contains_key(header::LOCATION) {
            let why = "the backend attempted to redirect this request, which is not permitted";
            return Ok(plain(StatusCode::BAD_GATEWAY, why));
        }
        let (mut parts, body) = response.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        let relayed = Relayed {
            body,
            lease: Some((remote, sender)),
            end: Box::pin(end(cluster.clone(), limit.map(|limit| began + limit))),
            quota: is_trusted.then_some(Quota {
                left: MAX_TRUSTED,
                is_per_line: is_watch,
            }),
            _place: place,
        };
        Ok(Response::from_parts(parts, relayed.boxed_unsync()))
    }

    fn into_request(
        self,
        remote: &Remote,
        protocol: Option<&HeaderValue>,
    ) -> Result<Request<respond::Outgoing>, Status> {
        let mut request = Request::new(respond::outgoing(self.body));
        *request.method_mut() = self.parts.method;
        let target = self.parts.uri.path_and_query().map_or("/", |p| p.as_str());
        if let Ok(uri) = target.parse() {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        *headers = self.parts.headers;
        if let Ok(host) = HeaderValue::from_str(&remote.host()) {
            headers.insert(header::HOST, host);
        }
        headers.insert("audit-id", self.id);
        if let Some(address) = self.address {
            forwarded_for(headers, address);
        }
        identify(headers, &self.user)?;
        if let Some(protocol) = protocol {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, protocol.clone());
        }
        Ok(request)
    }
}

/// Only what is no HTTP may follow on a connection that is passed through.
fn check_protocol(protocol: &HeaderValue) -> Result<(), Status> {
    let is_asked = |known: &&str| protocol.as_bytes().eq_ignore_ascii_case(known.as_bytes());
    if PROTOCOLS.iter().any(is_asked) {
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "the header Upgrade is {protocol:?}: want {} or {}",
        PROTOCOLS[0], PROTOCOLS[1]
    )))
}

/// Two servers must not understand one path in two ways, when one of them has decided who may.
fn check_path(path: &str) -> Result<(), Status> {
    let is_plain = |segment: &str| {
        let lower = segment.to_ascii_lowercase();
        let dots = lower.replace("%2e", ".");
        !lower.contains("%2f") && !lower.contains("%00") && dots != "." && dots != ".."
    };
    if path.split('/').all(is_plain) && !path.contains("//") {
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "the path {path:?} is ambiguous: write it without empty segments, dots and escaped slashes"
    )))
}

/// Says for whom the request is.
///
/// # Errors
/// 400 for what a header cannot say: a server that is told less of a user takes them for somebody else.
fn identify(headers: &mut HeaderMap, user: &User) -> Result<(), Status> {
    let mut add = |name: &str, what: &str, text: &str| {
        let refused = |why: &str| {
            Status::bad_request(format!(
                "{what} {text:?} of the user cannot be told to an extension API server: {why}"
            ))
        };
        let value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| refused("want text without control characters"))?;
        let name = HeaderName::try_from(name).map_err(|_| refused("its key is too long"))?;
        let added = headers.try_append(name, value);
        added.map_err(|_| refused("there are too many headers"))?;
        Ok(())
    };
    add("x-remote-user", "the name", &user.name)?;
    if !user.uid.is_empty() {
        add("x-remote-uid", "the uid", &user.uid)?;
    }
    for group in &user.groups {
        add("x-remote-group", "the group", group)?;
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escape_key(key));
        for value in values {
            add(&name, "the extra value", value)?;
        }
    }
    Ok(())
}

/// A key of `extra` as it stands in the name of a header: whatever may not be in one is escaped, and percent signs.
fn escape_key(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'%' => escaped.push_str("%25"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            b if b"!#$&'*+-.^_`|~".contains(&b) => escaped.push(char::from(b)),
            b => escaped.push_str(&format!("%{b:02X}")),
        }
    }
    escaped
}

fn forwarded_for(headers: &mut HeaderMap, address: IpAddr) {
    let name = HeaderName::from_static("x-forwarded-for");
    let before: Vec<&str> = headers
        .get_all(&name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let all = before
        .into_iter()
        .map(str::to_owned)
        .chain([address.to_string()]);
    let all: Vec<String> = all.collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(name, value);
    }
}

/// Takes away the headers that are between two ends of one connection, and those that `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_owned())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The answer by which the client's connection becomes something else.
fn switched(response: Response<Incoming>, protocol: &HeaderValue) -> Response<Body> {
    let (mut parts, _) = response.into_parts();
    let upgrade = parts.headers.get(header::UPGRADE).cloned();
    strip_hop_by_hop(&mut parts.headers);
    let upgrade = upgrade.unwrap_or_else(|| protocol.clone());
    (parts.headers).insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.insert(header::UPGRADE, upgrade);
    let mut switched = Response::new(respond::full(Bytes::new()));
    *switched.status_mut() = parts.status;
    *switched.headers_mut() = parts.headers;
    switched
}

/// Copies between both ends until one of them closes, or the cluster goes.
async fn tunnel(
    cluster: Arc<Cluster>,
    client: OnUpgrade,
    server: OnUpgrade,
    _place: OwnedSemaphorePermit,
) {
    let copied = async {
        let (client, server) = tokio::try_join!(client, server)?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        Ok::<_, BodyError>(())
    };
    tokio::select! {
        copied = copied => if let Err(error) = copied {
            tracing::debug!(%error, "a connection to an extension API server ended");
        },
        () = cluster.closed() => {}
    }
}

/// Resolves with the reason when an answer must end.
async fn end(cluster: Arc<Cluster>, deadline: Option<Instant>) -> &'static str {
    let late = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = late => "the request did not complete within the allotted timeout",
        () = cluster.closed() => "the cluster is gone",
    }
}

/// How much more may come.
struct Quota {
    left: usize,
    /// It begins again with each line.
    is_per_line: bool,
}

impl Quota {
    /// False when that is too much.
    fn admits(&mut self, data: &[u8]) -> bool {
        if self.is_per_line
            && let Some(at) = data.iter().rposition(|byte| *byte == b'\n')
        {
            self.left = MAX_TRUSTED;
            return self.admits_more(data.len() - at - 1);
        }
        self.admits_more(data.len())
    }

    fn admits_more(&mut self, length: usize) -> bool {
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// The body of an answer on its way to the client.
struct Relayed {
    body: Incoming,
    /// Given back when the body has been read.
    lease: Option<(Arc<Remote>, Sender)>,
    end: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    quota: Option<Quota>,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(why) = self.end.as_mut().poll(cx) {
            self.lease = None;
            return Poll::Ready(Some(Err(why.into())));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            if let Some((remote, sender)) = self.lease.take() {
                remote.keep(sender);
            }
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let (Some(quota), Some(data)) = (&mut self.quota, frame.data_ref())
            && !quota.admits(data)
        {
            self.lease = None;
            let why =
                format!("the answer of an extension API server is larger than {MAX_TRUSTED} bytes");
            return Poll::Ready(Some(Err(why.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nothing_of_the_client_can_be_used_by_the_server() {
        let request = Request::get("/apis/a/v1/b")
            .header("authorization", "Bearer secret")
            .header("x-remote-user", "somebody")
            .header("X-Remote-Group", "system:masters")
            .header("x-remote-extra-a%2fb", "c")
            .header("impersonate-user", "somebody")
            .header("connection", "x-hop, close")
            .header("x-hop", "1")
            .header("te", "trailers")
            .header("host", "here")
            .header("accept", "application/json")
            .header(
                "sec-websocket-protocol",
                "base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io",
            )
            .body(respond::full(Bytes::new()))
            .unwrap();
        let (parts, body) = request.into_parts();
        let mut delegated = Delegated {
            parts,
            body,
            user: User::default(),
            verb: "list",
            id: HeaderValue::from_static("id"),
            address: None,
            limit: None,
            is_trusted: false,
        };
        delegated.strip();
        let headers = &delegated.parts.headers;
        assert_eq!(names(headers), ["accept", "sec-websocket-protocol"]);
        assert_eq!(headers["sec-websocket-protocol"], "v4.channel.k8s.io");
    }

    #[test]
    fn the_user_is_told_in_headers() {
        let mut user = User::authenticated("ada", ["b".to_owned()]);
        user.uid = "u1".into();
        user.extra
            .insert("example.com/a%b".into(), vec!["c".into(), "d".into()]);
        let mut headers = HeaderMap::new();
        identify(&mut headers, &user).unwrap();
        let lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            lines,
            [
                "x-remote-user: ada",
                "x-remote-uid: u1",
                "x-remote-group: b",
                "x-remote-group: system:authenticated",
                "x-remote-extra-example.com%2fa%25b: c",
                "x-remote-extra-example.com%2fa%25b: d",
            ]
        );
    }

    #[test]
    fn users_that_cannot_be_told_are_refused() {
        let ada = || User::authenticated("ada", []);
        let mut said = vec![];
        for user in [
            User::authenticated("ada\nx-remote-group: system:masters", []),
            User {
                uid: "\0".into(),
                ..ada()
            },
            User::authenticated("ada", ["a\rb".to_owned()]),
            User {
                extra: [("scopes".to_owned(), vec!["a\nb".to_owned()])].into(),
                ..ada()
            },
        ] {
            let refused = identify(&mut HeaderMap::new(), &user).unwrap_err();
            said.push(format!("{} {}", refused.code, refused.message));
        }
        expect![[r#"
            400 the name "ada\nx-remote-group: system:masters" of the user cannot be told to an extension API server: want text without control characters
            400 the uid "\0" of the user cannot be told to an extension API server: want text without control characters
            400 the group "a\rb" of the user cannot be told to an extension API server: want text without control characters
            400 the extra value "a\nb" of the user cannot be told to an extension API server: want text without control characters"#]].assert_eq(&said.join("\n"));
        let many = User {
            extra: (0..40_000)
                .map(|at| (at.to_string(), vec![String::new()]))
                .collect(),
            ..ada()
        };
        let refused = identify(&mut HeaderMap::new(), &many);
        assert_eq!(refused.unwrap_err().code, 400);
        // Letters of all languages are no control characters.
        identify(&mut HeaderMap::new(), &User::authenticated("Ædæ 名", [])).unwrap();
    }

    #[test]
    fn paths_with_two_meanings_are_refused() {
        for (path, is_good) in [
            ("/apis/a/v1/namespaces/b/c", true),
            ("/apis/a/v1/b/c%3Ad", true),
            ("/apis/a/v1/b/...", true),
            ("/apis/a/v1/namespaces/b%2Fc", false),
            ("/apis/a/v1/b/../c", false),
            ("/apis/a/v1/b/%2e%2E/c", false),
            ("/apis/a/v1/b/./c", false),
            ("/apis/a/v1//b", false),
            ("/apis/a/v1/b%00", false),
        ] {
            assert_eq!(check_path(path).is_ok(), is_good, "{path}");
        }
    }

    #[test]
    fn parts_of_this_process_get_no_endless_answer() {
        let mut whole = Quota {
            left: MAX_TRUSTED,
            is_per_line: false,
        };
        assert!(whole.admits(&vec![b'\n'; MAX_TRUSTED]));
        assert!(!whole.admits(b"\n"));
        let mut lines = Quota {
            left: MAX_TRUSTED,
            is_per_line: true,
        };
        assert!(lines.admits(&vec![b'\n'; MAX_TRUSTED]));
        assert!(lines.admits(&vec![b'x'; MAX_TRUSTED]));
        assert!(lines.admits(b"\n"));
        assert!(lines.admits(&vec![b'x'; MAX_TRUSTED]));
        assert!(!lines.admits(b"x"));
    }
}
