use expect_test::expect;
use serde_json::{Value, json};

use super::{Write, pod, world};

fn mirror(change: Value) -> Value {
    let mut object = pod(json!({"nodeName": "w1"}));
    object["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    for (key, value) in change.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

#[tokio::test]
async fn a_kubelet_creates_only_mirrors_of_its_own_pods() {
    let world = world();
    let create = |object: Value| Write::create("pods dev/web", object).by_node("w1");
    create(mirror(json!({})))
        .check(&world, expect!["allowed"])
        .await;
    create(pod(json!({"nodeName": "w1"})))
        .check(&world, expect![[r#"403 pods "web" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "w1" can only create mirror pods"#]])
        .await;
    create(mirror(json!({"nodeName": "w2"})))
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" can only create pods with spec.nodeName set to itself"#]])
        .await;
    create(mirror(
        json!({"volumes": [{"name": "s", "configMap": {"name": "x"}}]}),
    ))
    .check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" can not create pods that reference configmaps"#]])
    .await;
    create(mirror(
        json!({"containers": [{"name": "c", "env": [{"valueFrom": {"secretKeyRef": {}}}]}]}),
    ))
    .check(
        &world,
        expect![[
            r#"403 pods "web" is forbidden: node "w1" can not create pods that reference secrets"#
        ]],
    )
    .await;
    create(mirror(json!({"serviceAccountName": "default"})))
        .check(
            &world,
            expect![[
                r#"403 pods "web" is forbidden: a mirror pod may not reference service accounts"#
            ]],
        )
        .await;
}

#[tokio::test]
async fn a_kubelet_touches_only_its_own_pods() {
    let mut world = world();
    let on = |node: &str| pod(json!({"nodeName": node}));
    world.put("pods", on("w1"));
    Write::delete("pods dev/web", on("w1"))
        .by_node("w1")
        .check(&world, expect!["allowed"])
        .await;
    Write::delete("pods dev/web", on("w1"))
        .by_node("w2")
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w2" can only delete pods with spec.nodeName set to itself"#]])
        .await;
    Write::update("pods/status dev/web", on("w1"), on("w1"))
        .by_node("w1")
        .check(&world, expect!["allowed"])
        .await;
    Write::update("pods/status dev/web", on("w1"), on("w1"))
        .by_node("w2")
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w2" can only update pod status for pods with spec.nodeName set to itself"#]])
        .await;
    let mut labelled = on("w1");
    labelled["metadata"]["labels"] = json!({"a": "b"});
    Write::update("pods/status dev/web", on("w1"), labelled)
        .by_node("w1")
        .check(
            &world,
            expect![[
                r#"403 pods "web" is forbidden: node "w1" cannot update labels through pod status"#
            ]],
        )
        .await;
    Write::update("pods dev/web", on("w1"), on("w1"))
        .by_node("w1")
        .check(&world, expect![[r#"403 pods "web" is forbidden: unexpected operation, node "w1" can only create and delete mirror pods"#]])
        .await;
    Write::create("pods/eviction dev/web", json!({}))
        .by_node("w1")
        .check(&world, expect!["allowed"])
        .await;
    Write::create("pods/eviction dev/web", json!({}))
        .by_node("w2")
        .check(&world, expect![[r#"403 pods "web" is forbidden: node w2 can only evict pods with spec.nodeName set to itself"#]])
        .await;
}

#[tokio::test]
async fn a_kubelet_looks_after_its_own_node() {
    let world = world();
    let node = |labels: Value, taints: Value| json!({"metadata": {"name": "w1", "labels": labels}, "spec": {"taints": taints}});
    let plain = || {
        node(
            json!({"kubernetes.io/hostname": "w1", "example.com/x": "y"}),
            json!([]),
        )
    };
    let made = Write::create("nodes /w1", plain())
        .by_node("w1")
        .run(&world)
        .await
        .unwrap();
    assert_eq!(
        made["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    );
    Write::create("nodes /w1", plain())
        .by_node("w2")
        .check(
            &world,
            expect![[
                r#"403 nodes "w1" is forbidden: node "w2" is not allowed to modify node "w1""#
            ]],
        )
        .await;
    let labels = json!({
        "node-role.kubernetes.io/master": "", "node-restriction.kubernetes.io/zone": "a", "foo.k8s.io/x": "1",
        "node.kubernetes.io/pool": "a", "topology.kubernetes.io/zone": "a",
    });
    Write::create("nodes /w1", node(labels, json!([])))
        .by_node("w1")
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: node "w1" is not allowed to set the following labels: foo.k8s.io/x, node-restriction.kubernetes.io/zone, node-role.kubernetes.io/master"#]])
        .await;
    let update = |new: Value| Write::update("nodes /w1", plain(), new).by_node("w1");
    update(plain()).check(&world, expect!["allowed"]).await;
    update(node(json!({"kubernetes.io/hostname": "w1"}), json!([])))
        .check(&world, expect!["allowed"])
        .await;
    update(node(json!({"node-role.kubernetes.io/x": ""}), json!([])))
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: node "w1" is not allowed to modify labels: node-role.kubernetes.io/x"#]])
        .await;
    update(node(
        json!({}),
        json!([{"key": "a", "effect": "NoExecute"}]),
    ))
    .check(
        &world,
        expect![[r#"403 nodes "w1" is forbidden: node "w1" is not allowed to modify taints"#]],
    )
    .await;
    let promoted = node(json!({"node-role.kubernetes.io/x": ""}), json!([]));
    Write::update("nodes/status /w1", plain(), promoted)
        .by_node("w1")
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: node "w1" is not allowed to modify labels: node-role.kubernetes.io/x"#]])
        .await;
    Write::update("nodes/status /w1", plain(), plain())
        .by_node("w2")
        .check(
            &world,
            expect![[
                r#"403 nodes "w1" is forbidden: node "w2" is not allowed to modify node "w1""#
            ]],
        )
        .await;
}

#[tokio::test]
async fn a_kubelet_renews_its_own_lease() {
    let world = world();
    let lease = json!({"metadata": {"name": "w1"}});
    Write::create(
        "leases.coordination.k8s.io kube-node-lease/w1",
        lease.clone(),
    )
    .by_node("w1")
    .check(&world, expect!["allowed"])
    .await;
    Write::create(
        "leases.coordination.k8s.io kube-node-lease/w1",
        lease.clone(),
    )
    .by_node("w2")
    .check(&world, expect![[r#"403 leases.coordination.k8s.io "w1" is forbidden: can only access node lease with the same name as the requesting node"#]])
    .await;
    Write::create("leases.coordination.k8s.io dev/w1", lease)
        .by_node("w1")
        .check(&world, expect![[r#"403 leases.coordination.k8s.io "w1" is forbidden: can only access leases in the "kube-node-lease" system namespace"#]])
        .await;
}

#[tokio::test]
async fn a_kubelet_asks_for_tokens_of_its_pods() {
    let mut world = world();
    let mut object = pod(json!({"nodeName": "w1"}));
    object["metadata"]["uid"] = "uid-web".into();
    world.put("pods", object);
    let ask = |reference: Value| {
        let body = json!({"spec": {"boundObjectRef": reference}});
        Write::create("serviceaccounts/token dev/default", body)
    };
    let web = |uid: &str| json!({"kind": "Pod", "name": "web", "uid": uid});
    ask(web("uid-web"))
        .by_node("w1")
        .check(&world, expect!["allowed"])
        .await;
    ask(web("uid-web"))
        .by_node("w2")
        .check(&world, expect![[r#"403 serviceaccounts "default" is forbidden: node requested token bound to a pod scheduled on a different node"#]])
        .await;
    ask(web(""))
        .by_node("w1")
        .check(&world, expect![[r#"403 serviceaccounts "default" is forbidden: node requested token with a pod binding without a uid"#]])
        .await;
    ask(web("old"))
        .by_node("w1")
        .check(&world, expect![[r#"403 serviceaccounts "default" is forbidden: the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated"#]])
        .await;
    ask(Value::Null)
        .by_node("w1")
        .check(&world, expect![[r#"403 serviceaccounts "default" is forbidden: node requested token not bound to a pod"#]])
        .await;
    ask(Value::Null).check(&world, expect!["allowed"]).await;
}
