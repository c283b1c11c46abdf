//! Addresses of electronic mail, as RFC 5322 has them.

use std::net::IpAddr;

/// One address, perhaps with a name, or a group of one.
pub(super) fn is_address(text: &str) -> bool {
    let mut parser = Parser { rest: text };
    let is_one = parser.address(true) == Some(1);
    is_one && parser.skip_comments().is_some() && parser.rest.is_empty()
}

struct Parser<'a> {
    rest: &'a str,
}

fn is_visible(c: char) -> bool {
    ('!'..='~').contains(&c) || !c.is_ascii()
}

fn is_atom(c: char) -> bool {
    is_visible(c) && !"()<>[]:;@\\,\"".contains(c)
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// Reads a mailbox or a group, and returns the number of addresses.
    fn address(&mut self, groups: bool) -> Option<usize> {
        self.skip_space();
        if self.spec().is_some() {
            self.skip_space();
            if self.rest.starts_with('(') {
                self.comment()?;
            }
            return Some(1);
        }
        if self.rest.is_empty() {
            return None;
        }
        if !self.rest.starts_with('<') {
            self.phrase()?;
        }
        self.skip_space();
        if groups && self.take(':').is_some() {
            return self.group();
        }
        self.take('<')?;
        self.spec()?;
        self.take('>')?;
        Some(1)
    }

    fn group(&mut self) -> Option<usize> {
        self.skip_space();
        let mut count = 0;
        if self.take(';').is_none() {
            loop {
                self.skip_space();
                count += self.address(false)?;
                self.skip_comments()?;
                if self.take(';').is_some() {
                    break;
                }
                self.take(',')?;
            }
        }
        self.skip_comments()?;
        Some(count)
    }

    /// Reads `local@domain`, or nothing at all.
    fn spec(&mut self) -> Option<()> {
        let before = self.rest;
        let done = self.local().and_then(|()| self.take('@')).and_then(|()| self.domain());
        if done.is_none() {
            self.rest = before;
        }
        done
    }

    fn local(&mut self) -> Option<()> {
        self.skip_space();
        match self.rest.starts_with('"') {
            true => self.quoted().filter(|length| *length > 0).map(drop),
            false => self.atom(false),
        }
    }

    fn domain(&mut self) -> Option<()> {
        self.skip_space();
        let Some(literal) = self.rest.strip_prefix('[') else { return self.atom(false) };
        let (address, rest) = literal.split_once(']')?;
        self.rest = rest;
        address.parse::<IpAddr>().ok().map(drop)
    }

    /// Reads an atom with dots, which in a phrase may be anywhere.
    fn atom(&mut self, in_phrase: bool) -> Option<()> {
        let end = self.rest.find(|c| !is_atom(c)).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        if atom.is_empty() {
            return None;
        }
        self.rest = rest;
        let odd = atom.starts_with('.') || atom.ends_with('.') || atom.contains("..");
        (in_phrase || !odd).then_some(())
    }

    /// Reads a text in quotes, and returns its length.
    fn quoted(&mut self) -> Option<usize> {
        let mut is_escaped = false;
        let mut length = 0;
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                '"' if !is_escaped => {
                    self.rest = &self.rest[at + 1..];
                    return Some(length);
                }
                '\\' if !is_escaped => is_escaped = true,
                c if is_visible(c) || matches!(c, ' ' | '\t') => {
                    length += 1;
                    is_escaped = false;
                }
                _ => return None,
            }
        }
        None
    }

    /// Reads words up to what is none; at least one.
    fn phrase(&mut self) -> Option<()> {
        let mut count = 0;
        loop {
            if count > 0 {
                self.skip_comments()?;
            }
            self.skip_space();
            let word = match self.rest.chars().next() {
                None => None,
                Some('"') => self.quoted().map(drop),
                Some(_) => self.atom(true),
            };
            if word.is_none() {
                return (count > 0 || self.rest.is_empty()).then_some(());
            }
            count += 1;
        }
    }

    fn skip_comments(&mut self) -> Option<()> {
        self.skip_space();
        while self.rest.starts_with('(') {
            self.comment()?;
            self.skip_space();
        }
        Some(())
    }

    /// Reads a comment, in which others may be.
    fn comment(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        let mut is_escaped = false;
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if at + 1 < self.rest.len() => is_escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 && !is_escaped {
                self.rest = &self.rest[at + 1..];
                return Some(());
            }
        }
        None
    }
}
