//! Takes a chunked body apart in place (RFC 9112, 7.1), strictly: what another parser could read otherwise is refused.

/// Why a chunked body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkProblem {
    /// The size is missing, too long, or not hexadecimal.
    Size,
    /// Something other than CRLF where a line has to end, or a control character in an extension.
    Line,
    /// More framing than the payload can excuse.
    Overhead,
    /// The trailer section is too long.
    Trailers,
}

impl ChunkProblem {
    /// In words, for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Size => "the size of a chunk is not 1 to 16 hexadecimal digits",
            Self::Line => "a chunk's line does not end with CR LF",
            Self::Overhead => "the body has more chunk framing than payload",
            Self::Trailers => "the trailers are too long",
        }
    }
}

/// What one call of [`Decoder::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The buffer now begins with this many bytes of payload.
    pub payload: usize,
    /// How many bytes were read; what lies behind them belongs to the next message.
    pub consumed: usize,
    /// The body is complete, trailers included.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Payload,
    PayloadCr,
    PayloadLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

/// Longest trailer section, in bytes.
pub const MAX_TRAILERS: usize = 8192;
/// Longest extension of one chunk, in bytes.
const MAX_EXTENSION: u32 = 256;
/// Framing bytes that any body may have beyond 16 per chunk and its payload (as Go's net/http allows).
const MAX_EXCESS: i64 = 16 * 1024;

/// Where in a chunked body the reader is. Keeps nothing of the payload.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// Of the size line: its value so far. Of the payload: what is still to come.
    left: u64,
    digits: u32,
    extension: u32,
    excess: i64,
    trailers: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Size, left: 0, digits: 0, extension: 0, excess: 0, trailers: Vec::new() }
    }
}

impl Decoder {
    /// The trailer lines, each with its CRLF; complete once a step said `done`.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Reads as far as the body goes and moves its payload to the front of `bytes`.
    ///
    /// All of `bytes` is consumed unless the body ends within it.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Step, ChunkProblem> {
        let mut at = 0;
        let mut payload = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Payload {
                let take = (bytes.len() - at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                bytes.copy_within(at..at + take, payload);
                (payload, at) = (payload + take, at + take);
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::PayloadCr;
                }
            } else {
                self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(Step { payload, consumed: at, done: self.state == State::Done })
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkProblem> {
        self.state = match (self.state, byte) {
            (State::Size, _) => self.size(byte)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension += 1;
                self.excess += 1;
                if self.extension > MAX_EXTENSION || self.excess > MAX_EXCESS {
                    return Err(ChunkProblem::Overhead);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') => self.begin_chunk()?,
            (State::PayloadCr, b'\r') => State::PayloadLf,
            (State::PayloadLf, b'\n') => {
                (self.left, self.digits, self.extension) = (0, 0, 0);
                State::Size
            }
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::Trailer, b'\n') => return Err(ChunkProblem::Line),
            (State::Trailer, b'\r') => self.trailer(byte, State::TrailerLf)?,
            (State::TrailerStart | State::Trailer, _) => self.trailer(byte, State::Trailer)?,
            (State::TrailerLf, b'\n') => self.trailer(byte, State::TrailerStart)?,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(ChunkProblem::Line),
        };
        Ok(())
    }

    fn size(&mut self, byte: u8) -> Result<State, ChunkProblem> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.digits += 1;
            if self.digits > 16 || self.left >> 60 != 0 {
                return Err(ChunkProblem::Size);
            }
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(ChunkProblem::Size),
            b'\r' => Ok(State::SizeLf),
            b';' => Ok(State::Extension),
            _ => Err(ChunkProblem::Size),
        }
    }

    fn begin_chunk(&mut self) -> Result<State, ChunkProblem> {
        if self.left == 0 {
            return Ok(State::TrailerStart);
        }
        // A sender of one-byte chunks spends five framing bytes on each: that much is excused, a flood of extensions is not.
        let excused = i64::try_from(self.left).unwrap_or(i64::MAX).saturating_add(16);
        self.excess = (self.excess - excused).max(0);
        Ok(State::Payload)
    }

    fn trailer(&mut self, byte: u8, next: State) -> Result<State, ChunkProblem> {
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(ChunkProblem::Trailers);
        }
        self.trailers.push(byte);
        Ok(next)
    }
}

/// Appends the trailer lines of `raw` that may travel on. Lines that are not fields are refused.
pub fn copy_trailers(raw: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkProblem> {
    if raw.is_empty() {
        return Ok(());
    }
    let mut whole = raw.to_vec();
    whole.extend_from_slice(b"\r\n");
    let mut room = [httparse::EMPTY_HEADER; 64];
    let Ok(httparse::Status::Complete((length, fields))) = httparse::parse_headers(&whole, &mut room) else {
        return Err(ChunkProblem::Trailers);
    };
    if length != whole.len() || !super::layout::holds(&whole, 0, length, fields) {
        return Err(ChunkProblem::Trailers);
    }
    for field in fields {
        if crate::headers::may_be_trailer(field.name) {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(body: &[u8]) -> Result<(Vec<u8>, usize, bool), ChunkProblem> {
        let mut bytes = body.to_vec();
        let step = Decoder::default().decode(&mut bytes)?;
        Ok((bytes[..step.payload].to_vec(), step.consumed, step.done))
    }

    #[test]
    fn what_follows_the_last_chunk_is_left_alone() {
        let (payload, consumed, done) =
            decode(b"4\r\nWiki\r\n5;a=b\r\npedia\r\n0\r\n\r\nGET /").expect("a body");
        assert_eq!((payload.as_slice(), consumed, done), (b"Wikipedia".as_slice(), 28, true));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for body in [
            "\r\n",
            ";\r\n",
            "g\r\n",
            "+1\r\na",
            "0x1\r\na",
            " 1\r\na",
            "1 \r\na",
            "1\na\n0\n\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\ra",
            "-1\r\n",
            "ffffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "1;\n\r\na",
            "1;a\0b\r\n",
            "0\r\n\n",
            "0\r\nA: b\n\r\n",
            "0\r\n\rX",
            "1\r\na\r\r\n",
            "1\r\na0\r\n\r\n",
        ] {
            assert!(decode(body.as_bytes()).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_flood_of_extensions_is_refused() {
        let mut body = Vec::new();
        for _ in 0..10_000 {
            body.extend_from_slice(b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n");
        }
        assert_eq!(decode(&body), Err(ChunkProblem::Overhead));
    }

    #[test]
    fn trailers_that_change_the_message_stay_behind() {
        let mut out = Vec::new();
        copy_trailers(b"X-Sum: 1\r\nContent-Length: 3\r\nHost: a\r\n", &mut out).expect("fields");
        assert_eq!(out, b"X-Sum: 1\r\n");
        assert!(copy_trailers(b"no colon\r\n", &mut Vec::new()).is_err());
        assert!(copy_trailers(b"A: b\r\n folded\r\n", &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn the_payload_does_not_depend_on_how_the_bytes_arrive(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(1_usize..9, 1..200),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nA: b\r\n\r\n");
            let mut decoder = Decoder::default();
            let (mut at, mut payload, mut done) = (0, Vec::new(), false);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(wire.len());
                let mut piece = wire[at..end].to_vec();
                let step = decoder.decode(&mut piece).expect("well-formed");
                payload.extend_from_slice(&piece[..step.payload]);
                at = end;
                done = step.done;
                if at == wire.len() { break; }
            }
            prop_assert!(done);
            prop_assert_eq!(payload, chunks.concat());
            prop_assert_eq!(decoder.trailers(), b"A: b\r\n");
        }

        #[test]
        fn any_bytes_are_a_body_or_a_refusal(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let length = bytes.len();
            if let Ok(step) = Decoder::default().decode(&mut bytes) {
                prop_assert!(step.payload <= step.consumed && step.consumed <= length);
                prop_assert!(step.done || step.consumed == length);
            }
        }
    }
}
