use expect_test::expect;
use serde_json::{Value, json};

use super::{Write, pod, world};

async fn spec_of(world: &crate::auth::tests::World, object: Value) -> Value {
    Write::create("pods dev/web", object)
        .run(world)
        .await
        .unwrap()["spec"]
        .take()
}

#[tokio::test]
async fn a_bare_pod_gets_everything() {
    let mut object = pod(json!({"initContainers": [{"name": "i"}]}));
    object["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "own", "mountPath": "/data"}]);
    let spec = spec_of(&world(), object).await;
    let fields = spec
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("{key}: {value}"));
    expect![[r#"
        containers: [{"image":"i","name":"c","volumeMounts":[{"mountPath":"/data","name":"own"},{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-flkj6","readOnly":true}]}]
        initContainers: [{"name":"i","volumeMounts":[{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-flkj6","readOnly":true}]}]
        preemptionPolicy: "PreemptLowerPriority"
        priority: 0
        serviceAccount: "default"
        serviceAccountName: "default"
        tolerations: [{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}]
        volumes: [{"name":"kube-api-access-flkj6","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"kube-root-ca.crt"}},{"downwardAPI":{"items":[{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"},"path":"namespace"}]}}]}}]"#]].assert_eq(&fields.collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn names_of_template_pods_do_not_matter() {
    let world = world();
    let mut object = pod(json!({}));
    object["metadata"] = json!({"generateName": "web-7d4b9-"});
    let volume = async |what: &str| {
        let made = Write::create(what, object.clone())
            .run(&world)
            .await
            .unwrap();
        made["spec"]["volumes"][0]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let one = volume("pods dev/").await;
    assert_eq!(one, volume("pods dev/").await);
    assert_eq!(one.len(), "kube-api-access-".len() + 5);
}

#[tokio::test]
async fn the_account_decides_about_token_and_pull_secrets() {
    let mut world = world();
    world.put("serviceaccounts", json!({
        "metadata": {"namespace": "dev", "name": "quiet"}, "automountServiceAccountToken": false,
        "imagePullSecrets": [{"name": "registry"}],
    }));
    let shown = |spec: &Value| {
        format!(
            "{} {} secrets={} volumes={}",
            spec["serviceAccountName"],
            spec["serviceAccount"],
            spec["imagePullSecrets"],
            spec["volumes"].as_array().map_or(0, Vec::len)
        )
    };
    let mut out = Vec::new();
    for change in [
        json!({"serviceAccountName": "quiet"}),
        json!({"serviceAccount": "quiet"}),
        json!({"serviceAccountName": "quiet", "automountServiceAccountToken": true}),
        json!({"serviceAccountName": "quiet", "imagePullSecrets": [{"name": "mine"}]}),
        json!({"automountServiceAccountToken": false}),
    ] {
        out.push(shown(&spec_of(&world, pod(change)).await));
    }
    expect![[r#"
        "quiet" "quiet" secrets=[{"name":"registry"}] volumes=0
        "quiet" "quiet" secrets=[{"name":"registry"}] volumes=0
        "quiet" "quiet" secrets=[{"name":"registry"}] volumes=1
        "quiet" "quiet" secrets=[{"name":"mine"}] volumes=0
        "default" "default" secrets=null volumes=0"#]]
    .assert_eq(&out.join("\n"));
}

#[tokio::test]
async fn a_container_with_its_own_token_keeps_it() {
    let mut object = pod(json!({"volumes": [{"name": "own", "emptyDir": {}}]}));
    object["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    let spec = spec_of(&world(), object).await;
    assert_eq!(spec["volumes"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_account_is_refused() {
    let mut world = world();
    world.delete("serviceaccounts", "dev", "default");
    Write::create("pods dev/web", pod(json!({})))
        .check(&world, expect![[r#"403 pods "web" is forbidden: error looking up service account dev/default: serviceaccount "default" not found"#]])
        .await;
    Write::create("pods dev/web", pod(json!({"serviceAccountName": "robot"})))
        .check(&world, expect![[r#"403 pods "web" is forbidden: error looking up service account dev/robot: serviceaccount "robot" not found"#]])
        .await;
}

#[tokio::test]
async fn priority_comes_from_the_class() {
    let mut world = world();
    world.put(
        "priorityclasses.scheduling.k8s.io",
        json!({
            "metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never",
        }),
    );
    let shown = |spec: &Value| {
        format!(
            "{} {} {}",
            spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]
        )
    };
    let mut out = Vec::new();
    for class in [
        json!({}),
        json!({"priorityClassName": "high"}),
        json!({"priorityClassName": "system-node-critical"}),
    ] {
        out.push(shown(&spec_of(&world, pod(class)).await));
    }
    world.put(
        "priorityclasses.scheduling.k8s.io",
        json!({
            "metadata": {"name": "usual"}, "value": 5, "globalDefault": true,
        }),
    );
    out.push(shown(&spec_of(&world, pod(json!({}))).await));
    expect![[r#"
        null 0 "PreemptLowerPriority"
        "high" 1000 "Never"
        "system-node-critical" 2000001000 "PreemptLowerPriority"
        "usual" 5 "PreemptLowerPriority""#]]
    .assert_eq(&out.join("\n"));

    let create = |spec: Value| Write::create("pods dev/web", pod(spec));
    create(json!({"priorityClassName": "absent"}))
        .check(
            &world,
            expect![[
                r#"403 pods "web" is forbidden: no PriorityClass with name absent was found"#
            ]],
        )
        .await;
    create(json!({"priorityClassName": "high", "priority": 7}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name"#]])
        .await;
    create(json!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name"#]])
        .await;
    let class = json!({"metadata": {"name": "second"}, "globalDefault": true});
    Write::create("priorityclasses.scheduling.k8s.io /second", class)
        .check(&world, expect![[r#"403 priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is already marked as globalDefault"#]])
        .await;

    let update = Write::update("pods dev/web", pod(json!({"priority": 9})), pod(json!({})));
    assert_eq!(update.run(&world).await.unwrap()["spec"]["priority"], 9);
}

#[tokio::test]
async fn tolerations_of_the_pod_are_respected() {
    let world = world();
    let keys = async |tolerations: Value| {
        let spec = spec_of(&world, pod(json!({"tolerations": tolerations}))).await;
        let shown = spec["tolerations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| format!("{}:{}:{}", t["key"], t["effect"], t["tolerationSeconds"]));
        shown.collect::<Vec<_>>().join(" ")
    };
    let out = [
        keys(json!([])).await,
        keys(json!([{"operator": "Exists"}])).await,
        keys(json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 5}])).await,
        keys(json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])).await,
    ];
    expect![[r#"
        "node.kubernetes.io/not-ready":"NoExecute":300 "node.kubernetes.io/unreachable":"NoExecute":300
        null:null:null
        "node.kubernetes.io/not-ready":"NoExecute":5 "node.kubernetes.io/unreachable":"NoExecute":300
        "node.kubernetes.io/not-ready":"NoSchedule":null "node.kubernetes.io/not-ready":"NoExecute":300 "node.kubernetes.io/unreachable":"NoExecute":300"#]].assert_eq(&out.join("\n"));
}

#[tokio::test]
async fn a_runtime_adds_what_it_costs_and_where_it_runs() {
    let mut world = world();
    world.put("runtimeclasses.node.k8s.io", json!({
        "metadata": {"name": "vm"}, "handler": "kata", "overhead": {"podFixed": {"memory": "120Mi"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    }));
    let spec = spec_of(&world, pod(json!({"runtimeClassName": "vm"}))).await;
    expect![[r#"{"memory":"120Mi"} {"vm":"yes"} {"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300}"#]].assert_eq(&format!(
        "{} {} {}",
        spec["overhead"], spec["nodeSelector"], spec["tolerations"][0]
    ));
    let create = |spec: Value| Write::create("pods dev/web", pod(spec));
    create(json!({"runtimeClassName": "absent"}))
        .check(
            &world,
            expect![[
                r#"403 pods "web" is forbidden: pod rejected: RuntimeClass "absent" not found"#
            ]],
        )
        .await;
    create(json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = "yes", the pod has another value"#]])
        .await;
    create(json!({"runtimeClassName": "vm", "overhead": {"memory": "1Mi"}}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"#]])
        .await;
}

#[tokio::test]
async fn pods_are_labelled_with_the_place_of_their_node() {
    let mut world = world();
    let labels = json!({"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/rack": "r"});
    world.put(
        "nodes",
        json!({"metadata": {"name": "n1", "labels": labels}}),
    );
    let on = |node: &str| pod(json!({"nodeName": node}));
    let mut shown = vec![];
    for write in [
        Write::create("pods dev/web", on("n1")),
        Write::create("pods dev/web", on("n2")),
        Write::create("pods dev/web", pod(json!({}))),
        Write::update("pods/binding dev/web", pod(json!({})), on("n1")),
        Write::update("pods dev/web", on("n1"), on("n1")),
    ] {
        let made = write.run(&world).await.unwrap();
        shown.push(made["metadata"]["labels"].to_string());
    }
    expect![[r#"
        {"topology.kubernetes.io/zone":"z1"}
        null
        null
        {"topology.kubernetes.io/zone":"z1"}
        null"#]]
    .assert_eq(&shown.join("\n"));
}
