//! `apiary up` on a terminal, which `script` of util-linux provides.

use std::io::Read;
use std::process::{Command, Stdio};

use super::world::{apiary, finish, free_port};

/// `None` after a message if there is none, which fails in CI.
fn script() -> Option<Command> {
    let probe = Command::new("script")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if probe.is_ok_and(|status| status.success()) {
        return Some(Command::new("script"));
    }
    let message = "no program `script`: the package bsdutils has it";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    eprintln!("skipped: {message}");
    None
}

#[test]
fn lines_change_in_place_until_they_are_ready() {
    let Some(mut script) = script() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let command = format!(
        "{} up --port {} --data-dir {}",
        apiary().get_program().display(),
        free_port(),
        data.display()
    );
    let mut child = script
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut shown = vec![];
    let mut chunk = [0; 4096];
    let ends = |shown: &[u8]| String::from_utf8_lossy(shown).contains("apiary down`.");
    while !ends(&shown) {
        let read = output.read(&mut chunk).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&chunk[..read]);
    }
    let down = finish(apiary().args(["down", "--data-dir"]).arg(&data), "");
    assert_eq!(down.code, Some(0), "{down:?}");
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());

    let shown = String::from_utf8(shown).unwrap();
    // The cursor goes back up, so what is not ready is written over.
    assert!(
        shown.contains("waiting: ") && shown.contains("\u{1b}[1A"),
        "{shown}"
    );
    // What is left was written after the last line was cleared. A single line is cleared without the cursor going up.
    let last = shown.rsplit("\u{1b}[2K").next().unwrap();
    assert!(!last.contains("waiting: "), "{last}");
    for text in [
        "1 control plane, 2 workers",
        "deployed 0.1.0 on cluster hello",
        "ready in",
        "Serving.",
    ] {
        assert!(shown.contains(text), "{text} is missing of {shown}");
    }
}
