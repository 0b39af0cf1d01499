//! Defaults: what a schema says for custom kinds and fields with a `default`; the rest of the built-in ones here, as a
//! table for the plain ones and small functions for those with a condition.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::canonical::{self, Walk};
use super::{Schema, Type};
use crate::resource::Resource;

/// Nesting that is defaulted; deeper values are left alone (decoding refuses them).
const MAX_DEPTH: usize = super::parse::MAX_DEPTH + 8;

/// Counts the changes of the template of a DaemonSet.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Sets what the client left out. Idempotent. Built-in objects are brought into canonical form first (unknown fields,
/// nulls and zero values go; see [`decode`](super::decode())), so that patched objects can be passed as they are; what cannot
/// be (a value of a wrong type) is left for validation to refuse.
pub fn default(resource: &Resource, value: &mut Value) {
    if resource.custom.is_none()
        && canonical::canonicalize(value, &resource.schema, &mut Walk::default()).is_err()
    {
        return;
    }
    default_node(value, &resource.schema);
}

/// As [`default`] for a bare schema, without the canonical form.
pub(crate) fn default_node(value: &mut Value, schema: &Schema) {
    node(value, schema, 0);
}

fn node(value: &mut Value, schema: &Schema, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    if let (Type::Ref(name), Value::Object(members)) = (&schema.ty, &mut *value) {
        message(name, members);
    }
    match (&schema.resolve().ty, value) {
        (Type::Object(object), Value::Object(members)) => {
            for (name, field) in &object.fields {
                let schema = &field.schema;
                if let Some(default) = &schema.default {
                    let is_unset = match members.get(&**name) {
                        None => true,
                        // A null that may not be stands for "not set".
                        Some(Value::Null) => !schema.nullable,
                        Some(_) => false,
                    };
                    if is_unset {
                        members.insert(name.to_string(), default.clone());
                    }
                }
            }
            for (name, member) in members.iter_mut() {
                if let Some(field) = object.fields.get(&**name) {
                    node(member, &field.schema, depth + 1);
                } else if let Some(schema) = &object.additional {
                    if let (Value::Null, Some(default), false) =
                        (&*member, &schema.default, schema.nullable)
                    {
                        *member = default.clone();
                    }
                    node(member, schema, depth + 1);
                }
            }
        }
        (Type::Array(item), Value::Array(items)) => {
            for member in items {
                if let (Value::Null, Some(default), false) =
                    (&*member, &item.default, item.nullable)
                {
                    *member = default.clone();
                }
                node(member, item, depth + 1);
            }
        }
        _ => {}
    }
}

/// Rows of `defaults.txt` by message (without `io.k8s.api.`): member and value.
static PLAIN: LazyLock<HashMap<&'static str, Vec<(&'static str, Value)>>> = LazyLock::new(|| {
    let mut rows: HashMap<&'static str, Vec<(&'static str, Value)>> = HashMap::new();
    for line in include_str!("defaults.txt").lines() {
        let mut words = line.splitn(3, ' ');
        if let (Some(message), Some(member), Some(json)) =
            (words.next(), words.next(), words.next())
            && let Ok(value) = serde_json::from_str(json)
        {
            rows.entry(message).or_default().push((member, value));
        }
    }
    rows
});

/// Applies the table and the conditional defaults to one message.
fn message(full_name: &str, members: &mut Map<String, Value>) {
    let name = short_name(full_name);
    // Their numbers are written also when they are zero, which stands for "not set".
    let is_zero_unset = matches!(
        name,
        "flowcontrol.v1.FlowSchemaSpec" | "flowcontrol.v1.QueuingConfiguration"
    );
    for (member, default) in PLAIN.get(name).into_iter().flatten() {
        let is_unset = match members.get(*member) {
            None => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Number(number)) => is_zero_unset && number.as_i64() == Some(0),
            Some(_) => false,
        };
        if is_unset {
            members.insert((*member).into(), default.clone());
        }
    }
    match name {
        "core.v1.Pod" => pod(members),
        "core.v1.PodSpec" => pod_spec(members),
        "core.v1.Container" | "core.v1.EphemeralContainer" => pull_policy(members),
        "core.v1.Volume" => volume(members),
        "core.v1.ServiceSpec" => service(members),
        "core.v1.Namespace" => namespace(members),
        "core.v1.Secret" => string_data(members),
        "core.v1.Node" => node_allocatable(members),
        "core.v1.LimitRangeItem" => limit_range_item(members),
        "core.v1.ReplicationController" => replication_controller(members),
        "apps.v1.DeploymentStrategy"
        | "apps.v1.DaemonSetUpdateStrategy"
        | "apps.v1.StatefulSetUpdateStrategy" => {
            rolling_update(members);
        }
        "apps.v1.DaemonSet" => template_generation(members),
        "apps.v1.StatefulSetSpec" => claim_templates(members),
        "batch.v1.Job" => job(members),
        "networking.v1.NetworkPolicySpec" => policy_types(members),
        "rbac.v1.Subject" => subject(members),
        "resource.v1.ExactDeviceRequest" | "resource.v1.DeviceSubRequest" => device_count(members),
        "apiextensions.v1.CustomResourceDefinitionNames" => crd_names(members),
        _ => {}
    }
}

/// `io.k8s.api.core.v1.Pod` is `core.v1.Pod`: the last three words.
fn short_name(full_name: &str) -> &str {
    match full_name.rmatch_indices('.').nth(2) {
        Some((at, _)) => &full_name[at + 1..],
        None => full_name,
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn set_default(members: &mut Map<String, Value>, name: &str, value: Value) {
    members.entry(name).or_insert(value);
}

/// The value at a path of members; null when there is none.
fn at<'a>(members: &'a Map<String, Value>, path: &[&str]) -> &'a Value {
    let Some((first, rest)) = path.split_first() else {
        return &Value::Null;
    };
    rest.iter().fold(
        members.get(*first).unwrap_or(&Value::Null),
        |value, name| &value[*name],
    )
}

/// The object in member `name`, if there is one.
fn object<'a>(
    members: &'a mut Map<String, Value>,
    name: &str,
) -> Option<&'a mut Map<String, Value>> {
    members.get_mut(name)?.as_object_mut()
}

/// Requests follow limits; only pods have this, templates stay as written.
fn pod(members: &mut Map<String, Value>) {
    let Some(spec) = object(members, "spec") else {
        return;
    };
    set_default(spec, "enableServiceLinks", true.into());
    requests_from_limits(spec);
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(container) = container.as_object_mut() {
                requests_from_limits(container);
            }
        }
    }
}

fn requests_from_limits(members: &mut Map<String, Value>) {
    let Some(resources) = object(members, "resources") else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = resources
        .entry("requests")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(requests) = requests {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    // The deprecated name and the new one always say the same.
    let account = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    }
    .to_owned();
    if !account.is_empty() {
        spec.insert("serviceAccountName".into(), account.as_str().into());
        spec.insert("serviceAccount".into(), account.into());
    }
    if spec.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for port in container
                .get_mut("ports")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                if let (Some(number), Some(port)) =
                    (port.get("containerPort").cloned(), port.as_object_mut())
                {
                    set_default(port, "hostPort", number);
                }
            }
        }
    }
}

/// `Always` for `latest` or no tag, `IfNotPresent` for anything that names a version.
fn pull_policy(container: &mut Map<String, Value>) {
    if !text(container, "imagePullPolicy").is_empty() {
        return;
    }
    let image = text(container, "image");
    let is_pinned = image.contains('@') || {
        let last = image.rsplit('/').next().unwrap_or(image);
        last.split_once(':').is_some_and(|(_, tag)| tag != "latest")
    };
    let policy = if is_pinned { "IfNotPresent" } else { "Always" };
    container.insert("imagePullPolicy".into(), policy.into());
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.len() == 1 && volume.contains_key("name") {
        volume.insert("emptyDir".into(), json!({}));
    }
}

fn service(spec: &mut Map<String, Value>) {
    if text(spec, "type").is_empty() {
        spec.insert("type".into(), "ClusterIP".into());
    }
    if text(spec, "sessionAffinity").is_empty() {
        spec.insert("sessionAffinity".into(), "None".into());
    }
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = spec
                .entry("sessionAffinityConfig")
                .or_insert_with(|| json!({"clientIP": {}}));
            if let Some(client) = config.get_mut("clientIP").and_then(Value::as_object_mut) {
                set_default(client, "timeoutSeconds", 10800.into());
            }
        }
        _ => {}
    }
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(port) = port.as_object_mut() else {
            continue;
        };
        if text(port, "protocol").is_empty() {
            port.insert("protocol".into(), "TCP".into());
        }
        let is_unset = match port.get("targetPort") {
            None => true,
            Some(Value::Number(n)) => n.as_i64() == Some(0),
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        };
        if let (true, Some(number)) = (is_unset, port.get("port").cloned()) {
            port.insert("targetPort".into(), number);
        }
    }
    let ty = text(spec, "type").to_owned();
    if matches!(&*ty, "NodePort" | "LoadBalancer") {
        set_default(spec, "externalTrafficPolicy", "Cluster".into());
    }
    if ty == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true.into());
    }
    if ty != "ExternalName" {
        set_default(spec, "internalTrafficPolicy", "Cluster".into());
    }
}

/// `stringData` is a way to write `data`, never stored.
fn string_data(secret: &mut Map<String, Value>) {
    let Some(Value::Object(texts)) = secret.remove("stringData") else {
        return;
    };
    let data = secret
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        for (key, text) in texts {
            let text = text.as_str().unwrap_or_default();
            data.insert(key, canonical::base64_text(text.as_bytes()).into());
        }
    }
}

/// Sets the label by which selectors find a namespace by its name.
pub(super) fn namespace_label(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        namespace(members);
    }
}

/// Every namespace carries its name as a label.
fn namespace(members: &mut Map<String, Value>) {
    let name = at(members, &["metadata", "name"])
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if name.is_empty() {
        return;
    }
    if let Some(metadata) = object(members, "metadata")
        && let Value::Object(labels) = metadata
            .entry("labels")
            .or_insert_with(|| Value::Object(Map::new()))
    {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
}

fn node_allocatable(members: &mut Map<String, Value>) {
    if let Some(status) = object(members, "status")
        && let Some(capacity) = status.get("capacity").cloned()
    {
        set_default(status, "allocatable", capacity);
    }
}

fn limit_range_item(item: &mut Map<String, Value>) {
    if text(item, "type") != "Container" {
        return;
    }
    for (from, to) in [
        ("max", "default"),
        ("default", "defaultRequest"),
        ("min", "defaultRequest"),
    ] {
        let Some(Value::Object(source)) = item.get(from).cloned() else {
            continue;
        };
        if let Value::Object(target) = item.entry(to).or_insert_with(|| Value::Object(Map::new())) {
            for (name, quantity) in source {
                target.entry(name).or_insert(quantity);
            }
        }
    }
}

fn replication_controller(members: &mut Map<String, Value>) {
    let labels = at(members, &["spec", "template", "metadata", "labels"]).clone();
    if labels.as_object().is_none_or(Map::is_empty) {
        return;
    }
    if let Some(spec) = object(members, "spec") {
        set_default(spec, "selector", labels.clone());
    }
    if let Some(metadata) = object(members, "metadata") {
        set_default(metadata, "labels", labels);
    }
}

/// A number from before there were generations, as an annotation; what it is comes with preparation.
fn template_generation(members: &mut Map<String, Value>) {
    let Some(metadata) = object(members, "metadata") else {
        return;
    };
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(annotations) = annotations {
        set_default(annotations, TEMPLATE_GENERATION, "0".into());
    }
}

/// Templates of claims say what they are.
fn claim_templates(spec: &mut Map<String, Value>) {
    let templates = spec
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut);
    for template in templates.into_iter().flatten() {
        if let Some(template) = template.as_object_mut() {
            template.insert("apiVersion".into(), "v1".into());
            template.insert("kind".into(), "PersistentVolumeClaim".into());
        }
    }
}

fn rolling_update(strategy: &mut Map<String, Value>) {
    if text(strategy, "type") == "RollingUpdate" {
        set_default(strategy, "rollingUpdate", json!({}));
    }
}

fn job(members: &mut Map<String, Value>) {
    let labels = at(members, &["spec", "template", "metadata", "labels"]).clone();
    if let Some(spec) = object(members, "spec") {
        if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
            spec.insert("completions".into(), 1.into());
        }
        set_default(spec, "parallelism", 1.into());
        let limit = if spec.contains_key("backoffLimitPerIndex") {
            i32::MAX
        } else {
            6
        };
        set_default(spec, "backoffLimit", limit.into());
        set_default(spec, "completionMode", "NonIndexed".into());
        set_default(spec, "suspend", false.into());
        set_default(spec, "manualSelector", false.into());
        let policy = if spec.contains_key("podFailurePolicy") {
            "Failed"
        } else {
            "TerminatingOrFailed"
        };
        set_default(spec, "podReplacementPolicy", policy.into());
    }
    if labels.as_object().is_some_and(|l| !l.is_empty())
        && let Some(metadata) = object(members, "metadata")
    {
        set_default(metadata, "labels", labels);
    }
}

fn policy_types(spec: &mut Map<String, Value>) {
    if !spec.contains_key("policyTypes") {
        let types = if spec.contains_key("egress") {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        };
        spec.insert("policyTypes".into(), types);
    }
}

fn subject(subject: &mut Map<String, Value>) {
    if matches!(text(subject, "kind"), "User" | "Group") && text(subject, "apiGroup").is_empty() {
        subject.insert("apiGroup".into(), "rbac.authorization.k8s.io".into());
    }
}

fn device_count(request: &mut Map<String, Value>) {
    if text(request, "allocationMode") == "ExactCount" {
        set_default(request, "count", 1.into());
    }
}

fn crd_names(names: &mut Map<String, Value>) {
    let kind = text(names, "kind").to_owned();
    if kind.is_empty() {
        return;
    }
    if text(names, "singular").is_empty() {
        names.insert("singular".into(), kind.to_lowercase().into());
    }
    if text(names, "listKind").is_empty() {
        names.insert("listKind".into(), format!("{kind}List").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use expect_test::{Expect, expect};

    fn check(kind: &str, input: &str, expected: Expect) {
        let mut value: Value = serde_json::from_str(input).unwrap();
        let schema = builtin::reference(&format!("io.k8s.api.{kind}"));
        canonical::canonicalize(&mut value, &schema, &mut Walk::default()).unwrap();
        default_node(&mut value, &schema);
        let once = value.clone();
        canonical::canonicalize(&mut value, &schema, &mut Walk::default()).unwrap();
        default_node(&mut value, &schema);
        assert_eq!(once, value, "not idempotent");
        expected.assert_eq(&value.to_string());
    }

    #[test]
    fn every_row_of_the_table_names_a_field() {
        let mut count = 0;
        for (name, rows) in &*PLAIN {
            let (package, message) = name.rsplit_once('.').unwrap();
            let package = builtin::packages().find(|p| p.ends_with(&format!(".{package}")));
            let schema = builtin::message(&format!("{}.{message}", package.unwrap())).unwrap();
            for (member, _) in rows {
                assert!(schema.member(member).is_some(), "{name}.{member}");
                count += 1;
            }
        }
        // The first line says what the table is.
        assert_eq!(count, include_str!("defaults.txt").lines().count() - 1);
    }

    #[test]
    fn deployments_get_what_kubernetes_gives() {
        check(
            "apps.v1.Deployment",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"nginx","livenessProbe":{"httpGet":{"port":80}},"ports":[{"containerPort":80}]}],"volumes":[{"name":"v"},{"name":"c","configMap":{"name":"c"}}]}}}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{},"spec":{"containers":[{"image":"nginx","imagePullPolicy":"Always","livenessProbe":{"failureThreshold":3,"httpGet":{"path":"/","port":80,"scheme":"HTTP"},"periodSeconds":10,"successThreshold":1,"timeoutSeconds":1},"name":"a","ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30,"volumes":[{"emptyDir":{},"name":"v"},{"configMap":{"defaultMode":420,"name":"c"},"name":"c"}]}}},"status":{}}"#
            ]],
        );
    }

    #[test]
    fn pods_request_what_limits_allow() {
        check(
            "core.v1.Pod",
            r#"{"spec":{"serviceAccountName":"x","containers":[{"name":"a","image":"r:5000/nginx:1","resources":{"limits":{"cpu":"1000m","memory":"1Gi"},"requests":{"cpu":"0.1"}}}]}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"containers":[{"image":"r:5000/nginx:1","imagePullPolicy":"IfNotPresent","name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m","memory":"1Gi"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"serviceAccount":"x","serviceAccountName":"x","terminationGracePeriodSeconds":30},"status":{}}"#
            ]],
        );
    }

    #[test]
    fn services_target_their_own_port() {
        check(
            "core.v1.Service",
            r#"{"spec":{"ports":[{"port":80},{"port":81,"targetPort":"x"}],"type":"LoadBalancer","sessionAffinity":"ClientIP"}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"allocateLoadBalancerNodePorts":true,"externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster","ports":[{"port":80,"protocol":"TCP","targetPort":80},{"port":81,"protocol":"TCP","targetPort":"x"}],"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"type":"LoadBalancer"},"status":{"loadBalancer":{}}}"#
            ]],
        );
        check(
            "core.v1.Service",
            r#"{"spec":{"type":"ExternalName","externalName":"a.b"}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"externalName":"a.b","sessionAffinity":"None","type":"ExternalName"},"status":{"loadBalancer":{}}}"#
            ]],
        );
    }

    #[test]
    fn jobs_and_others() {
        check(
            "batch.v1.Job",
            r#"{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}"#,
            expect![[
                r#"{"metadata":{"labels":{"a":"b"}},"spec":{"backoffLimit":6,"completionMode":"NonIndexed","completions":1,"manualSelector":false,"parallelism":1,"podReplacementPolicy":"TerminatingOrFailed","suspend":false,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":null,"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}},"status":{}}"#
            ]],
        );
        check(
            "core.v1.LimitRange",
            r#"{"spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"}}]}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"limits":[{"default":{"cpu":"2"},"defaultRequest":{"cpu":"2","memory":"1Mi"},"max":{"cpu":"2"},"min":{"memory":"1Mi"},"type":"Container"}]}}"#
            ]],
        );
        check(
            "apps.v1.StatefulSet",
            r#"{"spec":{"serviceName":"x"}}"#,
            expect![[
                r#"{"metadata":{},"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Retain"},"podManagementPolicy":"OrderedReady","replicas":1,"revisionHistoryLimit":10,"serviceName":"x","template":{"metadata":{},"spec":{"containers":null,"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}},"updateStrategy":{"rollingUpdate":{"partition":0},"type":"RollingUpdate"}},"status":{"availableReplicas":0,"replicas":0}}"#
            ]],
        );
    }
}
