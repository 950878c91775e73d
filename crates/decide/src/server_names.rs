//! Which certificates are for a name that a client asks for: by hash, so that ten thousand cost what ten cost.

use foldhash::fast::FixedState;
use std::borrow::Cow;
use std::collections::HashMap;

type Positions = HashMap<Box<str>, Vec<usize>, FixedState>;

/// Positions of certificates by their names. Names come from the configuration; clients only look them up.
#[derive(Debug, Default)]
pub struct ServerNames {
    exact: Positions,
    /// By what follows `*.`.
    wildcard: Positions,
}

impl ServerNames {
    /// Takes the names of each certificate, in the order of preference.
    pub fn new<'a, Names>(certificates: impl IntoIterator<Item = Names>) -> Self
    where
        Names: IntoIterator<Item = &'a str>,
    {
        let mut all = Self::default();
        for (position, names) in certificates.into_iter().enumerate() {
            for name in names {
                let name = plain(name);
                let (map, key) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut all.wildcard, parent),
                    None => (&mut all.exact, &*name),
                };
                map.entry(key.into()).or_default().push(position);
            }
        }
        all
    }

    /// Those for this name, in the order of preference; an exact name wins over a wildcard, which stands for one label
    /// (RFC 9525, 6.3). Case and a trailing dot make no difference.
    pub fn find(&self, name: &str) -> &[usize] {
        let name = plain(name);
        let exact = self.exact.get(&*name);
        let found = exact
            .or_else(|| self.wildcard.get(name.split_once('.').filter(|(label, _)| !label.is_empty())?.1));
        found.map_or(&[], Vec::as_slice)
    }
}

fn plain(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerNames;

    #[test]
    fn an_exact_name_wins_over_a_wildcard_which_stands_for_one_label() {
        let names = ServerNames::new([vec!["*.a.example"], vec!["a.example", "b.a.example"]]);
        assert_eq!(names.find("x.a.example"), [0]);
        assert_eq!(names.find("b.a.example"), [1]);
        assert_eq!(names.find("a.example"), [1]);
        for unknown in ["y.x.a.example", ".a.example", "example", "", "a", "*.other"] {
            assert_eq!(names.find(unknown), [0_usize; 0], "{unknown}");
        }
    }

    #[test]
    fn certificates_of_one_name_keep_their_order() {
        let names = ServerNames::new([vec!["a"], vec!["b"], vec!["a", "c"]]);
        assert_eq!(names.find("a"), [0, 2]);
    }

    #[test]
    fn case_and_a_trailing_dot_make_no_difference() {
        let names = ServerNames::new([vec!["A.example", "*.B.example"]]);
        assert_eq!((names.find("a.EXAMPLE."), names.find("X.b.example.")), (&[0][..], &[0][..]));
    }
}
