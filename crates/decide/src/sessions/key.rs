//! Which bytes of a request must stay together, and the numbers that stand for them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

use bascule_contract::sessions::KeyBy;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::balance::Key;
use crate::edits::is_token;
use crate::request::Request;
use crate::route::query_values;
use crate::sessions::syntax;

/// The part of a request that is its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource(KeyBy);

/// The bytes of a key: borrowed where the request holds them in one piece.
#[derive(Debug)]
pub enum Found<'a> {
    /// As they stand in the request, or as they were decoded or put together.
    Text(Cow<'a, [u8]>),
    /// An address, without a copy on the heap.
    Address {
        /// In network order, from the front.
        octets: [u8; 16],
        /// 4 or 16.
        length: usize,
    },
}

/// What stands for a remembered session: the values that clients send are not kept.
///
/// It is the same on every balancer and in every version, since shared stores know sessions by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    high: u64,
    low: u64,
}

impl KeySource {
    /// Compiles `by`. Refuses names that no field, cookie or parameter can have.
    pub fn compile(by: &KeyBy) -> Result<Self, String> {
        match by {
            KeyBy::Header { name } if !is_token(name) => {
                Err(format!("\"{name}\" is not a field name (RFC 9110, 5.1)"))
            }
            KeyBy::Cookie { name } if !is_token(name) => {
                Err(format!("\"{name}\" is not a name of a cookie (RFC 6265, 4.1.1)"))
            }
            KeyBy::Query { name } if name.is_empty() => {
                Err("the name of the query parameter is empty".into())
            }
            _ => Ok(Self(by.clone())),
        }
    }

    /// The key of this request; `None` when it has none, or an empty one: nothing keeps such requests together.
    ///
    /// The first field, cookie or parameter of the name counts. Names and values of parameters are compared after
    /// decoding, like those of the `query` matcher. An IPv4 address that arrives as IPv6 counts as IPv4. Allocates for
    /// [`KeyBy::Uri`] with a query and for parameters that have to be decoded, else not.
    pub fn find<'a>(&self, asked: &Request<'a>) -> Option<Found<'a>> {
        let text = match &self.0 {
            KeyBy::Client {} => return asked.client.map(Found::address),
            KeyBy::Header { name } => {
                let mut fields = asked.fields.iter();
                fields.find(|field| field.name.eq_ignore_ascii_case(name))?.value.trim_ascii().into()
            }
            KeyBy::Cookie { name } => syntax::values(asked.fields, name.as_bytes()).next()?.into(),
            KeyBy::Query { name } => query_values(asked.query, name.as_bytes()).next()?,
            KeyBy::Host {} => asked.host.as_bytes().into(),
            KeyBy::Path {} => asked.path.into(),
            KeyBy::Uri {} => match asked.query {
                Some(query) => [asked.path, b"?", query].concat().into(),
                None => asked.path.into(),
            },
        };
        let text: Cow<'a, [u8]> = text;
        (!text.is_empty()).then_some(Found::Text(text))
    }
}

impl Found<'_> {
    fn address(address: IpAddr) -> Self {
        let mut octets = [0; 16];
        match address.to_canonical() {
            IpAddr::V4(address) => {
                octets[..4].copy_from_slice(&address.octets());
                Self::Address { octets, length: 4 }
            }
            IpAddr::V6(address) => Self::Address { octets: address.octets(), length: 16 },
        }
    }
}

impl Deref for Found<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Address { octets, length } => &octets[..*length],
        }
    }
}

/// The key that algorithms go by: XXH3 (64 bits, seed 0) of `bytes`, and 1 where that is 0. Never [`Key::NONE`].
///
/// The same on every balancer and in every version: XXH3 is a published hash whose values do not change. It keeps nobody
/// from choosing keys that fall on one endpoint, and could not: whoever can try keys can do that with any hash.
pub fn hash(bytes: &[u8]) -> Key {
    Key(xxh3_64(bytes).max(1))
}

impl SessionKey {
    /// What stands for the session that `key` names in this pool: the first 128 bits of
    /// SHA-256(length of the pool's id in four bytes, big-endian ‖ the pool's id ‖ `key`).
    ///
    /// Nobody can find two keys that collide, so that no session is taken for another.
    pub fn of(pool: &str, key: &[u8]) -> Self {
        let length = u32::try_from(pool.len()).unwrap_or(u32::MAX);
        let hashed = Sha256::new().chain_update(length.to_be_bytes()).chain_update(pool).chain_update(key);
        let digest: [u8; 32] = hashed.finalize().into();
        let words = digest.as_chunks().0;
        Self { high: u64::from_be_bytes(words[0]), low: u64::from_be_bytes(words[1]) }
    }

    /// As one number.
    pub fn number(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bascule_contract::sessions::KeyBy;
    use httparse::Header;

    use super::{KeySource, SessionKey, hash};
    use crate::balance::Key;
    use crate::request::Request;

    const FIELDS: &[Header<'static>] = &[
        Header { name: "X-Empty", value: b" \t" },
        Header { name: "x-user", value: b" ann\t" },
        Header { name: "X-User", value: b"bob" },
        Header { name: "Cookie", value: b"a=\"1\"; b=" },
        Header { name: "cookie", value: b"c=3; a=2" },
    ];

    fn found(by: KeyBy, query: Option<&str>, client: Option<&str>) -> Option<Vec<u8>> {
        let asked = Request {
            method: "GET",
            host: "example.com",
            path: b"/a b",
            query: query.map(str::as_bytes),
            fields: FIELDS,
            client: client.map(|client| client.parse::<IpAddr>().unwrap()),
            identity: None,
        };
        KeySource::compile(&by).unwrap().find(&asked).map(|found| found.to_vec())
    }

    fn text(by: KeyBy) -> Option<String> {
        found(by, Some("p=1&q=x%20y&q=z&r"), None).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_first_of_a_name_is_the_key() {
        let header = |name: &str| text(KeyBy::Header { name: name.into() });
        let cookie = |name: &str| text(KeyBy::Cookie { name: name.into() });
        let query = |name: &str| text(KeyBy::Query { name: name.into() });
        assert_eq!(header("X-USER").as_deref(), Some("ann"));
        assert_eq!((cookie("a").as_deref(), cookie("c").as_deref()), (Some("1"), Some("3")));
        assert_eq!((query("p").as_deref(), query("q").as_deref()), (Some("1"), Some("x y")));
        assert_eq!([header("x-use"), cookie("A"), query("P")], [None, None, None]);
    }

    #[test]
    fn what_is_empty_is_no_key() {
        assert_eq!(text(KeyBy::Header { name: "x-empty".into() }), None);
        assert_eq!(text(KeyBy::Cookie { name: "b".into() }), None);
        assert_eq!(text(KeyBy::Query { name: "r".into() }), None);
        assert_eq!(found(KeyBy::Query { name: "q".into() }, None, None), None);
    }

    #[test]
    fn a_uri_is_the_path_with_the_query() {
        assert_eq!(text(KeyBy::Host {}).as_deref(), Some("example.com"));
        assert_eq!(text(KeyBy::Path {}).as_deref(), Some("/a b"));
        assert_eq!(text(KeyBy::Uri {}).as_deref(), Some("/a b?p=1&q=x%20y&q=z&r"));
        assert_eq!(found(KeyBy::Uri {}, None, None).as_deref(), Some(&b"/a b"[..]));
    }

    #[test]
    fn a_client_is_the_same_over_both_families() {
        let client = |address: Option<&str>| found(KeyBy::Client {}, None, address);
        assert_eq!(client(Some("192.0.2.1")).as_deref(), Some(&[192, 0, 2, 1][..]));
        assert_eq!(client(Some("::ffff:192.0.2.1")), client(Some("192.0.2.1")));
        assert_eq!(client(Some("2001:db8::1")).map(|octets| octets.len()), Some(16));
        assert_eq!(client(None), None);
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let problem = |by| KeySource::compile(&by).unwrap_err();
        assert!(problem(KeyBy::Header { name: "a b".into() }).contains("\"a b\" is not a field name"));
        assert!(problem(KeyBy::Cookie { name: "a=b".into() }).contains("\"a=b\" is not a name of a cookie"));
        assert!(problem(KeyBy::Query { name: String::new() }).contains("is empty"));
    }

    /// As the reference implementations have them. Balancers of several versions serve one site together.
    #[test]
    fn hashes_never_change() {
        assert_eq!(hash(b""), Key(0x2d06_8005_38d3_94c2));
        assert_eq!(hash(b"user-1"), Key(0x7c76_15c1_1438_e5c9));
        assert_eq!(hash(&[b'a'; 300]), Key(0xc1d1_7581_d8eb_7e21));
        assert_eq!(SessionKey::of("api", b"user-1").number(), 0xf5ca_edc7_4b46_cc0e_212c_3399_0859_1b90);
    }

    #[test]
    fn a_session_of_one_pool_is_none_of_another() {
        assert_ne!(SessionKey::of("a", b"bc"), SessionKey::of("ab", b"c"));
        assert_ne!(SessionKey::of("a", b"bc"), SessionKey::of("b", b"bc"));
    }
}
