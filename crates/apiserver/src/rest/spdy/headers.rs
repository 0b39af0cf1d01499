//! Header blocks: names and values with their lengths, all blocks of a direction in one zlib stream.

use bytes::{BufMut, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::dictionary::{DICTIONARY, DICTIONARY_SUM};
use super::frame::Broken;

/// Longest header block, in bytes as it is read; those of Kubernetes' clients have less than 200.
const MAX_BYTES: usize = 16 * 1024;
/// Headers of one block.
const MAX_HEADERS: usize = 100;

/// The headers of a stream, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of a header; `name` in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        let (_, value) = all.find(|(known, _)| known == name)?;
        Some(value)
    }
}

/// Reads the blocks of one connection, in their order.
pub(super) struct Reader(Decompress);

impl Reader {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Reads one block.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<Headers, Broken> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, Broken> {
        const WRONG: Broken = Broken("a header block is not compressed as it should be");
        let zip = &mut self.0;
        let mut rest = block;
        // One byte more than there may be.
        let mut plain = vec![0; MAX_BYTES + 1];
        let mut length = 0;
        loop {
            let (read, written) = (zip.total_in(), zip.total_out());
            let ended = zip.decompress(rest, &mut plain[length..], FlushDecompress::Sync);
            let read = usize::try_from(zip.total_in() - read).map_err(|_| WRONG)?;
            let written = usize::try_from(zip.total_out() - written).map_err(|_| WRONG)?;
            rest = rest.get(read..).ok_or(WRONG)?;
            length += written;
            if length > MAX_BYTES {
                return Err(Broken("a header block is too long"));
            }
            match ended {
                Err(error) if error.needs_dictionary() == Some(DICTIONARY_SUM) => {
                    zip.set_dictionary(&DICTIONARY).map_err(|_| WRONG)?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(WRONG),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if read == 0 && written == 0 {
                break;
            }
        }
        if !rest.is_empty() {
            return Err(WRONG);
        }
        plain.truncate(length);
        Ok(plain)
    }
}

fn parse(mut block: &[u8]) -> Result<Headers, Broken> {
    let count = number(&mut block)?;
    if count > MAX_HEADERS {
        return Err(Broken("there are too many headers"));
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let name = text(&mut block)?.to_ascii_lowercase();
        headers.push((name, text(&mut block)?));
    }
    Ok(Headers(headers))
}

fn number(block: &mut &[u8]) -> Result<usize, Broken> {
    let (number, rest) = block.split_first_chunk().ok_or(SHORT)?;
    *block = rest;
    usize::try_from(u32::from_be_bytes(*number)).map_err(|_| SHORT)
}

fn text(block: &mut &[u8]) -> Result<String, Broken> {
    let length = number(block)?;
    let (text, rest) = block.split_at_checked(length).ok_or(SHORT)?;
    *block = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Broken("a header is not UTF-8"))
}

const SHORT: Broken = Broken("a header block is shorter than it says");

/// Writes the one block that the server sends: no headers. It is stored, not compressed, which takes no memory; an empty block
/// after it ends what belongs together, and without one Go's reader waits for more.
pub(super) fn write_none(is_first: bool, to: &mut BytesMut) {
    const BLOCK: [u8; 4] = 0u32.to_be_bytes();
    const LENGTH: u16 = 4;
    if is_first {
        // Deflate with a window of 32 KiB, and the dictionary's sum; the second byte has a check in its lower bits.
        to.put_slice(&[0x78, 0xbb]);
        to.put_u32(DICTIONARY_SUM);
    }
    for (length, block) in [(LENGTH, &BLOCK[..]), (0, &[])] {
        to.put_u8(0);
        to.put_u16_le(length);
        to.put_u16_le(!length);
        to.put_slice(block);
    }
}

/// Bytes that [`write_none`] writes.
pub(super) fn length_of_none(is_first: bool) -> u32 {
    if is_first { 20 } else { 14 }
}
