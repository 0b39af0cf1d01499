//! One logical cluster in memory, and requests to it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use apiserver::auth::{ClusterKeys, User};
use apiserver::rest::{Body, BodyError};
use apiserver::store::{Memory, Storage};
use apiserver::webhook::Handlers;
use apiserver::{Cluster, ClusterSpec, Config, InProcess, MoreAdmission, Security, Server};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

/// The time in all tests.
pub(crate) fn now() -> Timestamp {
    "2026-04-22T12:00:00Z".parse().unwrap()
}

/// The cluster of all worlds.
fn spec() -> ClusterSpec {
    ClusterSpec {
        id: "test".into(),
        server_names: vec!["*".into()],
        keys: ClusterKeys::generate("test", now()).unwrap(),
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    }
}

pub(crate) struct World {
    pub(crate) service: InProcess,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) server: Server,
    pub(crate) handlers: Handlers,
}

/// A watch that is under way.
pub(crate) struct Watching {
    body: Body,
    /// Events that came with the last one.
    rest: Bytes,
}

impl Watching {
    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.bytes().await?;
        Some(serde_json::from_slice(&line).unwrap())
    }

    /// The next event as it is on the wire; `None` when the stream has ended. Dropping the future loses nothing.
    pub(crate) async fn bytes(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            let frame = self.body.frame().await?.unwrap();
            self.rest = frame.into_data().unwrap();
            assert!(self.rest.ends_with(b"\n"), "{:?}", self.rest);
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap();
        Some(self.rest.split_to(end + 1))
    }

    /// The next piece of the body, or how it broke off.
    pub(crate) async fn frame(&mut self) -> Option<Result<(), BodyError>> {
        Some(self.body.frame().await?.map(drop))
    }

    /// The next event as `TYPE name@revision`.
    pub(crate) async fn line(&mut self) -> String {
        let Some(event) = self.next().await else {
            return "end".into();
        };
        let meta = &event["object"]["metadata"];
        let (ty, name) = (event["type"].as_str().unwrap(), meta["name"].as_str());
        match meta["annotations"]["k8s.io/initial-events-end"].as_str() {
            Some(_) => format!("{ty} initial-events-end"),
            None => format!("{ty} {}", name.unwrap_or("-")),
        }
    }
}

/// An answer: code and body.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    /// The object of an answer that must be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.code),
            "{} {}",
            self.code,
            self.body
        );
        self.body
    }

    /// `code reason: message` of an answer that must be a refusal.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(self.code >= 400, "{} {}", self.code, self.body);
        format!(
            "{} {}: {}",
            self.code,
            self.body["reason"].as_str().unwrap_or("-"),
            self.body["message"].as_str().unwrap()
        )
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_clock(Arc::new(now)).await
    }

    /// A world whose time of day goes on with the runtime's.
    pub(crate) async fn with_running_clock() -> Self {
        let start = tokio::time::Instant::now();
        let clock = move || now() + jiff::SignedDuration::try_from(start.elapsed()).unwrap();
        Self::with_clock(Arc::new(clock)).await
    }

    /// A world with more guards than all have.
    pub(crate) async fn guarded(security: Security) -> Self {
        Self::admitting(security, Arc::new(|_| vec![])).await
    }

    /// A guarded world with more admission.
    pub(crate) async fn admitting(security: Security, admission: MoreAdmission) -> Self {
        Self::with(Memory::new(), Arc::new(now), security, admission).await
    }

    async fn with_clock(clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self::stored(Memory::new(), clock).await
    }

    /// A world on this log of record, with the cluster that is in it if there is one.
    pub(crate) async fn stored_in(storage: impl Storage) -> Self {
        Self::stored(storage, Arc::new(now)).await
    }

    async fn stored(
        storage: impl Storage,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self::with(storage, clock, Security::default(), Arc::new(|_| vec![])).await
    }

    async fn with(
        storage: impl Storage,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        security: Security,
        admission: MoreAdmission,
    ) -> Self {
        let handlers = Handlers::default();
        let config = Config {
            clock,
            admission,
            handlers: handlers.clone(),
            apis: vec![],
            address: Ipv4Addr::LOCALHOST.into(),
            port: 6443,
            security,
            seed: None,
        };
        let server = Server::open(storage, config).await.unwrap();
        let cluster = match server.cluster("test") {
            Some(cluster) => cluster,
            None => server.create_cluster(spec()).await.unwrap(),
        };
        let admin = User::authenticated("admin", ["system:masters".to_owned()]);
        let service = cluster.service(admin);
        Self {
            service,
            cluster,
            server,
            handlers,
        }
    }

    /// The same world as somebody else sees it.
    pub(crate) fn seen_by(&self, user: User) -> Self {
        Self {
            service: self.cluster.service(user),
            cluster: self.cluster.clone(),
            server: self.server.clone(),
            handlers: self.handlers.clone(),
        }
    }

    /// Starts a watch, which must succeed.
    pub(crate) async fn watch(&self, path: &str) -> Watching {
        self.watch_as(path, "application/json").await
    }

    pub(crate) async fn watch_as(&self, path: &str, accept: &str) -> Watching {
        let request = Request::builder()
            .uri(path)
            .header("accept", accept)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Watching {
            body: response.into_body(),
            rest: Bytes::new(),
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("user-agent", "tests/1")
            .body(Full::new(Bytes::from(body.into())))
            .unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|w| w.to_str().unwrap().to_owned())
            .collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Answer {
            code,
            body,
            warnings,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "application/json", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, "application/json", body.to_string())
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, "application/json", body.to_string())
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "application/json", "")
            .await
    }

    pub(crate) async fn merge(&self, path: &str, body: Value) -> Answer {
        self.send(
            Method::PATCH,
            path,
            "application/merge-patch+json",
            body.to_string(),
        )
        .await
    }

    pub(crate) async fn strategic(&self, path: &str, body: Value) -> Answer {
        self.send(
            Method::PATCH,
            path,
            "application/strategic-merge-patch+json",
            body.to_string(),
        )
        .await
    }

    pub(crate) async fn apply(&self, path: &str, body: Value) -> Answer {
        let path = format!("{path}?fieldManager=tests");
        self.send(
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            body.to_string(),
        )
        .await
    }
}
