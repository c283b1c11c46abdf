//! Container logs in CRI's format: time, stream, `F` for a full line or `P` for a part, text.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Longer lines are written in parts of this many bytes.
const MAX_LINE: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A log file, or none.
pub(super) struct Log {
    path: Option<PathBuf>,
    file: Option<File>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Log {
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(open).transpose()?;
        Ok(Self { path: path.map(Path::to_owned), file, stdout: Vec::new(), stderr: Vec::new() })
    }

    /// Opens the path anew, after a rotation renamed the file.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = self.path.as_deref().map(open).transpose()?;
        Ok(())
    }

    /// Takes output; whole lines are written, the rest waits for its end.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let pending = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        pending.extend_from_slice(bytes);
        let mut text = Vec::with_capacity(bytes.len() + 64);
        let rest = format(&mut text, Timestamp::now(), stream, pending);
        pending.drain(..rest);
        // A full disk must not stop the container; its output is lost, as with every runtime.
        file.write_all(&text).ok();
    }

    /// Writes what waits, as parts.
    pub(super) fn finish(&mut self) {
        for (stream, pending) in [
            (Stream::Stdout, std::mem::take(&mut self.stdout)),
            (Stream::Stderr, std::mem::take(&mut self.stderr)),
        ] {
            if let Some(file) = &mut self.file
                && !pending.is_empty()
            {
                let mut text = Vec::new();
                line(&mut text, Timestamp::now(), stream, b'P', &pending);
                file.write_all(&text).ok();
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Appends the complete lines and parts of `pending` and returns how much of it they were.
fn format(text: &mut Vec<u8>, now: Timestamp, stream: Stream, pending: &[u8]) -> usize {
    let mut start = 0;
    loop {
        let rest = &pending[start..];
        let window = &rest[..rest.len().min(MAX_LINE + 1)];
        match window.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                line(text, now, stream, b'F', &rest[..end]);
                start += end + 1;
            }
            None if rest.len() > MAX_LINE => {
                line(text, now, stream, b'P', &rest[..MAX_LINE]);
                start += MAX_LINE;
            }
            None => return start,
        }
    }
}

fn line(text: &mut Vec<u8>, now: Timestamp, stream: Stream, tag: u8, content: &[u8]) {
    write!(text, "{now:.9} {} {} ", stream.name(), char::from(tag)).ok();
    text.extend_from_slice(content);
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(pending: &[u8]) -> (String, usize) {
        let mut text = Vec::new();
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let used = format(&mut text, now, Stream::Stdout, pending);
        (String::from_utf8(text).unwrap(), used)
    }

    #[test]
    fn whole_lines_are_written_and_the_rest_waits() {
        let (text, used) = formatted(b"one\n\nthr");
        assert_eq!(
            text,
            "2026-01-02T03:04:05.000000000Z stdout F one\n2026-01-02T03:04:05.000000000Z stdout F \n"
        );
        assert_eq!(used, 5);
    }

    #[test]
    fn long_lines_come_in_parts() {
        let long = [vec![b'x'; MAX_LINE + 10], b"\n".to_vec()].concat();
        let (text, used) = formatted(&long);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(" stdout P x") && lines[0].len() > MAX_LINE);
        assert!(lines[1].ends_with("stdout F xxxxxxxxxx"));
        assert_eq!(used, long.len());

        // Exactly the limit is one full line.
        let (text, _) = formatted(&[vec![b'y'; MAX_LINE], b"\n".to_vec()].concat());
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains(" F y"));
    }
}
