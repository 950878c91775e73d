//! Tickets that let clients resume sessions: encrypted to ourselves, so that nothing is remembered here and all threads,
//! and all balancers that share keys, agree.
//!
//! A ticket carries what the client has proved. Its key is therefore made for one listener and for what that asks of
//! clients: where either differs it is worth nothing (CVE-2025-23419), and so it is once a revocation list changes.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use bascule_contract::tls::ListenerTls;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a ticket is good for, whoever has the key. As long as those of our own process.
const LIFETIME_S: u64 = 12 * 3600;
const NAME: usize = 16;
const NONCE: usize = 12;

/// What makes the tickets of each listener.
#[derive(Debug, Default)]
pub(crate) struct Ticketers {
    /// By listener and by what it asks of clients: these outlive snapshots.
    own: HashMap<(String, String), Arc<dyn ProducesTickets>>,
}

impl Ticketers {
    /// `None`: sessions are not resumed.
    pub(crate) fn ticketer(
        &mut self,
        listener: &str,
        wanted: &ListenerTls,
    ) -> Result<Option<Arc<dyn ProducesTickets>>, String> {
        let Some(tickets) = &wanted.tickets else { return Ok(None) };
        let asked = wanted.clients.as_ref().map_or(String::new(), |clients| {
            format!("{} {}", if clients.required { "required" } else { "optional" }, clients.authorities)
        });
        if !tickets.keys.is_empty() {
            let purpose = format!("{listener}\0{asked}");
            let keys = tickets.keys.iter().map(|secret| TicketKey::derive(secret.0.as_bytes(), &purpose));
            return Ok(Some(Arc::new(SharedTickets { keys: keys.collect::<Result<_, _>>()?, now: now_s })));
        }
        let own = match self.own.entry((listener.to_owned(), asked)) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => {
                let fresh = Ticketer::new().map_err(|error| format!("keys for tickets: {error}"))?;
                Arc::clone(place.insert(fresh))
            }
        };
        Ok(Some(own))
    }

    pub(crate) fn keep_only<'a>(&mut self, listeners: impl Iterator<Item = &'a str>) {
        let listeners: HashSet<&str> = listeners.collect();
        self.own.retain(|(listener, _), _| listeners.contains(listener.as_str()));
    }
}

/// Tickets with keys that somebody has given us, the first of which encrypts.
#[derive(Debug)]
struct SharedTickets {
    keys: Vec<TicketKey>,
    now: fn() -> u64,
}

struct TicketKey {
    /// In front of each ticket: which key it is for.
    name: [u8; NAME],
    key: RandomizedNonceKey,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl TicketKey {
    fn derive(secret: &[u8], purpose: &str) -> Result<Self, String> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive =
            |what: &str| hmac::sign(&secret, format!("bascule ticket 1 {what}\0{purpose}").as_bytes());
        let key = RandomizedNonceKey::new(&AES_256_GCM, derive("key").as_ref());
        let mut name = [0; NAME];
        name.copy_from_slice(&derive("name").as_ref()[..NAME]);
        Ok(Self { name, key: key.map_err(|_| "a key for tickets cannot be made".to_owned())? })
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME_S).unwrap_or(0)
    }

    /// Name, nonce, and what is sealed: the time, and the session.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let TicketKey { name, key } = self.keys.first()?;
        let mut sealed = [&(self.now)().to_be_bytes()[..], plain].concat();
        let nonce = key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([&name[..], nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let key = &self.keys.iter().find(|key| key.name == name)?.key;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = key.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?;
        let (issued, session) = opened.split_at_checked(8)?;
        let issued = u64::from_be_bytes(issued.try_into().ok()?);
        ((self.now)().abs_diff(issued) <= LIFETIME_S).then(|| session.to_vec())
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(secrets: &[&str], purpose: &str, now: fn() -> u64) -> SharedTickets {
        let keys = secrets.iter().map(|secret| TicketKey::derive(secret.as_bytes(), purpose).expect("made"));
        SharedTickets { keys: keys.collect(), now }
    }

    #[test]
    fn a_balancer_with_the_same_key_accepts_a_ticket_and_one_with_another_does_not() {
        let ticket = tickets(&["new"], "web", || 100).encrypt(b"session").expect("made");
        assert_eq!(tickets(&["newer", "new"], "web", || 100).decrypt(&ticket).expect("made"), b"session");
        assert_eq!(tickets(&["other"], "web", || 100).decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_is_for_one_listener_and_for_what_it_asks_of_clients() {
        let ticket = tickets(&["key"], "open\0", || 100).encrypt(b"session").expect("made");
        assert_eq!(tickets(&["key"], "open\0required a1", || 100).decrypt(&ticket), None);
        assert_eq!(tickets(&["key"], "other\0", || 100).decrypt(&ticket), None);
    }

    #[test]
    fn an_old_ticket_is_worth_nothing_although_its_key_is_still_here() {
        let ticket = tickets(&["key"], "web", || 100).encrypt(b"session").expect("made");
        assert!(tickets(&["key"], "web", || 100 + LIFETIME_S).decrypt(&ticket).is_some());
        assert_eq!(tickets(&["key"], "web", || 101 + LIFETIME_S).decrypt(&ticket), None);
    }

    #[test]
    fn no_bytes_that_were_changed_or_cut_are_taken_for_a_ticket() {
        let tickets = tickets(&["key"], "web", || 100);
        let ticket = tickets.encrypt(b"session").expect("made");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        assert!(!format!("{:?}", tickets(&["secret-key"], "web", || 0)).contains("secret"));
    }
}
