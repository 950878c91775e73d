//! The cookie that we issue: it names the endpoint of a session, and nothing has to be remembered for it.

use std::fmt;

use bascule_contract::sessions::{IssuedCookie, SameSite};

use crate::edits::is_token;
use crate::random::Random;
use crate::sessions::EndpointTag;
use crate::sessions::syntax;
use crate::sessions::token::{Content, Form, SealingKey, Token};

/// How one pool's cookies are written and read. Every balancer with the key and a pool of that id agrees.
pub struct IssuedCookies {
    name: Box<str>,
    /// What follows the token.
    attributes: Box<str>,
    lifetime_s: Option<u64>,
    form: Form,
    /// The first one seals.
    keys: Vec<SealingKey>,
}

/// What the cookies of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// There is none of this name.
    None,
    /// The session is on this endpoint.
    Endpoint {
        /// For [`crate::sessions::tags::Tags::slot`].
        tag: EndpointTag,
        /// Issue it again, even if the session stays: an older key or the other form sealed it, or half of its lifetime is over.
        renew: bool,
    },
    /// There is one that was changed, is too old, or was not made with our keys for this pool: as if there were none.
    Refused,
}

/// Shorter secrets can be found by trying: whoever has a cookie can tell whether a guess is right.
const SHORTEST_KEY: usize = 16;

/// Cookies of the name that are looked at. More than one is sent where they were set for several paths or domains
/// (RFC 6265, 5.4); a client that sends hundreds shall not make us verify hundreds.
const MOST_TRIED: usize = 8;

impl IssuedCookies {
    /// Compiles `cookie` for the pool of this id. Refuses what browsers would not store, and weak keys.
    pub fn compile(cookie: &IssuedCookie, pool: &str) -> Result<Self, String> {
        check_attributes(cookie)?;
        check_prefix(cookie)?;
        check_keys(cookie)?;
        let lifetime_s = cookie.lifetime_ms.map(|ms| ms / 1000);
        if lifetime_s == Some(0) {
            return Err("a lifetime below one second takes the cookie away; give it at least 1s".into());
        }
        Ok(Self {
            name: cookie.name.as_str().into(),
            attributes: attributes(cookie, lifetime_s).into(),
            lifetime_s,
            form: if cookie.encrypted { Form::Encrypted } else { Form::Signed },
            keys: cookie.keys.iter().map(|key| SealingKey::derive(&key.0, pool)).collect(),
        })
    }

    /// What the cookies in `fields` say at this time, in seconds since 1970. Total on any bytes.
    ///
    /// Where several cookies have the name, the first that holds counts. Within one lifetime before or after it was issued
    /// a cookie is taken: the lifetime is the reader's, and clocks may differ.
    pub fn read(&self, fields: &[httparse::Header<'_>], now_s: u64) -> Claim {
        let mut claim = Claim::None;
        for value in syntax::values(fields, self.name.as_bytes()).take(MOST_TRIED) {
            if let Some(held) = self.judge(value, now_s) {
                return held;
            }
            claim = Claim::Refused;
        }
        claim
    }

    /// Appends the value of the `Set-Cookie` field that puts a session on an endpoint, from this second on.
    ///
    /// `random` need not be unpredictable. Allocates nothing when `out` has room.
    pub fn issue(&self, tag: EndpointTag, now_s: u64, random: &mut Random, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'=');
        self.keys[0].seal(self.form, Content { tag, issued_s: now_s }, random, out);
        out.extend_from_slice(self.attributes.as_bytes());
    }

    /// What the keys call this endpoint, the first key first.
    pub(super) fn tags_of(&self, endpoint: &str) -> impl Iterator<Item = EndpointTag> {
        self.keys.iter().map(move |key| key.tag(endpoint))
    }

    fn judge(&self, value: &[u8], now_s: u64) -> Option<Claim> {
        let token = Token::decode(value)?;
        let opened = |(order, key): (usize, &SealingKey)| Some((order, key.open(&token)?));
        let (order, Content { tag, issued_s }) = self.keys.iter().enumerate().find_map(opened)?;
        let age = now_s.abs_diff(issued_s);
        if self.lifetime_s.is_some_and(|lifetime| age > lifetime) {
            return None;
        }
        let is_half_over = self.lifetime_s.is_some_and(|lifetime| age > lifetime / 2);
        Some(Claim::Endpoint { tag, renew: order > 0 || token.form() != self.form || is_half_over })
    }
}

impl fmt::Debug for IssuedCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…{}", self.name, self.attributes)
    }
}

fn attributes(cookie: &IssuedCookie, lifetime_s: Option<u64>) -> String {
    let mut text = format!("; Path={}", cookie.path);
    if let Some(domain) = &cookie.domain {
        text += &format!("; Domain={domain}");
    }
    if let Some(lifetime) = lifetime_s {
        text += &format!("; Max-Age={lifetime}");
    }
    if cookie.secure {
        text += "; Secure";
    }
    if cookie.http_only {
        text += "; HttpOnly";
    }
    text + match cookie.same_site {
        SameSite::Strict => "; SameSite=Strict",
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
    }
}

fn check_attributes(cookie: &IssuedCookie) -> Result<(), String> {
    let IssuedCookie { name, path, domain, .. } = cookie;
    if !is_token(name) {
        return Err(format!("\"{name}\" is not a name of a cookie (RFC 6265, 4.1.1)"));
    }
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return Err(format!("path \"{path}\" must begin with / and be ASCII without semicolons"));
    }
    if let Some(domain) = domain {
        let labels = domain.strip_prefix('.').unwrap_or(domain).split('.');
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !labels.into_iter().all(is_label) {
            return Err(format!("domain \"{domain}\" is not a host; write it like example.com"));
        }
    }
    if cookie.same_site == SameSite::None && !cookie.secure {
        return Err("browsers drop a cookie with SameSite=None that is not secure; set secure".into());
    }
    Ok(())
}

/// RFC 6265bis, 4.1.3: browsers drop cookies that do not keep what the prefix of their name promises.
fn check_prefix(cookie: &IssuedCookie) -> Result<(), String> {
    let name = cookie.name.to_ascii_lowercase();
    let is_for_host = name.starts_with("__host-");
    if (is_for_host || name.starts_with("__secure-")) && !cookie.secure {
        return Err(format!("browsers drop \"{}\" unless it is secure; set secure", cookie.name));
    }
    if is_for_host && (cookie.domain.is_some() || cookie.path != "/") {
        return Err(format!("browsers drop \"{}\" unless its path is / and it has no domain", cookie.name));
    }
    Ok(())
}

fn check_keys(cookie: &IssuedCookie) -> Result<(), String> {
    if cookie.keys.is_empty() {
        return Err("a cookie needs a key to sign it with".into());
    }
    for (number, key) in (1..).zip(&cookie.keys) {
        if key.0.len() < SHORTEST_KEY {
            return Err(format!(
                "key {number} is shorter than {SHORTEST_KEY} characters; make one with: openssl rand -base64 32"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bascule_contract::sessions::{IssuedCookie, SameSite, Secret};
    use httparse::Header;
    use proptest::prelude::*;

    use super::{Claim, IssuedCookies, MOST_TRIED};
    use crate::balance::Slot;
    use crate::cases;
    use crate::random::Random;
    use crate::sessions::tags::Tags;

    const OLD: &str = "the key of last year";
    const NEW: &str = "the key of this year";
    const NOW: u64 = 1_764_000_000;
    const HOUR: u64 = 3_600;

    fn settings(keys: &[&str]) -> IssuedCookie {
        IssuedCookie {
            name: "bascule".into(),
            path: "/".into(),
            domain: None,
            secure: false,
            http_only: true,
            same_site: SameSite::Lax,
            lifetime_ms: None,
            keys: keys.iter().map(|key| Secret((*key).into())).collect(),
            encrypted: false,
        }
    }

    fn encrypted(keys: &[&str]) -> IssuedCookie {
        IssuedCookie { encrypted: true, ..settings(keys) }
    }

    fn lasting(hours: u64) -> IssuedCookie {
        IssuedCookie { lifetime_ms: Some(hours * HOUR * 1_000), ..settings(&[NEW]) }
    }

    /// One balancer: cookies and tags of a pool with the endpoints "e0" to "e9".
    struct Holder(IssuedCookies, Tags);

    impl Holder {
        fn of(cookie: &IssuedCookie) -> Self {
            Self::of_pool(cookie, "api")
        }

        fn of_pool(cookie: &IssuedCookie, pool: &str) -> Self {
            let cookies = IssuedCookies::compile(cookie, pool).unwrap();
            let endpoints: Vec<String> = (0..10).map(|number| format!("e{number}")).collect();
            let tags = Tags::compile(&cookies, endpoints.iter().map(String::as_str));
            Self(cookies, tags)
        }

        fn issue(&self, slot: u32, now_s: u64) -> String {
            let mut out = Vec::new();
            self.0.issue(self.1.tag(Slot(slot)), now_s, &mut Random::seeded(now_s), &mut out);
            String::from_utf8(out).unwrap()
        }

        fn claim(&self, line: &str, now_s: u64) -> Claim {
            self.0.read(&[Header { name: "Cookie", value: line.as_bytes() }], now_s)
        }

        /// The endpoint and whether to issue again; `None` when the cookie is refused.
        fn read(&self, line: &str, now_s: u64) -> Option<(u32, bool)> {
            match self.claim(line, now_s) {
                Claim::Endpoint { tag, renew } => Some((self.1.slot(tag).expect("an endpoint").0, renew)),
                Claim::Refused => None,
                Claim::None => panic!("there is a cookie"),
            }
        }
    }

    /// What a browser sends back.
    fn returned(set_cookie: &str) -> &str {
        set_cookie.split(';').next().unwrap()
    }

    #[test]
    fn the_field_says_what_was_set() {
        let plain = Holder::of(&settings(&[NEW])).issue(3, NOW);
        assert_eq!(&plain[returned(&plain).len()..], "; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(returned(&plain).len(), "bascule=".len() + 44);
        let all = IssuedCookie {
            path: "/shop".into(),
            domain: Some("example.com".into()),
            secure: true,
            http_only: false,
            same_site: SameSite::None,
            lifetime_ms: Some(90_500),
            ..encrypted(&[NEW])
        };
        let all = Holder::of(&all).issue(3, NOW);
        let attributes = "; Path=/shop; Domain=example.com; Max-Age=90; Secure; SameSite=None";
        assert_eq!(&all[returned(&all).len()..], attributes);
        assert_eq!(returned(&all).len(), "bascule=".len() + 76);
    }

    #[test]
    fn a_request_without_the_cookie_claims_nothing() {
        let holder = Holder::of(&settings(&[NEW]));
        assert_eq!(holder.0.read(&[], NOW), Claim::None);
        assert_eq!(holder.claim("Bascule=x; bascule2=y", NOW), Claim::None);
    }

    #[test]
    fn a_flipped_bit_is_refused_wherever_it_is() {
        for cookie in [settings(&[NEW, OLD]), encrypted(&[NEW, OLD])] {
            let holder = Holder::of(&cookie);
            let line = holder.issue(3, NOW);
            let line = returned(&line).as_bytes();
            for bit in "bascule=".len() * 8..line.len() * 8 {
                let mut flipped = line.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let claim = holder.0.read(&[Header { name: "Cookie", value: &flipped }], NOW);
                assert_eq!(claim, Claim::Refused, "bit {bit} of {}", line.escape_ascii());
            }
        }
    }

    #[test]
    fn a_text_of_another_length_is_refused() {
        for cookie in [settings(&[NEW]), encrypted(&[NEW])] {
            let holder = Holder::of(&cookie);
            let line = holder.issue(3, NOW);
            let line = returned(&line);
            for end in "bascule=".len()..line.len() {
                assert_eq!(holder.claim(&line[..end], NOW), Claim::Refused);
            }
            for more in ["A", "=", "==", "AAAA"] {
                assert_eq!(holder.claim(&format!("{line}{more}"), NOW), Claim::Refused);
            }
        }
    }

    #[test]
    fn a_key_that_is_replaced_in_three_steps_loses_no_session() {
        let [before, prepared, switched, after] =
            [&[OLD][..], &[OLD, NEW], &[NEW, OLD], &[NEW]].map(|keys| Holder::of(&settings(keys)));
        let old = before.issue(3, NOW);
        assert_eq!(prepared.read(returned(&old), NOW), Some((3, false)));
        assert_eq!(
            switched.read(returned(&old), NOW),
            Some((3, true)),
            "it names the endpoint, and is replaced"
        );
        let new = switched.issue(3, NOW);
        for holder in [&prepared, &switched, &after] {
            assert_eq!(holder.read(returned(&new), NOW).map(|(slot, _)| slot), Some(3));
        }
        assert_eq!(after.read(returned(&old), NOW), None);
        assert_eq!(before.read(returned(&new), NOW), None);
    }

    #[test]
    fn turning_encryption_on_or_off_loses_no_session() {
        let (open, hidden) = (Holder::of(&settings(&[NEW])), Holder::of(&encrypted(&[NEW])));
        assert_eq!(hidden.read(returned(&open.issue(3, NOW)), NOW), Some((3, true)));
        assert_eq!(open.read(returned(&hidden.issue(3, NOW)), NOW), Some((3, true)));
    }

    #[test]
    fn encrypted_cookies_of_one_endpoint_have_nothing_in_common() {
        let holder = Holder::of(&encrypted(&[NEW]));
        let mut random = Random::seeded(1);
        let mut issue = || {
            let mut out = Vec::new();
            holder.0.issue(holder.1.tag(Slot(3)), NOW, &mut random, &mut out);
            String::from_utf8(out).unwrap()
        };
        let (one, other) = (issue(), issue());
        // The form and the key's id, four characters, are the same in all.
        let start = "bascule=".len() + 4;
        let same = one.bytes().zip(other.bytes()).skip(start).take(72).filter(|(a, b)| a == b).count();
        assert!(same < 12, "{same} of 72 characters in {one} and {other}");
    }

    #[test]
    fn a_cookie_is_renewed_in_the_second_half_of_its_life_and_refused_after_it() {
        let holder = Holder::of(&lasting(2));
        let line = holder.issue(3, NOW);
        let read = |now_s| holder.read(returned(&line), now_s);
        assert_eq!([read(NOW), read(NOW + HOUR)], [Some((3, false)); 2]);
        assert_eq!([read(NOW + HOUR + 1), read(NOW + 2 * HOUR)], [Some((3, true)); 2]);
        assert_eq!(read(NOW + 2 * HOUR + 1), None);
        // Issued by a balancer whose clock is ahead: a little is harmless, years would make it live for ever.
        assert_eq!([read(NOW - 30), read(NOW - 2 * HOUR - 1)], [Some((3, false)), None]);
        assert_eq!(read(0), None);
    }

    #[test]
    fn a_lifetime_is_that_of_the_reader() {
        let endless = Holder::of(&settings(&[NEW])).issue(3, NOW);
        assert_eq!(Holder::of(&lasting(1)).read(returned(&endless), NOW + HOUR + 1), None);
        let short = Holder::of(&lasting(1)).issue(3, NOW);
        assert_eq!(Holder::of(&lasting(4)).read(returned(&short), NOW + HOUR + 1), Some((3, false)));
        assert_eq!(Holder::of(&settings(&[NEW])).read(returned(&short), u64::MAX), Some((3, false)));
    }

    #[test]
    fn of_several_cookies_of_the_name_the_first_that_holds_counts() {
        let holder = Holder::of(&settings(&[NEW]));
        let (one, other) = (holder.issue(1, NOW), holder.issue(2, NOW));
        let line = format!("a=b; bascule=x; {}; {}", returned(&one), returned(&other));
        assert_eq!(holder.read(&line, NOW), Some((1, false)));
        let many = "bascule=x; ".repeat(MOST_TRIED) + returned(&one);
        assert_eq!(holder.read(&many, NOW), None, "no client makes us verify without end");
    }

    #[test]
    fn an_endpoint_that_left_the_pool_has_no_slot() {
        let cookies = IssuedCookies::compile(&settings(&[NEW]), "api").unwrap();
        let (both, one) = (Tags::compile(&cookies, ["a", "b"]), Tags::compile(&cookies, ["b"]));
        assert_eq!(one.slot(both.tag(Slot(0))), None);
        assert_eq!(one.slot(both.tag(Slot(1))), Some(Slot(0)));
    }

    /// Written by a second implementation, in Python: cookies of every released version stay readable.
    #[test]
    fn the_form_of_tokens_never_changes() {
        let holder = Holder::of(&settings(&[NEW]));
        let line = "bascule=AcpMUquroiIBJywAAGkkgQBJL-OpHyo441WWakWSXu7-";
        assert_eq!(returned(&holder.issue(3, NOW)), line);
        let holder = Holder::of(&encrypted(&[NEW]));
        let line = "bascule=AspMa0BAyH1Uuhnh0zUbDX8JucuyvlsXCblLyxaQ9ZtxhjfCsSLVcCghhuuakVM2U6IozWxT6PTT";
        assert_eq!(returned(&holder.issue(3, NOW)), line);
        assert_eq!(holder.read(line, NOW), Some((3, false)));
    }

    #[test]
    fn secrets_are_not_printed() {
        let cookies = IssuedCookies::compile(&settings(&[NEW]), "api").unwrap();
        assert_eq!(format!("{cookies:?}"), "bascule=…; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn what_browsers_would_not_store_is_refused() {
        let sound = || IssuedCookie { secure: true, ..settings(&[NEW]) };
        for (cookie, advice) in [
            (IssuedCookie { name: "a b".into(), ..sound() }, "\"a b\" is not a name of a cookie"),
            (IssuedCookie { name: String::new(), ..sound() }, "is not a name of a cookie"),
            (IssuedCookie { path: "shop".into(), ..sound() }, "must begin with /"),
            (IssuedCookie { path: "/a;b".into(), ..sound() }, "without semicolons"),
            (IssuedCookie { path: "/\r\nX: y".into(), ..sound() }, "must begin with /"),
            (IssuedCookie { domain: Some("example.com:80".into()), ..sound() }, "is not a host"),
            (IssuedCookie { domain: Some(".".into()), ..sound() }, "is not a host"),
            (IssuedCookie { secure: false, same_site: SameSite::None, ..sound() }, "set secure"),
            (IssuedCookie { secure: false, name: "__Secure-a".into(), ..sound() }, "set secure"),
            (IssuedCookie { name: "__host-a".into(), path: "/a".into(), ..sound() }, "its path is /"),
            (
                IssuedCookie { name: "__Host-a".into(), domain: Some("a.b".into()), ..sound() },
                "has no domain",
            ),
            (IssuedCookie { lifetime_ms: Some(999), ..sound() }, "at least 1s"),
        ] {
            let problem = IssuedCookies::compile(&cookie, "api").unwrap_err();
            assert!(problem.contains(advice), "{problem}");
        }
        for name in ["__Host-a", "__Secure-a"] {
            assert!(IssuedCookies::compile(&IssuedCookie { name: name.into(), ..sound() }, "api").is_ok());
        }
    }

    #[test]
    fn a_key_that_can_be_guessed_is_refused_and_not_shown() {
        let problem = |keys: &[&str]| IssuedCookies::compile(&settings(keys), "api").unwrap_err();
        assert!(problem(&[]).contains("needs a key"));
        let short = problem(&[NEW, "fifteen letters"]);
        assert!(short.contains("key 2 is shorter than 16") && !short.contains("fifteen"), "{short}");
    }

    proptest! {
        #![proptest_config(cases::fixed(200))]

        #[test]
        fn what_is_issued_is_read_by_every_holder_of_the_key_and_by_nobody_else(
            is_encrypted in any::<bool>(),
            (ours, theirs) in ("[ -~]{16,80}", "[ -~]{16,80}").prop_filter("two keys", |(one, other)| one != other),
            slot in 0_u32..10,
            now_s in 0_u64..1 << 48,
        ) {
            let cookie = |keys: &[&str]| IssuedCookie { encrypted: is_encrypted, ..settings(keys) };
            let issued = Holder::of(&cookie(&[&ours])).issue(slot, now_s);
            let line = returned(&issued);
            prop_assert_eq!(Holder::of(&cookie(&[&ours])).read(line, now_s), Some((slot, false)));
            prop_assert_eq!(Holder::of(&cookie(&[&theirs, &ours])).read(line, now_s), Some((slot, true)));
            prop_assert_eq!(Holder::of(&cookie(&[&theirs])).read(line, now_s), None);
            prop_assert_eq!(Holder::of_pool(&cookie(&[&ours]), "web").read(line, now_s), None);
        }

        #[test]
        fn no_bytes_that_we_did_not_issue_are_a_session(value in prop::collection::vec(any::<u8>(), 0..100)) {
            let cookies = IssuedCookies::compile(&encrypted(&[NEW, OLD]), "api").unwrap();
            let value = [b"bascule=".as_slice(), &value].concat();
            prop_assert_eq!(cookies.read(&[Header { name: "cookie", value: &value }], NOW), Claim::Refused);
        }
    }
}
