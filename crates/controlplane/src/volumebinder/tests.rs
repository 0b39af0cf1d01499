//! Check tests: claims and volumes in YAML → who gets whom.

use expect_test::{Expect, expect};
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// `spec` of the claim.
    #[serde(default)]
    claim: Value,
    #[serde(default)]
    annotations: Value,
    #[serde(default)]
    class: Value,
    #[serde(default)]
    volume: Option<Volume>,
    #[serde(default)]
    others: Vec<Volume>,
    /// Labels of the node that was chosen.
    #[serde(default)]
    node: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Volume {
    name: String,
    #[serde(default = "ten")]
    size: String,
    /// The claim that it is kept for.
    #[serde(default)]
    of: Option<String>,
    #[serde(default)]
    spec: Value,
}

fn ten() -> String {
    "10Gi".into()
}

fn volume(volume: &Volume) -> PersistentVolume {
    let mut spec = json!({
        "capacity": {"storage": volume.size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "slow",
    });
    if let Some(claim) = &volume.of {
        spec["claimRef"] =
            json!({"namespace": "default", "name": claim, "uid": format!("uid-{claim}")});
    }
    let more = volume.spec.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    let meta =
        json!({"name": volume.name, "uid": format!("uid-{}", volume.name), "resourceVersion": "7"});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

fn world(yaml: &str) -> ClaimWorld {
    let scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Gi"}}, "storageClassName": "slow",
    });
    let more = scene.claim.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    let meta = json!({
        "name": "c", "namespace": "default", "uid": "uid-c", "resourceVersion": "5", "annotations": scene.annotations,
    });
    let class = (!scene.class.is_null()).then(|| {
        let mut class = json!({"metadata": {"name": "slow"}, "provisioner": "example.com/slow"});
        let more = scene.class.as_object().cloned().unwrap_or_default();
        class.as_object_mut().unwrap().extend(more);
        Arc::new(serde_json::from_value(class).unwrap())
    });
    let node = scene.node.map(|labels| {
        let node = json!({"metadata": {"name": "n1", "labels": labels}});
        Arc::new(serde_json::from_value(node).unwrap())
    });
    ClaimWorld {
        claim: serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap(),
        class,
        default_class: None,
        volume: scene.volume.as_ref().map(|v| Arc::new(volume(v))),
        others: scene.others.iter().map(|v| Arc::new(volume(v))).collect(),
        node,
    }
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    expect.assert_eq(&format!(
        "{}{}\n",
        claim::plan(&world),
        claim::status(&world)
    ));
}

#[test]
fn a_claim_gets_the_smallest_volume_that_fits() {
    check(
        "others: [{name: large, size: 20Gi}, {name: fits, size: 9Gi}, {name: small, size: 1Gi}, {name: taken, size: 8Gi, of: other}]",
        &expect![[r#"
            patch PersistentVolume fits {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":"yes"},"resourceVersion":"7","uid":"uid-fits"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"c","namespace":"default","resourceVersion":"5","uid":"uid-c"}}}
            patch PersistentVolumeClaim default/c {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes"},"uid":"uid-c"},"spec":{"volumeName":"fits"}}
            {"phase":"Pending"}
        "#]],
    );
}

#[test]
fn a_volume_that_is_kept_for_it_comes_first() {
    check(
        "others: [{name: fits}, {name: kept, size: 100Gi, of: c}]",
        &expect![[r#"
            patch PersistentVolume kept {"metadata":{"resourceVersion":"7","uid":"uid-kept"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"c","namespace":"default","resourceVersion":"5","uid":"uid-c"}}}
            patch PersistentVolumeClaim default/c {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes"},"uid":"uid-c"},"spec":{"volumeName":"kept"}}
            {"phase":"Pending"}
        "#]],
    );
}

#[test]
fn what_does_not_fit_is_not_taken() {
    check(
        "others: [{name: a, spec: {storageClassName: fast}}, {name: b, spec: {accessModes: [ReadOnlyMany]}}, {name: c, spec: {volumeMode: Block}}]\nclaim: {storageClassName: ''}",
        &expect![[r#"
            note FailedBinding: no persistent volumes available for this claim and no storage class is set
            {"phase":"Pending"}
        "#]],
    );
}

#[test]
fn the_provisioner_is_asked_when_nothing_fits() {
    check(
        "class: {}",
        &expect![[r#"
        patch PersistentVolumeClaim default/c {"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-provisioner":"example.com/slow","volume.kubernetes.io/storage-provisioner":"example.com/slow"},"uid":"uid-c"}}
        note ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/slow' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.
        {"phase":"Pending"}
    "#]],
    );
    check(
        "{}",
        &expect![[r#"
        warn ProvisioningFailed: storageclass.storage.k8s.io "slow" not found
        {"phase":"Pending"}
    "#]],
    );
    check(
        "class: {provisioner: kubernetes.io/no-provisioner}",
        &expect![[r#"
            note FailedBinding: no persistent volumes available for this claim, and storage class "slow" makes none
            {"phase":"Pending"}
        "#]],
    );
}

#[test]
fn a_claim_may_wait_for_its_pod() {
    let class = "class: {volumeBindingMode: WaitForFirstConsumer}\nothers: [{name: there, spec: {nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]}}}}]\n";
    check(
        class,
        &expect![[r#"
        note WaitForFirstConsumer: waiting for first consumer to be created before binding
        {"phase":"Pending"}
    "#]],
    );
    let chosen = "annotations: {volume.kubernetes.io/selected-node: n1}\n";
    check(
        &format!("{class}{chosen}node: {{zone: a}}"),
        &expect![[r#"
        patch PersistentVolume there {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":"yes"},"resourceVersion":"7","uid":"uid-there"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"c","namespace":"default","resourceVersion":"5","uid":"uid-c"}}}
        patch PersistentVolumeClaim default/c {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes"},"uid":"uid-c"},"spec":{"volumeName":"there"}}
        {"phase":"Pending"}
    "#]],
    );
    check(
        &format!("{class}{chosen}node: {{zone: b}}"),
        &expect![[r#"
        patch PersistentVolumeClaim default/c {"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-provisioner":"example.com/slow","volume.kubernetes.io/storage-provisioner":"example.com/slow"},"uid":"uid-c"}}
        note ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/slow' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.
        {"phase":"Pending"}
    "#]],
    );
}

#[test]
fn a_claim_that_names_its_volume_is_bound_to_it() {
    check(
        "claim: {volumeName: v}",
        &expect![[r#"
        {"phase":"Pending"}
    "#]],
    );
    check(
        "claim: {volumeName: v}\nvolume: {name: v}",
        &expect![[r#"
        patch PersistentVolume v {"metadata":{"resourceVersion":"7","uid":"uid-v"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"c","namespace":"default","resourceVersion":"5","uid":"uid-c"}}}
        patch PersistentVolumeClaim default/c {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes"},"uid":"uid-c"}}
        {"phase":"Pending"}
    "#]],
    );
    check(
        "claim: {volumeName: v}\nvolume: {name: v, of: other}",
        &expect![[r#"
            warn FailedBinding: volume "v" already bound to a different claim.
            {"phase":"Pending"}
        "#]],
    );
    let completed =
        "claim: {volumeName: v}\nannotations: {pv.kubernetes.io/bind-completed: 'yes'}\n";
    check(
        &format!("{completed}volume: {{name: v, of: c}}"),
        &expect![[r#"
            {"accessModes":["ReadWriteOnce"],"capacity":{"storage":"10Gi"},"phase":"Bound"}
        "#]],
    );
    check(
        completed,
        &expect![[r#"
        warn ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!
        {"phase":"Lost"}
    "#]],
    );
}

#[test]
fn a_claim_without_a_class_gets_the_default_one() {
    let mut world = world("{}");
    world.default_class = Some("standard".into());
    expect![[r#"
        patch PersistentVolumeClaim default/c {"metadata":{"uid":"uid-c"},"spec":{"storageClassName":"standard"}}
    "#]].assert_eq(&claim::plan(&world).to_string());
}

/// A volume of a claim, and the claim as it is: its uid and the volume it names.
fn phase(found: &Volume, claim: Option<(&str, Option<&str>)>) -> String {
    let claim = claim.map(|(uid, volume)| {
        let claim = json!({"metadata": {"name": "c", "uid": uid}, "spec": {"volumeName": volume}});
        Arc::new(serde_json::from_value(claim).unwrap())
    });
    let world = VolumeWorld {
        volume: volume(found),
        claim,
    };
    let status = volume::status(&world, Timestamp::UNIX_EPOCH);
    format!(
        "{}{}",
        volume::plan(&world),
        status["phase"].as_str().unwrap()
    )
}

#[test]
fn a_volume_says_what_it_is_to_its_claim() {
    let of = |claim: Option<&str>, spec: Value| Volume {
        name: "v".into(),
        size: ten(),
        of: claim.map(str::to_owned),
        spec,
    };
    assert_eq!(phase(&of(None, json!({})), None), "Available");
    let kept = json!({"claimRef": {"namespace": "default", "name": "c"}});
    assert_eq!(phase(&of(None, kept), None), "Available");
    let ours = of(Some("c"), json!({}));
    assert_eq!(phase(&ours, Some(("uid-c", Some("v")))), "Bound");
    assert_eq!(phase(&ours, Some(("uid-c", None))), "Available");
    assert_eq!(phase(&ours, None), "Released");
    assert_eq!(phase(&ours, Some(("another", None))), "Released");
    expect![[r#"
        patch PersistentVolume v {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":null},"resourceVersion":"7","uid":"uid-v"},"spec":{"claimRef":{"resourceVersion":null,"uid":null}}}
        Available"#]].assert_eq(&phase(&ours, Some(("uid-c", Some("w")))));
    let recycle = of(
        Some("c"),
        json!({"persistentVolumeReclaimPolicy": "Recycle"}),
    );
    expect![[r#"
        warn VolumeFailedRecycle: No recycler plugin found for the volume!
        Failed"#]]
    .assert_eq(&phase(&recycle, None));
}
