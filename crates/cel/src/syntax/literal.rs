//! The values of literals.

use super::lexer::{Token, TokenKind};
use crate::ast::Literal;

const WRONG: &str = "unable to unescape string";

/// A literal without a value, and why.
pub(super) struct BadLiteral(pub(super) &'static str);

/// The value of a literal, with the sign before it.
pub(super) fn literal(token: Token<'_>, negative: bool) -> Result<Literal, BadLiteral> {
    let text = token.text;
    let sign = if negative { "-" } else { "" };
    match token.kind {
        TokenKind::Int => {
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(&format!("{sign}{hex}"), 16),
                None => format!("{sign}{text}").parse(),
            };
            parsed.map(Literal::Int).map_err(|_| BadLiteral("invalid int literal"))
        }
        TokenKind::Uint => {
            let digits = &text[..text.len() - 1];
            let parsed = match digits.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            parsed.map(Literal::Uint).map_err(|_| BadLiteral("invalid uint literal"))
        }
        TokenKind::Double => match format!("{sign}{text}").parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Literal::Double(value)),
            _ => Err(BadLiteral("invalid double literal")),
        },
        TokenKind::String => {
            let bytes = unescape(text, false)?;
            let text = String::from_utf8(bytes).map_err(|_| BadLiteral(WRONG))?;
            Ok(Literal::String(text.into()))
        }
        TokenKind::Bytes => Ok(Literal::Bytes(unescape(&text[1..], true)?.into())),
        _ => match text {
            "true" => Ok(Literal::Bool(true)),
            "false" => Ok(Literal::Bool(false)),
            _ => Ok(Literal::Null),
        },
    }
}

/// The content of a quoted string. In bytes, octal and hexadecimal escapes are bytes.
fn unescape(quoted: &str, bytes: bool) -> Result<Vec<u8>, BadLiteral> {
    let normal = quoted.replace("\r\n", "\n").replace('\r', "\n");
    let (raw, text) = match normal.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, &*normal),
    };
    let quote = if text.len() >= 6 && (text.starts_with("'''") || text.starts_with("\"\"\"")) {
        3
    } else {
        1
    };
    let inner = text.get(quote..text.len() - quote).ok_or(BadLiteral(WRONG))?;
    if raw || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut found = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        found.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at + 1..].chars();
        let c = chars.next().ok_or(BadLiteral(WRONG))?;
        rest = chars.as_str();
        let code = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' | '\'' | '"' | '`' | '?' => u32::from(c),
            'x' | 'X' => number(&mut rest, 2, 16, WRONG)?,
            'u' if !bytes => number(&mut rest, 4, 16, WRONG)?,
            'U' if !bytes => number(&mut rest, 8, 16, WRONG)?,
            '0'..='3' => {
                let high = u32::from(c) - u32::from('0');
                high * 64 + number(&mut rest, 2, 8, "unable to unescape octal sequence in string")?
            }
            _ => return Err(BadLiteral(WRONG)),
        };
        if bytes {
            found.push(code as u8);
        } else {
            let c = char::from_u32(code).ok_or(BadLiteral("invalid unicode code point"))?;
            found.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    found.extend_from_slice(rest.as_bytes());
    Ok(found)
}

fn number(
    rest: &mut &str,
    digits: usize,
    radix: u32,
    wrong: &'static str,
) -> Result<u32, BadLiteral> {
    let text = rest.get(..digits).ok_or(BadLiteral(wrong))?;
    let mut value = 0u32;
    for c in text.chars() {
        value = value.wrapping_mul(radix) | c.to_digit(radix).ok_or(BadLiteral(wrong))?;
    }
    *rest = &rest[digits..];
    Ok(value)
}
