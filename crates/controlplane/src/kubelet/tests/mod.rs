//! Check tests: whole lives of simulated pods as tables, and the objects of nodes.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use jiff::SignedDuration;
use serde_json::Value;

use super::*;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A pod from the parts that matter: annotations without their prefix, and `spec`.
fn pod(annotations: &str, spec: &str) -> Pod {
    let annotations: BTreeMap<String, String> = serde_saphyr::from_str(annotations).unwrap();
    let annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .map(|(key, value)| (format!("simulated.apiary.io/{key}"), value))
        .collect();
    let mut spec: Value = serde_saphyr::from_str(spec).unwrap();
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c", "image": "nginx"}]);
    }
    let meta = json!({"name": "p", "namespace": "default", "uid": "u1", "generation": 1, "annotations": annotations});
    serde_json::from_value(json!({"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}))
        .unwrap()
}

fn merge_status(pod: &mut Pod, status: Value) {
    let mut value = json!(pod);
    for (key, member) in status.as_object().unwrap() {
        value["status"][key] = member.clone();
    }
    *pod = serde_json::from_value(value).unwrap();
}

/// One member per line, and one line per entry of a list.
fn lines(value: &Value) -> String {
    let mut text = String::new();
    for (key, member) in value.as_object().unwrap() {
        match member
            .as_array()
            .filter(|all| all.iter().all(Value::is_object))
        {
            Some(entries) => entries
                .iter()
                .for_each(|entry| writeln!(text, "{key}: {entry}").unwrap()),
            None => writeln!(text, "{key}: {member}").unwrap(),
        }
    }
    text
}

/// Takes over what a look at the pod changes.
fn go(pod: &mut Pod, now: Timestamp) {
    let step = pod::step(pod, now, "10.1.0.2", "10.0.0.1");
    merge_status(pod, step.status.unwrap());
}

/// One line per look at the pod: when, what it shows, what is told.
fn live(mut pod: Pod, delete_at: Option<(i64, i64)>, until: i64) -> String {
    let (mut now, mut text) = (start(), String::new());
    let end = start() + SignedDuration::from_secs(until);
    let delete_at = delete_at.map(|(at, grace)| (start() + SignedDuration::from_secs(at), grace));
    loop {
        if let Some((at, grace)) = delete_at
            && now == at
        {
            pod.metadata.deletion_grace_period_seconds = Some(grace);
            let deadline = now + SignedDuration::from_secs(grace);
            pod.metadata.deletion_timestamp =
                Some(serde_json::from_value(json!(deadline)).unwrap());
        }
        let step = pod::step(&pod, now, "10.1.0.2", "10.0.0.1");
        write!(text, "{:<5} ", now.duration_since(start()).as_secs()).unwrap();
        match step.status {
            Some(status) => {
                merge_status(&mut pod, status);
                text.push_str(&line(&json!(pod.status)));
            }
            None => text.push_str("no change"),
        }
        let told: Vec<String> = step
            .events
            .iter()
            .map(|event| event.reason.to_owned())
            .collect();
        write!(text, " [{}]", told.join(" ")).unwrap();
        text.push_str(if step.is_over { " over\n" } else { "\n" });
        assert!(text.lines().count() < 40, "no end:\n{text}");
        let alarm = step
            .again_at
            .into_iter()
            .chain(delete_at.map(|(at, _)| at).filter(|at| *at > now))
            .min();
        match alarm.filter(|at| *at <= end && !step.is_over) {
            Some(at) => {
                assert!(at > now, "looking again at once changes nothing:\n{text}");
                now = at;
            }
            None => return text,
        }
    }
}

fn line(status: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ready = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "Ready")
        .unwrap();
    let container = &status["containerStatuses"][0];
    let (state, detail) = container["state"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let reason = if detail["reason"].is_null() {
        String::new()
    } else {
        format!(" {}", word(&detail["reason"]))
    };
    let last = &container["lastState"]["terminated"]["exitCode"];
    let last = if last.is_null() {
        String::new()
    } else {
        format!(" last {last}")
    };
    format!(
        "{} ready={} restarts={} {state}{reason}{last}",
        word(&status["phase"]),
        word(&ready["status"]),
        container["restartCount"]
    )
}

fn check(annotations: &str, spec: &str, expect: &Expect) {
    expect.assert_eq(&live(pod(annotations, spec), None, 4000));
}

fn check_deleted(annotations: &str, spec: &str, at: i64, grace: i64, expect: &Expect) {
    expect.assert_eq(&live(pod(annotations, spec), Some((at, grace)), 4000));
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
            0     Pending ready=False restarts=0 waiting ImagePullBackOff [Failed Failed BackOff Failed]
        "#]],
    );
    let mut step = pod::step(&pod("{pull-error: not found}", "{}"), start(), "", "");
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
                "message": "Back-off pulling image \"nginx\": ErrImagePull: not found",
                "reason": "ImagePullBackOff"
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
    for at in [0, 1, 2, 12, 13, 33, 34] {
        let now = start() + SignedDuration::from_secs(at);
        go(&mut looping, now);
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
            500   Failed ready=False restarts=2 terminated Error [Killing]
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
            60    Failed ready=False restarts=0 terminated Error [Killing]
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
            110   no change [Killing] over
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
            130   no change [Killing] over
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
    .assert_eq(&live(kept, Some((100, 30)), 4000));
}

#[test]
fn readiness_gates_are_for_others_to_close() {
    let gated = pod("{}", "readinessGates: [{conditionType: example.com/lb}]");
    let ready = |pod: &Pod| {
        let status = pod::step(pod, start(), "", "").status.unwrap();
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
    expect!["PodReadyToStartContainers=True Initialized=True Ready=False ContainersReady=True PodScheduled=True example.com/lb=False DisruptionTarget=True "].assert_eq(&ready(&closed));
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
    go(&mut new, start());
    expect![[r#"
        "i" {"waiting":{"reason":"PodInitializing"}} ready=false
        "s" {"waiting":{"reason":"PodInitializing"}} ready=false
        "c" {"waiting":{"reason":"PodInitializing"}} ready=false
        Initialized="False" "containers with incomplete status: [i s]"
    "#]]
    .assert_eq(&states(&new));
    let later = start() + SignedDuration::from_secs(5);
    go(&mut new, later);
    expect![[r#"
        "i" {"terminated":{"exitCode":0,"finishedAt":"2026-01-01T00:00:05Z","reason":"Completed","startedAt":"2026-01-01T00:00:05Z"}} ready=true
        "s" {"running":{"startedAt":"2026-01-01T00:00:05Z"}} ready=true
        "c" {"running":{"startedAt":"2026-01-01T00:00:05Z"}} ready=true
        Initialized="True" null
    "#]].assert_eq(&states(&new));
}

#[test]
fn events_say_what_is_simulated() {
    let mut text = String::new();
    let mut show = |step: &pod::Step| {
        for event in &step.events {
            let kind = if event.is_warning {
                "Warning"
            } else {
                "Normal"
            };
            writeln!(
                text,
                "{kind} {} {}: {}",
                event.reason, event.container, event.message
            )
            .unwrap();
        }
    };
    show(&pod::step(&pod("{}", "{}"), start(), "", ""));
    show(&pod::step(
        &pod("{pull-error: no such host}", "{}"),
        start(),
        "",
        "",
    ));
    let mut crashed = pod("{exit-code: '1'}", "{}");
    let step = pod::step(&crashed, start(), "", "");
    show(&step);
    merge_status(&mut crashed, step.status.unwrap());
    let mut running = pod("{}", "{}");
    go(&mut running, start());
    running.metadata.deletion_timestamp = Some(serde_json::from_value(json!(start())).unwrap());
    show(&pod::step(&running, start(), "", ""));
    expect![[r#"
        Normal Pulled c: Container image "nginx" already present on machine (simulated)
        Normal Created c: Created container: c (simulated)
        Normal Started c: Started container c (simulated)
        Warning Failed c: Failed to pull image "nginx" (simulated): no such host
        Warning Failed c: Error: ErrImagePull
        Normal BackOff c: Back-off pulling image "nginx"
        Warning Failed c: Error: ImagePullBackOff
        Normal Pulled c: Container image "nginx" already present on machine (simulated)
        Normal Created c: Created container: c (simulated)
        Normal Started c: Started container c (simulated)
        Normal Pulled c: Container image "nginx" already present on machine (simulated)
        Normal Created c: Created container: c (simulated)
        Normal Started c: Started container c (simulated)
        Warning BackOff c: Back-off restarting failed container c in pod p_default(u1)
        Normal Killing c: Stopping container c (simulated)
    "#]]
    .assert_eq(&text);
}

fn spec() -> KubeletSpec {
    KubeletSpec {
        node_name: "n1".into(),
        labels: [("node-role.kubernetes.io/worker".to_owned(), String::new())].into(),
        taints: vec![Taint {
            key: "k".into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        }],
        provider_id: "local:///n1".into(),
        version: "v1.36.0".into(),
        cpus: 2,
        memory_mib: 4096,
        internal_ip: "10.0.0.1".into(),
    }
}

#[test]
fn a_node_registers_as_a_kubelet_does() {
    let node = node::object(&spec(), start());
    let text = ["metadata", "spec", "status"]
        .map(|part| lines(&node[part]))
        .concat();
    expect![[r#"
        labels: {"apiary.io/simulated":"true","beta.kubernetes.io/arch":"amd64","beta.kubernetes.io/os":"linux","kubernetes.io/arch":"amd64","kubernetes.io/hostname":"n1","kubernetes.io/os":"linux","node-role.kubernetes.io/worker":""}
        name: "n1"
        providerID: "local:///n1"
        taints: {"effect":"NoSchedule","key":"k"}
        addresses: {"address":"10.0.0.1","type":"InternalIP"}
        addresses: {"address":"n1","type":"Hostname"}
        allocatable: {"cpu":"2","ephemeral-storage":"100Gi","memory":"4096Mi","pods":"110"}
        capacity: {"cpu":"2","ephemeral-storage":"100Gi","memory":"4096Mi","pods":"110"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"kubelet has sufficient memory available","reason":"KubeletHasSufficientMemory","status":"False","type":"MemoryPressure"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"kubelet has no disk pressure","reason":"KubeletHasNoDiskPressure","status":"False","type":"DiskPressure"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"kubelet has sufficient PID available","reason":"KubeletHasSufficientPID","status":"False","type":"PIDPressure"}
        conditions: {"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z","message":"simulated kubelet is posting ready status","reason":"KubeletReady","status":"True","type":"Ready"}
        daemonEndpoints: {"kubeletEndpoint":{"Port":10250}}
        nodeInfo: {"architecture":"amd64","bootID":"21ced11925f1875945d5375c2dc7e9c9","containerRuntimeVersion":"simulated://1.0","kernelVersion":"simulated","kubeProxyVersion":"","kubeletVersion":"v1.36.0","machineID":"21cecf1925f183f345d5355c2dc7e663","operatingSystem":"linux","osImage":"simulated","systemUUID":"21ced01925f185a645d5365c2dc7e816"}
    "#]].assert_eq(&text);
}

#[test]
fn a_node_that_is_there_keeps_its_transition_times() {
    let known: Node = serde_json::from_value(node::object(&spec(), start())).unwrap();
    let later = start() + SignedDuration::from_secs(3600);
    let status = node::status(&spec(), later, Some(&known));
    let ready = &status["conditions"][3];
    assert_eq!(
        (&ready["type"], &ready["lastTransitionTime"]),
        (&json!("Ready"), &json!("2026-01-01T00:00:00Z"))
    );
    assert_eq!(ready["lastHeartbeatTime"], "2026-01-01T01:00:00Z");
}

#[test]
fn pod_addresses_are_the_nodes_own() {
    let all: Vec<String> = node::addresses("n1").collect();
    assert_eq!(all.len(), 253);
    let network = |ip: &String| ip.rsplit_once('.').unwrap().0.to_owned();
    assert!(all.iter().all(|ip| network(ip) == network(&all[0])));
    assert_ne!(
        network(&all[0]),
        network(&node::addresses("n2").next().unwrap())
    );
}
