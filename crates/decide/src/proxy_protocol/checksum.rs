//! CRC32C (RFC 4960, appendix B), of a header whose checksum field counts as zeros.

use std::ops::Range;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            // The polynomial 0x1EDC6F41, its bits in the other order.
            rest = if rest & 1 == 1 { rest >> 1 ^ 0x82f6_3b78 } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
}

/// The checksum of `bytes`, those in `field` taken as zeros.
pub(super) fn of(bytes: &[u8], field: Range<usize>) -> u32 {
    let mut sum = !0_u32;
    for (at, byte) in bytes.iter().enumerate() {
        let byte = if field.contains(&at) { 0 } else { *byte };
        sum = sum >> 8 ^ TABLE[(sum as u8 ^ byte) as usize];
    }
    !sum
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksums_of_rfc_3720_b_4_come_out() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(super::of(&[0; 32], 0..0), 0x8a91_36aa);
        assert_eq!(super::of(&[0xff; 32], 0..0), 0x62a8_ab43);
        assert_eq!(super::of(&ascending, 0..0), 0x46dd_794e);
        assert_eq!(super::of(b"123456789", 0..0), 0xe306_9283);
        assert_eq!(super::of(&[0xff; 32], 0..32), super::of(&[0; 32], 0..0));
    }
}
