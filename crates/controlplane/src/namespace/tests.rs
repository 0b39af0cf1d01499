//! Check tests: content → plan and conditions, as text.

use expect_test::{Expect, expect};

use super::*;

/// `kind[*]: name[-][!finalizer] …`; `*` for kinds with `deletecollection`, `-` for objects that go already.
fn world(text: &str) -> World {
    let content = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (kind, objects) = line.split_once(':').unwrap();
            let plural = kind.trim_end_matches('*').to_owned();
            let objects = objects.split_whitespace().map(|object| {
                let (name, finalizer) = object
                    .split_once('!')
                    .map_or((object, None), |(n, f)| (n, Some(f)));
                Object {
                    name: name.trim_end_matches('-').to_owned(),
                    uid: format!("uid-{name}"),
                    is_deleting: name.ends_with('-'),
                    finalizers: finalizer.into_iter().map(str::to_owned).collect(),
                }
            });
            Content {
                resource: ApiResource {
                    group: String::new(),
                    version: "v1".to_owned(),
                    api_version: "v1".to_owned(),
                    kind: plural.clone(),
                    plural,
                },
                has_delete_collection: kind.ends_with('*'),
                objects: objects.collect(),
            }
        });
    World {
        name: "team".to_owned(),
        is_ours: true,
        content: content.collect(),
        ..World::default()
    }
}

fn check(world: &World, failure: Option<Wait>, expect: &Expect) {
    let now = Timestamp::UNIX_EPOCH;
    let plan = NamespaceController::plan(world, now);
    let outcome = Outcome { done: 0, failure };
    let mut text = plan.to_string();
    let status = NamespaceController::status(world, &plan, &outcome, now).unwrap_or_default();
    for condition in status["conditions"].as_array().into_iter().flatten() {
        if condition["status"] == "True" {
            text.push_str(&format!(
                "{} {} {}\n",
                condition["type"], condition["reason"], condition["message"]
            ));
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn a_living_namespace_is_left_alone() {
    check(&World::default(), None, &expect![[""]]);
}

#[test]
fn pods_go_before_everything_else() {
    let world = world("configmaps*: a b\npods*: p q-");
    check(
        &world,
        None,
        &expect![[r#"
        act DeleteAll(pods)
        wait SomeResourcesRemain: Some resources are remaining: configmaps. has 2 resource instances, pods. has 2 resource instances
        "NamespaceContentRemaining" "SomeResourcesRemain" "Some resources are remaining: configmaps. has 2 resource instances, pods. has 2 resource instances"
    "#]],
    );
}

#[test]
fn while_pods_go_the_rest_stays() {
    check(
        &world("configmaps*: a\npods*: p-!x.io/hold"),
        None,
        &expect![[r#"
            wait SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances, pods. has 1 resource instances
            "NamespaceContentRemaining" "SomeResourcesRemain" "Some resources are remaining: configmaps. has 1 resource instances, pods. has 1 resource instances"
            "NamespaceFinalizersRemaining" "SomeFinalizersRemain" "Some content in the namespace has finalizers remaining: x.io/hold in 1 resource instances"
        "#]],
    );
}

#[test]
fn then_all_kinds_go_one_by_one_where_it_must_be() {
    check(
        &world("configmaps*: a\nthings: x y-\nservices: s"),
        None,
        &expect![[r#"
            act DeleteAll(configmaps)
            delete things team/x
            delete services team/s
            wait SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances, services. has 1 resource instances, things. has 2 resource instances
            "NamespaceContentRemaining" "SomeResourcesRemain" "Some resources are remaining: configmaps. has 1 resource instances, services. has 1 resource instances, things. has 2 resource instances"
        "#]],
    );
}

#[test]
fn an_empty_namespace_goes_itself() {
    check(
        &world(""),
        None,
        &expect![[r#"
        act Finalize
    "#]],
    );
}

#[test]
fn a_failure_is_shown() {
    let failure = Wait {
        reason: "ContentDeletionFailed",
        message: "deleting things: no".to_owned(),
    };
    check(
        &world("things: x-"),
        Some(failure),
        &expect![[r#"
        wait SomeResourcesRemain: Some resources are remaining: things. has 1 resource instances
        "NamespaceDeletionContentFailure" "ContentDeletionFailed" "deleting things: no"
        "NamespaceContentRemaining" "SomeResourcesRemain" "Some resources are remaining: things. has 1 resource instances"
    "#]],
    );
}

#[test]
fn without_discovery_nothing_is_final() {
    let world = World {
        discovery_failure: Some("no answer".to_owned()),
        ..world("")
    };
    check(
        &world,
        None,
        &expect![[r#"
        wait DiscoveryFailed: no answer
        again in 15s
        "NamespaceDeletionDiscoveryFailure" "DiscoveryFailed" "Discovery failed for some groups: no answer"
    "#]],
    );
}

#[test]
fn what_is_known_goes_even_when_a_group_cannot_be_asked() {
    let world = World {
        discovery_failure: Some("metrics.k8s.io: service unavailable".to_owned()),
        ..world("configmaps*: a")
    };
    check(
        &world,
        None,
        &expect![[r#"
            act DeleteAll(configmaps)
            wait SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances
            wait DiscoveryFailed: metrics.k8s.io: service unavailable
            again in 15s
            "NamespaceDeletionDiscoveryFailure" "DiscoveryFailed" "Discovery failed for some groups: metrics.k8s.io: service unavailable"
            "NamespaceContentRemaining" "SomeResourcesRemain" "Some resources are remaining: configmaps. has 1 resource instances"
        "#]],
    );
}
