//! Sessions and forwarded ports over SPDY, as `kubectl exec` and `port-forward` open them, and the limits of a connection.

use std::time::Duration;

use apiserver::auth::User;
use expect_test::{Expect, expect};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::connect::{PODS, pod, running, uid_of, world};
use crate::spdy::{self, Client, Frame, control, data};
use crate::wire::websocket;
use crate::world::World;

async fn open(world: &World, door: &str, protocol: &str) -> Client {
    let path = format!("{PODS}/p/{door}");
    let upgrade = spdy::upgrade(world.service.clone(), "POST", &path, &[protocol]).await;
    let (client, chosen) = upgrade.ok().unwrap();
    assert!(protocol.split(", ").any(|offered| offered == chosen));
    client
}

/// Frames as they are compared: text, and the uid of the pod left out.
fn shown(frames: &[Frame], uid: &str) -> String {
    let line = |frame: &Frame| match frame {
        Frame::Data(stream, bytes) => {
            let text = String::from_utf8_lossy(bytes).replace(uid, "UID");
            format!("{stream}: {text}\n")
        }
        other => format!("{other:?}\n"),
    };
    frames.iter().map(line).collect()
}

async fn check(client: &mut Client, uid: &str, expected: &Expect) {
    expected.assert_eq(&shown(&client.rest().await, uid));
}

async fn streams(client: &mut Client, kinds: &[&str]) -> Vec<u32> {
    let mut opened = vec![];
    for kind in kinds {
        opened.push(client.stream(&[("streamtype", kind)]).await);
    }
    opened
}

#[tokio::test]
async fn sessions_have_a_stream_for_each_of_their_ends() {
    let world = world(running()).await;
    let door = "exec?command=cat&stdin=true&stdout=true&stderr=true";
    let offered = "v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io";
    let mut client = open(&world, door, offered).await;
    let all = streams(&mut client, &["error", "stdin", "stdout", "stderr"]).await;
    client.data(all[1], b"hello ", false).await;
    client.data(all[1], b"there", true).await;
    let expected = expect![[r#"
        5: hello there
        1: {"metadata":{},"status":"Success"}
        End(5)
        End(7)
        End(1)
        End(3)
        GoAway(0)
    "#]];
    check(&mut client, "UID", &expected).await;

    // Old versions only hear what went wrong, as text.
    for protocol in [
        "v4.channel.k8s.io",
        "v3.channel.k8s.io",
        "v2.channel.k8s.io",
    ] {
        let mut client = open(&world, "exec?command=exit&command=3&stderr=true", protocol).await;
        streams(&mut client, &["error", "stderr"]).await;
        let verdict = if protocol.starts_with("v4") {
            r#"{"details":{"causes":[{"message":"3","reason":"ExitCode"}]},"message":"command terminated with non-zero exit code: exit status 3","metadata":{},"reason":"NonZeroExitCode","status":"Failure"}"#
        } else {
            "command terminated with non-zero exit code: exit status 3"
        };
        let said = shown(&client.rest().await, "UID");
        let expected = format!("3: bad\n1: {verdict}\nEnd(3)\nEnd(1)\nGoAway(0)\n");
        assert_eq!(said, expected, "{protocol}");
    }

    let mut client = open(&world, "attach", "v4.channel.k8s.io").await;
    streams(&mut client, &["stdout", "error", "stderr"]).await;
    let said = shown(&client.rest().await, "UID");
    assert!(said.starts_with("1: attached\n"), "{said}");
}

#[tokio::test]
async fn terminals_have_a_size() {
    let world = world(running()).await;
    let door = "exec?command=size&stdout=true&stderr=true&tty=true";
    let mut client = open(&world, door, "v4.channel.k8s.io").await;
    let all = streams(&mut client, &["error", "stdout", "resize"]).await;
    // As it comes, in pieces.
    client.data(all[2], b"{\"Width\":80,", false).await;
    client.data(all[2], b"\"Height\":24}\n", false).await;
    let said = shown(&client.rest().await, "UID");
    assert!(said.starts_with("3: 80x24\n"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_session_needs_the_streams_that_it_asked_for() {
    let world = world(running()).await;
    let mut client = open(&world, "exec?command=cat&stdout=true", "v4.channel.k8s.io").await;
    client.stream(&[("streamtype", "error")]).await;
    // Unknown ones, ones that are not asked for, and a second one are refused.
    for kind in ["", "other", "stdin", "resize", "error"] {
        let stream = client.open(&[("streamtype", kind)]).await;
        assert_eq!(client.next().await, Some(Frame::Reset(stream, 5)), "{kind}");
    }
    let start = Instant::now();
    let mut said = client.rest().await;
    // The client may also be asked whether it is there.
    said.retain(|frame| !matches!(frame, Frame::Ping(2)));
    assert_eq!(said, [Frame::GoAway(0)]);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn protocols_are_agreed_on_or_refused() {
    let world = world(running()).await;
    let service = || world.service.clone();
    let path = format!("{PODS}/p/exec?command=cat&stdin=true");
    for (offered, expected) in [
        (
            &[][..],
            "400 unable to upgrade: the header X-Stream-Protocol-Version is missing",
        ),
        (
            &["channel.k8s.io", "v5.channel.k8s.io"],
            "403 unable to upgrade: unable to negotiate protocol: client supports [channel.k8s.io v5.channel.k8s.io], server accepts [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io]",
        ),
    ] {
        let Err(refused) = spdy::upgrade(service(), "POST", &path, offered).await else {
            panic!("was accepted: {offered:?}")
        };
        let code = refused.status().as_u16();
        let bytes = refused.into_body().collect().await.unwrap().to_bytes();
        let status: Value = serde_json::from_slice(&bytes).unwrap();
        let message = status["message"].as_str().unwrap();
        assert_eq!(format!("{code} {message}"), expected);
    }
    // What the client prefers, of several headers.
    let offered = ["v9.channel.k8s.io,v3.channel.k8s.io", "v4.channel.k8s.io"];
    let (_, chosen) = spdy::upgrade(service(), "GET", &path, &offered)
        .await
        .ok()
        .unwrap();
    assert_eq!(chosen, "v3.channel.k8s.io");
}

#[tokio::test]
async fn a_session_over_spdy_ends_with_its_pod() {
    let world = world(running()).await;
    let mut client = open(&world, "exec?command=wait&stdout=true", "v4.channel.k8s.io").await;
    streams(&mut client, &["error", "stdout"]).await;
    let pod = format!("{PODS}/p?gracePeriodSeconds=0");
    world.delete(&pod).await.ok();
    let said = shown(&client.rest().await, "UID");
    assert!(said.contains("exit status 137"), "{said}");
    // Forwarded ports just end.
    crate::connect::pod(&world, "p", &["c"], running()).await;
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    world.delete(&pod).await.ok();
    assert_eq!(client.rest().await, [Frame::GoAway(0)]);
}

#[tokio::test]
async fn who_may_only_read_opens_no_streams() {
    let world = world(running()).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"], "verbs": ["get"]}],
    });
    world.post(&format!("{rbac}/clusterroles"), role).await.ok();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}],
    });
    world
        .post(&format!("{rbac}/clusterrolebindings"), binding)
        .await
        .ok();
    let reader = world.seen_by(User::authenticated("reader", []));
    for (method, door) in [
        ("GET", "exec?command=cat&stdin=1"),
        ("POST", "exec?command=cat&stdin=1"),
        ("GET", "attach"),
        ("GET", "portforward"),
    ] {
        let path = format!("{PODS}/p/{door}");
        let offered = ["v4.channel.k8s.io", "portforward.k8s.io"];
        let upgrade = spdy::upgrade(reader.service.clone(), method, &path, &offered).await;
        let Err(refused) = upgrade else {
            panic!("{method} {door} was accepted")
        };
        assert_eq!(refused.status(), 403, "{method} {door}");
    }
}

/// Both streams of a connection with a port.
async fn connect(client: &mut Client, port: &str, request: &str) -> (u32, u32) {
    let error = [
        ("streamtype", "error"),
        ("port", port),
        ("requestid", request),
    ];
    let error = client.stream(&error).await;
    let data = [
        ("streamtype", "data"),
        ("port", port),
        ("requestid", request),
    ];
    (error, client.stream(&data).await)
}

#[tokio::test]
async fn ports_are_forwarded_two_streams_each() {
    let world = world(running()).await;
    let uid = uid_of(&world).await;
    let tunnel = async || {
        let path = format!("{PODS}/p/portforward");
        let name = "SPDY/3.1+portforward.k8s.io";
        let offered = [("sec-websocket-protocol", name)];
        let (socket, response) = websocket(world.service.clone(), &path, &offered)
            .await
            .unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], name);
        Client::in_tunnel(socket)
    };
    let plain = open(&world, "portforward", "portforward.k8s.io").await;
    for mut client in [plain, tunnel().await] {
        let (error, ping) = connect(&mut client, "80", "0").await;
        client.data(error, b"", true).await;
        client.data(ping, b"ping", false).await;
        assert_eq!(
            client.next().await,
            Some(Frame::Data(ping, "you said ping".into()))
        );
        assert_eq!(client.next().await, Some(Frame::End(ping)));
        assert_eq!(client.next().await, Some(Frame::End(error)));
        // Another on the same connection, of a client that numbers no requests, and one that fails.
        let headers = |kind| [("streamtype", kind), ("port", "80")];
        let error = client.stream(&headers("error")).await;
        let pong = client.stream(&headers("data")).await;
        client.data(pong, b"pong", true).await;
        assert_eq!(
            client.next().await,
            Some(Frame::Data(pong, "you said pong".into()))
        );
        assert_eq!(client.next().await, Some(Frame::End(pong)));
        assert_eq!(client.next().await, Some(Frame::End(error)));
        connect(&mut client, "1", "1").await;
        let mut said = vec![];
        for _ in 0..3 {
            said.extend(client.next().await);
        }
        expect![[r#"
            9: error forwarding port 1 to pod p, uid UID: Internal error occurred: nobody is there
            End(9)
            Reset(11, 5)
        "#]]
        .assert_eq(&shown(&said, &uid));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_for_ports_say_what_they_are_for() {
    let world = world(running()).await;
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    for headers in [
        &[("streamtype", "error")][..],
        &[("streamtype", "error"), ("port", "0")],
        &[("streamtype", "error"), ("port", "65536")],
        &[("streamtype", "error"), ("port", "-1")],
        &[("port", "80")],
        &[("streamtype", "other"), ("port", "80")],
    ] {
        let stream = client.open(headers).await;
        assert_eq!(client.next().await, Some(Frame::Reset(stream, 5)));
    }
    // A half without the other, twice, and one that is there already.
    let headers = |kind, request| [("streamtype", kind), ("port", "80"), ("requestid", request)];
    let error = client.stream(&headers("error", "a")).await;
    let alone = client.stream(&headers("data", "b")).await;
    let twice = client.open(&headers("error", "a")).await;
    assert_eq!(client.next().await, Some(Frame::Reset(twice, 5)));
    // Nor does one for another port belong to it.
    let other = [("streamtype", "data"), ("port", "81"), ("requestid", "a")];
    let other = client.open(&other).await;
    assert_eq!(client.next().await, Some(Frame::Reset(other, 5)));
    let start = Instant::now();
    let mut said = vec![];
    while said.len() < 3 {
        // The client may also be asked whether it is there.
        let frame = client.next().await;
        said.extend(frame.filter(|frame| !matches!(frame, Frame::Ping(2))));
    }
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    let why = "request a: timed out waiting for streams";
    assert_eq!(
        said,
        [
            Frame::Data(error, why.into()),
            Frame::End(error),
            Frame::Reset(alone, 5)
        ]
    );
}

#[tokio::test]
async fn much_goes_through_a_port_both_ways() {
    const LENGTH: usize = 2 << 20;
    let world = world(running()).await;
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    let (_, echo) = connect(&mut client, "7", "0").await;
    let block = vec![b'x'; 32 * 1024];
    let (mut sent, mut heard, mut is_over) = (0, 0, false);
    while !is_over {
        // Never more on its way than the server takes without being read.
        while sent < LENGTH && sent - heard < 2 * block.len() {
            sent += block.len();
            assert!(client.data(echo, &block, sent == LENGTH).await);
        }
        match client.next().await {
            Some(Frame::Data(stream, bytes)) if stream == echo => heard += bytes.len(),
            Some(Frame::End(stream)) if stream == echo => is_over = true,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, LENGTH);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_not_read() {
    let world = world(running()).await;
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    let (_, stuck) = connect(&mut client, "2", "0").await;
    let frame = data(stuck, &vec![b'x'; 16 * 1024], false);
    let mut taken = 0;
    while let Ok(is_open) = timeout(Duration::from_secs(1), client.send(&frame)).await {
        assert!(is_open);
        taken += frame.len();
        assert!(taken < 1 << 20, "{taken} bytes wait");
    }
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_no_more() {
    let world = world(running()).await;
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    let request = |at: usize| at.to_string();
    let mut all = vec![];
    for at in 0..128 {
        all.push(connect(&mut client, "2", &request(at)).await);
    }
    let headers = [("streamtype", "error"), ("port", "80"), ("requestid", "x")];
    let refused = client.open(&headers).await;
    assert_eq!(client.next().await, Some(Frame::Reset(refused, 3)));
    // The place of those that the client gives up is free again, which the answers to what it sends show in order.
    let (error, stuck) = all[0];
    client
        .send(&control(
            3,
            &[stuck.to_be_bytes(), 5u32.to_be_bytes()].concat(),
        ))
        .await;
    assert_eq!(client.next().await, Some(Frame::End(error)));
    client.stream(&headers).await;
}

#[tokio::test(start_paused = true)]
async fn nonsense_ends_the_connection() {
    let world = world(running()).await;
    let headers = [("streamtype", "error"), ("port", "80")];
    let mut openings = vec![];
    for stream in [2, 0] {
        let mut client = open(&world, "portforward", "portforward.k8s.io").await;
        openings.push(client.opening(stream, &headers));
    }
    for bytes in [
        openings[0].clone(),
        openings[1].clone(),
        data(0, b"x", false),
        control(1, b"short"),
        [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff].to_vec(),
    ] {
        let mut client = open(&world, "portforward", "portforward.k8s.io").await;
        client.send(&bytes).await;
        client.shut().await;
        assert_eq!(client.rest().await, [Frame::GoAway(1)]);
    }
    // A number that was there before is a mistake of that stream alone; one that is gone is nobody's.
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    client.stream(&headers).await;
    let again = client.opening(1, &headers);
    client.send(&again).await;
    assert_eq!(client.next().await, Some(Frame::Reset(1, 1)));
    client.data(99, b"x", true).await;
    client.send(&control(6, &[0, 0, 0, 5])).await;
    assert_eq!(client.next().await, Some(Frame::Ping(5)));
    client.send(&control(7, &[0; 8])).await;
    client.shut().await;
    assert_eq!(client.rest().await, [Frame::GoAway(0)]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_and_at_last_left() {
    let world = world(running()).await;
    let mut client = open(&world, "portforward", "portforward.k8s.io").await;
    let start = Instant::now();
    assert_eq!(client.next().await, Some(Frame::Ping(2)));
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    client.send(&control(6, &[0, 0, 0, 2])).await;
    let heard = Instant::now();
    let said = client.rest().await;
    assert_eq!(heard.elapsed().as_secs() / 60, 4 * 60);
    assert_eq!(said.last(), Some(&Frame::GoAway(0)));
    assert!(
        said[..said.len() - 1]
            .iter()
            .all(|frame| matches!(frame, Frame::Ping(_)))
    );
}

#[tokio::test]
async fn only_running_pods_have_streams() {
    let world = world(running()).await;
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    pod(&world, "q", &["c"], waiting).await;
    let path = format!("{PODS}/q/exec?command=cat&stdin=1");
    let offered = ["v4.channel.k8s.io"];
    let Err(refused) = spdy::upgrade(world.service.clone(), "POST", &path, &offered).await else {
        panic!("was accepted")
    };
    assert_eq!(refused.status(), 400);
}
