//! The process's log: `tracing` events as lines of text or JSON.

mod rotate;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

pub use rotate::{RotatingFile, Rotation};

/// The environment variable that sets the filter where no option does.
pub const VARIABLE: &str = "COXSWAIN_LOG";

/// Targets that are quiet unless a filter names them: libraries, and the log of a client that
/// repeats the errors which its callers log.
const QUIET: &str = "hyper=warn,hyper_util=warn,h2=warn,rustls=warn,tower=warn,reqwest=warn,\
                     tungstenite=warn,netlink_proto=warn,globset=warn,kube_client=off";

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line, for programs.
    Json,
}

/// The filter, format and destination of the log.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as
    /// `info,kubelet=debug`.
    pub filter: Option<String>,
    /// How often `-v` was given: once for `debug`, twice for `trace`.
    pub verbosity: u8,
    /// How lines look.
    pub format: Format,
    /// The file; standard error if none is given.
    pub file: Option<PathBuf>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error("log filter {filter:?}: {reason}")]
    Filter {
        /// As it was given.
        filter: String,
        /// Where it goes wrong. (The parser's error repeats its own source.)
        reason: String,
    },
    /// The file cannot be written.
    #[error("log file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The filter that the options ask for, `variable` being the environment's.
///
/// # Errors
/// It makes no sense.
fn filter(options: &Options, variable: Option<&str>) -> Result<EnvFilter, LogError> {
    let by_count = match options.verbosity {
        0 => None,
        1 => Some("debug"),
        _ => Some("trace"),
    };
    let wanted = options.filter.as_deref().or(by_count);
    let wanted = wanted.or(variable.filter(|text| !text.is_empty())).unwrap_or("info");
    // Later directives win, so that what is named is heard.
    EnvFilter::builder()
        .parse(format!("{QUIET},{wanted}"))
        .map_err(|error| LogError::Filter { filter: wanted.to_owned(), reason: error.to_string() })
}

/// Starts the log of this process, panics included.
///
/// # Errors
/// The filter makes no sense, or the file cannot be written.
pub fn init(options: &Options) -> Result<(), LogError> {
    let variable = std::env::var(VARIABLE).ok();
    let filter = filter(options, variable.as_deref())?;
    match &options.file {
        Some(path) => {
            let file = open(path)?;
            start(filter, options.format, false, Shared(Mutex::new(file)));
        }
        None => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            start(filter, options.format, colours, std::io::stderr);
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let text = crate::task::panic_text(panic.payload());
        let location = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        let captured = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
        tracing::error!(
            thread = thread.name(),
            location,
            backtrace = captured.then(|| tracing::field::display(backtrace)),
            "panicked: {text}"
        );
    }));
    Ok(())
}

fn open(path: &Path) -> Result<RotatingFile, LogError> {
    RotatingFile::open(path, Rotation::default())
        .map_err(|source| LogError::File { path: path.to_owned(), source })
}

fn start<W>(filter: EnvFilter, format: Format, colours: bool, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(writer);
    // A second log in one process, as in tests, changes nothing.
    let _ = match format {
        Format::Text => log.finish().try_init(),
        Format::Json => log.json().flatten_event(true).finish().try_init(),
    };
}

/// One file for all threads.
struct Shared(Mutex<RotatingFile>);

impl<'w> MakeWriter<'w> for Shared {
    type Writer = Locked<'w>;

    fn make_writer(&'w self) -> Locked<'w> {
        Locked(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Locked<'w>(MutexGuard<'w, RotatingFile>);

impl std::io::Write for Locked<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(options: &Options, variable: Option<&str>) -> String {
        filter(options, variable).unwrap().to_string()
    }

    #[test]
    fn options_go_before_the_environment() {
        let none = Options::default();
        assert!(wanted(&none, None).contains("info"));
        assert!(wanted(&none, Some("")).contains("info"));
        assert!(wanted(&none, Some("warn,kubelet=trace")).contains("kubelet=trace"));
        let verbose = Options { verbosity: 1, ..Options::default() };
        assert!(wanted(&verbose, Some("error")).contains("debug"));
        let both = Options { filter: Some("warn".into()), verbosity: 2, ..Options::default() };
        assert!(!wanted(&both, None).contains("trace"));
    }

    #[test]
    fn a_library_is_heard_when_it_is_named() {
        let named = Options { filter: Some("info,h2=debug".into()), ..Options::default() };
        let filter = wanted(&named, None);
        assert!(filter.contains("h2=debug") && !filter.contains("h2=warn"), "{filter}");
        assert!(filter.contains("kube_client=off"), "{filter}");
    }

    #[test]
    fn nonsense_is_refused() {
        let bad = Options { filter: Some("kubelet=loud".into()), ..Options::default() };
        let error = filter(&bad, None).unwrap_err().to_string();
        assert!(error.starts_with("log filter \"kubelet=loud\""), "{error}");
    }
}
