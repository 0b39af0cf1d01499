//! Guests that boot, on a host with a small API server in memory.

mod cloudinit;
mod configuration;
mod faults;
mod ignition;
mod settings;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use expect_test::{Expect, expect};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::{BootstrapData, Disk, Failure, Hardware, Progress, boot, resume};
use crate::infra::local::{ClusterId, ControlPlaneSpec, Host, KubeletSpec, jws};
use crate::pki::{self, Pair, Purpose};
use crate::testing::now;

const TOKEN: &str = "abcdef.0123456789abcdef";

/// A host whose API server keeps objects by path, signs requests at once, and believes everybody.
#[derive(Default)]
struct TestHost {
    objects: Mutex<BTreeMap<String, Value>>,
    /// What it was told to do, and by whom requests came.
    log: Mutex<Vec<String>>,
    ca: Mutex<Option<Pair>>,
}

impl TestHost {
    fn note(&self, text: String) {
        let mut log = self.log.lock().unwrap();
        if log.last() != Some(&text) {
            log.push(text);
        }
    }

    fn object(&self, path: &str) -> Value {
        self.objects
            .lock()
            .unwrap()
            .get(path)
            .cloned()
            .unwrap_or_default()
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut objects = self.objects.lock().unwrap();
        match *method {
            Method::GET if path == "/version" => (
                StatusCode::OK,
                json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            ),
            Method::GET => match objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => not_found(path),
            },
            Method::POST => {
                let name = body["metadata"]["name"]
                    .as_str()
                    .unwrap_or("generated")
                    .to_owned();
                let mut object = body.clone();
                object["metadata"]["name"] = json!(name);
                if path.ends_with("certificatesigningrequests") {
                    object["status"] = self.sign(body);
                }
                let key = format!("{path}/{name}");
                if objects.contains_key(&key) {
                    return (
                        StatusCode::CONFLICT,
                        json!({"kind": "Status", "code": 409, "status": "Failure", "reason": "AlreadyExists", "message": "already exists"}),
                    );
                }
                objects.insert(key, object.clone());
                (StatusCode::CREATED, object)
            }
            Method::PATCH => match objects.get_mut(path) {
                Some(object) => {
                    merge(object, body);
                    (StatusCode::OK, object.clone())
                }
                None => not_found(path),
            },
            _ => (StatusCode::METHOD_NOT_ALLOWED, json!({})),
        }
    }

    /// The certificate that a signing request asks for.
    fn sign(&self, request: &Value) -> Value {
        use base64::Engine;
        let ca = self.ca.lock().unwrap().clone().unwrap();
        let encoded = request["spec"]["request"].as_str().unwrap();
        let pem = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .unwrap();
        let params =
            rcgen::CertificateSigningRequestParams::from_pem(std::str::from_utf8(&pem).unwrap())
                .unwrap();
        let key = rcgen::KeyPair::from_pem(&ca.key).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_pem(&ca.cert, key).unwrap();
        let cert = params.signed_by(&issuer).unwrap().pem();
        json!({"certificate": base64::engine::general_purpose::STANDARD.encode(cert)})
    }
}

fn not_found(path: &str) -> (StatusCode, Value) {
    (
        StatusCode::NOT_FOUND,
        json!({"kind": "Status", "code": 404, "status": "Failure", "reason": "NotFound", "message": format!("{path} not found")}),
    )
}

fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(members) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in members {
                merge(&mut target[key.as_str()], value);
            }
        }
        other => *target = other.clone(),
    }
}

/// The host as guests get it.
#[derive(Clone, Default)]
struct Shared(Arc<TestHost>);

#[async_trait]
impl Host for Shared {
    async fn start_control_plane(&self, spec: ControlPlaneSpec) -> Result<(), String> {
        self.0.note(format!(
            "control plane {} {} services {} domain {}",
            spec.cluster, spec.kubernetes_version, spec.service_cidr, spec.dns_domain
        ));
        *self.0.ca.lock().unwrap() = Some(spec.pki.ca);
        Ok(())
    }

    fn has_control_plane(&self, _cluster: &ClusterId) -> bool {
        false
    }

    async fn stop_control_plane(&self, cluster: &ClusterId) -> Result<(), String> {
        self.0.note(format!("no control plane {cluster}"));
        Ok(())
    }

    async fn start_kubelet(&self, spec: KubeletSpec) -> Result<(), String> {
        pki::check_pair(&spec.credentials)?;
        self.0.note(format!(
            "kubelet {} of {} at {} labels {:?} taints {}",
            spec.node_name,
            spec.cluster,
            spec.server,
            spec.labels,
            spec.taints.len()
        ));
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": spec.node_name}, "spec": {"providerID": spec.provider_id}});
        self.0
            .objects
            .lock()
            .unwrap()
            .insert(format!("/api/v1/nodes/{}", spec.node_name), node);
        Ok(())
    }

    async fn stop_kubelet(&self, cluster: &ClusterId, node_name: &str) -> Result<(), String> {
        self.0.note(format!("no kubelet {node_name} of {cluster}"));
        Ok(())
    }

    async fn connect(&self, config: kube::Config) -> Result<kube::Client, String> {
        let auth = &config.auth_info;
        let who = match (&auth.token, &auth.client_certificate_data) {
            (Some(_), _) => "a token".to_owned(),
            (None, Some(_)) => "certificate".to_owned(),
            (None, None) => "nobody".to_owned(),
        };
        let trust = if config.accept_invalid_certs {
            "unchecked"
        } else {
            "checked"
        };
        self.0.note(format!(
            "connect to {} {trust} as {who}",
            config.tls_server_name.clone().unwrap_or_default()
        ));
        let host = Arc::clone(&self.0);
        let service = tower::service_fn(move |request: Request<Body>| {
            let host = Arc::clone(&host);
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let (code, answer) = host.answer(&head.method, head.uri.path(), &body);
                let response = Response::builder()
                    .status(code)
                    .body(Body::from(answer.to_string().into_bytes()))
                    .unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        Ok(kube::Client::new(service, "default"))
    }
}

fn hardware() -> Hardware {
    Hardware {
        name: "m".to_owned(),
        cluster: ClusterId {
            namespace: "acme".to_owned(),
            name: "hello".to_owned(),
        },
        provider_id: "local:///acme/m".to_owned(),
        address: "10.64.0.1".to_owned(),
        tls_server_name: "hello.acme.test".to_owned(),
        cpus: 2,
        memory_mib: 1024,
        kubernetes_version: Some("v1.36.0".to_owned()),
        is_away: false,
        boot_fault: None,
    }
}

/// A document with these files and commands.
fn document(files: &[(&str, String)], commands: &[&str]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| json!({"path": path, "content": content}))
        .collect();
    format!(
        "## template: jinja\n#cloud-config\n{}",
        crate::yaml::render(&json!({"write_files": files, "runcmd": commands, "users": []}))
    )
}

fn authorities() -> BTreeMap<Purpose, Pair> {
    Purpose::ALL
        .into_iter()
        .map(|p| (p, pki::generate(p, None, 10, now()).unwrap()))
        .collect()
}

fn certificate_files(authorities: &BTreeMap<Purpose, Pair>) -> Vec<(String, String)> {
    let mut files = vec![];
    for (purpose, pair) in authorities {
        let (cert, key) = purpose.files();
        files.push((format!("/etc/kubernetes/pki/{cert}"), pair.cert.clone()));
        files.push((format!("/etc/kubernetes/pki/{key}"), pair.key.clone()));
    }
    files
}

const INIT: &str = "apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.0
controlPlaneEndpoint: 127.0.0.1:6443
networking: {serviceSubnet: 10.96.0.0/12}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {name: '{{ ds.meta_data.local_hostname }}', kubeletExtraArgs: [{name: node-labels, value: 'a=b,c=d'}]}
";

const INIT_COMMANDS: [&str; 2] = [
    "hostname",
    "kubeadm init --config /run/kubeadm/kubeadm.yaml --v 5 && echo success > /run/cluster-api/bootstrap-success.complete",
];
const JOIN_COMMANDS: [&str; 1] = [
    "kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml && echo success > /run/cluster-api/bootstrap-success.complete",
];

fn init_document(authorities: &BTreeMap<Purpose, Pair>, configuration: &str) -> String {
    let certificates = certificate_files(authorities);
    let mut files: Vec<(&str, String)> = certificates
        .iter()
        .map(|(p, c)| (p.as_str(), c.clone()))
        .collect();
    files.push(("/run/kubeadm/kubeadm.yaml", configuration.to_owned()));
    document(&files, &INIT_COMMANDS)
}

fn join_configuration(hash: &str, more: &str) -> String {
    format!(
        "apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {{bootstrapToken: {{token: {TOKEN}, apiServerEndpoint: '127.0.0.1:6443', caCertHashes: ['{hash}']}}}}
nodeRegistration: {{taints: [{{key: node.cluster.x-k8s.io/uninitialized, effect: NoSchedule}}]}}
{more}"
    )
}

/// A cloud-init document as its Secret has it.
fn data(document: &str) -> BootstrapData {
    BootstrapData {
        format: "cloud-config".to_owned(),
        document: document.to_owned(),
    }
}

async fn start(host: &Shared, document: &str) -> Result<Disk, Failure> {
    boot(
        host,
        &hardware(),
        &data(document),
        &Progress::new("m", vec![], None),
        now(),
    )
    .await
}

/// A host with a cluster that somebody has initialized, whose description is signed with the token.
async fn initialized(authorities: &BTreeMap<Purpose, Pair>) -> Shared {
    let host = Shared::default();
    start(&host, &init_document(authorities, INIT))
        .await
        .unwrap();
    let path = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
    let info = host.0.object(path);
    let signature = jws::sign(info["data"]["kubeconfig"].as_str().unwrap(), TOKEN);
    merge(
        host.0.objects.lock().unwrap().get_mut(path).unwrap(),
        &json!({"data": {format!("{}abcdef", jws::KEY_PREFIX): signature}}),
    );
    host.0.log.lock().unwrap().clear();
    host
}

fn show(host: &Shared, booted: &Result<Disk, Failure>, expect: &Expect) {
    let mut text = host.0.log.lock().unwrap().join("\n");
    match booted {
        Ok(disk) => {
            text += "\n--- console\n";
            text += &disk.console;
        }
        Err(failure) => {
            text += "\n--- failed\n";
            text += &failure.to_string();
        }
    }
    expect.assert_eq(&text);
}

#[tokio::test(start_paused = true)]
async fn the_first_machine_initializes_the_cluster() {
    let host = Shared::default();
    let booted = start(&host, &init_document(&authorities(), INIT)).await;
    show(
        &host,
        &booted,
        &expect![[r#"
        control plane acme/hello v1.36.0 services 10.96.0.0/12 domain cluster.local
        connect to hello.acme.test checked as certificate
        kubelet m of acme/hello at https://127.0.0.1:6443 labels {"a": "b", "c": "d"} taints 0
        --- console
        simulated machine m booting, address 10.64.0.1
        cloud-init: 9 files, 3 commands
        cloud-init: section users skipped, there is nothing to do on a simulated machine
        + hostname   (skipped: simulated)
        + kubeadm init --config /run/kubeadm/kubeadm.yaml
        [init] Using Kubernetes version: v1.36.0
        [certs] Using existing ca
        [certs] Using existing front-proxy-ca
        [certs] Using existing etcd/ca
        [certs] Using existing sa
        [control-plane] Starting the control plane
        [control-plane-check] kube-apiserver is healthy
        [upload-config] Storing the configuration in ConfigMap kubeadm-config in kube-system
        [bootstrap-token] Configuring RBAC for machines that join
        [kubelet-start] Starting the kubelet (simulated)
        [mark-control-plane] Marking the node m as control-plane
        [etcd] Adding member m (simulated)
        [addons] Applied essential addon: CoreDNS
        [addons] Applied essential addon: kube-proxy
        Your Kubernetes control-plane has initialized successfully!
        boot finished
    "#]],
    );
    let node = host.0.object("/api/v1/nodes/m");
    expect![[r#"
        apiVersion: v1
        kind: Node
        metadata:
          labels:
            node-role.kubernetes.io/control-plane: ""
            node.kubernetes.io/exclude-from-external-load-balancers: ""
          name: m
          resourceVersion: null
        spec:
          providerID: local:///acme/m
          taints:
          - effect: NoSchedule
            key: node-role.kubernetes.io/control-plane
    "#]]
    .assert_eq(&crate::yaml::render(&node));
}

#[tokio::test(start_paused = true)]
async fn a_new_cluster_has_what_kubeadm_puts_into_it() {
    let host = Shared::default();
    start(&host, &init_document(&authorities(), INIT))
        .await
        .unwrap();
    let paths: Vec<_> = host.0.objects.lock().unwrap().keys().cloned().collect();
    expect![[r#"
        /api/v1/namespaces/kube-public/configmaps/cluster-info
        /api/v1/namespaces/kube-system/configmaps/coredns
        /api/v1/namespaces/kube-system/configmaps/kube-proxy
        /api/v1/namespaces/kube-system/configmaps/kubeadm-config
        /api/v1/namespaces/kube-system/configmaps/kubelet-config
        /api/v1/namespaces/kube-system/configmaps/simulated-etcd-members
        /api/v1/namespaces/kube-system/pods/etcd-m
        /api/v1/namespaces/kube-system/pods/kube-apiserver-m
        /api/v1/namespaces/kube-system/pods/kube-controller-manager-m
        /api/v1/namespaces/kube-system/pods/kube-scheduler-m
        /api/v1/namespaces/kube-system/serviceaccounts/coredns
        /api/v1/namespaces/kube-system/serviceaccounts/kube-proxy
        /api/v1/namespaces/kube-system/services/kube-dns
        /api/v1/nodes/m
        /apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy
        /apis/apps/v1/namespaces/kube-system/deployments/coredns
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:cluster-admins
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:get-nodes
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:kubelet-bootstrap
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:node-autoapprove-bootstrap
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:node-autoapprove-certificate-rotation
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:node-proxier
        /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:coredns
        /apis/rbac.authorization.k8s.io/v1/clusterroles/kubeadm:get-nodes
        /apis/rbac.authorization.k8s.io/v1/clusterroles/system:coredns
        /apis/rbac.authorization.k8s.io/v1/namespaces/kube-public/rolebindings/kubeadm:bootstrap-signer-clusterinfo
        /apis/rbac.authorization.k8s.io/v1/namespaces/kube-public/roles/kubeadm:bootstrap-signer-clusterinfo
        /apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings/kubeadm:kubelet-config
        /apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings/kubeadm:nodes-kubeadm-config
        /apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/kubeadm:kubelet-config
        /apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/kubeadm:nodes-kubeadm-config"#]].assert_eq(&paths.join("\n"));
    let service = host
        .0
        .object("/api/v1/namespaces/kube-system/services/kube-dns");
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.10");
}

#[tokio::test(start_paused = true)]
async fn booting_twice_changes_nothing() {
    let (host, authorities) = (Shared::default(), authorities());
    let document = init_document(&authorities, INIT);
    start(&host, &document).await.unwrap();
    let before = host.0.objects.lock().unwrap().clone();
    start(&host, &document).await.unwrap();
    assert_eq!(before, *host.0.objects.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_worker_finds_trusts_and_joins_the_cluster() {
    let authorities = authorities();
    let host = initialized(&authorities).await;
    let hash = pki::public_key_hash(&authorities[&Purpose::Cluster].cert).unwrap();
    let files = [(
        "/run/kubeadm/kubeadm-join-config.yaml",
        join_configuration(&hash, ""),
    )];
    let booted = start(&host, &document(&files, &JOIN_COMMANDS)).await;
    show(
        &host,
        &booted,
        &expect![[r#"
            connect to hello.acme.test unchecked as nobody
            connect to hello.acme.test checked as nobody
            connect to hello.acme.test checked as a token
            kubelet m of acme/hello at https://127.0.0.1:6443 labels {} taints 1
            --- console
            simulated machine m booting, address 10.64.0.1
            cloud-init: 1 files, 2 commands
            cloud-init: section users skipped, there is nothing to do on a simulated machine
            + kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml
            [discovery] Asking https://127.0.0.1:6443 for the cluster
            [discovery] The cluster is the one that the token and the hashes are for
            [preflight] Reading ConfigMap kubeadm-config in kube-system
            [preflight] Reading ConfigMap kubelet-config in kube-system
            [kubelet-start] Asking for the kubelet's certificate
            [kubelet-start] Starting the kubelet (simulated)
            This node has joined the cluster
            boot finished
        "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_machine_joins_with_its_etcd_member() {
    let authorities = authorities();
    let host = initialized(&authorities).await;
    let hash = pki::public_key_hash(&authorities[&Purpose::Cluster].cert).unwrap();
    let certificates = certificate_files(&authorities);
    let mut files: Vec<(&str, String)> = certificates
        .iter()
        .map(|(p, c)| (p.as_str(), c.clone()))
        .collect();
    let configuration = join_configuration(&hash, "controlPlane: {}\n")
        .replace("nodeRegistration:", "nodeRegistration: {name: second}\nx:");
    files.push(("/run/kubeadm/kubeadm-join-config.yaml", configuration));
    let booted = start(&host, &document(&files, &JOIN_COMMANDS)).await;
    show(
        &host,
        &booted,
        &expect![[r#"
            connect to hello.acme.test unchecked as nobody
            connect to hello.acme.test checked as nobody
            connect to hello.acme.test checked as a token
            control plane acme/hello v1.36.0 services 10.96.0.0/12 domain cluster.local
            kubelet second of acme/hello at https://127.0.0.1:6443 labels {} taints 0
            connect to hello.acme.test checked as certificate
            --- console
            simulated machine m booting, address 10.64.0.1
            cloud-init: 9 files, 2 commands
            cloud-init: section users skipped, there is nothing to do on a simulated machine
            + kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml
            [discovery] Asking https://127.0.0.1:6443 for the cluster
            [discovery] The cluster is the one that the token and the hashes are for
            [preflight] Reading ConfigMap kubeadm-config in kube-system
            [certs] Using existing ca
            [certs] Using existing front-proxy-ca
            [certs] Using existing etcd/ca
            [certs] Using existing sa
            [control-plane] Starting the control plane
            [preflight] Reading ConfigMap kubelet-config in kube-system
            [kubelet-start] Asking for the kubelet's certificate
            [kubelet-start] Starting the kubelet (simulated)
            [etcd] Adding member second (simulated)
            [mark-control-plane] Marking the node second as control-plane
            This node has joined the cluster
            boot finished
        "#]],
    );
    let members = host
        .0
        .object("/api/v1/namespaces/kube-system/configmaps/simulated-etcd-members");
    let names: Vec<_> = members["data"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(names, ["m", "second"]);
    let disk = booted.unwrap();
    host.0.log.lock().unwrap().clear();
    resume(
        &host,
        &hardware(),
        &Disk::parse(&disk.render()).unwrap(),
        true,
    )
    .await
    .unwrap();
    expect![[r#"
        control plane acme/hello v1.36.0 services 10.96.0.0/12 domain cluster.local
        kubelet second of acme/hello at https://127.0.0.1:6443 labels {} taints 0"#]]
    .assert_eq(&host.0.log.lock().unwrap().join("\n"));
}

#[tokio::test(start_paused = true)]
async fn strangers_are_not_trusted() {
    let authorities = authorities();
    let host = initialized(&authorities).await;
    let join = |configuration: String| {
        document(
            &[("/run/kubeadm/kubeadm-join-config.yaml", configuration)],
            &JOIN_COMMANDS,
        )
    };
    let wrong_hash = start(&host, &join(join_configuration("sha256:00", "")))
        .await
        .unwrap_err();
    assert!(
        wrong_hash.message.contains("which is none of caCertHashes"),
        "{wrong_hash}"
    );
    let hash = pki::public_key_hash(&authorities[&Purpose::Cluster].cert).unwrap();
    let wrong_token = join_configuration(&hash, "").replace("0123456789abcdef", "0000000000000000");
    let wrong_token = start(&host, &join(wrong_token)).await.unwrap_err();
    expect!["kubeadm join: timed out waiting for a signed ConfigMap kube-public/cluster-info: jws-kubeconfig-abcdef is not the signature of this token"].assert_eq(&wrong_token.message);
    let unknown = join_configuration(&hash, "").replace("abcdef.", "unknow.");
    expect!["kubeadm join: timed out waiting for a signed ConfigMap kube-public/cluster-info: it has no key jws-kubeconfig-unknow"].assert_eq(&start(&host, &join(unknown)).await.unwrap_err().message);
    let careless = join_configuration(&hash, "").replace(&format!("['{hash}']"), "[]");
    expect![
        "kubeadm join: discovery.bootstrapToken needs caCertHashes, or unsafeSkipCAVerification"
    ]
    .assert_eq(&start(&host, &join(careless)).await.unwrap_err().message);
}

/// What keeps each of the documents from booting, one line each.
async fn failures(documents: impl IntoIterator<Item = String>) -> String {
    let host = Shared::default();
    let mut text = String::new();
    for document in documents {
        text += &start(&host, &document).await.unwrap_err().message;
        text.push('\n');
    }
    text
}

#[tokio::test(start_paused = true)]
async fn wrong_certificates_say_so() {
    let authorities = authorities();
    let mut missing = authorities.clone();
    missing.remove(&Purpose::FrontProxy);
    let mut mixed = authorities.clone();
    let (etcd, cluster) = (
        &authorities[&Purpose::Etcd],
        &authorities[&Purpose::Cluster],
    );
    mixed.insert(
        Purpose::Etcd,
        Pair {
            cert: etcd.cert.clone(),
            key: cluster.key.clone(),
        },
    );
    let documents = [missing, mixed].map(|a| init_document(&a, INIT));
    expect![[r#"
        kubeadm init: [certs] /etc/kubernetes/pki/front-proxy-ca.crt is missing
        kubeadm init: [certs] /etc/kubernetes/pki/etcd/ca.crt and /etc/kubernetes/pki/etcd/ca.key: the private key does not belong to the certificate
    "#]].assert_eq(&failures(documents).await);
}

#[tokio::test(start_paused = true)]
async fn wrong_configurations_say_so() {
    let authorities = authorities();
    let changes = [
        ("v1beta4", "v1alpha1"),
        ("kubernetesVersion: v1.36.0", "kubernetesVersion: newest"),
        ("controlPlaneEndpoint: 127.0.0.1:6443", ""),
        ("10.96.0.0/12", "10.96.0.0/30"),
        ("kind: ClusterConfiguration", "kind: Other"),
        ("networking: {", "networking: "),
    ];
    let documents = changes.map(|(from, to)| init_document(&authorities, &INIT.replace(from, to)));
    expect![[r#"
        kubeadm init: /run/kubeadm/kubeadm.yaml: kubeadm.k8s.io/v1alpha1 is not supported: v1beta3 and v1beta4 are
        kubeadm init: kubernetesVersion "newest" is no version such as v1.36.0
        kubeadm init: the configuration has no controlPlaneEndpoint
        kubeadm init: networking.serviceSubnet "10.96.0.0/30" has no room for ten addresses
        kubeadm init: /run/kubeadm/kubeadm.yaml: kind "Other" is unknown
        kubeadm init: /run/kubeadm/kubeadm.yaml: not YAML, see line 5
    "#]].assert_eq(&failures(documents).await);
}

#[tokio::test(start_paused = true)]
async fn wrong_documents_say_so() {
    let no_sentinel = init_document(&authorities(), INIT)
        .replace("echo success", "true")
        .replace("/run/cluster-api/bootstrap-success.complete", "");
    let documents = [
        document(&[], &INIT_COMMANDS),
        document(&[], &["date"]),
        "#!/bin/sh\nexit 0\n".to_owned(),
        "#cloud-config\n{".to_owned(),
        "#cloud-config\nwrite_files: 1\n".to_owned(),
        no_sentinel,
    ];
    expect![[r#"
        kubeadm init: unable to read config from /run/kubeadm/kubeadm.yaml: no such file
        the bootstrap data has no kubeadm command in runcmd
        the bootstrap data is no cloud-init document: it does not begin with #cloud-config
        the bootstrap data is not YAML, see line 2
        write_files is no list
        the bootstrap data did not write /run/cluster-api/bootstrap-success.complete
    "#]]
    .assert_eq(&failures(documents).await);
}

#[tokio::test(start_paused = true)]
async fn faults_can_be_injected() {
    let fault = Hardware {
        boot_fault: Some("disk is full".to_owned()),
        ..hardware()
    };
    let failure = boot(
        &Shared::default(),
        &fault,
        &data(&init_document(&authorities(), INIT)),
        &Progress::new("m", vec![], None),
        now(),
    )
    .await
    .unwrap_err();
    expect![[r#"
        injected fault: disk is full
        Console:
        simulated machine m booting, address 10.64.0.1
        cloud-init: 9 files, 3 commands
        cloud-init: section users skipped, there is nothing to do on a simulated machine
        error: injected fault: disk is full"#]]
    .assert_eq(&failure.to_string());
}

#[test]
fn the_dns_service_has_the_tenth_address() {
    let mut text = String::new();
    for cidr in [
        "10.96.0.0/12",
        "10.96.0.7/24,fd00::/112",
        "fd00::/112",
        "10.0.0.0/29",
        "10.0.0.0",
        "x/8",
        "0.0.0.0/0",
        "::/0",
    ] {
        text += &format!("{cidr}: {:?}\n", super::addons::tenth_address(cidr));
    }
    expect![[r#"
        10.96.0.0/12: Ok("10.96.0.10")
        10.96.0.7/24,fd00::/112: Ok("10.96.0.10")
        fd00::/112: Ok("fd00::a")
        10.0.0.0/29: Err("networking.serviceSubnet \"10.0.0.0/29\" has no room for ten addresses")
        10.0.0.0: Err("networking.serviceSubnet \"10.0.0.0\" is no address range such as 10.96.0.0/12")
        x/8: Err("networking.serviceSubnet \"x/8\" is no address range such as 10.96.0.0/12")
        0.0.0.0/0: Ok("0.0.0.10")
        ::/0: Ok("::a")
    "#]].assert_eq(&text);
}
