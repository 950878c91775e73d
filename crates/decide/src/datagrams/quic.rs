//! QUIC by what every version of it shows (RFC 8999): which endpoint a connection id belongs to.
//!
//! Endpoints choose the ids that clients send to. The first one stands in clear in the packets by which a connection
//! begins, and is learned there. A client whose address changes without its knowledge (a router forgets it) goes on with that
//! id: its datagrams go to the same endpoint. Later ids are encrypted (NEW_CONNECTION_ID), and cannot be learned: a client
//! that moves on purpose uses one of those (RFC 9000, 9.5).

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::sessions;

use crate::sessions::key::SessionKey;
use crate::sessions::table::SessionTable;
use crate::time::Tick;

/// The longest id of the versions that are spoken today.
const LONGEST: usize = 20;
/// Shorter ids are too likely to be chosen twice.
const SHORTEST: usize = 4;
/// Connections that are remembered; the ones that were looked for least recently make room.
const MOST: u32 = 131_072;
/// An id that nobody looks for is forgotten.
const EXPIRY_MS: u64 = 24 * 3_600_000;

/// The ids of connections, and the endpoints that have chosen them. Shared by threads.
#[derive(Debug)]
pub struct ConnectionIds {
    endpoints: SessionTable,
    /// Bit n: an id of n bytes has been learned. In short headers an id does not say where it ends.
    lengths: AtomicU32,
}

/// The ids in a packet with a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Long<'a> {
    version: u32,
    destination: &'a [u8],
    source: &'a [u8],
}

impl ConnectionIds {
    /// None are known. Clients should not know the seed.
    pub fn seeded(seed: u64) -> Self {
        let wanted = sessions::SessionTable { expiry_ms: EXPIRY_MS, entries: MOST, store: None };
        let endpoints = SessionTable::compile(&wanted, seed).expect("these numbers make a table");
        Self { endpoints, lengths: AtomicU32::new(0) }
    }

    /// An endpoint has sent this: the id that it has chosen is its own from now on. Most datagrams show none.
    pub fn learn(&self, datagram: &[u8], endpoint: &Arc<str>, now: Tick) {
        let Some(Long { version, source, .. }) = read_long(datagram) else { return };
        // Version negotiation (0) has no id of the endpoint's choice.
        if version == 0 || !(SHORTEST..=LONGEST).contains(&source.len()) {
            return;
        }
        self.lengths.fetch_or(1 << source.len(), Relaxed);
        self.endpoints.remember(key(source), endpoint, now);
    }

    /// The endpoint that has chosen the id to which a client sends.
    pub fn find(&self, datagram: &[u8], now: Tick) -> Option<Arc<str>> {
        if let Some(Long { destination, .. }) = read_long(datagram) {
            return self.endpoints.find(key(destination), now);
        }
        let rest = datagram.get(1..)?;
        let lengths = self.lengths.load(Relaxed);
        let known = (SHORTEST..=LONGEST).rev().filter(|length| lengths & (1 << length) != 0);
        known.filter_map(|length| rest.get(..length)).find_map(|id| self.endpoints.find(key(id), now))
    }
}

fn key(id: &[u8]) -> SessionKey {
    SessionKey::of("quic", id)
}

/// Reads a long header; `None` where it is a short one, or does not hold what it says.
fn read_long(datagram: &[u8]) -> Option<Long<'_>> {
    let (first, rest) = datagram.split_first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (destination, rest) = read_id(rest)?;
    let (source, _) = read_id(rest)?;
    Some(Long { version: u32::from_be_bytes(*version), destination, source })
}

fn read_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases;

    fn long(version: u32, destination: &[u8], source: &[u8]) -> Vec<u8> {
        let mut packet = vec![0xc3];
        packet.extend(version.to_be_bytes());
        for id in [destination, source] {
            packet.push(id.len() as u8);
            packet.extend(id);
        }
        packet.extend(b"the rest is encrypted");
        packet
    }

    fn short(destination: &[u8]) -> Vec<u8> {
        [&[0x43], destination, b"encrypted"].concat()
    }

    fn learned(answers: &[(&str, Vec<u8>)]) -> ConnectionIds {
        let ids = ConnectionIds::seeded(7);
        for (endpoint, answer) in answers {
            ids.learn(answer, &Arc::from(*endpoint), Tick(1));
        }
        ids
    }

    fn found(ids: &ConnectionIds, datagram: &[u8]) -> Option<String> {
        ids.find(datagram, Tick(2)).map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn datagrams_go_to_the_endpoint_that_has_chosen_their_id_whatever_its_length() {
        let ids = learned(&[
            ("a", long(1, b"client", b"eight by")),
            ("b", long(1, b"client", b"id of eighteen byt")),
        ]);
        assert_eq!(found(&ids, &short(b"eight by")).as_deref(), Some("a"));
        assert_eq!(found(&ids, &short(b"id of eighteen byt")).as_deref(), Some("b"));
        assert_eq!(found(&ids, &long(1, b"eight by", b"")).as_deref(), Some("a"));
        assert_eq!(found(&ids, &short(b"another!")), None);
        assert_eq!(found(&ids, &long(1, b"random of the client", b"client")), None);
    }

    #[test]
    fn what_an_endpoint_has_not_chosen_is_not_learned() {
        let ids = learned(&[
            ("a", long(0, b"client", b"of the client")),
            ("a", long(1, b"client", b"")),
            ("a", long(1, b"client", b"abc")),
            ("a", short(b"eight by")),
        ]);
        for id in [&b"of the client"[..], b"abc", b"eight by", b"client"] {
            assert_eq!(found(&ids, &short(id)), None);
        }
    }

    proptest! {
        #![proptest_config(cases::fixed(500))]

        #[test]
        fn any_bytes_are_read_and_only_what_is_there(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let ids = learned(&[("a", long(1, b"", b"eight by"))]);
            ids.learn(&bytes, &Arc::from("b"), Tick(1));
            let _ = ids.find(&bytes, Tick(2));
            if let Some(Long { destination, source, .. }) = read_long(&bytes) {
                prop_assert!(bytes.len() >= 7 + destination.len() + source.len());
            }
        }
    }
}
