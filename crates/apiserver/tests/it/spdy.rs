//! A SPDY client for tests: as little as `kubectl exec` and `port-forward` need, and whatever bytes a test wants to send.

use apiserver::InProcess;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Reply(u32),
    Data(u32, Bytes),
    End(u32),
    /// With its reason.
    Reset(u32, u32),
    Ping(u32),
    /// With its reason.
    GoAway(u32),
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) struct Client {
    io: Box<dyn Io>,
    zip: Compress,
    read: BytesMut,
    next: u32,
}

/// Asks for an upgrade to SPDY; what is answered instead if it is refused.
pub(crate) async fn upgrade(
    service: InProcess,
    method: &str,
    path: &str,
    protocols: &[&str],
) -> Result<(Client, String), Response<hyper::body::Incoming>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(far), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::spawn(server);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1");
    for protocol in protocols {
        request = request.header("x-stream-protocol-version", *protocol);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    if response.status() != 101 {
        return Err(response);
    }
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("connection"), header("upgrade")),
        ("Upgrade".into(), "SPDY/3.1".into())
    );
    let protocol = header("x-stream-protocol-version");
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    Ok((Client::new(io), protocol))
}

impl Client {
    /// On a connection of bytes.
    pub(crate) fn new(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            zip: Compress::new(Compression::fast(), true),
            read: BytesMut::new(),
            next: 1,
        }
    }

    /// Inside the messages of a WebSocket.
    pub(crate) fn in_tunnel(mut socket: WebSocketStream<DuplexStream>) -> Self {
        let (near, mut far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let mut buffer = BytesMut::new();
            loop {
                tokio::select! {
                    read = far.read_buf(&mut buffer) => match read {
                        Ok(length) if length > 0 => {
                            let message = Message::Binary(buffer.split().freeze());
                            if socket.send(message).await.is_err() {
                                return;
                            }
                        }
                        _ => return,
                    },
                    heard = socket.next() => match heard {
                        Some(Ok(Message::Binary(bytes))) => far.write_all(&bytes).await.unwrap(),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        _ => return,
                    },
                }
            }
        });
        Self::new(near)
    }

    /// Sends bytes as they are; whether the server still takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.io.write_all(bytes).await.is_ok()
    }

    /// Ends the client's side of the connection.
    pub(crate) async fn shut(&mut self) {
        self.io.shutdown().await.ok();
    }

    /// SYN_STREAM as bytes.
    pub(crate) fn opening(&mut self, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        block.put_u32(length(headers.len()));
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(length(text.len()));
            block.put_slice(text.as_bytes());
        }
        let mut payload = Vec::with_capacity(block.len() + 1024);
        payload.put_u32(stream);
        payload.put_slice(&[0; 6]);
        self.zip
            .compress_vec(&block, &mut payload, FlushCompress::Sync)
            .unwrap();
        control(1, &payload)
    }

    /// Opens a stream; its number.
    pub(crate) async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let stream = self.next;
        self.next += 2;
        let bytes = self.opening(stream, headers);
        assert!(self.send(&bytes).await);
        stream
    }

    /// Opens a stream that must be accepted.
    pub(crate) async fn stream(&mut self, headers: &[(&str, &str)]) -> u32 {
        let stream = self.open(headers).await;
        assert_eq!(self.next().await, Some(Frame::Reply(stream)));
        stream
    }

    pub(crate) async fn data(&mut self, stream: u32, content: &[u8], is_last: bool) -> bool {
        let frame = data(stream, content, is_last);
        self.send(&frame).await
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = frame(&mut self.read) {
                return Some(frame);
            }
            match self.io.read_buf(&mut self.read).await {
                Ok(length) if length > 0 => {}
                _ => {
                    assert!(self.read.is_empty(), "the last frame is cut off");
                    return None;
                }
            }
        }
    }

    /// All frames until the end, data of a stream put together.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut all: Vec<Frame> = vec![];
        while let Some(frame) = self.next().await {
            match (all.last_mut(), frame) {
                (Some(Frame::Data(stream, bytes)), Frame::Data(same, more)) if *stream == same => {
                    *bytes = [&bytes[..], &more[..]].concat().into();
                }
                (_, frame) => all.push(frame),
            }
        }
        all
    }
}

pub(crate) fn control(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_u16(0x8003);
    frame.put_u16(kind);
    frame.put_u32(length(payload.len()));
    frame.put_slice(payload);
    frame
}

pub(crate) fn data(stream: u32, content: &[u8], is_last: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_u32(stream);
    frame.put_u32(u32::from(is_last) << 24 | length(content.len()));
    frame.put_slice(content);
    frame
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

fn frame(read: &mut BytesMut) -> Option<Frame> {
    let mut head = read.get(..8)?;
    let (first, second) = (head.get_u32(), head.get_u32());
    let length = second as usize & 0xff_ffff;
    if read.len() < 8 + length {
        return None;
    }
    read.advance(8);
    let mut payload = read.split_to(length).freeze();
    if first >> 31 == 0 {
        return Some(if second >> 24 == 0 {
            Frame::Data(first, payload)
        } else {
            assert!(payload.is_empty());
            Frame::End(first)
        });
    }
    assert_eq!(first >> 16, 0x8003);
    let number = payload.get_u32();
    Some(match first & 0xffff {
        2 => Frame::Reply(number),
        3 => Frame::Reset(number, payload.get_u32()),
        6 => Frame::Ping(number),
        kind => {
            assert_eq!(kind, 7, "a frame of no known kind");
            Frame::GoAway(payload.get_u32())
        }
    })
}
