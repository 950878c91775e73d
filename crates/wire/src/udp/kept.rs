//! The first datagrams of flows that have no answer yet, in case another endpoint has to be asked: the latest ones, in a
//! ring of fixed size. However many flows begin, no more memory is taken.

use crate::udp::batch::Datagram;

/// Bytes that are kept.
const ROOM: usize = 256 * 1024;

/// Where a datagram was put.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// Bytes that were put before it, ever.
    at: u64,
    length: usize,
    segment: Option<u16>,
}

/// The ring.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    /// Bytes that were put, ever.
    put: u64,
}

impl Kept {
    /// Keeps a datagram for a while.
    pub(crate) fn put(&mut self, datagram: Datagram<'_>) -> Mark {
        let Datagram { bytes: datagram, segment, .. } = datagram;
        if self.bytes.is_empty() {
            self.bytes = vec![0; ROOM];
        }
        let begin = (self.put % ROOM as u64) as usize;
        if begin + datagram.len() > ROOM {
            // A datagram lies in one piece.
            self.put += (ROOM - begin) as u64;
        }
        let mark = Mark { at: self.put, length: datagram.len(), segment };
        let begin = (self.put % ROOM as u64) as usize;
        if let Some(place) = self.bytes.get_mut(begin..begin + datagram.len()) {
            place.copy_from_slice(datagram);
            self.put += datagram.len() as u64;
        }
        mark
    }

    /// The datagram, unless newer ones have taken its place.
    pub(crate) fn find(&self, mark: Mark) -> Option<Datagram<'_>> {
        let begin = (mark.at % ROOM as u64) as usize;
        let is_there = mark.at + mark.length as u64 <= self.put && self.put - mark.at <= ROOM as u64;
        let bytes = is_there.then(|| self.bytes.get(begin..begin + mark.length)).flatten()?;
        Some(Datagram { segment: mark.segment, ..Datagram::single(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_datagrams_are_found_as_they_were_and_older_ones_not_at_all() {
        let mut kept = Kept::default();
        let datagram = |at: usize| vec![at as u8; (at * 7919) % 3_000];
        let marks: Vec<Mark> = (0..1_000).map(|at| kept.put(Datagram::single(&datagram(at)))).collect();
        let found: Vec<usize> = (0..1_000).filter(|at| kept.find(marks[*at]).is_some()).collect();
        assert!(found.len() > 100 && found.len() < 300, "{}", found.len());
        assert_eq!(found.last(), Some(&999));
        assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a run up to the latest");
        for at in found {
            assert_eq!(kept.find(marks[at]).expect("it was found").bytes, datagram(at));
        }
        assert_eq!(kept.bytes.len(), ROOM);
    }

    #[test]
    fn an_empty_datagram_is_one_too() {
        let mut kept = Kept::default();
        let mark = kept.put(Datagram::single(b""));
        assert_eq!(kept.find(mark).map(|kept| kept.count()), Some(1));
    }
}
