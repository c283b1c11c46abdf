//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::demo;

/// Kubernetes in one binary.
#[derive(Parser)]
#[command(name = "coxswain", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a cluster in this process.
    Up(UpArgs),
    /// Works with container images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// What the demo image runs.
    #[command(subcommand)]
    Demo(DemoCommand),
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Writes the demo image as an OCI layout tar.
    BuildDemo {
        /// The file to write.
        #[arg(default_value = "demo.tar")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum DemoCommand {
    /// Answers HTTP with the host's name.
    Serve {
        /// Port to listen on.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Fetches a URL; fails unless it answers with success.
    Get {
        /// The URL.
        url: String,
    },
}

/// How a node runs pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeKind {
    /// Real containers, by this binary. Needs root.
    Embedded,
    /// Pods are reported as running; nothing runs.
    Simulated,
}

/// Options of `up`.
#[derive(clap::Args, Clone)]
pub(crate) struct UpArgs {
    /// Directory that holds everything of the cluster.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Address of the API server.
    #[arg(long, default_value = "127.0.0.1:6443")]
    pub(crate) listen: SocketAddr,
    /// How pods run; embedded for root, else simulated.
    #[arg(long)]
    pub(crate) runtime: Option<RuntimeKind>,
}

/// Runs the command; every failure is one line and exit code 1.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    // Libraries that make their own TLS clients find this one; it is the first, so it cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("COXSWAIN_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
        )
        .init();
    let outcome = match cli.command {
        Command::Up(args) => crate::up::run(args),
        Command::Image(ImageCommand::BuildDemo { out }) => demo::build(&out),
        Command::Demo(DemoCommand::Serve { port }) => on_one_thread(demo::serve(port)),
        Command::Demo(DemoCommand::Get { url }) => on_one_thread(demo::get(&url)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coxswain: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_one_thread(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
