//! The rules of Cluster API's kinds as webhooks of a Kubernetes that does not know them: a workload cluster.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};

use expect_test::expect;

use super::world::{Kubectl, Server, apiary, finish, free_port, kubectl};

/// A running `apiary webhook serve`, and what it said first. It is killed when this is dropped.
struct Webhooks(Child, String);

impl Drop for Webhooks {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

impl Webhooks {
    /// Starts it for a cluster with a certificate of its own, and leads the cluster's requests there.
    fn start(of: &Kubectl, folder: &Path) -> Self {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&certificate, signed.cert.pem()).unwrap();
        std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut server = apiary()
            .args(["webhook", "serve", "--listen", &address.to_string()])
            .args(["--tls-cert-file".as_ref(), certificate.as_os_str()])
            .args(["--tls-private-key-file".as_ref(), key.as_os_str()])
            .args(["--kubeconfig".as_ref(), of.kubeconfig.as_os_str()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stderr.take().unwrap()).lines();
        let server = Self(server, said.next().unwrap().unwrap());
        assert_eq!(server.1, format!("Serving webhooks on {address}."));
        std::thread::spawn(move || said.for_each(drop));
        let url = format!("https://{address}");
        let mut command = apiary();
        command
            .args(["webhook", "manifests", "--url", &url])
            .args(["--ca-file".as_ref(), certificate.as_os_str()]);
        let manifests = finish(&mut command, "");
        assert_eq!(manifests.code, Some(0), "{manifests:?}");
        let apply = ["apply", "--server-side", "-f", "-"];
        of.ok_with(&apply, &manifests.stdout);
        of.does("wait crd --all --for condition=Established --timeout 60s");
        server
    }
}

#[test]
fn another_kubernetes_fills_checks_and_converts_by_webhooks() {
    if kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Not the fleet that others use: nothing in this cluster can be read without the webhooks at the end.
    let fleet = Server::ready(&folder.path().join("data"), &[]);
    fleet.wait_for("fleet", "ready");
    let kubectl = fleet.kubectl_of("hello").within("webhooks");
    kubectl.does("create namespace webhooks");
    let server = Webhooks::start(&kubectl, folder.path());
    let apply = ["apply", "-f", "-"];

    let deployment = "
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineDeployment
metadata: {name: workers}
spec:
  clusterName: hello
  selector: {}
  template:
    spec:
      clusterName: hello
      version: 1.36.0
      nodeDrainTimeout: 1m30s
      bootstrap: {dataSecretName: given}
      infrastructureRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, name: workers}
";
    kubectl.ok_with(&apply, deployment);
    let shown = kubectl.ok(&[
        "get",
        "machinedeployments.v1beta2.cluster.x-k8s.io/workers",
        "-o",
        "jsonpath={.spec.replicas} {.spec.selector.matchLabels} {.spec.template.spec.version} {.spec.template.spec.deletion}",
    ]);
    expect![[r#"1 {"cluster.x-k8s.io/cluster-name":"hello","cluster.x-k8s.io/deployment-name":"workers"} v1.36.0 {"nodeDrainTimeoutSeconds":90}"#]].assert_eq(&shown);
    let shown = kubectl.ok(&[
        "get",
        "machinedeployments.v1beta1.cluster.x-k8s.io/workers",
        "-o",
        "jsonpath={.spec.template.spec.nodeDrainTimeout}",
    ]);
    assert_eq!(shown, "1m30s");
    let refused = kubectl.refused_with(&apply, &deployment.replace("hello", "other"));
    expect![[r#"
        Warning: cluster.x-k8s.io/v1beta1 MachineDeployment is deprecated; use cluster.x-k8s.io/v1beta2
        The MachineDeployment "workers" is invalid: spec.clusterName: Forbidden: cannot be changed from "hello"
    "#]].assert_eq(&refused);
    // A size is no part of the object that is written: the webhook reads that.
    let example = crate::source::root().join("examples");
    let hello = std::fs::read_to_string(example.join("hello/cluster.yaml")).unwrap();
    let mut parts = hello.split("---\n");
    let control_plane = parts.find(|p| p.contains("\nkind: KubeadmControlPlane\n"));
    let control_plane = control_plane.unwrap().replace("org-acme", "webhooks");
    kubectl.ok_with(&apply, &control_plane);
    let resize = "scale kubeadmcontrolplane hello --replicas 2";
    let args: Vec<&str> = resize.split(' ').collect();
    expect![[r#"
        The KubeadmControlPlane "hello" is invalid: spec.replicas: Forbidden: cannot be an even number when etcd runs on the control plane machines
    "#]].assert_eq(&kubectl.refused(&args));

    // Rules that look at other objects.
    for file in ["class.yaml", "cluster.yaml"] {
        let text = std::fs::read_to_string(example.join("topology").join(file)).unwrap();
        kubectl.ok_with(&apply, &text.replace("org-acme", "webhooks"));
    }
    let variables =
        kubectl.does("get cluster hello -o jsonpath={.spec.topology.variables[*].name}");
    expect!["controlPlaneCpus worker"].assert_eq(&variables);
    let patch = r#"{"spec":{"topology":{"variables":[{"name":"none","value":1}]}}}"#;
    let refused = kubectl.refused(&["patch", "cluster", "hello", "--type", "merge", "-p", patch]);
    expect![[r#"
        The Cluster "hello" is invalid: spec.topology.variables[none]: Invalid value: "none" is no variable of the ClusterClass
    "#]].assert_eq(&refused);
    let refused = kubectl.refused(&["delete", "clusterclass", "standard"]);
    expect![[r#"
        Error from server (Forbidden): admission webhook "validation.cluster.x-k8s.io" denied the request: ClusterClass standard cannot be deleted: Cluster webhooks/hello is made of it
    "#]].assert_eq(&refused);

    // Without the server nothing is written that nobody has checked.
    drop(server);
    let refused = kubectl.refused_with(&apply, &deployment.replace("workers", "others"));
    assert!(refused.contains("connection refused"), "{refused}");
}
