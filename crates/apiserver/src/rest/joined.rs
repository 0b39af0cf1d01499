//! A long list as its stored objects, one after the other, put together piece by piece while it is sent: beside the objects,
//! which are in memory anyway, it takes a piece and eight bytes for each of them, and a piece is still in the processor's
//! cache when it is encrypted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::respond::BodyError;
use super::shape::{LIST_END, list_head};
use crate::object::Object;
use crate::registry::Page;

/// A piece is sent when it is this long, in bytes.
const PIECE: usize = 64 << 10;

/// The body of a list.
pub(super) struct Joined {
    head: String,
    objects: IntoIter<Arc<Object>>,
    /// Bytes that were not sent yet.
    left: usize,
}

impl Joined {
    /// The list of a page; `kind` is its `apiVersion` and kind.
    pub(super) fn new(page: &Page, kind: (&str, &str)) -> Self {
        let head = list_head(page, kind);
        let items: usize = page.objects.iter().map(|object| object.json.len()).sum();
        let commas = page.objects.len().saturating_sub(1);
        Self {
            left: head.len() + items + commas + LIST_END.len(),
            head,
            objects: page.objects.clone().into_iter(),
        }
    }

    /// Whether it is worth being sent in pieces.
    pub(super) fn is_long(&self) -> bool {
        self.left > 4 * PIECE
    }

    /// All of it.
    pub(super) fn whole(mut self) -> Bytes {
        self.piece(usize::MAX)
    }

    /// The next piece, which ends with the object that makes it `length` bytes long; empty at the end.
    fn piece(&mut self, length: usize) -> Bytes {
        if self.left == 0 {
            return Bytes::new();
        }
        let mut piece = BytesMut::with_capacity(self.left.min(length.saturating_add(length / 8)));
        if !self.head.is_empty() {
            piece.put_slice(std::mem::take(&mut self.head).as_bytes());
        }
        while piece.len() < length {
            let Some(object) = self.objects.next() else {
                break;
            };
            piece.put_slice(&object.json);
            if self.objects.len() > 0 {
                piece.put_u8(b',');
            }
        }
        if self.objects.len() == 0 {
            piece.put_slice(LIST_END);
        }
        self.left = self.left.saturating_sub(piece.len());
        piece.freeze()
    }
}

impl http_body::Body for Joined {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = self.piece(PIECE);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn pieces_are_the_list_and_as_long_as_was_said() {
        for (count, size) in [(0, 0), (1, 10), (3, 200_000), (1000, 700)] {
            let object = |n: u64| {
                let value = json!({"metadata": {"name": n.to_string()}, "data": "x".repeat(size)});
                Arc::new(Object::encode(value, n + 1))
            };
            let page = Page {
                objects: (0..count).map(object).collect(),
                revision: 7,
                continue_token: None,
                remaining: None,
            };
            let mut joined = Joined::new(&page, ("v1", "ThingList"));
            let whole = Joined::new(&page, ("v1", "ThingList")).whole();
            assert_eq!(joined.size_hint().exact(), Some(whole.len() as u64));
            let mut pieces = Vec::new();
            while !joined.is_end_stream() {
                let piece = joined.piece(PIECE);
                assert!(!piece.is_empty());
                pieces.extend_from_slice(&piece);
            }
            assert!(joined.piece(PIECE).is_empty());
            assert_eq!(pieces, whole);
            let list: Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(list["metadata"]["resourceVersion"], "7");
            assert_eq!(list["items"].as_array().unwrap().len() as u64, count);
        }
    }
}
