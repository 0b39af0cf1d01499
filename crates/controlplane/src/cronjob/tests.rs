//! Check tests: a CronJob and its Jobs in YAML → plan and status as text.

use expect_test::{Expect, expect};
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What the tests say of a world; everything else is as the API server would have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scene {
    /// `spec`, whose schedule is every ten minutes if it has none.
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    last: Option<String>,
    #[serde(default)]
    active: Vec<String>,
    #[serde(default)]
    jobs: Vec<Line>,
}

/// One Job: when it was due, and how it ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    due: String,
    #[serde(default)]
    end: Option<String>,
}

fn now() -> Timestamp {
    "2026-01-01T12:34:00Z".parse().unwrap()
}

fn name(due: &str) -> String {
    let due: Timestamp = due.parse().unwrap();
    format!("tick-{}", due.as_second() / 60)
}

impl Line {
    fn build(&self) -> Job {
        let name = name(&self.due);
        let conditions = self
            .end
            .as_ref()
            .map(|end| json!([{"type": end, "status": "True"}]));
        let completed = self
            .end
            .as_ref()
            .filter(|end| *end == "Complete")
            .map(|_| &self.due);
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "3"},
            "status": {"startTime": self.due, "completionTime": completed, "conditions": conditions},
        }))
        .unwrap()
    }
}

fn world(yaml: &str) -> World {
    let mut scene: Scene = serde_saphyr::from_str(yaml).unwrap();
    if scene.spec["schedule"].is_null() {
        scene.spec["schedule"] = "*/10 * * * *".into();
    }
    scene.spec["jobTemplate"] = json!({
        "metadata": {"labels": {"app": "tick"}, "annotations": {"a": "b"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}},
    });
    let active: Vec<Value> = scene
        .active
        .iter()
        .map(|due| json!({"name": name(due), "uid": format!("uid-{}", name(due))}))
        .collect();
    World {
        cron_job: serde_json::from_value(json!({
            "metadata": {"name": "tick", "namespace": "default", "uid": "uid-tick", "creationTimestamp": "2026-01-01T12:15:00Z"},
            "spec": scene.spec, "status": {"lastScheduleTime": scene.last, "active": active},
        }))
        .unwrap(),
        jobs: scene.jobs.iter().map(|line| Arc::new(line.build())).collect(),
    }
}

fn check(yaml: &str, expect: &Expect) {
    let world = world(yaml);
    let plan = CronJobController::plan(&world, now());
    let outcome = Outcome {
        done: plan.changes.len(),
        failure: None,
    };
    let status = CronJobController::status(&world, &plan, &outcome, now()).unwrap();
    expect.assert_eq(&format!("{plan}status {status}\n"));
}

#[test]
fn a_job_is_made_when_it_is_due_and_only_once() {
    check(
        "{}",
        &expect![[r#"
        create Job default/tick-29454510
        note SuccessfulCreate: Created job tick-29454510
        again in 360s
        status {"lastScheduleTime":"2026-01-01T12:30:00Z"}
    "#]],
    );
    check(
        "{last: '2026-01-01T12:30:00Z', jobs: [{due: '2026-01-01T12:30:00Z'}]}",
        &expect![[r#"
            again in 360s
            status {"active":[{"apiVersion":"batch/v1","kind":"Job","name":"tick-29454510","namespace":"default","resourceVersion":"3","uid":"uid-tick-29454510"}],"lastScheduleTime":"2026-01-01T12:30:00Z"}
        "#]],
    );
    // It was made, but nobody wrote it down.
    check(
        "{jobs: [{due: '2026-01-01T12:30:00Z'}]}",
        &expect![[r#"
        again in 360s
        status {"active":[{"apiVersion":"batch/v1","kind":"Job","name":"tick-29454510","namespace":"default","resourceVersion":"3","uid":"uid-tick-29454510"}],"lastScheduleTime":"2026-01-01T12:30:00Z"}
    "#]],
    );
    // It is over and gone.
    check(
        "{last: '2026-01-01T12:30:00Z'}",
        &expect![[r#"
        again in 360s
        status {"lastScheduleTime":"2026-01-01T12:30:00Z"}
    "#]],
    );
    // Before its first time.
    check(
        "{spec: {schedule: '@daily'}}",
        &expect![[r#"
        again in 41160s
        status {}
    "#]],
    );
}

#[test]
fn a_job_is_what_the_template_says() {
    let world = world("{spec: {timeZone: UTC}}");
    let plan = CronJobController::plan(&world, now());
    let Some(runtime::Change::Create(job)) = plan.changes.first() else {
        panic!("no job is made")
    };
    expect![[r#"
        {
          "apiVersion": "batch/v1",
          "kind": "Job",
          "metadata": {
            "annotations": {
              "a": "b",
              "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T12:30:00Z"
            },
            "labels": {
              "app": "tick"
            },
            "name": "tick-29454510",
            "namespace": "default",
            "ownerReferences": [
              {
                "apiVersion": "batch/v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "CronJob",
                "name": "tick",
                "uid": "uid-tick"
              }
            ]
          },
          "spec": {
            "template": {
              "spec": {
                "containers": [
                  {
                    "image": "busybox",
                    "name": "c"
                  }
                ],
                "restartPolicy": "Never"
              }
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(job).unwrap());
}

#[test]
fn those_under_way_are_left_waited_for_or_replaced() {
    let scene = |policy: &str| {
        format!(
            "{{spec: {{concurrencyPolicy: {policy}}}, last: '2026-01-01T12:20:00Z', active: ['2026-01-01T12:20:00Z'], jobs: [{{due: '2026-01-01T12:20:00Z'}}]}}"
        )
    };
    check(
        &scene("Allow"),
        &expect![[r#"
        create Job default/tick-29454510
        note SuccessfulCreate: Created job tick-29454510
        again in 360s
        status {"active":[{"apiVersion":"batch/v1","kind":"Job","name":"tick-29454500","namespace":"default","resourceVersion":"3","uid":"uid-tick-29454500"}],"lastScheduleTime":"2026-01-01T12:30:00Z"}
    "#]],
    );
    check(
        &scene("Forbid"),
        &expect![[r#"
        note JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid
        again in 360s
        status {"active":[{"apiVersion":"batch/v1","kind":"Job","name":"tick-29454500","namespace":"default","resourceVersion":"3","uid":"uid-tick-29454500"}],"lastScheduleTime":"2026-01-01T12:20:00Z"}
    "#]],
    );
    check(
        &scene("Replace"),
        &expect![[r#"
        delete Job default/tick-29454500
        create Job default/tick-29454510
        note SuccessfulDelete: Deleted job tick-29454500
        note SuccessfulCreate: Created job tick-29454510
        again in 360s
        status {"lastScheduleTime":"2026-01-01T12:30:00Z"}
    "#]],
    );
}

#[test]
fn who_is_suspended_or_late_makes_nothing() {
    check(
        "{spec: {suspend: true}}",
        &expect![[r#"
        status {}
    "#]],
    );
    check(
        "{spec: {startingDeadlineSeconds: 200}}",
        &expect![[r#"
        again in 360s
        status {}
    "#]],
    );
    check(
        "{spec: {startingDeadlineSeconds: 240}}",
        &expect![[r#"
        again in 360s
        status {}
    "#]],
    );
    check(
        "{spec: {schedule: '@every 7m', startingDeadlineSeconds: 10}}",
        &expect![[r#"
            warn MissSchedule: Missed scheduled time to start a job: Thu, 01 Jan 2026 12:29:00 +0000
            again in 120s
            status {}
        "#]],
    );
}

#[test]
fn many_missed_times_are_told() {
    check(
        "{spec: {schedule: '* * * * *'}, last: '2026-01-01T10:54:00Z'}",
        &expect![[r#"
            create Job default/tick-29454514
            note SuccessfulCreate: Created job tick-29454514
            again in 60s
            status {"lastScheduleTime":"2026-01-01T12:34:00Z"}
        "#]],
    );
    check(
        "{spec: {schedule: '* * * * *'}, last: '2026-01-01T10:53:00Z'}",
        &expect![[r#"
            create Job default/tick-29454514
            warn TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew
            note SuccessfulCreate: Created job tick-29454514
            again in 60s
            status {"lastScheduleTime":"2026-01-01T12:34:00Z"}
        "#]],
    );
    check(
        "{spec: {schedule: '@every 1m', startingDeadlineSeconds: 60}, last: '2025-01-01T10:53:00Z'}",
        &expect![[r#"
            create Job default/tick-29454514
            warn TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew
            note SuccessfulCreate: Created job tick-29454514
            again in 60s
            status {"lastScheduleTime":"2026-01-01T12:34:00Z"}
        "#]],
    );
    check(
        "{spec: {schedule: '* * * * *', startingDeadlineSeconds: 600}, last: '2025-01-01T10:53:00Z'}",
        &expect![[r#"
            create Job default/tick-29454514
            note SuccessfulCreate: Created job tick-29454514
            again in 60s
            status {"lastScheduleTime":"2026-01-01T12:34:00Z"}
        "#]],
    );
}

#[test]
fn a_schedule_is_of_its_zone() {
    check(
        "{spec: {schedule: '30 13 * * *', timeZone: Europe/Berlin}}",
        &expect![[r#"
            create Job default/tick-29454510
            note SuccessfulCreate: Created job tick-29454510
            again in 86160s
            status {"lastScheduleTime":"2026-01-01T12:30:00Z"}
        "#]],
    );
}

#[test]
fn what_cannot_be_understood_is_told() {
    check(
        "{spec: {schedule: '1 2 3'}}",
        &expect![[r#"
        warn UnparseableSchedule: unparseable schedule: "1 2 3" : expected exactly 5 fields, found 3: [1 2 3]
        status {}
    "#]],
    );
    check(
        "{spec: {timeZone: Moon/Crater}}",
        &expect![[r#"
        warn UnknownTimeZone: invalid timeZone: "Moon/Crater": unknown time zone Moon/Crater
        status {}
    "#]],
    );
}

#[test]
fn history_is_kept_as_long_as_wanted() {
    check(
        "{last: '2026-01-01T12:30:00Z', active: ['2026-01-01T12:20:00Z', '2026-01-01T12:10:00Z'], jobs: [\
          {due: '2026-01-01T11:00:00Z', end: Complete}, {due: '2026-01-01T11:10:00Z', end: Failed}, \
          {due: '2026-01-01T11:20:00Z', end: Complete}, {due: '2026-01-01T11:30:00Z', end: Failed}, \
          {due: '2026-01-01T11:40:00Z', end: Complete}, {due: '2026-01-01T12:20:00Z', end: Complete}]}",
        &expect![[r#"
            delete Job default/tick-29454420
            delete Job default/tick-29454430
            note SawCompletedJob: Saw completed job: tick-29454500, condition: Complete
            note MissingJob: Active job went missing: tick-29454490
            note SuccessfulDelete: Deleted job tick-29454420
            note SuccessfulDelete: Deleted job tick-29454430
            again in 360s
            status {"lastScheduleTime":"2026-01-01T12:30:00Z","lastSuccessfulTime":"2026-01-01T12:20:00Z"}
        "#]],
    );
    check(
        "{spec: {successfulJobsHistoryLimit: 0, failedJobsHistoryLimit: 5}, last: '2026-01-01T12:30:00Z', jobs: [\
          {due: '2026-01-01T12:20:00Z', end: Complete}, {due: '2026-01-01T12:30:00Z', end: Failed}]}",
        &expect![[r#"
            delete Job default/tick-29454500
            note SuccessfulDelete: Deleted job tick-29454500
            again in 360s
            status {"lastScheduleTime":"2026-01-01T12:30:00Z","lastSuccessfulTime":"2026-01-01T12:20:00Z"}
        "#]],
    );
}

#[test]
fn a_cron_job_that_goes_does_nothing() {
    let mut world = world("{}");
    world.cron_job.metadata.deletion_timestamp = serde_json::from_value(json!(now())).unwrap();
    assert!(CronJobController::plan(&world, now()).changes.is_empty());
}
