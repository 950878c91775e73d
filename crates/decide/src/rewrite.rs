//! How a route changes the path before it is forwarded.

use std::borrow::Cow;

use bascule_contract::snapshot::Rewrite;
use regex::bytes::Regex;

use crate::path::{normalize, push_escape};
use crate::pattern;

/// A compiled rewrite.
#[derive(Clone, Debug)]
pub struct Rewriter(Rule);

#[derive(Clone, Debug)]
enum Rule {
    Set(Box<[u8]>),
    /// Both without a slash at the end, so that `/` is empty.
    Prefix {
        from: Box<[u8]>,
        to: Box<[u8]>,
    },
    Regex {
        pattern: Regex,
        with: Box<[u8]>,
    },
}

impl Rewriter {
    /// Compiles `rewrite`. Refuses paths that [`normalize`] refuses, and patterns that do not compile.
    pub fn compile(rewrite: &Rewrite) -> Result<Self, String> {
        let rule = match rewrite {
            Rewrite::Set { path } => Rule::Set(forwarded(path)?.into()),
            Rewrite::Prefix { from, to } => Rule::Prefix {
                from: without_last_slash(&forwarded(from)?).into(),
                to: without_last_slash(&forwarded(to)?).into(),
            },
            Rewrite::Regex { pattern, with } => {
                if let Some(bad) = with.chars().find(|c| c.is_ascii_control() || matches!(c, ' ' | '?' | '#'))
                {
                    return Err(format!(
                        "{bad:?} may not stand in a path: the replacement \"{with}\" cannot be used"
                    ));
                }
                Rule::Regex { pattern: pattern::compile(pattern)?, with: with.as_bytes().into() }
            }
        };
        Ok(Self(rule))
    }

    /// The path to forward instead of `path`, which must be in the forwarded form of [`normalize`].
    ///
    /// The result begins with `/` and has no byte that ends a path or a request line, whatever `path`
    /// holds. It is not normalised again: what a pattern's replacement adds is the operator's word.
    pub fn apply<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        let rewritten = match &self.0 {
            Rule::Set(path) => Cow::Owned(path.to_vec()),
            Rule::Prefix { from, to } => match path.strip_prefix(from.as_ref()) {
                Some(rest) if rest.is_empty() || rest[0] == b'/' => Cow::Owned([to, rest].concat()),
                _ => Cow::Borrowed(path),
            },
            Rule::Regex { pattern, with } => pattern.replace_all(path, with.as_ref()),
        };
        if is_clean(&rewritten) { rewritten } else { Cow::Owned(clean(&rewritten)) }
    }
}

fn forwarded(path: &str) -> Result<Vec<u8>, String> {
    match normalize(path.as_bytes()) {
        Ok(normal) => Ok(normal.forwarded.into_owned()),
        Err(problem) => Err(format!("\"{path}\" cannot be a path: {}", problem.sentence())),
    }
}

/// `/` becomes empty: then "prefix, and what follows begins with a slash" holds for it too.
pub(crate) fn without_last_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

fn ends_a_path(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, 0x7f | b'?' | b'#')
}

fn is_clean(path: &[u8]) -> bool {
    path.first() == Some(&b'/') && !path.iter().any(|byte| ends_a_path(*byte))
}

fn clean(path: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(path.len() + 8);
    if path.first() != Some(&b'/') {
        clean.push(b'/');
    }
    for byte in path {
        if ends_a_path(*byte) { push_escape(&mut clean, *byte) } else { clean.push(*byte) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use bascule_contract::snapshot::Rewrite;
    use proptest::prelude::*;

    use super::Rewriter;
    use crate::cases;

    fn set(path: &str) -> Rewrite {
        Rewrite::Set { path: path.into() }
    }

    fn prefix(from: &str, to: &str) -> Rewrite {
        Rewrite::Prefix { from: from.into(), to: to.into() }
    }

    fn regex(pattern: &str, with: &str) -> Rewrite {
        Rewrite::Regex { pattern: pattern.into(), with: with.into() }
    }

    #[test]
    fn each_rule_changes_what_it_names_and_nothing_else() {
        for (rule, path, expected) in [
            (set("/index.html"), "/a/b", "/index.html"),
            (set("/a%20b"), "/", "/a%20b"),
            (prefix("/v1", "/"), "/v1/users", "/users"),
            (prefix("/v1/", "/api/"), "/v1/users/", "/api/users/"),
            (prefix("/v1", "/"), "/v1", "/"),
            (prefix("/v1", "/api"), "/v1", "/api"),
            (prefix("/v1", "/api"), "/v1/", "/api/"),
            (prefix("/v1", "/api"), "/v10/users", "/v10/users"),
            (prefix("/", "/api"), "/users", "/api/users"),
            (prefix("/", "/api"), "/", "/api/"),
            (prefix("/a%20b", "/c"), "/a%20b/d", "/c/d"),
            (regex("^/user/([0-9]+)$", "/u/$1/show"), "/user/42", "/u/42/show"),
            (regex("^/user/(?P<id>[0-9]+)$", "/u/${id}x"), "/user/42", "/u/42x"),
            (regex("o", "0"), "/foo/boo", "/f00/b00"),
            (regex("^/x$", "/y"), "/z", "/z"),
            (regex("^/gone", ""), "/gone", "/"),
            (regex("^/", ""), "/a", "/a"),
        ] {
            let rewritten = Rewriter::compile(&rule).unwrap();
            let rewritten = rewritten.apply(path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&rewritten), expected, "{rule:?} on {path}");
        }
    }

    #[test]
    fn what_cannot_be_a_path_is_refused() {
        for (rule, reason) in [
            (set("index.html"), "does not begin with a slash"),
            (set("/a?b=1"), "question mark"),
            (prefix("/a", "/../b"), "climbs above the root"),
            (regex("(", "/"), "cannot be used"),
            (regex("a", "/b?c"), "'?' may not stand in a path"),
            (regex("a", "/b\r\n"), "may not stand in a path"),
        ] {
            let problem = Rewriter::compile(&rule).unwrap_err();
            assert!(problem.contains(reason), "{rule:?}: {problem}");
        }
    }

    proptest! {
        #![proptest_config(cases::fixed(1_000))]

        #[test]
        fn no_rewritten_path_can_end_the_request_line(path in prop::collection::vec(any::<u8>(), 0..40)) {
            for rule in [set("/x"), prefix("/", "/api"), regex("(?-u)^.(.*)$", "$1"), regex("zz", "")] {
                let rewriter = Rewriter::compile(&rule).unwrap();
                let rewritten = rewriter.apply(&path);
                prop_assert_eq!(rewritten[0], b'/');
                prop_assert!(rewritten.iter().all(|byte| !b"\r\n\0 ?#".contains(byte)));
            }
        }
    }
}
