//! Short names for templates.

use serde::Serialize;

/// No vowels and no lookalikes, so that no words arise.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A label-safe hash of what `template` says. A collision with another template is got around by
/// counting `collisions` up.
pub(crate) fn template_hash(template: &impl Serialize, collisions: Option<i32>) -> String {
    // Through `Value`, whose maps are ordered: equal templates give equal bytes.
    let value = serde_json::to_value(template).unwrap_or_default();
    let mut hash = fnv1a(0x811c_9dc5, value.to_string().as_bytes());
    if let Some(count) = collisions {
        hash = fnv1a(hash, &count.to_le_bytes());
    }
    encode(&hash.to_string())
}

/// FNV-1a, 32 bits.
fn fnv1a(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Each character through the safe alphabet, as upstream's `rand.SafeEncodeString`.
fn encode(text: &str) -> String {
    text.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hashes_are_stable_and_tell_templates_apart() {
        assert_eq!(fnv1a(0x811c_9dc5, b"a"), 0xe40c_292c, "the published test vector");
        let a = json!({"x": 1, "y": 2});
        let same = json!({"y": 2, "x": 1});
        assert_eq!(template_hash(&a, None), template_hash(&same, None));
        assert_ne!(template_hash(&a, None), template_hash(&json!({"x": 2}), None));
        assert_ne!(template_hash(&a, Some(1)), template_hash(&a, Some(2)));
        assert_ne!(template_hash(&a, None), template_hash(&a, Some(0)));
        assert_eq!(encode("0123456789"), "456789bcdf");
    }
}
