//! Check tests: claims of simulated classes → volumes.

use expect_test::expect;
use serde_json::json;

use super::*;

fn world(annotations: Value, spec: Value) -> World {
    let mut claim = json!({
        "metadata": {"name": "c", "namespace": "default", "uid": "u", "annotations": annotations},
        "spec": {"storageClassName": "standard", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let more = spec.as_object().cloned().unwrap_or_default();
    claim["spec"].as_object_mut().unwrap().extend(more);
    let class = json!({
        "metadata": {"name": "standard"}, "provisioner": NAME, "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    });
    World {
        claim: serde_json::from_value(claim).unwrap(),
        class: Some(Arc::new(serde_json::from_value(class).unwrap())),
        volume: None,
    }
}

fn asked() -> Value {
    json!({"volume.kubernetes.io/storage-provisioner": NAME, "volume.kubernetes.io/selected-node": "n1"})
}

/// The volume as it is made.
fn made(world: &World) -> PersistentVolume {
    let plan = plan::plan(world);
    let [runtime::Change::Create(volume)] = plan.changes.as_slice() else {
        panic!("{plan}");
    };
    serde_json::from_value(json!(volume)).unwrap()
}

#[test]
fn a_volume_is_made_when_its_claim_asks_for_it() {
    assert_eq!(
        plan::plan(&world(Value::Null, Value::Null)),
        Plan::default()
    );
    let world = world(asked(), Value::Null);
    expect![[r#"
        create PersistentVolume pvc-u
        note ProvisioningSucceeded: Successfully provisioned volume pvc-u (simulated)
    "#]]
    .assert_eq(&plan::plan(&world).to_string());
    expect![[r#"
        {
          "accessModes": [
            "ReadWriteOnce"
          ],
          "capacity": {
            "storage": "1Gi"
          },
          "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "name": "c",
            "namespace": "default",
            "uid": "u"
          },
          "csi": {
            "driver": "simulated.apiary.io/volumes",
            "volumeHandle": "pvc-u"
          },
          "persistentVolumeReclaimPolicy": "Delete",
          "storageClassName": "standard"
        }"#]]
    .assert_eq(&format!("{:#}", json!(made(&world).spec)));
}

#[test]
fn a_volume_grows_with_its_claim() {
    let mut world = world(asked(), json!({"volumeName": "pvc-u"}));
    let mut volume = made(&World {
        claim: self::world(asked(), Value::Null).claim,
        class: world.class.clone(),
        volume: None,
    });
    volume.metadata.uid = Some("v".into());
    world.volume = Some(Arc::new(volume));
    assert_eq!(plan::plan(&world), Plan::default());
    let larger = json!({"volumeName": "pvc-u", "resources": {"requests": {"storage": "2Gi"}}});
    world.claim = self::world(asked(), larger).claim;
    expect![[r#"
        patch PersistentVolume pvc-u {"metadata":{"uid":"v"},"spec":{"capacity":{"storage":"2Gi"}}}
        note FileSystemResizeSuccessful: Volume resize succeeded (simulated)
    "#]]
    .assert_eq(&plan::plan(&world).to_string());
}

#[test]
fn a_volume_that_was_left_goes() {
    let mut volume = made(&world(asked(), Value::Null));
    assert_eq!(plan::remove(&volume), Plan::default());
    volume.status = serde_json::from_value(json!({"phase": "Released"})).unwrap();
    expect![[r#"
        delete PersistentVolume pvc-u
    "#]]
    .assert_eq(&plan::remove(&volume).to_string());
    volume.metadata.annotations = None;
    assert_eq!(plan::remove(&volume), Plan::default(), "somebody else's");
}
