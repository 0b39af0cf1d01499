//! Workload clusters: connecting, losing and regaining one, and letting go.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::testing::Api;
use crate::{Controllers, Options, Outcome, Plan, Reconciler, Selector};

/// Hands out in-memory servers by the host of the kubeconfig.
#[derive(Clone, Default)]
struct InMemory {
    servers: Arc<Mutex<HashMap<String, Api>>>,
    is_broken: Arc<AtomicBool>,
}

#[async_trait]
impl Connector for InMemory {
    async fn connect(&self, config: kube::Config) -> Result<Client, ConnectError> {
        let server = config.cluster_url.host().unwrap_or_default().to_owned();
        let api = self.servers.lock().unwrap().get(&server).cloned();
        match api {
            Some(api) if !self.is_broken.load(Ordering::Relaxed) => Ok(api.client()),
            _ => Err(ConnectError {
                server,
                source: "no route to host".into(),
            }),
        }
    }
}

fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://{server}")}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    })
    .to_string()
}

/// Shows in each namespace's label how its workload cluster of the same name is doing.
struct Watcher {
    seen: Arc<Mutex<Vec<String>>>,
}

impl Reconciler for Watcher {
    const NAME: &'static str = "watcher";
    type Object = k8s_openapi::api::core::v1::Namespace;
    type World = ();
    type Act = std::convert::Infallible;

    async fn gather(&self, cx: &Cx, namespace: &Self::Object) -> Result<(), GatherError> {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let remote = cx.clusters().get(name, name).await?;
        let pods = match remote.cx() {
            Some(remote) => remote
                .list::<k8s_openapi::api::core::v1::Pod>(None, &Selector::all())
                .await?
                .len(),
            None => 0,
        };
        self.seen
            .lock()
            .unwrap()
            .push(format!("{name} {remote}, {pods} pods"));
        Ok(())
    }
    fn plan((): &(), _: Timestamp) -> Plan<Self::Act> {
        Plan::default()
    }
    fn status((): &(), _: &Plan<Self::Act>, _: &Outcome, _: Timestamp) -> Option<Value> {
        None
    }
}

struct Env {
    management: Api,
    workload: Api,
    connector: InMemory,
    clusters: Arc<Clusters>,
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: Tasks,
}

impl Env {
    fn start() -> Self {
        let (management, workload, connector) =
            (Api::default(), Api::default(), InMemory::default());
        connector
            .servers
            .lock()
            .unwrap()
            .insert("w".to_owned(), workload.clone());
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let clusters = Clusters::new(
            Arc::new(connector.clone()),
            clock.clone(),
            RemoteOptions::default(),
        );
        let seen = Arc::new(Mutex::new(vec![]));
        let controllers = Controllers::new(management.client(), clock, Options::default())
            .with_clusters(Arc::clone(&clusters))
            .add(Watcher {
                seen: Arc::clone(&seen),
            });
        let tasks = Tasks::new();
        tasks.spawn("controllers", controllers.run(std::future::pending()));
        management.put("v1/namespaces", json!({"metadata": {"name": "c"}}));
        Self {
            management,
            workload,
            connector,
            clusters,
            seen,
            _tasks: tasks,
        }
    }

    fn secret(&self, kubeconfig: &str) {
        self.management.put("v1/secrets", json!({"metadata": {"namespace": "c", "name": "c-kubeconfig"}, "data": {"value": base64_of(kubeconfig)}}));
    }

    /// What was seen since the last time, after a while.
    async fn after(&self, seconds: u64) -> Vec<String> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn base64_of(text: &str) -> Value {
    let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
    serde_json::to_value(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn reading_a_workload_cluster_wakes_the_object_on_the_management_side() {
    let env = Env::start();
    assert_eq!(
        env.after(1).await,
        ["c there is no kubeconfig Secret yet, 0 pods"]
    );
    env.secret(&kubeconfig("w"));
    assert_eq!(
        env.after(1).await,
        ["c connecting, 0 pods", "c connected, 0 pods"]
    );
    env.workload.put(
        "v1/pods",
        json!({"metadata": {"namespace": "x", "name": "p"}}),
    );
    assert_eq!(env.after(1).await, ["c connected, 1 pods"]);
    assert_eq!(
        env.after(300).await,
        Vec::<String>::new(),
        "healthy probes are no news"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_cluster_is_told_and_found_again() {
    let env = Env::start();
    env.secret(&kubeconfig("w"));
    env.after(1).await;
    env.workload.hang(Some(""));
    env.connector.is_broken.store(true, Ordering::Relaxed);
    let seen = env.after(120).await;
    assert_eq!(
        seen[0],
        "c unreachable since 2026-01-01T00:00:45Z: the server does not answer in time, 0 pods"
    );
    assert!(
        seen[1].ends_with("connecting to w: no route to host, 0 pods"),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 2, "the same trouble is told once");
    env.workload.hang(None);
    env.connector.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(env.after(120).await, ["c connected, 0 pods"]);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_cluster_does_not_delay_another() {
    let env = Env::start();
    let dead = Api::default();
    dead.hang(Some(""));
    env.connector
        .servers
        .lock()
        .unwrap()
        .insert("dead".to_owned(), dead);
    env.secret(&kubeconfig("dead"));
    env.management
        .put("v1/namespaces", json!({"metadata": {"name": "d"}}));
    let value = base64_of(&kubeconfig("w"));
    env.management.put(
        "v1/secrets",
        json!({"metadata": {"namespace": "d", "name": "d-kubeconfig"}, "data": {"value": value}}),
    );
    let seen = env.after(1).await;
    assert!(seen.contains(&"d connected, 0 pods".to_owned()), "{seen:?}");
    assert!(
        seen.contains(&"c connecting, 0 pods".to_owned()),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn clusters_that_hang_when_read_do_not_use_up_the_controller() {
    let env = Env::start();
    let slow = Api::default();
    slow.hang(Some("/pods"));
    env.connector
        .servers
        .lock()
        .unwrap()
        .insert("slow".to_owned(), slow.clone());
    let names: Vec<String> = (0..20).map(|index| format!("a{index}")).collect();
    for (name, server) in names
        .iter()
        .map(|name| (name.as_str(), "slow"))
        .chain([("z", "w")])
    {
        env.management
            .put("v1/namespaces", json!({"metadata": {"name": name}}));
        let secret = json!({"metadata": {"namespace": name, "name": format!("{name}-kubeconfig")}, "data": {"value": base64_of(&kubeconfig(server))}});
        env.management.put("v1/secrets", secret);
    }
    let seen = env.after(4).await;
    assert!(seen.contains(&"z connected, 0 pods".to_owned()), "{seen:?}");
    slow.hang(None);
    let seen = env.after(30).await;
    assert!(
        seen.contains(&"a19 connected, 0 pods".to_owned()),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_let_go_with_its_secret_or_its_last_reader() {
    let env = Env::start();
    env.secret(&kubeconfig("w"));
    env.after(1).await;
    assert_eq!(env.clusters.counts(), (1, 1));
    env.management.delete("v1/secrets", "c", "c-kubeconfig");
    env.after(1).await;
    assert_eq!(env.clusters.counts(), (0, 0));
    env.secret(&kubeconfig("w"));
    env.after(1).await;
    env.management.delete("v1/namespaces", "", "c");
    env.after(300).await;
    env.workload.take_reads();
    assert_eq!(env.after(300).await, Vec::<String>::new());
    assert_eq!(
        env.workload.take_reads(),
        Vec::<String>::new(),
        "no probes any more"
    );
}

/// The connection that nobody looked at has ended; who looks later gets one that is kept.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_let_go_is_connected_anew() {
    let env = Env::start();
    for is_broken in [false, true] {
        env.connector.is_broken.store(is_broken, Ordering::Relaxed);
        env.secret(&kubeconfig("w"));
        env.management
            .put("v1/namespaces", json!({"metadata": {"name": "c"}}));
        env.after(5).await;
        env.management.delete("v1/namespaces", "", "c");
        env.after(600).await;
        assert_eq!(env.clusters.counts().0, 0, "its caches are given back");
        env.connector.is_broken.store(false, Ordering::Relaxed);
        env.management
            .put("v1/namespaces", json!({"metadata": {"name": "c"}}));
        let seen = env.after(5).await;
        assert_eq!(seen.last().unwrap(), "c connected, 0 pods", "{seen:?}");
        env.management.delete("v1/namespaces", "", "c");
        env.after(600).await;
    }
}

#[tokio::test]
async fn a_kubeconfig_may_not_run_commands_or_read_files_here() {
    let check = async |user: Value, expect: &str| {
        let mut config: Value = serde_json::from_str(&kubeconfig("w")).unwrap();
        config["users"][0]["user"] = user;
        assert_eq!(
            parse(config.to_string().as_bytes()).await.unwrap_err(),
            expect
        );
    };
    check(
        json!({"exec": {"command": "sh", "apiVersion": "client.authentication.k8s.io/v1"}}),
        "user field \"exec\" is not allowed, only inline data",
    )
    .await;
    check(
        json!({"tokenFile": "/etc/passwd"}),
        "user field \"tokenFile\" is not allowed, only inline data",
    )
    .await;
    assert_eq!(
        parse(b"token: secret: x").await.unwrap_err(),
        "it is not a kubeconfig"
    );
}
