//! What v1beta1 cannot say, while somebody changes the object through v1beta1.

use expect_test::expect;
use serde_json::{Value, json};

use crate::conversion::{ANNOTATION, convert, lost};

const V1BETA1: &str = "controlplane.cluster.x-k8s.io/v1beta1";
const V1BETA2: &str = "controlplane.cluster.x-k8s.io/v1beta2";

fn control_plane() -> Value {
    json!({
        "apiVersion": V1BETA2, "kind": "KubeadmControlPlane", "metadata": {"name": "a", "namespace": "ns"},
        "spec": {
            "replicas": 3, "version": "v1.36.0",
            "machineTemplate": {"spec": {"infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "LocalMachineTemplate", "name": "t"}}},
            "kubeadmConfigSpec": {
                "clusterConfiguration": {"apiServer": {"extraArgs": [{"name": "v", "value": "4"}, {"name": "feature-gates", "value": "A=true"}]}},
                "initConfiguration": {"timeouts": {"controlPlaneComponentHealthCheckSeconds": 60, "etcdAPICallSeconds": 5}},
                "joinConfiguration": {"timeouts": {"controlPlaneComponentHealthCheckSeconds": 90}},
            },
        },
        "status": {"replicas": 3},
    })
}

/// The object after somebody did `change` to its v1beta1.
fn after(change: impl Fn(&mut Value)) -> Value {
    let mut old = convert(control_plane(), V1BETA1).unwrap();
    change(&mut old);
    convert(old, V1BETA2).unwrap()
}

#[test]
fn the_annotation_is_there_when_it_is_needed() {
    let old = convert(control_plane(), V1BETA1).unwrap();
    let kept: Value =
        serde_json::from_str(old["metadata"]["annotations"][ANNOTATION].as_str().unwrap()).unwrap();
    assert_eq!(kept["spec"], control_plane()["spec"]);
    assert_eq!(kept.get("status"), None, "nothing of it would be lost");
    assert_eq!(
        old["spec"]["kubeadmConfigSpec"]["clusterConfiguration"]["apiServer"],
        json!({
            "extraArgs": {"v": "4", "feature-gates": "A=true"}, "timeoutForControlPlane": "1m0s",
        })
    );
    assert_eq!(after(|_| {}), control_plane());
    let mut plain = control_plane();
    plain["spec"]["kubeadmConfigSpec"] = json!({"verbosity": 3});
    let old = convert(plain.clone(), V1BETA1).unwrap();
    assert_eq!(old["metadata"].get("annotations"), None);
    assert_eq!(convert(old, V1BETA2).unwrap(), plain);
}

#[test]
fn a_change_through_v1beta1_is_made_and_nothing_else() {
    let changed = after(|old| old["spec"]["replicas"] = 5.into());
    let mut wanted = control_plane();
    wanted["spec"]["replicas"] = 5.into();
    assert_eq!(changed, wanted);
    let api_server = "/spec/kubeadmConfigSpec/clusterConfiguration/apiServer";
    let changed = after(|old| {
        let api_server = old.pointer_mut(api_server).unwrap();
        api_server["extraArgs"]["v"] = "6".into();
        api_server["extraArgs"]["profiling"] = "false".into();
    });
    assert_eq!(
        changed.pointer(api_server).unwrap()["extraArgs"],
        json!([
            {"name": "feature-gates", "value": "A=true"}, {"name": "profiling", "value": "false"}, {"name": "v", "value": "6"},
        ])
    );
    let timeouts =
        |object: &Value, of: &str| object["spec"]["kubeadmConfigSpec"][of]["timeouts"].clone();
    let init = timeouts(&changed, "initConfiguration");
    assert_eq!(
        init,
        json!({"controlPlaneComponentHealthCheckSeconds": 60, "etcdAPICallSeconds": 5})
    );
    // Said in both places of v1beta2 by the one of v1beta1.
    let changed = after(|old| {
        old.pointer_mut(api_server).unwrap()["timeoutForControlPlane"] = "2m".into();
    });
    let init = timeouts(&changed, "initConfiguration");
    assert_eq!(
        init,
        json!({"controlPlaneComponentHealthCheckSeconds": 120, "etcdAPICallSeconds": 5})
    );
    let join = timeouts(&changed, "joinConfiguration");
    assert_eq!(
        join,
        json!({"controlPlaneComponentHealthCheckSeconds": 120})
    );
    // What is removed is gone with everything below it.
    let changed = after(|old| {
        old["spec"]["kubeadmConfigSpec"] = json!({});
    });
    assert_eq!(changed["spec"].get("kubeadmConfigSpec"), None);
}

#[test]
fn an_annotation_that_cannot_be_used_is_no_reason_to_lose_anything() {
    let mut large = control_plane();
    large["spec"]["kubeadmConfigSpec"]["files"] = (0..30)
        .map(|n| json!({"path": format!("/{n}"), "content": "x".repeat(10_000)}))
        .collect();
    let old = convert(large, V1BETA1).unwrap();
    let spoiled = |text: &str| {
        let mut old = convert(control_plane(), V1BETA1).unwrap();
        old["metadata"]["annotations"][ANNOTATION] = text.into();
        old
    };
    let mut said = vec![];
    for object in [old, spoiled("{"), spoiled("[]")] {
        said.push(convert(object, V1BETA2).unwrap_err().to_string());
    }
    expect![[r#"
        metadata.annotations[cluster.x-k8s.io/conversion-data]: Invalid value: this object says more than v1beta1 can hold; change it as v1beta2, or remove the annotation to lose that
        metadata.annotations[cluster.x-k8s.io/conversion-data]: Invalid value: must be the JSON that a read of this object returned; without the annotation, what only v1beta2 says is lost
        metadata.annotations[cluster.x-k8s.io/conversion-data]: Invalid value: must be the JSON that a read of this object returned; without the annotation, what only v1beta2 says is lost"#]].assert_eq(&said.join("\n"));
}

#[test]
fn who_says_something_in_vain_is_told() {
    let deployment = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "MachineDeployment", "metadata": {"name": "a", "namespace": "ns"},
        "spec": {
            "clusterName": "c", "revisionHistoryLimit": 1, "progressDeadlineSeconds": 600, "selector": {}, "paused": false,
            "strategy": {"rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {
                "clusterName": "c", "nodeDrainTimeout": "1.5s", "nodeDeletionTimeout": "500ms", "nodeVolumeDetachTimeout": "600s",
                "bootstrap": {"dataSecretName": "s"},
                "infrastructureRef": {"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "LocalMachineTemplate", "name": "t"},
            }},
        },
    });
    expect![[r#"
        spec.progressDeadlineSeconds: has no effect and is not kept: v1beta2 has no such field
        spec.revisionHistoryLimit: has no effect and is not kept: v1beta2 has no such field
        spec.template.spec.nodeDeletionTimeout: "500ms" is kept as "1s"
        spec.template.spec.nodeDrainTimeout: "1.5s" is kept as "1s""#]]
    .assert_eq(&lost(&deployment).join("\n"));
    assert!(lost(&control_plane()).is_empty());
}

#[test]
fn so_many_warnings_and_no_more() {
    let variables: Vec<Value> = (0..30)
        .map(|n| json!({"name": format!("v{n}"), "value": 1, "definitionFrom": "p"}))
        .collect();
    let cluster = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"topology": {"class": "c", "version": "v1.36.0", "variables": variables}},
    });
    assert_eq!(lost(&cluster).len(), 20);
}

/// Templates in the wild say nothing in many words.
#[test]
fn a_template_of_nothing_needs_no_spec() {
    let old = json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1", "kind": "KubeadmConfigTemplate",
        "metadata": {"name": "a", "namespace": "org-acme"},
        "spec": {"template": {"spec": {"joinConfiguration": {"nodeRegistration": {}}}}},
    });
    let new = convert(old, "bootstrap.cluster.x-k8s.io/v1beta2").unwrap();
    assert_eq!(new["spec"], Value::Null);
}
