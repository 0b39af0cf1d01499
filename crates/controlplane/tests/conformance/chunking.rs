//! Lists in chunks.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::world::{Suite, names, revision};

const TOTAL: usize = 400;

async fn many_templates(suite: &Suite) -> Kind<'_> {
    let templates = suite.namespaced("v1", "PodTemplate", "podtemplates");
    for at in 0..TOTAL {
        let spec = json!({"containers": [{"name": "test", "image": "test2"}]});
        let object =
            json!({"metadata": {"name": format!("template-{at:04}")}, "template": {"spec": spec}});
        templates.create(object).await;
    }
    templates
}

/// Checks a chunk after `found` objects: which they are, and how many the list says are left. How many there are now.
fn check(list: &Value, limit: usize, found: usize) -> usize {
    let (names, meta) = (names(list), &list["metadata"]);
    assert!(names.len() <= limit);
    let wanted: Vec<String> = (found..found + names.len())
        .map(|at| format!("template-{at:04}"))
        .collect();
    assert_eq!(names, wanted);
    let found = found + names.len();
    if next(list).is_empty() {
        assert_eq!(meta.get("remainingItemCount"), None);
    } else {
        assert_eq!(meta["remainingItemCount"], TOTAL - found);
    }
    found
}

fn next(list: &Value) -> &str {
    list["metadata"]["continue"].as_str().unwrap_or_default()
}

/// Reads on from a chunk to the end; all are of the same revision.
async fn read_on(templates: &Kind<'_>, mut list: Value, limit: usize, mut found: usize) {
    let at = revision(&list);
    while !next(&list).is_empty() {
        let query = format!("limit={limit}&continue={}", next(&list));
        list = templates.list(&query).await;
        assert_eq!(revision(&list), at);
        found = check(&list, limit, found);
    }
    assert_eq!(found, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn servers_with_support_for_api_chunking_should_return_chunks_of_results_for_list_calls() {
    let suite = Suite::new().await;
    let templates = many_templates(&suite).await;
    for _ in 0..3 {
        let first = templates.list("limit=17").await;
        let found = check(&first, 17, 0);
        // What is made meanwhile is not in the list.
        templates.create(json!({"metadata": {"name": "template-9999"}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}})).await;
        read_on(&templates, first, 17, found).await;
        templates.delete("template-9999").await;
    }
    let query = format!("limit={}", TOTAL + 1);
    assert_eq!(templates.count(&query).await, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn servers_with_support_for_api_chunking_should_support_continue_listing_from_the_last_key_if_the_original_version_has_been_compacted_away_though_the_list_is_inconsistent()
 {
    let suite = Suite::new().await;
    suite.serve().await;
    let templates = many_templates(&suite).await;
    let limit = TOTAL / 10;
    let first = templates.list(&format!("limit={limit}")).await;
    let found = check(&first, limit, 0);
    let token = next(&first).to_owned();
    let mut tries = 0;
    let expired = loop {
        let path = templates.path("");
        let answer = suite
            .get(&format!("{path}?limit={limit}&continue={token}"))
            .await;
        if answer.code != 200 {
            break answer;
        }
        tries += 1;
        assert!(tries < 60, "a token goes on for ever");
        // Something must happen, or nothing is old.
        templates
            .merge(
                "template-0000",
                json!({"metadata": {"annotations": {"try": tries.to_string()}}}),
            )
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    };
    let status = expired.json();
    assert_eq!((expired.code, &status["reason"]), (410, &json!("Expired")));
    let inconsistent = next(&status);
    assert!(!inconsistent.is_empty(), "{status:#}");
    let list = templates
        .list(&format!("limit={limit}&continue={inconsistent}"))
        .await;
    assert!(revision(&list) > revision(&first));
    assert_eq!(names(&list).len(), limit);
    let found = check(&list, limit, found);
    read_on(&templates, list, limit, found).await;
}
