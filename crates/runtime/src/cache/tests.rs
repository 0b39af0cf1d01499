//! The cache alone: order of events, our own writes ahead of the watch, relists.

use super::*;
use serde_json::json;

fn entry(name: &str, uid: &str, revision: u64) -> Arc<Entry> {
    let object = json!({"metadata": {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": revision.to_string()}});
    Arc::new(
        Entry::parse(&RawValue::from_string(object.to_string()).unwrap(), |_| {
            None
        })
        .unwrap(),
    )
}

fn cache() -> Arc<KindCache> {
    let resource = ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        plural: "configmaps".to_owned(),
    };
    KindCache::new(resource, None)
}

fn check(cache: &Arc<KindCache>, expect: &[(&str, u64)]) {
    let entries = cache.list(None, None, &Selector::all());
    let got: Vec<(&str, u64)> = entries
        .iter()
        .map(|e| (e.header.name.as_str(), e.header.revision.unwrap()))
        .collect();
    assert_eq!(got, expect);
}

#[test]
fn our_write_is_seen_at_once_and_older_events_do_not_undo_it() {
    let cache = cache();
    cache.replace(vec![entry("a", "u", 5)], Some(5));
    cache.upsert(entry("a", "u", 8), Origin::Write);
    check(&cache, &[("a", 8)]);
    cache.upsert(entry("a", "u", 7), Origin::Watch);
    check(&cache, &[("a", 8)]);
    cache.upsert(entry("a", "u", 9), Origin::Watch);
    check(&cache, &[("a", 9)]);
}

#[test]
fn an_answer_that_arrives_after_the_watch_went_on_is_old_news() {
    let cache = cache();
    cache.replace(vec![entry("a", "u", 5)], Some(5));
    cache.removed(&entry("a", "u", 9).header);
    cache.upsert(entry("a", "u", 8), Origin::Write);
    check(&cache, &[]);
}

#[test]
fn what_we_deleted_stays_deleted_while_the_watch_catches_up() {
    let cache = cache();
    cache.replace(vec![entry("a", "u", 5)], Some(5));
    cache.deleted("ns", "a", "u");
    cache.upsert(entry("a", "u", 6), Origin::Watch);
    check(&cache, &[]);
    cache.removed(&entry("a", "u", 7).header);
    cache.upsert(entry("a", "successor", 8), Origin::Watch);
    check(&cache, &[("a", 8)]);
}

#[test]
fn a_late_goodbye_does_not_take_the_successor() {
    let cache = cache();
    cache.replace(vec![entry("a", "u", 5)], Some(5));
    cache.deleted("ns", "a", "u");
    cache.upsert(entry("a", "successor", 7), Origin::Write);
    cache.removed(&entry("a", "u", 6).header);
    check(&cache, &[("a", 7)]);
}

#[test]
fn a_list_removes_what_is_gone_and_keeps_what_is_newer() {
    let cache = cache();
    cache.replace(vec![entry("a", "u", 1), entry("b", "v", 2)], Some(2));
    cache.upsert(entry("c", "w", 9), Origin::Write);
    cache.replace(vec![entry("b", "v", 2)], Some(8));
    check(&cache, &[("b", 2), ("c", 9)]);
}

#[test]
fn a_server_that_went_back_in_time_is_believed() {
    let cache = cache();
    cache.replace(vec![entry("a", "u", 100)], Some(100));
    cache.replace(vec![entry("a", "other", 3)], Some(3));
    check(&cache, &[("a", 3)]);
}

#[test]
fn an_object_is_parsed_once_per_type() {
    let entry = entry("a", "u", 1);
    let first = entry.read::<kube::core::PartialObjectMeta>().unwrap();
    assert!(Arc::ptr_eq(&first, &entry.read().unwrap()));
    assert!(entry.read::<Vec<String>>().is_err());
}

#[test]
fn types_lack_the_managed_fields_and_the_text_has_them() {
    let check = |managed: &str| {
        let text = format!(
            r#"{{"metadata": {{"name": "é", "resourceVersion": "1"{managed}, "labels": {{"a": "b"}}}}}}"#
        );
        let entry = Entry::parse(&RawValue::from_string(text.clone()).unwrap(), |_| None).unwrap();
        let read = entry.read::<kube::core::PartialObjectMeta>().unwrap();
        assert_eq!(read.metadata.managed_fields, None);
        assert_eq!(read.metadata.labels.as_ref().unwrap()["a"], "b");
        assert_eq!(entry.json(), text);
    };
    check("");
    check(r#", "managedFields": null"#);
    check(r#", "managedFields": [{"manager": "ü", "fieldsV1": {"f:data": {}}}]"#);
}

/// Objects come, change their labels and go; a list by a label is what looking at all gives, whether there are few or many.
#[test]
fn lists_by_label_are_what_looking_at_all_gives() {
    let cache = cache();
    let labelled = |name: &str, namespace: &str, revision: u64, labels: &[(&str, u64)]| {
        let labels: BTreeMap<&str, String> =
            labels.iter().map(|(k, v)| (*k, v.to_string())).collect();
        let object = serde_json::json!({"metadata": {
            "name": name, "namespace": namespace, "uid": name, "resourceVersion": revision.to_string(), "labels": labels,
        }});
        Arc::new(
            Entry::parse(&serde_json::value::to_raw_value(&object).unwrap(), |_| None).unwrap(),
        )
    };
    let check = || {
        let all = cache.list(None, None, &Selector::all());
        for (key, value) in [("a", 0), ("a", 1), ("a", 5), ("b", 0), ("none", 0)] {
            for namespace in [None, Some("one"), Some("two"), Some("three")] {
                let selector = Selector::label(key, value.to_string()).exists("a");
                let names = |entries: &[Arc<Entry>]| -> Vec<String> {
                    entries
                        .iter()
                        .map(|e| format!("{}/{}", e.header.namespace, e.header.name))
                        .collect()
                };
                let wanted: Vec<_> = all
                    .iter()
                    .filter(|e| e.matches(namespace, &selector))
                    .cloned()
                    .collect();
                let found = cache.list(None, namespace, &selector);
                assert_eq!(
                    names(&found),
                    names(&wanted),
                    "{key}={value} in {namespace:?}"
                );
            }
        }
    };
    // A fixed sequence that looks random.
    let mut seed: u64 = 1;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for revision in 1..2000 {
        let (name, namespace) = (
            format!("o{}", random(300)),
            ["one", "two"][usize::from(random(2) == 1)],
        );
        if random(4) == 0 {
            cache.deleted(namespace, &name, &name);
            let gone = labelled(&name, namespace, revision, &[]);
            cache.removed(&gone.header);
        } else {
            let labels = [("a", random(4)), ("b", random(2))];
            let some = usize::try_from(random(3)).unwrap();
            cache.upsert(
                labelled(&name, namespace, revision, &labels[..some]),
                Origin::Watch,
            );
        }
        if revision % 97 == 0 {
            check();
        }
    }
    assert!(cache.state().by_label.contains_key("a"));
    check();
}

/// What the process has already is kept once; what differs, whoever gave it, is what the server has sent.
#[test]
fn texts_that_are_known_are_not_copied() {
    let text = r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#;
    let sent = RawValue::from_string(text.to_owned()).unwrap();
    let known = Bytes::from(text);
    let entry = Entry::parse(&sent, |header| {
        assert_eq!((&*header.name, header.revision), ("a", Some(7)));
        Some(known.clone())
    });
    assert_eq!(entry.unwrap().json().as_ptr(), known.as_ptr());
    let other = Entry::parse(&sent, |_| Some(Bytes::from_static(b"{}")));
    assert_eq!(other.unwrap().json(), text);
}
