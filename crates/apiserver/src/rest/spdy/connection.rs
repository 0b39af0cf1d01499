//! One connection: its streams, what waits on each, and its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::frame::{Broken, Decoder, Encoder, Heard, MAX_DATA, Reason, Said};
use super::headers::Headers;
use crate::rest::farewell::FAREWELL;
use crate::rest::websocket::{self, PING, Socket};

/// Streams that are open at a time.
pub(super) const MAX_STREAMS: usize = 256;
/// Bytes that are read at once, and so the longest piece of data; messages of a WebSocket may be longer.
const READ: usize = 16 * 1024;
/// Pieces of data that wait on a stream. While one more is there, nothing is read from the connection.
const QUEUE: usize = 4;
/// Bytes that wait on all streams of a connection, likewise.
const MAX_WAITING: usize = 1 << 20;
/// Frames that wait to be sent.
const FRAMES: usize = 16;
/// Bytes that are sent at once, if so many are there.
const WRITE: usize = 32 * 1024;
/// How long a client may be silent at all, as kubelets have it.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// How long the client may take after them to close its end.
const LINGER: Duration = Duration::from_secs(5);

/// A connection that is taken over and not served yet.
pub(crate) struct Connection {
    source: Source,
    sink: Sink,
}

enum Source {
    Plain(Box<dyn AsyncRead + Send + Unpin>),
    Tunnel {
        socket: websocket::Source,
        /// What of a message is not read yet.
        rest: Bytes,
    },
}

enum Sink {
    Plain(Box<dyn AsyncWrite + Send + Unpin>),
    Tunnel(websocket::Sink),
}

impl Connection {
    /// On a connection of bytes.
    pub(super) fn over(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (read, write) = tokio::io::split(io);
        Self {
            source: Source::Plain(Box::new(read)),
            sink: Sink::Plain(Box::new(write)),
        }
    }

    /// Inside the binary messages of a WebSocket, which are cut anywhere.
    pub(crate) fn in_tunnel(socket: Socket) -> Self {
        let (sink, source) = socket.split();
        Self {
            source: Source::Tunnel {
                socket: source,
                rest: Bytes::new(),
            },
            sink: Sink::Tunnel(sink),
        }
    }

    /// Hands the streams that the client opens to `handle` until that is done or the client goes; then all ends.
    pub(crate) async fn serve<F>(self, handle: impl FnOnce(mpsc::Receiver<Stream>) -> F)
    where
        F: Future<Output = ()>,
    {
        let Self { mut source, sink } = self;
        let (frames, waiting) = mpsc::channel(FRAMES);
        let (opened, streams) = mpsc::channel(1);
        let mut writer = std::pin::pin!(write(sink, waiting));
        let mut streams_of = Streams {
            frames: frames.clone(),
            opened,
            open: HashMap::new(),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            room: Arc::new(Semaphore::new(MAX_WAITING)),
            last: 0,
        };
        let work = async {
            tokio::select! {
                ended = streams_of.read(&mut source) => ended,
                () = handle(streams) => Ok(()),
                never = ask(&frames) => match never {},
            }
        };
        let ended = tokio::select! {
            // The client takes nothing more.
            () = &mut writer => return,
            ended = work => ended,
        };
        let reason = match ended {
            Ok(()) => Reason::Cancelled,
            Err(Broken(why)) => {
                tracing::debug!(why, "a SPDY connection that cannot be understood");
                Reason::ProtocolError
            }
        };
        let last = streams_of.last;
        // With this the last senders go, so that the writer ends with what is waiting.
        drop(streams_of);
        let farewell = async move {
            _ = frames.send(Said::GoAway { last, reason }).await;
        };
        let finish = async { tokio::join!(farewell, writer) };
        if timeout(FAREWELL, finish).await.is_err() {
            return;
        }
        // Who closes a connection with something unread in it cuts off what the other side has not read yet.
        let rest = async {
            let mut rest = BytesMut::new();
            while source.read(&mut rest).await {
                rest.clear();
            }
        };
        if timeout(LINGER, rest).await.is_err() {
            tracing::debug!("a SPDY connection was not closed by its client");
        }
    }
}

impl Source {
    /// Reads more; `false` at the end.
    async fn read(&mut self, buffer: &mut BytesMut) -> bool {
        match self {
            Self::Plain(io) => {
                buffer.reserve(READ);
                matches!(io.read_buf(&mut limited(buffer)).await, Ok(length) if length > 0)
            }
            Self::Tunnel { socket, rest } => {
                if rest.is_empty() {
                    match socket.next().await {
                        Some(Ok(Message::Binary(bytes))) => *rest = bytes,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        _ => return false,
                    }
                }
                let piece = rest.split_to(rest.len().min(READ));
                buffer.extend_from_slice(&piece);
                true
            }
        }
    }
}

/// The buffer with room for one reading.
fn limited(buffer: &mut BytesMut) -> impl bytes::BufMut {
    bytes::BufMut::limit(buffer, READ)
}

impl Sink {
    async fn write(&mut self, bytes: &mut BytesMut) -> io::Result<()> {
        match self {
            Self::Plain(io) => {
                io.write_all(bytes).await?;
                io.flush().await?;
                bytes.clear();
                Ok(())
            }
            Self::Tunnel(socket) => {
                let message = Message::Binary(bytes.split().freeze());
                socket.send(message).await.map_err(io::Error::other)
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(io) => io.shutdown().await,
            Self::Tunnel(socket) => {
                let end = websocket::end();
                socket.send(end).await.map_err(io::Error::other)
            }
        }
    }
}

/// Sends frames until there can be no more, or the client takes none.
async fn write(mut sink: Sink, mut frames: mpsc::Receiver<Said>) {
    let mut encoder = Encoder::default();
    let mut bytes = BytesMut::new();
    while let Some(said) = frames.recv().await {
        encoder.write(said, &mut bytes);
        while bytes.len() < WRITE
            && let Ok(said) = frames.try_recv()
        {
            encoder.write(said, &mut bytes);
        }
        if let Err(error) = sink.write(&mut bytes).await {
            tracing::debug!(%error, "a SPDY connection");
            return;
        }
    }
    if let Err(error) = sink.close().await {
        tracing::debug!(%error, "closing a SPDY connection");
    }
}

/// Asks the client again and again whether it is there. An answer is not waited for: who does not read its output does not
/// answer either. But asking a machine that is gone ends the connection, even while the reader waits for somebody to take
/// what it has.
async fn ask(frames: &mpsc::Sender<Said>) -> Infallible {
    let mut ping = 0u32;
    loop {
        sleep(PING).await;
        // The server's have even numbers.
        ping = (ping.wrapping_add(2) & 0x7fff_fffe).max(2);
        // Where there is no room, the connection is already busy with finding out.
        _ = frames.try_send(Said::Ping { id: ping });
    }
}

/// The reading side of a connection's streams.
struct Streams {
    frames: mpsc::Sender<Said>,
    opened: mpsc::Sender<Stream>,
    open: HashMap<u32, Open>,
    places: Arc<Semaphore>,
    /// For the bytes that wait on streams.
    room: Arc<Semaphore>,
    /// The last stream that the client has opened.
    last: u32,
}

/// What the reader keeps of a stream.
struct Open {
    /// Until the client has ended its side.
    input: Option<mpsc::Sender<Piece>>,
    /// Goes with the client's interest in the stream; nobody waits for it once the stream is done.
    life: watch::Sender<()>,
}

/// Data of a stream, and the room that it takes until somebody wants it.
type Piece = (Bytes, OwnedSemaphorePermit);

impl Streams {
    /// Reads until the client is gone.
    async fn read(&mut self, source: &mut Source) -> Result<(), Broken> {
        let mut decoder = Decoder::new();
        loop {
            while let Some(heard) = decoder.next()? {
                if heard == Heard::GoAway || self.take(heard).await?.is_none() {
                    return Ok(());
                }
            }
            let heard = timeout(IDLE, source.read(decoder.buffer())).await;
            if heard != Ok(true) {
                return Ok(());
            }
        }
    }

    /// `None` when nobody is there any more.
    async fn take(&mut self, heard: Heard) -> Result<Option<()>, Broken> {
        let said = match heard {
            Heard::Open {
                stream,
                headers,
                is_last,
            } => return self.open(stream, headers, is_last).await,
            Heard::Data {
                stream,
                bytes,
                is_last,
            } => {
                self.data(stream, bytes, is_last).await;
                return Ok(Some(()));
            }
            Heard::Reset { stream } => {
                self.open.remove(&stream);
                return Ok(Some(()));
            }
            // An answer to one of ours.
            Heard::Ping { id } if id % 2 == 0 => return Ok(Some(())),
            Heard::Ping { id } => Said::Ping { id },
            Heard::GoAway => return Ok(None),
        };
        Ok(self.frames.send(said).await.ok())
    }

    async fn open(
        &mut self,
        id: u32,
        headers: Headers,
        is_last: bool,
    ) -> Result<Option<()>, Broken> {
        if id.is_multiple_of(2) {
            return Err(Broken("a client's streams have odd numbers"));
        }
        let refused = |reason| Said::Reset { stream: id, reason };
        if id <= self.last {
            return Ok(self.frames.send(refused(Reason::ProtocolError)).await.ok());
        }
        self.last = id;
        self.open.retain(|_, open| !open.life.is_closed());
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Ok(self.frames.send(refused(Reason::Refused)).await.ok());
        };
        let (input, pieces) = mpsc::channel(QUEUE);
        let (life, ending) = watch::channel(());
        let stream = Stream {
            id,
            headers,
            input: Input { pieces },
            output: Output {
                id,
                frames: self.frames.clone(),
                ending,
                _place: place,
            },
        };
        let input = (!is_last).then_some(input);
        self.open.insert(id, Open { input, life });
        Ok(self.opened.send(stream).await.ok())
    }

    /// Hands data on, and waits while the stream takes none. Of a stream that is done it is dropped.
    async fn data(&mut self, id: u32, bytes: Bytes, is_last: bool) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if let Some(input) = &open.input
            && !bytes.is_empty()
        {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let room = self.room.clone().acquire_many_owned(length);
            let is_gone = tokio::select! {
                // Nobody closes it.
                room = room => match room {
                    Ok(room) => input.send((bytes, room)).await.is_err(),
                    Err(_) => true,
                },
                () = input.closed() => true,
            };
            if is_gone {
                open.input = None;
            }
        }
        if is_last {
            open.input = None;
        }
    }
}

/// A stream that the client has opened; it waits to be accepted or refused.
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) headers: Headers,
    pub(crate) input: Input,
    pub(crate) output: Output,
}

impl Stream {
    /// Lets the client begin.
    pub(crate) async fn accept(&self) {
        let stream = self.id;
        self.output.say(Said::Reply { stream }).await;
    }

    /// Wants nothing of it.
    pub(crate) async fn refuse(self) {
        self.output.reset().await;
    }
}

/// What the client sends on a stream.
pub(crate) struct Input {
    pieces: mpsc::Receiver<Piece>,
}

impl Input {
    /// The next piece; `None` when the client has ended its side, or everything.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let (bytes, _room) = self.pieces.recv().await?;
        Some(bytes)
    }
}

/// The server's side of a stream.
pub(crate) struct Output {
    id: u32,
    frames: mpsc::Sender<Said>,
    ending: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Output {
    async fn say(&self, said: Said) {
        // If it fails, the whole connection has ended.
        _ = self.frames.send(said).await;
    }

    /// Sends bytes; whether the client still wants more.
    pub(crate) async fn send(&self, mut bytes: Bytes) -> bool {
        while !bytes.is_empty() {
            if self.is_gone() {
                return false;
            }
            let piece = bytes.split_to(bytes.len().min(MAX_DATA));
            let stream = self.id;
            self.say(Said::Data {
                stream,
                bytes: piece,
                is_last: false,
            })
            .await;
        }
        true
    }

    /// Ends the server's side.
    pub(crate) async fn finish(self) {
        if !self.is_gone() {
            let stream = self.id;
            self.say(Said::Data {
                stream,
                bytes: Bytes::new(),
                is_last: true,
            })
            .await;
        }
    }

    /// Ends the stream altogether.
    pub(crate) async fn reset(self) {
        if !self.is_gone() {
            let stream = self.id;
            let reason = Reason::Cancelled;
            self.say(Said::Reset { stream, reason }).await;
        }
    }

    fn is_gone(&self) -> bool {
        self.ending.has_changed().is_err()
    }

    /// Resolves when the client has given the stream up, or everything.
    pub(crate) async fn gone(&self) {
        let mut ending = self.ending.clone();
        while ending.changed().await.is_ok() {}
    }
}
