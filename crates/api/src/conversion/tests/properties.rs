//! What holds for every object that the schemas allow, and for every other JSON.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::generate;
use crate::conversion::{ANNOTATION, KINDS, Kind, Schemas, convert, shape};

/// What v1beta1 says in vain, as the end of its path without indices.
const NOT_KEPT: &[&str] = &[
    ".clusterConfiguration.clusterName",
    ".clusterConfiguration.kind",
    ".clusterConfiguration.kubernetesVersion",
    ".clusterConfiguration.networking.dnsDomain",
    ".clusterConfiguration.networking.podSubnet",
    ".clusterConfiguration.networking.serviceSubnet",
    ".definitionFrom",
    ".initConfiguration.kind",
    ".joinConfiguration.kind",
    ".useExperimentalRetryJoin",
    "spec.progressDeadlineSeconds",
    "spec.revisionHistoryLimit",
    "spec.topology.rolloutAfter",
    // Follows from the counters.
    "status.ready",
];
/// What a v1beta1 object has when it comes back though it didn't say so.
const ADDED: &[&str] = &[
    // References are to the same namespace, and strategies have a type, as v1beta1 has always filled in.
    ".namespace",
    "trategy.type",
    // Follows from what v1beta2 says, if v1beta1 says nothing else.
    "status.conditions",
    "status.readyReplicas",
    "status.availableReplicas",
    "status.updatedReplicas",
    "status.unavailableReplicas",
    "status.fullyLabeledReplicas",
    "status.ready",
];

fn check(kind: &Kind, version: &str, test: impl Fn(&Schemas, Value) -> Result<(), TestCaseError>) {
    let kind = KINDS.iter().find(|k| k.kind == kind.kind).unwrap();
    let schemas = Schemas::of(kind).unwrap();
    let schema = if version == "v1beta1" {
        &schemas.v1beta1
    } else {
        &schemas.v1beta2
    };
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, deterministic());
    let strategy = generate::object(schema, &format!("{}/{version}", kind.group), kind.kind);
    let result = runner.run(&strategy, |object| test(schemas, object));
    if let Err(error) = result {
        panic!("{}: {error}", kind.kind);
    }
}

fn deterministic() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}

fn to(kind: &Kind, version: &str, object: &Value) -> Value {
    convert(object.clone(), &format!("{}/{version}", kind.group)).unwrap()
}

#[test]
fn v1beta2_comes_back_as_it_was() {
    for kind in KINDS {
        check(kind, "v1beta2", |schemas, mut object| {
            shape::elide(&schemas.v1beta2, &mut object);
            let down = to(kind, "v1beta1", &object);
            let mut known = down.clone();
            shape::prune(&schemas.v1beta1, &mut known);
            prop_assert_eq!(&known, &down, "v1beta1 has more fields than its schema");
            let up = to(kind, "v1beta2", &down);
            prop_assert_eq!(up, object, "through\n{}", down);
            Ok(())
        });
    }
}

#[test]
fn v1beta1_comes_back_but_for_what_is_documented() {
    for kind in KINDS {
        check(kind, "v1beta1", |schemas, object| {
            let up = to(kind, "v1beta2", &object);
            let mut known = up.clone();
            shape::prune(&schemas.v1beta2, &mut known);
            prop_assert_eq!(&known, &up, "v1beta2 has more fields than its schema");
            let back = to(kind, "v1beta1", &up);
            prop_assert!(
                back["metadata"]["annotations"][ANNOTATION].is_null(),
                "kept in vain: {}",
                back
            );
            let mut found = vec![];
            for part in ["spec", "status"] {
                shape::missing(&object[part], &back[part], part, &mut found);
            }
            for loss in &found {
                let (path, why) = loss.split_once(": ").unwrap();
                let is_fraction = why == r#""1.5s" is kept as "1s""#;
                prop_assert!(
                    is_fraction || ends_with(path, NOT_KEPT),
                    "{}\nback\n{}",
                    loss,
                    back
                );
            }
            let mut more = vec![];
            for part in ["spec", "status"] {
                shape::missing(&back[part], &object[part], part, &mut more);
            }
            for gain in &more {
                let (path, why) = gain.split_once(": ").unwrap();
                let is_fraction = why == r#""1s" is kept as "1.5s""#;
                prop_assert!(
                    is_fraction || ends_with(path, ADDED),
                    "{}\nback\n{}",
                    gain,
                    back
                );
            }
            Ok(())
        });
    }
}

fn ends_with(path: &str, ends: &[&str]) -> bool {
    let mut plain = String::new();
    let mut is_index = false;
    for c in path.chars() {
        is_index = c == '[' || is_index && c != ']';
        if !is_index && c != ']' {
            plain.push(c);
        }
    }
    ends.iter().any(|end| plain.ends_with(end))
}

#[test]
fn nothing_makes_it_panic() {
    for kind in KINDS {
        for version in ["v1beta1", "v1beta2"] {
            let other = if version == "v1beta1" {
                "v1beta2"
            } else {
                "v1beta1"
            };
            let spoiled = generate::anything();
            let spoil = std::cell::RefCell::new(TestRunner::new_with_rng(
                Config::default(),
                deterministic(),
            ));
            check(kind, version, |_, mut object| {
                let mut runner = spoil.borrow_mut();
                let thing = spoiled.new_tree(&mut runner).unwrap().current();
                let mut places = vec![];
                pointers(&object, "", &mut places);
                let at = (0..places.len()).new_tree(&mut runner).unwrap().current();
                *object.pointer_mut(&places[at]).unwrap() = thing;
                if let Ok(there) = convert(object, &format!("{}/{other}", kind.group)) {
                    drop(convert(there, &format!("{}/{version}", kind.group)));
                }
                Ok(())
            });
        }
    }
}

fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                pointers(value, &format!("{at}/{}", name.replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn other_kinds_and_versions_are_refused_in_words() {
    let said = |object: Value, version: &str| convert(object, version).unwrap_err().to_string();
    let cluster =
        json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {}});
    expect_test::expect![[r#"
        kind: Invalid value: "" of "" is no kind that has several versions
        kind: Invalid value: "Clusters" of "cluster.x-k8s.io/v1beta1" is no kind that has several versions
        apiVersion: Invalid value: cluster.x-k8s.io/v1beta2 cannot become cluster.x-k8s.io/v1alpha4: the versions of Cluster are cluster.x-k8s.io/v1beta1 and cluster.x-k8s.io/v1beta2
        apiVersion: Invalid value: cluster.x-k8s.io/v1beta2 cannot become cluster.x-k8s.iov1beta1: the versions of Cluster are cluster.x-k8s.io/v1beta1 and cluster.x-k8s.io/v1beta2"#]].assert_eq(
        &[
            said(json!(null), "v1"),
            said(
                json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Clusters"}),
                "cluster.x-k8s.io/v1beta2",
            ),
            said(cluster.clone(), "cluster.x-k8s.io/v1alpha4"),
            said(cluster, "cluster.x-k8s.iov1beta1"),
        ]
        .join("\n"),
    );
}
