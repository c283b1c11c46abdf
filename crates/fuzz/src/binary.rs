//! Mutations of bytes.

use std::ops::Range;

use crate::random::Random;

/// Most bytes of an input.
const MAX: usize = 64 * 1024;
/// Parts that most parsers have special cases for.
const WORDS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"0",
    b"-1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e999",
    b"-0.0",
    b"\x7f\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
];

fn range(random: &mut Random, bytes: &[u8]) -> Range<usize> {
    let start = random.below(bytes.len() + 1);
    let most = if random.once_in(8) { bytes.len() - start } else { 16.min(bytes.len() - start) };
    start..start + random.below(most + 1)
}

/// Another input, made of those in `pool` with the help of `words`.
pub(crate) fn mutated(random: &mut Random, pool: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    if random.once_in(50) {
        let length = random.below(64);
        return (0..length).map(|_| random.any() as u8).collect();
    }
    let mut bytes = random.pick(pool).clone();
    for _ in 0..=random.below(4) {
        once(random, &mut bytes, pool, words);
    }
    bytes.truncate(MAX);
    bytes
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&[u8]]) {
    let part = range(random, bytes);
    match random.below(9) {
        0 | 1 => {
            let words = if random.once_in(3) || words.is_empty() { WORDS } else { words };
            let word = *random.pick(words);
            let replaced = if random.once_in(2) { part } else { part.start..part.start };
            bytes.splice(replaced, word.iter().copied());
        }
        2 => drop(bytes.drain(part)),
        3 => bytes.truncate(part.start),
        4 => {
            let copy = bytes[part.clone()].to_vec();
            // Seldom so often that what is not linear shows.
            let times = if random.once_in(200) { MAX / copy.len().max(1) } else { 1 };
            let room = MAX.saturating_sub(bytes.len());
            let copies = copy.iter().copied().cycle().take((copy.len() * times).min(room));
            let copies: Vec<u8> = copies.collect();
            bytes.splice(part.start..part.start, copies);
        }
        5 => {
            let other = random.pick(pool);
            let taken = range(random, other);
            bytes.splice(part, other[taken].iter().copied());
        }
        _ => {
            if let Some(byte) = bytes.get_mut(part.start) {
                match random.below(3) {
                    0 => *byte ^= 1 << random.below(8),
                    1 => *byte = byte.wrapping_add(1),
                    _ => *byte = random.any() as u8,
                }
            }
        }
    }
}
