//! Check tests: a Service, pods and slices in YAML → plan as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use runtime::Change;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// `spec` of the Service beside its selector.
    #[serde(default)]
    service: Value,
    #[serde(default)]
    pods: Vec<Line>,
    /// Slices that are there: name → pods.
    #[serde(default)]
    slices: BTreeMap<String, Vec<String>>,
    /// The port of those slices.
    #[serde(default)]
    port: Option<i32>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Line {
    name: String,
    ip: Option<String>,
    phase: String,
    is_ready: bool,
    is_deleting: bool,
    /// Number of the container port `http`.
    http: Option<i32>,
    node: Option<String>,
    hostname: Option<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            name: String::new(),
            ip: Some("10.0.0.1".into()),
            phase: "Running".into(),
            is_ready: true,
            is_deleting: false,
            http: Some(8080),
            node: Some("n1".into()),
            hostname: None,
        }
    }
}

impl Line {
    fn build(&self) -> Pod {
        let port = self
            .http
            .map(|number| json!([{"name": "http", "containerPort": number}]));
        let ready = if self.is_ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {"name": self.name, "namespace": "default", "uid": format!("uid-{}", self.name),
                "deletionTimestamp": self.is_deleting.then_some("2026-01-01T00:00:00Z")},
            "spec": {"nodeName": self.node, "containers": [{"name": "c", "ports": port}], "hostname": self.hostname,
                "subdomain": self.hostname.as_ref().map(|_| "web")},
            "status": {"phase": self.phase, "podIP": self.ip, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }
}

fn world(scene: Scene) -> World {
    let mut spec = scene.service;
    if spec["selector"].is_null() {
        spec["selector"] = json!({"app": "web"});
    }
    if spec["ports"].is_null() {
        spec["ports"] = json!([{"port": 80, "targetPort": "http"}]);
    }
    let slice = |(name, pods): (&String, &Vec<String>)| {
        let endpoint = |pod: &String| json!({"addresses": ["10.0.0.1"], "targetRef": {"uid": format!("uid-{pod}")}});
        let ports = json!([{"name": "", "port": scene.port.unwrap_or(8080), "protocol": "TCP"}]);
        let slice = json!({"metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")}, "addressType": "IPv4",
            "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(), "ports": ports});
        Arc::new(serde_json::from_value(slice).unwrap())
    };
    World {
        service: serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "labels": {"team": "a"}}, "spec": spec,
        }))
        .unwrap(),
        pods: scene.pods.iter().map(|line| Arc::new(line.build())).collect(),
        slices: scene.slices.iter().map(slice).collect(),
        zones: [("n1".to_owned(), "z1".to_owned())].into(),
    }
}

fn show(scene: Scene) -> String {
    let plan = EndpointSliceController::plan(&world(scene), Timestamp::UNIX_EPOCH);
    let mut text = String::new();
    for change in &plan.changes {
        let Change::Apply(object) = change else {
            let Change::Delete { target, .. } = change else {
                unreachable!("objects are applied or deleted")
            };
            writeln!(text, "delete {target}").unwrap();
            continue;
        };
        let name = object.metadata.name.as_deref().unwrap();
        let ports = |ports: &Value| {
            let ports = ports.as_array().unwrap().iter();
            ports
                .map(|port| {
                    format!(
                        "{}:{}/{}",
                        port["name"].as_str().unwrap(),
                        port["port"],
                        port["protocol"].as_str().unwrap()
                    )
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        if object.types.as_ref().unwrap().kind == "EndpointSlice" {
            writeln!(text, "slice {name} [{}]", ports(&object.data["ports"])).unwrap();
            for endpoint in object.data["endpoints"].as_array().unwrap() {
                let is = |name: &str| {
                    if endpoint["conditions"][name] == true {
                        format!(" {name}")
                    } else {
                        String::new()
                    }
                };
                let facts = ["nodeName", "zone", "hostname"]
                    .map(|name| endpoint[name].as_str().unwrap_or("-"))
                    .join(" ");
                writeln!(
                    text,
                    "  {} {} {facts}:{}{}{}",
                    endpoint["targetRef"]["name"].as_str().unwrap(),
                    endpoint["addresses"],
                    is("ready"),
                    is("serving"),
                    is("terminating")
                )
                .unwrap();
            }
        } else {
            write!(text, "endpoints {name}").unwrap();
            for subset in object.data["subsets"].as_array().unwrap() {
                let ips = |field: &str| subset[field].as_array().map_or(0, Vec::len);
                write!(
                    text,
                    " [{}] {} ready {} not ready",
                    ports(&subset["ports"]),
                    ips("addresses"),
                    ips("notReadyAddresses")
                )
                .unwrap();
            }
            text.push('\n');
        }
    }
    text
}

fn check(yaml: &str, expect: &Expect) {
    expect.assert_eq(&show(serde_saphyr::from_str(yaml).unwrap()));
}

#[test]
fn a_service_without_pods_has_an_empty_slice() {
    check(
        "{}",
        &expect![[r#"
        slice web-c476b []
        endpoints web
    "#]],
    );
}

#[test]
fn pods_are_ready_serving_or_terminating() {
    let pods = "pods: [{name: ready}, {name: unready, isReady: false}, {name: going, isDeleting: true}, \
                {name: gone, isDeleting: true, isReady: false}, {name: done, phase: Succeeded}, {name: failed, phase: Failed}, {name: new, ip: null}]";
    check(
        pods,
        &expect![[r#"
        slice web-c476b [:8080/TCP]
          going ["10.0.0.1"] n1 z1 -: serving terminating
          gone ["10.0.0.1"] n1 z1 -: terminating
          ready ["10.0.0.1"] n1 z1 -: ready serving
          unready ["10.0.0.1"] n1 z1 -:
        endpoints web [:8080/TCP] 1 ready 1 not ready
    "#]],
    );
    check(
        &format!("{{service: {{publishNotReadyAddresses: true}}, {pods}}}"),
        &expect![[r#"
        slice web-c476b [:8080/TCP]
          going ["10.0.0.1"] n1 z1 -: ready serving terminating
          gone ["10.0.0.1"] n1 z1 -: ready terminating
          ready ["10.0.0.1"] n1 z1 -: ready serving
          unready ["10.0.0.1"] n1 z1 -: ready
        endpoints web [:8080/TCP] 4 ready 0 not ready
    "#]],
    );
}

#[test]
fn ports_go_by_number_by_name_or_as_they_are() {
    let ports = "ports: [{name: a, port: 80}, {name: b, port: 81, targetPort: 9}, {name: c, port: 82, targetPort: http}, {name: d, port: 83, targetPort: none}]";
    check(
        &format!("{{service: {{{ports}}}, pods: [{{name: p}}]}}"),
        &expect![[r#"
        slice web-c476b [a:80/TCP b:9/TCP c:8080/TCP]
          p ["10.0.0.1"] n1 z1 -: ready serving
        endpoints web [a:80/TCP b:9/TCP c:8080/TCP] 1 ready 0 not ready
    "#]],
    );
    check(
        "{service: {ports: [{port: 80, targetPort: http, protocol: UDP}]}, pods: [{name: p}]}",
        &expect![[r#"
        slice web-c476b []
          p ["10.0.0.1"] n1 z1 -: ready serving
        endpoints web
    "#]],
    );
}

#[test]
fn pods_with_other_numbers_get_slices_of_their_own() {
    check(
        "pods: [{name: p}, {name: q, http: 9090}, {name: r, http: null}]",
        &expect![[r#"
        slice web-c476b [:8080/TCP]
          p ["10.0.0.1"] n1 z1 -: ready serving
        slice web-mhb4g [:9090/TCP]
          q ["10.0.0.1"] n1 z1 -: ready serving
        slice web-wvdxl []
          r ["10.0.0.1"] n1 z1 -: ready serving
        endpoints web [:8080/TCP] 1 ready 0 not ready [:9090/TCP] 1 ready 0 not ready
    "#]],
    );
}

#[test]
fn headless_services_give_pods_their_names() {
    check(
        "{service: {clusterIP: None}, pods: [{name: p, hostname: p0}]}",
        &expect![[r#"
        slice web-c476b [:8080/TCP]
          p ["10.0.0.1"] n1 z1 p0: ready serving
        endpoints web [:8080/TCP] 1 ready 0 not ready
    "#]],
    );
    let plan = EndpointSliceController::plan(
        &world(serde_saphyr::from_str("service: {clusterIP: None}").unwrap()),
        Timestamp::UNIX_EPOCH,
    );
    let Some(Change::Apply(slice)) = plan.changes.first() else {
        panic!("no slice")
    };
    expect![[r#"
        {
          "apiVersion": "discovery.k8s.io/v1",
          "kind": "EndpointSlice",
          "metadata": {
            "labels": {
              "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
              "kubernetes.io/service-name": "web",
              "service.kubernetes.io/headless": "",
              "team": "a"
            },
            "name": "web-c476b",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Service",
                "name": "web",
                "uid": "uid-web"
              }
            ]
          },
          "addressType": "IPv4",
          "endpoints": [],
          "ports": []
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(slice).unwrap());
}

#[test]
fn a_slice_has_a_hundred_pods_at_most() {
    let pod = |at: u32| Line {
        name: format!("p{at:04}"),
        ..Line::default()
    };
    let of = |count: u32| Scene {
        service: json!({}),
        pods: (0..count).map(pod).collect(),
        slices: BTreeMap::new(),
        port: None,
    };
    let head = |text: String| {
        text.lines()
            .filter(|line| !line.starts_with(' '))
            .collect::<Vec<_>>()
            .join("\n")
    };
    expect![[r#"
        slice web-c476b [:8080/TCP]
        slice web-mhb4g [:8080/TCP]
        slice web-wvdxl [:8080/TCP]
        endpoints web [:8080/TCP] 201 ready 0 not ready"#]]
    .assert_eq(&head(show(of(201))));
    expect!["endpoints web [:8080/TCP] 1000 ready 0 not ready"]
        .assert_eq(head(show(of(1001))).lines().last().unwrap());
}

#[test]
fn pods_stay_in_their_slice_and_new_ones_fill_it_up() {
    check(
        "{pods: [{name: a}, {name: b}, {name: c}], slices: {web-x: [c], web-y: [b, gone]}}",
        &expect![[r#"
        slice web-x [:8080/TCP]
          a ["10.0.0.1"] n1 z1 -: ready serving
          c ["10.0.0.1"] n1 z1 -: ready serving
        slice web-y [:8080/TCP]
          b ["10.0.0.1"] n1 z1 -: ready serving
        endpoints web [:8080/TCP] 3 ready 0 not ready
    "#]],
    );
}

#[test]
fn stale_slices_are_used_again_or_go() {
    check(
        "{pods: [{name: a}], slices: {web-x: [a], web-y: [gone]}}",
        &expect![[r#"
        slice web-x [:8080/TCP]
          a ["10.0.0.1"] n1 z1 -: ready serving
        delete EndpointSlice default/web-y
        endpoints web [:8080/TCP] 1 ready 0 not ready
    "#]],
    );
    check(
        "{pods: [{name: a}], slices: {web-x: [a], web-y: []}, port: 1}",
        &expect![[r#"
        slice web-x [:8080/TCP]
          a ["10.0.0.1"] n1 z1 -: ready serving
        delete EndpointSlice default/web-y
        endpoints web [:8080/TCP] 1 ready 0 not ready
    "#]],
    );
    check(
        "{slices: {web-x: [gone], web-y: []}}",
        &expect![[r#"
        slice web-x []
        delete EndpointSlice default/web-y
        endpoints web
    "#]],
    );
}

#[test]
fn services_without_selector_are_not_ours() {
    check(
        "{service: {selector: {}}, pods: [{name: p}]}",
        &expect![[""]],
    );
    check(
        "{service: {type: ExternalName}, pods: [{name: p}]}",
        &expect![[""]],
    );
}
