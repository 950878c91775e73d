//! Regular expressions written by operators, compiled so that they hold on any bytes.

use regex::bytes::{Regex, RegexBuilder};

/// Room for one compiled pattern. Far above what a person writes, far below what hurts.
const MOST_BYTES: usize = 1 << 20;

/// Compiles `pattern`. Matching takes time linear in the text, whatever the pattern and the text.
///
/// It works on bytes, and `.` matches every one of them: with the usual rules (`.` stops at a line
/// break and at bytes that are not UTF-8) a `%0A` or `%FF` in a path would slip past `^/admin/.*$`.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(MOST_BYTES)
        .build()
        .map_err(|error| format!("the pattern \"{pattern}\" cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn a_dot_matches_any_byte() {
        let pattern = compile("^/admin/.*secret$").unwrap();
        assert!(pattern.is_match(b"/admin/\n\xff\xfesecret"));
    }

    #[test]
    fn a_pattern_that_would_need_too_much_room_is_refused() {
        assert!(compile("((a{1000}){1000}){1000}").unwrap_err().contains("cannot be used"));
        assert!(compile("(a").unwrap_err().contains("\"(a\""));
    }
}
