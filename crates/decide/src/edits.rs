//! Changes to header fields, ready to be made while a head is written.

use bascule_contract::snapshot::{HeaderEdits, HeaderValue};

use crate::template::Template;

/// First everything in `remove` goes, then everything in `add` comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Lower case, sorted, each once. Includes the names that are set.
    pub remove: Vec<Box<str>>,
    /// Set fields, then added ones, in the order in which they were written.
    pub add: Vec<(Box<str>, Template)>,
}

/// These say where a message ends and what becomes of the connection: they are ours alone.
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Edits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// Whether fields of this name go. `name` may be in any case.
    pub fn removes(&self, name: &[u8]) -> bool {
        self.remove.iter().any(|removed| removed.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Compiles `edits`. Refuses what is no field name or value, and the fields that frame a message.
    pub fn compile(edits: &HeaderEdits) -> Result<Self, String> {
        let mut compiled = Self::default();
        for name in &edits.remove {
            compiled.remove.push(editable(name)?);
        }
        if compiled.remove.iter().any(|name| &**name == "host") {
            return Err("\"host\" cannot be removed (RFC 9112, 3.2); set it instead".into());
        }
        for HeaderValue { name, value } in &edits.set {
            compiled.remove.push(editable(name)?);
            compiled.add.push((name.as_str().into(), template(name, value)?));
        }
        for HeaderValue { name, value } in &edits.add {
            if &*editable(name)? == "host" {
                return Err("\"host\" may stand once only (RFC 9112, 3.2); set it instead".into());
            }
            compiled.add.push((name.as_str().into(), template(name, value)?));
        }
        compiled.remove.sort_unstable();
        compiled.remove.dedup();
        Ok(compiled)
    }
}

/// `name` in lower case, if it may be changed at all.
pub(crate) fn editable(name: &str) -> Result<Box<str>, String> {
    if !is_token(name) {
        return Err(format!("\"{name}\" is not a field name (RFC 9110, 5.1)"));
    }
    let lower = name.to_ascii_lowercase();
    if FRAMING.contains(&lower.as_str()) {
        return Err(format!("\"{name}\" frames the message or its connection and cannot be changed"));
    }
    Ok(lower.into())
}

fn template(name: &str, value: &str) -> Result<Template, String> {
    Template::parse(value).map_err(|problem| format!("field \"{name}\": {problem}"))
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use bascule_contract::snapshot::{HeaderEdits, HeaderValue};

    use super::Edits;

    fn field(name: &str, value: &str) -> HeaderValue {
        HeaderValue { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_field_that_is_set_replaces_all_of_its_name() {
        let edits = Edits::compile(&HeaderEdits {
            remove: vec!["X-Old".into(), "x-old".into()],
            set: vec![field("X-Route", "{route}")],
            add: vec![field("Via", "1.1 bascule")],
        })
        .unwrap();
        assert_eq!(edits.remove, ["x-old".into(), "x-route".into()]);
        assert_eq!(edits.add.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["X-Route", "Via"]);
        assert!(edits.removes(b"X-ROUTE") && !edits.removes(b"via"));
        assert!(!edits.is_empty());
        assert!(Edits::compile(&HeaderEdits::default()).unwrap().is_empty());
    }

    #[test]
    fn the_host_may_be_set_and_nothing_else() {
        let set = HeaderEdits { set: vec![field("Host", "internal")], ..HeaderEdits::default() };
        assert_eq!(Edits::compile(&set).unwrap().remove, ["host".into()]);
        let removed = HeaderEdits { remove: vec!["Host".into()], ..HeaderEdits::default() };
        assert!(Edits::compile(&removed).unwrap_err().contains("cannot be removed"));
        let added = HeaderEdits { add: vec![field("Host", "b")], ..HeaderEdits::default() };
        assert!(Edits::compile(&added).unwrap_err().contains("once only"));
    }

    #[test]
    fn framing_and_broken_fields_are_refused() {
        for (edits, reason) in [
            (
                HeaderEdits { remove: vec!["Content-Length".into()], ..HeaderEdits::default() },
                "cannot be changed",
            ),
            (
                HeaderEdits { set: vec![field("transfer-encoding", "x")], ..HeaderEdits::default() },
                "cannot be changed",
            ),
            (HeaderEdits { add: vec![field("a b", "x")], ..HeaderEdits::default() }, "not a field name"),
            (HeaderEdits { add: vec![field("a", "x\ny")], ..HeaderEdits::default() }, "field \"a\""),
            (
                HeaderEdits { add: vec![field("a", "{nope}")], ..HeaderEdits::default() },
                "unknown placeholder",
            ),
        ] {
            let problem = Edits::compile(&edits).unwrap_err();
            assert!(problem.contains(reason), "{problem}");
        }
    }
}
