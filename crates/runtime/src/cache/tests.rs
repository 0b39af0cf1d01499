//! The cache alone: order of events, our own writes ahead of the watch, relists.

use super::*;
use serde_json::json;

fn entry(name: &str, uid: &str, revision: u64) -> Arc<Entry> {
    let object = json!({"metadata": {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": revision.to_string()}});
    Arc::new(Entry::parse(RawValue::from_string(object.to_string()).unwrap()).unwrap())
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
        let entry = Entry::parse(RawValue::from_string(text.clone()).unwrap()).unwrap();
        let read = entry.read::<kube::core::PartialObjectMeta>().unwrap();
        assert_eq!(read.metadata.managed_fields, None);
        assert_eq!(read.metadata.labels.as_ref().unwrap()["a"], "b");
        assert_eq!(entry.json(), text);
    };
    check("");
    check(r#", "managedFields": null"#);
    check(r#", "managedFields": [{"manager": "ü", "fieldsV1": {"f:data": {}}}]"#);
}
