//! Blocks of PEM (RFC 7468), read as leniently as Go reads them: text around blocks and blocks that
//! cannot be read are passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One block.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    /// True if lines of the form `Key: value` stand before the content.
    pub(crate) has_headers: bool,
    pub(crate) contents: Vec<u8>,
}

/// All blocks of a text.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = label(line, "BEGIN") else { continue };
        let (mut has_headers, mut body) = (false, String::new());
        let end = format!("-----END {label}-----");
        let mut rest = lines.clone();
        let ended = rest.by_ref().take_while(|line| label_of_begin(line).is_none()).any(|line| {
            if line == end {
                return true;
            }
            if body.is_empty() && line.contains(':') {
                has_headers = true;
            } else {
                body.extend(line.split_whitespace());
            }
            false
        });
        if !ended {
            continue;
        }
        lines = rest;
        if let Ok(contents) = STANDARD.decode(body) {
            found.push(Block { label, has_headers, contents });
        }
    }
    found
}

fn label<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_prefix(what)?.strip_prefix(' ')?.strip_suffix("-----")
}

fn label_of_begin(line: &str) -> Option<&str> {
    label(line, "BEGIN")
}

/// One block as PEM.
pub(crate) fn encode(label: &str, contents: &[u8]) -> String {
    /// Characters on a line (RFC 7468, 2).
    const WIDTH: usize = 64;
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(contents);
    for (at, character) in encoded.char_indices() {
        if at > 0 && at % WIDTH == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_block_is_passed_over() {
        let text = "before\n-----BEGIN A-----\naGk=\n-----END A-----\nbetween\n\
                    -----BEGIN A-----\n-----BEGIN B-----\r\nKey: value\r\n\r\naG\r\nk=\r\n-----END B-----\r\n\
                    -----BEGIN C-----\n!\n-----END C-----\n-----BEGIN D-----\naGk=\n";
        let found = blocks(text);
        let seen: Vec<_> = found.iter().map(|b| (b.label, b.has_headers)).collect();
        assert_eq!(seen, [("A", false), ("B", true)]);
        assert!(found.iter().all(|block| block.contents == b"hi"));
    }
}
