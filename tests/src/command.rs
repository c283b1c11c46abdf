//! Running programs and reading what they say.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The output and exit code of a program.
#[derive(Debug)]
pub struct Outcome {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
}

impl Outcome {
    /// Standard output of a success; panics with everything otherwise.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a failure; panics on success.
    #[track_caller]
    pub fn fails(self) -> String {
        assert_ne!(self.code, 0, "succeeded: {}", self.stdout);
        self.stderr
    }
}

/// The path of a tool that `cargo xtask test` put into the environment.
///
/// # Panics
/// The variable is not set: a missing tool is a failure, not a skip.
#[must_use]
pub fn tool(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set: run these tests with `cargo xtask test`"),
    }
}

/// Runs a command to its end.
///
/// # Panics
/// It cannot be started.
#[must_use]
pub fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    Outcome {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}
