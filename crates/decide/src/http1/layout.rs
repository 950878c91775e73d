//! Proves that a head which `httparse` accepted has exactly the layout of RFC 9112: no bare LF, no folding, nothing in between.

use httparse::Header;

/// Position of `part` within `whole`, of which it must be a slice.
pub(super) fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

/// Whether the lines from `first` on are the fields, each `name ":" OWS value OWS CRLF`, and one empty line that ends at `end`.
pub(super) fn holds(head: &[u8], first: usize, end: usize, fields: &[Header<'_>]) -> bool {
    let mut at = first;
    for field in fields {
        if offset(head, field.name.as_bytes()) != at {
            return false;
        }
        at += field.name.len();
        if head.get(at) != Some(&b':') {
            return false;
        }
        at = skip_blanks(head, at + 1);
        if !field.value.is_empty() && offset(head, field.value) != at {
            return false;
        }
        at = skip_blanks(head, at + field.value.len());
        if !head[at..].starts_with(b"\r\n") {
            return false;
        }
        at += 2;
    }
    head[at..].starts_with(b"\r\n") && at + 2 == end
}

fn skip_blanks(head: &[u8], mut at: usize) -> usize {
    while matches!(head.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}
