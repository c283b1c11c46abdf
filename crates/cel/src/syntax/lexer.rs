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

/// All tokens, the last of which is the end; or the first thing that is none.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, Issue> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut location = Location { line: 1, column: 0 };
    loop {
        let blank = blank(rest);
        location = advance(location, &rest[..blank]);
        rest = &rest[blank..];
        if rest.is_empty() {
            found.push(Token { kind: TokenKind::End, text: "<EOF>", location });
            return Ok(found);
        }
        let Some((kind, length)) = token(rest) else {
            return Err(Issue {
                location,
                message: format!("Syntax error: token recognition error at: '{}'", bad(rest)),
            });
        };
        let text = &rest[..length];
        found.push(Token { kind, text, location });
        location = advance(location, text);
        rest = &rest[length..];
    }
}

/// The part of the text that is named as no token.
fn bad(rest: &str) -> String {
    let quoted = rest.starts_with(['"', '\'', '`']);
    let end = if quoted { rest.find('\n').unwrap_or(rest.len()) } else { 1 };
    let text: String = rest.chars().take(if quoted { usize::MAX } else { 1 }).collect();
    if quoted { rest[..end].to_owned() } else { text }
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

fn token(text: &str) -> Option<(TokenKind, usize)> {
    if let Some(length) = string(text) {
        return Some((TokenKind::String, length));
    }
    if let Some(length) = text.strip_prefix(['b', 'B']).and_then(string) {
        return Some((TokenKind::Bytes, length + 1));
    }
    if let Some(found) = number(text) {
        return Some(found);
    }
    let word =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    if word > 0 {
        let symbol = WORDS.contains(&&text[..word]);
        return Some((if symbol { TokenKind::Symbol } else { TokenKind::Ident }, word));
    }
    if let Some(inner) = text.strip_prefix('`') {
        let name = |c: char| c.is_ascii_alphanumeric() || "_.-/ ".contains(c);
        let length = inner.len() - inner.trim_start_matches(name).len();
        return (length > 0 && inner[length..].starts_with('`'))
            .then_some((TokenKind::Escaped, length + 2));
    }
    let symbol = SYMBOLS.iter().find(|symbol| text.starts_with(**symbol))?;
    Some((TokenKind::Symbol, symbol.len()))
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

/// The length of a string literal with its quotes.
fn string(text: &str) -> Option<usize> {
    let (raw, rest) = match text.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let long = ["\"\"\"", "'''"].into_iter().find(|quote| rest.starts_with(quote));
    let quote = long.or_else(|| ["\"", "'"].into_iter().find(|quote| rest.starts_with(quote)))?;
    let mut at = quote.len();
    loop {
        let here = &rest[at..];
        if here.starts_with(quote) {
            return Some(text.len() - rest.len() + at + quote.len());
        }
        match here.chars().next()? {
            '\\' if !raw => at += 1 + here[1..].chars().next()?.len_utf8(),
            '\n' | '\r' if long.is_none() => return None,
            c => at += c.len_utf8(),
        }
    }
}
