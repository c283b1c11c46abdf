//! Regular expressions in Go's syntax.

use regex::{Regex, RegexBuilder};
use std::iter::Peekable;
use std::str::Chars;
use std::sync::OnceLock;

/// Maximum size of a compiled expression.
const MAX_SIZE: usize = 16 << 20;

/// A pattern, compiled when it is first used: a definition may have many.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    compiled: OnceLock<Result<Regex, regex::Error>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// The text to show for the pattern if it is not found.
    pub(super) fn mismatch(&self, text: &str) -> Option<String> {
        let compile = || RegexBuilder::new(&translate(&self.text)).size_limit(MAX_SIZE).build();
        match self.compiled.get_or_init(compile) {
            Ok(regex) => (!regex.is_match(text)).then(|| self.text.clone()),
            Err(error) => Some(format!("{}, but pattern is invalid: {error}", self.text)),
        }
    }
}

/// Writes an expression of Go in the syntax of the library: classes named by a letter are ASCII,
/// and what has a meaning here only is escaped.
fn translate(go: &str) -> String {
    let mut out = String::with_capacity(go.len() + 16);
    let mut rest = go.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, false, &mut out),
            '[' => class(&mut rest, &mut out),
            '{' if !is_repetition(&rest) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Returns true if what follows a brace makes it a repetition.
fn is_repetition(rest: &Peekable<Chars<'_>>) -> bool {
    let inner: String = rest.clone().take_while(|c| *c != '}').take(16).collect();
    let (min, max) = inner.split_once(',').unwrap_or((&inner, "0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !min.is_empty() && digits(min) && digits(max) && rest.clone().any(|c| c == '}')
}

fn escape(rest: &mut Peekable<Chars<'_>>, in_class: bool, out: &mut String) {
    let Some(c) = rest.next() else { return out.push('\\') };
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => out.push_str(r"(?-u:\B)"),
        'Q' if !in_class => quoted(rest, out),
        '0'..='7' => octal(c, rest, out),
        '<' | '>' => out.push(c),
        c => {
            out.extend(['\\', c]);
            // The name of a class or the code of a character.
            if matches!(c, 'p' | 'P' | 'x') && rest.peek() == Some(&'{') {
                let end = |c: &char| *c != '}';
                let name: String = rest.clone().take_while(end).collect();
                rest.nth(name.chars().count());
                out.extend([&name, "}"]);
            }
        }
    }
}

/// Text between `\Q` and `\E` stands for itself.
fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

/// A character by its code in up to three octal digits.
fn octal(first: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut code = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = rest.peek().and_then(|c| c.to_digit(8)) else { break };
        code = code * 8 + digit;
        rest.next();
    }
    out.push_str(&format!("\\x{{{code:x}}}"));
}

/// A class in brackets. Brackets and operators of sets are characters inside.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if rest.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(c) = rest.next() {
        match c {
            ']' => return out.push(']'),
            '[' if rest.peek() == Some(&':') => named(rest, out),
            '\\' if rest.peek().is_some_and(|c| "dDwWsSpP".contains(*c)) => escape(rest, true, out),
            c => {
                member(c, rest, out);
                let mut ahead = rest.clone();
                if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                    rest.next();
                    out.push('-');
                    rest.next().into_iter().for_each(|end| member(end, rest, out));
                }
            }
        }
    }
}

/// One character of a class.
fn member(c: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    match c {
        '\\' => escape(rest, true, out),
        '[' | '&' | '~' | '-' | '^' => out.extend(['\\', c]),
        c => out.push(c),
    }
}

/// A class named between colons.
fn named(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let text: String = rest.clone().take_while(|c| *c != ']').take(16).collect();
    if text.len() > 2 && text.ends_with(':') {
        rest.nth(text.len());
        out.extend(["[", &text, "]"]);
    } else {
        out.push_str("\\[");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        let table = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "\u{663}", false),
            (r"^\w$", "é", false),
            (r"^\S\s$", "\u{a0} ", true),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[[a]$", "[", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[]a]+$", "]a", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^[[:^alpha:]]+$", "12", true),
            (r"^[+--]$", ",", true),
            (r"^[--a]+$", ".A", true),
            (r"^[\w-]+$", "a-b", true),
            (r"^[a\-z]+$", "b", false),
            (r"^[\p{Greek}x]+$", "αx", true),
            (r"^\x{e9}[\x41-\x43]$", "éB", true),
            (r"^a{2}$", "aa", true),
            (r"^a{2,3}$", "aaaa", false),
            (r"^a{2,}$", "aaaa", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^{x}$", "{x}", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^\101$", "A", true),
            (r"^\<a\>$", "<a>", true),
            (r"\bé", "é", false),
            (r"^\pL\p{Greek}$", "éα", true),
            (r"^.$", "é", true),
            ("^a$", "a\n", false),
            (r"(?i)^k$", "\u{212a}", true),
        ];
        for (pattern, text, matches) in table {
            assert_eq!(Pattern::new(pattern).mismatch(text).is_none(), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn an_expression_that_is_too_large_or_wrong_is_an_error_of_the_value() {
        for pattern in [r"(\pL{1,1000}){1,1000}", "(", "[", "a\\"] {
            let says = Pattern::new(pattern).mismatch("a").unwrap();
            assert!(says.starts_with(&format!("{pattern}, but pattern is invalid: ")), "{says}");
        }
    }
}
