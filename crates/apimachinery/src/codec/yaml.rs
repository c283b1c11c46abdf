//! YAML 1.1 as upstream reads it (`sigs.k8s.io/yaml` over `go.yaml.in/yaml/v2`), guarded against
//! documents that expand or that take long to read.

mod budget;
mod encode;
mod error;
mod resolve;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use budget::Budget;
pub use encode::encode;
use error::Error;
use libyaml_safer::{Encoding, EventData, Parser, ScalarStyle};
use resolve::{Scalar, resolve};
use serde_json::{Map, Value};

use super::{Duplicate, Duplicates, MAX_DEPTH, json};
use crate::status::Status;

/// More directives are refused: each is compared with all before it.
const MAX_DIRECTIVES: usize = 32;

/// Decodes the first YAML document; the last of duplicate fields wins, and its line is reported.
///
/// # Errors
/// 400 when the document is not well formed, nests too deeply, or expands too much.
pub fn decode(bytes: &[u8]) -> Result<(Value, Vec<Duplicate>), Status> {
    // Programs send JSON, which the JSON decoder reads faster.
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    let as_json = match first {
        Some(b'{' | b'[') => json::decode_unicode(bytes, false).ok(),
        _ => None,
    };
    match as_json {
        Some((value, duplicates)) if duplicates.is_empty() => Ok((value, duplicates)),
        // Duplicates are reported by line if the document is YAML too.
        other => read(bytes).or_else(|refusal| other.ok_or(refusal)),
    }
}

fn read(bytes: &[u8]) -> Result<(Value, Vec<Duplicate>), Status> {
    let refuse = |why: Box<Error>| {
        Status::bad_request(format!("error converting YAML to JSON: yaml: {why}"))
    };
    let mut text = with_plain_breaks(transcode(bytes).map_err(refuse)?);
    if directives(&text) > MAX_DIRECTIVES {
        return Err(refuse(Error::Directives.into()));
    }
    let end = ensure_last_break(&mut text);
    let mut input: &[u8] = &text;
    let mut parser = Parser::new();
    parser.set_encoding(Encoding::Utf8);
    parser.set_input(&mut input);
    let mut reader = Reader {
        parser,
        budget: Budget::new(bytes.len()),
        depth: 0,
        anchors: HashMap::new(),
        open: HashSet::new(),
        line: 0,
        end,
        duplicates: Duplicates::default(),
    };
    // The parser panics when libyaml would rely on the zero byte at the end of its buffer.
    let document = catch_unwind(AssertUnwindSafe(|| reader.document()));
    let value = document.unwrap_or_else(|_| Err(Error::Event.into())).map_err(refuse)?;
    Ok((value, reader.duplicates.into_list()))
}

/// Boxed, because reading recurses deeply.
type Result<T, E = Box<Error>> = std::result::Result<T, E>;

struct Reader<'a> {
    parser: Parser<'a>,
    budget: Budget,
    depth: usize,
    /// Values by anchor.
    anchors: HashMap<String, Value>,
    /// Anchors whose values are being read.
    open: HashSet<String>,
    /// Line of the last event, counted from one.
    line: usize,
    /// Original end of the text, if a final line break was appended.
    end: Option<u64>,
    duplicates: Duplicates,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<EventData> {
        self.budget.event(self.depth)?;
        let mut event = self.parser.parse().map_err(Error::Parser)?;
        if let EventData::Scalar { value, style, .. } = &mut event.data
            && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
            && self.end.is_some_and(|end| event.end_mark.index > end)
            && value.ends_with('\n')
        {
            value.pop();
        }
        self.line = event.start_mark.line as usize + 1;
        Ok(event.data)
    }

    fn document(&mut self) -> Result<Value> {
        loop {
            match self.next()? {
                EventData::StreamStart { .. } | EventData::DocumentStart { .. } => {}
                EventData::StreamEnd => return Ok(Value::Null),
                event => {
                    let value = self.value(event)?;
                    // The document must end properly: text that follows may break its end.
                    self.next()?;
                    return Ok(value);
                }
            }
        }
    }

    fn value(&mut self, event: EventData) -> Result<Value> {
        match event {
            EventData::Alias { anchor } => self.alias(&anchor),
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                let value = match resolve(tag.as_deref(), value, plain_implicit)? {
                    Scalar::Value(value) => value,
                    Scalar::NotFinite(text) => return Err(Error::NotFinite(text).into()),
                };
                self.keep(anchor, value)
            }
            EventData::SequenceStart { anchor, .. } => {
                self.enter(anchor.as_deref())?;
                let items = self.items()?;
                self.leave(anchor, Value::Array(items))
            }
            EventData::MappingStart { anchor, .. } => {
                self.enter(anchor.as_deref())?;
                let fields = self.fields()?;
                self.leave(anchor, Value::Object(fields))
            }
            _ => Err(Error::Event.into()),
        }
    }

    fn enter(&mut self, anchor: Option<&str>) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::Depth.into());
        }
        if let Some(anchor) = anchor {
            self.open.insert(anchor.to_owned());
        }
        Ok(())
    }

    fn leave(&mut self, anchor: Option<String>, value: Value) -> Result<Value> {
        self.depth -= 1;
        if let Some(anchor) = &anchor {
            self.open.remove(anchor);
        }
        self.keep(anchor, value)
    }

    /// Remembers a value that aliases may refer to.
    fn keep(&mut self, anchor: Option<String>, value: Value) -> Result<Value> {
        if let Some(anchor) = anchor {
            self.budget.copy(&value)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: &str) -> Result<Value> {
        if self.open.contains(anchor) {
            return Err(Error::Circle(anchor.to_owned()).into());
        }
        let Some(value) = self.anchors.get(anchor) else {
            return Err(Error::Anchor(anchor.to_owned()).into());
        };
        self.budget.copy(value)?;
        Ok(value.clone())
    }

    fn items(&mut self) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                EventData::SequenceEnd => return Ok(items),
                event => items.push(self.value(event)?),
            }
        }
    }

    fn fields(&mut self) -> Result<Map<String, Value>> {
        let mut map = Map::new();
        loop {
            let event = self.next()?;
            if matches!(event, EventData::MappingEnd) {
                return Ok(map);
            }
            if is_merge(&event) {
                let event = self.next()?;
                self.merge(&mut map, event)?;
                continue;
            }
            let line = self.line;
            let key = key_text(self.value(event)?)?;
            let event = self.next()?;
            let value = self.value(event)?;
            if map.contains_key(&key) {
                self.duplicates.report(|| Duplicate::Line(line, key.clone()));
            }
            map.insert(key, value);
        }
    }

    /// The merge key: its values override those before it.
    fn merge(&mut self, map: &mut Map<String, Value>, event: EventData) -> Result<()> {
        match self.value(event)? {
            Value::Object(base) => map.extend(base),
            Value::Array(bases) => {
                // Earlier ones take precedence.
                for base in bases.into_iter().rev() {
                    let Value::Object(base) = base else { return Err(Error::Merge.into()) };
                    map.extend(base);
                }
            }
            _ => return Err(Error::Merge.into()),
        }
        Ok(())
    }
}

/// Converts text from the encoding that its first bytes declare (YAML 1.1, 5.2) to UTF-8.
fn transcode(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).into()),
    };
    let units = bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    let text = text.map_err(Error::Encoding)?;
    Ok(text.into_bytes().into())
}

/// Text with lines that end with a line feed: the parser takes a CR LF pair for two line breaks.
fn with_plain_breaks(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !text.contains(&b'\r') {
        return text;
    }
    let mut plain = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\r' => plain.push(b'\n'),
            b'\n' if at > 0 && text[at - 1] == b'\r' => {}
            byte => plain.push(*byte),
        }
    }
    plain.into()
}

/// Appends a final line break, without which the parser panics in a block scalar, and returns the
/// original end of the text if it had none. Trailing blanks do not count as a line.
fn ensure_last_break(text: &mut Cow<'_, [u8]>) -> Option<u64> {
    let kept = text.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    if text[..kept].last().is_none_or(|byte| *byte == b'\n') {
        if kept < text.len() {
            text.to_mut().truncate(kept);
        }
        return None;
    }
    let end = text.len() as u64;
    text.to_mut().push(b'\n');
    Some(end)
}

/// Counts lines that begin like a directive, after any line break of YAML 1.1 (4.2).
fn directives(text: &[u8]) -> usize {
    let begins = |at: &usize| {
        let before = &text[..*at];
        before.is_empty()
            || [&b"\n"[..], b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"]
                .iter()
                .any(|end| before.ends_with(end))
    };
    text.iter().enumerate().filter(|(_, b)| **b == b'%').map(|(at, _)| at).filter(begins).count()
}

fn is_merge(event: &EventData) -> bool {
    match event {
        EventData::Scalar { tag, value, plain_implicit, .. } => {
            value == "<<" && (*plain_implicit || tag.as_deref() == Some("tag:yaml.org,2002:merge"))
        }
        _ => false,
    }
}

/// JSON's keys are strings.
fn key_text(key: Value) -> Result<String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // Upstream prints the number in 32 bits.
            Some(float) => Ok((float as f32).to_string()),
            None => Ok(number.to_string()),
        },
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Err(Error::NullKey.into()),
        other => {
            let mut shown = other.to_string();
            shown.truncate(shown.char_indices().nth(40).map_or(shown.len(), |(at, _)| at));
            Err(Error::Key(shown).into())
        }
    }
}

#[cfg(test)]
mod tests;
