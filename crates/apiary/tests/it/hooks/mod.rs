//! Runtime extensions that hold back a Cluster at each step of its life.

mod patches;
mod plans;
mod server;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiary::management::{Management, Variation};
use apiary::manifests;
use async_trait::async_trait;
use capi::hook::{Extension, Extensions};
use expect_test::expect;
use http::Method;
use runtime::Clock;
use serde_json::{Value, json};

const CLUSTER: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/org-acme/clusters/hello";
const CONFIGS: &str = "/apis/runtime.cluster.x-k8s.io/v1beta2/extensionconfigs";
const ANNOTATIONS: &str = "/metadata/annotations";
const HOOKS: &str = "hooks.runtime.cluster.x-k8s.io/v1alpha1";
/// The most time that one step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An extension that agrees to everything but what it is told to hold back.
#[derive(Default)]
struct Script {
    holds: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn hold(&self, hook: &str) {
        self.holds.lock().unwrap().insert(hook.to_owned());
    }

    fn agree(&self) {
        self.holds.lock().unwrap().clear();
    }

    /// What it was asked since the last time, each once for as often as it was asked on end.
    fn asked(&self) -> String {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.dedup();
        asked.iter().map(|line| format!("{line}\n")).collect()
    }

    /// How often it was asked since [`Script::asked`].
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn reply(&self, handler: &str, request: &Value) -> Value {
        let kind = request["kind"].as_str().unwrap_or_default();
        let hook = kind.strip_suffix("Request").unwrap_or_default();
        let own = match hook {
            "Discovery" => String::new(),
            hook => hook.to_lowercase(),
        };
        assert_eq!(handler, own, "{hook}");
        let response = format!("{hook}Response");
        let mut answer = json!({"apiVersion": HOOKS, "kind": response, "status": "Success"});
        if hook == "Discovery" {
            let handler = |hook: &str| {
                let name = hook.to_lowercase();
                json!({"name": name, "requestHook": {"apiVersion": HOOKS, "hook": hook}})
            };
            let all = capi::hook::Hook::ALL.map(|hook| handler(hook.name()));
            answer["handlers"] = json!(all);
            return answer;
        }
        assert_eq!(request["cluster"]["kind"], "Cluster");
        assert_eq!(request["settings"], json!({"stage": "test"}));
        let mut about = request.clone();
        for member in ["apiVersion", "kind", "cluster", "settings"] {
            about.as_object_mut().unwrap().remove(member);
        }
        self.asked.lock().unwrap().push(format!("{hook} {about}"));
        if self.holds.lock().unwrap().contains(hook) {
            answer["retryAfterSeconds"] = 2.into();
            answer["message"] = "not yet".into();
        }
        answer
    }
}

#[async_trait]
impl Extension for Script {
    async fn answer(&self, handler: &str, request: Value) -> Result<Value, String> {
        Ok(self.reply(handler, &request))
    }
}

/// An extension that says what it can do, and then nothing any more.
#[derive(Default)]
struct Silent {
    is_ignored: Mutex<bool>,
}

#[async_trait]
impl Extension for Silent {
    async fn answer(&self, _: &str, request: Value) -> Result<Value, String> {
        if request["kind"] != "DiscoveryRequest" {
            std::future::pending::<()>().await;
        }
        let policy = match *self.is_ignored.lock().unwrap() {
            true => "Ignore",
            false => "Fail",
        };
        let hook = json!({"apiVersion": HOOKS, "hook": "BeforeClusterCreate"});
        let handler = json!({"name": "silent", "requestHook": hook, "timeoutSeconds": 3, "failurePolicy": policy});
        Ok(json!({"status": "Success", "handlers": [handler]}))
    }
}

struct World {
    management: Management,
    script: Arc<Script>,
}

impl World {
    async fn start(clock: Clock, script: Arc<Script>, extensions: Extensions) -> Self {
        let variation = Variation {
            extensions,
            ..Variation::default()
        };
        let management = Management::start_varied(sim::Memory::new(), clock, 6443, variation)
            .await
            .unwrap();
        Self { management, script }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, kube::Error> {
        let content = if method == Method::PATCH {
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
        self.management.client().request(request).await
    }

    async fn get(&self, path: &str) -> Option<Value> {
        self.send(Method::GET, path, Value::Null).await.ok()
    }

    /// Tells the server where the extension is, and waits until it has said what it can do.
    async fn register(&self, client: Value) -> Value {
        let config = json!({
            "apiVersion": "runtime.cluster.x-k8s.io/v1beta2", "kind": "ExtensionConfig", "metadata": {"name": "ext"},
            "spec": {"clientConfig": client, "settings": {"stage": "test"}},
        });
        self.send(Method::POST, CONFIGS, config).await.unwrap();
        self.until(&format!("{CONFIGS}/ext"), |config| {
            config["status"]["handlers"].is_array()
        })
        .await
    }

    async fn until(&self, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is_it = &is_it;
        let look = async || self.get(path).await.filter(|object| is_it(object));
        match sim::until(&self.management.plane, PATIENCE, look).await {
            Ok(object) => object,
            Err(error) => panic!("{error}: {:#?}", self.get(path).await),
        }
    }

    /// Waits until the condition says that a hook is in the way, and shows it.
    async fn held(&self, hook: &str) -> String {
        let wanted = format!("{hook} holds back: {}.ext: not yet", hook.to_lowercase());
        let cluster = self.until(CLUSTER, |cluster| said(cluster).contains(&wanted));
        said(&cluster.await)
    }

    /// Waits until nothing is under way, and nobody is still to be asked.
    async fn settle(&self) {
        self.until(CLUSTER, |cluster| {
            said(cluster) == "ReconcileSucceeded" && cluster["metadata"]["annotations"].is_null()
        })
        .await;
    }

    /// Changes what extensions are not asked about again before it is time.
    async fn poke_in_vain(&self) {
        let before = self.script.count();
        for i in 0..20 {
            let poke = json!({"metadata": {"labels": {"poke": i.to_string()}}});
            self.send(Method::PATCH, CLUSTER, poke).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let asked = self.script.count() - before;
        assert!(asked <= 2, "asked {asked} times in a second");
    }

    async fn create(&self) {
        self.create_with(|_| ()).await;
    }

    /// Makes the example, after a change of its objects.
    async fn create_with(&self, change: impl Fn(&mut Value)) {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/topology");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let parts = ["organization.yaml", "class.yaml", "cluster.yaml"].map(read);
        // Few machines are enough for a story.
        let text = parts.join("\n---\n");
        let text = text
            .replace("replicas: 3", "replicas: 1")
            .replace("replicas: 2", "replicas: 1");
        let mut objects = render::yaml::from_str_multi(&text).unwrap();
        objects.retain(|object| !object.is_null());
        objects.iter_mut().for_each(change);
        let manifests = manifests::Manifests::of(objects, "the example");
        manifests::apply_all(self.management.client(), &manifests)
            .await
            .unwrap();
    }
}

/// Reason and message of `TopologyReconciled`.
fn said(cluster: &Value) -> String {
    let conditions = cluster["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|c| c["type"] == "TopologyReconciled");
    let found = found.cloned().unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("reason"), text("message"))
        .trim()
        .to_owned()
}

fn told<F: Future<Output = ()>>(is_paused: bool, story: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(is_paused)
        .build()
        .unwrap();
    runtime.block_on(story);
}

/// Deletes the cluster, which an extension holds back at first: how that is said.
async fn deleted(world: &World) -> String {
    let script = &world.script;
    script.hold("BeforeClusterDelete");
    world
        .send(Method::DELETE, CLUSTER, Value::Null)
        .await
        .unwrap();
    let text = format!("{}\n", world.held("BeforeClusterDelete").await);
    let cluster = world.get(CLUSTER).await.unwrap();
    assert!(cluster.pointer(ANNOTATIONS).is_none());
    let parts = "/apis/infrastructure.cluster.x-k8s.io/v1beta2/localclusters";
    let parts = world.get(parts).await.unwrap();
    assert!(parts["items"][0]["metadata"]["deletionTimestamp"].is_null());
    script.agree();
    let look = async || world.get(CLUSTER).await.is_none().then_some(());
    sim::until(&world.management.plane, PATIENCE, look)
        .await
        .unwrap();
    text
}

#[test]
fn an_extension_that_never_answers_counts_by_its_policy() {
    told(true, async {
        let silent = Arc::<Silent>::default();
        let extensions = Extensions::default().with("default", "ext", silent.clone());
        let world = World::start(sim::clock(), Arc::default(), extensions).await;
        let client = json!({"service": {"namespace": "default", "name": "ext"}});
        world.register(client).await;
        world.create().await;
        let is_late = |cluster: &Value| said(cluster).contains("no answer within");
        let cluster = world.until(CLUSTER, is_late).await;
        expect!["ReconcileFailed BeforeClusterCreate failed: silent.ext: no answer within 3 s"]
            .assert_eq(&said(&cluster));
        assert!(cluster["spec"]["controlPlaneRef"].is_null());
        *silent.is_ignored.lock().unwrap() = true;
        let settings = json!({"spec": {"settings": {"stage": "other"}}});
        let config = format!("{CONFIGS}/ext");
        world.send(Method::PATCH, &config, settings).await.unwrap();
        let is_begun = |cluster: &Value| !cluster["spec"]["controlPlaneRef"].is_null();
        world.until(CLUSTER, is_begun).await;
        world.management.shut_down().await;
    });
}

#[test]
fn a_cluster_waits_for_extensions_at_each_step_of_its_life() {
    told(true, async {
        let script = Arc::<Script>::default();
        let extensions = Extensions::default().with("default", "ext", script.clone());
        let world = World::start(sim::clock(), script, extensions).await;
        let script = &world.script;
        world
            .register(json!({"service": {"namespace": "default", "name": "ext"}}))
            .await;
        let mut text = String::new();

        script.hold("BeforeClusterCreate");
        world.create().await;
        text += &format!("{}\n", world.held("BeforeClusterCreate").await);
        let cluster = world.get(CLUSTER).await.unwrap();
        assert!(cluster["spec"]["controlPlaneRef"].is_null());
        world.poke_in_vain().await;
        script.agree();
        world.settle().await;
        text += &script.asked();

        let upgrade = json!({"spec": {"topology": {"version": "v1.36.1"}}});
        for hook in ["BeforeClusterUpgrade", "BeforeControlPlaneUpgrade"] {
            script.hold(hook);
        }
        world.send(Method::PATCH, CLUSTER, upgrade).await.unwrap();
        text += &format!("{}\n", world.held("BeforeClusterUpgrade").await);
        script.agree();
        for hook in [
            "BeforeControlPlaneUpgrade",
            "AfterControlPlaneUpgrade",
            "BeforeWorkersUpgrade",
            "AfterWorkersUpgrade",
            "AfterClusterUpgrade",
        ] {
            script.hold(hook);
            text += &format!("{}\n", world.held(hook).await);
            script.agree();
        }
        world.settle().await;
        text += &script.asked();

        text += &deleted(&world).await;
        text += &script.asked();
        expect![[r#"
            ClusterCreating BeforeClusterCreate holds back: beforeclustercreate.ext: not yet
            BeforeClusterCreate {}
            AfterControlPlaneInitialized {}
            ClusterUpgrading Cluster is upgrading to v1.36.1
              * KubeadmControlPlane pending upgrade to v1.36.1: it waits for BeforeClusterUpgrade
              * BeforeClusterUpgrade holds back: beforeclusterupgrade.ext: not yet
              * MachineDeployments hello-blue, hello-green pending upgrade to v1.36.1
            ClusterUpgrading Cluster is upgrading to v1.36.1
              * KubeadmControlPlane pending upgrade to v1.36.1: it waits for BeforeControlPlaneUpgrade
              * BeforeControlPlaneUpgrade holds back: beforecontrolplaneupgrade.ext: not yet
              * MachineDeployments hello-blue, hello-green pending upgrade to v1.36.1
            ClusterUpgrading Cluster is upgrading to v1.36.1
              * AfterControlPlaneUpgrade holds back: aftercontrolplaneupgrade.ext: not yet
              * MachineDeployments hello-blue, hello-green pending upgrade to v1.36.1
            ClusterUpgrading Cluster is upgrading to v1.36.1
              * BeforeWorkersUpgrade holds back: beforeworkersupgrade.ext: not yet
              * MachineDeployments hello-blue, hello-green pending upgrade to v1.36.1
            LifecycleHookBlocking AfterWorkersUpgrade holds back: afterworkersupgrade.ext: not yet
            LifecycleHookBlocking AfterClusterUpgrade holds back: afterclusterupgrade.ext: not yet
            BeforeClusterUpgrade {"controlPlaneUpgrades":[{"version":"v1.36.1"}],"fromKubernetesVersion":"v1.36.0","toKubernetesVersion":"v1.36.1","workersUpgrades":[{"version":"v1.36.1"}]}
            BeforeControlPlaneUpgrade {"controlPlaneUpgrades":[{"version":"v1.36.1"}],"fromKubernetesVersion":"v1.36.0","toKubernetesVersion":"v1.36.1","workersUpgrades":[{"version":"v1.36.1"}]}
            AfterControlPlaneUpgrade {"controlPlaneUpgrades":[],"kubernetesVersion":"v1.36.1","workersUpgrades":[{"version":"v1.36.1"}]}
            BeforeWorkersUpgrade {"controlPlaneUpgrades":[],"fromKubernetesVersion":"v1.36.0","toKubernetesVersion":"v1.36.1","workersUpgrades":[{"version":"v1.36.1"}]}
            AfterWorkersUpgrade {"controlPlaneUpgrades":[],"kubernetesVersion":"v1.36.1","workersUpgrades":[]}
            AfterClusterUpgrade {"kubernetesVersion":"v1.36.1"}
            Deleting BeforeClusterDelete holds back: beforeclusterdelete.ext: not yet
            BeforeClusterDelete {}
        "#]].assert_eq(&text);
        world.management.shut_down().await;
    });
}

/// The same over HTTPS, as far as no machine has to boot for it: that takes its time.
#[test]
fn an_extension_elsewhere_is_asked_over_https() {
    told(false, async {
        let script = Arc::<Script>::default();
        script.hold("BeforeClusterCreate");
        script.hold("BeforeClusterDelete");
        let world = World::start(Clock::system(), script.clone(), Extensions::default()).await;
        let tasks = runtime::Tasks::new();
        let server = server::start(&tasks, script.clone()).await;
        // The authority comes from a Secret.
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"}, "stringData": {"ca.crt": server.authority},
        });
        world
            .send(Method::POST, "/api/v1/namespaces/default/secrets", secret)
            .await
            .unwrap();
        let config = json!({
            "apiVersion": "runtime.cluster.x-k8s.io/v1beta2", "kind": "ExtensionConfig",
            "metadata": {"name": "ext", "annotations": {"runtime.cluster.x-k8s.io/inject-ca-from-secret": "default/ca"}},
            "spec": {"clientConfig": {"url": server.url}, "settings": {"stage": "test"}},
        });
        world.send(Method::POST, CONFIGS, config).await.unwrap();
        world
            .until(&format!("{CONFIGS}/ext"), |config| {
                config["status"]["handlers"].is_array()
            })
            .await;
        world.create().await;
        let mut text = format!("{}\n", world.held("BeforeClusterCreate").await);
        script.agree();
        script.hold("BeforeClusterDelete");
        world
            .until(CLUSTER, |cluster| {
                cluster["spec"]["controlPlaneRef"].is_object()
            })
            .await;
        world
            .send(Method::DELETE, CLUSTER, Value::Null)
            .await
            .unwrap();
        text += &format!("{}\n", world.held("BeforeClusterDelete").await);
        script.agree();
        world
            .until(CLUSTER, |cluster| {
                let annotations = &cluster["metadata"]["annotations"];
                annotations["runtime.cluster.x-k8s.io/ok-to-delete"].is_string()
            })
            .await;
        text += &script.asked();
        expect![[r#"
            ClusterCreating BeforeClusterCreate holds back: beforeclustercreate.ext: not yet
            Deleting BeforeClusterDelete holds back: beforeclusterdelete.ext: not yet
            BeforeClusterCreate {}
            BeforeClusterDelete {}
        "#]]
        .assert_eq(&text);
        world.management.shut_down().await;
    });
}
