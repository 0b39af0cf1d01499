//! Sessions and ports over WebSocket: each message begins with the number of its channel.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::ports::{BUFFER, Pod};
use super::session::{self, Ends, Process, Running, Size, Way};
use crate::rest::websocket::{self, Sink, Socket, Source};
use crate::runner::{SessionOptions, TerminalSize};
use crate::status::Status;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// The client has ended the channel that the next byte names; from version 5 on.
const CLOSE: u8 = 255;

/// Messages of ports that wait for the client.
const QUEUE: usize = 16;
/// Bytes of input that a process is handed at once; messages may be longer.
const PIECE: usize = 16 * 1024;

/// A subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    /// None, of a client that names none.
    name: Option<&'static str>,
    /// Messages are text: the channel as a digit, then base64.
    is_text: bool,
    /// The client can say that a channel has ended.
    has_close: bool,
    /// The end of a session is told as a Status, not only what went wrong.
    has_verdict: bool,
}

impl Channels {
    const fn new(name: &'static str, is_text: bool, has_close: bool, has_verdict: bool) -> Self {
        Self {
            name: Some(name),
            is_text,
            has_close,
            has_verdict,
        }
    }

    /// Of clients that name none.
    const UNNAMED: Self = Self {
        name: None,
        is_text: false,
        has_close: false,
        has_verdict: false,
    };

    /// For sessions, the best first.
    const SESSION: &[Self] = &[
        Self::new("v5.channel.k8s.io", false, true, true),
        Self::new("v4.channel.k8s.io", false, false, true),
        Self::new("v4.base64.channel.k8s.io", true, false, true),
        Self::new("channel.k8s.io", false, false, false),
        Self::new("base64.channel.k8s.io", true, false, false),
    ];
    /// For ports.
    const PORTS: &[Self] = &[
        Self::new("v4.channel.k8s.io", false, false, true),
        Self::new("v4.base64.channel.k8s.io", true, false, true),
    ];

    /// How a session is to be spoken.
    pub(super) fn of_session(headers: &HeaderMap) -> Result<Self, Status> {
        Self::of(headers, Self::SESSION)
    }

    /// How ports are to be spoken.
    pub(super) fn of_ports(headers: &HeaderMap) -> Result<Self, Status> {
        Self::of(headers, Self::PORTS)
    }

    fn of(headers: &HeaderMap, known: &[Self]) -> Result<Self, Status> {
        let offered = websocket::protocols(headers);
        if offered.is_empty() {
            return Ok(Self::UNNAMED);
        }
        let is_offered = |known: &&Self| known.name.is_some_and(|name| offered.contains(&name));
        known.iter().find(is_offered).copied().ok_or_else(|| {
            let names: Vec<&str> = known.iter().filter_map(|known| known.name).collect();
            Status::bad_request(format!(
                "none of the subprotocols is known: {} are",
                names.join(", ")
            ))
        })
    }

    pub(super) fn protocol(self) -> Option<&'static str> {
        self.name
    }

    fn message(self, channel: u8, content: &[u8]) -> Message {
        if self.is_text {
            return Message::Text(format!("{channel}{}", STANDARD.encode(content)).into());
        }
        let mut bytes = BytesMut::with_capacity(content.len() + 1);
        bytes.put_u8(channel);
        bytes.put_slice(content);
        Message::Binary(bytes.freeze())
    }

    /// A channel and its content, of a message that has them.
    fn content(self, message: Message) -> Option<(u8, Bytes)> {
        let mut bytes: Bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => return None,
        };
        if bytes.is_empty() {
            return None;
        }
        let channel = bytes.split_to(1)[0];
        if !self.is_text {
            return Some((channel, bytes));
        }
        let channel = channel.checked_sub(b'0')?;
        Some((channel, STANDARD.decode(bytes).ok()?.into()))
    }
}

/// Carries a session.
pub(super) async fn session(socket: Socket, channels: Channels, process: Process) {
    let options = process.options.clone();
    let (ends, running) = process.start();
    talk(socket.split(), channels, ends, &options, running).await;
}

/// What the client says, on its way to the process.
struct Typing {
    channels: Channels,
    stdin: Option<mpsc::Sender<Bytes>>,
    resize: mpsc::Sender<TerminalSize>,
    /// Input that the process has not taken yet: until then nothing more is read.
    typed: Option<Bytes>,
}

impl Typing {
    /// Takes a message; nothing else waits then.
    fn hear(&mut self, message: Message) {
        match self.channels.content(message) {
            Some((STDIN, content)) => self.typed = Some(content),
            Some((RESIZE, content)) => {
                if let Ok(size) = serde_json::from_slice::<Size>(&content) {
                    size.tell(&self.resize);
                }
            }
            Some((CLOSE, content))
                if self.channels.has_close && content.first() == Some(&STDIN) =>
            {
                self.stdin = None;
            }
            _ => {}
        }
    }

    /// Hands as much on as there is room for; without it the process takes no more.
    fn hand_on(&mut self, room: Option<mpsc::OwnedPermit<Bytes>>) {
        if let (Some(room), Some(typed)) = (room, &mut self.typed) {
            let piece = typed.split_to(typed.len().min(PIECE));
            // Copied, so that a piece that waits holds no more than itself.
            room.send(Bytes::copy_from_slice(&piece));
            self.typed.take_if(|rest| rest.is_empty());
        } else {
            // Who reads no more has ended its input.
            (self.stdin, self.typed) = (None, None);
        }
    }
}

/// Carries a session until the process has ended and everything it said is sent, or the client goes.
async fn talk(
    (mut sink, mut source): (Sink, Source),
    channels: Channels,
    ends: Ends,
    options: &SessionOptions,
    mut running: Running,
) {
    let Ends {
        stdin,
        mut output,
        resize,
    } = ends;
    let mut typing = Typing {
        channels,
        stdin,
        resize,
        typed: None,
    };
    // Tells the client that the connection stands.
    if sink.send(channels.message(STDOUT, b"")).await.is_err() {
        return;
    }
    let mut asking = websocket::asking();
    loop {
        let message = tokio::select! {
            // Its sender goes with the process, so all that was said is sent.
            said = output.recv() => {
                let Some(said) = said else { break };
                let Some((way, bytes)) = session::way(said, options) else { continue };
                let channel = match way {
                    Way::Stdout => STDOUT,
                    Way::Stderr => STDERR,
                };
                channels.message(channel, &bytes)
            }
            _ = asking.tick() => websocket::ask(),
            room = room(typing.stdin.clone()), if typing.typed.is_some() => {
                typing.hand_on(room);
                continue;
            }
            heard = source.next(), if typing.typed.is_none() => {
                match heard {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(message)) => typing.hear(message),
                }
                continue;
            }
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let result = running.result().await;
    let verdict = if channels.has_verdict {
        session::verdict(&result).to_string()
    } else {
        session::complaint(&result)
    };
    let verdict = channels.message(ERROR, verdict.as_bytes());
    if sink.send(verdict).await.is_ok() {
        websocket::close(sink, source).await;
    }
}

/// Waits until the process takes more input; `None` if it never will.
async fn room(stdin: Option<mpsc::Sender<Bytes>>) -> Option<mpsc::OwnedPermit<Bytes>> {
    stdin?.reserve_owned().await.ok()
}

/// Carries what goes between ports and the client: two channels each, for data and for errors.
pub(super) async fn ports(socket: Socket, channels: Channels, pod: &Pod, ports: Vec<u16>) {
    let (mut sink, mut source) = socket.split();
    let (send, sent) = mpsc::channel(QUEUE);
    let mut inputs = vec![];
    let mut all = FuturesUnordered::new();
    for (at, port) in (0u8..).zip(ports) {
        let (near, far) = tokio::io::duplex(BUFFER);
        let (read, write) = tokio::io::split(near);
        inputs.push(write);
        let send = send.clone();
        all.push(async move {
            let (data, error) = (2 * at, 2 * at + 1);
            // Each channel begins with the port.
            for channel in [data, error] {
                let begin = channels.message(channel, &port.to_le_bytes());
                _ = send.send(begin).await;
            }
            let said = |bytes: &[u8]| channels.message(data, bytes);
            let copy = copy_out(read, said, send.clone());
            let (done, ()) = tokio::join!(pod.runner.port_forward(&pod.object, port, far), copy);
            if let Err(status) = done {
                let why = pod.failure(port, &status);
                _ = send.send(channels.message(error, why.as_bytes())).await;
            }
        });
    }
    drop(send);
    // What is to be sent ends with the last port.
    let ports = async {
        while all.next().await.is_some() {}
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        is_open = write_all(&mut sink, sent) => if !is_open {
            return;
        },
        never = ports => match never {},
        () = feed(&mut source, channels, &mut inputs) => return,
    }
    websocket::close(sink, source).await;
}

/// Sends what comes from a port.
async fn copy_out(
    mut from: ReadHalf<DuplexStream>,
    message: impl Fn(&[u8]) -> Message,
    to: mpsc::Sender<Message>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                if to.send(message(&buffer[..length])).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Sends messages until there are no more, or the client is gone: then it is `false`.
async fn write_all(sink: &mut Sink, mut messages: mpsc::Receiver<Message>) -> bool {
    let mut asking = websocket::asking();
    loop {
        let message = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => message,
                None => return true,
            },
            _ = asking.tick() => websocket::ask(),
        };
        if sink.send(message).await.is_err() {
            return false;
        }
    }
}

/// Hands what the client sends to the ports.
async fn feed(source: &mut Source, channels: Channels, inputs: &mut [WriteHalf<DuplexStream>]) {
    while let Some(Ok(message)) = source.next().await {
        if message.is_close() {
            return;
        }
        let Some((channel, content)) = channels.content(message) else {
            continue;
        };
        let Some(input) = inputs.get_mut(usize::from(channel / 2)) else {
            continue;
        };
        if channel % 2 == 0
            && let Err(error) = input.write_all(&content).await
        {
            tracing::debug!(%error, "a forwarded port takes no more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bytes_or_text() {
        let [.., text] = Channels::SESSION else {
            unreachable!()
        };
        for (channels, expected) in [
            (
                Channels::UNNAMED,
                Message::Binary(b"\x01foo".as_slice().into()),
            ),
            (*text, Message::Text("1Zm9v".into())),
        ] {
            let message = channels.message(STDOUT, b"foo");
            assert_eq!(message, expected);
            assert_eq!(channels.content(message), Some((STDOUT, "foo".into())));
            assert_eq!(channels.content(Message::Binary(Bytes::new())), None);
        }
        assert_eq!(text.content(Message::Text("1%".into())), None);
        assert_eq!(text.content(Message::Text("!Zm9v".into())), None);
    }
}
