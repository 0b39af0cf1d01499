//! Logs and programs, without a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use apiserver::runner::{LogOptions, LogSource, Output, PodRunner, Session, SessionOptions};
use bytes::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::place::{Contents, MAX_ENTRIES, Place};
use super::port::Port;
use super::{SimulatedPods, log, program};

fn pod() -> Value {
    json!({
        "metadata": {"name": "p"},
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
    let said = Some("one\ntwo\nthrée");
    assert_eq!(log::text(&pod(), said, &options), expected, "{options:?}");
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
    let options = LogOptions {
        container: "c".into(),
        ..LogOptions::default()
    };
    assert_eq!(
        log::text(&pod(), None, &options),
        "simulated container \"c\" of image \"nginx\" started\n"
    );
}

/// Runs a command with some input; its output and how it ended.
async fn run(command: &[&str], input: &str) -> String {
    let mut place = Place::default();
    place.env.insert("A".into(), "b".into());
    place.files.insert("/etc/f".into(), "content".into());
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
            &["tar", "xmf", "-", "-C", "/tmp"],
            "!tar: the files of simulated containers cannot be written: use tar cf - FILE...\n[2]",
        ),
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

#[tokio::test]
async fn files_are_packed_as_tar_does() {
    // Longer than a header has room for.
    const LONG: &str = concat!(
        "/long/0123456789012345678901234567890123456789012345678901234567890123456789",
        "0123456789012345678901234567890123456789012345678901234567890123456789"
    );
    let mut place = Place::default();
    for (path, content) in [
        ("/etc/a/one", "1"),
        ("/etc/a/b/two", "22"),
        ("/etc/ab", "3"),
        (LONG, "4"),
    ] {
        place.files.insert(path.into(), content.into());
    }
    let packed = async |path: &str| {
        let (_, stdin) = mpsc::channel(1);
        let (output_end, mut output) = mpsc::channel(16);
        let (_, resize) = mpsc::channel(1);
        let session = Session {
            stdin,
            output: output_end,
            resize,
        };
        let command = ["tar", "cf", "-", path].map(str::to_owned);
        let code = program::run(&command, &place, session).await;
        let mut said = String::new();
        let mut archive = vec![];
        while let Some(output) = output.recv().await {
            match output {
                Output::Stderr(bytes) => said += &String::from_utf8_lossy(&bytes),
                Output::Stdout(bytes) => archive.extend_from_slice(&bytes),
            }
        }
        assert_eq!(archive.len() % 512, 0);
        assert!(archive.ends_with(&[0; 1024]), "an archive has an end");
        for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let content = std::io::read_to_string(entry).unwrap();
            said += &format!("{path}={content} ");
        }
        format!("{said}[{code}]")
    };
    assert_eq!(packed("/etc/a").await, "etc/a/b/two=22 etc/a/one=1 [0]");
    assert_eq!(packed("/etc/ab").await, "etc/ab=3 [0]");
    assert_eq!(packed(LONG).await, format!("{}=4 [0]", &LONG[1..]));
    assert_eq!(
        packed("/etc/c").await,
        "tar: /etc/c: Cannot stat: No such file or directory\n[2]"
    );
}

/// A program that reads this file a thousand times says it a piece at a time, and waits while nobody takes it.
async fn check_is_streamed(command: &[&str]) {
    const LENGTH: usize = 1 << 20;
    let mut place = Place::default();
    place.files.insert("/f".into(), vec![b'x'; LENGTH].into());
    let (_stdin, stdin_end) = mpsc::channel(1);
    let (output_end, mut output) = mpsc::channel(1);
    let (_resize, resize_end) = mpsc::channel(1);
    let session = Session {
        stdin: stdin_end,
        output: output_end,
        resize: resize_end,
    };
    let mut words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    words.resize(words.len() + 1000, "/f".to_owned());
    let read = async {
        let (mut length, mut longest) = (0, 0);
        while let Some(Output::Stdout(bytes)) = output.recv().await {
            length += bytes.len();
            longest = longest.max(bytes.len());
        }
        (length, longest)
    };
    let (code, (length, longest)) = tokio::join!(program::run(&words, &place, session), read);
    assert_eq!(code, 0, "{command:?}");
    assert!(length >= 1000 * LENGTH, "{command:?} said {length} bytes");
    assert_eq!(longest, program::PIECE, "{command:?}");
}

#[tokio::test]
async fn what_programs_read_is_never_all_in_memory() {
    check_is_streamed(&["tar", "cf", "-"]).await;
    check_is_streamed(&["cat"]).await;
}

#[tokio::test]
async fn a_silent_process_takes_what_it_is_told() {
    let pods = SimulatedPods {
        cluster: Weak::new(),
        profile: Arc::default(),
    };
    let (stdin, stdin_end) = mpsc::channel(1);
    let (output_end, mut output) = mpsc::channel(1);
    let (_resize, resize_end) = mpsc::channel(1);
    let session = Session {
        stdin: stdin_end,
        output: output_end,
        resize: resize_end,
    };
    let options = SessionOptions::default();
    let typing = async {
        for _ in 0..100 {
            stdin.send(Bytes::from_static(b"typed")).await.unwrap();
        }
        drop(stdin);
        // The client still hears what there is to hear.
        tokio::task::yield_now().await;
        assert_eq!(output.try_recv(), Err(TryRecvError::Empty));
    };
    tokio::select! {
        ended = pods.attach(&Value::Null, &options, session) => panic!("{ended:?}"),
        () = typing => {}
    }
}

#[test]
fn a_configmap_is_in_memory_once_however_often_it_is_mounted() {
    let map = Contents::of(ConfigMap {
        data: Some([("k".to_owned(), "text".to_owned())].into()),
        ..ConfigMap::default()
    });
    let mut place = Place::default();
    for at in 0..=MAX_ENTRIES {
        let mount = json!({"mountPath": format!("/m{at}")});
        place.mount(&mount, &json!({"name": "m"}), &map);
    }
    assert_eq!(place.files.len(), MAX_ENTRIES);
    let mut contents = place.files.values().map(|content| content.as_ptr());
    let first = contents.next().unwrap();
    assert!(contents.all(|content| content == first));
    // One that is there is replaced all the same.
    let items = json!({"name": "m", "items": [{"key": "k", "path": "k"}]});
    place.files.insert("/m0/k".into(), Bytes::new());
    place.mount(&json!({"mountPath": "/m0/"}), &items, &map);
    assert_eq!(place.files["/m0/k"], "text");
}

#[test]
fn ports_answer_that_are_declared() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "a", "image": "nginx", "ports": [{"name": "web", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]},
        {"name": "b", "image": "redis", "ports": [{"containerPort": 6379, "protocol": "TCP"}]},
    ]}});
    let mut answers = BTreeMap::new();
    let answer = |answers: &_, wanted: &str| match Port::of(&pod, wanted, answers) {
        Ok(port) => {
            String::from_utf8(port.answer(&http::Method::GET, "/a?b").body().to_vec()).unwrap()
        }
        Err(status) => status.message,
    };
    let web = "simulated container \"a\" of image \"nginx\" in pod \"p\", port 80: GET /a?b\n";
    for wanted in ["", "80", "web"] {
        assert_eq!(answer(&answers, wanted), web);
    }
    assert!(answer(&answers, "6379").starts_with("simulated container \"b\""));
    assert_eq!(
        answer(&answers, "53"),
        "connection refused: nothing listens on port 53 of pod \"p\": its containers are simulated and declare only 80, 6379"
    );
    answers.insert("a".to_owned(), "hello".to_owned());
    assert_eq!(answer(&answers, "80"), "hello");
}
