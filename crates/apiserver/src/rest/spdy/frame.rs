//! Frames as bytes: pure.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::headers::{self, Headers};

/// Longest payload of a control frame, in bytes.
const MAX_CONTROL: usize = 16 * 1024;
/// Length of every frame's beginning.
const HEAD: usize = 8;
/// The version that control frames name.
const VERSION: u16 = 3;
/// Set in the first word of control frames.
const CONTROL: u32 = 1 << 31;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// The sender says no more on the stream.
const FIN: u8 = 1;

/// Why a client cannot be understood any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Open {
        stream: u32,
        headers: Headers,
        is_last: bool,
    },
    /// A piece of a frame, or all of it.
    Data {
        stream: u32,
        bytes: Bytes,
        is_last: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
}

/// Data of a frame of which more is to come.
struct Rest {
    stream: u32,
    length: usize,
    is_last: bool,
}

/// Takes a connection's bytes apart.
pub(super) struct Decoder {
    bytes: BytesMut,
    data: Option<Rest>,
    headers: headers::Reader,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            data: None,
            headers: headers::Reader::new(),
        }
    }

    /// Where what comes is to be put; what is there is less than a control frame after [`Self::next`] has said `None`.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The next thing that was said, if all of it is there; what means nothing here is left out.
    pub(super) fn next(&mut self) -> Result<Option<Heard>, Broken> {
        loop {
            if let Some(rest) = self.data.take() {
                return Ok(self.piece(rest));
            }
            let Some(head) = self.bytes.first_chunk::<HEAD>() else {
                return Ok(None);
            };
            let [a, b, c, d, flags, high, middle, low] = *head;
            let first = u32::from_be_bytes([a, b, c, d]);
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if first & CONTROL == 0 {
                if first == 0 {
                    return Err(Broken("data of stream 0"));
                }
                self.bytes.advance(HEAD);
                let is_last = flags & FIN != 0;
                if length > 0 || is_last {
                    self.data = Some(Rest {
                        stream: first,
                        length,
                        is_last,
                    });
                }
                continue;
            }
            if u16::from_be_bytes([a & 0x7f, b]) != VERSION {
                return Err(Broken("a frame of another version than 3"));
            }
            if length > MAX_CONTROL {
                return Err(Broken("a control frame is too long"));
            }
            if self.bytes.len() < HEAD + length {
                return Ok(None);
            }
            self.bytes.advance(HEAD);
            let payload = self.bytes.split_to(length).freeze();
            if let Some(heard) = self.control(u16::from_be_bytes([c, d]), flags, payload)? {
                return Ok(Some(heard));
            }
        }
    }

    /// As much of a frame's data as there is.
    fn piece(&mut self, rest: Rest) -> Option<Heard> {
        let length = rest.length.min(self.bytes.len());
        if length == 0 && rest.length > 0 {
            self.data = Some(rest);
            return None;
        }
        // A piece may wait for long, and must not hold more in memory than it has.
        let bytes = Bytes::copy_from_slice(&self.bytes[..length]);
        self.bytes.advance(length);
        let left = rest.length - length;
        let is_last = rest.is_last && left == 0;
        let stream = rest.stream;
        if left > 0 {
            self.data = Some(Rest {
                length: left,
                ..rest
            });
        }
        Some(Heard::Data {
            stream,
            bytes,
            is_last,
        })
    }

    fn control(&mut self, kind: u16, flags: u8, payload: Bytes) -> Result<Option<Heard>, Broken> {
        const SHORT: Broken = Broken("a control frame is shorter than its kind needs");
        let (number, rest) = match payload.split_first_chunk() {
            Some((number, rest)) => (u32::from_be_bytes(*number), rest),
            None => return Err(SHORT),
        };
        let stream = number & !CONTROL;
        Ok(match kind {
            SYN_STREAM => {
                // The stream that it belongs to, a priority and a slot.
                let block = rest.get(6..).ok_or(SHORT)?;
                let headers = self.headers.read(block)?;
                Some(Heard::Open {
                    stream,
                    headers,
                    is_last: flags & FIN != 0,
                })
            }
            // Nothing is asked that would be answered so, but the blocks that follow build on this one.
            SYN_REPLY => {
                self.headers.read(rest)?;
                None
            }
            HEADERS => {
                self.headers.read(rest)?;
                (flags & FIN != 0).then_some(Heard::Data {
                    stream,
                    bytes: Bytes::new(),
                    is_last: true,
                })
            }
            RST_STREAM => Some(Heard::Reset { stream }),
            PING => Some(Heard::Ping { id: number }),
            GOAWAY => Some(Heard::GoAway),
            // SETTINGS, WINDOW_UPDATE, and what is still to be invented.
            _ => None,
        })
    }
}

/// Why a stream or a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    ProtocolError,
    Refused,
    Cancelled,
}

impl Reason {
    fn of_stream(self) -> u32 {
        match self {
            Self::ProtocolError => 1,
            Self::Refused => 3,
            Self::Cancelled => 5,
        }
    }

    fn of_connection(self) -> u32 {
        u32::from(self == Self::ProtocolError)
    }
}

/// What the server says.
#[derive(Debug)]
pub(super) enum Said {
    Reply {
        stream: u32,
    },
    /// At most [`MAX_DATA`] bytes.
    Data {
        stream: u32,
        bytes: Bytes,
        is_last: bool,
    },
    Reset {
        stream: u32,
        reason: Reason,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last: u32,
        reason: Reason,
    },
}

/// Most data of a frame that the server sends, in bytes.
pub(super) const MAX_DATA: usize = 16 * 1024;

/// Puts what the server says into bytes.
#[derive(Default)]
pub(super) struct Encoder {
    has_replied: bool,
}

impl Encoder {
    pub(super) fn write(&mut self, said: Said, to: &mut BytesMut) {
        match said {
            Said::Reply { stream } => {
                let is_first = !self.has_replied;
                self.has_replied = true;
                control(SYN_REPLY, 4 + headers::length_of_none(is_first), to);
                to.put_u32(stream);
                headers::write_none(is_first, to);
            }
            Said::Data {
                stream,
                bytes,
                is_last,
            } => {
                debug_assert!(bytes.len() <= MAX_DATA, "data is cut before");
                let length = u32::try_from(bytes.len()).unwrap_or_default();
                to.put_u32(stream);
                to.put_u32(length | u32::from(is_last) << 24);
                to.put_slice(&bytes);
            }
            Said::Reset { stream, reason } => {
                control(RST_STREAM, 8, to);
                to.put_u32(stream);
                to.put_u32(reason.of_stream());
            }
            Said::Ping { id } => {
                control(PING, 4, to);
                to.put_u32(id);
            }
            Said::GoAway { last, reason } => {
                control(GOAWAY, 8, to);
                to.put_u32(last);
                to.put_u32(reason.of_connection());
            }
        }
    }
}

fn control(kind: u16, length: u32, to: &mut BytesMut) {
    to.put_u32(CONTROL | u32::from(VERSION) << 16 | u32::from(kind));
    to.put_u32(length);
}
