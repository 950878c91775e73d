//! Is the path one of these, or below one of these, or does it look like one of these?

use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::json;

use crate::path::normalize;
use crate::pattern;
use crate::request::Request;
use crate::rewrite::without_last_slash;
use crate::route::index::prefixes;
use crate::route::matcher::{Keys, Matcher, PathKey, Registration, not_empty, read};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "path",
    summary: "The path is one of these, lies below one of these, or matches one of these patterns.",
    advice: "Prefer prefix: it goes by whole segments, so that /v1 takes /v1, /v1/ and /v1/x but not /v1x. Paths are compared \
             after normalisation (escapes decoded, dot segments and double slashes resolved), so that one rule catches every \
             spelling. Exact paths and prefixes are indexed; patterns are tried one by one, so keep them few.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "paths": {
                    "description": "Any of these. Exact and prefix are written as in a URL; regex is matched against the decoded path and is found anywhere unless anchored.",
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {"kind": {"enum": ["exact", "prefix", "regex"]}, "value": {"type": "string"}},
                        "required": ["kind", "value"],
                        "additionalProperties": false,
                    },
                },
            },
            "required": ["paths"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { paths } = read(options)?;
        let mut compiled = Paths { keys: Vec::new(), patterns: Vec::new() };
        for path in not_empty(paths, "paths")? {
            compiled.add(&path)?;
        }
        Ok(Box::new(compiled))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    paths: Vec<Wanted>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case", deny_unknown_fields)]
enum Wanted {
    Exact(String),
    Prefix(String),
    Regex(String),
}

struct Paths {
    keys: Vec<PathKey>,
    patterns: Vec<Regex>,
}

impl Paths {
    fn add(&mut self, path: &Wanted) -> Result<(), String> {
        match path {
            Wanted::Exact(path) => self.keys.push(PathKey::Exact(routed(path)?.into())),
            Wanted::Prefix(path) => {
                self.keys.push(PathKey::Prefix(without_last_slash(&routed(path)?).into()))
            }
            Wanted::Regex(text) => self.patterns.push(pattern::compile(text)?),
        }
        Ok(())
    }
}

impl Matcher for Paths {
    fn matches(&self, request: &Request<'_>) -> bool {
        let fits = |key: &PathKey| match key {
            PathKey::Exact(path) => **path == *request.path,
            PathKey::Prefix(path) => prefixes(request.path).any(|prefix| *prefix == **path),
        };
        self.keys.iter().any(fits) || self.patterns.iter().any(|pattern| pattern.is_match(request.path))
    }

    fn keys(&self) -> Keys<'_> {
        if self.patterns.is_empty() { Keys::Paths(&self.keys) } else { Keys::None }
    }
}

fn routed(path: &str) -> Result<Vec<u8>, String> {
    match normalize(path.as_bytes()) {
        Ok(normal) => Ok(normal.routed.into_owned()),
        Err(problem) => Err(format!("no request can have the path \"{path}\": {}", problem.sentence())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::request::Request;
    use crate::route::matcher::build;
    use crate::samples::matcher;

    fn matches(kind: &str, value: &str, path: &[u8]) -> bool {
        let paths = build(&matcher("path", json!({"paths": [{"kind": kind, "value": value}]}))).unwrap();
        paths.matches(&Request {
            method: "GET",
            host: "",
            path,
            query: None,
            fields: &[],
            client: None,
            identity: None,
        })
    }

    #[test]
    fn a_prefix_goes_by_whole_segments() {
        for prefix in ["/v1", "/v1/"] {
            for inside in ["/v1", "/v1/", "/v1/x"] {
                assert!(matches("prefix", prefix, inside.as_bytes()), "{prefix} takes {inside}");
            }
            for outside in ["/v1x", "/v", "/", "/x/v1"] {
                assert!(!matches("prefix", prefix, outside.as_bytes()), "{prefix} leaves {outside}");
            }
        }
        assert!(matches("prefix", "/", b"/anything"));
        assert!(!matches("prefix", "/", b"*"), "a request about the server has no path");
    }

    #[test]
    fn an_exact_path_minds_its_last_slash() {
        assert!(matches("exact", "/v1", b"/v1"));
        assert!(!matches("exact", "/v1", b"/v1/"));
        assert!(!matches("exact", "/v1/", b"/v1"));
    }

    #[test]
    fn rules_are_written_as_in_a_url() {
        assert!(matches("prefix", "/a%20b", b"/a b/c"));
        assert!(matches("exact", "/%C3%A9//./x", "/\u{e9}/x".as_bytes()));
    }

    #[test]
    fn a_pattern_is_anchored_only_as_written() {
        assert!(matches("regex", "[0-9]+", b"/users/42/x"));
        assert!(!matches("regex", "^[0-9]+$", b"/users/42"));
        assert!(matches("regex", "^/admin/.*$", b"/admin/\n\xff"));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let options = json!({"paths": [{"kind": "suffix", "value": "/a"}]});
        assert!(build(&matcher("path", options)).err().unwrap().contains("unknown variant `suffix`"));
    }
}
