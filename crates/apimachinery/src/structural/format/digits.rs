//! Numbers with check digits, and other texts of digits.

/// A text without spaces and dashes.
fn sanitized(text: &str) -> Vec<u8> {
    let is_kept = |b: &u8| !matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'-');
    text.bytes().filter(is_kept).collect()
}

fn are_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

fn digit(byte: u8) -> u32 {
    u32::from(byte.wrapping_sub(b'0'))
}

pub(super) fn is_isbn10(text: &str) -> bool {
    let text = sanitized(text);
    let [digits @ .., last] = text.as_slice() else { return false };
    if digits.len() != 9 || !are_digits(digits) || !(last.is_ascii_digit() || *last == b'X') {
        return false;
    }
    let last = if *last == b'X' { 10 } else { digit(*last) };
    let sum: u32 = (1..).zip(digits).map(|(i, d)| i * digit(*d)).sum();
    (sum + 10 * last).is_multiple_of(11)
}

pub(super) fn is_isbn13(text: &str) -> bool {
    let text = sanitized(text);
    let [digits @ .., last] = text.as_slice() else { return false };
    if digits.len() != 12 || !are_digits(&text) {
        return false;
    }
    let sum: u32 = [1, 3].into_iter().cycle().zip(digits).map(|(f, d)| f * digit(*d)).sum();
    digit(*last) == (10 - sum % 10) % 10
}

/// A card's number by its issuer's prefix and Luhn's sum, with anything between the digits.
pub(super) fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let starts = |beginnings: &[&str]| beginnings.iter().any(|b| digits.starts_with(b));
    let is_issued = match digits.len() {
        13 => starts(&["4"]),
        14 => starts(&["300", "301", "302", "303", "304", "305", "36", "38"]),
        15 => starts(&["34", "37", "2131", "1800"]),
        16 => starts(&["4", "51", "52", "53", "54", "55", "6011", "65"]) || starts(&["35"]),
        _ => false,
    };
    let value = |(i, b): (usize, u8)| match digit(b) * if i % 2 == 1 { 2 } else { 1 } {
        two @ 10.. => two - 9,
        one => one,
    };
    is_issued && digits.bytes().rev().enumerate().map(value).sum::<u32>().is_multiple_of(10)
}

/// A social security number, in the one form that is long enough.
pub(super) fn is_ssn(text: &str) -> bool {
    text.len() == 11
        && text.bytes().enumerate().all(|(i, b)| match i {
            3 | 6 => matches!(b, b'-' | b' '),
            _ => b.is_ascii_digit(),
        })
}

/// A color such as `rgb(1, 2, 3)`.
pub(super) fn is_rgb_color(text: &str) -> bool {
    let is_space = |c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let inner = text.strip_prefix("rgb(").and_then(|text| text.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(|part| part.trim_matches(is_space)).collect();
        let is_level = |part: &&str| {
            are_digits(part.as_bytes())
                && (!part.starts_with('0') || *part == "0")
                && part.parse::<u8>().is_ok()
        };
        parts.len() == 3 && parts.iter().all(is_level)
    })
}
