//! Text between quotes, as Go's `%q` writes it.

use std::fmt::{self, Debug, Write};

/// Text whose debug form is Go's.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{b}' => f.write_str("\\v")?,
                ' ' => f.write_char(c)?,
                c if c < '\u{80}' && c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c if !is_printed(c) => match u32::from(c) {
                    code @ 0..=0xffff => write!(f, "\\u{code:04x}")?,
                    code => write!(f, "\\U{code:08x}")?,
                },
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// True for what has a shape: no controls, no blanks, no marks of direction or width.
fn is_printed(c: char) -> bool {
    let formats = matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    );
    !c.is_control() && !c.is_whitespace() && !formats
}
