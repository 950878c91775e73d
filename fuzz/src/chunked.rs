//! Laws of chunked bodies: the same payload however they arrive, and the same as the plain reading finds.

use bascule_decide::http1::chunked::{ChunkProblem, Decoder, MAX_TRAILERS, copy_trailers};

use crate::strict::{self, is_token};
use crate::{LONGEST, cuts};

/// Reads `bytes` as a chunked body and whatever follows it, and checks what came of it.
pub fn chunked(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let whole = decode(bytes, &[bytes.len()]);
    for cut in cuts(bytes.len()) {
        assert_eq!(decode(bytes, &[cut, bytes.len() - cut]), whole, "cut at {cut}");
    }
    assert_eq!(decode(bytes, &vec![1; bytes.len()]), whole, "a byte at a time");
    if let Ok(Decoded { payload, consumed, done: true, trailers }) = whole {
        let read = strict::body(bytes);
        assert_eq!(read, Some((payload, consumed)), "the plain reading differs");
        trailers_are_harmless(&trailers);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    payload: Vec<u8>,
    consumed: usize,
    done: bool,
    trailers: Vec<u8>,
}

/// Decodes `bytes` in pieces of these lengths.
fn decode(bytes: &[u8], pieces: &[usize]) -> Result<Decoded, ChunkProblem> {
    let mut decoder = Decoder::default();
    let mut decoded = Decoded { payload: Vec::new(), consumed: 0, done: false, trailers: Vec::new() };
    let mut rest = bytes;
    for length in pieces {
        let (piece, after) = rest.split_at(*length);
        rest = after;
        let mut piece = piece.to_vec();
        let step = decoder.decode(&mut piece)?;
        assert!(step.payload <= step.consumed && step.consumed <= piece.len());
        assert!(step.done || step.consumed == piece.len(), "only the end of the body leaves bytes behind");
        decoded.payload.extend_from_slice(&piece[..step.payload]);
        decoded.consumed += step.consumed;
        decoded.done = step.done;
        if step.done {
            break;
        }
    }
    decoded.trailers = decoder.trailers().to_vec();
    Ok(decoded)
}

fn trailers_are_harmless(raw: &[u8]) {
    assert!(raw.len() <= MAX_TRAILERS);
    let mut copied = Vec::new();
    if copy_trailers(raw, &mut copied).is_err() {
        return;
    }
    let mut lines = strict::lines(&copied);
    assert_eq!(lines.pop(), Some(&b""[..]));
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').expect("a trailer is a field");
        let name = line[..colon].to_ascii_lowercase();
        assert!(is_token(&name) && !name.contains(&b'_'));
        let never = [
            "content-length",
            "transfer-encoding",
            "host",
            "connection",
            "x-forwarded-for",
            "forwarded",
            "trailer",
            "set-cookie",
        ];
        assert!(!never.iter().any(|never| never.as_bytes() == name), "{}", name.escape_ascii());
    }
    let mut again = Vec::new();
    copy_trailers(&copied, &mut again).expect("what we write we can read");
    assert_eq!(again, copied);
}
