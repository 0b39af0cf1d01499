//! What holds for every input.

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

use super::{schema_of, thing, yaml};
use crate::patch::path::{Element, compare};
use crate::patch::set::{Entry, Set};
use crate::patch::{Manager, apply, is_same, json as json_patch, merge, record_update, strategic};

/// Any JSON, with keys that often mean something.
fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (-3_i32..3).prop_map(|half| Value::from(f64::from(half) / 2.0)),
        "[a-c]{0,2}".prop_map(Value::from),
        Just(json!("delete")),
        Just(json!("replace")),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "apiVersion",
            "kind",
            "metadata",
            "name",
            "labels",
            "finalizers",
            "annotations",
            "managedFields",
            "spec",
            "status",
            "replicas",
            "args",
            "zones",
            "selector",
            "nested",
            "config",
            "containers",
            "image",
            "env",
            "value",
            "ports",
            "containerPort",
            "protocol",
            "conditions",
            "type",
            "template",
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$deleteFromPrimitiveList/finalizers",
        ])
        .prop_map(str::to_owned),
        "[a-c]{1,2}",
    ];
    scalar.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// A part of a thing that follows the schema.
fn config() -> impl Strategy<Value = Value> {
    let text = || "[a-c]".prop_map(Value::from);
    let texts = || {
        prop::collection::btree_map("[a-c]", text(), 0..3)
            .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into())
    };
    let set = || {
        prop::collection::btree_set("[a-d]", 0..4)
            .prop_map(|set| Value::from(set.into_iter().collect::<Vec<_>>()))
    };
    let env = prop::collection::btree_map("[A-C]", prop::option::of(text()), 0..3)
        .prop_map(|env| named(env, "value"));
    let port = prop::collection::btree_set((80_u16..82, prop::option::of(Just("UDP"))), 0..3)
        .prop_map(|ports| {
            let port = |(port, protocol): (u16, Option<&str>)| match protocol {
                None => json!({"containerPort": port}),
                Some(protocol) => json!({"containerPort": port, "protocol": protocol}),
            };
            Value::from(ports.into_iter().map(port).collect::<Vec<_>>())
        });
    let container = (
        prop::option::of(text()),
        prop::option::of(set()),
        prop::option::of(env),
        prop::option::of(port),
    )
        .prop_map(|(image, args, env, ports)| {
            members([
                ("image", image),
                ("args", args),
                ("env", env),
                ("ports", ports),
            ])
        });
    let containers = prop::collection::btree_map("[a-c]", container, 0..3).prop_map(|containers| {
        let with_name = |(name, mut container): (String, Value)| {
            container["name"] = name.into();
            container
        };
        Value::from(containers.into_iter().map(with_name).collect::<Vec<_>>())
    });
    let spec = (
        prop::option::of((0_i64..3).prop_map(Value::from)),
        prop::option::of(set()),
        prop::option::of(set()),
        prop::option::of(texts().prop_map(|labels: Value| json!({"matchLabels": labels}))),
        prop::option::of(
            prop::collection::btree_map("[a-b]", texts(), 0..3)
                .prop_map(|m| Value::from(m.into_iter().collect::<Map<_, _>>())),
        ),
        prop::option::of(containers),
    )
        .prop_map(|(replicas, args, zones, selector, nested, containers)| {
            members([
                ("replicas", replicas),
                ("args", args),
                ("zones", zones),
                ("selector", selector),
                ("nested", nested),
                ("containers", containers),
            ])
        });
    (prop::option::of(spec), prop::option::of(texts())).prop_map(|(spec, labels)| {
        let mut value = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}});
        if let Some(labels) = labels {
            value["metadata"]["labels"] = labels;
        }
        if let Some(spec) = spec {
            value["spec"] = spec;
        }
        value
    })
}

fn named(items: std::collections::BTreeMap<String, Option<Value>>, field: &str) -> Value {
    let item = |(name, value): (String, Option<Value>)| {
        let mut item = json!({"name": name});
        if let Some(value) = value {
            item[field] = value;
        }
        item
    };
    items.into_iter().map(item).collect::<Vec<_>>().into()
}

fn members<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<Map<_, _>>()
        .into()
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "\\PC{0,6}".prop_map(|name| Element::field(&name)),
        prop::collection::btree_map("[a-c]", any_json(), 1..3).prop_map(|key| Element::key(
            key.into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect()
        )),
        any_json().prop_map(|value| Element::Item(Box::new(value))),
        any::<i64>().prop_map(Element::Index),
    ]
}

fn field_set() -> impl Strategy<Value = Set> {
    let leaf = prop::collection::vec(element(), 0..4).prop_map(|elements| {
        Set::from_entries(
            elements
                .into_iter()
                .map(|element| Entry {
                    element,
                    is_member: true,
                    below: Set::default(),
                })
                .collect(),
        )
    });
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::vec((element(), any::<bool>(), inner), 0..4).prop_map(|entries| {
            Set::from_entries(
                entries
                    .into_iter()
                    .map(|(element, is_member, below)| Entry {
                        element,
                        is_member,
                        below,
                    })
                    .collect(),
            )
        })
    })
}

fn manager(name: &str, second: i64) -> Manager<'_> {
    Manager {
        name,
        api_version: "v1",
        subresource: "",
        has_status: true,
        now: Timestamp::from_second(second).unwrap(),
        versions: &crate::patch::OneForm,
    }
}

/// The object without managed fields.
fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    value["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    value
}

#[test]
fn the_deepest_values_are_patched_and_deeper_ones_refused() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |below, _| json!({ "a": below }));
    let config = |levels: usize| json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"config": nested(levels)}});
    let schema = thing();
    let live = apply(None, &config(118), &schema, &manager("alice", 1), false).unwrap();
    let mut written = config(118);
    written["spec"]["config"]["b"] = json!(2);
    record_update(Some(&live), &mut written, &schema, &manager("bob", 2));
    let merged = strategic(&live, &config(118), &schema).unwrap();
    assert_eq!(merged, live);
    assert_eq!(merge(&live, &config(118)), live);
    assert!(
        apply(
            Some(&written),
            &config(118),
            &schema,
            &manager("alice", 3),
            false
        )
        .is_ok()
    );
    assert_eq!(
        apply(None, &config(119), &schema, &manager("alice", 1), false)
            .unwrap_err()
            .code,
        400
    );
    assert_eq!(
        strategic(&live, &config(119), &schema).unwrap_err().code,
        400
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(192) })]

    #[test]
    fn printing_and_parsing_field_sets_is_identity(set in field_set()) {
        prop_assert_eq!(Set::parse(&set.to_json()).unwrap(), set);
    }

    #[test]
    fn sets_follow_the_laws(a in field_set(), b in field_set()) {
        let union = a.clone().union(&b);
        prop_assert_eq!(&union, &b.clone().union(&a));
        prop_assert_eq!(&a.clone().difference(&b).union(&a.clone().intersection(&b)), &a);
        prop_assert_eq!(union.difference(&b), a.clone().difference(&b));
        prop_assert!(a.clone().difference(&a).is_empty());
        prop_assert!(a.touches(&b.to_json()) || a.intersection(&b).is_empty());
    }

    #[test]
    fn values_have_a_total_order(a in any_json(), b in any_json(), c in any_json()) {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
    }

    #[test]
    fn applying_twice_changes_nothing(a in config(), b in config()) {
        let schema = thing();
        let live = apply(None, &a, &schema, &manager("alice", 1), false).unwrap();
        let live = apply(Some(&live), &b, &schema, &manager("bob", 2), true).unwrap();
        let again = apply(Some(&live), &b, &schema, &manager("bob", 3), true).unwrap();
        prop_assert_eq!(live, again);
    }

    #[test]
    fn what_one_applier_stops_applying_goes(a in config(), b in config()) {
        let schema = thing();
        let live = apply(None, &a, &schema, &manager("alice", 1), false).unwrap();
        let live = apply(Some(&live), &b, &schema, &manager("alice", 2), false).unwrap();
        let direct = apply(None, &b, &schema, &manager("alice", 2), false).unwrap();
        prop_assert_eq!(without_empty(&bare(&live)), without_empty(&bare(&direct)));
    }

    #[test]
    fn an_applier_that_comes_and_goes_leaves_no_trace(a in config(), b in config()) {
        let schema = thing();
        let nothing = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}});
        let before = apply(None, &a, &schema, &manager("alice", 1), false).unwrap();
        // Who owns nothing (an empty list, say) has no trace to leave.
        prop_assume!(!before["metadata"]["managedFields"].is_null());
        let Ok(both) = apply(Some(&before), &b, &schema, &manager("bob", 2), false) else { return Ok(()) };
        let after = apply(Some(&both), &nothing, &schema, &manager("bob", 3), false).unwrap();
        prop_assert_eq!(without_empty(&sorted(&bare(&after))), without_empty(&sorted(&bare(&before))));
        prop_assert_eq!(&after["metadata"]["managedFields"], &before["metadata"]["managedFields"]);
    }

    #[test]
    fn conflicts_are_what_force_takes(a in config(), b in config()) {
        let schema = thing();
        let live = apply(None, &a, &schema, &manager("alice", 1), false).unwrap();
        let forced = apply(Some(&live), &b, &schema, &manager("bob", 2), true).unwrap();
        if let Ok(peaceful) = apply(Some(&live), &b, &schema, &manager("bob", 2), false) {
            prop_assert_eq!(peaceful, forced);
        } else {
            prop_assert_ne!(&live, &forced);
        }
    }

    #[test]
    fn writing_the_same_changes_nothing(a in config()) {
        let schema = thing();
        let mut live = a.clone();
        record_update(None, &mut live, &schema, &manager("bob", 1));
        let mut again = a;
        record_update(Some(&live), &mut again, &schema, &manager("carol", 2));
        prop_assert_eq!(live, again);
    }

    #[test]
    fn every_field_has_an_owner_after_any_update(a in config(), b in config()) {
        let schema = thing();
        let mut live = a;
        live["metadata"]["labels"] = json!({"tracked": "yes"});
        record_update(None, &mut live, &schema, &manager("bob", 1));
        let mut new = b.clone();
        record_update(Some(&live), &mut new, &schema, &manager("carol", 2));
        let mut fresh = b;
        record_update(None, &mut fresh, &schema, &manager("dave", 3));
        let owned = |value: &Value| {
            let entries = value["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
            entries.iter().fold(Set::default(), |all, entry| all.union(&Set::parse(&entry["fieldsV1"]).unwrap()))
        };
        prop_assert_eq!(owned(&new), owned(&fresh));
    }

    #[test]
    fn nothing_panics_on_any_json(live in any_json(), patch in any_json(), new in any_json()) {
        for schema in [thing(), schema_of(&yaml("{}"))] {
            for subresource in ["", "status"] {
                let manager = Manager { subresource, ..manager("kubectl", 1) };
                let mut config = patch.clone();
                if config.is_object() {
                    config["apiVersion"] = "v1".into();
                }
                for config in [&patch, &config] {
                    let applied = apply(Some(&live), config, &schema, &manager, true);
                    if let Ok(applied) = applied {
                        let _ = apply(Some(&applied), &new, &schema, &manager, false);
                        prop_assert!(is_same(&applied, &applied));
                    }
                    let _ = apply(None, config, &schema, &manager, false);
                }
                let mut written = new.clone();
                record_update(Some(&live), &mut written, &schema, &manager);
                record_update(None, &mut written, &schema, &manager);
            }
            let _ = strategic(&live, &patch, &schema);
        }
        let _ = json_patch(&live, patch.to_string().as_bytes());
        prop_assert_eq!(merge(&merge(&live, &patch), &patch), merge(&live, &patch));
    }

    #[test]
    fn an_empty_strategic_patch_is_identity(live in any_json()) {
        if live.is_object() {
            prop_assert_eq!(strategic(&live, &json!({}), &thing()).unwrap(), live);
        }
    }

    #[test]
    fn strategic_patches_are_idempotent(a in config(), b in config()) {
        let schema = thing();
        // Ports are merged by their number alone: with two of one number it is not.
        prop_assume!(!b.to_string().contains("UDP"));
        let once = strategic(&a, &b, &schema).unwrap();
        prop_assert_eq!(strategic(&once, &b, &schema).unwrap(), once);
    }

    #[test]
    fn directives_never_reach_the_result(live in config(), patch in any_json()) {
        if let Ok(result) = strategic(&live, &patch, &thing()) {
            prop_assert!(!result.to_string().contains("\"$"), "{}", result);
        }
    }
}

/// Lists that are sets or maps in any order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by(compare);
            items.into()
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), sorted(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Without empty lists and maps: who removes the last part of one leaves nothing of it.
fn without_empty(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), without_empty(value)));
            members
                .filter(|(_, value)| !is_empty(value))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(without_empty).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}
