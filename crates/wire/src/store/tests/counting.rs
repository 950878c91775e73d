//! Rate limits that several balancers share.

use super::{Program, Thread, run};
use crate::store::Unavailable;
use bascule_contract::protection;
use bascule_decide::limit::{Admission, LimitKey, LimitStates, Limited, RateLimit};
use bascule_decide::random::Random;
use bascule_decide::request::Request;
use bascule_decide::time::Tick;

pub(super) fn limit(requests: u64, per_ms: u64, burst: u64) -> RateLimit {
    let store = Some("shared".into());
    let wanted = protection::RateLimit { id: "all".into(), by: None, requests, per_ms, burst, store };
    LimitStates::seeded(1).limit("web", &wanted).expect("a limit")
}

fn key(limit: &RateLimit) -> LimitKey {
    let asked = Request {
        method: "GET",
        host: "",
        path: b"/",
        query: None,
        fields: &[],
        client: None,
        identity: None,
    };
    limit.key(&asked).expect("all requests have one key")
}

async fn admit(thread: &Thread, limit: &RateLimit) -> Result<Admission, Unavailable> {
    thread.stores.admit(limit, key(limit)).await
}

pub(super) async fn passes(thread: &Thread, limit: &RateLimit) -> bool {
    matches!(admit(thread, limit).await, Ok(Admission::Admitted { .. }))
}

/// What the server keeps, as if it had been written so long ago.
fn age(program: &Program, limit: &RateLimit, by_us: i64) {
    let name = format!("b:{}", limit.name_in_store(key(limit)));
    let kept = program.say(&format!("GET {name}"));
    let (lacking, since) = kept.split_once(' ').expect("two numbers");
    let since = since.parse::<i64>().expect("a time") - by_us;
    assert_eq!(program.say(&format!("SET {name} \"{lacking} {since}\"")), "+OK");
}

#[test]
fn two_balancers_together_let_through_what_one_would() {
    run(async {
        let program = Program::started(&[]);
        let (one, other) = (Thread::new(&program.store()), Thread::new(&program.store()));
        // So slow that nothing is earned meanwhile.
        let limit = limit(1, 3_600_000, 7);
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += u32::from(passes(&one, &limit).await) + u32::from(passes(&other, &limit).await);
        }
        assert_eq!(admitted, 7);
        assert!(one.told().is_empty() && other.told().is_empty());
    });
}

#[test]
fn a_store_says_what_a_bucket_here_would_say() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let limit = limit(1, 3_600_000, 2);
        let first = Admission::Admitted { limit: 2, remaining: 1, reset_ms: 3_600_000 };
        assert_eq!(admit(&thread, &limit).await, Ok(first));
        assert!(passes(&thread, &limit).await);
        let Ok(Admission::Limited(limited)) = admit(&thread, &limit).await else {
            panic!("the bucket is empty")
        };
        assert_eq!(limited.limit, 2);
        assert!((3_500_000..=3_600_000).contains(&limited.retry_after_ms), "{limited:?}");
        assert!((7_100_000..=7_200_000).contains(&limited.reset_ms), "{limited:?}");
    });
}

#[test]
fn a_key_earns_requests_while_it_is_idle_and_never_more_than_its_burst() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let limit = limit(1, 3_600_000, 3);
        while passes(&thread, &limit).await {}
        age(&program, &limit, 2 * 3_600_000_000);
        assert_eq!([passes(&thread, &limit).await, passes(&thread, &limit).await], [true, true]);
        assert!(!passes(&thread, &limit).await);
        age(&program, &limit, 1_000 * 3_600_000_000);
        let Ok(Admission::Admitted { remaining, .. }) = admit(&thread, &limit).await else {
            panic!("it is full")
        };
        assert_eq!(remaining, 2);
    });
}

#[test]
fn a_clock_that_was_set_back_neither_gives_requests_nor_locks_out() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let limit = limit(1, 3_600_000, 2);
        assert!(passes(&thread, &limit).await);
        // As if it had been counted a year from now.
        age(&program, &limit, -365 * 86_400_000_000);
        assert!(passes(&thread, &limit).await);
        assert!(!passes(&thread, &limit).await);
        age(&program, &limit, 3_600_000_000);
        assert!(passes(&thread, &limit).await);
    });
}

#[test]
fn a_bucket_that_is_full_again_is_not_kept() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let limit = limit(1, 3_600_000, 5);
        assert!(passes(&thread, &limit).await);
        let left = program.say(&format!("PTTL b:{}", limit.name_in_store(key(&limit))));
        let left: u64 = left[1..].parse().expect("a time");
        assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    });
}

#[test]
fn a_server_that_has_lost_its_scripts_is_given_them_again() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let limit = limit(1, 3_600_000, 2);
        assert!(passes(&thread, &limit).await);
        assert_eq!(program.say("SCRIPT FLUSH"), "+OK");
        assert!(passes(&thread, &limit).await);
        assert!(!passes(&thread, &limit).await);
        assert!(thread.told().is_empty());
    });
}

#[test]
fn a_value_that_is_no_bucket_counts_as_a_full_one() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let limit = limit(1, 3_600_000, 1);
        program.say(&format!("SET b:{} nonsense", limit.name_in_store(key(&limit))));
        assert!(passes(&thread, &limit).await);
        assert!(!passes(&thread, &limit).await);
    });
}

#[test]
fn a_limit_without_a_store_is_counted_elsewhere() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let mut limit = limit(1, 1_000, 1);
        limit.store = None;
        assert_eq!(admit(&thread, &limit).await, Err(Unavailable));
    });
}

/// The script under a clock of the test: it must agree with the buckets of `decide`, request by request.
#[test]
fn the_script_and_the_buckets_here_agree_about_every_request() {
    run(async {
        let program = Program::started(&[]);
        // The server's own clock plays no part: neither does it tell the time, nor when a bucket is forgotten.
        let mut timed = include_str!("../limit.lua").to_owned();
        for (own, tests) in [
            ("redis.call('TIME')", "{math.floor(ARGV[4] / 1000000), ARGV[4] % 1000000}"),
            ("math.max(1, reset))", "3600000)"),
        ] {
            assert_eq!(timed.matches(own).count(), 1, "{own}");
            timed = timed.replace(own, tests);
        }
        let script = redis::Script::new(&timed);
        let client = redis::Client::open(format!("unix:{}", program.socket())).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let mut random = Random::seeded(7);
        for round in 0..30 {
            let limit = limit(
                1 + random.below(50) as u64,
                1 + random.below(3_000) as u64,
                1 + random.below(9) as u64,
            );
            let rate = limit.rate;
            let mut now = 1_700_000_000_000_000;
            for _ in 0..60 {
                // An odd number of microseconds: a request that comes at the very moment may be rounded either way.
                now += (random.below(250) as u64 * rate.per_us / rate.requests / 100) | 1;
                let mut call = script.key(format!("round-{round}"));
                call.arg(rate.requests).arg(rate.per_us).arg(rate.burst).arg(now);
                let said: (bool, u64, u64, u64) =
                    call.invoke_async(&mut connection).await.expect("an answer");
                match limit.admit(key(&limit), Tick(now)) {
                    Admission::Admitted { remaining, reset_ms, .. } => {
                        assert_eq!(said, (true, remaining, 0, reset_ms), "{rate:?} at {now}");
                    }
                    Admission::Limited(Limited { retry_after_ms, reset_ms, .. }) => {
                        assert_eq!(said, (false, 0, retry_after_ms, reset_ms), "{rate:?} at {now}");
                    }
                }
            }
        }
    });
}
