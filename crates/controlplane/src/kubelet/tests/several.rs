//! Pods with several containers: each has its own life.

use expect_test::{Expect, expect};

use super::*;

fn check(annotations: &str, spec: &str, expect: &Expect) {
    check_changed(annotations, spec, &[], expect);
}

/// Annotations are written whole here, as they can name a container.
fn check_changed(annotations: &str, spec: &str, changes: &[Change<'_>], expect: &Expect) {
    let mut pod = pod("{}", spec);
    pod.metadata.annotations = serde_saphyr::from_str(annotations).unwrap();
    expect.assert_eq(&live(pod, changes, 100, parts));
}

#[test]
fn each_app_container_lives_for_itself() {
    check(
        "{a.simulated.apiary.io/run-time: 5s, a.simulated.apiary.io/exit-code: '3', b.simulated.apiary.io/ready-delay: 7s}",
        "containers: [{name: a, image: x}, {name: b, image: z}]",
        &expect![[r#"
            0     Running | a+ running | b running [Pulled Created Started Pulled Created Started]
            5     Running | a+ running 1x last Error 3 | b running [Pulled Created Started]
            7     Running | a+ running 1x last Error 3 | b+ running []
            10    Running | a CrashLoopBackOff 1x last Error 3 | b+ running [BackOff]
            20    Running | a+ running 2x last Error 3 | b+ running [Pulled Created Started]
            25    Running | a CrashLoopBackOff 2x last Error 3 | b+ running [BackOff]
            45    Running | a+ running 3x last Error 3 | b+ running [Pulled Created Started]
            50    Running | a CrashLoopBackOff 3x last Error 3 | b+ running [BackOff]
            90    Running | a+ running 4x last Error 3 | b+ running [Pulled Created Started]
            95    Running | a CrashLoopBackOff 4x last Error 3 | b+ running [BackOff]
        "#]],
    );
    check(
        "{a.simulated.apiary.io/run-time: 5s, b.simulated.apiary.io/run-time: 9s, b.simulated.apiary.io/exit-code: '2'}",
        "{restartPolicy: Never, containers: [{name: a, image: x}, {name: b, image: z}]}",
        &expect![[r#"
            0     Running | a+ running | b+ running [Pulled Created Started Pulled Created Started]
            5     Running | a Completed | b+ running []
            9     Failed | a Completed | b Error 2 []
        "#]],
    );
}

#[test]
fn init_containers_run_one_after_the_other() {
    check(
        "{i.simulated.apiary.io/run-time: 3s, j.simulated.apiary.io/run-time: 4s}",
        "initContainers: [{name: i, image: x}, {name: j, image: z}]",
        &expect![[r#"
            0     Pending | i running | j PodInitializing | c PodInitializing [Pulled Created Started]
            3     Pending | i+ Completed | j running | c PodInitializing [Pulled Created Started]
            7     Running | i+ Completed | j+ Completed | c+ running [Pulled Created Started]
        "#]],
    );
}

#[test]
fn an_init_container_that_fails_holds_up_or_fails_its_pod() {
    let inits = "initContainers: [{name: i, image: x, command: ['false']}, {name: j, image: z}]";
    check(
        "{}",
        inits,
        &expect![[r#"
        0     Pending | i CrashLoopBackOff 1x last Error 1 | j PodInitializing | c PodInitializing [Pulled Created Started Pulled Created Started BackOff]
        10    Pending | i CrashLoopBackOff 2x last Error 1 | j PodInitializing | c PodInitializing [Pulled Created Started BackOff]
        30    Pending | i CrashLoopBackOff 3x last Error 1 | j PodInitializing | c PodInitializing [Pulled Created Started BackOff]
        70    Pending | i CrashLoopBackOff 4x last Error 1 | j PodInitializing | c PodInitializing [Pulled Created Started BackOff]
    "#]],
    );
    let never = format!("{{restartPolicy: Never, {inits}}}");
    check(
        "{}",
        &never,
        &expect![[r#"
        0     Failed | i Error 1 | j PodInitializing | c PodInitializing [Pulled Created Started]
    "#]],
    );
}

#[test]
fn sidecars_start_before_and_end_after_the_others_in_reverse_order() {
    let spec = "{restartPolicy: Never, initContainers: [
        {name: s, image: x, restartPolicy: Always, startupProbe: {periodSeconds: 2, tcpSocket: {port: 1}}},
        {name: i, image: x}, {name: t, image: x, restartPolicy: Always}]}";
    check(
        "{s.simulated.apiary.io/startup-fails: until 3s, s.simulated.apiary.io/stop-delay: 2s,
          t.simulated.apiary.io/stop-delay: 1s, simulated.apiary.io/run-time: 10s}",
        spec,
        &expect![[r#"
            0     Pending | s running | i PodInitializing | t PodInitializing | c PodInitializing [Pulled Created Started Unhealthy]
            2     no change [Unhealthy]
            4     Running | s+ running | i+ Completed | t+ running | c+ running [Pulled Created Started Pulled Created Started Pulled Created Started]
            14    Running | s+ running | i+ Completed | t+ running | c Completed [Killing]
            15    Running | s+ running | i+ Completed | t Error 143 | c Completed [Killing]
            17    Succeeded | s Error 143 | i+ Completed | t Error 143 | c Completed []
        "#]],
    );
}

#[test]
fn sidecars_of_a_deleted_pod_end_last() {
    let spec = "initContainers: [{name: s, image: x, restartPolicy: Always}, {name: t, image: x, restartPolicy: Always}]";
    check_changed(
        "{s.simulated.apiary.io/stop-delay: 3s, t.simulated.apiary.io/stop-delay: 1s, simulated.apiary.io/stop-delay: 5s}",
        spec,
        &[(10, &|pod| delete(pod, 10, 30))],
        &expect![[r#"
            0     Running | s+ running | t+ running | c+ running [Pulled Created Started Pulled Created Started Pulled Created Started]
            10    no change [Killing]
            15    Running | s+ running | t+ running | c Error 143 [Killing]
            16    Running | s+ running | t Error 143 | c Error 143 [Killing]
            19    no change [] over
        "#]],
    );
    // Nobody waits for longer than the grace period.
    check_changed(
        "{t.simulated.apiary.io/stop-delay: 60s, simulated.apiary.io/stop-delay: 5s}",
        spec,
        &[(10, &|pod| delete(pod, 10, 20))],
        &expect![[r#"
            0     Running | s+ running | t+ running | c+ running [Pulled Created Started Pulled Created Started Pulled Created Started]
            10    no change [Killing]
            15    Running | s+ running | t+ running | c Error 143 [Killing]
            30    no change [Killing] over
        "#]],
    );
}

#[test]
fn a_sidecar_that_exits_is_restarted() {
    check(
        "{s.simulated.apiary.io/run-time: 20s}",
        "initContainers: [{name: s, image: x, restartPolicy: Always}]",
        &expect![[r#"
            0     Running | s+ running | c+ running [Pulled Created Started Pulled Created Started]
            20    Running | s+ running 1x last Completed 0 | c+ running [Pulled Created Started]
            40    Running | s CrashLoopBackOff 1x last Completed 0 | c+ running [BackOff]
            50    Running | s+ running 2x last Completed 0 | c+ running [Pulled Created Started]
            70    Running | s CrashLoopBackOff 2x last Completed 0 | c+ running [BackOff]
            90    Running | s+ running 3x last Completed 0 | c+ running [Pulled Created Started]
        "#]],
    );
}

#[test]
fn containers_have_their_own_restart_policies() {
    check(
        "{a.simulated.apiary.io/run-time: 5s, a.simulated.apiary.io/exit-code: '42', b.simulated.apiary.io/run-time: 30s}",
        "{restartPolicy: Never, containers: [
            {name: a, image: x, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]},
            {name: b, image: z}]}",
        &expect![[r#"
            0     Running | a+ running | b+ running [Pulled Created Started Pulled Created Started]
            5     Running | a+ running 1x last Error 42 | b+ running [Pulled Created Started]
            10    Running | a CrashLoopBackOff 1x last Error 42 | b+ running [BackOff]
            20    Running | a+ running 2x last Error 42 | b+ running [Pulled Created Started]
            25    Running | a CrashLoopBackOff 2x last Error 42 | b+ running [BackOff]
            30    Running | a CrashLoopBackOff 2x last Error 42 | b Completed []
            45    Running | a+ running 3x last Error 42 | b Completed [Pulled Created Started]
            50    Running | a CrashLoopBackOff 3x last Error 42 | b Completed [BackOff]
            90    Running | a+ running 4x last Error 42 | b Completed [Pulled Created Started]
            95    Running | a CrashLoopBackOff 4x last Error 42 | b Completed [BackOff]
        "#]],
    );
}

#[test]
fn what_is_added_for_debugging_runs_until_the_pod_ends() {
    let debug = |pod: &mut Pod| {
        let added = json!([{"name": "d", "image": "busybox", "command": ["sleep", "3"]}, {"name": "e", "image": "busybox"}]);
        pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(added).unwrap();
    };
    check_changed(
        "{simulated.apiary.io/run-time: 20s}",
        "restartPolicy: Never",
        &[(5, &debug)],
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started]
            5     Running | c+ running | d running | e running [Pulled Created Started Pulled Created Started]
            8     Running | c+ running | d Completed | e running []
            20    Succeeded | c Completed | d Completed | e Error 143 [Killing]
        "#]],
    );
}

#[test]
fn images_are_pulled_or_not() {
    check(
        "{i.simulated.apiary.io/pull-time: 3s, simulated.apiary.io/pull-time: 5s}",
        "initContainers: [{name: i, image: x}]",
        &expect![[r#"
            0     Pending | i PodInitializing | c PodInitializing [Pulling]
            3     Pending | i+ Completed | c PodInitializing [Pulled Created Started Pulling]
            8     Running | i+ Completed | c+ running [Pulled Created Started]
        "#]],
    );
    check(
        "{}",
        "{containers: [{name: a, image: 'webserver:404'}, {name: b, image: nginx}]}",
        &expect![[r#"
            0     Pending | a ErrImagePull | b+ running [Pulling Failed Failed Pulled Created Started]
            10    Pending | a ImagePullBackOff | b+ running [BackOff Failed]
        "#]],
    );
    let fixed = |pod: &mut Pod| {
        pod.spec.as_mut().unwrap().containers[0].image = Some("webserver:1".into());
    };
    check_changed(
        "{}",
        "{containers: [{name: a, image: 'webserver:404'}]}",
        &[(30, &fixed)],
        &expect![[r#"
            0     Pending | a ErrImagePull [Pulling Failed Failed]
            10    Pending | a ImagePullBackOff [BackOff Failed]
            30    Running | a+ running [Pulled Created Started]
        "#]],
    );
}

#[test]
fn a_container_with_another_image_is_made_anew() {
    let other = |pod: &mut Pod| {
        pod.spec.as_mut().unwrap().containers[0].image = Some("webserver:2".into());
    };
    let absent = |pod: &mut Pod| {
        pod.spec.as_mut().unwrap().containers[0].image = Some("webserver:404".into());
    };
    check_changed(
        "{}",
        "{containers: [{name: a, image: 'webserver:1'}], initContainers: [{name: i, image: x}]}",
        &[(10, &other), (20, &absent)],
        &expect![[r#"
            0     Running | i+ Completed | a+ running [Pulled Created Started Pulled Created Started]
            10    Running | i+ Completed | a+ running 1x last Error 143 [Killing Pulled Created Started]
            20    Pending | i+ Completed | a ErrImagePull 2x last Error 143 [Killing Pulling Failed Failed]
            30    Pending | i+ Completed | a ImagePullBackOff 2x last Error 143 [BackOff Failed]
        "#]],
    );
}

#[test]
fn a_container_that_uses_up_its_memory_is_killed() {
    check(
        "{a.simulated.apiary.io/oom-after: 30s}",
        "{containers: [{name: a, image: x}, {name: b, image: z}]}",
        &expect![[r#"
            0     Running | a+ running | b+ running [Pulled Created Started Pulled Created Started]
            30    Running | a+ running 1x last OOMKilled 137 | b+ running [Pulled Created Started]
            60    Running | a CrashLoopBackOff 1x last OOMKilled 137 | b+ running [BackOff]
            70    Running | a+ running 2x last OOMKilled 137 | b+ running [Pulled Created Started]
            100   Running | a CrashLoopBackOff 2x last OOMKilled 137 | b+ running [BackOff]
        "#]],
    );
}

#[test]
fn a_script_that_cannot_be_read_is_told() {
    let mut pod = pod("{}", "{}");
    pod.metadata.annotations = serde_saphyr::from_str(
        "{simulated.apiary.io/run-time: '5', d.simulated.apiary.io/log: x, c.simulated.apiary.io/exit: '1',
          other.example.com/run-time: x, xsimulated.apiary.io/y: z, simulated.apiary.io/memory: lots}",
    )
    .unwrap();
    let step = first_look(&pod);
    let complaints = told(&step);
    let complaints: Vec<&str> = complaints
        .lines()
        .filter(|l| l.contains("InvalidScript"))
        .collect();
    expect![[r#"
        Warning InvalidScript : annotation "c.simulated.apiary.io/exit": there is no setting "exit": the settings are start-delay, pull-time, pull-error, ready-delay, run-time, exit-code, failure-rate, oom-after, stop-delay, startup-fails, readiness-fails, liveness-fails, cpu, memory, log, http, missing-config
        Warning InvalidScript : annotation "d.simulated.apiary.io/log": the pod has no container "d"
        Warning InvalidScript : annotation "simulated.apiary.io/memory": "lots" is no amount: write one such as 250m or 64Mi, or one that changes from the start on, such as 64Mi..1Gi in 10m
        Warning InvalidScript : annotation "simulated.apiary.io/run-time": "5" is no duration: write numbers with units, such as 5s, 1m30s or 500ms"#]].assert_eq(&complaints.join("\n"));
    // Once is enough.
    let again = look(&pod, &step.memory, start());
    assert!(!told(&again).contains("InvalidScript"));
}

#[test]
fn what_a_pod_needs_is_waited_for() {
    let spec = json!({
        "initContainers": [{"name": "i", "image": "x"}],
        "containers": [
            {"name": "a", "image": "x", "envFrom": [{"configMapRef": {"name": "m"}}]},
            {"name": "b", "image": "x", "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            {"name": "c", "image": "x", "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k", "optional": true}}}]},
        ],
        "volumes": [{"name": "v", "configMap": {"name": "files"}}, {"name": "w", "configMap": {"name": "kube-root-ca.crt"}}],
    });
    let mut pod = pod("{}", "{}");
    pod.spec = serde_json::from_value(spec).unwrap();
    let needs = config::needs(&pod);
    let mut text = String::new();
    let mut memory = Memory::default();
    let secret = (config::Kind::Secret, "s".to_owned());
    let files = (config::Kind::ConfigMap, "files".to_owned());
    let map = (config::Kind::ConfigMap, "m".to_owned());
    let mut there = config::There::new();
    let again = start() + SignedDuration::from_secs(5);
    for (more, keys) in [
        (None, &[][..]),
        (Some(files), &[]),
        (Some(secret.clone()), &[]),
        (Some(map), &[]),
        (Some(secret), &["k"]),
    ] {
        if let Some(more) = more {
            there.insert(more, keys.iter().map(|key| (*key).to_owned()).collect());
        }
        let missing = config::missing("default", &needs, &there, again);
        let step = look_at(&pod, &memory, start(), &missing, &Resize::default());
        text += &told(&step);
        memory = step.memory;
        if let Some(status) = step.status {
            merge_status(&mut pod, status);
        }
        writeln!(text, "{}", parts(&json!(pod.status))).unwrap();
    }
    expect![[r#"
        Warning FailedMount : MountVolume.SetUp failed for volume "v" : configmap "files" not found
        Pending | i PodInitializing | a PodInitializing | b PodInitializing | c PodInitializing
        Normal Pulled spec.initContainers{i}: Container image "x" already present on machine (simulated)
        Normal Created spec.initContainers{i}: Created container: i (simulated)
        Normal Started spec.initContainers{i}: Started container i (simulated)
        Normal Pulled spec.containers{a}: Container image "x" already present on machine (simulated)
        Warning Failed spec.containers{a}: Error: configmap "m" not found
        Normal Pulled spec.containers{b}: Container image "x" already present on machine (simulated)
        Warning Failed spec.containers{b}: Error: secret "s" not found
        Normal Pulled spec.containers{c}: Container image "x" already present on machine (simulated)
        Normal Created spec.containers{c}: Created container: c (simulated)
        Normal Started spec.containers{c}: Started container c (simulated)
        Pending | i+ Completed | a CreateContainerConfigError | b CreateContainerConfigError | c+ running
        Normal Pulled spec.containers{b}: Container image "x" already present on machine (simulated)
        Warning Failed spec.containers{b}: Error: couldn't find key k in Secret default/s
        Pending | i+ Completed | a CreateContainerConfigError | b CreateContainerConfigError | c+ running
        Normal Pulled spec.containers{a}: Container image "x" already present on machine (simulated)
        Normal Created spec.containers{a}: Created container: a (simulated)
        Normal Started spec.containers{a}: Started container a (simulated)
        Pending | i+ Completed | a+ running | b CreateContainerConfigError | c+ running
        Normal Pulled spec.containers{b}: Container image "x" already present on machine (simulated)
        Normal Created spec.containers{b}: Created container: b (simulated)
        Normal Started spec.containers{b}: Started container b (simulated)
        Running | i+ Completed | a+ running | b+ running | c+ running
    "#]].assert_eq(&text);
}
