//! kubectl and what runs in a pod: `exec`, `attach`, `cp` and `port-forward`, each over WebSocket, which newer versions of
//! kubectl begin with, and over SPDY, which older ones know only.

use std::net::TcpStream;

use super::world::{Background, Fleet, Kubectl, fetch};

/// The ways that kubectl can be told to take, by its environment.
const WAYS: [(&str, &[(&str, &str)]); 2] = [
    (
        "websocket",
        &[
            ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true"),
            ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "true"),
        ],
    ),
    (
        "spdy",
        &[
            ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"),
            ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false"),
        ],
    ),
];

const WEB: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {one: first, two: second}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: c
          image: nginx
          ports: [{name: http, containerPort: 80}]
          env: [{name: GREETING, value: hello}]
          volumeMounts: [{name: settings, mountPath: /etc/settings}]
      volumes: [{name: settings, configMap: {name: settings}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: http}]}
"#;

/// A cluster with something that runs.
fn web(fleet: &Fleet, namespace: &str) -> Kubectl {
    let cluster = fleet.hello(namespace);
    cluster.ok_with(&["apply", "-f", "-"], WEB);
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=50s"]);
    cluster
}

#[test]
fn commands_run_in_a_container() {
    let Some(fleet) = Fleet::shared() else { return };
    for (way, set) in WAYS {
        let cluster = web(&fleet, &format!("streams-exec-{way}")).with_env(set);
        let exec = ["exec", "deploy/web", "--"];
        let with = |args: &[&str]| cluster.run(&[&exec[..], args].concat());
        let said = with(&["printenv", "GREETING"]);
        assert_eq!(
            (said.code, &*said.stdout, &*said.stderr),
            (Some(0), "hello\n", ""),
            "{way}"
        );
        let said = with(&["sh", "-c", "exit 3"]);
        assert_eq!(
            (said.code, &*said.stdout, &*said.stderr),
            (Some(3), "", "command terminated with exit code 3\n"),
            "{way}"
        );
        let said = with(&["ls"]);
        assert_eq!(said.code, Some(127), "{way}");
        assert!(
            said.stderr.contains("has no program \"ls\""),
            "{way}: {said:?}"
        );
        // As much as one likes, and what ends it.
        let typed = "0123456789\n".repeat(20_000);
        let args = ["exec", "-i", "deploy/web", "--", "cat"];
        assert!(cluster.ok_with(&args, &typed) == typed, "{way}");
        // Many at a time make no difference to each other.
        let many: Vec<Background> = (0..8)
            .map(|at| cluster.start(&["exec", "deploy/web", "--", "echo", &at.to_string()]))
            .collect();
        for (at, one) in many.into_iter().enumerate() {
            assert_eq!(one.line(), at.to_string(), "{way}");
            assert_eq!(one.ended(), Some(0), "{way}");
        }
    }
}

#[test]
fn files_are_copied_out_of_a_container() {
    let Some(fleet) = Fleet::shared() else { return };
    for (way, set) in WAYS {
        let cluster = web(&fleet, &format!("streams-cp-{way}")).with_env(set);
        let pod = cluster.ok(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let (to, from) = (to.to_str().unwrap(), format!("{pod}:/etc/settings"));
        cluster.ok(&["cp", &from, to]);
        for (name, content) in [("one", "first"), ("two", "second")] {
            let copied = std::fs::read_to_string(format!("{to}/{name}")).unwrap();
            assert_eq!(copied, content, "{way}");
        }
        // There is nothing to write to.
        let refused = cluster.refused(&["cp", &format!("{to}/one"), &format!("{pod}:/tmp/one")]);
        assert!(refused.contains("cannot be written"), "{way}: {refused}");
    }
}

#[test]
fn who_is_attached_hears_the_end() {
    let Some(fleet) = Fleet::shared() else { return };
    for (way, set) in WAYS {
        let cluster = web(&fleet, &format!("streams-attach-{way}")).with_env(set);
        let pod = cluster.ok(&["get", "pods", "-o", "name"]);
        let attached = cluster.start(&["attach", pod.trim(), "-v=6"]);
        // Of what is attached only the log of requests tells.
        attached.until(|line| line.contains("/attach"));
        cluster.ok(&["delete", pod.trim(), "--grace-period=0", "--force"]);
        assert_eq!(attached.ended(), Some(0), "{way}");
        // A pod that ends by itself.
        let run = [
            "run",
            "once",
            "--image=busybox",
            "--restart=Never",
            "--attach",
            "--rm",
            "--annotations=simulated.apiary.io/run-time=1s",
            "--annotations=simulated.apiary.io/log=that was it",
        ];
        let said = cluster.ok(&run);
        assert!(said.contains("pod \"once\" deleted"), "{way}: {said}");
    }
}

/// The port on this machine of a forward that has begun.
fn address(forward: &Background) -> String {
    let line = forward.until(|line| line.starts_with("Forwarding from 127.0.0.1:"));
    let address = line.strip_prefix("Forwarding from ").unwrap();
    address.split(' ').next().unwrap().to_owned()
}

#[test]
fn ports_are_forwarded_to_this_machine() {
    let Some(fleet) = Fleet::shared() else { return };
    for (way, set) in WAYS {
        let cluster = web(&fleet, &format!("streams-forward-{way}")).with_env(set);
        for (what, ports) in [
            ("deployment/web", ":80"),
            ("service/web", ":8080"),
            ("deployment/web", ":http"),
        ] {
            let forward = cluster.start(&["port-forward", what, ports]);
            let address = address(&forward);
            // Several connections one after the other, and two at a time.
            let mut open = TcpStream::connect(&address).unwrap();
            for path in ["/", "/again?a=b"] {
                let answer = fetch(&mut TcpStream::connect(&address).unwrap(), path);
                assert!(
                    answer.starts_with("HTTP/1.1 200 OK\r\n"),
                    "{way} {what}: {answer}"
                );
                let said = format!("port 80: GET {path}\n");
                assert!(answer.ends_with(&said), "{way} {what}: {answer}");
            }
            let answer = fetch(&mut open, "/late");
            assert!(
                answer.ends_with("port 80: GET /late\n"),
                "{way} {what}: {answer}"
            );
        }
        // Where nothing listens the client is told, and kubectl gives up.
        let forward = cluster.start(&["port-forward", "deployment/web", ":81"]);
        let address = address(&forward);
        let answer = fetch(&mut TcpStream::connect(&address).unwrap(), "/");
        assert_eq!(answer, "", "{way}");
        forward.until(|line| line.contains("nothing listens on port 81 of pod"));
        assert_eq!(forward.ended(), Some(1), "{way}");
    }
}

#[test]
fn services_and_pods_are_reached_through_the_server() {
    let Some(fleet) = Fleet::shared() else { return };
    let cluster = web(&fleet, "streams-proxy");
    let pod = cluster.ok(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    let base = "/api/v1/namespaces/streams-proxy";
    for door in [
        "services/web/proxy/a".to_owned(),
        "services/web:8080/proxy/a".to_owned(),
        format!("pods/{pod}/proxy/a"),
        format!("pods/{pod}:80/proxy/a"),
    ] {
        let said = cluster.ok(&["get", "--raw", &format!("{base}/{door}")]);
        assert!(said.ends_with("port 80: GET /a\n"), "{door}: {said}");
    }
    let refused = cluster.refused(&["get", "--raw", &format!("{base}/pods/{pod}:81/proxy/")]);
    assert!(refused.contains("nothing listens on port 81"), "{refused}");
}
