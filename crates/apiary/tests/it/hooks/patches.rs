//! An extension that defines a variable of a class, patches its templates, and looks at the outcome.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use capi::hook::{Extension, Extensions};
use expect_test::expect;
use http::Method;
use serde_json::{Value, json};

use super::{CLUSTER, CONFIGS, HOOKS, World, said, told};

const TEMPLATES: &str =
    "/apis/infrastructure.cluster.x-k8s.io/v1beta2/namespaces/org-acme/localmachinetemplates";
const DEPLOYMENT: &str =
    "/apis/cluster.x-k8s.io/v1beta2/namespaces/org-acme/machinedeployments/hello-blue";
const CLASS: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/org-acme/clusterclasses/standard";

/// Gives machines as much memory as its variable says for each of their processors, and allows so much at most.
#[derive(Default)]
struct Sizer {
    /// How often it was asked, by hook.
    asked: Mutex<BTreeMap<String, usize>>,
    most: Mutex<i64>,
}

impl Sizer {
    fn patches(request: &Value) -> Value {
        let variables = request["variables"].as_array().unwrap();
        let each = variables.iter().find(|v| v["name"] == "each").unwrap();
        let each = each["value"].as_i64().unwrap();
        let mut items = vec![];
        for item in request["items"].as_array().unwrap() {
            if item["object"]["kind"] != "LocalMachineTemplate" {
                continue;
            }
            let cpus = item["object"]["spec"]["template"]["spec"]["cpus"]
                .as_i64()
                .unwrap_or(1);
            let patch = json!({"spec": {"template": {"spec": {"memoryMiB": each * cpus}}}});
            let patch = base64::prelude::BASE64_STANDARD.encode(patch.to_string());
            items.push(json!({"uid": item["uid"], "patchType": "JSONMergePatch", "patch": patch}));
        }
        json!({"status": "Success", "items": items})
    }

    fn check(&self, request: &Value) -> Value {
        let items = request["items"].as_array().unwrap();
        let sizes = items
            .iter()
            .map(|i| &i["object"]["spec"]["template"]["spec"]["memoryMiB"]);
        let most = sizes.filter_map(Value::as_i64).max().unwrap_or(0);
        if most > *self.most.lock().unwrap() {
            let message = format!("{most} MiB are too much");
            return json!({"status": "Failure", "message": message});
        }
        json!({"status": "Success"})
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Extension for Sizer {
    async fn answer(&self, handler: &str, request: Value) -> Result<Value, String> {
        let kind = request["kind"].as_str().unwrap_or_default().to_owned();
        if kind == "DiscoveryRequest" {
            let hooks = [
                ("size", "GeneratePatches"),
                ("limit", "ValidateTopology"),
                ("variables", "DiscoverVariables"),
            ];
            let handlers = hooks.map(|(name, hook)| {
                json!({"name": name, "requestHook": {"apiVersion": HOOKS, "hook": hook}})
            });
            return Ok(json!({"status": "Success", "handlers": handlers}));
        }
        *self
            .asked
            .lock()
            .unwrap()
            .entry(format!("{handler} {kind}"))
            .or_default() += 1;
        Ok(match handler {
            "size" => Self::patches(&request),
            "variables" => {
                let schema = json!({"type": "integer", "minimum": 256, "default": 1024});
                let each = json!({"name": "each", "required": true, "schema": {"openAPIV3Schema": schema}});
                json!({"status": "Success", "variables": [each]})
            }
            _ => self.check(&request),
        })
    }
}

/// The memory of the machines that templates of the cluster give.
async fn sizes(world: &World) -> Vec<String> {
    let list = world.get(TEMPLATES).await.unwrap();
    let mut found = vec![];
    for template in list["items"].as_array().unwrap() {
        if template["metadata"]["labels"]["cluster.x-k8s.io/cluster-name"] == "hello" {
            let spec = &template["spec"]["template"]["spec"];
            found.push(format!("{} cpus {} MiB", spec["cpus"], spec["memoryMiB"]));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn an_extension_patches_templates_and_looks_at_the_outcome() {
    told(true, async {
        let sizer = Arc::<Sizer>::default();
        *sizer.most.lock().unwrap() = 4096;
        let extensions = Extensions::default().with("default", "ext", sizer.clone());
        let world = World::start(sim::clock(), Arc::default(), extensions).await;
        world
            .create_with(|object| {
                if object["kind"] == "ClusterClass" {
                    let patch = json!({"name": "sizes", "external": {
                        "generatePatchesExtension": "size.ext", "validateTopologyExtension": "limit.ext",
                        "discoverVariablesExtension": "variables.ext",
                    }});
                    object["spec"]["patches"].as_array_mut().unwrap().push(patch);
                }
            })
            .await;
        // The extension is not known yet.
        let is_said = |class: &Value| class.to_string().contains("variables.ext:");
        let class = world.until(CLASS, is_said).await;
        let conditions = class["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|c| c["type"] == "VariablesReady");
        let mut text = format!("{}\n", ready.unwrap()["message"].as_str().unwrap());
        let is_said = |cluster: &Value| said(cluster).contains("VariablesReady");
        text += &format!("{}\n", said(&world.until(CLUSTER, is_said).await));
        world
            .register(json!({"service": {"namespace": "default", "name": "ext"}}))
            .await;
        let is_said = |cluster: &Value| said(cluster).contains("limit.ext");
        let cluster = world.until(CLUSTER, is_said).await;
        assert!(cluster["spec"]["controlPlaneRef"].is_null());
        text += &format!("{}\n", said(&cluster));
        *sizer.most.lock().unwrap() = 8192;
        let config = format!("{CONFIGS}/ext");
        let settings = json!({"spec": {"settings": {"stage": "other"}}});
        world.send(Method::PATCH, &config, settings).await.unwrap();
        world.settle().await;
        text += &format!("{:?}\n", sizes(&world).await);
        // Nobody is asked again because objects of the cluster change.
        sizer.counts();
        for i in 0..20 {
            let poke = json!({"metadata": {"annotations": {"poke": i.to_string()}}});
            world.send(Method::PATCH, DEPLOYMENT, poke).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        text += &format!("{:?}\n", sizer.counts());
        // Another value is another question, and what the schema does not allow is refused.
        let each = |each: i64| json!({"spec": {"topology": {"variables": [{"name": "each", "value": each}]}}});
        let refused = world
            .send(Method::PATCH, CLUSTER, each(1))
            .await
            .unwrap_err();
        text += &format!("{refused}\n");
        world.send(Method::PATCH, CLUSTER, each(512)).await.unwrap();
        let is_other = |list: &Value| list.to_string().contains("\"memoryMiB\":1024");
        world.until(TEMPLATES, is_other).await;
        world.settle().await;
        text += &format!("{:?}\n", sizer.counts());
        expect![[r#"
            * patch "sizes": DiscoverVariables variables.ext: no ExtensionConfig for this namespace has discovered such a handler
            ClusterClassNotReconciled ClusterClass org-acme/standard: an extension has not said yet which variables there are; its condition VariablesReady says why
            ReconcileFailed patch "sizes" of the ClusterClass: ValidateTopology limit.ext: the extension failed: 8192 MiB are too much
            ["2 cpus 2048 MiB", "4 cpus 4096 MiB", "8 cpus 8192 MiB"]
            {}
            ApiError: Cluster.cluster.x-k8s.io "hello" is invalid: spec.topology.variables[each].value: Invalid value: 1 must be at least 256: Invalid (Status { status: Some(Failure), code: 422, message: "Cluster.cluster.x-k8s.io \"hello\" is invalid: spec.topology.variables[each].value: Invalid value: 1 must be at least 256", metadata: Some(ListMeta { continue_: None, remaining_item_count: None, resource_version: None, self_link: None, shard_info: None }), reason: "Invalid", details: Some(StatusDetails { name: "hello", group: "cluster.x-k8s.io", kind: "Cluster", uid: "", causes: [StatusCause { reason: "FieldValueInvalid", message: "Invalid value: 1 must be at least 256", field: "spec.topology.variables[each].value" }], retry_after_seconds: 0 }) })
            {"limit ValidateTopologyRequest": 1, "size GeneratePatchesRequest": 1}
        "#]].assert_eq(&text);
        world.management.shut_down().await;
    });
}
