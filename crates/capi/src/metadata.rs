//! Labels and annotations that go on from a machine to its bootstrap config and infrastructure object. Pure, but for [`whole`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::meta::labels;
use kube::ResourceExt;
use kube::core::DynamicObject;
use runtime::{Change, Cx, GatherError, ObjectRef};
use serde_json::{Map, Value, json};

use crate::object;

/// What parts have of their own, whoever made them.
const OWN: [&str; 3] = [
    labels::CLUSTER_NAME,
    labels::CLONED_FROM_NAME,
    labels::CLONED_FROM_GROUP_KIND,
];

/// What a part should have.
pub(crate) struct Wanted<'a> {
    pub labels: &'a BTreeMap<String, String>,
    pub annotations: &'a BTreeMap<String, String>,
    /// The template that parts are made from, if there is one.
    pub template: Option<&'a DynamicObject>,
    /// Who made the part and changes it: what it gave once, and is not wanted any more, goes.
    pub controller: &'static str,
}

/// The part, with its managed fields if it has labels or annotations that are not wanted: only those tell whose they are.
///
/// # Errors
/// If it can't be read.
pub(crate) async fn whole(
    cx: &Cx,
    part: Option<Arc<DynamicObject>>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Result<Option<Arc<DynamicObject>>, GatherError> {
    let Some(part) = part else { return Ok(None) };
    let is_more = |have: &BTreeMap<String, String>, want: &BTreeMap<String, String>| {
        let mut keys = have.keys();
        keys.any(|key| !OWN.contains(&key.as_str()) && !want.contains_key(key))
    };
    if !is_more(part.labels(), labels) && !is_more(part.annotations(), annotations) {
        return Ok(Some(part));
    }
    let target = ObjectRef::of(&part);
    match cx.resolve(&target.group, &target.kind).await? {
        Some(resource) => {
            let whole = cx.get_whole(&resource, &target.namespace, &target.name);
            Ok(whole.await?.or(Some(part)))
        }
        None => Ok(Some(part)),
    }
}

/// The change that brings the part to what is wanted, if one is needed. What others gave it stays.
#[must_use]
pub(crate) fn follow<A>(part: &DynamicObject, wanted: &Wanted<'_>) -> Option<Change<A>> {
    let mut patch = json!({});
    for (field, have, want) in [
        ("labels", part.labels(), wanted.labels),
        ("annotations", part.annotations(), wanted.annotations),
    ] {
        let mut changed: Map<String, Value> = want
            .iter()
            .filter(|(key, value)| !OWN.contains(&key.as_str()) && have.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let gone = given(part, wanted, field)
            .into_iter()
            .filter(|key| have.contains_key(key) && !want.contains_key(key));
        changed.extend(gone.map(|key| (key, Value::Null)));
        if !changed.is_empty() {
            patch[field] = Value::Object(changed);
        }
    }
    (patch != json!({})).then(|| Change::Patch {
        target: ObjectRef::of(part),
        subresource: "",
        patch: json!({"metadata": patch}),
    })
}

/// Keys that the controller gave the part, but for those that it has from its template; none if that isn't known.
fn given(part: &DynamicObject, wanted: &Wanted<'_>, field: &str) -> BTreeSet<String> {
    let origin = object::annotation(&part.metadata, labels::CLONED_FROM_NAME);
    let template = wanted
        .template
        .filter(|t| origin == Some(&*t.name_any()))
        .map(|t| &t.data["spec"]["template"]["metadata"][field]);
    if origin.is_some() && template.is_none() {
        return BTreeSet::new();
    }
    let is_inherited = |key: &str| template.is_some_and(|t| !t[key].is_null());
    let manager = format!("apiary-{}", wanted.controller);
    let entries = part.metadata.managed_fields.iter().flatten();
    entries
        .filter(|entry| entry.manager.as_ref() == Some(&manager))
        .filter_map(|entry| {
            entry.fields_v1.as_ref()?.0["f:metadata"][format!("f:{field}")].as_object()
        })
        .flat_map(|fields| fields.keys().filter_map(|key| key.strip_prefix("f:")))
        .filter(|key| !OWN.contains(key) && !is_inherited(key))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const TEMPLATE: &str = "
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LocalMachineTemplate
metadata: {name: small, namespace: acme}
spec: {template: {metadata: {labels: {inherited: a}}, spec: {}}}
";
    const PART: &str = "
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: LocalMachine
metadata:
  name: m
  namespace: acme
  labels: {cluster.x-k8s.io/cluster-name: hello, inherited: a, kept: a, changed: a, gone: a, hers: a}
  annotations: {cluster.x-k8s.io/cloned-from-name: small, cluster.x-k8s.io/cloned-from-groupkind: x, gone: a, hers: a}
  managedFields:
  - {manager: apiary-machineset, operation: Update, fieldsV1: {'f:metadata': {'f:labels': {'.': {}, 'f:cluster.x-k8s.io/cluster-name': {}, 'f:inherited': {}, 'f:kept': {}, 'f:changed': {}, 'f:gone': {}}, 'f:annotations': {'f:cluster.x-k8s.io/cloned-from-name': {}, 'f:cluster.x-k8s.io/cloned-from-groupkind': {}, 'f:gone': {}}}}}
  - {manager: somebody, operation: Update, fieldsV1: {'f:metadata': {'f:labels': {'f:hers': {}}, 'f:annotations': {'f:hers': {}}}}}
";

    fn check(template: &str, expect: &Expect) {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let labels = map(&[
            ("cluster.x-k8s.io/cluster-name", "hello"),
            ("kept", "a"),
            ("changed", "b"),
            ("new", "b"),
        ]);
        let annotations = map(&[("new", "b")]);
        let template: DynamicObject = serde_saphyr::from_str(template).unwrap();
        let wanted = Wanted {
            labels: &labels,
            annotations: &annotations,
            template: Some(&template),
            controller: "machineset",
        };
        let part: DynamicObject = serde_saphyr::from_str(PART).unwrap();
        let Some(Change::<()>::Patch { patch, .. }) = follow(&part, &wanted) else {
            panic!("nothing changes");
        };
        expect.assert_eq(&crate::yaml::render(&patch));
    }

    #[test]
    fn parts_follow_and_keep_what_is_not_from_here() {
        check(
            TEMPLATE,
            &expect![[r#"
                metadata:
                  annotations:
                    gone: null
                    new: b
                  labels:
                    changed: b
                    gone: null
                    new: b
            "#]],
        );
        // Made from another template: what it has from that is not known.
        check(
            &TEMPLATE.replace("name: small", "name: other"),
            &expect![[r#"
                metadata:
                  annotations:
                    new: b
                  labels:
                    changed: b
                    new: b
            "#]],
        );
    }
}
