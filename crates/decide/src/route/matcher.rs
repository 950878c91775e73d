//! What a matcher is, and every matcher that ships.
//!
//! To add one: write its file in `matchers/`, and name it in [`MATCHERS`].

use bascule_contract::snapshot;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use super::index::{HostKey, PathKey};
use super::matchers::{client, client_certificate, header, host, method, path, query};
use crate::request::Request;

/// One condition of a route, compiled.
pub trait Matcher: Send + Sync {
    /// Whether the condition holds. Pure, and total on any bytes.
    fn matches(&self, request: &Request<'_>) -> bool;

    /// Keys by which the index answers instead of this matcher: it holds exactly when one of them fits.
    fn keys(&self) -> Keys<'_> {
        Keys::None
    }
}

/// What the index can look up.
#[derive(Debug)]
pub enum Keys<'a> {
    /// Nothing: the matcher is asked.
    None,
    /// It holds for these hosts and no others.
    Hosts(&'a [HostKey]),
    /// It holds for these paths and no others.
    Paths(&'a [PathKey]),
}

/// The matcher, or what is wrong with the options.
pub type Built = Result<Box<dyn Matcher>, String>;

/// A matcher as the registry, the catalogue and the configuration know it.
#[derive(Debug)]
pub struct Registration {
    /// As it is written in configurations.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// When to use it and when not.
    pub advice: &'static str,
    /// JSON Schema of its options.
    pub options: fn() -> Value,
    /// The matcher, or what is wrong with the options.
    pub build: fn(&Map<String, Value>) -> Built,
}

/// In the order in which the catalogue shows them.
pub static MATCHERS: &[Registration] = &[
    host::REGISTRATION,
    path::REGISTRATION,
    method::REGISTRATION,
    header::REGISTRATION,
    query::REGISTRATION,
    client::REGISTRATION,
    client_certificate::REGISTRATION,
];

/// Compiles one matcher of a snapshot.
pub fn build(wanted: &snapshot::Matcher) -> Built {
    let registration = MATCHERS.iter().find(|it| it.name == wanted.name).ok_or_else(|| {
        let names: Vec<_> = MATCHERS.iter().map(|it| it.name).collect();
        format!("there is no such matcher; there are {}", names.join(", "))
    })?;
    (registration.build)(&wanted.options)
}

/// Reads options into the type that a matcher wants. The error names the option.
pub(super) fn read<T: DeserializeOwned>(options: &Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(options.clone())).map_err(|error| error.to_string())
}

/// A list without entries would match nothing, which nobody means.
pub(super) fn not_empty<T>(list: Vec<T>, name: &str) -> Result<Vec<T>, String> {
    if list.is_empty() {
        Err(format!("\"{name}\" is empty; leave the matcher out to match everything"))
    } else {
        Ok(list)
    }
}
