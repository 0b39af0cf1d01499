//! One control plane with or without nodes, a namespace in it, and requests to its HTTP service.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::auth::{ClusterKeys, User};
use apiserver::rest::Body;
use apiserver::store::Memory;
use apiserver::{ClusterSpec, Config, InProcess, Server};
use bytes::Bytes;
use controlplane::kubelet::KubeletSpec;
use controlplane::{ControlPlane, ControlPlanes};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use runtime::Clock;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::kind::Kind;
use crate::sockets::Sockets;

/// How long a test waits, in virtual time, for what must happen.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Suite {
    planes: ControlPlanes,
    plane: Arc<ControlPlane>,
    service: InProcess,
    /// Real sockets that requests may wait for.
    pub(crate) sockets: Sockets,
    /// The namespace of the test.
    pub(crate) ns: String,
}

/// A watch that is under way.
pub(crate) struct Watching {
    body: Body,
    rest: Vec<u8>,
}

/// An answer: code, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// What was asked, for messages.
    pub(crate) request: String,
}

impl Answer {
    /// The body as JSON; a string when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&self.bytes)))
    }

    /// The object of an answer that must be a success.
    pub(crate) fn ok(self) -> Value {
        let body = self.json();
        let (code, request) = (self.code, &self.request);
        assert!((200..300).contains(&code), "{request}: {code} {body:#}");
        body
    }

    /// `code reason: message` of an answer that must be a refusal.
    pub(crate) fn refused(self) -> String {
        let body = self.json();
        let (code, request) = (self.code, &self.request);
        assert!(code >= 400, "{request}: {code} {body:#}");
        let text = |key: &str| body[key].as_str().unwrap_or("-").to_owned();
        format!("{code} {}: {}", text("reason"), text("message"))
    }
}

impl Watching {
    /// The next event, as its type and object. None comes within the patience of the suite: the test fails.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        let event = tokio::time::timeout(PATIENCE, self.read()).await;
        let event = event.expect("an event comes").expect("the watch goes on");
        let ty = event["type"].as_str().unwrap().to_owned();
        (ty, event["object"].clone())
    }

    /// The next event, which must be of this type.
    pub(crate) async fn expect(&mut self, ty: &str) -> Value {
        let (got, object) = self.next().await;
        assert_eq!(got, ty, "{object:#}");
        object
    }

    /// Goes on to an event of this type with an object that is as wanted; passes over all others.
    pub(crate) async fn until(&mut self, ty: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (got, object) = self.next().await;
            if got == ty && is_so(&object) {
                return object;
            }
        }
    }

    /// Nothing comes for ten seconds.
    pub(crate) async fn expect_none(&mut self) {
        if let Ok(event) = tokio::time::timeout(Duration::from_secs(10), self.read()).await {
            panic!("unexpected: {event:?}");
        }
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.rest.extend(frame.into_data().unwrap());
        }
    }
}

impl Suite {
    /// A control plane in whose namespace `conformance` the first objects are there.
    pub(crate) async fn new() -> Self {
        let clock = Clock::simulated("2026-04-22T12:00:00Z".parse().unwrap());
        let of_day = clock.clone();
        let config = Config {
            clock: Arc::new(move || of_day.now()),
            admission: Arc::new(|_| vec![]),
            handlers: apiserver::webhook::Handlers::default(),
            apis: vec![],
            address: Ipv4Addr::LOCALHOST.into(),
            port: 6443,
            security: apiserver::Security::default(),
            seed: None,
        };
        let server = Server::open(Memory::new(), config).await.unwrap();
        let planes = ControlPlanes::new(server, clock.clone());
        let spec = ClusterSpec {
            id: "test".into(),
            server_names: vec!["*".into()],
            keys: ClusterKeys::generate("test", clock.now()).unwrap(),
            service_cidr: "10.96.0.0/12".into(),
            version: "v1.36.0".into(),
        };
        let plane = planes.start(spec).await.unwrap();
        let admin = User::authenticated("admin", ["system:masters".to_owned()]);
        let suite = Self {
            service: plane.cluster.service(admin),
            planes,
            plane,
            sockets: Sockets::default(),
            ns: "conformance".into(),
        };
        suite.make_namespace("conformance").await;
        suite
    }

    /// The same with this many simulated nodes, `node-1` and so on, which are ready.
    pub(crate) async fn with_nodes(count: usize) -> Self {
        let suite = Self::new().await;
        for at in 1..=count {
            let spec = KubeletSpec {
                node_name: format!("node-{at}"),
                labels: [].into(),
                taints: vec![],
                provider_id: String::new(),
                version: "v1.36.0".into(),
                cpus: 2,
                memory_mib: 4096,
                internal_ip: format!("10.0.0.{at}"),
                static_pods: vec![],
                lease_seconds: 0,
                ..KubeletSpec::default()
            };
            let client = suite.plane.client.clone();
            suite.planes.start_kubelet("test", spec, client);
        }
        suite
            .until("/api/v1/nodes", "all nodes are ready", |nodes| {
                let nodes = nodes["items"].as_array().unwrap();
                let is_ready = |node: &Value| {
                    conditions(node)
                        .get("Ready")
                        .is_some_and(|c| c["status"] == "True")
                        && node["spec"]["taints"].is_null()
                };
                nodes.len() == count && nodes.iter().all(is_ready)
            })
            .await;
        suite
    }

    /// Makes a namespace as the suite does: Pod Security lets everything in, and the ServiceAccount is waited for.
    pub(crate) async fn make_namespace(&self, name: &str) -> Value {
        let labels =
            json!({"e2e-run": "conformance", "pod-security.kubernetes.io/enforce": "privileged"});
        let made = self
            .namespaces()
            .create(json!({"metadata": {"name": name, "labels": labels}}))
            .await;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        self.until(&account, "the ServiceAccount is there", |account| {
            account["kind"] == "ServiceAccount"
        })
        .await;
        made
    }

    pub(crate) fn namespaces(&self) -> Kind<'_> {
        self.cluster_wide("v1", "Namespace", "namespaces")
    }

    /// A namespaced kind, in the namespace of the test.
    pub(crate) fn namespaced(&self, api_version: &str, kind: &str, plural: &str) -> Kind<'_> {
        Kind::new(self, api_version, kind, plural, Some(&self.ns))
    }

    pub(crate) fn cluster_wide(&self, api_version: &str, kind: &str, plural: &str) -> Kind<'_> {
        Kind::new(self, api_version, kind, plural, None)
    }

    /// Any request.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let request = format!("{method} {path}");
        let mut builder = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let sent = builder
            .header("user-agent", "conformance/1")
            .body(Full::new(Bytes::from(body.into())))
            .unwrap();
        let _waiting = self.sockets.wait();
        let response = self.service.clone().oneshot(sent).await.unwrap();
        Answer {
            code: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response.into_body().collect().await.unwrap().to_bytes(),
            request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", accept)], "")
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, path, &headers, body.to_string())
            .await
    }

    /// A patch; `kind` is `merge`, `strategic`, `json` or `apply`.
    pub(crate) async fn patch(&self, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        let content = match kind {
            "merge" => "application/merge-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            "json" => "application/json-patch+json",
            "apply" => "application/apply-patch+yaml",
            other => panic!("no such patch: {other}"),
        };
        self.send(Method::PATCH, path, &[("content-type", content)], body)
            .await
    }

    /// Starts a watch, which must succeed; `path` is that of a list, with its query.
    pub(crate) async fn watch(&self, path: &str) -> Watching {
        let and = if path.contains('?') { '&' } else { '?' };
        let request = Request::builder()
            .uri(format!("{path}{and}watch=true"))
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "watch {path}");
        Watching {
            body: response.into_body(),
            rest: Vec::new(),
        }
    }

    /// Waits until what is at `path` (null: nothing is) is as wanted; looks after every change of the cluster.
    pub(crate) async fn until(
        &self,
        path: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut changes = self.plane.cluster.registry().store().subscribe();
        let wait = async {
            loop {
                let answer = self.get(path).await;
                let value = if answer.code == 404 {
                    Value::Null
                } else {
                    answer.ok()
                };
                if is_so(&value) {
                    return value;
                }
                changes.next().await.expect("the cluster lives");
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(value) => value,
            Err(_) => panic!(
                "{path}: {what} does not happen: {:#}",
                self.get(path).await.json()
            ),
        }
    }

    /// Serves on a socket as well: with that the server forgets what is old, as time passes.
    pub(crate) async fn serve(&self) {
        let address = (Ipv4Addr::LOCALHOST, 0);
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let server = self.planes.server().clone();
        tokio::spawn(async move { server.serve(listener).await });
    }

    /// The group, its version and its resources are in all discovery documents.
    pub(crate) async fn discovers(&self, api_version: &str, resources: &[&str]) {
        let Some((group, version)) = api_version.split_once('/') else {
            let list = self.get(&format!("/api/{api_version}")).await.ok();
            return assert_lists(&list, resources);
        };
        let is_served = |group: &Value| has_named(&group["versions"], "version", &[version]);
        let groups = self.get("/apis").await.ok();
        let all = groups["groups"].as_array().unwrap();
        let found = all.iter().find(|g| g["name"] == group);
        assert!(found.is_some_and(is_served), "{api_version} in /apis");
        let document = self.get(&format!("/apis/{group}")).await.ok();
        assert!(is_served(&document), "{api_version} in /apis/{group}");
        let list = self.get(&format!("/apis/{api_version}")).await.ok();
        assert_eq!(list["groupVersion"], api_version);
        assert_lists(&list, resources);
    }
}

fn assert_lists(list: &Value, resources: &[&str]) {
    assert!(
        has_named(&list["resources"], "name", resources),
        "{resources:?} in {list:#}"
    );
}

/// Whether every name is in the list of objects under `key`.
pub(crate) fn has_named(list: &Value, key: &str, names: &[&str]) -> bool {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    names
        .iter()
        .all(|name| list.iter().any(|item| item[key] == *name))
}

/// The revision of an object, which must be a valid one.
pub(crate) fn revision(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str();
    let text = text.unwrap_or_else(|| panic!("no resourceVersion: {object:#}"));
    let revision = text.parse().expect("a resourceVersion is a number");
    assert!(revision > 0 && !text.starts_with('0'), "{text}");
    revision
}

/// Names of a list's items, in its order.
pub(crate) fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

/// The conditions of an object's status by type.
pub(crate) fn conditions(object: &Value) -> BTreeMap<String, Value> {
    let all = object["status"]["conditions"].as_array();
    let all = all.map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .map(|c| (c["type"].as_str().unwrap_or_default().to_owned(), c.clone()))
        .collect()
}
