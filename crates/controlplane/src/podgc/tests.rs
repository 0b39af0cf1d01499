//! Check tests: a pod and where it is → whether it goes.

use expect_test::expect;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn pod(name: &str, phase: &str, is_going: bool) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": "u", "generation": 1},
        "spec": {"containers": []}, "status": {"phase": phase},
    });
    if is_going {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:00:00Z");
    }
    serde_json::from_value(pod).unwrap()
}

fn check(phase: &str, is_going: bool, place: Place) -> String {
    let world = World {
        pod: pod("p", phase, is_going),
        place,
        is_surplus: false,
    };
    plan::plan(&world, now()).to_string()
}

fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

#[test]
fn pods_of_nodes_that_are_gone_go_after_a_while() {
    assert_eq!(check("Running", false, Place::There), "");
    assert_eq!(
        check("Running", false, Place::Missing(ago(10))),
        "again in 30s\n"
    );
    expect![[r#"
        patch Pod default/p/status {"metadata":{"resourceVersion":null,"uid":"u"},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"PodGC: node no longer exists","observedGeneration":1,"reason":"DeletionByPodGC","status":"True","type":"DisruptionTarget"}],"observedGeneration":1,"phase":"Failed"}}
        act Delete
    "#]].assert_eq(&check("Running", false, Place::Missing(ago(40))));
    assert_eq!(
        check("Succeeded", false, Place::Missing(ago(40))),
        "act Delete\n"
    );
}

#[test]
fn deleted_pods_without_a_kubelet_go_at_once() {
    assert_eq!(check("Pending", false, Place::None), "");
    expect![[r#"
        patch Pod default/p/status {"metadata":{"resourceVersion":null,"uid":"u"},"status":{"observedGeneration":1,"phase":"Failed"}}
        act Delete
    "#]].assert_eq(&check("Pending", true, Place::None));
    assert_eq!(check("Running", false, Place::OutOfService), "");
    assert_ne!(check("Running", true, Place::OutOfService), "");
    assert_eq!(check("Running", true, Place::There), "");
}

#[test]
fn the_oldest_of_too_many_that_are_over_go_first() {
    let mut over = Over::default();
    let all: Vec<Pod> = (0..=OVER_MAX)
        .map(|at| pod(&format!("p{at:05}"), "Succeeded", false))
        .collect();
    all.iter().for_each(|pod| over.put(pod));
    assert!(over.is_surplus(&all[0], |_, _| true));
    assert!(!over.is_surplus(&all[1], |_, _| true));
    // One of them has gone already.
    assert!(!over.is_surplus(&all[0], |_, name| name != "p00007"));
    assert_eq!(over.0.len(), OVER_MAX);
}
