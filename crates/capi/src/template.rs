//! Making objects from templates of providers.

use std::collections::BTreeMap;

use api::meta::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

/// What an object made from a template gets besides the template's own.
#[derive(Clone, Debug)]
pub(crate) struct Particulars<'a> {
    pub name: &'a str,
    pub cluster: &'a str,
    pub owner: OwnerReference,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// The kind of objects made from a template: its own without `Template`.
#[must_use]
pub(crate) fn object_kind(template_kind: &str) -> &str {
    template_kind
        .strip_suffix("Template")
        .unwrap_or(template_kind)
}

/// Says that templates don't exist; `names` are kinds with names.
#[must_use]
pub(crate) fn missing(names: &[String]) -> String {
    let verb = if names.len() == 1 { "does" } else { "do" };
    format!("{} {verb} not exist", names.join(", "))
}

/// `Kind.group` of an object.
#[must_use]
pub(crate) fn group_kind(object: &DynamicObject) -> String {
    let types = object.types.clone().unwrap_or_default();
    let group = types
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    format!("{}.{group}", types.kind)
}

/// The object of `template` with these particulars.
#[must_use]
pub(crate) fn instantiate(template: &DynamicObject, clone: Particulars<'_>) -> DynamicObject {
    let resource = &template.data["spec"]["template"];
    let inherited = |field: &str| -> BTreeMap<String, String> {
        serde_json::from_value(resource["metadata"][field].clone()).unwrap_or_default()
    };
    let mut labels = inherited("labels");
    labels.extend(clone.labels);
    labels.insert(labels::CLUSTER_NAME.to_owned(), clone.cluster.to_owned());
    let mut annotations = inherited("annotations");
    annotations.extend(clone.annotations);
    annotations.insert(labels::CLONED_FROM_NAME.to_owned(), template.name_any());
    annotations.insert(
        labels::CLONED_FROM_GROUP_KIND.to_owned(),
        group_kind(template),
    );
    let types = template.types.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(clone.name.to_owned()),
        namespace: template.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: Some(vec![clone.owner]),
        ..ObjectMeta::default()
    };
    let spec = &resource["spec"];
    let data = if *spec == Value::Null {
        json!({})
    } else {
        json!({"spec": spec})
    };
    crate::object::build(&types.api_version, object_kind(&types.kind), metadata, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn objects_say_what_they_were_made_from() {
        let template: DynamicObject = serde_saphyr::from_str(
            "
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LocalMachineTemplate
metadata: {name: small, namespace: acme}
spec: {template: {metadata: {labels: {a: template, b: template}}, spec: {cpus: 2}}}
",
        )
        .unwrap();
        let clone = Particulars {
            name: "md-0-abcde",
            cluster: "hello",
            owner: OwnerReference {
                name: "md-0-abcde".to_owned(),
                kind: "Machine".to_owned(),
                ..OwnerReference::default()
            },
            labels: crate::object::labels([("b", "machine")]),
            annotations: BTreeMap::new(),
        };
        expect![[r#"
            apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
            kind: LocalMachine
            metadata:
              annotations:
                cluster.x-k8s.io/cloned-from-groupkind: LocalMachineTemplate.infrastructure.cluster.x-k8s.io
                cluster.x-k8s.io/cloned-from-name: small
              labels:
                a: template
                b: machine
                cluster.x-k8s.io/cluster-name: hello
              name: md-0-abcde
              namespace: acme
              ownerReferences:
              - apiVersion: ""
                kind: Machine
                name: md-0-abcde
                uid: ""
            spec:
              cpus: 2
        "#]].assert_eq(&serde_saphyr::to_string(&instantiate(&template, clone)).unwrap());
    }
}
