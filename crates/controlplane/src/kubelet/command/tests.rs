//! Commands in, what they come to out.

use super::*;
use serde_json::{Value, json};

fn check(container: Value, expected: &str) {
    let pod = json!({
        "metadata": {"name": "p", "labels": {"index": "3"}},
        "spec": {"containers": [container]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let found = match run(&pod, &pod.spec.as_ref().unwrap().containers[0], 0) {
        None => "unknown".to_owned(),
        Some(Run::Stays) => "stays".to_owned(),
        Some(Run::Exits { after, code }) if after.is_zero() => code.to_string(),
        Some(Run::Exits { after, code }) => format!("{code} after {after:?}"),
    };
    assert_eq!(found, expected, "{}", pod.spec.unwrap().containers[0].name);
}

fn command(words: &[&str], expected: &str) {
    check(json!({"name": words.join(" "), "command": words}), expected);
}

fn sh(script: &str, expected: &str) {
    let env = json!([
        {"name": "N", "value": "4"},
        {"name": "INDEX", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['index']"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]);
    let container =
        json!({"name": script, "command": ["/bin/sh", "-c"], "args": [script], "env": env});
    check(container, expected);
}

#[test]
fn commands_without_a_shell() {
    command(&["true"], "0");
    command(&["/bin/false"], "1");
    command(&["sleep", "90"], "0 after 90s");
    command(&["sleep", "1.5m"], "0 after 90s");
    command(&["sleep", "infinity"], "stays");
    command(&["sleep", "x"], "unknown");
    command(&["exit", "3"], "3");
    command(&["/app/serve", "--port=80"], "unknown");
    check(json!({"name": "a", "image": "nginx"}), "unknown");
    check(
        json!({"name": "a", "image": "registry.k8s.io/pause:3.10"}),
        "stays",
    );
}

#[test]
fn scripts() {
    sh("exit 3", "3");
    sh("exit 257", "1");
    sh("exit", "0");
    sh("echo hello && exit 7", "7");
    sh("false || exit 2; exit 3", "2");
    sh("true || exit 2; false", "1");
    sh("! false", "0");
    sh("false; true", "0");
    sh("set -e\nfalse\ntrue", "1");
    sh("set -e; false || true; exit 5", "5");
    sh("sleep 5; sleep 2; exit 1", "1 after 7s");
    sh("exec sleep 3", "0 after 3s");
    sh("echo 'it; failed' > /dev/termination-log; exit 42", "42");
    sh("echo \"no $N\" 2>&1 >&2; exit 1", "1");
    sh("# nothing\n  exit 9 # at all", "9");
    sh("exit $(( $INDEX % 2 ))", "1");
    sh("exit $(expr ${N} % 2)", "0");
}

#[test]
fn conditions() {
    let by_index = |index: &str| {
        format!("\n if [ ${{INDEX}} -ne {index} ]; then\n exit 1\n else\n exit 0\n fi\n")
    };
    sh(&by_index("3"), "0");
    sh(&by_index("4"), "1");
    sh(
        "if false; then exit 1; elif test $N = 4; then exit 2; else exit 3; fi",
        "2",
    );
    sh("if [ \"$N\" == 5 ]; then exit 1; fi; exit 8", "8");
    sh("set -e; if false; then :; fi; exit 6", "6");
    sh("[ $INDEX -gt 2 ] && exit 5", "5");
}

#[test]
fn files_in_volumes_outlive_a_run() {
    let script = "if [[ -r /data/foo ]] ; then exit 0 ; else touch /data/foo ; exit 1 ; fi";
    let mount = json!([{"name": "data", "mountPath": "/data"}]);
    let container =
        json!({"name": "c", "command": ["/bin/sh", "-c", script], "volumeMounts": mount});
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let code = |restarts| match run(&pod, container, restarts) {
        Some(Run::Exits { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 1_000_000].map(code), [1, 0, 0, 0]);
    // Of other places nothing is known.
    sh(script, "unknown");
}

#[test]
fn of_what_is_not_known_nothing_is_said() {
    for script in [
        "./migrate.sh",
        "make && exit 0",
        "echo $HOME",
        "echo $KEY",
        "exit $(date +%s)",
        "cat < file",
        "true | false",
        "X=1; exit $X",
        "if true; then exit 1",
        "for i in 1 2; do exit 1; done",
        "exit x",
        "[[ -r /data ]] && exit 0",
        "echo \"open",
        "",
    ] {
        let expected = if script.is_empty() { "0" } else { "unknown" };
        sh(script, expected);
    }
    // What is never reached need not be known.
    sh("exit 1; ./migrate.sh", "1");
    sh("true || ./migrate.sh", "0");
}
