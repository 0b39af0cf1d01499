//! Sessions and forwarded ports whose client or process does not take what it is sent, or is gone: what they hold meanwhile, and
//! when they end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::connect::{PODS, running, world};
use crate::spdy::{self, Client, data};
use crate::wire::websocket;
use crate::world::World;

type Socket = WebSocketStream<DuplexStream>;

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Nearly the longest message.
const LONG: usize = 250 * 1024;

async fn open(world: &World, door: &str, protocol: &str) -> Socket {
    let path = format!("{PODS}/p/{door}");
    let offered = [("sec-websocket-protocol", protocol)];
    let opened = websocket(world.service.clone(), &path, &offered).await;
    opened.unwrap().0
}

async fn open_spdy(world: &World, door: &str, protocol: &str) -> Client {
    let path = format!("{PODS}/p/{door}");
    let opened = spdy::upgrade(world.service.clone(), "POST", &path, &[protocol]).await;
    opened.ok().unwrap().0
}

/// Opens a session of a program that says more than its client reads, or takes less than it is told.
async fn session(world: &World, program: &str) -> (Socket, Client) {
    let door = format!("exec?command={program}&stdin=true&stdout=true");
    let socket = open(world, &door, "v5.channel.k8s.io").await;
    let mut client = open_spdy(world, &door, "v4.channel.k8s.io").await;
    for kind in ["error", "stdin", "stdout"] {
        client.stream(&[("streamtype", kind)]).await;
    }
    (socket, client)
}

/// Lets time pass.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// How many sessions, ports, logs and watches the server carries.
async fn carried(world: &World) -> usize {
    let metrics = world.get("/metrics").await.ok();
    let lines = metrics.as_str().unwrap().lines();
    lines
        .filter(|line| line.starts_with("apiserver_longrunning_requests{"))
        .map(|line| {
            let (_, count) = line.rsplit_once(' ').unwrap();
            count.parse::<usize>().unwrap()
        })
        .sum()
}

/// Whether the server takes the message; time passes only while nothing happens.
async fn takes(socket: &mut Socket, message: Vec<u8>) -> bool {
    let sent = timeout(
        Duration::from_secs(1),
        socket.send(Message::Binary(message.into())),
    );
    sent.await.map(Result::unwrap).is_ok()
}

/// Connects with so many ports that take nothing, by messages of a tunnel; the streams for data.
async fn stuck_ports(socket: &mut Socket, count: usize) -> Vec<u32> {
    // Only says how streams are opened.
    let mut client = Client::new(tokio::io::empty());
    let mut streams = vec![];
    for at in 0..count {
        let request = at.to_string();
        let error = u32::try_from(4 * at + 1).unwrap();
        for (stream, kind) in [(error, "error"), (error + 2, "data")] {
            let headers = [("streamtype", kind), ("port", "2"), ("requestid", &request)];
            assert!(takes(socket, client.opening(stream, &headers)).await);
        }
        streams.push(error + 2);
    }
    streams
}

#[tokio::test(start_paused = true)]
async fn a_long_message_of_a_tunnel_waits_in_pieces() {
    let world = world(running()).await;
    let mut socket = open(&world, "portforward", TUNNEL).await;
    let stream = stuck_ports(&mut socket, 1).await[0];
    let message = data(stream, &vec![b'x'; LONG], false);
    let mut taken = 0;
    while takes(&mut socket, message.clone()).await {
        taken += LONG;
        assert!(taken < 1 << 20, "{taken} bytes wait");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_many_streams_is_bounded() {
    let world = world(running()).await;
    let mut socket = open(&world, "portforward", TUNNEL).await;
    let mut taken = 0;
    for stream in stuck_ports(&mut socket, 128).await {
        let message = data(stream, &vec![b'x'; 60 * 1024], false);
        if !takes(&mut socket, message).await {
            return;
        }
        taken += 60 * 1024;
        assert!(taken < 3 << 20, "{taken} bytes wait");
    }
    panic!("a client may have more streams than that");
}

#[tokio::test(start_paused = true)]
async fn input_that_no_process_takes_is_not_read() {
    let world = world(running()).await;
    let mut socket = open(&world, "exec?command=wait&stdin=true", "v5.channel.k8s.io").await;
    let mut taken = 0;
    while takes(&mut socket, vec![0; LONG]).await {
        taken += LONG;
        assert!(taken < 1 << 20, "{taken} bytes wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_keeps_no_session_alive() {
    let world = world(running()).await;
    let sessions = session(&world, "talk").await;
    let watch = open(&world, "log?follow=true", "binary.k8s.io").await;
    pass(1).await;
    assert_eq!(carried(&world).await, 3);
    let pod = format!("{PODS}/p?gracePeriodSeconds=0");
    world.delete(&pod).await.ok();
    // They have some time for what was said last.
    pass(50).await;
    assert_eq!(carried(&world).await, 2);
    pass(11).await;
    assert_eq!(carried(&world).await, 0);
    drop((sessions, watch));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_keeps_no_cluster_alive() {
    let world = world(running()).await;
    let sessions = session(&world, "talk").await;
    // More than is on its way without being read.
    for name in ["a", "b", "c"] {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"k": "x".repeat(200_000)},
        });
        world
            .post("/api/v1/namespaces/default/configmaps", map)
            .await
            .ok();
    }
    let path = "/api/v1/namespaces/default/configmaps?watch=1";
    let watch = websocket(world.service.clone(), path, &[]).await.unwrap();
    pass(1).await;
    assert_eq!(carried(&world).await, 3);
    world.server.drop_cluster("test").await.unwrap();
    let cluster = Arc::downgrade(&world.cluster);
    drop(world);
    pass(61).await;
    assert_eq!(cluster.strong_count(), 0);
    drop((sessions, watch));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_noticed_while_its_input_waits() {
    let world = world(running()).await;
    let (mut socket, mut client) = session(&world, "wait").await;
    let mut ports = open(&world, "portforward?ports=2", "v4.channel.k8s.io").await;
    for socket in [&mut socket, &mut ports] {
        while takes(socket, vec![0; LONG]).await {}
    }
    let piece = data(3, &vec![b'x'; 16 * 1024], false);
    while let Ok(is_open) = timeout(Duration::from_secs(1), client.send(&piece)).await {
        assert!(is_open);
    }
    assert_eq!(carried(&world).await, 3);
    drop((socket, client, ports));
    pass(31).await;
    assert_eq!(carried(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn clients_of_websockets_are_asked_whether_they_are_there() {
    let world = world(running()).await;
    let (session, _client) = session(&world, "wait").await;
    let ports = open(&world, "portforward?ports=2", "v4.channel.k8s.io").await;
    let log = open(&world, "log?follow=true", "binary.k8s.io").await;
    for mut socket in [session, ports, log] {
        let mut asked = 0;
        while asked < 2 {
            let heard = timeout(Duration::from_secs(31), socket.next()).await;
            let message = heard.unwrap().unwrap().unwrap();
            asked += usize::from(message == Message::Ping(Bytes::new()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_has_so_many_sessions_and_no_more() {
    let world = world(running()).await;
    let mut sessions = vec![];
    for _ in 0..250 {
        sessions.push(open(&world, "exec?command=wait&stdin=true", "v5.channel.k8s.io").await);
        sessions.push(open(&world, "portforward", TUNNEL).await);
    }
    for (door, protocol) in [("attach", "v5.channel.k8s.io"), ("portforward", TUNNEL)] {
        let path = format!("{PODS}/p/{door}");
        let offered = [("sec-websocket-protocol", protocol)];
        match websocket(world.service.clone(), &path, &offered).await {
            Err(tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), 429, "{door}");
                assert_eq!(response.headers()["retry-after"], "10", "{door}");
            }
            other => panic!("{door}: {other:?}"),
        }
    }
    // Logs and watches need no such place, and a session that ends leaves its own.
    world.watch(&format!("{PODS}?watch=1")).await;
    sessions.pop();
    pass(1).await;
    open(&world, "portforward", TUNNEL).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_session_is_asked_and_told_at_once_is_bounded() {
    let world = world(running()).await;
    for (count, code) in [(16, 101), (17, 400)] {
        let door = format!("portforward?{}", "&ports=80".repeat(count));
        let path = format!("{PODS}/p/{door}");
        let offered = [("sec-websocket-protocol", "v4.channel.k8s.io")];
        let answered = match websocket(world.service.clone(), &path, &offered).await {
            Ok((_, response)) => response.status(),
            Err(tungstenite::Error::Http(response)) => response.status(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(answered, code, "{count} ports");
    }
    let mut socket = open(&world, "exec?command=wait&stdin=true", "v5.channel.k8s.io").await;
    assert!(takes(&mut socket, vec![0; 256 * 1024]).await);
    pass(1).await;
    assert_eq!(carried(&world).await, 1);
    // How much of it gets through is up to the transport.
    let long = Message::Binary(vec![0; 256 * 1024 + 1].into());
    let _sent = socket.send(long).await;
    pass(1).await;
    assert_eq!(carried(&world).await, 0);
}
