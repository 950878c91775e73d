//! What a connection to an endpoint begins with where its pool announces clients: a PROXY header.

use bascule_contract::proxy_protocol::{Announce, ProxyTlv, ProxyVersion};
use bascule_decide::proxy_protocol::{Origin, Tlv, write_binary, write_text};
use std::net::SocketAddr;

/// Whose connection it is. What is not known is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller<'a> {
    pub(crate) source: Option<SocketAddr>,
    /// Where it connected to.
    pub(crate) destination: Option<SocketAddr>,
    /// The name that it asked for within TLS.
    pub(crate) server_name: Option<&'a [u8]>,
    /// The protocol that it agreed on within TLS.
    pub(crate) protocol: Option<&'a [u8]>,
    pub(crate) unique_id: Option<&'a [u8]>,
}

/// The header that announces `caller`.
pub(crate) fn header(announce: &Announce, caller: &Caller<'_>) -> Vec<u8> {
    let origin = match (caller.source, caller.destination) {
        (Some(source), Some(destination)) => Origin::tcp(source, destination),
        _ => Origin::Unknown,
    };
    let told = |tlv: &ProxyTlv| match tlv {
        ProxyTlv::Alpn => caller.protocol.map(Tlv::Alpn),
        ProxyTlv::Sni => caller.server_name.map(Tlv::Authority),
        ProxyTlv::UniqueId => caller.unique_id.map(Tlv::UniqueId),
        ProxyTlv::Crc32c => Some(Tlv::Checksum(0)),
    };
    let tlvs: Vec<Tlv<'_>> = announce.tlvs.iter().filter_map(told).collect();
    written(announce.version, origin, &tlvs)
}

/// The header of a connection that is for nobody: a copy, or a probe.
pub(crate) fn own(announce: &Announce) -> Vec<u8> {
    written(announce.version, Origin::Local, &[])
}

fn written(version: ProxyVersion, origin: Origin<'_>, tlvs: &[Tlv<'_>]) -> Vec<u8> {
    let mut header = Vec::with_capacity(128);
    match version {
        ProxyVersion::V1 => write_text(origin, &mut header),
        // Who passed the client on may have told more than fits: then it is the addresses that matter.
        ProxyVersion::V2 if write_binary(origin, tlvs, &mut header).is_ok() => {}
        ProxyVersion::V2 => drop(write_binary(origin, &[], &mut header)),
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use bascule_decide::proxy_protocol::read;

    fn caller<'a>(name: &'a [u8], id: &'a [u8]) -> Caller<'a> {
        Caller {
            source: Some(([192, 0, 2, 7], 4711).into()),
            destination: Some(([192, 0, 2, 1], 443).into()),
            server_name: Some(name),
            protocol: Some(b"h2"),
            unique_id: Some(id),
        }
    }

    #[test]
    fn the_header_tells_what_the_pool_wants_told_and_nothing_else() {
        let announce = Announce { version: ProxyVersion::V2, tlvs: vec![ProxyTlv::UniqueId, ProxyTlv::Sni] };
        let header = header(&announce, &caller(b"a.test", b"id"));
        let (read, length) = read(&header).expect("a header").expect("complete");
        assert_eq!(length, header.len());
        assert_eq!(read.tlvs.collect::<Vec<_>>(), [Tlv::UniqueId(b"id"), Tlv::Authority(b"a.test")]);
        let line = Announce { version: ProxyVersion::V1, tlvs: vec![] };
        assert_eq!(super::header(&line, &caller(b"", b"")), b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n");
    }

    #[test]
    fn more_than_fits_is_left_out_and_the_client_still_told() {
        let announce = Announce { version: ProxyVersion::V2, tlvs: vec![ProxyTlv::Sni] };
        let header = header(&announce, &caller(&[b'a'; 5000], b""));
        let (read, _) = read(&header).expect("a header").expect("complete");
        assert!(matches!(read.origin, Origin::Internet { .. }));
        assert_eq!(read.tlvs.count(), 0);
    }

    #[test]
    fn our_own_connections_are_for_nobody() {
        let announce = |version| Announce { version, tlvs: vec![ProxyTlv::Crc32c] };
        let binary = own(&announce(ProxyVersion::V2));
        assert_eq!(read(&binary).expect("a header").expect("complete").0.origin, Origin::Local);
        assert_eq!(own(&announce(ProxyVersion::V1)), b"PROXY UNKNOWN\r\n");
    }
}
