//! Sessions in containers and forwarded ports, over WebSocket: each message begins with the number of its channel.

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::{Connection, is_over, options};
use crate::registry::Target;
use crate::rest::respond::Body;
use crate::rest::websocket::{self, Socket};
use crate::runner::{Output, Session, SessionOptions, TerminalSize};
use crate::status::Status;

/// Versions of the protocol, the best first.
const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// The client has ended the channel that the next byte names; from version 5 on.
const CLOSE: u8 = 255;

/// Messages that wait between the client and the container.
const QUEUE: usize = 16;
/// Ports of one request.
const MAX_PORTS: usize = 16;
/// Bytes that wait between the client and a port.
const PORT_BUFFER: usize = 64 * 1024;

type Sink = SplitSink<Socket, Message>;
type Source = SplitStream<Socket>;

impl Connection<'_> {
    fn protocol(&self, known: &[&'static str]) -> Result<&'static str, Status> {
        let offered = websocket::protocols(&self.request.headers);
        let mut known_ones = known.iter();
        known_ones
            .find(|known| offered.contains(known))
            .copied()
            .ok_or_else(|| {
                Status::bad_request(format!(
                    "none of the subprotocols is known: {} are",
                    known.join(", ")
                ))
            })
    }

    /// Runs or attaches to a process.
    pub(super) async fn session(&self) -> Result<Response<Body>, Status> {
        let pod = self.object().await?;
        let is_exec = self.target.subresource == "exec";
        let options = options::session(&self.request.query, &pod, is_exec)?;
        self.check_upgrade()?;
        let runner = self.runner()?;
        options::check_running(&pod, &options.container)?;
        let protocol = self.protocol(&[V5, V4])?;
        let place = self.cluster.watch_place()?;
        let over = self.end(&pod, &options.container);
        let (response, socket) = websocket::accept(
            &self.request.headers,
            self.request.take_upgrade(),
            Some(protocol),
        )?;
        tokio::spawn(async move {
            let _place = place;
            let Some(socket) = socket.await else { return };
            let (ends, session) = ends(&options);
            let (sink, source) = socket.split();
            let shown = options.clone();
            // In a task of its own, because it may wait for what this one carries; it ends with the set.
            let mut process = JoinSet::new();
            process.spawn(async move {
                if is_exec {
                    runner.exec(&pod, &options, session).await
                } else {
                    runner.attach(&pod, &options, session).await
                }
            });
            let has_close = protocol == V5;
            tokio::select! {
                () = talk((sink, source), ends, &shown, has_close, process) => {}
                () = over => {}
            }
        });
        Ok(response)
    }

    /// Connects with ports of a pod: two channels each, for data and for errors.
    pub(super) async fn port_forward(&self) -> Result<Response<Body>, Status> {
        let pod = self.object().await?;
        let query = &self.request.query;
        let ports: Result<Vec<u16>, Status> = query
            .all("ports")
            .flat_map(|ports| ports.split(','))
            .filter(|port| !port.is_empty())
            .map(|port| {
                port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    Status::bad_request(format!(
                        "invalid port {port:?}: it must be a number from 1 to 65535"
                    ))
                })
            })
            .collect();
        let ports = ports?;
        self.check_upgrade()?;
        let runner = self.runner()?;
        options::check_running(&pod, "")?;
        let protocol = self.protocol(&[V4])?;
        if ports.is_empty() || ports.len() > MAX_PORTS {
            return Err(Status::bad_request(format!(
                "the query parameter ports must name 1 to {MAX_PORTS} ports"
            )));
        }
        let place = self.cluster.watch_place()?;
        let over = self.end(&pod, "");
        let (response, socket) = websocket::accept(
            &self.request.headers,
            self.request.take_upgrade(),
            Some(protocol),
        )?;
        tokio::spawn(async move {
            let _place = place;
            let Some(socket) = socket.await else { return };
            let (sink, source) = socket.split();
            let (send, sent) = mpsc::channel(QUEUE);
            let mut inputs = vec![];
            let mut all = futures::stream::FuturesUnordered::new();
            for (at, port) in (0u8..).zip(ports) {
                let (near, far) = tokio::io::duplex(PORT_BUFFER);
                let (read, write) = tokio::io::split(near);
                inputs.push(write);
                let (runner, pod, send) = (&runner, &pod, send.clone());
                all.push(async move {
                    let (data, error) = (2 * at, 2 * at + 1);
                    // Each channel begins with the port.
                    for channel in [data, error] {
                        _ = send.send(message(channel, &port.to_le_bytes())).await;
                    }
                    let copy = copy_out(read, data, send.clone());
                    let (done, ()) = tokio::join!(runner.port_forward(pod, port, far), copy);
                    if let Err(status) = done {
                        _ = send.send(message(error, status.message.as_bytes())).await;
                    }
                });
            }
            drop(send);
            let ports = async { while all.next().await.is_some() {} };
            tokio::select! {
                ((), ()) = async { tokio::join!(ports, write_all(sink, sent)) } => {}
                () = feed(source, &mut inputs) => {}
                () = over => {}
            }
        });
        Ok(response)
    }

    /// Resolves when there is nothing left to be connected to.
    fn end(&self, pod: &Value, container: &str) -> impl Future<Output = ()> + Send + 'static {
        let main = Target {
            subresource: String::new(),
            ..self.target.clone()
        };
        let uid = pod["metadata"]["uid"].clone();
        is_over(self.cluster.clone(), main, uid, container.to_owned())
    }
}

/// The server's ends of a session.
struct Ends {
    stdin: Option<mpsc::Sender<Bytes>>,
    output: mpsc::Receiver<Output>,
    resize: mpsc::Sender<TerminalSize>,
}

fn ends(options: &SessionOptions) -> (Ends, Session) {
    let (stdin, stdin_end) = mpsc::channel(QUEUE);
    let (output_end, output) = mpsc::channel(QUEUE);
    let (resize, resize_end) = mpsc::channel(QUEUE);
    let ends = Ends {
        stdin: options.stdin.then_some(stdin),
        output,
        resize,
    };
    let session = Session {
        stdin: stdin_end,
        output: output_end,
        resize: resize_end,
    };
    (ends, session)
}

fn message(channel: u8, content: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(content.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(content);
    Message::Binary(bytes.freeze())
}

/// Carries a session until the process has ended and everything it said is sent, or the client goes.
async fn talk(
    (mut sink, mut source): (Sink, Source),
    ends: Ends,
    options: &SessionOptions,
    has_close: bool,
    mut process: JoinSet<Result<i32, Status>>,
) {
    let Ends {
        mut stdin,
        mut output,
        resize,
    } = ends;
    // Tells the client that the connection stands.
    if sink.send(message(STDOUT, b"")).await.is_err() {
        return;
    }
    // Input that the process has not taken yet: until then nothing more is read.
    let mut typed: Option<Bytes> = None;
    loop {
        tokio::select! {
            // Its sender goes with the process, so all that was said is sent.
            said = output.recv() => {
                let Some(said) = said else { break };
                let (channel, bytes) = match said {
                    Output::Stderr(bytes) if options.stderr => (STDERR, bytes),
                    Output::Stdout(bytes) if options.stdout => (STDOUT, bytes),
                    Output::Stderr(bytes) if options.tty && options.stdout => (STDOUT, bytes),
                    _ => continue,
                };
                if sink.send(message(channel, &bytes)).await.is_err() {
                    return;
                }
            }
            place = room(stdin.clone()), if typed.is_some() => {
                let bytes = typed.take().unwrap_or_default();
                // Who reads no more has ended its input.
                let is_closed = place.map(|place| place.send(bytes)).is_none();
                if is_closed {
                    stdin = None;
                }
            }
            heard = source.next(), if typed.is_none() => {
                let bytes = match heard {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => text.into(),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                };
                match bytes.first() {
                    Some(&STDIN) => typed = Some(bytes.slice(1..)),
                    Some(&RESIZE) => resized(&bytes[1..], &resize),
                    Some(&CLOSE) if has_close && bytes.get(1) == Some(&STDIN) => stdin = None,
                    _ => {}
                }
            }
        }
    }
    let result = match process.join_next().await {
        Some(Ok(result)) => result,
        _ => Err(Status::internal("the session broke off")),
    };
    let verdict = verdict(&result).to_string();
    if sink.send(message(ERROR, verdict.as_bytes())).await.is_ok()
        && let Err(error) = sink.close().await
    {
        tracing::debug!(%error, "closing a session");
    }
}

/// Waits until the process takes more input; `None` if it never will.
async fn room(stdin: Option<mpsc::Sender<Bytes>>) -> Option<mpsc::OwnedPermit<Bytes>> {
    stdin?.reserve_owned().await.ok()
}

/// The client's terminal has another size.
fn resized(content: &[u8], resize: &mpsc::Sender<TerminalSize>) {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Size {
        width: u16,
        height: u16,
    }
    if let Ok(Size { width, height }) = serde_json::from_slice(content) {
        // Whoever does not look has no use for it.
        _ = resize.try_send(TerminalSize { width, height });
    }
}

/// How the process ended, as a Status.
fn verdict(result: &Result<i32, Status>) -> Value {
    match result {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(status) => status.body(),
    }
}

/// Sends what comes from a port.
async fn copy_out(mut from: ReadHalf<DuplexStream>, channel: u8, to: mpsc::Sender<Message>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                if to.send(message(channel, &buffer[..length])).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

async fn write_all(mut sink: Sink, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    if let Err(error) = sink.close().await {
        tracing::debug!(%error, "closing forwarded ports");
    }
}

/// Hands what the client sends to the ports.
async fn feed(mut source: Source, inputs: &mut [WriteHalf<DuplexStream>]) {
    while let Some(Ok(message)) = source.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        let Some((channel, content)) = bytes.split_first() else {
            continue;
        };
        let Some(input) = inputs.get_mut(usize::from(channel / 2)) else {
            continue;
        };
        if channel % 2 == 0
            && let Err(error) = input.write_all(content).await
        {
            tracing::debug!(%error, "a forwarded port takes no more");
        }
    }
}
