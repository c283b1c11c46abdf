//! Rewrites attributes in the start tags of streamed HTML
//! (<https://html.spec.whatwg.org/multipage/parsing.html>); all else is passed through unchanged.

use std::ops::Range;

/// Elements whose content is text up to their own end tag.
const RAW: &[&str] =
    &["iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"];

/// Maximum bytes kept of one tag; a longer one is passed through unchanged.
const LONGEST: usize = 1 << 20;

/// Rewrites attributes: given the lower-case names of element and attribute and the value as
/// written, returns another value, which must be valid in double quotes.
pub(super) trait Rewrite {
    /// The new value, if there is one.
    fn value(&self, element: &str, attribute: &str, value: &str) -> Option<String>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// In an element of raw text; `Tags::raw` is its name.
    RawText,
    /// After `<` in raw text, while the input matches the end tag.
    RawEnd,
    /// After `<`.
    Open,
    /// After `<!`, which may become a comment.
    Declaration,
    Comment,
    /// Up to the next `>`.
    Bogus,
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
}

/// The positions of an attribute in the tag.
#[derive(Clone, Debug, Default)]
struct Attribute {
    name: Range<usize>,
    /// Including its quotes.
    value: Range<usize>,
    quoted: bool,
}

/// Reads HTML in pieces of any size, and writes it with rewritten attributes.
pub(super) struct Tags<R> {
    rewrite: R,
    state: State,
    /// The tag, or a possible tag, from its `<`.
    tag: Vec<u8>,
    /// Number of its bytes read.
    read: usize,
    /// The tag is too long to keep and is written as it arrives.
    overlong: bool,
    /// This is an end tag.
    ends: bool,
    name: Range<usize>,
    attributes: Vec<Attribute>,
    raw: String,
}

impl<R: Rewrite> Tags<R> {
    pub(super) fn new(rewrite: R) -> Self {
        Self {
            rewrite,
            state: State::Text,
            tag: Vec::new(),
            read: 0,
            overlong: false,
            ends: false,
            name: 0..0,
            attributes: Vec::new(),
            raw: String::new(),
        }
    }

    /// Reads the next piece, and writes as much as is certain.
    pub(super) fn write(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while let Some((byte, rest)) = piece.split_first() {
            let plain = matches!(self.state, State::Text | State::RawText);
            if plain && *byte != b'<' {
                let end = piece.iter().position(|byte| *byte == b'<').unwrap_or(piece.len());
                out.extend_from_slice(&piece[..end]);
                piece = &piece[end..];
                continue;
            }
            self.byte(*byte, out);
            piece = rest;
        }
    }

    /// Writes the rest of a document that ends inside a tag.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.tag);
        self.state = State::Text;
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        let at = self.read;
        self.keep(byte, out);
        match self.state {
            State::Text => self.state = State::Open,
            State::RawText => self.state = State::RawEnd,
            State::RawEnd => self.raw_end(byte, out),
            State::Open => match byte {
                b'!' => self.state = State::Declaration,
                b'?' => self.state = State::Bogus,
                b'/' if at == 1 => self.ends = true,
                _ if byte.is_ascii_alphabetic() => {
                    self.name = at..at;
                    self.state = State::TagName;
                }
                // `</` begins a comment unless a name follows, and `<` is text.
                b'>' => self.flush(State::Text, out),
                _ if self.ends => self.state = State::Bogus,
                b'<' => {
                    self.tag.pop();
                    self.flush(State::Open, out);
                    self.keep(b'<', out);
                }
                _ => self.flush(State::Text, out),
            },
            State::Declaration => match (byte, at) {
                (b'-', 2) => {}
                (b'-', 3) => self.state = State::Comment,
                (b'>', _) => self.flush(State::Text, out),
                _ => self.state = State::Bogus,
            },
            State::Comment => self.comment(byte, out),
            State::Bogus if byte == b'>' => self.flush(State::Text, out),
            State::Bogus => {}
            State::TagName if is_space(byte) || matches!(byte, b'/' | b'>') => {
                self.name.end = at;
                self.before_name(byte, at, out);
            }
            State::TagName => {}
            State::BeforeName => self.before_name(byte, at, out),
            State::Name | State::AfterName => self.name(byte, at, out),
            State::BeforeValue => match byte {
                b'"' | b'\'' => self.value(at, true, State::Quoted(byte)),
                b'>' => self.finish(out),
                _ if is_space(byte) => {}
                _ => self.value(at, false, State::Unquoted),
            },
            State::Quoted(quote) if byte == quote => self.end_value(at + 1),
            State::Quoted(_) => {}
            State::Unquoted if is_space(byte) => self.end_value(at),
            State::Unquoted if byte == b'>' => {
                self.end_value(at);
                self.finish(out);
            }
            State::Unquoted => {}
        }
    }

    /// Keeps a byte of the tag, or writes it if the tag is too long.
    fn keep(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.read += 1;
        if self.overlong {
            return out.push(byte);
        }
        self.tag.push(byte);
        let settled = matches!(self.state, State::Comment | State::Bogus);
        if self.tag.len() > LONGEST && !settled {
            out.append(&mut self.tag);
            self.overlong = true;
        }
    }

    /// Writes the kept bytes unchanged.
    fn flush(&mut self, next: State, out: &mut Vec<u8>) {
        out.append(&mut self.tag);
        self.attributes.clear();
        (self.read, self.overlong, self.ends, self.state) = (0, false, false, next);
    }

    /// Comments end with `-->`; `<!-->` is a complete one.
    fn comment(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == b'>' && self.tag.ends_with(b"-->") {
            return self.flush(State::Text, out);
        }
        // Only the end of the comment matters.
        let settled = self.tag.len().saturating_sub(2);
        if settled > 4 {
            out.extend(self.tag.drain(..settled));
        }
    }

    fn raw_end(&mut self, byte: u8, out: &mut Vec<u8>) {
        // The kept bytes are `</` and a part of the name.
        let read = self.tag.len() - 1;
        let wanted = match read {
            1 => byte == b'/',
            _ => match self.raw.as_bytes().get(read - 2) {
                Some(wanted) => byte.eq_ignore_ascii_case(wanted),
                None if is_space(byte) || matches!(byte, b'/' | b'>') => {
                    self.raw.clear();
                    self.ends = true;
                    self.name = 2..read;
                    return self.before_name(byte, read, out);
                }
                None => false,
            },
        };
        if !wanted && byte == b'<' {
            self.tag.pop();
            self.flush(State::RawEnd, out);
            self.keep(b'<', out);
        } else if !wanted {
            self.flush(State::RawText, out);
        }
    }

    fn before_name(&mut self, byte: u8, at: usize, out: &mut Vec<u8>) {
        match byte {
            b'>' => self.finish(out),
            _ if is_space(byte) || byte == b'/' => self.state = State::BeforeName,
            _ => {
                self.attributes.push(Attribute { name: at..at, ..Attribute::default() });
                self.state = State::Name;
            }
        }
    }

    fn name(&mut self, byte: u8, at: usize, out: &mut Vec<u8>) {
        let first = self.attributes.last().is_some_and(|attribute| attribute.name.start == at);
        // A `=` at the very beginning is part of the name.
        let ends = matches!(byte, b'=' | b'>' | b'/') || is_space(byte);
        if self.state == State::Name {
            if !ends || first {
                return;
            }
            if let Some(attribute) = self.attributes.last_mut() {
                attribute.name.end = at;
            }
        }
        match byte {
            b'=' => self.state = State::BeforeValue,
            _ if is_space(byte) => self.state = State::AfterName,
            _ => self.before_name(byte, at, out),
        }
    }

    fn value(&mut self, at: usize, quoted: bool, state: State) {
        if let Some(attribute) = self.attributes.last_mut() {
            (attribute.value, attribute.quoted) = (at..at, quoted);
        }
        self.state = state;
    }

    fn end_value(&mut self, end: usize) {
        if let Some(attribute) = self.attributes.last_mut() {
            attribute.value.end = end;
        }
        self.state = State::BeforeName;
    }

    /// Writes the tag with its rewritten attributes.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.overlong {
            return self.flush(State::Text, out);
        }
        let element = String::from_utf8_lossy(&self.tag[self.name.clone()]).to_ascii_lowercase();
        let mut written = 0;
        let attributes = std::mem::take(&mut self.attributes);
        for Attribute { name, value, quoted } in attributes.into_iter().filter(|_| !self.ends) {
            let inner = if quoted { value.start + 1..value.end - 1 } else { value.clone() };
            let name = String::from_utf8_lossy(&self.tag[name]).to_ascii_lowercase();
            let Ok(text) = std::str::from_utf8(&self.tag[inner]) else { continue };
            if let Some(new) = self.rewrite.value(&element, &name, text) {
                out.extend_from_slice(&self.tag[written..value.start]);
                out.extend_from_slice(format!("\"{new}\"").as_bytes());
                written = value.end;
            }
        }
        self.tag.drain(..written);
        let raw = !self.ends && RAW.contains(&element.as_str());
        self.flush(if raw { State::RawText } else { State::Text }, out);
        if raw {
            self.raw = element;
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prefixes values that begin with `/` by the arguments and `P`.
    struct Marked;

    impl Rewrite for Marked {
        fn value(&self, element: &str, attribute: &str, value: &str) -> Option<String> {
            value.starts_with('/').then(|| format!("{element}.{attribute}:P{value}"))
        }
    }

    fn through(html: &str, piece: usize) -> String {
        let (mut tags, mut out) = (Tags::new(Marked), Vec::new());
        for piece in html.as_bytes().chunks(piece) {
            tags.write(piece, &mut out);
        }
        tags.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn start_tags_are_changed_and_nothing_else_is() {
        for (html, wanted) in [
            (r#"<a href="/x">/y</a>"#, r#"<a href="a.href:P/x">/y</a>"#),
            ("<A HREF=/x>", r#"<A HREF="a.href:P/x">"#),
            ("<a\n href = '/x' b=/y/>", "<a\n href = \"a.href:P/x\" b=\"a.b:P/y/\">"),
            (r#"<img alt="a>b" src="/x"/>"#, r#"<img alt="a>b" src="img.src:P/x"/>"#),
            (r#"<a href="x" b c="/y">"#, r#"<a href="x" b c="a.c:P/y">"#),
            ("<!-- <a href=\"/x\"> --><b c=/y>", "<!-- <a href=\"/x\"> --><b c=\"b.c:P/y\">"),
            ("<!--><b c=/y>", "<!--><b c=\"b.c:P/y\">"),
            ("<!doctype html><b c=/y>", "<!doctype html><b c=\"b.c:P/y\">"),
            ("<?xml a=\"/x\"?><b c=/y>", "<?xml a=\"/x\"?><b c=\"b.c:P/y\">"),
            ("</a href=\"/x\">", "</a href=\"/x\">"),
            ("1 < 2 <3 <<b c=/y>", "1 < 2 <3 <<b c=\"b.c:P/y\">"),
            (
                "<script src=/s>if (a<b) '<a href=\"/x\">' </scriptx> <</SCRIPT ><b c=/y>",
                "<script src=\"script.src:P/s\">if (a<b) '<a href=\"/x\">' </scriptx> <</SCRIPT >\
                 <b c=\"b.c:P/y\">",
            ),
            ("<title><a href=/x></title><b c=/y>", "<title><a href=/x></title><b c=\"b.c:P/y\">"),
            ("<a =/x>", "<a =/x>"),
            ("<a b=>", "<a b=>"),
            ("<a href=\"/x", "<a href=\"/x"),
            ("é<a href=\"/é\">", "é<a href=\"a.href:P/é\">"),
        ] {
            for piece in [1, 2, 3, 7, html.len()] {
                assert_eq!(through(html, piece), wanted, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_tag_without_end_costs_no_memory_and_loses_nothing() {
        let html = format!("<a b=\"{}\" href=/x><b c=/y>", "x".repeat(2 * LONGEST));
        let (mut tags, mut out) = (Tags::new(Marked), Vec::new());
        for piece in html.as_bytes().chunks(1000) {
            tags.write(piece, &mut out);
            assert!(tags.tag.len() <= LONGEST + 1);
        }
        tags.end(&mut out);
        assert!(out == html.replace("c=/y", "c=\"b.c:P/y\"").as_bytes());
        let comment = format!("<!--{}--><b c=/y>", "x".repeat(2 * LONGEST));
        assert!(through(&comment, 999) == comment.replace("c=/y", "c=\"b.c:P/y\""));
    }
}
