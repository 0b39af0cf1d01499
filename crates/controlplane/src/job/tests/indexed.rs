//! Jobs with indexes, and policies.

use expect_test::expect;
use runtime::Change;

use super::*;

#[test]
fn indexes_get_a_pod_each() {
    let spec = "spec: {completionMode: Indexed, completions: 5, parallelism: 3}";
    check(
        &format!(
            "{{{spec}, status: {{completedIndexes: '0,2', succeeded: 2}}, pods: [{{name: b, index: 1, ready: true}}]}}"
        ),
        &expect![[r#"
            create Pod default/j-3-st5zv
            create Pod default/j-4-rp6j8
            note SuccessfulCreate: Created pod: j-3-st5zv
            note SuccessfulCreate: Created pod: j-4-rp6j8
            again in 60s
            status {"active":3,"completedIndexes":"0,2","ready":1,"succeeded":2,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    let world = world(&spec.replace('5', "1"));
    let plan = JobController::plan(&world, now());
    let Some(Change::Create(pod)) = plan.changes.first() else {
        panic!("no pod is created")
    };
    expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "annotations": {
              "batch.kubernetes.io/job-completion-index": "0"
            },
            "finalizers": [
              "batch.kubernetes.io/job-tracking"
            ],
            "generateName": "j-0-",
            "labels": {
              "batch.kubernetes.io/job-completion-index": "0",
              "uid": "j"
            },
            "name": "j-0-st5zv",
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
                "env": [
                  {
                    "name": "JOB_COMPLETION_INDEX",
                    "valueFrom": {
                      "fieldRef": {
                        "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"
                      }
                    }
                  }
                ],
                "image": "i",
                "name": "c"
              }
            ],
            "hostname": "j-0",
            "restartPolicy": "Never"
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(pod).unwrap());
}

#[test]
fn doubles_and_indexes_that_the_job_does_not_have_go() {
    let spec = "spec: {completionMode: Indexed, completions: 5, parallelism: 3}";
    check(
        &format!(
            "{{{spec}, pods: [{{name: a, index: 1, ready: true}}, {{name: b, index: 1}}, {{name: c, index: 7}}, {{name: d}}]}}"
        ),
        &expect![[r#"
            patch Pod default/d {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-d"}}
            delete Pod default/d
            patch Pod default/c {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-c"}}
            delete Pod default/c
            patch Pod default/b {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-b"}}
            delete Pod default/b
            note SuccessfulDelete: Deleted pod: d
            note SuccessfulDelete: Deleted pod: c
            note SuccessfulDelete: Deleted pod: b
            status {"active":1,"ready":1,"terminating":3,"uncountedTerminatedPods":{}}
        "#]],
    );
}

#[test]
fn indexes_that_succeeded_are_noted_and_their_pods_freed() {
    let spec = "spec: {completionMode: Indexed, completions: 2, parallelism: 2}";
    let pods = "pods: [{name: a, index: 0, phase: Succeeded, exit: [0, 5]}, {name: b, index: 1, ready: true}]";
    check(
        &format!("{{{spec}, {pods}}}"),
        &expect![[r#"
        again in 0ns
        status {"active":1,"completedIndexes":"0","ready":1,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
    "#]],
    );
    check(
        &format!("{{{spec}, status: {{completedIndexes: '0', succeeded: 1}}, {pods}}}"),
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            status {"active":1,"completedIndexes":"0","ready":1,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    // Another pod of an index that is done, and one without an index, count for nothing.
    check(
        &format!(
            "{{{spec}, status: {{completedIndexes: '0', succeeded: 1}}, pods: [{{name: a, index: 0, phase: Succeeded, exit: [0, 5]}}, \
             {{name: b, phase: Succeeded, exit: [0, 5]}}, {{name: c, index: 9, phase: Failed, exit: [1, 5]}}, {{name: d, index: 1}}]}}"
        ),
        &expect![[r#"
            patch Pod default/b {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-b"}}
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            patch Pod default/c {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-c"}}
            status {"active":1,"completedIndexes":"0","ready":0,"succeeded":1,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
}

#[test]
fn each_index_may_fail_so_often() {
    let spec = "spec: {completionMode: Indexed, completions: 3, parallelism: 3, backoffLimit: 2147483647, backoffLimitPerIndex: 1}";
    let others = "{name: b, index: 1, ready: true}, {name: c, index: 2, ready: true}";
    // Its finalizer stays until its successor is there, which begins after a pause.
    let first = |since: i64| {
        format!("{{name: a, index: 0, failures: 0, phase: Failed, exit: [1, {since}]}}")
    };
    check(
        &format!("{{{spec}, pods: [{}, {others}]}}", first(4)),
        &expect![[r#"
            again in 6s
            status {"active":2,"failedIndexes":"","ready":2,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        &format!("{{{spec}, pods: [{}, {others}]}}", first(10)),
        &expect![[r#"
            create Pod default/j-0-st5zv
            note SuccessfulCreate: Created pod: j-0-st5zv
            again in 60s
            status {"active":3,"failedIndexes":"","ready":2,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    let world = world(&format!("{{{spec}, pods: [{}, {others}]}}", first(10)));
    let plan = JobController::plan(&world, now());
    let Some(Change::Create(pod)) = plan.changes.first() else {
        panic!("no pod is created")
    };
    expect![[r#"
        {
          "batch.kubernetes.io/job-completion-index": "0",
          "batch.kubernetes.io/job-index-failure-count": "1"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&pod.metadata.annotations).unwrap());
    check(
        &format!(
            "{{{spec}, pods: [{}, {{name: d, index: 0, failures: 1}}, {others}]}}",
            first(10)
        ),
        &expect![[r#"
            again in 0ns
            status {"active":3,"failedIndexes":"","ready":2,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
}

#[test]
fn an_index_fails_once_too_often() {
    let spec = "spec: {completionMode: Indexed, completions: 3, parallelism: 3, backoffLimit: 2147483647, backoffLimitPerIndex: 1}";
    let others = "{name: b, index: 1, ready: true}, {name: c, index: 2, ready: true}";
    let second = "{name: d, index: 0, failures: 1, phase: Failed, exit: [1, 5]}";
    check(
        &format!("{{{spec}, status: {{failed: 1}}, pods: [{second}, {others}]}}"),
        &expect![[r#"
            again in 0ns
            status {"active":2,"failed":1,"failedIndexes":"0","ready":2,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-d"]}}
        "#]],
    );
    let noted = "failed: 1, failedIndexes: '0', uncountedTerminatedPods: {failed: [uid-d]}";
    check(
        &format!("{{{spec}, status: {{{noted}}}, pods: [{second}, {others}]}}"),
        &expect![[r#"
            patch Pod default/d {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-d"}}
            status {"active":2,"failed":2,"failedIndexes":"0","ready":2,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        &format!(
            "{{{spec}, status: {{failed: 2, failedIndexes: '0', completedIndexes: '1,2', succeeded: 2}}}}"
        ),
        &expect![[r#"
            again in 0ns
            status {"completedIndexes":"1,2","failed":2,"failedIndexes":"0","ready":0,"succeeded":2,"terminating":0,"uncountedTerminatedPods":{}}
            FailureTarget=True FailedIndexes: Job has failed indexes
        "#]],
    );
    check(
        &format!(
            "{{{}, status: {{failed: 1}}, pods: [{second}, {others}]}}",
            spec.replace(
                "backoffLimitPerIndex",
                "maxFailedIndexes: 0, backoffLimitPerIndex"
            )
        ),
        &expect![[r#"
            again in 0ns
            status {"active":2,"failed":1,"failedIndexes":"0","ready":2,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-d","uid-b","uid-c"]}}
            FailureTarget=True MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes
        "#]],
    );
}

#[test]
fn what_a_failure_means_is_the_policys() {
    let spec = |action: &str| {
        format!(
            "spec: {{completions: 1, podReplacementPolicy: Failed, podFailurePolicy: {{rules: [\
             {{action: Ignore, onPodConditions: [{{type: DisruptionTarget, status: 'True'}}]}}, \
             {{action: {action}, onExitCodes: {{containerName: c, operator: NotIn, values: [1, 2]}}}}]}}}}"
        )
    };
    let failed = |code: i32, more: &str| {
        format!("pods: [{{name: a, phase: Failed, exit: [{code}, 20]{more}}}]")
    };
    let ignored = failed(1, ", condition: DisruptionTarget");
    check(
        &format!("{{{}, {ignored}}}", spec("FailJob")),
        &expect![[r#"
            patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 60s
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
        "#]],
    );
    check(
        &format!("{{{}, {}}}", spec("FailJob"), failed(2, "")),
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 0ns
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
    check(
        &format!("{{{}, {}}}", spec("FailJob"), failed(3, "")),
        &expect![[r#"
            again in 0ns
            status {"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
            FailureTarget=True PodFailurePolicy: Container c for pod default/a failed with exit code 3 matching FailJob rule at index 1
        "#]],
    );
    check(
        &format!("{{{}, {}}}", spec("Count"), failed(3, "")),
        &expect![[r#"
            create Pod default/j-st5zv
            note SuccessfulCreate: Created pod: j-st5zv
            again in 0ns
            status {"active":1,"ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
    let by_index = spec("FailIndex").replace(
        "{completions: 1",
        "{completionMode: Indexed, backoffLimitPerIndex: 5, completions: 2",
    );
    check(
        &format!("{{{by_index}, {}}}", failed(3, ", index: 0")),
        &expect![[r#"
            create Pod default/j-1-st5zv
            note SuccessfulCreate: Created pod: j-1-st5zv
            again in 0ns
            status {"active":1,"failedIndexes":"0","ready":0,"terminating":0,"uncountedTerminatedPods":{"failed":["uid-a"]}}
        "#]],
    );
}

#[test]
fn enough_indexes_may_be_a_success() {
    let spec = |rule: &str| {
        format!(
            "spec: {{completionMode: Indexed, completions: 5, parallelism: 1, successPolicy: {{rules: [{rule}]}}}}"
        )
    };
    let done =
        "status: {completedIndexes: '0,2', succeeded: 2}, pods: [{name: a, index: 3, ready: true}]";
    let verdict = |rule: &str| {
        let world = world(&format!("{{{}, {done}}}", spec(rule)));
        let look = look::Look::at(&world, now()).unwrap();
        look.verdict.map_or("none".to_owned(), |v| v.message)
    };
    assert_eq!(verdict("{succeededIndexes: '0-2'}"), "none");
    assert_eq!(
        verdict("{succeededCount: 3}, {succeededIndexes: '0,2'}"),
        "Matched rules at index 1"
    );
    assert_eq!(
        verdict("{succeededIndexes: '1-4', succeededCount: 1}"),
        "Matched rules at index 0"
    );
    assert_eq!(verdict("{succeededCount: 2}"), "Matched rules at index 0");
    check(
        &format!("{{{}, {done}}}", spec("{succeededCount: 2}")),
        &expect![[r#"
            again in 0ns
            status {"active":1,"completedIndexes":"0,2","ready":1,"succeeded":2,"terminating":0,"uncountedTerminatedPods":{}}
            SuccessCriteriaMet=True SuccessPolicy: Matched rules at index 0
        "#]],
    );
    // Those that still ran have neither succeeded nor failed.
    let met = "conditions: [{type: SuccessCriteriaMet, status: 'True', reason: SuccessPolicy, message: m}], completedIndexes";
    let scene = format!("{{{}, {done}}}", spec("{succeededCount: 2}"));
    check(
        &scene.replace("completedIndexes", met),
        &expect![[r#"
        patch Pod default/a {"metadata":{"finalizers":[],"resourceVersion":"5","uid":"uid-a"}}
        delete Pod default/a
        note SuccessfulDelete: Deleted pod: a
        status {"completedIndexes":"0,2","ready":0,"succeeded":2,"terminating":1,"uncountedTerminatedPods":{}}
        SuccessCriteriaMet=True SuccessPolicy: m
    "#]],
    );
}
