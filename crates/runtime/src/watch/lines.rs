//! Lines out of the pieces that a body comes in.

use std::borrow::Cow;

/// Longest line of a watch, and so the largest object, that is read.
const LINE_BYTES_MAX: usize = 32 << 20;

/// What has come of a line that is not complete. Most come in one piece: those are not copied, and in between there is no memory for
/// them, which thousands of watches at rest would have in vain.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

/// A line that never ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl TooLong {
    pub(super) fn told() -> String {
        format!("an event is longer than {LINE_BYTES_MAX} bytes")
    }
}

impl Lines {
    /// The next line of `rest`, which is then what comes after it. Keeps what is left of `rest` if that has no end.
    ///
    /// # Errors
    /// When the line is too long.
    pub(super) fn next<'d>(
        &mut self,
        rest: &mut &'d [u8],
    ) -> Result<Option<Cow<'d, [u8]>>, TooLong> {
        loop {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if self.begun.len() + rest.len() > LINE_BYTES_MAX {
                    return Err(TooLong);
                }
                self.begun.extend_from_slice(std::mem::take(rest));
                return Ok(None);
            };
            let (part, after) = (&rest[..end], &rest[end + 1..]);
            *rest = after;
            let begun = std::mem::take(&mut self.begun);
            let line = if begun.is_empty() {
                Cow::Borrowed(part)
            } else {
                Cow::Owned([begun.as_slice(), part].concat())
            };
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> (Vec<String>, Lines) {
        let (mut lines, mut found) = (Lines::default(), vec![]);
        for piece in pieces {
            let mut rest = *piece;
            while let Some(line) = lines.next(&mut rest).unwrap() {
                found.push(String::from_utf8(line.into_owned()).unwrap());
            }
            assert!(rest.is_empty());
        }
        (found, lines)
    }

    #[test]
    fn lines_are_the_same_wherever_they_are_cut() {
        let text = b"{\"a\": 1}\n\n{}\nrest\n";
        let whole = ["{\"a\": 1}", "{}", "rest"];
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let (found, lines) = all(&pieces);
                assert_eq!(found, whole, "{first} {second}");
                assert_eq!(lines.begun.capacity(), 0);
            }
        }
        assert_eq!(all(&[b"no end"]).1.begun, b"no end");
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; LINE_BYTES_MAX / 2];
        assert_eq!(lines.next(&mut &*piece), Ok(None));
        assert_eq!(lines.next(&mut &*piece), Ok(None));
        assert_eq!(lines.next(&mut &b"x"[..]), Err(TooLong));
    }
}
