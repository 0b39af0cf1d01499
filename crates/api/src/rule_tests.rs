//! Defaults and validation of the Cluster API kinds: manifest in, what is filled and what is found out.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bootstrap::{KubeadmConfig, kubeadm_config};
use crate::cluster::{
    Cluster, Machine, MachineDeployment, MachineDrainRule, MachineHealthCheck, MachineSet,
};
use crate::cluster::{
    cluster, machine, machine_deployment, machine_drain_rule, machine_health_check, machine_set,
};
use crate::controlplane::{
    KubeadmControlPlane, KubeadmControlPlaneTemplate, kubeadm_control_plane,
    kubeadm_control_plane_template,
};
use crate::infrastructure::{LocalMachineTemplate, local_machine_template};
use crate::meta::FieldError;

fn parse<K: DeserializeOwned>(yaml: &str) -> K {
    serde_saphyr::from_str(yaml).unwrap()
}

fn errors(errors: &[FieldError]) -> String {
    errors.iter().fold(String::new(), |mut text, error| {
        writeln!(text, "{error}").unwrap();
        text
    })
}

/// Shows an object after defaulting, and what validation finds then.
fn show<K: Serialize>(object: &K, found: &[FieldError]) -> String {
    serde_saphyr::to_string(object).unwrap() + &errors(found)
}

fn check_deployment(yaml: &str, old: Option<&str>, expect: Expect) {
    let mut deployment: MachineDeployment = parse(yaml);
    let old: Option<MachineDeployment> = old.map(parse);
    machine_deployment::default(&mut deployment, old.as_ref());
    let found = machine_deployment::validate(&deployment, old.as_ref());
    expect.assert_eq(&show(&deployment, &found));
}

const DEPLOYMENT: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: md-0, namespace: acme}
spec:
  clusterName: hello
  selector: {}
  template:
    spec:
      clusterName: hello
      version: 1.36.0
      bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: md-0}}
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: LocalMachineTemplate, name: md-0}
";

#[test]
fn machine_deployment_gets_selector_strategy_replicas_and_v() {
    check_deployment(
        DEPLOYMENT,
        None,
        expect![[r#"
        apiVersion: cluster.x-k8s.io/v1beta2
        kind: MachineDeployment
        metadata:
          labels:
            cluster.x-k8s.io/cluster-name: hello
          name: md-0
          namespace: acme
        spec:
          clusterName: hello
          replicas: 1
          rollout:
            strategy:
              type: RollingUpdate
              rollingUpdate:
                maxUnavailable: 0
                maxSurge: 1
          selector:
            matchLabels:
              cluster.x-k8s.io/cluster-name: hello
              cluster.x-k8s.io/deployment-name: md-0
          template:
            metadata:
              labels:
                cluster.x-k8s.io/cluster-name: hello
                cluster.x-k8s.io/deployment-name: md-0
            spec:
              clusterName: hello
              bootstrap:
                configRef:
                  apiGroup: bootstrap.cluster.x-k8s.io
                  kind: KubeadmConfigTemplate
                  name: md-0
              infrastructureRef:
                apiGroup: infrastructure.cluster.x-k8s.io
                kind: LocalMachineTemplate
                name: md-0
              version: v1.36.0
    "#]],
    );
}

#[test]
fn machine_deployment_replicas_respect_the_autoscaler() {
    let sized = |replicas: &str| {
        let annotations = "annotations: {cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size: '3', cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: '7'}";
        DEPLOYMENT
            .replace(
                "namespace: acme",
                &format!("namespace: acme, {annotations}"),
            )
            .replace("selector: {}", &format!("selector: {{}}{replicas}"))
    };
    let mut table = String::new();
    for (new, old) in [
        ("", None),
        ("", Some(2)),
        ("", Some(5)),
        ("", Some(9)),
        ("\n  replicas: 1", Some(5)),
    ] {
        let mut deployment: MachineDeployment = parse(&sized(new));
        let old = old.map(|r| parse::<MachineDeployment>(&sized(&format!("\n  replicas: {r}"))));
        machine_deployment::default(&mut deployment, old.as_ref());
        let before = old.map(|o| o.replicas());
        writeln!(
            table,
            "{:?} over {before:?} gives {}",
            new.trim(),
            deployment.replicas()
        )
        .unwrap();
    }
    expect![[r#"
        "" over None gives 3
        "" over Some(2) gives 3
        "" over Some(5) gives 5
        "" over Some(9) gives 7
        "replicas: 1" over Some(5) gives 1
    "#]]
    .assert_eq(&table);
}

#[test]
fn machine_deployment_names_what_is_wrong() {
    let mut new: MachineDeployment = parse(DEPLOYMENT);
    machine_deployment::default(&mut new, None);
    let old = new.clone();
    new.spec.cluster_name = "other".to_owned();
    new.spec.template.spec.version = Some("v1.36".to_owned());
    new.spec.template.spec.bootstrap.config_ref = None;
    new.spec.replicas = Some(-1);
    new.spec.machine_naming = Some(parse("{template: 'x-{{ .machineSet.name }}'}"));
    new.spec.rollout = Some(parse(
        "{strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}}",
    ));
    new.spec.remediation = Some(parse("{maxInFlight: many}"));
    new.spec.template.spec.taints = Some(parse(
        "[{key: node-role.kubernetes.io/control-plane, effect: NoSchedule, propagation: Always}]",
    ));
    if let Some(labels) = new
        .spec
        .template
        .metadata
        .as_mut()
        .and_then(|m| m.labels.as_mut())
    {
        labels.clear();
    }
    expect![[r#"
        spec.template.metadata.labels: Invalid value: must match spec.selector
        spec.template.spec.clusterName: Invalid value: must be "other", as spec.clusterName
        spec.template.spec.bootstrap: Required value: either configRef or dataSecretName must be set
        spec.template.spec.version: Invalid value: "v1.36" must be a version such as v1.36.0
        spec.template.spec.taints[0].key: Invalid value: node-role.kubernetes.io/control-plane is for control plane machines only
        spec.machineNaming.template: Invalid value: must contain {{ .random }}
        spec.replicas: Invalid value: must be 0 or more
        spec.rollout.strategy.rollingUpdate.maxUnavailable: Invalid value: must not be 0 when maxSurge is 0: no machine could ever be replaced
        spec.remediation.maxInFlight: Invalid value: must be a number of 0 or more, or a percentage such as "25%"
        spec.clusterName: Forbidden: cannot be changed from "hello"
    "#]].assert_eq(&errors(&machine_deployment::validate(&new, Some(&old))));
}

#[test]
fn machine_set_gets_its_own_label_as_selector() {
    let mut set: MachineSet = parse(&DEPLOYMENT.replace("MachineDeployment", "MachineSet"));
    machine_set::default(&mut set, None);
    let found = machine_set::validate(&set, None);
    expect![[r#"
        matchLabels:
          cluster.x-k8s.io/set-name: md-0
    "#]]
    .assert_eq(&show(&set.spec.selector, &found));
}

#[test]
fn health_check_gets_its_label_and_a_time_for_nodes_to_come() {
    let mut check: MachineHealthCheck =
        parse("{metadata: {name: c}, spec: {clusterName: hello, selector: {matchLabels: {a: b}}}}");
    machine_health_check::default(&mut check);
    let found = machine_health_check::validate(&check, None);
    expect![[r#"
        apiVersion: cluster.x-k8s.io/v1beta2
        kind: MachineHealthCheck
        metadata:
          labels:
            cluster.x-k8s.io/cluster-name: hello
          name: c
        spec:
          clusterName: hello
          selector:
            matchLabels:
              a: b
          checks:
            nodeStartupTimeoutSeconds: 600
    "#]]
    .assert_eq(&show(&check, &found));
    let mut new = check.clone();
    new.spec = parse(
        "{clusterName: other, selector: {matchLabels: {cluster.x-k8s.io/cluster-name: hello}}, checks: {nodeStartupTimeoutSeconds: 29}, \
         remediation: {templateRef: {apiVersion: a.b/v1, kind: Machine, name: x}, triggerIf: {unhealthyLessThanOrEqualTo: some, unhealthyInRange: '[3-1]'}}}",
    );
    expect![[r#"
        spec.selector.matchLabels[cluster.x-k8s.io/cluster-name]: Invalid value: must be "other", the name in spec.clusterName, and not "hello"
        spec.checks.nodeStartupTimeoutSeconds: Invalid value: must be 30 or more, or 0 for no limit
        spec.remediation.templateRef.kind: Invalid value: "Machine" must end with "Template": requests for remediation are of the kind without it
        spec.remediation.triggerIf.unhealthyLessThanOrEqualTo: Invalid value: must be a number of 0 or more, or a percentage such as "25%"
        spec.remediation.triggerIf.unhealthyInRange: Invalid value: "[3-1]" must be a range such as "[3-5]", the smaller number first
        spec.clusterName: Forbidden: cannot be changed from "hello"
    "#]].assert_eq(&errors(&machine_health_check::validate(&new, Some(&check))));
    new.spec = parse("{clusterName: hello, selector: {}, checks: {nodeStartupTimeoutSeconds: 0}}");
    expect![[r#"
        spec.selector: Required value: must select something: the machines of one MachineDeployment, or of the control plane
    "#]].assert_eq(&errors(&machine_health_check::validate(&new, Some(&check))));
}

#[test]
fn drain_rule_names_what_is_wrong() {
    let rule: MachineDrainRule = parse(
        "
metadata: {name: r}
spec:
  drain: {behavior: Skip, order: 3}
  machines:
  - {selector: {matchExpressions: [{key: a, operator: In}]}}
  - {clusterSelector: {matchExpressions: [{key: '', operator: Exists, values: [x]}]}}
  pods:
  - {selector: {matchLabels: {a: b}}, namespaceSelector: {matchExpressions: [{key: a, operator: Like, values: [x]}]}}
",
    );
    expect![[r#"
        spec.drain.order: Invalid value: must not be set if spec.drain.behavior is Skip: only pods that are evicted have an order
        spec.machines[0].selector.matchExpressions[0].values: Required value: must name at least one value if operator is In
        spec.machines[1].clusterSelector.matchExpressions[0].values: Forbidden: must not be set if operator is Exists
        spec.machines[1].clusterSelector.matchExpressions[0].key: Required value: must name a label
        spec.pods[0].namespaceSelector.matchExpressions[0].operator: Invalid value: "Like" must be one of In, NotIn, Exists, DoesNotExist
    "#]]
    .assert_eq(&errors(&machine_drain_rule::validate(&rule)));
}

#[test]
fn machine_gets_label_v_and_deletion_timeout() {
    let mut machine: Machine = parse(
        "{metadata: {name: m}, spec: {clusterName: hello, version: 1.36.0, bootstrap: {dataSecretName: x}, \
         infrastructureRef: {apiGroup: g, kind: K, name: n}}}",
    );
    machine::default(&mut machine);
    expect![[r#"
        apiVersion: cluster.x-k8s.io/v1beta2
        kind: Machine
        metadata:
          labels:
            cluster.x-k8s.io/cluster-name: hello
          name: m
        spec:
          clusterName: hello
          bootstrap:
            dataSecretName: x
          infrastructureRef:
            apiGroup: g
            kind: K
            name: "n"
          version: v1.36.0
          deletion:
            nodeDeletionTimeoutSeconds: 10
    "#]]
    .assert_eq(&show(&machine, &machine::validate(&machine, None)));
}

#[test]
fn machine_must_boot_somehow_and_stays_in_its_cluster() {
    let old: Machine = parse(
        "{metadata: {name: m}, spec: {clusterName: hello, bootstrap: {}, infrastructureRef: {apiGroup: g, kind: K, name: n}}}",
    );
    let mut new = old.clone();
    new.spec.cluster_name = "other".to_owned();
    new.spec.version = Some("latest".to_owned());
    expect![[r#"
        spec.bootstrap: Required value: either configRef or dataSecretName must be set
        spec.version: Invalid value: "latest" must be a version such as v1.36.0
        spec.clusterName: Forbidden: cannot be changed from "hello"
    "#]]
    .assert_eq(&errors(&machine::validate(&new, Some(&old))));
}

fn check_cluster(yaml: &str, expect: Expect) {
    let cluster: Cluster = parse(yaml);
    expect.assert_eq(&errors(&cluster::validate(&cluster, None)));
}

#[test]
fn cluster_names_what_is_wrong() {
    check_cluster(
        "{metadata: {name: Hello.World}, spec: {paused: true}}",
        expect![[r#"
        metadata.name: Invalid value: "Hello.World" must consist of at most 63 lower-case letters, digits and '-', and start and end with a letter or digit
        spec.infrastructureRef: Required value: at least one of spec.infrastructureRef, spec.controlPlaneRef and spec.topology must be set
    "#]],
    );
    check_cluster(
        "{metadata: {name: hello}, spec: {infrastructureRef: {apiGroup: g, kind: K, name: n}, \
         clusterNetwork: {pods: {cidrBlocks: [10.0.0.0/8, 10.0.0.0/33]}, services: {cidrBlocks: [fd00::/48, nonsense]}}}}",
        expect![[r#"
            spec.clusterNetwork.pods.cidrBlocks[1]: Invalid value: "10.0.0.0/33" must be an address range such as 10.128.0.0/12
            spec.clusterNetwork.services.cidrBlocks[1]: Invalid value: "nonsense" must be an address range such as 10.128.0.0/12
        "#]],
    );
}

#[test]
fn cluster_keeps_its_references() {
    let old: Cluster = parse(
        "{metadata: {name: hello}, spec: {infrastructureRef: {apiGroup: g, kind: K, name: n}, \
         controlPlaneRef: {apiGroup: g, kind: C, name: n}}}",
    );
    let mut new = old.clone();
    new.spec.control_plane_ref = None;
    expect![[r#"
        spec.controlPlaneRef: Forbidden: cannot be removed; it may be changed to another object
    "#]]
    .assert_eq(&errors(&cluster::validate(&new, Some(&old))));
}

const CONTROL_PLANE: &str = "
metadata: {name: hello}
spec:
  version: 1.36.0
  machineTemplate: {spec: {infrastructureRef: {apiGroup: g, kind: K, name: n}}}
  kubeadmConfigSpec: {clusterConfiguration: {certificatesDir: /pki, featureGates: {A: true}}}
";

#[test]
fn control_plane_gets_replicas_strategy_and_v() {
    let mut control_plane: KubeadmControlPlane = parse(CONTROL_PLANE);
    kubeadm_control_plane::default(&mut control_plane);
    let found = kubeadm_control_plane::validate(&control_plane, None);
    expect![[r#"
        apiVersion: controlplane.cluster.x-k8s.io/v1beta2
        kind: KubeadmControlPlane
        metadata:
          name: hello
        spec:
          replicas: 1
          version: v1.36.0
          machineTemplate:
            spec:
              infrastructureRef:
                apiGroup: g
                kind: K
                name: "n"
          kubeadmConfigSpec:
            clusterConfiguration:
              certificatesDir: /pki
              featureGates:
                A: true
          rollout:
            strategy:
              type: RollingUpdate
              rollingUpdate:
                maxSurge: 1
    "#]]
    .assert_eq(&show(&control_plane, &found));
}

fn check_control_plane_change(change: impl FnOnce(&mut KubeadmControlPlane), expect: Expect) {
    let mut old: KubeadmControlPlane = parse(CONTROL_PLANE);
    kubeadm_control_plane::default(&mut old);
    let mut new = old.clone();
    change(&mut new);
    expect.assert_eq(&errors(&kubeadm_control_plane::validate(&new, Some(&old))));
}

#[test]
fn control_plane_replicas_are_odd_and_surge_is_0_or_1() {
    check_control_plane_change(
        |k| k.spec.replicas = Some(2),
        expect![[r#"
        spec.replicas: Forbidden: cannot be an even number when etcd runs on the control plane machines
    "#]],
    );
    check_control_plane_change(
        |k| k.spec.replicas = Some(0),
        expect![[r#"
        spec.replicas: Forbidden: cannot be less than 1
    "#]],
    );
    let surge = |value: &str| {
        parse(&format!(
            "{{strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: {value}}}}}}}"
        ))
    };
    check_control_plane_change(
        |k| k.spec.rollout = Some(surge("0")),
        expect![[r#"
        spec.rollout.strategy.rollingUpdate.maxSurge: Invalid value: must be 1 when there are fewer than 3 replicas
    "#]],
    );
    check_control_plane_change(
        |k| k.spec.rollout = Some(surge("2")),
        expect![[r#"
        spec.rollout.strategy.rollingUpdate.maxSurge: Invalid value: must be 0 or 1
    "#]],
    );
    check_control_plane_change(
        |k| {
            k.spec.rollout = Some(surge("0"));
            k.spec.replicas = Some(3);
        },
        expect![[""]],
    );
    // With etcd elsewhere any number will do.
    let mut external: KubeadmControlPlane = parse(CONTROL_PLANE);
    kubeadm_control_plane::default(&mut external);
    external.spec.kubeadm_config_spec = Some(parse(
        "clusterConfiguration: {etcd: {external: {endpoints: [e], caFile: a, certFile: b, keyFile: c}}}",
    ));
    external.spec.replicas = Some(2);
    assert_eq!(
        errors(&kubeadm_control_plane::validate(&external, None)),
        ""
    );
    // And a surge of 0 keeps its machines.
    let mut small: KubeadmControlPlane = parse(CONTROL_PLANE);
    kubeadm_control_plane::default(&mut small);
    (small.spec.rollout, small.spec.replicas) = (Some(surge("0")), Some(3));
    let three = small.clone();
    small.spec.replicas = Some(1);
    expect![[r#"
        spec.rollout.strategy.rollingUpdate.maxSurge: Invalid value: must be 1 when there are fewer than 3 replicas
    "#]]
    .assert_eq(&errors(&kubeadm_control_plane::validate(&small, Some(&three))));
}

#[test]
fn control_plane_versions_skip_no_minor() {
    check_control_plane_change(|k| k.spec.version = "v1.37.2".to_owned(), expect![[""]]);
    check_control_plane_change(
        |k| k.spec.version = "v1.38.0".to_owned(),
        expect![[r#"
        spec.version: Forbidden: cannot go from v1.36.0 to v1.38.0: minor versions cannot be skipped
    "#]],
    );
    check_control_plane_change(|k| k.spec.version = "v1.35.0".to_owned(), expect![[""]]);
    check_control_plane_change(
        |k| k.spec.version = "newest".to_owned(),
        expect![[r#"
        spec.version: Invalid value: "newest" must be a version such as v1.36.0
    "#]],
    );
}

#[test]
fn coredns_goes_forward_over_versions_that_are_known() {
    let check = |from: Option<&str>, to: &str, is_skipped: bool, expect: Expect| {
        let with = |tag: Option<&str>| {
            let mut control_plane: KubeadmControlPlane = parse(CONTROL_PLANE);
            kubeadm_control_plane::default(&mut control_plane);
            let config = control_plane.spec.kubeadm_config_spec.as_mut().unwrap();
            let cluster = config.cluster_configuration.as_mut().unwrap();
            cluster.dns = tag.map(|tag| parse(&format!("{{imageTag: '{tag}'}}")));
            control_plane
        };
        let mut new = with(Some(to));
        if is_skipped {
            let skip = "controlplane.cluster.x-k8s.io/skip-coredns".to_owned();
            new.metadata.annotations = Some([(skip, String::new())].into());
        }
        let found = kubeadm_control_plane::validate(&new, Some(&with(from)));
        expect.assert_eq(&errors(&found));
    };
    check(Some("v1.12.4"), "v1.14.2", false, expect![""]);
    check(
        Some("v1.12.4"),
        "v1.12.0",
        false,
        expect![[r#"
        spec.kubeadmConfigSpec.clusterConfiguration.dns.imageTag: Forbidden: cannot go back from 1.12.4 to 1.12.0
    "#]],
    );
    check(Some("v1.12.4"), "v1.12.0", true, expect![""]);
    check(
        Some("v1.6.7"),
        "v1.12.4",
        false,
        expect![[r#"
        spec.kubeadmConfigSpec.clusterConfiguration.dns.imageTag: Forbidden: cannot go from 1.6.7 to 1.12.4: the configuration of 1.6.7 is not known (1.8 to 1.14 are); upgrade CoreDNS yourself, and say so by the annotation controlplane.cluster.x-k8s.io/skip-coredns
    "#]],
    );
    check(Some("my-build"), "my-build", false, expect![""]);
    check(None, "newest", true, expect![""]);
    check(
        None,
        "newest",
        false,
        expect![[r#"
        spec.kubeadmConfigSpec.clusterConfiguration.dns.imageTag: Invalid value: "newest" must begin with a version of CoreDNS, such as v1.12.4
    "#]],
    );
}

#[test]
fn templates_of_control_planes_say_what_coredns_can_be() {
    let template: KubeadmControlPlaneTemplate = parse(
        "{metadata: {name: a}, spec: {template: {spec: {kubeadmConfigSpec: {clusterConfiguration: {dns: {imageTag: newest}}}}}}}",
    );
    let found = kubeadm_control_plane_template::validate(&template, None);
    expect![[r#"
        spec.template.spec.kubeadmConfigSpec.clusterConfiguration.dns.imageTag: Invalid value: "newest" must begin with a version of CoreDNS, such as v1.12.4
    "#]].assert_eq(&errors(&found));
    let found = kubeadm_control_plane_template::validate(&template, Some(&template));
    expect![""].assert_eq(&errors(&found));
}

#[test]
fn control_plane_changes_only_what_machines_can_follow() {
    let cluster = |yaml: &str| Some(parse(&format!("{{clusterConfiguration: {yaml}}}")));
    check_control_plane_change(
        |k| {
            k.spec.kubeadm_config_spec =
                cluster("{certificatesDir: /other, featureGates: {A: true}}");
        },
        expect![[r#"
            spec.kubeadmConfigSpec.clusterConfiguration.certificatesDir: Forbidden: cannot be changed
        "#]],
    );
    check_control_plane_change(
        |k| {
            k.spec.kubeadm_config_spec = cluster(
                "{certificatesDir: /pki, featureGates: {B: true}, etcd: {local: {dataDir: /d}}}",
            );
        },
        expect![[""]],
    );
    check_control_plane_change(
        |k| {
            k.spec.kubeadm_config_spec = cluster(
                "{certificatesDir: /pki, featureGates: {A: true}, etcd: {external: {endpoints: [e], caFile: a, certFile: b, keyFile: c}}}",
            );
        },
        expect![[r#"
            spec.kubeadmConfigSpec.clusterConfiguration.etcd: Forbidden: cannot be changed between local and external
        "#]],
    );
}

#[test]
fn kubeadm_config_names_what_is_wrong() {
    let config: KubeadmConfig = parse(
        "{metadata: {name: c}, spec: {ignition: {containerLinuxConfig: {strict: true}}, \
         files: [{path: /a, content: x, contentFrom: {secret: {name: s, key: k}}}, {path: /a, content: y}], \
         users: [{name: u, passwd: x, passwdFrom: {secret: {name: s, key: k}}}], \
         diskSetup: {partitions: [{device: /dev/sda, diskLayout: [{percentage: 60}, {percentage: 50}]}]}}}",
    );
    expect![[r#"
        spec.files[0]: Invalid value: only one of content and contentFrom may be set
        spec.files[1].path: Invalid value: "/a" occurs more than once
        spec.users[0]: Invalid value: only one of passwd and passwdFrom may be set
        spec.diskSetup.partitions[0].diskLayout: Invalid value: percentages add up to 110; at most 100 is possible
        spec.ignition: Forbidden: may be set only if format is ignition
    "#]].assert_eq(&errors(&kubeadm_config::validate(&config, None)));
}

#[test]
fn control_planes_have_one_timeout_for_init_and_join() {
    let mut text = String::new();
    for spec in [
        "{initConfiguration: {timeouts: {controlPlaneComponentHealthCheckSeconds: 60}}}",
        "{initConfiguration: {timeouts: {controlPlaneComponentHealthCheckSeconds: 60}}, joinConfiguration: {timeouts: {controlPlaneComponentHealthCheckSeconds: 90}}}",
        "{initConfiguration: {timeouts: {controlPlaneComponentHealthCheckSeconds: 60}}, joinConfiguration: {timeouts: {controlPlaneComponentHealthCheckSeconds: 60}}}",
        "{initConfiguration: {timeouts: {tlsBootstrapSeconds: 60}}}",
    ] {
        let mut errors = vec![];
        kubeadm_config::check_timeouts("spec.kubeadmConfigSpec", &parse(spec), &mut errors);
        text += &self::errors(&errors);
    }
    expect![[r#"
        spec.kubeadmConfigSpec.joinConfiguration.timeouts.controlPlaneComponentHealthCheckSeconds: Invalid value: is not set, but 60 in initConfiguration; both must be the same
        spec.kubeadmConfigSpec.joinConfiguration.timeouts.controlPlaneComponentHealthCheckSeconds: Invalid value: is 90, but 60 in initConfiguration; both must be the same
    "#]].assert_eq(&text);
}

#[test]
fn discovery_has_one_kind_of_user() {
    let config: KubeadmConfig = parse(
        "{metadata: {name: c}, spec: {joinConfiguration: {discovery: {file: {kubeConfigPath: /a, kubeConfig: {user: {authProvider: {name: a}, exec: {command: b}}}}}}}}",
    );
    expect![[r#"
        spec.joinConfiguration.discovery.file.kubeConfig.user: Invalid value: only one of authProvider and exec may be set
    "#]].assert_eq(&errors(&kubeadm_config::validate(&config, None)));
}

#[test]
fn ignition_cannot_say_everything() {
    let config: KubeadmConfig = parse(
        "{metadata: {name: c}, spec: {format: ignition, ignition: {containerLinuxConfig: {strict: true}}, bootCommands: [date], \
         files: [{path: /a, encoding: gzip}, {path: /b, encoding: gzip+base64}, {path: /c, encoding: base64}], \
         users: [{name: u, inactive: true}, {name: v, inactive: false}], \
         diskSetup: {partitions: [{device: /dev/sda, layout: true, tableType: mbr}, \
           {device: /dev/sdb, tableType: gpt, diskLayout: [{percentage: 60}]}, {device: /dev/sdc, diskLayout: [{percentage: 100}]}], \
           filesystems: [{device: /dev/sda1, filesystem: ext4, replaceFS: xfs, partition: auto}]}}}",
    );
    expect![[r#"
        spec.files[0].encoding: Forbidden: cannot be used if format is ignition: use base64
        spec.files[1].encoding: Forbidden: cannot be used if format is ignition: use base64
        spec.users[0].inactive: Forbidden: cannot be used if format is ignition: leave the user out
        spec.bootCommands: Forbidden: cannot be used if format is ignition: use preKubeadmCommands
        spec.diskSetup.partitions[0].tableType: Forbidden: cannot be used if format is ignition: only gpt is possible
        spec.diskSetup.partitions[1].diskLayout: Forbidden: cannot be used if format is ignition: only one partition of 100 percent is possible
        spec.diskSetup.filesystems[0].replaceFS: Forbidden: cannot be used if format is ignition: use overwrite
        spec.diskSetup.filesystems[0].partition: Forbidden: cannot be used if format is ignition: name the partition in device
    "#]].assert_eq(&errors(&kubeadm_config::validate(&config, None)));
}

#[test]
fn kubeadm_config_needs_no_spec() {
    let config: KubeadmConfig = parse("{metadata: {name: c}}");
    let mut wire = serde_saphyr::to_string(&config).unwrap();
    wire += &errors(&kubeadm_config::validate(&config, None));
    expect![[r#"
        apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
        kind: KubeadmConfig
        metadata:
          name: c
    "#]]
    .assert_eq(&wire);
}

#[test]
fn machine_templates_are_immutable() {
    let old: LocalMachineTemplate =
        parse("{metadata: {name: t}, spec: {template: {spec: {cpus: 2}}}}");
    let mut new = old.clone();
    new.spec.template.spec.cpus = Some(4);
    expect![[r#"
        spec.template.spec: Forbidden: cannot be changed; make a template with another name and refer to that
    "#]].assert_eq(&errors(&local_machine_template::validate(&new, Some(&old))));
}

#[test]
fn versions_are_ordered_as_semantic_versions_are() {
    let sorted = [
        "v1.35.9",
        "v1.36.0-alpha",
        "v1.36.0-alpha.1",
        "v1.36.0-alpha.beta",
        "v1.36.0-beta.2",
        "v1.36.0-beta.11",
        "v1.36.0-rc.1",
        "v1.36.0",
        "v1.36.0+build.1",
        "v1.36.1-rc.0",
        "v1.36.1",
    ];
    let parsed: Vec<_> = sorted
        .iter()
        .map(|v| crate::cluster::rules::Version::parse(v).unwrap())
        .collect();
    for pair in parsed.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
    }
}

#[test]
fn templates_and_selectors_name_what_is_wrong() {
    let mut new: MachineDeployment = parse(DEPLOYMENT);
    machine_deployment::default(&mut new, None);
    new.metadata.annotations = Some(parse(
        "{machineset.cluster.x-k8s.io/skip-preflight-checks: 'KubeadmVersionSkew, KubletVersionSkew'}",
    ));
    new.spec.selector.match_expressions = Some(parse("[{key: a, operator: Like, values: [b]}]"));
    let metadata = new.spec.template.metadata.get_or_insert_default();
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("team".to_owned(), "no spaces".to_owned());
    labels.insert("Example.com/team".to_owned(), "a".to_owned());
    metadata.annotations = Some(parse("{-x: any value}"));
    expect![[r#"
        spec.selector.matchExpressions[0].operator: Invalid value: "Like" must be one of In, NotIn, Exists, DoesNotExist
        spec.template.metadata.labels: Invalid value: "Example.com/team" must be a name such as "team" or "example.com/team"
        spec.template.metadata.labels[team]: Invalid value: "no spaces" must consist of at most 63 letters, digits, '-', '_' and '.', and start and end with a letter or digit
        spec.template.metadata.annotations: Invalid value: "-x" must be a name such as "team" or "example.com/team"
        metadata.annotations[machineset.cluster.x-k8s.io/skip-preflight-checks]: Invalid value: "KubletVersionSkew" must be one of All, KubeadmVersionSkew, KubernetesVersionSkew, ControlPlaneIsStable, ControlPlaneVersionSkew
    "#]]
    .assert_eq(&errors(&machine_deployment::validate(&new, None)));
    let check: MachineHealthCheck = parse(
        "{metadata: {name: c}, spec: {clusterName: hello, selector: {matchExpressions: [{key: a, operator: In}]}}}",
    );
    expect![[r#"
        spec.selector.matchExpressions[0].values: Required value: must name at least one value if operator is In
    "#]]
    .assert_eq(&errors(&machine_health_check::validate(&check, None)));
    check_control_plane_change(
        |k| {
            let metadata = k.spec.machine_template.metadata.get_or_insert_default();
            metadata.labels = Some(parse("{team: 'no spaces'}"));
        },
        expect![[r#"
            spec.machineTemplate.metadata.labels[team]: Invalid value: "no spaces" must consist of at most 63 letters, digits, '-', '_' and '.', and start and end with a letter or digit
        "#]],
    );
}

#[test]
fn every_path_of_a_control_plane_that_may_change_may() {
    let changed = |path: &str| {
        let mut new: KubeadmControlPlane = parse(CONTROL_PLANE);
        kubeadm_control_plane::default(&mut new);
        let old = new.clone();
        let mut value = serde_json::to_value(&new).unwrap();
        let (path, json) = path.split_once('=').unwrap();
        let mut at = &mut value["spec"];
        for field in path.split('.') {
            if at.is_null() {
                *at = serde_json::json!({});
            }
            at = &mut at[field];
        }
        *at = serde_json::from_str(json).unwrap();
        let new: KubeadmControlPlane = serde_json::from_value(value).unwrap();
        assert_ne!(new.spec, old.spec, "{path}");
        errors(&kubeadm_control_plane::validate(&new, Some(&old)))
    };
    for path in [
        r#"replicas=3"#,
        r#"version="v1.36.9""#,
        r#"rollout.after="2026-01-01T00:00:00Z""#,
        r#"remediation={"maxRetry": 3}"#,
        r#"machineNaming={"template": "a-{{ .random }}"}"#,
        r#"machineTemplate.metadata={"labels": {"a": "b"}}"#,
        r#"machineTemplate.spec.deletion={"nodeDrainTimeoutSeconds": 9}"#,
        r#"kubeadmConfigSpec.bootCommands=["a"]"#,
        r#"kubeadmConfigSpec.preKubeadmCommands=["a"]"#,
        r#"kubeadmConfigSpec.postKubeadmCommands=["a"]"#,
        r#"kubeadmConfigSpec.files=[{"path": "/a", "content": "b"}]"#,
        r#"kubeadmConfigSpec.users=[{"name": "a"}]"#,
        r#"kubeadmConfigSpec.ntp={"enabled": true}"#,
        r#"kubeadmConfigSpec.format="cloud-config""#,
        r#"kubeadmConfigSpec.mounts=[["a", "b"]]"#,
        r#"kubeadmConfigSpec.verbosity=3"#,
        r#"kubeadmConfigSpec.clusterConfiguration.etcd.local={"dataDir": "/a"}"#,
        r#"kubeadmConfigSpec.clusterConfiguration.dns={"imageTag": "v1.12.4"}"#,
        r#"kubeadmConfigSpec.clusterConfiguration.imageRepository="a""#,
        r#"kubeadmConfigSpec.clusterConfiguration.featureGates={"B": true}"#,
        r#"kubeadmConfigSpec.clusterConfiguration.apiServer={"certSANs": ["a"]}"#,
        r#"kubeadmConfigSpec.clusterConfiguration.controllerManager={"extraArgs": [{"name": "a", "value": "b"}]}"#,
        r#"kubeadmConfigSpec.clusterConfiguration.scheduler={"extraArgs": [{"name": "a", "value": "b"}]}"#,
        r#"kubeadmConfigSpec.clusterConfiguration.certificateValidityPeriodDays=100"#,
        r#"kubeadmConfigSpec.clusterConfiguration.encryptionAlgorithm="RSA-3072""#,
        r#"kubeadmConfigSpec.initConfiguration={"skipPhases": ["a"]}"#,
        r#"kubeadmConfigSpec.joinConfiguration={"skipPhases": ["a"]}"#,
    ] {
        assert_eq!(changed(path), "", "{path}");
    }
    for (path, what) in [
        (
            r#"kubeadmConfigSpec.clusterConfiguration.controlPlaneEndpoint="a:1""#,
            "controlPlaneEndpoint",
        ),
        (
            r#"kubeadmConfigSpec.clusterConfiguration.certificatesDir="/a""#,
            "certificatesDir",
        ),
        (
            r#"kubeadmConfigSpec.clusterConfiguration.caCertificateValidityPeriodDays=100000"#,
            "caCertificateValidityPeriodDays",
        ),
    ] {
        let expected = format!(
            "spec.kubeadmConfigSpec.clusterConfiguration.{what}: Forbidden: cannot be changed\n"
        );
        assert_eq!(changed(path), expected, "{path}");
    }
}
