//! The grammar of kubectl's JSONPath templates (upstream's `util/jsonpath`): templates are only
//! validated, not evaluated.

use std::sync::LazyLock;

use regex::Regex;

/// The reason why a template is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

type Result = std::result::Result<(), Unreadable>;

fn wrong(why: impl Into<String>) -> Result {
    Err(Unreadable(why.into()))
}

static SLICE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?$").ok());
static COMPARISON: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([^!<>=]+)([!<>=]+)(.+?)$").ok());

/// Reads a whole template, in which `{…}` are paths.
pub(crate) fn read(template: &str) -> Result {
    let mut reader = Reader { input: template, pos: 0, start: 0 };
    while let Some(at) = reader.rest().find('{') {
        reader.pos += at + 1;
        reader.action()?;
    }
    Ok(())
}

fn read_action(text: &str) -> Result {
    read(&format!("{{{text}}}"))
}

struct Reader<'a> {
    input: &'a str,
    pos: usize,
    /// Start of the text that was read but not yet taken.
    start: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.pos += next.len_utf8();
        Some(next)
    }

    fn take(&mut self) -> &'a str {
        let text = &self.input[self.start..self.pos];
        self.start = self.pos;
        text
    }

    /// Reads the rest of an action, including its end.
    fn action(&mut self) -> Result {
        // Two consecutive recursive descents are invalid.
        let mut descends = false;
        loop {
            self.take();
            let descended = std::mem::take(&mut descends);
            if self.rest().starts_with('}') {
                self.pos += 1;
                return Ok(());
            }
            if self.rest().starts_with("[?(") {
                self.filter()?;
                continue;
            }
            if self.rest().starts_with("..") {
                if descended {
                    return wrong("invalid multiple recursive descent");
                }
                self.pos += 2;
                match self.peek().is_some_and(is_alphanumeric) {
                    true => self.field(),
                    false => descends = true,
                }
                continue;
            }
            match self.next() {
                None | Some('\r' | '\n') => return wrong("unclosed action"),
                Some(' ' | '@' | '$') => descends = descended,
                Some('[') => self.array()?,
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                Some('.') => self.field(),
                Some(c @ ('+' | '-')) => self.number(c)?,
                Some(c) if c.is_numeric() => self.number(c)?,
                Some(c) if is_alphanumeric(c) => self.identifier(),
                Some(c) => {
                    let shown = match c.is_control() || c.is_whitespace() {
                        true => String::new(),
                        false => format!(" '{c}'"),
                    };
                    let code = u32::from(c);
                    return wrong(format!("unrecognized character in action: U+{code:04X}{shown}"));
                }
            }
        }
    }

    fn identifier(&mut self) {
        while self.peek().is_some_and(|c| !is_terminator(c)) {
            self.next();
        }
    }

    fn field(&mut self) {
        while let Some(c) = self.peek().filter(|c| !is_terminator(*c)) {
            self.next();
            if c == '\\' {
                self.next();
            }
        }
    }

    fn number(&mut self, first: char) -> Result {
        while self.peek().is_some_and(|c| c == '.' || c.is_numeric()) {
            self.next();
        }
        let text = self.take();
        debug_assert!(text.starts_with(first));
        match text.parse::<f64>() {
            Ok(_) => Ok(()),
            Err(_) => wrong(format!("cannot parse number {text}")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result {
        loop {
            match self.next() {
                None | Some('\n') => return wrong("unterminated quoted string"),
                Some(c) if c == quote && !self.is_escaped() => break,
                Some(_) => {}
            }
        }
        let text = self.take();
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        match text.len() > 1 && is_unquotable(inner, quote) {
            true => Ok(()),
            false => wrong(format!("unquote string {text} error invalid syntax")),
        }
    }

    /// Returns true if a backslash precedes the one-byte character just read.
    fn is_escaped(&self) -> bool {
        self.pos >= 2 && self.input.as_bytes()[self.pos - 2] == b'\\'
    }

    fn array(&mut self) -> Result {
        loop {
            match self.next() {
                None | Some('\n') => return wrong("unterminated array"),
                Some(']') => break,
                Some(_) => {}
            }
        }
        let text = self.take();
        let text = &text[1..text.len() - 1];
        if text.contains(',') {
            return text
                .split(',')
                .try_for_each(|part| read_action(&format!("[{}]", part.trim_matches(' '))));
        }
        let key = text.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
        if let Some(key) = key.filter(|key| !key.contains('\'')) {
            return read_action(&format!(".{key}"));
        }
        let text = if text == "*" { ":" } else { text };
        let Some(parts) = SLICE.as_ref().and_then(|slice| slice.captures(text)) else {
            return wrong(format!("invalid array index {text}"));
        };
        for part in parts.iter().skip(1).flatten() {
            let number = part.as_str().trim_start_matches(':');
            if !number.is_empty() && number.parse::<i64>().is_err() {
                return wrong(format!("array index {number} is not a number"));
            }
        }
        Ok(())
    }

    fn filter(&mut self) -> Result {
        self.pos += "[?(".len();
        self.take();
        let mut pair = None;
        let mut ended = false;
        loop {
            match self.next() {
                None | Some('\n') => return wrong("unterminated filter"),
                Some(quote @ ('"' | '\'')) => match pair {
                    None => pair = Some(quote),
                    Some(pair) if pair == quote && !self.is_escaped() => ended = true,
                    Some(_) => {}
                },
                Some(')') if pair.is_some() == ended => break,
                Some(_) => {}
            }
        }
        if self.next() != Some(']') {
            return wrong("unclosed array expect ]");
        }
        let text = self.take();
        let text = &text[..text.len() - 2];
        match COMPARISON.as_ref().and_then(|comparison| comparison.captures(text)) {
            None => read_action(text),
            Some(sides) => {
                read_action(&sides[1])?;
                read_action(&sides[3])
            }
        }
    }
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

fn is_terminator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// Returns true if the escapes in a quoted text are valid in Go.
fn is_unquotable(text: &str, quote: char) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        let digits = match chars.next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => continue,
            Some(c) if c == quote => continue,
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(c) if c.is_digit(8) => {
                let rest: Vec<u32> = chars.by_ref().take(2).filter_map(|c| c.to_digit(8)).collect();
                if rest.len() < 2 || c > '3' {
                    return false;
                }
                continue;
            }
            _ => return false,
        };
        let code: String = chars.by_ref().take(digits).collect();
        let number = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits);
        if !number.is_some_and(|number| digits == 2 || char::from_u32(number).is_some()) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_as_kubectl_reads_them() {
        for good in [
            "spec.validations[0].expression",
            ".spec['a.b'].c",
            ".items[*]..name",
            "$.a[0,1]",
            ".a[-1:]",
            ".a[1:5:2]",
            "[?(@.a==\"b\")].c",
            "[?(@.a)]",
            "range .items",
            "'quoted \\' text'",
            "\"\\u00e9\"",
            "5",
            "+1.5",
            "a}text{.b",
            "",
            ".a\\.b",
        ] {
            assert_eq!(read_action(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("10.0.0.1", "cannot parse number 10.0.0.1"),
            ("-", "cannot parse number -"),
            ("(", "unrecognized character in action: U+0028 '('"),
            ("a\tb", "unrecognized character in action: U+0009"),
            (".a[", "unterminated array"),
            (".a[b]", "invalid array index b"),
            (".a[-]", "array index - is not a number"),
            (".a[0,b]", "invalid array index b"),
            ("[?(@.a", "unterminated filter"),
            ("[?(@.a)x", "unclosed array expect ]"),
            ("[?(@.a==1.2.3)]", "cannot parse number 1.2.3"),
            ("'a", "unterminated quoted string"),
            ("'\\q'", "unquote string '\\q' error invalid syntax"),
            ("....", "invalid multiple recursive descent"),
            ("a\nb", "unclosed action"),
        ] {
            assert_eq!(read_action(bad), wrong(why), "{bad}");
        }
    }
}
