//! The log of this process, and `coxswain logs`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use telemetry::log::{self, Format, Options};

/// The log in the data directory of a cluster that runs in the background.
pub(crate) const CLUSTER_LOG: &str = "up.log";
/// The log in the directory of a node that is a process of its own.
pub(crate) const NODE_LOG: &str = "node.log";

/// Options of every command.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// Logs more: once for debugging, twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log filter: error, warn, info, debug, trace, or directives such as info,kubelet=debug.
    /// The environment variable COXSWAIN_LOG does the same.
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
    /// How lines look.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Logs to a file, of which at most 64 MiB are kept, instead of to standard error.
    #[arg(long, global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl LogArgs {
    /// Starts the log.
    pub(crate) fn init(&self) -> Result<()> {
        let format = match self.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        let file = self.log_file.clone();
        log::init(&Options {
            filter: self.log_level.clone(),
            verbosity: self.verbose,
            format,
            file,
        })?;
        Ok(())
    }

    /// Logs to `file` unless another was given.
    pub(crate) fn or_to_file(&mut self, file: PathBuf) {
        self.log_file.get_or_insert(file);
    }

    /// The same options for a node whose directory is `data`: it logs to a file if this process
    /// does.
    pub(crate) fn to_node_args(&self, data: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        args.extend((0..self.verbose).map(|_| "-v".into()));
        if let Some(filter) = &self.log_level {
            args.extend(["--log-level".into(), filter.into()]);
        }
        if self.log_format == LogFormat::Json {
            args.extend(["--log-format".into(), "json".into()]);
        }
        if self.log_file.is_some() {
            args.extend(["--log-file".into(), data.join(NODE_LOG).into()]);
        }
        args
    }
}

/// Options of `coxswain logs`.
#[derive(clap::Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    cluster: crate::cli::DirArgs,
    /// Goes on with what is logged from now on.
    #[arg(short, long)]
    follow: bool,
    /// The log of a further node of `up --nodes` instead of the cluster's.
    #[arg(long)]
    node: Option<String>,
}

/// `coxswain logs`.
pub(crate) fn show(args: &LogsArgs) -> Result<()> {
    let data = args.cluster.dir.join("data");
    let path = match &args.node {
        Some(node) if node.contains('/') || node.starts_with('.') => bail!("{node} is no node"),
        Some(node) => data.join("nodes").join(node).join(NODE_LOG),
        None => data.join(CLUSTER_LOG),
    };
    let mut file = File::open(&path).with_context(|| {
        format!("{}: the cluster has not run in the background", path.display())
    })?;
    let mut out = io::stdout().lock();
    // Before the first reading, so that nothing falls between the two.
    let changes = if args.follow { Some(watch(&path)?) } else { None };
    if copied(&mut file, &mut out)? {
        return Ok(());
    }
    let Some(changes) = changes else { return Ok(()) };
    loop {
        match changes.read_events() {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for the log"),
        }
        if copied(&mut file, &mut out)? {
            return Ok(());
        }
        // A new log has been begun, or the old one was cut off.
        let Ok(present) = std::fs::metadata(&path) else { continue };
        if present.ino() != file.metadata()?.ino() {
            file = File::open(&path)?;
        } else if present.len() < file.stream_position()? {
            file.rewind()?;
        }
        if copied(&mut file, &mut out)? {
            return Ok(());
        }
    }
}

fn watch(path: &Path) -> Result<Inotify> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC).context("watching the log")?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    changes.add_watch(dir, what).with_context(|| dir.display().to_string())?;
    Ok(changes)
}

/// Copies the available output; true if the reader is gone.
fn copied(from: &mut File, to: &mut impl Write) -> Result<bool> {
    match io::copy(from, to).and_then(|_| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        result => result.map(|()| false).context("copying the log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Any {
        #[command(flatten)]
        log: LogArgs,
    }

    #[test]
    fn nodes_log_as_the_cluster_does() {
        let given = "up -vv --log-level info,kubelet=debug --log-format json --log-file a.log";
        let mut args = Any::parse_from(given.split_whitespace()).log;
        args.or_to_file("b.log".into());
        let args = args.to_node_args("/n/2".as_ref());
        let node = Any::parse_from(["node".into()].into_iter().chain(args)).log;
        assert_eq!((node.verbose, node.log_format), (2, LogFormat::Json));
        assert_eq!(node.log_level.as_deref(), Some("info,kubelet=debug"));
        assert_eq!(node.log_file.as_deref(), Some(Path::new("/n/2/node.log")));
        let plain = Any::parse_from(["up"]).log;
        assert!(plain.to_node_args("/n/2".as_ref()).is_empty());
    }
}
