//! Logs, sessions, forwarded ports and proxied requests, with a runner that does what its test says.

use std::sync::Arc;

use apiserver::auth::User;
use apiserver::runner::{
    LogOptions, LogStream, Output, PodRunner, ProxyRequest, Session, SessionOptions,
};
use apiserver::status::Status;
use async_trait::async_trait;
use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, protocol::Message};

use crate::wire::websocket;
use crate::world::World;

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// Tells what it was asked; `cat` answers with its input, `exit 3` with 3, `wait` never, and `talk` says too much. Nobody is at port 1, port 2 takes
/// nothing, port 7 says what it is told, and any other what its first four bytes were.
pub(crate) struct Scripted;

#[async_trait]
impl PodRunner for Scripted {
    async fn log(&self, pod: &Value, options: &LogOptions) -> Result<LogStream, Status> {
        let said = Bytes::from(format!("{} {options:?}\n", pod["metadata"]["name"]));
        let said = futures::stream::iter([said]);
        Ok(if options.follow {
            said.chain(futures::stream::pending()).boxed()
        } else {
            said.boxed()
        })
    }

    async fn exec(
        &self,
        _: &Value,
        options: &SessionOptions,
        mut session: Session,
    ) -> Result<i32, Status> {
        match options.command[0].as_str() {
            "cat" => {
                while let Some(bytes) = session.stdin.recv().await {
                    session.output.send(Output::Stdout(bytes)).await.unwrap();
                }
                Ok(0)
            }
            "exit" => {
                let complaint = Output::Stderr("bad".into());
                session.output.send(complaint).await.unwrap();
                Ok(options.command[1].parse().unwrap())
            }
            "size" => {
                let size = session.resize.recv().await.unwrap();
                let said = format!("{}x{}", size.width, size.height);
                session
                    .output
                    .send(Output::Stdout(said.into()))
                    .await
                    .unwrap();
                Ok(0)
            }
            "wait" => std::future::pending().await,
            "talk" => {
                let said = Bytes::from(vec![b'x'; 16 * 1024]);
                while let Ok(()) = session.output.send(Output::Stdout(said.clone())).await {}
                Ok(0)
            }
            _ => Err(Status::internal("no such program")),
        }
    }

    async fn attach(&self, _: &Value, _: &SessionOptions, session: Session) -> Result<i32, Status> {
        session
            .output
            .send(Output::Stdout("attached".into()))
            .await
            .unwrap();
        Ok(0)
    }

    async fn port_forward(
        &self,
        _: &Value,
        port: u16,
        mut stream: DuplexStream,
    ) -> Result<(), Status> {
        if port == 1 {
            return Err(Status::internal("nobody is there"));
        }
        if port == 2 {
            return std::future::pending().await;
        }
        if port == 7 {
            let (mut read, mut write) = tokio::io::split(stream);
            tokio::io::copy(&mut read, &mut write).await.ok();
            return Ok(());
        }
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.unwrap();
        stream
            .write_all(&[b"you said ", &asked[..]].concat())
            .await
            .unwrap();
        Ok(())
    }

    async fn proxy(&self, request: ProxyRequest) -> Result<http::Response<Bytes>, Status> {
        assert!(!request.headers.contains_key("authorization"));
        let said = format!(
            "{:?} {} tls={} port={:?} {} {} {:?}",
            request.target,
            request.object["metadata"]["name"],
            request.is_tls,
            request.port,
            request.method,
            request.path,
            request.body,
        );
        Ok(http::Response::builder()
            .status(418)
            .body(said.into())
            .unwrap())
    }
}

pub(crate) async fn world(state: Value) -> World {
    let world = World::new().await;
    world.cluster.run_pods(Arc::new(Scripted));
    pod(&world, "p", &["c"], state).await;
    world
}

pub(crate) async fn pod(world: &World, name: &str, containers: &[&str], state: Value) {
    let specs: Vec<Value> = containers
        .iter()
        .map(|c| json!({"name": c, "image": "i"}))
        .collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": specs, "nodeName": "n", "automountServiceAccountToken": false},
    });
    world
        .post(
            "/api/v1/namespaces/default/serviceaccounts",
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
            }),
        )
        .await;
    world.post(PODS, pod).await.ok();
    let statuses: Vec<Value> = containers
        .iter()
        .map(|c| json!({"name": c, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state}))
        .collect();
    let status = json!({"status": {"phase": "Running", "containerStatuses": statuses}});
    world
        .merge(&format!("{PODS}/{name}/status"), status)
        .await
        .ok();
}

pub(crate) fn running() -> Value {
    json!({"running": {"startedAt": "2026-04-22T11:00:00Z"}})
}

pub(crate) async fn uid_of(world: &World) -> String {
    let pod = world.get(&format!("{PODS}/p")).await.ok();
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

async fn check_log(world: &World, query: &str, expected: Expect) {
    let answer = world.get(&format!("{PODS}/p/log?{query}")).await;
    let shown = match &answer.body {
        Value::String(text) => format!("{} {text}", answer.code),
        status => format!(
            "{} {}\n",
            answer.code,
            status["message"].as_str().unwrap_or_default()
        ),
    };
    expected.assert_eq(&shown);
}

#[tokio::test(start_paused = true)]
async fn logs_have_their_parameters() {
    let world = world(running()).await;
    check_log(
        &world,
        "tailLines=3&limitBytes=100&timestamps=true&sinceSeconds=60",
        expect![[r#"
            200 "p" LogOptions { container: "c", follow: false, previous: false, since: Some(2026-04-22T11:59:00Z), timestamps: true, tail_lines: Some(3), limit_bytes: Some(100), stream: All }
        "#]],
    )
    .await;
    check_log(
        &world,
        "container=d",
        expect![[r#"
        400 container d is not valid for pod p
    "#]],
    )
    .await;
    check_log(
        &world,
        "previous=true",
        expect![[r#"
        400 previous terminated container "c" in pod "p" not found
    "#]],
    )
    .await;
    check_log(&world, "tailLines=-1&limitBytes=0", expect![[r#"
        422 PodLogOptions "p" is invalid: [tailLines: Invalid value: -1: must be greater than or equal to 0, limitBytes: Invalid value: 0: must be greater than 0]
    "#]]).await;
    check_log(&world, "stream=Neither", expect![[r#"
        422 PodLogOptions "p" is invalid: stream: Unsupported value: "Neither": supported values: "All", "Stderr", "Stdout"
    "#]]).await;
    check_log(
        &world,
        "tailLines=x",
        expect![[r#"
        400 invalid value "x" of query parameter tailLines: it must be a whole number
    "#]],
    )
    .await;
    pod(&world, "q", &["a", "b"], running()).await;
    assert_eq!(
        world.get(&format!("{PODS}/q/log")).await.refused(),
        "400 BadRequest: a container name must be specified for pod q, choose one of: [a b]"
    );
    assert_eq!(world.get(&format!("{PODS}/absent/log")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_waits_has_no_log() {
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    let world = world(waiting).await;
    check_log(
        &world,
        "",
        expect![[r#"
        400 container "c" in pod "p" is waiting to start: ContainerCreating
    "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_ends_with_its_container() {
    let world = world(running()).await;
    let path = format!("{PODS}/p/log?follow=true");
    let log = world.get(&path);
    let end = async {
        let ended = json!({"terminated": {"exitCode": 0, "startedAt": "2026-04-22T11:00:00Z", "finishedAt": "2026-04-22T12:00:00Z"}});
        let status = json!({"status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": ended}]}});
        world.merge(&format!("{PODS}/p/status"), status).await.ok();
    };
    let (log, ()) = tokio::join!(log, end);
    assert_eq!(log.code, 200);
    assert!(log.body.as_str().unwrap().starts_with("\"p\" LogOptions"));
}

#[tokio::test(start_paused = true)]
async fn without_a_runner_there_is_a_clean_refusal() {
    let world = World::new().await;
    pod(&world, "p", &["c"], running()).await;
    for path in ["log", "proxy/x"] {
        let answer = world.get(&format!("{PODS}/p/{path}")).await;
        assert!(
            answer.refused().starts_with("503 ServiceUnavailable"),
            "{path}"
        );
    }
    // Even with one, a session needs a WebSocket.
    world.cluster.run_pods(Arc::new(Scripted));
    let answer = world
        .get(&format!("{PODS}/p/exec?command=cat&stdin=1"))
        .await;
    expect!["400 BadRequest: you must request an upgrade to a WebSocket or to SPDY/3.1"]
        .assert_eq(&answer.refused());
    let spdy = format!("{PODS}/p/exec?command=cat&stdin=1");
    assert_eq!(world.post(&spdy, json!({})).await.code, 400);
    let answer = world
        .get(&format!("{PODS}/p/exec?command=cat&stdin=1&dryRun=All"))
        .await;
    assert_eq!(answer.refused(), "400 BadRequest: dryRun is not supported");
}

type Client = WebSocketStream<DuplexStream>;

async fn open(world: &World, path: &str, protocol: &str) -> Client {
    let path = format!("{PODS}/p/{path}");
    let offered = [("sec-websocket-protocol", protocol)];
    let (socket, response) = websocket(world.service.clone(), &path, &offered)
        .await
        .unwrap();
    let chosen = response.headers()["sec-websocket-protocol"]
        .to_str()
        .unwrap();
    assert!(protocol.split(", ").any(|offered| offered == chosen));
    socket
}

/// All messages until the end, which must be in order: channel and text.
async fn rest(socket: &mut Client) -> Vec<(u8, String)> {
    let mut all = vec![];
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) => {
                all.push((bytes[0], String::from_utf8_lossy(&bytes[1..]).into_owned()));
            }
            Message::Close(end) => code = end.map(|end| u16::from(end.code)),
            _ => {}
        }
    }
    assert_eq!(code, Some(1000), "after {all:?}");
    all
}

async fn send(socket: &mut Client, channel: u8, content: &[u8]) {
    let message = [&[channel], content].concat();
    socket.send(Message::Binary(message.into())).await.unwrap();
}

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

#[tokio::test]
async fn sessions_carry_input_output_and_how_it_ended() {
    let world = world(running()).await;
    let mut socket = open(
        &world,
        "exec?command=cat&stdin=true&stdout=true",
        "v5.channel.k8s.io, v4.channel.k8s.io",
    )
    .await;
    send(&mut socket, 0, b"hello ").await;
    send(&mut socket, 0, b"there").await;
    // Version 5: the end of the input.
    send(&mut socket, 255, &[0]).await;
    let said = rest(&mut socket).await;
    let text: String = said
        .iter()
        .filter(|(channel, _)| *channel == 1)
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(text, "hello there");
    assert_eq!(said.last().unwrap(), &(3, SUCCESS.to_owned()));

    let mut socket = open(
        &world,
        "exec?command=exit&command=3&stderr=true",
        "v4.channel.k8s.io",
    )
    .await;
    let said = rest(&mut socket).await;
    expect![[r#"
        [
            (
                1,
                "",
            ),
            (
                2,
                "bad",
            ),
            (
                3,
                "{\"details\":{\"causes\":[{\"message\":\"3\",\"reason\":\"ExitCode\"}]},\"message\":\"command terminated with non-zero exit code: exit status 3\",\"metadata\":{},\"reason\":\"NonZeroExitCode\",\"status\":\"Failure\"}",
            ),
        ]
    "#]]
    .assert_debug_eq(&said);

    let mut socket = open(
        &world,
        "exec?command=size&stdout=true&tty=true",
        "v5.channel.k8s.io",
    )
    .await;
    send(&mut socket, 4, br#"{"Width":80,"Height":24}"#).await;
    assert!(rest(&mut socket).await.contains(&(1, "80x24".to_owned())));

    let mut socket = open(
        &world,
        "exec?command=nothing&stdout=true",
        "v5.channel.k8s.io",
    )
    .await;
    let said = rest(&mut socket).await;
    let verdict: Value = serde_json::from_str(&said.last().unwrap().1).unwrap();
    assert_eq!(
        (&verdict["code"], &verdict["reason"]),
        (&json!(500), &json!("InternalError"))
    );

    let mut socket = open(&world, "attach", "v5.channel.k8s.io").await;
    assert!(
        rest(&mut socket)
            .await
            .contains(&(1, "attached".to_owned()))
    );
}

#[tokio::test]
async fn much_input_does_not_stop_the_output() {
    let world = world(running()).await;
    let mut socket = open(
        &world,
        "exec?command=cat&stdin=true&stdout=true",
        "v5.channel.k8s.io",
    )
    .await;
    let block = vec![b'x'; 32 * 1024];
    let (mut to, mut from) = (&mut socket).split();
    let write = async {
        for _ in 0..64 {
            let message = [&[0][..], &block].concat();
            to.send(Message::Binary(message.into())).await.unwrap();
        }
        to.send(Message::Binary(vec![255, 0].into())).await.unwrap();
    };
    let read = async {
        let mut length = 0;
        while let Some(Ok(message)) = from.next().await {
            match message {
                Message::Binary(bytes) if bytes[0] == 1 => length += bytes.len() - 1,
                Message::Binary(bytes) if bytes[0] == 3 => break,
                _ => {}
            }
        }
        length
    };
    let ((), length) = tokio::join!(write, read);
    assert_eq!(length, 64 * block.len());
}

#[tokio::test]
async fn a_session_ends_with_its_pod() {
    let world = world(running()).await;
    let mut socket = open(&world, "exec?command=wait&stdout=true", "v5.channel.k8s.io").await;
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Binary(vec![1].into())
    );
    world
        .delete(&format!("{PODS}/p?gracePeriodSeconds=0"))
        .await
        .ok();
    let said = rest(&mut socket).await;
    let [(3, verdict)] = said.as_slice() else {
        panic!("{said:?}")
    };
    assert!(verdict.contains("exit status 137"), "{verdict}");
}

#[tokio::test]
async fn who_may_only_read_opens_no_session() {
    let world = world(running()).await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"], "verbs": ["get"]}],
    });
    world
        .post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
        .await
        .ok();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}],
    });
    world
        .post(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            binding,
        )
        .await
        .ok();
    let reader = world.seen_by(User::authenticated("reader", []));
    for door in ["exec?command=cat&stdin=1", "attach", "portforward?ports=80"] {
        let path = format!("{PODS}/p/{door}");
        let offered = [("sec-websocket-protocol", "v4.channel.k8s.io")];
        match websocket(reader.service.clone(), &path, &offered).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403, "{door}"),
            other => panic!("{door}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn ports_are_forwarded_two_channels_each() {
    let world = world(running()).await;
    let mut socket = open(&world, "portforward?ports=80,1", "v4.channel.k8s.io").await;
    send(&mut socket, 0, b"ping").await;
    let mut said = rest(&mut socket).await;
    said.sort();
    let uid = uid_of(&world).await;
    let failure = format!(
        "error forwarding port 1 to pod p, uid {uid}: Internal error occurred: nobody is there"
    );
    let port = |number: u16| String::from_utf8_lossy(&number.to_le_bytes()).into_owned();
    assert_eq!(
        said,
        [
            (0, port(80)),
            (0, "you said ping".to_owned()),
            (1, port(80)),
            (2, port(1)),
            (3, port(1)),
            (3, failure),
        ]
    );
}

#[tokio::test]
async fn old_clients_speak_text_or_hear_only_what_went_wrong() {
    let world = world(running()).await;
    let texts = async |path: &str, protocol: &str, typed: &str| {
        let mut socket = open(&world, path, protocol).await;
        if !typed.is_empty() {
            socket.send(Message::Text(typed.into())).await.unwrap();
        }
        let mut said = vec![];
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                said.push(text.to_string());
            }
        }
        said
    };
    let ended = "exec?command=exit&command=3&stderr=true";
    // "bad", and "command terminated with non-zero exit code: exit status 3".
    let said = texts(ended, "base64.channel.k8s.io", "").await;
    assert_eq!(said[..2], ["1", "2YmFk"]);
    assert!(said[2].starts_with("3Y29tbWFuZCB0ZXJtaW5hdGVk"), "{said:?}");
    // And as a Status, "{"deta…".
    let said = texts(ended, "v4.base64.channel.k8s.io", "").await;
    assert!(said[2].starts_with("3eyJkZXRh"), "{said:?}");
    // "ping", and "you said ping" after the port's number.
    let said = texts(
        "portforward?ports=80",
        "v4.base64.channel.k8s.io",
        "0cGluZw==",
    )
    .await;
    assert_eq!(said, ["0UAA=", "1UAA=", "0eW91IHNhaWQgcGluZw=="]);
    let mut socket = open(&world, ended, "channel.k8s.io").await;
    let complaint = "command terminated with non-zero exit code: exit status 3";
    assert_eq!(
        rest(&mut socket).await.last(),
        Some(&(3, complaint.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn proxied_requests_are_handed_on_as_they_came() {
    let world = world(running()).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    world
        .post("/api/v1/namespaces/default/services", service)
        .await
        .ok();
    let path = "/api/v1/namespaces/default/services/https:web:http/proxy/a%20b//c/?q=1";
    let answer = world.send(Method::PUT, path, "text/plain", "body").await;
    assert_eq!(answer.code, 418);
    expect![[r#"Service "web" tls=true port="http" PUT /a%20b//c/?q=1 b"body""#]]
        .assert_eq(answer.body.as_str().unwrap());
    let answer = world.get(&format!("{PODS}/p:8080/proxy")).await;
    expect![[r#"Pod "p" tls=false port="8080" GET / b"""#]]
        .assert_eq(answer.body.as_str().unwrap());
    assert_eq!(world.get(&format!("{PODS}/a:b:c:d/proxy")).await.code, 400);
}
