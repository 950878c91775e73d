//! Types ⇄ canonical bytes: JSON, UTF-8, keys sorted, no spaces.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes a message. The error names the place and what was expected there.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Encodes a message canonically: equal messages give equal bytes.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // `serde_json::Value` keeps its objects in a BTreeMap, so a pass through it sorts the keys.
    let value = serde_json::to_value(message).unwrap_or_default();
    serde_json::to_vec(&value).unwrap_or_default()
}

/// FNV-1a, 64 bits, in hexadecimal: identity of a message, not a defence against forgery.
pub fn digest(bytes: &[u8]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}
