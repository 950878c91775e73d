use std::cell::RefCell;
use std::rc::Rc;

use bascule_contract::protection::Queue;

use super::{Bell, Place, Shed, Terms, Ticket, Turn, Waiting, Wish};
use crate::time::Tick;

#[derive(Clone)]
struct Number(u32, Rc<RefCell<Vec<u32>>>);

impl Bell for Number {
    fn ring(&self) {
        self.1.borrow_mut().push(self.0);
    }

    fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// A line of numbered waiters. Nobody has room but by being called.
struct Stand {
    waiting: Waiting<Number>,
    rung: Rc<RefCell<Vec<u32>>>,
    terms: Terms,
    tickets: Vec<Option<Ticket>>,
    now: Tick,
}

impl Stand {
    fn new(length: u32, longest_ms: u64) -> Self {
        Self {
            waiting: Waiting::default(),
            rung: Rc::default(),
            terms: Terms { generation: 1, length, longest_us: longest_ms * 1_000 },
            tickets: Vec::new(),
            now: Tick(1_000_000),
        }
    }

    fn bell(&self, number: u32) -> Number {
        Number(number, Rc::clone(&self.rung))
    }

    fn try_enter(&mut self, priority: u32, wish: Wish) -> Result<u32, Shed> {
        let number = self.tickets.len() as u32;
        let ticket = self.waiting.enter(self.terms, (priority, wish), self.now, self.bell(number))?;
        self.tickets.push(Some(ticket));
        if self.turn(number) == Turn::Go {
            self.again(number);
        }
        Ok(number)
    }

    /// Enters, and has looked in vain.
    fn enter(&mut self, priority: u32) -> u32 {
        self.try_enter(priority, Wish::Any).unwrap()
    }

    fn turn(&self, number: u32) -> Turn {
        let ticket = self.tickets[number as usize].as_ref().unwrap();
        self.waiting.turn(ticket, &self.bell(number), self.now)
    }

    fn again(&self, number: u32) {
        self.waiting.again(self.tickets[number as usize].as_ref().unwrap(), self.now);
    }

    fn went(&mut self, number: u32) {
        assert_eq!(self.turn(number), Turn::Go);
        self.waiting.went(self.tickets[number as usize].take().unwrap(), self.now);
    }

    fn leave(&mut self, number: u32) {
        self.waiting.leave(self.tickets[number as usize].take().unwrap(), self.now);
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
    }

    /// Who is woken by room at an endpoint.
    fn room(&self) -> Vec<u32> {
        self.room_at(1)
    }

    fn room_at(&self, place: usize) -> Vec<u32> {
        self.waiting.has_room(Place(place), self.now);
        self.rung.take()
    }
}

#[test]
fn the_first_goes_first_until_it_has_waited_for_half_of_the_longest_wait() {
    let mut stand = Stand::new(100, 50);
    let [a, b, c] = [0; 3].map(|priority| stand.enter(priority));
    stand.pass_ms(25);
    assert_eq!(stand.room(), [a]);
    stand.pass_ms(1);
    assert_eq!(stand.room(), [c]);
    assert_eq!((stand.turn(a), stand.turn(c)), (Turn::Go, Turn::Go));
    assert!(matches!(stand.turn(b), Turn::Wait { .. }));
}

#[test]
fn higher_priorities_go_first_however_late_they_come() {
    let mut stand = Stand::new(100, 1_000);
    let (low, high) = (stand.enter(3), stand.enter(7));
    assert_eq!((stand.room(), stand.room()), (vec![high], vec![low]));
}

#[test]
fn room_calls_one_waiter_each() {
    let mut stand = Stand::new(100, 1_000);
    let [a, b] = [5; 2].map(|priority| stand.enter(priority));
    assert_eq!((stand.room(), stand.room(), stand.room()), (vec![a], vec![b], vec![]));
    stand.went(a);
    stand.went(b);
    assert_eq!((stand.waiting.count(), stand.rung.take()), (0, vec![]));
}

#[test]
fn a_permission_outlives_the_waiter_that_held_it() {
    let mut stand = Stand::new(100, 1_000);
    let [a, b] = [5; 2].map(|priority| stand.enter(priority));
    assert_eq!(stand.room(), [a]);
    stand.leave(a);
    assert_eq!(stand.rung.take(), [b]);
    stand.went(b);
}

#[test]
fn a_waiter_whose_time_is_over_while_it_is_called_passes_the_permission_on() {
    let mut stand = Stand::new(100, 50);
    let a = stand.enter(5);
    stand.pass_ms(20);
    let b = stand.enter(5);
    assert_eq!(stand.room(), [a]);
    stand.pass_ms(30);
    assert_eq!(stand.turn(a), Turn::Shed(Shed::TooLong));
    assert_eq!(stand.rung.take(), [b]);
}

#[test]
fn room_that_is_made_between_looking_and_entering_is_found() {
    let stand = &mut Stand::new(100, 1_000);
    let first = stand.waiting.enter(stand.terms, (5, Wish::Any), stand.now, stand.bell(0)).unwrap();
    assert_eq!(stand.waiting.turn(&first, &stand.bell(0), stand.now), Turn::Go, "nobody could tell it");
    // While it looks, an endpoint gets room: there is nobody to call.
    assert!(stand.room().is_empty());
    let second = stand.waiting.enter(stand.terms, (5, Wish::Any), stand.now, stand.bell(1)).unwrap();
    assert_eq!(stand.waiting.turn(&second, &stand.bell(1), stand.now), Turn::Go);
    // The same, and nobody comes: whoever has looked looks once more.
    assert!(stand.room().is_empty());
    stand.waiting.again(&first, stand.now);
    assert_eq!(stand.waiting.turn(&first, &stand.bell(0), stand.now), Turn::Go);
    stand.waiting.again(&first, stand.now);
    assert!(matches!(stand.waiting.turn(&first, &stand.bell(0), stand.now), Turn::Wait { .. }));
    stand.waiting.leave(first, stand.now);
    stand.waiting.leave(second, stand.now);
}

#[test]
fn room_that_nobody_tells_of_is_found_within_20_ms() {
    let mut stand = Stand::new(100, 1_000);
    let [a, b] = [5; 2].map(|priority| stand.enter(priority));
    assert_eq!(stand.turn(b), Turn::Wait { until: stand.now.after_ms(20) });
    stand.pass_ms(20);
    assert!(matches!(stand.turn(b), Turn::Wait { .. }));
    assert_eq!(stand.rung.take(), [a], "the one whose timer rings finds out for the one who goes next");
    stand.went(a);
    assert_eq!(stand.rung.take(), [b], "there may be room for more");
    stand.again(b);
    assert!(matches!(stand.turn(b), Turn::Wait { .. }));
}

#[test]
fn who_finds_room_that_nobody_told_of_lets_the_next_one_look_too() {
    let mut stand = Stand::new(100, 1_000);
    let first = stand.waiting.enter(stand.terms, (5, Wish::Any), stand.now, stand.bell(0)).unwrap();
    assert_eq!(stand.waiting.turn(&first, &stand.bell(0), stand.now), Turn::Go);
    stand.tickets.push(Some(first));
    let second = stand.enter(5);
    stand.went(0);
    assert_eq!(stand.rung.take(), [second]);
}

#[test]
fn who_waits_for_any_endpoint_looks_once_more_although_others_wait_for_one() {
    let mut stand = Stand::new(100, 1_000);
    stand.try_enter(5, Wish::Only(Place(7))).unwrap();
    let any = stand.waiting.enter(stand.terms, (5, Wish::Any), stand.now, stand.bell(9)).unwrap();
    assert_eq!(stand.waiting.turn(&any, &stand.bell(9), stand.now), Turn::Go);
    stand.waiting.leave(any, stand.now);
}

#[test]
fn what_may_be_room_for_several_calls_until_one_finds_none() {
    let mut stand = Stand::new(100, 1_000);
    let [a, b, c] = [5; 3].map(|priority| stand.enter(priority));
    stand.waiting.may_have_room(stand.now);
    stand.went(a);
    assert_eq!(stand.turn(b), Turn::Go);
    stand.again(b);
    assert!(matches!(stand.turn(c), Turn::Wait { .. }));
    assert_eq!(stand.rung.take(), [a, b]);
}

#[test]
fn who_waits_for_one_endpoint_stands_in_nobodys_way() {
    let mut stand = Stand::new(100, 1_000);
    let strict = stand.try_enter(5, Wish::Only(Place(7))).unwrap();
    assert!(!stand.waiting.must_queue(0));
    let any = stand.enter(5);
    assert_eq!(stand.room_at(1), [any]);
    assert_eq!(stand.room_at(7), [strict]);
}

#[test]
fn room_that_one_waiter_cannot_use_goes_to_the_next() {
    let mut stand = Stand::new(100, 1_000);
    let [a, b] = [0; 2].map(|_| stand.try_enter(5, Wish::Other).unwrap());
    let c = stand.enter(5);
    assert_eq!(stand.room(), [a]);
    stand.again(a);
    stand.again(b);
    assert_eq!(stand.rung.take(), [b, c], "nobody is asked twice");
    stand.again(c);
    assert!(stand.rung.take().is_empty());
}

#[test]
fn who_finds_its_room_taken_lets_the_next_one_look_for_what_the_taker_was_called_for() {
    let mut stand = Stand::new(100, 1_000);
    let strict = stand.try_enter(5, Wish::Only(Place(7))).unwrap();
    let [a, b] = [5; 2].map(|priority| stand.enter(priority));
    assert_eq!((stand.room_at(1), stand.room_at(7)), (vec![a], vec![strict]));
    // It was called for 1, and takes 7.
    stand.went(a);
    stand.again(strict);
    assert_eq!(stand.rung.take(), [b]);
}

#[test]
fn room_that_only_a_later_table_knows_of_is_found_although_others_wait_before() {
    let mut stand = Stand::new(100, 1_000);
    let [a, b] = [5; 2].map(|priority| stand.enter(priority));
    stand.terms.generation = 2;
    let first = stand.waiting.enter(stand.terms, (5, Wish::Any), stand.now, stand.bell(2)).unwrap();
    assert_eq!(stand.waiting.turn(&first, &stand.bell(2), stand.now), Turn::Go, "it looks for itself");
    stand.waiting.again(&first, stand.now);
    stand.tickets.push(Some(first));
    let second = stand.waiting.enter(stand.terms, (5, Wish::Any), stand.now, stand.bell(3)).unwrap();
    assert!(matches!(stand.waiting.turn(&second, &stand.bell(3), stand.now), Turn::Wait { .. }));
    assert_eq!(stand.room(), [a]);
    stand.again(a);
    assert_eq!(stand.rung.take(), [2], "what is no room by an older table may be some by a later one");
    stand.again(2);
    assert!(stand.rung.take().is_empty(), "{b} is of the older table, and 3 would find no more than 2");
    stand.waiting.leave(second, stand.now);
}

#[test]
fn nobody_overtakes_waiters_of_the_same_or_a_higher_priority() {
    let mut stand = Stand::new(100, 1_000);
    assert!(!stand.waiting.must_queue(0));
    let a = stand.enter(5);
    assert_eq!([4, 5, 6].map(|priority| stand.waiting.must_queue(priority)), [true, true, false]);
    stand.room();
    assert!(stand.waiting.must_queue(5), "the one that was called has not gone yet");
    stand.went(a);
    assert!(!stand.waiting.must_queue(0));
}

#[test]
fn a_full_line_sheds_who_comes_unless_it_goes_before_somebody() {
    let mut stand = Stand::new(2, 50);
    let [a, b] = [3; 2].map(|priority| stand.enter(priority));
    assert_eq!(stand.try_enter(3, Wish::Any), Err(Shed::QueueFull));
    let c = stand.enter(4);
    assert_eq!(stand.rung.take(), [b], "the last of the lowest");
    assert_eq!(stand.turn(b), Turn::Shed(Shed::Displaced));
    stand.pass_ms(26);
    stand.enter(4);
    assert_eq!(stand.turn(a), Turn::Shed(Shed::Displaced));
    assert!(matches!(stand.turn(c), Turn::Wait { .. }));
    assert_eq!(stand.waiting.count(), 2);
}

#[test]
fn those_whose_time_is_over_keep_nobody_out() {
    let mut stand = Stand::new(1, 10);
    let a = stand.enter(5);
    stand.pass_ms(10);
    let b = stand.enter(5);
    assert_eq!(stand.turn(a), Turn::Shed(Shed::TooLong));
    assert_eq!(stand.room(), [b]);
}

#[test]
fn half_of_the_service_level_is_waited_for_but_no_longer_than_the_queue_allows() {
    let terms = |level_ms, wait_ms, usual_us| {
        let queue = Queue { length: 9, wait_ms, service_level_ms: level_ms };
        Terms::of(&queue, usual_us, 1).longest_us
    };
    assert_eq!(terms(Some(200), 5_000, Some(1)), 100_000);
    assert_eq!(terms(Some(200), 50, None), 50_000);
    assert_eq!(terms(None, 5_000, Some(20_000)), 100_000);
    assert_eq!(terms(None, 5_000, Some(100)), 20_000);
    assert_eq!(terms(None, 5_000, Some(900_000)), 1_000_000);
    assert_eq!(terms(None, 5_000, None), 1_000_000);
    assert_eq!(terms(Some(u64::MAX), u64::MAX, None), u64::MAX);
}
