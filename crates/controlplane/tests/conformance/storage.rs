//! Volumes and the classes and drivers of them.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::operations::Operations;
use crate::world::{Suite, conditions, names, revision};

const VERSION: &str = "storage.k8s.io/v1";

/// An object is made, read, patched, listed and deleted; others of its kind are updated and deleted as a collection.
async fn lives(kind: &Kind<'_>, object: &Value) {
    let make = |name: &'static str| {
        let mut object = object.clone();
        object["metadata"] = json!({"name": name});
        kind.create(object)
    };
    let created = make("first").await;
    assert_eq!(
        kind.get("first").await["metadata"]["uid"],
        created["metadata"]["uid"]
    );
    let patched = kind
        .strategic(
            "first",
            json!({"metadata": {"labels": {"first": "patched"}}}),
        )
        .await;
    assert_eq!(patched["metadata"]["labels"]["first"], "patched");
    assert!(revision(&patched) > revision(&created));
    assert_eq!(kind.count("labelSelector=first%3Dpatched").await, 1);
    kind.delete("first").await;
    kind.until_gone("first").await;
    for name in ["second", "third"] {
        make(name).await;
        let updated = kind
            .update(name, |object| {
                object["metadata"]["labels"] = json!({"e2e": "updated"});
            })
            .await;
        assert_eq!(updated["metadata"]["labels"], json!({"e2e": "updated"}));
    }
    let query = "labelSelector=e2e%3Dupdated";
    assert_eq!(kind.count(query).await, 2);
    kind.delete_collection(query).await;
    for name in ["second", "third"] {
        kind.until_gone(name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn storageclasses_csi_conformance_should_run_through_the_lifecycle_of_a_storageclass() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(VERSION, "StorageClass", "storageclasses");
    lives(&kind, &json!({"provisioner": "e2e-fake-provisioner"})).await;
}

#[tokio::test(start_paused = true)]
async fn volumeattributesclass_should_run_through_the_lifecycle_of_a_volumeattributesclass() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(VERSION, "VolumeAttributesClass", "volumeattributesclasses");
    let object = json!({"driverName": "e2e-fake-csi-driver", "parameters": {"foo": "bar"}});
    lives(&kind, &object).await;
}

#[tokio::test(start_paused = true)]
async fn csinodes_csi_conformance_should_run_through_the_lifecycle_of_a_csinode() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(VERSION, "CSINode", "csinodes");
    // A typed client writes the list of drivers as null when there are none.
    lives(&kind, &json!({"spec": {"drivers": null}})).await;
}

#[tokio::test(start_paused = true)]
async fn csiinlinevolumes_should_run_through_the_lifecycle_of_a_csidriver() {
    let suite = Suite::new().await;
    let kind = suite.cluster_wide(VERSION, "CSIDriver", "csidrivers");
    let spec = |modes: Value| json!({"spec": {"volumeLifecycleModes": modes, "fsGroupPolicy": "ReadWriteOnceWithFSType"}});
    lives(&kind, &spec(json!(["Ephemeral"]))).await;
    let mut object = spec(json!(["Persistent", "Ephemeral"]));
    object["metadata"] = json!({"name": "driver"});
    kind.create(object.clone()).await;
    let why = kind.try_create(object).await.refused();
    assert!(why.starts_with("409 AlreadyExists: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn csiinlinevolumes_should_support_csivolumesource_in_pod_api() {
    let suite = Suite::new().await;
    let drivers = suite.cluster_wide(VERSION, "CSIDriver", "csidrivers");
    drivers
        .create(json!({"metadata": {"name": "e2e.example.com"}, "spec": {"volumeLifecycleModes": ["Ephemeral"]}}))
        .await;
    let kind = suite.namespaced("v1", "Pod", "pods");
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/mnt/{name}")});
    let spec = json!({
        "volumes": [
            {"name": "vol1", "csi": {"driver": "e2e.example.com"}},
            {"name": "vol2", "csi": {"driver": "e2e.example.com", "fsType": "ext4", "readOnly": true}},
        ],
        "containers": [{"name": "c", "image": "busybox", "volumeMounts": [mount("vol1"), mount("vol2")]}],
    });
    let pod = json!({"metadata": {"name": "pod"}, "spec": spec});
    let created = kind.create(pod.clone()).await;
    assert_eq!(created["spec"]["volumes"][1], spec["volumes"][1]);
    let why = kind.try_create(pod).await.refused();
    assert!(why.starts_with("409 AlreadyExists: "), "{why}");
    assert_eq!(
        kind.get("pod").await["metadata"]["uid"],
        created["metadata"]["uid"]
    );
    assert_eq!(names(&kind.list("").await), ["pod"]);
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}});
    let patched = kind.merge("pod", patch).await;
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    kind.delete("pod").await;
    let answer = kind.try_get("pod").await;
    let is_going = answer.json()["metadata"]["deletionTimestamp"].is_string();
    assert!(answer.code == 404 || is_going, "{:#}", answer.json());
}

#[tokio::test(start_paused = true)]
async fn csistoragecapacity_should_support_csistoragecapacities_api_operations() {
    let suite = Suite::new().await;
    let kind = suite.namespaced(VERSION, "CSIStorageCapacity", "csistoragecapacities");
    let template = json!({"storageClassName": "capacity-class", "nodeTopology": {"matchLabels": {"zone": "a"}}});
    Operations::new(kind, template).run().await;
}

fn attachments(suite: &Suite) -> Kind<'_> {
    suite.cluster_wide(VERSION, "VolumeAttachment", "volumeattachments")
}

fn attachment() -> Value {
    let source = json!({"persistentVolumeName": "pv-e2e"});
    json!({
        "spec": {"attacher": "e2e-test.storage.k8s.io", "nodeName": "node-1", "source": source},
        "status": {"attached": false},
    })
}

#[tokio::test(start_paused = true)]
async fn volumeattachment_conformance_should_run_through_the_lifecycle_of_a_volumeattachment() {
    let suite = Suite::new().await;
    lives(&attachments(&suite), &attachment()).await;
}

#[tokio::test(start_paused = true)]
async fn volumeattachment_conformance_should_apply_changes_to_a_volumeattachment_status() {
    let suite = Suite::new().await;
    let kind = attachments(&suite);
    let mut object = attachment();
    object["metadata"] = json!({"name": "va", "uid": "va"});
    kind.create(object).await;
    kind.merge("va", json!({"metadata": {"labels": {"va": "patched"}}}))
        .await;
    assert_eq!(kind.get("va/status").await["status"]["attached"], false);
    let patched = kind
        .merge("va/status", json!({"status": {"attached": true}}))
        .await;
    assert_eq!(patched["status"]["attached"], true);
    let updated = kind
        .update("va/status", |va| va["status"]["attached"] = json!(false))
        .await;
    assert_eq!(updated["status"]["attached"], false);
    kind.delete("va").await;
    kind.until_gone("va").await;
}

fn volumes(suite: &Suite) -> Kind<'_> {
    suite.cluster_wide("v1", "PersistentVolume", "persistentvolumes")
}

fn claims(suite: &Suite) -> Kind<'_> {
    suite.namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
}

async fn make_volume_and_claim(suite: &Suite) -> (Value, Value) {
    let modes = json!(["ReadWriteOnce"]);
    let volume = json!({
        "metadata": {"name": "pv", "labels": {"e2e-pv-pool": "conformance"}, "annotations": {"pv.beta.kubernetes.io/gid": "777"}},
        "spec": {
            "capacity": {"storage": "2Gi"}, "accessModes": modes, "storageClassName": "conformance",
            "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": "e2e-driver", "volumeHandle": "e2e-conformance"},
        },
    });
    let claim = json!({
        "metadata": {"name": "pvc"},
        "spec": {"accessModes": modes, "storageClassName": "conformance", "resources": {"requests": {"storage": "2Gi"}}},
    });
    (
        volumes(suite).create(volume).await,
        claims(suite).create(claim).await,
    )
}

#[tokio::test(start_paused = true)]
async fn persistentvolumes_csi_conformance_should_run_through_the_lifecycle_of_a_pv_and_a_pvc() {
    let suite = Suite::new().await;
    let (volumes, claims) = (volumes(&suite), claims(&suite));
    let (volume, claim) = make_volume_and_claim(&suite).await;
    assert_eq!(
        volumes
            .count("labelSelector=e2e-pv-pool%3Dconformance")
            .await,
        1
    );
    assert_eq!(claims.count("").await, 1);
    for (kind, name, before) in [(&volumes, "pv", &volume), (&claims, "pvc", &claim)] {
        let patched = kind
            .strategic(name, json!({"metadata": {"labels": {"of": "patched"}}}))
            .await;
        assert!(revision(&patched) > revision(before));
        assert_eq!(
            kind.get(name).await["metadata"]["uid"],
            before["metadata"]["uid"]
        );
    }
    claims.delete("pvc").await;
    claims.until_gone("pvc").await;
    volumes.delete("pv").await;
    volumes.until_gone("pv").await;

    make_volume_and_claim(&suite).await;
    for (kind, name) in [(&claims, "pvc"), (&volumes, "pv")] {
        let updated = kind
            .update(name, |object| {
                object["metadata"]["labels"] = json!({"of": "updated"});
            })
            .await;
        assert_eq!(updated["metadata"]["labels"]["of"], "updated");
        let query = "labelSelector=of%3Dupdated";
        assert_eq!(kind.everywhere().count(query).await, 1);
        kind.delete_collection(query).await;
        kind.until_gone(name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn persistentvolumes_csi_conformance_should_apply_changes_to_a_pv_pvc_status() {
    let suite = Suite::new().await;
    let (volumes, claims) = (volumes(&suite), claims(&suite));
    make_volume_and_claim(&suite).await;
    let phase = |object: &Value| object["status"]["phase"].as_str().unwrap_or("").to_owned();
    let claim = claims.get("pvc/status").await;
    assert!(
        ["Pending", "Bound"].contains(&phase(&claim).as_str()),
        "{claim:#}"
    );
    let volume = volumes.get("pv/status").await;
    assert!(
        ["Pending", "Available", "Bound"].contains(&phase(&volume).as_str()),
        "{volume:#}"
    );

    let condition = |ty: &str| json!({"type": ty, "status": "True", "reason": "E2E", "message": "Set from e2e test"});
    let patch = json!({"status": {"conditions": [condition("StatusPatched")]}});
    let patched = claims.merge("pvc/status", patch).await;
    assert_eq!(conditions(&patched)["StatusPatched"]["reason"], "E2E");
    let patch = json!({"status": {"message": "StatusPatched", "reason": "E2E patchStatus"}});
    let patched = volumes.merge("pv/status", patch).await;
    assert_eq!(patched["status"]["reason"], "E2E patchStatus");
    let updated = claims
        .update("pvc/status", |claim| {
            let all = claim["status"]["conditions"].as_array_mut().unwrap();
            all.push(condition("StatusUpdated"));
        })
        .await;
    assert_eq!(conditions(&updated)["StatusUpdated"]["reason"], "E2E");
    let updated = volumes
        .update("pv/status", |volume| {
            volume["status"]["message"] = json!("StatusUpdated");
        })
        .await;
    assert_eq!(updated["status"]["message"], "StatusUpdated");
}
