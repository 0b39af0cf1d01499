//! A catalog on a web server: charts that real Helm packed and listed, served by a web server that knows nothing of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::helm::python;
use super::world::{Server, copy_example, example, kubectl};

/// Packs a chart in two versions, writes the index, prints the port, and serves until standard input ends.
const SCRIPT: &str = r#"
import functools, http.server, os, sys, threading, helm_python
chart, folder = sys.argv[1:]
os.makedirs(folder)
for version in ["0.1.0", "0.2.0"]:
    helm_python.package(chart, destination=folder, version=version)
helm_python.repo_index_generate(folder)

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"#;

/// The web server; it ends with its standard input.
struct Repository {
    child: Child,
    port: u16,
}

impl Drop for Repository {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

#[test]
fn an_app_comes_from_a_web_server() {
    let (Some(python), Some(_)) = (python(), kubectl()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let fleet = folder.path().join("fleet");
    copy_example(&fleet);
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(fleet.join("catalog/hello-world"))
        .arg(folder.path().join("repository"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap();
    let repository = Repository { child, port };

    let catalog = format!("URL: http://127.0.0.1:{}/", repository.port);
    let catalog = example("catalog.yaml").replace("URL: file:catalog", &catalog);
    std::fs::write(fleet.join("catalog.yaml"), catalog).unwrap();
    std::fs::remove_dir_all(fleet.join("catalog")).unwrap();
    let data = folder.path().join("data");
    let server = Server::ready(&data, &["-f", fleet.to_str().unwrap()]);
    server.wait_for("fleet", "ready");
    let management = server.kubectl();
    // What the catalog has is listed in the cluster.
    let entries = management.ok(&[
        "get",
        "appcatalogentries",
        "-A",
        "-o",
        "jsonpath={range .items[*]}{.spec.appName}/{.spec.version} {end}",
    ]);
    assert_eq!(entries.trim(), "hello-world/0.1.0 hello-world/0.2.0");

    let app = ["-n", "org-acme", "app/hello-world"];
    let set = |version: &str| {
        let patch = format!("{{\"spec\":{{\"version\":\"{version}\"}}}}");
        management.ok(&[&["patch", "--type=merge", "-p", &patch], &app[..]].concat());
    };
    set("0.2.0");
    let version = "--for=jsonpath={.status.version}=0.2.0";
    management.ok(&[&["wait", version, "--timeout=60s"], &app[..]].concat());
    set("9.9.9");
    let reason = "--for=jsonpath={.status.release.status}=app-version-not-found";
    management.ok(&[&["wait", reason, "--timeout=60s"], &app[..]].concat());
    let (is_ready, status) = server.status();
    assert!(!is_ready && status.contains("9.9.9"), "{status}");
    // A repository that is gone takes nothing away that is installed.
    drop(repository);
    set("0.1.0");
    let version = "--for=jsonpath={.status.version}=0.1.0";
    management.ok(&[&["wait", version, "--timeout=60s"], &app[..]].concat());
}
