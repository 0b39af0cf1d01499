//! Probes that fail, and what follows.

use expect_test::{Expect, expect};

use super::*;

fn check(annotations: &str, container: &str, expect: &Expect) {
    let spec = format!("containers: [{{name: c, image: nginx, {container}}}]");
    expect.assert_eq(&live(pod(annotations, &spec), &[], 200, parts));
}

#[test]
fn probes_that_only_succeed_cost_nothing() {
    check(
        "{}",
        "livenessProbe: {tcpSocket: {port: 1}}, readinessProbe: {httpGet: {port: 1}}, startupProbe: {exec: {command: [cat, /x]}}",
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started]
        "#]],
    );
    check(
        "{}",
        "readinessProbe: {initialDelaySeconds: 30, successThreshold: 2, periodSeconds: 5, httpGet: {port: 1}}",
        &expect![[r#"
            0     Running | c running [Pulled Created Started]
            35    Running | c+ running []
        "#]],
    );
}

#[test]
fn liveness_restarts_a_container() {
    check(
        "{liveness-fails: from 12s}",
        "livenessProbe: {httpGet: {port: 80}, periodSeconds: 5, failureThreshold: 2}",
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started]
            15    no change [Unhealthy]
            20    Running | c+ running 1x last Error 143 [Unhealthy Killing Pulled Created Started]
            35    no change [Unhealthy]
            40    Running | c CrashLoopBackOff 1x last Error 143 [Unhealthy Killing BackOff]
            50    Running | c+ running 2x last Error 143 [Pulled Created Started]
            65    no change [Unhealthy]
            70    Running | c CrashLoopBackOff 2x last Error 143 [Unhealthy Killing BackOff]
            90    Running | c+ running 3x last Error 143 [Pulled Created Started]
            105   no change [Unhealthy]
            110   Running | c CrashLoopBackOff 3x last Error 143 [Unhealthy Killing BackOff]
            150   Running | c+ running 4x last Error 143 [Pulled Created Started]
            165   no change [Unhealthy]
            170   Running | c CrashLoopBackOff 4x last Error 143 [Unhealthy Killing BackOff]
        "#]],
    );
    check(
        "{liveness-fails: from 10s for 30s, stop-delay: 20s}",
        "livenessProbe: {exec: {command: [x]}, terminationGracePeriodSeconds: 4}",
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started]
            10    no change [Unhealthy]
            20    no change [Unhealthy]
            30    no change [Unhealthy Killing]
            34    Running | c+ running 1x last Error 137 [Pulled Created Started]
            44    no change [Unhealthy]
            54    no change [Unhealthy]
            64    no change [Unhealthy Killing]
            68    Running | c CrashLoopBackOff 1x last Error 137 [BackOff]
            78    Running | c+ running 2x last Error 137 [Pulled Created Started]
            88    no change [Unhealthy]
            98    no change [Unhealthy]
            108   no change [Unhealthy Killing]
            112   Running | c CrashLoopBackOff 2x last Error 137 [BackOff]
            132   Running | c+ running 3x last Error 137 [Pulled Created Started]
            142   no change [Unhealthy]
            152   no change [Unhealthy]
            162   no change [Unhealthy Killing]
            166   Running | c CrashLoopBackOff 3x last Error 137 [BackOff]
        "#]],
    );
}

#[test]
fn a_failure_that_is_over_in_time_changes_nothing() {
    check(
        "{liveness-fails: from 10s for 15s, readiness-fails: from 10s for 15s}",
        "livenessProbe: {httpGet: {port: 80}}, readinessProbe: {httpGet: {port: 80}}",
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started]
            10    no change [Unhealthy Unhealthy]
            20    no change [Unhealthy Unhealthy]
        "#]],
    );
}

#[test]
fn readiness_comes_and_goes() {
    check(
        "{readiness-fails: from 20s until 80s}",
        "readinessProbe: {httpGet: {port: 80}}",
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started]
            20    no change [Unhealthy]
            30    no change [Unhealthy]
            40    Running | c running [Unhealthy]
            80    Running | c+ running []
        "#]],
    );
    check(
        "{readiness-fails: from 20s until 80s}",
        "ports: []",
        &expect![[r#"
        0     Running | c+ running [Pulled Created Started]
        20    Running | c running [Unhealthy]
        80    Running | c+ running []
    "#]],
    );
    check(
        "{readiness-fails: until 25s}",
        "readinessProbe: {httpGet: {port: 80}}",
        &expect![[r#"
            0     Running | c running [Pulled Created Started Unhealthy]
            10    no change [Unhealthy]
            20    no change [Unhealthy]
            30    Running | c+ running []
        "#]],
    );
}

#[test]
fn a_container_that_does_not_start_in_time_is_restarted() {
    check(
        "{startup-fails: until 25s}",
        "startupProbe: {httpGet: {port: 80}, failureThreshold: 5}, readinessProbe: {httpGet: {port: 80}}",
        &expect![[r#"
            0     Running | c running [Pulled Created Started Unhealthy]
            10    no change [Unhealthy]
            20    no change [Unhealthy]
            30    Running | c+ running []
        "#]],
    );
    check(
        "{startup-fails: always}",
        "startupProbe: {httpGet: {port: 80}}",
        &expect![[r#"
            0     Running | c running [Pulled Created Started Unhealthy]
            10    no change [Unhealthy]
            20    Running | c running 1x last Error 143 [Unhealthy Killing Pulled Created Started Unhealthy]
            30    no change [Unhealthy]
            40    Running | c CrashLoopBackOff 1x last Error 143 [Unhealthy Killing BackOff]
            50    Running | c running 2x last Error 143 [Pulled Created Started Unhealthy]
            60    no change [Unhealthy]
            70    Running | c CrashLoopBackOff 2x last Error 143 [Unhealthy Killing BackOff]
            90    Running | c running 3x last Error 143 [Pulled Created Started Unhealthy]
            100   no change [Unhealthy]
            110   Running | c CrashLoopBackOff 3x last Error 143 [Unhealthy Killing BackOff]
            150   Running | c running 4x last Error 143 [Pulled Created Started Unhealthy]
            160   no change [Unhealthy]
            170   Running | c CrashLoopBackOff 4x last Error 143 [Unhealthy Killing BackOff]
        "#]],
    );
}

#[test]
fn a_command_that_fails_is_a_probe_that_fails() {
    check(
        "{}",
        "readinessProbe: {exec: {command: ['/bin/false']}}",
        &expect![[r#"
        0     Running | c running [Pulled Created Started Unhealthy]
        10    no change [Unhealthy]
        20    no change [Unhealthy]
    "#]],
    );
    check(
        "{}",
        "livenessProbe: {exec: {command: [sleep, '5']}, timeoutSeconds: 2}",
        &expect![[r#"
            0     Running | c+ running [Pulled Created Started Unhealthy]
            10    no change [Unhealthy]
            20    Running | c+ running 1x last Error 143 [Unhealthy Killing Pulled Created Started Unhealthy]
            30    no change [Unhealthy]
            40    Running | c CrashLoopBackOff 1x last Error 143 [Unhealthy Killing BackOff]
            50    Running | c+ running 2x last Error 143 [Pulled Created Started Unhealthy]
            60    no change [Unhealthy]
            70    Running | c CrashLoopBackOff 2x last Error 143 [Unhealthy Killing BackOff]
            90    Running | c+ running 3x last Error 143 [Pulled Created Started Unhealthy]
            100   no change [Unhealthy]
            110   Running | c CrashLoopBackOff 3x last Error 143 [Unhealthy Killing BackOff]
            150   Running | c+ running 4x last Error 143 [Pulled Created Started Unhealthy]
            160   no change [Unhealthy]
            170   Running | c CrashLoopBackOff 4x last Error 143 [Unhealthy Killing BackOff]
        "#]],
    );
}

#[test]
fn what_is_said_of_failures() {
    let mut pod = pod(
        "{liveness-fails: always, readiness-fails: always}",
        "containers: [{name: c, image: nginx, livenessProbe: {tcpSocket: {port: web}, failureThreshold: 1}, readinessProbe: {httpGet: {port: 1}}}]",
    );
    pod.spec.as_mut().unwrap().restart_policy = Some("Never".into());
    pod.metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert("simulated.apiary.io/run-time".into(), "1h".into());
    expect![[r#"
        Normal Pulled spec.containers{c}: Container image "nginx" already present on machine (simulated)
        Normal Created spec.containers{c}: Created container: c (simulated)
        Normal Started spec.containers{c}: Started container c (simulated)
        Warning Unhealthy spec.containers{c}: Readiness probe failed: HTTP probe failed with statuscode: 500 (simulated)
        Warning Unhealthy spec.containers{c}: Liveness probe failed: dial tcp 10.1.0.2:web: connect: connection refused (simulated)
        Normal Killing spec.containers{c}: Container c failed liveness probe
    "#]].assert_eq(&told(&first_look(&pod)));
}

#[test]
fn a_script_that_comes_late_counts_at_once() {
    let fail = |pod: &mut Pod| {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(
            "simulated.apiary.io/readiness-fails".into(),
            "always".into(),
        );
    };
    let mend = |pod: &mut Pod| pod.metadata.annotations = None;
    let pod = pod(
        "{}",
        "containers: [{name: c, image: nginx, readinessProbe: {httpGet: {port: 1}}}]",
    );
    let text = live(pod, &[(100, &fail), (150, &mend)], 200, parts);
    expect![[r#"
        0     Running | c+ running [Pulled Created Started]
        100   Running | c running [Unhealthy Unhealthy]
        150   Running | c+ running []
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_pod_that_is_deleted_stays_ready_until_it_ends() {
    let pod = pod(
        "{stop-delay: 10s, liveness-fails: from 105s}",
        "containers: [{name: c, image: nginx, livenessProbe: {httpGet: {port: 1}, periodSeconds: 1}}]",
    );
    let mut pod = pod;
    pod.metadata.finalizers = Some(vec!["example.com/keep".into()]);
    let text = live(pod, &[(100, &|pod| delete(pod, 100, 30))], 200, parts);
    expect![[r#"
        0     Running | c+ running [Pulled Created Started]
        100   no change [Killing]
        110   Failed | c Error 143 [] over
    "#]]
    .assert_eq(&text);
}

#[test]
fn hooks_take_their_time() {
    let hook = |hook: &str| {
        let spec =
            format!("containers: [{{name: c, image: nginx, lifecycle: {{preStop: {hook}}}}}]");
        live(
            pod("{}", &spec),
            &[(10, &|pod| delete(pod, 10, 30))],
            100,
            parts,
        )
    };
    expect![[r#"
        0     Running | c+ running [Pulled Created Started]
        10    no change [Killing]
        17    no change [] over
    "#]]
    .assert_eq(&hook("{sleep: {seconds: 7}}"));
    expect![[r#"
        0     Running | c+ running [Pulled Created Started]
        10    no change [Killing]
        22    no change [] over
    "#]]
    .assert_eq(&hook("{exec: {command: [sh, -c, sleep 12]}}"));
}
