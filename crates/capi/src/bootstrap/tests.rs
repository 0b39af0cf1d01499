//! Worlds of a KubeadmConfig: what is planned, what is shown, and what machines get.

mod discovery;
mod files;
mod ignition;
mod kubeadm;
mod lock;

use expect_test::{Expect, expect};

use super::{KubeadmConfigController, World, plan};
use crate::pki::{Pair, Purpose};
use crate::secret::Authorities;
use crate::testing::{layers, now, show, world};

const BASE: &str = "
config: {metadata: {name: m, namespace: acme, uid: k1, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: m, uid: m1, controller: true}]}}
machine:
  metadata: {name: m, namespace: acme, labels: {cluster.x-k8s.io/cluster-name: hello}}
  spec: {clusterName: hello, version: v1.36.0, bootstrap: {configRef: {apiGroup: g, kind: KubeadmConfig, name: m}}, infrastructureRef: {apiGroup: g, kind: K, name: m}}
cluster:
  metadata: {name: hello, namespace: acme, uid: c1}
  spec:
    controlPlaneEndpoint: {host: 127.0.0.1, port: 6443}
    clusterNetwork: {pods: {cidrBlocks: [10.128.0.0/10, 'fd00::/56']}, services: {cidrBlocks: [10.96.0.0/12]}, serviceDomain: cluster.local}
  status: {initialization: {infrastructureProvisioned: true}}
";

const CONTROL_PLANE: &str = "machine: {metadata: {labels: {cluster.x-k8s.io/control-plane: ''}}}";
const LOCKED: &str = "{lock: {metadata: {name: hello-lock, namespace: acme}, data: {lock-information: '{\"machineName\":\"m\"}'}}, is_lock_held: true}";
const INITIALIZED: &str =
    "{cluster: {status: {initialization: {controlPlaneInitialized: true}}}, link: Up}";
const TOKEN: &str = "config: {spec: {joinConfiguration: {discovery: {bootstrapToken: {token: abcdef.0123456789abcdef, apiServerEndpoint: '127.0.0.1:6443', caCertHashes: ['sha256:00']}}}}}";

/// A certificate whose key nobody has.
const CA: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBgjCCASegAwIBAgIUU/oWhwjcvv6Q7MAFp+M9+t9K/ZgwCgYIKoZIzj0EAwIw\n\
    FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjMxMTI0MzFaGA8yMTI2MTAz\n\
    MDExMjQzMVowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG\n\
    SM49AwEHA0IABBd8hWDRRI7uRmnfSDJ28pHE3rCNE82DZIib921H5o/lRtLihmuR\n\
    dsr7Rd3dMRPIe6vGLrjdBS3AyaIsdzUoCEejUzBRMB0GA1UdDgQWBBQ7C5L+3gz7\n\
    xXvY3mGo7hPdIVnN/TAfBgNVHSMEGDAWgBQ7C5L+3gz7xXvY3mGo7hPdIVnN/TAP\n\
    BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCFXXj9i0a+oKnvv3iU\n\
    ph91befNQrVnqBKnLyVQy9D1FwIhAPofx3iD9nOgC28HLlKao66i8umpDmxGrs/w\n\
    YozdKhF2\n\
    -----END CERTIFICATE-----\n";

fn certified(overrides: &[&str]) -> World {
    let mut world: World = layers(BASE, overrides);
    world.authorities = Authorities::of(Purpose::ALL.map(|purpose| {
        let (cert, key) = purpose.files();
        let cert = if purpose == Purpose::Cluster {
            CA.to_owned()
        } else {
            format!("content of {cert}\n")
        };
        (
            purpose,
            Pair {
                cert,
                key: format!("content of {key}\n"),
            },
        )
    }));
    world
}

fn check(overrides: &[&str], expect: &Expect) {
    expect.assert_eq(&plan::plan(&certified(overrides), now()).to_string());
}

/// The document that the machine gets, or why it gets none.
fn document(overrides: &[&str]) -> String {
    data(overrides, "value")
}

/// What is under a key of the Secret with the document, or why there is none.
fn data(overrides: &[&str], key: &str) -> String {
    let plan = plan::plan(&certified(overrides), now());
    let secret = plan.changes.iter().find_map(|c| match c {
        runtime::Change::Apply(secret) => Some(secret),
        _ => None,
    });
    let Some(secret) = secret else {
        return plan.to_string();
    };
    assert_eq!(secret.data["type"], "cluster.x-k8s.io/secret");
    let encoded = secret.data["data"][key].as_str().unwrap();
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Only kubeadm's configuration in the document.
fn configuration(overrides: &[&str]) -> String {
    let document = document(overrides);
    let parsed: serde_json::Value = serde_saphyr::from_str(&document).unwrap();
    let files = parsed["write_files"].as_array().unwrap();
    let file = files
        .iter()
        .find(|f| f["path"].as_str().unwrap().starts_with("/run/kubeadm/"))
        .unwrap();
    file["content"].as_str().unwrap().to_owned()
}

#[test]
fn data_waits_for_owner_infrastructure_and_control_plane() {
    check(
        &["machine: null"],
        &expect![[r#"
        wait NotAvailable: Waiting for a Machine or MachinePool of an existing Cluster to own this config
    "#]],
    );
    check(
        &["cluster: {status: {initialization: null}}"],
        &expect![[r#"
        wait NotAvailable: Waiting for Cluster status.initialization.infrastructureProvisioned to be true
    "#]],
    );
    check(
        &[],
        &expect![[r#"
        wait NotAvailable: Waiting for Cluster control plane to be initialized
    "#]],
    );
}

#[test]
fn one_machine_initializes() {
    check(
        &[CONTROL_PLANE],
        &expect![[r#"
        create ConfigMap acme/hello-lock
        wait NotAvailable: Taking the lock of the machine that initializes the cluster
    "#]],
    );
    check(
        &[CONTROL_PLANE, LOCKED],
        &expect![[r#"
        apply Secret acme/m
    "#]],
    );
    let other = "lock: {data: {lock-information: '{\"machineName\":\"other\"}'}}";
    check(
        &[CONTROL_PLANE, LOCKED, other],
        &expect![[r#"
        wait NotAvailable: Waiting for Machine other to initialize the control plane
    "#]],
    );
    check(
        &[CONTROL_PLANE, LOCKED, other, "is_lock_held: false"],
        &expect![[r#"
        delete ConfigMap acme/hello-lock
        wait NotAvailable: Waiting for Machine other to initialize the control plane
    "#]],
    );
    check(
        &[
            CONTROL_PLANE,
            LOCKED,
            INITIALIZED,
            TOKEN,
            "config: {status: {initialization: {dataSecretCreated: true}}}",
        ],
        &expect![[r#"
        delete ConfigMap acme/hello-lock
        act ProlongToken
        again in 300s
    "#]],
    );
}

#[test]
fn certificates_are_waited_for() {
    let bare: World = layers(BASE, &[CONTROL_PLANE, LOCKED]);
    expect![[r#"
        act GenerateCertificate(Cluster)
        act GenerateCertificate(Etcd)
        act GenerateCertificate(FrontProxy)
        act GenerateCertificate(ServiceAccount)
        wait NotAvailable: Waiting for Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
    "#]]
    .assert_eq(&plan::plan(&bare, now()).to_string());
}

#[test]
fn the_first_machine_gets_all_certificates_and_init() {
    expect![[r###"
        ## template: jinja
        #cloud-config

        write_files:
        - content: |
            -----BEGIN CERTIFICATE-----
            MIIBgjCCASegAwIBAgIUU/oWhwjcvv6Q7MAFp+M9+t9K/ZgwCgYIKoZIzj0EAwIw
            FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjMxMTI0MzFaGA8yMTI2MTAz
            MDExMjQzMVowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG
            SM49AwEHA0IABBd8hWDRRI7uRmnfSDJ28pHE3rCNE82DZIib921H5o/lRtLihmuR
            dsr7Rd3dMRPIe6vGLrjdBS3AyaIsdzUoCEejUzBRMB0GA1UdDgQWBBQ7C5L+3gz7
            xXvY3mGo7hPdIVnN/TAfBgNVHSMEGDAWgBQ7C5L+3gz7xXvY3mGo7hPdIVnN/TAP
            BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCFXXj9i0a+oKnvv3iU
            ph91befNQrVnqBKnLyVQy9D1FwIhAPofx3iD9nOgC28HLlKao66i8umpDmxGrs/w
            YozdKhF2
            -----END CERTIFICATE-----
          owner: root:root
          path: /etc/kubernetes/pki/ca.crt
          permissions: "0640"
        - content: |
            content of ca.key
          owner: root:root
          path: /etc/kubernetes/pki/ca.key
          permissions: "0600"
        - content: |
            content of etcd/ca.crt
          owner: root:root
          path: /etc/kubernetes/pki/etcd/ca.crt
          permissions: "0640"
        - content: |
            content of etcd/ca.key
          owner: root:root
          path: /etc/kubernetes/pki/etcd/ca.key
          permissions: "0600"
        - content: |
            content of front-proxy-ca.crt
          owner: root:root
          path: /etc/kubernetes/pki/front-proxy-ca.crt
          permissions: "0640"
        - content: |
            content of front-proxy-ca.key
          owner: root:root
          path: /etc/kubernetes/pki/front-proxy-ca.key
          permissions: "0600"
        - content: |
            content of sa.pub
          owner: root:root
          path: /etc/kubernetes/pki/sa.pub
          permissions: "0640"
        - content: |
            content of sa.key
          owner: root:root
          path: /etc/kubernetes/pki/sa.key
          permissions: "0600"
        - content: |
            apiVersion: kubeadm.k8s.io/v1beta4
            clusterName: hello
            controlPlaneEndpoint: 127.0.0.1:6443
            kind: ClusterConfiguration
            kubernetesVersion: v1.36.0
            networking:
              dnsDomain: cluster.local
              podSubnet: 10.128.0.0/10,fd00::/56
              serviceSubnet: 10.96.0.0/12
            ---
            apiVersion: kubeadm.k8s.io/v1beta4
            kind: InitConfiguration
          owner: root:root
          path: /run/kubeadm/kubeadm.yaml
          permissions: "0640"
        - content: This file makes sure that the folder exists.
          owner: root:root
          path: /run/cluster-api/placeholder
          permissions: "0640"
        runcmd:
        - >-
          kubeadm init --config /run/kubeadm/kubeadm.yaml && echo success >
          /run/cluster-api/bootstrap-success.complete
    "###]]
    .assert_eq(&document(&[CONTROL_PLANE, LOCKED]));
}

#[test]
fn workers_get_no_certificates() {
    expect![[r###"
        ## template: jinja
        #cloud-config

        write_files:
        - content: |
            apiVersion: kubeadm.k8s.io/v1beta4
            discovery:
              bootstrapToken:
                apiServerEndpoint: 127.0.0.1:6443
                caCertHashes:
                - sha256:00
                token: abcdef.0123456789abcdef
            kind: JoinConfiguration
            nodeRegistration:
              taints:
              - effect: NoSchedule
                key: node.cluster.x-k8s.io/uninitialized
          owner: root:root
          path: /run/kubeadm/kubeadm-join-config.yaml
          permissions: "0640"
        - content: This file makes sure that the folder exists.
          owner: root:root
          path: /run/cluster-api/placeholder
          permissions: "0640"
        runcmd:
        - >-
          kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml && echo success >
          /run/cluster-api/bootstrap-success.complete
    "###]]
    .assert_eq(&document(&[INITIALIZED, TOKEN]));
}

#[test]
fn control_plane_machines_join_as_such() {
    expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta4
        controlPlane: {}
        discovery:
          bootstrapToken:
            apiServerEndpoint: 127.0.0.1:6443
            caCertHashes:
            - sha256:00
            token: abcdef.0123456789abcdef
        kind: JoinConfiguration
    "#]]
    .assert_eq(&configuration(&[INITIALIZED, TOKEN, CONTROL_PLANE]));
}

const WISHES: &str = "
config:
  spec:
    clusterConfiguration:
      certificatesDir: /pki
      imageRepository: example.org
      encryptionAlgorithm: RSA-4096
      caCertificateValidityPeriodDays: 10
      certificateValidityPeriodDays: 5
      featureGates: {A: true}
      apiServer: {certSANs: [example.org], extraArgs: [{name: a, value: b}], extraEnvs: [{name: E, value: f}]}
      etcd: {local: {dataDir: /data, extraArgs: [{name: c, value: d}]}}
    initConfiguration:
      timeouts: {controlPlaneComponentHealthCheckSeconds: 90, tlsBootstrapSeconds: 30}
      bootstrapTokens: [{token: abcdef.0123456789abcdef, ttlSeconds: 60}]
      nodeRegistration: {name: '{{ ds.meta_data.local_hostname }}', taints: [], imagePullSerial: false, kubeletExtraArgs: [{name: node-labels, value: a=b}]}
    joinConfiguration:
      timeouts: {tlsBootstrapSeconds: 30}
      nodeRegistration: {taints: [{key: a, effect: NoSchedule}]}
";

#[test]
fn kubeadm_of_today_gets_v1beta4() {
    expect![[r#"
        apiServer:
          certSANs:
          - example.org
          extraArgs:
          - name: a
            value: b
          extraEnvs:
          - name: E
            value: f
        apiVersion: kubeadm.k8s.io/v1beta4
        caCertificateValidityPeriod: 240h0m0s
        certificateValidityPeriod: 120h0m0s
        certificatesDir: /pki
        clusterName: hello
        controlPlaneEndpoint: 127.0.0.1:6443
        encryptionAlgorithm: RSA-4096
        etcd:
          local:
            dataDir: /data
            extraArgs:
            - name: c
              value: d
        featureGates:
          A: true
        imageRepository: example.org
        kind: ClusterConfiguration
        kubernetesVersion: v1.36.0
        networking:
          dnsDomain: cluster.local
          podSubnet: 10.128.0.0/10,fd00::/56
          serviceSubnet: 10.96.0.0/12
        ---
        apiVersion: kubeadm.k8s.io/v1beta4
        bootstrapTokens:
        - token: abcdef.0123456789abcdef
          ttl: 60s
        kind: InitConfiguration
        nodeRegistration:
          imagePullSerial: false
          kubeletExtraArgs:
          - name: node-labels
            value: a=b
          name: "{{ ds.meta_data.local_hostname }}"
          taints: []
        timeouts:
          controlPlaneComponentHealthCheck: 1m30s
          tlsBootstrap: 0m30s
    "#]]
    .assert_eq(&configuration(&[CONTROL_PLANE, LOCKED, WISHES]));
}

#[test]
fn kubeadm_before_1_31_gets_v1beta3() {
    let older = "machine: {spec: {version: v1.30.1}}";
    expect![[r#"
        apiServer:
          certSANs:
          - example.org
          extraArgs:
            a: b
          timeoutForControlPlane: 1m30s
        apiVersion: kubeadm.k8s.io/v1beta3
        certificatesDir: /pki
        clusterName: hello
        controlPlaneEndpoint: 127.0.0.1:6443
        etcd:
          local:
            dataDir: /data
            extraArgs:
              c: d
        featureGates:
          A: true
        imageRepository: example.org
        kind: ClusterConfiguration
        kubernetesVersion: v1.30.1
        networking:
          dnsDomain: cluster.local
          podSubnet: 10.128.0.0/10,fd00::/56
          serviceSubnet: 10.96.0.0/12
        ---
        apiVersion: kubeadm.k8s.io/v1beta3
        bootstrapTokens:
        - token: abcdef.0123456789abcdef
          ttl: 60s
        kind: InitConfiguration
        nodeRegistration:
          kubeletExtraArgs:
            node-labels: a=b
          name: "{{ ds.meta_data.local_hostname }}"
          taints: []
    "#]]
    .assert_eq(&configuration(&[CONTROL_PLANE, LOCKED, WISHES, older]));
    expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta3
        discovery:
          bootstrapToken:
            apiServerEndpoint: 127.0.0.1:6443
            caCertHashes:
            - sha256:00
            token: abcdef.0123456789abcdef
          timeout: 0m30s
        kind: JoinConfiguration
        nodeRegistration:
          taints:
          - effect: NoSchedule
            key: a
          - effect: NoSchedule
            key: node.cluster.x-k8s.io/uninitialized
    "#]]
    .assert_eq(&configuration(&[INITIALIZED, WISHES, TOKEN, older]));
}

#[test]
fn kubeadm_before_1_22_is_too_old() {
    let oldest = "machine: {spec: {version: v1.21.0}}";
    expect![[r#"
        delete ConfigMap acme/hello-lock
        wait InternalError: Kubernetes v1.21.0 is too old: 1.22 is the oldest whose kubeadm is supported
    "#]].assert_eq(&document(&[CONTROL_PLANE, LOCKED, oldest]));
}

#[test]
fn everything_else_goes_into_the_document() {
    let more = "
secrets: {passwords: {admin: hash}, files: {content: from a secret}}
config:
  spec:
    verbosity: 5
    bootCommands: [early]
    preKubeadmCommands: [before]
    postKubeadmCommands: [after]
    files:
    - {path: /a, content: YQ==, encoding: base64, owner: 'root:root', permissions: '0600', append: true}
    - {path: /b, contentFrom: {secret: {name: files, key: content}}}
    ntp: {enabled: true, servers: [ntp.example.org]}
    users: [{name: admin, sudo: ALL, lockPassword: false, homeDir: /home/a, passwdFrom: {secret: {name: passwords, key: admin}}, sshAuthorizedKeys: [k]}]
    diskSetup: {partitions: [{device: /dev/sdb, layout: true, overwrite: false}, {device: /dev/sdc, tableType: gpt, diskLayout: [{percentage: 100}]}], filesystems: [{device: /dev/sdb1, filesystem: ext4, label: data, replaceFS: xfs}]}
    mounts: [[LABEL=data, /data]]
";
    let document = document(&[INITIALIZED, TOKEN, more]);
    let rest = document
        .split_once("/run/cluster-api/placeholder")
        .unwrap()
        .1;
    expect![[r#"

          permissions: "0640"
        bootcmd:
        - early
        runcmd:
        - before
        - >-
          kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml --v 5 && echo
          success > /run/cluster-api/bootstrap-success.complete
        - after
        ntp:
          enabled: true
          servers:
          - ntp.example.org
        users:
        - homedir: /home/a
          lock_passwd: false
          name: admin
          passwd: hash
          ssh_authorized_keys:
          - k
          sudo: ALL
        disk_setup:
          /dev/sdb:
            layout: true
            overwrite: false
          /dev/sdc:
            layout:
            - 100
            table_type: gpt
        fs_setup:
        - device: /dev/sdb1
          filesystem: ext4
          label: data
          replace_fs: xfs
        mounts:
        - - LABEL=data
          - /data
    "#]]
    .assert_eq(rest);
    let parsed: serde_json::Value = serde_saphyr::from_str(&document).unwrap();
    expect![[r#"
        - append: true
          content: YQ==
          encoding: base64
          owner: root:root
          path: /a
          permissions: "0600"
        - content: from a secret
          path: /b
    "#]]
    .assert_eq(&crate::yaml::render(&serde_json::json!([
        parsed["write_files"][0],
        parsed["write_files"][1]
    ])));
}

#[test]
fn what_cannot_work_is_told() {
    let wrong = |yaml: &str| document(&[INITIALIZED, TOKEN, &format!("config: {{spec: {yaml}}}")]);
    let mut text = wrong("{files: [{path: /a, contentFrom: {secret: {name: gone, key: k}}}]}");
    text += &wrong("{users: [{name: u, passwdFrom: {secret: {name: gone, key: k}}}]}");
    text += &wrong("{joinConfiguration: {controlPlane: {}}}");
    expect![[r#"
        wait InternalError: file /a: Secret gone does not exist
        wait InternalError: user u: Secret gone does not exist
        wait InternalError: spec.joinConfiguration.controlPlane must not be set for a worker machine
    "#]]
    .assert_eq(&text);
}

#[test]
fn discovery_by_file_brings_its_kubeconfig() {
    let file = "config: {spec: {joinConfiguration: {discovery: {file: {kubeConfigPath: /etc/discovery.yaml, kubeConfig: {user: {exec: {command: login, args: [now]}}}}}}}}";
    let document = document(&[INITIALIZED, file]);
    let parsed: serde_json::Value = serde_saphyr::from_str(&document).unwrap();
    let content = parsed["write_files"][0]["content"].as_str().unwrap();
    expect![[r#"
        apiVersion: v1
        clusters:
        - cluster:
            certificate-authority-data: >-
              CA
            server: https://127.0.0.1:6443
          name: default
        contexts:
        - context:
            cluster: default
            user: default
          name: default
        current-context: default
        kind: Config
        users:
        - name: default
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1
              args:
              - now
              command: login
              interactiveMode: Never
              provideClusterInfo: false
    "#]]
    .assert_eq(&content.replace(
        &base64::Engine::encode(&base64::engine::general_purpose::STANDARD, CA),
        "CA",
    ));
}

#[test]
fn the_status_follows() {
    let text = |overrides: &[&str]| {
        show::<KubeadmConfigController>(&certified(overrides))
            .lines()
            .filter(|l| !l.starts_with("apply"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    expect![[r#"
        wait NotAvailable: Waiting for Cluster control plane to be initialized
        Ready=False NotReady * DataSecretAvailable: Waiting for Cluster control plane to be initialized
        DataSecretAvailable=False NotAvailable Waiting for Cluster control plane to be initialized
        CertificatesAvailable=True Available
        Paused=False NotPaused"#]].assert_eq(&text(&[]));
    expect![[r#"
        Ready=True Ready
        DataSecretAvailable=True Available
        CertificatesAvailable=True Available
        Paused=False NotPaused
        dataSecretName: m
        initialization:
          dataSecretCreated: true"#]]
    .assert_eq(&text(&[INITIALIZED, TOKEN]));
    expect![[r#"
        Ready=True Ready
        DataSecretAvailable=True Available
        CertificatesAvailable=True Available
        Paused=False NotPaused
        dataSecretName: given
        initialization:
          dataSecretCreated: true"#]]
    .assert_eq(&text(&[
        "machine: {spec: {bootstrap: {dataSecretName: given}}}",
    ]));
    let bare: World = world(BASE, CONTROL_PLANE);
    expect![[r#"
        act GenerateCertificate(Cluster)
        act GenerateCertificate(Etcd)
        act GenerateCertificate(FrontProxy)
        act GenerateCertificate(ServiceAccount)
        wait NotAvailable: Waiting for Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
        Ready=False NotReady * DataSecretAvailable: Waiting for Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
            * CertificatesAvailable: Secrets hello-ca, hello-etcd, hello-proxy, hello-sa do not exist yet
        DataSecretAvailable=False NotAvailable Waiting for Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
        CertificatesAvailable=False NotAvailable Secrets hello-ca, hello-etcd, hello-proxy, hello-sa do not exist yet
        Paused=False NotPaused
    "#]].assert_eq(&show::<KubeadmConfigController>(&bare));
}

#[test]
fn without_control_plane_object_the_first_machine_brings_the_certificates() {
    let bare = |overrides: &[&str]| {
        let world: World = layers(BASE, &[&[CONTROL_PLANE, LOCKED], overrides].concat());
        plan::plan(&world, now()).to_string()
    };
    expect![[r#"
        act GenerateCertificate(Cluster)
        act GenerateCertificate(Etcd)
        act GenerateCertificate(FrontProxy)
        act GenerateCertificate(ServiceAccount)
        wait NotAvailable: Waiting for Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
    "#]]
    .assert_eq(&bare(&[]));
    let managed = "cluster: {spec: {controlPlaneRef: {apiGroup: g, kind: K, name: hello}}}";
    expect![[r#"
        delete ConfigMap acme/hello-lock
        wait NotAvailable: Waiting for Secrets hello-ca, hello-etcd, hello-proxy, hello-sa
    "#]]
    .assert_eq(&bare(&[managed]));
}

#[test]
fn data_that_was_moved_is_taken_over() {
    let planned = |owners: &str| {
        let secret = format!(
            "{{config: {{status: {{initialization: {{dataSecretCreated: true}}, dataSecretName: m}}}}, data_secret: {{metadata: {{name: m, namespace: acme, labels: {{cluster.x-k8s.io/cluster-name: hello}}, ownerReferences: {owners}}}}}}}"
        );
        plan::plan(&certified(&[INITIALIZED, &secret]), now()).to_string()
    };
    let owner = |name: &str, uid: &str| {
        format!(
            "[{{apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfig, name: {name}, uid: {uid}, controller: true, blockOwnerDeletion: true}}]"
        )
    };
    let taken = "patch Secret acme/m {\"metadata\":{\"labels\":{\"cluster.x-k8s.io/cluster-name\":\"hello\"},\"ownerReferences\":[{\"apiVersion\":\"bootstrap.cluster.x-k8s.io/v1beta2\",\"blockOwnerDeletion\":true,\"controller\":true,\"kind\":\"KubeadmConfig\",\"name\":\"m\",\"uid\":\"k1\"}],\"resourceVersion\":null}}\n";
    assert_eq!(planned("[]"), taken);
    assert_eq!(planned(&owner("m", "k0")), taken);
    assert_eq!(planned(&owner("m", "k1")), "");
    assert_eq!(planned(&owner("other", "k9")), "");
}
