//! Bad input: each piece is refused with what is wrong and where, and the process stays up or refuses to start and says
//! why.

use std::path::Path;

use super::world::{Fleet, Server, apiary, copy_example, example, finish, free_port, kubectl};

#[test]
fn wrong_documents_are_refused_with_the_place() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("bad-documents") {
        let collection = "/api/v1/namespaces/bad-documents/configmaps";
        let post =
            |body: &str| cluster.refused_with(&["create", "--raw", collection, "-f", "-"], body);
        for (body, why) in [
            ("{\"kind\": \"ConfigMap\", ", "BadRequest"),
            ("[]", "BadRequest"),
            ("{}", "name or generateName is required"),
            (
                "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}",
                "BadRequest",
            ),
            (
                "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":1}}",
                "BadRequest",
            ),
            (
                "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"A_b\"}}",
                "metadata.name: Invalid value: \"A_b\"",
            ),
            (
                "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{}}",
                "name or generateName is required",
            ),
        ] {
            let refusal = post(body);
            assert!(refusal.contains(why), "{body}: {refusal}");
        }
        let refusal = cluster.refused_with(&["apply", "-f", "-"], "a: [b\nc: d");
        assert!(
            refusal.contains("error converting YAML to JSON"),
            "{refusal}"
        );
        let unknown = "apiVersion: example.com/v1\nkind: Foo\nmetadata: {name: a}";
        let refusal = cluster.refused_with(&["apply", "-f", "-"], unknown);
        assert!(
            refusal.contains("no matches for kind \"Foo\" in version \"example.com/v1\""),
            "{refusal}"
        );
        // Documents nested without end.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let refusal = post(&format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"a\"}},\"x\":{deep}}}"
        ));
        assert!(refusal.contains("BadRequest"), "{refusal}");
        assert_eq!(cluster.ok(&["get", "--raw", "/readyz"]), "ok");
    }
}

#[test]
fn unknown_fields_are_refused_or_warned_about() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("bad-fields") {
        let manifest = "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 0, replica: 1, \
                        selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: d, img: e}]}}}}";
        let refusal = cluster.refused_with(&["apply", "-f", "-"], manifest);
        assert!(refusal.contains("strict decoding error"), "{refusal}");
        assert!(
            refusal.contains("unknown field \"spec.replica\""),
            "{refusal}"
        );
        assert!(
            refusal.contains("unknown field \"spec.template.spec.containers[0].img\""),
            "{refusal}"
        );
        let output = cluster.run_with(&["apply", "--validate=warn", "-f", "-"], manifest);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(
            output
                .stderr
                .contains("Warning: unknown field \"spec.replica\""),
            "{}",
            output.stderr
        );
        let output = cluster.run_with(&["apply", "--validate=ignore", "-f", "-"], manifest);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn wrong_values_are_named_with_their_field() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("bad-values") {
        for (manifest, why) in [
            (
                "---\n{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 99999}]}}",
                "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive",
            ),
            (
                "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, \
                  template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: d}]}}}}",
                "`selector` does not match template `labels`",
            ),
            (
                "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {k: \"not a label\"}}}",
                "metadata.labels: Invalid value: \"not a label\"",
            ),
            (
                "---\n{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}}",
                "spec.containers: Required value",
            ),
            (
                "---\n{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {k: \"***\"}}",
                "illegal base64 data",
            ),
        ] {
            let refusal =
                cluster.refused_with(&["create", "--validate=false", "-f", "-"], manifest);
            assert!(refusal.contains(why), "{manifest}: {refusal}");
        }
        let refusal = cluster.refused(&["create", "namespace", "Upper"]);
        assert!(
            refusal.contains("metadata.name: Invalid value: \"Upper\""),
            "{refusal}"
        );
        let refusal = cluster
            .within("nowhere")
            .refused(&["create", "configmap", "a"]);
        assert!(
            refusal.contains("namespaces \"nowhere\" not found"),
            "{refusal}"
        );
    }
}

#[test]
fn bodies_over_the_limit_are_refused() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("bad-size") {
        let body = |bytes: usize| {
            let value = "x".repeat(bytes);
            format!(
                "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"big\"}},\"data\":{{\"k\":\"{value}\"}}}}"
            )
        };
        let args = ["create", "--validate=false", "-f", "-"];
        let refusal = cluster.refused_with(&args, &body((1 << 20) + 1));
        assert!(
            refusal.contains("is invalid: []: Too long: may not be more than 1048576 bytes"),
            "{refusal}"
        );
        let refusal = cluster.refused_with(&args, &body(4 << 20));
        assert!(
            refusal.contains("Request entity too large: limit is 3145728"),
            "{refusal}"
        );
        cluster.ok_with(&args, &body(1000 << 10));
    }
}

/// What a fleet with one broken thing says about it.
fn broken(manifests: &[(&str, &str)], expected: &[&str]) {
    if kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("fleet");
    copy_example(&source);
    for (file, text) in manifests {
        std::fs::write(source.join(file), text).unwrap();
    }
    let server = Server::ready(
        &folder.path().join("data"),
        &["-f", source.to_str().unwrap()],
    );
    let kind = expected[0];
    let event = loop {
        let event = server.next();
        let is_it = event["kind"] == kind
            && event["state"] != "ready"
            && expected[1..]
                .iter()
                .all(|word| event.to_string().contains(word));
        if is_it {
            break event;
        }
    };
    let (is_ready, status) = server.status();
    assert!(!is_ready, "{event}\n{status}");
    for word in &expected[1..] {
        assert!(status.contains(word), "{word:?} is not in\n{status}");
    }
    assert_eq!(server.kubectl().ok(&["get", "--raw", "/readyz"]), "ok");
}

#[test]
fn a_missing_catalog_is_named() {
    let app = example("app.yaml").replace("catalog: hello", "catalog: nowhere");
    broken(&[("app.yaml", &app)], &["app", "nowhere"]);
}

#[test]
fn a_missing_chart_is_named() {
    let app = example("app.yaml").replace("version: 0.1.0", "version: 9.9.9");
    broken(&[("app.yaml", &app)], &["app", "9.9.9"]);
}

#[test]
fn a_chart_that_does_not_render_is_named_with_the_line() {
    let template = "{{ fail \"the sky is falling\" }}\n";
    broken(
        &[("catalog/hello-world/templates/broken.yaml", template)],
        &["app", "templates/broken.yaml:1", "the sky is falling"],
    );
}

#[test]
fn a_machine_that_cannot_boot_says_why() {
    let discovery = "      joinConfiguration:
        discovery:
          file: {kubeConfigPath: /etc/kubernetes/nowhere.conf}
";
    let cluster = example("cluster.yaml").replace("      joinConfiguration:\n", discovery);
    broken(
        &[("cluster.yaml", &cluster)],
        &[
            "machine",
            "BootFailed",
            "kubeadm join: the configuration has no discovery.bootstrapToken.token",
        ],
    );
}

#[test]
fn manifests_that_cannot_be_applied_leave_the_cluster_running() {
    if kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (at, (text, why)) in [
        ("---\n{apiVersion: example.org/v1, kind: Widget, metadata: {name: a}}", "no API example.org/v1"),
        ("---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}, data: {k: 1}}", "data"),
        ("---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: org-gone}}", "org-gone"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(format!("{at}.yaml"));
        std::fs::write(&file, text).unwrap();
        let server = Server::ready(&folder.path().join(at.to_string()), &["-f", file.to_str().unwrap()]);
        let event = server.wait_for("manifests", "failed").to_string();
        assert!(event.contains(why) && event.contains(&format!("{at}.yaml")), "{text}: {event}");
        assert_eq!(server.kubectl().ok(&["get", "--raw", "/readyz"]), "ok");
    }
}

/// A start that must fail: what it says.
fn refusal(args: &[&str]) -> String {
    let output = finish(apiary().arg("up").args(args), "");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.starts_with("Error: "), "{output:?}");
    output.stderr
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let Some(fleet) = Fleet::shared() else { return };
    let output = fleet.apiary(&["kubeconfig", "helo"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(
        output.stderr,
        "Error: no cluster is called \"helo\"; there are: hello\n"
    );
    let output = fleet.apiary(&["kubeconfig", "hello", "--organization", "other"]);
    assert_eq!(
        output.stderr,
        "Error: organization other has no cluster called \"hello\"; it has: none\n"
    );
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let port = free_port().to_string();
    let data = |name: &str| -> Vec<String> {
        ["--empty", "--port", &port, "--data-dir", &path(name)]
            .map(str::to_owned)
            .to_vec()
    };
    let refused = |name: &str| refusal(&data(name).iter().map(String::as_str).collect::<Vec<_>>());

    // A data directory below a file can be made by nobody.
    std::fs::write(path("file"), "").unwrap();
    let text = refused("file/data");
    assert!(
        text.contains("file/data") && text.contains("--data-dir"),
        "{text}"
    );
    assert!(refused("file").contains("file"));

    std::fs::create_dir(path("garbage")).unwrap();
    std::fs::write(path("garbage/apiary.redb"), "this is no store").unwrap();
    let text = refused("garbage");
    assert!(text.contains("garbage/apiary.redb"), "{text}");
    assert_eq!(
        std::fs::read(path("garbage/apiary.redb")).unwrap(),
        b"this is no store",
        "it was changed"
    );

    // /proc lets nobody write, whoever they are.
    let text = refusal(&["--empty", "--port", &port, "--data-dir", "/proc/apiary"]);
    assert!(text.contains("/proc/apiary"), "{text}");

    // Manifests that cannot be read are refused before anything is made.
    for (name, text, why) in [
        ("nothing.yaml", None, "No such file"),
        ("broken.yaml", Some("a: [b\nc: d\n"), "line 2"),
        (
            "bare.yaml",
            Some("apiVersion: v1\n"),
            "document 1: kind is missing",
        ),
        ("list.yaml", Some("- a\n"), "is not an object"),
        ("empty", Some(""), "no manifests"),
    ] {
        let file = path(name);
        match text {
            Some("") => std::fs::create_dir(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => {}
        }
        let text = refusal(&["-f", &file, "--port", &port, "--data-dir", &path("unused")]);
        assert!(text.contains(name) && text.contains(why), "{name}: {text}");
    }
    assert!(!Path::new(&path("unused")).exists());
}

#[test]
fn a_damaged_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(Server::ready(&data, &["--empty"]).down());
    let store = data.join("apiary.redb");
    let mut bytes = std::fs::read(&store).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte ^= 0x5a;
    }
    std::fs::write(&store, bytes).unwrap();
    let (code, text) = Server::start(&data, &["--empty"]).ended();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("apiary.redb"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn one_server_has_a_port_and_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::ready(&folder.path().join("data"), &["--empty"]);
    let (code, text) =
        Server::start_on(server.port, &folder.path().join("other"), &["--empty"]).ended();
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("port {} on 127.0.0.1 is in use", server.port))
            && text.contains("--port"),
        "{text}"
    );
    let port = free_port().to_string();
    let text = refusal(&[
        "--empty",
        "--port",
        &port,
        "--data-dir",
        server.data.to_str().unwrap(),
    ]);
    assert!(text.contains("apiary.redb"), "{text}");
    // The first is none the worse for it.
    let (_, status) = server.status();
    assert!(status.contains("The fleet is empty"), "{status}");
    assert!(server.down());
}

#[test]
fn wrong_flags_are_explained() {
    for (args, why) in [
        (&["up", "--port", "0"][..], "--port"),
        (&["up", "--port", "70000"], "--port"),
        (&["up", "--empty", "-f", "x"], "cannot be used with"),
        (&["template", "cluster", "--name", "x"], "--organization"),
        (&["nonsense"], "unrecognized subcommand"),
    ] {
        let output = finish(apiary().args(args), "");
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(why), "{output:?}");
    }
    let output = finish(
        apiary().args([
            "template",
            "cluster",
            "--name",
            "Upper",
            "--organization",
            "acme",
        ]),
        "",
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("the name of a cluster \"Upper\""),
        "{output:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    for command in ["status", "down", "kubeconfig"] {
        let output = finish(
            apiary().args([command, "--data-dir"]).arg(folder.path()),
            "",
        );
        assert_eq!(output.code, Some(1), "{command}: {output:?}");
        assert!(output.stderr.contains("apiary up"), "{command}: {output:?}");
    }
}
