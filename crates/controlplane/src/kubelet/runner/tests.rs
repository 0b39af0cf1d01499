//! Logs and programs, without a server.

use apiserver::runner::{LogOptions, LogSource, Output, Session};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::place::Place;
use super::{log, program};

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "annotations": {"simulated.apiary.io/log": "one\ntwo\nthrée"}},
        "status": {"containerStatuses": [{
            "name": "c", "image": "nginx",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            "lastState": {"terminated": {"startedAt": "2025-12-31T00:00:00Z"}},
        }]},
    })
}

#[track_caller]
fn check_log(options: LogOptions, expected: &str) {
    let options = LogOptions {
        container: "c".into(),
        ..options
    };
    assert_eq!(log::text(&pod(), &options), expected, "{options:?}");
}

#[test]
fn logs_are_cut_as_asked() {
    let all = LogOptions::default();
    check_log(all.clone(), "one\ntwo\nthrée\n");
    check_log(
        LogOptions {
            tail_lines: Some(2),
            ..all.clone()
        },
        "two\nthrée\n",
    );
    check_log(
        LogOptions {
            tail_lines: Some(0),
            ..all.clone()
        },
        "",
    );
    check_log(
        LogOptions {
            limit_bytes: Some(6),
            ..all.clone()
        },
        "one\ntw",
    );
    // A character is not cut in half.
    check_log(
        LogOptions {
            limit_bytes: Some(12),
            ..all.clone()
        },
        "one\ntwo\nthr",
    );
    check_log(
        LogOptions {
            timestamps: true,
            tail_lines: Some(1),
            ..all.clone()
        },
        "2026-01-01T00:00:00.000000000Z thrée\n",
    );
    check_log(
        LogOptions {
            timestamps: true,
            tail_lines: Some(1),
            previous: true,
            ..all.clone()
        },
        "2025-12-31T00:00:00.000000000Z thrée\n",
    );
    let since = "2026-01-01T00:00:01Z".parse().ok();
    check_log(
        LogOptions {
            since,
            ..all.clone()
        },
        "",
    );
    check_log(
        LogOptions {
            stream: LogSource::Stderr,
            ..all
        },
        "",
    );
    let mut silent = pod();
    silent["metadata"]["annotations"] = json!({});
    let options = LogOptions {
        container: "c".into(),
        ..LogOptions::default()
    };
    assert_eq!(
        log::text(&silent, &options),
        "simulated container \"c\" of image \"nginx\" started\n"
    );
}

/// Runs a command with some input; its output and how it ended.
async fn run(command: &[&str], input: &str) -> String {
    let mut place = Place::default();
    place.env.insert("A".into(), "b".into());
    place.files.insert("/etc/f".into(), b"content".to_vec());
    let (stdin, stdin_end) = mpsc::channel(4);
    let (output_end, mut output) = mpsc::channel(16);
    let (_resize, resize_end) = mpsc::channel(1);
    if !input.is_empty() {
        stdin.send(input.to_owned().into()).await.unwrap();
    }
    drop(stdin);
    let session = Session {
        stdin: stdin_end,
        output: output_end,
        resize: resize_end,
    };
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let code = program::run(&command, &place, session).await;
    let mut said = String::new();
    while let Some(output) = output.recv().await {
        let (mark, bytes) = match output {
            Output::Stdout(bytes) => ("", bytes),
            Output::Stderr(bytes) => ("!", bytes),
        };
        said += &format!("{mark}{}", String::from_utf8_lossy(&bytes));
    }
    format!("{said}[{code}]")
}

#[tokio::test]
async fn programs_do_what_they_are_named_for() {
    for (command, expected) in [
        (&["true"][..], "[0]"),
        (&["/bin/false"], "[1]"),
        (&["exit", "7"], "[7]"),
        (&["echo", "a", "b"], "a b\n[0]"),
        (&["env"], "A=b\n[0]"),
        (&["printenv", "A"], "b\n[0]"),
        (&["printenv", "B"], "[1]"),
        (
            &["cat", "/etc/f", "/etc/g"],
            "content!cat: /etc/g: No such file or directory\n[1]",
        ),
        (&["cat"], "typed[0]"),
        (&["sh", "-c", "echo 'a  b' \"c\"d"], "a  b cd\n[0]"),
        (&["sh", "-c", "exit 3"], "[3]"),
        (
            &["sh", "-c", "true && false"],
            "!sh: the simulated shell runs one plain command\n[2]",
        ),
        (
            &["ls"],
            "!this container is simulated and has no program \"ls\"\n[127]",
        ),
    ] {
        assert_eq!(run(command, "typed").await, expected, "{command:?}");
    }
}
