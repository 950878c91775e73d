//! Laws of paths: one form for the rule and the endpoint, however leniently the endpoint reads.

use bascule_decide::path::{Normal, normalize};

use crate::LONGEST;

/// Normalises `bytes` and checks both forms.
pub fn path(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let Ok(Normal { routed, forwarded }) = normalize(bytes) else { return };
    let again = normalize(&forwarded).expect("a normal form is accepted");
    assert_eq!((&again.routed, &again.forwarded), (&routed, &forwarded), "normalising twice changes nothing");
    assert!(forwarded.iter().all(|byte| *byte > b' ' && !matches!(byte, 0x7f | b'?' | b'#' | b'\\')));
    assert!(!routed.contains(&0) && !routed.contains(&b'\\'));
    for form in [&routed, &forwarded] {
        assert!(form.starts_with(b"/"));
        assert!(!form.windows(2).any(|two| two == b"//"));
        assert!(!form.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b"..")));
    }
    // Three kinds of endpoint: one decodes and then resolves dots, one the other way round, one only decodes and merges slashes.
    let decoded = decode(&forwarded);
    assert_eq!(resolve(&decoded), *routed, "an endpoint that decodes first");
    assert_eq!(resolve(&decode(&resolve(&forwarded))), *routed, "an endpoint that resolves first");
    assert_eq!(merge(&decoded), *routed, "an endpoint that resolves nothing");
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        if path[at] == b'%' {
            let digits = std::str::from_utf8(&path[at + 1..at + 3]).expect("two digits");
            decoded.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            at += 3;
        } else {
            decoded.push(path[at]);
            at += 1;
        }
    }
    decoded
}

/// RFC 3986, 5.2.4, over segments; slashes are merged on the way.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut open = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    let mut resolved: Vec<u8> = kept.iter().flat_map(|segment| [b"/", *segment].concat()).collect();
    if open || resolved.is_empty() {
        resolved.push(b'/');
    }
    resolved
}

fn merge(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|one, before| *one == b'/' && *before == b'/');
    // A segment "." that an escape hid behind a slash means the directory itself, to whoever decodes.
    resolve(&merged)
}
