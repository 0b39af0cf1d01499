//! Decisions about namespaces of organizations.

use expect_test::{Expect, expect};
use runtime::{Outcome, Reconciler};
use serde_json::{Value, json};

use super::{OrganizationController, World};

struct Story {
    name: &'static str,
    is_deleting: bool,
    namespace: Option<Value>,
    inhabitants: &'static [&'static str],
}

const PLAIN: Story = Story {
    name: "acme",
    is_deleting: false,
    namespace: None,
    inhabitants: &[],
};

fn namespace(owner: Option<&str>, is_terminating: bool) -> Option<Value> {
    let mut namespace =
        json!({"metadata": {"name": "org-acme", "uid": "n1", "labels": {"mine": "1"}}});
    if let Some(owner) = owner {
        namespace["metadata"]["labels"]["giantswarm.io/organization"] = json!(owner);
    }
    if is_terminating {
        namespace["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    Some(namespace)
}

fn check(story: Story, expect: &Expect) {
    let mut organization = json!({
        "apiVersion": "security.giantswarm.io/v1alpha1", "kind": "Organization",
        "metadata": {"name": story.name}, "spec": {},
    });
    if story.is_deleting {
        organization["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    let world = World {
        organization: serde_json::from_value(organization).unwrap(),
        namespace: story.namespace.map(|n| serde_json::from_value(n).unwrap()),
        inhabitants: story.inhabitants.iter().map(|i| (*i).to_owned()).collect(),
    };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let plan = OrganizationController::plan(&world, now);
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    let status = OrganizationController::status(&world, &plan, &outcome, now).unwrap();
    expect.assert_eq(&format!("{plan}status {status}\n"));
}

#[test]
fn a_new_organization_gets_a_namespace() {
    check(
        PLAIN,
        &expect![[r#"
        apply Namespace org-acme
        status {"namespace":"org-acme"}
    "#]],
    );
}

#[test]
fn a_namespace_that_is_there_gets_its_labels_back() {
    check(
        Story {
            namespace: namespace(None, false),
            ..PLAIN
        },
        &expect![[r#"
        apply Namespace org-acme
        status {"namespace":"org-acme"}
    "#]],
    );
}

#[test]
fn a_refused_name_is_said() {
    check(
        Story {
            name: "kube-fans",
            ..PLAIN
        },
        &expect![[r#"
        wait NameRefused: metadata.name: Invalid value: "kube-fans" must not start with "kube-", which is the platform's own
        status {}
    "#]],
    );
}

#[test]
fn a_foreign_namespace_is_left_alone() {
    check(
        Story {
            namespace: namespace(Some("other"), false),
            ..PLAIN
        },
        &expect![[r#"
        wait NamespaceTaken: namespace org-acme belongs to another organization by its label giantswarm.io/organization
        status {}
    "#]],
    );
    let story = Story {
        namespace: namespace(Some("other"), false),
        is_deleting: true,
        ..PLAIN
    };
    check(
        story,
        &expect![[r#"
        finished
        status {"namespace":"org-acme"}
    "#]],
    );
}

#[test]
fn an_old_namespace_must_be_gone_first() {
    check(
        Story {
            namespace: namespace(Some("acme"), true),
            ..PLAIN
        },
        &expect![[r#"
        wait NamespaceTerminating: namespace org-acme of an earlier organization is still being removed
        status {}
    "#]],
    );
}

#[test]
fn deletion_waits_for_what_is_in_the_namespace() {
    let inhabitants = &[
        "Cluster a",
        "Cluster b",
        "App a-x",
        "App b-x",
        "App c-x",
        "App d-x",
        "App e-x",
    ];
    let story = Story {
        namespace: namespace(Some("acme"), false),
        is_deleting: true,
        inhabitants,
        ..PLAIN
    };
    check(
        story,
        &expect![[r#"
        wait NamespaceInUse: delete first what is in namespace org-acme: Cluster a, Cluster b, App a-x, App b-x, App c-x and 2 more
        status {"namespace":"org-acme"}
    "#]],
    );
}

#[test]
fn deletion_removes_the_empty_namespace_and_sees_it_go() {
    let ours = |is_terminating| Story {
        namespace: namespace(Some("acme"), is_terminating),
        is_deleting: true,
        ..PLAIN
    };
    check(
        ours(false),
        &expect![[r#"
        delete Namespace org-acme
        wait NamespaceDeleting: namespace org-acme is being removed
        status {"namespace":"org-acme"}
    "#]],
    );
    check(
        ours(true),
        &expect![[r#"
        wait NamespaceDeleting: namespace org-acme is being removed
        status {"namespace":"org-acme"}
    "#]],
    );
    check(
        Story {
            is_deleting: true,
            ..PLAIN
        },
        &expect![[r#"
        finished
        status {}
    "#]],
    );
}
