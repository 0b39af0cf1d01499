//! Pods with one container.

use expect_test::{Expect, expect};

use super::*;

fn check(annotations: &str, spec: &str, expect: &Expect) {
    expect.assert_eq(&live(pod(annotations, spec), &[], 4000, line));
}

fn check_deleted(annotations: &str, spec: &str, at: i64, grace: i64, expect: &Expect) {
    let gone = |pod: &mut Pod| delete(pod, at, grace);
    expect.assert_eq(&live(pod(annotations, spec), &[(at, &gone)], 4000, line));
}

#[test]
fn a_plain_pod_is_ready_at_once_and_stays_so() {
    check(
        "{}",
        "{}",
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
        "#]],
    );
}

#[test]
fn starting_and_getting_ready_take_as_long_as_scripted() {
    check(
        "{start-delay: 5s, ready-delay: 20s}",
        "{}",
        &expect![[r#"
            0     Pending ready=False restarts=0 waiting ContainerCreating []
            5     Running ready=False restarts=0 running [Pulled Created Started]
            25    Running ready=True restarts=0 running []
        "#]],
    );
}

#[test]
fn an_image_that_never_comes_is_waited_for() {
    check(
        "{pull-error: not found}",
        "{}",
        &expect![[r#"
            0     Pending ready=False restarts=0 waiting ErrImagePull [Pulling Failed Failed]
            10    Pending ready=False restarts=0 waiting ImagePullBackOff [BackOff Failed]
        "#]],
    );
    let mut step = first_look(&pod("{pull-error: not found}", "{}"));
    expect![[r#"
        [
          {
            "image": "nginx",
            "imageID": "",
            "lastState": {},
            "name": "c",
            "ready": false,
            "restartCount": 0,
            "started": false,
            "state": {
              "waiting": {
                "message": "not found",
                "reason": "ErrImagePull"
              }
            }
          }
        ]"#]]
    .assert_eq(&format!(
        "{:#}",
        step.status.take().unwrap()["containerStatuses"]
    ));
}

#[test]
fn crashes_are_backed_off() {
    check(
        "{exit-code: '1'}",
        "{}",
        &expect![[r#"
            0     Running ready=False restarts=1 waiting CrashLoopBackOff last 1 [Pulled Created Started Pulled Created Started BackOff]
            10    Running ready=False restarts=2 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            30    Running ready=False restarts=3 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            70    Running ready=False restarts=4 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            150   Running ready=False restarts=5 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            310   Running ready=False restarts=6 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            610   Running ready=False restarts=7 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            910   Running ready=False restarts=8 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            1210  Running ready=False restarts=9 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            1510  Running ready=False restarts=10 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            1810  Running ready=False restarts=11 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            2110  Running ready=False restarts=12 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            2410  Running ready=False restarts=13 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            2710  Running ready=False restarts=14 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            3010  Running ready=False restarts=15 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            3310  Running ready=False restarts=16 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            3610  Running ready=False restarts=17 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
            3910  Running ready=False restarts=18 waiting CrashLoopBackOff last 1 [Pulled Created Started BackOff]
        "#]],
    );
    check(
        "{exit-code: '0', run-time: 700s}",
        "{}",
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            700   Running ready=True restarts=1 running last 0 [Pulled Created Started]
            1400  Running ready=True restarts=2 running last 0 [Pulled Created Started]
            2100  Running ready=True restarts=3 running last 0 [Pulled Created Started]
            2800  Running ready=True restarts=4 running last 0 [Pulled Created Started]
            3500  Running ready=True restarts=5 running last 0 [Pulled Created Started]
        "#]],
    );
}

#[test]
fn what_a_crashed_container_says() {
    let mut looping = pod("{exit-code: '3', run-time: 1s}", "{}");
    let mut memory = Memory::default();
    for at in [0, 1, 2, 12, 13, 33, 34] {
        let now = start() + SignedDuration::from_secs(at);
        go(&mut looping, &mut memory, now);
    }
    expect![[r#"
        conditions: {"lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1,"status":"True","type":"PodReadyToStartContainers"}
        conditions: {"lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1,"status":"True","type":"Initialized"}
        conditions: {"lastTransitionTime":"2026-01-01T00:00:34Z","message":"containers with unready status: [c]","observedGeneration":1,"reason":"ContainersNotReady","status":"False","type":"Ready"}
        conditions: {"lastTransitionTime":"2026-01-01T00:00:34Z","message":"containers with unready status: [c]","observedGeneration":1,"reason":"ContainersNotReady","status":"False","type":"ContainersReady"}
        conditions: {"lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1,"status":"True","type":"PodScheduled"}
        containerStatuses: {"containerID":"simulated://35f7e5fad23b58070778cb24ee98dbe2","image":"nginx","imageID":"simulated://nginx","lastState":{"terminated":{"containerID":"simulated://35f7e5fad23b58070778cb24ee98dbe2","exitCode":3,"finishedAt":"2026-01-01T00:00:34Z","reason":"Error","startedAt":"2026-01-01T00:00:33Z"}},"name":"c","ready":false,"restartCount":3,"started":false,"state":{"waiting":{"message":"back-off 40s restarting failed container=c pod=p_default(u1)","reason":"CrashLoopBackOff"}}}
        hostIP: "10.0.0.1"
        hostIPs: {"ip":"10.0.0.1"}
        observedGeneration: 1
        phase: "Running"
        podIP: "10.1.0.2"
        podIPs: {"ip":"10.1.0.2"}
        startTime: "2026-01-01T00:00:00Z"
    "#]].assert_eq(&lines(&json!(looping.status)));
}

#[test]
fn jobs_end() {
    check(
        "{run-time: 30s}",
        "restartPolicy: Never",
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            30    Succeeded ready=False restarts=0 terminated Completed []
        "#]],
    );
    check(
        "{exit-code: '2'}",
        "restartPolicy: Never",
        &expect![[r#"
            0     Failed ready=False restarts=0 terminated Error [Pulled Created Started]
        "#]],
    );
    check(
        "{}",
        "restartPolicy: OnFailure",
        &expect![[r#"
            0     Succeeded ready=False restarts=0 terminated Completed [Pulled Created Started]
        "#]],
    );
    check(
        "{exit-code: '2', run-time: 200s}",
        "{restartPolicy: OnFailure, activeDeadlineSeconds: 500}",
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            200   Running ready=True restarts=1 running last 2 [Pulled Created Started]
            400   Running ready=False restarts=1 waiting CrashLoopBackOff last 2 [BackOff]
            410   Running ready=True restarts=2 running last 2 [Pulled Created Started]
            500   Failed ready=False restarts=2 terminated Error last 2 [DeadlineExceeded Killing]
        "#]],
    );
}

#[test]
fn a_deadline_ends_a_pod() {
    check(
        "{}",
        "activeDeadlineSeconds: 60",
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            60    Failed ready=False restarts=0 terminated Error [DeadlineExceeded Killing]
        "#]],
    );
}

#[test]
fn a_deleted_pod_stops_within_its_grace() {
    check_deleted(
        "{}",
        "{}",
        100,
        30,
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            100   no change [Killing] over
        "#]],
    );
    check_deleted(
        "{stop-delay: 10s}",
        "{}",
        100,
        30,
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            100   no change [Killing]
            110   no change [] over
        "#]],
    );
    check_deleted(
        "{stop-delay: 100s}",
        "{}",
        100,
        30,
        &expect![[r#"
            0     Running ready=True restarts=0 running [Pulled Created Started]
            100   no change [Killing]
            130   no change [] over
        "#]],
    );
    check_deleted(
        "{start-delay: 200s}",
        "{}",
        100,
        30,
        &expect![[r#"
            0     Pending ready=False restarts=0 waiting ContainerCreating []
            100   no change [] over
        "#]],
    );
}

#[test]
fn a_pod_that_is_kept_shows_how_it_ended() {
    let mut kept = pod("{}", "restartPolicy: Never");
    kept.metadata.finalizers = Some(vec!["batch.kubernetes.io/job-tracking".into()]);
    kept.metadata.annotations =
        Some([("simulated.apiary.io/run-time".to_owned(), "1h".to_owned())].into());
    expect![[r#"
        0     Running ready=True restarts=0 running [Pulled Created Started]
        100   Failed ready=False restarts=0 terminated Error [Killing] over
    "#]]
    .assert_eq(&live(
        kept,
        &[(100, &|pod| delete(pod, 100, 30))],
        4000,
        line,
    ));
}

#[test]
fn readiness_gates_are_for_others_to_close() {
    let gated = pod("{}", "readinessGates: [{conditionType: example.com/lb}]");
    let ready = |pod: &Pod| {
        let mut pod = pod.clone();
        go(&mut pod, &mut Memory::default(), start());
        let status = json!(pod.status);
        let conditions = status["conditions"].as_array().unwrap().iter();
        conditions
            .map(|c| {
                format!(
                    "{}={} ",
                    c["type"].as_str().unwrap(),
                    c["status"].as_str().unwrap()
                )
            })
            .collect::<String>()
    };
    expect!["PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True PodScheduled=True example.com/lb=True "].assert_eq(&ready(&gated));
    let mut closed = gated;
    merge_status(
        &mut closed,
        json!({"conditions": [
            {"type": "example.com/lb", "status": "False"}, {"type": "DisruptionTarget", "status": "True"},
        ]}),
    );
    expect!["example.com/lb=False DisruptionTarget=True PodReadyToStartContainers=True Initialized=True Ready=False ContainersReady=True PodScheduled=True "].assert_eq(&ready(&closed));
}

#[test]
fn the_first_status_of_a_pod_with_init_containers() {
    let spec = "initContainers: [{name: i, image: busybox}, {name: s, image: proxy, restartPolicy: Always}]";
    let mut new = pod("{start-delay: 5s}", spec);
    let states = |pod: &Pod| {
        let mut text = String::new();
        let status = json!(pod.status);
        let all = status["initContainerStatuses"].as_array().unwrap().iter();
        for container in all.chain(status["containerStatuses"].as_array().unwrap()) {
            writeln!(
                text,
                "{} {} ready={}",
                container["name"], container["state"], container["ready"]
            )
            .unwrap();
        }
        let initialized = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["type"] == "Initialized")
            .unwrap();
        writeln!(
            text,
            "Initialized={} {}",
            initialized["status"], initialized["message"]
        )
        .unwrap();
        text
    };
    let mut memory = Memory::default();
    go(&mut new, &mut memory, start());
    expect![[r#"
        "i" {"waiting":{"reason":"PodInitializing"}} ready=false
        "s" {"waiting":{"reason":"PodInitializing"}} ready=false
        "c" {"waiting":{"reason":"PodInitializing"}} ready=false
        Initialized="False" "containers with incomplete status: [i s]"
    "#]]
    .assert_eq(&states(&new));
    let later = start() + SignedDuration::from_secs(5);
    go(&mut new, &mut memory, later);
    expect![[r#"
        "i" {"terminated":{"containerID":"simulated://69e350faef9ffb78d38d6024d1343871","exitCode":0,"finishedAt":"2026-01-01T00:00:05Z","reason":"Completed","startedAt":"2026-01-01T00:00:05Z"}} ready=true
        "s" {"running":{"startedAt":"2026-01-01T00:00:05Z"}} ready=true
        "c" {"running":{"startedAt":"2026-01-01T00:00:05Z"}} ready=true
        Initialized="True" null
    "#]].assert_eq(&states(&new));
}

#[test]
fn events_say_what_is_simulated() {
    let mut text = told(&first_look(&pod("{}", "{}")));
    text += "\n";
    text += &told(&first_look(&pod("{pull-error: no such host}", "{}")));
    text += "\n";
    let mut crashed = pod("{exit-code: '1'}", "{}");
    let step = first_look(&crashed);
    text += &told(&step);
    merge_status(&mut crashed, step.status.unwrap());
    text += "\n";
    let mut running = pod("{}", "{}");
    let mut memory = Memory::default();
    go(&mut running, &mut memory, start());
    delete(&mut running, 0, 0);
    text += &told(&look(&running, &memory, start()));
    expect![[r#"
        Normal Pulled spec.containers{c}: Container image "nginx" already present on machine (simulated)
        Normal Created spec.containers{c}: Created container: c (simulated)
        Normal Started spec.containers{c}: Started container c (simulated)

        Normal Pulling spec.containers{c}: Pulling image "nginx" (simulated)
        Warning Failed spec.containers{c}: Failed to pull image "nginx" (simulated): no such host
        Warning Failed spec.containers{c}: Error: ErrImagePull

        Normal Pulled spec.containers{c}: Container image "nginx" already present on machine (simulated)
        Normal Created spec.containers{c}: Created container: c (simulated)
        Normal Started spec.containers{c}: Started container c (simulated)
        Normal Pulled spec.containers{c}: Container image "nginx" already present on machine (simulated)
        Normal Created spec.containers{c}: Created container: c (simulated)
        Normal Started spec.containers{c}: Started container c (simulated)
        Warning BackOff spec.containers{c}: Back-off restarting failed container c in pod p_default(u1)

        Normal Killing spec.containers{c}: Stopping container c (simulated)
    "#]].assert_eq(&text);
}
