//! HTTP/1 messages as bytes: strict reading (RFC 9112), one unambiguous meaning or a refusal, and rewriting for the next hop.

pub mod chunked;
pub mod forwarded;
mod layout;
pub mod request;
pub mod response;
pub mod target;

pub use chunked::{ChunkProblem, Decoder, Step};
pub use request::{HeadLimits, Malformed, RequestHead, offers_websocket};
pub use response::{BadResponse, ResponseHead};
pub use target::{Target, routing_host};

/// A header field: its name as it was written, and the bytes of its value.
pub use httparse::Header as Field;
use httparse::Header;
use std::mem::MaybeUninit;

/// The most fields that a head can have, whatever the limits say.
pub const MAX_FIELDS: usize = 256;

/// Room for the fields of one head.
pub type FieldRoom<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Makes room for the fields of one head, without touching it.
pub fn field_room<'b>() -> FieldRoom<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After this many bytes; not 0.
    Length(u64),
    /// With a chunk of size 0.
    Chunked,
    /// When the connection closes (responses only).
    Close,
}

/// Fields of a head that do not travel on, by their position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped([u64; MAX_FIELDS / 64]);

impl Dropped {
    pub(crate) fn insert(&mut self, position: usize) {
        self.0[position / 64] |= 1 << (position % 64);
    }

    pub(crate) fn remove(&mut self, position: usize) {
        self.0[position / 64] &= !(1 << (position % 64));
    }

    pub(crate) fn insert_all(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word |= other);
    }

    /// Whether the field at `position` stays behind.
    pub fn contains(&self, position: usize) -> bool {
        self.0[position / 64] & (1 << (position % 64)) != 0
    }

    /// Whether every field travels on.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// Copies the field lines that travel on, in runs as long as they come.
///
/// `first` and `end` delimit the field lines within `head` (the empty line not included).
pub(crate) fn copy_kept(
    head: &[u8],
    first: usize,
    end: usize,
    fields: &[Header<'_>],
    dropped: &Dropped,
    out: &mut Vec<u8>,
) {
    if dropped.is_empty() {
        out.extend_from_slice(&head[first..end]);
        return;
    }
    let starts = |position: usize| {
        fields.get(position).map_or(end, |field| layout::offset(head, field.name.as_bytes()))
    };
    let mut run = first;
    for position in 0..fields.len() {
        if dropped.contains(position) {
            let start = starts(position);
            out.extend_from_slice(&head[run..start]);
            run = starts(position + 1);
        }
    }
    out.extend_from_slice(&head[run..end]);
}

/// A `Content-Length` of digits alone (RFC 9110, 8.6): no sign, no list, no overflow.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Where a head may end: the first empty line at or after `from`, also one that is spelt badly.
///
/// Lets a reader wait for more bytes without parsing what it has again.
pub fn has_empty_line(bytes: &[u8], from: usize) -> bool {
    memchr::memchr_iter(b'\n', &bytes[from..]).any(|found| {
        let rest = &bytes[from + found + 1..];
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}
