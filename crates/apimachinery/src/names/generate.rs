//! Names made from `metadata.generateName`.

const MAX_NAME: usize = 63;
const SUFFIX: usize = 5;
/// No vowels and no lookalikes, so that no words arise and nothing is misread.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name of at most 63 bytes: `base`, cut if need be, and five characters from `random`.
#[must_use]
pub fn generate_name(base: &str, random: [u8; 5]) -> String {
    let mut end = base.len().min(MAX_NAME - SUFFIX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let suffix = random.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()]));
    base[..end].chars().chain(suffix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_is_cut_to_leave_room() {
        assert_eq!(generate_name("web-", [0, 1, 2, 26, 27]), "web-bcd9b");
        assert_eq!(generate_name(&"x".repeat(80), [0; 5]).len(), 63);
        assert_eq!(generate_name(&"é".repeat(40), [0; 5]).len(), 63);
    }
}
