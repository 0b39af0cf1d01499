//! One cluster with simulated nodes, and waiting for what it does.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::auth::ClusterKeys;
use apiserver::store::Memory;
use apiserver::{ClusterSpec, Config, Server};
use controlplane::kubelet::KubeletSpec;
use controlplane::{ControlPlane, ControlPlanes};
use runtime::{CacheLimits, Clock};
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) planes: ControlPlanes,
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) clock: Clock,
}

impl World {
    /// A cluster with this many nodes, `node-1` and so on.
    pub(crate) async fn new(nodes: usize) -> Self {
        let clock = Clock::simulated("2026-04-22T12:00:00Z".parse().unwrap());
        Self::on(Memory::new(), clock, nodes).await
    }

    /// The same on a store that may hold the cluster already.
    pub(crate) async fn on(store: Memory, clock: Clock, nodes: usize) -> Self {
        let keys = ClusterKeys::generate("test", clock.now()).unwrap();
        Self::begin(store, clock, (keys, None), nodes).await
    }

    /// A cluster in which nothing is left to chance: its uids and generated names follow from the seed.
    pub(crate) async fn seeded(keys: ClusterKeys, seed: u64, nodes: usize) -> Self {
        let clock = Clock::simulated("2026-04-22T12:00:00Z".parse().unwrap());
        Self::seeded_at(clock, keys, seed, nodes).await
    }

    /// The same, beginning at another time.
    pub(crate) async fn seeded_at(
        clock: Clock,
        keys: ClusterKeys,
        seed: u64,
        nodes: usize,
    ) -> Self {
        Self::begin(Memory::new(), clock, (keys, Some(seed)), nodes).await
    }

    async fn begin(
        store: Memory,
        clock: Clock,
        (keys, seed): (ClusterKeys, Option<u64>),
        nodes: usize,
    ) -> Self {
        let of_day = clock.clone();
        let config = Config {
            clock: Arc::new(move || of_day.now()),
            admission: Arc::new(|_| vec![]),
            handlers: apiserver::webhook::Handlers::default(),
            apis: vec![],
            address: Ipv4Addr::LOCALHOST.into(),
            port: 6443,
            security: apiserver::Security::default(),
            seed,
        };
        let server = Server::open(store, config).await.unwrap();
        let planes = ControlPlanes::new(server, clock.clone());
        let spec = with_keys("test", "*", keys);
        let plane = planes.start(spec).await.unwrap();
        let world = Self {
            planes,
            plane,
            clock,
        };
        for at in 1..=nodes {
            world.start_node(at);
        }
        world
    }

    /// Another cluster beside the first, reached under its id.
    pub(crate) async fn second(&self, id: &str) -> Arc<ControlPlane> {
        self.planes.start(spec(id, id, &self.clock)).await.unwrap()
    }

    /// The same, seen as this one is, with other limits of what its controllers keep.
    pub(crate) async fn within(&self, id: &str, limits: CacheLimits) -> Self {
        let spec = spec(id, id, &self.clock);
        Self {
            planes: self.planes.clone(),
            plane: self.planes.start_within(spec, limits).await.unwrap(),
            clock: self.clock.clone(),
        }
    }

    /// Starts `node-<at>`.
    pub(crate) fn start_node(&self, at: usize) {
        self.start_node_with(at, &[]);
    }

    /// Starts `node-<at>`, on which these pods run in any case.
    pub(crate) fn start_node_with(&self, at: usize, static_pods: &[Value]) {
        let static_pods = static_pods.iter();
        let spec = KubeletSpec {
            node_name: format!("node-{at}"),
            labels: [].into(),
            taints: vec![],
            provider_id: String::new(),
            version: "v1.36.0".into(),
            cpus: 2,
            memory_mib: 4096,
            internal_ip: format!("10.0.0.{at}"),
            lease_seconds: 0,
            static_pods: static_pods
                .map(|pod| serde_json::from_value(pod.clone()).unwrap())
                .collect(),
            ..KubeletSpec::default()
        };
        let client = self.plane.client.clone();
        self.planes.start_kubelet("test", spec, client);
    }

    pub(crate) async fn request(
        &self,
        method: http::Method,
        path: &str,
        body: Value,
    ) -> Result<Value, kube::Error> {
        let content = if method == http::Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let body = if body.is_null() {
            vec![]
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(body)
            .unwrap();
        self.plane.client.request(request).await
    }

    pub(crate) async fn delete(&self, path: &str, options: Value) {
        let deleted = self.request(http::Method::DELETE, path, options).await;
        deleted.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.request(http::Method::GET, path, Value::Null)
            .await
            .unwrap_or_default()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.request(http::Method::POST, path, body).await.unwrap()
    }

    pub(crate) async fn merge(&self, path: &str, body: Value) -> Value {
        self.request(http::Method::PATCH, path, body).await.unwrap()
    }

    /// Waits until what is at `path` is as wanted; looks after every change of the cluster.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        path: &'a str,
        what: &'a str,
        is_so: impl Fn(&Value) -> bool + 'a,
    ) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut changes = self.plane.cluster.registry().store().subscribe();
            let wait = async {
                loop {
                    let value = self.get(path).await;
                    if is_so(&value) {
                        return value;
                    }
                    changes.next().await.expect("the cluster lives");
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(3600), wait).await;
            match waited {
                Ok(value) => value,
                Err(_) => panic!(
                    "{caller}: {what} did not happen: {:#}",
                    self.get(path).await
                ),
            }
        }
    }
}

pub(crate) fn deployment(name: &str, replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": image, "ports": [{"name": "http", "containerPort": 80}]}]},
            },
        },
    })
}

fn spec(id: &str, server_name: &str, clock: &Clock) -> ClusterSpec {
    let keys = ClusterKeys::generate(id, clock.now()).unwrap();
    with_keys(id, server_name, keys)
}

fn with_keys(id: &str, server_name: &str, keys: ClusterKeys) -> ClusterSpec {
    ClusterSpec {
        id: id.into(),
        server_names: vec![server_name.into()],
        keys,
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    }
}
