//! Check tests: Endpoints in YAML → slices as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use runtime::Change;
use serde_json::json;

use super::*;

/// Mirrors these subsets for a Service with this selector, while these slices are there.
fn check(subsets: &str, labels: Value, selector: Value, slices: &[&str], expect: &Expect) {
    let subsets: Value = serde_saphyr::from_str(subsets).unwrap();
    let slice = |name: &&str| {
        let slice = json!({"metadata": {"name": name, "namespace": "default", "uid": "u"}, "addressType": "IPv4", "endpoints": []});
        Arc::new(serde_json::from_value(slice).unwrap())
    };
    let service = json!({"metadata": {"name": "db"}, "spec": {"selector": selector}});
    let world = World {
        endpoints: serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "default", "uid": "uid-db", "labels": labels,
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "x"}},
            "subsets": subsets,
        }))
        .unwrap(),
        service: Some(Arc::new(serde_json::from_value(service).unwrap())),
        slices: slices.iter().map(slice).collect(),
    };
    let plan = MirroringController::plan(&world, Timestamp::UNIX_EPOCH);
    let mut text = plan.to_string();
    for change in &plan.changes {
        if let Change::Apply(slice) = change {
            writeln!(
                text,
                "{} {:?} {:?}",
                slice.data, slice.metadata.labels, slice.metadata.annotations
            )
            .unwrap();
        }
    }
    expect.assert_eq(&text);
}

const SUBSETS: &str = "[{addresses: [{ip: 10.0.0.1, hostname: a}], notReadyAddresses: [{ip: 10.0.0.2}, {ip: 'fd00::1', nodeName: node-1}], ports: [{name: sql, port: 5432}]}]";

#[test]
fn every_family_of_a_subset_has_a_slice() {
    check(
        SUBSETS,
        json!({"app": "db"}),
        Value::Null,
        &[],
        &expect![[r#"
            apply EndpointSlice default/db-zzgf5
            apply EndpointSlice default/db-p7xcq
            {"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true},"hostname":"a"},{"addresses":["10.0.0.2"],"conditions":{"ready":false}}],"ports":[{"name":"sql","port":5432,"protocol":"TCP"}]} Some({"app": "db", "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io", "kubernetes.io/service-name": "db"}) Some({"note": "x"})
            {"addressType":"IPv6","endpoints":[{"addresses":["fd00::1"],"conditions":{"ready":false},"nodeName":"node-1"}],"ports":[{"name":"sql","port":5432,"protocol":"TCP"}]} Some({"app": "db", "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io", "kubernetes.io/service-name": "db"}) Some({"note": "x"})
        "#]],
    );
}

#[test]
fn what_is_no_longer_there_goes() {
    check(
        "[]",
        Value::Null,
        Value::Null,
        &["db-old"],
        &expect![[r#"
        delete EndpointSlice default/db-old
    "#]],
    );
}

#[test]
fn services_with_a_selector_are_left_alone() {
    check(
        SUBSETS,
        Value::Null,
        json!({"app": "db"}),
        &[],
        &expect![[""]],
    );
    let skip = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    check(
        SUBSETS,
        skip,
        Value::Null,
        &["db-old"],
        &expect![[r#"
        delete EndpointSlice default/db-old
    "#]],
    );
}
