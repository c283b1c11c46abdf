//! Environment variables in files of a volume: `NAME='value'`, a strict part of shell syntax.

use std::io::Read;
use std::path::Path;

use runtime::tree::{Links, Tree};

/// A larger file is none of variables.
const MAX_FILE: u64 = 1 << 20;

/// Why a file of variables cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to open environment variable file {path:?}: {source}")]
    Open { path: String, source: std::io::Error },
    #[error("invalid environment variable format at line {line}: {what}")]
    Format { line: usize, what: &'static str },
    #[error("invalid environment variable format starting at line {line}: unclosed single quote")]
    Unclosed { line: usize },
}

/// The value of a variable in a file of a volume; empty where the file does not have it.
///
/// # Errors
/// There is no such file in the volume, or what it says is no variables.
pub(super) fn read(volume: &Path, path: &str, key: &str) -> Result<String, Error> {
    let text = || -> std::io::Result<String> {
        let mut text = String::new();
        let file = Tree::open(volume)?.open_file(Path::new(path), Links::Root)?;
        file.take(MAX_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = text().map_err(|source| Error::Open { path: path.to_owned(), source })?;
    parse(&text, key)
}

fn parse(text: &str, key: &str) -> Result<String, Error> {
    let blank = [' ', '\t'];
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((number, text)) = lines.next() {
        let wrong = |what| Err(Error::Format { line: number, what });
        let line = text.trim_start_matches(blank);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { return wrong("missing '='") };
        if name.trim_end_matches(blank).is_empty() {
            return wrong("empty variable name");
        }
        if name.ends_with(blank) {
            return wrong("whitespace before '=' is not allowed");
        }
        if value.starts_with(blank) {
            // As the shell: the variable is empty, and what follows is a command.
            if name == key {
                return Ok(String::new());
            }
            continue;
        }
        let Some(mut rest) = value.strip_prefix('\'') else {
            return wrong("value must be enclosed in single quotes");
        };
        let mut content = String::new();
        let after = loop {
            if let Some((last, after)) = rest.split_once('\'') {
                content.push_str(last);
                break after;
            }
            content.push_str(rest);
            content.push('\n');
            let Some((_, next)) = lines.next() else {
                return Err(Error::Unclosed { line: number });
            };
            rest = next;
        };
        let after = after.trim_start_matches(blank);
        if !after.is_empty() && !after.starts_with('#') {
            return wrong("unexpected content after closing quote");
        }
        if name == key {
            return Ok(content);
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_part_of_shell_syntax() {
        for (text, key, wanted) in [
            ("  A='1'\n\n# no\nB='2' # yes\n", "B", Ok("2")),
            ("A='x\ny'\nB=''", "A", Ok("x\ny")),
            ("A='$HOME=\"#\"'", "A", Ok("$HOME=\"#\"")),
            ("A= 'x'\n", "A", Ok("")),
            ("A='1'", "Z", Ok("")),
            ("A ='1'", "A", Err("whitespace before '=' is not allowed")),
            ("='1'", "A", Err("empty variable name")),
            ("A='1'\nwrong", "B", Err("at line 2: missing '='")),
            ("A=1", "A", Err("value must be enclosed in single quotes")),
            ("A='1''2'", "A", Err("unexpected content after closing quote")),
            ("A='1", "A", Err("unclosed single quote")),
        ] {
            match (parse(text, key), wanted) {
                (Ok(value), Ok(wanted)) => assert_eq!(value, wanted, "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn files_are_those_of_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(read(dir.path(), "link", "A").is_err());
        assert!(read(dir.path(), "../../etc/passwd", "A").is_err());
        std::fs::write(dir.path().join("env"), "A='1'").unwrap();
        assert_eq!(read(dir.path(), "env", "A").unwrap(), "1");
    }
}
