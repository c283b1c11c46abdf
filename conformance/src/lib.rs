//! Conformance-style tests of any Kubernetes cluster, named after upstream's.
//!
//! A [`case::Case`] is a value in the table of its folder under `cases/`. It gets a [`test::Test`]
//! (a namespace of its own and the cluster) and speaks JSON through [`api`]. [`run`] selects, runs
//! and reports; [`image`] is the one container image that cases run; [`mutate`] breaks one feature
//! after another to show that the cases meant for it notice.

pub mod api;
mod args;
pub mod case;
mod cases;
pub mod image;
mod mutate;
mod quantity;
mod run;
pub mod test;

pub use args::Args;

use std::process::ExitCode;

/// Everything went well.
const PASSED: u8 = 0;
/// A case failed.
const FAILED: u8 = 1;
/// The suite could not run.
const CANNOT_RUN: u8 = 2;

/// Runs the command; 0 if all passed, 1 if a case failed, 2 if the suite could not run.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    let outcome = match args.command {
        Some(args::Command::Testimage { arguments }) => return image::main(&arguments),
        Some(args::Command::Image { out }) => image::build(&out, &args.options.image).map(|()| {
            eprintln!("{} is in {}", args.options.image, out.display());
            PASSED
        }),
        Some(args::Command::Clean) => on_all_threads(run::clean(&args.options)),
        Some(args::Command::Prove { mutations }) => {
            on_all_threads(mutate::prove(&args.options, &mutations))
        }
        None => on_all_threads(run::suite(&args.options)),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("coxswain conformance: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn on_all_threads(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
