//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

/// Runs the command; every failure is one line and exit code 1.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("COXSWAIN_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();
    let outcome = match cli.command {
        Command::Up(args) => crate::up::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coxswain: {error:#}");
            ExitCode::FAILURE
        }
    }
}
