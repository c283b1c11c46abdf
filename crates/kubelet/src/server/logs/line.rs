//! One line of a CRI log: `time stream tag content`.

/// A parsed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// As it was written, RFC 3339 with nanoseconds.
    pub(crate) time: &'a str,
    /// `stdout` or `stderr`.
    pub(crate) stream: &'a str,
    /// The container wrote no newline here: the line goes on in the next entry.
    pub(crate) partial: bool,
    pub(crate) content: &'a [u8],
}

/// Parses a line without its newline; `None` where it is not one.
pub(crate) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let (time, stream, tags) = (word()?, word()?, word()?);
    let content = parts.next().unwrap_or_default();
    let partial = tags.split(':').next() == Some("P");
    Some(Line { time, stream, partial, content })
}

/// The container's output, with a newline where it ended a line.
pub(crate) fn content(line: &str) -> Option<String> {
    let line = parse(line.as_bytes())?;
    let mut text = String::from_utf8_lossy(line.content).into_owned();
    if !line.partial {
        text.push('\n');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let full = parse(b"2024-01-01T00:00:00.5Z stdout F a b").unwrap();
        assert_eq!((full.time, full.stream), ("2024-01-01T00:00:00.5Z", "stdout"));
        assert_eq!((full.partial, full.content), (false, &b"a b"[..]));
        assert!(parse(b"t stderr P:x half").unwrap().partial);
        assert_eq!(parse(b"t stdout F").unwrap().content, b"");
        assert_eq!(parse(b"nonsense"), None);
    }
}
