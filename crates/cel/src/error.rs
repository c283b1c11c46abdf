//! Errors of compiling and of evaluating, in cel-go's words.

use std::fmt::{self, Write};
use std::sync::Arc;

/// Where something is in the source: a line from one, and a column in code points from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// From one; -1 where there is none.
    pub line: i64,
    /// From zero; -1 where there is none.
    pub column: i64,
}

impl Location {
    pub(crate) const NONE: Location = Location { line: -1, column: -1 };
}

/// One thing that is wrong with an expression.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Where it is.
    pub location: Location,
    /// The message.
    pub message: String,
}

/// The reasons why an expression does not compile.
#[derive(Debug, Clone)]
pub struct CompileError {
    /// In the order of the source.
    pub issues: Vec<Issue>,
    lines: Vec<String>,
    /// The expression is right, but what is known of it already fails.
    instantiation: bool,
}

/// As many as are told.
const MAX_ISSUES: usize = 100;
/// Longer lines are not shown.
const MAX_SNIPPET: usize = 16384;

impl CompileError {
    pub(crate) fn new(source: &str, mut issues: Vec<Issue>) -> CompileError {
        issues.sort_by_key(|issue| issue.location);
        let lines = source.split('\n').map(str::to_owned).collect();
        CompileError { issues, lines, instantiation: false }
    }

    /// The error of a part that is known before it is evaluated.
    pub(crate) fn instantiation(message: String) -> CompileError {
        let issues = vec![Issue { location: Location::NONE, message }];
        CompileError { issues, lines: Vec::new(), instantiation: true }
    }

    /// The whole message, as upstream begins it.
    pub fn in_full(&self) -> String {
        let failed = if self.instantiation { "program instantiation" } else { "compilation" };
        format!("{failed} failed: {self}")
    }

    /// True if the expression is right, but what is known of it already fails: upstream tells so
    /// as `program instantiation failed`.
    pub fn is_instantiation(&self) -> bool {
        self.instantiation
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (true, Some(issue)) = (self.instantiation, self.issues.first()) {
            return f.write_str(&issue.message);
        }
        for (index, issue) in self.issues.iter().take(MAX_ISSUES).enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            let Location { line, column } = issue.location;
            write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, issue.message)?;
            let text = usize::try_from(line - 1).ok().and_then(|line| self.lines.get(line));
            if let Some(text) = text.filter(|text| text.len() <= MAX_SNIPPET) {
                write!(f, "\n | {}\n | ", text.replace('\t', " "))?;
                let mut chars = text.chars();
                for _ in 0..column {
                    match chars.next() {
                        Some(c) => f.write_char(if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' })?,
                        None => break,
                    }
                }
                let wide = chars.next().is_some_and(|c| c.len_utf8() > 1);
                f.write_char(if wide { '\u{ff3e}' } else { '^' })?;
            }
        }
        if self.issues.len() > MAX_ISSUES {
            write!(f, "\n{} more errors were truncated", self.issues.len() - MAX_ISSUES)?;
        }
        Ok(())
    }
}

/// Why an evaluation has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression failed; `&&`, `||` and the macros made of them may ignore it.
    #[error("{0}")]
    Failed(Arc<str>),
    /// A limit was reached: nothing ignores it.
    #[error("{0}")]
    Cancelled(&'static str),
}

impl EvalError {
    /// More was done than the budget allows.
    pub const COST: EvalError =
        EvalError::Cancelled("operation cancelled: actual cost limit exceeded");
    /// The deadline passed.
    pub const DEADLINE: EvalError = EvalError::Cancelled("operation interrupted");
    /// More was allocated than the budget allows. (Upstream has no such limit.)
    pub const MEMORY: EvalError =
        EvalError::Cancelled("operation cancelled: memory limit exceeded");

    pub(crate) fn new(message: impl Into<String>) -> EvalError {
        EvalError::Failed(message.into().into())
    }

    pub(crate) fn no_such_overload() -> EvalError {
        EvalError::new("no such overload")
    }
}
