//! `apiary backup` of a running fleet, and `apiary restore` of it elsewhere: everything is there, and clients notice.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::world::{Output, Server, apiary, finish, kubectl};

fn run(command: &str, file: &Path, data: &Path, more: &[&str]) -> Output {
    let mut apiary = apiary();
    apiary.arg(command).arg(file).arg("--data-dir").arg(data);
    finish(apiary.args(more), "")
}

#[track_caller]
fn done(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[track_caller]
fn fails(output: &Output, text: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(text), "{output:?}");
}

fn revision(object: &Value) -> u64 {
    let revision = object["metadata"]["resourceVersion"].as_str().unwrap();
    revision.parse().unwrap()
}

/// A damaged backup is refused, and leaves nothing.
fn refuses_damage(file: &Path, data: &Path) {
    let damaged = file.with_extension("damaged");
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let refused = run("restore", &damaged, data, &[]);
    fails(&refused, "it is incomplete or damaged");
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 0);
}

#[test]
fn a_backup_of_a_running_fleet_comes_back_on_another_directory() {
    if kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let file = folder.path().join("fleet.backup");
    fails(
        &run("backup", &file, &data, &[]),
        "has `apiary up` run here?",
    );
    let server = Server::ready(&data, &[]);
    server.wait_for("fleet", "ready");
    let port = server.port;
    let clusters = [server.kubectl(), server.kubectl_of("hello")];
    for cluster in &clusters {
        cluster.ok(&["create", "configmap", "kept", "--from-literal=key=before"]);
    }
    done(&run("backup", &file, &data, &[]));
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // What comes later is not in it.
    let mut seen = vec![];
    for cluster in &clusters {
        cluster.ok(&["create", "configmap", "lost"]);
        cluster.ok(&[
            "patch",
            "configmap",
            "kept",
            "-p",
            r#"{"data":{"key":"after"}}"#,
        ]);
        seen.push(revision(&cluster.object("configmap/kept")));
    }
    // A running server's store is not touched.
    fails(
        &run("restore", &file, &data, &["--replace"]),
        "a server runs on this data directory",
    );
    assert!(server.down());
    fails(&run("restore", &file, &data, &[]), "holds clusters already");
    refuses_damage(&file, &other);
    let restored = run("restore", &file, &other, &["-o", "json"]);
    done(&restored);
    let said: Value = serde_json::from_str(&restored.stdout).unwrap();
    assert_eq!(said["clusters"], 2, "{said}");
    let server = Server::start_on(port, &other, &[]);
    server.wait_for("fleet", "ready");
    // The kubeconfigs of before are good, for what there is.
    for (cluster, seen) in clusters.iter().zip(seen) {
        let kept = cluster.object("configmap/kept");
        assert_eq!(kept["data"]["key"], "before");
        assert!(
            cluster
                .refused(&["get", "configmap", "lost"])
                .contains("not found")
        );
        let maps = "/api/v1/namespaces/default/configmaps";
        let list: Value = serde_json::from_str(&cluster.ok(&["get", "--raw", maps])).unwrap();
        assert!(revision(&list) > 1_000_000_000, "{}", list["metadata"]);
        // Who goes on from what it saw is told to begin anew.
        let watch = format!("{maps}?watch=1&timeoutSeconds=20&resourceVersion={seen}");
        let event: Value = serde_json::from_str(&cluster.ok(&["get", "--raw", &watch])).unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["code"]),
            (&"ERROR".into(), &410.into())
        );
    }
    // Without a server as well, and over what is there.
    assert!(server.down());
    done(&run("backup", &file, &other, &[]));
    done(&run("restore", &file, &data, &["--replace"]));
    assert!(data.join("apiary.replaced").exists());
    let server = Server::start_again(port, &data, &[]);
    server.wait_for("fleet", "ready");
    for cluster in &clusters {
        assert_eq!(cluster.field("configmap/kept", "/data/key"), "before");
    }
    assert!(server.down());
}
