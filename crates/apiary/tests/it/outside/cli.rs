//! The conformance tests of Kubernetes that run kubectl, in our own words; `docs/conformance.md` names them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::world::{Fleet, fetch};

#[test]
fn api_versions_has_v1() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-versions") {
        let versions = cluster.ok(&["api-versions"]);
        assert!(versions.lines().any(|line| line == "v1"), "{versions}");
    }
}

#[test]
fn version_prints_both_versions() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-version") {
        let text = cluster.ok(&["version"]);
        for item in ["Client Version: v", "Server Version: v"] {
            let version = text.lines().find_map(|line| line.strip_prefix(item));
            let version = version.unwrap_or_else(|| panic!("{item} is missing of\n{text}"));
            let parts: Vec<&str> = version.splitn(3, '.').collect();
            let is_number =
                |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            assert!(
                parts[..2].iter().all(is_number) && !parts[2].is_empty(),
                "{text}"
            );
        }
    }
}

#[test]
fn cluster_info_names_the_control_plane() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-info") {
        let text = cluster.ok(&["cluster-info"]);
        assert!(text.contains("Kubernetes control plane"), "{text}");
        assert!(text.contains("is running at"), "{text}");
    }
}

#[test]
fn diff_finds_another_image() {
    let Some(fleet) = Fleet::shared() else { return };
    let manifest = |image: &str| {
        format!(
            r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "agnhost"}}, "spec": {{
            "replicas": 1, "selector": {{"matchLabels": {{"app": "a"}}}}, "template": {{"metadata": {{"labels": {{"app": "a"}}}},
            "spec": {{"containers": [{{"name": "c", "image": "{image}"}}]}}}}}}}}"#
        )
    };
    for cluster in fleet.both("cli-diff") {
        cluster.ok_with(&["create", "-f", "-"], &manifest("agnhost:1"));
        let diff = cluster.run_with(&["diff", "-f", "-"], &manifest("busybox:2"));
        assert_eq!(diff.code, Some(1), "{diff:?}");
        for image in ["agnhost:1", "busybox:2"] {
            assert!(diff.stdout.contains(image), "{diff:?}");
        }
        cluster.ok_with(&["delete", "-f", "-"], &manifest("agnhost:1"));
    }
}

/// At least one version of the core group is told.
fn check_versions(mut stream: impl Read + Write, path: &str) {
    let answer = fetch(&mut stream, path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let versions: Value = serde_json::from_str(body).unwrap();
    assert_eq!(versions["versions"], serde_json::json!(["v1"]));
}

#[test]
fn proxy_takes_a_free_port() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-proxy-port") {
        let proxy = cluster.start(&["proxy", "-p", "0", "--disable-filter"]);
        let line = proxy.until(|line| line.starts_with("Starting to serve on "));
        let address = line.strip_prefix("Starting to serve on ").unwrap();
        check_versions(TcpStream::connect(address).unwrap(), "/api/");
    }
}

#[test]
fn proxy_listens_on_a_unix_socket() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("cli-proxy-socket") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test");
        let proxy = cluster.start(&["proxy", "--unix-socket", path.to_str().unwrap()]);
        proxy.until(|line| line.starts_with("Starting to serve on "));
        check_versions(UnixStream::connect(&path).unwrap(), "/api");
    }
}
