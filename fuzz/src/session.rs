//! Laws of session cookies: what was issued is a session and nothing else is, whatever stands around it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use bascule_contract::sessions::{IssuedCookie, KeyBy, SameSite, Secret};
use bascule_decide::balance::{Key, Slot};
use bascule_decide::random::Random;
use bascule_decide::request::Request;
use bascule_decide::sessions::cookie::{Claim, IssuedCookies};
use bascule_decide::sessions::key::{KeySource, hash};
use bascule_decide::sessions::syntax::learned_cookie;
use bascule_decide::sessions::tags::Tags;
use httparse::Header;

use crate::LONGEST;

const NAME: &str = "bascule";
const ENDPOINTS: [&str; 3] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
const NOW: u64 = 1_764_000_000;
/// Cookies of the name that are looked at in one request.
const MOST_TRIED: usize = 8;

/// A balancer, and every cookie that it has issued: the corpus has all of them.
struct Balancer {
    cookies: IssuedCookies,
    tags: Tags,
    issued: Vec<(Vec<u8>, Slot)>,
}

/// One that signs and one that encrypts, with the same keys: each takes what the other issued, to replace it.
static BALANCERS: LazyLock<[Balancer; 2]> = LazyLock::new(|| [false, true].map(balancer));

/// Reads `bytes` as the value of a `Cookie` field and of a `Set-Cookie` field and checks what came of it.
pub fn session(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let fields = [Header { name: "Cookie", value: bytes }];
    let values = values(bytes);
    let session = values.iter().take(MOST_TRIED).find_map(|value| issuer_of(value));
    for (own, balancer) in BALANCERS.iter().enumerate() {
        match (balancer.cookies.read(&fields, NOW), session) {
            (Claim::Endpoint { tag, renew }, Some((issuer, slot))) => {
                assert_eq!((balancer.tags.slot(tag), renew), (Some(slot), issuer != own));
            }
            (Claim::Refused, None) => assert!(!values.is_empty()),
            (Claim::None, None) => assert!(values.is_empty()),
            (claim, session) => panic!("{claim:?}, but {session:?} was issued"),
        }
    }
    first_cookie_is_the_key(&fields, values.first().copied().unwrap_or_default());
    assert_eq!(learned_cookie(bytes, NAME.as_bytes()), learned(bytes));
}

/// Which balancer issued this token, and for which endpoint.
fn issuer_of(value: &[u8]) -> Option<(usize, Slot)> {
    BALANCERS.iter().enumerate().find_map(|(number, balancer)| {
        let (_, slot) = balancer.issued.iter().find(|(token, _)| token == value)?;
        Some((number, *slot))
    })
}

fn first_cookie_is_the_key(fields: &[Header<'_>], first: &[u8]) {
    let source = KeySource::compile(&KeyBy::Cookie { name: NAME.into() }).expect("a token");
    let client = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let asked = Request { method: "GET", host: "a.example", path: b"/", query: None, fields, client, identity: None };
    let found = source.find(&asked);
    assert_eq!(found.as_deref(), (!first.is_empty()).then_some(first));
    assert!(found.is_none_or(|key| hash(&key) != Key::NONE));
}

fn balancer(encrypted: bool) -> Balancer {
    let cookie = IssuedCookie {
        name: NAME.into(),
        path: "/".into(),
        domain: None,
        secure: false,
        http_only: true,
        same_site: SameSite::Lax,
        lifetime_ms: None,
        keys: ["the key of this year", "the key of last year"].map(|key| Secret(key.into())).into(),
        encrypted,
    };
    let cookies = IssuedCookies::compile(&cookie, "api").expect("a sound cookie");
    let tags = Tags::compile(&cookies, ENDPOINTS);
    let issue = |slot: Slot| {
        let mut line = Vec::new();
        cookies.issue(tags.tag(slot), NOW, &mut Random::seeded(1), &mut line);
        assert_eq!(
            learned_cookie(&line, NAME.as_bytes()).map(<[u8]>::len),
            Some(if encrypted { 76 } else { 44 })
        );
        (values(&line)[0].to_vec(), slot)
    };
    let issued = [Slot(0), Slot(1), Slot(2)].map(issue).into();
    Balancer { cookies, tags, issued }
}

/// A second reading: name, equals sign, value, and blanks wherever somebody put them.
fn values(line: &[u8]) -> Vec<&[u8]> {
    line.split(|byte| *byte == b';').filter_map(|pair| pair_of_our_name(pair).map(unquoted)).collect()
}

fn pair_of_our_name(pair: &[u8]) -> Option<&[u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    (pair[..equals].trim_ascii() == NAME.as_bytes()).then(|| pair[equals + 1..].trim_ascii())
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

fn learned(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.split(|byte| *byte == b';');
    let value = unquoted(pair_of_our_name(parts.next()?)?);
    let (mut age, mut date) = (None, None);
    for part in parts {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let said = String::from_utf8_lossy(halves.next().unwrap_or_default().trim_ascii()).into_owned();
        let digits = said.strip_prefix('-').unwrap_or(&said);
        if name == b"expires" {
            date = Some(said);
        } else if name == b"max-age" && !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) {
            age = Some(said);
        }
    }
    let is_over = match (age, date) {
        (Some(age), _) => age.starts_with('-') || age.trim_matches('0').is_empty(),
        (None, Some(date)) => date.split([' ', '-']).any(|word| word == "1970" || word == "70"),
        (None, None) => false,
    };
    (!value.is_empty() && !is_over).then_some(value)
}
