//! Tokens.

use crate::error::{Issue, Location};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An operator, a bracket or a comma, or one of the words `in`, `true`, `false`, `null`.
    Symbol,
    Ident,
    /// An identifier between backticks.
    Escaped,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'s> {
    pub(super) kind: TokenKind,
    pub(super) text: &'s str,
    pub(super) location: Location,
}

const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!",
    "?", ":", "+", "*", "/", "%",
];
const WORDS: &[&str] = &["in", "true", "false", "null"];

/// All tokens, the last of which is the end, and what is none.
pub(super) fn tokens(source: &str) -> (Vec<Token<'_>>, Vec<Issue>) {
    let (mut found, mut issues) = (Vec::new(), Vec::new());
    let mut rest = source;
    let mut location = Location { line: 1, column: 0 };
    loop {
        let blank = blank(rest);
        location = advance(location, &rest[..blank]);
        rest = &rest[blank..];
        if rest.is_empty() {
            found.push(Token { kind: TokenKind::End, text: "<EOF>", location });
            return (found, issues);
        }
        let length = match token(rest) {
            Ok((kind, length)) => {
                found.push(Token { kind, text: &rest[..length], location });
                length
            }
            Err(length) => {
                let text = &rest[..length];
                let message = format!("Syntax error: token recognition error at: '{text}'");
                issues.push(Issue { location, message });
                length
            }
        };
        location = advance(location, &rest[..length]);
        rest = &rest[length..];
    }
}

fn advance(mut location: Location, text: &str) -> Location {
    for c in text.chars() {
        if c == '\n' {
            location = Location { line: location.line + 1, column: 0 };
        } else {
            location.column += 1;
        }
    }
    location
}

/// The length of blanks and comments.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start_matches(['\t', ' ', '\r', '\n', '\u{c}']);
        rest = match trimmed.strip_prefix("//") {
            Some(comment) => comment.find('\n').map_or("", |end| &comment[end..]),
            None => return text.len() - trimmed.len(),
        };
    }
}

/// A token with its length, or the length of what is none.
fn token(text: &str) -> Result<(TokenKind, usize), usize> {
    if let Some(length) = string(text) {
        return length.map(|length| (TokenKind::String, length));
    }
    if let Some(Ok(length)) = text.strip_prefix(['b', 'B']).and_then(string) {
        return Ok((TokenKind::Bytes, length + 1));
    }
    if let Some(found) = number(text) {
        return Ok(found);
    }
    let ident = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word = text.len() - text.trim_start_matches(ident).len();
    if word > 0 {
        let symbol = WORDS.contains(&&text[..word]);
        return Ok((if symbol { TokenKind::Symbol } else { TokenKind::Ident }, word));
    }
    if let Some(inner) = text.strip_prefix('`') {
        let name = |c: char| c.is_ascii_alphanumeric() || "_.-/ ".contains(c);
        let length = inner.len() - inner.trim_start_matches(name).len();
        return match length > 0 && inner[length..].starts_with('`') {
            true => Ok((TokenKind::Escaped, length + 2)),
            false => Err(length + 1),
        };
    }
    match SYMBOLS.iter().find(|symbol| text.starts_with(**symbol)) {
        Some(symbol) => Ok((TokenKind::Symbol, symbol.len())),
        // A beginning of a longer token is told with the character that follows it.
        None => {
            let told = if text.starts_with(['=', '&', '|']) { 2 } else { 1 };
            Err(text.chars().take(told).map(char::len_utf8).sum())
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn number(text: &str) -> Option<(TokenKind, usize)> {
    let suffix = |length: usize| {
        if text[length..].starts_with(['u', 'U']) {
            (TokenKind::Uint, length + 1)
        } else {
            (TokenKind::Int, length)
        }
    };
    if let Some(hex) = text.strip_prefix("0x") {
        let length = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        if length > 0 {
            return Some(suffix(length + 2));
        }
    }
    let whole = digits(text);
    let mut length = whole;
    let fraction = text[length..].strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        length += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    let exponent = text[length..].strip_prefix(['e', 'E']).map_or(0, |after| {
        let sign = usize::from(after.starts_with(['+', '-']));
        match digits(&after[sign..]) {
            0 => 0,
            n => 1 + sign + n,
        }
    });
    if fraction == 0 && exponent == 0 {
        return Some(suffix(whole));
    }
    Some((TokenKind::Double, length + exponent))
}

/// The length of a string literal with its quotes, or of what is none, if the text begins one.
fn string(text: &str) -> Option<Result<usize, usize>> {
    let (raw, rest) = match text.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let prefix = text.len() - rest.len();
    let long = ["\"\"\"", "'''"].into_iter().find(|quote| rest.starts_with(quote));
    let quote = long.or_else(|| ["\"", "'"].into_iter().find(|quote| rest.starts_with(quote)))?;
    let mut at = quote.len();
    loop {
        let here = &rest[at..];
        if here.starts_with(quote) {
            return Some(Ok(prefix + at + quote.len()));
        }
        // An `r` before what is no string is an identifier.
        let bad = |at: usize| if raw { None } else { Some(Err(prefix + at)) };
        let Some(c) = here.chars().next() else { return bad(at) };
        match c {
            '\\' if !raw => match escape(here) {
                Ok(length) => at += length,
                Err(length) => return bad(at + length),
            },
            '\n' | '\r' if long.is_none() => return bad(at),
            c => at += c.len_utf8(),
        }
    }
}

/// The length of an escape, or of that part of it with which it cannot be one.
fn escape(text: &str) -> Result<usize, usize> {
    let mut length = 1;
    let mut chars = text[1..].chars();
    let mut next = |fits: &dyn Fn(char) -> bool| match chars.next() {
        None => Err(length),
        Some(c) => {
            length += c.len_utf8();
            if fits(c) { Ok((c, length)) } else { Err(length) }
        }
    };
    let (kind, mut end) = next(&|c| "abfnrtv\"'\\?`xXuU0123".contains(c))?;
    let (count, radix) = match kind {
        'x' | 'X' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='3' => (2, 8),
        _ => (0, 8),
    };
    for _ in 0..count {
        (_, end) = next(&|c| c.is_digit(radix))?;
    }
    Ok(end)
}
