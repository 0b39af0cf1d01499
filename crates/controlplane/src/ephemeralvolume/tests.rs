//! Check tests: a pod and its claims → what is made.

use expect_test::expect;

use super::*;

#[test]
fn a_pod_gets_claims_of_its_own() {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"containers": [], "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }}}]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let volume = pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0].clone();
    let with = |claim: Option<PersistentVolumeClaim>| World {
        pod: pod.clone(),
        claims: vec![(volume.clone(), claim.map(Arc::new))],
    };
    let made = plan(&with(None));
    let [Change::Create(claim)] = made.changes.as_slice() else {
        panic!("{made}");
    };
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "PersistentVolumeClaim",
          "metadata": {
            "labels": {
              "a": "b"
            },
            "name": "p-scratch",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Pod",
                "name": "p",
                "uid": "u"
              }
            ]
          },
          "spec": {
            "accessModes": [
              "ReadWriteOnce"
            ],
            "resources": {
              "requests": {
                "storage": "1Gi"
              }
            }
          }
        }"#]]
    .assert_eq(&format!("{:#}", json!(claim)));
    let claim: PersistentVolumeClaim = serde_json::from_value(json!(claim)).unwrap();
    assert_eq!(plan(&with(Some(claim.clone()))), Plan::default());
    let mut foreign = claim;
    foreign.metadata.owner_references = None;
    expect![[r#"
        warn FailedBinding: PVC "p-scratch" was not created for pod "p" (pod is not owner): volume "scratch" needs a claim of this name
    "#]].assert_eq(&plan(&with(Some(foreign))).to_string());
}
