//! What the server itself writes into an object before it is validated: the parts that no client may choose.

use serde_json::{Map, Value, json};

use super::defaults;
use crate::aggregation;
use crate::resource::Resource;

/// Prepares a decoded and defaulted object for validation, on create (`old` absent) after its name and uid are set, on update
/// after the parts that belong to subresources were taken from `old`. Idempotent.
pub fn prepare(resource: &Resource, value: &mut Value, old: Option<&Value>) {
    match old {
        None => create(resource, value),
        Some(old) => update(resource, value, old),
    }
}

fn create(resource: &Resource, value: &mut Value) {
    let is_custom = resource.custom.is_some();
    let kind = (&*resource.group, &*resource.kind);
    // A node describes itself when it registers.
    if resource.strategy.has_status && (is_custom || kind != ("", "Node")) {
        clear_status(value, is_custom);
    }
    if is_custom {
        return;
    }
    let initial = match kind {
        ("", "Namespace") => {
            defaults::namespace_label(value);
            value["spec"]["finalizers"] = json!(["kubernetes"]);
            json!({"phase": "Active"})
        }
        ("", "Pod") => json!({"phase": "Pending", "qosClass": qos_class(&value["spec"])}),
        ("", "PersistentVolumeClaim" | "PersistentVolume") => json!({"phase": "Pending"}),
        ("batch", "Job") => {
            job_selector(value);
            return;
        }
        ("apps", "DaemonSet") => {
            value["metadata"]["annotations"][defaults::TEMPLATE_GENERATION] = "1".into();
            return;
        }
        ("apiextensions.k8s.io", _) => {
            let versions = value["spec"]["versions"].as_array().into_iter().flatten();
            let storage: Vec<Value> = versions
                .filter(|version| version["storage"] == true)
                .map(|version| version["name"].clone())
                .collect();
            json!({"storedVersions": storage})
        }
        ("apiregistration.k8s.io", _) if !value["spec"]["service"].is_object() => {
            let created = &value["metadata"]["creationTimestamp"];
            let condition = aggregation::local_condition(created.as_str().unwrap_or_default());
            json!({"conditions": [condition]})
        }
        _ => return,
    };
    value["status"] = initial;
}

/// The status of a new object says nothing yet; members that Go always writes come with the next canonical form.
fn clear_status(value: &mut Value, is_custom: bool) {
    if let Some(members) = value.as_object_mut()
        && members.remove("status").is_some()
        && !is_custom
    {
        members.insert("status".into(), Value::Object(Map::new()));
    }
}

fn update(resource: &Resource, value: &mut Value, old: &Value) {
    match (&*resource.group, &*resource.kind) {
        ("", "Namespace") => defaults::namespace_label(value),
        ("", "Service") => {
            keep_addresses(&mut value["spec"], &old["spec"]);
            drop_what_the_type_left(&mut value["spec"], &old["spec"]);
        }
        ("certificates.k8s.io", _) => value["spec"] = old["spec"].clone(),
        ("apps", "DaemonSet") => count_templates(value, old),
        _ => {}
    }
}

/// Each change of its template counts up a number of the DaemonSet that no client may set.
fn count_templates(value: &mut Value, old: &Value) {
    let before = &old["metadata"]["annotations"][defaults::TEMPLATE_GENERATION];
    let before: i64 = before
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let is_changed = value["spec"]["template"] != old["spec"]["template"];
    let now = before.saturating_add(i64::from(is_changed));
    value["metadata"]["annotations"][defaults::TEMPLATE_GENERATION] = now.to_string().into();
}

/// A service keeps the addresses and ports that it was given when a client leaves them out.
fn keep_addresses(spec: &mut Value, old: &Value) {
    let ty = |spec: &Value| spec["type"].as_str().unwrap_or("ClusterIP").to_owned();
    let (new_type, old_type) = (ty(spec), ty(old));
    let needs_address = |ty: &str| matches!(ty, "ClusterIP" | "NodePort" | "LoadBalancer");
    if needs_address(&new_type) && needs_address(&old_type) {
        // Who changes the one address means the list of them, too.
        let asked = spec["clusterIP"].as_str().unwrap_or_default();
        if !asked.is_empty()
            && spec["clusterIP"] != old["clusterIP"]
            && spec["clusterIPs"] == old["clusterIPs"]
        {
            spec["clusterIPs"] = json!([asked]);
        }
        for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let is_unset = spec[name].as_str().is_none_or(str::is_empty)
                && spec[name].as_array().is_none_or(Vec::is_empty);
            if is_unset && !old[name].is_null() {
                spec[name] = old[name].clone();
            }
        }
    }
    let has_node_ports = |ty: &str| matches!(ty, "NodePort" | "LoadBalancer");
    if !has_node_ports(&new_type) || !has_node_ports(&old_type) {
        return;
    }
    if spec["healthCheckNodePort"].is_null()
        && !old["healthCheckNodePort"].is_null()
        && new_type == "LoadBalancer"
    {
        spec["healthCheckNodePort"] = old["healthCheckNodePort"].clone();
    }
    let taken: Vec<Value> = ports(spec).map(|port| port["nodePort"].clone()).collect();
    let given: Vec<(Value, Value, Value)> = ports(old)
        .map(|port| {
            (
                port["port"].clone(),
                port["protocol"].clone(),
                port["nodePort"].clone(),
            )
        })
        .collect();
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        let before = given
            .iter()
            .find(|(number, protocol, _)| *number == port["port"] && *protocol == port["protocol"]);
        if let (true, Some((_, _, node_port))) = (port["nodePort"].is_null(), before)
            && !node_port.is_null()
            && !taken.contains(node_port)
        {
            port["nodePort"] = node_port.clone();
        }
    }
}

/// Who changes the type of a service without a word about what only the old type has means to drop it.
fn drop_what_the_type_left(spec: &mut Value, old: &Value) {
    let is = |types: &[&str]| types.contains(&spec["type"].as_str().unwrap_or("ClusterIP"));
    let is_inside = is(&["ClusterIP", "NodePort", "LoadBalancer"]);
    let is_reachable = is(&["NodePort", "LoadBalancer"])
        || spec["externalIPs"]
            .as_array()
            .is_some_and(|ips| !ips.is_empty());
    let is_balanced = is(&["LoadBalancer"]);
    let is_local = is_balanced && spec["externalTrafficPolicy"] == "Local";
    for (name, is_needed) in [
        ("clusterIP", is_inside),
        ("clusterIPs", is_inside),
        ("ipFamilies", is_inside),
        ("ipFamilyPolicy", is_inside),
        ("internalTrafficPolicy", is_inside),
        ("externalTrafficPolicy", is_reachable),
        ("healthCheckNodePort", is_local),
        ("allocateLoadBalancerNodePorts", is_balanced),
        ("loadBalancerClass", is_balanced),
    ] {
        if !is_needed
            && spec[name] == old[name]
            && let Some(members) = spec.as_object_mut()
        {
            members.remove(name);
        }
    }
    let given: Vec<&Value> = ports(old).map(|port| &port["nodePort"]).collect();
    let has_node_ports = matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    let new_ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in new_ports.into_iter().flatten() {
        if !has_node_ports
            && given.contains(&&port["nodePort"])
            && let Some(members) = port.as_object_mut()
        {
            members.remove("nodePort");
        }
    }
}

fn ports(spec: &Value) -> impl Iterator<Item = &Value> {
    spec["ports"].as_array().into_iter().flatten()
}

/// A job selects the pods that carry its uid, and its template gives it to them. Labels that a client chose stay, and
/// validation refuses wrong ones.
fn job_selector(job: &mut Value) {
    let text = |name: &str| {
        job["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (uid, name) = (text("uid"), text("name"));
    if uid.is_empty() || job["spec"]["manualSelector"] == true {
        return;
    }
    let spec = &mut job["spec"];
    let selected = &mut spec["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"];
    if selected.is_null() {
        *selected = uid.as_str().into();
    }
    let labels = &mut spec["template"]["metadata"]["labels"];
    let given = labels.clone();
    for (key, value) in [
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
    ] {
        if labels[key].is_null() {
            labels[key] = value.as_str().into();
        }
    }
    // A job without labels of its own has those of its template, also the generated ones.
    let (all, own) = (labels.clone(), &mut job["metadata"]["labels"]);
    let has_none = own.as_object().is_none_or(Map::is_empty);
    if has_none || *own == given {
        *own = all;
    }
}

/// How a pod stands when memory gets short.
fn qos_class(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec[*list].as_array().into_iter().flatten())
        .collect();
    let amount =
        |container: &Value, list: &str, name: &str| container["resources"][list][name].clone();
    let is_set = |value: &Value| value.as_str().is_some_and(|text| text != "0");
    let asks_nothing = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            !is_set(&amount(container, "limits", name))
                && !is_set(&amount(container, "requests", name))
        })
    });
    if asks_nothing {
        return "BestEffort";
    }
    let is_guaranteed = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            let (limit, request) = (
                amount(container, "limits", name),
                amount(container, "requests", name),
            );
            is_set(&limit) && (request.is_null() || request == limit)
        })
    });
    if is_guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(plural: &str, yaml: &str, old: Option<&str>, expected: Expect) {
        let resource = crate::resource::builtin()
            .iter()
            .find(|r| &*r.plural == plural)
            .unwrap();
        let read = |yaml: &str| {
            let mut value: Value = serde_saphyr::from_str(yaml).unwrap();
            defaults::default(resource, &mut value);
            value
        };
        let mut value = read(yaml);
        prepare(resource, &mut value, old.map(read).as_ref());
        let once = value.clone();
        prepare(resource, &mut value, old.map(read).as_ref());
        assert_eq!(once, value, "not idempotent");
        let shown = format!(
            "{}\n{}\n{}",
            value["metadata"], value["spec"], value["status"]
        );
        expected.assert_eq(&shown);
    }

    #[test]
    fn new_objects_get_what_the_server_gives() {
        check(
            "namespaces",
            "metadata: {name: a}\nstatus: {phase: Terminating}",
            None,
            expect![[r#"
                {"labels":{"kubernetes.io/metadata.name":"a"},"name":"a"}
                {"finalizers":["kubernetes"]}
                {"phase":"Active"}"#]],
        );
        check(
            "jobs",
            "metadata: {name: a, uid: u}\nspec: {template: {spec: {containers: []}}}",
            None,
            expect![[r#"
                {"labels":{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a","controller-uid":"u","job-name":"a"},"name":"a","uid":"u"}
                {"backoffLimit":6,"completionMode":"NonIndexed","completions":1,"manualSelector":false,"parallelism":1,"podReplacementPolicy":"TerminatingOrFailed","selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}},"suspend":false,"template":{"metadata":{"labels":{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a","controller-uid":"u","job-name":"a"}},"spec":{"containers":[],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}}
                {}"#]],
        );
        check(
            "persistentvolumeclaims",
            "metadata: {name: a}\nstatus: {phase: Bound}",
            None,
            expect![[r#"
                {"name":"a"}
                {"resources":{},"volumeMode":"Filesystem"}
                {"phase":"Pending"}"#]],
        );
        check(
            "nodes",
            "metadata: {name: a}\nstatus: {capacity: {cpu: '1'}}",
            None,
            expect![[r#"
                {"name":"a"}
                {}
                {"allocatable":{"cpu":"1"},"capacity":{"cpu":"1"},"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"architecture":"","bootID":"","containerRuntimeVersion":"","kernelVersion":"","kubeProxyVersion":"","kubeletVersion":"","machineID":"","operatingSystem":"","osImage":"","systemUUID":""}}"#]],
        );
    }

    #[test]
    fn changes_of_the_template_of_a_daemon_set_are_counted() {
        let set = |count: &str, image: &str| {
            format!(
                "metadata: {{annotations: {{deprecated.daemonset.template.generation: '{count}'}}}}\n\
                 spec: {{template: {{spec: {{containers: [{{name: a, image: {image}}}]}}}}}}"
            )
        };
        let count = |yaml: &str, old: Option<&str>| {
            let resource = crate::resource::builtin()
                .iter()
                .find(|r| &*r.plural == "daemonsets")
                .unwrap();
            let read = |yaml: &str| {
                let mut value: Value = serde_saphyr::from_str(yaml).unwrap();
                defaults::default(resource, &mut value);
                value
            };
            let mut value = read(yaml);
            prepare(resource, &mut value, old.map(read).as_ref());
            value["metadata"]["annotations"][defaults::TEMPLATE_GENERATION].clone()
        };
        assert_eq!(count(&set("7", "x"), None), "1");
        assert_eq!(count("metadata: {}", Some("metadata: {}")), "0");
        assert_eq!(count(&set("7", "x"), Some(&set("2", "x"))), "2");
        assert_eq!(count(&set("7", "y"), Some(&set("2", "x"))), "3");
        let most = i64::MAX.to_string();
        assert_eq!(count(&set("7", "y"), Some(&set(&most, "x"))), *most);
    }

    #[test]
    fn services_keep_their_addresses() {
        let old = "spec: {type: NodePort, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ports: [{port: 80, nodePort: 30001}]}";
        check(
            "services",
            "spec: {type: LoadBalancer, ports: [{port: 80}, {port: 81, name: x}]}",
            Some(old),
            expect![[r#"
                {}
                {"allocateLoadBalancerNodePorts":true,"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],"externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster","ports":[{"nodePort":30001,"port":80,"protocol":"TCP","targetPort":80},{"name":"x","port":81,"protocol":"TCP","targetPort":81}],"sessionAffinity":"None","type":"LoadBalancer"}
                {"loadBalancer":{}}"#]],
        );
        check(
            "services",
            "spec: {ports: [{port: 80}]}",
            Some(old),
            expect![[r#"
                {}
                {"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],"internalTrafficPolicy":"Cluster","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP"}
                {"loadBalancer":{}}"#]],
        );
        check(
            "services",
            "spec: {clusterIP: None, clusterIPs: [10.0.0.1], ports: [{port: 80}]}",
            Some(old),
            expect![[r#"
                {}
                {"clusterIP":"None","clusterIPs":["None"],"internalTrafficPolicy":"Cluster","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP"}
                {"loadBalancer":{}}"#]],
        );
        check(
            "services",
            "spec: {type: ExternalName, externalName: a.b}",
            Some(old),
            expect![[r#"
                {}
                {"externalName":"a.b","sessionAffinity":"None","type":"ExternalName"}
                {"loadBalancer":{}}"#]],
        );
    }

    #[test]
    fn pods_have_a_class_of_service() {
        for (resources, class) in [
            ("{}", "BestEffort"),
            ("{requests: {cpu: '1'}}", "Burstable"),
            ("{limits: {cpu: '1', memory: 1Gi}}", "Guaranteed"),
            (
                "{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}",
                "Burstable",
            ),
        ] {
            let spec: Value = serde_saphyr::from_str(&format!(
                "containers: [{{name: a, resources: {resources}}}]"
            ))
            .unwrap();
            assert_eq!(qos_class(&spec), class, "{resources}");
        }
    }
}
