//! From text to an expression.
//!
//! Written by hand although parsers exist: those on the registry are made by ANTLR or LALRPOP
//! (dozens of crates, recursion without a bound), and none keeps cel-go's places of errors.

mod lexer;
mod literal;
mod macros;
mod pairs;
mod parser;

pub use parser::MAX_HEIGHT;
pub(crate) use parser::parse;

/// Words that are no identifiers.
pub(crate) const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];
