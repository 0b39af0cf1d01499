//! kubeadm's configuration, by the version of Kubernetes.

use expect_test::{expect, expect_file};

use super::{CONTROL_PLANE, INITIALIZED, LOCKED, TOKEN, configuration, document};

#[test]
fn the_version_of_the_api_follows_from_kubernetes() {
    let mut text = String::new();
    for version in [
        "v1.21.14",
        "v1.22.0",
        "v1.30.14",
        "v1.31.0-alpha.1",
        "v1.31.0",
        "v1.36.0",
        "v2.0.0",
        "null",
    ] {
        let machine = format!("machine: {{spec: {{version: {version}}}}}");
        let document = document(&[INITIALIZED, TOKEN, &machine]);
        let line = document
            .lines()
            .find(|l| l.contains("kubeadm.k8s.io/") || l.starts_with("wait"));
        text += &format!("{version}: {}\n", line.unwrap().trim());
    }
    expect![[r#"
        v1.21.14: wait InternalError: Kubernetes v1.21.14 is too old: 1.22 is the oldest whose kubeadm is supported
        v1.22.0: apiVersion: kubeadm.k8s.io/v1beta3
        v1.30.14: apiVersion: kubeadm.k8s.io/v1beta3
        v1.31.0-alpha.1: apiVersion: kubeadm.k8s.io/v1beta4
        v1.31.0: apiVersion: kubeadm.k8s.io/v1beta4
        v1.36.0: apiVersion: kubeadm.k8s.io/v1beta4
        v2.0.0: apiVersion: kubeadm.k8s.io/v1beta4
        null: apiVersion: kubeadm.k8s.io/v1beta4
    "#]].assert_eq(&text);
}

/// Every field of kubeadm's configuration that a user can set.
const EVERYTHING: &str = "
config:
  spec:
    clusterConfiguration:
      controlPlaneEndpoint: api.example.org:443
      certificatesDir: /pki
      imageRepository: example.org
      encryptionAlgorithm: RSA-4096
      caCertificateValidityPeriodDays: 10
      certificateValidityPeriodDays: 5
      featureGates: {A: true}
      dns: {imageRepository: example.org/dns, imageTag: v1}
      apiServer:
        certSANs: [example.org]
        extraArgs: [{name: v, value: '1'}, {name: v, value: '2'}]
        extraEnvs: [{name: E, value: f}]
        extraVolumes: [{name: a, hostPath: /h, mountPath: /m, readOnly: true, pathType: File}]
      controllerManager: {extraArgs: [{name: a, value: ''}], extraEnvs: [{name: E, value: f}]}
      scheduler: {extraArgs: [{name: b, value: c}], extraVolumes: [{name: a, hostPath: /h, mountPath: /m}]}
      etcd: {local: {dataDir: /data, imageRepository: example.org/etcd, imageTag: v3, serverCertSANs: [s], peerCertSANs: [p],
        extraArgs: [{name: c, value: d}], extraEnvs: [{name: E, value: f}]}}
    initConfiguration: &init
      localAPIEndpoint: {advertiseAddress: 10.0.0.1, bindPort: 443}
      skipPhases: [addon/kube-proxy]
      patches: {directory: /patches}
      timeouts: &timeouts {controlPlaneComponentHealthCheckSeconds: 90, kubeletHealthCheckSeconds: 1, kubernetesAPICallSeconds: 2,
        etcdAPICallSeconds: 3, tlsBootstrapSeconds: 30, discoverySeconds: 3600}
      bootstrapTokens: [{token: abcdef.0123456789abcdef, ttlSeconds: 60, description: mine, usages: [signing], groups: ['system:bootstrappers:a']},
        {token: fedcba.0123456789abcdef, expires: '2026-01-01T00:00:00Z'}]
      nodeRegistration: &node {name: m, criSocket: 'unix:///run/c.sock', taints: [{key: a, value: b, effect: NoSchedule}], imagePullPolicy: Never, imagePullSerial: true,
        ignorePreflightErrors: [Swap], kubeletExtraArgs: [{name: node-labels, value: a=b}]}
    joinConfiguration:
      caCertPath: /ca.crt
      skipPhases: [preflight]
      patches: {directory: /patches}
      timeouts: *timeouts
      nodeRegistration: *node
      discovery: {tlsBootstrapToken: abcdef.0123456789abcdef}
";
const ON_CONTROL_PLANES: &str = "config: {spec: {joinConfiguration: {controlPlane: {localAPIEndpoint: {advertiseAddress: 10.0.0.1, bindPort: 443}}}}}";
const OLD: &str = "machine: {spec: {version: v1.30.1}}";

#[test]
fn v1beta4_has_every_field_of_init() {
    expect_file!["golden/init-v1beta4.yaml"].assert_eq(&configuration(&[
        CONTROL_PLANE,
        LOCKED,
        EVERYTHING,
    ]));
}

#[test]
fn v1beta3_lacks_fields_of_init_or_has_them_elsewhere() {
    expect_file!["golden/init-v1beta3.yaml"].assert_eq(&configuration(&[
        CONTROL_PLANE,
        LOCKED,
        EVERYTHING,
        OLD,
    ]));
}

#[test]
fn v1beta4_has_every_field_of_join() {
    let overrides = [
        INITIALIZED,
        CONTROL_PLANE,
        EVERYTHING,
        ON_CONTROL_PLANES,
        TOKEN,
    ];
    expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta4
        caCertPath: /ca.crt
        controlPlane:
          localAPIEndpoint:
            advertiseAddress: "10.0.0.1"
            bindPort: 443
        discovery:
          bootstrapToken:
            apiServerEndpoint: 127.0.0.1:6443
            caCertHashes:
            - sha256:00
            token: abcdef.0123456789abcdef
          tlsBootstrapToken: abcdef.0123456789abcdef
        kind: JoinConfiguration
        nodeRegistration:
          criSocket: unix:///run/c.sock
          ignorePreflightErrors:
          - Swap
          imagePullPolicy: Never
          imagePullSerial: true
          kubeletExtraArgs:
          - name: node-labels
            value: a=b
          name: m
          taints:
          - effect: NoSchedule
            key: a
            value: b
        patches:
          directory: /patches
        skipPhases:
        - preflight
        timeouts:
          controlPlaneComponentHealthCheck: 1m30s
          discovery: 60m0s
          etcdAPICall: 0m3s
          kubeletHealthCheck: 0m1s
          kubernetesAPICall: 0m2s
          tlsBootstrap: 0m30s
    "#]]
    .assert_eq(&configuration(&overrides));
}

#[test]
fn v1beta3_lacks_fields_of_join_or_has_them_elsewhere() {
    let overrides = [
        INITIALIZED,
        CONTROL_PLANE,
        EVERYTHING,
        ON_CONTROL_PLANES,
        TOKEN,
        OLD,
    ];
    expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta3
        caCertPath: /ca.crt
        controlPlane:
          localAPIEndpoint:
            advertiseAddress: "10.0.0.1"
            bindPort: 443
        discovery:
          bootstrapToken:
            apiServerEndpoint: 127.0.0.1:6443
            caCertHashes:
            - sha256:00
            token: abcdef.0123456789abcdef
          timeout: 0m30s
          tlsBootstrapToken: abcdef.0123456789abcdef
        kind: JoinConfiguration
        nodeRegistration:
          criSocket: unix:///run/c.sock
          ignorePreflightErrors:
          - Swap
          imagePullPolicy: Never
          kubeletExtraArgs:
            node-labels: a=b
          name: m
          taints:
          - effect: NoSchedule
            key: a
            value: b
        patches:
          directory: /patches
        skipPhases:
        - preflight
    "#]]
    .assert_eq(&configuration(&overrides));
    let (_, taints) = configuration(&[INITIALIZED, EVERYTHING, TOKEN, OLD])
        .split_once("  taints:")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    expect![[r#"

          - effect: NoSchedule
            key: a
            value: b
          - effect: NoSchedule
            key: node.cluster.x-k8s.io/uninitialized
        patches:
          directory: /patches
        skipPhases:
        - preflight
    "#]]
    .assert_eq(&taints);
}

#[test]
fn external_etcd_is_told_with_its_files() {
    let external = "config: {spec: {clusterConfiguration: {etcd: {external: {endpoints: ['https://e:2379'], caFile: /e/ca.crt, certFile: /e/client.crt, keyFile: /e/client.key}}}}}";
    let document = document(&[CONTROL_PLANE, LOCKED, external]);
    let lines = document.lines().map(str::trim);
    let paths = lines.filter(|l| l.starts_with("path:"));
    expect![[r#"
        path: /etc/kubernetes/pki/ca.crt
        path: /etc/kubernetes/pki/ca.key
        path: /e/ca.crt
        path: /etc/kubernetes/pki/front-proxy-ca.crt
        path: /etc/kubernetes/pki/front-proxy-ca.key
        path: /etc/kubernetes/pki/sa.pub
        path: /etc/kubernetes/pki/sa.key
        path: /run/kubeadm/kubeadm.yaml
        path: /run/cluster-api/placeholder"#]]
    .assert_eq(&paths.collect::<Vec<_>>().join("\n"));
    let configuration = configuration(&[CONTROL_PLANE, LOCKED, external]);
    let (_, etcd) = configuration.split_once("etcd:").unwrap();
    let (etcd, _) = etcd.split_once("kind:").unwrap();
    let etcd: Vec<_> = etcd.trim().lines().map(str::trim).collect();
    expect![[r#"
        external:
        caFile: /e/ca.crt
        certFile: /e/client.crt
        endpoints:
        - https://e:2379
        keyFile: /e/client.key"#]]
    .assert_eq(&etcd.join("\n"));
}
