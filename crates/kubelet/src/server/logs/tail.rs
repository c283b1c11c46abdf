//! Where the last lines of a file begin.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: u64 = 16 * 1024;

/// The offset from which `count` lines are left. An unfinished last line counts.
pub(super) fn start(file: &mut File, count: usize) -> io::Result<u64> {
    let end = file.metadata()?.len();
    if count == 0 {
        return Ok(end);
    }
    let mut left = count;
    let mut at = end;
    let mut block = vec![0; BLOCK as usize];
    while at > 0 {
        let size = BLOCK.min(at);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        let bytes = &mut block[..size as usize];
        file.read_exact(bytes)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = at + index as u64 + 1;
            if after == end {
                continue;
            }
            left -= 1;
            if left == 0 {
                return Ok(after);
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn last_lines() {
        let long = format!("{}\n", "x".repeat(3 * BLOCK as usize));
        let table = [
            ("a\nb\nc\n", 0, ""),
            ("a\nb\nc\n", 1, "c\n"),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nhalf", 1, "half"),
            ("", 3, ""),
            (&format!("first\n{long}"), 1, &long),
        ];
        for (text, count, wanted) in table {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let at = start(&mut file, count).unwrap();
            assert_eq!(&text[at as usize..], wanted);
        }
    }
}
