//! An upgrade over versions that an extension names.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use capi::hook::{Extension, Extensions};
use expect_test::expect;
use http::Method;
use serde_json::{Value, json};

use super::{CLUSTER, HOOKS, World, said, told};

/// Plans one minor version after the other, and has workers stop at one of them.
#[derive(Default)]
struct Planner {
    asked: Mutex<Vec<String>>,
    /// Nothing is planned beyond.
    most: Mutex<u64>,
}

fn minor(version: &Value) -> u64 {
    let version = version.as_str().unwrap();
    version.split('.').nth(1).unwrap().parse().unwrap()
}

impl Planner {
    fn plan(&self, request: &Value) -> Result<Value, String> {
        let (from, to) = (
            minor(&request["fromControlPlaneKubernetesVersion"]),
            minor(&request["toKubernetesVersion"]),
        );
        let workers = minor(&request["fromWorkersKubernetesVersion"]);
        let name = request["cluster"]["metadata"]["name"].clone();
        let mut asked = self.asked.lock().unwrap();
        asked.push(format!("{name}: 1.{from}, workers 1.{workers}, to 1.{to}"));
        if to > *self.most.lock().unwrap() {
            return Err(format!("1.{to} has not been tried out"));
        }
        let steps = |all: &mut dyn Iterator<Item = u64>| -> Vec<Value> {
            all.map(|minor| json!({"version": format!("v1.{minor}.0")}))
                .collect()
        };
        let mut response = json!({"status": "Success"});
        response["controlPlaneUpgrades"] = steps(&mut (from + 1..=to)).into();
        let stops = [34, to].into_iter().filter(|stop| *stop > workers);
        response["workersUpgrades"] = steps(&mut stops.into_iter()).into();
        Ok(response)
    }
}

#[async_trait]
impl Extension for Planner {
    async fn answer(&self, _: &str, request: Value) -> Result<Value, String> {
        if request["kind"] == "DiscoveryRequest" {
            let hook = json!({"apiVersion": HOOKS, "hook": "GenerateUpgradePlan"});
            let handlers = [json!({"name": "plan", "requestHook": hook})];
            return Ok(json!({"status": "Success", "handlers": handlers}));
        }
        Ok(self
            .plan(&request)
            .unwrap_or_else(|why| json!({"status": "Failure", "message": why})))
    }
}

#[test]
fn an_extension_says_over_which_versions_an_upgrade_goes() {
    told(true, async {
        let planner = Arc::<Planner>::default();
        let extensions = Extensions::default().with("default", "ext", planner.clone());
        let world = World::start(sim::clock(), Arc::default(), extensions).await;
        world
            .create_with(|object| match object["kind"].as_str() {
                Some("ClusterClass") => {
                    let spec = object["spec"].as_object_mut().unwrap();
                    spec.remove("kubernetesVersions");
                    let plan = json!({"generateUpgradePlanExtension": "plan.ext"});
                    spec.insert("upgrade".to_owned(), json!({"external": plan}));
                }
                Some("Cluster") => object["spec"]["topology"]["version"] = json!("v1.33.0"),
                _ => {}
            })
            .await;
        world
            .register(json!({"service": {"namespace": "default", "name": "ext"}}))
            .await;
        let is_there = |version: &'static str| {
            move |cluster: &Value| {
                let status = &cluster["status"];
                let is_at = |part: &str| status[part]["versions"][0]["version"] == version;
                let mut conditions = status["conditions"].as_array().into_iter().flatten();
                let is_available =
                    conditions.any(|c| c["type"] == "Available" && c["status"] == "True");
                is_available
                    && is_at("controlPlane")
                    && is_at("workers")
                    && said(cluster).starts_with("ReconcileSucceeded")
            }
        };
        world.until(CLUSTER, is_there("v1.33.0")).await;
        let version = json!({"spec": {"topology": {"version": "v1.36.0"}}});
        world.send(Method::PATCH, CLUSTER, version).await.unwrap();
        let is_said = |cluster: &Value| said(cluster).contains("tried out");
        let mut text = format!("{}\n", said(&world.until(CLUSTER, is_said).await));
        *planner.most.lock().unwrap() = 36;
        world.until(CLUSTER, is_there("v1.36.0")).await;
        let mut asked = std::mem::take(&mut *planner.asked.lock().unwrap());
        asked.dedup();
        text += &asked.join("\n");
        expect![[r#"
            ClusterUpgrading Cluster is upgrading to v1.36.0
              * KubeadmControlPlane pending upgrade to v1.36.0: it waits for its plan
              * it is not known how to upgrade to v1.36.0: GenerateUpgradePlan plan.ext: the extension failed: 1.36 has not been tried out
              * MachineDeployments hello-blue, hello-green pending upgrade to v1.36.0
            "hello": 1.33, workers 1.33, to 1.36
            "hello": 1.34, workers 1.33, to 1.36
            "hello": 1.34, workers 1.34, to 1.36
            "hello": 1.35, workers 1.34, to 1.36
            "hello": 1.36, workers 1.34, to 1.36"#]].assert_eq(&text);
        world.management.shut_down().await;
    });
}
