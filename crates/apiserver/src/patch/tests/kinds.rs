//! The same with Kubernetes' own kinds: their schemas come from the built-in tables.

use expect_test::{Expect, expect};
use jiff::Timestamp;
use serde_json::Value;

use super::yaml;
use crate::patch::managed::Managed;
use crate::patch::{Manager, apply, record_update, strategic};
use crate::schema::Schema;
use crate::schema::builtin::message;

fn schema(name: &str) -> &'static Schema {
    message(name).unwrap_or_else(|| panic!("no {name}"))
}

fn deployment() -> &'static Schema {
    schema("io.k8s.api.apps.v1.Deployment")
}

const NGINX: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx, namespace: default, labels: {app: nginx}}
spec:
  replicas: 1
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
      - name: nginx
        image: nginx:1
        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
        env: [{name: A, value: '1'}]
        resources: {limits: {cpu: 1, memory: 64Mi}}
      tolerations: [{key: a, operator: Exists}]
      volumes: [{name: v, emptyDir: {}}]
";

fn at(second: i64, name: &'static str) -> Manager<'static> {
    let now = Timestamp::from_second(second).unwrap();
    Manager {
        name,
        api_version: "apps/v1",
        subresource: "",
        has_status: true,
        now,
        versions: &crate::patch::OneForm,
    }
}

/// Managed fields as text.
fn owners(object: &Value) -> String {
    let mut text = String::new();
    for entry in Managed::of_stored(object["metadata"].get("managedFields")).entries {
        text += &format!("{}\n", entry.owner);
        entry.set().each(&mut |path| text += &format!("  {path}\n"));
    }
    text
}

#[test]
fn a_created_deployment_is_owned_as_kubernetes_says() {
    let mut value = yaml(NGINX);
    record_update(None, &mut value, deployment(), &at(1, "kubectl-create"));
    expect![[r#"
        "kubectl-create" using apps/v1
          .metadata.labels
          .metadata.labels.app
          .spec.replicas
          .spec.selector
          .spec.template.metadata.labels
          .spec.template.metadata.labels.app
          .spec.template.spec.tolerations
          .spec.template.spec.volumes
          .spec.template.spec.containers[name="nginx"]
          .spec.template.spec.containers[name="nginx"].env
          .spec.template.spec.containers[name="nginx"].image
          .spec.template.spec.containers[name="nginx"].name
          .spec.template.spec.containers[name="nginx"].ports
          .spec.template.spec.containers[name="nginx"].resources
          .spec.template.spec.containers[name="nginx"].env[name="A"]
          .spec.template.spec.containers[name="nginx"].env[name="A"].name
          .spec.template.spec.containers[name="nginx"].env[name="A"].value
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="TCP"]
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="UDP"]
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="TCP"].containerPort
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="UDP"].containerPort
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="UDP"].protocol
          .spec.template.spec.containers[name="nginx"].resources.limits
          .spec.template.spec.containers[name="nginx"].resources.limits.cpu
          .spec.template.spec.containers[name="nginx"].resources.limits.memory
          .spec.template.spec.volumes[name="v"]
          .spec.template.spec.volumes[name="v"].emptyDir
          .spec.template.spec.volumes[name="v"].name
    "#]].assert_eq(&owners(&value));
}

#[test]
fn an_applied_deployment_is_owned_as_kubernetes_says() {
    let value = apply(None, &yaml(NGINX), deployment(), &at(1, "flux"), false).unwrap();
    expect![[r#"
        "flux"
          .metadata.labels.app
          .spec.replicas
          .spec.selector
          .spec.template.metadata.labels.app
          .spec.template.spec.tolerations
          .spec.template.spec.containers[name="nginx"]
          .spec.template.spec.containers[name="nginx"].image
          .spec.template.spec.containers[name="nginx"].name
          .spec.template.spec.containers[name="nginx"].env[name="A"]
          .spec.template.spec.containers[name="nginx"].env[name="A"].name
          .spec.template.spec.containers[name="nginx"].env[name="A"].value
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="TCP"]
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="UDP"]
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="TCP"].containerPort
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="UDP"].containerPort
          .spec.template.spec.containers[name="nginx"].ports[containerPort=80,protocol="UDP"].protocol
          .spec.template.spec.containers[name="nginx"].resources.limits.cpu
          .spec.template.spec.containers[name="nginx"].resources.limits.memory
          .spec.template.spec.volumes[name="v"]
          .spec.template.spec.volumes[name="v"].emptyDir
          .spec.template.spec.volumes[name="v"].name
    "#]].assert_eq(&owners(&value));
    let again = apply(
        Some(&value),
        &yaml(NGINX),
        deployment(),
        &at(2, "flux"),
        false,
    )
    .unwrap();
    assert_eq!(again, value);
}

#[test]
fn another_applier_adds_a_sidecar_and_takes_it_away() {
    let live = apply(None, &yaml(NGINX), deployment(), &at(1, "flux"), false).unwrap();
    let sidecar = yaml(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: nginx}, spec: {template: {spec: {containers: [{name: mesh, image: m}]}}}}",
    );
    let both = apply(Some(&live), &sidecar, deployment(), &at(2, "mesh"), false).unwrap();
    expect![[r#"[{"env":[{"name":"A","value":"1"}],"image":"nginx:1","name":"nginx","ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"}],"resources":{"limits":{"cpu":1,"memory":"64Mi"}}},{"image":"m","name":"mesh"}]"#]].assert_eq(&both["spec"]["template"]["spec"]["containers"].to_string());
    let none = yaml("{apiVersion: apps/v1, kind: Deployment, metadata: {name: nginx}}");
    let after = apply(Some(&both), &none, deployment(), &at(3, "mesh"), false).unwrap();
    assert_eq!(after, live);
}

#[test]
fn faults_of_a_deployment_are_named_as_kubernetes_names_them() {
    let mut wrong = yaml(NGINX);
    wrong["spec"]["foo"] = 1.into();
    let refused = apply(None, &wrong, deployment(), &at(1, "flux"), false).unwrap_err();
    expect!["failed to create typed patch object (default/nginx; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"].assert_eq(&refused.message);
    let mut wrong = yaml(NGINX);
    wrong["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = 1.into();
    let refused = apply(None, &wrong, deployment(), &at(1, "flux"), false).unwrap_err();
    expect![[r#"failed to create typed patch object (default/nginx; apps/v1, Kind=Deployment): .spec.template.spec.containers[name="nginx"].env[name="A"].value: expected string, got &value.valueUnstructured{Value:1}"#]].assert_eq(&refused.message);
}

fn check_strategic(patch: &str, expected: &Expect) {
    let patched = strategic(&yaml(NGINX), &yaml(patch), deployment()).unwrap();
    expected.assert_eq(&patched["spec"].to_string());
}

#[test]
fn setting_an_image_keeps_everything_else() {
    check_strategic(
        "spec: {template: {spec: {containers: [{name: nginx, image: nginx:2}]}}}",
        &expect![[
            r#"{"replicas":1,"selector":{"matchLabels":{"app":"nginx"}},"template":{"metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[{"env":[{"name":"A","value":"1"}],"image":"nginx:2","name":"nginx","ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"}],"resources":{"limits":{"cpu":1,"memory":"64Mi"}}}],"tolerations":[{"key":"a","operator":"Exists"}],"volumes":[{"emptyDir":{},"name":"v"}]}}}"#
        ]],
    );
}

#[test]
fn tolerations_are_replaced_and_volumes_retain_their_keys() {
    check_strategic(
        "spec: {template: {spec: {tolerations: [{key: b}], volumes: [{name: v, $retainKeys: [name, hostPath], hostPath: {path: /x}, emptyDir: null}]}}}",
        &expect![[
            r#"{"replicas":1,"selector":{"matchLabels":{"app":"nginx"}},"template":{"metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[{"env":[{"name":"A","value":"1"}],"image":"nginx:1","name":"nginx","ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"}],"resources":{"limits":{"cpu":1,"memory":"64Mi"}}}],"tolerations":[{"key":"b"}],"volumes":[{"hostPath":{"path":"/x"},"name":"v"}]}}}"#
        ]],
    );
}

#[test]
fn service_ports_and_owner_references_have_keys() {
    let service = yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 53, protocol: UDP, name: u}, {port: 80}]}}",
    );
    let patch = yaml(
        "{metadata: {ownerReferences: [{uid: a, kind: X}]}, spec: {ports: [{port: 80, targetPort: http}]}}",
    );
    let patched = strategic(&service, &patch, schema("io.k8s.api.core.v1.Service")).unwrap();
    expect![[r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","ownerReferences":[{"kind":"X","uid":"a"}]},"spec":{"ports":[{"name":"u","port":53,"protocol":"UDP"},{"port":80,"targetPort":"http"}]}}"#]].assert_eq(&patched.to_string());
}

#[test]
fn a_definition_with_a_recursive_schema_can_be_applied() {
    let definition = yaml(
        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a.b.c}, spec: {group: b.c, names: {plural: a, kind: A},
          scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {
            spec: {type: object, default: {a: 1}, properties: {list: {type: array, items: {type: string}}}}}}}}]}}",
    );
    let crd =
        schema("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition");
    let manager = Manager {
        api_version: "apiextensions.k8s.io/v1",
        ..at(1, "helm")
    };
    let value = apply(None, &definition, crd, &manager, false).unwrap();
    assert_eq!(
        apply(Some(&value), &definition, crd, &manager, false).unwrap(),
        value
    );
    expect![[r#"
        "helm"
          .spec.group
          .spec.scope
          .spec.versions
          .spec.names.kind
          .spec.names.plural
    "#]]
    .assert_eq(&owners(&value));
}
