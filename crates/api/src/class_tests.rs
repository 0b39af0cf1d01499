//! Rules of classes, their variables and the topologies made from them, as tables.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::{
    Surroundings, default_for_class, validate, validate_for_class, validate_in_use,
};
use crate::cluster::variables;
use crate::meta::FieldError;

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

fn lines(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// Schemas and values for them.
const VALUES: &[(&str, &str)] = &[
    ("type: integer, minimum: 1, maximum: 5", "3"),
    ("type: integer", "3.0"),
    ("type: integer", "3.5"),
    ("type: integer, minimum: 1, exclusiveMinimum: true", "1"),
    ("type: number, maximum: 5", "5.5"),
    ("type: number", "'5'"),
    ("type: string, minLength: 2, maxLength: 3", "a"),
    ("type: string, maxLength: 3", "äöü"),
    ("type: string, pattern: '^[a-z]+$'", "A1"),
    ("type: string, enum: [a, b]", "c"),
    ("type: boolean", "null"),
    ("x-kubernetes-int-or-string: true", "25%"),
    ("x-kubernetes-int-or-string: true", "true"),
    ("type: array, items: {type: integer}, maxItems: 1", "[1, x]"),
    (
        "type: array, items: {type: integer}, uniqueItems: true",
        "[1, 1]",
    ),
    (
        "type: object, required: [a], properties: {a: {type: string}}",
        "{b: 1}",
    ),
    (
        "type: object, x-kubernetes-preserve-unknown-fields: true",
        "{b: 1}",
    ),
    (
        "type: object, additionalProperties: {type: string}",
        "{b: 1}",
    ),
    (
        "type: object, properties: {a: {type: object, properties: {b: {type: integer}}}}",
        "{a: {b: x}}",
    ),
    ("type: integer, anyOf: [{minimum: 5}, {maximum: 1}]", "3"),
    ("type: integer, oneOf: [{minimum: 1}, {minimum: 2}]", "3"),
    ("type: integer, allOf: [{minimum: 5}]", "3"),
    ("type: integer, not: {enum: [3]}", "3"),
];

#[test]
fn values_are_checked_against_schemas() {
    let mut text = String::new();
    for (schema, value) in VALUES {
        let mut errors = vec![];
        variables::check_value(
            "value",
            &yaml(&format!("{{{schema}}}")),
            &yaml(value),
            &mut errors,
        );
        text += &format!("{schema} <- {value}\n");
        text += &errors
            .iter()
            .map(|error| format!("    {error}\n"))
            .collect::<String>();
    }
    expect![[r#"
        type: integer, minimum: 1, maximum: 5 <- 3
        type: integer <- 3.0
        type: integer <- 3.5
            value: Invalid value: must be of type integer, and not of type number
        type: integer, minimum: 1, exclusiveMinimum: true <- 1
            value: Invalid value: 1 must be more than 1
        type: number, maximum: 5 <- 5.5
            value: Invalid value: 5.5 must be at most 5
        type: number <- '5'
            value: Invalid value: must be of type number, and not of type string
        type: string, minLength: 2, maxLength: 3 <- a
            value: Invalid value: must have at least 2 characters
        type: string, maxLength: 3 <- äöü
        type: string, pattern: '^[a-z]+$' <- A1
            value: Invalid value: "A1" must match the pattern "^[a-z]+$"
        type: string, enum: [a, b] <- c
            value: Invalid value: "c" must be one of "a", "b"
        type: boolean <- null
            value: Invalid value: must be of type boolean, and not of type null
        x-kubernetes-int-or-string: true <- 25%
        x-kubernetes-int-or-string: true <- true
            value: Invalid value: must be an integer or a string, and not of type boolean
        type: array, items: {type: integer}, maxItems: 1 <- [1, x]
            value: Invalid value: must have at most 1 items
            value[1]: Invalid value: must be of type integer, and not of type string
        type: array, items: {type: integer}, uniqueItems: true <- [1, 1]
            value: Invalid value: must not have an item twice
        type: object, required: [a], properties: {a: {type: string}} <- {b: 1}
            value.a: Required value: must be set
            value.b: Invalid value: is no field of the variable
        type: object, x-kubernetes-preserve-unknown-fields: true <- {b: 1}
        type: object, additionalProperties: {type: string} <- {b: 1}
            value.b: Invalid value: must be of type string, and not of type integer
        type: object, properties: {a: {type: object, properties: {b: {type: integer}}}} <- {a: {b: x}}
            value.a.b: Invalid value: must be of type integer, and not of type string
        type: integer, anyOf: [{minimum: 5}, {maximum: 1}] <- 3
            value: Invalid value: must fit at least one schema of anyOf
        type: integer, oneOf: [{minimum: 1}, {minimum: 2}] <- 3
            value: Invalid value: must fit exactly one schema of oneOf
        type: integer, allOf: [{minimum: 5}] <- 3
            value: Invalid value: 3 must be at least 5
        type: integer, not: {enum: [3]} <- 3
            value: Invalid value: must not fit the schema of not
    "#]].assert_eq(&text);
}

const CLASS: &str = "
metadata: {name: standard, namespace: acme}
spec:
  infrastructure:
    templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalClusterTemplate, name: a}
  controlPlane:
    templateRef: {apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: KubeadmControlPlaneTemplate, name: a}
    machineInfrastructure:
      templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, name: a}
  workers:
    machineDeployments:
    - class: worker
      bootstrap:
        templateRef: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, name: a}
      infrastructure:
        templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalMachineTemplate, name: b}
  variables:
  - name: size
    required: true
    schema: {openAPIV3Schema: {type: integer, default: 2, maximum: 9}}
  - name: network
    required: false
    schema: {openAPIV3Schema: {type: object, properties: {mtu: {type: integer, default: 1500}, name: {type: string}}}}
";

/// A class with changes, in the words of RFC 7386.
fn class(overrides: &str) -> Value {
    let mut class = yaml(CLASS);
    merge(&mut class, yaml(overrides));
    class
}

fn check_class(old: Option<&str>, new: &str, expect: &Expect) {
    let old = old.map(class);
    let found = validate(
        "cluster.x-k8s.io",
        "v1beta2",
        "ClusterClass",
        &class(new),
        old.as_ref(),
    );
    expect.assert_eq(&lines(&found));
}

#[test]
fn a_class_must_fit_together() {
    check_class(None, "{}", &expect![[""]]);
    check_class(
        None,
        "
spec:
  infrastructure: {templateRef: {kind: LocalCluster}, naming: {template: 'x-{{ .random }'}}
  controlPlane: {machineInfrastructure: null, healthCheck: {checks: {nodeStartupTimeoutSeconds: 5}}, naming: {template: fixed}}
  kubernetesVersions: [v1.34.0, '1.35.0', v1.34.1, v1.37.0]
  upgrade: {external: {generateUpgradePlanExtension: x}}
  variables:
  - {name: builtin, required: false, schema: {openAPIV3Schema: {type: string}}}
  - {name: a.b, required: false, schema: {openAPIV3Schema: {type: wrong}}}
  - {name: c, required: false, schema: {openAPIV3Schema: {type: integer, default: x, enum: [1, y]}}}
  - {name: c, required: false, schema: {openAPIV3Schema: {type: array}}}
  - {name: d, required: false, schema: {openAPIV3Schema: {type: string, pattern: '('}}}
  - {name: e, required: false, schema: {openAPIV3Schema: {type: object, properties: {f: {description: none}}, additionalProperties: {type: string}}}}
",
        &expect![[r#"
            spec.infrastructure.templateRef.kind: Invalid value: "LocalCluster" must be the kind of a template
            spec.controlPlane.healthCheck: Forbidden: can only be set together with spec.controlPlane.machineInfrastructure
            spec.controlPlane.healthCheck.checks.nodeStartupTimeoutSeconds: Invalid value: must be 30 or more, or 0 for no limit
            spec.infrastructure.naming.template: Invalid value: has a "{{" without "}}"
            spec.controlPlane.naming.template: Invalid value: must contain {{ .cluster.name }} or {{ .random }}: names of different clusters must differ
            spec.kubernetesVersions[1]: Invalid value: "1.35.0" must be a version such as v1.36.0
            spec.kubernetesVersions[2]: Invalid value: "v1.34.1" must be newer than the one before it
            spec.kubernetesVersions[3]: Invalid value: "v1.37.0" leaves out a minor version after the one before it
            spec.variables[0].name: Invalid value: "builtin" is the name of what every patch knows; choose another one
            spec.variables[1].name: Invalid value: "a.b" must not contain a ".": that leads into a variable
            spec.variables[1].schema.openAPIV3Schema.type: Invalid value: "wrong" must be one of object, array, string, integer, number, boolean
            spec.variables[2].schema.openAPIV3Schema.default: Invalid value: must be of type integer, and not of type string
            spec.variables[2].schema.openAPIV3Schema.enum[1]: Invalid value: must be of type integer, and not of type boolean
            spec.variables[3].name: Invalid value: "c" is defined twice; names of variables must be unique
            spec.variables[3].schema.openAPIV3Schema.items: Required value: must be the schema of the items
            spec.variables[4].schema.openAPIV3Schema.pattern: Invalid value: "(" is no regular expression: regex parse error:
                (
                ^
            error: unclosed group
            spec.variables[5].schema.openAPIV3Schema.properties[f].type: Required value: must be one of object, array, string, integer, number, boolean
            spec.variables[5].schema.openAPIV3Schema.additionalProperties: Forbidden: cannot be set together with properties
            spec.upgrade.external.generateUpgradePlanExtension: Invalid value: "x" must be <handler>.<ExtensionConfig>
        "#]],
    );
}

#[test]
fn patches_must_be_able_to_change_something() {
    check_class(
        None,
        "
spec:
  patches:
  - name: a
  - {name: a, external: {generatePatchesExtension: x}}
  - name: b
    definitions:
    - selector: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, matchResources: {controlPlane: true, infrastructureCluster: true, machineDeploymentClass: {names: [work*, other]}}}
      jsonPatches:
      - {op: add, path: /metadata/labels, value: {}}
      - {op: add, path: /spec/template/spec/files/-, value: {}}
      - {op: add, path: /spec/template/spec/files/0, value: {}}
      - {op: add, path: /spec/template/spec/files/1, value: {}}
      - {op: remove, path: /spec/template/spec/files/-}
      - {op: remove, path: /spec/template/spec/files, value: 1}
      - {op: replace, path: /spec/files/0/content, value: 1}
      - {op: add, path: /spec/a}
      - {op: add, path: /spec/a, value: 1, valueFrom: {variable: size}}
      - {op: add, path: /spec/a, valueFrom: {}}
      - {op: add, path: /spec/a, valueFrom: {variable: unknown.part}}
      - {op: add, path: /spec/a, valueFrom: {variable: builtin.machine.name}}
      - {op: add, path: /spec/a, valueFrom: {variable: 'network.mtu'}}
    - selector: {apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, matchResources: {controlPlane: false}}
      jsonPatches: [{op: add, path: /spec/a, value: 1}]
",
        &expect![[r#"
            spec.patches[0].definitions: Required value: must have the changes that the patch makes
            spec.patches[1].name: Invalid value: "a" is there twice; names of patches must be unique
            spec.patches[1].external.generatePatchesExtension: Invalid value: "x" must be <handler>.<ExtensionConfig>
            spec.patches[2].definitions[0].selector.matchResources.controlPlane: Invalid value: selects no template: the control plane and its machines have none of kind bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate
            spec.patches[2].definitions[0].selector.matchResources.infrastructureCluster: Invalid value: selects no template: the infrastructure is not of kind bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate
            spec.patches[2].definitions[0].selector.matchResources.machineDeploymentClass.names: Invalid value: selects no template: no class of MachineDeployments is called other and has one of kind bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate
            spec.patches[2].definitions[0].jsonPatches[0].path: Invalid value: "/metadata/labels" must start with "/spec/"
            spec.patches[2].definitions[0].jsonPatches[3].path: Invalid value: "/spec/template/spec/files/1" must not go into a list, except that "add" may add at its beginning (0) or end (-)
            spec.patches[2].definitions[0].jsonPatches[4].path: Invalid value: "/spec/template/spec/files/-" must not go into a list, except that "add" may add at its beginning (0) or end (-)
            spec.patches[2].definitions[0].jsonPatches[5].value: Forbidden: must not be set for "remove"
            spec.patches[2].definitions[0].jsonPatches[6].path: Invalid value: "/spec/files/0/content" must not go into a list, except that "add" may add at its beginning (0) or end (-)
            spec.patches[2].definitions[0].jsonPatches[7]: Invalid value: exactly one of value and valueFrom must be set
            spec.patches[2].definitions[0].jsonPatches[8]: Invalid value: exactly one of value and valueFrom must be set
            spec.patches[2].definitions[0].jsonPatches[9].valueFrom: Invalid value: exactly one of variable and template must be set
            spec.patches[2].definitions[0].jsonPatches[10].valueFrom.variable: Invalid value: "unknown" is not among spec.variables
            spec.patches[2].definitions[0].jsonPatches[11].valueFrom.variable: Invalid value: "builtin.machine.name": builtin has cluster, controlPlane, machineDeployment, machinePool
            spec.patches[2].definitions[1].selector.matchResources: Required value: must say what the templates are used for: controlPlane, infrastructureCluster, machineDeploymentClass or machinePoolClass
        "#]],
    );
}

#[test]
fn parts_keep_their_kinds() {
    check_class(
        Some("{}"),
        "
spec:
  infrastructure: {templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta3, name: other}}
  controlPlane: {templateRef: {kind: OtherTemplate}, machineInfrastructure: null}
  workers: {machineDeployments: [{class: worker, bootstrap: {templateRef: {apiVersion: x/v1, kind: BTemplate, name: a}}, infrastructure: {templateRef: {apiVersion: x/v1, kind: MTemplate, name: a}}}]}
",
        &expect![[r#"
            spec.controlPlane.templateRef: Forbidden: must stay of kind KubeadmControlPlaneTemplate.controlplane.cluster.x-k8s.io, and not become OtherTemplate.controlplane.cluster.x-k8s.io: clusters are made of that
            spec.controlPlane.machineInfrastructure.templateRef: Forbidden: must stay of kind LocalMachineTemplate.infrastructure.cluster.x-k8s.io, and not become none: clusters are made of that
            spec.workers.machineDeployments[0].infrastructure.templateRef: Forbidden: must stay of kind LocalMachineTemplate.infrastructure.cluster.x-k8s.io, and not become MTemplate.x: clusters are made of that
        "#]],
    );
}

const CLUSTER: &str = "
metadata: {name: hello, namespace: acme}
spec:
  topology:
    classRef: {name: standard}
    version: v1.35.0
    variables: [{name: size, value: 3}]
    workers: {machineDeployments: [{class: worker, name: blue, replicas: 2}]}
";

fn cluster(overrides: &str) -> Value {
    let mut cluster = yaml(CLUSTER);
    merge(&mut cluster, yaml(overrides));
    cluster
}

#[test]
fn what_clusters_use_stays() {
    let clusters = [cluster("{}")];
    let found = |old: &str, new: &str| lines(&validate_in_use(&class(new), &class(old), &clusters));
    expect![[r#"
        spec.workers.machineDeployments: Forbidden: class "worker" cannot be removed: Cluster hello uses it
    "#]].assert_eq(&found("{}", "spec: {workers: {machineDeployments: []}}"));
    expect![[r#"
        spec.kubernetesVersions: Forbidden: must keep v1.35.0: Cluster hello has it
    "#]]
    .assert_eq(&found(
        "spec: {kubernetesVersions: [v1.35.0]}",
        "spec: {kubernetesVersions: [v1.36.0]}",
    ));
    expect![[r#"
        spec.variables: Forbidden: does not allow what Cluster hello has: spec.topology.variables[size].value: Invalid value: 3 must be at most 2
    "#]].assert_eq(&found(
        "{}",
        "spec: {variables: [{name: size, required: true, schema: {openAPIV3Schema: {type: integer, maximum: 2}}}]}",
    ));
    expect![[r#"
        spec.variables: Forbidden: does not allow what Cluster hello has: spec.topology.variables[new]: Required value: the ClusterClass says that this variable must have a value
    "#]].assert_eq(&found(
        "{}",
        "spec: {variables: [{name: size, required: true, schema: {openAPIV3Schema: {type: integer}}}, {name: new, required: true, schema: {openAPIV3Schema: {type: integer}}}]}",
    ));
}

#[test]
fn a_class_sees_values_of_pools_and_tells_none_of_other_namespaces() {
    let narrow = "spec: {variables: [{name: size, required: true, schema: {openAPIV3Schema: {type: integer, maximum: 4}}}]}";
    let pool = "spec: {topology: {workers: {machineDeployments: [{class: worker, name: blue, variables: {overrides: [{name: size, value: 5}]}}]}}}";
    let found = |old: &str, overrides: &str| {
        lines(&validate_in_use(
            &class(narrow),
            &class(old),
            &[cluster(overrides)],
        ))
    };
    expect![[r#"
        spec.variables: Forbidden: does not allow what Cluster hello has: spec.topology.workers.machineDeployments[blue].variables.overrides[size].value: Invalid value: 5 must be at most 4
    "#]].assert_eq(&found("{}", pool));
    // What the class did not allow before is no reason to keep it as it is.
    expect![[""]].assert_eq(&found(narrow, pool));
    let foreign = "{metadata: {namespace: other}, spec: {topology: {classRef: {namespace: acme}, variables: [{name: size, value: 5}]}}}";
    expect![[r#"
        spec.variables: Forbidden: does not allow what a Cluster of another namespace has at spec.topology.variables[size].value
    "#]].assert_eq(&found("{}", foreign));
}

#[test]
fn a_value_with_many_errors_shows_some() {
    let schema = serde_json::json!({"type": "array", "items": {"type": "string", "pattern": "^a+$", "anyOf": [{"maxLength": 3}, {"pattern": "^b"}]}});
    let long = "c".repeat(1000);
    let value: Vec<&str> = (0..10_000).map(|_| long.as_str()).collect();
    let mut errors = vec![];
    variables::check_value("v", &schema, &serde_json::json!(value), &mut errors);
    let text = lines(&errors);
    assert!(
        errors.len() <= 51 && text.len() < 51 * 500,
        "{}: {}",
        errors.len(),
        text.len()
    );
    let mut errors = vec![];
    variables::check_value(
        "v",
        &schema,
        &serde_json::json!(["aaaa", "aa", "b"]),
        &mut errors,
    );
    expect![[r#"
        v[0]: Invalid value: must fit at least one schema of anyOf
        v[2]: Invalid value: "b" must match the pattern "^a+$"
    "#]]
    .assert_eq(&lines(&errors));
}

#[test]
fn nothing_follows_a_class_that_cannot_be_read() {
    let blind = Surroundings::default();
    let found = |new: &str| {
        lines(&validate_for_class(
            &cluster(new),
            Some(&cluster("{}")),
            &blind,
        ))
    };
    expect![[r#"
        spec.topology.classRef: Forbidden: ClusterClass acme/lost is not there, or is not shared with this namespace: class and version can only be changed with one that is
    "#]].assert_eq(&found("spec: {topology: {classRef: {name: lost}}}"));
    expect![[r#"
        spec.topology.classRef: Forbidden: ClusterClass acme/standard is not there, or is not shared with this namespace: class and version can only be changed with one that is
    "#]].assert_eq(&found("spec: {topology: {version: v1.36.0}}"));
    let forced = "{metadata: {annotations: {unsafe.topology.cluster.x-k8s.io/disable-update-class-name-check: ''}}, spec: {topology: {classRef: {name: lost}}}}";
    expect![[""]].assert_eq(&found(forced));
    let scaled = "spec: {topology: {workers: {machineDeployments: [{class: worker, name: blue, replicas: 3}]}}}";
    expect![[""]].assert_eq(&found(scaled));
}

fn check_cluster(old: Option<&str>, new: &str, around: &Surroundings, expect: &Expect) {
    let (old, new) = (old.map(cluster), cluster(new));
    let mut found = validate("cluster.x-k8s.io", "v1beta2", "Cluster", &new, old.as_ref());
    found.extend(validate_for_class(&new, old.as_ref(), around));
    expect.assert_eq(&lines(&found));
}

fn around(class_overrides: &str) -> Surroundings {
    Surroundings {
        class: Some(class(class_overrides)),
        old_class: Some(class("{}")),
        ..Surroundings::default()
    }
}

#[test]
fn variables_are_filled_in() {
    let mut cluster = cluster(
        "
spec:
  topology:
    variables: [{name: network, value: {name: a}}]
    workers: {machineDeployments: [{class: worker, name: blue, variables: {overrides: [{name: network, value: {}}]}}]}
",
    );
    default_for_class(&mut cluster, &class("{}"));
    let topology = &cluster["spec"]["topology"];
    expect![[r#"
        [{"name":"network","value":{"mtu":1500,"name":"a"}},{"name":"size","value":2}]
        [{"name":"network","value":{"mtu":1500}}]"#]]
    .assert_eq(&format!(
        "{}\n{}",
        topology["variables"],
        topology["workers"]["machineDeployments"][0]["variables"]["overrides"]
    ));
}

#[test]
fn a_topology_must_fit_its_class() {
    check_cluster(None, "{}", &around("{}"), &expect![[""]]);
    check_cluster(
        None,
        "
metadata: {annotations: {topology.cluster.x-k8s.io/upgrade-concurrency: none}}
spec:
  topology:
    version: '1.35'
    variables: [{name: network, value: {mtu: x, more: 1}}, {name: other, value: 1}]
    controlPlane: {taints: [{key: node.kubernetes.io/x, effect: NoSchedule, propagation: Always}], healthCheck: {enabled: true}, variables: {overrides: [{name: size, value: 10}]}}
    workers:
      machineDeployments:
      - {class: unknown, name: blue, replicas: -1}
      - {class: worker, name: green, healthCheck: {enabled: true}, rollout: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}}}
      machinePools: [{class: pool, name: pool, taints: [{key: a, effect: NoSchedule, propagation: Always}]}]
",
        &around("{}"),
        &expect![[r#"
            spec.topology.version: Invalid value: "1.35" must be a version such as v1.36.0
            metadata.annotations[topology.cluster.x-k8s.io/upgrade-concurrency]: Invalid value: "none" must be a number of 1 or more
            spec.topology.controlPlane.taints[0].key: Invalid value: node.kubernetes.io/x is set by Kubernetes itself
            spec.topology.workers.machineDeployments[blue].replicas: Invalid value: must be 0 or more
            spec.topology.workers.machinePools[pool].taints: Forbidden: MachinePools cannot have taints; say them in the kubelet's settings of the bootstrap config
            spec.topology.workers.machineDeployments[green].rollout.strategy.rollingUpdate.maxUnavailable: Invalid value: must not be 0 when maxSurge is 0: no machine could ever be replaced
            spec.topology.variables[network].value.more: Invalid value: is no field of the variable
            spec.topology.variables[network].value.mtu: Invalid value: must be of type integer, and not of type string
            spec.topology.variables[other]: Invalid value: "other" is no variable of the ClusterClass
            spec.topology.variables[size]: Required value: the ClusterClass says that this variable must have a value
            spec.topology.controlPlane.variables.overrides[size].value: Invalid value: 10 must be at most 9
            spec.topology.controlPlane.healthCheck.enabled: Forbidden: neither the class nor the Cluster says what is checked
            spec.topology.workers.machineDeployments[blue].class: Invalid value: "unknown" must be one of those of the class: worker
            spec.topology.workers.machinePools[pool].class: Invalid value: "pool" must be one of those of the class: 
            spec.topology.workers.machineDeployments[green].healthCheck.enabled: Forbidden: neither the class nor the Cluster says what is checked
        "#]],
    );
    check_cluster(
        None,
        "spec: {topology: {version: v1.35.7}}",
        &around("spec: {kubernetesVersions: [v1.35.0, v1.35.1]}"),
        &expect![[r#"
            spec.topology.version: Invalid value: v1.35.7 must be one of those of the class: v1.35.0, v1.35.1
        "#]],
    );
}

#[test]
fn topologies_change_in_steps() {
    let none = Surroundings::default();
    check_cluster(
        Some("{}"),
        "spec: {topology: null, infrastructureRef: {apiGroup: group, kind: Kind, name: some}}",
        &none,
        &expect![[r#"
            spec.topology: Forbidden: cannot be removed: nobody would manage the parts of the Cluster any more
        "#]],
    );
    check_cluster(
        Some("spec: {topology: null}"),
        "{}",
        &none,
        &expect![[r#"
        spec.topology: Forbidden: cannot be given to a Cluster that is there without one: its parts have other names; annotation unsafe.topology.cluster.x-k8s.io/disable-update-class-name-check allows it
    "#]],
    );
    check_cluster(
        Some("{}"),
        "spec: {topology: {version: v1.34.9}}",
        &around("{}"),
        &expect![[r#"
            spec.topology.version: Forbidden: cannot go back from v1.35.0 to v1.34.9
        "#]],
    );
    check_cluster(
        Some("{}"),
        "spec: {topology: {version: v1.36.9}}",
        &around("{}"),
        &expect![[""]],
    );
    check_cluster(
        Some("{}"),
        "spec: {topology: {version: v1.37.0}}",
        &around("{}"),
        &expect![[r#"
            spec.topology.version: Forbidden: cannot go from v1.35.0 to v1.37.0: only one minor version at once, unless the class lists those between in spec.kubernetesVersions, or names an extension that plans upgrades
        "#]],
    );
    check_cluster(
        Some("{}"),
        "
metadata: {annotations: {unsafe.topology.cluster.x-k8s.io/disable-update-version-check: ''}}
spec: {topology: {version: v1.33.0}}",
        &around("{}"),
        &expect![[""]],
    );
    check_cluster(
        Some("{}"),
        "spec: {topology: {version: v1.37.0}}",
        &around("spec: {kubernetesVersions: [v1.35.0, v1.36.0, v1.37.0]}"),
        &expect![[""]],
    );
    check_cluster(
        Some("{}"),
        "spec: {topology: {classRef: {name: other}}}",
        &around("spec: {infrastructure: {templateRef: {kind: OtherTemplate}}}"),
        &expect![[r#"
            spec.topology.classRef: Forbidden: the classes do not fit together: spec.infrastructure.templateRef: Forbidden: must stay of kind LocalClusterTemplate.infrastructure.cluster.x-k8s.io, and not become OtherTemplate.infrastructure.cluster.x-k8s.io: clusters are made of that
        "#]],
    );
}

#[test]
fn a_version_changes_when_the_last_one_is_there() {
    let deployment = |version: &str, found: &str| {
        json!({
            "metadata": {"name": format!("d-{version}-{found}")},
            "spec": {"clusterName": "c", "selector": {}, "template": {"spec": {
                "clusterName": "c", "version": version, "bootstrap": {},
                "infrastructureRef": {"apiGroup": "g", "kind": "K", "name": "n"},
            }}},
            "status": {"versions": [{"version": found, "replicas": 1}]},
        })
    };
    let control_plane = |version: &str, found: &[&str]| {
        let found: Vec<Value> = found.iter().map(|v| json!({"version": v})).collect();
        Some(
            json!({"kind": "KubeadmControlPlane", "spec": {"version": version}, "status": {"versions": found}}),
        )
    };
    let old = "v1.35.0";
    let cases = [
        (control_plane(old, &[old]), vec![deployment(old, old)]),
        (control_plane(old, &[]), vec![]),
        (control_plane(old, &[old, "v1.34.0"]), vec![]),
        (control_plane("v1.34.0", &["v1.34.0"]), vec![]),
        (
            control_plane(old, &[old]),
            vec![
                deployment("v1.34.0", "v1.34.0"),
                deployment(old, "v1.34.0"),
                deployment(old, old),
            ],
        ),
    ];
    let mut text = String::new();
    for (control_plane, workers) in cases {
        let around = Surroundings {
            control_plane,
            workers,
            ..around("{}")
        };
        let new = cluster("spec: {topology: {version: v1.36.0}}");
        let found = validate_for_class(&new, Some(&cluster("{}")), &around);
        text += &format!("- {}\n", lines(&found).trim_end());
    }
    let pending =
        "metadata: {annotations: {runtime.cluster.x-k8s.io/pending-hooks: 'AfterClusterUpgrade'}}";
    let new = cluster("spec: {topology: {version: v1.36.0}}");
    let around = Surroundings {
        control_plane: control_plane(old, &[old]),
        ..around("{}")
    };
    let found = validate_for_class(&new, Some(&cluster(pending)), &around);
    text += &format!("- {}\n", lines(&found).trim_end());
    expect![[r#"
        - 
        - spec.topology.version: Forbidden: cannot be changed now: KubeadmControlPlane is being set up
        - spec.topology.version: Forbidden: cannot be changed now: KubeadmControlPlane is upgrading to v1.35.0
        - spec.topology.version: Forbidden: cannot be changed now: KubeadmControlPlane does not have v1.35.0 yet
        - spec.topology.version: Forbidden: cannot be changed now: not upgraded to v1.35.0 yet: d-v1.34.0-v1.34.0, d-v1.35.0-v1.34.0
        - spec.topology.version: Forbidden: cannot be changed now: a runtime extension has not agreed to the end of the last upgrade (AfterClusterUpgrade)
    "#]].assert_eq(&text);
}

#[test]
fn schemas_and_values_have_a_depth() {
    let (mut schema, mut value) = (json!({"type": "integer"}), json!(1));
    for _ in 0..70 {
        schema = json!({"type": "array", "items": schema});
        value = json!([value]);
    }
    let mut errors = vec![];
    variables::check_value("value", &schema, &value, &mut errors);
    assert!(
        lines(&errors).ends_with("must not be nested more than 64 deep\n"),
        "{errors:?}"
    );
    let variables =
        json!([{"name": "deep", "required": false, "schema": {"openAPIV3Schema": schema}}]);
    let mut class = class("{}");
    class["spec"]["variables"] = variables;
    let found = validate("cluster.x-k8s.io", "v1beta2", "ClusterClass", &class, None);
    assert!(
        lines(&found).ends_with("must not be nested more than 64 deep\n"),
        "{found:?}"
    );
}

#[test]
fn patterns_have_a_size() {
    let mut errors = vec![];
    let variable = json!([{"name": "v", "required": false, "schema": {"openAPIV3Schema": {"type": "string", "pattern": "((a{100}){100}){100}"}}}]);
    let variables: Vec<crate::cluster::cluster_class::ClassVariable> =
        serde_json::from_value(variable).unwrap();
    variables::check_definitions("spec.variables", &variables, &mut errors);
    assert!(lines(&errors).contains("exceeds size limit"), "{errors:?}");
}
