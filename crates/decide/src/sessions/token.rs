//! The token in a cookie of ours: which endpoint, since when, sealed so that only holders of the key can make it.
//!
//! Signed, 33 bytes in 44 characters, or encrypted, 57 bytes in 76 characters of base64url (RFC 4648, 5):
//!
//! | signed | encrypted | |
//! |---|---|---|
//! | 1 | 1 | form: 1 or 2 |
//! | 2 | 2 | id of the key |
//! | | 24 | nonce |
//! | 8 | 8 | the endpoint's tag |
//! | 6 | 6 | when it was issued, in seconds since 1970 |
//! | 16 | 16 | HMAC-SHA256 of all before it, cut; or the tag of XChaCha20-Poly1305, which covers form and id too |
//!
//! Both lengths are multiples of three: there are no spare bits, and no two texts are one token.
//! `docs/decisions/0013-session-cookies.md` says why it is like that.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::random::Random;

/// An endpoint of one pool, as one key names it: says nothing to whoever does not hold the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointTag(u64);

/// How the content of a token is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nobody can change it; equal endpoints show as equal tags.
    Signed,
    /// Nobody can read it either.
    Encrypted,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) tag: EndpointTag,
    /// Since 1970, by the clock of whoever issued it.
    pub(super) issued_s: u64,
}

/// One secret, as it is used for one pool: what is made for another pool is foreign here.
pub(super) struct SealingKey {
    id: [u8; ID],
    tags: Signer,
    signatures: Signer,
    nonces: Signer,
    cipher: XChaCha20Poly1305,
}

type Signer = Hmac<Sha256>;

const ID: usize = 2;
const HEAD: usize = 1 + ID;
const NONCE: usize = 24;
const CONTENT: usize = 8 + 6;
const SEAL: usize = 16;
const SIGNED: usize = HEAD + CONTENT + SEAL;
const ENCRYPTED: usize = HEAD + NONCE + CONTENT + SEAL;
/// Six bytes of seconds last for nine million years.
const LAST_SECOND: u64 = (1 << 48) - 1;

impl SealingKey {
    /// Every part has a key of its own: HMAC-SHA256(`secret`, its name ‖ 0 ‖ `pool`).
    pub(super) fn derive(secret: &str, pool: &str) -> Self {
        let part = |name: &str| -> [u8; 32] {
            let hmac = signer(secret.as_bytes()).chain_update(name).chain_update([0]).chain_update(pool);
            hmac.finalize().into_bytes().into()
        };
        let [one, other, ..] = part("bascule session id");
        Self {
            id: [one, other],
            tags: signer(&part("bascule session tag")),
            signatures: signer(&part("bascule session signature")),
            nonces: signer(&part("bascule session nonce")),
            cipher: XChaCha20Poly1305::new(&part("bascule session encryption").into()),
        }
    }

    /// What this key calls the endpoint of this id.
    pub(super) fn tag(&self, endpoint: &str) -> EndpointTag {
        let digest: [u8; 32] = self.tags.clone().chain_update(endpoint).finalize().into_bytes().into();
        EndpointTag(u64::from_be_bytes(digest.as_chunks().0[0]))
    }

    /// Appends the text of a token. `random` is used by the encrypted form only.
    pub(super) fn seal(&self, form: Form, content: Content, random: &mut Random, out: &mut Vec<u8>) {
        match form {
            Form::Signed => {
                let mut token = [0; SIGNED];
                let (signed, seal) = token.split_at_mut(HEAD + CONTENT);
                signed[..HEAD].copy_from_slice(&self.head(form));
                signed[HEAD..].copy_from_slice(&content.bytes());
                seal.copy_from_slice(&self.sign(signed)[..SEAL]);
                write_base64(&token, out);
            }
            Form::Encrypted => {
                let mut token = [0; ENCRYPTED];
                let (head, rest) = token.split_at_mut(HEAD);
                let (nonce, rest) = rest.split_at_mut(NONCE);
                let (hidden, seal) = rest.split_at_mut(CONTENT);
                head.copy_from_slice(&self.head(form));
                hidden.copy_from_slice(&content.bytes());
                let made = self.nonce(hidden, random);
                nonce.copy_from_slice(&made);
                let made = self.cipher.encrypt_inout_detached(&made.into(), head, hidden.into());
                seal.copy_from_slice(&made.expect("so few bytes are never too long"));
                write_base64(&token, out);
            }
        }
    }

    /// What `token` says, if this key made it.
    pub(super) fn open(&self, token: &Token) -> Option<Content> {
        let head = self.head(token.form());
        match token {
            Token::Signed(bytes) => {
                let (signed, seal) = bytes.split_at(HEAD + CONTENT);
                let content = signed.strip_prefix(&head)?;
                // Compares in constant time: how long it takes does not tell how much of a forgery is right.
                self.signatures.clone().chain_update(signed).verify_truncated_left(seal).ok()?;
                Some(Content::read(content.try_into().ok()?))
            }
            Token::Encrypted(bytes) => {
                let (nonce, rest) = bytes.strip_prefix(&head)?.split_first_chunk::<NONCE>()?;
                let (content, seal) = rest.split_first_chunk::<CONTENT>()?;
                let (nonce, seal) = (XNonce::from(*nonce), Tag::try_from(seal).ok()?);
                let mut content = *content;
                self.cipher.decrypt_inout_detached(&nonce, &head, (&mut content[..]).into(), &seal).ok()?;
                Some(Content::read(content))
            }
        }
    }

    fn head(&self, form: Form) -> [u8; HEAD] {
        let form = match form {
            Form::Signed => 1,
            Form::Encrypted => 2,
        };
        [form, self.id[0], self.id[1]]
    }

    fn sign(&self, signed: &[u8]) -> [u8; 32] {
        self.signatures.clone().chain_update(signed).finalize().into_bytes().into()
    }

    /// A keyed hash of random numbers and the content: it repeats only where both do, and then what is told is that two
    /// cookies are equal. A predictable generator, or two of the same seed, therefore give nothing away.
    fn nonce(&self, content: &[u8], random: &mut Random) -> [u8; NONCE] {
        let salt = [random.next(), random.next()].map(u64::to_be_bytes);
        let hmac = self.nonces.clone().chain_update(salt.as_flattened()).chain_update(content);
        let digest: [u8; 32] = hmac.finalize().into_bytes().into();
        digest.as_chunks().0[0]
    }
}

impl Content {
    fn bytes(self) -> [u8; CONTENT] {
        let mut bytes = [0; CONTENT];
        bytes[..8].copy_from_slice(&self.tag.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.issued_s.min(LAST_SECOND).to_be_bytes()[2..]);
        bytes
    }

    fn read(bytes: [u8; CONTENT]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Self { tag: EndpointTag(number(&bytes[..8])), issued_s: number(&bytes[8..]) }
    }
}

/// A text that may be a token, decoded.
pub(super) enum Token {
    Signed([u8; SIGNED]),
    Encrypted([u8; ENCRYPTED]),
}

impl Token {
    /// `None` where the length or a character is wrong.
    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        match text.len() {
            44 => read_base64(text).map(Self::Signed),
            76 => read_base64(text).map(Self::Encrypted),
            _ => None,
        }
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Signed(_) => Form::Signed,
            Self::Encrypted(_) => Form::Encrypted,
        }
    }
}

fn signer(key: &[u8]) -> Signer {
    Signer::new_from_slice(key).expect("HMAC takes keys of any length")
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NO_DIGIT: u8 = 0xff;
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        digits[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    digits
};

/// For lengths that are multiples of three: there is no padding.
fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for [a, b, c] in bytes.as_chunks().0 {
        let digits = [a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, *c];
        out.extend(digits.map(|digit| ALPHABET[usize::from(digit & 63)]));
    }
}

/// The bytes that `text` stands for, if it stands for exactly `N`.
fn read_base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (quads, rest) = text.as_chunks::<4>();
    let mut bytes = [0; N];
    let (triples, left) = bytes.as_chunks_mut::<3>();
    if !rest.is_empty() || !left.is_empty() || quads.len() != triples.len() {
        return None;
    }
    let mut wrong = 0;
    for (triple, quad) in triples.iter_mut().zip(quads) {
        let [a, b, c, d] = quad.map(|character| DIGITS[usize::from(character)]);
        wrong |= a | b | c | d;
        *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    // Digits have six bits, what is none has eight.
    (wrong < 64).then_some(bytes)
}
