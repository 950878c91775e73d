//! The line itself: places by priority and arrival, permissions, and who is called.

use std::collections::BTreeMap;

use super::{Bell, LOOK_AGAIN_US, Place, Shed, Terms, Ticket, Turn, Wish};
use crate::table::HIGHEST;
use crate::time::Tick;

const LANES: usize = HIGHEST as usize + 1;
/// While the first of a lane has not waited for this part of the longest wait, it goes first. Later the newest does: it
/// can still be answered in time, and the old ones could not all be. Sooner would be too soon: when hardly more comes
/// than goes, those who stand behind the newest would be shed although there is room for all.
const PATIENT: u64 = 2;

/// Everybody who waits for one pool.
#[derive(Debug)]
pub(super) struct Line<W> {
    /// By priority.
    lanes: [Lane<W>; LANES],
    count: u32,
    arrivals: u64,
    permissions: u64,
    /// The latest table of a request that was here, and how many of its requests wait for any endpoint.
    latest: (u64, u32),
    /// When somebody was called last.
    called_at: Tick,
    /// There was room, and everybody had been called already: the next one who enters looks for it.
    unclaimed: bool,
}

#[derive(Debug)]
struct Lane<W> {
    /// By arrival.
    waiters: BTreeMap<u64, Waiter<W>>,
    /// Those who wait for any endpoint.
    any: u32,
}

#[derive(Debug)]
struct Waiter<W> {
    wake: W,
    /// Of its table.
    generation: u64,
    wish: Wish,
    since: Tick,
    until: Tick,
    look_at: Tick,
    /// It may take an endpoint now.
    called: Option<Permission>,
    /// The latest permission that was of no use to it.
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Permission {
    number: u64,
    room: Room,
    /// For requests of this table and later ones: by earlier ones there is no room.
    since: u64,
}

/// Where there is room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// One more can go there.
    At(Place),
    /// Perhaps for several.
    Somewhere,
    /// Nobody said so: a waiter looks for itself.
    Unknown,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Lane { waiters: BTreeMap::new(), any: 0 }),
            count: 0,
            arrivals: 0,
            permissions: 0,
            latest: (0, 0),
            called_at: Tick(0),
            unclaimed: false,
        }
    }
}

impl<W> Line<W> {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// One more than the highest priority at which somebody waits for any endpoint.
    pub(super) fn front(&self) -> u32 {
        self.lanes.iter().rposition(|lane| lane.any > 0).map_or(0, |priority| priority as u32 + 1)
    }
}

impl<W: Bell> Line<W> {
    /// The second is whom to wake because it is shed instead.
    pub(super) fn enter(
        &mut self,
        terms: Terms,
        (priority, wish): (u32, Wish),
        now: Tick,
        wake: W,
    ) -> (Result<Ticket, Shed>, Option<W>) {
        let priority = priority.min(HIGHEST);
        let mut displaced = None;
        if self.count >= terms.length {
            self.drop_expired(now);
        }
        if self.count >= terms.length {
            displaced = self.displace(priority, now);
            if displaced.is_none() {
                return (Err(Shed::QueueFull), None);
            }
        }
        if terms.generation > self.latest.0 {
            self.latest = (terms.generation, 0);
        }
        // Those who wait have shown that there is no room, but only by their own tables.
        let is_first = self.front() == 0 || self.latest == (terms.generation, 0);
        // Room that was made after this request had looked, and before it stood here, was told to nobody.
        let looks = is_first || wish != Wish::Any || std::mem::take(&mut self.unclaimed);
        let called = looks.then(|| self.permit(Room::Unknown));
        self.arrivals += 1;
        self.count += 1;
        let until = Tick(now.0.saturating_add(terms.longest_us));
        let look_at = Tick(now.0 + LOOK_AGAIN_US);
        let generation = terms.generation;
        let waiter = Waiter { wake, generation, wish, since: now, until, look_at, called, refused: 0 };
        self.latest.1 += waiter.counts_for(self.latest.0);
        let lane = &mut self.lanes[priority as usize];
        lane.any += u32::from(wish == Wish::Any);
        lane.waiters.insert(self.arrivals, waiter);
        (Ok(Ticket { priority, number: self.arrivals, until }), displaced)
    }

    /// The second is whom to wake.
    pub(super) fn turn(&mut self, ticket: &Ticket, wake: &W, now: Tick) -> (Turn, Option<W>) {
        let Some(waiter) = self.waiter(ticket) else {
            let why = if now >= ticket.until { Shed::TooLong } else { Shed::Displaced };
            return (Turn::Shed(why), None);
        };
        if !waiter.wake.is_same(wake) {
            waiter.wake = wake.clone();
        }
        if now >= waiter.until {
            return (Turn::Shed(Shed::TooLong), self.leave(ticket, now));
        }
        if waiter.called.is_some() {
            return (Turn::Go, None);
        }
        let mut called = None;
        if now >= waiter.look_at {
            waiter.look_at = Tick(now.0 + LOOK_AGAIN_US);
            called = self.look_again(ticket, now);
        }
        match self.waiter(ticket) {
            Some(waiter) if waiter.called.is_none() => {
                (Turn::Wait { until: waiter.until.min(waiter.look_at) }, called)
            }
            _ => (Turn::Go, None),
        }
    }

    pub(super) fn again(&mut self, ticket: &Ticket, now: Tick) -> Option<W> {
        // Room that was made since it looked was told to nobody, because it had been called already.
        let looks = std::mem::take(&mut self.unclaimed).then(|| self.permit(Room::Unknown));
        let latest = self.latest;
        let waiter = self.waiter(ticket)?;
        let permission = std::mem::replace(&mut waiter.called, looks)?;
        waiter.refused = permission.number;
        match (waiter.wish, permission.room) {
            (_, Room::Unknown) => None,
            // Who could go anywhere and found no room has shown that there is none, but only by its own table.
            (Wish::Any, _) if waiter.generation >= latest.0 || latest.1 == 0 => None,
            (Wish::Any, _) => {
                let since = waiter.generation + 1;
                self.pass(Permission { since, ..permission }, now)
            }
            // Another one took it, who may have been called for room elsewhere: that is left.
            (Wish::Only(place), Room::At(room)) if place == room => {
                self.pass(Permission { room: Room::Somewhere, ..permission }, now)
            }
            _ => self.pass(permission, now),
        }
    }

    pub(super) fn went(&mut self, ticket: &Ticket, now: Tick) -> Option<W> {
        match self.remove(ticket)?.called?.room {
            Room::At(_) => None,
            // Who found some without being told exactly where may have found some of several.
            Room::Somewhere | Room::Unknown => self.call(Room::Somewhere, now),
        }
    }

    pub(super) fn leave(&mut self, ticket: &Ticket, now: Tick) -> Option<W> {
        let permission = self.remove(ticket)?.called?;
        self.pass(permission, now)
    }

    /// Gives a permission to whoever goes next, who must be woken.
    pub(super) fn call(&mut self, room: Room, now: Tick) -> Option<W> {
        let permission = self.permit(room);
        self.pass(permission, now)
    }

    fn permit(&mut self, room: Room) -> Permission {
        self.permissions += 1;
        Permission { number: self.permissions, room, since: 0 }
    }

    fn pass(&mut self, permission: Permission, now: Tick) -> Option<W> {
        let next = self.lanes.iter_mut().rev().find_map(|lane| lane.next(permission, now));
        let Some(waiter) = next else {
            self.unclaimed = self.count > 0;
            return None;
        };
        waiter.called = Some(permission);
        self.called_at = now;
        Some(waiter.wake.clone())
    }

    /// A waiter was not called for long: it looks by itself if it is hard to please, and otherwise whoever goes next
    /// does, if nobody has for as long.
    fn look_again(&mut self, ticket: &Ticket, now: Tick) -> Option<W> {
        let permission = self.permit(Room::Unknown);
        let quiet = now.since(self.called_at) >= LOOK_AGAIN_US;
        let waiter = self.waiter(ticket)?;
        if waiter.wish != Wish::Any {
            waiter.called = Some(permission);
            return None;
        }
        if quiet { self.call(Room::Somewhere, now) } else { None }
    }

    fn waiter(&mut self, ticket: &Ticket) -> Option<&mut Waiter<W>> {
        self.lanes[ticket.priority as usize].waiters.get_mut(&ticket.number)
    }

    fn remove(&mut self, ticket: &Ticket) -> Option<Waiter<W>> {
        self.take_out(ticket.priority as usize, ticket.number)
    }

    fn take_out(&mut self, lane: usize, number: u64) -> Option<Waiter<W>> {
        let gone = self.lanes[lane].remove(number)?;
        self.count -= 1;
        self.latest.1 -= gone.counts_for(self.latest.0);
        Some(gone)
    }

    /// Those who are shed at their next turn anyway make room for those who may still be answered.
    fn drop_expired(&mut self, now: Tick) {
        for lane in 0..LANES {
            while let Some((number, first)) = self.lanes[lane].waiters.first_key_value() {
                if now < first.until || first.called.is_some() {
                    break;
                }
                let number = *number;
                self.take_out(lane, number);
            }
        }
    }

    /// Sheds the last of the lowest priority, if that is lower than `priority`.
    fn displace(&mut self, priority: u32, now: Tick) -> Option<W> {
        let lower = self.lanes.iter().enumerate().take(priority as usize);
        let (lane, number) = lower
            .filter(|(_, lane)| !lane.waiters.is_empty())
            .find_map(|(at, lane)| Some((at, lane.last(now)?)))?;
        self.take_out(lane, number).map(|gone| gone.wake)
    }
}

impl<W> Lane<W> {
    /// Whom a permission is for: the first while it has not waited for long, the newest after that.
    fn next(&mut self, permission: Permission, now: Tick) -> Option<&mut Waiter<W>> {
        let suits = |waiter: &Waiter<W>| waiter.suits(permission, now);
        let (first, waiter) = self.waiters.iter().find(|(_, waiter)| suits(waiter))?;
        let chosen = if waiter.is_fresh(now) {
            *first
        } else {
            *self.waiters.iter().rev().find(|(_, waiter)| suits(waiter))?.0
        };
        self.waiters.get_mut(&chosen)
    }

    /// Who would be called last, and has not been called.
    fn last(&self, now: Tick) -> Option<u64> {
        let mut free = self.waiters.iter().filter(|(_, waiter)| waiter.called.is_none());
        let (first, oldest) = free.next()?;
        let newest = if oldest.is_fresh(now) { free.next_back() } else { None };
        Some(newest.map_or(*first, |(number, _)| *number))
    }

    fn remove(&mut self, number: u64) -> Option<Waiter<W>> {
        let gone = self.waiters.remove(&number)?;
        self.any -= u32::from(gone.wish == Wish::Any);
        Some(gone)
    }
}

impl<W> Waiter<W> {
    /// 1 if it is of this table and waits for any endpoint.
    fn counts_for(&self, generation: u64) -> u32 {
        u32::from(self.wish == Wish::Any && self.generation == generation)
    }

    fn is_fresh(&self, now: Tick) -> bool {
        now.since(self.since) <= self.until.since(self.since) / PATIENT
    }

    fn suits(&self, permission: Permission, now: Tick) -> bool {
        let there = match (self.wish, permission.room) {
            (Wish::Only(place), Room::At(room)) => place == room,
            _ => true,
        };
        there
            && self.called.is_none()
            && self.refused < permission.number
            && self.generation >= permission.since
            && now < self.until
    }
}
