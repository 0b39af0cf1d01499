//! The API server alone: one logical cluster without controllers, on disk, in a process of its own. That is what
//! kube-apiserver with etcd is compared with, and where no controller adds objects of its own to what is counted.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::auth::ClusterKeys;
use apiserver::store::Redb;
use apiserver::webhook::Handlers;
use apiserver::{ClusterSpec, Config, Security, Server};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{free_port, until_ready};

/// Lifetime of the administrator's certificate.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The process, killed with this.
pub(crate) struct Alone {
    pub(crate) child: Child,
    pub(crate) kubeconfig: PathBuf,
    /// From exec until `/readyz` answered.
    pub(crate) ready: Duration,
    _folder: TempDir,
}

impl Alone {
    /// Starts this program again as the server.
    pub(crate) fn start(runtime: &tokio::runtime::Runtime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let begin = Instant::now();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve-here", &port.to_string()])
            .arg("--data-here")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ready = runtime.block_on(until_ready(port, begin));
        Self {
            child,
            kubeconfig: kubeconfig(folder.path()),
            ready,
            _folder: folder,
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

fn kubeconfig(folder: &Path) -> PathBuf {
    folder.join("kubeconfig")
}

/// What all measures of clusters in this process are made with.
pub(crate) fn config(port: u16) -> Config {
    Config {
        clock: Arc::new(Timestamp::now),
        admission: Arc::new(|_| vec![]),
        handlers: Handlers::default(),
        apis: vec![],
        security: Security::default(),
        seed: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port,
    }
}

/// A logical cluster with new keys.
pub(crate) fn spec(id: &str, name: &str) -> ClusterSpec {
    ClusterSpec {
        id: id.into(),
        server_names: vec![name.into()],
        keys: ClusterKeys::generate(id, Timestamp::now()).unwrap(),
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    }
}

/// Serves until the process is killed.
pub(crate) async fn serve(folder: &Path, port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    let storage = Redb::open(&folder.join("store.redb")).unwrap();
    let server = Server::open(storage, config(port)).await.unwrap();
    let spec = spec("bench", "*");
    let administrator = spec.keys.authority().unwrap();
    let now = Timestamp::now();
    let administrator = administrator.issue_client("admin", &["system:masters"], now, DAY);
    let administrator = administrator.unwrap();
    let kubeconfig_text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": STANDARD.encode(&spec.keys.ca_cert_pem),
        }}],
        "users": [{"name": "admin", "user": {
            "client-certificate-data": STANDARD.encode(&administrator.cert_pem),
            "client-key-data": STANDARD.encode(&administrator.key_pem),
        }}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "admin"}}],
    });
    std::fs::write(kubeconfig(folder), kubeconfig_text.to_string()).unwrap();
    server.create_cluster(spec).await.unwrap();
    server.serve(listener).await.unwrap();
}
