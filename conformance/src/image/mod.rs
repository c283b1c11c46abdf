//! The test image: this binary, which in a container plays every part that a case needs.

mod archive;
mod dns;
mod http_get;
mod netexec;
mod steps;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

/// Name of the image unless an option says otherwise.
pub const IMAGE: &str = "coxswain.local/conformance:v1";
/// The program inside, as the image's entrypoint has it.
pub const COMMAND: &[&str] = &["/coxswain", "conformance", "testimage"];
/// The image's default arguments.
pub const DEFAULT_ARGS: &[&str] = &["args", "image", "defaults"];

/// Writes the image with this binary as an archive.
///
/// # Errors
/// Where the file cannot be written.
pub fn build(out: &Path, name: &str) -> Result<()> {
    let own = std::fs::read("/proc/self/exe").context("reading this binary")?;
    archive::write(out, name, &own).with_context(|| format!("writing {}", out.display()))
}

/// Is the program of the image; SIGTERM ends it as it ends any program that is not process 1.
pub fn main(arguments: &[String]) -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            code = command(arguments) => code,
            () = terminated(), if arguments.iter().all(|step| step != "ignore-term") => 0,
        }
    });
    // Blocking reads of a pipe must not keep the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

async fn command(arguments: &[String]) -> u8 {
    let Some((command, rest)) = arguments.split_first() else {
        eprintln!("args|pause|netexec|do");
        return 64;
    };
    let result = match command.as_str() {
        "args" => {
            println!("arguments: {}", rest.join(" "));
            Ok(0)
        }
        "pause" => std::future::pending().await,
        "netexec" => netexec::serve(rest).await.map(|()| 0),
        "do" => steps::run(rest).await,
        other => Err(anyhow::anyhow!("{other} is no command of the test image")),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        1
    })
}
