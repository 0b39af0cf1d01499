//! Guests that join a cluster whose control plane has changed what machines join by.

use api::bootstrap::KubeadmConfigSpec;

use super::*;
use crate::bootstrap::kubeadm;

const RECORD: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";

fn spec(yaml: &str) -> KubeadmConfigSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// A control plane machine joins; the command of its `component`.
async fn joined(host: &Shared, authorities: &BTreeMap<Purpose, Pair>, component: &str) -> Value {
    let hash = pki::public_key_hash(&authorities[&Purpose::Cluster].cert).unwrap();
    let certificates = certificate_files(authorities);
    let mut files: Vec<(&str, String)> = certificates
        .iter()
        .map(|(path, content)| (path.as_str(), content.clone()))
        .collect();
    let configuration = join_configuration(&hash, "controlPlane: {}\n")
        .replace("nodeRegistration:", "nodeRegistration: {name: second}\nx:");
    files.push(("/run/kubeadm/kubeadm-join-config.yaml", configuration));
    start(host, &document(&files, &JOIN_COMMANDS))
        .await
        .unwrap();
    let pod = host.0.object(&format!(
        "/api/v1/namespaces/kube-system/pods/{component}-second"
    ));
    pod["spec"]["containers"][0]["command"].clone()
}

#[tokio::test(start_paused = true)]
async fn changed_arguments_reach_machines_that_join() {
    let authorities = authorities();
    let host = initialized(&authorities).await;
    let record = host.0.object(RECORD)["data"]["ClusterConfiguration"].clone();
    let record: Value = serde_saphyr::from_str(record.as_str().unwrap()).unwrap();
    let wish = spec(
        "clusterConfiguration: {apiServer: {extraArgs: [{name: audit-log-maxage, value: '7'}]}, scheduler: {extraArgs: [{name: v, value: '3'}]}}",
    );
    let written = kubeadm::follow(&record, &wish, "v1.36.0").unwrap();
    merge(
        host.0.objects.lock().unwrap().get_mut(RECORD).unwrap(),
        &json!({"data": {"ClusterConfiguration": crate::yaml::render(&written)}}),
    );
    let has =
        |command: &Value, argument: &str| command.as_array().unwrap().contains(&argument.into());
    let command = joined(&host, &authorities, "kube-apiserver").await;
    assert!(has(&command, "--audit-log-maxage=7"), "{command}");
    let scheduler = host
        .0
        .object("/api/v1/namespaces/kube-system/pods/kube-scheduler-second");
    let command = &scheduler["spec"]["containers"][0]["command"];
    assert!(has(command, "--v=3"), "{command}");
}

#[test]
fn the_record_follows_the_control_plane_and_keeps_what_the_cluster_is() {
    let record = "
        {apiVersion: kubeadm.k8s.io/v1beta3, kind: ClusterConfiguration, clusterName: hello, kubernetesVersion: v1.30.0,
         networking: {podSubnet: 10.0.0.0/16}, certificatesDir: /pki, controlPlaneEndpoint: 'h:1', dns: {imageTag: x}, imageRepository: old.example.org,
         apiServer: {extraArgs: {a: '1'}}, controllerManager: {extraArgs: {b: '2'}}, etcd: {local: {dataDir: /var/lib/etcd}}}";
    let record: Value = serde_saphyr::from_str(record).unwrap();
    let wish = spec(
        "clusterConfiguration: {apiServer: {extraArgs: [{name: a, value: '2'}, {name: a, value: '3'}]}, featureGates: {X: true}, certificateValidityPeriodDays: 100, encryptionAlgorithm: RSA-3072}",
    );
    let follow = |record: &Value, version: &str| kubeadm::follow(record, &wish, version);
    let newer = follow(&record, "v1.31.0").unwrap();
    expect![[r#"
        apiServer:
          extraArgs:
          - name: a
            value: "2"
          - name: a
            value: "3"
        apiVersion: kubeadm.k8s.io/v1beta4
        certificateValidityPeriod: 2400h0m0s
        certificatesDir: /pki
        clusterName: hello
        controlPlaneEndpoint: h:1
        dns:
          imageTag: x
        encryptionAlgorithm: RSA-3072
        featureGates:
          X: true
        kind: ClusterConfiguration
        kubernetesVersion: v1.31.0
        networking:
          podSubnet: 10.0.0.0/16
    "#]]
    .assert_eq(&crate::yaml::render(&newer));
    assert_eq!(follow(&newer, "v1.31.0").unwrap(), newer);
    // As kubeadm before 1.31 has it.
    let older = follow(&record, "v1.30.1").unwrap();
    assert_eq!(older["apiVersion"], "kubeadm.k8s.io/v1beta3");
    assert_eq!(older["apiServer"], json!({"extraArgs": {"a": "3"}}));
    assert!(older["certificateValidityPeriod"].is_null() && older["encryptionAlgorithm"].is_null());
    expect!["Kubernetes v1.21.0 is too old: 1.22 is the oldest whose kubeadm is supported"]
        .assert_eq(&follow(&record, "v1.21.0").unwrap_err());
}
