//! Jobs whose pods are all alike.

use expect_test::expect;
use runtime::Change;

use super::*;

#[test]
fn a_new_job_begins_with_a_pod() {
    check(
        "spec: {completions: 1}",
        &expect![[r#"
        create Pod default/j-st5zv
        note SuccessfulCreate: Created pod: j-st5zv
        again in 60s
        status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
    "#]],
    );
    let world = world("spec: {completions: 1}");
    let plan = JobController::plan(&world, now());
    let Some(Change::Create(pod)) = plan.changes.first() else {
        panic!("no pod is created")
    };
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "finalizers": [
              "batch.kubernetes.io/job-tracking"
            ],
            "generateName": "j-",
            "labels": {
              "uid": "j"
            },
            "name": "j-st5zv",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "batch/v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Job",
                "name": "j",
                "uid": "uid-j"
              }
            ]
          },
          "spec": {
            "containers": [
              {
                "image": "i",
                "name": "c"
              }
            ],
            "restartPolicy": "Never"
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(pod).unwrap());
}

#[test]
fn no_more_pods_than_are_to_run_or_still_have_to_succeed() {
    check(
        "spec: {completions: 5, parallelism: 2}",
        &expect![[r#"
        create Pod default/j-st5zv
        create Pod default/j-rp6j8
        note SuccessfulCreate: Created pod: j-st5zv
        note SuccessfulCreate: Created pod: j-rp6j8
        again in 60s
        status {"active":2,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
    "#]],
    );
    check(
        "{spec: {completions: 3, parallelism: 3}, status: {succeeded: 1}, pods: [{name: a, ready: true}]}",
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 60s
            status {"active":2,"ready":1,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        "{spec: {completions: 3, parallelism: 1}, pods: [{name: a, ready: true}, {name: b}]}",
        &expect![[r#"
            patch Pod default/b {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-b"}}
            delete Pod default/b
            note SuccessfulDelete: Deleted pod: b
            status {"active":1,"ready":1,"terminating":1,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        "spec: {parallelism: 0}",
        &expect![[r#"
        status {"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
    "#]],
    );
}

#[test]
fn a_pod_that_succeeded_is_noted_then_freed_then_counted() {
    let job = "spec: {completions: 1}";
    check(
        &format!("{{{job}, pods: [{{name: a, phase: Succeeded, exit: [0, 5]}}]}}"),
        &expect![[r#"
            again in 0ns
            status {"ready":0,"terminating":0,"uncountedTerminatedPods":{"succeeded":["uid-a"]}}
            SuccessCriteriaMet=True CompletionsReached: Reached expected number of succeeded pods
        "#]],
    );
    let met = "conditions: [{type: SuccessCriteriaMet, status: 'True', reason: CompletionsReached, message: m}]";
    let noted = format!("uncountedTerminatedPods: {{succeeded: [uid-a]}}, {met}");
    let scene = format!(
        "{{{job}, status: {{{noted}}}, pods: [{{name: a, phase: Succeeded, exit: [0, 5]}}]}}"
    );
    check(
        &scene,
        &expect![[r#"
        patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
        note Completed: Job completed
        status {"completionTime":"2026-01-01T12:00:00Z","ready":0,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
        SuccessCriteriaMet=True CompletionsReached: m
        Complete=True CompletionsReached: m
    "#]],
    );
    check_refused(
        &scene,
        0,
        "Pod default/a: no",
        &expect![[r#"
        patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
        note Completed: Job completed
        status {"ready":0,"terminating":0,"uncountedTerminatedPods":{"succeeded":["uid-a"]}}
        SuccessCriteriaMet=True CompletionsReached: m
        warn FailedUpdate: Error updating: no
    "#]],
    );
    // Freed, but the status could not be written then.
    check(
        &format!(
            "{{{job}, status: {{{noted}}}, pods: [{{name: a, phase: Succeeded, exit: [0, 5], isTracked: false}}]}}"
        ),
        &expect![[r#"
            note Completed: Job completed
            status {"completionTime":"2026-01-01T12:00:00Z","ready":0,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
            SuccessCriteriaMet=True CompletionsReached: m
            Complete=True CompletionsReached: m
        "#]],
    );
    check(
        &format!("{{{job}, status: {{{noted}}}}}"),
        &expect![[r#"
        note Completed: Job completed
        status {"completionTime":"2026-01-01T12:00:00Z","ready":0,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
        SuccessCriteriaMet=True CompletionsReached: m
        Complete=True CompletionsReached: m
    "#]],
    );
    // Counted already.
    check(
        "{spec: {completions: 2}, status: {succeeded: 1}, pods: [{name: a, phase: Succeeded, exit: [0, 5], isTracked: false}]}",
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 60s
            status {"active":1,"ready":0,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
}

#[test]
fn without_completions_the_first_success_ends_it() {
    let pods = "pods: [{name: a, phase: Succeeded, exit: [0, 5]}, {name: b, ready: true}]";
    check(
        &format!("{{spec: {{parallelism: 2}}, {pods}}}"),
        &expect![[r#"
            again in 0ns
            status {"active":1,"ready":1,"terminating":0,"uncountedTerminatedPods":{"succeeded":["uid-a"]}}
        "#]],
    );
    check(
        "{spec: {parallelism: 2}, status: {succeeded: 1, failed: 1}}",
        &expect![[r#"
            again in 0ns
            status {"failed":1,"ready":0,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
            SuccessCriteriaMet=True CompletionsReached: Reached expected number of succeeded pods
        "#]],
    );
}

#[test]
fn failures_are_followed_by_a_pause() {
    let failed = |since: i64| format!("{{name: a, phase: Failed, exit: [1, {since}]}}");
    check(
        &format!("{{spec: {{completions: 1}}, pods: [{}]}}", failed(4)),
        &expect![[r#"
            again in 0ns
            status {"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
    check(
        &format!(
            "{{spec: {{completions: 1}}, status: {{uncountedTerminatedPods: {{failed: [uid-a]}}}}, pods: [{}]}}",
            failed(10)
        ),
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 60s
            status {"active":1,"failed":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
}

#[test]
fn too_many_failures_fail_the_job() {
    let spec = "spec: {completions: 2, parallelism: 2, backoffLimit: 1}";
    let pods = "pods: [{name: a, phase: Failed, exit: [1, 5]}, {name: b, ready: true}]";
    check(
        &format!("{{{spec}, status: {{failed: 1}}, {pods}}}"),
        &expect![[r#"
            again in 0ns
            status {"active":1,"failed":1,"ready":1,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a","uid-b"]}}
            FailureTarget=True BackoffLimitExceeded: Job has reached the specified backoff limit
        "#]],
    );
    let target = "conditions: [{type: FailureTarget, status: 'True', reason: BackoffLimitExceeded, message: m}]";
    check(
        &format!(
            "{{{spec}, status: {{failed: 1, uncountedTerminatedPods: {{failed: [uid-a, uid-b]}}, {target}}}, {pods}}}"
        ),
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            patch Pod default/b {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-b"}}
            delete Pod default/b
            note SuccessfulDelete: Deleted pod: b
            status {"failed":3,"ready":0,"terminating":1,"uncountedTerminatedPods":{}}
            FailureTarget=True BackoffLimitExceeded: m
        "#]],
    );
    check(
        &format!(
            "{{{spec}, status: {{failed: 3, {target}}}, pods: [{{name: b, isTracked: false, isDeleting: true}}]}}"
        ),
        &expect![[r#"
            status {"failed":3,"ready":0,"terminating":1,"uncountedTerminatedPods":{}}
            FailureTarget=True BackoffLimitExceeded: m
        "#]],
    );
    check(
        &format!("{{{spec}, status: {{failed: 3, {target}}}}}"),
        &expect![[r#"
            warn BackoffLimitExceeded: m
            status {"failed":3,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
            FailureTarget=True BackoffLimitExceeded: m
            Failed=True BackoffLimitExceeded: m
        "#]],
    );
}

#[test]
fn restarts_in_place_count_against_the_limit() {
    let scene = |limit: i32, restarts: i32| {
        format!(
            "{{restartPolicy: OnFailure, spec: {{completions: 1, backoffLimit: {limit}}}, pods: [{{name: a, restarts: {restarts}}}]}}"
        )
    };
    check(
        &scene(2, 1),
        &expect![[r#"
        status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
    "#]],
    );
    check(
        &scene(2, 2),
        &expect![[r#"
        again in 0ns
        status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        FailureTarget=True BackoffLimitExceeded: Job has reached the specified backoff limit
    "#]],
    );
    check(
        &scene(0, 0),
        &expect![[r#"
        status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
    "#]],
    );
}

#[test]
fn a_job_has_a_deadline() {
    check(
        "{spec: {completions: 1, activeDeadlineSeconds: 130}, pods: [{name: a}]}",
        &expect![[r#"
            again in 30s
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        "{spec: {completions: 1, activeDeadlineSeconds: 100}, pods: [{name: a}]}",
        &expect![[r#"
            again in 0ns
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
            FailureTarget=True DeadlineExceeded: Job was active longer than specified deadline
        "#]],
    );
}

#[test]
fn a_suspended_job_has_no_pods_and_they_do_not_count() {
    check(
        "spec: {completions: 1, suspend: true}",
        &expect![[r#"
        note Suspended: Job suspended
        status {"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
        Suspended=True JobSuspended: Job suspended
    "#]],
    );
    let start = ago(100);
    check(
        &format!(
            "{{spec: {{completions: 1, suspend: true}}, status: {{startTime: '{start}'}}, pods: [{{name: a, ready: true}}]}}"
        ),
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            delete Pod default/a
            note SuccessfulDelete: Deleted pod: a
            note Suspended: Job suspended
            status {"ready":0,"terminating":1,"uncountedTerminatedPods":{}}
            Suspended=True JobSuspended: Job suspended
        "#]],
    );
    let suspended = "conditions: [{type: Suspended, status: 'True', reason: JobSuspended, message: Job suspended}]";
    check(
        &format!(
            "{{spec: {{completions: 1}}, status: {{{suspended}}}, pods: [{{name: a, isTracked: false, isDeleting: true}}]}}"
        ),
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            note Resumed: Job resumed
            again in 60s
            status {"active":1,"ready":0,"startTime":"2026-01-01T12:00:00Z","terminating":1,"uncountedTerminatedPods":{}}
            Suspended=False JobResumed: Job resumed
        "#]],
    );
}

#[test]
fn deleted_pods_are_failures_at_once_or_when_they_have_failed() {
    let pods = "pods: [{name: a, isDeleting: true}]";
    check(
        &format!("{{spec: {{completions: 1}}, {pods}}}"),
        &expect![[r#"
            again in 0ns
            status {"ready":0,"terminating":1,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
    check(
        "{spec: {completions: 1}, status: {failed: 1}, pods: [{name: a, isDeleting: true, isTracked: false}]}",
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 60s
            status {"active":1,"failed":1,"ready":0,"terminating":1,"uncountedTerminatedPods":{}}
        "#]],
    );
    let late = "podReplacementPolicy: Failed";
    check(
        &format!("{{spec: {{completions: 1, {late}}}, {pods}}}"),
        &expect![[r#"
            status {"ready":0,"terminating":1,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        &format!(
            "{{spec: {{completions: 1, {late}}}, pods: [{{name: a, isDeleting: true, phase: Failed, exit: [143, 20]}}]}}"
        ),
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 0ns
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
}

#[test]
fn orphans_are_adopted_strays_released_and_others_left() {
    check(
        "{spec: {completions: 3, parallelism: 2}, pods: [{name: done, owner: null, isTracked: false, phase: Succeeded, exit: [0, 9]}, \
         {name: orphan, owner: null, isTracked: false}, {name: stray, labels: {uid: x}}, {name: foreign, owner: uid-x}, \
         {name: going, owner: null, isDeleting: true}]}",
        &expect![[r#"
            patch Pod default/done {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"j","uid":"uid-j"}],"uid":"uid-done"}}
            patch Pod default/orphan {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"j","uid":"uid-j"}],"uid":"uid-orphan"}}
            patch Pod default/stray {"metadata":{"finalizers":[],"ownerReferences":[],"uid":"uid-stray"}}
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 0ns
            status {"active":2,"ready":0,"terminating":0,"uncountedTerminatedPods":{"succeeded":["uid-done"]}}
        "#]],
    );
}

#[test]
fn a_job_that_goes_lets_its_pods_go() {
    check(
        "{isDeleting: true, spec: {completions: 3, parallelism: 3}, pods: [{name: a}, {name: b, phase: Succeeded, exit: [0, 9]}]}",
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            again in 0ns
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{"succeeded":["uid-b"]}}
        "#]],
    );
}

#[test]
fn jobs_that_are_over_or_somebody_elses_are_left_alone() {
    check(
        "{spec: {completions: 1}, status: {conditions: [{type: Complete, status: 'True'}]}}",
        &expect![[r#"
            no status
        "#]],
    );
    check(
        "{spec: {completions: 1, managedBy: example.com/queue}}",
        &expect![[r#"
            no status
        "#]],
    );
    check(
        "{spec: {completions: 0}}",
        &expect![[r#"
        again in 0ns
        status {"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
        SuccessCriteriaMet=True CompletionsReached: Reached expected number of succeeded pods
    "#]],
    );
}

#[test]
fn what_the_server_refuses_is_told() {
    check_refused(
        "spec: {completions: 2, parallelism: 2}",
        1,
        "pods \"x\" is forbidden: exceeded quota: q",
        &expect![[r#"
            create Pod default/j-st5zv
            create Pod default/j-rp6j8
            note SuccessfulCreate: Created pod: j-st5zv
            note SuccessfulCreate: Created pod: j-rp6j8
            again in 60s
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
            warn FailedCreate: Error creating: pods "x" is forbidden: exceeded quota: q
        "#]],
    );
    check_refused(
        "{spec: {completions: 1, suspend: true}, pods: [{name: a}]}",
        1,
        "deleting Pod default/a: no",
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            delete Pod default/a
            note SuccessfulDelete: Deleted pod: a
            note Suspended: Job suspended
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
            Suspended=True JobSuspended: Job suspended
            warn FailedDelete: Error deleting: no
        "#]],
    );
}
