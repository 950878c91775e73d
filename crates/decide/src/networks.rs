//! A set of networks: is this address in one of them?

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

/// IPv4 and IPv6 networks. Asking costs one binary search, however many there are.
///
/// An IPv4 address that arrives as IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Ascending, and no two touch or overlap.
    v4: Vec<RangeInclusive<u128>>,
    v6: Vec<RangeInclusive<u128>>,
}

impl Networks {
    /// Reads networks (`10.0.0.0/8`) and single addresses (`::1`). Bits beyond the prefix do not matter.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, String> {
        let mut networks = Self::default();
        for text in texts {
            let (first, last) = ends(text.as_ref())?;
            match (first.to_canonical(), last.to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    networks.v4.push(u128::from(first.to_bits())..=u128::from(last.to_bits()));
                }
                _ => networks.v6.push(bits_v6(first)..=bits_v6(last)),
            }
        }
        merge(&mut networks.v4);
        merge(&mut networks.v6);
        Ok(networks)
    }

    /// Whether one of the networks holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// Whether there is no network at all.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The first and the last address of a network, or one address twice.
fn ends(text: &str) -> Result<(IpAddr, IpAddr), String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok((address, address));
    }
    let network = IpNet::from_str(text)
        .map_err(|_| format!("\"{text}\" is not a network; write it like 10.0.0.0/8 or 2001:db8::/32"))?;
    Ok((network.network(), network.broadcast()))
}

fn bits_v6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => Ipv6Addr::to_bits(address.to_ipv6_mapped()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn merge(ranges: &mut Vec<RangeInclusive<u128>>) {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u128>> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

fn holds(ranges: &[RangeInclusive<u128>], address: u128) -> bool {
    let after = ranges.partition_point(|range| *range.start() <= address);
    after > 0 && *ranges[after - 1].end() >= address
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use ipnet::{IpNet, Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::Networks;
    use crate::cases;

    fn contains(networks: &[&str], address: &str) -> bool {
        Networks::parse(networks).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_inside_from_the_first_to_the_last_of_a_network() {
        let networks = ["10.0.0.0/8", "192.168.1.7", "2001:db8::/32"];
        for inside in ["10.0.0.0", "10.255.255.255", "192.168.1.7", "2001:db8:ffff::1"] {
            assert!(contains(&networks, inside), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.168.1.8", "2001:db9::", "::1"] {
            assert!(!contains(&networks, outside), "{outside}");
        }
        assert!(!contains(&[], "10.0.0.1"));
    }

    #[test]
    fn ipv4_in_ipv6_counts_as_ipv4_on_both_sides() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(!contains(&["2000::/3"], "10.1.2.3"));
    }

    #[test]
    fn networks_that_nearly_touch_do_not_take_what_is_between() {
        assert!(!contains(&["10.0.0.0", "10.0.0.2"], "10.0.0.1"));
    }

    #[test]
    fn the_widest_networks_hold_everything_of_their_family() {
        assert!(contains(&["0.0.0.0/0"], "255.255.255.255"));
        assert!(contains(&["::/0"], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert!(!contains(&["::/0"], "1.2.3.4"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        let problem = Networks::parse(&["10.0.0.0/33"]).unwrap_err();
        assert!(problem.contains("\"10.0.0.0/33\" is not a network"), "{problem}");
    }

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        // Few distinct first bytes, so that networks nest, touch and overlap.
        let v4 = (0_u32..4, any::<u32>(), 4_u8..=32).prop_map(|(top, low, prefix)| {
            IpNet::V4(Ipv4Net::new((top << 28 | low >> 4).into(), prefix).unwrap())
        });
        let v6 = (0_u128..4, any::<u128>(), 4_u8..=128).prop_map(|(top, low, prefix)| {
            IpNet::V6(Ipv6Net::new((top << 124 | low >> 4).into(), prefix).unwrap())
        });
        prop::collection::vec(prop_oneof![v4, v6], 0..12)
    }

    proptest! {
        #![proptest_config(cases::fixed(500))]

        #[test]
        fn the_set_agrees_with_asking_each_network(nets in networks(), low in any::<u128>(), pick in any::<prop::sample::Index>()) {
            let texts: Vec<String> = nets.iter().map(ToString::to_string).collect();
            let set = Networks::parse(&texts).unwrap();
            let mut addresses = vec![
                IpAddr::V4(Ipv4Addr::from_bits((low >> 98) as u32)),
                IpAddr::V6(Ipv6Addr::from_bits(low >> 2)),
            ];
            if !nets.is_empty() {
                let net = pick.get(&nets);
                addresses.extend([net.network(), net.broadcast()]);
            }
            for address in addresses.iter().filter(|address| address.to_canonical() == **address) {
                let naive = nets.iter().any(|net| net.contains(address));
                prop_assert_eq!(set.contains(*address), naive, "{} in {:?}", address, nets);
            }
        }
    }
}
