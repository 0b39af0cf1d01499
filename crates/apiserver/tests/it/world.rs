//! One logical cluster in memory, and requests to it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use apiserver::auth::{ClusterKeys, User};
use apiserver::store::Memory;
use apiserver::{ClusterSpec, Config, InProcess, Server};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

/// The time in all tests.
pub(crate) fn now() -> Timestamp {
    "2026-04-22T12:00:00Z".parse().unwrap()
}

pub(crate) struct World {
    pub(crate) service: InProcess,
    _server: Server,
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
        let config = Config {
            clock: Arc::new(now),
            admission: Arc::new(|_| vec![]),
            address: Ipv4Addr::LOCALHOST.into(),
            port: 6443,
        };
        let server = Server::open(Memory::new(), config).await.unwrap();
        let spec = ClusterSpec {
            id: "test".into(),
            server_names: vec!["*".into()],
            keys: ClusterKeys::generate("test", now()).unwrap(),
            service_cidr: "10.96.0.0/12".into(),
            version: "v1.36.0".into(),
            extra: Value::Null,
        };
        let cluster = server.create_cluster(spec).await.unwrap();
        let admin = User::authenticated("admin", ["system:masters".to_owned()]);
        let service = cluster.service(admin);
        Self {
            service,
            _server: server,
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
            .body(Full::new(bytes::Bytes::from(body.into())))
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
