//! Tokens of a label selector's text form.

/// One token; its text only matters for identifiers and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Error,
    End,
    Open,
    Close,
    Comma,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Identifier,
}

/// Tokens and their text; the last is `End`.
pub(super) fn scan(text: &str) -> Vec<(Token, &str)> {
    let mut rest = text;
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let (token, len) = match rest.as_bytes() {
            [] => {
                tokens.push((Token::End, ""));
                return tokens;
            }
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'=', b'=', ..] => (Token::DoubleEquals, 2),
            [b'=', ..] => (Token::Equals, 1),
            [b'!', b'=', ..] => (Token::NotEquals, 2),
            [b'!', ..] => (Token::Not, 1),
            [b'>', ..] => (Token::Greater, 1),
            [b'<', ..] => (Token::Less, 1),
            [0, ..] => (Token::Error, 1),
            _ => {
                let end = rest.find(|c: char| "=!(),>< \t\r\n\0".contains(c)).unwrap_or(rest.len());
                let token = match &rest[..end] {
                    "in" => Token::In,
                    "notin" => Token::NotIn,
                    _ => Token::Identifier,
                };
                (token, end)
            }
        };
        tokens.push((token, &rest[..len]));
        rest = &rest[len..];
    }
}
