//! Real client libraries against a workload cluster: client-go and controller-runtime as one Go program, Kubernetes'
//! Python client, and kube-rs. `APIARY_GO_CLIENTS` names the program, `APIARY_HELM_PYTHON` a Python with `kubernetes`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use expect_test::{Expect, expect};

use super::world::{Fleet, finish};

/// The program with the stories of the Go clients; `None` after a message if there is none, which fails in CI.
pub(super) fn go_clients() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| std::env::var_os("APIARY_GO_CLIENTS").map(PathBuf::from));
    if found.is_none() {
        let message = "no Go clients: `cargo xtask ci test` builds them";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
    }
    found.as_deref()
}

/// Runs one story in a namespace of its own; `set` are variables of its environment.
fn story(name: &str, namespace: &str, set: &[(&str, &str)], expected: &Expect) {
    let (Some(program), Some(fleet)) = (go_clients(), Fleet::shared()) else {
        return;
    };
    let hello = fleet.hello(namespace);
    let mut command = Command::new(program);
    command
        .arg(name)
        .arg(&hello.kubeconfig)
        .arg(namespace)
        .envs(set.iter().copied());
    let output = finish(&mut command, "");
    assert_eq!(output.code, Some(0), "{output:?}");
    expected.assert_eq(&output.stdout);
}

#[test]
fn informers_of_client_go_see_every_change() {
    let expected = expect![[r#"
        synced with before
        objects:  add before, add a, add b, update a, delete b, add b, delete before
        metadata: add before, add a, add b, update a, delete b, add b, delete before
        left with a b
    "#]];
    // The first state comes as part of the watch, or as a list in pages.
    story("informer", "go-informer", &[], &expected);
    let lists = [("KUBE_FEATURE_WatchListClient", "false")];
    story("informer", "go-informer-list", &lists, &expected);
}

#[test]
fn leader_election_of_client_go_hands_over() {
    story(
        "leader",
        "go-leader",
        &[],
        &expect![[r#"
            leads: first
            leads: second
            changed hands 1 times, held by ""
        "#]],
    );
}

#[test]
fn a_manager_of_controller_runtime_keeps_its_objects() {
    story(
        "manager",
        "go-manager",
        &[],
        &expect![[r#"
            created: generation 1, ConfigMap says "hello" and belongs to Widget one
            changed: generation 2, ConfigMap says "goodbye" and belongs to Widget one
            repaired: the ConfigMap is back
            deleted: nothing is left
        "#]],
    );
}

#[test]
fn sessions_and_ports_of_client_go_have_their_streams() {
    story(
        "streams",
        "go-streams",
        &[],
        &expect![[r#"
            websocket cat: "hello" "" <nil>
            websocket cat: "everything" "" <nil>
            websocket sh -c exit 3: "" "" command terminated with exit code 3
            websocket ls: "" "this container is simulated and has no program \"ls\"\n" command terminated with exit code 127
            v4.channel.k8s.io cat: "hello" "" <nil>
            v4.channel.k8s.io cat: "everything" "" <nil>
            v4.channel.k8s.io sh -c exit 3: "" "" command terminated with exit code 3
            v4.channel.k8s.io ls: "" "this container is simulated and has no program \"ls\"\n" command terminated with exit code 127
            v3.channel.k8s.io cat: "hello" "" <nil>
            v3.channel.k8s.io cat: "everything" "" <nil>
            v3.channel.k8s.io sh -c exit 3: "" "" error executing remote command: command terminated with non-zero exit code: exit status 3
            v3.channel.k8s.io ls: "" "this container is simulated and has no program \"ls\"\n" error executing remote command: command terminated with non-zero exit code: exit status 127
            v2.channel.k8s.io cat: "hello" "" <nil>
            v2.channel.k8s.io cat: "everything" "" <nil>
            v2.channel.k8s.io sh -c exit 3: "" "" error executing remote command: command terminated with non-zero exit code: exit status 3
            v2.channel.k8s.io ls: "" "this container is simulated and has no program \"ls\"\n" error executing remote command: command terminated with non-zero exit code: exit status 127
            spdy: 200 OK simulated container "c" of image "nginx" in pod "web", port 80: GET /
            spdy: 200 OK simulated container "c" of image "nginx" in pod "web", port 80: GET /again
            tunnel: 200 OK simulated container "c" of image "nginx" in pod "web", port 80: GET /
            tunnel: 200 OK simulated container "c" of image "nginx" in pod "web", port 80: GET /again
        "#]],
    );
}

/// A Python with Kubernetes' client.
fn python() -> Option<&'static Path> {
    let python = super::helm::python()?;
    static HAS_CLIENT: OnceLock<bool> = OnceLock::new();
    let has_client = HAS_CLIENT.get_or_init(|| {
        let probe = Command::new(python)
            .args(["-c", "import kubernetes"])
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success())
    });
    if !has_client {
        let message = "no Python with kubernetes: `cargo xtask ci test` installs one";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        eprintln!("skipped: {message}");
    }
    has_client.then_some(python)
}

/// Typed and dynamic clients, every patch, a watch that is resumed, and errors.
const SCRIPT: &str = r#"
import sys
from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

kubeconfig, namespace = sys.argv[1:]
config.load_kube_config(kubeconfig)
core, apps = client.CoreV1Api(), client.AppsV1Api()

labels = {"app": "py"}
pod = client.V1PodSpec(containers=[client.V1Container(name="c", image="nginx:1.29", ports=[client.V1ContainerPort(container_port=80)])])
template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pod)
spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
made = apps.create_namespaced_deployment(namespace, client.V1Deployment(metadata=client.V1ObjectMeta(name="d", labels=labels), spec=spec))
print("created", made.metadata.name, made.spec.strategy.type, made.spec.template.spec.restart_policy)

follow = watch.Watch()
for event in follow.stream(apps.list_namespaced_deployment, namespace, label_selector="app=py", timeout_seconds=60):
    if event["object"].status.ready_replicas == 2:
        print("ready", event["object"].status.ready_replicas)
        follow.stop()
pods = core.list_namespaced_pod(namespace, label_selector="app=py")
print("pods", len(pods.items), sorted({p.status.phase for p in pods.items}))

scale = apps.read_namespaced_deployment_scale("d", namespace)
scale.spec.replicas = 1
print("scaled to", apps.replace_namespaced_deployment_scale("d", namespace, scale).spec.replicas)
patched = apps.patch_namespaced_deployment("d", namespace, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:1.30"}]}}}})
c = patched.spec.template.spec.containers[0]
print("patched", c.image, c.ports[0].container_port)

try:
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "Not_A_Name"}})
except ApiException as error:
    print("refused", error.status, error.reason)
try:
    core.read_namespaced_secret("missing", namespace)
except ApiException as error:
    print("refused", error.status, error.reason)

dyn = dynamic.DynamicClient(client.ApiClient())
maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
maps.server_side_apply(body=applied, namespace=namespace, field_manager="python")
one = maps.server_side_apply(body={**applied, "data": {"b": "2"}}, namespace=namespace, field_manager="python")
print("applied", dict(one.data), one.metadata.managedFields[0].manager)
for name in "xyz":
    core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": {"page": "yes"}}})
pages, token = [], None
while True:
    page = core.list_namespaced_config_map(namespace, label_selector="page=yes", limit=2, _continue=token)
    pages.append([m.metadata.name for m in page.items])
    token = page.metadata._continue
    if not token:
        break
print("pages", pages)
core.delete_collection_namespaced_config_map(namespace, label_selector="page=yes")
print("left", len(core.list_namespaced_config_map(namespace, label_selector="page=yes").items))
"#;

#[test]
fn the_python_client_works() {
    let (Some(python), Some(fleet)) = (python(), Fleet::shared()) else {
        return;
    };
    let hello = fleet.hello("python");
    let mut command = Command::new(python);
    command
        .args(["-c", SCRIPT])
        .arg(&hello.kubeconfig)
        .arg("python");
    let output = finish(&mut command, "");
    assert_eq!(output.code, Some(0), "{output:?}");
    expect![[r#"
        created d RollingUpdate Always
        ready 2
        pods 2 ['Running']
        scaled to 1
        patched nginx:1.30 80
        refused 422 Unprocessable Entity
        refused 404 Not Found
        applied {'b': '2'} python
        pages [['x', 'y'], ['z']]
        left 0
    "#]]
    .assert_eq(&output.stdout);
}
