//! Every command that the documents show is run, in order, as a reader would.

use std::path::Path;

use super::world::{Server, apiary, finish, kubectl};
use crate::source::root;

/// The lines of all blocks in `sh` of a document.
fn commands(document: &str) -> String {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let mut lines = vec![];
    let mut in_block = false;
    for line in text.lines() {
        match (in_block, line.trim_end()) {
            (false, "```sh") => in_block = true,
            (true, "```") => in_block = false,
            (true, line) => lines.push(line),
            _ => {}
        }
    }
    lines.join("\n")
}

/// The indented lines below a heading of the README.
fn tour() -> String {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = text
        .split("## A short tour")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Runs commands as a shell does, each of which must succeed, beside a running example fleet.
fn follow(commands: &str, stops_the_server: bool) {
    let Some(kubectl) = kubectl() else { return };
    assert!(commands.lines().count() > 1, "there are no commands");
    let folder = tempfile::tempdir().unwrap();
    // Where `apiary up` keeps data unless it is told otherwise.
    let data = folder.path().join(".local/share/apiary");
    std::fs::create_dir_all(data.parent().unwrap()).unwrap();
    let server = Server::ready(&data, &[]);
    server.wait_for("fleet", "ready");
    // `apiary` and `kubectl` by name.
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    link(Path::new(env!("CARGO_BIN_EXE_apiary")), &bin.join("apiary"));
    if kubectl.is_absolute() {
        link(kubectl, &bin.join("kubectl"));
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("timeout");
    shell
        .args([
            "--kill-after=1",
            "240",
            "bash",
            "-euo",
            "pipefail",
            "-x",
            "-c",
            commands,
        ])
        .current_dir(folder.path())
        .env_remove("XDG_DATA_HOME")
        .env("HOME", folder.path())
        .env("APIARY_DATA_DIR", &data)
        .env("KUBECONFIG", data.join("kubeconfig"))
        .env("PATH", path);
    let output = finish(&mut shell, "");
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    if stops_the_server {
        let (code, stderr) = server.ended();
        assert_eq!(code, Some(0), "{stderr}");
    }
}

fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).unwrap();
}

#[test]
fn the_tour_of_the_readme_works() {
    follow(&tour(), false);
}

#[test]
fn getting_started_works() {
    follow(&commands("docs/guide/getting-started.md"), true);
}

#[test]
fn the_guide_to_clusters_works() {
    follow(&commands("docs/guide/clusters.md"), false);
}

#[test]
fn the_guide_to_the_command_line_works() {
    follow(&commands("docs/guide/cli.md"), false);
}

#[test]
fn the_guide_to_topologies_works() {
    follow(&commands("docs/guide/topology.md"), false);
}

#[test]
fn the_guide_to_apps_works() {
    follow(&commands("docs/guide/apps.md"), false);
}

#[test]
fn the_binary_explains_itself() {
    for args in [
        &["--help"][..],
        &["up", "--help"],
        &["version"],
        &["completions", "bash"],
        &["template", "cluster", "--help"],
        &["get", "--help"],
        &["describe", "cluster", "--help"],
        &["why", "--help"],
        &["cluster", "create", "--help"],
        &["cluster", "upgrade", "--help"],
    ] {
        let output = finish(apiary().args(args), "");
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("apiary"), "{output:?}");
    }
}
