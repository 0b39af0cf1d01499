//! Check tests: what is charged and what was counted → what is shown.

use expect_test::{Expect, expect};
use jiff::SignedDuration;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn amounts(yaml: &str) -> Amounts {
    Amounts::of(&serde_saphyr::from_str::<Value>(yaml).unwrap())
}

fn check(hard: &str, charged: &str, counted: &str, given_back: &str, expect: &Expect) {
    let [hard, charged] =
        [hard, charged].map(|yaml| serde_saphyr::from_str::<Value>(yaml).unwrap());
    let quota = json!({"metadata": {"name": "q", "namespace": "dev"}, "spec": {"hard": hard}, "status": {"used": charged}});
    let world = World {
        quota: serde_json::from_value(quota).unwrap(),
        counted: amounts(counted),
        given_back: amounts(given_back),
        again_at: None,
    };
    let plan = ResourceQuotaController::plan(&world, now());
    let status =
        ResourceQuotaController::status(&world, &plan, &Outcome::default(), now()).unwrap();
    expect.assert_eq(&format!("{plan}{status}"));
}

#[test]
fn a_new_quota_shows_what_was_counted() {
    check(
        "{pods: '2', requests.cpu: '1'}",
        "{}",
        "{pods: '1', requests.cpu: 500m}",
        "{}",
        &expect![[r#"
            again in 300s
            {"hard":{"pods":"2","requests.cpu":"1"},"used":{"pods":"1","requests.cpu":"500m"}}"#]],
    );
}

#[test]
fn more_shows_at_once_and_less_when_it_is_sure() {
    let hard = "{pods: '9'}";
    check(
        hard,
        "{pods: '1'}",
        "{pods: '3'}",
        "{}",
        &expect![[r#"
        again in 300s
        {"hard":{"pods":"9"},"used":{"pods":"3"}}"#]],
    );
    check(
        hard,
        "{pods: '3'}",
        "{pods: '1'}",
        "{}",
        &expect![[r#"
        again in 300s
        {"hard":{"pods":"9"},"used":{"pods":"3"}}"#]],
    );
    check(
        hard,
        "{pods: '3'}",
        "{pods: '1'}",
        "{pods: '2'}",
        &expect![[r#"
            again in 300s
            {"hard":{"pods":"9"},"used":{"pods":"1"}}"#]],
    );
    check(
        hard,
        "{pods: '3'}",
        "{pods: '1'}",
        "{pods: '1'}",
        &expect![[r#"
            again in 300s
            {"hard":{"pods":"9"},"used":{"pods":"2"}}"#]],
    );
}

#[test]
fn what_is_no_longer_limited_is_no_longer_shown() {
    check(
        "{pods: '9'}",
        "{pods: '1', secrets: '4'}",
        "{pods: '1'}",
        "{}",
        &expect![[r#"
            again in 300s
            {"hard":{"pods":"9"},"used":{"pods":"1"}}"#]],
    );
}

/// Looks at a quota after so many milliseconds, and what is given back each time.
fn check_history(looks: &[(i64, &str)], expect: &Expect) {
    let mut all = HashMap::new();
    let lines: Vec<String> = looks
        .iter()
        .map(|(millis, surplus)| {
            let at = now() + SignedDuration::from_millis(*millis);
            let (given, again) = history::note(&mut all, "q".into(), amounts(surplus), at);
            let again = again.map_or("-".into(), |again| {
                again.duration_since(now()).as_millis().to_string()
            });
            format!("{millis}: [{given}] again {again}")
        })
        .collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn only_what_was_too_much_all_the_time_is_given_back() {
    check_history(
        &[(0, "{pods: 2}"), (500, "{pods: 2}"), (600, "{}")],
        &expect![[r#"
            0: [] again 500
            500: [pods=2] again 1000
            600: [] again -"#]],
    );
    // One was on its way, the other is gone for good.
    check_history(
        &[
            (0, "{pods: 1}"),
            (100, "{pods: 2}"),
            (200, "{pods: 1}"),
            (500, "{pods: 1}"),
        ],
        &expect![[r#"
            0: [] again 500
            100: [] again 500
            200: [] again 500
            500: [pods=1] again 1000"#]],
    );
    check_history(
        &[
            (0, "{pods: 1}"),
            (100, "{}"),
            (500, "{pods: 1}"),
            (999, "{pods: 1}"),
            (1000, "{pods: 1}"),
        ],
        &expect![[r#"
            0: [] again 500
            100: [] again -
            500: [] again 1000
            999: [] again 1000
            1000: [pods=1] again 1500"#]],
    );
    // A look long ago holds until the next one.
    check_history(
        &[(0, "{pods: 1, cpu: 1}"), (5000, "{pods: 3}")],
        &expect![[r#"
            0: [] again 500
            5000: [pods=1] again 5500"#]],
    );
}

#[test]
fn many_looks_are_put_together_and_forgotten_quotas_go() {
    let mut all = HashMap::new();
    for millis in 0..400 {
        let at = now() + SignedDuration::from_millis(millis);
        let surplus = if millis == 7 {
            "{pods: 1}"
        } else {
            "{pods: 5}"
        };
        assert!(
            history::note(&mut all, "q".into(), amounts(surplus), at)
                .0
                .is_empty()
        );
    }
    let at = now() + SignedDuration::from_millis(501);
    let (given, _) = history::note(&mut all, "q".into(), amounts("{pods: 5}"), at);
    assert_eq!(given.to_string(), "pods=1");
    history::note(&mut all, "gone".into(), amounts("{pods: 5}"), at);
    let later = at + SignedDuration::from_secs(61);
    history::note(&mut all, "q".into(), amounts("{pods: 5}"), later);
    assert_eq!(all.len(), 1);
}
