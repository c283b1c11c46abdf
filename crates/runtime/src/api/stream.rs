//! Live streams: exec, attach, port-forward.

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::Result;

/// A request to [`super::Runtime::exec`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Command and arguments, without a shell.
    pub cmd: Vec<String>,
    /// Give it a terminal; stderr then arrives on stdout.
    pub tty: bool,
    /// Wanted standard input.
    pub stdin: bool,
    /// Wanted standard output.
    pub stdout: bool,
    /// Wanted standard error.
    pub stderr: bool,
}

/// Which streams [`super::Runtime::attach`] connects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Wanted standard input.
    pub stdin: bool,
    /// Wanted standard output.
    pub stdout: bool,
    /// Wanted standard error.
    pub stderr: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// Reading half of a stream.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Writing half of a stream.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A stream both ways at once.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream both ways.
pub type ByteStream = Box<dyn Duplex>;

/// Live streams of a process. Dropping it ends an exec's process (SIGKILL) and detaches an attach.
pub struct Session {
    /// To the process; shutting it down is its end of file.
    pub stdin: Option<Writer>,
    /// From the process; ends when every writer closed.
    pub stdout: Option<Reader>,
    /// From the process; `None` with a terminal.
    pub stderr: Option<Reader>,
    /// New terminal sizes; `None` without a terminal.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// Resolves to the exit code: of the command for exec, of the container for attach.
    pub exit: BoxFuture<'static, Result<i32>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The output and exit code of a finished command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}
