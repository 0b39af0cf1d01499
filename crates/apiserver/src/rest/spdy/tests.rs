//! Frames and header blocks, without a connection.

use bytes::{BufMut, Bytes, BytesMut};
use expect_test::{Expect, expect};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::dictionary::DICTIONARY;
use super::frame::{Broken, Decoder, Encoder, Heard, Reason, Said};
use super::headers::{Headers, Reader};

/// The compressing side of a client.
struct Client(Compress);

impl Client {
    fn new() -> Self {
        let mut zip = Compress::new(Compression::best(), true);
        zip.set_dictionary(&DICTIONARY).unwrap();
        Self(zip)
    }

    fn compress(&mut self, block: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(block.len() + 1024);
        self.0
            .compress_vec(block, &mut packed, FlushCompress::Sync)
            .unwrap();
        packed
    }

    /// SYN_STREAM.
    fn open(&mut self, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let block = self.compress(&block(headers));
        let mut payload = Vec::new();
        payload.put_u32(stream);
        payload.put_slice(&[0; 6]);
        payload.put_slice(&block);
        control(1, 0, &payload)
    }
}

fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    block.put_u32(length(headers.len()));
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.put_u32(length(text.len()));
        block.put_slice(text.as_bytes());
    }
    block
}

fn control(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_u16(0x8003);
    frame.put_u16(kind);
    frame.put_u32(u32::from(flags) << 24 | length(payload.len()));
    frame.put_slice(payload);
    frame
}

fn data(stream: u32, content: &[u8], is_last: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_u32(stream);
    frame.put_u32(u32::from(is_last) << 24 | length(content.len()));
    frame.put_slice(content);
    frame
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

/// All that is heard in pieces that end at `cuts`, data of a stream put together.
fn hear(bytes: &[u8], cuts: &[usize]) -> (Vec<Heard>, Option<Broken>) {
    let mut decoder = Decoder::new();
    let mut all: Vec<Heard> = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        decoder
            .buffer()
            .extend_from_slice(&bytes[piece[0]..piece[1]]);
        loop {
            let heard = match decoder.next() {
                Ok(Some(heard)) => heard,
                Ok(None) => break,
                Err(broken) => return (all, Some(broken)),
            };
            match (all.last_mut(), heard) {
                (
                    Some(Heard::Data {
                        stream,
                        bytes,
                        is_last,
                    }),
                    Heard::Data {
                        stream: same,
                        bytes: more,
                        is_last: ends,
                    },
                ) if *stream == same && !*is_last => {
                    *bytes = [&bytes[..], &more[..]].concat().into();
                    *is_last = ends;
                }
                (_, heard) => all.push(heard),
            }
        }
    }
    (all, None)
}

#[track_caller]
fn check(bytes: &[u8], expected: &Expect) {
    let (heard, broken) = hear(bytes, &[]);
    let mut text: String = heard.iter().map(|heard| format!("{heard:?}\n")).collect();
    if let Some(Broken(why)) = broken {
        text.push_str(&format!("broken: {why}\n"));
    }
    expected.assert_eq(&text);
}

#[test]
fn frames_are_heard_and_others_left_out() {
    let mut client = Client::new();
    let bytes = [
        client.open(1, &[("streamType", "error"), ("port", "80")]),
        // SETTINGS, WINDOW_UPDATE, and one that nobody knows.
        control(4, 0, &[0, 0, 0, 0]),
        control(9, 0, &[0, 0, 0, 1, 0, 0, 1, 0]),
        control(77, 0, b"whatever"),
        client.open(3, &[("streamtype", "data")]),
        data(3, b"hello", false),
        data(3, b"", false),
        data(3, b"", true),
        control(6, 0, &[0, 0, 0, 7]),
        control(3, 0, &[0, 0, 0, 3, 0, 0, 0, 5]),
        control(7, 0, &[0; 8]),
    ]
    .concat();
    check(
        &bytes,
        &expect![[r#"
            Open { stream: 1, headers: Headers([("streamtype", "error"), ("port", "80")]), is_last: false }
            Open { stream: 3, headers: Headers([("streamtype", "data")]), is_last: false }
            Data { stream: 3, bytes: b"hello", is_last: true }
            Ping { id: 7 }
            Reset { stream: 3 }
            GoAway
        "#]],
    );
}

#[test]
fn blocks_of_headers_that_mean_nothing_are_read_all_the_same() {
    let mut client = Client::new();
    let reply = [&[0, 0, 0, 2][..], &client.compress(&block(&[("a", "b")]))].concat();
    let trailer = [&[0, 0, 0, 1][..], &client.compress(&block(&[("a", "b")]))].concat();
    let bytes = [
        control(2, 0, &reply),
        control(8, 1, &trailer),
        client.open(5, &[("a", "b")]),
    ]
    .concat();
    check(
        &bytes,
        &expect![[r#"
            Data { stream: 1, bytes: b"", is_last: true }
            Open { stream: 5, headers: Headers([("a", "b")]), is_last: false }
        "#]],
    );
}

#[test]
fn what_is_no_spdy_ends_the_connection() {
    let bomb = vec![0; 1 << 20];
    let many: Vec<(String, &str)> = (0..101).map(|at| (format!("h{at}"), "")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    let syn = |block: &[u8]| control(1, 0, &[&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], block].concat());
    for (bytes, why) in [
        (data(0, b"x", false), "data of stream 0"),
        (
            [0x80, 2, 0, 1, 0, 0, 0, 0].to_vec(),
            "a frame of another version than 3",
        ),
        (
            [0x80, 3, 0, 1, 0, 1, 0, 0].to_vec(),
            "a control frame is too long",
        ),
        (
            control(1, 0, &[0; 8]),
            "a control frame is shorter than its kind needs",
        ),
        (
            control(6, 0, &[0; 3]),
            "a control frame is shorter than its kind needs",
        ),
        (
            syn(b"no zlib"),
            "a header block is not compressed as it should be",
        ),
        (
            syn(&Client::new().compress(&bomb)),
            "a header block is too long",
        ),
        (
            syn(&Client::new().compress(&[0, 0, 0, 1])),
            "a header block is shorter than it says",
        ),
        (
            syn(&Client::new().compress(&block(&many))),
            "there are too many headers",
        ),
        (
            syn(&Client::new().compress(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0])),
            "a header is not UTF-8",
        ),
        (
            syn(&Client::new().compress(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])),
            "a header block is shorter than it says",
        ),
    ] {
        let (heard, broken) = hear(&bytes, &[]);
        assert_eq!((heard, broken), (vec![], Some(Broken(why))));
    }
}

#[test]
fn answers_are_written_as_clients_read_them() {
    let mut encoder = Encoder::default();
    let mut written = |said| {
        let mut bytes = BytesMut::new();
        encoder.write(said, &mut bytes);
        bytes
    };
    let mut reader = Reader::new();
    for stream in [1, 3, 5] {
        let reply = written(Said::Reply { stream });
        let length = reply.len() - 8;
        assert_eq!(&reply[..8], &control(2, 0, &vec![0; length])[..8]);
        assert_eq!(&reply[8..12], &stream.to_be_bytes());
        // All blocks are one zlib stream.
        assert_eq!(reader.read(&reply[12..]), Ok(Headers::default()));
    }
    let said = Said::Data {
        stream: 3,
        bytes: Bytes::from_static(b"hello"),
        is_last: true,
    };
    assert_eq!(written(said), data(3, b"hello", true));
    let reason = Reason::Refused;
    assert_eq!(
        written(Said::Reset { stream: 3, reason }),
        control(3, 0, &[0, 0, 0, 3, 0, 0, 0, 3])
    );
    assert_eq!(written(Said::Ping { id: 2 }), control(6, 0, &[0, 0, 0, 2]));
    let reason = Reason::ProtocolError;
    assert_eq!(
        written(Said::GoAway { last: 9, reason }),
        control(7, 0, &[0, 0, 0, 9, 0, 0, 0, 1])
    );
}

proptest! {
    #[test]
    fn what_is_heard_does_not_depend_on_how_it_is_cut(
        streams in proptest::collection::vec(
            (proptest::collection::vec(("[a-z-]{1,20}", "\\PC{0,40}"), 0..6), proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()),
            1..6,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut client = Client::new();
        let mut bytes = vec![];
        let mut expected = vec![];
        for (at, (headers, content, is_last)) in streams.iter().enumerate() {
            let stream = length(at) * 2 + 1;
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            bytes.extend(client.open(stream, &headers));
            bytes.extend(data(stream, content, *is_last));
            expected.push((stream, headers, content, *is_last));
        }
        let (heard, broken) = hear(&bytes, &cuts);
        prop_assert_eq!(broken, None);
        let mut heard = heard.into_iter();
        for (id, headers, content, ends) in expected {
            let Some(Heard::Open { stream, headers: read, .. }) = heard.next() else {
                return Err(TestCaseError::fail("a stream is missing"));
            };
            prop_assert_eq!(stream, id);
            for (name, _) in &headers {
                let first = headers.iter().find(|(known, _)| known == name);
                prop_assert_eq!(read.get(name), first.map(|(_, value)| *value));
            }
            if content.is_empty() && !ends {
                continue;
            }
            let Some(Heard::Data { stream, bytes, is_last }) = heard.next() else {
                return Err(TestCaseError::fail("data is missing"));
            };
            prop_assert_eq!((stream, &bytes[..], is_last), (id, &content[..], ends));
        }
        prop_assert_eq!(heard.next(), None);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(any::<usize>(), 0..4)) {
        hear(&bytes, &cuts);
    }
}
