//! What the API server does with objects of these kinds before it stores them: fills what was left out, and says what is wrong. Pure.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::addons::{cluster_resource_set, cluster_resource_set_binding};
use crate::bootstrap::{kubeadm_config, kubeadm_config_template};
use crate::cluster::{
    Cluster, ClusterClass, cluster, cluster_class_rules, machine, machine_deployment,
    machine_drain_rule, machine_health_check, machine_pool, machine_set, topology_rules,
};
use crate::controlplane::{kubeadm_control_plane, kubeadm_control_plane_template};
use crate::infrastructure::{
    local_cluster, local_cluster_template, local_machine, local_machine_pool,
    local_machine_pool_template, local_machine_template,
};
use crate::ipam::{ip_address, ip_address_claim};
use crate::meta::{
    ADDONS_GROUP, BOOTSTRAP_GROUP, CLUSTER_GROUP, CONTROL_PLANE_GROUP, FieldError,
    INFRASTRUCTURE_GROUP, IPAM_GROUP, RUNTIME_GROUP, V1BETA2,
};
use crate::runtime::extension_config;

/// Fills what was left out of a Cluster API object that is to be created, or updated from `old`. Objects of other kinds or versions, and
/// such that don't parse, are left as they are: the schema says what is wrong with them.
pub fn default(group: &str, version: &str, kind: &str, new: &mut Value, old: Option<&Value>) {
    match (group, version, kind) {
        (CLUSTER_GROUP, V1BETA2, "Cluster") => with(new, old, |new, _| cluster::default(new)),
        (CLUSTER_GROUP, V1BETA2, "Machine") => with(new, old, |new, _| machine::default(new)),
        (CLUSTER_GROUP, V1BETA2, "MachineSet") => with(new, old, machine_set::default),
        (CLUSTER_GROUP, V1BETA2, "MachineDeployment") => {
            with(new, old, machine_deployment::default);
        }
        (CLUSTER_GROUP, V1BETA2, "MachinePool") => with(new, old, machine_pool::default),
        (CLUSTER_GROUP, V1BETA2, "MachineHealthCheck") => {
            with(new, old, |new, _| machine_health_check::default(new));
        }
        (ADDONS_GROUP, V1BETA2, "ClusterResourceSet") => {
            with(new, old, |new, _| cluster_resource_set::default(new));
        }
        (RUNTIME_GROUP, V1BETA2, "ExtensionConfig") => {
            with(new, old, |new, _| extension_config::default(new));
        }
        (CONTROL_PLANE_GROUP, V1BETA2, "KubeadmControlPlane") => {
            with(new, old, |new, _| kubeadm_control_plane::default(new));
        }
        _ => {}
    }
}

/// What is wrong with a Cluster API object that is to be created, or updated from `old`.
#[must_use]
pub fn validate(
    group: &str,
    version: &str,
    kind: &str,
    new: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    match (group, version, kind) {
        (CLUSTER_GROUP, V1BETA2, "Cluster") => check(new, old, cluster::validate),
        (CLUSTER_GROUP, V1BETA2, "Machine") => check(new, old, machine::validate),
        (CLUSTER_GROUP, V1BETA2, "MachineSet") => check(new, old, machine_set::validate),
        (CLUSTER_GROUP, V1BETA2, "MachineDeployment") => {
            check(new, old, machine_deployment::validate)
        }
        (CLUSTER_GROUP, V1BETA2, "MachinePool") => check(new, old, machine_pool::validate),
        (CLUSTER_GROUP, V1BETA2, "MachineHealthCheck") => {
            check(new, old, machine_health_check::validate)
        }
        (CLUSTER_GROUP, V1BETA2, "MachineDrainRule") => {
            check(new, old, |new, _| machine_drain_rule::validate(new))
        }
        (ADDONS_GROUP, V1BETA2, "ClusterResourceSet") => {
            check(new, old, cluster_resource_set::validate)
        }
        (ADDONS_GROUP, V1BETA2, "ClusterResourceSetBinding") => {
            check(new, old, cluster_resource_set_binding::validate)
        }
        (IPAM_GROUP, V1BETA2, "IPAddress") => check(new, old, ip_address::validate),
        (IPAM_GROUP, V1BETA2, "IPAddressClaim") => check(new, old, ip_address_claim::validate),
        (RUNTIME_GROUP, V1BETA2, "ExtensionConfig") => {
            check(new, old, |new, _| extension_config::validate(new))
        }
        (CLUSTER_GROUP, V1BETA2, "ClusterClass") => check(new, old, cluster_class_rules::validate),
        (BOOTSTRAP_GROUP, V1BETA2, "KubeadmConfig") => check(new, old, kubeadm_config::validate),
        (BOOTSTRAP_GROUP, V1BETA2, "KubeadmConfigTemplate") => {
            check(new, old, kubeadm_config_template::validate)
        }
        (CONTROL_PLANE_GROUP, V1BETA2, "KubeadmControlPlane") => {
            check(new, old, kubeadm_control_plane::validate)
        }
        (CONTROL_PLANE_GROUP, V1BETA2, "KubeadmControlPlaneTemplate") => {
            check(new, old, kubeadm_control_plane_template::validate)
        }
        (INFRASTRUCTURE_GROUP, V1BETA2, "LocalClusterTemplate") => {
            check(new, old, local_cluster_template::validate)
        }
        (INFRASTRUCTURE_GROUP, V1BETA2, "LocalCluster") => check(new, old, local_cluster::validate),
        (INFRASTRUCTURE_GROUP, V1BETA2, "LocalMachine") => check(new, old, local_machine::validate),
        (INFRASTRUCTURE_GROUP, V1BETA2, "LocalMachinePool") => {
            check(new, old, |new, _| local_machine_pool::validate(new))
        }
        (INFRASTRUCTURE_GROUP, V1BETA2, "LocalMachinePoolTemplate") => {
            check(new, old, local_machine_pool_template::validate)
        }
        (INFRASTRUCTURE_GROUP, V1BETA2, "LocalMachineTemplate") => {
            check(new, old, local_machine_template::validate)
        }
        _ => vec![],
    }
}

/// Fills in what the variables of a Cluster's ClusterClass have defaults for.
pub fn default_for_class(cluster: &mut Value, class: &Value) {
    let Some(class) = parse::<ClusterClass>(class) else {
        return;
    };
    with(cluster, None, |cluster: &mut Cluster, _| {
        if let Some(topology) = &mut cluster.spec.topology {
            topology_rules::default_for_class(topology, &class);
        }
    });
}

/// What a Cluster with a topology is checked against besides itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Its ClusterClass, if it is there.
    pub class: Option<Value>,
    /// The ClusterClass that it had before.
    pub old_class: Option<Value>,
    /// Its control plane, if it is there.
    pub control_plane: Option<Value>,
    /// Its MachineDeployments and MachinePools.
    pub workers: Vec<Value>,
}

/// What is wrong with a Cluster for its ClusterClass and its state.
#[must_use]
pub fn validate_for_class(
    new: &Value,
    old: Option<&Value>,
    around: &Surroundings,
) -> Vec<FieldError> {
    let Some(new) = parse::<Cluster>(new) else {
        return vec![];
    };
    let old = old.and_then(parse::<Cluster>);
    let Some(topology) = &new.spec.topology else {
        return vec![];
    };
    let class = around.class.as_ref().and_then(parse::<ClusterClass>);
    let mut errors = vec![];
    if let Some(old) = &old {
        let control_plane = around.control_plane.as_ref();
        let unsettled = topology_rules::check_settled(&new, old, control_plane, &around.workers);
        errors.extend(unsettled);
        if class.is_none() {
            errors.extend(topology_rules::check_blind(&new, old));
        }
    }
    let (Some(class), old) = (class, old) else {
        return errors;
    };
    errors.extend(topology_rules::check_for_class(topology, &class));
    if let Some(old) = old {
        errors.extend(topology_rules::check_version_step(&new, &old, &class));
        let old_class = around.old_class.as_ref().and_then(parse::<ClusterClass>);
        if let Some(old_class) = old_class.filter(|_| old.class() != new.class()) {
            errors.extend(topology_rules::check_rebase(&old_class, &class));
        }
    }
    errors
}

/// What cannot be changed of a ClusterClass because `clusters` use it.
#[must_use]
pub fn validate_in_use(new: &Value, old: &Value, clusters: &[Value]) -> Vec<FieldError> {
    let (Some(new), Some(old)) = (parse::<ClusterClass>(new), parse::<ClusterClass>(old)) else {
        return vec![];
    };
    let clusters: Vec<Cluster> = clusters.iter().filter_map(parse).collect();
    cluster_class_rules::check_in_use(&new, &old, &clusters)
}

fn parse<K: DeserializeOwned>(object: &Value) -> Option<K> {
    serde_json::from_value(object.clone()).ok()
}

fn with<K: Serialize + DeserializeOwned>(
    new: &mut Value,
    old: Option<&Value>,
    fill: impl FnOnce(&mut K, Option<&K>),
) {
    let Some(mut typed) = parse::<K>(new) else {
        return;
    };
    let before = serde_json::to_value(&typed).unwrap_or_default();
    fill(&mut typed, old.and_then(parse).as_ref());
    let after = serde_json::to_value(&typed).unwrap_or_default();
    merge(new, &before, after);
}

/// Takes over what defaulting changed and nothing else: what these types don't know stays.
fn merge(target: &mut Value, before: &Value, after: Value) {
    match after {
        _ if *before == after => {}
        Value::Object(members) => {
            if !target.is_object() {
                *target = Value::Object(serde_json::Map::new());
            }
            for (key, value) in members {
                merge(&mut target[key.as_str()], &before[key.as_str()], value);
            }
        }
        other => *target = other,
    }
}

fn check<K: DeserializeOwned>(
    new: &Value,
    old: Option<&Value>,
    validate: impl FnOnce(&K, Option<&K>) -> Vec<FieldError>,
) -> Vec<FieldError> {
    match parse::<K>(new) {
        Some(new) => validate(&new, old.and_then(parse).as_ref()),
        None => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn defaults_are_filled_and_the_rest_stays() {
        let mut object = json!({
            "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "KubeadmControlPlane",
            "metadata": {"name": "hello", "managedFields": [{"manager": "m", "x-unknown": 1}]},
            "spec": {"version": "1.36.0", "unknown": {"a": 1}, "machineTemplate": {"spec": {"infrastructureRef": {"apiGroup": "g", "kind": "K", "name": "x"}}}},
        });
        default(
            "controlplane.cluster.x-k8s.io",
            "v1beta2",
            "KubeadmControlPlane",
            &mut object,
            None,
        );
        expect![[r#"
            apiVersion: controlplane.cluster.x-k8s.io/v1beta2
            kind: KubeadmControlPlane
            metadata:
              managedFields:
              - manager: m
                x-unknown: 1
              name: hello
            spec:
              machineTemplate:
                spec:
                  infrastructureRef:
                    apiGroup: g
                    kind: K
                    name: x
              replicas: 1
              rollout:
                strategy:
                  rollingUpdate:
                    maxSurge: 1
                  type: RollingUpdate
              unknown:
                a: 1
              version: v1.36.0
        "#]]
        .assert_eq(&serde_saphyr::to_string(&object).unwrap());
    }

    #[test]
    fn every_kind_is_checked() {
        let reference = json!({"apiGroup": "g", "kind": "K", "name": "x"});
        let machine = json!({"clusterName": "c", "bootstrap": {}, "infrastructureRef": reference});
        let set = json!({"clusterName": "c", "selector": {}, "template": {"spec": machine}});
        let config = json!({"format": "ignition", "bootCommands": ["date"]});
        let cases = [
            ("cluster", "Cluster", json!({}), json!({})),
            ("cluster", "Machine", machine, json!({})),
            ("cluster", "MachineSet", set.clone(), json!({})),
            ("cluster", "MachineDeployment", set, json!({})),
            (
                "cluster",
                "MachineHealthCheck",
                json!({"clusterName": "c", "selector": {}}),
                json!({}),
            ),
            (
                "bootstrap.cluster",
                "KubeadmConfig",
                config.clone(),
                json!({}),
            ),
            (
                "bootstrap.cluster",
                "KubeadmConfigTemplate",
                json!({"template": {"spec": config}}),
                json!({}),
            ),
            (
                "controlplane.cluster",
                "KubeadmControlPlane",
                json!({"version": "v1", "machineTemplate": {"spec": {"infrastructureRef": reference}}}),
                json!({}),
            ),
            (
                "infrastructure.cluster",
                "LocalCluster",
                json!({}),
                json!({"controlPlaneEndpoint": {"host": "h", "port": 1}}),
            ),
            (
                "infrastructure.cluster",
                "LocalMachine",
                json!({}),
                json!({"providerID": "p"}),
            ),
            (
                "infrastructure.cluster",
                "LocalMachineTemplate",
                json!({"template": {"spec": {}}}),
                json!({"template": {"spec": {"cpus": 1}}}),
            ),
        ];
        let mut text = String::new();
        for (group, kind, spec, old) in cases {
            let object = |spec: Value| json!({"metadata": {"name": "x"}, "spec": spec});
            let group = format!("{group}.x-k8s.io");
            let found = validate(&group, "v1beta2", kind, &object(spec), Some(&object(old)));
            let first = found.first().map(ToString::to_string);
            text += &format!("{kind}: {}\n", first.unwrap_or_default());
        }
        expect![[r#"
            Cluster: spec.infrastructureRef: Required value: at least one of spec.infrastructureRef, spec.controlPlaneRef and spec.topology must be set
            Machine: spec.bootstrap: Required value: either configRef or dataSecretName must be set
            MachineSet: spec.template.spec.bootstrap: Required value: either configRef or dataSecretName must be set
            MachineDeployment: spec.template.spec.bootstrap: Required value: either configRef or dataSecretName must be set
            MachineHealthCheck: spec.selector: Required value: must select something: the machines of one MachineDeployment, or of the control plane
            KubeadmConfig: spec.bootCommands: Forbidden: cannot be used if format is ignition: use preKubeadmCommands
            KubeadmConfigTemplate: spec.template.spec.bootCommands: Forbidden: cannot be used if format is ignition: use preKubeadmCommands
            KubeadmControlPlane: spec.version: Invalid value: "v1" must be a version such as v1.36.0
            LocalCluster: spec.controlPlaneEndpoint: Forbidden: cannot be changed once it is known: machines and kubeconfigs have it
            LocalMachine: spec.providerID: Forbidden: cannot be changed once the machine exists
            LocalMachineTemplate: spec.template.spec: Forbidden: cannot be changed; make a template with another name and refer to that
        "#]].assert_eq(&text);
    }

    #[test]
    fn templates_of_classes_are_not_changed() {
        let object =
            |spec: Value| json!({"metadata": {"name": "x"}, "spec": {"template": {"spec": spec}}});
        for (group, kind, old, new) in [
            (
                CONTROL_PLANE_GROUP,
                "KubeadmControlPlaneTemplate",
                json!({}),
                json!({"remediation": {"maxRetry": 1}}),
            ),
            (
                INFRASTRUCTURE_GROUP,
                "LocalClusterTemplate",
                json!({}),
                json!({"failureDomains": [{"name": "a"}]}),
            ),
            (
                INFRASTRUCTURE_GROUP,
                "LocalMachinePoolTemplate",
                json!({"template": {"spec": {}}}),
                json!({"template": {"spec": {"cpus": 1}}}),
            ),
        ] {
            let (new, old) = (object(new), object(old));
            let found = validate(group, V1BETA2, kind, &new, Some(&old));
            assert_eq!(found.len(), 1, "{kind}");
            assert_eq!(found[0].path, "spec.template.spec", "{kind}");
            assert!(validate(group, V1BETA2, kind, &new, Some(&new)).is_empty());
        }
    }

    #[test]
    fn an_update_is_compared_with_what_was() {
        let object = |cpus: u32| json!({"metadata": {"name": "t"}, "spec": {"template": {"spec": {"cpus": cpus}}}});
        let found = validate(
            "infrastructure.cluster.x-k8s.io",
            "v1beta2",
            "LocalMachineTemplate",
            &object(2),
            Some(&object(4)),
        );
        expect!["spec.template.spec: Forbidden: cannot be changed; make a template with another name and refer to that"].assert_eq(&found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        assert!(validate("example.org", "v1beta2", "Cluster", &object(2), None).is_empty());
        assert!(validate("cluster.x-k8s.io", "v1beta1", "Cluster", &object(2), None).is_empty());
    }
}
