use expect_test::expect;
use serde_json::{Value, json};

use super::certificates::certificate_request;
use super::{Write, pod};
use crate::auth::tests::World;

/// The node `w1` as the owner of a mirror pod.
fn owner(change: Value) -> Value {
    let mut owner = json!({"apiVersion": "v1", "kind": "Node", "name": "w1", "uid": "uid-w1", "controller": true});
    for (key, value) in change.as_object().unwrap() {
        owner[key] = value.clone();
    }
    owner
}

/// A cluster with the node `w1`.
fn world() -> World {
    let mut world = super::world();
    world.put(
        "nodes",
        json!({"metadata": {"name": "w1", "uid": "uid-w1"}}),
    );
    world
}

fn mirror(change: Value) -> Value {
    let mut object = pod(json!({"nodeName": "w1"}));
    object["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    object["metadata"]["ownerReferences"] = json!([owner(json!({}))]);
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
        .check(&world, expect![[r#"403 pods "web" is forbidden: unexpected operation "UPDATE", node "w1" can only create and delete mirror pods"#]])
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
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/x"#]])
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
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/x"#]])
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
    let token =
        json!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}});
    let mut object = pod(json!({"nodeName": "w1", "volumes": [token]}));
    object["metadata"]["uid"] = "uid-web".into();
    world.put("pods", object);
    let ask = |reference: Value| {
        let body = json!({"spec": {"boundObjectRef": reference}});
        Write::create("serviceaccounts/token dev/default", body)
    };
    let web = |uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid});
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

#[tokio::test]
async fn a_mirror_pod_is_owned_by_its_node() {
    let world = world();
    let owned = |owners: Value| {
        let mut pod = mirror(json!({}));
        pod["metadata"]["ownerReferences"] = owners;
        Write::create("pods dev/web", pod).by_node("w1")
    };
    let one = |change: Value| owned(json!([owner(change)]));
    owned(json!([])).check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" can only create pods with an owner reference set to itself"#]]).await;
    owned(json!([owner(json!({})), owner(json!({}))]))
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" can only create pods with a single owner reference set to itself"#]])
        .await;
    one(json!({"kind": "Pod"}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" can only create pods with an owner reference set to itself"#]])
        .await;
    one(json!({"controller": false}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" can only create pods with a controller owner reference set to itself"#]])
        .await;
    one(json!({"blockOwnerDeletion": true}))
        .check(&world, expect![[r#"403 pods "web" is forbidden: node "w1" must not set blockOwnerDeletion on an owner reference"#]])
        .await;
    one(json!({"uid": "old"}))
        .check(
            &world,
            expect![[
                r#"403 pods "web" is forbidden: node w1 UID mismatch: expected old got uid-w1"#
            ]],
        )
        .await;
    let bare = super::world();
    one(json!({}))
        .check(&bare, expect![[r#"404 nodes "w1" not found"#]])
        .await;
}

#[tokio::test]
async fn a_mirror_pod_takes_nothing_from_the_cluster() {
    let world = world();
    let mut lines = Vec::new();
    for change in [
        json!({"imagePullSecrets": [{"name": "s"}]}),
        json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
        json!({"volumes": [{"name": "v", "azureFile": {"secretName": "s"}}]}),
        json!({"volumes": [{"name": "v", "cephfs": {"secretRef": {"name": "s"}}}]}),
        json!({"ephemeralContainers": [{"name": "e", "envFrom": [{"configMapRef": {"name": "m"}}]}]}),
        json!({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "m"}}]}}]}),
        json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]}),
        json!({"volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}]}),
        json!({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}),
        json!({"volumes": [{"name": "v", "glusterfs": {"endpoints": "e"}}]}),
        json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
        json!({"volumes": [{"name": "v", "ephemeral": {}}]}),
        json!({"resourceClaims": [{"name": "c"}]}),
        json!({"volumes": [
            {"name": "v", "hostPath": {"path": "/x"}}, {"name": "w", "projected": {"sources": [{"downwardAPI": {}}]}},
        ]}),
    ] {
        let write = Write::create("pods dev/web", mirror(change)).by_node("w1");
        lines.push(write.verdict(&world).await);
    }
    expect![[r#"
        403 pods "web" is forbidden: node "w1" can not create pods that reference secrets
        403 pods "web" is forbidden: a mirror pod may not reference secrets
        403 pods "web" is forbidden: node "w1" can not create pods that reference secrets
        403 pods "web" is forbidden: node "w1" can not create pods that reference secrets
        403 pods "web" is forbidden: node "w1" can not create pods that reference configmaps
        403 pods "web" is forbidden: node "w1" can not create pods that reference configmaps
        403 pods "web" is forbidden: node "w1" can not create pods that reference serviceaccounts (via projected volumes)
        403 pods "web" is forbidden: node "w1" can not create pods that reference clustertrustbundles
        403 pods "web" is forbidden: node "w1" can not create pods that reference csidrivers (via CSI volumes)
        403 pods "web" is forbidden: node "w1" can not create pods that reference endpoints (via glusterFS volumes)
        403 pods "web" is forbidden: node "w1" can not create pods that reference persistentvolumeclaims
        403 pods "web" is forbidden: node "w1" can not create pods that reference persistentvolumeclaims (via ephemeral volumes)
        403 pods "web" is forbidden: node "w1" can not create pods that reference resourceclaims
        allowed"#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_kubelet_changes_of_a_claim_what_it_sees_of_the_volume() {
    let world = world();
    let claim = |size: &str, status: Value| {
        json!({
            "metadata": {"name": "c", "resourceVersion": size, "labels": {}},
            "spec": {"volumeName": "v"}, "status": status,
        })
    };
    let grown = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}, "conditions": [{}],
        "allocatedResources": {}, "allocatedResourceStatuses": {}});
    let old = || claim("1", json!({"phase": "Bound"}));
    let update = |what, new| Write::update(what, old(), new).by_node("w1");
    const STATUS: &str = "persistentvolumeclaims/status dev/c";
    update(STATUS, claim("2", grown))
        .check(&world, expect!["allowed"])
        .await;
    update(STATUS, claim("1", json!({"phase": "Lost"})))
        .check(&world, expect![[r#"403 persistentvolumeclaims "c" is forbidden: node "w1" is not allowed to update fields other than status.quantity and status.conditions: status differs"#]])
        .await;
    let mut labelled = old();
    labelled["metadata"]["labels"]["a"] = "b".into();
    update(STATUS, labelled).check(&world, expect![[r#"403 persistentvolumeclaims "c" is forbidden: node "w1" is not allowed to update fields other than status.quantity and status.conditions: metadata differs"#]]).await;
    update("persistentvolumeclaims dev/c", old())
        .check(
            &world,
            expect![[r#"403 persistentvolumeclaims "c" is forbidden: may only update PVC status"#]],
        )
        .await;
}

#[tokio::test]
async fn a_kubelet_has_its_own_slices_nodes_and_certificates() {
    let world = world();
    let slice = |node: &str| json!({"metadata": {"name": "s"}, "spec": {"nodeName": node}});
    const SLICE: &str = "resourceslices.resource.k8s.io /s";
    Write::create(SLICE, slice("w1"))
        .by_node("w1")
        .check(&world, expect!["allowed"])
        .await;
    Write::create(SLICE, slice("w2"))
        .by_node("w1")
        .check(&world, expect![[r#"403 resourceslices.resource.k8s.io "s" is forbidden: can only create ResourceSlice with the same NodeName as the requesting node"#]])
        .await;
    Write::delete(SLICE, slice("w2"))
        .by_node("w1")
        .check(&world, expect![[r#"403 resourceslices.resource.k8s.io "s" is forbidden: can only delete ResourceSlice with the same NodeName as the requesting node"#]])
        .await;
    let configured =
        json!({"metadata": {"name": "w1"}, "spec": {"configSource": {"configMap": {}}}});
    Write::create("nodes /w1", configured.clone())
        .by_node("w1")
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: node "w1" is not allowed to create pods with a non-nil configSource"#]])
        .await;
    let plain = json!({"metadata": {"name": "w1"}});
    Write::update("nodes /w1", plain, configured)
        .by_node("w1")
        .check(&world, expect![[r#"403 nodes "w1" is forbidden: node "w1" is not allowed to update configSource to a new non-nil configSource"#]])
        .await;
    Write::update("csinodes.storage.k8s.io /w2", json!({}), json!({}))
        .by_node("w1")
        .check(&world, expect![[r#"403 csinodes.storage.k8s.io "w2" is forbidden: can only access CSINode with the same name as the requesting node"#]])
        .await;
    let mut claimed = pod(json!({"nodeName": "w1"}));
    claimed["status"] = json!({"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "b"}]});
    Write::update(
        "pods/status dev/web",
        pod(json!({"nodeName": "w1"})),
        claimed,
    )
    .by_node("w1")
    .check(
        &world,
        expect![[r#"403 pods "web" is forbidden: node "w1" cannot update resource claim statues"#]],
    )
    .await;
    Write::create("pods/binding dev/web", json!({}))
        .by_node("w1")
        .check(&world, expect![[r#"403 pods "web" is forbidden: unexpected pod subresource "binding", only 'status' and 'eviction' are allowed"#]])
        .await;
    Write::create("configmaps dev/x", json!({}))
        .by("system:node:", &["system:nodes"])
        .check(&world, expect![[r#"403 configmaps "x" is forbidden: could not determine node from user "system:node:""#]])
        .await;

    let ask = |signer: &str, node: &str| {
        let pem = certificate_request(&format!("system:node:{node}"), "system:nodes");
        let spec = json!({"signerName": signer, "request": pem});
        Write::create(
            "certificatesigningrequests.certificates.k8s.io /c",
            json!({"spec": spec}),
        )
        .by_node("w1")
    };
    const SERVING: &str = "kubernetes.io/kubelet-serving";
    ask(SERVING, "w1").check(&world, expect!["allowed"]).await;
    ask(SERVING, "w2").check(&world, expect![[r#"403 certificatesigningrequests.certificates.k8s.io "c" is forbidden: can only create a node CSR with CN=system:node:w1"#]]).await;
    ask("example.com/any", "w2")
        .check(&world, expect!["allowed"])
        .await;
    let broken = json!({"spec": {"signerName": SERVING, "request": "eA=="}});
    Write::create("certificatesigningrequests.certificates.k8s.io /c", broken)
        .by_node("w1")
        .check(&world, expect![[r#"403 certificatesigningrequests.certificates.k8s.io "c" is forbidden: unable to parse csr: certificate signing request: not PEM: want a block BEGIN CERTIFICATE REQUEST"#]])
        .await;
}

#[tokio::test]
async fn a_kubelet_asks_for_audiences_that_its_pods_name() {
    let mut world = world();
    let driver = |name: &str, audience: &str| json!({"metadata": {"name": name}, "spec": {"tokenRequests": [{"audience": audience}]}});
    let volume = |name: &str, source: Value| json!({"metadata": {"name": name}, "spec": source});
    let claim = |name: &str, volume: &str| json!({"metadata": {"namespace": "dev", "name": name}, "spec": {"volumeName": volume}});
    let volumes = json!([
        {"name": "a", "projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}},
        {"name": "b", "csi": {"driver": "inline.example.com"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "d", "ephemeral": {"volumeClaimTemplate": {}}},
    ]);
    let mut object = pod(json!({"nodeName": "w1", "volumes": volumes}));
    object["metadata"]["uid"] = "uid-web".into();
    world
        .put("pods", object)
        .put(
            "csidrivers.storage.k8s.io",
            driver("inline.example.com", "inline"),
        )
        .put(
            "csidrivers.storage.k8s.io",
            driver("disk.csi.azure.com", "azure"),
        )
        .put(
            "csidrivers.storage.k8s.io",
            driver("claim.example.com", "claim"),
        )
        .put("persistentvolumes", volume("v1", json!({"azureDisk": {}})))
        .put(
            "persistentvolumes",
            volume("v2", json!({"csi": {"driver": "claim.example.com"}})),
        )
        .put("persistentvolumeclaims", claim("data", "v1"))
        .put("persistentvolumeclaims", claim("web-d", "v2"))
        .role(
            "dev",
            "any",
            json!([{"verbs": ["request-serviceaccounts-token-audience"],
            "apiGroups": [""], "resources": ["granted"], "resourceNames": ["default"]}]),
        )
        .bind(
            "dev",
            "Role/any",
            json!([{"kind": "Group", "name": "system:nodes"}]),
        );
    let ask = |audiences: Value| {
        let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web"});
        let body = json!({"spec": {"boundObjectRef": reference, "audiences": audiences}});
        Write::create("serviceaccounts/token dev/default", body).by_node("w1")
    };
    let mut lines = Vec::new();
    for audiences in [
        json!(["vault"]),
        json!(["inline"]),
        json!(["azure"]),
        json!(["claim"]),
        json!(["granted"]),
        json!(["other"]),
        json!([]),
        json!(["vault", "inline"]),
    ] {
        let verdict = ask(audiences.clone()).verdict(&world).await;
        lines.push(format!("{audiences} {verdict}"));
    }
    expect![[r#"
        ["vault"] allowed
        ["inline"] allowed
        ["azure"] allowed
        ["claim"] allowed
        ["granted"] allowed
        ["other"] 403 serviceaccounts "default" is forbidden: audience "other" not found in pod spec volume, system:node:w1 is not authorized to request tokens for this audience
        [] 403 serviceaccounts "default" is forbidden: audience "" not found in pod spec volume, system:node:w1 is not authorized to request tokens for this audience
        ["vault","inline"] 403 serviceaccounts "default" is forbidden: node may only request 0 or 1 audiences"#]].assert_eq(&lines.join("\n"));
    world.delete("persistentvolumeclaims", "dev", "data");
    world.delete("csidrivers.storage.k8s.io", "", "inline.example.com");
    ask(json!(["other"])).check(&world, expect![[r#"403 serviceaccounts "default" is forbidden: error validating audience "other": [csidrivers.storage.k8s.io "inline.example.com" not found, persistentvolumeclaims "data" not found]"#]]).await;
    ask(json!(["vault"]))
        .check(&world, expect!["allowed"])
        .await;
}
