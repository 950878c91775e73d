//! Follows the frames of a connection from outside, and says when most of them ask for work and bring none.
//!
//! Each PING wants an answer, each SETTINGS, each cancelled stream was work for nothing; no single frame is wrong, and
//! only their number is an attack (CVE-2019-9512, -9515, -9518; CVE-2023-44487). Requests, payload, bytes that the peer
//! takes and time pay for such frames.

use crate::time::Tick;

/// Frames of that kind that are free, and again after [`REFILL_US`].
const ALLOWANCE: i64 = 1000;
const REFILL_US: u64 = 10_000_000;
/// Bytes sent to the peer that pay for one of its frames: it has to open its window for them, and some measure the way
/// with a PING for each message that they get. An answer to a PING has 17 bytes and one to SETTINGS 9, so that neither
/// pays for the next one.
const PAID_BY_BYTES: usize = 32;
/// A cancelled stream costs more than its request brought.
const RESET: i64 = 3;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const FRAME_HEAD: usize = 9;

/// The peer sends more than it can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood;

/// Where in the stream of frames one direction of a connection is, and what is left of its allowance.
#[derive(Clone, Debug)]
pub struct Meter {
    head: [u8; FRAME_HEAD],
    filled: usize,
    /// Bytes of the payload, or of the preface, that are still to come.
    left: usize,
    balance: i64,
    written: usize,
    refilled: Tick,
}

impl Meter {
    /// `preface`: bytes before the first frame.
    pub fn new(preface: usize, now: Tick) -> Self {
        Self {
            head: [0; FRAME_HEAD],
            filled: 0,
            left: preface,
            balance: ALLOWANCE,
            written: 0,
            refilled: now,
        }
    }

    /// These bytes came next.
    pub fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> Tick) -> Result<(), Flood> {
        loop {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                break;
            }
            let taken = (FRAME_HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == FRAME_HEAD {
                self.filled = 0;
                self.count();
            }
        }
        if self.balance >= 0 {
            return Ok(());
        }
        let now = now();
        if now.since(self.refilled) < REFILL_US {
            return Err(Flood);
        }
        (self.refilled, self.balance) = (now, ALLOWANCE);
        Ok(())
    }

    /// So many bytes went to the peer.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        self.earn((self.written / PAID_BY_BYTES) as i64);
        self.written %= PAID_BY_BYTES;
    }

    fn count(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            HEADERS => self.earn(1),
            DATA if self.left > 0 => self.earn(1),
            DATA if flags & END_STREAM != 0 => {}
            CONTINUATION if self.left > 0 => {}
            RST_STREAM => self.balance -= RESET,
            _ => self.balance -= 1,
        }
    }

    fn earn(&mut self, more: i64) {
        self.balance = (self.balance + more).min(ALLOWANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("short").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(FRAME_HEAD + payload, 0);
        frame
    }

    /// How many times `frames` may come within one moment, of 10,000.
    fn endured(frames: &[u8]) -> usize {
        let mut meter = Meter::new(0, Tick(0));
        (0..10_000).take_while(|_| meter.read(frames, || Tick(1)).is_ok()).count()
    }

    #[test]
    fn a_flood_of_frames_that_bring_nothing_ends() {
        let (ping, settings, priority, window) =
            (frame(6, 0, 8), frame(4, 0, 0), frame(2, 0, 5), frame(8, 0, 4));
        for frames in [ping, settings, priority, window, frame(0, 0, 0), frame(9, 0, 0), frame(0xb, 0, 3)] {
            assert_eq!(endured(&frames), 1000);
        }
    }

    #[test]
    fn requests_that_are_cancelled_at_once_end_sooner_than_they_would_alone() {
        assert_eq!(endured(&[frame(HEADERS, 5, 20), frame(RST_STREAM, 0, 4)].concat()), 499);
    }

    #[test]
    fn requests_and_uploads_go_on_and_on() {
        assert_eq!(endured(&frame(HEADERS, 5, 20)), 10_000);
        assert_eq!(endured(&[frame(DATA, 0, 100), frame(6, 0, 8)].concat()), 10_000);
        assert_eq!(endured(&[frame(HEADERS, 4, 20), frame(DATA, 1, 0), frame(8, 0, 4)].concat()), 10_000);
    }

    #[test]
    fn a_client_that_takes_what_it_asks_for_may_open_its_window_as_often_as_it_likes() {
        let mut meter = Meter::new(0, Tick(0));
        for _ in 0..10_000 {
            meter.wrote(16_384);
            assert_eq!(meter.read(&[frame(8, 0, 4), frame(8, 0, 4)].concat(), || Tick(1)), Ok(()));
        }
    }

    #[test]
    fn short_messages_pay_for_a_ping_each_and_pongs_do_not_pay_for_pings() {
        let (mut streaming, mut flooding) = (Meter::new(0, Tick(0)), Meter::new(0, Tick(0)));
        let ping = frame(6, 0, 8);
        let mut endured = 0;
        for _ in 0..10_000 {
            // A PONG, and a message of 10 bytes with the 5 that gRPC puts before it.
            streaming.wrote(17 + 9 + 15);
            assert_eq!(streaming.read(&ping, || Tick(1)), Ok(()));
            flooding.wrote(17);
            endured += u32::from(flooding.read(&ping, || Tick(1)).is_ok());
        }
        assert!(endured < 2500, "{endured}");
    }

    #[test]
    fn time_pays_for_a_ping_now_and_then() {
        let mut meter = Meter::new(0, Tick(0));
        for second in 0..5000 {
            assert_eq!(meter.read(&frame(6, 0, 8), || Tick(second * 1_000_000)), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn what_is_counted_does_not_depend_on_how_the_bytes_arrive(
            frames in prop::collection::vec((0_u8..12, 0_u8..8, 0_usize..40), 0..30),
            cut in 1_usize..30,
        ) {
            let bytes: Vec<u8> =
                frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload)).collect();
            let (mut whole, mut pieces) = (Meter::new(3, Tick(0)), Meter::new(3, Tick(0)));
            let bytes = [b"PRI".as_slice(), &bytes].concat();
            prop_assert_eq!(whole.read(&bytes, || Tick(0)), Ok(()));
            for piece in bytes.chunks(cut) {
                prop_assert_eq!(pieces.read(piece, || Tick(0)), Ok(()));
            }
            prop_assert_eq!(whole.balance, pieces.balance);
            prop_assert_eq!((whole.left, whole.filled), (0, 0));
            prop_assert_eq!((pieces.left, pieces.filled), (0, 0));
        }
    }
}
