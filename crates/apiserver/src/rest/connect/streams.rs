//! Sessions and ports over SPDY: each stream says in its headers what it is for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::ports::{BUFFER, Pod};
use super::session::{self, Ends, Process, Size, Way};
use crate::rest::spdy::{self, Input, Output, Stream};
use crate::runner::{self, SessionOptions, TerminalSize};
use crate::status::Status;

/// How long a client may take to open the streams that belong together.
const OPENING: Duration = Duration::from_secs(30);
/// Bytes of a terminal's size that is not complete.
const MAX_SIZE: usize = 1024;

/// What a stream is for; names of headers are in lower case.
const TYPE: &str = "streamtype";
const PORT: &str = "port";
const REQUEST: &str = "requestid";

/// A version of the protocol of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    /// Has terminals whose size changes.
    V3,
    /// Tells exit codes.
    V4,
}

impl Version {
    const ALL: [Self; 3] = [Self::V4, Self::V3, Self::V2];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2.channel.k8s.io",
            Self::V3 => "v3.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }

    /// The first one that the client offers.
    pub(super) fn chosen(headers: &HeaderMap) -> Result<Self, Status> {
        let name = spdy::protocol(headers, &Self::ALL.map(Self::name))?;
        let mut all = Self::ALL.into_iter();
        let chosen = all.find(|version| version.name() == name);
        chosen.ok_or_else(|| Status::internal("a protocol was chosen that is not known"))
    }
}

/// The streams of a session.
#[derive(Default)]
struct Streams {
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    error: Option<Stream>,
    resize: Option<Stream>,
}

impl Streams {
    /// Where the stream belongs, if it is expected and not there yet.
    fn slot(&mut self, kind: &str, wants: &Wants) -> Option<&mut Option<Stream>> {
        let (slot, is_wanted) = match kind {
            "stdin" => (&mut self.stdin, wants.stdin),
            "stdout" => (&mut self.stdout, wants.stdout),
            "stderr" => (&mut self.stderr, wants.stderr),
            "error" => (&mut self.error, true),
            "resize" => (&mut self.resize, wants.resize),
            _ => return None,
        };
        (is_wanted && slot.is_none()).then_some(slot)
    }

    fn are_complete(&self, wants: &Wants) -> bool {
        self.error.is_some()
            && self.stdin.is_some() == wants.stdin
            && self.stdout.is_some() == wants.stdout
            && self.stderr.is_some() == wants.stderr
            && self.resize.is_some() == wants.resize
    }
}

/// Which streams a session has beside the one for errors.
struct Wants {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    resize: bool,
}

/// Takes what the client opens until the session has all of it.
async fn gather(opened: &mut mpsc::Receiver<Stream>, wants: &Wants) -> Option<Streams> {
    let mut streams = Streams::default();
    while !streams.are_complete(wants) {
        let stream = opened.recv().await?;
        let kind = stream.headers.get(TYPE).unwrap_or_default().to_owned();
        match streams.slot(&kind, wants) {
            Some(slot) => {
                stream.accept().await;
                *slot = Some(stream);
            }
            None => stream.refuse().await,
        }
    }
    Some(streams)
}

/// Carries a session until the process has ended and everything it said is sent.
pub(super) async fn session(
    mut opened: mpsc::Receiver<Stream>,
    process: Process,
    version: Version,
) {
    let options = process.options.clone();
    let wants = Wants {
        stdin: options.stdin,
        stdout: options.stdout,
        stderr: options.stderr,
        resize: options.tty && version != Version::V2,
    };
    let Ok(Some(streams)) = timeout(OPENING, gather(&mut opened, &wants)).await else {
        tracing::debug!("a session of which the client did not open all streams");
        return;
    };
    let Streams {
        stdin,
        stdout,
        stderr,
        error,
        resize,
    } = streams;
    let (ends, mut running) = process.start();
    let Ends {
        stdin: typed,
        output: mut said,
        resize: sizes,
    } = ends;
    let (stdin, stdin_output) = halves(stdin);
    let (resize, resize_output) = halves(resize);
    let (_, stdout) = halves(stdout);
    let (_, stderr) = halves(stderr);
    let input = async {
        tokio::join!(
            feed(stdin, typed),
            resized(resize, sizes),
            refuse_all(&mut opened)
        );
        // Without a client the connection ends all of this; otherwise the process does.
        std::future::pending::<()>().await;
    };
    let output = async {
        // Its sender goes with the process, so all that was said is sent.
        while let Some(said) = said.recv().await {
            send(said, &options, stdout.as_ref(), stderr.as_ref()).await;
        }
    };
    tokio::select! {
        () = input => {}
        () = output => {}
    }
    let result = running.result().await;
    let verdict = if version == Version::V4 {
        session::verdict(&result).to_string()
    } else {
        session::complaint(&result)
    };
    let (_, error) = halves(error);
    if let Some(error) = &error {
        error.send(verdict.into()).await;
    }
    let outputs = [stdout, stderr, error, stdin_output, resize_output];
    for output in outputs.into_iter().flatten() {
        output.finish().await;
    }
}

fn halves(stream: Option<Stream>) -> (Option<Input>, Option<Output>) {
    stream.map_or((None, None), |stream| {
        (Some(stream.input), Some(stream.output))
    })
}

async fn send(
    said: runner::Output,
    options: &SessionOptions,
    stdout: Option<&Output>,
    stderr: Option<&Output>,
) {
    let Some((way, bytes)) = session::way(said, options) else {
        return;
    };
    let output = match way {
        Way::Stdout => stdout,
        Way::Stderr => stderr,
    };
    if let Some(output) = output {
        // A stream that the client has given up wants nothing more, but the process may still have its use.
        output.send(bytes).await;
    }
}

/// Hands what the client types to the process. What it does not take any more is dropped, so that it holds up nothing.
async fn feed(input: Option<Input>, to: Option<mpsc::Sender<Bytes>>) {
    let Some(mut input) = input else { return };
    while let Some(bytes) = input.next().await {
        if let Some(to) = &to {
            _ = to.send(bytes).await;
        }
    }
}

/// Tells the process the sizes of the client's terminal: JSON, one after the other.
async fn resized(input: Option<Input>, to: mpsc::Sender<TerminalSize>) {
    let Some(mut input) = input else { return };
    let mut text = Vec::new();
    while let Some(bytes) = input.next().await {
        text.extend_from_slice(&bytes);
        let mut sizes = serde_json::Deserializer::from_slice(&text).into_iter::<Size>();
        for size in sizes.by_ref().map_while(Result::ok) {
            size.tell(&to);
        }
        let read = sizes.byte_offset();
        text.drain(..read);
        if text.len() > MAX_SIZE {
            text.clear();
        }
    }
}

async fn refuse_all(opened: &mut mpsc::Receiver<Stream>) {
    while let Some(stream) = opened.recv().await {
        stream.refuse().await;
    }
}

/// What a stream for a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Data,
    Error,
}

/// Port, half and request of a stream, if its headers tell them.
fn purpose(stream: &Stream) -> Option<(u16, Half, String)> {
    let headers = &stream.headers;
    let port = headers.get(PORT)?.parse().ok().filter(|port| *port > 0)?;
    let half = match headers.get(TYPE)? {
        "data" => Half::Data,
        "error" => Half::Error,
        _ => return None,
    };
    let request = match headers.get(REQUEST).filter(|request| !request.is_empty()) {
        Some(request) => request.to_owned(),
        // Clients that number no requests open the stream for data after that for errors.
        None if half == Half::Data => stream.id.wrapping_sub(2).to_string(),
        None => stream.id.to_string(),
    };
    Some((port, half, request))
}

/// A stream whose other half has not come.
struct Waiting {
    port: u16,
    half: Half,
    stream: Stream,
    until: Instant,
}

/// Connects each pair of streams with the port that it names, until the client goes.
pub(super) async fn ports(mut opened: mpsc::Receiver<Stream>, pod: &Pod) {
    // As many as there may be streams.
    let mut waiting: BTreeMap<String, Waiting> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    loop {
        let next = waiting.values().map(|waiting| waiting.until).min();
        tokio::select! {
            stream = opened.recv() => {
                let Some(stream) = stream else { return };
                let Some((port, half, request)) = purpose(&stream) else {
                    stream.refuse().await;
                    continue;
                };
                let Some(other) = waiting.remove(&request) else {
                    stream.accept().await;
                    let until = Instant::now() + OPENING;
                    let alone = Waiting { port, half, stream, until };
                    waiting.insert(request, alone);
                    continue;
                };
                if other.half == half || other.port != port {
                    stream.refuse().await;
                    waiting.insert(request, other);
                    continue;
                }
                stream.accept().await;
                running.push(match half {
                    Half::Data => forward(pod, port, stream, other.stream),
                    Half::Error => forward(pod, port, other.stream, stream),
                });
            }
            Some(()) = running.next(), if !running.is_empty() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let now = Instant::now();
                let late: Vec<String> = waiting
                    .iter()
                    .filter(|(_, waiting)| waiting.until <= now)
                    .map(|(request, _)| request.clone())
                    .collect();
                for request in late {
                    if let Some(waiting) = waiting.remove(&request) {
                        give_up(waiting, &request).await;
                    }
                }
            }
        }
    }
}

async fn give_up(waiting: Waiting, request: &str) {
    let output = waiting.stream.output;
    if waiting.half == Half::Error {
        let why = format!("request {request}: timed out waiting for streams");
        output.send(why.into()).await;
        output.finish().await;
    } else {
        output.reset().await;
    }
}

/// Carries what goes between a port and the client until either ends it.
async fn forward(pod: &Pod, port: u16, data: Stream, error: Stream) {
    let (near, far) = tokio::io::duplex(BUFFER);
    let (read, write) = tokio::io::split(near);
    let Stream { input, output, .. } = data;
    let error = error.output;
    let connected = async {
        let copy = copy_out(read, &output);
        let (done, ()) = tokio::join!(pod.runner.port_forward(&pod.object, port, far), copy);
        done
    };
    // That the client has no more to say is not the end.
    let typed = async {
        copy_in(input, write).await;
        std::future::pending::<()>().await;
    };
    let done = tokio::select! {
        done = connected => done,
        () = typed => Ok(()),
        () = output.gone() => Ok(()),
    };
    match done {
        Ok(()) => {
            output.finish().await;
            error.finish().await;
        }
        Err(status) => {
            error.send(pod.failure(port, &status).into()).await;
            error.finish().await;
            output.reset().await;
        }
    }
}

/// Hands what the client sends to a port. What it does not take any more is dropped, so that it holds up nothing.
async fn copy_in(mut from: Input, mut to: WriteHalf<DuplexStream>) {
    let mut is_open = true;
    while let Some(bytes) = from.next().await {
        is_open = is_open && to.write_all(&bytes).await.is_ok();
    }
    if let Err(error) = to.shutdown().await {
        tracing::debug!(%error, "a forwarded port");
    }
}

/// Sends what comes from a port.
async fn copy_out(mut from: ReadHalf<DuplexStream>, to: &Output) {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        buffer.reserve(BUFFER / 4);
        match from.read_buf(&mut buffer).await {
            Ok(length) if length > 0 => {
                if !to.send(buffer.split().freeze()).await {
                    return;
                }
            }
            _ => return,
        }
    }
}
